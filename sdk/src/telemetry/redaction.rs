//! Secrets are cut out of spans and log records before they are encoded: nothing on the wire or on disk has them.

use std::borrow::Cow;

use mcptap_model::redact::Redactor;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider};
use opentelemetry::trace::Status;
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::SpanData;
use serde_json::Map;

/// Redacts what is recorded.
#[derive(Debug)]
pub(super) struct Redaction {
    rules: Redactor,
    /// Makes empty log records: the attributes of a record can be added to, and not changed.
    blank: SdkLogger,
}

// === impl Redaction ===

impl Redaction {
    pub(super) fn new(rules: Redactor) -> Self {
        Self {
            rules,
            blank: SdkLoggerProvider::builder().build().logger(""),
        }
    }

    pub(super) fn resource(&self, resource: &Resource) -> Resource {
        let attributes = resource.iter().map(|(key, value)| {
            let mut attribute = KeyValue::new(key.clone(), value.clone());
            self.attribute(&mut attribute);
            attribute
        });
        let builder = Resource::builder_empty();
        match resource.schema_url() {
            Some(schema) => builder.with_schema_url(attributes, schema.to_owned()).build(),
            None => builder.with_attributes(attributes).build(),
        }
    }

    /// Name, attributes, status text, events (with their stack traces) and links.
    pub(super) fn span(&self, span: &mut SpanData) {
        self.cow(&mut span.name);
        self.attributes(&mut span.attributes);
        if let Status::Error { description } = &mut span.status {
            self.cow(description);
        }
        for event in &mut span.events.events {
            self.cow(&mut event.name);
            self.attributes(&mut event.attributes);
        }
        for link in &mut span.links.links {
            self.attributes(&mut link.attributes);
        }
    }

    /// Body and attributes.
    pub(super) fn log(&self, record: &mut SdkLogRecord) {
        if let Some(mut body) = record.body().cloned()
            && self.any("", &mut body)
        {
            record.set_body(body);
        }
        let mut attributes: Vec<(Key, AnyValue)> = record.attributes_iter().cloned().collect();
        let mut changed = false;
        for (key, value) in &mut attributes {
            changed |= self.any(key.as_str(), value);
        }
        if changed {
            *record = self.rewritten(record, attributes);
        }
    }

    /// The record with other attributes.
    fn rewritten(&self, record: &SdkLogRecord, attributes: Vec<(Key, AnyValue)>) -> SdkLogRecord {
        let mut new = self.blank.create_log_record();
        if let Some(name) = record.event_name() {
            new.set_event_name(name);
        }
        if let Some(target) = record.target() {
            new.set_target(target.clone());
        }
        if let Some(timestamp) = record.timestamp() {
            new.set_timestamp(timestamp);
        }
        if let Some(observed) = record.observed_timestamp() {
            new.set_observed_timestamp(observed);
        }
        if let Some(trace) = record.trace_context() {
            new.set_trace_context(trace.trace_id, trace.span_id, trace.trace_flags);
        }
        if let Some(text) = record.severity_text() {
            new.set_severity_text(text);
        }
        if let Some(number) = record.severity_number() {
            new.set_severity_number(number);
        }
        if let Some(body) = record.body() {
            new.set_body(body.clone());
        }
        new.add_attributes(attributes);
        new
    }

    fn attributes(&self, attributes: &mut [KeyValue]) {
        for attribute in attributes {
            self.attribute(attribute);
        }
    }

    fn attribute(&self, attribute: &mut KeyValue) {
        match &mut attribute.value {
            Value::String(text) => {
                self.named(attribute.key.as_str(), text);
            }
            Value::Array(Array::String(texts)) => self.texts(attribute.key.as_str(), texts),
            _ => {}
        }
    }

    fn any(&self, name: &str, value: &mut AnyValue) -> bool {
        match value {
            AnyValue::String(text) => self.named(name, text),
            AnyValue::ListAny(items) => items
                .iter_mut()
                .fold(false, |changed, item| self.any(name, item) | changed),
            AnyValue::Map(entries) => entries.iter_mut().fold(false, |changed, (key, value)| {
                self.any(key.as_str(), value) | changed
            }),
            _ => false,
        }
    }

    /// A text that stands under a name.
    fn named(&self, name: &str, text: &mut StringValue) -> bool {
        let mut object = Map::new();
        object.insert(name.to_owned(), text.as_str().into());
        self.rules.redact_object(&mut object);
        match object.remove(name) {
            Some(serde_json::Value::String(clean)) if clean != text.as_str() => {
                *text = clean.into();
                true
            }
            _ => false,
        }
    }

    /// Texts that stand under a name, as a list: a flag of a command may tell what the next text is.
    fn texts(&self, name: &str, texts: &mut [StringValue]) {
        let list = texts.iter().map(|text| text.as_str().into()).collect();
        let mut object = Map::new();
        object.insert(name.to_owned(), serde_json::Value::Array(list));
        self.rules.redact_object(&mut object);
        let Some(serde_json::Value::Array(clean)) = object.remove(name) else {
            return;
        };
        for (text, clean) in texts.iter_mut().zip(clean) {
            if let serde_json::Value::String(clean) = clean
                && clean != text.as_str()
            {
                *text = clean.into();
            }
        }
    }

    fn cow(&self, text: &mut Cow<'static, str>) {
        let mut clean = text.to_string();
        if self.rules.redact_in_place(&mut clean) {
            *text = Cow::Owned(clean);
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::logs::Severity;
    use opentelemetry::trace::{Span, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    use super::*;

    const SECRET: &str = "sk-live-0123456789abcdefghij";

    #[test]
    fn no_part_of_a_span_keeps_a_secret() {
        let memory = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(memory.clone())
            .build();
        let mut span = provider.tracer("test").start(format!("call {SECRET}"));
        span.set_attribute(KeyValue::new("body", format!("{{\"api_key\":\"{SECRET}\"}}")));
        span.set_attribute(KeyValue::new("password", "hunter2"));
        let arguments = Array::String(vec!["--token".into(), "hunter2".into(), "kept".into()]);
        span.set_attribute(KeyValue::new("process.command_args", Value::Array(arguments)));
        span.add_event(
            "exception",
            vec![KeyValue::new("exception.stacktrace", format!("at {SECRET}"))],
        );
        span.set_status(Status::error(format!("bad key {SECRET}")));
        span.end();
        let mut spans = memory.get_finished_spans().unwrap();
        let span = spans.first_mut().unwrap();
        Redaction::new(Redactor::default()).span(span);
        let text = format!("{span:?}");
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("kept"), "{text}");
    }

    #[test]
    fn no_part_of_a_log_record_keeps_a_secret_and_the_rest_stays() {
        let redaction = Redaction::new(Redactor::default());
        let mut record = redaction.blank.create_log_record();
        record.set_target("shop");
        record.set_severity_number(Severity::Warn);
        record.set_trace_context(1_u128.into(), 2_u64.into(), None);
        record.set_body(format!("key is {SECRET}").into());
        record.add_attribute("password", "hunter2");
        record.add_attribute("order", 7);
        redaction.log(&mut record);
        let text = format!("{record:?}");
        assert!(!text.contains(SECRET) && !text.contains("hunter2"), "{text}");
        assert_eq!(record.target().unwrap(), "shop");
        assert_eq!(record.severity_number(), Some(Severity::Warn));
        assert!(record.trace_context().is_some());
        assert!(
            record
                .attributes_iter()
                .any(|(key, value)| key.as_str() == "order" && *value == AnyValue::Int(7))
        );
    }
}
