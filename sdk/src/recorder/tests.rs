use opentelemetry::trace::{TraceId, TraceState};
use opentelemetry_sdk::logs::InMemoryLogExporter;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SamplingDecision, SamplingResult, ShouldSample,
};

use super::*;

/// Records every span for the process itself and has none sent.
#[derive(Clone, Debug)]
struct RecordsOnly;

impl ShouldSample for RecordsOnly {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        SamplingResult {
            decision: SamplingDecision::RecordOnly,
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

fn is_announced(sampler: impl ShouldSample + 'static, logs: &SdkLoggerProvider) -> bool {
    let spans = SdkTracerProvider::builder()
        .with_simple_exporter(InMemorySpanExporter::default())
        .with_sampler(sampler)
        .build();
    let mut recording = Recorder::given(&spans, Some(logs)).start(Start {
        name: "ping".to_owned(),
        kind: SpanKind::Server,
        attributes: Vec::new(),
        links: Vec::new(),
        parent: Context::new(),
        told: None,
        at: SystemTime::now(),
        is_call: false,
    });
    let is_announced = recording.running.is_some();
    recording.conclude();
    assert!(recording.running.is_none());
    is_announced
}

#[test]
fn only_spans_that_are_sent_are_announced_and_only_where_log_records_are_sent() {
    let logs = SdkLoggerProvider::builder()
        .with_simple_exporter(InMemoryLogExporter::default())
        .build();
    assert!(is_announced(Sampler::AlwaysOn, &logs));
    assert!(!is_announced(Sampler::AlwaysOff, &logs));
    assert!(!is_announced(RecordsOnly, &logs));
    assert!(!is_announced(
        Sampler::AlwaysOn,
        &SdkLoggerProvider::builder().build()
    ));
}

#[test]
fn a_list_stays_one_in_a_log_record() {
    let list = Value::Array(Array::String(vec!["a".into(), "b".into()]));
    let AnyValue::ListAny(items) = any_value(list) else {
        panic!("no list");
    };
    assert_eq!(*items, [AnyValue::from("a"), AnyValue::from("b")]);
}
