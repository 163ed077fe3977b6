//! OTLP's messages, read from JSON objects.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::node::Node;
use super::object::Object;
use super::scalar;
use crate::losses::beginning;
use crate::wire::DEEPEST_VALUE;

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    /// It stands too deep in others, all of which are left out with it.
    Deep,
    /// It is not what its name says.
    Wrong(&'static str),
}

impl Unread {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deep => "nested too deep",
            Self::Wrong(why) => why,
        }
    }
}

/// The member that names who records.
const SCOPE: (&str, &str) = ("scope", "scope");
/// The same before OTLP 0.15, when lists of scopes were named after it, too.
const LIBRARY: (&str, &str) = ("instrumentationLibrary", "instrumentation_library");

pub(super) fn resource_spans(json: Object<'_>) -> ResourceSpans {
    ResourceSpans {
        resource: json.object("resource", "resource").map(resource),
        scope_spans: {
            let of = |json: Object<'_>, named: (&str, &str)| ScopeSpans {
                scope: json.object(named.0, named.1).map(scope),
                spans: json.records("spans", "spans", span),
                schema_url: json.text("schemaUrl", "schema_url"),
            };
            let mut all = json.records("scopeSpans", "scope_spans", |json| of(json, SCOPE));
            let (camel, snake) = ("instrumentationLibrarySpans", "instrumentation_library_spans");
            all.extend(json.records(camel, snake, |json| of(json, LIBRARY)));
            all
        },
        schema_url: json.text("schemaUrl", "schema_url"),
    }
}

pub(super) fn resource_logs(json: Object<'_>) -> ResourceLogs {
    ResourceLogs {
        resource: json.object("resource", "resource").map(resource),
        scope_logs: {
            let of = |json: Object<'_>, named: (&str, &str)| ScopeLogs {
                scope: json.object(named.0, named.1).map(scope),
                log_records: json.records("logRecords", "log_records", log_record),
                schema_url: json.text("schemaUrl", "schema_url"),
            };
            let mut all = json.records("scopeLogs", "scope_logs", |json| of(json, SCOPE));
            let (camel, snake) = ("instrumentationLibraryLogs", "instrumentation_library_logs");
            all.extend(json.records(camel, snake, |json| of(json, LIBRARY)));
            all
        },
        schema_url: json.text("schemaUrl", "schema_url"),
    }
}

fn resource(json: Object<'_>) -> Resource {
    Resource {
        attributes: attributes(json),
        ..Resource::default()
    }
}

fn scope(json: Object<'_>) -> InstrumentationScope {
    InstrumentationScope {
        name: json.text("name", "name"),
        version: json.text("version", "version"),
        attributes: attributes(json),
        dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
    }
}

fn span(json: Object<'_>) -> Span {
    let kind = |name: &str| SpanKind::from_str_name(name).map(|kind| kind as i32);
    let lost = json.lost();
    let span = Span {
        trace_id: json.id("traceId", "trace_id"),
        span_id: json.id("spanId", "span_id"),
        trace_state: json.text("traceState", "trace_state"),
        parent_span_id: json.id("parentSpanId", "parent_span_id"),
        flags: json.u32("flags", "flags"),
        name: json.text("name", "name"),
        kind: json.enumeration("kind", "kind", kind),
        start_time_unix_nano: json.u64("startTimeUnixNano", "start_time_unix_nano"),
        end_time_unix_nano: json.u64("endTimeUnixNano", "end_time_unix_nano"),
        attributes: attributes(json),
        dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
        events: json.list("events", "events", |json| Event {
            time_unix_nano: json.u64("timeUnixNano", "time_unix_nano"),
            name: json.text("name", "name"),
            attributes: attributes(json),
            dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
        }),
        dropped_events_count: json.u32("droppedEventsCount", "dropped_events_count"),
        links: json.list("links", "links", |json| Link {
            trace_id: json.id("traceId", "trace_id"),
            span_id: json.id("spanId", "span_id"),
            trace_state: json.text("traceState", "trace_state"),
            attributes: attributes(json),
            dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
            flags: json.u32("flags", "flags"),
        }),
        dropped_links_count: json.u32("droppedLinksCount", "dropped_links_count"),
        status: json.object("status", "status").map(|json| Status {
            message: json.text("message", "message"),
            code: json.enumeration("code", "code", |name| {
                StatusCode::from_str_name(name).map(|code| code as i32)
            }),
        }),
    };
    json.locate(lost, || format!("span {:?}", beginning(&span.name)));
    span
}

fn log_record(json: Object<'_>) -> LogRecord {
    let severity = |name: &str| SeverityNumber::from_str_name(name).map(|severity| severity as i32);
    LogRecord {
        time_unix_nano: json.u64("timeUnixNano", "time_unix_nano"),
        observed_time_unix_nano: json.u64("observedTimeUnixNano", "observed_time_unix_nano"),
        severity_number: json.enumeration("severityNumber", "severity_number", severity),
        severity_text: json.text("severityText", "severity_text"),
        body: json.get("body", "body").and_then(|body| {
            let read = value(json, body, 1);
            read.inspect_err(|why| json.lose(|| format!("log record: body is {}", why.as_str())))
                .ok()
        }),
        attributes: attributes(json),
        dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
        flags: json.u32("flags", "flags"),
        trace_id: json.id("traceId", "trace_id"),
        span_id: json.id("spanId", "span_id"),
        event_name: json.text("eventName", "event_name"),
    }
}

fn attributes(json: Object<'_>) -> Vec<KeyValue> {
    json.list("attributes", "attributes", |json| {
        key_value(json, 0).unwrap_or_else(|key| {
            json.lose(|| format!("attribute {:?} is {}", beginning(&key), Unread::Deep.as_str()));
            KeyValue {
                key,
                ..KeyValue::default()
            }
        })
    })
}

/// An attribute or an entry of a map, so deep in values; its key alone where its value stands too deep. A value that is
/// wrong in itself is left out here.
fn key_value(json: Object<'_>, depth: usize) -> Result<KeyValue, String> {
    let key = json.text("key", "key");
    let value = match json
        .get("value", "value")
        .map(|node| value(json, node, depth + 1))
    {
        Some(Err(Unread::Deep)) => return Err(key),
        Some(Err(Unread::Wrong(why))) => {
            json.lose(|| format!("attribute {:?} is {why}", beginning(&key)));
            None
        }
        Some(Ok(value)) => Some(value),
        None => None,
    };
    Ok(KeyValue {
        key,
        value,
        ..KeyValue::default()
    })
}

/// A value of any kind, which is told by the name of its member. One with none of them is the empty value.
fn value<'a>(within: Object<'a>, node: &'a Node<'a>, depth: usize) -> Result<AnyValue, Unread> {
    if depth > DEEPEST_VALUE || *node == Node::Deep {
        return Err(Unread::Deep);
    }
    let json = within
        .inner(node)
        .ok_or(Unread::Wrong("not an object with its kind"))?;
    for (name, node) in json.members() {
        let value = match name {
            "stringValue" | "string_value" => {
                let text = node.as_str().ok_or(Unread::Wrong("not a text"))?;
                Any::StringValue(text.to_owned())
            }
            "boolValue" | "bool_value" => {
                Any::BoolValue(scalar::truth(node).ok_or(Unread::Wrong("not true or false"))?)
            }
            "intValue" | "int_value" => {
                let number = scalar::signed(node);
                Any::IntValue(number.ok_or(Unread::Wrong("not a whole number of 64 bits"))?)
            }
            "doubleValue" | "double_value" => {
                Any::DoubleValue(scalar::double(node).ok_or(Unread::Wrong("not a number"))?)
            }
            "bytesValue" | "bytes_value" => {
                Any::BytesValue(scalar::bytes(node).ok_or(Unread::Wrong("not in base64"))?)
            }
            "arrayValue" | "array_value" => Any::ArrayValue(ArrayValue {
                values: array(values_of(json, node)?, depth + 1)?,
            }),
            "kvlistValue" | "kvlist_value" => Any::KvlistValue(KeyValueList {
                values: map(values_of(json, node)?, depth + 1)?,
            }),
            _ => continue,
        };
        return Ok(AnyValue { value: Some(value) });
    }
    Ok(AnyValue::default())
}

/// The object in which the values of an array or of a map stand.
fn values_of<'a>(json: Object<'a>, node: &'a Node<'a>) -> Result<Object<'a>, Unread> {
    if *node == Node::Deep {
        return Err(Unread::Deep);
    }
    json.inner(node).ok_or(Unread::Wrong("not an object with values"))
}

/// The values of an array. One that cannot be read is empty there, so that the others keep their places.
fn array(json: Object<'_>, depth: usize) -> Result<Vec<AnyValue>, Unread> {
    let items = json.items("values", "values").iter().map(|node| match node {
        Node::Null => Ok(AnyValue::default()),
        node => match value(json, node, depth + 1) {
            Err(Unread::Wrong(why)) => {
                json.lose(|| format!("a value in an array is {why}"));
                Ok(AnyValue::default())
            }
            read => read,
        },
    });
    items.collect()
}

/// The entries of a map.
fn map(json: Object<'_>, depth: usize) -> Result<Vec<KeyValue>, Unread> {
    let entries = json
        .items("values", "values")
        .iter()
        .filter(|node| **node != Node::Null);
    let entries = entries.filter_map(|node| match (node, json.inner(node)) {
        (Node::Deep, _) => Some(Err(Unread::Deep)),
        (_, Some(entry)) => Some(key_value(entry, depth + 1).map_err(|_| Unread::Deep)),
        (_, None) => {
            json.lose(|| "an entry of a map is not an object".to_owned());
            None
        }
    });
    entries.collect()
}
