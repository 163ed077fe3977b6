//! OTLP/JSON, read leniently (OTLP specification, "JSON Protobuf Encoding"): lowerCamelCase or snake_case keys,
//! 64-bit integers as text or numbers, enums as numbers or names, ids in hex, unknown keys ignored, null as absent.
//! An id that is no hex stays empty, so that only its span is refused and not the export.

mod node;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::census::{Census, Part};
use node::Node;
pub(crate) use node::tree_bytes;

/// The JSON is no OTLP request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidJson {
    #[error("the body is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("the body is not an OTLP request: expected a JSON object with {0:?}")]
    Shape(&'static str),
    #[error("the body is not an OTLP request: {0:?} is not a list of objects")]
    List(&'static str),
}

/// An export as a JSON tree.
pub(crate) struct Document<'a>(Node<'a>);

impl<'a> Document<'a> {
    /// Parses the text. How much memory that takes is to be asked before: [`tree_bytes`].
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, InvalidJson> {
        Ok(Self(serde_json::from_slice(body)?))
    }

    fn root(&self, list: &'static str) -> Result<Object<'_>, InvalidJson> {
        self.0.as_object().map(Object).ok_or(InvalidJson::Shape(list))
    }

    /// Counts what a trace or log export would become.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        count(&self.0, None, 0, &mut census);
        census
    }

    /// Reads a trace export.
    pub(crate) fn traces(&self) -> Result<ExportTraceServiceRequest, InvalidJson> {
        let root = self.root("resourceSpans")?;
        check(
            root,
            &[
                ("resourceSpans", "resource_spans"),
                ("scopeSpans", "scope_spans"),
                ("spans", "spans"),
            ],
        )?;
        Ok(ExportTraceServiceRequest {
            resource_spans: root.list("resourceSpans", "resource_spans", resource_spans),
        })
    }

    /// Reads a log export.
    pub(crate) fn logs(&self) -> Result<ExportLogsServiceRequest, InvalidJson> {
        let root = self.root("resourceLogs")?;
        check(
            root,
            &[
                ("resourceLogs", "resource_logs"),
                ("scopeLogs", "scope_logs"),
                ("logRecords", "log_records"),
            ],
        )?;
        Ok(ExportLogsServiceRequest {
            resource_logs: root.list("resourceLogs", "resource_logs", resource_logs),
        })
    }
}

/// How deep the objects stand that have a resource and its scopes: in the list of the whole.
const GROUPS: usize = 2;

/// Counts by the names of lists, wherever they stand: what stands elsewhere than in OTLP is counted, but not read.
fn count(node: &Node<'_>, part: Option<Part>, depth: usize, census: &mut Census) {
    match node {
        Node::List(items) => {
            for item in items {
                if let Some(part) = part {
                    census.note(part);
                }
                count(item, None, depth + 1, census);
            }
        }
        Node::Object(entries) => {
            let (mut resource, mut scopes) = (0_usize, 0_usize);
            for (name, value) in entries {
                let before = census.built();
                let part = named(name);
                count(value, part, depth + 1, census);
                if depth == GROUPS && name == "resource" {
                    resource = census.built() - before + texts(value);
                }
                if depth == GROUPS && part == Some(Part::Scope) {
                    scopes = scopes.max(value.as_list().map_or(0, <[_]>::len));
                }
            }
            census.copies(resource, scopes);
        }
        _ => {}
    }
}

/// What the entries of a list of this name are.
fn named(name: &str) -> Option<Part> {
    Some(match name {
        "resourceSpans" | "resource_spans" | "resourceLogs" | "resource_logs" => Part::Group,
        "scopeSpans" | "scope_spans" | "scopeLogs" | "scope_logs" => Part::Scope,
        "spans" => Part::Span,
        "logRecords" | "log_records" => Part::Record,
        "events" => Part::Event,
        "links" => Part::Link,
        // Values of an array or of a map; those of a map take more.
        "attributes" | "values" => Part::Attribute,
        _ => return None,
    })
}

/// How many bytes the texts below have.
fn texts(node: &Node<'_>) -> usize {
    match node {
        Node::Text(text) => text.len(),
        Node::List(items) => items.iter().map(texts).sum(),
        Node::Object(entries) => entries
            .iter()
            .map(|(name, value)| name.len() + texts(value))
            .sum(),
        _ => 8,
    }
}

/// Spans and records must be where they belong: what is skipped in silence would be acknowledged and lost.
fn check(json: Object<'_>, path: &[(&'static str, &'static str)]) -> Result<(), InvalidJson> {
    let Some(((camel, snake), below)) = path.split_first() else {
        return Ok(());
    };
    let Some(items) = json.get(camel, snake) else {
        return Ok(());
    };
    let items = items.as_list().ok_or(InvalidJson::List(camel))?;
    items.iter().try_for_each(|item| {
        check(
            item.as_object().map(Object).ok_or(InvalidJson::List(camel))?,
            below,
        )
    })
}

/// A JSON object, read field by field.
#[derive(Clone, Copy)]
struct Object<'a>(&'a [(Cow<'a, str>, Node<'a>)]);

impl<'a> Object<'a> {
    /// Of a name given twice the last counts.
    fn get(self, camel: &str, snake: &str) -> Option<&'a Node<'a>> {
        let named = |name: &str| {
            let entries = self.0.iter().rev();
            entries
                .into_iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        named(camel)
            .or_else(|| named(snake))
            .filter(|value| **value != Node::Null)
    }

    fn object(self, camel: &str, snake: &str) -> Option<Object<'a>> {
        self.get(camel, snake)?.as_object().map(Object)
    }

    fn list<T>(self, camel: &str, snake: &str, read: impl Fn(Object<'a>) -> T) -> Vec<T> {
        let items = self.get(camel, snake).and_then(Node::as_list);
        items
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_object())
            .map(|item| read(Object(item)))
            .collect()
    }

    fn text(self, camel: &str, snake: &str) -> String {
        self.get(camel, snake)
            .and_then(Node::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    fn u64(self, camel: &str, snake: &str) -> u64 {
        match self.get(camel, snake) {
            Some(Node::Text(text)) => text.parse().unwrap_or_default(),
            Some(number) => number
                .as_u64()
                .or_else(|| whole(number.as_f64()?))
                .unwrap_or_default(),
            None => 0,
        }
    }

    fn u32(self, camel: &str, snake: &str) -> u32 {
        u32::try_from(self.u64(camel, snake)).unwrap_or(u32::MAX)
    }

    fn enumeration(self, camel: &str, snake: &str, named: impl Fn(&str) -> Option<i32>) -> i32 {
        match self.get(camel, snake) {
            Some(Node::Text(text)) => named(text).or_else(|| text.parse().ok()).unwrap_or_default(),
            Some(number) => number
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .unwrap_or_default(),
            None => 0,
        }
    }

    fn id(self, camel: &str, snake: &str) -> Vec<u8> {
        self.get(camel, snake)
            .and_then(Node::as_str)
            .and_then(hex)
            .unwrap_or_default()
    }

    fn attributes(self) -> Vec<KeyValue> {
        self.list("attributes", "attributes", key_value)
    }
}

fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}

fn resource_spans(json: Object<'_>) -> ResourceSpans {
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

fn resource_logs(json: Object<'_>) -> ResourceLogs {
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
        attributes: json.attributes(),
        ..Resource::default()
    }
}

fn scope(json: Object<'_>) -> InstrumentationScope {
    InstrumentationScope {
        name: json.text("name", "name"),
        version: json.text("version", "version"),
        attributes: json.attributes(),
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
        attributes: json.attributes(),
        dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
        events: json.list("events", "events", |json| Event {
            time_unix_nano: json.u64("timeUnixNano", "time_unix_nano"),
            name: json.text("name", "name"),
            attributes: json.attributes(),
            dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
        }),
        dropped_events_count: json.u32("droppedEventsCount", "dropped_events_count"),
        links: json.list("links", "links", |json| Link {
            trace_id: json.id("traceId", "trace_id"),
            span_id: json.id("spanId", "span_id"),
            trace_state: json.text("traceState", "trace_state"),
            attributes: json.attributes(),
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
        attributes: json.attributes(),
        dropped_attributes_count: json.u32("droppedAttributesCount", "dropped_attributes_count"),
        flags: json.u32("flags", "flags"),
        trace_id: json.id("traceId", "trace_id"),
        span_id: json.id("spanId", "span_id"),
        event_name: json.text("eventName", "event_name"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, InvalidJson> {
        Document::parse(body)?.traces()
    }

    fn logs(body: &[u8]) -> Result<ExportLogsServiceRequest, InvalidJson> {
        Document::parse(body)?.logs()
    }

    #[test]
    fn both_encodings_count_the_same() {
        use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
        use prost::Message as _;
        let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"r"},{"key":"s"}]},"scopeSpans":[{"spans":[
            {"attributes":[{"key":"a","value":{"kvlistValue":{"values":[{"key":"q"}]}}}],"events":[{"name":"e"},{}],"links":[{}]}]},{}]}]}"#;
        let counted = Document::parse(json.as_bytes()).unwrap().census();
        let request = traces(json.as_bytes()).unwrap();
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert!(matches!(
            span.attributes[0].value.as_ref().unwrap().value,
            Some(Any::KvlistValue(_))
        ));
        let on_wire = crate::wire::count(crate::wire::Message::Traces, &request.encode_to_vec()).unwrap();
        // Only the texts of the resource are written otherwise.
        let difference = counted.built().abs_diff(on_wire.built());
        assert!(difference < 64, "{} {}", counted.built(), on_wire.built());
    }

    #[test]
    fn empty_objects_are_counted_and_texts_are_not() {
        for list in [
            "spans",
            "events",
            "links",
            "attributes",
            "values",
            "logRecords",
            "scopeSpans",
            "resourceLogs",
        ] {
            let text = format!("{{\"x\":{{\"{list}\":[{}{{}}]}}}}", "{},".repeat(100_000));
            let census = Document::parse(text.as_bytes()).unwrap().census();
            assert!(census.built() >= 100_000 * 100, "{list}: {}", census.built());
        }
        assert!(tree_bytes(format!("[{}{{}}]", "{},".repeat(100_000)).as_bytes()) > 100_000 * 32);
        assert_eq!(
            tree_bytes(format!("[{:?}]", "{[,:\"\\".repeat(1000)).as_bytes()),
            tree_bytes(b"[1]")
        );
    }

    #[test]
    fn every_form_of_any_value() {
        let json = br#"{"resourceSpans":[{"resource":null,"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
            "spanId":"EEE19B7EC3C1B174","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1544712660000000001","endTimeUnixNano":1544712661000000000,
            "unknown":{"a":[1]},"attributes":[
            {"key":"s","value":{"stringValue":"x"}},{"key":"i","value":{"intValue":"9223372036854775807"}},{"key":"j","value":{"intValue":-5}},
            {"key":"d","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bytesValue":"AQI="}},{"key":"e","value":{}},{"key":"n"},
            {"key":"a","value":{"arrayValue":{"values":[{"boolValue":true}]}}},
            {"key":"k","value":{"kvlistValue":{"values":[{"key":"q","value":{"doubleValue":1.5}}]}}}]}]}]}]}"#;
        let request = traces(json).unwrap();
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(
            (span.kind, span.start_time_unix_nano, span.span_id[0]),
            (2, 1_544_712_660_000_000_001, 0xee)
        );
        let attributes = crate::value::object(&span.attributes);
        assert_eq!(
            serde_json::Value::Object(attributes).to_string(),
            r#"{"s":"x","i":9223372036854775807,"j":-5,"d":"NaN","b":"AQI=","e":null,"n":null,"a":[true],"k":{"q":1.5}}"#
        );
    }

    #[test]
    fn what_is_no_request_says_so() {
        assert!(traces(b"{").unwrap_err().to_string().contains("not JSON"));
        assert!(logs(b"[]").unwrap_err().to_string().contains("resourceLogs"));
        assert!(traces(b"{}").unwrap().resource_spans.is_empty());
        for (body, list) in [
            (r#"{"resourceSpans":3}"#, "resourceSpans"),
            (r#"{"resourceSpans":[{"scopeSpans":{"spans":[]}}]}"#, "scopeSpans"),
            (r#"{"resourceSpans":[{"scopeSpans":[{"spans":["x"]}]}]}"#, "spans"),
        ] {
            assert!(
                traces(body.as_bytes()).unwrap_err().to_string().contains(list),
                "{body}"
            );
        }
        assert!(logs(br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[1]}]}]}"#).is_err());
    }
}
