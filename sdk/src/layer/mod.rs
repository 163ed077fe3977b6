//! A tower layer for any HTTP server that speaks MCP: axum, rmcp's Streamable HTTP service, a proxy.
//!
//! It sees what passes and changes nothing: requests and answers go through it frame by frame, as soon as they
//! would without it, and are read on the way ([`crate::jsonrpc`]); compressed ones are decoded beside them. What never
//! reaches a handler is recorded as well: requests refused with 401, 403, 404, 406 or for malformed JSON. What belongs to
//! an ordinary visit is not: a stream that the server does not offer, a client that looks for the way in. A handler that
//! is wrapped by [`instrument`](crate::instrument) below the layer finds the layer's span and works inside it: one
//! request, one record.
//!
//! A body that cannot be read does not make a call a failure: its HTTP status decides, and the record says why.
//!
//! One HTTP request is an [`Exchange`]; what belongs to one client's visit is a conversation, found again by the
//! session id on the wire ([`Sessions`]).

mod answering;
mod body;
mod decoder;
mod exchange;
mod peer;
mod sessions;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use ipnet::IpNet;
use tower_layer::Layer;
use tower_service::Service;

pub use answering::Answering;
pub use body::{Answer, Question, RequestBody};
use exchange::Exchange;
pub(crate) use exchange::Observed;
pub use exchange::{Abandoned, NotForwarded, Receipt, RequestTrace};
pub(crate) use peer::client_address;
use sessions::Sessions;

use crate::observer::{Carrier, Observer};

/// Records the MCP traffic of an HTTP server. See [`layer`](crate::layer).
#[derive(Clone)]
pub struct TrafficLayer {
    shared: Arc<Shared>,
}

struct Shared {
    observer: Observer,
    sessions: Sessions,
    settings: Settings,
}

/// What its owner said of a layer.
#[derive(Clone, Default)]
struct Settings {
    trusted_proxies: Vec<IpNet>,
    begins_traces: bool,
    /// Below which MCP is spoken, and nothing else. Empty: what is MCP is known by what it says.
    paths: Vec<String>,
}

impl Settings {
    /// Whether what is asked at this path may be of MCP; and whether it is, whatever it says.
    fn takes(&self, path: &str) -> (bool, bool) {
        let is_below = |above: &String| {
            let rest = path.strip_prefix(above.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_mcp = self.paths.iter().any(is_below);
        (self.paths.is_empty() || is_mcp, is_mcp)
    }
}

impl fmt::Debug for TrafficLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TrafficLayer").finish_non_exhaustive()
    }
}

impl TrafficLayer {
    pub(crate) fn new(observer: Observer) -> Self {
        Self {
            shared: Arc::new(Shared {
                sessions: Sessions::new(observer.clone()),
                observer,
                settings: Settings::default(),
            }),
        }
    }

    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        let observer = self.shared.observer.clone();
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        Self {
            shared: Arc::new(Shared {
                sessions: Sessions::new(observer.clone()),
                observer,
                settings,
            }),
        }
    }

    /// Records what is asked at these paths and below them, and takes all of it for MCP: `/mcp` means `/mcp/messages` too,
    /// and `/` everything. Without paths it is found by what it says: messages with `"jsonrpc": "2.0"`, headers of MCP.
    ///
    /// Call it before the layer is used: conversations already under way are forgotten.
    #[must_use]
    pub fn paths<P: Into<String>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        self.set(|settings| settings.paths = paths.into_iter().map(Into::into).collect())
    }

    /// Believes `X-Forwarded-For` of peers in these networks: the client is then the last address in it that is not
    /// in them. Of all other peers the client is the peer itself.
    ///
    /// Call it before the layer is used: conversations already under way are forgotten.
    #[must_use]
    pub fn trusted_proxies(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.set(|settings| settings.trusted_proxies = networks.into_iter().collect())
    }

    /// Leaves a [`RequestTrace`] with each request that may be of JSON-RPC and whose head names no trace, so that what the
    /// server itself tells of it can belong to that of its record. For a proxy, whose service sends the request on; off
    /// unless said.
    ///
    /// Call it before the layer is used, as [`trusted_proxies`](Self::trusted_proxies).
    #[must_use]
    pub fn begins_traces(self, begins_traces: bool) -> Self {
        self.set(|settings| settings.begins_traces = begins_traces)
    }

    /// Ends the requests that are still open, with this reason: the server stops.
    pub fn close(&self, reason: &str) {
        self.shared.sessions.close_all(reason);
    }
}

impl<S> Layer<S> for TrafficLayer {
    type Service = Traffic<S>;

    fn layer(&self, inner: S) -> Traffic<S> {
        Traffic {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

/// A service whose traffic is recorded. Made by [`TrafficLayer`].
#[derive(Clone)]
pub struct Traffic<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> fmt::Debug for Traffic<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Traffic").finish_non_exhaustive()
    }
}

impl<S, Q, A> Service<Request<Q>> for Traffic<S>
where
    S: Service<Request<Q::Watched>, Response = Response<A>>,
    S::Error: fmt::Display,
    Q: RequestBody,
    A: Body<Data = Bytes>,
{
    type Response = Response<Answer<A>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let Some(exchange) = self.shared.exchange(&mut parts) else {
            let request = Request::from_parts(parts, body.unwatched());
            return Answering::new(self.inner.call(request), None);
        };
        parts.extensions.insert(Observed::new(&exchange));
        let body = Q::watched(Question::new(body, Some(exchange.clone())));
        Answering::new(self.inner.call(Request::from_parts(parts, body)), Some(exchange))
    }
}

impl Shared {
    fn exchange(&self, parts: &mut http::request::Parts) -> Option<Exchange> {
        if !self.observer.is_on() {
            return None;
        }
        let (may_be_mcp, is_mcp) = self.settings.takes(parts.uri.path());
        if !may_be_mcp {
            return None;
        }
        let client = client_address(parts, &self.settings.trusted_proxies);
        let carrier = Carrier::http(parts, client);
        // Other requests may be of no record at all.
        let begins_trace = self.settings.begins_traces
            && parts.method == Method::POST
            && exchange::sends_json(&parts.headers)
            && !carrier.is_traced();
        let observer = self.observer.clone();
        let exchange = Exchange::new(observer, &self.sessions, carrier, begins_trace, is_mcp, parts);
        if begins_trace {
            parts.extensions.insert(RequestTrace::new(&exchange));
        }
        Some(exchange)
    }
}
