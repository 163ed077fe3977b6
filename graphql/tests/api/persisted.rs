//! Apollo's automatic persisted queries: clients send a hash of their document first, and the document on the right refusal.

use mcptap_graphql::Limits;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::World;

fn named() -> Value {
    let hash = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38";
    json!({"persistedQuery": {"version": 1, "sha256Hash": hash}})
}

/// As clients know it: by its message, by its code, and without data.
fn refusal() -> Value {
    let error = json!({"message": "PersistedQueryNotSupported", "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"}});
    json!({"errors": [error]})
}

#[tokio::test]
async fn a_hash_alone_is_answered_so_that_clients_send_the_document() {
    let world = World::new().await;
    let hash_alone = [
        json!({"extensions": named()}),
        json!({"operationName": "Q", "variables": {"a": 1}, "extensions": named()}),
        json!({"query": null, "extensions": named()}),
        json!({"query": "", "extensions": named()}),
    ];
    for media in ["application/json", "application/graphql-response+json"] {
        for body in &hash_alone {
            let request = world.client.post(world.url()).header("accept", media).json(body);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{body}");
            let answered = response.headers()["content-type"].to_str().unwrap().to_owned();
            assert_eq!(answered, format!("{media}; charset=utf-8"));
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(response.json::<Value>().await.unwrap(), refusal(), "{body}");
        }
        let url = world.url_with(&[("operationName", "Q"), ("extensions", &named().to_string())]);
        let response = world
            .client
            .get(url)
            .header("accept", media)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.json::<Value>().await.unwrap(), refusal());
    }
}

#[tokio::test]
async fn the_document_itself_is_answered_with_its_hash_or_without() {
    let world = World::new().await;
    let query = "{ __typename }";
    for body in [
        json!({"query": query, "extensions": named()}),
        json!({"query": query, "extensions": {}}),
    ] {
        let response = world.client.post(world.url()).json(&body).send().await.unwrap();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["data"]["__typename"], "Query", "{answer}");
    }
    for extensions in [json!({}), json!({"persistedQuery": null}), json!(null)] {
        let body = json!({"extensions": extensions});
        let response = world.client.post(world.url()).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "BAD_REQUEST",
            "{answer}"
        );
    }
}

#[tokio::test]
async fn in_a_batch_and_on_a_socket_the_others_are_answered() {
    let limits = Limits {
        max_batch: 2,
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let body = json!([{"extensions": named()}, {"query": "{ __typename }"}]);
    let response = world.client.post(world.url()).json(&body).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer[0], refusal());
    assert_eq!(answer[1]["data"]["__typename"], "Query", "{answer}");

    let mut socket = world.connect().await;
    let subscribe = |payload| json!({"type": "subscribe", "id": "1", "payload": payload});
    socket.send(subscribe(json!({"extensions": named()}))).await;
    let answer = socket.receive().await;
    assert_eq!(answer["type"], "error", "{answer}");
    assert_eq!(answer["payload"], refusal()["errors"]);
    socket.send(subscribe(json!({"query": "{ __typename }"}))).await;
    assert_eq!(socket.receive().await["type"], "next");
    socket.close().await;
}
