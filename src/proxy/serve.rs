//! The listener: bounded in connections, HTTP/1.1 and HTTP/2 on the same port, stopped in order.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::body::BoxError;
use super::connect::KEEP_ALIVE;
use super::forward::{MAX_HEAD, MAX_HEADERS};
use super::half_close::{ClientLink, ClientStream};

/// How long a connection may wait before its next request has come whole.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How many requests one connection of HTTP/2 may have open.
const MAX_STREAMS: u32 = 1024;
/// A listener that cannot accept (no file descriptors left) tries again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the listener and its connections share.
#[derive(Clone)]
pub(super) struct Listening {
    /// How many connections may be open.
    pub(super) places: Arc<Semaphore>,
    /// No new connections, no new requests on those that are open.
    pub(super) stop: CancellationToken,
    /// Whatever is still open is cut off.
    pub(super) cut: CancellationToken,
    /// All connections, upgraded ones too.
    pub(super) open: TaskTracker,
}

impl Listening {
    /// Accepts until told to stop. One connection's trouble is never another's.
    pub(super) async fn serve<S, RB>(self, listener: TcpListener, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<RB>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        RB: Body<Data = Bytes> + Send + 'static,
        RB::Error: Into<BoxError>,
    {
        loop {
            let next = async {
                let place = Arc::clone(&self.places).acquire_owned().await?;
                anyhow::Ok((place, listener.accept().await?))
            };
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = next => accepted,
            };
            match accepted {
                Ok((place, (stream, peer))) => {
                    tune(&stream);
                    let (stream, link) = ClientStream::new(stream);
                    let service = OneClient {
                        service: service.clone(),
                        address: peer,
                        link,
                        place: Arc::new(place),
                    };
                    self.open.spawn(self.clone().converse(stream, service));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn converse<S, RB>(self, stream: ClientStream, service: OneClient<S>)
    where
        S: Service<Request<Incoming>, Response = Response<RB>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        RB: Body<Data = Bytes> + Send + 'static,
        RB::Error: Into<BoxError>,
    {
        // The reader that tells the versions apart knows no time.
        let begun = tokio::select! {
            begun = tokio::time::timeout(HEAD_TIMEOUT, stream.readable()) => matches!(begun, Ok(Ok(()))),
            () = self.stop.cancelled() => false,
        };
        if !begun {
            return;
        }
        let builder = builder();
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
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

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .preserve_header_case(true)
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .auto_date_header(false);
    builder
}

/// One client's connection, as the service behind it is told of it.
struct OneClient<S> {
    service: S,
    address: SocketAddr,
    link: ClientLink,
    place: Arc<OwnedSemaphorePermit>,
}

/// The place that a connection takes, as an extension of its requests: an upgraded one keeps it.
#[derive(Clone)]
pub(super) struct Place(#[expect(dead_code, reason = "kept, not read")] Arc<OwnedSemaphorePermit>);

impl<S> hyper::service::Service<Request<Incoming>> for OneClient<S>
where
    S: Service<Request<Incoming>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // Only in HTTP/1 does the end of the stream tell of the request that is on it.
        let open = (request.version() <= Version::HTTP_11).then(|| self.link.begin(request.body()));
        let extensions = request.extensions_mut();
        extensions.insert(self.address);
        extensions.insert(Place(Arc::clone(&self.place)));
        if let Some(open) = open {
            extensions.insert(open);
        }
        let mut service = self.service.clone();
        Box::pin(async move {
            poll_fn(|context| service.poll_ready(context)).await?;
            service.call(request).await
        })
    }
}
