//! WebSocket and other protocols that take a connection over.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

use super::{Peer, ProxyProcess, Upstream};

#[tokio::test]
async fn an_upgraded_connection_is_a_pipe() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client
        .send("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: Example/1\r\nX-A: 1\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    let head = server.head().await.to_lowercase();
    assert!(
        head.contains("connection: upgrade\r\n") && head.contains("upgrade: example/1\r\n"),
        "{head}"
    );
    // Bytes right behind the head belong to the new protocol.
    server
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: Example/1\r\n\r\nwelcome")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.to_lowercase().contains("upgrade: example/1\r\n"), "{head}");
    assert_eq!(client.exactly(7).await, b"welcome");
    client.send([0, 255, 13, 10]).await;
    assert_eq!(server.exactly(4).await, [0, 255, 13, 10]);
    // Each direction ends by itself.
    client.finish().await;
    assert_eq!(server.rest_text().await, "");
    server.send("bye").await;
    drop(server);
    assert_eq!(client.rest_text().await, "bye");
}

#[tokio::test]
async fn an_upgrade_may_be_declined() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client
        .send("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .await;
    assert!(
        client
            .until("\r\n\r\nno")
            .await
            .starts_with("HTTP/1.1 403 Forbidden\r\n")
    );
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_switched_to() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    // HTTP/2 by upgrade is between two neighbours only.
    for asked in [
        "",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
    ] {
        let mut client = Peer::connect(proxy.address).await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: h\r\n{asked}\r\n"))
            .await;
        let mut server = upstream.accept().await;
        let head = server.head().await.to_lowercase();
        assert!(
            !head.contains("h2c") && !head.contains("http2-settings") && !head.contains("connection:"),
            "{head}"
        );
        server
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
    }
}

#[tokio::test]
async fn websockets_pass_and_end_when_the_proxy_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = ProxyProcess::start(&format!("http://{}", listener.local_addr().unwrap())).await;
    let echoing = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let (mut socket, _) = connect_async(format!("ws://{}/chat", proxy.address))
        .await
        .unwrap();
    for text in ["one", &"two".repeat(100_000)] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    proxy.terminate().await;
    assert!(!matches!(socket.next().await, Some(Ok(_))));
    echoing.await.unwrap();
    assert_eq!(proxy.ended().await.code(), Some(0));
}
