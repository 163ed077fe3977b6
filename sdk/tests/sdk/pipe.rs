//! An instrumented server at one end of a pipe, as over stdio, and a real client at the other.

use std::time::Duration;

use crate::support::{LEGACY, Spans, json_said, modern, over_a_pipe, said};
use mcptap_model::semconv;
use opentelemetry::trace::{SpanKind, Status};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, CustomRequest, GetPromptRequestParams,
    ReadResourceRequestParams, RequestMetaObject,
};
use rmcp::service::PeerRequestOptions;
use serde_json::json;

fn tool(name: &'static str) -> CallToolRequestParams {
    CallToolRequestParams::new(name)
}

#[tokio::test]
async fn a_legacy_session_is_told_whole() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, LEGACY).await;
    let arguments = json!({"order": 7}).as_object().cloned().unwrap();
    let answer = client
        .call_tool(tool("span").with_arguments(arguments))
        .await
        .unwrap();

    let initialize = spans.named("initialize").await;
    assert_eq!(
        said(&initialize, semconv::MCP_CLIENT_NAME).as_deref(),
        Some("probe")
    );
    assert_eq!(
        said(&initialize, semconv::MCP_PROTOCOL_VERSION).as_deref(),
        Some("2025-11-25")
    );
    assert_eq!(
        json_said(&initialize, semconv::RESPONSE_BODY)["serverInfo"]["name"],
        "shop"
    );

    let call = spans.named("tools/call span").await;
    assert_eq!(call.span_kind, SpanKind::Server);
    assert_eq!(call.status, Status::Unset);
    assert_eq!(call.instrumentation_scope.name(), "mcptap-sdk");
    assert_eq!(
        said(&call, semconv::MCP_METHOD_NAME).as_deref(),
        Some("tools/call")
    );
    assert_eq!(said(&call, semconv::GEN_AI_TOOL_NAME).as_deref(), Some("span"));
    assert_eq!(
        said(&call, semconv::GEN_AI_OPERATION_NAME).as_deref(),
        Some("execute_tool")
    );
    assert_eq!(said(&call, semconv::JSONRPC_REQUEST_ID).as_deref(), Some("1"));
    assert_eq!(
        said(&call, semconv::MCP_PROTOCOL_VERSION).as_deref(),
        Some("2025-11-25")
    );
    assert_eq!(said(&call, semconv::MCP_CLIENT_NAME).as_deref(), Some("probe"));
    assert_eq!(said(&call, semconv::MCP_CLIENT_VERSION).as_deref(), Some("1.2.3"));
    assert_eq!(said(&call, semconv::NETWORK_TRANSPORT).as_deref(), Some("pipe"));
    assert_eq!(said(&call, semconv::MCP_SESSION_ID), None);
    let request = json_said(&call, semconv::REQUEST_BODY);
    assert_eq!(request["method"], "tools/call");
    assert_eq!(request["params"]["arguments"], json!({"order": 7}));
    assert!(request["params"]["_meta"]["progressToken"].is_number());
    let response = json_said(&call, semconv::RESPONSE_BODY);
    // As it went out to a client of that era, which knows no resultType.
    assert_eq!(response, serde_json::to_value(&answer).unwrap());
    assert_eq!(response.get("resultType"), None);
    // The handler ran inside the span.
    assert_eq!(
        response["content"][0]["text"],
        call.span_context.span_id().to_string()
    );

    // One span per request, none for `notifications/initialized`.
    assert_eq!(spans.all().len(), 2);
}

#[tokio::test]
async fn a_modern_client_is_known_by_each_request() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, modern()).await;
    client.call_tool(tool("span")).await.unwrap();

    let discover = spans.named("server/discover").await;
    assert_eq!(
        said(&discover, semconv::MCP_CLIENT_NAME).as_deref(),
        Some("probe")
    );
    let call = spans.named("tools/call span").await;
    assert_eq!(
        said(&call, semconv::MCP_PROTOCOL_VERSION).as_deref(),
        Some("2026-07-28")
    );
    assert_eq!(said(&call, semconv::MCP_CLIENT_VERSION).as_deref(), Some("1.2.3"));
    assert_eq!(json_said(&call, semconv::RESPONSE_BODY)["resultType"], "complete");
    assert_eq!(said(&call, semconv::RESULT_TYPE), None);
    let meta = &json_said(&call, semconv::REQUEST_BODY)["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "probe");
}

#[tokio::test]
async fn prompts_resources_and_custom_methods_have_their_spans() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, modern()).await;
    client
        .get_prompt(GetPromptRequestParams::new("greet"))
        .await
        .unwrap();
    client
        .read_resource(ReadResourceRequestParams::new("shop://stock"))
        .await
        .unwrap();
    let custom = CustomRequest::new("shop/restock", Some(json!({"sku": "a"})));
    client.send_request(ClientRequest::from(custom)).await.unwrap();

    let prompt = spans.named("prompts/get greet").await;
    assert_eq!(
        said(&prompt, semconv::GEN_AI_PROMPT_NAME).as_deref(),
        Some("greet")
    );
    assert_eq!(said(&prompt, semconv::GEN_AI_OPERATION_NAME), None);
    let resource = spans.named("resources/read").await;
    assert_eq!(
        said(&resource, semconv::MCP_RESOURCE_URI).as_deref(),
        Some("shop://stock")
    );
    let custom = spans.named("shop/restock").await;
    assert_eq!(json_said(&custom, semconv::REQUEST_BODY)["params"]["sku"], "a");
    assert_eq!(
        said(&custom, semconv::RESULT_TYPE).as_deref(),
        Some("input_required")
    );
}

#[tokio::test]
async fn errors_are_told_by_whose_fault_they_are() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, LEGACY).await;
    client.call_tool(tool("fail")).await.unwrap();
    client.call_tool(tool("broken")).await.unwrap_err();
    client.call_tool(tool("unknown")).await.unwrap_err();

    let failed = spans.named("tools/call fail").await;
    assert_eq!(said(&failed, semconv::ERROR_TYPE).as_deref(), Some("tool_error"));
    assert_eq!(failed.status, Status::error(""));
    assert_eq!(said(&failed, semconv::RPC_STATUS_CODE), None);
    let broken = spans.named("tools/call broken").await;
    assert_eq!(said(&broken, semconv::ERROR_TYPE).as_deref(), Some("-32603"));
    assert_eq!(
        said(&broken, semconv::RPC_RESPONSE_STATUS_CODE).as_deref(),
        Some("-32603")
    );
    assert_eq!(broken.status, Status::error("database is gone"));
    let unknown = spans.named("tools/call unknown").await;
    assert_eq!(unknown.status, Status::Unset);
    assert_eq!(said(&unknown, semconv::ERROR_TYPE), None);
    assert_eq!(
        said(&unknown, semconv::RPC_STATUS_CODE).as_deref(),
        Some("-32602")
    );
    let body = json_said(&unknown, semconv::RESPONSE_BODY);
    assert_eq!(
        body,
        json!({"error": {"code": -32602, "message": "no such tool"}})
    );
}

#[tokio::test]
async fn what_rmcp_itself_refuses_is_seen_too() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, modern()).await;
    // Until a first request has opened the modern lifecycle, rmcp answers pings by itself.
    client.list_tools(None).await.unwrap();
    client
        .send_request(ClientRequest::from(rmcp::model::PingRequest::default()))
        .await
        .unwrap_err();
    let ping = spans.named("ping").await;
    assert_eq!(said(&ping, semconv::RPC_STATUS_CODE).as_deref(), Some("-32601"));
}

#[tokio::test]
async fn the_clients_trace_goes_on() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, LEGACY).await;
    let mut meta = RequestMetaObject::new();
    meta.set_traceparent("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
    let request = ClientRequest::from(CallToolRequest::new(tool("span")));
    let options = PeerRequestOptions::no_options().with_meta(meta);
    client
        .send_cancellable_request(request, options)
        .await
        .unwrap()
        .await_response()
        .await
        .unwrap();

    let call = spans.named("tools/call span").await;
    assert_eq!(
        call.span_context.trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(call.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert!(call.parent_span_is_remote);
}

#[tokio::test]
async fn a_cancelled_call_ends_with_or_without_its_handler() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, LEGACY).await;
    for name in ["patient", "deaf"] {
        let request = ClientRequest::from(CallToolRequest::new(tool(name)));
        let handle = client
            .send_cancellable_request(request, PeerRequestOptions::no_options())
            .await
            .unwrap();
        spans.begun(&format!("tools/call {name}")).await;
        handle.cancel(Some("changed my mind".to_owned())).await.unwrap();
    }
    let patient = spans.named("tools/call patient").await;
    assert_eq!(said(&patient, semconv::OUTCOME).as_deref(), Some("cancelled"));
    assert_eq!(
        said(&patient, semconv::RPC_STATUS_CODE).as_deref(),
        Some("-32000")
    );
    let deaf = spans.named("tools/call deaf").await;
    assert_eq!(said(&deaf, semconv::OUTCOME).as_deref(), Some("cancelled"));
    assert_eq!(said(&deaf, semconv::RESPONSE_BODY), None);
}

#[tokio::test]
async fn a_panic_is_the_servers_error() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, LEGACY).await;
    let request = ClientRequest::from(CallToolRequest::new(tool("panic")));
    let options = PeerRequestOptions::with_timeout(Duration::from_millis(100));
    client
        .send_cancellable_request(request, options)
        .await
        .unwrap()
        .await_response()
        .await
        .unwrap_err();
    let panic = spans.named("tools/call panic").await;
    assert_eq!(said(&panic, semconv::ERROR_TYPE).as_deref(), Some("panic"));
    assert_eq!(said(&panic, semconv::OUTCOME), None);
}

#[tokio::test]
async fn a_large_body_is_cut_and_measured() {
    let spans = Spans::new();
    let client = over_a_pipe(&spans, LEGACY).await;
    client.call_tool(tool("large")).await.unwrap();
    let large = spans.named("tools/call large").await;
    // What stands before the cut without a gap may be half a token, and goes too.
    let kept = said(&large, semconv::RESPONSE_BODY).unwrap().len();
    assert!((1024 * 1024 - 8 * 1024..=1024 * 1024).contains(&kept), "{kept}");
    assert!(
        said(&large, semconv::RESPONSE_SIZE)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            > 2 * 1024 * 1024
    );
}
