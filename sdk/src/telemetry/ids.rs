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
    let started = start();
    TOLD.set(None);
    started
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
