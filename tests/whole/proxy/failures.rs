//! Upstreams that are not there, and requests that must not be passed on.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpSocket;

use super::{Peer, ProxyProcess, Upstream};
use crate::support::{Database, TestServer, eventually};

const GET: &str = "GET /mcp HTTP/1.1\r\nHost: h\r\n\r\n";

async fn ask(proxy: &ProxyProcess, request: &str) -> String {
    let mut client = Peer::connect(proxy.address).await;
    client
        .send(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
        .await;
    client.rest_text().await
}

#[tokio::test]
async fn an_upstream_that_is_down_is_said_and_may_come_back() {
    let upstream = Upstream::bind().await;
    let (address, url) = (upstream.address(), upstream.url());
    drop(upstream);
    let proxy = ProxyProcess::start(&url).await;
    for _ in 0..3 {
        let answer = ask(&proxy, GET).await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        assert!(
            answer.contains(&format!("http://{address} cannot be reached: Connection refused")),
            "{answer}"
        );
    }
    let upstream = Upstream::on(address).await;
    tokio::spawn(async move {
        let mut server = upstream.accept().await;
        server.head().await;
        server
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        server.rest().await;
    });
    assert!(ask(&proxy, GET).await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn an_upstream_that_breaks_off_or_talks_nonsense_is_said() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    for reply in [
        "",
        "HTTP/1.1 200 OK\r\nContent-",
        "SSH-2.0-hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ] {
        let mut client = Peer::connect(proxy.address).await;
        client.send(GET).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.send(reply).await;
        drop(server);
        let head = client.head().await;
        assert!(
            head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"),
            "{reply:?}: {head}"
        );
        assert!(client.until("\n").await.contains(&upstream.address().to_string()));
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_the_other_of_http_and_https_is_told_so() {
    let upstream = Upstream::bind().await;
    for (scheme, reply, told) in [
        (
            "https",
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "does not speak TLS: if it speaks plain HTTP, let upstream begin with http://",
        ),
        // An alert of TLS, as its servers answer plain HTTP.
        (
            "http",
            "\x15\x03\x01\x00\x02\x02\x46",
            "if it speaks TLS, let upstream begin with https://",
        ),
    ] {
        let proxy = ProxyProcess::start(&upstream.url().replace("http:", &format!("{scheme}:"))).await;
        let mut client = Peer::connect(proxy.address).await;
        client.send(GET).await;
        let mut server = upstream.accept().await;
        server.exactly(5).await;
        server.send(reply).await;
        let head = client.head().await;
        assert!(
            head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"),
            "{scheme}: {head}"
        );
        let said = client.until("\n").await;
        assert!(said.contains(told), "{scheme}: {said}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_the_door_is_given_up() {
    // A full backlog takes no more connections, and refuses none.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut callers = Vec::new();
    for _ in 0..8 {
        callers.push(tokio::spawn(tokio::net::TcpStream::connect(address)));
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let proxy = ProxyProcess::with(&format!("http://{address}"), &["--connect-timeout", "300ms"], &[]).await;
    let answer = ask(&proxy, GET).await;
    assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
    assert!(
        answer.contains(&format!("http://{address} could not be reached within 300ms")),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_ambiguous_is_refused() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let many = "X: y\r\n".repeat(600);
    let long = format!("X: {}\r\n", "y".repeat(300_000));
    let refused = [
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx", 400),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
        ("CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n", 405),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\n{long}\r\n"), 431),
    ];
    for (request, status) in refused {
        let mut client = Peer::connect(proxy.address).await;
        client.send(request).await;
        let head = client.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:.200}: {head}"
        );
    }
    assert!(!upstream.has_caller().await);

    // Both lengths: chunks count, and the other is not passed on.
    let mut client = Peer::connect(proxy.address).await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    let head = server.head().await.to_lowercase();
    assert!(!head.contains("content-length"), "{head}");
    server.until("0\r\n\r\n").await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert!(
        !client.rest_text().await.is_empty(),
        "it is answered, and its connection ends"
    );
    assert!(!upstream.has_caller().await);
}

#[tokio::test]
async fn no_more_clients_are_let_in_than_allowed() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::with(&upstream.url(), &["--max-connections", "1"], &[]).await;
    let mut first = Peer::connect(proxy.address).await;
    first.send(GET).await;
    let mut server = upstream.accept().await;
    server.head().await;
    let mut second = Peer::connect(proxy.address).await;
    second.send(GET).await;
    assert!(!upstream.has_caller().await, "the second waits");
    drop(first);
    drop(server);
    upstream.accept().await.head().await;
}

#[tokio::test]
async fn settings_come_from_the_file_and_mistakes_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let run = |file: &str, arguments: &[&str]| {
        std::fs::write(directory.path().join("mcptap.toml"), file).unwrap();
        let output = std::process::Command::new(crate::support::BINARY)
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run("[proxy]\nupstream = \"ftp://a\"\n", &["proxy"]);
    assert!(
        said.contains("ftp://a") && said.contains("http and https"),
        "{said}"
    );
    let said = run("[proxy]\nupstraem = \"http://a\"\n", &["proxy"]);
    assert!(said.contains("upstraem"), "{said}");
    let said = run("", &["proxy"]);
    assert!(said.contains("--upstream"), "{said}");
    let said = run("", &["proxy", "--upstream", "http://a", "--listen", "0.0.0.0:0"]);
    assert!(said.contains("--allow-remote"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_proxy_is_not_told_as_the_servers() {
    let server = TestServer::on(Database::sqlite()).await;
    let upstream = Upstream::bind().await;
    let url = upstream.url();
    drop(upstream);
    let endpoint = server.otlp_http_url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("MCPTAP_SPOOL_BYTES", "off"),
    ];
    let proxy = ProxyProcess::with(&url, &["--name", "shop"], &environment).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}}"#;
    for host in ["h", "evil.example"] {
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut client = Peer::connect(proxy.address).await;
        client.send(format!("{request}{body}")).await;
        client.head().await;
    }
    let calls = eventually("both calls", async || {
        let calls = server.calls(json!({}), "httpStatus errorMessage").await;
        (calls.len() == 2).then_some(calls)
    })
    .await;
    for call in calls {
        let told = call["errorMessage"].as_str().unwrap();
        let words = match call["httpStatus"].as_u64().unwrap() {
            502 => "cannot be reached",
            _ => "does not answer to the name \"evil.example\"",
        };
        assert!(
            told.starts_with("mcptap proxy: ") && told.contains(words),
            "{call}"
        );
    }
}
