//! Calls that run, as the API tells them.

use std::sync::Arc;

use mcptap_model::{Call, Evidence, Origin};
use serde_json::{Value, json};

use crate::support::{World, call};

fn announced(number: u64, process: &str) -> Call {
    let ended = call(number);
    Call {
        origin: Arc::new(Origin {
            instance: Some(process.into()),
            ..(*ended.origin).clone()
        }),
        evidence: Evidence {
            open: true,
            ..Evidence::default()
        },
        duration_nanos: 0,
        ..ended
    }
}

/// By the JSON-RPC id of each call: since when nothing was heard of its sender.
async fn last_seen(world: &World) -> Value {
    let query = "{ calls(last: 10) { nodes { requestId senderLastSeenAt } } }";
    let calls = world.data(query, json!({})).await["calls"]["nodes"].take();
    let seen = calls.as_array().unwrap().iter().rev();
    seen.map(|call| call["senderLastSeenAt"].clone()).collect()
}

#[tokio::test]
async fn a_call_that_runs_says_when_its_sender_was_heard_last() {
    let world = World::new().await;
    let calls = [announced(1, "p-1"), announced(2, "p-2"), call(3)];
    world.write(calls).await;
    let arrived = |second: u64| format!("2026-11-22T12:00:{second:02}Z");
    // By its own arrival where no heartbeat came. Those that ended say nothing.
    assert_eq!(last_seen(&world).await, json!([arrived(3), arrived(4), null]));

    world.writer.heard(&announced(2, "p-2").origin.process());
    let seen = last_seen(&world).await;
    assert_eq!((&seen[0], &seen[2]), (&json!(arrived(3)), &Value::Null));
    let heard = seen[1].as_str().unwrap().to_owned();
    assert!(heard > arrived(4), "{seen}");
    world.writer.heard(&announced(2, "p-2").origin.process());
    assert!(last_seen(&world).await[1].as_str().unwrap() > heard.as_str());

    world
        .write([Call {
            evidence: Evidence::default(),
            duration_nanos: 1,
            ..announced(2, "p-2")
        }])
        .await;
    assert_eq!(last_seen(&world).await[1], Value::Null);
}
