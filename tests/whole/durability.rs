//! Acknowledged means stored: the real binary is killed in the middle of things, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Client, Database, SpanBuilder, TestProcess, on_each_database, sorted, span, traces_request};

const SENDERS: usize = 8;
const CRASHES: usize = 3;
/// How many exports are acknowledged before each crash.
const EXPORTS: usize = 40;

fn export(number: usize) -> Vec<SpanBuilder> {
    (0..=number % 4).map(|_| span("tools/call get_order").at(number as f64)).collect()
}

/// Exports until the server is gone. Gives what was acknowledged, and the export that was not.
async fn send_until_lost(client: Client, grpc: bool, acknowledged: Arc<AtomicUsize>) -> (Vec<SpanBuilder>, Vec<SpanBuilder>) {
    let mut over_grpc = if grpc { Some(client.grpc().await) } else { None };
    let mut stored = Vec::new();
    for number in 0.. {
        let spans = export(number);
        let request = traces_request(spans.clone());
        let answered = match &mut over_grpc {
            Some(grpc) => grpc.export(request).await.is_ok(),
            None => client.try_send(&request).await.is_ok(),
        };
        if !answered {
            return (stored, spans);
        }
        stored.extend(spans);
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    (stored, Vec::new())
}

/// Follows the feed across crashes: how often each call was added.
async fn follow(mut server: watch::Receiver<Option<Client>>, start: String) -> BTreeMap<String, usize> {
    let (mut cursor, mut seen) = (Some(start), BTreeMap::new());
    loop {
        let Ok(client) = server.wait_for(Option::is_some).await.map(|client| client.clone()) else { return seen };
        if let Ok(mut feed) = client.unwrap().try_follow(cursor.as_deref(), Value::Null).await {
            loop {
                let event = tokio::select! {
                    event = feed.try_next() => event,
                    // The test is over: what is left is history.
                    _ = server.wait_for(Option::is_none) => break,
                };
                let Ok(event) = event else { break };
                let edges = event["edges"].as_array().into_iter().flatten();
                for edge in edges.filter(|_| event["__typename"] == "CallsAdded") {
                    *seen.entry(edge["node"]["spanId"].as_str().unwrap().to_owned()).or_default() += 1;
                }
            }
            cursor = feed.cursor.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    on_each_database(crash_and_count).await;
}

async fn crash_and_count(database: Database) {
    let mut process = TestProcess::serve(&database).await;
    let start = process.graphql("{ calls { liveCursor } }", Value::Null).await["calls"]["liveCursor"].take();
    let (now, server) = watch::channel(Some(Client::clone(&process)));
    let following = tokio::spawn(follow(server, start.as_str().unwrap().to_owned()));
    let (mut stored, mut unsure) = (Vec::new(), Vec::new());
    for _ in 0..CRASHES {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for number in 0..SENDERS {
            senders.spawn(send_until_lost(Client::clone(&process), number.is_multiple_of(2), Arc::clone(&acknowledged)));
        }
        while acknowledged.load(Ordering::SeqCst) < EXPORTS {
            tokio::task::yield_now().await;
        }
        now.send_replace(None);
        process.kill().await;
        for (acknowledged, lost) in senders.join_all().await {
            stored.extend(acknowledged);
            unsure.push(lost);
        }
        process = TestProcess::serve(&database).await;
        now.send_replace(Some(Client::clone(&process)));
        let ids = process.span_ids().await;
        let missing: Vec<_> = stored.iter().map(SpanBuilder::id).filter(|id| ids.binary_search(id).is_err()).collect();
        assert!(missing.is_empty(), "{} of {} acknowledged are gone", missing.len(), stored.len());
    }
    // What got no answer is sent again, as exporters do: it may have been stored, and must be there once.
    for spans in unsure {
        process.export(spans.clone()).await;
        stored.extend(spans);
    }
    let expected = sorted(stored.iter().map(SpanBuilder::id));
    assert_eq!(process.span_ids().await, expected);
    // The subscriber reads to the end of history, and then is done.
    let last = span("tools/call last");
    process.export([last.clone()]).await;
    let mut seen = {
        // Ends the follower when nobody is left to follow.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        now.send_replace(None);
        drop(now);
        following.await.unwrap()
    };
    seen.remove(&last.id());
    assert_eq!(seen.values().copied().max(), Some(1), "a call came twice");
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), expected);
}
