//! The live feed: each call once, in order, through pages, writers and reconnections.

use std::collections::HashSet;

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
