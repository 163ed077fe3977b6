//! Secrets are cut out of an export itself, before anything of it is kept: every text, every name, and bytes that are
//! text. So no field that is read of it, now or later, can bring one in. A record that its sender may not send is dropped
//! before that work.

use mcptap_model::redact::{Content, Redactor, Sequence, Shape};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

/// OTLP's values and attributes.
enum Otlp {}

impl Shape for Otlp {
    type Node = AnyValue;
    type Field = KeyValue;

    fn content(node: &mut AnyValue) -> Content<'_, Self> {
        match &mut node.value {
            None | Some(Any::BoolValue(_) | Any::StringValueStrindex(_)) => Content::Nothing,
            Some(Any::StringValue(text)) => Content::Text(text),
            Some(Any::BytesValue(bytes)) => Content::Bytes(bytes),
            Some(Any::IntValue(number)) => Content::Number(number.to_string()),
            Some(Any::DoubleValue(number)) => Content::Number(number.to_string()),
            Some(Any::ArrayValue(array)) => Content::List(&mut array.values),
            Some(Any::KvlistValue(list)) => Content::Fields(&mut list.values),
        }
    }

    fn set_text(node: &mut AnyValue, text: String) {
        node.value = Some(Any::StringValue(text));
    }

    fn parts(field: &mut KeyValue) -> (&mut String, Option<&mut AnyValue>) {
        (&mut field.key, field.value.as_mut())
    }
}

/// Redacts what all records of a resource share.
pub(crate) fn resource(redactor: &Redactor, resource: Option<&mut Resource>, schema_url: &mut String) {
    redactor.redact_in_place(schema_url);
    let Some(resource) = resource else { return };
    redactor.redact_fields::<Otlp>(&mut resource.attributes);
    for entity in &mut resource.entity_refs {
        let keys = entity.id_keys.iter_mut().chain(&mut entity.description_keys);
        for text in keys.chain([&mut entity.schema_url, &mut entity.r#type]) {
            redactor.redact_in_place(text);
        }
    }
}

/// Redacts what all records of a scope share.
pub(crate) fn scope(redactor: &Redactor, scope: Option<&mut InstrumentationScope>, schema_url: &mut String) {
    redactor.redact_in_place(schema_url);
    let Some(scope) = scope else { return };
    redactor.redact_in_place(&mut scope.name);
    redactor.redact_in_place(&mut scope.version);
    redactor.redact_fields::<Otlp>(&mut scope.attributes);
}

/// Redacts a span.
pub(crate) fn span(redactor: &Redactor, span: &mut Span) {
    redactor.redact_in_place(&mut span.trace_state);
    redactor.redact_in_place(&mut span.name);
    redactor.redact_fields::<Otlp>(&mut span.attributes);
    for event in &mut span.events {
        redactor.redact_in_place(&mut event.name);
        redactor.redact_fields::<Otlp>(&mut event.attributes);
    }
    for link in &mut span.links {
        redactor.redact_in_place(&mut link.trace_state);
        redactor.redact_fields::<Otlp>(&mut link.attributes);
    }
    if let Some(status) = &mut span.status {
        redactor.redact_in_place(&mut status.message);
    }
}

/// Redacts a log record; `before` knows those before it of the same scope.
pub(crate) fn log_record(redactor: &Redactor, before: &mut Sequence, record: &mut LogRecord) {
    redactor.redact_in_place(&mut record.severity_text);
    redactor.redact_in_place(&mut record.event_name);
    redactor.redact_fields::<Otlp>(&mut record.attributes);
    if let Some(body) = &mut record.body {
        if let Some(Any::StringValue(line)) = &mut body.value {
            before.redact(redactor, line);
        }
        redactor.redact_node::<Otlp>(body);
    }
}
