//! `mcptap demo`: something to see, within seconds.

use serde_json::{Value, json};

use crate::support::{Client, Database, TestProcess, eventually};

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
    // The handshake is part of the session that it begins.
    let fields = "session { source } sessionId httpStatus";
    let calls = process.calls(json!({"methods": ["initialize"]}), fields).await;
    assert!(!calls.is_empty());
    for call in calls {
        assert_eq!(
            (&call["session"]["source"], &call["httpStatus"]),
            (&json!("WIRE"), &json!(200)),
            "{call}"
        );
    }
    process.terminate().await;
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_demo_goes_on_when_keys_are_asked_for() {
    let database = Database::sqlite();
    let process = TestProcess::run("demo", &database).await;
    let call = async |client: &Client, filter: Value| client.calls(filter, "tool").await.pop();
    eventually("a call", async || call(&process, Value::Null).await).await;
    let create = "mutation { createApiKey(input: {name: \"me\", scopes: [ADMIN, READ]}) {
        ... on ApiKeyCreated { secret apiKey { createdAt } } } }";
    let made = process.graphql(create, json!({})).await["createApiKey"].take();
    let me = process.with_key(made["secret"].as_str().unwrap());
    let since = json!({"from": made["apiKey"]["createdAt"]});
    eventually("a call after that", async || call(&me, since.clone()).await).await;
    process.terminate().await;
    assert_eq!(process.ended().await.code(), Some(0));

    // And the next time.
    let process = TestProcess::run("demo", &database).await;
    let me = process.with_key(made["secret"].as_str().unwrap());
    let keys = "{ apiKeys { nodes { name scopes servers createdAt revokedAt } } }";
    let keys = eventually("a key of this time", async || {
        let keys = me.graphql(keys, json!({})).await["apiKeys"]["nodes"].take();
        (keys.as_array()?.len() == 3).then_some(keys)
    })
    .await;
    assert!(
        keys[1]["revokedAt"].is_string() && keys[2]["revokedAt"].is_null(),
        "{keys}"
    );
    assert_eq!(
        (&keys[2]["scopes"], &keys[2]["servers"]),
        (&json!(["INGEST"]), &json!(["demo-orders"]))
    );
    let since = json!({"from": keys[2]["createdAt"]});
    eventually("a call of this time", async || call(&me, since.clone()).await).await;
    process.terminate().await;
}
