//! Bodies that are read while they pass: the request's and the answer's. Frames go through untouched. One that takes long to
//! read, since it is large or becomes so when it is decoded, is read in turns with the other tasks of the server.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Empty, Full};

use super::exchange::{Exchange, Left};
use crate::span::said_by;

/// How much of a request is read that its server refused without reading it, in bytes.
const UNREAD: usize = 64 * 1024;
/// How long is waited for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// A frame on its way, and what of it is to be read before it is passed on.
#[derive(Debug)]
struct Held {
    frame: Frame<Bytes>,
    unread: Bytes,
}

impl Held {
    fn new(frame: Frame<Bytes>) -> Self {
        let unread = frame.data_ref().cloned().unwrap_or_default();
        Self { frame, unread }
    }

    /// Reads on. Returns whether it may be passed on; it is asked again otherwise.
    fn read(&mut self, context: &mut Context<'_>, read: impl FnOnce(&mut Bytes) -> bool) -> bool {
        let is_read = !self.frame.is_data() || read(&mut self.unread);
        if !is_read {
            context.waker().wake_by_ref();
        }
        is_read
    }
}

/// How much is still to come, with the frame that is held.
fn hint(rest: &SizeHint, held: Option<&Held>) -> SizeHint {
    let data = held.and_then(|held| held.frame.data_ref());
    let held = data.map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
    let mut hint = SizeHint::new();
    if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(held)) {
        hint.set_upper(upper);
    }
    hint.set_lower(rest.lower().saturating_add(held));
    hint
}

/// A body of a request that can be watched. Bodies of axum and the boxed ones of `http-body-util` keep their type, so that any
/// layer of tower may stand below; others become a [`Question`], as a body of one's own can: `type Watched = Question<Self>`.
pub trait RequestBody: Body<Data = Bytes> + Send + Sized + 'static {
    /// The body that the service below the layer gets.
    type Watched;

    /// Of a request that is recorded.
    fn watched(question: Question<Self>) -> Self::Watched;

    /// Of a request that is not.
    fn unwatched(self) -> Self::Watched;
}

macro_rules! keeps_its_type {
    ($body:ty, $new:expr $(, $error:ident)?) => {
        impl $(<$error: Send + 'static>)? RequestBody for $body {
            type Watched = Self;

            fn watched(question: Question<Self>) -> Self {
                $new(question)
            }

            fn unwatched(self) -> Self {
                self
            }
        }
    };
}

macro_rules! becomes_a_question {
    ($body:ty) => {
        impl RequestBody for $body {
            type Watched = Question<Self>;

            fn watched(question: Question<Self>) -> Question<Self> {
                question
            }

            fn unwatched(self) -> Question<Self> {
                Question::unwatched(self)
            }
        }
    };
}

keeps_its_type!(axum_core::body::Body, axum_core::body::Body::new);
keeps_its_type!(UnsyncBoxBody<Bytes, E>, UnsyncBoxBody::new, E);
becomes_a_question!(hyper::body::Incoming);
becomes_a_question!(Full<Bytes>);
becomes_a_question!(Empty<Bytes>);

/// A request's body, on its way to the server.
#[derive(Debug)]
pub struct Question<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    /// There until the body was dropped.
    inner: Option<Pin<Box<B>>>,
    exchange: Option<Exchange>,
    held: Option<Held>,
    ended: bool,
    /// Whether the service was polled anew since its request is known.
    is_known: bool,
    /// Whether the end came, and is to be told.
    is_over: bool,
}

impl<B: Body<Data = Bytes> + Send + 'static> Question<B> {
    /// Of a request that is not recorded.
    pub fn unwatched(body: B) -> Self {
        Self::new(body, None)
    }

    pub(super) fn new(inner: B, exchange: Option<Exchange>) -> Self {
        let mut body = Self {
            inner: Some(Box::pin(inner)),
            exchange,
            held: None,
            ended: false,
            is_known: false,
            is_over: false,
        };
        body.look_for_the_end();
        body
    }

    /// Whether the service is to be polled anew before it has the end of the body: it is the service's call from then on.
    fn begins_call(&mut self, context: &Context<'_>) -> bool {
        let is_known = self.ended && !std::mem::replace(&mut self.is_known, self.ended);
        let begins = is_known
            && self
                .exchange
                .as_ref()
                .is_some_and(|exchange| exchange.handled_in().is_some());
        if begins {
            context.waker().wake_by_ref();
        }
        begins
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
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut().filter(|_| !this.is_over) else {
            return Poll::Ready(None);
        };
        let mut held = match this.held.take() {
            Some(held) => held,
            None => match std::task::ready!(inner.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => Held::new(frame),
                end => {
                    this.end();
                    if end.is_none() && this.begins_call(context) {
                        this.is_over = true;
                        return Poll::Pending;
                    }
                    return Poll::Ready(end);
                }
            },
        };
        if let Some(exchange) = &this.exchange
            && !held.read(context, |bytes| exchange.request(bytes))
        {
            this.held = Some(held);
            return Poll::Pending;
        }
        this.look_for_the_end();
        if this.begins_call(context) {
            this.held = Some(held);
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(held.frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.inner.as_ref().is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref();
        let rest = inner.map_or_else(SizeHint::default, |inner| inner.size_hint());
        hint(&rest, self.held.as_ref())
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
        let held = self.held.take();
        runtime.spawn(async move {
            let read_all = async |mut bytes: Bytes| {
                while !exchange.request(&mut bytes) {
                    tokio::task::yield_now().await;
                }
            };
            let reading = async {
                if let Some(held) = held {
                    read_all(held.unread).await;
                }
                let mut read = 0;
                while read < UNREAD {
                    let frame = std::future::poll_fn(|context| {
                        let frame = std::task::ready!(inner.as_mut().poll_frame(context));
                        Poll::Ready(frame.and_then(Result::ok))
                    });
                    let Some(frame) = frame.await else { break };
                    if let Ok(bytes) = frame.into_data() {
                        read += bytes.len();
                        read_all(bytes).await;
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
    held: Option<Held>,
}

impl<B: Body<Data = Bytes>> Answer<B> {
    pub(super) fn new(inner: B, exchange: Option<Exchange>) -> Self {
        let mut body = Self {
            inner: Box::pin(inner),
            exchange,
            held: None,
        };
        if body.inner.is_end_stream() {
            body.end(Left::Complete);
        }
        body
    }

    /// A service that panics while it makes its answer is not a client that leaves.
    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let inner = &mut self.inner;
        match catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll_frame(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                if let Some(exchange) = self.exchange.take() {
                    exchange.panicked(said_by(panic.as_ref()));
                }
                resume_unwind(panic)
            }
        }
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
        let this = &mut *self;
        let mut held = match this.held.take() {
            Some(held) => held,
            None => match std::task::ready!(this.poll_inner(context)) {
                Some(Ok(frame)) => Held::new(frame),
                end => {
                    this.end(if end.is_some() {
                        Left::Broken
                    } else {
                        Left::Complete
                    });
                    return Poll::Ready(end);
                }
            },
        };
        if let Some(exchange) = &this.exchange
            && !held.read(context, |bytes| exchange.answer(bytes))
        {
            this.held = Some(held);
            return Poll::Pending;
        }
        if this.inner.is_end_stream() {
            this.end(Left::Complete);
        }
        Poll::Ready(Some(Ok(held.frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        hint(&self.inner.size_hint(), self.held.as_ref())
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
