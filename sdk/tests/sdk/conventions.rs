//! What the conventions of OpenTelemetry have names for, beside our own.

use std::fmt;

use mcptap_sdk::{Call, Capture, Watch};
use opentelemetry_sdk::trace::SpanData;
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData};
use rmcp::service::RequestContext;
use rmcp::{ClientServiceExt, RoleServer, ServerHandler};
use serde_json::json;

use crate::hooks::{shop, tool};
use crate::support::{Client, LEGACY, Spans, json_said, said};

const ARGUMENTS: &str = "gen_ai.tool.call.arguments";
const RESULT: &str = "gen_ai.tool.call.result";

fn asked(name: &'static str) -> CallToolRequestParams {
    let arguments = json!({"order": 7, "password": "hunter2hunter2", "note": "caf\u{e9} \"x\""});
    tool(name).with_arguments(arguments.as_object().cloned().unwrap())
}

#[tokio::test]
async fn arguments_and_result_of_a_tool_have_the_names_of_the_conventions_too() {
    let spans = Spans::new();
    let client = shop(Watch::from(&spans.provider)).await;
    client.call_tool(asked("fail")).await.unwrap();
    let call = spans.named("tools/call fail").await;
    assert_eq!(
        json_said(&call, ARGUMENTS),
        json_said(&call, "mcptap.request.body")["params"]["arguments"]
    );
    let arguments = said(&call, ARGUMENTS).unwrap();
    assert!(
        arguments.contains("[redacted]") && !arguments.contains("hunter2"),
        "{arguments}"
    );
    assert_eq!(said(&call, RESULT), said(&call, "mcptap.response.body"));
    assert!(said(&call, RESULT).unwrap().contains("no stock"));

    // An error is no result, and what is about no tool has neither.
    client.call_tool(asked("broken")).await.unwrap_err();
    client.list_tools(None).await.unwrap();
    let broken = spans.named("tools/call broken").await;
    assert!(said(&broken, ARGUMENTS).is_some() && said(&broken, RESULT).is_none());
    let list = spans.named("tools/list").await;
    assert_eq!((said(&list, ARGUMENTS), said(&list, RESULT)), (None, None));
}

#[tokio::test]
async fn they_are_cut_like_the_bodies_and_absent_where_those_are_or_where_nobody_wants_them() {
    let cases = [
        (Capture::full().gen_ai_names(false), false, false),
        (Capture::metadata(), false, false),
        (Capture::full().deny_tools(["fail"]), false, false),
        // Of a request that was cut nobody can tell where the arguments end.
        (Capture::full().body_cap(30), false, true),
    ];
    for (capture, has_arguments, has_result) in cases {
        let spans = Spans::new();
        let told = format!("{capture:?}");
        let client = shop(Watch::from(&spans.provider).capture(capture)).await;
        client.call_tool(asked("fail")).await.unwrap();
        let call = spans.named("tools/call fail").await;
        assert_eq!(said(&call, ARGUMENTS).is_some(), has_arguments, "{told}");
        assert_eq!(said(&call, RESULT).is_some(), has_result, "{told}");
        if has_result {
            assert!(said(&call, RESULT).unwrap().len() <= 30);
        }
    }
}

/// Fails with an error that has a cause, which holds a secret.
struct Faulty;

#[derive(Debug)]
struct NoStock {
    #[expect(dead_code, reason = "for Debug")]
    cause: std::io::Error,
}

impl fmt::Display for NoStock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no stock for password=hunter2hunter2")
    }
}

impl ServerHandler for Faulty {
    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let cause = std::io::Error::other("the warehouse is closed, token=hunter2hunter2");
        let error = NoStock { cause };
        let call = Call::current().unwrap();
        call.exception(&error);
        if params.name == "long" {
            call.exception(&"x".repeat(1_000_000));
        }
        Ok(CallToolResult::error(vec![ContentBlock::text("no stock")]).into())
    }
}

async fn failed(spans: &Spans, capture: Capture, name: &'static str) -> SpanData {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = Watch::from(&spans.provider).capture(capture).instrument(Faulty);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    client.call_tool(tool(name)).await.unwrap();
    spans.named(&format!("tools/call {name}")).await
}

fn exceptions(span: &SpanData) -> Vec<Vec<(String, String)>> {
    let events = span
        .events
        .events
        .iter()
        .filter(|event| event.name == "exception");
    let told = |key: &opentelemetry::KeyValue| (key.key.to_string(), key.value.to_string());
    events
        .map(|event| event.attributes.iter().map(told).collect())
        .collect()
}

#[tokio::test]
async fn an_error_of_a_tool_is_an_exception_with_its_causes_and_without_secrets() {
    let spans = Spans::new();
    let all = exceptions(&failed(&spans, Capture::full(), "stock").await);
    let [(_, kind), (_, stack), (_, message)] = all[0].as_slice() else {
        panic!("{all:?}");
    };
    assert!(kind.ends_with("::NoStock"), "{kind}");
    assert_eq!(message, "no stock for password=[redacted]");
    assert!(
        stack.contains("the warehouse is closed") && !stack.contains("hunter2"),
        "{stack}"
    );

    let long = exceptions(&failed(&spans, Capture::full(), "long").await);
    let lengths: Vec<_> = long[1].iter().map(|(_, said)| said.len()).collect();
    assert!(lengths.iter().all(|length| *length <= 64 * 1024), "{lengths:?}");
}

#[tokio::test]
async fn where_bodies_are_not_kept_an_exception_is_its_type() {
    let spans = Spans::new();
    let all = exceptions(&failed(&spans, Capture::full().deny_tools(["stock"]), "stock").await);
    let keys: Vec<_> = all[0].iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["exception.type"]);
}
