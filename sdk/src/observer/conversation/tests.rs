use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde_json::json;

use super::*;
use crate::capture::Capture;
use crate::recorder::Recorder;
use crate::span::Ending;

fn conversation() -> (Conversation, InMemorySpanExporter, SdkTracerProvider) {
    let (observer, memory, provider) = observer();
    (Conversation::new(observer), memory, provider)
}

fn observer() -> (Observer, InMemorySpanExporter, SdkTracerProvider) {
    let memory = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(memory.clone())
        .build();
    let observer = Observer::new(Recorder::given(&provider, None).with(Capture::default()));
    (observer, memory, provider)
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
        conversation.left(&[other], Way::Resumed, [round]);
        conversation.give_up(other, Unanswered("the test wants it"));
    }
    assert_eq!(conversation.open.len(), 0);
    assert!(conversation.cancellations.is_empty());
    assert!(conversation.past.len() <= 512);
    assert!(conversation.resumable.len() <= 4096);
}

#[test]
fn long_names_and_ids_are_not_remembered_as_they_are() {
    let (observer, _, _provider) = observer();
    let mut conversation = Conversation::new(observer.clone());
    let carrier = Carrier::default();
    let long = "\u{e9}".repeat(30_000);
    let info = json!({"name": long, "version": "9".repeat(5000)});
    let params = json!({"protocolVersion": "x", "clientInfo": info});
    let initialize = message(json!({"id": 0, "method": "initialize", "params": params}));
    conversation.take(Side::Client, &initialize, &carrier, Scope::Session(&[]));
    let answer =
        json!({"id": 0, "result": {"protocolVersion": "v".repeat(4000), "serverInfo": {"name": "s"}}});
    conversation.take(Side::Server, &message(answer), &carrier, Scope::Session(&[]));
    conversation.set_session("s".repeat(100_000));
    let (name, version) = conversation.client.clone().unwrap();
    assert_eq!(name, "\u{e9}".repeat(512));
    // What stands before a cut may be half a token.
    assert_eq!(version.unwrap().len(), 768);
    assert_eq!(conversation.version.as_ref().unwrap().len(), 768);
    assert_eq!(conversation.session, None);
    assert_eq!(conversation.names, 1024 + 2 * 768);
    for number in 0..600 {
        let id = json!(format!("{number}{}", "i".repeat(4000)));
        begin(&mut conversation, id.clone(), "t");
        let answer = message(json!({"id": id, "result": 1}));
        conversation.take(Side::Server, &answer, &carrier, Scope::Session(&[]));
    }
    assert_eq!(conversation.past.len(), 512);
    assert!(observer.remembered().held() < 128 * 1024);
    drop(conversation);
    assert_eq!(observer.remembered().held(), 0);
}

#[test]
fn all_conversations_together_remember_what_there_is_room_for() {
    const ROOM: usize = 64 * 1024;
    let (observer, _, _provider) = observer();
    let observer = observer.remembering(ROOM);
    let carrier = Carrier::default();
    let mut all: Vec<Conversation> = (0..8).map(|_| Conversation::new(observer.clone())).collect();
    for round in 0..200 {
        for conversation in &mut all {
            let key = begin(conversation, json!(round), "t");
            let other = begin(conversation, json!(format!("left-{round}")), "u");
            conversation.left(&[other], Way::Resumed, 64 * round..64 * round + 64);
            let answer = message(json!({"id": round, "result": 1}));
            conversation.take(Side::Server, &answer, &carrier, Scope::Answer(&[key]));
        }
        assert!(observer.remembered().held() <= ROOM);
    }
    assert!(observer.remembered().held() > ROOM / 2);
    // Events that nobody needs any more make room: the requests end, and new ones are remembered.
    for conversation in &mut all {
        conversation.close_session("the test is over");
        conversation.expire();
        assert!(conversation.resumable.is_empty());
    }
    assert!(observer.remembered().held() < ROOM);
}

#[test]
fn an_answer_that_waits_is_counted_and_without_room_its_body_is_left_out() {
    let (observer, memory, _provider) = observer();
    let mut conversation = Conversation::new(observer.clone());
    let mut carrier = Carrier::default();
    carrier.make_sse();
    let ask = |conversation: &mut Conversation, id: u32| {
        let request = message(json!({"id": id, "method": "tools/call", "params": {"name": "t"}}));
        let key = conversation.take(Side::Client, &request, &carrier, Scope::Session(&[]));
        let result = json!({"isError": true, "content": "x".repeat(100_000)});
        let answer = message(json!({"id": id, "result": result}));
        conversation.take(Side::Server, &answer, &carrier, Scope::Session(&[]));
        key.unwrap()
    };
    let key = ask(&mut conversation, 1);
    let mut others = Reserved::none(observer.open_bytes());
    assert!(!others.grow(crate::observer::OPEN_BYTES - 100_000));
    conversation.carried(key);
    assert!(others.grow(crate::observer::OPEN_BYTES));
    let key = ask(&mut conversation, 2);
    conversation.carried(key);
    drop(others);
    let [whole, short] = &memory.get_finished_spans().unwrap()[..] else {
        panic!("two requests were answered")
    };
    let said = |span: &opentelemetry_sdk::trace::SpanData, key: &str| {
        let found = span.attributes.iter().find(|known| known.key.as_str() == key);
        found.map(|known| known.value.to_string())
    };
    assert!(said(whole, semconv::RESPONSE_BODY).unwrap().len() > 100_000);
    assert_eq!(
        said(short, semconv::RESPONSE_SIZE),
        said(whole, semconv::RESPONSE_SIZE)
    );
    for span in [whole, short] {
        assert_eq!(said(span, "error.type").as_deref(), Some("tool_error"));
    }
    assert!(said(short, semconv::RESPONSE_BODY).is_none_or(|body| body.is_empty()));
}

#[test]
fn an_answer_to_what_was_given_up_is_told_once_as_late() {
    let (spans, logs) = (InMemorySpanExporter::default(), InMemoryLogExporter::default());
    let tracer = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .build();
    let logger = SdkLoggerProvider::builder()
        .with_simple_exporter(logs.clone())
        .build();
    let recorder = Recorder::given(&tracer, Some(&logger));
    let observer = Observer::new(recorder.with(Capture::default()));
    let mut conversation = Conversation::new(observer.clone());
    let carrier = Carrier::default();
    let start = observer.remembered().held();
    let answer = |conversation: &mut Conversation, id: u32| {
        let answer = message(json!({"id": id, "result": {"of": id}}));
        conversation.take(Side::Server, &answer, &carrier, Scope::Session(&[]));
    };
    let cancel = |conversation: &mut Conversation, id: u32| {
        let cancelled = json!({"method": "notifications/cancelled", "params": {"requestId": id}});
        conversation.take(Side::Client, &message(cancelled), &carrier, Scope::Session(&[]));
    };
    begin(&mut conversation, json!(1), "cancelled");
    let broken = begin(&mut conversation, json!(2), "broken");
    begin(&mut conversation, json!(3), "answered");
    cancel(&mut conversation, 1);
    conversation.end(broken, Ended::Broken, Ending::broken("closed"));
    for id in [3, 3, 2, 1, 1, 2] {
        answer(&mut conversation, id);
    }
    let of_past = observer.remembered().held() - start;
    let late = || {
        let emitted = logs.get_emitted_logs().unwrap();
        let late = emitted.into_iter().map(|log| log.record);
        let late = late.filter(|record| record.event_name() == Some(semconv::CALL_RUNNING));
        late.collect::<Vec<_>>()
    };
    let ended = spans.get_finished_spans().unwrap();
    let [broken, cancelled] = &late()[..] else {
        panic!("{:?}", late())
    };
    for (record, name) in [(broken, "broken"), (cancelled, "cancelled")] {
        let name = format!("tools/call {name}");
        let span = ended.iter().find(|span| span.name == name).unwrap();
        assert_eq!(
            record.trace_context().unwrap().span_id,
            span.span_context.span_id()
        );
        assert_eq!(*record.timestamp().as_ref().unwrap(), span.start_time);
        let said = |key: &str| {
            let mut all = record.attributes_iter();
            all.find(|(known, _)| known.as_str() == key)
                .map(|(_, value)| value.clone())
        };
        assert_eq!(said(semconv::LATE), Some(true.into()));
        assert_eq!(said(semconv::MCP_METHOD_NAME), Some("tools/call".into()));
        assert_eq!(said(semconv::REQUEST_BODY).map(|_| ()), Some(()));
    }
    // Of many the last ones are told; long texts are not kept.
    for id in 10..110 {
        let params = json!({"name": "t", "arguments": {"text": "x".repeat(10_000)}});
        let request = json!({"id": id, "method": "tools/call", "params": params});
        conversation.take(Side::Client, &message(request), &carrier, Scope::Session(&[]));
        cancel(&mut conversation, id);
    }
    let many = observer.remembered().held() - start - of_past;
    assert!((20_000..200_000).contains(&many), "{many}");
    for id in 10..110 {
        answer(&mut conversation, id);
    }
    assert_eq!(late().len(), 2 + 32);
    let body_of_last = late()
        .last()
        .unwrap()
        .attributes_iter()
        .any(|(key, _)| key.as_str() == semconv::REQUEST_BODY);
    assert!(!body_of_last);
    // The entries themselves are left.
    let left = observer.remembered().held() - start;
    assert!(left * 3 <= of_past * 103 + 3, "{left} {of_past}");
    drop(conversation);
    assert_eq!(observer.remembered().held(), 0);
}

/// What a pipe with these messages leaves: tool, outcome and body of each span, in the order of their ends.
fn over_a_pipe(messages: &[(Side, Value)]) -> Vec<(String, String, Option<String>)> {
    let (observer, memory, _provider) = observer();
    let mut conversation = Conversation::new(observer).with_any_server();
    let carrier = Carrier::default();
    for (from, said) in messages {
        conversation.take(*from, &message(said.clone()), &carrier, Scope::Only);
    }
    conversation.close("the pipe closed", Scope::Only);
    let spans = memory.get_finished_spans().unwrap();
    let told = spans.iter().map(|span| {
        let said = |key: &str| {
            let found = span.attributes.iter().find(|known| known.key.as_str() == key);
            found.map(|known| known.value.to_string())
        };
        let tool = said(semconv::GEN_AI_TOOL_NAME).unwrap();
        let outcome = said(semconv::OUTCOME).or_else(|| said(semconv::ERROR_TYPE));
        (
            tool,
            outcome.unwrap_or_else(|| "ok".to_owned()),
            said(semconv::RESPONSE_BODY),
        )
    });
    told.collect()
}

fn asks(id: Value, tool: &str) -> (Side, Value) {
    let params = json!({"name": tool});
    (
        Side::Client,
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}),
    )
}

fn answers(id: Value, of: &str) -> (Side, Value) {
    (
        Side::Server,
        json!({"jsonrpc": "2.0", "id": id, "result": {"of": of}}),
    )
}

fn cancels(id: Value) -> (Side, Value) {
    let params = json!({"requestId": id});
    (
        Side::Client,
        json!({"method": "notifications/cancelled", "params": params}),
    )
}

fn told(tool: &str, outcome: &str, body: Option<&str>) -> (String, String, Option<String>) {
    (tool.to_owned(), outcome.to_owned(), body.map(str::to_owned))
}

#[test]
fn on_a_pipe_answers_to_one_id_are_nobodys_while_two_have_it() {
    let one = || json!(1);
    for (name, messages, expected) in [
        (
            "both answered, and one after them",
            vec![
                asks(one(), "a"),
                asks(one(), "b"),
                answers(one(), "b"),
                answers(one(), "a"),
                asks(one(), "c"),
                answers(one(), "c"),
            ],
            vec![
                told("a", "unknown", None),
                told("b", "unknown", None),
                told("c", "ok", Some("{\"of\":\"c\"}")),
            ],
        ),
        (
            "one answered",
            vec![asks(one(), "a"), asks(one(), "b"), answers(one(), "?")],
            vec![told("a", "unknown", None), told("b", "unknown", None)],
        ),
        (
            "none answered",
            vec![asks(one(), "a"), asks(one(), "b")],
            vec![
                told("a", "connection_closed", None),
                told("b", "connection_closed", None),
            ],
        ),
        (
            "one cancelled, one answered",
            vec![
                asks(one(), "a"),
                asks(one(), "b"),
                cancels(one()),
                answers(one(), "?"),
                asks(json!(2), "c"),
            ],
            vec![
                told("a", "unknown", None),
                told("b", "unknown", None),
                told("c", "connection_closed", None),
            ],
        ),
        (
            "both cancelled",
            vec![
                asks(one(), "a"),
                asks(one(), "b"),
                cancels(one()),
                cancels(one()),
                asks(json!(2), "c"),
            ],
            vec![
                told("a", "cancelled", None),
                told("b", "cancelled", None),
                told("c", "connection_closed", None),
            ],
        ),
        (
            "cancelled and used again",
            vec![
                asks(one(), "a"),
                cancels(one()),
                asks(one(), "b"),
                answers(one(), "?"),
                asks(one(), "c"),
                answers(one(), "c"),
            ],
            vec![
                told("a", "cancelled", None),
                told("b", "unknown", None),
                told("c", "ok", Some("{\"of\":\"c\"}")),
            ],
        ),
        (
            "cancelled, used again and cancelled",
            vec![asks(one(), "a"), cancels(one()), asks(one(), "b"), cancels(one())],
            vec![told("a", "cancelled", None), told("b", "cancelled", None)],
        ),
        (
            "a number and a text",
            vec![
                asks(one(), "a"),
                asks(json!("1"), "b"),
                answers(json!("1"), "b"),
                answers(one(), "a"),
            ],
            vec![
                told("b", "ok", Some("{\"of\":\"b\"}")),
                told("a", "ok", Some("{\"of\":\"a\"}")),
            ],
        ),
    ] {
        let expected = expected.into_iter().map(|(tool, outcome, body)| {
            let outcome = if outcome == "connection_closed" {
                semconv::CLOSED.to_owned()
            } else {
                outcome
            };
            (tool, outcome, body)
        });
        assert_eq!(over_a_pipe(&messages), expected.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn ids_that_are_none_of_json_rpc_leave_a_record() {
    for id in [json!(true), json!([1]), json!({"a": 1})] {
        let of_id = over_a_pipe(&[asks(id.clone(), "t"), answers(id.clone(), "t")]);
        assert_eq!(of_id, [told("t", "ok", Some("{\"of\":\"t\"}"))], "{id}");
        let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "no id"}});
        let of_null = over_a_pipe(&[asks(id, "t"), (Side::Server, error)]);
        assert!(of_null[0].2.as_ref().unwrap().contains("no id"), "{of_null:?}");
    }
}
