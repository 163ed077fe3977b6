//! A span that is part of a call, or of nothing, as a row.

use mcptap_model::SpanRef;

use super::{span_number, trace_halves};
use crate::db::insert::{Kind, Record, Sink, Table};

/// A row of `aliases`: a span that is part of a call, or of nothing.
pub(crate) struct AliasRow {
    /// The span.
    pub(crate) span: SpanRef,
    /// The call's row.
    pub(crate) call: Option<i64>,
    /// Nanoseconds since 1970.
    pub(crate) arrived_at: i64,
}

impl Record for AliasRow {
    const TABLE: Table = Table {
        name: "aliases",
        columns: &[
            ("trace_lo", Kind::Integer),
            ("span_id", Kind::Integer),
            ("trace_hi", Kind::Integer),
            ("call", Kind::Integer),
            ("arrived_at", Kind::Integer),
        ],
        conflict: "ON CONFLICT (trace_lo, span_id, trace_hi) DO UPDATE SET call = excluded.call",
    };

    fn bind(self, sink: &mut impl Sink) {
        let (trace_hi, trace_lo) = trace_halves(self.span.trace_id);
        sink.integer(Some(trace_lo));
        sink.integer(Some(span_number(self.span.span_id)));
        sink.integer(Some(trace_hi));
        sink.integer(self.call);
        sink.integer(Some(self.arrived_at));
    }
}
