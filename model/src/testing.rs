//! For tests and benchmarks of all crates: a call of which only its span is known. Tests say what matters to them and take
//! the rest from here.

use crate::{Call, SpanId, TraceId};

/// A `tools/call` as a server sees it, of no service, at the beginning of 1970, that took no time.
pub fn call(trace_id: TraceId, span_id: SpanId) -> Call {
    Call {
        method: "tools/call".to_owned(),
        ..Call::bare(trace_id, span_id)
    }
}
