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

mod body;
mod decoder;
mod exchange;
mod peer;
mod sessions;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use ipnet::IpNet;
use tower_layer::Layer;
use tower_service::Service;

pub use body::{Answer, Question};
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
    trusted_proxies: Vec<IpNet>,
    begins_traces: bool,
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
                trusted_proxies: Vec::new(),
                begins_traces: false,
            }),
        }
    }

    /// Believes `X-Forwarded-For` of peers in these networks: the client is then the last address in it that is not
    /// in them. Of all other peers the client is the peer itself.
    ///
    /// Call it before the layer is used: conversations already under way are forgotten.
    #[must_use]
    pub fn trusted_proxies(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            shared: Arc::new(Shared {
                sessions: Sessions::new(self.shared.observer.clone()),
                observer: self.shared.observer.clone(),
                trusted_proxies: networks.into_iter().collect(),
                begins_traces: self.shared.begins_traces,
            }),
        }
    }

    /// Leaves a [`RequestTrace`] with each request that may be of JSON-RPC and whose head names no trace, so that what the
    /// server itself tells of it can belong to that of its record. For a proxy, whose service sends the request on; off
    /// unless said.
    ///
    /// Call it before the layer is used, as [`trusted_proxies`](Self::trusted_proxies).
    #[must_use]
    pub fn begins_traces(self, begins_traces: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                sessions: Sessions::new(self.shared.observer.clone()),
                observer: self.shared.observer.clone(),
                trusted_proxies: self.shared.trusted_proxies.clone(),
                begins_traces,
            }),
        }
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
    S: Service<Request<Question<Q>>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: fmt::Display,
    Q: Body<Data = Bytes> + Send + 'static,
    A: Body<Data = Bytes>,
{
    type Response = Response<Answer<A>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let exchange = self.shared.exchange(&mut parts);
        if let Some(exchange) = &exchange {
            parts.extensions.insert(Observed::new(exchange));
        }
        let body = Question::new(body, exchange.clone());
        // Dropped before there is an answer, when the client goes away: the exchange hears of it.
        let waiting = exchange::Waiting::new(exchange.clone());
        let answering = self.inner.call(Request::from_parts(parts, body));
        Box::pin(async move {
            match answering.await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    if let Some(exchange) = &exchange {
                        exchange.answer_begins(&parts);
                    }
                    waiting.over();
                    Ok(Response::from_parts(parts, Answer::new(body, exchange)))
                }
                Err(error) => {
                    if let Some(exchange) = &exchange {
                        exchange.failed(&error.to_string());
                    }
                    waiting.over();
                    Err(error)
                }
            }
        })
    }
}

impl Shared {
    fn exchange(&self, parts: &mut http::request::Parts) -> Option<Exchange> {
        if !self.observer.is_on() {
            return None;
        }
        let client = client_address(parts, &self.trusted_proxies);
        let carrier = Carrier::http(parts, client);
        // Other requests may be of no record at all.
        let begins_trace = self.begins_traces
            && parts.method == Method::POST
            && exchange::sends_json(&parts.headers)
            && !carrier.is_traced();
        let observer = self.observer.clone();
        let exchange = Exchange::new(observer, &self.sessions, carrier, begins_trace, parts);
        if begins_trace {
            parts.extensions.insert(RequestTrace::new(&exchange));
        }
        Some(exchange)
    }
}
