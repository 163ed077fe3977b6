use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::jsonrpc::Id;

fn scan(text: &[u8], piece: usize, cap: usize) -> Scan {
    let mut scanner = Scanner::new(cap);
    for bytes in text.chunks(piece) {
        scanner.feed(bytes);
    }
    scanner.finish()
}

fn one(text: &str) -> Message {
    let mut scan = scan(text.as_bytes(), 3, 1 << 20);
    assert!(scan.is_jsonrpc(), "{scan:?}");
    assert_eq!(scan.messages.len(), 1);
    scan.messages.remove(0)
}

#[test]
fn a_request_is_read() {
    let message = one(
        r#" {"jsonrpc":"2.0","id":"a\"1","method":"tools/call","params":{"name":"get_order","arguments":{"name":"no",
        "isError":true,"list":[{"name":"neither"}]},"_meta":{"progressToken":7,"x":{"y":[1]}}}} "#,
    );
    assert_eq!(message.id(), Some(Id::Text("a\"1".to_owned())));
    assert_eq!(message.method().as_deref(), Some("tools/call"));
    assert_eq!(message.text(Field::Name).as_deref(), Some("get_order"));
    assert_eq!(
        message.json(Field::Meta),
        Some(json!({"progressToken": 7, "x": {"y": [1]}}))
    );
    assert_eq!(message.get(Field::IsError), None);
    assert!(
        message
            .body()
            .text
            .starts_with(r#"{"method":"tools/call","params":{"name":"#)
    );
    assert!(message.body().json().is_some());
}

#[test]
fn answers_are_read() {
    let message = one(r#"{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[{"text":"isError"}]}}"#);
    assert!(message.is_answer() && message.is_true(Field::IsError));
    assert_eq!(message.id(), Some(Id::number("1")));
    assert_eq!(
        message.body().text,
        r#"{"isError":true,"content":[{"text":"isError"}]}"#
    );
    let message = one(r#"{"error":{"message":"no \u00e9","code":-32601,"data":{"code":1}},"id":null}"#);
    assert_eq!(message.id(), None);
    assert_eq!(message.text(Field::ErrorMessage).as_deref(), Some("no é"));
    assert_eq!(
        message.get(Field::ErrorCode).map(|code| code.text.as_str()),
        Some("-32601")
    );
    assert!(message.body().text.starts_with(r#"{"error":{"message""#));
    let message = one(r#"{"id":3,"result":{"task":{"taskId":"t"},"taskId":"u"}}"#);
    assert_eq!(message.text(Field::GivenTask).as_deref(), Some("t"));
    assert_eq!(message.text(Field::GivenTaskId).as_deref(), Some("u"));
}

#[test]
fn keys_may_be_escaped_and_of_two_the_last_counts() {
    let message = one(r#"{"m\u0065thod":"a","method":"b","id":1}"#);
    assert_eq!(message.method().as_deref(), Some("b"));
}

#[test]
fn what_is_null_is_absent() {
    let answered = |text: &str| {
        (
            one(text).is_answer(),
            one(text).error().is_some(),
            one(text).body().text,
        )
    };
    for (text, failed, body) in [
        (r#"{"id":1,"result":{"a":1},"error":null}"#, false, r#"{"a":1}"#),
        (
            r#"{"error":null,"method":null,"params":null,"result":7,"id":1}"#,
            false,
            "7",
        ),
        (r#"{"id":1,"result":null}"#, false, "null"),
        (r#"{"id":1,"result":null,"error":null}"#, false, "null"),
        (
            r#"{"id":1,"result":null,"error":{"code":1}}"#,
            true,
            r#"{"error":{"code":1}}"#,
        ),
        (
            r#"{"id":1,"jsonrpc":"2.0","error":"broken"}"#,
            true,
            r#"{"error":"broken"}"#,
        ),
        (r#"{"id":1,"result":{},"error":""}"#, false, "{}"),
        (r#"{"id":1,"result":{},"error":false}"#, false, "{}"),
        (r#"{"id":1,"method":"m","result":{}}"#, false, "{}"),
        (
            r#"{"id":1,"error":{"code":1},"error":null,"result":{}}"#,
            false,
            "{}",
        ),
    ] {
        assert_eq!(answered(text), (true, failed, body.to_owned()), "{text}");
    }
    for text in [
        r#"{"id":1,"method":"m","result":null,"error":null,"params":null}"#,
        r#"{"id":null,"method":"m","params":{"_meta":null,"name":null}}"#,
    ] {
        let request = one(text);
        assert!(!request.is_answer() && request.body().json().is_some(), "{text}");
        assert_eq!(
            (request.get(Field::Meta), request.text(Field::Name)),
            (None, None)
        );
    }
    // Also where no body is kept.
    let bare = scan(br#"{"id":1,"result":{},"error":null}"#, 2, 0)
        .messages
        .remove(0);
    assert!(bare.is_answer() && bare.error().is_none());
}

#[test]
fn half_a_surrogate_pair_costs_nothing_beside_it() {
    let message = one(r#"{"id":"a\ud83d","error":{"code":-32000.0,"message":"cut \ud83d here"}}"#);
    assert_eq!(message.id(), Some(Id::Text("a\u{fffd}".to_owned())));
    assert_eq!(
        message.text(Field::ErrorMessage).as_deref(),
        Some("cut \u{fffd} here")
    );
    assert_eq!(message.integer(Field::ErrorCode), Some(-32000));
    let body = message.body();
    assert!(!body.is_cut() && body.json().is_some(), "{body:?}");
}

#[test]
fn a_byte_order_mark_begins_no_message() {
    for text in [
        "\u{feff}{\"id\":1,\"result\":{}}",
        "\u{feff} [{\"id\":1,\"result\":{}}]",
    ] {
        assert!(one(text).is_answer());
    }
    assert!(!scan("{\"a\":\u{feff}1}".as_bytes(), 2, 100).complete);
}

#[test]
fn a_batch_is_its_messages() {
    let found = scan(
        br#"[{"id":1,"method":"a","params":{"name":"x"}},{"id":2,"method":"b"}]"#,
        4,
        100,
    );
    let read: Vec<_> = found
        .messages
        .iter()
        .map(|message| (message.method(), message.text(Field::Name)))
        .collect();
    assert_eq!(
        read,
        [
            (Some("a".to_owned()), Some("x".to_owned())),
            (Some("b".to_owned()), None)
        ]
    );
    assert!(found.is_jsonrpc());
}

#[test]
fn objects_in_a_list_are_not_one_object() {
    let text = br#"{"id":1,"result":[{"task":null},{"taskId":"t"},{"task":{"taskId":"t"}}]}"#;
    for piece in [1, 1000] {
        let found = scan(text, piece, 100);
        assert_eq!(found.messages[0].json(Field::GivenTask), None);
    }
}

#[test]
fn a_body_is_cut_and_measured() {
    let text = format!(
        r#"{{"id":1,"method":"m","params":{{"name":"n","a":"{}"}}}}"#,
        "x".repeat(1000)
    );
    for piece in [1, 10, 5000] {
        let found = scan(text.as_bytes(), piece, 20);
        let body = found.messages[0].body();
        assert_eq!(body.text, r#"{"method":"m","params":{"name":"n","a":""#);
        assert_eq!(body.size, text.len() - r#""id":1,"#.len());
        assert!(body.is_cut());
    }
}

#[test]
fn what_is_no_jsonrpc_says_so() {
    for text in [
        "",
        "  ",
        "null",
        "hello",
        "\"text\"",
        "{",
        "{}}",
        "[",
        "[1]",
        "{}{}",
        "{\"a\":1}",
        "]",
        "{\"id\":1,\"method\":\"a\"",
    ] {
        assert!(!scan(text.as_bytes(), 2, 100).is_jsonrpc(), "{text:?}");
    }
    let deep = "[".repeat(200_000);
    assert!(!scan(deep.as_bytes(), 4096, 100).complete);
}

#[test]
fn no_depth_makes_a_text_another() {
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
    let text = format!("{{\"id\":1,\"result\":{{\"deep\":{open}{close},\"isError\":true}}}}");
    let read = scan(text.as_bytes(), 4096, 100);
    assert!(read.is_jsonrpc() && read.messages[0].is_true(Field::IsError));
    assert_eq!(
        read.messages[0].body().size,
        text.len() - "{\"id\":1,\"result\":}".len()
    );
}

#[test]
fn of_a_member_that_stands_twice_all_of_the_last_counts() {
    let message = one(r#"{"id":1,"result":{"isError":true,"resultType":"task"},"result":{"content":[]}}"#);
    assert_eq!(
        (message.get(Field::IsError), message.get(Field::ResultType)),
        (None, None)
    );
    assert_eq!(message.body().text, r#"{"content":[]}"#);
    let message = one(r#"{"id":1,"error":{"code":-1},"result":{},"error":null}"#);
    assert!(message.error().is_none() && message.get(Field::ErrorCode).is_none());
    let message =
        one(r#"{"method":"a","id":1,"params":{"name":"first","_meta":{"a":1}},"params":{"_meta":{}}}"#);
    assert_eq!(message.get(Field::Name), None);
    assert_eq!(message.json(Field::Meta), Some(json!({})));
    let message = one(r#"{"id":1,"result":{"task":{"taskId":"a"},"task":{}}}"#);
    assert_eq!(message.get(Field::GivenTaskId), None);
    assert_eq!(message.get(Field::GivenTask), None);
}

#[test]
fn ids_of_any_kind_name_a_request() {
    for (id, said) in [
        ("true", "true"),
        ("[1, \"a\"]", "[1,\"a\"]"),
        ("{\"a\": 1}", "{\"a\":1}"),
    ] {
        let message = one(&format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":{id}}}"
        ));
        assert_eq!(message.id().map(|id| id.to_string()).as_deref(), Some(said));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known = [
        "id", "method", "params", "result", "error", "name", "uri", "_meta", "task", "taskId", "isError",
        "code", "message",
    ];
    prop_oneof![3 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    /// The scanner finds what a parser finds, however the bytes are cut.
    #[test]
    fn it_agrees_with_a_parser(
        members in prop::collection::vec((any_key(), any_json()), 0..6),
        pretty in any::<bool>(),
        piece in 1usize..40,
    ) {
        let value = Value::Object(members.into_iter().collect());
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let found = scan(text.as_bytes(), piece, usize::MAX);
        prop_assert!(found.complete);
        let message = &found.messages[0];
        for (path, field) in [
            ("/id", Field::Id), ("/method", Field::Method), ("/params", Field::Params), ("/result", Field::Result),
            ("/params/name", Field::Name), ("/params/_meta", Field::Meta), ("/result/isError", Field::IsError),
            ("/result/task/taskId", Field::GivenTask), ("/error/code", Field::ErrorCode),
        ] {
            // A pointer goes through lists as well; a message's fields stand in objects.
            let expected = match path.rsplit_once('/') {
                Some((above, _)) => value.pointer(above).filter(|above| above.is_object()).and(value.pointer(path)),
                None => None,
            };
            // A member that is null is absent, but for a result.
            let expected = expected.filter(|value| !value.is_null() || field == Field::Result);
            prop_assert_eq!(message.json(field), expected.cloned(), "{}", path);
            if let Some(Value::String(text)) = expected {
                prop_assert_eq!(message.text(field), Some(text.clone()));
            }
        }
    }

    /// No bytes make it fail, and the pieces make no difference.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..30) {
        let whole = scan(&bytes, usize::MAX, 50);
        let pieces = scan(&bytes, piece, 50);
        prop_assert_eq!(whole.messages, pieces.messages);
        prop_assert_eq!(whole.complete, pieces.complete);
    }

    /// The same for bytes that look like JSON.
    #[test]
    fn almost_json_is_survived(text in r#"[\[\]{}:," \\a-c0-2"]{0,80}"#, piece in 1usize..10) {
        let whole = scan(text.as_bytes(), usize::MAX, 50);
        let pieces = scan(text.as_bytes(), piece, 50);
        prop_assert_eq!(whole.messages, pieces.messages);
        prop_assert_eq!(whole.complete, pieces.complete);
        if serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object() || value.is_array()) {
            prop_assert!(whole.complete, "{}", text);
        }
    }
}

/// How many bytes are kept of a text, and how many messages of it.
fn kept(text: &str, cap: usize) -> (usize, usize) {
    let mut scanner = Scanner::new(cap);
    for bytes in text.as_bytes().chunks(1000) {
        scanner.feed(bytes);
    }
    let scan = scanner.finish();
    let bytes = scan.messages.iter().map(Message::bytes).sum();
    (bytes, scan.messages.len())
}

#[test]
fn of_a_batch_no_more_is_kept_than_of_a_few_large_messages() {
    const CAP: usize = 256 * 1024;
    let body = " .".repeat(CAP / 4);
    let batch = |count: usize, method: &str| {
        let message =
            |id| format!(r#"{{"id":{id},"method":"{method}","params":{{"_meta":"{body}","a":"{body}"}}}}"#);
        let messages: Vec<_> = (0..count).map(message).collect();
        format!("[{}]", messages.join(","))
    };
    // Of messages beyond the bound names and sizes are kept.
    let text = batch(40, "tools/call");
    let (bytes, messages) = kept(&text, CAP);
    assert_eq!(messages, 40);
    assert!((8 * CAP..10 * CAP).contains(&bytes), "{bytes}");
    let mut scanner = Scanner::new(CAP);
    scanner.feed(text.as_bytes());
    let scan = scanner.finish();
    let [first, .., last] = &scan.messages[..] else {
        unreachable!()
    };
    let most = CAP + r#"{"method":"tools/call","params":"#.len();
    assert!((most - 1..=most).contains(&first.body().text.len()));
    assert_eq!(last.id(), Some(Id::number("39")));
    assert_eq!(last.method().as_deref(), Some("tools/call"));
    assert_eq!(last.body().size, first.body().size);
    assert!(last.body().is_cut());
    // One message alone is kept as it always was.
    assert!(kept(&batch(1, "tools/call"), CAP).0 > CAP);
}

#[test]
fn a_batch_of_long_names_is_passed_over_from_some_number_on() {
    let name = "n".repeat(4000);
    let message =
        |id| format!(r#"{{"id":{id},"method":"{name}","params":{{"name":"{name}","uri":"{name}"}}}}"#);
    let messages: Vec<_> = (0..2000).map(message).collect();
    let (bytes, messages) = kept(&format!("[{}]", messages.join(",")), 0);
    assert!(bytes < 2 * SMALL_BATCH + 16 * 1024, "{bytes}");
    assert!((100..300).contains(&messages), "{messages}");
}
