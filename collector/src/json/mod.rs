//! OTLP/JSON, read leniently (OTLP specification, "JSON Protobuf Encoding"): lowerCamelCase or snake_case keys,
//! 64-bit integers as text or numbers, enums as numbers or names, ids in hex, unknown keys ignored, null as absent.
//! An id that is no hex stays empty, so that only its span is refused and not the export.

mod count;
mod node;
mod object;
mod read;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::census::Census;
use node::Node;
pub(crate) use node::tree_bytes;
use object::Object;

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
        count::count(&self.0, None, 0, &mut census);
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
            resource_spans: root.list("resourceSpans", "resource_spans", read::resource_spans),
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
            resource_logs: root.list("resourceLogs", "resource_logs", read::resource_logs),
        })
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
