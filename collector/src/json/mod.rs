//! OTLP/JSON, read leniently (OTLP specification, "JSON Protobuf Encoding"): lowerCamelCase or snake_case keys, scalars in
//! every form of ProtoJSON, ids in hex or base64, the names of scopes before OTLP 0.15, unknown keys ignored, null as absent.
//! Parts that cannot be read are left out alone, and noted. An id that is neither stays empty, so that only its span is
//! refused and not the export.

mod count;
mod node;
mod object;
mod parse;
mod read;
mod scalar;

use std::cell::RefCell;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::census::Census;
use crate::codec::Signal;
use crate::losses::Losses;
use node::Node;
pub(crate) use node::tree_bytes;
use object::Object;
use parse::SyntaxError;

/// The JSON is no OTLP request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidJson {
    #[error("the body is not JSON: {0}")]
    Syntax(#[from] SyntaxError),
    #[error("the body is not an OTLP request: expected a JSON object with {0:?}")]
    Shape(&'static str),
    #[error("the body is not an OTLP request: {0:?} is not a list of objects")]
    List(&'static str),
}

/// The list in which an export of this signal has everything, in camel case and in snake case.
fn list_of(signal: Signal) -> (&'static str, &'static str) {
    match signal {
        Signal::Traces => ("resourceSpans", "resource_spans"),
        Signal::Logs => ("resourceLogs", "resource_logs"),
        Signal::Metrics => ("resourceMetrics", "resource_metrics"),
    }
}

/// An export as a JSON tree.
pub(crate) struct Document<'a>(Node<'a>);

impl<'a> Document<'a> {
    /// Parses the text. How much memory that takes is to be asked before: [`tree_bytes`].
    pub(crate) fn parse(text: &'a str) -> Result<Self, InvalidJson> {
        Ok(Self(parse::parse(text)?))
    }

    /// The object of the whole, with the list of which everything else stands.
    fn root<'b>(
        &'b self,
        (camel, snake): (&'static str, &'static str),
        losses: &'b RefCell<Losses>,
    ) -> Result<Object<'b>, InvalidJson> {
        let root = Object::of(&self.0, losses).ok_or(InvalidJson::Shape(camel))?;
        match root.get(camel, snake) {
            Some(list) if list.as_list().is_none() => Err(InvalidJson::List(camel)),
            _ => Ok(root),
        }
    }

    /// The signal that the export is of, where it has no records of the one that it was sent as.
    pub(crate) fn other_signal(&self, own: Signal) -> Option<Signal> {
        let losses = RefCell::default();
        let root = Object::of(&self.0, &losses)?;
        let is_of = |signal: &Signal| {
            let (camel, snake) = list_of(*signal);
            let list = root.get(camel, snake).and_then(Node::as_list);
            list.is_some_and(|list| !list.is_empty())
        };
        let others = || Signal::ALL.into_iter().filter(|signal| *signal != own);
        others().find(is_of).filter(|_| !is_of(&own))
    }

    /// Notes the records of other signals beside those of the one that is read.
    fn lose_others(own: Signal, root: Object<'_>) {
        for other in Signal::ALL.into_iter().filter(|signal| *signal != own) {
            let (camel, snake) = list_of(other);
            let groups = root.get(camel, snake).and_then(Node::as_list);
            for _ in groups.unwrap_or_default() {
                root.lose_record(|| other.misplaced_beside(camel));
            }
        }
    }

    /// Counts what a trace or log export would become.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        count::count(&self.0, None, 0, &mut census);
        census
    }

    /// Reads a trace export.
    pub(crate) fn traces(&self) -> Result<(ExportTraceServiceRequest, Losses), InvalidJson> {
        let losses = RefCell::default();
        let root = self.root(list_of(Signal::Traces), &losses)?;
        Self::lose_others(Signal::Traces, root);
        let request = ExportTraceServiceRequest {
            resource_spans: root.records("resourceSpans", "resource_spans", read::resource_spans),
        };
        Ok((request, losses.into_inner()))
    }

    /// Reads a log export.
    pub(crate) fn logs(&self) -> Result<(ExportLogsServiceRequest, Losses), InvalidJson> {
        let losses = RefCell::default();
        let root = self.root(list_of(Signal::Logs), &losses)?;
        Self::lose_others(Signal::Logs, root);
        let request = ExportLogsServiceRequest {
            resource_logs: root.records("resourceLogs", "resource_logs", read::resource_logs),
        };
        Ok((request, losses.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::Span;
    use opentelemetry_proto::tonic::trace::v1::span::Link;

    use super::*;

    fn read(text: &str) -> Result<(ExportTraceServiceRequest, Losses), InvalidJson> {
        Document::parse(text)?.traces()
    }

    fn traces(text: &str) -> Result<ExportTraceServiceRequest, InvalidJson> {
        read(text).map(|(request, _)| request)
    }

    fn logs(text: &str) -> Result<(ExportLogsServiceRequest, Losses), InvalidJson> {
        Document::parse(text)?.logs()
    }

    /// The span of a trace export that has one with these members, and what was lost of it.
    fn span(members: &str) -> (Span, Losses) {
        let text = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{{members}}}]}}]}}]}}");
        let (mut request, losses) = read(&text).unwrap();
        (request.resource_spans[0].scope_spans[0].spans.remove(0), losses)
    }

    #[test]
    fn lists_of_scopes_may_have_their_old_names() {
        let old = |kind: &str, records: &str| {
            format!(
                r#"{{"resource{kind}":[{{"instrumentationLibrary{kind}":[{{"instrumentationLibrary":{{"name":"old"}},"{records}":[{{}},{{}}]}}],
                "scope{kind}":[{{"scope":{{"name":"new"}},"{records}":[{{}}]}}]}}]}}"#
            )
        };
        let request = traces(&old("Spans", "spans")).unwrap();
        let scopes = &request.resource_spans[0].scope_spans;
        let read: Vec<_> = scopes
            .iter()
            .map(|scope| (scope.scope.as_ref().unwrap().name.as_str(), scope.spans.len()))
            .collect();
        assert_eq!(read, [("new", 1), ("old", 2)]);
        let (request, losses) = logs(&old("Logs", "logRecords")).unwrap();
        let scopes = &request.resource_logs[0].scope_logs;
        assert_eq!((scopes.len(), scopes[1].log_records.len()), (2, 2));
        assert_eq!(losses, Losses::default());
    }

    #[test]
    fn both_encodings_count_the_same() {
        use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
        use prost::Message as _;
        let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"r"},{"key":"s"}]},"scopeSpans":[{"spans":[
            {"attributes":[{"key":"a","value":{"kvlistValue":{"values":[{"key":"q"}]}}}],"events":[{"name":"e"},{}],"links":[{}]}]},{}]}]}"#;
        let counted = Document::parse(json).unwrap().census();
        let request = traces(json).unwrap();
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
            let census = Document::parse(&text).unwrap().census();
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
        let json = r#"{"resourceSpans":[{"resource":null,"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
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
    fn a_value_that_cannot_be_read_costs_itself_and_is_told() {
        let deep = |levels: usize| {
            let (open, close) = (
                r#"{"kvlistValue":{"values":[{"key":"k","value":"#.repeat(levels),
                "}]}}".repeat(levels),
            );
            format!("{open}{{}}{close}")
        };
        let (beyond, far) = (deep(31), deep(10_000));
        for (value, why) in [
            ("5", "not an object with its kind"),
            ("[]", "not an object with its kind"),
            (r#"{"stringValue":5}"#, "not a text"),
            (r#"{"intValue":1.5}"#, "not a whole number of 64 bits"),
            (
                r#"{"intValue":"9223372036854775808"}"#,
                "not a whole number of 64 bits",
            ),
            (r#"{"doubleValue":"x"}"#, "not a number"),
            (r#"{"doubleValue":1e400}"#, "not a number"),
            (r#"{"boolValue":1}"#, "not true or false"),
            (r#"{"bytesValue":"?"}"#, "not in base64"),
            (r#"{"arrayValue":[]}"#, "not an object with values"),
            (beyond.as_str(), "nested too deep"),
            (far.as_str(), "nested too deep"),
        ] {
            let members = format!(
                r#""name":"n","attributes":[{{"key":"bad","value":{value}}},{{"key":"good","value":{{"intValue":"1"}}}}]"#
            );
            let (span, losses) = span(&members);
            let [bad, good] = span.attributes.as_slice() else {
                panic!("{value}: {span:?}");
            };
            assert_eq!((bad.key.as_str(), &bad.value), ("bad", &None), "{value}");
            assert!(good.key == "good" && good.value.is_some(), "{value}");
            let example = losses.values.example.unwrap();
            assert_eq!(example, format!("span \"n\": attribute \"bad\" is {why}"));
            assert_eq!((losses.values.count, losses.records.count), (1, 0), "{value}");
        }
        let (span, losses) = span(&format!(r#""attributes":[{{"key":"k","value":{}}}]"#, deep(30)));
        assert!(span.attributes[0].value.is_some() && losses == Losses::default());
    }

    #[test]
    fn entries_that_cannot_be_read_leave_the_others_in_their_places() {
        let values = r#"[{"intValue":1},null,7,{"stringValue":[]},{"intValue":2}]"#;
        let members = format!(
            r#""attributes":[null,3,{{"key":"a","value":{{"arrayValue":{{"values":{values}}}}}}},
            {{"key":"m","value":{{"kvlistValue":{{"values":[null,4,{{"key":"x","value":{{"boolValue":"?"}}}}]}}}}}}]"#
        );
        let (span, losses) = span(&members);
        assert_eq!(
            serde_json::Value::Object(crate::value::object(&span.attributes)).to_string(),
            r#"{"a":[1,null,null,null,2],"m":{"x":null}}"#
        );
        assert_eq!((losses.values.count, losses.records.count), (5, 0));
    }

    #[test]
    fn fields_that_cannot_be_read_are_absent_and_told() {
        let (span, losses) = span(
            r#""name":5,"kind":"SPAN_KIND_ODD","traceId":"xyz","startTimeUnixNano":"soon","events":{},"status":"OK",
            "flags":-1,"attributes":{"a":1},"links":[{"spanId":7}],"endTimeUnixNano":null,"unknown":[{"deep":[]}]"#,
        );
        let expected = Span {
            links: vec![Link::default()],
            ..Span::default()
        };
        assert_eq!((span, losses.values.count), (expected, 9));
        let (request, losses) = logs(
            r#"{"resource_logs":[{"resource":3,"scope_logs":[{"log_records":[{"body":"text","severity_text":"WARN"}]}]}]}"#,
        )
        .unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.severity_text.as_str(), &record.body), ("WARN", &None));
        assert_eq!((losses.values.count, losses.records.count), (2, 0));
    }

    #[test]
    fn records_that_cannot_be_read_are_counted() {
        let (request, losses) = read(
            r#"{"resourceSpans":[7,{"scopeSpans":{}},{"scopeSpans":[[],{"spans":5},{"spans":[null,"x",{"name":"good"}]}]}]}"#,
        )
        .unwrap();
        assert_eq!(request.resource_spans[1].scope_spans[1].spans[0].name, "good");
        assert_eq!((losses.values.count, losses.records.count), (0, 5));
    }

    #[test]
    fn scalars_are_read_in_every_form() {
        let (span, losses) = span(
            r#""kind":"2","start_time_unix_nano":1.7e18,"endTimeUnixNano":"1700000000000000001",
            "status":{"code":"STATUS_CODE_ERROR"},"dropped_attributes_count":"3.0","flags":1e2,"spanId":"eEe19B7ec3C1b174",
            "attributes":[{"key":"i","value":{"intValue":"1e3"}},{"key":"j","value":{"int_value":5.0}},
            {"key":"d","value":{"doubleValue":-Infinity}},{"key":"e","value":{"doubleValue":"Infinity"}},
            {"key":"f","value":{"doubleValue":"2"}},{"key":"n","value":{"doubleValue":null}},
            {"key":"b","value":{"bytesValue":"-__-AQ"}},{"key":"t","value":{"stringValue":"cut \ud83d"}}]"#,
        );
        assert_eq!(losses, Losses::default());
        assert_eq!((span.kind, span.status.unwrap().code), (2, 2));
        assert_eq!(
            (span.start_time_unix_nano, span.end_time_unix_nano),
            (1_700_000_000_000_000_000, 1_700_000_000_000_000_001)
        );
        assert_eq!(
            (span.dropped_attributes_count, span.flags, span.span_id[0]),
            (3, 100, 0xee)
        );
        let attributes = serde_json::Value::Object(crate::value::object(&span.attributes));
        assert_eq!(
            attributes,
            serde_json::json!({"i": 1000, "j": 5, "d": "-Infinity", "e": "Infinity", "f": 2.0, "n": null,
                "b": "+//+AQ==", "t": "cut \u{fffd}"})
        );
    }

    #[test]
    fn what_is_no_request_says_so() {
        assert!(traces("{").unwrap_err().to_string().contains("not JSON"));
        assert!(logs("[]").unwrap_err().to_string().contains("resourceLogs"));
        assert!(
            traces("nonsense")
                .unwrap_err()
                .to_string()
                .contains("resourceSpans")
        );
        assert!(traces("{}").unwrap().resource_spans.is_empty());
        assert!(
            traces("\u{feff}{\"resourceSpans\":null}")
                .unwrap()
                .resource_spans
                .is_empty()
        );
        let error = traces(r#"{"resourceSpans":3}"#).unwrap_err().to_string();
        assert!(error.contains("resourceSpans"), "{error}");
    }
}
