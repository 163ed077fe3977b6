//! What is recorded: one call per request, whatever ids, order and number of answers there are.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{ECHO, Wrapping, call_tool, calls_of, python, request};
use crate::support::{TestServer, eventually};

/// A server that answers with given lines, after it has read a given number of lines.
fn scripted(steps: &[(usize, &[String])]) -> Vec<String> {
    let steps = serde_json::to_string(steps).unwrap();
    python(&format!(
        "import json, sys\n\
         for count, lines in json.loads({steps:?}):\n    \
             for _ in range(count): sys.stdin.readline()\n    \
             for line in lines: print(line, flush=True)\n\
         sys.stdin.read()"
    ))
}

fn answer(id: impl Into<Value>, result: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id.into(), "result": result}).to_string()
}

/// Sends lines, waits for that many lines, and ends it.
async fn converse(server: &TestServer, script: Vec<String>, lines: &[String], answers: usize) {
    let mut wrapped = Wrapping::to(server).run(&script);
    for line in lines {
        wrapped.send(line).await;
    }
    for _ in 0..answers {
        assert_ne!(wrapped.line().await, "");
    }
    assert_eq!(wrapped.end().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_thousand_calls_answered_out_of_order() {
    const COUNT: usize = 1000;
    let server = TestServer::start().await;
    let script = format!(
        "import json, random, sys\n\
         asked = [json.loads(sys.stdin.readline()) for _ in range({COUNT})]\n\
         random.Random(7).shuffle(asked)\n\
         for request in asked:\n    \
             print(json.dumps({{'jsonrpc': '2.0', 'id': request['id'], 'result': {{'of': request['id']}}}}))\n\
         sys.stdout.flush()\n\
         sys.stdin.read()"
    );
    let mut wrapped = Wrapping::to(&server).run(&python(&script));
    let requests: String = (0..COUNT)
        .map(|id| call_tool(id, &format!("tool-{id}")))
        .collect();
    wrapped.send(requests).await;
    for _ in 0..COUNT {
        assert_ne!(wrapped.line().await, "");
    }
    assert_eq!(wrapped.end().await.status.code(), Some(0));
    let calls = calls_of(&server, COUNT, "requestId tool outcome response { json }").await;
    let by_id: HashMap<&str, &Value> = calls
        .iter()
        .map(|call| (call["requestId"].as_str().unwrap(), call))
        .collect();
    for id in 0..COUNT {
        let call = by_id[id.to_string().as_str()];
        assert_eq!(call["tool"], format!("tool-{id}"));
        assert_eq!(call["outcome"], "OK");
        assert_eq!(call["response"]["json"], json!({"of": id}));
    }
}

#[tokio::test]
async fn numbers_and_texts_are_different_ids() {
    let server = TestServer::start().await;
    let answers = [
        answer("1", json!({"of": "text"})),
        answer(1, json!({"of": "number"})),
    ];
    let requests = [call_tool(1, "number"), call_tool("1", "text")];
    converse(&server, scripted(&[(2, &answers)]), &requests, 2).await;
    let calls = calls_of(&server, 2, "tool outcome response { json }").await;
    for (call, tool) in calls.iter().zip(["number", "text"]) {
        assert_eq!(
            *call,
            json!({"tool": tool, "outcome": "OK", "response": {"json": {"of": tool}}})
        );
    }
}

/// The calls of a conversation of two requests with one id: tool, outcome and answer of each, and the reason why that is not
/// known.
async fn of_one_id(answers: &[String], cancels: usize) -> Vec<Value> {
    let server = TestServer::start().await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let mut requests = vec![call_tool(1, "first"), call_tool(1, "second")];
    requests.extend(vec![format!("{cancel}\n"); cancels]);
    let script = scripted(&[(requests.len(), answers)]);
    converse(&server, script, &requests, answers.len()).await;
    calls_of(&server, 2, "tool outcome durationMs response { json } attributes").await
}

#[tokio::test]
async fn answers_to_one_id_that_two_requests_have_are_nobodys() {
    let both = [
        answer(1, json!({"of": "second"})),
        answer(1, json!({"of": "first"})),
    ];
    let one = [answer(1, json!({}))];
    for (answers, cancels) in [(&both[..], 0), (&one[..], 0), (&one[..], 1)] {
        for (call, tool) in of_one_id(answers, cancels).await.iter().zip(["first", "second"]) {
            assert_eq!(
                (&call["tool"], &call["outcome"]),
                (&json!(tool), &json!("LOST")),
                "{call}"
            );
            assert_eq!(
                (&call["durationMs"], &call["response"]),
                (&Value::Null, &Value::Null)
            );
            let why = call["attributes"]["mcptap.response.unreadable"].as_str().unwrap();
            assert!(why.contains("same id were open at once"), "{why}");
        }
    }
}

#[tokio::test]
async fn requests_of_one_id_that_nobody_answers_are_as_unanswered_as_others() {
    for (cancels, outcome) in [(0, "TRANSPORT_ERROR"), (2, "CANCELLED")] {
        for call in of_one_id(&[], cancels).await {
            assert_eq!(call["outcome"], outcome, "{call}");
            assert_eq!(call["attributes"]["mcptap.response.unreadable"], Value::Null);
        }
    }
}

#[tokio::test]
async fn an_answer_may_be_that_of_a_request_that_was_cancelled_before() {
    let server = TestServer::start().await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let requests = [
        call_tool(1, "cancelled"),
        format!("{cancel}\n"),
        call_tool(1, "doubtful"),
        call_tool(1, "sure"),
    ];
    let answers = [
        [answer(1, json!({"of": "?"}))],
        [answer(1, json!({"of": "sure"}))],
    ];
    let script = scripted(&[(3, &answers[0]), (1, &answers[1])]);
    let mut wrapped = Wrapping::to(&server).run(&script);
    wrapped.send(requests[..3].concat()).await;
    assert_ne!(wrapped.line().await, "");
    wrapped.send(requests[3].clone()).await;
    assert_ne!(wrapped.line().await, "");
    assert_eq!(wrapped.end().await.status.code(), Some(0));
    let calls = calls_of(&server, 3, "tool outcome response { json }").await;
    let said: Vec<Value> = calls
        .iter()
        .map(|call| json!([call["tool"], call["outcome"]]))
        .collect();
    let expected = json!([["cancelled", "CANCELLED"], ["doubtful", "LOST"], ["sure", "OK"]]);
    assert_eq!(json!(said), expected);
    assert_eq!(calls[2]["response"]["json"], json!({"of": "sure"}));
}

#[tokio::test]
async fn answers_that_come_twice_late_or_to_nothing() {
    let server = TestServer::start().await;
    let answers = [
        answer(1, json!({"first": true})),
        answer(1, json!({"first": false})),
        answer(99, json!({})),
        answer(2, json!({"late": true})),
    ];
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2, "reason": "bored"}});
    let requests = [
        call_tool(1, "twice"),
        call_tool(2, "given-up"),
        format!("{cancel}\n"),
    ];
    converse(&server, scripted(&[(3, &answers)]), &requests, 4).await;
    let calls = calls_of(
        &server,
        2,
        "tool outcome late response { json } errorMessage logs { nodes { body } }",
    )
    .await;
    let [twice, given_up] = &calls[..] else {
        panic!("{calls:?}")
    };
    assert_eq!((&twice["outcome"], &twice["late"]), (&json!("OK"), &json!(false)));
    assert_eq!(twice["response"]["json"], json!({"first": true}));
    assert_eq!(
        twice["logs"]["nodes"],
        json!([{"body": "a second answer to this request came"}])
    );
    assert_eq!(given_up["outcome"], "CANCELLED");
    assert_eq!(given_up["errorMessage"], "bored");
    assert_eq!(
        given_up["logs"]["nodes"],
        json!([{"body": "the answer came after the request was cancelled"}])
    );
    // The word of it may come after the span and the line.
    let found = async |late: bool| {
        let query = "query($late: Boolean!) { calls(filter: { late: $late }, first: 10) { nodes { tool outcome late } } }";
        let answer = server.graphql(query, json!({"late": late})).await;
        answer["calls"]["nodes"].clone()
    };
    eventually("the late answer", async || {
        let late = json!([{"tool": "given-up", "outcome": "CANCELLED", "late": true}]);
        (found(true).await == late).then_some(())
    })
    .await;
    let others = json!([{"tool": "twice", "outcome": "OK", "late": false}]);
    assert_eq!(found(false).await, others);
}

#[tokio::test]
async fn an_answer_that_never_comes() {
    let server = TestServer::start().await;
    let script =
        python("import sys\nsys.stdin.readline()\nprint('{}', flush=True)\nsys.stdin.read()\nsys.exit(3)");
    let mut wrapped = Wrapping::to(&server).run(&script);
    wrapped.send(call_tool(1, "forgotten")).await;
    assert_eq!(wrapped.line().await, "{}");
    assert_eq!(wrapped.end().await.status.code(), Some(3));
    let calls = calls_of(&server, 1, "outcome errorMessage").await;
    assert_eq!(calls[0]["outcome"], "TRANSPORT_ERROR");
    assert_eq!(
        calls[0]["errorMessage"],
        "the server exited with code 3 before it answered"
    );
}

#[tokio::test]
async fn each_request_of_a_batch_is_a_call() {
    let server = TestServer::start().await;
    let one = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": format!("tool-{id}")}});
    let notified = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
    let batch = json!([one(1), notified, one(2), one(3)]);
    converse(&server, python(ECHO), &[format!("{batch}\n")], 1).await;
    let mut tools: Vec<Value> = calls_of(&server, 3, "tool outcome").await;
    tools.sort_by_key(|call| call["tool"].to_string());
    let expected = [1, 2, 3].map(|id| json!({"tool": format!("tool-{id}"), "outcome": "OK"}));
    assert_eq!(tools, expected);
}

#[tokio::test]
async fn console_output_belongs_to_the_running_call() {
    let server = TestServer::start().await;
    let mut wrapped = Wrapping::to(&server).run(&python(ECHO));
    for number in 1..=3 {
        let params = json!({"name": format!("tool-{number}"), "log": format!("working on {number}")});
        wrapped.call(json!(number), "tools/call", params).await;
        assert_eq!(wrapped.error_line().await, format!("working on {number}"));
    }
    wrapped.end().await;
    let calls = calls_of(&server, 3, "tool logs { nodes { body severity } }").await;
    for (call, number) in calls.iter().zip(1..) {
        let line = json!({"body": format!("working on {number}"), "severity": "INFO"});
        assert_eq!(call["logs"]["nodes"], json!([line]), "{call}");
    }
}

#[tokio::test]
async fn who_talks_to_whom_is_known() {
    let server = TestServer::start().await;
    let info = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "shop", "version": "2"}});
    let lines = [
        request(
            json!(0),
            "initialize",
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "till", "version": "1"}}),
        ),
        call_tool(1, "sell"),
    ];
    let script = scripted(&[(1, &[answer(0, info)]), (1, &[answer(1, json!({}))])]);
    converse(&server, script, &lines, 2).await;
    let calls = calls_of(
        &server,
        2,
        "method clientName protocolVersion transport httpStatus server { name } session { id source }",
    )
    .await;
    for call in &calls {
        assert_eq!(call["clientName"], "till", "{call}");
        assert_eq!(call["protocolVersion"], "2025-11-25", "{call}");
        assert_eq!(call["transport"], "STDIO", "{call}");
        assert_eq!(call["httpStatus"], Value::Null, "{call}");
        assert_eq!(call["server"]["name"], "shop", "{call}");
        assert_ne!(call["session"], Value::Null, "{call}");
        assert_eq!(call["session"], calls[0]["session"], "{call}");
    }
}

#[tokio::test]
async fn null_members_half_emojis_and_ids_written_otherwise_cost_nothing() {
    let server = TestServer::start().await;
    let answers = [
        r#"{"jsonrpc":"2.0","id":1.0,"result":{"text":"cut \ud83d"},"error":null,"method":null}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":2,"result":null,"error":{"code":-32603,"message":"boom \ude00"}}"#
            .to_owned(),
        answer("3", json!({"of": 3})),
    ];
    let requests = [call_tool(1, "null"), call_tool(2, "error"), call_tool(3, "text")];
    converse(&server, scripted(&[(3, &answers)]), &requests, 3).await;
    let calls = calls_of(
        &server,
        3,
        "tool outcome errorMessage response { json truncated }",
    )
    .await;
    let call = |tool: &str| calls.iter().find(|call| call["tool"] == tool).unwrap();
    let whole = |json: Value| json!({"json": json, "truncated": false});
    assert_eq!(call("null")["outcome"], "OK");
    assert_eq!(call("null")["response"], whole(json!({"text": "cut \u{fffd}"})));
    assert_eq!(call("error")["outcome"], "PROTOCOL_ERROR");
    assert_eq!(call("error")["errorMessage"], "boom \u{fffd}");
    assert_eq!(
        call("error")["response"],
        whole(json!({"error": {"code": -32603, "message": "boom \u{fffd}"}}))
    );
    assert_eq!(call("text")["outcome"], "OK");
    assert_eq!(call("text")["response"], whole(json!({"of": 3})));
}

#[tokio::test]
async fn a_name_that_was_given_names_the_server_and_what_it_calls_itself_only_where_there_is_none() {
    let names: [(&[(&str, &str)], &str); 5] = [
        (&[], "itself"),
        (&[("OTEL_SERVICE_NAME", "given")], "given"),
        (&[("OTEL_SERVICE_NAME", "")], "itself"),
        (
            &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=my%20shop,team=a")],
            "my shop",
        ),
        (&[("OTEL_RESOURCE_ATTRIBUTES", "team=%C3%A9t%C3%A9")], "itself"),
    ];
    let server = TestServer::start().await;
    for (number, (variables, name)) in (1..).zip(names) {
        let info = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "itself", "version": "2"}});
        let wrapping = variables
            .iter()
            .fold(Wrapping::to(&server), |wrapping, (key, value)| {
                wrapping.with(key, value)
            });
        let lines = [
            request(
                json!(0),
                "initialize",
                json!({"protocolVersion": "2025-11-25", "capabilities": {}}),
            ),
            call_tool(1, "sell"),
        ];
        let mut wrapped = wrapping.run(&scripted(&[
            (1, &[answer(0, info)]),
            (1, &[answer(1, json!({}))]),
        ]));
        wrapped.send(lines.concat()).await;
        wrapped.line().await;
        wrapped.line().await;
        wrapped.end().await;
        let calls = calls_of(&server, 2 * number, "server { name } attributes").await;
        let found: Vec<_> = calls
            .iter()
            .filter(|call| call["server"]["name"] == name)
            .map(|call| call["attributes"]["resource"]["team"].clone())
            .collect();
        let rounds = names[..number].iter().filter(|(_, known)| *known == name);
        assert_eq!(found.len(), 2 * rounds.count(), "{variables:?}: {calls:?}");
        if variables.iter().any(|(_, value)| value.contains("%C3")) {
            assert!(found.contains(&json!("été")), "{found:?}");
        }
    }
}

/// Answers with what it got.
const ECHOES: &str = r#"
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"got": line}}), flush=True)
"#;

#[tokio::test]
async fn requests_are_given_a_trace_only_where_that_is_asked_for() {
    const CLIENTS: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    let server = TestServer::start().await;
    let mut own = call_tool(2, "sell");
    own.insert_str(
        own.find("\"params\":{").unwrap() + 10,
        &format!("\"_meta\":{{\"traceparent\":\"{CLIENTS}\"}},"),
    );
    let mut got = Vec::new();
    for (flag, is_recorded) in [
        ("", true),
        ("false", true),
        ("perhaps", true),
        ("true", false),
        ("true", true),
    ] {
        let wrapping = Wrapping::to(&server).with("MCPTAP_WRAP_TRACEPARENT", flag);
        let wrapping = match is_recorded {
            true => wrapping,
            false => wrapping.with("OTEL_TRACES_EXPORTER", "none"),
        };
        let mut wrapped = wrapping.run(&python(ECHOES));
        let mut lines = Vec::new();
        for asked in [&call_tool(1, "sell"), &own] {
            wrapped.send(asked).await;
            let answer: Value = serde_json::from_str(&wrapped.line().await).unwrap();
            lines.push(answer["result"]["got"].as_str().unwrap().to_owned());
        }
        wrapped.end().await;
        got.push(lines);
    }
    let traced = got.pop().unwrap();
    for lines in got {
        assert_eq!(
            lines,
            [call_tool(1, "sell"), own.clone()],
            "not a byte is another"
        );
    }
    assert_eq!(traced[1], own, "a trace of its own is never replaced");
    let mut asked: Value = serde_json::from_str(&traced[0]).unwrap();
    let meta = asked["params"].as_object_mut().unwrap().remove("_meta").unwrap();
    assert_eq!(
        asked,
        serde_json::from_str::<Value>(&call_tool(1, "sell")).unwrap()
    );
    let told = meta["traceparent"].as_str().unwrap();
    let trace = told.split('-').nth(1).unwrap();
    let calls = calls_of(&server, 8, "requestId traceId").await;
    let of_trace = calls.iter().filter(|call| call["traceId"] == trace);
    assert_eq!(of_trace.count(), 1, "{told} {calls:?}");
}
