//! One connection of an rmcp server and a real client: everything that passes is seen, not what the handler is asked alone.

#![expect(
    deprecated,
    reason = "clients still have roots, and servers still send log messages"
)]

use std::sync::Arc;
use std::time::Duration;

use mcptap_model::semconv;
use mcptap_sdk::{Watch, instrument_with};
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
use rmcp::handler::server::router::Router;
use rmcp::handler::server::router::tool::ToolRoute;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities,
    ClientConfig, ClientRequest, ContentBlock, ErrorData, Implementation, ListRootsResult, LoggingLevel,
    LoggingMessageNotificationParam, ProgressNotificationParam, Root, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{PeerRequestOptions, RequestContext};
use rmcp::{ClientHandler, ClientServiceExt, RoleClient, RoleServer, ServerHandler};

use crate::support::{Client, LEGACY, Shop, Spans, json_said, said};

/// A server that talks with its client before it answers.
#[derive(Clone)]
struct Talker;

impl ServerHandler for Talker {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_tools()
                .enable_logging()
                .build(),
        )
    }

    async fn call_tool(
        &self,
        _params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let token = context.meta.get_progress_token().unwrap();
        for step in 1..=2 {
            let progress = ProgressNotificationParam::new(token.clone(), f64::from(step)).with_total(2.0);
            context.peer.notify_progress(progress).await.unwrap();
        }
        let message = LoggingMessageNotificationParam::new(LoggingLevel::Warning, "stock is low".into());
        context.peer.notify_logging_message(message).await.unwrap();
        let roots = context.peer.list_roots().await.unwrap();
        Ok(CallToolResult::success(vec![ContentBlock::text(roots.roots[0].uri.clone())]).into())
    }
}

/// A client with a folder.
#[derive(Clone)]
struct Owner;

impl ClientHandler for Owner {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_roots().build();
        ClientConfig::new(capabilities, Implementation::new("owner", "1"))
    }

    async fn list_roots(&self, _context: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::new(vec![Root::new("file:///home/me")]))
    }
}

#[tokio::test]
async fn what_a_tool_tells_and_asks_its_client_is_recorded() {
    let spans = Spans::new();
    let memory = InMemoryLogExporter::default();
    let loggers = SdkLoggerProvider::builder()
        .with_simple_exporter(memory.clone())
        .build();
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = Watch::through(&spans.provider, Some(&loggers)).instrument(Talker);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    let client = Owner.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    client
        .call_tool(CallToolRequestParams::new("talk"))
        .await
        .unwrap();

    let call = spans.named("tools/call talk").await;
    assert_eq!(said(&call, semconv::PROGRESS_COUNT).as_deref(), Some("2"));
    assert_eq!(
        json_said(&call, semconv::RESPONSE_BODY)["content"][0]["text"],
        "file:///home/me"
    );
    let roots = spans.named("roots/list").await;
    assert_eq!(roots.span_kind, SpanKind::Client);
    assert_eq!(roots.parent_span_id, call.span_context.span_id());
    assert_eq!(
        json_said(&roots, semconv::RESPONSE_BODY)["roots"][0]["uri"],
        "file:///home/me"
    );
    let lines: Vec<_> = memory
        .get_emitted_logs()
        .unwrap()
        .into_iter()
        .filter(|log| log.record.event_name().is_none())
        .map(|log| {
            assert_eq!(
                log.record.trace_context().unwrap().span_id,
                call.span_context.span_id()
            );
            format!("{:?}", log.record.body().unwrap())
        })
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].contains("progress 1") && lines[2].contains("stock is low"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_cancellation_has_its_reason() {
    let spans = Spans::new();
    let client = crate::support::over_a_pipe(&spans, LEGACY).await;
    let request = ClientRequest::from(CallToolRequest::new(CallToolRequestParams::new("deaf")));
    let handle = client
        .send_cancellable_request(request, PeerRequestOptions::no_options())
        .await
        .unwrap();
    spans.begun("tools/call deaf").await;
    handle.cancel(Some("changed my mind".to_owned())).await.unwrap();
    let call = spans.named("tools/call deaf").await;
    assert_eq!(said(&call, semconv::OUTCOME).as_deref(), Some("cancelled"));
    assert_eq!(
        call.status,
        opentelemetry::trace::Status::error("changed my mind")
    );
}

#[tokio::test]
async fn a_connection_that_ends_ends_what_is_open() {
    let spans = Spans::new();
    let client = crate::support::over_a_pipe(&spans, LEGACY).await;
    let request = ClientRequest::from(CallToolRequest::new(CallToolRequestParams::new("deaf")));
    let options = PeerRequestOptions::with_timeout(Duration::from_secs(3600));
    let _asked = client.send_cancellable_request(request, options).await.unwrap();
    spans.begun("tools/call deaf").await;
    client.cancel().await.unwrap();
    // rmcp gives handlers some seconds to finish.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let call = spans.named("tools/call deaf").await;
    assert_eq!(said(&call, semconv::ERROR_TYPE).as_deref(), Some("closed"));
}

fn router() -> Router<Shop> {
    let tool = Tool::new("routed", "a tool of the router", Arc::new(Default::default()));
    let route = ToolRoute::new_dyn(tool, |_| {
        Box::pin(async { Ok(CallToolResult::success(vec![ContentBlock::text("by the router")]).into()) })
    });
    Router::new(Shop).with_tool(route)
}

#[tokio::test]
async fn a_router_is_recorded_whoever_serves_it() {
    let spans = Spans::new();
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = instrument_with(router(), &spans.provider);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    client
        .call_tool(CallToolRequestParams::new("routed"))
        .await
        .unwrap();
    let call = spans.named("tools/call routed").await;
    assert_eq!(
        json_said(&call, semconv::RESPONSE_BODY)["content"][0]["text"],
        "by the router"
    );

    // The same where rmcp itself serves it.
    let spans = Spans::new();
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = instrument_with(router(), &spans.provider).into_service();
    tokio::spawn(async move {
        rmcp::serve_server(server, server_end)
            .await
            .unwrap()
            .waiting()
            .await
    });
    let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    client
        .call_tool(CallToolRequestParams::new("routed"))
        .await
        .unwrap();
    let call = spans.named("tools/call routed").await;
    assert_eq!(
        json_said(&call, semconv::RESPONSE_BODY)["content"][0]["text"],
        "by the router"
    );
    assert_eq!(
        json_said(&call, semconv::REQUEST_BODY)["params"]["name"],
        "routed"
    );
}

/// A pipe on which nothing can be written any more after some lines.
struct Closing {
    pipe: tokio::io::DuplexStream,
    lines: usize,
}

impl tokio::io::AsyncWrite for Closing {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.lines == 0 {
            return std::task::Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        let written = std::task::ready!(std::pin::Pin::new(&mut self.pipe).poll_write(context, bytes))?;
        let lines = bytes.iter().take(written).filter(|byte| **byte == b'\n');
        self.lines = self.lines.saturating_sub(lines.count());
        std::task::Poll::Ready(Ok(written))
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

#[tokio::test]
async fn an_answer_that_could_not_be_sent_is_none() {
    let spans = Spans::new();
    let (to_server, from_client) = tokio::io::duplex(64 * 1024);
    let (from_server, to_client) = tokio::io::duplex(64 * 1024);
    let writer = Closing {
        pipe: from_server,
        lines: 1,
    };
    let server = instrument_with(Shop, &spans.provider);
    tokio::spawn(async move { server.serve((to_server, writer)).await.unwrap().waiting().await });
    let client = Client
        .serve_with_lifecycle((to_client, from_client), LEGACY)
        .await
        .unwrap();
    let asking = tokio::spawn(async move { client.call_tool(CallToolRequestParams::new("span")).await });
    let span = spans.named("tools/call span").await;
    assert_eq!(said(&span, semconv::ERROR_TYPE).as_deref(), Some("closed"));
    let Status::Error { description } = &span.status else {
        panic!("{:?}", span.status)
    };
    assert!(description.contains("could not be sent"), "{description}");
    assert!(
        said(&span, semconv::RESPONSE_BODY).is_some(),
        "the answer is shown"
    );
    asking.abort();
}
