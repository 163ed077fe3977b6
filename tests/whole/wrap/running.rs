//! Requests that hang: seen while they run, with their age, and lost with their wrapper.

use mcptap::Settings;
use serde_json::{Value, json};

use super::{Wrapping, python, request};
use crate::support::{Database, TestServer, eventually};

/// Reads, and never answers `tools/call`.
const HANGS: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and message["method"] != "tools/call":
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}), flush=True)
"#;

const QUERY: &str = "query($filter: CallFilter) { calls(filter: $filter, first: 10) { nodes {
    id tool outcome durationMs endedAt late request { json } } } stats { errorCount p50Ms } }";

#[tokio::test]
async fn a_call_that_hangs_is_seen_and_is_lost_with_its_wrapper() {
    let settings = Settings {
        lost_after: Some("30s".to_owned()),
        ..Settings::default()
    };
    let mcptap = TestServer::with(Database::sqlite(), settings).await;
    let wrapping = Wrapping::to(&mcptap);
    let mut wrapped = wrapping.run(&python(HANGS));
    let arguments = json!({"name": "stuck", "arguments": {"city": "Graz"}});
    wrapped.send(request(1.into(), "tools/call", arguments)).await;
    let seen = async |outcome: &str, filter: Value| {
        eventually("the call", async || {
            let answer = mcptap.graphql(QUERY, json!({"filter": filter})).await;
            let call = answer["calls"]["nodes"][0].clone();
            (call["outcome"] == outcome).then_some((call, answer["stats"].clone()))
        })
        .await
    };
    let (running, stats) = seen("RUNNING", json!({"tools": ["stuck"], "minRunningMs": 900})).await;
    assert_eq!(
        (&running["durationMs"], &running["endedAt"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        running["request"]["json"]["params"]["arguments"],
        json!({"city": "Graz"})
    );
    assert_eq!(stats, json!({"errorCount": 0, "p50Ms": null}));

    // Longer than it may be silent, and it is heard.
    seen("RUNNING", json!({"minRunningMs": 36_000})).await;
    wrapped.signal("KILL").await;
    let (lost, stats) = seen("LOST", json!({"outcomes": ["LOST"]})).await;
    assert_eq!(lost["id"], running["id"]);
    assert_eq!(stats, json!({"errorCount": 0, "p50Ms": null}));
}

/// Answers a call of `slow` after two seconds, and no other.
const ANSWERS_ONE: &str = r#"
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message["params"]["name"] == "slow":
        time.sleep(2)
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}), flush=True)
"#;

/// Refuses every export for good.
async fn refusing() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let refuse = axum::Router::new().fallback(async || axum::http::StatusCode::BAD_REQUEST);
    tokio::spawn(async move { axum::serve(listener, refuse).await });
    format!("http://{address}/v1/traces")
}

#[tokio::test]
async fn a_call_whose_end_was_refused_is_lost_while_its_process_lives() {
    let mcptap = TestServer::start().await;
    let wrapping = Wrapping::to(&mcptap).with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &refusing().await);
    let mut wrapped = wrapping.run(&python(ANSWERS_ONE));
    for (id, name) in [(1, "slow"), (2, "stuck")] {
        let params = json!({"name": name, "arguments": {}});
        wrapped.send(request(id.into(), "tools/call", params)).await;
    }
    assert_ne!(wrapped.line().await, "");
    let query =
        "query($tool: String!) { calls(filter: { tools: [$tool] }, first: 10) { nodes { outcome late } } }";
    let of = async |tool: &str| {
        let answer = mcptap.graphql(query, json!({"tool": tool})).await;
        answer["calls"]["nodes"][0].clone()
    };
    let running = json!({"outcome": "RUNNING", "late": false});
    for tool in ["slow", "stuck"] {
        eventually("the announcement", async || {
            (of(tool).await == running).then_some(())
        })
        .await;
    }
    // A heartbeat names it when it ended a minute ago, so it takes longer than anybody waits at once.
    let old =
        "{ calls(filter: { tools: [\"stuck\"], minRunningMs: 40000 }, first: 10) { nodes { outcome } } }";
    eventually("most of the time", async || {
        let answer = mcptap.graphql(old, json!({})).await;
        (answer["calls"]["nodes"] == json!([{"outcome": "RUNNING"}])).then_some(())
    })
    .await;
    let lost = json!({"outcome": "LOST", "late": false});
    eventually("the word of its end", async || {
        (of("slow").await == lost).then_some(())
    })
    .await;
    assert_eq!(of("stuck").await, running);
}
