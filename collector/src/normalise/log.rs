//! Log lines: OTLP records, and what some send as spans instead.

use mcptap_model::{LogLine, SpanId, TraceId, UnixNanos, semconv};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde_json::{Map, Value};

use super::keys::{Attributes, Key};
use super::span::Times;
use crate::arrival::Arrival;
use crate::rejections::Reason;
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

/// An OTLP record; nothing when it carries no trace id and so can belong to no call. One without any time has time zero.
pub(super) fn line(
    record: &LogRecord,
    service: Option<&str>,
    arrival: &Arrival,
) -> Result<Option<LogLine>, (Reason, String)> {
    let Ok(trace_id) = TraceId::from_bytes(&record.trace_id) else {
        return Ok(None);
    };
    let time = [record.time_unix_nano, record.observed_time_unix_nano]
        .into_iter()
        .find(|time| *time != 0);
    if let Some(time) = time {
        arrival.check(time, time)?;
    }
    let time = time.map_or(UnixNanos(0), UnixNanos::from_otlp);
    let body = record
        .body
        .as_ref()
        .and_then(value::body_text)
        .filter(|body| !body.is_empty());
    let mut attributes = value::object(&record.attributes);
    mark(&mut attributes, arrival, time);
    Ok(Some(LogLine {
        trace_id,
        span_id: SpanId::from_bytes(&record.span_id).ok(),
        service: service.map(str::to_owned),
        time,
        severity: severity(&record.severity_text, record.severity_number.into()),
        body: body.unwrap_or_else(|| record.event_name.clone()),
        attributes,
    }))
}

/// The span of a request that is announced while it runs. It ends when it began: no end is known.
pub(super) fn announced(record: &LogRecord) -> Span {
    let value = |key: Key| {
        let attribute = record
            .attributes
            .iter()
            .find(|attribute| attribute.key == key.name())?;
        attribute.value.as_ref()
    };
    let parent = value(Key::OurSpanParent).and_then(value::text);
    let parent = parent.and_then(|hex| hex.parse::<SpanId>().ok());
    let kind = value(Key::OurSpanKind).and_then(value::integer);
    Span {
        trace_id: record.trace_id.clone(),
        span_id: record.span_id.clone(),
        parent_span_id: parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        name: record
            .body
            .as_ref()
            .and_then(value::body_text)
            .unwrap_or_default(),
        kind: kind.and_then(|kind| i32::try_from(kind).ok()).unwrap_or_default(),
        start_time_unix_nano: record.time_unix_nano,
        end_time_unix_nano: record.time_unix_nano,
        attributes: record.attributes.clone(),
        ..Span::default()
    }
}

/// The spans that a heartbeat names as ended. Anything else in the list says nothing.
pub(super) fn ended(heartbeat: &LogRecord) -> impl Iterator<Item = SpanId> + '_ {
    let named = heartbeat
        .attributes
        .iter()
        .filter(|attribute| attribute.key == semconv::ENDED);
    let lists = named.filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
        Any::ArrayValue(list) => Some(&list.values),
        _ => None,
    });
    lists.flatten().filter_map(|id| match id.value.as_ref()? {
        Any::StringValue(hex) => hex.parse().ok(),
        _ => None,
    })
}

/// Notes among the attributes that the sender's clock is ahead of ours.
pub(super) fn mark(attributes: &mut Map<String, Value>, arrival: &Arrival, time: UnixNanos) {
    if let Some(ahead) = arrival.ahead_ms(time) {
        attributes.insert(semconv::MCPTAP_CLOCK_AHEAD_MS.to_owned(), ahead.into());
    }
}

/// A span event other than an exception. One without any time has time zero, and one with a time that cannot be that of its
/// span's start.
pub(super) fn event(
    times: &Times,
    service: Option<&str>,
    event: &Event,
    arrival: &Arrival,
) -> Option<LogLine> {
    let time = match event.time_unix_nano {
        0 => UnixNanos(0),
        time if arrival.check(time, time).is_ok() => UnixNanos::from_otlp(time),
        _ => times.started_at,
    };
    (event.name != "exception").then(|| LogLine {
        trace_id: times.trace_id,
        span_id: Some(times.span_id),
        service: service.map(str::to_owned),
        time,
        severity: "INFO".to_owned(),
        body: event.name.clone(),
        attributes: value::object(&event.attributes),
    })
}

/// A log line sent as a span: Logfire's logs, and MCP's `notifications/message` where an instrumentation records it.
/// It belongs to the span around it.
pub(super) fn disguised(
    attributes: &mut Attributes<'_>,
    times: &Times,
    service: Option<&str>,
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
        service: service.map(str::to_owned),
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
