//! Which trace a call belongs to, in an application whose own spans go to OpenTelemetry by `tracing`.

use std::collections::HashMap;
use std::sync::Arc;

use mcptap_sdk::instrument_with;
use opentelemetry::trace::{Link, SpanId, SpanKind, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample, SpanData};
use rmcp::ClientServiceExt;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, RequestMetaObject};
use rmcp::service::PeerRequestOptions;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use serde_json::json;
use tracing::Instrument;
use tracing_subscriber::prelude::*;

use crate::support::{Client, LEGACY, Shop, Spans, subscribe};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

/// Leaves out what belongs to a connection, as a ratio does for some of them.
#[derive(Clone, Debug)]
struct NoConnections;

impl ShouldSample for NoConnections {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        name: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        SamplingResult {
            decision: if name == "connection" {
                SamplingDecision::Drop
            } else {
                SamplingDecision::RecordAndSample
            },
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

/// The subscriber of an application whose spans go where the calls go.
fn bridged(spans: &Spans) -> tracing::subscriber::DefaultGuard {
    let bridge = tracing_opentelemetry::layer().with_tracer(spans.provider.tracer("application"));
    subscribe(tracing_subscriber::registry().with(bridge))
}

fn tool(name: &'static str) -> CallToolRequestParams {
    CallToolRequestParams::new(name)
}

fn links(span: &SpanData) -> Vec<SpanId> {
    span.links
        .iter()
        .map(|link| link.span_context.span_id())
        .collect()
}

#[tokio::test]
async fn a_connections_span_is_linked_and_decides_nothing() {
    let spans = Spans::sampled_by(Sampler::ParentBased(Box::new(NoConnections)));
    let _subscriber = bridged(&spans);
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = instrument_with(Shop, &spans.provider);
    let serving = async move { server.serve(server_end).await.unwrap().waiting().await };
    tokio::spawn(serving.instrument(tracing::info_span!("connection")));
    let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    client.call_tool(tool("span")).await.unwrap();
    client.call_tool(tool("fail")).await.unwrap();

    let (one, other) = (
        spans.named("tools/call span").await,
        spans.named("tools/call fail").await,
    );
    for call in [&one, &other] {
        assert_eq!(call.parent_span_id, SpanId::INVALID);
        assert_eq!(links(call).len(), 1, "{:?}", call.links);
    }
    assert_ne!(one.span_context.trace_id(), other.span_context.trace_id());
}

#[tokio::test]
async fn baggage_in_meta_arrives_in_the_tool() {
    let spans = Spans::new();
    let client = crate::support::over_a_pipe(&spans, LEGACY).await;
    let mut meta = RequestMetaObject::new();
    meta.0.insert("baggage".to_owned(), json!("team=blue"));
    let request = ClientRequest::from(CallToolRequest::new(tool("baggage")));
    let options = PeerRequestOptions::no_options().with_meta(meta);
    let answer = client
        .send_cancellable_request(request, options)
        .await
        .unwrap()
        .await_response()
        .await
        .unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer["content"][0]["text"], "blue");
}

#[tokio::test]
async fn in_a_session_each_request_has_the_trace_of_its_own_headers() {
    let spans = Spans::new();
    let _subscriber = bridged(&spans);
    let provider = spans.provider.clone();
    let service: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(instrument_with(Shop, &provider)),
        Arc::default(),
        Default::default(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().nest_service("/mcp", service);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let headers = HashMap::from([(
        ::http::HeaderName::from_static("traceparent"),
        TRACEPARENT.parse().unwrap(),
    )]);
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(headers);
    let client = Client
        .serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), LEGACY)
        .await
        .unwrap();
    client.call_tool(tool("span")).await.unwrap();

    let call = spans.named("tools/call span").await;
    assert_eq!(call.parent_span_id.to_string(), "00f067aa0ba902b7");
    // The session's own span is linked.
    assert_eq!(links(&call).len(), 1, "{:?}", call.links);
}
