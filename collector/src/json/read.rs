//! OTLP's messages, read from JSON objects.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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

pub(super) fn resource_spans(json: Object<'_>) -> ResourceSpans {
    ResourceSpans {
        resource: json.object("resource", "resource").map(resource),
        scope_spans: json.list("scopeSpans", "scope_spans", |json| ScopeSpans {
            scope: json.object("scope", "scope").map(scope),
            spans: json.list("spans", "spans", span),
            schema_url: json.text("schemaUrl", "schema_url"),
        }),
        schema_url: json.text("schemaUrl", "schema_url"),
    }
}

pub(super) fn resource_logs(json: Object<'_>) -> ResourceLogs {
    ResourceLogs {
        resource: json.object("resource", "resource").map(resource),
        scope_logs: json.list("scopeLogs", "scope_logs", |json| ScopeLogs {
            scope: json.object("scope", "scope").map(scope),
            log_records: json.list("logRecords", "log_records", log_record),
            schema_url: json.text("schemaUrl", "schema_url"),
        }),
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
    Span {
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
    }
}

fn log_record(json: Object<'_>) -> LogRecord {
    let severity = |name: &str| SeverityNumber::from_str_name(name).map(|severity| severity as i32);
    LogRecord {
        time_unix_nano: json.u64("timeUnixNano", "time_unix_nano"),
        observed_time_unix_nano: json.u64("observedTimeUnixNano", "observed_time_unix_nano"),
        severity_number: json.enumeration("severityNumber", "severity_number", severity),
        severity_text: json.text("severityText", "severity_text"),
        body: json.object("body", "body").map(any_value),
        attributes: attributes(json),
        dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
        flags: json.u32("flags", "flags"),
        trace_id: json.id("traceId", "trace_id"),
        span_id: json.id("spanId", "span_id"),
        event_name: json.text("eventName", "event_name"),
    }
}

fn attributes(json: Object<'_>) -> Vec<KeyValue> {
    json.list("attributes", "attributes", key_value)
}

fn key_value(json: Object<'_>) -> KeyValue {
    KeyValue {
        key: json.text("key", "key"),
        value: json.object("value", "value").map(any_value),
        ..KeyValue::default()
    }
}

/// The kinds of any-value, by key. One with none of them is the empty value.
fn any_value(json: Object<'_>) -> AnyValue {
    let value = json.0.iter().find_map(|(key, value)| match key.as_ref() {
        "stringValue" | "string_value" => value.as_str().map(|text| Any::StringValue(text.to_owned())),
        "boolValue" | "bool_value" => value.as_bool().map(Any::BoolValue),
        "intValue" | "int_value" => match value {
            Node::Text(text) => text.parse().ok().map(Any::IntValue),
            other => other.as_i64().map(Any::IntValue),
        },
        "doubleValue" | "double_value" => match value {
            Node::Text(text) => text.parse().ok().map(Any::DoubleValue),
            other => other.as_f64().map(Any::DoubleValue),
        },
        "bytesValue" | "bytes_value" => value
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok())
            .map(Any::BytesValue),
        "arrayValue" | "array_value" => value.as_object().map(|array| {
            Any::ArrayValue(ArrayValue {
                values: Object(array).list("values", "values", any_value),
            })
        }),
        "kvlistValue" | "kvlist_value" => value.as_object().map(|list| {
            Any::KvlistValue(KeyValueList {
                values: Object(list).list("values", "values", key_value),
            })
        }),
        _ => None,
    });
    AnyValue { value }
}
