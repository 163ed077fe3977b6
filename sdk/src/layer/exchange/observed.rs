//! An exchange as others see it: a handler below the layer, and the future that waits for an answer.

use std::sync::Arc;

use opentelemetry::Context;

use super::{Exchange, Left, lock};
use crate::jsonrpc::Id;
use crate::observer::Side;

/// Left in a request's extensions for a handler that records as well: it finds the layer's span.
#[derive(Clone, Debug)]
pub(crate) struct Observed(Exchange);

impl Observed {
    pub(in crate::layer) fn new(exchange: &Exchange) -> Self {
        Self(exchange.clone())
    }

    /// The context of the request with this id.
    pub(crate) fn context_of(&self, id: &Id) -> Option<Context> {
        let conversation = Arc::clone(&self.0.state().conversation);
        let conversation = lock(&conversation);
        conversation.context_of(id)
    }

    /// The handler of the request with this id panicked; its answer is still to come.
    pub(crate) fn panicked(&self, id: &Id, said: Option<String>) {
        let conversation = Arc::clone(&self.0.state().conversation);
        let mut conversation = lock(&conversation);
        if let Some(call) = conversation.call_mut(&(Side::Client, id.clone())) {
            call.panicked(said);
        }
    }
}

/// Waits for the head of an answer. Dropped meanwhile, the client has gone.
pub(in crate::layer) struct Waiting(Option<Exchange>);

impl Waiting {
    pub(in crate::layer) fn new(exchange: Option<Exchange>) -> Self {
        Self(exchange)
    }

    pub(in crate::layer) fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.answer_ended(Left::Gone);
        }
    }
}
