//! One request to upstream and its answer back, as a plain tower service. What it is given need not come from our own
//! listener, and any layer can stand around it. It reads neither bodies nor what they mean.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use mcptap_sdk::internals::RequestTrace;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::ahead::Room;
use super::body::{Answer, BoxError, Streamed};
use super::connect::Connector;
use super::expect::{self, Held};
use super::failure::Failure;
use super::forwarded::Arrival;
use super::half_close::{Exchange, Heard, OpenRequest};
use super::hop::TransferCoding;
use super::outward::Outward;
use super::settings::ProxyConfig;
use super::upstream::Upstream;
use super::{hop, upgrade};
use crate::host::Hosts;

/// Idle connections are given up before servers do it themselves (uvicorn and Node.js after 5 s): a request that is
/// sent as the server closes is lost, and not every request may be sent twice.
const IDLE: Duration = Duration::from_secs(4);
/// How many idle connections are kept.
const MAX_IDLE: usize = 256;

/// Bound of the head of a message, in bytes; also of what is read ahead of a slow reader.
pub(super) const MAX_HEAD: usize = 256 << 10;
/// Bound of the headers of a message.
pub(super) const MAX_HEADERS: usize = 512;

/// Forwards requests. Clones share their connections.
#[derive(Clone)]
pub struct Forward {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client<Connector, Held<Heard<Streamed>>>,
    upstream: Upstream,
    /// What upstream is told as its host.
    host: HeaderValue,
    preserve_host: bool,
    /// The names that the proxy answers to.
    hosts: Hosts,
    trusted_proxies: Vec<IpNet>,
    stop: CancellationToken,
    tunnels: TaskTracker,
    room: Room,
}

impl Forward {
    /// Connects nowhere yet. When `stop` is cancelled, streams of events and upgraded connections end; `tunnels` has
    /// the latter.
    pub fn new(config: &ProxyConfig, stop: CancellationToken, tunnels: TaskTracker) -> anyhow::Result<Self> {
        // In HTTP/2 the host is part of the address, which is upstream's, so another host needs HTTP/1.1.
        let http2 = !config.preserve_host;
        let connector = Connector::new(config.upstream.is_https(), http2, config.connect_timeout)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .http1_preserve_header_case(true)
            .http2_max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .build(connector);
        let shared = Shared {
            client,
            upstream: config.upstream.clone(),
            host: HeaderValue::from_str(config.upstream.authority().as_str())?,
            preserve_host: config.preserve_host,
            hosts: Hosts::new(config.listen, &config.allowed_hosts),
            trusted_proxies: config.trusted_proxies.clone(),
            stop,
            tunnels,
            room: Room::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

impl<B> Service<Request<B>> for Forward
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Streamed>;
    /// Failures are answers (502, 504), so that what stands around the service sees them as the client does.
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(async move {
            Ok(shared.forward(request).await.unwrap_or_else(|failure| {
                match &failure {
                    Failure::Abandoned { .. } => tracing::debug!("{failure}"),
                    _ => tracing::warn!("{failure}"),
                }
                failure.answer()
            }))
        })
    }
}

impl Shared {
    async fn forward(&self, mut request: Request<Streamed>) -> Result<Response<Streamed>, Failure> {
        let arrival = arrival(&request)?;
        if let Some(host) = &arrival.host {
            let host = String::from_utf8_lossy(host.as_bytes());
            self.hosts.judge_host(&host).map_err(Failure::Misdirected)?;
        }
        match hop::transfer_coding(request.headers()) {
            TransferCoding::None | TransferCoding::Chunked => {}
            TransferCoding::ChunkedAgain => {
                return Err(Failure::BadRequest(
                    "a body is chunked once, and this request's Transfer-Encoding says it more than once",
                ));
            }
            TransferCoding::Other => return Err(Failure::Coding),
        }
        let protocol = upgrade::asked_for(request.headers());
        let client_side = hyper::upgrade::on(&mut request);
        let is_get = request.method() == Method::GET;

        let (mut parts, mut body) = request.into_parts();
        // A body that is to be held back cannot be read before.
        let waits = expect::is_asked(&parts.headers);
        if let Some(trace) = parts.extensions.remove::<RequestTrace>().filter(|_| !waits) {
            body = self.room.read(body).await.boxed_unsync();
            trace.name_in(&mut parts.headers);
        }
        let open = parts.extensions.remove::<OpenRequest>();
        self.readdress(&mut parts, &arrival, body.is_end_stream())?;
        if let Some(protocol) = protocol.clone() {
            upgrade::pass_on(&mut parts.headers, protocol);
        }
        let outward = Outward::new(&self.upstream, &parts.headers, self.preserve_host);
        let mut request = Request::from_parts(parts, Heard::new(body, open.as_ref()));
        let receipt = open.as_ref().map(OpenRequest::receipt);
        let mut exchange = Exchange::new(open, capture_connection(&mut request));
        let (request, opener) = if waits {
            let (request, opener) = expect::hold(request);
            (request, Some(opener))
        } else {
            (request.map(Held::open), None)
        };

        let mut answering = self.client.request(request);
        let mut answer = poll_fn(|context| {
            let answer = Pin::new(&mut answering).poll(context);
            if answer.is_pending() {
                exchange.poll(context, false);
            }
            answer
        })
        .await
        .map_err(|error| {
            if exchange.is_abandoned() {
                let upstream = self.upstream.clone();
                return Failure::Abandoned { upstream };
            }
            Failure::of(&error, &self.upstream)
        })?;
        if let Some(opener) = &opener {
            opener.answered();
        }
        let upstream_side = hyper::upgrade::on(&mut answer);
        let (mut parts, body) = answer.into_parts();
        let coding = hop::transfer_coding(&parts.headers);
        if !body.is_end_stream() && !matches!(coding, TransferCoding::None | TransferCoding::Chunked) {
            let upstream = self.upstream.clone();
            return Err(Failure::UnknownCoding { upstream });
        }
        let agreed = upgrade::asked_for(&parts.headers);
        parts.headers = hop::end_to_end(parts.headers);
        if let Some(outward) = outward {
            outward.readdress(&mut parts.headers);
        }
        parts.version = Version::HTTP_11;
        if let Some(receipt) = receipt {
            parts.extensions.insert(receipt);
        }
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(_), Some(agreed)) = (protocol, agreed) else {
                return Err(Failure::Broken {
                    upstream: self.upstream.clone(),
                    reason: "it changed to a protocol that was not asked for".to_owned(),
                });
            };
            upgrade::pass_on(&mut parts.headers, agreed);
            let stop = self.stop.clone();
            self.tunnels
                .spawn(upgrade::tunnel(client_side, upstream_side, stop));
        }
        let body = self.relay(&parts, body, is_get, exchange, opener);
        Ok(Response::from_parts(parts, body))
    }

    /// Makes the head that upstream gets of the one that we got.
    fn readdress(&self, parts: &mut Parts, arrival: &Arrival, is_empty: bool) -> Result<(), Failure> {
        let path = std::mem::take(&mut parts.uri).into_parts().path_and_query;
        parts.uri = self
            .upstream
            .uri(path)
            .map_err(|_| Failure::BadRequest("this path cannot be forwarded"))?;
        let takes_trailers = hop::has_token(&parts.headers, &TE, "trailers");
        let is_chunked = parts.headers.contains_key(TRANSFER_ENCODING)
            || (parts.version == Version::HTTP_2 && !is_empty && !parts.headers.contains_key(CONTENT_LENGTH));
        // The version of each connection is its own.
        parts.version = Version::HTTP_11;
        let mut headers = hop::end_to_end(std::mem::take(&mut parts.headers));
        let host = arrival
            .host
            .as_ref()
            .filter(|_| self.preserve_host)
            .unwrap_or(&self.host);
        headers.insert(HOST, host.clone());
        arrival.append_to(&mut headers, &self.trusted_proxies);
        if takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        if is_chunked {
            // Said, because a GET would be taken to have no body otherwise.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        parts.headers = headers;
        Ok(())
    }

    fn relay(
        &self,
        parts: &http::response::Parts,
        body: Incoming,
        is_get: bool,
        exchange: Exchange,
        opener: Option<expect::Opener>,
    ) -> Streamed {
        let mut answer = Answer::new(body, exchange, opener);
        let media_type = parts
            .headers
            .get(CONTENT_TYPE)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        let is_events = media_type
            .get(..17)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
        if is_get && is_events {
            answer = answer.until(self.stop.clone().cancelled_owned());
        }
        if parts.status == StatusCode::NOT_MODIFIED && parts.headers.contains_key(CONTENT_LENGTH) {
            answer = answer.told_length_only();
        }
        answer.boxed_unsync()
    }
}

/// Who asked for what; an error where that is open to more than one reading.
fn arrival<B>(request: &Request<B>) -> Result<Arrival, Failure> {
    if request.method() == Method::CONNECT {
        return Err(Failure::Tunnel);
    }
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Failure::BadRequest(
            "a request has one Host, and this one has several",
        ));
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err(Failure::BadRequest(
            "a request of HTTP/1.1 has a Host, and this one has none",
        ));
    }
    // An address in the request line counts more than Host (RFC 9112, 3.2.2); in HTTP/2 it is the only one.
    let host = match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => host.cloned(),
    };
    // The listener left the peer there.
    let client = request.extensions().get::<SocketAddr>();
    Ok(Arrival {
        client: client.map(|address| address.ip().to_canonical()),
        host,
    })
}
