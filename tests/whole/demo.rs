//! `mcptap demo`: something to see, within seconds.

use serde_json::{Value, json};

use crate::support::{Database, TestProcess, eventually};

#[tokio::test]
async fn the_demo_shows_calls_of_both_eras_with_bodies_and_lines() {
    let database = Database::sqlite();
    let process = TestProcess::run("demo", &database).await;
    let of = async |filter: Value| {
        let fields = "server { name } tool outcome sessionId clientName request { json } response { json } logs { nodes { body } }";
        process.calls(filter, fields).await
    };
    let call = eventually("a call with bodies", async || {
        of(json!({"tools": ["get_order", "search_catalog"]})).await.pop()
    })
    .await;
    assert_eq!(call["server"]["name"], "demo-orders");
    assert_eq!(call["request"]["json"]["params"]["name"], call["tool"]);
    assert!(
        call["response"]["json"].is_object() && call["clientName"].is_string(),
        "{call}"
    );
    eventually("a call with log lines", async || {
        let calls = of(json!({"tools": ["ship_order", "cancel_order", "slow_report"]})).await;
        calls
            .into_iter()
            .find(|call| call["logs"]["nodes"][0]["body"].is_string())
    })
    .await;
    for methods in ["initialize", "server/discover"] {
        eventually(methods, async || of(json!({"methods": [methods]})).await.pop()).await;
    }
    process.terminate().await;
    assert_eq!(process.ended().await.code(), Some(0));
}
