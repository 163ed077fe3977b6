//! Bodies on their way: one chunk at a time, as fast as the reader takes them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::expect::Opener;
use super::half_close::Exchange;

pub(super) use crate::listen::BoxError;

/// A body of either direction.
pub(super) type Streamed = UnsyncBoxBody<Bytes, BoxError>;

/// The body of an answer, from upstream to the client.
pub(super) struct Answer<B> {
    body: B,
    /// Ends an endless stream of events when the proxy stops.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// A failure that waits until what came before it has been written.
    broken: Option<BoxError>,
    /// The length that the headers tell is not that of the body, which is empty (304).
    told_length_only: bool,
    exchange: Exchange,
    /// Opens when the answer is through, and not before.
    _gate: Option<Opener>,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, exchange: Exchange, gate: Option<Opener>) -> Self {
        Self {
            body,
            exchange,
            _gate: gate,
            stop: None,
            broken: None,
            told_length_only: false,
        }
    }

    /// Ends cleanly when the proxy stops.
    pub(super) fn until(mut self, stop: WaitForCancellationFutureOwned) -> Self {
        self.stop = Some(Box::pin(stop));
        self
    }

    /// Does not say that it is empty, because a told length would be dropped then.
    pub(super) fn told_length_only(mut self) -> Self {
        self.told_length_only = true;
        self
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(stop) = &mut self.stop
            && stop.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Err(error))) => {
                // An error ends the client's connection at once, so the writer gets a turn to send what it has.
                self.broken = Some(error.into());
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                self.exchange.poll(context, true);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && !self.told_length_only && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.told_length_only {
            SizeHint::default()
        } else {
            self.body.size_hint()
        }
    }
}
