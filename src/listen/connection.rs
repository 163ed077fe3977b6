//! Connections: accepted, talked with, ended.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::Verdict;
use super::body::{BoxError, Received};
use super::client::Client;
use super::names;
use super::port::{Counters, Limits, Port};
use super::stream::PortStream;

/// A listener that cannot accept (no file descriptors left) tries again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// It says so again after this long.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);
/// How long a peer that was told goodbye may take to go, while it has no request open.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the rest of a request may take to come after that.
const REST: Duration = Duration::from_secs(3);
/// How often is looked whether that time is over.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After this long without a byte a peer is asked whether it is still there, by TCP and by HTTP/2.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Answers the requests of a port.
pub(crate) trait Service: Clone + Send + 'static {
    /// The bodies of answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers one.
    fn answer(
        self,
        request: Request<Received>,
    ) -> impl Future<Output = Result<Response<Self::Body>, BoxError>> + Send + 'static;
}

impl<S, B> Service for S
where
    S: tower_service::Service<Request<Received>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = B;

    async fn answer(mut self, request: Request<Received>) -> Result<Response<B>, BoxError> {
        poll_fn(|context| self.poll_ready(context))
            .await
            .map_err(Into::into)?;
        self.call(request).await.map_err(Into::into)
    }
}

/// Stands between the streams of a port and HTTP.
pub(crate) trait Wire: Clone + Send + 'static {
    /// The stream as HTTP gets it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What a stream and its requests share.
    type Link: Send + Sync + 'static;

    /// Wraps a stream.
    fn wrap(&self, stream: PortStream) -> (Self::Stream, Self::Link);

    /// A request has begun: its head was read, and nothing more.
    fn begin(link: &Self::Link, request: &mut Request<Received>);
}

/// Nothing between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Wire for Plain {
    type Stream = PortStream;
    type Link = ();

    fn wrap(&self, stream: PortStream) -> (PortStream, ()) {
        (stream, ())
    }

    fn begin((): &(), _: &mut Request<Received>) {}
}

/// What ends all connections of a group.
#[derive(Clone)]
pub(super) struct Group {
    /// No new connections, no new requests on those that are open.
    pub(super) stop: CancellationToken,
    /// Whatever is still open is cut off.
    pub(super) cut: CancellationToken,
    /// All connections, upgraded ones too.
    pub(super) open: TaskTracker,
}

/// Accepts until told to stop. One connection's trouble is never another's.
pub(super) async fn accept<W: Wire, S: Service>(
    group: Group,
    port: Port,
    listener: TcpListener,
    wire: W,
    service: S,
) {
    let mut complained: Option<Instant> = None;
    let stop = group.stop.clone();
    let names = Arc::new(names::of_websockets().await);
    loop {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else {
            return;
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                Counters::add(&port.counters().accept_failures);
                if complained.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY) {
                    complained = Some(Instant::now());
                    let name = port.counters().name;
                    tracing::warn!(%error, port = name, "a connection could not be accepted; idle ones are closed");
                }
                port.places.displace();
                if stop
                    .run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE))
                    .await
                    .is_none()
                {
                    return;
                }
                continue;
            }
        };
        Counters::add(&port.counters().accepted);
        tune(&stream);
        let close = group.cut.child_token();
        let Some(place) = stop.run_until_cancelled(port.places.take(close)).await else {
            return;
        };
        let stream = PortStream::new(stream, place, group.open.token());
        let conversation = converse(
            group.clone(),
            port.clone(),
            stream,
            peer,
            wire.clone(),
            service.clone(),
            Arc::clone(&names),
        );
        group.open.spawn(conversation);
    }
}

/// The reason of a refusal where something else is spoken: TLS, most likely.
const NO_HTTP: &str = "it does not speak HTTP; an endpoint that begins with https:// is to begin with http://, or needs a \
                       proxy with a certificate before mcptap";

/// Whether the bytes of a connection are no HTTP.
fn is_foreign(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_parse)
}

/// Errors of a connection that ended before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Small events go out at once, and a client that vanished is found out. It works without either.
fn tune(stream: &TcpStream) {
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE / 4);
    let tuned = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keep_alive));
    if let Err(error) = tuned {
        tracing::debug!(%error, "a connection keeps the system's options");
    }
}

async fn converse<W: Wire, S: Service>(
    group: Group,
    port: Port,
    stream: PortStream,
    peer: SocketAddr,
    wire: W,
    service: S,
    names: Arc<Extensions>,
) {
    let (close, activity) = (stream.close(), stream.activity());
    // The reader that tells the versions apart knows no time.
    tokio::select! {
        begun = tokio::time::timeout(port.limits.head, stream.readable()) => match begun {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return Counters::add(&port.counters().timed_out),
        },
        () = group.stop.cancelled() => return,
        () = close.cancelled() => return,
    }
    let (stream, link) = wire.wrap(stream);
    let client: Client<W, S> = Client {
        service,
        port: port.clone(),
        activity: Arc::clone(&activity),
        peer,
        link,
        names,
    };
    let builder = builder(
        &port.limits,
        Executor {
            open: group.open.clone(),
            close: close.clone(),
        },
    );
    let stream = TokioIo::new(stream);
    // A silent connection has no use for the room that this takes.
    let mut connection = Box::pin(builder.serve_connection_with_upgrades(stream, client));
    let mut leaving: Option<Instant> = None;
    loop {
        let wait = match activity.judge(&port.limits, Instant::now()) {
            Verdict::TooSlow => return Counters::add(&port.counters().timed_out),
            Verdict::Part if leaving.is_none() => {
                connection.as_mut().graceful_shutdown();
                leaving = Some(Instant::now());
                LOOK_AGAIN
            }
            Verdict::Part => LOOK_AGAIN,
            Verdict::Keep(wait) => wait,
        };
        let wait = match leaving.map(|since| since.elapsed()) {
            Some(gone) if activity.is_idle() && gone >= FAREWELL => return,
            Some(gone) if activity.only_receives() && gone >= REST => return,
            Some(_) => LOOK_AGAIN,
            None => wait,
        };
        tokio::select! {
            ended = connection.as_mut() => {
                if activity.is_flooded() {
                    Counters::add(&port.counters().flooded);
                }
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                    if let Some(watch) = port.watch.as_ref().filter(|_| is_foreign(&*error)) {
                        watch.tell(Some(peer), NO_HTTP.to_owned());
                    }
                }
                return;
            }
            () = close.cancelled() => return,
            () = group.stop.cancelled(), if leaving.is_none() => {
                connection.as_mut().graceful_shutdown();
                leaving = Some(Instant::now());
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn builder(limits: &Limits, executor: Executor) -> auto::Builder<Executor> {
    let mut builder = auto::Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        // The activity knows better: this one does not tell an idle connection from a slow head.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .preserve_header_case(limits.transparent)
        // As most servers write them, and some clients look for them.
        .title_case_headers(!limits.transparent)
        .auto_date_header(!limits.transparent);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .auto_date_header(!limits.transparent);
    builder
}

/// Runs the requests of HTTP/2, each of which is a task: they end with their connection.
#[derive(Clone)]
struct Executor {
    open: TaskTracker,
    close: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let close = self.close.clone();
        self.open
            .spawn(async move { close.run_until_cancelled_owned(task).await });
    }
}
