//! Bodies pass as they come, and none is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Peer, ProxyProcess, Upstream};

const GET_EVENTS: &str = "GET /mcp HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const LARGE: usize = 50_000_000;
/// Less than a body that would be held; more than buffers, and the parts of the program that are run the first time.
const ROOM: u64 = 32 << 20;

#[tokio::test]
async fn an_event_passes_while_the_stream_is_held_open() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client.send(GET_EVENTS).await;
    let mut server = upstream.accept().await;
    server.head().await;
    // The head alone, then single bytes: each must arrive before the next is sent.
    server.send(EVENTS).await;
    assert!(
        client
            .head()
            .await
            .contains("Content-Type: text/event-stream\r\n")
    );
    for event in ["d", "ata: 1\n\n", ": ping\n\n", "data: 2\n\n"] {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        server.send(&chunk).await;
        assert_eq!(client.exactly(chunk.len()).await, chunk.as_bytes());
    }
    server.send("0\r\n\r\n").await;
    assert_eq!(client.exactly(5).await, b"0\r\n\r\n");
}

#[tokio::test]
async fn a_request_streams_too() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client
        .send("POST /mcp HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    assert_eq!(server.exactly(6).await, b"1\r\n{\r\n");
    // The answer may begin before the request has ended.
    server.send(EVENTS).await;
    client.head().await;
    client.send("1\r\n}\r\n0\r\n\r\n").await;
    assert_eq!(server.until("0\r\n\r\n").await, "1\r\n}\r\n0\r\n\r\n");
    server.send("2\r\nok\r\n0\r\n\r\n").await;
    assert_eq!(client.until("0\r\n\r\n").await, "2\r\nok\r\n0\r\n\r\n");
}

/// Sends zeros and counts those that were taken.
fn pour(mut peer: Peer, head: String) -> (Arc<AtomicUsize>, tokio::task::JoinHandle<Peer>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pouring = tokio::spawn(async move {
        peer.send(head).await;
        let chunk = vec![b'x'; 50_000];
        for _ in 0..LARGE / chunk.len() {
            peer.send(&chunk).await;
            counter.fetch_add(chunk.len(), Ordering::SeqCst);
        }
        peer
    });
    (taken, pouring)
}

/// Waits until nothing moves any more.
async fn stalled(taken: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = taken.load(Ordering::SeqCst);
        if now == before && now > 0 {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn fifty_megabytes_pass_each_way_in_little_memory_and_no_faster_than_they_are_read() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client.send(GET_EVENTS).await;
    let mut server = upstream.accept().await;
    server.head().await;
    let before = proxy.peak_memory();
    let (taken, pouring) = pour(
        server,
        format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"),
    );
    client.head().await;
    assert!(
        stalled(&taken).await < LARGE,
        "nobody reads, so not all can be sent"
    );
    assert!(client.exactly(LARGE).await.iter().all(|byte| *byte == b'x'));
    pouring.await.unwrap();

    let client = Peer::connect(proxy.address).await;
    let head = format!("POST /mcp HTTP/1.1\r\nHost: h\r\nContent-Length: {LARGE}\r\n\r\n");
    let (taken, pouring) = pour(client, head);
    let mut server = upstream.accept().await;
    server.head().await;
    assert!(
        stalled(&taken).await < LARGE,
        "nobody reads, so not all can be sent"
    );
    assert!(server.exactly(LARGE).await.iter().all(|byte| *byte == b'x'));
    pouring.await.unwrap();
    let grown = proxy.peak_memory() - before;
    assert!(grown < ROOM, "{grown} bytes more");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client
        .send(
            "POST /mcp HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
        )
        .await;
    let mut server = upstream.accept().await;
    let head = server.head().await.to_lowercase();
    assert!(
        head.contains("trailer: x-sum\r\n") && head.contains("te: trailers\r\n"),
        "{head}"
    );
    let body = server.until("7\r\n\r\n").await;
    assert_eq!(body.to_lowercase(), "2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n");
    server
        .send("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\nX-Sum: 8\r\n\r\n")
        .await;
    assert!(client.head().await.to_lowercase().contains("trailer: x-sum\r\n"));
    let body = client.until("8\r\n\r\n").await;
    assert_eq!(body.to_lowercase(), "2\r\nho\r\n0\r\nx-sum: 8\r\n\r\n");
}

#[tokio::test]
async fn a_thousand_streams_stay_open_at_once() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut pairs = Vec::new();
    for _ in 0..1000 {
        let mut client = Peer::connect(proxy.address).await;
        client.send(GET_EVENTS).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.send(EVENTS).await;
        pairs.push((client, server));
    }
    for (client, server) in &mut pairs {
        client.head().await;
        server.send("4\r\ndata\r\n").await;
    }
    for (client, _) in &mut pairs {
        assert_eq!(client.exactly(9).await, b"4\r\ndata\r\n");
    }
}
