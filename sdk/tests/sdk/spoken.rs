//! JSON-RPC as it is spoken on pipes.

use mcptap_model::semconv;
use mcptap_sdk::Watch;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use serde_json::json;

use crate::layer::call;
use crate::support::{Spans, json_said, said};

/// The spans of a conversation in which the client says all it has to say first.
fn conversation(asked: &str, answered: &str) -> Vec<SpanData> {
    let spans = Spans::new();
    let pipe = Watch::through(&spans.provider, None).pipe();
    for bytes in asked.as_bytes().chunks(7) {
        pipe.from_client(bytes);
    }
    for bytes in answered.as_bytes().chunks(5) {
        pipe.from_server(bytes);
    }
    pipe.close("the end");
    spans.all()
}

fn ask(id: &str, tool: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\"}}}}\n"
    )
}

fn answer(id: &str, of: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"of\":\"{of}\"}}}}\n")
}

/// Which tool got which answer.
fn pairs(spans: &[SpanData]) -> Vec<(String, Option<String>)> {
    let mut pairs: Vec<_> = spans
        .iter()
        .map(|span| {
            let tool = said(span, semconv::GEN_AI_TOOL_NAME).unwrap();
            let body = said(span, semconv::RESPONSE_BODY);
            (
                tool,
                body.map(|body| {
                    serde_json::from_str::<serde_json::Value>(&body).unwrap()["of"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                }),
            )
        })
        .collect();
    pairs.sort();
    pairs
}

#[test]
fn ids_are_the_same_by_value_and_else_by_their_digits() {
    for (asked, answered) in [
        ("1", "1.0"),
        ("1", "1e0"),
        ("1", "10E-1"),
        ("3", "\"3\""),
        ("\"4\"", "4"),
        ("\"4\"", "4.0"),
        ("4", "\"4.0\""),
        ("0", "-0.0"),
        ("12345678901234567890123456789", "12345678901234567890123456789.0"),
        ("\"a\\ud83d\"", "\"a\\ufffd\""),
    ] {
        let spans = conversation(&ask(asked, "t"), &answer(answered, "t"));
        assert_eq!(
            pairs(&spans),
            [("t".to_owned(), Some("t".to_owned()))],
            "{asked} {answered}"
        );
    }
    // Each has the one that is written like it; the other takes what is left.
    for (first, second) in [("1", "\"1\""), ("\"1\"", "1")] {
        let asked = ask(first, "first") + &ask(second, "second");
        for answered in [
            answer(second, "second") + &answer(first, "first"),
            answer(first, "first") + &answer(first, "second"),
        ] {
            let expected = ["first", "second"].map(|tool| (tool.to_owned(), Some(tool.to_owned())));
            assert_eq!(pairs(&conversation(&asked, &answered)), expected, "{answered}");
        }
    }
    // Numbers that are nearly the same are two.
    let spans = conversation(
        &ask("9007199254740993", "t"),
        &answer("9007199254740992", "another"),
    );
    assert_eq!(pairs(&spans), [("t".to_owned(), None)]);
}

#[test]
fn null_members_are_absent() {
    for (answered, error) in [
        (r#"{"id":1,"result":{"of":"t"},"error":null}"#, None),
        (
            r#"{"error":null,"id":1,"method":null,"params":null,"result":{"of":"t"}}"#,
            None,
        ),
        (r#"{"id":1,"result":{"of":"t","isError":null}}"#, None),
        (
            r#"{"id":1,"result":null,"error":{"code":-32603,"message":"boom"}}"#,
            Some("-32603"),
        ),
        (
            r#"{"id":1,"result":null,"error":{"code":null,"message":null}}"#,
            Some("_OTHER"),
        ),
    ] {
        let asked =
            r#"{"id":1,"method":"tools/call","params":{"name":"t","_meta":null},"result":null,"error":null}"#;
        let spans = conversation(&format!("{asked}\n"), &format!("{answered}\n"));
        let [span] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(said(span, semconv::ERROR_TYPE).as_deref(), error, "{answered}");
        let body = json_said(span, semconv::RESPONSE_BODY);
        assert_eq!(body.get("error").is_some(), error.is_some(), "{body}");
    }
}

#[test]
fn half_an_emoji_costs_nothing() {
    let asked = ask("1", "t\\ud83d");
    let answered = r#"{"id":1,"error":{"code":-32000,"message":"no \ude00 here"}}"#;
    let spans = conversation(&asked, &format!("{answered}\n"));
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(
        said(span, semconv::GEN_AI_TOOL_NAME).as_deref(),
        Some("t\u{fffd}")
    );
    assert_eq!(span.status, Status::error("no \u{fffd} here"));
    assert_eq!(
        json_said(span, semconv::RESPONSE_BODY)["error"]["message"],
        "no \u{fffd} here"
    );
    for truncated in [semconv::REQUEST_TRUNCATED, semconv::RESPONSE_TRUNCATED] {
        assert_eq!(said(span, truncated).as_deref(), Some("false"));
    }
}

#[test]
fn a_numbered_notification_is_no_request() {
    let asked = r#"{"id":2,"method":"notifications/initialized"}"#;
    for answered in [
        "",
        "{\"id\":2,\"result\":{}}\n",
        "{\"id\":2,\"error\":{\"code\":-32601,\"message\":\"no\"}}\n",
    ] {
        assert!(conversation(&format!("{asked}\n"), answered).is_empty());
    }
}

#[test]
fn a_byte_order_mark_and_other_framings_cost_no_message() {
    let asked = format!("\u{feff}{}", ask("1", "t").replace('\n', "\r\n"));
    let answered = format!("\u{feff}\r\n\u{feff}{}", answer("1", "t"));
    let expected = [("t".to_owned(), Some("t".to_owned()))];
    let spans = conversation(&asked, &answered);
    assert_eq!(pairs(&spans), expected);
    assert_eq!(said(&spans[0], semconv::FRAMING), None);
    let framed = |message: &str| {
        let message = message.trim_end();
        format!("Content-Length: {}\r\n\r\n{message}", message.len())
    };
    let spans = conversation(&framed(&ask("1", "t")), &framed(&answer("1", "t")));
    assert_eq!(pairs(&spans), expected);
    assert_eq!(
        said(&spans[0], semconv::FRAMING).as_deref(),
        Some("content-length")
    );
}

#[test]
fn an_answer_may_repeat_the_method() {
    let answered = json!({"id": 1, "method": "tools/call", "result": {"of": "t"}});
    let spans = conversation(&format!("{}\n", call(1, "t")), &format!("{answered}\n"));
    assert_eq!(pairs(&spans), [("t".to_owned(), Some("t".to_owned()))]);
}
