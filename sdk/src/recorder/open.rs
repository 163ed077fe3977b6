//! The requests whose spans one guard sends: it ends them when its server exits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mcptap_model::semconv;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};

/// The requests being handled.
#[derive(Debug, Default)]
pub(crate) struct Open {
    next: AtomicU64,
    contexts: Mutex<HashMap<u64, Context>>,
}

impl Open {
    pub(super) fn add(&self, context: Context) -> u64 {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, context);
        key
    }

    pub(super) fn remove(&self, key: u64) {
        self.contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }

    /// Ends the span of each.
    pub(crate) fn end_all(&self) {
        let contexts = std::mem::take(&mut *self.contexts.lock().unwrap_or_else(PoisonError::into_inner));
        for context in contexts.into_values() {
            let span = context.span();
            span.set_attribute(KeyValue::new(semconv::OUTCOME, semconv::CANCELLED));
            span.end();
        }
    }
}
