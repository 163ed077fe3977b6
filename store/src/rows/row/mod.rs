//! Domain values as rows, on the way in. The way back is [`crate::dictionary`].

mod alias;
mod call;
mod detail;
mod log;
mod waiting;

pub(crate) use alias::AliasRow;
pub(crate) use call::{CallRow, as_listed};
pub(crate) use detail::DetailRow;
pub use log::export_key;
pub(crate) use log::{LogRow, log_fingerprint};
use mcptap_model::{SpanId, TraceId, UnixNanos};
use serde_json::{Map, Value};
pub(crate) use waiting::{Waiting, http_fingerprint, http_fingerprint_of, kind, moved};

/// The earliest and the latest start that is stored, in nanoseconds since 1970 (the years 1896 and 2189). The database
/// adds pauses to starts and takes their differences, which stay in range with these.
const STARTS: std::ops::RangeInclusive<i64> = -(i64::MAX / 4)..=i64::MAX / 4 * 3;

/// A start as it is stored.
fn stored_start(start: UnixNanos) -> UnixNanos {
    UnixNanos(start.0.clamp(*STARTS.start(), *STARTS.end()))
}

/// A trace id as two integers: its first and its last eight bytes.
pub(crate) fn trace_halves(trace: TraceId) -> (i64, i64) {
    let whole = i128::from_be_bytes(trace.bytes());
    ((whole >> 64) as i64, whole as i64)
}

/// The last eight bytes of a trace id, by which what belongs together is found.
pub(crate) fn trace_lo(trace: TraceId) -> i64 {
    trace_halves(trace).1
}

/// A span id as an integer.
pub(crate) fn span_number(span: SpanId) -> i64 {
    i64::from_be_bytes(span.bytes())
}

/// The trace id of two halves; `None` when all is zero.
pub(crate) fn trace_of(hi: i64, lo: i64) -> Option<TraceId> {
    let whole = (i128::from(hi) << 64) | i128::from(lo as u64);
    TraceId::from_bytes(&whole.to_be_bytes()).ok()
}

/// The span id of a number; `None` when it is zero.
pub(crate) fn span_of(number: i64) -> Option<SpanId> {
    SpanId::from_bytes(&number.to_be_bytes()).ok()
}

/// An object as JSON; `None` when it is empty.
fn json(attributes: &Map<String, Value>) -> Option<Vec<u8>> {
    if attributes.is_empty() {
        None
    } else {
        serde_json::to_vec(attributes).ok()
    }
}
