//! Secrets are cut out of spans and log records before they are encoded: nothing on the wire or on disk has them.

use std::borrow::Cow;

use mcptap_model::redact::{Redactor, Tree};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider};
use opentelemetry::trace::{SpanContext, Status, TraceState};
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::SpanData;

use crate::capture::{Capture, Hooks};

/// Redacts what is recorded.
#[derive(Debug)]
pub(crate) struct Redaction {
    rules: Redactor,
    /// What the application has to say of each text, after the rules.
    hooks: Hooks,
    /// Makes empty log records: the attributes of a record can be added to, and not changed.
    blank: SdkLogger,
}

// === impl Redaction ===

impl Redaction {
    pub(crate) fn of(capture: &Capture) -> Self {
        Self {
            rules: capture.redactor.clone(),
            hooks: capture.hooks.clone(),
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
            if self.rules.redact_node::<Tree>(&mut tree) | self.ask(&mut tree) {
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
        if self.fields(&mut trees) {
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
        if !self.fields(&mut trees) {
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
        self.hooks.redact(text);
    }

    /// Fields: their names by the rules, their values by the application too. Returns whether anything changed.
    fn fields(&self, fields: &mut [(String, Tree)]) -> bool {
        let is_cut = self.rules.redact_fields::<Tree>(fields);
        let values = fields.iter_mut().map(|(_, value)| self.ask(value));
        values.fold(is_cut, |any, is| any | is)
    }

    /// Gives each text of a tree to the application. Returns whether anything changed.
    fn ask(&self, tree: &mut Tree) -> bool {
        if !self.hooks.redacts() {
            return false;
        }
        match tree {
            Tree::Text(text) => self.hooks.redact(text),
            Tree::Bytes(bytes) => {
                let Ok(text) = std::str::from_utf8(bytes) else {
                    return false;
                };
                let mut text = text.to_owned();
                let is_other = self.hooks.redact(&mut text);
                *bytes = text.into_bytes();
                is_other
            }
            Tree::List(items) => items.iter_mut().fold(false, |any, item| any | self.ask(item)),
            Tree::Fields(fields) => fields
                .iter_mut()
                .fold(false, |any, (_, value)| any | self.ask(value)),
            Tree::Number(_) | Tree::Nothing => false,
        }
    }

    /// The value of a field that is called so.
    pub(crate) fn field(&self, name: &str, value: &mut String) {
        let mut fields = [(name.to_owned(), Tree::Text(std::mem::take(value)))];
        self.fields(&mut fields);
        let [(_, redacted)] = fields;
        if let Tree::Text(text) = redacted {
            *value = text;
        }
    }

    /// Returns whether anything was cut out.
    pub(crate) fn cow(&self, text: &mut Cow<'static, str>) -> bool {
        let mut is_other = false;
        if let Cow::Owned(clean) = self.rules.redact(text) {
            *text = Cow::Owned(clean);
            is_other = true;
        }
        if self.hooks.redacts() {
            is_other |= self.hooks.redact(text.to_mut());
        }
        is_other
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
#[path = "redaction_tests.rs"]
mod tests;
