//! Servers instrumented with the SDK and real clients of both eras: exactly the calls that were made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcptap_sdk::{Guard, Watch, instrument_with};
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

use crate::support::{BINARY, Client, TestServer};

const FIELDS: &str = "method tool outcome sessionId clientName clientVersion protocolVersion transport
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
    let watch = Watch::with(&telemetry);
    let service: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        move || {
            Ok(instrument_with(
                Calculator {
                    tools: Calculator::tools(),
                },
                watch.clone(),
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

/// The calls as text, without what is different in every run.
fn readable(calls: &[Value]) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let call = |call: &Value| {
        let of = |field: &str| text(&call[field]);
        let wire = if call["sessionId"].is_string() {
            "an id on the wire"
        } else {
            "no id on the wire"
        };
        // What a server says of itself is long, and rmcp's own.
        let opening = call["request"]["json"]["method"] != "tools/call";
        let response = if opening {
            "…".to_owned()
        } else {
            text(&call["response"]["json"])
        };
        format!(
            "{} {}: {} {} {}\n  {} {} of {} {} with {}, seen by {} {}, HTTP {}\n  > {}\n  < {}\n",
            of("method"),
            of("tool"),
            of("outcome"),
            of("rpcErrorCode"),
            of("errorMessage"),
            of("transport"),
            of("protocolVersion"),
            of("clientName"),
            of("clientVersion"),
            wire,
            of("observedBy"),
            text(&call["server"]["name"]),
            of("httpStatus"),
            call["request"]["json"],
            response,
        )
    };
    calls.iter().map(call).collect()
}

async fn over_http(era: ClientLifecycleMode) -> String {
    let server = TestServer::start().await;
    let (url, telemetry, _serving) = serve(&server).await;
    visit(StreamableHttpClientTransport::from_uri(url.as_str()), era).await;
    tokio::task::spawn_blocking(move || telemetry.shutdown())
        .await
        .unwrap()
        .unwrap();
    readable(&server.calls(Value::Null, FIELDS).await)
}

/// The sessions of a visit over HTTP, and of how many calls each consists.
async fn sessions(era: ClientLifecycleMode) -> Vec<Value> {
    let server = TestServer::start().await;
    let (url, telemetry, _serving) = serve(&server).await;
    visit(StreamableHttpClientTransport::from_uri(url.as_str()), era).await;
    tokio::task::spawn_blocking(move || telemetry.shutdown())
        .await
        .unwrap()
        .unwrap();
    let sessions = server
        .graphql(
            "{ sessions { nodes { id source callCount clientName } } }",
            json!({}),
        )
        .await;
    let sessions = sessions["sessions"]["nodes"].as_array().unwrap().clone();
    for session in &sessions {
        let calls = server
            .calls(json!({"sessionId": session["id"]}), "session { id }")
            .await;
        assert_eq!(session["callCount"], calls.len());
        assert!(calls.iter().all(|call| call["session"]["id"] == session["id"]));
    }
    sessions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_with_one_id_on_the_wire_are_one_session() {
    let sessions = sessions(ClientLifecycleMode::Initialize).await;
    let wire: Vec<_> = sessions
        .iter()
        .filter(|session| session["source"] == "WIRE")
        .collect();
    // The id is in the answer to `initialize`, and in every request after it.
    assert_eq!(wire.len(), 1, "{sessions:?}");
    assert_eq!(
        (&wire[0]["callCount"], &wire[0]["clientName"]),
        (&json!(3), &json!("agent"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateless_calls_make_up_no_session_on_the_wire() {
    let sessions = sessions(modern()).await;
    let sources: Vec<_> = sessions.iter().map(|session| &session["source"]).collect();
    assert_eq!(sources, ["CLIENT"], "they are one client's visit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_over_http() {
    insta::assert_snapshot!(over_http(ClientLifecycleMode::Initialize).await, @r#"
    initialize null: OK null null
      STREAMABLE_HTTP 2025-11-25 of agent 4.5.6 with no id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"initialize","params":{"protocolVersion":"2026-07-28","capabilities":{},"clientInfo":{"name":"agent","version":"4.5.6"}}}
      < …
    tools/call add: OK null null
      STREAMABLE_HTTP 2025-11-25 of agent 4.5.6 with an id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"tools/call","params":{"_meta":{"progressToken":0},"name":"add","arguments":{"a":1,"b":2}}}
      < {"content":[{"type":"text","text":"{\"sum\":3}"}],"structuredContent":{"sum":3},"isError":false}
    tools/call add: TOOL_ERROR null too large
      STREAMABLE_HTTP 2025-11-25 of agent 4.5.6 with an id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"tools/call","params":{"_meta":{"progressToken":1},"name":"add","arguments":{"a":9223372036854775807,"b":1}}}
      < {"content":[{"type":"text","text":"too large"}],"isError":true}
    tools/call divide: PROTOCOL_ERROR -32602 tool not found
      STREAMABLE_HTTP 2025-11-25 of agent 4.5.6 with an id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"tools/call","params":{"_meta":{"progressToken":2},"name":"divide"}}
      < {"error":{"code":-32602,"message":"tool not found"}}
    "#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateless_requests_over_http() {
    insta::assert_snapshot!(over_http(modern()).await, @r#"
    server/discover null: OK null null
      STREAMABLE_HTTP 2026-07-28 of agent 4.5.6 with no id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"4.5.6"},"io.modelcontextprotocol/clientCapabilities":{}}}}
      < …
    tools/call add: OK null null
      STREAMABLE_HTTP 2026-07-28 of agent 4.5.6 with no id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"4.5.6"},"io.modelcontextprotocol/clientCapabilities":{},"progressToken":0},"name":"add","arguments":{"a":1,"b":2}}}
      < {"resultType":"complete","content":[{"type":"text","text":"{\"sum\":3}"}],"structuredContent":{"sum":3},"isError":false}
    tools/call add: TOOL_ERROR null too large
      STREAMABLE_HTTP 2026-07-28 of agent 4.5.6 with no id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"4.5.6"},"io.modelcontextprotocol/clientCapabilities":{},"progressToken":1},"name":"add","arguments":{"a":9223372036854775807,"b":1}}}
      < {"resultType":"complete","content":[{"type":"text","text":"too large"}],"isError":true}
    tools/call divide: PROTOCOL_ERROR -32602 tool not found
      STREAMABLE_HTTP 2026-07-28 of agent 4.5.6 with no id on the wire, seen by SERVER calculator, HTTP null
      > {"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"4.5.6"},"io.modelcontextprotocol/clientCapabilities":{},"progressToken":2},"name":"divide"}}
      < {"error":{"code":-32602,"message":"tool not found"}}
    "#);
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
async fn over_stdio(era: ClientLifecycleMode) -> String {
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
    // Waits for the process, which exits at once and loses nothing.
    client.cancel().await.unwrap();
    readable(&server.calls(Value::Null, FIELDS).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_over_stdio() {
    insta::assert_snapshot!(over_stdio(ClientLifecycleMode::Initialize).await, @r#"
    initialize null: OK null null
      STDIO 2025-11-25 of agent 4.5.6 with no id on the wire, seen by SERVER weather, HTTP null
      > {"method":"initialize","params":{"protocolVersion":"2026-07-28","capabilities":{},"clientInfo":{"name":"agent","version":"4.5.6"}}}
      < …
    tools/call current_weather: OK null null
      STDIO 2025-11-25 of agent 4.5.6 with no id on the wire, seen by SERVER weather, HTTP null
      > {"method":"tools/call","params":{"_meta":{"progressToken":0},"name":"current_weather","arguments":{"city":"Lisbon"}}}
      < {"content":[{"type":"text","text":"Lisbon: sunny, 24 °C"}],"isError":false}
    tools/call current_weather: TOOL_ERROR null no station in Atlantis
      STDIO 2025-11-25 of agent 4.5.6 with no id on the wire, seen by SERVER weather, HTTP null
      > {"method":"tools/call","params":{"_meta":{"progressToken":1},"name":"current_weather","arguments":{"city":"Atlantis"}}}
      < {"content":[{"type":"text","text":"no station in Atlantis"}],"isError":true}
    "#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateless_requests_over_stdio() {
    insta::assert_snapshot!(over_stdio(modern()).await, @r#"
    server/discover null: OK null null
      STDIO 2026-07-28 of agent 4.5.6 with no id on the wire, seen by SERVER weather, HTTP null
      > {"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"4.5.6"},"io.modelcontextprotocol/clientCapabilities":{}}}}
      < …
    tools/call current_weather: OK null null
      STDIO 2026-07-28 of agent 4.5.6 with no id on the wire, seen by SERVER weather, HTTP null
      > {"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"4.5.6"},"io.modelcontextprotocol/clientCapabilities":{},"progressToken":0},"name":"current_weather","arguments":{"city":"Lisbon"}}}
      < {"resultType":"complete","content":[{"type":"text","text":"Lisbon: sunny, 24 °C"}],"isError":false}
    tools/call current_weather: TOOL_ERROR null no station in Atlantis
      STDIO 2026-07-28 of agent 4.5.6 with no id on the wire, seen by SERVER weather, HTTP null
      > {"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"4.5.6"},"io.modelcontextprotocol/clientCapabilities":{},"progressToken":1},"name":"current_weather","arguments":{"city":"Atlantis"}}}
      < {"resultType":"complete","content":[{"type":"text","text":"no station in Atlantis"}],"isError":true}
    "#);
}
