//! Answers on their way out: written as JSON off the async workers, and held in the process's budget of bytes until they
//! are sent.

use std::io::{self, Write};
use std::ops::Deref;
use std::sync::Arc;

use async_graphql::{Response, ServerError};
use async_graphql_axum::GraphQLResponse;
use axum::body::Bytes;
use axum::response::IntoResponse;
use mcptap_store::{CpuError, CpuPool, MemoryBudget, Reservation, Store};
use serde::Serialize;

use crate::cost::{Allowance, exhausted};
use crate::engine::refused;
use crate::error::Code;

/// Answers that hold more bytes than this are written on a thread for such work.
const LARGE: usize = 128 * 1024;

/// Room is taken in steps of so many bytes.
const STEP: usize = 64 * 1024;

/// An answer, and what it holds.
pub(crate) struct Answer {
    response: Response,
    held: Option<Held>,
    resources: Option<Resources>,
}

/// The memory that the resolvers of an answer hold.
struct Held {
    allowance: Arc<Allowance>,
    /// Whether the next answer is made with the same allowance, when this one is gone.
    event: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.event {
            self.allowance.reset();
        }
    }
}

/// The memory and the threads with which answers are written.
#[derive(Clone)]
pub(crate) struct Resources {
    pub(crate) memory: MemoryBudget,
    pub(crate) cpu: CpuPool,
}

/// An answer as JSON.
pub(crate) struct Written {
    pub(crate) text: Vec<u8>,
    held: Option<Reservation>,
}

impl Resources {
    /// That of a store's process.
    pub(crate) fn of(store: &Store) -> Self {
        Self {
            memory: store.memory().clone(),
            cpu: store.cpu().clone(),
        }
    }
}

impl From<Response> for Answer {
    /// One that holds nothing: nothing was executed.
    fn from(response: Response) -> Self {
        Self {
            response,
            held: None,
            resources: None,
        }
    }
}

impl Deref for Answer {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.response
    }
}

impl Answer {
    /// One that was executed.
    pub(crate) fn new(response: Response, allowance: Arc<Allowance>, resources: Resources) -> Self {
        Self {
            response,
            held: Some(Held {
                allowance,
                event: false,
            }),
            resources: Some(resources),
        }
    }

    /// One of the answers of a subscription.
    pub(crate) fn event(response: Response, allowance: Arc<Allowance>, resources: Resources) -> Self {
        Self {
            response,
            held: Some(Held {
                allowance,
                event: true,
            }),
            resources: Some(resources),
        }
    }

    /// As a response of axum's. The integration of the two writes it as a whole, without a bound: that is for small
    /// answers, which need no room in the budget. It has a place for data also where nothing was executed, which GraphQL
    /// forbids: refusals are written here.
    pub(crate) async fn respond(self) -> Result<axum::response::Response, ServerError> {
        if !refused(&self.response) && self.is_small() {
            return Ok(GraphQLResponse::from(self.response).into_response());
        }
        Ok(self.write().await?.into_bytes().into_response())
    }

    /// Whether it has at most [`STEP`] bytes as JSON. What is larger is left as soon as that is known.
    fn is_small(&self) -> bool {
        let held = self.held.as_ref().map_or(0, |held| held.allowance.held());
        held <= LARGE && serde_json::to_writer(Room(STEP), &self.response).is_ok()
    }

    /// As JSON: without data, not even null, where nothing was executed.
    pub(crate) async fn write(self) -> Result<Written, ServerError> {
        let Self {
            response,
            held,
            resources,
        } = self;
        let Some(Resources { memory, cpu }) = resources else {
            return write(&response, None);
        };
        let written = if held.as_ref().is_some_and(|held| held.allowance.held() > LARGE) {
            let writing = cpu.run(move |_| {
                let written = write(&response, Some(&memory));
                drop(response);
                written
            });
            match writing.await {
                Ok(written) => written,
                Err(CpuError::Full) => Err(Code::ResourceExhausted.refusal(CpuError::Full.to_string())),
                Err(error) => {
                    tracing::error!(%error, "an answer could not be written");
                    Err(Code::Internal.refusal("something went wrong inside the server; its log says what"))
                }
            }
        } else {
            write(&response, Some(&memory))
        };
        drop(held);
        written
    }
}

impl Written {
    /// The same with something before and after it.
    pub(crate) fn between(mut self, before: &str, after: &str) -> Self {
        // Else a text that fills its buffer would get one of twice the size, which the budget does not know.
        self.text.reserve_exact(before.len() + after.len());
        self.text.splice(0..0, before.bytes());
        self.text.extend_from_slice(after.as_bytes());
        self
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes its room, for those who hand the bytes on to somebody who copies them. The room is for both.
    pub(crate) fn room_for_copy(&mut self) -> Result<Option<Reservation>, ServerError> {
        if self.len() > STEP
            && let Some(held) = &mut self.held
        {
            held.grow(self.text.len())
                .map_err(|refused| exhausted(refused).into_server_error(Default::default()))?;
        }
        Ok(self.held.take())
    }

    /// As a body, which holds its bytes until they are sent.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Written {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// An answer that has errors and no data, not even null.
#[derive(Serialize)]
pub(crate) struct Errors<'a> {
    pub(crate) errors: &'a [ServerError],
}

fn write(response: &Response, memory: Option<&MemoryBudget>) -> Result<Written, ServerError> {
    let held = memory.map(|memory| memory.try_reserve(0)).transpose();
    let mut page = Page {
        text: Vec::new(),
        held: held.map_err(|refused| exhausted(refused).into_server_error(Default::default()))?,
    };
    let written = if refused(response) {
        serde_json::to_writer(
            &mut page,
            &Errors {
                errors: &response.errors,
            },
        )
    } else {
        serde_json::to_writer(&mut page, response)
    };
    let Page { text, held } = page;
    match written {
        Ok(()) => Ok(Written { text, held }),
        Err(error) => Err(Code::ResourceExhausted.refusal(error.to_string())),
    }
}

/// Takes so many bytes and keeps none.
struct Room(usize);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len());
        self.0 = left.ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes room before it grows.
struct Page {
    text: Vec<u8>,
    held: Option<Reservation>,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = self.text.len() + bytes.len();
        if wanted > self.text.capacity() {
            let room = wanted.max(self.text.capacity().saturating_mul(3) / 2);
            let room = if room > 1024 {
                room.next_multiple_of(STEP)
            } else {
                1024
            };
            // Small answers need no room: there are only so many operations.
            if room > STEP
                && let Some(held) = &mut self.held
            {
                held.resize(room).map_err(io::Error::other)?;
            }
            self.text.reserve_exact(room - self.text.len());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Value;
    use axum::body::to_bytes;

    use super::*;

    /// Both ways to write an answer give the same bytes; a refusal has no data.
    #[tokio::test]
    async fn small_and_large_answers_are_written_alike() {
        let sizes = [0, 1, STEP - 64, STEP - 11, STEP - 10, STEP, 3 * STEP];
        for size in sizes {
            let response = || Response::new(Value::from("x".repeat(size)));
            let small = Answer::from(response()).is_small();
            assert_eq!(small, size + "{'data':''}".len() <= STEP, "{size}");
            let written = Answer::from(response()).write().await.unwrap();
            let response = Answer::from(response()).respond().await.unwrap();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!(body, written.into_bytes(), "{size}");
        }
        let refusal = Response::from_errors(vec![Code::BadRequest.refusal("no")]);
        let response = Answer::from(refusal).respond().await.unwrap();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(body.starts_with(br#"{"errors":"#), "{body:?}");
    }
}
