//! Secrets are cut out of spans and log records before they are encoded: nothing on the wire or on disk has them.

use std::borrow::Cow;

use mcptap_model::redact::{Redactor, Tree};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider};
use opentelemetry::trace::{SpanContext, Status, TraceState};
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::SpanData;

/// Redacts what is recorded.
#[derive(Debug)]
pub(crate) struct Redaction {
    rules: Redactor,
    /// Makes empty log records: the attributes of a record can be added to, and not changed.
    blank: SdkLogger,
}

// === impl Redaction ===

impl Redaction {
    pub(crate) fn new(rules: Redactor) -> Self {
        Self {
            rules,
            blank: SdkLoggerProvider::builder().build().logger(""),
        }
    }

    pub(super) fn resource(&self, resource: &Resource) -> Resource {
        let mut attributes: Vec<KeyValue> = resource
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
            .collect();
        self.attributes(&mut attributes);
        let builder = Resource::builder_empty();
        match resource.schema_url() {
            Some(schema) => builder
                .with_schema_url(attributes, self.rules.redact(schema).into_owned())
                .build(),
            None => builder.with_attributes(attributes).build(),
        }
    }

    /// Everything of a span that is text, and the names of its attributes.
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
            self.context(&mut link.span_context);
            self.attributes(&mut link.attributes);
        }
        self.context(&mut span.span_context);
        self.scope(&mut span.instrumentation_scope);
    }

    /// Everything of a log record that is text, and the names of its attributes.
    pub(crate) fn log(&self, (record, scope): &mut (SdkLogRecord, InstrumentationScope)) {
        self.scope(scope);
        if let Some(body) = record.body() {
            let mut tree = tree(body);
            if self.rules.redact_node::<Tree>(&mut tree) {
                let body = any(tree, body);
                record.set_body(body);
            }
        }
        if let Some(target) = record.target() {
            let mut target = target.clone();
            if self.cow(&mut target) {
                record.set_target(target);
            }
        }
        let attributes = record.attributes_iter();
        let mut trees: Vec<(String, Tree)> = attributes
            .map(|(key, value)| (key.as_str().to_owned(), tree(value)))
            .collect();
        if self.rules.redact_fields::<Tree>(&mut trees) {
            let given = record.attributes_iter();
            let attributes = trees
                .into_iter()
                .zip(given)
                .map(|((key, tree), (_, value))| (Key::from(key), any(tree, value)))
                .collect();
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

    /// Values of attributes, and their names.
    pub(crate) fn attributes(&self, attributes: &mut [KeyValue]) {
        let mut trees: Vec<(String, Tree)> = attributes
            .iter()
            .map(|attribute| (attribute.key.as_str().to_owned(), tree_of(&attribute.value)))
            .collect();
        if !self.rules.redact_fields::<Tree>(&mut trees) {
            return;
        }
        for (attribute, (key, tree)) in attributes.iter_mut().zip(trees) {
            if key != attribute.key.as_str() {
                attribute.key = key.into();
            }
            if let Some(value) = value(tree, &attribute.value) {
                attribute.value = value;
            }
        }
    }

    /// What its maker wrote into a context that others pass on.
    fn context(&self, context: &mut SpanContext) {
        let state = context.trace_state().header();
        if let Cow::Owned(clean) = self.rules.redact(&state) {
            // What is no valid state any more is none.
            let state = clean.parse().unwrap_or(TraceState::NONE);
            *context = SpanContext::new(
                context.trace_id(),
                context.span_id(),
                context.trace_flags(),
                context.is_remote(),
                state,
            );
        }
    }

    fn scope(&self, scope: &mut InstrumentationScope) {
        let name = self.rules.redact(scope.name());
        let version = scope.version().map(|version| self.rules.redact(version));
        let schema = scope.schema_url().map(|schema| self.rules.redact(schema));
        let mut attributes: Vec<KeyValue> = scope.attributes().cloned().collect();
        self.attributes(&mut attributes);
        let same = matches!(name, Cow::Borrowed(_))
            && [&version, &schema]
                .into_iter()
                .all(|text| !matches!(text, Some(Cow::Owned(_))))
            && scope.attributes().eq(&attributes);
        if same {
            return;
        }
        let mut builder = InstrumentationScope::builder(name.into_owned()).with_attributes(attributes);
        if let Some(version) = version {
            builder = builder.with_version(version.into_owned());
        }
        if let Some(schema) = schema {
            builder = builder.with_schema_url(schema.into_owned());
        }
        let clean = builder.build();
        *scope = clean;
    }

    pub(crate) fn text(&self, text: &mut String) {
        self.rules.redact_in_place(text);
    }

    /// The value of a field that is called so.
    pub(crate) fn field(&self, name: &str, value: &mut String) {
        let mut fields = [(name.to_owned(), Tree::Text(std::mem::take(value)))];
        self.rules.redact_fields::<Tree>(&mut fields);
        let [(_, redacted)] = fields;
        if let Tree::Text(text) = redacted {
            *value = text;
        }
    }

    /// Returns whether anything was cut out.
    pub(crate) fn cow(&self, text: &mut Cow<'static, str>) -> bool {
        let clean = match self.rules.redact(text) {
            Cow::Owned(clean) => clean,
            Cow::Borrowed(_) => return false,
        };
        *text = Cow::Owned(clean);
        true
    }
}

/// A value of an attribute, as what can be redacted.
fn tree_of(value: &Value) -> Tree {
    match value {
        Value::String(text) => Tree::Text(text.as_str().to_owned()),
        Value::I64(number) => Tree::Number(number.to_string()),
        Value::F64(number) => Tree::Number(number.to_string()),
        Value::Array(Array::String(texts)) => Tree::List(
            texts
                .iter()
                .map(|text| Tree::Text(text.as_str().to_owned()))
                .collect(),
        ),
        Value::Array(Array::I64(numbers)) => Tree::List(
            numbers
                .iter()
                .map(|number| Tree::Number(number.to_string()))
                .collect(),
        ),
        Value::Array(Array::F64(numbers)) => Tree::List(
            numbers
                .iter()
                .map(|number| Tree::Number(number.to_string()))
                .collect(),
        ),
        _ => Tree::Nothing,
    }
}

/// The value that a tree became; `None` if it stayed what it was.
fn value(tree: Tree, given: &Value) -> Option<Value> {
    if tree == tree_of(given) {
        return None;
    }
    match tree {
        Tree::Text(text) => Some(text.into()),
        // Texts and numbers do not stand in one list.
        Tree::List(items) => {
            let texts = items.into_iter().filter_map(|item| match item {
                Tree::Text(text) | Tree::Number(text) => Some(StringValue::from(text)),
                _ => None,
            });
            Some(Value::Array(Array::String(texts.collect())))
        }
        _ => None,
    }
}

/// A value of a log record, as what can be redacted.
fn tree(value: &AnyValue) -> Tree {
    match value {
        AnyValue::String(text) => Tree::Text(text.as_str().to_owned()),
        AnyValue::Bytes(bytes) => Tree::Bytes(bytes.to_vec()),
        AnyValue::Int(number) => Tree::Number(number.to_string()),
        AnyValue::Double(number) => Tree::Number(number.to_string()),
        AnyValue::ListAny(items) => Tree::List(items.iter().map(tree).collect()),
        AnyValue::Map(entries) => Tree::Fields(
            entries
                .iter()
                .map(|(key, value)| (key.as_str().to_owned(), tree(value)))
                .collect(),
        ),
        _ => Tree::Nothing,
    }
}

/// The value that a tree became which was made of `given`.
fn any(became: Tree, given: &AnyValue) -> AnyValue {
    match (became, given) {
        (Tree::Text(text), _) => AnyValue::String(text.into()),
        (Tree::Bytes(bytes), _) => AnyValue::Bytes(Box::new(bytes)),
        (Tree::List(items), AnyValue::ListAny(given)) => AnyValue::ListAny(Box::new(
            items
                .into_iter()
                .zip(given.iter())
                .map(|(item, given)| any(item, given))
                .collect(),
        )),
        (Tree::Fields(fields), AnyValue::Map(given)) => AnyValue::Map(Box::new(
            fields
                .into_iter()
                .zip(given.values())
                .map(|((key, value), given)| (Key::from(key), any(value, given)))
                .collect(),
        )),
        (_, given) => given.clone(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::logs::Severity;
    use opentelemetry::trace::{Span, TraceContextExt, TraceFlags, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    use super::*;

    const SECRET: &str = "sk-live-0123456789abcdefghij";

    fn scope() -> InstrumentationScope {
        InstrumentationScope::builder(format!("lib {SECRET}"))
            .with_version(SECRET)
            .with_schema_url(format!("https://x.test/{SECRET}"))
            .with_attributes([KeyValue::new("kept", 7), KeyValue::new("of", SECRET)])
            .build()
    }

    #[test]
    fn no_part_of_a_span_keeps_a_secret() {
        let memory = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(memory.clone())
            .build();
        let state = TraceState::from_key_value([("vendor", SECRET)]).unwrap();
        let remote = SpanContext::new(1_u128.into(), 2_u64.into(), TraceFlags::SAMPLED, true, state);
        let parent = opentelemetry::Context::new().with_remote_span_context(remote.clone());
        let mut span = provider
            .tracer_with_scope(scope())
            .start_with_context(format!("call {SECRET}"), &parent);
        span.add_link(remote, vec![KeyValue::new("link", SECRET)]);
        span.set_attribute(KeyValue::new("body", format!("{{\"api_key\":\"{SECRET}\"}}")));
        span.set_attribute(KeyValue::new("password", "hunter2"));
        span.set_attribute(KeyValue::new("pin.password", 99_887_766));
        span.set_attribute(KeyValue::new(format!("key {SECRET}"), true));
        let numbers = Array::I64(vec![99_887_766, 5]);
        span.set_attribute(KeyValue::new("client.secret", Value::Array(numbers)));
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
        assert!(format!("{span:?}").matches(SECRET).count() >= 12, "{span:?}");
        Redaction::new(Redactor::default()).span(span);
        let text = format!("{span:?}");
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("99887766"), "{text}");
        assert_eq!(text.matches("kept").count(), 2, "{text}");
    }

    #[test]
    fn sessions_stay_apart() {
        let redaction = Redaction::new(Redactor::default());
        let of = |id: &str| {
            let mut attributes = [KeyValue::new("mcp.session.id", id.to_owned())];
            redaction.attributes(&mut attributes);
            attributes[0].value.as_str().into_owned()
        };
        let one = of(SECRET);
        assert!(one.starts_with("[redacted]#"), "{one}");
        assert_eq!(one, of(SECRET));
        assert_ne!(one, of(&SECRET.replace("live", "proj")));
        assert_eq!(of("s-1"), "s-1");
    }

    #[test]
    fn no_part_of_a_log_record_keeps_a_secret_and_the_rest_stays() {
        let redaction = Redaction::new(Redactor::default());
        let mut record = redaction.blank.create_log_record();
        record.set_target(format!("shop {SECRET}"));
        record.set_severity_number(Severity::Warn);
        record.set_trace_context(1_u128.into(), 2_u64.into(), None);
        record.set_body(AnyValue::ListAny(Box::new(vec![
            format!("key is {SECRET}").into(),
            AnyValue::Bytes(Box::new(SECRET.into())),
            AnyValue::Int(8),
        ])));
        record.add_attribute("password", "hunter2");
        record.add_attribute("order", 7);
        record.add_attribute(format!("name {SECRET}"), true);
        let map = [
            (Key::from(SECRET), AnyValue::from(SECRET)),
            ("n".into(), 9.into()),
        ];
        record.add_attribute("map", AnyValue::Map(Box::new(map.into_iter().collect())));
        let mut both = (record, scope());
        redaction.log(&mut both);
        let text = format!("{both:?}");
        assert!(!text.contains(SECRET) && !text.contains("hunter2"), "{text}");
        let bytes = format!("{:?}", SECRET.as_bytes());
        assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
        let (record, scope) = both;
        assert_eq!(record.target().unwrap(), "shop [redacted]");
        assert_eq!(record.severity_number(), Some(Severity::Warn));
        assert!(record.trace_context().is_some());
        let has = |name: &str, value: AnyValue| {
            record
                .attributes_iter()
                .any(|(key, given)| key.as_str() == name && *given == value)
        };
        assert!(has("order", AnyValue::Int(7)) && has("name [redacted]", AnyValue::Boolean(true)));
        assert!(
            matches!(record.body(), Some(AnyValue::ListAny(items)) if items.get(2) == Some(&AnyValue::Int(8)))
        );
        assert_eq!(scope.attributes().count(), 2);
    }
}
