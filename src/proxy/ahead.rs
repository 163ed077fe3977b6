//! Bodies that are read ahead of the head: a client may name its trace in the body alone, and what upstream is told of it stands in
//! the head. What takes long or is large goes on as it comes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{BoxError, Streamed};

/// The memory that a frame takes beside its bytes: bodies may come in frames of a byte each.
const FRAME: usize = size_of::<Read>();
/// How much is read ahead of one body, in bytes: as much as is recorded of it by default.
const MOST: usize = 1 << 20;
/// How much is read ahead of all bodies at once, in bytes.
const ROOM: usize = 64 << 20;
/// How long is waited for the end of a body. Clients send a message at once.
const PATIENCE: Duration = Duration::from_secs(1);

type Read = Result<Frame<Bytes>, BoxError>;

fn length(frame: &Read) -> usize {
    let data = frame.as_ref().ok().and_then(Frame::data_ref);
    data.map_or(0, Bytes::len)
}

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
                let bytes = length(&frame);
                ahead.bytes = ahead.bytes.saturating_add(bytes);
                ahead.read.push_back(frame);
                let taken = ahead.bytes.saturating_add(ahead.read.len() * FRAME);
                if failed || taken > MOST || !self.reserve(&mut ahead.held, bytes + FRAME) {
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
    read: VecDeque<Read>,
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
            self.bytes = self.bytes.saturating_sub(length(&frame));
            if self.read.is_empty() {
                self.held = None;
            }
            return Poll::Ready(Some(frame));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        Pin::new(rest).poll_frame(context)
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

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    /// So many frames of a byte each.
    fn bytes(count: usize) -> Streamed {
        let frames = (0..count).map(|_| Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x"))));
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    }

    #[tokio::test]
    async fn small_frames_take_their_memory_too() {
        let room = Room::new();
        let ahead = room.read(bytes(100_000)).await;
        assert!(
            ahead.rest.is_some() && ahead.read.len() <= 2 + MOST / FRAME,
            "{}",
            ahead.read.len()
        );
        assert!(room.0.available_permits() <= ROOM - (ahead.read.len() - 1) * FRAME);
        // Nothing of it is lost, and the room is free again.
        assert_eq!(ahead.collect().await.unwrap().to_bytes().len(), 100_000);
        assert_eq!(room.0.available_permits(), ROOM);
    }

    #[tokio::test]
    async fn a_body_that_is_small_is_read_to_its_end() {
        let body = Full::new(Bytes::from_static(b"{}")).map_err(|never| match never {});
        let ahead = Room::new().read(body.boxed_unsync()).await;
        assert!(ahead.rest.is_none());
        assert_eq!(ahead.size_hint().exact(), Some(2));
        assert_eq!(ahead.collect().await.unwrap().to_bytes(), "{}");
    }
}
