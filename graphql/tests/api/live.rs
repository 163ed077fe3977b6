//! The live feed: each call once, in order, through pages, writers and reconnections.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcptap_model::{Call, Payload};
use serde_json::{Value, json};

use crate::support::{World, call};

/// The request ids of an event's calls.
fn ids(event: &Value) -> Vec<u64> {
    let id = |edge: &Value| edge["node"]["requestId"].as_str().unwrap().parse().unwrap();
    event["edges"]
        .as_array()
        .map_or_else(Vec::new, |edges| edges.iter().map(id).collect())
}

async fn live_cursor(world: &World, variables: Value) -> String {
    let query = "query ($first: Int, $after: String) { calls(first: $first, after: $after) { liveCursor } }";
    world.data(query, variables).await["calls"]["liveCursor"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn from_now_on_without_a_cursor() {
    let world = World::new().await;
    world.write([call(1)]).await;
    let mut feed = world.follow(None, json!(null), 100).await;
    assert_eq!(feed.event().await["__typename"], "CaughtUp");
    let with_body = Call {
        request: Some(Payload::whole("hello".into())),
        ..call(2)
    };
    world.write([with_body]).await;
    let event = feed.event().await;
    assert_eq!(
        (&event["__typename"], ids(&event)),
        (&json!("CallsAdded"), vec![2])
    );
    assert_eq!(event["edges"][0]["node"]["request"]["text"], "hello");
}

#[tokio::test]
async fn history_comes_in_batches_then_once_caught_up() {
    let world = World::new().await;
    let start = live_cursor(&world, json!({})).await;
    for number in 1..=7 {
        world.write([call(number)]).await;
    }
    let mut feed = world.follow(Some(&start), json!(null), 3).await;
    let mut seen = Vec::new();
    loop {
        let event = feed.event().await;
        if event["__typename"] == "CaughtUp" {
            break;
        }
        assert!((1..=3).contains(&ids(&event).len()), "{event}");
        seen.extend(ids(&event));
    }
    assert_eq!(seen, (1..=7).collect::<Vec<u64>>());
    world.write([call(8)]).await;
    assert_eq!(ids(&feed.event().await), [8]);
}

#[tokio::test]
async fn a_page_hands_over_to_the_feed() {
    let world = World::new().await;
    world.write((1..=5).map(call)).await;
    let cursor = live_cursor(&world, json!({"first": 2})).await;
    world.write([call(6)]).await;
    let mut feed = world.follow(Some(&cursor), json!(null), 100).await;
    assert_eq!(ids(&feed.event().await), [6]);
    assert_eq!(feed.event().await["__typename"], "CaughtUp");
}

#[tokio::test]
async fn any_event_is_a_place_to_go_on_from() {
    let world = World::new().await;
    let start = live_cursor(&world, json!({})).await;
    world.write((1..=10).map(call)).await;
    let mut cursor = start;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let mut feed = world.follow(Some(&cursor), json!(null), 3).await;
        let event = feed.event().await;
        seen.extend(ids(&event));
        cursor = event["cursor"].as_str().unwrap().to_owned();
        feed.close().await;
    }
    assert_eq!(seen, (1..=10).collect::<Vec<u64>>());
    let mut feed = world.follow(Some(&cursor), json!(null), 3).await;
    assert_eq!(feed.event().await["__typename"], "CaughtUp");
}

#[tokio::test]
async fn what_is_completed_later_arrives_again() {
    let world = World::new().await;
    let mut feed = world.follow(None, json!({"countries": ["NL"]}), 100).await;
    assert_eq!(feed.event().await["__typename"], "CaughtUp");
    world.write([call(1)]).await;
    world
        .write([Call {
            country: Some("NL".into()),
            ..call(1)
        }])
        .await;
    let event = feed.event().await;
    assert_eq!(
        (&event["__typename"], ids(&event)),
        (&json!("CallsUpdated"), vec![1])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_once_while_many_write_and_the_reader_comes_and_goes() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 50;
    let world = World::new().await;
    let mut cursor = live_cursor(&world, json!({})).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let handle = world.writer.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let call = call(1 + writer * EACH + number);
                    let observation = mcptap_model::Observation {
                        call,
                        links: Vec::new(),
                    };
                    let batch = mcptap_model::Batch {
                        observations: vec![observation],
                        ..Default::default()
                    };
                    handle.write(batch).await.unwrap();
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < (WRITERS * EACH) as usize {
        let mut feed = world.follow(Some(&cursor), json!(null), 7).await;
        for _ in 0..5 {
            let event = feed.event().await;
            seen.extend(ids(&event));
            cursor = event["cursor"].as_str().unwrap().to_owned();
            if seen.len() == (WRITERS * EACH) as usize {
                break;
            }
        }
        feed.close().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let distinct: HashSet<u64> = seen.iter().copied().collect();
    assert_eq!(
        (seen.len(), distinct.len()),
        ((WRITERS * EACH) as usize, (WRITERS * EACH) as usize)
    );
}

/// The cursor of one event after another, each time over a connection of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reconnections_lose_nothing() {
    const CALLS: u64 = 1_500;
    let world = World::new().await;
    let mut cursor = live_cursor(&world, json!({})).await;
    let handle = world.writer.clone();
    let writing = tokio::spawn(async move {
        for first in (1..=CALLS).step_by(3) {
            let observations = (first..first + 3)
                .map(|number| mcptap_model::Observation {
                    call: call(number),
                    links: Vec::new(),
                })
                .collect();
            let batch = mcptap_model::Batch {
                observations,
                ..Default::default()
            };
            handle.write(batch).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_micros(700 * (first % 7))).await;
        }
    });
    let mut seen = Vec::new();
    for round in 0..1_000 {
        let mut feed = world.follow(Some(&cursor), json!(null), 1 + round % 3).await;
        // Sometimes it leaves before anything came.
        for _ in 0..round % 4 {
            if seen.len() == CALLS as usize {
                break;
            }
            let event = feed.event().await;
            seen.extend(ids(&event));
            cursor = event["cursor"].as_str().unwrap().to_owned();
        }
        drop(feed);
    }
    writing.await.unwrap();
    let mut feed = world.follow(Some(&cursor), json!(null), 500).await;
    loop {
        let event = feed.event().await;
        if event["__typename"] == "CaughtUp" {
            break;
        }
        seen.extend(ids(&event));
    }
    assert_eq!(seen, (1..=CALLS).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_cursor_of_another_database_is_refused() {
    let (world, other) = (World::new().await, World::new().await);
    other.write([call(1)]).await;
    let foreign = live_cursor(&other, json!({})).await;
    assert_ne!(foreign, live_cursor(&world, json!({})).await);
    let mut feed = world.follow(Some(&foreign), json!(null), 10).await;
    let message = feed.receive().await;
    assert_eq!(
        message["payload"][0]["message"],
        "after: this cursor is of another database; take the liveCursor of a page of this one"
    );
    assert_eq!(message["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
}

/// The checksum at the end of a cursor.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

#[tokio::test]
async fn a_cursor_that_the_database_has_not_reached_is_refused() {
    let world = World::new().await;
    world.write([call(1)]).await;
    let cursor = live_cursor(&world, json!({})).await;
    // As if the database had been put back to where it was before that call.
    let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
    bytes.truncate(bytes.len() - 4);
    *bytes.last_mut().unwrap() += 1;
    bytes.extend(crc32(&bytes).to_be_bytes());
    let ahead = URL_SAFE_NO_PAD.encode(bytes);
    let mut feed = world.follow(Some(&ahead), json!(null), 10).await;
    let message = feed.receive().await;
    let text = message["payload"][0]["message"].as_str().unwrap();
    assert!(
        text.starts_with("after: this cursor is ahead of the database"),
        "{message}"
    );
    assert_eq!(message["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
}

#[tokio::test]
async fn every_page_hands_over_without_a_gap() {
    let world = World::new().await;
    let number = |calls: &[Value]| -> Vec<u64> {
        let numbers = calls
            .iter()
            .map(|call| call["requestId"].as_str().unwrap().parse().unwrap());
        numbers.collect()
    };
    // In the order of start they come as 10 to 1: what is stored first is on the newest page.
    for first in [9, 7, 5, 3, 1] {
        world.write([call(first), call(first + 1)]).await;
    }
    let query = "query ($after: String) { calls(first: 3, after: $after) {
        nodes { requestId } liveCursor pageInfo { endCursor hasNextPage } } }";
    let (mut after, mut older) = (Value::Null, (1..=10).collect::<Vec<u64>>());
    loop {
        let page = world.data(query, json!({"after": after})).await["calls"].take();
        let shown = number(page["nodes"].as_array().unwrap());
        older.retain(|call| !shown.contains(call));
        let newer: Vec<u64> = (1..=10).filter(|call| *call > shown[0]).collect();
        let mut feed = world.follow(page["liveCursor"].as_str(), json!(null), 500).await;
        let mut replayed = Vec::new();
        loop {
            let event = feed.event().await;
            if event["__typename"] == "CaughtUp" {
                break;
            }
            replayed.extend(ids(&event));
        }
        assert!(
            newer.iter().all(|call| replayed.contains(call)),
            "{newer:?} {replayed:?}"
        );
        if after.is_null() {
            assert_eq!(replayed, [0_u64; 0]);
        }
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!((older.len(), replayed.len()), (0, 10), "from the beginning");
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

#[tokio::test]
async fn the_feed_ends_when_the_store_closes() {
    let world = World::new().await;
    let mut feed = world.follow(None, json!(null), 100).await;
    assert_eq!(feed.event().await["__typename"], "CaughtUp");
    world.write([call(1)]).await;
    drop(world.writer);
    assert_eq!(ids(&feed.event().await), [1]);
    assert_eq!(feed.receive().await, json!({"type": "complete", "id": "1"}));
}

#[tokio::test]
async fn wrong_arguments_end_the_subscription() {
    let world = World::new().await;
    world.write([call(1)]).await;
    let query = "{ calls { pageInfo { endCursor } } }";
    let page = world.data(query, json!({})).await["calls"]["pageInfo"]["endCursor"].take();
    for (after, batch_size, reason) in [
        (page.as_str(), 10, "after: this is a cursor of a list of calls"),
        (Some("nonsense"), 10, "after: not a cursor that this API gave out"),
        (None, 0, "batchSize must be from 1 to 500, not 0"),
        (None, 501, "batchSize must be from 1 to 500, not 501"),
    ] {
        let mut feed = world.follow(after, json!(null), batch_size).await;
        let message = feed.receive().await;
        assert_eq!(message["type"], "error", "{message}");
        let error = &message["payload"][0];
        assert!(
            error["message"].as_str().unwrap().starts_with(reason),
            "{message}"
        );
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{message}");
    }
}
