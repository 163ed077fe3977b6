//! The name that a server gives itself is that of everything that is recorded of it.

use mcptap_model::{NewKey, Scope};
use mcptap_store::Actor;
use serde_json::{Value, json};

use super::{Wrapping, python, request};
use crate::support::{TestServer, eventually};

/// Calls itself `notes`, writes to its standard error, and answers a `tools/call` when `ping` is asked.
const NOTES: &str = r#"
import json, sys
held = None
for line in sys.stdin:
    message = json.loads(line)
    result = {}
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "notes", "version": "1"}}
    if message["method"] == "tools/call":
        print("a line of notes", file=sys.stderr, flush=True)
        held = message["id"]
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    if message["method"] == "ping":
        print(json.dumps({"jsonrpc": "2.0", "id": held, "result": result}), flush=True)
"#;

#[tokio::test]
async fn a_key_that_is_bound_to_the_servers_own_name_admits_its_log_lines_and_running_calls() {
    let server = TestServer::start().await;
    let (_writer, store) = server.store_beside().await;
    let make = async |scopes: &[Scope], servers: &[&str]| {
        let new = NewKey {
            name: "a key".into(),
            scopes: scopes.to_vec(),
            servers: servers.iter().map(ToString::to_string).collect(),
            expires_at: None,
        };
        let (_, secret) = store.create_key(new, Actor::CommandLine).await.unwrap();
        secret.reveal().to_owned()
    };
    let me = server.with_key(&make(&[Scope::Read, Scope::Payloads], &[]).await);
    let sends = make(&[Scope::Ingest], &["notes"]).await;
    let wrapping = Wrapping::to(&server).with("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-api-key={sends}"));
    let mut wrapped = wrapping.run(&python(NOTES));
    let greeting = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    wrapped.call(json!(1), "initialize", greeting).await;
    wrapped
        .send(request(
            2.into(),
            "tools/call",
            json!({"name": "write", "arguments": {}}),
        ))
        .await;
    // Announced: it has come as a log record.
    let fields = "outcome server { name } logs { nodes { body } } attributes";
    let seen = async |outcome: &str| {
        eventually("the call", async || {
            let calls = me.calls(json!({"tools": ["write"]}), fields).await;
            calls.into_iter().find(|call| call["outcome"] == outcome)
        })
        .await
    };
    seen("RUNNING").await;
    wrapped.call(json!(3), "ping", json!({})).await;
    wrapped.line().await;
    let ended = wrapped.end().await;
    assert!(ended.status.success());
    assert!(!ended.stderr.contains("refused"), "{}", ended.stderr);
    let call = seen("OK").await;
    assert_eq!(call["server"]["name"], "notes");
    assert_eq!(
        call["attributes"]["resource"]["service.name"],
        Value::from("notes"),
        "{call}"
    );
    assert!(call["logs"].to_string().contains("a line of notes"), "{call}");
}

#[tokio::test]
async fn a_service_that_was_given_a_name_keeps_it() {
    let server = TestServer::start().await;
    let wrapping = Wrapping::to(&server).with("OTEL_SERVICE_NAME", "given");
    let mut wrapped = wrapping.run(&python(NOTES));
    let greeting = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    wrapped.call(json!(1), "initialize", greeting).await;
    wrapped.call(json!(2), "ping", json!({})).await;
    wrapped.line().await;
    wrapped.end().await;
    let calls = super::calls_of(&server, 2, "attributes").await;
    for call in calls {
        assert_eq!(call["attributes"]["resource"]["service.name"], "given", "{call}");
    }
}
