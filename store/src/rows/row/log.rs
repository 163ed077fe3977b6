//! A line of console output as a row.

use mcptap_model::{LogLine, SpanId, TraceId, semconv};

use super::{json, span_number, trace_halves};
use crate::db::insert::{Kind, Record, Sink, Table};
use crate::rows::hash::Identity;

/// A line as it is stored, whichever call gets it. Made where a core may be busy with it.
#[derive(Debug)]
pub(crate) struct LogRow {
    time: i64,
    fingerprint: i64,
    trace_id: TraceId,
    span_id: Option<SpanId>,
    severity: String,
    body: Vec<u8>,
    attributes: Option<Vec<u8>>,
}

/// A row of `log_lines`.
pub(crate) struct LogOfCall(i64, LogRow);

impl LogRow {
    /// What is stored of a line.
    pub(crate) fn new(line: LogLine) -> Self {
        let attributes = json(&line.attributes);
        Self {
            time: line.time.0,
            fingerprint: log_fingerprint(&line),
            trace_id: line.trace_id,
            span_id: line.span_id,
            severity: line.severity,
            body: line.body.into_bytes(),
            attributes,
        }
    }

    /// As a line of the call in row `call`.
    pub(crate) fn of(self, call: i64) -> LogOfCall {
        LogOfCall(call, self)
    }
}

/// By which the same line is recognised when it comes again.
pub(crate) fn log_fingerprint(line: &LogLine) -> i64 {
    let attributes = match line.attributes.contains_key(semconv::MCPTAP_CLOCK_AHEAD_MS) {
        false => json(&line.attributes),
        // It is another at each arrival.
        true => {
            let mut sent = line.attributes.clone();
            sent.remove(semconv::MCPTAP_CLOCK_AHEAD_MS);
            json(&sent)
        }
    };
    Identity::default()
        .start(b'l')
        .number(line.time.0)
        .number(line.span_id.map_or(0, span_number))
        .text(Some(&line.severity))
        .text(Some(&line.body))
        .bytes(attributes.as_deref())
        .hash8()
}

/// The key of an export, by its lines that have no time (zero) and their order: the same export has the same again.
pub fn export_key(lines: &[LogLine]) -> i64 {
    let mut identity = Identity::default();
    let identity = identity.start(b'e');
    for line in lines {
        let (trace_hi, trace_lo) = trace_halves(line.trace_id);
        identity
            .number(trace_hi)
            .number(trace_lo)
            .text(line.service.as_deref())
            .number(log_fingerprint(line));
    }
    identity.hash8()
}

impl Record for LogOfCall {
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
        let Self(call, row) = self;
        let (trace_hi, trace_lo) = trace_halves(row.trace_id);
        sink.integer(Some(call));
        sink.integer(Some(row.time));
        sink.integer(Some(row.fingerprint));
        sink.integer(Some(trace_hi));
        sink.integer(Some(trace_lo));
        sink.integer(row.span_id.map(span_number));
        sink.text(Some(row.severity));
        sink.bytes(Some(row.body));
        sink.bytes(row.attributes);
    }
}

#[cfg(test)]
mod tests {
    use mcptap_model::UnixNanos;
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn a_line_is_the_same_whenever_it_comes() {
        let line = |ahead: Option<i64>, said: &str| {
            let mut attributes = Map::from_iter([("said".to_owned(), Value::from(said))]);
            attributes.extend(ahead.map(|ahead| (semconv::MCPTAP_CLOCK_AHEAD_MS.to_owned(), ahead.into())));
            log_fingerprint(&LogLine {
                trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
                span_id: None,
                service: None,
                time: UnixNanos(5),
                severity: "INFO".to_owned(),
                body: "body".to_owned(),
                attributes,
            })
        };
        assert_eq!(line(Some(70_000), "a"), line(Some(69_000), "a"));
        assert_eq!(line(Some(70_000), "a"), line(None, "a"));
        assert_ne!(line(Some(70_000), "a"), line(Some(70_000), "b"));
    }
}
