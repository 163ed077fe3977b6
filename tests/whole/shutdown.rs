//! SIGTERM: what is in flight is answered, subscribers are told, nothing acknowledged is lost.

use std::time::Duration;

use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{
    Client, Database, PATIENCE, SpanBuilder, TestProcess, eventually, on_each_database, sorted, span,
    traces_request,
};

/// Exports until the server takes no more: what was acknowledged.
async fn send_until_refused(client: Client, grpc: bool) -> Vec<String> {
    let mut over_grpc = if grpc { Some(client.grpc().await) } else { None };
    let mut stored = Vec::new();
    loop {
        let spans = [span("tools/call get_order"), span("tools/call ship_order")];
        let request = traces_request(spans.clone());
        let answered = match &mut over_grpc {
            Some(grpc) => grpc.export(request).await.is_ok(),
            None => client.try_send(&request).await.is_ok(),
        };
        if !answered {
            return stored;
        }
        stored.extend(spans.iter().map(SpanBuilder::id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_finishes_its_work() {
    on_each_database(async |database| {
        let process = TestProcess::serve(&database).await;
        let address = process.otlp_http_url().trim_start_matches("http://").to_owned();
        let mut feed = process.follow(None, Value::Null).await;
        assert_eq!(feed.history().await.len(), 0);
        let mut senders = JoinSet::new();
        for number in 0_u32..6 {
            senders.spawn(send_until_refused(Client::clone(&process), number.is_multiple_of(2)));
        }
        // An export of which only the half has come when the signal does.
        let begun = span("tools/call begun");
        let body = traces_request([begun.clone()]).encode_to_vec();
        let (head, tail) = body.split_at(body.len() / 2);
        let mut half = TcpStream::connect(&address).await.unwrap();
        let headers = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        half.write_all(&[headers.as_bytes(), head].concat()).await.unwrap();
        let (_, calls) = feed.calls().await;
        assert!(!calls.is_empty(), "exports run");
        process.terminate().await;
        eventually("an end to listening", async || TcpStream::connect(&address).await.is_err().then_some(())).await;
        half.write_all(tail).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, half.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        let mut expected = senders.join_all().await.concat();
        assert!(!expected.is_empty());
        expected.push(begun.id());
        let goodbye = loop {
            if let Err(ended) = feed.try_next().await {
                break ended;
            }
        };
        assert_eq!(format!("{goodbye:?}"), "Closed(1001)");
        assert_eq!(process.ended().await.code(), Some(0));

        let process = TestProcess::serve(&database).await;
        let stored = process.span_ids().await;
        let missing: Vec<_> = sorted(expected).into_iter().filter(|id| stored.binary_search(id).is_err()).collect();
        assert_eq!(missing, [""; 0]);
    })
    .await;
}

/// More than all deadlines of stopping together.
const END: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_keeps_nobody() {
    let database = Database::sqlite();
    let process = TestProcess::serve(&database).await;
    process.export([span("tools/call get_order")]).await;
    let held = rusqlite::Connection::open(database.file().unwrap()).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Something open at each port.
    let (sender, reader) = (Client::clone(&process), Client::clone(&process));
    let sending = tokio::spawn(async move { sender.try_send(&traces_request([span("ping")])).await });
    let delete = "mutation { deleteCalls(everything: true) { __typename } }";
    let deleting = tokio::spawn(async move {
        let post = reader.web().post(reader.url("/graphql"));
        post.json(&serde_json::json!({ "query": delete }))
            .send()
            .await
            .is_ok()
    });
    eventually("an export that waits", async || {
        (process.metric("queued_records").await > 0).then_some(())
    })
    .await;
    process.terminate().await;
    let ended = tokio::time::timeout(END, process.ended()).await;
    assert_eq!(ended.expect("an end").code(), Some(0));
    drop(held);
    let _ = (sending.await, deleting.await);
}
