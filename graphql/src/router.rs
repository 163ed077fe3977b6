//! `/graphql` over HTTP, as the GraphQL-over-HTTP specification has it: requests by POST, queries also by GET, answered once
//! or with a stream of events; a WebSocket by GET.

use std::convert::Infallible;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};

use async_graphql::ServerError;
use axum::Router;
use axum::body::{Body as HttpBody, Bytes, HttpBody as _};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use futures_util::stream::{iter, once};
use mcptap_store::{Attempts, Gate, Reservation};
use tokio_util::sync::CancellationToken;

use crate::access::{self, Caller, Door, Entry};
use crate::answer::{Answer, Errors};
use crate::ask::{Ask, Body};
use crate::cost::exhausted;
use crate::engine::{Engine, Safety, refused};
use crate::error::Code;
use crate::limits::Limits;
use crate::media::{Accepted, Media, unreadable};
use crate::origin::{self, Origins};
use crate::{Receivers, Schema, events, socket};

/// The methods that are served.
const ALLOW: &str = "GET, HEAD, POST";
/// Of an answer that has data, and errors too ("Partial success" in GraphQL over HTTP).
const PARTIAL: u16 = 294;

/// What the operator, and the rest of the server, decide.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Origins, such as `https://ui.example.org`, whose pages may use the API besides the server's own.
    pub allowed_origins: Vec<String>,
    /// How much clients may ask for.
    pub limits: Limits,
    /// Tells who may ask ([`Store::gate`](mcptap_store::Store::gate)); `None`: everybody.
    pub gate: Option<Gate>,
    /// Whether only programs of this machine reach the API: then they may change things also while no key exists.
    pub local: bool,
    /// Where OTLP is received beside the API, which the API tells; `None`: it does not say.
    pub receivers: Option<Receivers>,
    /// Counts wrong keys of WebSockets, of which HTTP tells nothing; whoever serves the router counts the others.
    pub attempts: Attempts,
    /// Ends all WebSockets, with a close frame that tells clients to come back, and all streams of events.
    pub shutdown: CancellationToken,
}

/// What stands behind the door. Nothing is asked of it but through [`Server::asked_by`].
#[derive(Clone)]
struct Server {
    engine: Engine,
    shutdown: CancellationToken,
}

/// The same for somebody who was let in.
struct Asked {
    engine: Engine,
    shutdown: CancellationToken,
}

impl Server {
    /// Without a caller nothing is asked, however the request came here.
    fn asked_by(self, parts: &Parts) -> Option<Asked> {
        let caller = parts.extensions.get::<Caller>()?;
        Some(Asked {
            engine: self.engine.at(peer(parts)).on_behalf_of(caller.clone()),
            shutdown: self.shutdown,
        })
    }
}

/// Where a request comes from, if the listener says so.
fn peer(parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(address)| address.ip())
}

/// `/graphql`: POST for requests, GET for queries and for WebSockets that speak `graphql-transport-ws`.
pub fn router(schema: Schema, options: Options) -> Router {
    let origins = Origins::new(&options.allowed_origins);
    let door = Door {
        gate: options.gate,
        local: options.local,
        attempts: options.attempts,
    };
    let server = Server {
        engine: Engine::new(schema, options.limits).telling(options.receivers),
        shutdown: options.shutdown,
    };
    Router::new()
        .route("/graphql", get(open).post(post).fallback(other_method))
        .layer(from_fn_with_state(door, access::admit))
        .layer(from_fn_with_state(origins, origin::guard))
        .with_state(server)
}

async fn other_method() -> Response {
    refuse(&Code::MethodNotAllowed.refusal(format!("the methods here are {ALLOW}")))
}

/// A WebSocket, when one is asked for; else a query in the URL.
async fn open(State(server): State<Server>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    // Only a request that becomes a WebSocket has an entry.
    if let Some(entry) = parts.extensions.remove::<Entry>() {
        access::in_one_line(&mut parts.headers);
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => {
                let engine = server.engine.at(peer(&parts));
                socket::upgrade(upgrade, engine, entry, server.shutdown)
            }
            Err(refusal) => refusal.into_response(),
        };
    }
    let Some(server) = server.asked_by(&parts) else {
        return access::unknown(&parts.headers);
    };
    let Some(accepted) = Accepted::of(&parts.headers) else {
        return not_acceptable();
    };
    match Ask::from_url(&parts.uri) {
        Ok(ask) => one(&server, &parts, accepted, ask, Safety::ReadOnly).await,
        Err(refusal) => refuse(&refusal),
    }
}

/// One request, or a few. That only JSON is taken also keeps forms of foreign pages out, which are sent without asking
/// first.
async fn post(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(server) = server.asked_by(&parts) else {
        return access::unknown(&parts.headers);
    };
    let Some(accepted) = Accepted::of(&parts.headers) else {
        return not_acceptable();
    };
    if let Some(why) = unreadable(&parts.headers) {
        return refuse(&Code::UnsupportedMediaType.refusal(why));
    }
    // Its bytes are held until it is answered, or its answers begin.
    let (read, _held) = match read(body, &server.engine).await {
        Ok((bytes, held)) => (Body::read(&bytes, server.engine.limits()), Some(held)),
        Err(refusal) => (Err(refusal), None),
    };
    match read {
        Ok(Body::One(ask)) => one(&server, &parts, accepted, ask, Safety::Any).await,
        Ok(Body::Many(asks)) => many(&server, accepted, asks).await,
        Err(refusal) => refuse(&refusal),
    }
}

async fn one(server: &Asked, parts: &Parts, accepted: Accepted, ask: Ask, safety: Safety) -> Response {
    let Asked { engine, shutdown } = server;
    let place = events::place(&parts.headers);
    let media = accepted.single();
    let answers = match engine.prepare(ask, safety).await {
        Ok(ready) if media == Media::Events || ready.is_subscription() && accepted.events() => {
            engine.answers(ready, place.clone())
        }
        Ok(ready) => return single(media, engine.answer(ready).await).await,
        Err(refusal) if media == Media::Events => once(ready(refusal)).boxed(),
        Err(refusal) => return single(media, refusal).await,
    };
    events::respond(answers, place, shutdown.clone())
}

/// One after the other: a batch takes no more of the server than a single request does.
async fn many(server: &Asked, accepted: Accepted, asks: Vec<Ask>) -> Response {
    let media = accepted.single();
    if media == Media::Events {
        let message = "a batch is not answered with events: send its requests one by one";
        return refuse(&Code::BadRequest.refusal(message));
    }
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        let answer = match server.engine.prepare(ask, Safety::Any).await {
            Ok(ready) => server.engine.answer(ready).await,
            Err(refusal) => refusal,
        };
        answers.push(match answer.write().await {
            Ok(written) => written.into_bytes(),
            Err(refusal) => refusal_text(&refusal).into(),
        });
    }
    // Each is sent from where it was written.
    let between = (0..answers.len()).map(|at| Bytes::from_static(if at == 0 { b"[" } else { b"," }));
    let parts = between.zip(answers).flat_map(|(before, answer)| [before, answer]);
    let parts = parts.chain([Bytes::from_static(b"]")]).map(Ok::<_, Infallible>);
    let body = HttpBody::from_stream(iter(parts.collect::<Vec<_>>()));
    with(about(media), (StatusCode::OK, body).into_response())
}

/// An answer over HTTP. Clients that take only the older media type can trust a body only where the status is 2xx; other
/// bodies always say by their type that they are GraphQL's.
async fn single(media: Media, answer: Answer) -> Response {
    let refused = refused(&answer);
    let code = answer.errors.first().map(Code::of);
    let mut response = match answer.respond().await {
        Ok(response) => response,
        Err(refusal) => return refuse(&refusal),
    };
    match code {
        None => with(about(media), response),
        Some(code) if refused => {
            let status = code.status();
            *response.status_mut() = status;
            let media = if status.is_success() {
                media
            } else {
                Media::GraphQl
            };
            with_hints(code, with(about(media), response))
        }
        Some(_) => {
            *response.status_mut() = StatusCode::from_u16(PARTIAL).unwrap_or(StatusCode::OK);
            with(about(media), response)
        }
    }
}

/// The whole body, and the room that it takes: twice its size while its parts are put together.
async fn read(body: HttpBody, engine: &Engine) -> Result<(Vec<u8>, Reservation), ServerError> {
    let limits = engine.limits();
    let max = limits.max_request().saturating_mul(limits.max_batch.max(1));
    let refusal = || {
        let message = format!("a request may have {max} bytes, and must arrive whole");
        Code::RequestTooLarge.refusal(message)
    };
    // Refused before its first byte.
    if body.size_hint().lower() > max as u64 {
        return Err(refusal());
    }
    let mut held = engine.memory()?.hold_nothing();
    let (mut parts, mut bytes) = (Vec::new(), 0_usize);
    let mut stream = body.into_data_stream();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|_| refusal())?;
        bytes = bytes.saturating_add(part.len());
        if bytes > max {
            return Err(refusal());
        }
        held.resize(bytes.saturating_mul(2))
            .map_err(|refused| exhausted(refused).into_server_error(Default::default()))?;
        parts.push(part);
    }
    Ok((parts.concat(), held))
}

fn not_acceptable() -> Response {
    refuse(
        &Code::NotAcceptable.refusal(
            "answers come as application/graphql-response+json, application/json or text/event-stream",
        ),
    )
}

/// Says why a request is not executed, in GraphQL's own form.
pub(crate) fn refuse(refusal: &ServerError) -> Response {
    let code = Code::of(refusal);
    with_hints(
        code,
        respond(code.status(), Media::GraphQl, refusal_text(refusal).into()),
    )
}

/// What HTTP wants said with some statuses.
fn with_hints(code: Code, mut response: Response) -> Response {
    let hint = match code.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, ALLOW)),
        StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "1")),
        _ => None,
    };
    response
        .headers_mut()
        .extend(hint.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

fn respond(status: StatusCode, media: Media, body: Bytes) -> Response {
    with(about(media), (status, body).into_response())
}

/// Sets headers, in place of those of these names.
fn with(headers: [(HeaderName, HeaderValue); 2], mut response: Response) -> Response {
    for (name, value) in headers {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The headers of every answer that is not a stream.
fn about(media: Media) -> [(HeaderName, HeaderValue); 2] {
    [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(media.content_type()),
        ),
        // What is true now may not be true a moment later.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

/// An answer that has a refusal and nothing else, as JSON.
pub(crate) fn refusal_text(refusal: &ServerError) -> Vec<u8> {
    let errors = std::slice::from_ref(refusal);
    serde_json::to_vec(&Errors { errors }).unwrap_or_default()
}
