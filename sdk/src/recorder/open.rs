//! The requests whose spans one guard sends: it ends them when its server exits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcptap_model::semconv;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};

use super::Given;

/// The requests being handled: the context of each, and what its code sets.
#[derive(Debug, Default)]
pub(crate) struct Open {
    next: AtomicU64,
    requests: Mutex<HashMap<u64, (Context, Arc<Given>)>>,
}

impl Open {
    fn requests(&self) -> MutexGuard<'_, HashMap<u64, (Context, Arc<Given>)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the span of each.
    pub(crate) fn end_all(&self) {
        let requests = std::mem::take(&mut *self.requests());
        for (context, given) in requests.into_values() {
            let span = context.span();
            span.set_attribute(KeyValue::new(semconv::OUTCOME, semconv::CANCELLED));
            given.write(&span);
            span.end();
        }
    }
}

/// A request that is being handled, for as long as this is held: also where recording its end panics.
#[derive(Debug)]
pub(super) struct Opened {
    open: Arc<Open>,
    key: u64,
}

impl Opened {
    pub(super) fn new(open: &Arc<Open>, context: Context, given: &Arc<Given>) -> Self {
        let key = open.next.fetch_add(1, Ordering::Relaxed);
        open.requests().insert(key, (context, Arc::clone(given)));
        Self {
            open: Arc::clone(open),
            key,
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // What it held is dropped after the lock is free: that may be the end of the span.
        let removed = self.open.requests().remove(&self.key);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_whose_end_panics_is_not_held() {
        let open = Arc::new(Open::default());
        let opened = Opened::new(&open, Context::new(), &Arc::default());
        assert_eq!(open.requests().len(), 1);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _opened = opened;
            panic!("a processor of the application's");
        }));
        assert!(broken.is_err());
        assert!(open.requests().is_empty());
    }
}
