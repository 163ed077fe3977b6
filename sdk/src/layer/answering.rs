//! The future that waits for the head of an answer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::body::Answer;
use super::exchange::{Exchange, Waiting};
use crate::current::Call;
use crate::span::said_by;

/// The answer of a service whose traffic is recorded, to come.
pub struct Answering<F> {
    inner: Pin<Box<F>>,
    exchange: Option<Exchange>,
    /// Dropped before there is an answer, when the client goes away: the exchange hears of it.
    waiting: Option<Waiting>,
    /// What the service works in, once that is known: it reads the body that says so.
    within: Option<opentelemetry::Context>,
}

impl<F> fmt::Debug for Answering<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answering").finish_non_exhaustive()
    }
}

impl<F> Answering<F> {
    pub(super) fn new(inner: F, exchange: Option<Exchange>) -> Self {
        Self {
            inner: Box::pin(inner),
            waiting: exchange.clone().map(Waiting::new),
            exchange,
            within: None,
        }
    }

    fn is_over(&mut self) -> Option<Exchange> {
        if let Some(waiting) = self.waiting.take() {
            waiting.over();
        }
        self.exchange.take()
    }
}

impl<F, A, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<A>, E>>,
    A: Body<Data = Bytes>,
    E: fmt::Display,
{
    type Output = Result<Response<Answer<A>>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.within.is_none() {
            this.within = this.exchange.as_ref().and_then(Exchange::handled_in);
        }
        let _within = this.within.clone().map(opentelemetry::Context::attach);
        let call = this.within.as_ref().and_then(Call::of);
        let _entered = call.as_ref().map(|call| call.span().enter());
        let polled = catch_unwind(AssertUnwindSafe(|| this.inner.as_mut().poll(context)));
        let answered = match polled {
            Ok(polled) => ready!(polled),
            Err(panic) => {
                if let Some(exchange) = this.is_over() {
                    exchange.panicked(said_by(panic.as_ref()));
                }
                resume_unwind(panic)
            }
        };
        let exchange = match &answered {
            Ok(response) => {
                let (status, headers, extensions) =
                    (response.status(), response.headers(), response.extensions());
                if let Some(exchange) = &this.exchange {
                    exchange.answer_begins(status, headers, extensions);
                }
                this.is_over()
            }
            Err(error) => {
                if let Some(exchange) = this.is_over() {
                    exchange.failed(&error.to_string());
                }
                None
            }
        };
        Poll::Ready(answered.map(|response| response.map(|body| Answer::new(body, exchange))))
    }
}
