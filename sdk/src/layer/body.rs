//! Bodies that are read while they pass: the request's and the answer's. Frames go through untouched.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::exchange::{Exchange, Left};

/// How much of a request is read that its server refused without reading it, in bytes.
const UNREAD: usize = 64 * 1024;
/// How long is waited for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request's body, on its way to the server.
#[derive(Debug)]
pub struct Question<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    /// There until the body was dropped.
    inner: Option<Pin<Box<B>>>,
    exchange: Option<Exchange>,
    ended: bool,
}

impl<B: Body<Data = Bytes> + Send + 'static> Question<B> {
    pub(super) fn new(inner: B, exchange: Option<Exchange>) -> Self {
        let mut body = Self {
            inner: Some(Box::pin(inner)),
            exchange,
            ended: false,
        };
        body.look_for_the_end();
        body
    }

    /// Servers need not ask for the end of a body that says itself that it is over.
    fn look_for_the_end(&mut self) {
        if self.inner.as_ref().is_some_and(|inner| inner.is_end_stream()) {
            self.end();
        }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true)
            && let Some(exchange) = &self.exchange
        {
            exchange.request_ended();
        }
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> Body for Question<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(inner.as_mut().poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(exchange), Some(bytes)) = (&self.exchange, frame.data_ref()) {
                    exchange.request(bytes);
                }
                self.look_for_the_end();
            }
            Some(Err(_)) | None => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, |inner| inner.size_hint())
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> Drop for Question<B> {
    /// A server that refuses a request need not read it. What it asked for is read here then, after the refusal is on
    /// its way, within bounds.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (Some(mut inner), Some(exchange)) = (self.inner.take(), self.exchange.clone()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return exchange.request_ended();
        };
        runtime.spawn(async move {
            let reading = async {
                let mut read = 0;
                while read < UNREAD
                    && let Some(Ok(frame)) =
                        std::future::poll_fn(|context| inner.as_mut().poll_frame(context)).await
                {
                    if let Some(bytes) = frame.data_ref() {
                        exchange.request(bytes);
                        read += bytes.len();
                    }
                }
            };
            // Late is as good as never: the record is made of what there is.
            let _late = tokio::time::timeout(PATIENCE, reading).await;
            exchange.request_ended();
        });
    }
}

/// An answer's body, on its way to the client.
#[derive(Debug)]
pub struct Answer<B> {
    inner: Pin<Box<B>>,
    exchange: Option<Exchange>,
}

impl<B: Body<Data = Bytes>> Answer<B> {
    pub(super) fn new(inner: B, exchange: Option<Exchange>) -> Self {
        let mut body = Self {
            inner: Box::pin(inner),
            exchange,
        };
        if body.inner.is_end_stream() {
            body.end(Left::Complete);
        }
        body
    }

    fn end(&mut self, left: Left) {
        if let Some(exchange) = self.exchange.take() {
            exchange.answer_ended(left);
        }
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = std::task::ready!(self.inner.as_mut().poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(exchange), Some(bytes)) = (&self.exchange, frame.data_ref()) {
                    exchange.answer(bytes);
                }
                if self.inner.is_end_stream() {
                    self.end(Left::Complete);
                }
            }
            Some(Err(_)) => self.end(Left::Broken),
            None => self.end(Left::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    /// Dropped before its end: the client went away.
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.answer_ended(Left::Gone);
        }
    }
}
