//! Answers to clients that have closed their side of the connection: whether anybody got them is known afterwards.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::reading::Form;
use super::{Exchange, Left, State, lock};

/// How long is waited for word of what was sent. Without one it counts as received.
const PATIENCE: Duration = Duration::from_secs(3);

/// In the extensions of an answer: whether the client has closed its side of the connection, and got the answer all the same. One
/// that is still there and one that is gone close alike, so the answer is recorded when it is known.
#[derive(Clone)]
pub struct Receipt {
    has_closed: Arc<dyn Fn() -> bool + Send + Sync>,
    received: watch::Receiver<Option<bool>>,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receipt").finish_non_exhaustive()
    }
}

impl Receipt {
    /// `has_closed`: whether the client has closed its side by now. `received` has a value when the connection is over: whether
    /// everything that was sent came to the client.
    pub fn new(
        has_closed: impl Fn() -> bool + Send + Sync + 'static,
        received: watch::Receiver<Option<bool>>,
    ) -> Self {
        Self {
            has_closed: Arc::new(has_closed),
            received,
        }
    }

    async fn came(mut self) -> bool {
        let told = self.received.wait_for(Option::is_some);
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(told)) => told.unwrap_or(true),
            Ok(Err(_)) | Err(_) => true,
        }
    }
}

impl Exchange {
    /// The end of the answer.
    pub(in crate::layer) fn answer_ended(&self, left: Left) {
        let mut receipt = None;
        self.with(|state| receipt = state.answer_ended(left));
        let Some(receipt) = receipt else { return };
        let exchange = self.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return exchange.with(|state| state.answer_over(left));
        };
        runtime.spawn(async move {
            let left = if receipt.came().await { left } else { Left::Gone };
            exchange.with(|state| state.answer_over(left));
        });
    }
}

impl State {
    /// Holds the answers that come from now on, where the client has closed its side, until it is known whether it got them.
    pub(super) fn hold_answers(&mut self) {
        let is_due = |receipt: &Receipt| (receipt.has_closed)();
        let has_own = !self.keys.is_empty() && !self.carrier.is_sse;
        if !self.is_held && has_own && self.receipt.as_ref().is_some_and(is_due) {
            self.is_held = true;
            lock(&self.conversation).hold_answers(&self.keys);
        }
    }

    /// The end of the answer. Returns by what is to be learned how it ended, where that is not known.
    fn answer_ended(&mut self, left: Left) -> Option<Receipt> {
        let left = if self.is_abandoned { Left::Gone } else { left };
        self.over = Some(SystemTime::now());
        if left == Left::Complete {
            self.hold_answers();
        }
        let is_stream = matches!(self.reading.form, Form::Events(_));
        self.answer_read();
        let receipt = self.receipt.take();
        let unknown = receipt.filter(|_| self.is_held && left == Left::Complete);
        if unknown.is_none() {
            if self.is_held && is_stream {
                // Clients leave a stream of events as soon as they have their answer.
                let mut conversation = lock(&self.conversation);
                self.keys.iter().for_each(|key| conversation.carried(*key));
            }
            self.answer_over(left);
        }
        unknown
    }
}
