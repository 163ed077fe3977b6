//! Full is said, not hidden: what is acknowledged is stored, what is refused can be sent again.

use futures_util::future::join_all;
use mcptap::Settings;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    Client, Database, Refused, SpanBuilder, TestServer, eventually, on_each_database, sorted, span,
    traces_request,
};

const QUEUE: usize = 8;

async fn start(database: Database) -> TestServer {
    TestServer::with(
        database,
        Settings {
            ingest_queue_spans: Some(QUEUE.into()),
            ..Settings::default()
        },
    )
    .await
}

fn batch() -> Vec<SpanBuilder> {
    (0..QUEUE / 2).map(|_| span("tools/call get_order")).collect()
}

fn ids(batch: &[SpanBuilder]) -> Vec<String> {
    batch.iter().map(SpanBuilder::id).collect()
}

/// Keeps the database from being written to, as a slow disk would, until it is dropped.
fn hold(database: &Database) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(database.file().unwrap()).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

// The server writes on while a connection beside it waits for the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_when_to_come_back() {
    let server = start(Database::sqlite()).await;
    let held = hold(server.database());
    let mut waiting = Vec::new();
    // Each waits for its commit, until one finds the queue full.
    let after = loop {
        let (batch, client) = (batch(), Client::clone(&server));
        let sent = batch.clone();
        let mut sending = tokio::spawn(async move { client.try_send(&traces_request(sent)).await });
        tokio::select! {
            answer = &mut sending => match answer.unwrap() {
                Err(Refused::Later(after)) => break after,
                other => panic!("{other:?} while nothing can be written"),
            },
            () = tokio::time::sleep(std::time::Duration::from_millis(200)) => waiting.push((batch, sending)),
        }
        assert!(waiting.len() < 20, "the queue has no bound");
    };
    assert!(after.as_secs() >= 1);
    let refused = server
        .grpc()
        .await
        .export(traces_request(batch()))
        .await
        .unwrap_err();
    assert!(
        matches!(refused.code(), Code::ResourceExhausted | Code::Unavailable),
        "{refused:?}"
    );
    assert!(
        refused
            .get_details_retry_info()
            .is_some_and(|info| info.retry_delay.is_some()),
        "{refused:?}"
    );
    assert!(server.metric("overloads_total").await >= 2);
    // Questions are answered meanwhile.
    assert_eq!(server.span_ids().await.len(), 0);

    held.execute_batch("ROLLBACK").unwrap();
    let mut acknowledged = Vec::new();
    for (batch, sending) in waiting {
        match sending.await.unwrap() {
            Ok(_) => acknowledged.extend(ids(&batch)),
            // Its refusal was only late.
            Err(Refused::Later(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(!acknowledged.is_empty());
    assert_eq!(server.span_ids().await, sorted(acknowledged));
    let again = batch();
    eventually("room in the queue", async || {
        server.try_send(&traces_request(again.clone())).await.ok()
    })
    .await;
}

#[tokio::test]
async fn more_than_the_queue_ever_holds_is_refused_for_good() {
    let server = start(Database::sqlite()).await;
    let request = || traces_request((0..=QUEUE).map(|_| span("tools/call get_order")));
    let refused = server.try_send(&request()).await.unwrap_err();
    assert!(
        matches!(&refused, Refused::Never(why) if why.starts_with("413") && why.contains("in parts")),
        "{refused:?}"
    );
    let refused = server.grpc().await.export(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.get_details_retry_info().is_none());
    assert_eq!(server.calls(Value::Null, "id").await.len(), 0);
}

/// Sends until it is taken, as exporters do.
async fn insist(client: &Client, request: ExportTraceServiceRequest) -> u32 {
    for refusals in 0..10_000 {
        match client.try_send(&request).await {
            Ok(answer) => {
                assert_eq!(answer.partial_success, None);
                return refusals;
            }
            // A test has no second to wait.
            Err(Refused::Later(_)) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("never taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_served_in_the_end() {
    on_each_database(async |database| {
        let server = start(database).await;
        let batches: Vec<_> = (0..100).map(|_| batch()).collect();
        let sending = batches
            .iter()
            .map(|batch| insist(&server, traces_request(batch.clone())));
        let refusals: u32 = join_all(sending).await.into_iter().sum();
        assert_eq!(u64::from(refusals), server.metric("overloads_total").await);
        assert_eq!(
            server.span_ids().await,
            sorted(batches.iter().flat_map(|batch| ids(batch)))
        );
    })
    .await;
}
