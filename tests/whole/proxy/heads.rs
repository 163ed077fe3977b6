//! What stands above a body passes as it was sent, and so does how the body is framed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Peer, ProxyProcess, Upstream, settle};

/// Sends a request, and says what upstream got.
async fn received(flags: &[&str], request: &str) -> (String, Upstream, ProxyProcess) {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::with(&upstream.url(), flags, &[]).await;
    let mut client = Peer::connect(proxy.address).await;
    client
        .send(request.replace("PROXY", &proxy.address.to_string()))
        .await;
    let head = upstream.accept().await.head().await;
    let head = head
        .replace(&upstream.address().to_string(), "UPSTREAM")
        .replace(&proxy.address.to_string(), "PROXY");
    (head, upstream, proxy)
}

/// What a client gets for this answer to this request.
async fn answered(request: &str, answer: &str) -> String {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let mut client = Peer::connect(proxy.address).await;
    client.send(request).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.send(answer).await;
    // The connection stays open for the next request, unless there will be none.
    client.finish().await;
    client.rest_text().await
}

#[tokio::test]
async fn a_head_keeps_its_order_its_duplicates_and_its_spelling() {
    let request = "PATCH //a/%2e%2E/b%2Fc;d?x=1&&y=%20+{z}?# HTTP/1.1\r\nX-First: 1\r\nHOST: PROXY\r\n\
                   Accept: application/json, text/event-stream\r\nx-Twice: a\r\nX-twice:  b\r\nKeep-Alive: timeout=9\r\n\
                   Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nAuthorization: Bearer abc\r\n\
                   Accept-Encoding: gzip, br\r\nX-Empty:\r\nX-Last: caf\u{e9}\r\n\r\n";
    let (head, ..) = received(&[], request).await;
    assert_eq!(
        head,
        "PATCH //a/%2e%2E/b%2Fc;d?x=1&&y=%20+{z}? HTTP/1.1\r\nX-First: 1\r\nHOST: UPSTREAM\r\n\
         Accept: application/json, text/event-stream\r\nx-Twice: a\r\nX-twice: b\r\nAuthorization: Bearer abc\r\n\
         Accept-Encoding: gzip, br\r\nX-Empty:\r\nX-Last: caf\u{e9}\r\nx-forwarded-for: 127.0.0.1\r\n\
         forwarded: for=127.0.0.1;host=\"PROXY\";proto=http\r\nx-forwarded-proto: http\r\n\
         x-forwarded-host: PROXY\r\n\r\n"
    );
}

#[tokio::test]
async fn the_host_can_be_kept() {
    let (head, ..) = received(
        &["--preserve-host"],
        "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    )
    .await;
    assert!(
        head.starts_with("GET / HTTP/1.1\r\nHost: shop.example\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn other_forms_of_the_request_line_are_understood() {
    let (head, ..) = received(
        &[],
        "GET http://shop.example/x?y HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    )
    .await;
    assert!(
        head.starts_with("GET /x?y HTTP/1.1\r\nHost: UPSTREAM\r\n"),
        "{head}"
    );
    assert!(head.contains("x-forwarded-host: shop.example\r\n"), "{head}");
    let (head, ..) = received(&[], "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n"), "{head}");
    let (head, ..) = received(&[], "GET /old HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("GET /old HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn earlier_proxies_are_kept() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n";
    let (head, ..) = received(&[], request).await;
    assert!(head.contains("X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("X-Forwarded-Proto: https\r\n"), "{head}");
}

#[tokio::test]
async fn a_body_is_framed_as_it_came() {
    let body = "Content-Length: 5\r\n\r\nhello";
    for method in ["POST", "GET", "DELETE"] {
        let upstream = Upstream::bind().await;
        let proxy = ProxyProcess::start(&upstream.url()).await;
        let mut client = Peer::connect(proxy.address).await;
        client
            .send(format!("{method} / HTTP/1.1\r\nHost: h\r\n{body}"))
            .await;
        let mut server = upstream.accept().await;
        let head = server.head().await;
        assert!(
            head.contains("Content-Length: 5\r\n") && !head.to_lowercase().contains("transfer-encoding"),
            "{head}"
        );
        assert_eq!(server.exactly(5).await, b"hello");

        let mut client = Peer::connect(proxy.address).await;
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ))
            .await;
        let mut server = upstream.accept().await;
        let head = server.head().await.to_lowercase();
        assert!(
            head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"),
            "{head}"
        );
        assert_eq!(server.until("0\r\n\r\n").await, "5\r\nhello\r\n0\r\n\r\n");
    }
    let (head, ..) = received(&[], "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    assert!(head.contains("Content-Length: 0\r\n"), "{head}");
}

#[tokio::test]
async fn challenges_and_cookies_pass() {
    let answer = "HTTP/1.1 401 Who are you\r\nWWW-Authenticate: Bearer resource_metadata=\"http://x/.well-known/y\"\r\n\
                  Set-Cookie: a=1\r\nWWW-Authenticate: Basic\r\nSet-Cookie: b=2\r\nMcp-Session-Id: s\r\n\
                  Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1}\u{2}\u{3}\u{4}";
    assert_eq!(
        answered(
            "GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: h\r\n\r\n",
            answer
        )
        .await,
        "HTTP/1.1 401 Who are you\r\nWWW-Authenticate: Bearer resource_metadata=\"http://x/.well-known/y\"\r\n\
         WWW-Authenticate: Basic\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nMcp-Session-Id: s\r\n\
         Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1}\u{2}\u{3}\u{4}"
    );
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    let same = [
        (head, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        (head, "HTTP/1.1 404 Not Found\r\nX-A: 1\r\n\r\n"),
        (get, "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        (
            get,
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1234\r\n\r\n",
        ),
        (get, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        (get, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
    ];
    for (request, answer) in same {
        let got = answered(request, answer).await;
        assert_eq!(got.to_lowercase(), answer.to_lowercase());
    }
}

#[tokio::test]
async fn an_answer_is_framed_as_it_came() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let got = answered(get, chunked).await.to_lowercase();
    assert_eq!(got, chunked.to_lowercase());
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(answered(get, counted).await, counted);
}

#[tokio::test]
async fn chunks_count_more_than_a_length() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for both in [
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5000\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let got = answered(get, &format!("HTTP/1.1 200 OK\r\n{both}\r\n{body}"))
            .await
            .to_lowercase();
        assert!(got.ends_with(body) && !got.contains("content-length"), "{got}");
    }
}

/// A request whose body would read differently, and what upstream gets of it: nothing.
#[tokio::test]
async fn a_transfer_coding_that_is_not_undone_is_refused() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    for (codings, body, status, words) in [
        (
            "chunked, chunked",
            "5\r\nhello\r\n0\r\n\r\n",
            "400",
            "chunked once",
        ),
        (
            "chunked\r\nTransfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
            "400",
            "chunked once",
        ),
        (
            "gzip, chunked",
            "3\r\n\u{1f}\u{2}\u{8}\r\n0\r\n\r\n",
            "501",
            "transfer coding",
        ),
        (
            "gzip\r\nTransfer-Encoding: chunked",
            "1\r\nx\r\n0\r\n\r\n",
            "501",
            "transfer coding",
        ),
    ] {
        for media_type in ["application/json", "text/plain"] {
            let mut client = Peer::connect(proxy.address).await;
            client
                .send(format!(
                    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n\
                     Transfer-Encoding: {codings}\r\n\r\n{body}"
                ))
                .await;
            let answer = client.rest_text().await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words),
                "{codings}: {answer}"
            );
            assert!(!answer.contains("502"), "{codings}: {answer}");
        }
    }
    assert!(!upstream.has_caller().await);
}

#[tokio::test]
async fn a_body_that_is_none_is_its_senders_fault() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    for body in ["zz\r\nhello", "5\r\nhelloXX0\r\n\r\n"] {
        let mut client = Peer::connect(proxy.address).await;
        client
            .send(format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            ))
            .await;
        let answer = client.rest_text().await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("cannot be read"),
            "{body}: {answer}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_would_read_differently_is_not_passed_on() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for codings in ["gzip, chunked", "chunked, chunked", "gzip"] {
        let got = answered(
            get,
            &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n\r\n{body}"),
        )
        .await;
        assert!(
            got.starts_with("HTTP/1.1 502 ") && got.contains("transfer coding"),
            "{codings}: {got}"
        );
    }
    // A head alone has no body that could be read.
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    let got = answered(
        head,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
}

#[tokio::test]
async fn only_names_of_its_own_are_answered_to() {
    let upstream = Upstream::bind().await;
    let names = [("MCPTAP_PROXY_ALLOWED_HOSTS", "mcp.example:443")];
    let proxy = ProxyProcess::with(&upstream.url(), &[], &names).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
        format!(
            "GET / HTTP/1.1\r\nHost: evil.example:{}\r\n\r\n",
            proxy.address.port()
        ),
        "GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: 192.0.2.7\r\n\r\n".to_owned(),
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ] {
        let mut client = Peer::connect(proxy.address).await;
        client.send(&request).await;
        let head = client.head().await.to_lowercase();
        assert!(
            head.starts_with("http/1.1 421 ") && head.contains("nosniff"),
            "{request}: {head}"
        );
        client.until("--allowed-hosts").await;
    }
    assert!(!upstream.has_caller().await);
    for host in [
        "localhost:1",
        "127.0.0.1",
        "[::1]:80",
        "MCP.example",
        "mcp.example.:8080",
    ] {
        let mut client = Peer::connect(proxy.address).await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        upstream.accept().await.head().await;
    }
}

#[tokio::test]
async fn a_body_waits_for_leave() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let request = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

    let mut client = Peer::connect(proxy.address).await;
    client.send(request).await;
    let mut server = upstream.accept().await;
    assert!(server.head().await.contains("Expect: 100-continue\r\n"));
    server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(server.exactly(5).await, b"hello");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));

    // Refused unsent: the client is never told to go on.
    settle().await;
    let mut client = Peer::connect(proxy.address).await;
    client.send(request).await;
    server.head().await;
    server
        .send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let answer = client.until("\r\n\r\nno").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    client.finish().await;
    assert_eq!(
        (client.rest_text().await, server.rest_text().await),
        Default::default()
    );

    // A server that does not know the expectation gets the body after a while.
    let mut client = Peer::connect(proxy.address).await;
    client.send(request).await;
    let mut server = upstream.accept().await;
    server.head().await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(server.exactly(5).await, b"hello");
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let mut server = upstream.accept().await;
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                loop {
                    server.head().await;
                    server
                        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .await;
                }
            });
        }
    });
    let mut client = Peer::connect(proxy.address).await;
    for _ in 0..100 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(client.until("\r\n\r\nok").await.starts_with("HTTP/1.1 200 OK"));
    }
    // A few more than one may be made while the first is on its way back.
    assert!(connections.load(Ordering::SeqCst) < 50);
}
