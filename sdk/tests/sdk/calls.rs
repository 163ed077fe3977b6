//! The call as the code of a tool has it: a span of `tracing`, a context of OpenTelemetry, and a handle.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use mcptap_model::semconv;
use mcptap_sdk::{Call, Watch, instrument_with, log_layer_with};
use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::trace::Sampler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, RequestMetaObject,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ClientServiceExt, RoleServer, ServerHandler};
use tracing::Instrument;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

use crate::layer::{POST, call, send};
use crate::support::{Client, LEGACY, Spans, said, subscribe};

/// A server whose only tool runs this.
#[derive(Clone)]
struct Tool(Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>);

impl Tool {
    fn new<F: Future<Output = String> + Send + 'static>(run: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(run())))
    }
}

impl ServerHandler for Tool {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _params: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text((self.0)().await)]).into())
    }
}

/// Serves the tool over a pipe, and calls it once.
async fn call_over_a_pipe(spans: &Spans, tool: Tool) -> String {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = instrument_with(tool, &spans.provider);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    let answer = client.call_tool(CallToolRequestParams::new("buy")).await.unwrap();
    serde_json::to_value(answer).unwrap()["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn logs() -> (SdkLoggerProvider, InMemoryLogExporter) {
    let memory = InMemoryLogExporter::default();
    let loggers = SdkLoggerProvider::builder()
        .with_simple_exporter(memory.clone())
        .build();
    (loggers, memory)
}

fn line(memory: &InMemoryLogExporter, words: &str) -> SdkLogRecord {
    let all = memory.get_emitted_logs().unwrap();
    let found = all
        .iter()
        .find(|log| format!("{:?}", log.record.body()).contains(words));
    found
        .unwrap_or_else(|| panic!("no line {words} among {all:?}"))
        .record
        .clone()
}

fn field(record: &SdkLogRecord, key: &str) -> Option<String> {
    let mut all = record.attributes_iter();
    let found = all.find(|(known, _)| known.as_str() == key);
    found.map(|(_, value)| format!("{value:?}"))
}

#[tokio::test]
async fn tasks_and_threads_that_the_span_goes_along_to_belong_to_the_call() {
    let spans = Spans::new();
    let (loggers, memory) = logs();
    let layer = log_layer_with(&loggers).with_filter(LevelFilter::INFO);
    let _subscriber = subscribe(tracing_subscriber::registry().with(layer));
    let tool = Tool::new(|| async {
        tracing::info!(target: "hyper_util::client", "the tool connects");
        let basket = tracing::info_span!("basket", order.id = 42, total = tracing::field::Empty);
        basket.record("total", 9.5);
        let spawned = async {
            tracing::info!("in a task");
            let call = Call::current().unwrap();
            call.set("order.id", 42);
            call.set("note", "password=hunter2hunter2");
        };
        tokio::spawn(spawned.instrument(basket)).await.unwrap();
        tracing::Span::current().record("enduser.id", "u-17");
        let span = tracing::Span::current();
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let blocking = tokio::task::spawn_blocking(move || {
            tracing::dispatcher::with_default(&dispatch, || {
                span.in_scope(|| {
                    tracing::info!("on a thread");
                    Call::current().unwrap().set("thread", true);
                });
            });
        });
        blocking.await.unwrap();
        "bought".to_owned()
    });
    assert_eq!(call_over_a_pipe(&spans, tool).await, "bought");
    assert!(Call::current().is_none());

    let call = spans.named("tools/call buy").await;
    assert_eq!(said(&call, "order.id").as_deref(), Some("42"));
    assert_eq!(said(&call, "enduser.id").as_deref(), Some("u-17"));
    assert_eq!(said(&call, "thread").as_deref(), Some("true"));
    assert!(!said(&call, "note").unwrap().contains("hunter2"));
    for words in ["in a task", "on a thread", "the tool connects"] {
        let context = line(&memory, words);
        let context = context.trace_context().unwrap();
        assert_eq!(context.span_id, call.span_context.span_id(), "{words}");
        assert_eq!(context.trace_id, call.span_context.trace_id());
    }
    let in_a_task = line(&memory, "in a task");
    assert_eq!(field(&in_a_task, "order.id").as_deref(), Some("Int(42)"));
    assert_eq!(field(&in_a_task, "total").as_deref(), Some("Double(9.5)"));
    assert!(field(&in_a_task, "code.file.path").unwrap().contains("calls.rs"));
    assert!(field(&in_a_task, "code.line.number").unwrap().starts_with("Int("));
    // What the call says is on the call.
    assert_eq!(field(&in_a_task, "mcp.method.name"), None);
}

/// What was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn plain_logs_show_the_call() {
    let spans = Spans::new();
    let written = Written::default();
    let writer = written.clone();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _subscriber = subscribe(tracing_subscriber::registry().with(layer));
    let tool = Tool::new(|| async {
        tracing::info!("out of stock");
        String::new()
    });
    call_over_a_pipe(&spans, tool).await;
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("out of stock")).unwrap();
    for shown in [
        "mcp.call{",
        "mcp.method.name=tools/call",
        "gen_ai.tool.name=buy",
        "jsonrpc.request.id=1",
    ] {
        assert!(line.contains(shown), "{line}");
    }
}

#[tokio::test]
async fn beside_an_applications_own_layer_a_call_is_one_span() {
    for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
        let is_on = matches!(sampler, Sampler::AlwaysOn);
        let spans = Spans::sampled_by(sampler);
        let (loggers, memory) = logs();
        let bridge = tracing_opentelemetry::layer().with_tracer(spans.provider.tracer("application"));
        let subscriber = tracing_subscriber::registry()
            .with(bridge)
            .with(log_layer_with(&loggers));
        let _subscriber = subscribe(subscriber);
        let tool = Tool::new(|| async {
            async { tracing::info!("stored") }
                .instrument(tracing::info_span!("store"))
                .await;
            tokio::spawn(
                async { tracing::info_span!("mail").in_scope(|| tracing::info!("sent")) }.in_current_span(),
            )
            .await
            .unwrap();
            tracing::Span::current().record("enduser.id", "u-17");
            Call::current().unwrap().set("order.id", 42);
            String::new()
        });
        call_over_a_pipe(&spans, tool).await;
        if !is_on {
            assert!(spans.all().is_empty());
            continue;
        }
        let call = spans.named("tools/call buy").await;
        let all = spans.all();
        let names: Vec<_> = all
            .iter()
            .map(|span| span.name.as_ref())
            .filter(|name| !["serve_inner", "initialize"].contains(name))
            .collect();
        assert_eq!(names, ["store", "mail", "tools/call buy"]);
        for child in all
            .iter()
            .filter(|span| ["store", "mail"].contains(&span.name.as_ref()))
        {
            assert_eq!(
                child.parent_span_id,
                call.span_context.span_id(),
                "{}",
                child.name
            );
        }
        assert_eq!(call.parent_span_id, SpanId::INVALID);
        assert_eq!(call.span_kind, opentelemetry::trace::SpanKind::Server);
        for (key, value) in [
            (semconv::MCP_METHOD_NAME, "tools/call"),
            (semconv::GEN_AI_TOOL_NAME, "buy"),
            (semconv::JSONRPC_REQUEST_ID, "1"),
            ("enduser.id", "u-17"),
            ("order.id", "42"),
        ] {
            assert_eq!(said(&call, key).as_deref(), Some(value));
        }
        assert!(said(&call, semconv::RESPONSE_BODY).is_some());
        let trace = line(&memory, "sent").trace_context().unwrap().trace_id;
        assert_eq!(trace, call.span_context.trace_id());
    }
}

#[tokio::test]
async fn a_call_takes_its_trace_along_to_other_servers() {
    let spans = Spans::new();
    let tool = Tool::new(|| async {
        let call = Call::current().unwrap();
        let mut headers = http::HeaderMap::new();
        call.inject(&mut headers);
        let mut meta = RequestMetaObject::new();
        call.inject(&mut meta);
        let traceparent = headers["traceparent"].to_str().unwrap().to_owned();
        assert_eq!(meta.get_traceparent(), Some(traceparent.as_str()));
        traceparent
    });
    let traceparent = call_over_a_pipe(&spans, tool).await;
    let call = spans.named("tools/call buy").await.span_context;
    assert_eq!(
        traceparent,
        format!("00-{}-{}-01", call.trace_id(), call.span_id())
    );
}

#[tokio::test]
async fn a_server_without_rmcp_is_in_its_call_below_the_layer() {
    let spans = Spans::new();
    let (loggers, memory) = logs();
    let layer = log_layer_with(&loggers).with_filter(LevelFilter::INFO);
    let _subscriber = subscribe(tracing_subscriber::registry().with(layer));
    let handler = async |body: axum::body::Bytes| {
        tracing::info!("the handler read {} bytes", body.len());
        Call::current().unwrap().caller("u-17");
        tokio::spawn(async { tracing::info!("in a task") }.in_current_span())
            .await
            .unwrap();
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        ([("content-type", "application/json")], answer)
    };
    let layer = Watch::through(&spans.provider, None).layer();
    let router = axum::Router::new()
        .route("/mcp", axum::routing::post(handler))
        .layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(send(address, POST, &call(1, "buy")).await.0, 200);

    let call = spans.named("tools/call buy").await;
    assert_eq!(said(&call, "enduser.id").as_deref(), Some("u-17"));
    for words in ["the handler read", "in a task"] {
        let record = line(&memory, words);
        assert_eq!(
            record.trace_context().unwrap().span_id,
            call.span_context.span_id(),
            "{words}"
        );
    }
}

#[tokio::test]
async fn wrapped_twice_a_call_is_one() {
    let spans = Spans::new();
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let tool = Tool::new(|| async { String::new() });
    let server = instrument_with(instrument_with(tool, &spans.provider), &spans.provider);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    client.call_tool(CallToolRequestParams::new("buy")).await.unwrap();
    spans.named("tools/call buy").await;
    assert_eq!(spans.all().len(), 2, "initialize and the call");
}
