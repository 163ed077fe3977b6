//! `graphql-transport-ws`: the handshake, what ends a connection and with which code, and goodbye.

use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Socket, World};

fn subscribe(id: &str, query: &str) -> Value {
    json!({"type": "subscribe", "id": id, "payload": {"query": query}})
}

async fn closed(mut socket: Socket, message: Value) -> Value {
    socket.send(message).await;
    socket.receive().await["code"].take()
}

#[tokio::test]
async fn queries_and_pings_are_answered() {
    let world = World::new().await;
    let mut socket = world.connect().await;
    socket.send(subscribe("q", "{ __typename }")).await;
    let answer = json!({"type": "next", "id": "q", "payload": {"data": {"__typename": "Query"}}});
    assert_eq!(socket.receive().await, answer);
    assert_eq!(socket.receive().await, json!({"type": "complete", "id": "q"}));
    socket.send(subscribe("q", "{ nothing }")).await;
    let error = socket.receive().await;
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("q")));
    assert_eq!(
        error["payload"][0]["extensions"]["code"],
        "GRAPHQL_VALIDATION_FAILED"
    );
    socket.send(json!({"type": "ping", "payload": {"n": 1}})).await;
    assert_eq!(
        socket.receive().await,
        json!({"type": "pong", "payload": {"n": 1}})
    );
    socket.send(json!({"type": "complete", "id": "unknown"})).await;
    socket.send(json!({"type": "pong"})).await;
    socket.close().await;
}

#[tokio::test]
async fn misuse_ends_the_connection_with_the_protocols_code() {
    let world = World::new().await;
    let feed = "subscription { calls { __typename } }";
    assert_eq!(closed(world.open().await, subscribe("1", feed)).await, 4401);
    assert_eq!(
        closed(world.connect().await, json!({"type": "connection_init"})).await,
        4429
    );
    assert_eq!(
        closed(world.connect().await, json!({"type": "nonsense"})).await,
        4400
    );
    let mut twice = world.connect().await;
    twice.send(subscribe("1", feed)).await;
    assert_eq!(
        twice.receive().await["payload"]["data"]["calls"]["__typename"],
        "CaughtUp"
    );
    assert_eq!(closed(twice, subscribe("1", feed)).await, 4409);
    let mut many = world.connect().await;
    for id in 0..101 {
        many.send(subscribe(&id.to_string(), feed)).await;
    }
    loop {
        let message = many.receive().await;
        if message["type"].is_null() {
            assert_eq!(message["code"], 4429);
            break;
        }
    }
}

#[tokio::test]
async fn an_id_is_free_again_after_complete() {
    let world = World::new().await;
    let mut socket = world.connect().await;
    for _ in 0..3 {
        socket
            .send(subscribe("1", "subscription { calls { __typename } }"))
            .await;
        assert_eq!(
            socket.receive().await["payload"]["data"]["calls"]["__typename"],
            "CaughtUp"
        );
        socket.send(json!({"type": "complete", "id": "1"})).await;
    }
}

#[tokio::test]
async fn only_the_protocol_and_only_our_pages() {
    let world = World::new().await;
    for (name, value, status) in [
        ("sec-websocket-protocol", "graphql-ws", 400),
        ("origin", "http://evil.example", 403),
    ] {
        let mut request = format!("ws://{}/graphql", world.address)
            .into_client_request()
            .unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        match connect_async(request).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{value}"),
            other => panic!("{value}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn shutdown_says_goodbye() {
    let world = World::new().await;
    let mut socket = world.follow(None, json!(null), 10).await;
    assert_eq!(socket.event().await["__typename"], "CaughtUp");
    world.shutdown.cancel();
    assert_eq!(
        socket.receive().await,
        json!({"code": 1001, "reason": "the server is going away"})
    );
}
