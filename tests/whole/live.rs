//! The live feed: every matching call exactly once, in the order of commit, whatever happens to either side.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Client, Database, TestServer, on_each_database, sorted, span};

/// Exports calls one after another, from several senders at once; gives the ids of what was acknowledged.
fn keep_writing(server: &Client, exports: usize) -> JoinHandle<Vec<String>> {
    let client = server.clone();
    tokio::spawn(async move {
        let sender = async |sender: usize| {
            let mut written = Vec::new();
            for number in 0..exports {
                let calls: Vec<_> = (0..=number % 3)
                    .map(|_| span("tools/call get_order").at((sender + number) as f64))
                    .collect();
                written.extend(calls.iter().map(|call| call.id()));
                client.export(calls).await;
            }
            written
        };
        futures_util::future::join_all((0..4).map(sender)).await.concat()
    })
}

fn ids(calls: &[Value]) -> Vec<String> {
    calls
        .iter()
        .map(|call| call["spanId"].as_str().unwrap().to_owned())
        .collect()
}

/// A page of everything there is, and where the feed goes on from it.
async fn page(server: &Client) -> (Vec<String>, String) {
    let page = server
        .graphql("{ calls(first: 500) { nodes { spanId } liveCursor } }", json!({}))
        .await["calls"]
        .take();
    (
        ids(page["nodes"].as_array().unwrap()),
        page["liveCursor"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_and_the_feed_from_it_have_every_call_once() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        for _ in 0..5 {
            let earlier = server.span_ids().await.len();
            let writing = keep_writing(&server, 5);
            // Somewhere in the middle of it.
            let (mut seen, cursor) = loop {
                let (seen, cursor) = page(&server).await;
                if seen.len() > earlier + 5 || writing.is_finished() {
                    break (seen, cursor);
                }
            };
            let mut feed = server.follow(Some(&cursor), Value::Null).await;
            writing.await.unwrap();
            let all = server.span_ids().await;
            assert!(all.len() < 500, "the page must have been able to hold them all");
            while seen.len() < all.len() {
                let (kind, calls) = feed.calls().await;
                assert_eq!(kind, "CallsAdded");
                seen.extend(ids(&calls));
            }
            assert_eq!(sorted(seen), all);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_comes_and_goes_gets_every_call_once_in_one_order() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let (_, start) = page(&server).await;
        let mut steady = server.follow(Some(&start), Value::Null).await;
        let writing = keep_writing(&server, 30);
        let (mut cursor, mut seen) = (Some(start), Vec::new());
        while !writing.is_finished() {
            let mut feed = server.follow(cursor.as_deref(), Value::Null).await;
            for _ in 0..3 {
                if let Ok(Ok(event)) =
                    tokio::time::timeout(std::time::Duration::from_millis(100), feed.try_next()).await
                {
                    seen.extend(
                        event["edges"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .map(|edge| edge["node"].clone()),
                    );
                }
            }
            cursor = feed.cursor.clone();
        }
        let written = writing.await.unwrap();
        for (_, calls) in server
            .follow(cursor.as_deref(), Value::Null)
            .await
            .history()
            .await
        {
            seen.extend(calls);
        }
        let seen = ids(&seen);
        let mut of_steady = Vec::new();
        while of_steady.len() < written.len() {
            of_steady.extend(ids(&steady.calls().await.1));
        }
        assert_eq!(seen, of_steady, "both see the order of commit");
        assert_eq!(sorted(seen), sorted(written));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_goes_on_where_it_was_after_a_restart() {
    on_each_database(async |database| {
        let mut server = TestServer::on(database).await;
        let (mut cursor, mut seen, mut written) = (page(&server).await.1, Vec::new(), Vec::new());
        for _ in 0..3 {
            let mut feed = server.follow(Some(&cursor), Value::Null).await;
            let writing = keep_writing(&server, 5);
            // It stops listening in the middle of things.
            let (_, calls) = feed.calls().await;
            seen.extend(ids(&calls));
            cursor = feed.cursor.clone().unwrap();
            written.extend(writing.await.unwrap());
            server = server.restart().await;
        }
        for (kind, calls) in server.follow(Some(&cursor), Value::Null).await.history().await {
            assert_eq!(kind, "CallsAdded");
            seen.extend(ids(&calls));
        }
        assert_eq!(sorted(seen), sorted(written));
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let server = TestServer::start().await;
    let mut feed = server.follow(None, Value::Null).await;
    assert_eq!(feed.history().await.len(), 0);
    server.stop().await;
    assert_eq!(format!("{:?}", feed.try_next().await), "Err(Closed(1001))");
}

#[tokio::test]
async fn the_cursor_of_an_empty_store_is_the_beginning() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let (nothing, cursor) = page(&server).await;
        assert_eq!(nothing.len(), 0);
        let calls: Vec<_> = (0..7)
            .map(|number| span("tools/call get_order").at(f64::from(number)))
            .collect();
        for call in &calls {
            server.export([call.clone()]).await;
        }
        let query = "subscription ($after: String) { calls(after: $after, batchSize: 3) { __typename
            ... on CallsAdded { cursor edges { node { spanId } } } ... on CaughtUp { cursor } } }";
        let mut feed = server.subscribe(query, json!({"after": cursor})).await;
        let history = feed.history().await;
        assert!(history.iter().all(|(_, calls)| calls.len() <= 3), "{history:?}");
        let history: Vec<_> = history.into_iter().flat_map(|(_, calls)| ids(&calls)).collect();
        assert_eq!(
            history,
            calls.iter().map(|call| call.id()).collect::<Vec<_>>(),
            "oldest first"
        );
        // Without a cursor only what comes from now on.
        let mut from_now = server.follow(None, Value::Null).await;
        assert_eq!(from_now.history().await.len(), 0);
        let next = span("tools/call get_order");
        server.export([next.clone()]).await;
        assert_eq!(ids(&from_now.calls().await.1), [next.id()]);
        assert_eq!(ids(&feed.calls().await.1), [next.id()]);
    })
    .await;
}

#[tokio::test]
async fn the_feed_has_what_the_filter_means() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let start = page(&server).await.1;
        let filter = json!({"tools": ["get_order"], "not": {"clients": ["bot"]}, "minDurationMs": 2.0});
        let mut live = server.follow(Some(&start), filter.clone()).await;
        assert_eq!(live.history().await.len(), 0);
        let call = || span("tools/call get_order");
        let late = call();
        let exports = [
            vec![
                call(),
                call().attr("mcp.client.name", "bot"),
                span("tools/call ship_order"),
            ],
            vec![call().lasting(0.0, 1.0), call().attr("mcp.client.name", "agent")],
            vec![span("tools/list"), late.clone().attr("mcp.client.name", "agent")],
        ];
        let mut expected = BTreeSet::new();
        for (export, matching) in exports.into_iter().zip([0, 1, 1]) {
            expected.insert(export[matching].id());
            server.export(export).await;
        }
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            seen.extend(ids(&live.calls().await.1));
        }
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
        let replayed = server.follow(Some(&start), filter.clone()).await.history().await;
        let replayed: BTreeSet<_> = replayed.into_iter().flat_map(|(_, calls)| ids(&calls)).collect();
        assert_eq!(replayed, expected);
        let asked: BTreeSet<_> = ids(&server.calls(filter, "spanId").await).into_iter().collect();
        assert_eq!(asked, expected);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_comes_to_match_later_arrives_as_an_update() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let mut failures = server.follow(None, json!({"outcomes": ["TOOL_ERROR"]})).await;
        assert_eq!(failures.history().await.len(), 0);
        let first = span("tools/call get_order");
        server.export([first.clone()]).await;
        server
            .export([first.clone().failed("sold out").attr("error.type", "tool_error")])
            .await;
        let (kind, calls) = failures.calls().await;
        assert_eq!((kind.as_str(), ids(&calls)), ("CallsUpdated", vec![first.id()]));
    })
    .await;
}

/// Two servers on one database, as replicas are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_of_one_server_gets_what_another_received() {
    on_each_database(async |database| {
        let here = TestServer::on(database).await;
        let (there, replica) = here.beside().await;
        let start = page(&here).await.1;
        let mut feed = here.follow(Some(&start), Value::Null).await;
        let writing = (keep_writing(&here, 10), keep_writing(&there, 10));
        let mut written = writing.0.await.unwrap();
        written.extend(writing.1.await.unwrap());
        let mut seen = Vec::new();
        while seen.len() < written.len() {
            seen.extend(ids(&feed.calls().await.1));
        }
        // And goes on at the other.
        let mut other = there.follow(Some(&start), Value::Null).await;
        let replayed: Vec<_> = other
            .history()
            .await
            .iter()
            .flat_map(|(_, calls)| ids(calls))
            .collect();
        assert_eq!(seen, replayed, "both see the order of commit");
        assert_eq!(sorted(seen), sorted(written));
        assert_eq!(other.cursor, feed.cursor);
        replica.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn subscribers_are_counted() {
    let server = TestServer::start().await;
    let mut feed = server.follow(None, json!({"tools": ["get_order"]})).await;
    assert_eq!(feed.history().await.len(), 0);
    assert_eq!(server.metric("live_subscribers").await, 1);
    server
        .export([span("tools/call get_order"), span("tools/call ship_order")])
        .await;
    assert_eq!(feed.calls().await.1.len(), 1);
    assert_eq!(server.metric("live_changes_total").await, 1);
    assert_eq!(server.metric("live_window_changes").await, 2);
    assert_eq!(server.metric("live_lag_changes").await, 0);
    assert_eq!(server.metric("live_catch_up_reads_total").await, 0);
    drop(feed);
    for _ in 0..1_000 {
        if server.metric("live_subscribers").await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("who has left is still counted");
}

/// Finding it reads other calls than those of the page: one that cannot be read tells.
// The server writes on while a connection beside it waits for the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_feed_goes_on_is_looked_for_when_asked_alone() {
    let server = TestServer::on(Database::sqlite()).await;
    for some in 0..5 {
        let calls = (0..500).map(|number| span("tools/call get_order").at(f64::from(some * 500 + number)));
        server.export(calls).await;
    }
    let oldest = "{ calls(last: 10) { pageInfo { startCursor } } }";
    let oldest = server.graphql(oldest, Value::Null).await["calls"]["pageInfo"]["startCursor"].take();
    let file = server.database().file().unwrap();
    let beside = rusqlite::Connection::open(file).unwrap();
    // The server writes, too.
    beside.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    let damaged = beside.execute(
        "UPDATE calls SET received_at = 'damaged' WHERE id = \
            (SELECT MIN(id) FROM calls WHERE id > (SELECT value / 2 FROM sequence))",
        [],
    );
    assert_eq!(damaged.unwrap(), 1);
    let page = async |fields: &str| {
        let query = format!(
            "query ($after: String) {{ calls(first: 2, after: $after) {{ nodes {{ spanId }} {fields} }} }}"
        );
        server.answer(&query, json!({"after": oldest})).await
    };
    let alone = page("").await;
    assert_eq!(
        alone["data"]["calls"]["nodes"].as_array().unwrap().len(),
        2,
        "{alone}"
    );
    let with_cursor = page("liveCursor").await;
    assert_eq!(
        with_cursor["errors"].as_array().unwrap().len(),
        1,
        "{with_cursor}"
    );
}
