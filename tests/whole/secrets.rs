//! Secrets do not get in, whatever way they take.

use mcptap::Settings;
use serde_json::{Value, json};

use crate::support::{Client, SpanBuilder, TestServer, http_span, line, on_each_database, span};

/// Part of every secret that is planted here.
const PLANTED: &str = "pl4nted";

/// A secret, recognisable by its number. It begins with more than the ten characters that may be kept.
fn secret(number: u32) -> String {
    format!("Aq3x9Zk7Tw{PLANTED}{number:02}Lm5vR8")
}

fn bearer(number: u32) -> String {
    format!("Bearer {}", secret(number))
}

/// Calls that carry secrets in every place that a span has.
fn calls() -> Vec<SpanBuilder> {
    let call = |tool: &str| span(&format!("tools/call {tool}"));
    let body = |text: String| json!({"content": [{"type": "text", "text": text}]}).to_string();
    let arguments = json!({
        "api_key": secret(10),
        "nested": {"password": format!("with \" and \\ {}", secret(11)), "list": [{"clientSecret": secret(12)}]},
        "headers": {"Authorization": bearer(13), "Cookie": format!("sid={}", secret(14)), "X-Api-Key": secret(15)},
        "url": format!("https://me:{}@host.example/?access_token={}&page=2", secret(16), secret(17)),
        "script": json!({"token": secret(18), "inner": json!({"secret": secret(19)}).to_string()}).to_string(),
        "command": format!("curl -H 'Authorization: ApiKey {}' --password={}", secret(20), secret(21)),
    });
    let thrown = format!(
        "Error: token={} refused\n  at login (https://x.example/?api_key={})",
        secret(40),
        secret(41)
    );
    vec![
        // Headers, as one text and as the list of the conventions.
        call("text").attr("http.request.header.authorization", bearer(1)),
        call("list").attr("http.request.header.authorization", vec![bearer(2)]),
        call("ours").attr("mcptap.authorization", bearer(3)),
        call("both")
            .attr("mcptap.authorization", "Bearer Aq3…")
            .attr("http.request.header.authorization", vec![bearer(4), bearer(5)]),
        call("headers")
            .attr("http.request.header.cookie", vec![format!("sid={}", secret(6))])
            .attr(
                "http.response.header.set-cookie",
                vec![format!("sid={}; HttpOnly", secret(7))],
            )
            .attr("http.request.header.x-api-key", vec![secret(8)])
            .attr("http.request.header.proxy-authorization", bearer(9)),
        // Bodies.
        call("arguments").attr("gen_ai.tool.call.arguments", arguments.to_string()),
        call("request").attr(
            "mcptap.request.body",
            json!({"method": "tools/call", "params": {"name": "request", "arguments": arguments}})
                .to_string(),
        ),
        call("result").attr(
            "mcptap.response.body",
            body(format!("the key is {}, sent as {}", key(30), bearer(31))),
        ),
        call("jwt").attr(
            "gen_ai.tool.call.result",
            body(format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{PLANTED}.c2lnbmF0dXJl")),
        ),
        call("unreadable").attr(
            "gen_ai.tool.call.result",
            format!("{{\"password\": \"{}\", cut", secret(32)),
        ),
        // What went wrong.
        call("status").failed(&format!("401 for {} with password={}", bearer(33), secret(34))),
        call("thrown").failed("failed").event(
            "exception",
            &[
                ("exception.type", "AuthError"),
                ("exception.message", &thrown),
                ("exception.stacktrace", &thrown),
            ],
        ),
        call("message")
            .failed("")
            .attr("mcp.error.message", format!("secret: {}", secret(42))),
        // Addresses.
        span("resources/read").attr(
            "mcp.resource.uri",
            format!("https://x.example/a?token={}", secret(43)),
        ),
        span(&format!(
            "resources/read https://x.example/b?token={}",
            secret(44)
        )),
        span("tools/list")
            .attr("url.full", format!("https://me:{}@x.example/mcp", secret(45)))
            .attr("url.query", format!("api_key={}", secret(46))),
        span("ping").attr("user_agent.original", format!("agent/1 (token={})", secret(47))),
        // Anything else.
        span("prompts/list")
            .attr("db.password", secret(48))
            .attr("note", format!("use {}", key(49))),
        span("prompts/get").event(
            "retry",
            &[
                ("http.request.header.authorization", &bearer(50)),
                ("why", &bearer(51)),
            ],
        ),
    ]
}

/// A key of a well-known service's shape.
fn key(number: u32) -> String {
    format!("sk-proj-{}", secret(number))
}

/// Everything that the API shows.
pub(crate) const EVERYTHING: &str = "query ($after: String) {
    calls(first: 500, after: $after) { pageInfo { hasNextPage endCursor } nodes {
        id server { id name } method target tool prompt resourceUri outcome httpStatus rpcErrorCode errorType errorMessage
        stackTrace sessionId session { id source clientName } requestId protocolVersion transport clientName
        clientVersion clientIp country authorization userAgent traceId spanId parentSpanId attributes
        request { json text } response { json text } logs(first: 100) { nodes { body severity attributes } }
    } }
    servers { nodes { name } }
    facets { servers { value } tools { value } methods { value } clients { value } }
}";

/// What surrounds each secret found.
fn found(place: &str, bytes: &[u8]) -> Vec<String> {
    let around = |at: usize| {
        let part = &bytes[at.saturating_sub(60)..(at + 30).min(bytes.len())];
        format!("{place}: …{}…", String::from_utf8_lossy(part).escape_debug())
    };
    let starts = bytes
        .windows(PLANTED.len())
        .enumerate()
        .filter(|(_, window)| *window == PLANTED.as_bytes());
    starts.map(|(at, _)| around(at)).collect()
}

async fn everything(server: &Client) -> Value {
    server.graphql(EVERYTHING, json!({})).await
}

#[tokio::test]
async fn no_planted_secret_is_stored_or_shown() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let calls = calls();
        let http = |number: u32| {
            http_span(200)
                .attr("http.request.header.authorization", vec![bearer(number)])
                .attr(
                    "user_agent.original",
                    format!("agent token={}", secret(number + 1)),
                )
                .attr(
                    "url.full",
                    format!("https://x.example/?token={}", secret(number + 2)),
                )
        };
        let resource =
            |request: &mut opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest| {
                use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
                let value = |text: String| {
                    Some(AnyValue {
                        value: Some(any_value::Value::StringValue(text)),
                    })
                };
                let attribute = |key: &str, text| KeyValue {
                    key: key.to_owned(),
                    value: value(text),
                    ..KeyValue::default()
                };
                for spans in &mut request.resource_spans {
                    spans.resource.as_mut().unwrap().attributes.extend([
                        attribute("process.command_line", format!("server --api-key={}", secret(60))),
                        attribute("deployment.password", secret(61)),
                    ]);
                }
            };
        let parent = http(70);
        let below = span("tools/call below").parent(&parent);
        // Of these the call comes later, or never.
        server.export([parent, http(73)]).await;
        server
            .export_logs([line(&below, &format!("sent {}", bearer(80)))])
            .await;
        let mut request = crate::support::traces_request(calls.iter().cloned().chain([below]));
        resource(&mut request);
        server.send(&request).await;
        let lines = calls.iter().map(|call| {
            line(call, &format!("password: {} and {}", secret(81), key(82)))
                .attr("http.request.header.authorization", vec![bearer(83)])
                .attr("api_key", secret(84))
                .attr("request", json!({"token": secret(85)}).to_string())
        });
        server.export_logs(lines).await;
        server
            .export_logs([line(&span("nothing"), &bearer(86)).attr("authorization", bearer(87))])
            .await;

        let shown = everything(&server).await;
        assert_eq!(shown["calls"]["nodes"].as_array().unwrap().len(), calls.len() + 1);
        let mut leaks = found("shown", shown.to_string().as_bytes());
        leaks.extend(found("stored", &server.database().bytes()));
        let database = server.stop().await;
        leaks.extend(found("left", &database.bytes()));
        leaks.sort();
        leaks.dedup();
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));

        // The bytes are those of the calls: what is no secret is in them.
        let bytes = database.bytes();
        assert!(
            bytes.windows(9).any(|window| window == b"AuthError"),
            "the bytes that were searched are not the calls'"
        );
    })
    .await;
}

#[tokio::test]
async fn authorization_is_cut_to_ten_characters() {
    let server = TestServer::start().await;
    server.export(calls().into_iter().take(4)).await;
    let http = http_span(200).attr(
        "http.request.header.authorization",
        vec!["Basic dXNlcjpwYXNzd29yZA=="],
    );
    server.export([span("tools/call http").parent(&http), http]).await;
    let calls = server.calls(Value::Null, "tool authorization").await;
    let mut shown: Vec<_> = calls
        .iter()
        .map(|call| (call["tool"].as_str().unwrap(), call["authorization"].as_str()))
        .collect();
    shown.sort_unstable();
    let cut = Some("Bearer Aq3…");
    assert_eq!(
        shown,
        [
            ("both", cut),
            ("http", Some("Basic dXNl…")),
            ("list", cut),
            ("ours", cut),
            ("text", cut)
        ]
    );
}

#[tokio::test]
async fn what_the_operator_names_is_cut_everywhere() {
    on_each_database(async |database| {
        // Of all variables only these are known to be set, and to differ from machine to machine.
        let path = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let settings = Settings {
            redact_keys: Some(vec!["ssn".to_owned()]),
            redact_patterns: Some(vec![format!("{PLANTED}-[0-9]+")]),
            redact_env: Some(vec!["CARGO_MANIFEST_DIR".to_owned(), "SET_NOWHERE".to_owned()]),
            ..Settings::default()
        };
        let server = TestServer::with(database, settings).await;
        let leak = |number: u32| format!("{PLANTED}-{number} in {path}");
        let arguments = json!({"ssn": {"number": secret(1)}, "text": leak(2), "n": 1});
        let call = span("tools/call leak")
            .attr("gen_ai.tool.call.arguments", arguments.to_string())
            .attr("note", leak(3))
            .failed(&leak(4));
        server.export([call.clone()]).await;
        server
            .export_logs([line(&call, &leak(5)).attr("ssn", secret(6))])
            .await;

        let call = server
            .calls(Value::Null, "request { json redacted }")
            .await
            .remove(0);
        assert_eq!(
            call["request"]["json"]["params"]["arguments"],
            json!({"ssn": "[redacted]", "text": "[redacted] in [redacted]", "n": 1})
        );
        let shown = everything(&server).await.to_string();
        assert!(!shown.contains(&path), "{shown}");
        let mut leaks = found("shown", shown.as_bytes());
        leaks.extend(found("left", &server.stop().await.bytes()));
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn what_the_sender_cut_out_is_marked_too() {
    let server = TestServer::start().await;
    let bodies = [json!({"a": "[redacted]"}), json!({"a": "redacted"})];
    for body in &bodies {
        server
            .export([span("tools/call get_order").attr("gen_ai.tool.call.result", body.to_string())])
            .await;
    }
    let calls = server.calls(Value::Null, "response { json redacted }").await;
    for call in calls {
        let marked = call["response"]["json"] == bodies[0];
        assert_eq!(call["response"]["redacted"], marked, "{call}");
    }
}

#[tokio::test]
async fn what_is_cut_out_is_marked_and_the_rest_stays() {
    let server = TestServer::start().await;
    let arguments =
        json!({"api_key": secret(1), "order": "A-1001", "nextPageToken": "page-2", "max_tokens": 5});
    server
        .export([span("tools/call get_order").attr("gen_ai.tool.call.arguments", arguments.to_string())])
        .await;
    let call = server
        .calls(Value::Null, "request { json redacted truncated }")
        .await
        .remove(0);
    let kept =
        json!({"api_key": "[redacted]", "order": "A-1001", "nextPageToken": "page-2", "max_tokens": 5});
    assert_eq!(call["request"]["json"]["params"]["arguments"], kept);
    assert_eq!(call["request"]["redacted"], true);
}
