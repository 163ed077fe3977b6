//! A line of console output as a row.

use mcptap_model::LogLine;

use super::{json, span_number, trace_halves};
use crate::hash::Identity;
use crate::insert::{Kind, Record, Sink, Table};

/// A row of `log_lines`.
pub(crate) struct LogRow {
    call: i64,
    fingerprint: i64,
    line: LogLine,
}

impl LogRow {
    /// A line of the call in row `call`.
    pub(crate) fn new(call: i64, line: LogLine) -> Self {
        Self {
            call,
            fingerprint: log_fingerprint(&line),
            line,
        }
    }
}

/// By which the same line is recognised when it comes again.
pub(crate) fn log_fingerprint(line: &LogLine) -> i64 {
    let attributes = json(&line.attributes);
    Identity::default()
        .start(b'l')
        .number(line.time.0)
        .number(line.span_id.map_or(0, span_number))
        .text(Some(&line.severity))
        .text(Some(&line.body))
        .bytes(attributes.as_deref())
        .hash8()
}

impl Record for LogRow {
    const TABLE: Table = Table {
        name: "log_lines",
        columns: &[
            ("call", Kind::Integer),
            ("time", Kind::Integer),
            ("fingerprint", Kind::Integer),
            ("trace_hi", Kind::Integer),
            ("trace_lo", Kind::Integer),
            ("span_id", Kind::Integer),
            ("severity", Kind::Text),
            ("body", Kind::Bytes),
            ("attributes", Kind::Bytes),
        ],
        conflict: "ON CONFLICT DO NOTHING",
    };

    fn bind(self, sink: &mut impl Sink) {
        let (trace_hi, trace_lo) = trace_halves(self.line.trace_id);
        sink.integer(Some(self.call));
        sink.integer(Some(self.line.time.0));
        sink.integer(Some(self.fingerprint));
        sink.integer(Some(trace_hi));
        sink.integer(Some(trace_lo));
        sink.integer(self.line.span_id.map(span_number));
        sink.text(Some(self.line.severity));
        sink.bytes(Some(self.line.body.into_bytes()));
        sink.bytes(json(&self.line.attributes));
    }
}
