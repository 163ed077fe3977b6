//! Acknowledged means stored: the real binary is killed in the middle of things, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{
    Client, Database, SpanBuilder, TestProcess, eventually, on_each_database, sorted, span, traces_request,
};

const SENDERS: usize = 8;
const CRASHES: usize = 3;
/// How many exports are acknowledged before each crash.
const EXPORTS: usize = 40;

/// Exports until the server is gone. Gives what was acknowledged, and the export that was not.
async fn send_until_lost(
    client: Client,
    grpc: bool,
    acknowledged: Arc<AtomicUsize>,
) -> (Vec<SpanBuilder>, Vec<SpanBuilder>) {
    let mut over_grpc = if grpc { Some(client.grpc().await) } else { None };
    let mut stored = Vec::new();
    for number in 0_u32.. {
        let spans: Vec<_> = (0..=number % 4)
            .map(|_| span("tools/call get_order").at(number.into()))
            .collect();
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
    unreachable!("the server is never gone")
}

/// Follows the feed across crashes, up to the last call: how often each was added.
async fn follow(server: watch::Receiver<Client>, start: String, last: String) -> BTreeMap<String, usize> {
    let (mut cursor, mut seen) = (Some(start), BTreeMap::new());
    loop {
        let client = server.borrow().clone();
        let Ok(mut feed) = client.try_follow(cursor.as_deref(), Value::Null).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while let Ok(event) = feed.try_next().await {
            let edges = event["edges"].as_array().into_iter().flatten();
            for edge in edges.filter(|_| event["__typename"] == "CallsAdded") {
                *seen
                    .entry(edge["node"]["spanId"].as_str().unwrap().to_owned())
                    .or_default() += 1;
            }
            if seen.contains_key(&last) {
                return seen;
            }
        }
        cursor = feed.cursor;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    on_each_database(crash_and_count).await;
}

async fn crash_and_count(database: Database) {
    let last = span("tools/call last");
    let mut process = TestProcess::serve(&database).await;
    let start = process.graphql("{ calls { liveCursor } }", Value::Null).await["calls"]["liveCursor"].take();
    let (now, server) = watch::channel(Client::clone(&process));
    let following = tokio::spawn(follow(server, start.as_str().unwrap().to_owned(), last.id()));
    let (mut stored, mut unsure) = (Vec::new(), Vec::new());
    for _ in 0..CRASHES {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for number in 0..SENDERS {
            let client = Client::clone(&process);
            senders.spawn(send_until_lost(
                client,
                number.is_multiple_of(2),
                Arc::clone(&acknowledged),
            ));
        }
        while acknowledged.load(Ordering::SeqCst) < EXPORTS && senders.try_join_next().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.kill().await;
        for (acknowledged, lost) in senders.join_all().await {
            stored.extend(acknowledged);
            unsure.push(lost);
        }
        assert_eq!(unsure.len() % SENDERS, 0, "an export failed before the crash");
        process = TestProcess::serve(&database).await;
        now.send_replace(Client::clone(&process));
        let ids = process.span_ids().await;
        let missing = stored
            .iter()
            .map(SpanBuilder::id)
            .filter(|id| ids.binary_search(id).is_err())
            .count();
        assert_eq!(missing, 0, "of {} acknowledged calls", stored.len());
    }
    // What got no answer is sent again, as exporters do: it may have been stored, and must be there once.
    for spans in unsure {
        process.export(spans.clone()).await;
        stored.extend(spans);
    }
    process.export([last.clone()]).await;
    stored.push(last);
    let expected = sorted(stored.iter().map(SpanBuilder::id));
    assert_eq!(process.span_ids().await, expected);
    let seen = tokio::time::timeout(crate::support::PATIENCE, following)
        .await
        .expect("the end of the feed")
        .unwrap();
    assert_eq!(seen.values().copied().max(), Some(1), "a call came twice");
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), expected);
}

/// How many calls are to be erased.
const ERASED: usize = 2_000;

/// A word of one call that nothing else has.
fn word(number: usize) -> String {
    format!("zqw{number:05}wqz")
}

/// The words of calls that the files have.
fn words(database: &Database) -> BTreeSet<String> {
    let bytes = database.bytes();
    let length = word(0).len();
    let starts = bytes
        .windows(length)
        .filter(|window| window.starts_with(b"zqw") && window.ends_with(b"wqz"));
    starts
        .filter_map(|window| String::from_utf8(window.to_vec()).ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_erasure_deleted_until_a_crash_leaves_the_files() {
    on_each_database(crash_while_erasing).await;
}

async fn crash_while_erasing(database: Database) {
    let process = TestProcess::serve(&database).await;
    let planted = |number: usize| {
        let word = word(number);
        span(&format!("tools/call {word}"))
            .at(number as f64)
            .attr("mcp.client.name", format!("{word}-client"))
            .attr("mcp.session.id", format!("{word}-session"))
            .attr("gen_ai.tool.call.result", format!("{{\"said\":\"{word} said\"}}"))
    };
    let numbers: Vec<usize> = (0..ERASED).collect();
    for some in numbers.chunks(200) {
        process.export(some.iter().copied().map(planted)).await;
    }
    process.export([span("tools/call kept").service("other")]).await;
    let left = async |client: &Client| {
        let query = "{ stats(filter: { servers: [\"shop\"] }) { callCount } }";
        client.graphql(query, Value::Null).await["stats"]["callCount"]
            .as_u64()
            .unwrap() as usize
    };
    let erasing = Client::clone(&process);
    let erasing = tokio::spawn(async move {
        let delete = "mutation { deleteCalls(filter: { servers: [\"shop\"] }) { __typename } }";
        let request = erasing
            .web()
            .post(erasing.url("/graphql"))
            .json(&json!({ "query": delete }));
        // The process is killed before it answers.
        drop(request.send().await);
    });
    eventually("the first step of the erasure", async || {
        (left(&process).await < ERASED).then_some(())
    })
    .await;
    process.kill().await;
    erasing.await.unwrap();

    let process = TestProcess::serve(&database).await;
    let told = eventually("the end of the erasure", async || {
        let told = process
            .graphql("{ audit(first: 1) { nodes { subject } } }", Value::Null)
            .await;
        let subject = told["audit"]["nodes"][0]["subject"].as_str().unwrap().to_owned();
        (!subject.ends_with(": begun")).then_some(subject)
    })
    .await;
    assert_eq!(
        told,
        "calls with servers: interrupted; what it had deleted was removed from the files at the next start"
    );
    let calls = process.calls(json!({ "servers": ["shop"] }), "tool").await;
    let calls: BTreeSet<String> = calls
        .iter()
        .map(|call| call["tool"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        !calls.is_empty() && calls.len() < ERASED,
        "{} calls are left",
        calls.len()
    );
    assert_eq!(words(&database), calls);
    assert_eq!(
        process.calls(json!({ "servers": ["other"] }), "id").await.len(),
        1
    );
}

/// The system ends a process that reads shared memory which was cut, and SQLite has no other way to share a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_memory_that_is_cut_loses_nothing_that_was_acknowledged() {
    let database = Database::sqlite();
    let process = TestProcess::serve(&database).await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let sending = tokio::spawn(send_until_lost(
        Client::clone(&process),
        false,
        Arc::clone(&acknowledged),
    ));
    eventually("exports are acknowledged", async || {
        (acknowledged.load(Ordering::SeqCst) >= EXPORTS).then_some(())
    })
    .await;
    let mut shared = database.file().unwrap().into_os_string();
    shared.push("-shm");
    // As `> mcptap.db-shm` does.
    std::fs::File::create(&shared).unwrap();
    let (stored, unknown) = tokio::time::timeout(Duration::from_secs(60), sending)
        .await
        .expect("the sender is told")
        .unwrap();
    process.kill().await;

    let process = TestProcess::serve(&database).await;
    let found: BTreeSet<String> = process.span_ids().await.into_iter().collect();
    let missing = stored.iter().filter(|span| !found.contains(&span.id()));
    assert_eq!(missing.count(), 0, "of {}", stored.len());
    let sent = stored.len() + unknown.len();
    assert!(found.len() <= sent, "{} of {sent}", found.len());
    process.export([span("tools/call after")]).await;
    process.stopped().await;
    let file = rusqlite::Connection::open(database.file().unwrap()).unwrap();
    let check: String = file
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

/// A file system of its own that is small, where the system lets anybody make one.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_on_a_full_disk_is_answered_at_once() {
    let database = Database::sqlite();
    let folder = database.file().unwrap().parent().unwrap().to_owned();
    let Some(process) = TestProcess::serve_on_small_disk(&database, &folder).await else {
        eprintln!("not run: no file system can be mounted here");
        return;
    };
    let client = (*process).clone();
    let big = |number: u64| {
        // Text that does not compress.
        let text: String = (0..60_000_u64)
            .map(|at| {
                let mixed = (number * 60_000 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                char::from(b'a' + u8::try_from(mixed % 26).unwrap())
            })
            .collect();
        span("tools/call get_order").attr("mcptap.request.body", format!("{{\"text\":\"{text}\"}}"))
    };
    let mut number = 0;
    while client.try_send(&traces_request([big(number)])).await.is_ok() {
        number += 1;
        assert!(number < 2_000, "the disk is full at some time");
    }
    let delete = "mutation { deleteCalls(filter: {}, everything: true) { __typename } }";
    let asked = client
        .web()
        .post(client.url("/graphql"))
        .json(&json!({ "query": delete }))
        .send();
    let answer: Value = asked.await.unwrap().json().await.unwrap();
    // Where little is missing, deleting makes the room that it needs.
    if answer["data"]["deleteCalls"]["__typename"] != "CallsDeleted" {
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{answer}");
        assert!(
            error["message"].as_str().unwrap().contains("disk is full"),
            "{answer}"
        );
    }
    assert_eq!(client.get("/healthz").await.0, 200);
    process.kill().await;
}

/// A file that may not grow any more is a disk that is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_file_sizes_is_told_and_survived() {
    let database = Database::sqlite();
    // 8 MiB, in blocks of 512 bytes.
    let process = TestProcess::serve_limited(&database, "-f 16384").await;
    let client = (*process).clone();
    let mut stored = Vec::new();
    for number in 0..200_u64 {
        // Text that does not compress.
        let text: String = (0..60_000_u64)
            .map(|at| {
                let mixed = (number * 60_000 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                char::from(b'a' + u8::try_from(mixed % 26).unwrap())
            })
            .collect();
        let big =
            span("tools/call get_order").attr("mcptap.request.body", format!("{{\"text\":\"{text}\"}}"));
        if client.try_send(&traces_request([big.clone()])).await.is_err() {
            break;
        }
        stored.push(big.id());
    }
    assert!(stored.len() < 200, "the limit was met");
    let unready = async || (client.get("/readyz").await.0 == 503).then_some(());
    eventually("it is told", unready).await;
    assert_eq!(client.get("/healthz").await.0, 200);
    process.kill().await;
    let process = TestProcess::serve(&database).await;
    let ids = process.span_ids().await;
    assert_eq!(sorted(ids), sorted(stored));
}
