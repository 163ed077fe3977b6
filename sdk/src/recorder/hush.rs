//! Whether a call's log lines may be kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::Context;

/// Whether the log lines of one call are not kept. It goes along with the context in which the call's spans begin, so that whatever
/// derives from them has it, also the spans of an application's own layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hush(Arc<AtomicBool>);

impl Hush {
    /// Of a call that is handled in this context: what is hushed there is hushed in it, too.
    pub(super) fn within(context: &Context) -> Self {
        Self(Arc::new(AtomicBool::new(Self::holds_in(context))))
    }

    fn holds_in(context: &Context) -> bool {
        context.get::<Self>().is_some_and(Self::holds)
    }

    /// Its log lines are not kept from now on.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether its log lines may not be kept.
    pub(crate) fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether the current call's log lines may not be kept.
pub(crate) fn is_hushed() -> bool {
    Context::map_current(Hush::holds_in)
}
