//! Calls beside an application's own telemetry: its layer for spans of `tracing`, its providers, its log lines.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcptap_model::semconv;
use mcptap_sdk::{Call, Capture, Guard, Telemetry, Watch, instrument_with};
use opentelemetry::logs::{LogRecord as _, Logger, LoggerProvider};
use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SpanData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ClientServiceExt, RoleServer, ServerHandler};
use tracing::Instrument;
use tracing_subscriber::prelude::*;

use crate::collector::{Collector, Received, free_address};
use crate::support::{Client, LEGACY, Spans, said, subscribe};

/// Tools that log, or set attributes.
#[derive(Clone)]
struct Talkative(Option<SdkLoggerProvider>);

impl ServerHandler for Talkative {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match params.name.as_ref() {
            "logs" | "fails" | "denied" => {
                tracing::error!("the cache is cold");
                let logs = self.0.clone();
                let in_task = async move {
                    tracing::info!("in a task");
                    if let Some(logs) = logs {
                        let logger = logs.logger("application");
                        let mut record = logger.create_log_record();
                        record.set_body("of the application".into());
                        logger.emit(record);
                    }
                };
                tokio::spawn(in_task.in_current_span()).await.unwrap();
            }
            "sets" => {
                let call = Call::current().unwrap();
                for step in 0..1000 {
                    call.set("step", step);
                    call.set(format!("name-{step}"), "x");
                }
            }
            _ => {}
        }
        Ok(if params.name == "fails" {
            CallToolResult::error(vec![])
        } else {
            CallToolResult::success(vec![])
        }
        .into())
    }
}

/// Serves the tools over a pipe, and calls one.
async fn call(server: Talkative, watch: Watch, tool: &str) {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = instrument_with(server, watch);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
    client
        .call_tool(CallToolRequestParams::new(tool.to_owned()))
        .await
        .unwrap();
}

/// The subscriber of an application whose layer sends spans to this provider.
fn bridged(
    provider: &impl TracerProvider<Tracer = opentelemetry_sdk::trace::SdkTracer>,
) -> tracing::subscriber::DefaultGuard {
    let bridge = tracing_opentelemetry::layer().with_tracer(provider.tracer("application"));
    subscribe(tracing_subscriber::registry().with(bridge))
}

/// A runtime on the thread that a subscriber is set for.
fn current_thread() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn has_failed(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

/// A collector, and telemetry that is sent to it.
fn telemetry(capture: Capture) -> (Received, Collector, Guard) {
    let (received, address) = (Received::default(), free_address());
    let collector = Collector::start(address, &received);
    let telemetry = Telemetry::builder("shop")
        .endpoint(format!("http://{address}"))
        .capture(capture)
        .in_memory();
    (received, collector, telemetry.start().unwrap())
}

#[tokio::test]
async fn a_log_line_is_no_verdict() {
    let spans = Spans::new();
    let _subscriber = bridged(&spans.provider);
    for (tool, has_error) in [("logs", false), ("fails", true)] {
        call(Talkative(None), Watch::from(&spans.provider), tool).await;
        let span = spans.named(&format!("tools/call {tool}")).await;
        assert_eq!(span.events.events.len(), 2, "the layer has its lines");
        assert_eq!(has_failed(&span), has_error, "{tool}: {:?}", span.status);
        assert_eq!(said(&span, semconv::ERROR_TYPE).is_some(), has_error);
    }
}

#[tokio::test]
async fn a_span_of_another_provider_is_the_mirror_of_the_calls_own() {
    let (own, layers) = (Spans::new(), Spans::new());
    let _subscriber = bridged(&layers.provider);
    call(Talkative(None), Watch::from(&own.provider).apart(), "logs").await;
    let span = own.named("tools/call logs").await;
    assert!(!has_failed(&span) && said(&span, semconv::RESPONSE_BODY).is_some());
    assert_eq!(said(&span, semconv::MIRROR), None);
    let mirror = layers.named("tools/call logs").await;
    assert_eq!(said(&mirror, semconv::MIRROR).as_deref(), Some("true"));
    assert_eq!(span.span_context.trace_id(), mirror.span_context.trace_id());
    assert_eq!(said(&mirror, semconv::RESPONSE_BODY), None);
}

#[tokio::test]
async fn attributes_without_end_leave_the_record_its_place() {
    let spans = Spans::new();
    call(Talkative(None), Watch::from(&spans.provider), "sets").await;
    let span = spans.named("tools/call sets").await;
    assert!(said(&span, semconv::RESPONSE_BODY).is_some());
    let steps = span.attributes.iter().filter(|said| said.key.as_str() == "step");
    let steps: Vec<_> = steps.map(|said| said.value.to_string()).collect();
    assert_eq!(steps, ["999"]);
    let names = span
        .attributes
        .iter()
        .filter(|said| said.key.as_str().starts_with("name-"));
    assert_eq!(names.count(), 63);
    assert_eq!(
        said(&span, semconv::MCPTAP_DROPPED_ATTRIBUTES).as_deref(),
        Some("937")
    );
    assert_eq!(span.dropped_attributes_count, 0);
}

/// Keeps what is printed.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn whoever_listens_to_tracing_is_given_no_secret() {
    let (_received, _collector, guard) = telemetry(Capture::full());
    let (printed, elsewhere) = (Printed::default(), Spans::new());
    let writer = printed.clone();
    let bridge = tracing_opentelemetry::layer().with_tracer(elsewhere.provider.tracer("application"));
    let shown = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _subscriber = subscribe(tracing_subscriber::registry().with(shown).with(bridge));
    let secret = ["gh", "p_", "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yLaZ3x"].concat();
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":\"{secret}\",\"method\":\"tools/call\",\"params\":{{\"name\":\"buy {secret}\"}}}}"
    );
    let handler = async |_: axum::body::Bytes| {
        tracing::info!("handled");
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        ([("content-type", "application/json")], answer)
    };
    let router = axum::Router::new()
        .route("/mcp", axum::routing::post(handler))
        .layer(Watch::with(&guard).layer());
    let request = axum::http::Request::post("/mcp")
        .body(axum::body::Body::from(body))
        .unwrap();
    let runtime = current_thread();
    runtime.block_on(async {
        let response = tower_service::Service::call(&mut router.clone(), request)
            .await
            .unwrap();
        axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        elsewhere.named("tools/call buy [redacted]").await;
    });
    let spans = format!("{:?}", elsewhere.all());
    let text = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("handled") && text.contains("mcp.call"), "{text}");
    for told in [text, spans] {
        assert!(!told.contains(&secret), "{told}");
    }
}

#[test]
fn log_lines_of_a_denied_tool_are_kept_nowhere() {
    for tool in ["logs", "denied"] {
        let (received, _collector, guard) = telemetry(Capture::full().deny_tools(["denied"]));
        let _subscriber = bridged(guard.tracer_provider());
        let logs = SdkLoggerProvider::builder()
            .with_log_processor(guard.log_processor())
            .build();
        let runtime = current_thread();
        runtime.block_on(call(Talkative(Some(logs)), Watch::with(&guard), tool));
        drop(runtime);
        guard.flush(Duration::from_secs(20)).unwrap();
        let spans = received.spans();
        let span = spans
            .iter()
            .find(|span| span.name == format!("tools/call {tool}"))
            .unwrap();
        let lines = received.logs().len();
        if tool == "denied" {
            assert_eq!((span.events.len(), lines), (0, 0), "{span:?}");
        } else {
            assert_eq!((span.events.len(), lines), (2, 1), "{span:?}");
        }
    }
}

#[tokio::test]
async fn the_span_of_a_denied_tool_says_that_its_events_are_no_lines() {
    let spans = Spans::new();
    let _subscriber = bridged(&spans.provider);
    let capture = Capture::full().deny_tools(["denied"]);
    let watch = Watch::from(&spans.provider).capture(capture);
    call(Talkative(None), watch, "denied").await;
    let span = spans.named("tools/call denied").await;
    assert_eq!(said(&span, semconv::HUSHED).as_deref(), Some("true"));
}
