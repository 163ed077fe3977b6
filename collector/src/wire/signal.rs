//! Which signal an export is of, told by its records: the three have groups of scopes of records, with the same numbers.

use super::{Kind, Message, content, field, varint};
use crate::codec::Signal;

/// The bytes of the ids of a span.
const TRACE_ID: usize = 16;
const SPAN_ID: usize = 8;
/// The fields of a metric; all of them are sequences of bytes.
const METRIC: [u64; 9] = [1, 2, 3, 5, 7, 9, 10, 11, 12];
/// Those that hold its points.
const POINTS: [u64; 5] = [5, 7, 9, 10, 11];

/// The signal that every record of this export is of, where none is of the one that it was sent as. A damaged record is of none.
pub(crate) fn other_signal(own: Signal, export: &[u8]) -> Option<Signal> {
    let mut other = None;
    for group in inner(export, 1) {
        for scope in inner(group, 2) {
            for record in inner(scope, 2) {
                if is_of(own, record) {
                    return None;
                }
                let mut all = Signal::ALL.into_iter();
                let of = all.find(|signal| *signal != own && is_of(*signal, record))?;
                if *other.get_or_insert(of) != of {
                    return None;
                }
            }
        }
    }
    other
}

/// The fields of a message, up to where it cannot be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    /// A number, a wire type and the content where that is a sequence of bytes; none of what cannot be read.
    type Item = Option<(u64, u64, Option<&'a [u8]>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut read = || {
            let key = varint(&mut self.0).ok()?;
            let content = content(&mut self.0, key & 7).ok()?;
            Some((key >> 3, key & 7, content))
        };
        let read = read().filter(|(number, ..)| *number > 0);
        if read.is_none() {
            self.0 = &[];
        }
        Some(read)
    }
}

/// The contents of all fields with this number.
fn inner(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    let known = Fields(message).flatten();
    known.filter_map(move |(number, _, content)| content.filter(|_| number == wanted))
}

/// Whether a record has fields as those of this signal have, and says something that others do not.
fn is_of(signal: Signal, record: &[u8]) -> bool {
    let (mut is_told, mut is_named) = (false, false);
    for read in Fields(record) {
        let Some((number, wire_type, content)) = read else {
            return false;
        };
        let is_known = match signal {
            Signal::Traces => is_field(Message::Span, number, wire_type),
            Signal::Logs => is_field(Message::LogRecord, number, wire_type),
            Signal::Metrics => METRIC.contains(&number) && wire_type == 2,
        };
        let bytes = content.unwrap_or_default();
        let fits = match (signal, number) {
            (Signal::Traces, 1) => bytes.len() == TRACE_ID,
            (Signal::Traces, 2) => bytes.len() == SPAN_ID,
            (Signal::Metrics, 1) => std::str::from_utf8(bytes).is_ok_and(|name| !name.is_empty()),
            (Signal::Metrics, number) if POINTS.contains(&number) => {
                Fields(bytes).all(|field| field.is_some())
            }
            _ => true,
        };
        if !is_known || !fits {
            return false;
        }
        is_told |= match signal {
            Signal::Traces => number == 1,
            Signal::Logs => true,
            Signal::Metrics => POINTS.contains(&number),
        };
        is_named |= number == 1;
    }
    is_told && (is_named || signal != Signal::Metrics)
}

/// Whether a message may have such a field: one of that type, or one that is not known here.
fn is_field(of: Message, number: u64, wire_type: u64) -> bool {
    field(of, number).is_none_or(|(kind, _): (Kind, _)| kind.wire_type() == wire_type)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
    };
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message as _;

    use super::*;

    fn traces(spans: Vec<Span>) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }];
        let resource_spans = vec![ResourceSpans {
            scope_spans,
            ..ResourceSpans::default()
        }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    fn span(id: usize) -> Span {
        Span {
            trace_id: vec![1; id],
            span_id: vec![2; 8],
            name: "tools/call".into(),
            start_time_unix_nano: 1,
            ..Span::default()
        }
    }

    fn logs(log_records: Vec<LogRecord>) -> Vec<u8> {
        let scope_logs = vec![ScopeLogs {
            log_records,
            ..ScopeLogs::default()
        }];
        let resource_logs = vec![ResourceLogs {
            scope_logs,
            ..ResourceLogs::default()
        }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }

    fn record(time: u64, severity: i32) -> LogRecord {
        LogRecord {
            time_unix_nano: time,
            severity_number: severity,
            body: Some(AnyValue {
                value: Some(Any::StringValue("out of stock".into())),
            }),
            ..LogRecord::default()
        }
    }

    fn metrics(name: &str) -> Vec<u8> {
        let data_points = vec![NumberDataPoint {
            time_unix_nano: 7,
            ..NumberDataPoint::default()
        }];
        let metric = Metric {
            name: name.into(),
            description: "d".into(),
            unit: "1".into(),
            data: Some(Data::Gauge(Gauge { data_points })),
            ..Metric::default()
        };
        let scope_metrics = vec![ScopeMetrics {
            metrics: vec![metric],
            ..ScopeMetrics::default()
        }];
        let resource_metrics = vec![ResourceMetrics {
            scope_metrics,
            ..ResourceMetrics::default()
        }];
        ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
    }

    #[test]
    fn each_signal_is_told_from_the_others() {
        let all = [
            (Signal::Traces, traces(vec![span(16), span(16)])),
            (Signal::Logs, logs(vec![record(5, 9)])),
            (Signal::Logs, logs(vec![record(0, 9), record(0, 0)])),
            (Signal::Metrics, metrics("cpu")),
            // As long as the id of a trace.
            (Signal::Metrics, metrics("requests_total_1")),
        ];
        for (of, export) in &all {
            for own in Signal::ALL {
                let expected = (own != *of).then_some(*of);
                assert_eq!(other_signal(own, export), expected, "{of:?} sent as {own:?}");
            }
        }
    }

    #[test]
    fn what_may_be_its_own_or_is_damaged_is_no_others() {
        for own in Signal::ALL {
            for export in [
                Vec::new(),
                traces(Vec::new()),
                traces(vec![Span::default()]),
                b"\xff\xff\xff".to_vec(),
                [traces(vec![span(16)]), logs(vec![record(5, 9)]), metrics("m")].concat(),
            ] {
                assert_eq!(other_signal(own, &export), None, "{own:?} {export:?}");
            }
        }
        assert_eq!(other_signal(Signal::Traces, &traces(vec![span(15)])), None);
    }
}
