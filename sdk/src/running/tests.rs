use opentelemetry::InstrumentationScope;
use opentelemetry::logs::AnyValue;
use opentelemetry::trace::{TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};

use super::*;

fn logs(provider: &SdkLoggerProvider) -> Arc<Logs> {
    Logs::new(provider, &InstrumentationScope::default())
}

fn nowhere() -> Arc<Logs> {
    logs(&SdkLoggerProvider::builder().build())
}

fn begun(logs: &Arc<Logs>) -> Arc<Begun> {
    Arc::new(Begun {
        logs: Arc::clone(logs),
        span: SpanContext::NONE,
        parent: SpanId::INVALID,
        name: String::new(),
        kind: SpanKind::Server,
        at: SystemTime::now(),
        attributes: Mutex::default(),
        given: Arc::default(),
    })
}

#[test]
fn what_runs_for_a_second_is_announced_once_and_kept_alive_until_it_ends() {
    let mut state = State::default();
    let start = Instant::now();
    let after = |seconds: u64| start + Duration::from_secs(seconds);
    let (long, short) = (begun(&nowhere()), begun(&nowhere()));
    for begun in [&long, &short] {
        state.add(Watched::of(begun), start);
    }
    assert!(state.due(start).announced.is_empty());
    assert_eq!(state.next(), Some(after(1) + ROUND));
    drop(short);
    assert_eq!(state.due(after(1)).announced.len(), 1);
    let later = state.due(after(2));
    assert!(later.announced.is_empty() && later.alive.is_empty());
    assert_eq!(state.next(), Some(after(11)));
    assert_eq!(state.due(after(11)).alive.len(), 1);
    drop(long);
    assert!(state.due(after(21)).alive.is_empty());
    assert_eq!(state.next(), None);
}

#[test]
fn what_ended_is_named_while_others_run() {
    let mut state = State::default();
    let start = Instant::now();
    let after = |seconds: u64| start + Duration::from_secs(seconds);
    let with_id = |id: u64| {
        let mut one = Arc::into_inner(begun(&nowhere())).unwrap();
        let (trace, flags) = (TraceId::from(1), TraceFlags::SAMPLED);
        one.span = SpanContext::new(trace, SpanId::from(id), flags, false, TraceState::NONE);
        Arc::new(one)
    };
    let [long, ended, brief] = [1, 2, 3].map(with_id);
    for begun in [&long, &ended, &brief] {
        state.add(Watched::of(begun), start);
    }
    // Never announced, so nobody has it as running.
    drop(brief);
    assert_eq!(state.due(after(1)).announced.len(), 2);
    drop(ended);
    for seconds in [11, 21, 31, 41, 51, 61] {
        assert!(state.due(after(seconds)).ended.is_empty());
    }
    assert_eq!(state.due(after(71)).ended, [SpanId::from(2)]);
    assert_eq!(state.due(after(81)).ended, [SpanId::from(2)]);
    drop(long);
    let last = state.due(after(91));
    assert!(last.alive.is_empty() && last.ended.is_empty());
}

#[test]
fn the_thread_is_woken_for_a_request_that_begins_while_others_run() {
    let mut state = State::default();
    let start = Instant::now();
    let begun = [(); 3].map(|()| begun(&nowhere()));
    let [first, second, third] = begun.each_ref().map(Watched::of);
    assert!(state.add(first, start));
    assert_eq!(state.due(start + ANNOUNCED_AFTER).announced.len(), 1);
    // Its heartbeat is due in ten seconds.
    let later = start + 2 * ANNOUNCED_AFTER;
    assert!(state.add(second, later) && !state.add(third, later));
    assert_eq!(state.next(), Some(later + ANNOUNCED_AFTER + ROUND));
    assert_eq!(state.due(later + ANNOUNCED_AFTER).announced.len(), 2);
}

#[test]
fn the_thread_wakes_seldom_however_many_requests_begin() {
    let mut state = State::default();
    let start = Instant::now();
    let begun = begun(&nowhere());
    for number in 0..1000 {
        state.add(Watched::of(&begun), start + Duration::from_millis(number));
    }
    let mut wakes = 0;
    while let Some(at) = state.next()
        && !state.begun.is_empty()
    {
        state.due(at);
        wakes += 1;
    }
    assert!(wakes <= 10, "{wakes}");
}

#[test]
fn each_provider_gets_one_heartbeat_and_each_request_an_announcement() {
    let memory = InMemoryLogExporter::default();
    let logs = SdkLoggerProvider::builder()
        .with_simple_exporter(memory.clone())
        .build();
    let told = self::logs(&logs);
    let requests = [begun(&told), begun(&told)];
    let ended = [SpanId::from(1), SpanId::from(0xabc)];
    beat(&requests.each_ref().map(Watched::of), &ended);
    for request in &requests {
        request.add(&[KeyValue::new("tool", "t")]);
        request.announce();
    }
    let emitted = memory.get_emitted_logs().unwrap();
    let names: Vec<_> = emitted.iter().map(|log| log.record.event_name()).collect();
    let [heartbeat, announcement] = [semconv::HEARTBEAT, semconv::CALL_RUNNING].map(Some);
    assert_eq!(names, [heartbeat, announcement, announcement]);
    let has = |name: &str, value: AnyValue| {
        let mut attributes = emitted[1].record.attributes_iter();
        attributes.any(|(key, given)| key.as_str() == name && *given == value)
    };
    let named = ["0000000000000001", "0000000000000abc"].map(AnyValue::from);
    let mut of_heartbeat = emitted[0].record.attributes_iter();
    let (key, given) = of_heartbeat.next().unwrap();
    assert_eq!(key.as_str(), semconv::ENDED);
    assert_eq!(*given, named.into_iter().collect());
    assert!(has("tool", "t".into()) && has(semconv::SPAN_KIND, 2_i64.into()));
}
