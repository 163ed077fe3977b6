//! GraphQL over Server-Sent Events, one connection an operation ("distinct connections mode"). For those whom a proxy lets
//! open no WebSocket. Each event of the feed has its cursor for an `id`, so that a client that connects again with
//! `Last-Event-ID` goes on where it was, which browsers do by themselves.

use std::convert::Infallible;
use std::time::Duration;

use async_graphql::Response as Answer;
use async_stream::stream;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ask::Ask;
use crate::engine::{Engine, Safety};
use crate::media::Media;
use crate::resume::Place;
use crate::router::text;

/// How often silence is broken by a comment, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The comment.
const ALIVE: Bytes = Bytes::from_static(b":\n\n");
/// The last event of an operation. Browsers pass on only events that have data, be it empty.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata: \n\n");

/// One event for each answer, and one at the end.
pub(crate) async fn answer(
    engine: &Engine,
    ask: Ask,
    safety: Safety,
    headers: &HeaderMap,
    shutdown: CancellationToken,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let place = Place::after(last.filter(|id| !id.is_empty()).map(str::to_owned));
    let mut answers = engine.stream(ask, safety, place.clone()).await;
    let events = stream! {
        // The end of an operation is told; that of the server is not, so that clients come back.
        while let Some(next) = shutdown.run_until_cancelled(timeout(KEEP_ALIVE, answers.next())).await {
            match next {
                Ok(Some(answer)) => yield Ok::<_, Infallible>(event(&answer, place.take())),
                Ok(None) => {
                    yield Ok(COMPLETE);
                    break;
                }
                Err(_) => yield Ok(ALIVE),
            }
        }
    };
    let headers = [
        (header::CONTENT_TYPE.as_str(), Media::Events.content_type()),
        (header::CACHE_CONTROL.as_str(), "no-store"),
        // Tells nginx, and what behaves like it, to pass each event on at once.
        ("x-accel-buffering", "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// An answer, on one line as JSON is, and where the feed goes on after it.
fn event(answer: &Answer, cursor: Option<String>) -> Bytes {
    let mut event = b"event: next\n".to_vec();
    if let Some(cursor) = cursor {
        event.extend_from_slice(format!("id: {cursor}\n").as_bytes());
    }
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(&text(answer));
    event.extend_from_slice(b"\n\n");
    event.into()
}
