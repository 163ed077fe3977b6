//! GraphQL over Server-Sent Events, one connection an operation ("distinct connections mode"). For those whom a proxy lets
//! open no WebSocket. Each event of the feed has its cursor for an `id`, so that a client that connects again with
//! `Last-Event-ID` goes on where it was, which browsers do by themselves.

use std::convert::Infallible;
use std::time::Duration;

use async_stream::stream;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::error::is_of_outage;
use crate::media::Media;
use crate::resume::Place;
use crate::router::refusal_text;

/// How often silence is broken by a comment, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The comment.
const ALIVE: Bytes = Bytes::from_static(b":\n\n");
/// What stands after an answer.
const END: &str = "\n\n";
/// The last event of an operation. Browsers pass on only events that have data, be it empty.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata: \n\n");

/// Where the client says that it was when it lost the connection.
pub(crate) fn place(headers: &HeaderMap) -> Place {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    Place::after(last.filter(|id| !id.is_empty()).map(str::to_owned))
}

/// One event for each answer, and one at the end. `place` is where the last answer ended.
pub(crate) fn respond(
    mut answers: BoxStream<'static, Answer>,
    place: Place,
    shutdown: CancellationToken,
) -> Response {
    let events = stream! {
        // The end of an operation is told; that of the server, or of its database, is not, so that clients come back.
        let mut away = false;
        while let Some(next) = shutdown.run_until_cancelled(timeout(KEEP_ALIVE, answers.next())).await {
            match next {
                Ok(Some(answer)) => {
                    let head = head(place.take());
                    away = is_of_outage(&answer);
                    match answer.write().await {
                        // An event keeps its memory until it is sent.
                        Ok(written) => yield Ok::<_, Infallible>(written.between(&head, END).into_bytes()),
                        Err(refusal) => {
                            let text = refusal_text(&refusal);
                            yield Ok([head.as_bytes(), &text, END.as_bytes()].concat().into());
                            yield Ok(COMPLETE);
                            break;
                        }
                    }
                }
                Ok(None) => {
                    if !away {
                        yield Ok(COMPLETE);
                    }
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

/// What stands before an answer, which is on one line as JSON is: where the feed goes on after it.
fn head(cursor: Option<String>) -> String {
    let cursor = cursor.map_or_else(String::new, |cursor| format!("id: {cursor}\n"));
    format!("event: next\n{cursor}data: ")
}
