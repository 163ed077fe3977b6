//! What the proxy records of traffic that it need not understand to pass it on.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Peer, ProxyProcess, Upstream};
use crate::support::{TestServer, eventually};

fn request(tool: &str) -> String {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}});
    let call = call.to_string();
    let length = call.len();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {length}\r\n\r\n{call}"
    )
}

fn brotli(text: &str) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.into_inner()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

#[tokio::test]
async fn what_is_compressed_is_in_the_log_and_what_cannot_be_read_is_no_failure() {
    let server = TestServer::start().await;
    let upstream = Upstream::bind().await;
    let spool = tempfile::tempdir().unwrap();
    let proxy = ProxyProcess::with(
        &upstream.url(),
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http_url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("MCPTAP_SPOOL_DIR", spool.path().to_str().unwrap()),
        ],
    )
    .await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"text": "hello"}}).to_string();
    let events = format!("data: {answer}\n\n");
    let cases: [(&str, &str, &str, Vec<u8>); 5] = [
        ("br", "application/json", "200 OK", brotli(&answer)),
        ("ZSTD", "text/event-stream", "200 OK", zstd(&events)),
        (
            "identity",
            "Text/Event-Stream",
            "200 OK",
            events.clone().into_bytes(),
        ),
        ("snappy", "application/json", "200 OK", b"\xff\x06sNaPpY".to_vec()),
        (
            "identity",
            "text/html",
            "307 Temporary Redirect",
            b"moved".to_vec(),
        ),
    ];
    let mut client = Peer::connect(proxy.address).await;
    let mut other_side = None;
    for (at, (coding, media_type, status, body)) in cases.iter().enumerate() {
        client.send(request(&format!("tool-{at}"))).await;
        let peer: &mut Peer = match &mut other_side {
            Some(peer) => peer,
            none => none.insert(upstream.accept().await),
        };
        peer.until(&format!("\"tool-{at}\"}}}}")).await;
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-encoding: {coding}\r\n\
             content-length: {length}\r\n\r\n"
        );
        peer.send([head.as_bytes(), body].concat()).await;
        assert!(client.head().await.contains(coding));
        assert_eq!(client.exactly(length).await, *body, "{coding}");
    }
    let fields = "tool outcome httpStatus attributes response { json truncated }";
    let calls = eventually("every call", async || {
        let calls = server.calls(Value::Null, fields).await;
        (calls.len() == cases.len()).then_some(calls)
    })
    .await;
    for (at, (coding, ..)) in cases.iter().enumerate() {
        let tool = format!("tool-{at}");
        let call = calls.iter().find(|call| call["tool"] == tool).unwrap();
        assert_eq!(call["outcome"], "OK", "{coding}: {call}");
        let note = &call["attributes"]["mcptap.response.unreadable"];
        match at {
            0..=2 => {
                let response = json!({"json": {"text": "hello"}, "truncated": false});
                assert_eq!(call["response"], response, "{coding}");
                assert_eq!(*note, Value::Null);
            }
            3 => {
                assert!(note.as_str().unwrap().contains("snappy"), "{note}");
                assert_eq!(call["httpStatus"], 200);
            }
            _ => {
                assert_eq!(call["httpStatus"], 307);
                assert_eq!(call["attributes"]["mcptap.outcome"], "redirected");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_a_cancellation_is_late() {
    let server = TestServer::start().await;
    let upstream = Upstream::bind().await;
    let spool = tempfile::tempdir().unwrap();
    let proxy = ProxyProcess::with(
        &upstream.url(),
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http_url()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("MCPTAP_SPOOL_DIR", spool.path().to_str().unwrap()),
        ],
    )
    .await;
    let in_session = |request: String| request.replacen("\r\n", "\r\nmcp-session-id: one\r\n", 1);
    let mut client = Peer::connect(proxy.address).await;
    client.send(in_session(request("given-up"))).await;
    let mut asked = upstream.accept().await;
    asked.until("given-up").await;
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    asked.send(events).await;
    client.head().await;
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let cancelled = cancelled.to_string();
    let length = cancelled.len();
    let mut other = Peer::connect(proxy.address).await;
    other
        .send(in_session(format!(
            "POST /mcp HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{cancelled}"
        )))
        .await;
    let mut told = upstream.accept().await;
    told.until("requestId").await;
    told.send("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        .await;
    other.head().await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"text": "too late"}}).to_string();
    asked.send(format!("data: {answer}\n\n")).await;
    client.until("too late").await;
    let query = "{ calls(filter: { late: true }, first: 10) { nodes { tool outcome late } } }";
    let late = json!([{"tool": "given-up", "outcome": "CANCELLED", "late": true}]);
    eventually("the late answer", async || {
        let answer = server.graphql(query, json!({})).await;
        (answer["calls"]["nodes"] == late).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_none_and_a_half_closed_client_gets_its_own() {
    let server = TestServer::start().await;
    let upstream = Upstream::bind().await;
    let spool = tempfile::tempdir().unwrap();
    let proxy = ProxyProcess::with(
        &upstream.url(),
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http_url()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("MCPTAP_SPOOL_DIR", spool.path().to_str().unwrap()),
        ],
    )
    .await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"text": "hello"}}).to_string();
    let length = answer.len();
    for (kind, head, body) in [
        (
            "json",
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"),
            answer.clone(),
        ),
        (
            "events",
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_owned(),
            format!("data: {answer}\n\n"),
        ),
    ] {
        for is_gone in [true, false] {
            let name = format!("{kind} {is_gone}");
            let mut client = Peer::connect(proxy.address).await;
            client.send(request(&name)).await;
            let mut asked = upstream.accept().await;
            asked.until(&name).await;
            asked.until("}}").await;
            if kind == "events" {
                asked.send(&head).await;
                client.head().await;
            }
            let left = if is_gone {
                drop(client);
                None
            } else {
                client.finish().await;
                Some(client)
            };
            // Upstream hears of it, and answers all the same.
            assert_eq!(asked.rest_text().await, "");
            if kind == "json" {
                asked.send(&head).await;
            }
            asked.send(&body).await;
            drop(asked);
            if let Some(mut client) = left {
                assert!(client.rest_text().await.contains("hello"));
            }
        }
    }
    // One that has said everything, and leaves the stream as soon as it has its answer.
    let mut client = Peer::connect(proxy.address).await;
    client.send(request("events left")).await;
    let mut asked = upstream.accept().await;
    asked.until("}}").await;
    asked
        .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        .await;
    client.head().await;
    client.finish().await;
    assert_eq!(asked.rest_text().await, "");
    asked.send(&format!("data: {answer}\n\n")).await;
    client.until("hello").await;
    drop(client);
    for _ in 0..2 {
        asked.send(": nobody reads this\n\n").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let query = "{ calls(first: 10) { nodes { tool outcome errorType late response { json } } } }";
    // An answer that came is shown, whoever got it.
    let text = json!({"text": "hello"});
    let expected = [
        json!(["events false", "OK", null, false, text]),
        json!(["events left", "OK", null, false, text]),
        json!(["events true", "TRANSPORT_ERROR", "closed", true, text]),
        json!(["json false", "OK", null, false, text]),
        json!(["json true", "TRANSPORT_ERROR", "closed", true, text]),
    ];
    eventually("all five", async || {
        let answer = server.graphql(query, json!({})).await;
        let mut calls: Vec<Value> = answer["calls"]["nodes"]
            .as_array()?
            .iter()
            .map(|call| {
                let answer = &call["response"]["json"];
                json!([
                    call["tool"],
                    call["outcome"],
                    call["errorType"],
                    call["late"],
                    answer
                ])
            })
            .collect();
        calls.sort_by_key(ToString::to_string);
        (calls == expected).then_some(()).or_else(|| {
            eprintln!("{calls:?}");
            None
        })
    })
    .await;
}
