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
