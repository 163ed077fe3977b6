//! `graphql-transport-ws`: the handshake, what ends a connection and with which code, and goodbye.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mcptap_graphql::Limits;
use mcptap_model::{Call, Payload};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Socket, World, call};

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
    let answer = socket.receive().await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("next"), &json!("q")));
    assert_eq!(answer["payload"]["data"], json!({"__typename": "Query"}));
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
    for nonsense in [
        json!({"type": "nonsense"}),
        json!({"kind": "ping"}),
        json!([1]),
        json!({"type": "subscribe", "id": "1"}),
        json!({"type": "subscribe", "payload": {"query": "{ __typename }"}}),
        json!({"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}),
        json!({"type": "subscribe", "id": "1", "payload": {"query": 1}}),
        json!({"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}),
        json!({"type": "ping", "payload": 1}),
        json!({"type": "complete"}),
    ] {
        assert_eq!(
            closed(world.connect().await, nonsense.clone()).await,
            4400,
            "{nonsense}"
        );
    }
    assert_eq!(
        closed(
            world.open().await,
            json!({"type": "connection_init", "payload": []})
        )
        .await,
        4400
    );
    let mut twice = world.connect().await;
    twice.send(subscribe("1", feed)).await;
    assert_eq!(
        twice.receive().await["payload"]["data"]["calls"]["__typename"],
        "CaughtUp"
    );
    assert_eq!(closed(twice, subscribe("1", feed)).await, 4409);
}

#[tokio::test]
async fn who_does_not_introduce_itself_in_time_is_sent_away() {
    let world = World::with(Limits {
        init_timeout: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let mut silent = world.open().await;
    let expected = json!({"code": 4408, "reason": "Connection initialisation timeout"});
    assert_eq!(silent.receive().await, expected);
}

#[tokio::test]
async fn one_operation_too_many_is_refused_alone() {
    let world = World::with(Limits {
        max_socket_operations: 2,
        ..Limits::default()
    })
    .await;
    let mut socket = world.connect().await;
    for id in ["1", "2", "3"] {
        socket
            .send(subscribe(id, "subscription { calls { __typename } }"))
            .await;
    }
    let mut messages = [
        socket.receive().await,
        socket.receive().await,
        socket.receive().await,
    ];
    messages.sort_by_key(|message| message["id"].as_str().map(str::to_owned));
    let [first, second, third] = messages;
    assert_eq!(
        (&first["type"], &second["type"]),
        (&json!("next"), &json!("next"))
    );
    assert_eq!((&third["type"], &third["id"]), (&json!("error"), &json!("3")));
    let expected =
        json!({"code": "TOO_MANY_OPERATIONS", "limit": "max_socket_operations", "max": 2, "found": 3});
    assert_eq!(third["payload"][0]["extensions"], expected);
    socket.send(json!({"type": "complete", "id": "1"})).await;
    socket.send(subscribe("3", "{ __typename }")).await;
    assert_eq!(socket.receive().await["payload"]["data"]["__typename"], "Query");
}

#[tokio::test]
async fn subscriptions_of_one_connection_take_turns() {
    let world = World::new().await;
    let start = world.data("{ calls { liveCursor } }", json!({})).await["calls"]["liveCursor"].take();
    // More than the buffers between server and client take before the client has asked.
    world.write((1..=4_000).map(call)).await;
    let mut socket = world.connect().await;
    let history = |id: &str| {
        let query = "subscription ($after: String) { calls(after: $after, batchSize: 1) { __typename } }";
        json!({"type": "subscribe", "id": id, "payload": {"query": query, "variables": {"after": start}}})
    };
    for id in ["1", "2", "3"] {
        socket.send(history(id)).await;
    }
    // The first has a start.
    let mut begun = HashSet::new();
    while begun.len() < 3 {
        begun.insert(socket.receive().await["id"].as_str().unwrap().to_owned());
    }
    let mut counts = HashMap::from([("1", 0_i32), ("2", 0), ("3", 0)]);
    for _ in 0..240 {
        let message = socket.receive().await;
        *counts.get_mut(message["id"].as_str().unwrap()).unwrap() += 1;
    }
    // With a few at the beginning and a few that were ready a little later, each third is about a third.
    assert!(
        counts.values().all(|count| (65..=95).contains(count)),
        "{counts:?}"
    );
    socket.send(subscribe("q", "{ __typename }")).await;
    let turns = async {
        let mut turns = 0;
        while socket.receive().await["id"] != "q" {
            turns += 1;
        }
        turns
    };
    assert!(turns.await < 10_000, "a query waits for no history");
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

#[tokio::test]
async fn a_message_that_is_too_large_closes_with_a_code_of_its_own() {
    let world = World::new().await;
    let mut socket = world.connect().await;
    // As large as a request may be; what it says is another matter.
    let fitting = json!({"type": "ping", "payload": {"x": "y".repeat(390 * 1024)}});
    socket.send(fitting).await;
    assert_eq!(socket.receive().await["type"], "pong");
    let too_large = json!({"type": "ping", "payload": {"x": "y".repeat(400 * 1024)}});
    socket.send(too_large).await;
    assert_eq!(socket.receive().await["code"], 1009);
}

#[tokio::test]
async fn large_answers_are_framed_as_small_ones_and_their_room_is_kept_for_the_next() {
    let world = World::new().await;
    world
        .write([Call {
            request: Some(Payload::whole("\"".repeat(1024 * 1024))),
            ..call(1)
        }])
        .await;
    let memory = world.store.memory();
    let before = memory.used();
    let mut socket = world.connect().await;
    for id in ["a", "\"quoted\" \u{1f980}"] {
        socket
            .send(subscribe(id, "{ calls { nodes { request { text } } } }"))
            .await;
        let next = socket.receive().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!(id)));
        let text = &next["payload"]["data"]["calls"]["nodes"][0]["request"]["text"];
        assert_eq!(text.as_str().unwrap().len(), 1024 * 1024);
        assert_eq!(socket.receive().await, json!({"type": "complete", "id": id}));
    }
    // The buffer that it was sent from stays as large as the answer was: 2 MiB, for every quote is escaped.
    let mut held = 0;
    for _ in 0..500 {
        held = memory.used() - before;
        if (2 << 20..3 << 20).contains(&held) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!((2 << 20..3 << 20).contains(&held), "{held} bytes");
    drop(socket);
    for _ in 0..500 {
        if memory.used() <= before + (64 << 10) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} bytes are still held", memory.used() - before);
}

/// Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the protocol by hand: libraries answer a close frame, and hang up, by themselves.
async fn by_hand(world: &World) -> TcpStream {
    let mut peer = TcpStream::connect(world.address).await.unwrap();
    let head = "GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    peer.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(peer.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    peer
}

/// A masked frame whose payload is said to have so many bytes, of which some follow.
fn frame(opcode: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | 127];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Ends: the protocol's own for misuse, two for messages that are too large, and the client's own.
fn ends() -> Vec<Vec<u8>> {
    let nonsense = br#"{"type":"nonsense"}"#;
    vec![
        frame(2, 1, b"x"),
        frame(1, nonsense.len() as u64, nonsense),
        frame(1, 1 << 40, b""),
        frame(1, 1 << 20, &[b'x'; 4096]),
        frame(8, 2, &1000_u16.to_be_bytes()),
    ]
}

#[tokio::test]
async fn a_peer_that_does_not_hang_up_is_hung_up_on() {
    let world = World::new().await;
    // More than may wait at the same time with a message unread.
    let mut peers = Vec::new();
    for end in ends().iter().cycle().take(100) {
        let mut peer = by_hand(&world).await;
        peer.write_all(end).await.unwrap();
        peers.push(peer);
    }
    for mut peer in peers {
        let mut said = Vec::new();
        // A connection that is dropped with bytes unread ends with a reset.
        let _ = timeout(PATIENCE, peer.read_to_end(&mut said))
            .await
            .expect("the server hangs up");
    }
    // The places of those who waited are free again.
    let mut peer = by_hand(&world).await;
    peer.write_all(&frame(1, 1 << 40, b"")).await.unwrap();
    let mut said = Vec::new();
    let ended = timeout(PATIENCE, peer.read_to_end(&mut said))
        .await
        .expect("the server hangs up");
    ended.unwrap();
    assert_eq!(said[2..4], 1009_u16.to_be_bytes());
}

#[tokio::test]
async fn a_peer_that_only_sends_on_is_hung_up_on() {
    let world = World::new().await;
    let small = br#"{"type":"ping"}"#;
    let endless = [frame(1, small.len() as u64, small).repeat(100), vec![b'x'; 4096]];
    let ends = ends();
    let peers = ends
        .iter()
        .flat_map(|end| endless.iter().map(move |more| (end, more)));
    let sending = peers.map(async |(end, more)| {
        let mut peer = by_hand(&world).await;
        peer.write_all(end).await.unwrap();
        while peer.write_all(more).await.is_ok() {}
    });
    timeout(PATIENCE, futures_util::future::join_all(sending))
        .await
        .expect("the server hangs up");
}
