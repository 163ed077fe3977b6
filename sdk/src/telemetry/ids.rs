//! Ids of traces and spans: random ones, or those that others were told already.

use std::cell::RefCell;

use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static TOLD: RefCell<Option<SpanContext>> = const { RefCell::new(None) };
}

/// Has the span that `start` begins get these ids; that of the trace where it has no parent. Only spans of our own providers
/// do.
pub(crate) fn with_ids<T>(told: Option<&SpanContext>, start: impl FnOnce() -> T) -> T {
    if told.is_none() {
        return start();
    }
    TOLD.set(told.cloned());
    let _told = Told;
    start()
}

/// While the ids hold. Code of the application runs meanwhile, and may panic: the next span must not get them.
struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        TOLD.set(None);
    }
}

/// Gives out ids.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let told = TOLD.with_borrow(|told| told.as_ref().map(SpanContext::trace_id));
        told.unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        let told = TOLD.with_borrow(|told| told.as_ref().map(SpanContext::span_id));
        told.unwrap_or_else(|| self.0.new_span_id())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{TraceFlags, TraceState};

    use super::*;

    #[test]
    fn ids_are_given_to_no_later_span() {
        let (trace, span) = (TraceId::from(7), SpanId::from(7));
        let told = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE);
        let ids = Ids::default();
        assert_eq!(with_ids(Some(&told), || ids.new_span_id()), span);
        assert_ne!(ids.new_span_id(), span);
        let broken =
            std::panic::catch_unwind(|| with_ids(Some(&told), || panic!("a processor of the application's")));
        assert!(broken.is_err());
        assert_ne!((ids.new_trace_id(), ids.new_span_id()), (trace, span));
    }
}
