//! Servers instrumented with the SDK and real clients of both eras: exactly the calls that were made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcptap_sdk::{Guard, instrument_with};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientConfig, ContentBlock, Implementation, ProtocolVersion,
    ServerCapabilities, ServerConfig,
};
use rmcp::schemars::{self, JsonSchema};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, ServerHandler, tool, tool_handler, tool_router,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{BINARY, Client, TestServer, eventually};

const FIELDS: &str =
    "method tool outcome sessionId session { source } clientName clientVersion protocolVersion transport
    observedBy server { name } request { json } response { json } errorMessage rpcErrorCode httpStatus";

#[derive(Deserialize, JsonSchema)]
struct Sum {
    a: i64,
    b: i64,
}

/// A server with one tool.
#[derive(Clone)]
struct Calculator {
    tools: ToolRouter<Self>,
}

#[tool_router(router = tools)]
impl Calculator {
    /// Adds.
    #[tool]
    async fn add(&self, Parameters(Sum { a, b }): Parameters<Sum>) -> CallToolResult {
        match a.checked_add(b) {
            Some(sum) => CallToolResult::structured(json!({"sum": sum})),
            None => CallToolResult::error(vec![ContentBlock::text("too large")]),
        }
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Calculator {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("calculator", "1.0.0"))
    }
}

/// A client that says who it is.
struct Agent;

impl ClientHandler for Agent {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(Default::default(), Implementation::new("agent", "4.5.6"))
    }
}

fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

/// Serves over Streamable HTTP for as long as the guard lives; its telemetry goes to `mcptap`.
async fn serve(mcptap: &Client) -> (String, Guard, DropGuard) {
    let telemetry = mcptap_sdk::connect("calculator", &mcptap.otlp_http_url()).unwrap();
    let stop = CancellationToken::new();
    let provider = telemetry.tracer_provider().clone();
    let service: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        move || {
            Ok(instrument_with(
                Calculator {
                    tools: Calculator::tools(),
                },
                &provider,
            ))
        },
        Arc::default(),
        StreamableHttpServerConfig::default().with_cancellation_token(stop.child_token()),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().nest_service("/mcp", service);
    let serving = axum::serve(
        listener,
        router.into_make_service_with_connect_info::<std::net::SocketAddr>(),
    );
    tokio::spawn(
        serving
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future(),
    );
    (url, telemetry, stop.drop_guard())
}

fn add(a: i64, b: i64) -> CallToolRequestParams {
    let arguments = json!({"a": a, "b": b});
    CallToolRequestParams::new("add").with_arguments(arguments.as_object().unwrap().clone())
}

/// A visit: two calls of the tool, one of a tool there is not.
async fn visit<T, E, A>(transport: T, era: ClientLifecycleMode)
where
    T: rmcp::transport::IntoTransport<rmcp::RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let client = Agent.serve_with_lifecycle(transport, era).await.unwrap();
    client.call_tool(add(1, 2)).await.unwrap();
    client.call_tool(add(i64::MAX, 1)).await.unwrap();
    client
        .call_tool(CallToolRequestParams::new("divide"))
        .await
        .unwrap_err();
    client.cancel().await.unwrap();
}

/// The calls, with what is different in every run replaced.
fn readable(mut calls: Vec<Value>) -> Value {
    for call in &mut calls {
        if call["sessionId"].is_string() {
            call["sessionId"] = "[id]".into();
        }
        // Long, and rmcp's own.
        if call["method"] == "initialize" || call["method"] == "server/discover" {
            call["response"] = call["response"]["json"]["serverInfo"]["name"].take();
        }
    }
    calls.into()
}

async fn over_http(era: ClientLifecycleMode) -> Value {
    let server = TestServer::start().await;
    let (url, telemetry, _serving) = serve(&server).await;
    visit(StreamableHttpClientTransport::from_uri(url.as_str()), era).await;
    tokio::task::spawn_blocking(move || telemetry.shutdown())
        .await
        .unwrap()
        .unwrap();
    readable(server.calls(Value::Null, FIELDS).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_over_http() {
    insta::assert_json_snapshot!(over_http(ClientLifecycleMode::Initialize).await, @"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateless_requests_over_http() {
    insta::assert_json_snapshot!(over_http(modern()).await, @"");
}

/// The example server's binary, built if it is not there.
fn weather_server() -> PathBuf {
    let path = Path::new(BINARY)
        .with_file_name("examples")
        .join("weather_server");
    if !path.exists() {
        let mut build = std::process::Command::new(env!("CARGO"));
        assert!(
            build
                .args(["build", "--quiet", "--example", "weather_server"])
                .status()
                .unwrap()
                .success()
        );
    }
    path
}

/// A visit of the example over stdio, which ends with the pipe.
async fn over_stdio(era: ClientLifecycleMode) -> Value {
    let server = TestServer::start().await;
    let mut command = tokio::process::Command::new(weather_server());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", server.otlp_http_url());
    let client = Agent
        .serve_with_lifecycle(TokioChildProcess::new(command).unwrap(), era)
        .await
        .unwrap();
    for city in ["Lisbon", "Atlantis"] {
        let arguments = json!({"city": city}).as_object().unwrap().clone();
        client
            .call_tool(CallToolRequestParams::new("current_weather").with_arguments(arguments))
            .await
            .unwrap();
    }
    // The server exits at once: nothing is left to wait for but its last words.
    client.cancel().await.unwrap();
    let calls = eventually("three calls", async || {
        Some(server.calls(Value::Null, FIELDS).await).filter(|calls| calls.len() >= 3)
    })
    .await;
    readable(calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_over_stdio() {
    insta::assert_json_snapshot!(over_stdio(ClientLifecycleMode::Initialize).await, @"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateless_requests_over_stdio() {
    insta::assert_json_snapshot!(over_stdio(modern()).await, @"");
}
