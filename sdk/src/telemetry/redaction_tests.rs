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
    Redaction::of(&Capture::default()).span(span);
    let text = format!("{span:?}");
    assert!(!text.contains(SECRET), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("99887766"), "{text}");
    assert_eq!(text.matches("kept").count(), 2, "{text}");
}

#[test]
fn sessions_stay_apart() {
    let redaction = Redaction::of(&Capture::default());
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
    let redaction = Redaction::of(&Capture::default());
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
