//! One event of `tracing` as a log record: what it says, what the spans around it say, where in the code it is, and which call it
//! belongs to.

use mcptap_model::semconv;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context as OtelContext, Key, KeyValue};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::current::Mark;

/// The most bytes that the fields of one span take in memory, names and texts. Fields beyond are left out.
const MOST_OF_A_SPAN: usize = 8 * 1024;

/// Writes events into one provider.
pub(super) struct Bridge(SdkLogger);

/// What a span says, for the lines written in it.
#[derive(Default)]
struct Said {
    fields: Vec<(Key, AnyValue)>,
    /// How many bytes each field of a span takes, and all of them.
    sizes: Vec<(&'static str, usize)>,
    bytes: usize,
}

impl Said {
    /// Takes a field of a span away.
    fn remove(&mut self, name: &str) {
        if let Some(known) = self.sizes.iter().position(|(known, _)| *known == name) {
            let (_, length) = self.sizes.swap_remove(known);
            self.bytes = self.bytes.saturating_sub(length);
            self.fields.retain(|(known, _)| known.as_str() != name);
        }
    }

    /// Adds a field; of those that have one name the last counts.
    fn add(&mut self, key: impl Into<Key>, value: AnyValue) {
        let key = key.into();
        match self.fields.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.fields.push((key, value)),
        }
    }
}

/// The fields of a span, within bounds.
struct OfSpan<'a>(&'a mut Said);

/// The fields of an event.
struct OfEvent<'a> {
    said: &'a mut Said,
    body: Option<AnyValue>,
}

trait Takes {
    fn take(&mut self, name: &'static str, value: AnyValue);
}

impl Takes for OfSpan<'_> {
    fn take(&mut self, name: &'static str, value: AnyValue) {
        let length = match &value {
            AnyValue::String(text) => text.as_str().len(),
            _ => 8,
        };
        // A field that is recorded again takes the place of its own; where it does not fit, no old value is left.
        self.0.remove(name);
        let length = name.len() + length;
        let bytes = self.0.bytes.saturating_add(length);
        if bytes <= MOST_OF_A_SPAN {
            self.0.bytes = bytes;
            self.0.sizes.push((name, length));
            self.0.add(name, value);
        }
    }
}

impl Takes for OfEvent<'_> {
    fn take(&mut self, name: &'static str, value: AnyValue) {
        if name == "message" {
            self.body = Some(value);
        } else {
            self.said.add(name, value);
        }
    }
}

/// Attributes for the span of a call.
struct OfCall<'a>(&'a mut Vec<KeyValue>);

impl Takes for OfCall<'_> {
    fn take(&mut self, name: &'static str, value: AnyValue) {
        self.0.push(match value {
            AnyValue::Int(value) => KeyValue::new(name, value),
            AnyValue::Double(value) => KeyValue::new(name, value),
            AnyValue::Boolean(value) => KeyValue::new(name, value),
            AnyValue::String(value) => KeyValue::new(name, value.as_str().to_owned()),
            other => KeyValue::new(name, format!("{other:?}")),
        });
    }
}

struct Reading<T>(T);

impl<T: Takes> Visit for Reading<T> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.take(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.take(field.name(), value.to_owned().into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.take(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.take(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.take(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // OTLP has signed integers alone.
        match i64::try_from(value) {
            Ok(value) => self.0.take(field.name(), value.into()),
            Err(_) => self.0.take(field.name(), value.to_string().into()),
        }
    }

    fn record_error(&mut self, _field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.take("exception.message", value.to_string().into());
    }
}

fn is_call(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "mcptap" && metadata.name() == "mcp.call"
}

/// Keeps what a span says when it begins.
pub(super) fn begins<S>(attributes: &Attributes<'_>, id: &Id, context: &Context<'_, S>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // What a call says is on the call.
    if is_call(attributes.metadata()) || attributes.metadata().fields().is_empty() {
        return;
    }
    let mut said = Said::default();
    attributes.record(&mut Reading(OfSpan(&mut said)));
    if let Some(span) = context.span(id) {
        span.extensions_mut().replace(said);
    }
}

/// Keeps what it says later; what is recorded on the span of a call is an attribute of the call.
pub(super) fn records<S>(id: &Id, values: &Record<'_>, context: &Context<'_, S>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let Some(span) = context.span(id) else { return };
    if is_call(span.metadata()) {
        let mark = span.extensions().get::<Mark>().cloned();
        // Where the application's own layer has the span, that has set it.
        // What the record itself says there is in the record.
        if let Some(call) = mark.filter(|mark| !mark.is_bridged).and_then(|mark| mark.call()) {
            let mut attributes = Vec::new();
            values.record(&mut Reading(OfCall(&mut attributes)));
            let own = [semconv::HUSHED, semconv::MIRROR];
            for attribute in attributes
                .into_iter()
                .filter(|said| !own.contains(&said.key.as_str()))
            {
                call.set(attribute.key, attribute.value);
            }
        }
        return;
    }
    let mut extensions = span.extensions_mut();
    match extensions.get_mut::<Said>() {
        Some(said) => values.record(&mut Reading(OfSpan(said))),
        None => {
            let mut said = Said::default();
            values.record(&mut Reading(OfSpan(&mut said)));
            extensions.insert(said);
        }
    }
}

/// The call that an event belongs to by the spans around it.
pub(super) fn call_of<S>(event: &Event<'_>, context: &Context<'_, S>) -> Option<Mark>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut scope = context.event_scope(event)?;
    scope.find_map(|span| span.extensions().get::<Mark>().cloned())
}

impl Bridge {
    pub(super) fn new(provider: &SdkLoggerProvider) -> Self {
        Self(provider.logger(""))
    }

    pub(super) fn write<S>(&self, event: &Event<'_>, context: &Context<'_, S>, call: Option<&Mark>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = event.metadata();
        let severity = severity_of(*metadata.level());
        if !self
            .0
            .event_enabled(severity, metadata.target(), Some(metadata.name()))
        {
            return;
        }
        let mut record = self.0.create_log_record();
        record.set_target(metadata.target());
        record.set_event_name(metadata.name());
        record.set_severity_number(severity);
        record.set_severity_text(metadata.level().as_str());
        let mut said = Said::default();
        if let Some(path) = metadata.file() {
            said.add("code.file.path", path.into());
        }
        if let Some(line) = metadata.line() {
            said.add("code.line.number", i64::from(line).into());
        }
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(around) = span.extensions().get::<Said>() {
                for (key, value) in &around.fields {
                    said.add(key.clone(), value.clone());
                }
            }
        }
        let mut reading = Reading(OfEvent {
            said: &mut said,
            body: None,
        });
        event.record(&mut reading);
        if let Some(body) = reading.0.body {
            record.set_body(body);
        }
        record.add_attributes(said.fields);
        if let Some(call) = call {
            // In a task of its own nothing is current, or what is current is of something else.
            let of_call = call.context.span().span_context().clone();
            let is_within = OtelContext::map_current(|current| {
                current.span().span_context().trace_id() == of_call.trace_id()
            });
            if of_call.is_valid() && !is_within {
                record.set_trace_context(of_call.trace_id(), of_call.span_id(), Some(of_call.trace_flags()));
            }
        }
        self.0.emit(record);
    }
}

fn severity_of(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_recorded_again_is_never_stale() {
        let mut said = Said::default();
        for round in 0..10_000 {
            OfSpan(&mut said).take("step", AnyValue::from(format!("{round}")));
        }
        let is = |said: &Said, expected: &[&str]| {
            let values: Vec<_> = said.fields.iter().map(|(_, value)| value.clone()).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|text| AnyValue::from((*text).to_owned()))
                .collect();
            assert_eq!(values, expected);
        };
        is(&said, &["9999"]);
        // Where the new value has no room, the old one is gone.
        OfSpan(&mut said).take("step", AnyValue::from("x".repeat(MOST_OF_A_SPAN)));
        is(&said, &[]);
        OfSpan(&mut said).take("step", AnyValue::from("again".to_owned()));
        is(&said, &["again"]);
    }
}
