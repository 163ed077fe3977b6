use std::sync::Arc;

use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde_json::json;

use super::*;
use crate::capture::Capture;
use crate::recorder::Recorder;

fn conversation() -> (Conversation, InMemorySpanExporter, SdkTracerProvider) {
    let memory = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(memory.clone())
        .build();
    let observer = Observer::new(
        Recorder::given(&provider, None),
        Arc::new(Capture::default()),
        false,
    );
    (Conversation::new(observer), memory, provider)
}

fn message(value: Value) -> Message {
    Message::of(&value, usize::MAX).unwrap()
}

fn begin(conversation: &mut Conversation, id: Value, tool: &str) -> Key {
    let request = json!({"id": id, "method": "tools/call", "params": {"name": tool}});
    let carrier = Carrier::default();
    let key = conversation.take(Side::Client, &message(request), &carrier, Scope::Session(&[]));
    key.unwrap()
}

#[test]
fn a_handler_finds_the_request_of_its_own_exchange() {
    let (mut conversation, _, _provider) = conversation();
    let keys = ["a", "b", "c"].map(|tool| begin(&mut conversation, json!(1), tool));
    let spans: Vec<_> = keys
        .iter()
        .map(|key| conversation.call(*key).unwrap().span_context())
        .collect();
    for (key, span) in keys.iter().zip(&spans) {
        let found = conversation.handled(&Id::number("1"), &[*key]).unwrap();
        let context = conversation.call(found).unwrap().context();
        assert_eq!(context.span().span_context(), span);
    }
    assert_eq!(conversation.handled(&Id::number("2"), &keys), None);
    assert_eq!(conversation.handled(&Id::number("1"), &[]), None);
}

#[test]
fn a_batch_of_thousands_with_one_id_is_answered_in_order() {
    const COUNT: usize = 5000;
    let (mut conversation, memory, _provider) = conversation();
    let keys: Vec<Key> = (0..COUNT)
        .map(|number| begin(&mut conversation, json!(7), &format!("tool-{number}")))
        .collect();
    let carrier = Carrier::default();
    for number in 0..COUNT {
        let answer = message(json!({"id": 7, "result": number}));
        let scope = Scope::Answer(&keys);
        assert!(
            conversation
                .take(Side::Server, &answer, &carrier, scope)
                .is_none()
        );
    }
    let spans = memory.get_finished_spans().unwrap();
    assert_eq!((spans.len(), conversation.strays()), (COUNT, 0));
    for (number, span) in spans.iter().enumerate() {
        assert_eq!(span.name, format!("tools/call tool-{number}"));
        let body = span
            .attributes
            .iter()
            .find(|known| known.key.as_str() == semconv::RESPONSE_BODY);
        assert_eq!(body.unwrap().value.to_string(), number.to_string());
    }
}

#[test]
fn what_is_answered_leaves_nothing_behind() {
    let (mut conversation, _, _provider) = conversation();
    let carrier = Carrier::default();
    for round in 0..1000 {
        let key = begin(&mut conversation, json!(1), "t");
        let other = begin(&mut conversation, json!(1), "u");
        let cancelled = json!({"method": "notifications/cancelled", "params": {"requestId": 1}});
        conversation.take(Side::Client, &message(cancelled), &carrier, Scope::Session(&[]));
        let answer = message(json!({"id": 1, "result": round}));
        conversation.take(Side::Server, &answer, &carrier, Scope::Answer(&[key]));
        conversation.left(&[other], [round]);
        conversation.give_up(other, Unanswered("the test wants it"));
    }
    assert_eq!(conversation.open.len(), 0);
    assert!(conversation.cancellations.is_empty());
    assert!(conversation.past.len() <= 512);
    assert!(conversation.resumable.len() <= 4096);
}
