//! Log lines: OTLP records, and what some send as spans instead.

use mcptap_model::{LogLine, Origin, SpanId, TraceId, UnixNanos};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde_json::{Map, Value};

use super::keys::{Attributes, Key};
use super::span::Times;
use crate::value;

/// Names of OTLP severity numbers, four numbers each (OTLP logs data model, SeverityNumber).
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

fn severity(text: &str, number: i64) -> String {
    if !text.is_empty() {
        return text.to_owned();
    }
    let index = usize::try_from((number - 1) / 4).unwrap_or(usize::MAX);
    SEVERITIES
        .get(index)
        .filter(|_| number > 0)
        .unwrap_or(&"INFO")
        .to_string()
}

/// An OTLP record; nothing when it carries no trace id and so can belong to no call.
pub(super) fn line(record: &LogRecord, service: Option<&String>) -> Option<LogLine> {
    let trace_id = TraceId::from_bytes(&record.trace_id).ok()?;
    let time = if record.time_unix_nano == 0 {
        record.observed_time_unix_nano
    } else {
        record.time_unix_nano
    };
    let body = record
        .body
        .as_ref()
        .and_then(value::body_text)
        .filter(|body| !body.is_empty());
    Some(LogLine {
        trace_id,
        span_id: SpanId::from_bytes(&record.span_id).ok(),
        service: service.cloned(),
        time: UnixNanos::from_otlp(time),
        severity: severity(&record.severity_text, record.severity_number.into()),
        body: body.unwrap_or_else(|| record.event_name.clone()),
        attributes: attributes(&record.attributes),
    })
}

/// A record's attributes, without credentials.
fn attributes(attributes: &[KeyValue]) -> Map<String, Value> {
    let mut attributes = value::object(attributes);
    if let Some(Value::String(header)) = attributes.get_mut(Key::HeaderAuthorization.name()) {
        *header = mcptap_model::mask_authorization(header);
    }
    attributes
}

/// A span event other than an exception.
pub(super) fn event(times: &Times, origin: &Origin, event: &Event) -> Option<LogLine> {
    (event.name != "exception").then(|| LogLine {
        trace_id: times.trace_id,
        span_id: Some(times.span_id),
        service: origin.service.clone(),
        time: UnixNanos::from_otlp(event.time_unix_nano),
        severity: "INFO".to_owned(),
        body: event.name.clone(),
        attributes: attributes(&event.attributes),
    })
}

/// A log line sent as a span: Logfire's logs, and MCP's `notifications/message` where an instrumentation records it.
/// It belongs to the span around it.
pub(super) fn disguised(
    attributes: &mut Attributes<'_>,
    times: &Times,
    origin: &Origin,
    span: &Span,
) -> Option<LogLine> {
    let parent = times.parent_span_id?;
    let (severity, body) = if attributes.text(Key::LogfireSpanType).as_deref() == Some("log") {
        let level = attributes.integer(Key::LogfireLevel).unwrap_or_default();
        (
            severity("", level),
            attributes
                .take_text(&[Key::LogfireMessage])
                .unwrap_or_else(|| span.name.clone()),
        )
    } else {
        let body = attributes.take_text(&[Key::McpLoggingMessage])?;
        let level = attributes.take_text(&[Key::McpLoggingLevel]).unwrap_or_default();
        (severity(&level.to_ascii_uppercase(), 0), body)
    };
    Some(LogLine {
        trace_id: times.trace_id,
        span_id: Some(parent),
        service: origin.service.clone(),
        time: times.started_at,
        severity,
        body,
        attributes: span.events.iter().fold(attributes.rest(&[]), |mut rest, event| {
            rest.extend(value::object(&event.attributes));
            rest
        }),
    })
}

/// Whether the span is a log line sent as a span, whether or not it belongs to a call.
pub(super) fn is_disguised(attributes: &Attributes<'_>) -> bool {
    attributes.text(Key::LogfireSpanType).as_deref() == Some("log")
        || attributes.get(Key::McpLoggingMessage).is_some()
}

#[cfg(test)]
mod tests {
    use super::severity;

    #[test]
    fn numbers_have_names() {
        assert_eq!(severity("", 9), "INFO");
        assert_eq!(severity("", 17), "ERROR");
        assert_eq!(severity("", 24), "FATAL");
        assert_eq!(severity("", 0), "INFO");
        assert_eq!(severity("", 99), "INFO");
        assert_eq!(severity("notice", 9), "notice");
    }
}
