//! `/graphql` over HTTP, as the GraphQL-over-HTTP specification has it: requests by POST, queries also by GET, answered once
//! or with a stream of events; a WebSocket by GET.

use std::sync::Arc;

use async_graphql::{Response as Answer, ServerError};
use axum::Router;
use axum::body::{Body as HttpBody, Bytes, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::ask::{Ask, Body};
use crate::engine::{Engine, Safety, refused};
use crate::error::Code;
use crate::limits::Limits;
use crate::media::{Media, unreadable};
use crate::{Schema, events, origin, socket};

/// How large a request may be, in bytes.
const MAX_BODY: usize = 1024 * 1024;
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
    /// Ends all WebSockets, with a close frame that tells clients to come back, and all streams of events.
    pub shutdown: CancellationToken,
}

#[derive(Clone)]
struct Server {
    engine: Engine,
    shutdown: CancellationToken,
}

/// `/graphql`: POST for requests, GET for queries and for WebSockets that speak `graphql-transport-ws`.
pub fn router(schema: Schema, options: Options) -> Router {
    let allowed: origin::Allowed = Arc::from(options.allowed_origins);
    let server = Server {
        engine: Engine::new(schema, options.limits),
        shutdown: options.shutdown,
    };
    Router::new()
        .route("/graphql", get(open).post(post).fallback(other_method))
        .layer(from_fn_with_state(allowed, origin::guard))
        .with_state(server)
}

async fn other_method() -> Response {
    refuse(&Code::MethodNotAllowed.refusal(format!("the methods here are {ALLOW}")))
}

/// A WebSocket, when one is asked for; else a query in the URL.
async fn open(State(server): State<Server>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let upgrade = parts
        .headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok());
    if upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => socket::upgrade(upgrade, server.engine, server.shutdown),
            Err(refusal) => refusal.into_response(),
        };
    }
    let Some(media) = Media::accepted(&parts.headers) else {
        return not_acceptable();
    };
    match Ask::from_url(&parts.uri) {
        Ok(ask) => answer(server, &parts, media, Body::One(ask), Safety::ReadOnly).await,
        Err(refusal) => refuse(&refusal),
    }
}

/// One request, or a few. That only JSON is taken also keeps forms of foreign pages out, which are sent without asking
/// first.
async fn post(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(media) = Media::accepted(&parts.headers) else {
        return not_acceptable();
    };
    if let Some(why) = unreadable(&parts.headers) {
        return refuse(&Code::UnsupportedMediaType.refusal(why));
    }
    let read = match read(body).await {
        Ok(bytes) => Body::read(&bytes, server.engine.limits()),
        Err(refusal) => Err(refusal),
    };
    match read {
        Ok(body) => answer(server, &parts, media, body, Safety::Any).await,
        Err(refusal) => refuse(&refusal),
    }
}

async fn answer(server: Server, parts: &Parts, media: Media, body: Body, safety: Safety) -> Response {
    let Server { engine, shutdown } = server;
    match (media, body) {
        (Media::Events, Body::One(ask)) => {
            events::answer(&engine, ask, safety, &parts.headers, shutdown).await
        }
        (Media::Events, Body::Many(_)) => refuse(
            &Code::BadRequest.refusal("a batch is not answered with events: send its requests one by one"),
        ),
        (_, Body::One(ask)) => once(media, &engine.execute(ask, safety).await),
        (_, Body::Many(asks)) => {
            // One after the other: a batch takes no more of the server than a single request does.
            let mut answers = Vec::with_capacity(asks.len());
            for ask in asks {
                answers.push(text(&engine.execute(ask, safety).await));
            }
            let list = [b"[".as_slice(), &answers.join(b",".as_slice()), b"]"].concat();
            respond(StatusCode::OK, media, list)
        }
    }
}

/// An answer over HTTP. Clients that take only the older media type can trust a body only where the status is 2xx; other
/// bodies always say by their type that they are GraphQL's.
fn once(media: Media, answer: &Answer) -> Response {
    if refused(answer) {
        let code = answer.errors.first().map_or(Code::Internal, Code::of);
        return with_hints(code, respond(code.status(), Media::GraphQl, text(answer)));
    }
    let status = if answer.errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::from_u16(PARTIAL).unwrap_or(StatusCode::OK)
    };
    respond(status, media, text(answer))
}

async fn read(body: HttpBody) -> Result<Bytes, ServerError> {
    to_bytes(body, MAX_BODY).await.map_err(|_| {
        Code::RequestTooLarge.refusal(format!(
            "a request may have {MAX_BODY} bytes, and must arrive whole"
        ))
    })
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
    let errors = std::slice::from_ref(refusal);
    with_hints(
        code,
        respond(code.status(), Media::GraphQl, json(&Errors { errors })),
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

fn respond(status: StatusCode, media: Media, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media.content_type()),
        // What is true now may not be true a moment later.
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: &'a [ServerError],
}

/// An answer as JSON: without data, not even null, where nothing was executed.
pub(crate) fn text(answer: &Answer) -> Vec<u8> {
    if refused(answer) {
        json(&Errors {
            errors: &answer.errors,
        })
    } else {
        json(answer)
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
