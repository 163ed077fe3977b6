//! An exchange as others see it: a handler below the layer, and the future that waits for an answer.

use opentelemetry::Context;

use super::{Exchange, Left, lock};
use crate::jsonrpc::Id;
use crate::observer::Call;

/// Left in a request's extensions for a handler that records as well: it finds the layer's span.
#[derive(Clone, Debug)]
pub(crate) struct Observed(Exchange);

impl Observed {
    pub(in crate::layer) fn new(exchange: &Exchange) -> Self {
        Self(exchange.clone())
    }

    /// The context of the request with this id: one of this HTTP request, for others may use the same id.
    pub(crate) fn context_of(&self, id: &Id) -> Option<Context> {
        let state = self.0.state();
        let conversation = lock(&state.conversation);
        let key = conversation.handled(id, &state.keys)?;
        conversation.call(key).map(Call::context)
    }

    /// The handler of the request with this id panicked; its answer is still to come.
    pub(crate) fn panicked(&self, id: &Id, said: Option<String>) {
        let state = self.0.state();
        let mut conversation = lock(&state.conversation);
        if let Some(key) = conversation.handled(id, &state.keys)
            && let Some(call) = conversation.call_mut(key)
        {
            call.panicked(said);
        }
    }
}

impl Exchange {
    /// The context of the call that this HTTP request is, where it is one, and that is known by now. A handshake is none: what
    /// begins in it, such as the tasks of a session, is of other calls as well.
    pub(in crate::layer) fn handled_in(&self) -> Option<Context> {
        let state = self.state();
        let [key] = state.keys[..] else { return None };
        let conversation = lock(&state.conversation);
        let call = conversation.call(key)?;
        (!call.is_handshake()).then(|| call.context())
    }
}

/// Waits for the head of an answer. Dropped meanwhile, the client has gone, or the service panicked.
pub(in crate::layer) struct Waiting(Option<Exchange>);

impl Waiting {
    pub(in crate::layer) fn new(exchange: Exchange) -> Self {
        Self(Some(exchange))
    }

    pub(in crate::layer) fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(exchange) = self.0.take() else {
            return;
        };
        if std::thread::panicking() {
            exchange.panicked(None);
        } else {
            exchange.answer_ended(Left::Gone);
        }
    }
}
