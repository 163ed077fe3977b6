//! Whoever goes away, the other side learns of it at once, and nobody takes a break for an end.

use super::{Peer, ProxyProcess, Upstream, settle};

const POST: &str = "POST /mcp HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A request that has come to upstream, and what must live on.
async fn open() -> (Peer, Peer, (Upstream, ProxyProcess)) {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client.send(POST).await;
    let mut server = upstream.accept().await;
    server.until("\r\n\r\n{}").await;
    (client, server, (upstream, proxy))
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_ends_the_request() {
    let (client, mut server, _others) = open().await;
    drop(client);
    assert_eq!(server.rest_text().await, "");
    let (client, mut server, _others) = open().await;
    client.reset();
    assert_eq!(server.rest_text().await, "");
}

#[tokio::test]
async fn a_client_that_goes_away_from_a_stream_ends_it() {
    for reset in [false, true] {
        let (mut client, mut server, _others) = open().await;
        server.send(CHUNKED).await;
        server.send("4\r\ndata\r\n").await;
        client.until("data\r\n").await;
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        assert_eq!(server.rest_text().await, "");
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_taken_for_a_whole_one() {
    for (framing, part) in [
        ("Content-Length: 10", "half"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n"),
    ] {
        let upstream = Upstream::bind().await;
        let proxy = ProxyProcess::start(&upstream.url()).await;
        let mut client = Peer::connect(proxy.address).await;
        client
            .send(format!(
                "POST /mcp HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{part}"
            ))
            .await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.until("half").await;
        drop(client);
        let rest = server.rest_text().await;
        assert!(!rest.contains('0'), "{rest:?} ends the body");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    for reset in [false, true] {
        let (mut client, mut server, _others) = open().await;
        server.send(CHUNKED).await;
        client.head().await;
        server.send("4\r\nlast\r\n").await;
        if reset {
            client.until("last\r\n").await;
            server.reset();
        } else {
            drop(server);
            // What came before the break arrives.
            client.until("last\r\n").await;
        }
        assert_eq!(client.rest_text().await, "");

        let (mut client, mut server, _others) = open().await;
        server
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        drop(server);
        assert!(client.head().await.contains("Content-Length: 10\r\n"));
        assert_eq!(client.rest_text().await, "half");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_ends_cleanly() {
    let (mut client, mut server, _others) = open().await;
    server
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
        .await;
    drop(server);
    let head = client.head().await.to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(client.until("0\r\n\r\n").await.contains("all of it"));
}

#[tokio::test]
async fn a_client_that_has_said_everything_still_gets_its_answer() {
    // Upstream hears of the end at once, and can still answer.
    let (mut client, mut server, (upstream, proxy)) = open().await;
    client.finish().await;
    assert_eq!(server.rest_text().await, "");
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .await;
    assert!(client.rest_text().await.ends_with("\r\n\r\ndone"));

    // Also in the middle of a stream, and with a body that ends the request later.
    let mut client = Peer::connect(proxy.address).await;
    client
        .send("POST /mcp HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.send(CHUNKED).await;
    client.head().await;
    client.send("2\r\n{}\r\n0\r\n\r\n").await;
    client.finish().await;
    assert_eq!(server.rest_text().await, "2\r\n{}\r\n0\r\n\r\n");
    server.send("4\r\ndata\r\n0\r\n\r\n").await;
    assert_eq!(client.rest_text().await, "4\r\ndata\r\n0\r\n\r\n");

    // And everything at once, on a connection that was used before.
    let mut client = Peer::connect(proxy.address).await;
    client.send(POST).await;
    let mut server = upstream.accept().await;
    server.until("\r\n\r\n{}").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.head().await;
    settle().await;
    client.send(POST).await;
    client.finish().await;
    assert!(server.rest_text().await.ends_with("\r\n\r\n{}"));
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .await;
    assert!(client.rest_text().await.ends_with("\r\n\r\ndone"));
}

#[tokio::test]
async fn an_early_answer_passes_before_the_request_has_ended() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client
        .send("POST /mcp HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        .await;
    let answer = client.until("\r\n\r\nno").await;
    assert!(answer.starts_with("HTTP/1.1 413 Too Large\r\n"), "{answer}");
}
