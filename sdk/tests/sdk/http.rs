//! An instrumented server behind Streamable HTTP on a real port, and a real client.

use std::collections::HashMap;
use std::sync::Arc;

use crate::support::{Client, LEGACY, Shop, Spans, json_said, modern, said};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use mcptap_model::semconv;
use mcptap_sdk::instrument_with;
use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, RequestMetaObject};
use rmcp::service::{PeerRequestOptions, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Serves the shop on a free port for as long as the guard lives. Every HTTP request gets a span of its own,
/// as a web framework's instrumentation would give it.
async fn serve(spans: &Spans) -> (String, DropGuard) {
    let stop = CancellationToken::new();
    let provider = spans.provider.clone();
    let config = StreamableHttpServerConfig::default().with_cancellation_token(stop.child_token());
    let service: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(instrument_with(Shop, &provider)),
        Arc::default(),
        config,
    );
    let tracer = spans.provider.tracer("web");
    let around = move |mut request: Request, next: Next| {
        let span = tracer.start("POST /mcp");
        request
            .extensions_mut()
            .insert(opentelemetry::Context::new().with_span(span));
        next.run(request)
    };
    let router = axum::Router::new()
        .nest_service("/mcp", service)
        .layer(from_fn(around));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
    });
    (url, stop.drop_guard())
}

async fn connect(url: &str, lifecycle: ClientLifecycleMode) -> RunningService<RoleClient, Client> {
    let headers = HashMap::from([
        (
            http::header::AUTHORIZATION,
            "Bearer sk-very-secret".parse().unwrap(),
        ),
        (::http::header::COOKIE, "session=very-secret".parse().unwrap()),
        (::http::header::USER_AGENT, "probe/1.2.3".parse().unwrap()),
    ]);
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(headers);
    Client
        .serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), lifecycle)
        .await
        .unwrap()
}

fn tool(name: &'static str) -> CallToolRequestParams {
    CallToolRequestParams::new(name)
}

#[tokio::test]
async fn a_legacy_session_has_its_id() {
    let spans = Spans::new();
    let (url, _server) = serve(&spans).await;
    let client = connect(&url, LEGACY).await;
    let answer = client.call_tool(tool("span")).await.unwrap();
    client.list_tools(None).await.unwrap();

    // The id is in the answer to `initialize`, and in every request after it.
    assert_eq!(
        said(&spans.named("initialize").await, semconv::MCP_SESSION_ID),
        None
    );
    let call = spans.named("tools/call span").await;
    let session = said(&call, semconv::MCP_SESSION_ID).unwrap();
    assert_eq!(
        said(&spans.named("tools/list").await, semconv::MCP_SESSION_ID),
        Some(session)
    );
    assert_eq!(
        said(&call, semconv::MCP_PROTOCOL_VERSION).as_deref(),
        Some("2025-11-25")
    );
    assert_eq!(said(&call, semconv::MCP_CLIENT_NAME).as_deref(), Some("probe"));
    assert_eq!(said(&call, semconv::NETWORK_TRANSPORT).as_deref(), Some("tcp"));
    assert_eq!(
        said(&call, semconv::NETWORK_PROTOCOL_NAME).as_deref(),
        Some("http")
    );
    assert_eq!(
        said(&call, semconv::NETWORK_PROTOCOL_VERSION).as_deref(),
        Some("1.1")
    );
    assert_eq!(
        said(&call, semconv::USER_AGENT_ORIGINAL).as_deref(),
        Some("probe/1.2.3")
    );
    assert_eq!(
        said(&call, semconv::AUTHORIZATION).as_deref(),
        Some("Bearer sk-…")
    );
    assert!(!format!("{call:?}").contains("very-secret"));
    let response = json_said(&call, semconv::RESPONSE_BODY);
    assert_eq!(response, serde_json::to_value(&answer).unwrap());
    assert_eq!(
        response["content"][0]["text"],
        call.span_context.span_id().to_string()
    );
}

#[tokio::test]
async fn a_modern_request_has_no_session_and_says_who_asks() {
    let spans = Spans::new();
    let (url, _server) = serve(&spans).await;
    let client = connect(&url, modern()).await;
    client.call_tool(tool("fail")).await.unwrap();

    assert_eq!(
        said(&spans.named("server/discover").await, semconv::MCP_CLIENT_NAME).as_deref(),
        Some("probe")
    );
    let call = spans.named("tools/call fail").await;
    assert_eq!(said(&call, semconv::MCP_SESSION_ID), None);
    assert_eq!(
        said(&call, semconv::MCP_PROTOCOL_VERSION).as_deref(),
        Some("2026-07-28")
    );
    assert_eq!(said(&call, semconv::MCP_CLIENT_NAME).as_deref(), Some("probe"));
    assert_eq!(said(&call, semconv::MCP_CLIENT_VERSION).as_deref(), Some("1.2.3"));
    assert_eq!(said(&call, semconv::ERROR_TYPE).as_deref(), Some("tool_error"));
    assert_eq!(json_said(&call, semconv::RESPONSE_BODY)["resultType"], "complete");
    let header = said(&call, "http.request.header.mcp-protocol-version");
    assert_eq!(header.as_deref(), Some("[\"2026-07-28\"]"));
}

#[tokio::test]
async fn a_request_outside_any_session_is_given_no_made_up_client() {
    let spans = Spans::new();
    let (url, _server) = serve_stateless(&spans).await;
    let client = connect(&url, LEGACY).await;
    client.call_tool(tool("span")).await.unwrap();
    let call = spans.named("tools/call span").await;
    assert_eq!(said(&call, semconv::MCP_CLIENT_NAME), None);
    assert_eq!(
        said(&call, semconv::MCP_PROTOCOL_VERSION).as_deref(),
        Some("2025-11-25")
    );
}

async fn serve_stateless(spans: &Spans) -> (String, DropGuard) {
    let stop = CancellationToken::new();
    let provider = spans.provider.clone();
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false);
    let service: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(instrument_with(Shop, &provider)),
        Arc::default(),
        config,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().nest_service("/mcp", service);
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
    });
    (url, stop.drop_guard())
}

#[tokio::test]
async fn the_clients_trace_is_the_parent() {
    let spans = Spans::new();
    let (url, _server) = serve(&spans).await;
    let client = connect(&url, modern()).await;
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
    assert_eq!(call.parent_span_id.to_string(), "00f067aa0ba902b7");
    // The HTTP server's span is linked, not the parent.
    let links: Vec<_> = call
        .links
        .iter()
        .map(|link| link.span_context.span_id())
        .collect();
    let around: Vec<_> = spans
        .all()
        .into_iter()
        .filter(|span| span.name == "POST /mcp")
        .collect();
    assert!(around.iter().any(|span| links == [span.span_context.span_id()]));
    assert_eq!(
        call.span_context.trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_has_cancelled() {
    let spans = Spans::new();
    let (url, _server) = serve(&spans).await;
    let client = connect(&url, modern()).await;
    let calling = tokio::spawn(async move {
        let _unanswered = client.call_tool(tool("deaf")).await;
    });
    spans.begun("tools/call deaf").await;
    calling.abort();
    let call = spans.named("tools/call deaf").await;
    assert_eq!(said(&call, semconv::OUTCOME).as_deref(), Some("cancelled"));
}
