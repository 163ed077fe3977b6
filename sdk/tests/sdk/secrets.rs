//! No secret leaves, and no more than was allowed, whichever entry point sees a request and whichever provider takes its
//! record.
//!
//! Providers and log layers are global, so each kind of provider is tried in [`recording_process`], run as a process of its own.

use std::process::Command;
use std::time::Duration;

use axum::routing::post;
use mcptap_sdk::{
    Capture, Guard, LogLayer, Telemetry, Watch, instrument, instrument_with, log_layer, log_layer_with,
};
use opentelemetry::global;
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientConfig, ContentBlock, ErrorData,
    Implementation, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ResourceContents,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ClientHandler, ClientServiceExt, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tracing_subscriber::prelude::*;

use crate::collector::{Collector, Received, free_address};
use crate::layer::send;
use crate::support::LEGACY;

/// Stands in every secret.
const CANARY: &str = "Kq7vX2mR9w";

/// Who takes the records.
const PROVIDERS: [&str; 6] = [
    "guard",
    "installed",
    "global",
    "given",
    "joined",
    "guards-provider",
];

/// The places of a request that may hold a secret: the texts that stand beside it there.
const PLACES: [&str; 9] = [
    "w-request",
    "w-response",
    "w-error",
    "w-uri",
    "w-client",
    "w-line",
    "w-attribute",
    "w-version",
    "w-tool",
];

/// Each is a part of what a body holds.
const BODIES: [&str; 2] = ["w-request", "w-response"];

/// A server whose answers, errors and log lines hold the secret that it was given.
#[derive(Clone)]
struct Leaky(String);

impl ServerHandler for Leaky {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .build();
        ServerConfig::new(capabilities)
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        log(&self.0);
        match params.name.as_ref() {
            "leak" => {
                let told = vec![ContentBlock::text(format!("w-response {}", self.0))];
                Ok(CallToolResult::success(told).into())
            }
            _ => Err(ErrorData::internal_error(format!("w-error {}", self.0), None)),
        }
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        Ok(ReadResourceResult::new(vec![ResourceContents::text("contents", params.uri)]).into())
    }
}

fn log(secret: &str) {
    tracing::warn!(note = format!("w-attribute {secret}"), "w-line {secret}");
}

/// A client that gives itself away.
struct Telltale(String);

impl ClientHandler for Telltale {
    fn get_info(&self) -> ClientConfig {
        let (name, version) = (format!("w-client {}", self.0), format!("w-version {}", self.0));
        ClientConfig::new(Default::default(), Implementation::new(name, version))
    }
}

fn uri(secret: &str) -> String {
    format!("file:///w-uri {secret}")
}

/// What takes the records of one process, and what it took.
struct Recorders {
    watch: Watch,
    is_global: bool,
    guard: Option<Guard>,
    spans: InMemorySpanExporter,
    logs: InMemoryLogExporter,
    received: Received,
    application: (SdkTracerProvider, SdkLoggerProvider),
    _collector: Collector,
}

impl Recorders {
    fn new(provider: &str, capture: Capture) -> Self {
        let received = Received::default();
        let address = free_address();
        let collector = Collector::start(address, &received);
        let telemetry = || {
            Telemetry::builder("leaky")
                .endpoint(format!("http://{address}"))
                .capture(capture.clone())
                .delay(Duration::from_millis(1))
                .in_memory()
        };
        let (spans, logs) = (InMemorySpanExporter::default(), InMemoryLogExporter::default());
        let mut tracers = SdkTracerProvider::builder().with_simple_exporter(spans.clone());
        let mut loggers = SdkLoggerProvider::builder().with_simple_exporter(logs.clone());
        let guard = match provider {
            "installed" => Some(telemetry().install().unwrap()),
            "guard" | "joined" | "guards-provider" => Some(telemetry().start().unwrap()),
            _ => None,
        };
        if let (Some(guard), "joined") = (&guard, provider) {
            tracers = tracers.with_span_processor(guard.span_processor());
            loggers = loggers.with_log_processor(guard.log_processor());
        }
        let application = (tracers.build(), loggers.build());
        if matches!(provider, "global" | "joined") {
            global::set_tracer_provider(application.0.clone());
        }
        let (watch, lines) = match (provider, &guard) {
            ("guard", Some(guard)) => (Watch::with(guard), log_layer_with(guard)),
            ("installed", _) => (Watch::global(), log_layer()),
            ("guards-provider", Some(guard)) => (
                Watch::through(guard.tracer_provider(), Some(guard.logger_provider())),
                log_layer_with(guard.logger_provider()),
            ),
            ("joined", _) => (Watch::global(), LogLayer::from(&application.1)),
            ("global", _) => (
                Watch::global().capture(capture.clone()),
                log_layer_with(&application.1).capture(capture),
            ),
            _ => (
                Watch::through(&application.0, Some(&application.1)).capture(capture.clone()),
                log_layer_with(&application.1).capture(capture),
            ),
        };
        tracing_subscriber::registry().with(lines).init();
        Self {
            watch,
            is_global: matches!(provider, "installed" | "joined"),
            guard,
            spans,
            logs,
            received,
            application,
            _collector: collector,
        }
    }

    /// Lets every entry point see requests with the secret in every place.
    async fn record(&self, secret: &str) {
        self.instrumented(secret).await;
        self.layered(secret).await;
        self.piped(secret);
    }

    async fn instrumented(&self, secret: &str) {
        let (server_end, client_end) = tokio::io::duplex(64 * 1024);
        let leaky = Leaky(secret.to_owned());
        let server = match self.is_global {
            true => instrument(leaky),
            false => instrument_with(leaky, self.watch.clone()),
        };
        let serving = tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
        let client = Telltale(secret.to_owned());
        let client = client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
        let arguments = json!({"note": format!("w-request {secret}")});
        for tool in ["leak".to_owned(), "fail".to_owned(), format!("w-tool {secret}")] {
            let call =
                CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
            let _ = client.call_tool(call).await;
        }
        client
            .read_resource(ReadResourceRequestParams::new(uri(secret)))
            .await
            .unwrap();
        client.cancel().await.unwrap();
        let _ = serving.await;
    }

    async fn layered(&self, secret: &str) {
        let told = secret.to_owned();
        let answer = move |axum::Json(asked): axum::Json<Value>| async move {
            log(&told);
            axum::Json(answer(&asked, &told))
        };
        let layer = match self.is_global {
            true => mcptap_sdk::layer(),
            false => self.watch.clone().layer(),
        };
        let router = axum::Router::new().route("/mcp", post(answer)).layer(layer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        for request in requests(secret) {
            let head = "POST /mcp HTTP/1.1\r\ncontent-type: application/json";
            send(address, head, &request.to_string()).await;
        }
        serving.abort();
    }

    fn piped(&self, secret: &str) {
        let pipe = self.watch.clone().pipe();
        for request in requests(secret) {
            pipe.from_client(format!("{request}\n").as_bytes());
            pipe.from_stderr(format!("w-line {secret}\n").as_bytes());
            pipe.from_server(format!("{}\n", answer(&request, secret)).as_bytes());
        }
        pipe.close("done");
    }

    /// Everything that left, as text.
    fn left(&self) -> String {
        self.application.0.force_flush().unwrap();
        if let Some(guard) = &self.guard {
            guard.flush(Duration::from_secs(20)).unwrap();
        }
        let exported = (
            self.spans.get_finished_spans().unwrap(),
            self.logs.get_emitted_logs().unwrap(),
        );
        format!(
            "{exported:?} {:?} {:?}",
            self.received.spans(),
            self.received.logs()
        )
    }
}

fn requests(secret: &str) -> [Value; 4] {
    let call = |id: u8, name: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": name, "arguments": {"note": format!("w-request {secret}")}}})
    };
    let client = json!({"name": format!("w-client {secret}"), "version": format!("w-version {secret}")});
    [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "clientInfo": client, "capabilities": {}}}),
        call(2, "leak"),
        call(3, &format!("w-tool {secret}")),
        json!({"jsonrpc": "2.0", "id": 4, "method": "resources/read", "params": {"uri": uri(secret)}}),
    ]
}

fn answer(asked: &Value, secret: &str) -> Value {
    let id = &asked["id"];
    match id.as_u64() {
        Some(3) => json!({"jsonrpc": "2.0", "id": id,
            "error": {"code": -32603, "message": format!("w-error {secret}")}}),
        Some(2) => json!({"jsonrpc": "2.0", "id": id,
            "result": {"content": [{"type": "text", "text": format!("w-response {secret}")}]}}),
        _ => json!({"jsonrpc": "2.0", "id": id, "result": {}}),
    }
}

/// Texts that are secrets by their shape or by what stands before them.
fn secrets() -> impl Strategy<Value = String> {
    let rest = "[A-Za-z0-9]{26}";
    (0..6_usize, rest).prop_map(|(shape, rest)| {
        let value = format!("{CANARY}{rest}");
        match shape {
            0 => format!("sk-ant-api03-{value}"),
            1 => format!("password={value}"),
            2 => format!("postgres://admin:{value}@db.example/shop"),
            3 => format!("ghp_{value}"),
            4 => format!("Authorization: Bearer {value}"),
            _ => format!("api_key: {value}"),
        }
    })
}

/// The captures that are tried, and what may leave of them.
fn capture(name: &str) -> Capture {
    match name {
        "metadata" => Capture::metadata(),
        "off" => Capture::off(),
        "deny" => Capture::full().deny_tools(["leak"]),
        "cap" => Capture::full().body_cap(0),
        _ => Capture::full(),
    }
}

/// Not a test of its own: the process that the others run.
#[test]
#[ignore = "run by the other tests as a process"]
fn recording_process() {
    let said = |name: &str| std::env::var(name).unwrap();
    let how = said("TEST_CAPTURE");
    let recorders = Recorders::new(&said("TEST_PROVIDER"), capture(&how));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if how == "full" {
        let cases = Config {
            cases: 12,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(cases)
            .run(&secrets(), |secret| {
                runtime.block_on(recorders.record(&secret));
                Ok(())
            })
            .unwrap();
        let left = recorders.left();
        for place in PLACES {
            assert!(left.contains(place), "{place} was not recorded");
        }
        if let Some(at) = left.find(CANARY) {
            let around = left.floor_char_boundary(at.saturating_sub(300));
            panic!(
                "a secret left: …{}",
                &left[around..left.ceil_char_boundary(at + 40)]
            );
        }
        return;
    }
    runtime.block_on(recorders.record("a plain note"));
    let left = recorders.left();
    let bodies = BODIES.into_iter().filter(|place| left.contains(place)).count();
    match how.as_str() {
        "off" => assert!(!left.contains("w-"), "{left}"),
        "metadata" => {
            assert!(left.contains("w-tool") && left.contains("w-client"), "{left}");
            assert!(bodies == 0 && !left.contains("w-line"), "{left}");
        }
        "cap" => assert!(left.contains("w-tool") && bodies == 0, "{left}"),
        // What the other tool was asked is kept.
        "deny" => assert!(
            left.contains("w-request") && !left.contains("w-response"),
            "{left}"
        ),
        _ => panic!("{how}?"),
    }
    drop(recorders.guard);
}

/// Runs [`recording_process`] with each provider.
fn with_each_provider(capture: &str) {
    for provider in PROVIDERS {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "secrets::recording_process",
            ])
            .env("TEST_PROVIDER", provider)
            .env("TEST_CAPTURE", capture)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{provider}, {capture}: {said}");
    }
}

#[test]
fn no_secret_leaves_by_any_entry_point_and_any_provider() {
    with_each_provider("full");
}

#[test]
fn what_may_be_recorded_holds_for_every_entry_point_and_every_provider() {
    for capture in ["metadata", "off", "deny", "cap"] {
        with_each_provider(capture);
    }
}
