//! Bodies that are read ahead of the head: a client may name its trace in the body alone, and what upstream is told of it stands in
//! the head. What takes long or is large goes on as it comes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{BoxError, Streamed};

/// How much is read ahead of one body, in bytes: as much as is recorded of it by default.
const MOST: usize = 1 << 20;
/// How much is read ahead of all bodies at once, in bytes.
const ROOM: usize = 64 << 20;
/// How long is waited for the end of a body. Clients send a message at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// The memory for what is read ahead.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }

    /// Reads a body to its end, as far as there is room and time. Everything is still to come of the body that is returned; if
    /// it came to its end, whoever looks on has seen all of it.
    pub(super) async fn read(&self, body: Streamed) -> ReadAhead {
        let mut ahead = ReadAhead {
            read: VecDeque::new(),
            bytes: 0,
            rest: Some(body),
            held: None,
        };
        let reading = async {
            while let Some(rest) = &mut ahead.rest {
                let frame = poll_fn(|context| Pin::new(&mut *rest).poll_frame(context)).await;
                let Some(frame) = frame else {
                    ahead.rest = None;
                    break;
                };
                let failed = frame.is_err();
                let bytes = frame
                    .as_ref()
                    .ok()
                    .and_then(Frame::data_ref)
                    .map_or(0, Bytes::len);
                ahead.bytes = ahead.bytes.saturating_add(bytes);
                ahead.read.push_back(frame);
                if failed || ahead.bytes > MOST || !self.reserve(&mut ahead.held, bytes) {
                    break;
                }
            }
        };
        // Out of time, it goes on as it comes.
        let _ended = tokio::time::timeout(PATIENCE, reading).await;
        ahead
    }

    fn reserve(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else {
            return false;
        };
        let Ok(more) = Arc::clone(&self.0).try_acquire_many_owned(bytes) else {
            return false;
        };
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        true
    }
}

/// A body of which the beginning was read, or all of it.
pub(super) struct ReadAhead {
    read: VecDeque<Result<Frame<Bytes>, BoxError>>,
    /// The bytes in it.
    bytes: usize,
    /// None at its end.
    rest: Option<Streamed>,
    /// The room that it takes.
    held: Option<OwnedSemaphorePermit>,
}

impl Body for ReadAhead {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.read.pop_front() {
            let data = frame.as_ref().ok().and_then(Frame::data_ref);
            self.bytes -= data.map_or(0, Bytes::len).min(self.bytes);
            if self.read.is_empty() {
                self.held = None;
            }
            return Poll::Ready(Some(frame));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(rest).poll_frame(context));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self
            .rest
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let read = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint.set_lower(rest.lower().saturating_add(read));
        hint
    }
}
