//! SIGTERM: open requests finish, streams of events end, nothing new is taken.

use tokio::net::TcpStream;

use super::{Peer, ProxyProcess, Upstream};
use crate::support::eventually;

#[tokio::test]
async fn a_proxy_that_is_told_to_stop_finishes_what_is_open() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

    let mut listening = Peer::connect(proxy.address).await;
    listening.send("GET /mcp HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut sending = upstream.accept().await;
    sending.head().await;
    sending.send(events).await;
    listening.head().await;

    let mut calling = Peer::connect(proxy.address).await;
    calling
        .send("POST /mcp HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nha")
        .await;
    let mut answering = upstream.accept().await;
    answering.until("\r\n\r\nha").await;

    let mut idle = Peer::connect(proxy.address).await;

    proxy.terminate().await;
    assert_eq!(listening.rest_text().await, "0\r\n\r\n", "the stream ends");
    assert_eq!(sending.rest_text().await, "");
    assert_eq!(idle.rest_text().await, "");
    let address = proxy.address;
    eventually("an end to listening", async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;

    calling.send("lf").await;
    assert_eq!(answering.exactly(2).await, b"lf");
    answering.send(events).await;
    answering.send("4\r\ndata\r\n0\r\n\r\n").await;
    assert!(calling.rest_text().await.ends_with("4\r\ndata\r\n0\r\n\r\n"));
    assert_eq!(proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut calling = Peer::connect(proxy.address).await;
    calling.send("GET /mcp HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut answering = upstream.accept().await;
    answering.head().await;
    proxy.terminate().await;
    assert_eq!(calling.rest_text().await, "");
    assert_eq!(answering.rest_text().await, "");
    assert_eq!(proxy.ended().await.code(), Some(0));
}
