//! Secrets are cut out of an export itself, before anything reads it: every text, every name, and bytes that are text.
//! So no field that is read of it, now or later, can bring one in.

use mcptap_model::redact::{Content, Redactor, Shape};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
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

/// Redacts a trace export. Whether it came to the end: it stops where nobody waits for it.
pub(crate) fn traces(
    redactor: &Redactor,
    request: &mut ExportTraceServiceRequest,
    stop: &dyn Fn() -> bool,
) -> bool {
    for group in &mut request.resource_spans {
        resource(redactor, group.resource.as_mut());
        redactor.redact_in_place(&mut group.schema_url);
        for of_scope in &mut group.scope_spans {
            scope(redactor, of_scope.scope.as_mut());
            redactor.redact_in_place(&mut of_scope.schema_url);
            for each in &mut of_scope.spans {
                if stop() {
                    return false;
                }
                span(redactor, each);
            }
        }
    }
    true
}

/// Redacts a log export, as [`traces`] does a trace export.
pub(crate) fn logs(
    redactor: &Redactor,
    request: &mut ExportLogsServiceRequest,
    stop: &dyn Fn() -> bool,
) -> bool {
    for group in &mut request.resource_logs {
        resource(redactor, group.resource.as_mut());
        redactor.redact_in_place(&mut group.schema_url);
        for of_scope in &mut group.scope_logs {
            scope(redactor, of_scope.scope.as_mut());
            redactor.redact_in_place(&mut of_scope.schema_url);
            for record in &mut of_scope.log_records {
                if stop() {
                    return false;
                }
                log_record(redactor, record);
            }
        }
    }
    true
}

fn resource(redactor: &Redactor, resource: Option<&mut Resource>) {
    let Some(resource) = resource else { return };
    redactor.redact_fields::<Otlp>(&mut resource.attributes);
    for entity in &mut resource.entity_refs {
        let keys = entity.id_keys.iter_mut().chain(&mut entity.description_keys);
        for text in keys.chain([&mut entity.schema_url, &mut entity.r#type]) {
            redactor.redact_in_place(text);
        }
    }
}

fn scope(redactor: &Redactor, scope: Option<&mut InstrumentationScope>) {
    let Some(scope) = scope else { return };
    redactor.redact_in_place(&mut scope.name);
    redactor.redact_in_place(&mut scope.version);
    redactor.redact_fields::<Otlp>(&mut scope.attributes);
}

fn span(redactor: &Redactor, span: &mut Span) {
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

fn log_record(redactor: &Redactor, record: &mut LogRecord) {
    redactor.redact_in_place(&mut record.severity_text);
    redactor.redact_in_place(&mut record.event_name);
    redactor.redact_fields::<Otlp>(&mut record.attributes);
    if let Some(body) = &mut record.body {
        redactor.redact_node::<Otlp>(body);
    }
}
