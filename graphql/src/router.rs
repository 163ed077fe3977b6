//! `/graphql` over HTTP: one request by POST, answered once or with a stream of events; a WebSocket or a page for the
//! browser by GET.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use async_graphql::Request;
use async_graphql_axum::GraphQLResponse;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::StreamExt;
use futures_util::stream::once;
use mcptap_store::Gate;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::access::{self, Caller, Door, Entry};
use crate::error::Code;
use crate::{Schema, document, origin, socket};

/// How large a request may be, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// What every GraphQL client understands.
const JSON: &str = "application/json";
/// What newer ones ask for: with it, the HTTP status tells whether anything was executed.
const GRAPHQL: &str = "application/graphql-response+json";
/// What asks for a stream of answers: GraphQL over Server-Sent Events, one connection an operation.
const EVENTS: &str = "text/event-stream";

/// What the operator, and the rest of the server, decide.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Origins, such as `https://ui.example.org`, whose pages may use the API besides the server's own.
    pub allowed_origins: Vec<String>,
    /// Tells who may ask ([`Store::gate`](mcptap_store::Store::gate)); `None`: everybody.
    pub gate: Option<Gate>,
    /// Whether only programs of this machine reach the API: then they may change things also while no key exists.
    pub local: bool,
    /// Ends all WebSockets, with a close frame that tells clients to come back, and all streams of events.
    pub shutdown: CancellationToken,
}

#[derive(Clone)]
struct Server {
    schema: Schema,
    shutdown: CancellationToken,
}

/// `/graphql`: POST for a query, GET for WebSockets that speak `graphql-transport-ws`.
pub fn router(schema: Schema, options: Options) -> Router {
    let allowed: origin::Allowed = Arc::from(options.allowed_origins);
    let door = Door {
        gate: options.gate,
        local: options.local,
    };
    let server = Server {
        schema,
        shutdown: options.shutdown,
    };
    Router::new()
        .route("/graphql", get(open).post(answer))
        .layer(from_fn_with_state(door, access::admit))
        .layer(from_fn_with_state(allowed, origin::guard))
        .with_state(server)
}

/// A WebSocket, when one is asked for.
async fn open(
    State(server): State<Server>,
    entry: Option<Extension<Entry>>,
    request: HttpRequest,
) -> Response {
    let upgrade = request
        .headers()
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok());
    if upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
        && let Some(Extension(entry)) = entry
    {
        let (mut parts, _) = request.into_parts();
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => socket::upgrade(upgrade, server.schema, entry, server.shutdown),
            Err(refusal) => refusal.into_response(),
        };
    }
    let refusal = refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        "send queries with POST, or open a WebSocket",
    );
    ([(header::ALLOW, "POST")], refusal).into_response()
}

/// One request, and one answer or a stream of them. That only JSON is taken also keeps forms of foreign pages out,
/// which are sent without asking first.
async fn answer(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    request: HttpRequest,
) -> Response {
    let Some(media) = answer_media(request.headers()) else {
        return refuse(
            StatusCode::NOT_ACCEPTABLE,
            &format!("answers come as {GRAPHQL}, {JSON} or {EVENTS}"),
        )
        .into_response();
    };
    let sent = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok())
        .unwrap_or_default();
    if !essence(sent).eq_ignore_ascii_case(JSON) {
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!("send the request as {JSON}"),
        )
        .into_response();
    }
    let body = match read(request.into_body()).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            let message = format!(
                "the body is no single GraphQL request ({{\"query\": …, \"variables\": …}}): {error}"
            );
            return refuse(StatusCode::BAD_REQUEST, &message).into_response();
        }
    };
    let request = request.data(caller);
    if media == EVENTS {
        return events(&server, request);
    }
    let response = document::execute(&server.schema, request).await;
    if document::refused(&response) {
        let status = if media == GRAPHQL {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        return Refusal {
            status,
            media,
            body: json(&Errors {
                errors: &response.errors,
            }),
        }
        .into_response();
    }
    // The response is always of the newer type; what an older client accepts is the same under another name.
    let mut answer = GraphQLResponse::from(response).into_response();
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

/// One event for each answer, and one at the end. For those whom a proxy lets open no WebSocket.
fn events(server: &Server, request: Request) -> Response {
    let shutdown = server.shutdown.clone().cancelled_owned();
    let answers = document::stream(&server.schema, request).map(|response| {
        let body = if document::refused(&response) {
            json(&Errors {
                errors: &response.errors,
            })
        } else {
            json(&response)
        };
        Event::default()
            .event("next")
            .data(String::from_utf8_lossy(&body))
    });
    // The end of an operation is told; that of the server is not, so that clients come back.
    let end = once(ready(Event::default().event("complete")));
    let events = answers.chain(end).take_until(shutdown).map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    to_bytes(body, MAX_BODY).await.map_err(|_| {
        refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("a request may have {MAX_BODY} bytes, and must arrive whole"),
        )
    })
}

/// The media type of the answer; `None` when the client takes neither.
fn answer_media(headers: &HeaderMap) -> Option<&'static str> {
    let accepts: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let accepts = |media: &str| {
        accepts
            .iter()
            .flat_map(|list| list.split(','))
            .any(|item| essence(item).eq_ignore_ascii_case(media))
    };
    let anything = !headers.contains_key(header::ACCEPT);
    if accepts(EVENTS) {
        Some(EVENTS)
    } else if accepts(GRAPHQL) {
        Some(GRAPHQL)
    } else {
        (anything || accepts(JSON) || accepts("application/*") || accepts("*/*")).then_some(JSON)
    }
}

/// A media type without its parameters.
fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: &'a [async_graphql::ServerError],
}

/// An answer to what was not executed.
pub(crate) struct Refusal {
    status: StatusCode,
    media: &'static str,
    body: Vec<u8>,
}

/// Says why a request is no GraphQL request, in GraphQL's own form.
pub(crate) fn refuse(status: StatusCode, message: &str) -> Refusal {
    let errors = [Code::BadRequest.refusal(message)];
    Refusal {
        status,
        media: JSON,
        body: json(&Errors { errors: &errors }),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, self.media)], self.body).into_response()
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
