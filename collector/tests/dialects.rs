//! One span of each instrumentation whose captures are not replayed, by its sources and documents, and what is read.

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

use mcptap_collector::{Arrival, Reader};
use mcptap_model::{Access, Call, Observation, UnixNanos};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status,
    span::{Event, Link},
};
use serde_json::{Value, json};

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// A span to be read: scope, name, kind, attributes; then what only some have.
struct Given {
    scope: &'static str,
    name: &'static str,
    kind: i32,
    attributes: Value,
    status: (i32, &'static str),
    events: Vec<(&'static str, Value)>,
    links: u8,
}

fn given(scope: &'static str, name: &'static str, kind: i32, attributes: Value) -> Given {
    Given {
        scope,
        name,
        kind,
        attributes,
        status: (0, ""),
        events: Vec::new(),
        links: 0,
    }
}

impl Given {
    fn failed(mut self, message: &'static str) -> Self {
        self.status = (2, message);
        self
    }

    fn event(mut self, name: &'static str, attributes: Value) -> Self {
        self.events.push((name, attributes));
        self
    }

    /// The calls read, one text each.
    fn read(self) -> Vec<String> {
        let observations = self.observed();
        observations.iter().map(|seen| tell(&seen.call)).collect()
    }

    fn observed(self) -> Vec<Observation> {
        let resource = pairs(&json!({"service.name": "shop", "service.instance.id": "i-1"}));
        let event = |(name, attributes): &(&str, Value)| Event {
            time_unix_nano: 1_500_000_000,
            name: (*name).to_owned(),
            attributes: pairs(attributes),
            ..Event::default()
        };
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: self.name.to_owned(),
            kind: self.kind,
            start_time_unix_nano: 1_000_000_000,
            end_time_unix_nano: 2_000_000_000,
            attributes: pairs(&self.attributes),
            events: self.events.iter().map(event).collect(),
            links: (1..=self.links)
                .map(|number| Link {
                    trace_id: vec![number; 16],
                    span_id: vec![number; 8],
                    ..Link::default()
                })
                .collect(),
            status: Some(Status {
                code: self.status.0,
                message: self.status.1.to_owned(),
            }),
            ..Span::default()
        };
        let mut request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: resource,
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: self.scope.to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: vec![span],
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        };
        let read = Reader::default().traces(
            &mut request,
            &Arrival::replayed(UnixNanos(0)),
            &Access::everything(),
        );
        read.batch.observations
    }

    fn one(self) -> String {
        let mut calls = self.read();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }
}

fn pairs(json: &Value) -> Vec<KeyValue> {
    json.as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| pair(key, value))
        .collect()
}

fn pair(key: &str, value: &Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn any(value: &Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(truth) => Some(Any::BoolValue(*truth)),
        Value::Number(number) => Some(
            number
                .as_i64()
                .map_or(Any::DoubleValue(number.as_f64().unwrap()), Any::IntValue),
        ),
        Value::String(text) => Some(Any::StringValue(text.clone())),
        Value::Array(items) => Some(Any::ArrayValue(ArrayValue {
            values: items.iter().map(any).collect(),
        })),
        Value::Object(members) => Some(Any::KvlistValue(KeyValueList {
            values: members.iter().map(|(key, value)| pair(key, value)).collect(),
        })),
    };
    AnyValue { value }
}

/// Everything that was read, on one line.
fn tell(call: &Call) -> String {
    let session = call
        .session
        .as_ref()
        .map(|session| format!("{} {}", session.source.as_str(), session.key));
    let body = |payload: &Option<mcptap_model::Payload>, sign: &str| {
        payload.as_ref().map(|body| format!("{sign} {}", body.text))
    };
    let facts = [
        Some(format!("{} {}", call.method, call.target().unwrap_or("-"))),
        Some(call.outcome().as_str().to_owned()),
        Some(format!("{} at {}", call.vantage.as_str(), call.server_name())),
        call.http_status.map(|status| format!("HTTP {status}")),
        call.rpc_error_code.map(|code| format!("code {code}")),
        call.error_type.clone(),
        call.error_message.as_ref().map(|message| format!("{message:?}")),
        call.stack_trace.as_ref().map(|_| "stack".to_owned()),
        call.request_id.as_ref().map(|id| format!("id {id}")),
        call.session_id.as_ref().map(|id| format!("wire {id}")),
        session,
        call.protocol_version.clone(),
        call.transport.map(|transport| transport.as_str().to_owned()),
        call.client_name.clone(),
        call.client_ip.clone(),
        call.country.clone(),
        call.authorization.clone(),
        body(&call.request, ">"),
        body(&call.response, "<"),
    ];
    facts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

#[test]
fn conventions_with_structured_values() {
    let told = given(
        "any",
        "tools/call add",
        SERVER,
        json!({"mcp.method.name": "tools/call", "gen_ai.tool.name": "add", "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.arguments": {"a": 1, "b": 9007199254740993i64}, "gen_ai.tool.call.result": {"content": [], "isError": false},
            "jsonrpc.request.id": "7", "mcp.protocol.version": "2026-07-28", "mcp.session.id": "made-up",
            "network.transport": "tcp", "network.protocol.name": "http", "client.address": "8.8.8.8"}),
    );
    insta::assert_snapshot!(told.one(), @r#"tools/call add · OK · SERVER at shop · id 7 · 2026-07-28 · STREAMABLE_HTTP · 8.8.8.8 · US · > {"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":9007199254740993}}} · < {"content":[],"isError":false}"#);
}

#[test]
fn caller_faults_leave_the_status_unset() {
    let told = given(
        "any",
        "resources/read",
        SERVER,
        json!({"mcp.method.name": "resources/read", "mcp.resource.uri": "x://1", "rpc.status_code": -32602}),
    );
    insta::assert_snapshot!(told.one(), @"resources/read x://1 · PROTOCOL_ERROR · SERVER at shop · code -32602 · -32602");
}

#[test]
fn csharp() {
    let told = given(
        "Experimental.ModelContextProtocol",
        "tools/call add",
        SERVER,
        json!({"mcp.method.name": "tools/call", "gen_ai.tool.name": "add", "network.transport": "pipe",
            "mcp.session.id": "0123456789abcdef0123456789abcdef", "error.type": "tool_error", "jsonrpc.request.id": "2"}),
    )
    .failed(r#"[{"type":"text","text":"no such order"}]"#);
    insta::assert_snapshot!(told.one(), @r#"tools/call add · TOOL_ERROR · SERVER at shop · tool_error · "no such order" · id 2 · CONNECTION 0123456789abcdef0123456789abcdef · STDIO · < {"content":[{"type":"text","text":"no such order"}],"isError":true}"#);
}

#[test]
fn quarkus() {
    let told = given(
        "io.quarkus.opentelemetry.mcp",
        "tools/call add",
        SERVER,
        json!({"mcp.server.name": "default", "mcp.method.name": "tools/call", "gen_ai.tool.name": "add",
            "rpc.jsonrpc.request_id": 3, "mcp.session.id": "c-1", "mcp.protocol.version": "2025-06-18", "network.transport": "tcp",
            "network.protocol.name": "http", "rpc.jsonrpc.error_code": -32603, "rpc.jsonrpc.error_message": "boom", "error.type": "-32603"}),
    )
    .failed("");
    insta::assert_snapshot!(told.one(), @r#"tools/call add · PROTOCOL_ERROR · SERVER at default · code -32603 · -32603 · "boom" · id 3 · wire c-1 · WIRE c-1 · 2025-06-18 · STREAMABLE_HTTP"#);
}

#[test]
fn mcp_go() {
    let told = given(
        "my-tracer",
        "mcp.tools/call",
        SERVER,
        json!({"mcp.method": "tools/call", "mcp.tool.name": "add", "mcp.session.id": "stdio", "network.transport": "pipe"}),
    );
    insta::assert_snapshot!(told.one(), @"tools/call add · OK · SERVER at shop · CONNECTION i-1 · STDIO");
}

#[test]
fn agentgateway() {
    let told = given(
        "agentgateway",
        "tools/call",
        SERVER,
        json!({"mcp.method.name": "tools/call", "mcp.target": "orders", "gen_ai.tool.name": "add", "mcp.session.id": "s-1",
            "mcp.error.code": -32601, "mcp.error.message": "unknown", "http.status": 200, "src.addr": "9.9.9.9:4711", "jwt.sub": "ada",
            "duration": "12ms"}),
    );
    insta::assert_snapshot!(told.one(), @r#"tools/call add · PROTOCOL_ERROR · GATEWAY at orders · HTTP 200 · code -32601 · -32601 · "unknown" · wire s-1 · WIRE s-1 · 9.9.9.9 · US"#);
}

#[test]
fn toolhive() {
    let told = given(
        "github.com/stacklok/toolhive/pkg/telemetry",
        "tools/call fetch",
        SERVER,
        json!({"mcp.method.name": "tools/call", "gen_ai.tool.name": "fetch", "mcp.server.name": "fetch", "mcp.session.id": "s-1",
            "mcp.client.name": "ide", "network.transport": "pipe", "http.response.status_code": 502, "client.address": "9.9.9.9",
            "gen_ai.tool.call.arguments": "url=https://x.test, key=[REDACTED]", "error.type": "5xx", "jsonrpc.request.id": "1"}),
    )
    .failed("HTTP 502");
    insta::assert_snapshot!(told.one(), @r#"tools/call fetch · TRANSPORT_ERROR · GATEWAY at fetch · HTTP 502 · 5xx · "HTTP 502" · id 1 · wire s-1 · WIRE s-1 · STREAMABLE_HTTP · ide · 9.9.9.9 · US · > {"method":"tools/call","params":{"name":"fetch","arguments":"url=https://x.test, key=[REDACTED]"}}"#);
}

#[test]
fn envoy() {
    let told = given(
        "envoyproxy/ai-gateway",
        "CallTool",
        CLIENT,
        json!({"mcp.protocol.version": "2025-06-18", "mcp.transport": "http", "mcp.request.id": "4", "mcp.tool.name": "add"}),
    )
    .event("route to backend", json!({"mcp.backend.name": "orders", "mcp.session.id": "s-1"}));
    insta::assert_snapshot!(told.one(), @"tools/call add · OK · GATEWAY at orders · id 4 · 2025-06-18 · STREAMABLE_HTTP");
}

#[test]
fn docker() {
    let told = given(
        "github.com/docker/mcp-gateway",
        "mcp.tool.call",
        CLIENT,
        json!({"mcp.tool.name": "search", "mcp.server.name": "duckduckgo", "mcp.server.type": "docker"}),
    )
    .failed("Tool execution failed");
    insta::assert_snapshot!(told.one(), @r#"tools/call search · PROTOCOL_ERROR · GATEWAY at duckduckgo · _OTHER · "Tool execution failed""#);
    assert!(
        given(
            "github.com/docker/mcp-gateway",
            "mcp.command.run",
            INTERNAL,
            json!({})
        )
        .read()
        .is_empty()
    );
}

#[test]
fn agentcat() {
    let told = given(
        "agentcat",
        "mcp:tools/call",
        SERVER,
        json!({"mcp.event_type": "mcp:tools/call", "mcp.resource_name": "get_order", "mcp.session_id": "ses_1"}),
    )
    .failed("");
    insta::assert_snapshot!(told.one(), @"tools/call get_order · TOOL_ERROR · SERVER at shop · tool_error · CONVERSATION ses_1");
    let started = given(
        "agentcat",
        "mcp:initialize",
        SERVER,
        json!({"mcp.event_type": "mcp:initialize", "mcp.resource_name": "Unknown Tool Name", "mcp.session_id": "ses_1"}),
    );
    insta::assert_snapshot!(started.one(), @"initialize - · OK · SERVER at shop · CONVERSATION ses_1");
    let listed = given(
        "agentcat",
        "mcp:tools/list",
        SERVER,
        json!({"mcp.event_type": "mcp:tools/list", "mcp.client_name": "agent", "mcp.client_version": "2"}),
    )
    .failed("");
    insta::assert_snapshot!(listed.one(), @"tools/list - · PROTOCOL_ERROR · SERVER at shop · _OTHER · agent");
}

#[test]
fn aws_distro() {
    let told = given(
        "amazon.opentelemetry.distro.instrumentation.mcp",
        "mcp tools/call add",
        SERVER,
        json!({"mcp.method.name": "tools/call", "gen_ai.tool.name": "add", "gen_ai.tool.call.arguments": r#"{"a":1}"#,
            "gen_ai.tool.call.result": r#"{"content":[{"type":"text","text":"bad"}],"isError":true}"#, "mcp.session.id": "s-1",
            "client.address": "9.9.9.9", "mcp.protocol.version": "2025-11-25"}),
    );
    insta::assert_snapshot!(told.one(), @r#"tools/call add · TOOL_ERROR · SERVER at shop · tool_error · "bad" · wire s-1 · WIRE s-1 · 2025-11-25 · 9.9.9.9 · US · > {"method":"tools/call","params":{"name":"add","arguments":{"a":1}}} · < {"content":[{"type":"text","text":"bad"}],"isError":true}"#);
}

#[test]
fn splunk() {
    let told = given(
        "opentelemetry.util.genai.handler",
        "resources/read config://store",
        SERVER,
        json!({"mcp.method.name": "resources/read", "mcp.resource.uri": "config://store", "mcp.session.id": "s-1",
            "sdot.mcp.server_name": "orders", "client.address": "127.0.0.1", "gen_ai.finish_reason": "failed", "error.type": "NotFoundError"}),
    )
    .failed("Unknown resource");
    insta::assert_snapshot!(told.one(), @r#"resources/read config://store · PROTOCOL_ERROR · SERVER at orders · NotFoundError · "Unknown resource" · wire s-1 · WIRE s-1 · 127.0.0.1"#);
    let whole_run = given(
        "opentelemetry.util.genai.handler",
        "initialize",
        SERVER,
        json!({"mcp.method.name": "initialize"}),
    );
    assert!(whole_run.read().is_empty(), "it lasts as long as the server");
}

#[test]
fn loongsuite() {
    let told = given(
        "",
        "tools/call add",
        CLIENT,
        json!({"mcp.method.name": "tools/call", "mcp.tool.name": "add", "rpc.jsonrpc.request_id": "9", "mcp.parameters": r#"{"a":1}"#,
            "output.value": r#"{"content":[]}"#, "network.transport": "stdio"}),
    );
    insta::assert_snapshot!(told.one(), @r#"tools/call add · OK · CLIENT at shop · id 9 · CONNECTION i-1 · STDIO · > {"method":"tools/call","params":{"name":"add","arguments":{"a":1}}} · < {"content":[]}"#);
}

#[test]
fn traceloop_javascript() {
    let scope = "@traceloop/instrumentation-mcp";
    let told = given(
        scope,
        "add.tool",
        CLIENT,
        json!({"traceloop.span.kind": "tool", "traceloop.entity.name": "add", "traceloop.entity.input": r#"{"tool_name":"add","arguments":{"a":1}}"#,
            "traceloop.entity.output": r#"{"content":[]}"#}),
    );
    insta::assert_snapshot!(told.one(), @r#"tools/call add · OK · CLIENT at shop · > {"method":"tools/call","params":{"name":"add","arguments":{"a":1}}} · < {"content":[]}"#);
    let outgoing = given(
        scope,
        "ping.mcp",
        SERVER,
        json!({"traceloop.entity.name": "ping"}),
    );
    assert!(outgoing.read().is_empty(), "the server's own request");
    let bare = given(scope, "ping.mcp", CLIENT, json!({}));
    insta::assert_snapshot!(bare.one(), @"ping - · OK · CLIENT at shop");
    let started = given(
        scope,
        "initialize.mcp",
        CLIENT,
        json!({"traceloop.entity.input": r#"{"protocolVersion":"2025-11-25","clientInfo":{"name":"agent","version":"2"}}"#}),
    );
    insta::assert_snapshot!(started.one(), @r#"initialize - · OK · CLIENT at shop · agent · > {"method":"initialize","params":{"protocolVersion":"2025-11-25","clientInfo":{"name":"agent","version":"2"}}}"#);
    let missing = given(
        scope,
        "resources/read.mcp",
        CLIENT,
        json!({"traceloop.entity.input": r#"{"uri":"config://missing"}"#}),
    )
    .failed("MCP error -32602: gone")
    .event(
        "exception",
        json!({"exception.type": "-32602", "exception.message": "MCP error -32602: gone"}),
    );
    insta::assert_snapshot!(missing.one(), @r#"resources/read config://missing · PROTOCOL_ERROR · CLIENT at shop · code -32602 · -32602 · "MCP error -32602: gone" · > {"method":"resources/read","params":{"uri":"config://missing"}}"#);
    let refused = given(
        scope,
        "add.tool",
        CLIENT,
        json!({"traceloop.span.kind": "tool", "traceloop.entity.name": "add",
            "traceloop.entity.output": r#"{"result":"too big","is_error":true}"#}),
    )
    .failed("too big");
    insta::assert_snapshot!(refused.one(), @r#"tools/call add · TOOL_ERROR · CLIENT at shop · tool_error · "too big" · < {"result":"too big","is_error":true}"#);
}

#[test]
fn traceloop_python_clients() {
    let listed = given(
        "opentelemetry.instrumentation.mcp.instrumentation",
        "tools/list.mcp",
        INTERNAL,
        json!({"traceloop.entity.output": r#"{"tools":[]}"#}),
    );
    insta::assert_snapshot!(listed.one(), @r#"tools/list - · OK · CLIENT at shop · < {"tools":[]}"#);
}

#[test]
fn python_clients() {
    let told = given(
        "mcp-python-sdk",
        "MCP send tools/call add",
        CLIENT,
        json!({"mcp.method.name": "tools/call", "jsonrpc.request.id": "1"}),
    );
    insta::assert_snapshot!(told.one(), @"tools/call add · OK · CLIENT at shop · id 1");
    let logfire = given(
        "logfire.mcp",
        "MCP request: tools/call add",
        INTERNAL,
        json!({"rpc.system": "jsonrpc", "rpc.method": "tools/call", "logfire.span_type": "span",
            "request": r#"{"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#}),
    );
    insta::assert_snapshot!(logfire.one(), @r#"tools/call add · OK · CLIENT at shop · > {"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#);
    let pending = given(
        "logfire.mcp",
        "MCP request: tools/call",
        INTERNAL,
        json!({"logfire.span_type": "pending_span", "rpc.method": "tools/call"}),
    );
    assert!(pending.read().is_empty());
}

#[test]
fn scrubbed_sessions_are_none() {
    let told = given(
        "fastmcp",
        "ping",
        SERVER,
        json!({"mcp.method.name": "ping", "mcp.session.id": "[Scrubbed due to 'session']"}),
    );
    insta::assert_snapshot!(told.one(), @"ping - · OK · SERVER at shop");
}

#[test]
fn ebpf() {
    let told = given(
        "OBI",
        "POST /mcp",
        SERVER,
        json!({"http.request.method": "POST", "http.response.status_code": 404, "client.address": "9.9.9.9", "mcp.method.name": "tools/call",
            "gen_ai.tool.name": "add", "rpc.response.status_code": "-32601", "jsonrpc.request.id": "1",
            "http.request.header.authorization": ["Bearer abcdefghijklmnop"]}),
    );
    insta::assert_snapshot!(told.one(), @"tools/call add · PROTOCOL_ERROR · SERVER at shop · HTTP 404 · code -32601 · -32601 · id 1 · 9.9.9.9 · US · Bearer abc…");
}

#[test]
fn what_a_refused_request_says() {
    let told = given(
        "any",
        "tools/call",
        SERVER,
        json!({"mcp.method.name": "tools/call", "http.response.status_code": 401, "http.request.header.mcp-name": "=?base64?YcOkZA==?=",
            "http.request.header.cf-ipcountry": "DE", "error.type": "401"}),
    )
    .failed("");
    insta::assert_snapshot!(told.one(), @"tools/call aäd · TRANSPORT_ERROR · SERVER at shop · HTTP 401 · 401 · DE");
}

#[test]
fn requests_of_the_server_are_seen_by_the_server() {
    let told = given(
        "any",
        "sampling/createMessage",
        CLIENT,
        json!({"mcp.method.name": "sampling/createMessage"}),
    );
    insta::assert_snapshot!(told.one(), @"sampling/createMessage - · OK · SERVER at shop");
}

#[test]
fn an_exception_event_has_the_stack() {
    let told = given("any", "tools/call add", SERVER, json!({"mcp.method.name": "tools/call", "gen_ai.tool.name": "add"}))
        .failed("")
        .event("exception", json!({"exception.type": "KeyError", "exception.message": "'x'", "exception.stacktrace": "Traceback…"}));
    insta::assert_snapshot!(told.one(), @r#"tools/call add · TOOL_ERROR · SERVER at shop · KeyError · "'x'" · stack"#);
}

#[test]
fn what_is_not_mcp_is_no_call() {
    for (name, attributes) in [
        ("ping", json!({})),
        ("initialize", json!({"db.system": "redis"})),
        ("GET /tools/list", json!({"http.request.method": "GET"})),
        (
            "eth_call",
            json!({"rpc.system": "jsonrpc", "rpc.method": "eth_call"}),
        ),
        (
            "execute_tool add",
            json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add"}),
        ),
        (
            "notifications/initialized",
            json!({"mcp.method.name": "notifications/initialized"}),
        ),
        ("serve_inner", json!({"mcp.method.name": "x"})),
    ] {
        assert!(given("any", name, SERVER, attributes).read().is_empty(), "{name}");
    }
}

#[test]
fn what_belongs_to_an_ordinary_visit_is_no_call() {
    let visit = |method: &str, status: i64, session: Option<&str>| {
        let mut attributes = json!({"mcp.method.name": method, "http.response.status_code": status});
        if let Some(session) = session {
            attributes["mcp.session.id"] = session.into();
        }
        given("any", "any", SERVER, attributes)
            .failed("HTTP")
            .read()
            .len()
    };
    for (method, status, session, calls) in [
        ("GET", 405, Some("s"), 0),
        ("DELETE", 405, Some("s"), 0),
        ("GET", 404, None, 0),
        ("OPTIONS", 403, None, 0),
        ("GET", 404, Some("s"), 1),
        ("GET", 401, Some("s"), 1),
        ("GET", 200, Some("s"), 1),
        ("DELETE", 500, Some("s"), 1),
        ("tools/list", 405, Some("s"), 1),
    ] {
        assert_eq!(
            visit(method, status, session),
            calls,
            "{method} {status} {session:?}"
        );
    }
}

#[test]
fn a_handler_that_failed_was_reached_whatever_the_status() {
    let told = |kind: i32, attributes: Value| {
        let mut all = json!({"mcp.method.name": "tools/list"});
        for (key, value) in attributes.as_object().unwrap() {
            all[key] = value.clone();
        }
        let call = given("any", "tools/list", kind, all).failed("no").one();
        call.split(" · ").nth(1).unwrap().to_owned()
    };
    for (kind, attributes, outcome) in [
        (
            SERVER,
            json!({"http.response.status_code": 400}),
            "PROTOCOL_ERROR",
        ),
        (
            SERVER,
            json!({"http.response.status_code": 500, "error.type": "ValueError"}),
            "PROTOCOL_ERROR",
        ),
        (
            SERVER,
            json!({"http.response.status_code": 401, "error.type": "401"}),
            "TRANSPORT_ERROR",
        ),
        (
            CLIENT,
            json!({"http.response.status_code": 400}),
            "TRANSPORT_ERROR",
        ),
        (
            CLIENT,
            json!({"http.response.status_code": 400, "rpc.response.status_code": "-32602"}),
            "PROTOCOL_ERROR",
        ),
        (
            CLIENT,
            json!({"error.type": "HTTPStatusError", "http.response.status_code": 503}),
            "TRANSPORT_ERROR",
        ),
    ] {
        assert_eq!(told(kind, attributes.clone()), outcome, "{kind} {attributes}");
    }
    let redirected = json!({"mcp.method.name": "tools/list", "http.response.status_code": 307, "mcptap.outcome": "redirected"});
    let redirected = given("any", "tools/list", SERVER, redirected).one();
    assert!(redirected.starts_with("tools/list - · OK · "), "{redirected}");
}

/// As many links as SDKs send are followed, and it is said how many were not.
#[test]
fn links_beyond_those_that_sdks_send_are_counted() {
    let with = |links: u8| {
        let mut one = given(
            "sdk",
            "tools/call add",
            SERVER,
            json!({"mcp.method.name": "tools/call"}),
        );
        one.links = links;
        let seen = one.observed().remove(0);
        let left_out = seen.call.attributes.get("mcptap.dropped_links").cloned();
        (seen.links.len(), left_out)
    };
    assert_eq!(with(0), (0, None));
    assert_eq!(with(128), (128, None));
    assert_eq!(with(200), (128, Some(json!(72))));
}

#[test]
fn what_our_sdk_says_twice_is_stored_once() {
    let request = r#"{"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#;
    let told = given(
        "mcptap-sdk",
        "tools/call add",
        SERVER,
        json!({"mcp.method.name": "tools/call", "gen_ai.tool.name": "add",
            "mcptap.request.body": request, "gen_ai.tool.call.arguments": r#"{"a":1}"#,
            "mcptap.response.body": r#"{"content":[]}"#, "gen_ai.tool.call.result": r#"{"content":[ ]}"#}),
    );
    let call = told.observed().remove(0).call;
    let rest = format!("{:?}", call.attributes);
    assert!(!rest.contains("gen_ai.tool.call"), "{rest}");
    insta::assert_snapshot!(tell(&call), @r#"tools/call add · OK · SERVER at shop · > {"method":"tools/call","params":{"name":"add","arguments":{"a":1}}} · < {"content":[]}"#);
}
