//! Bodies that are compressed, and bodies that cannot be read: what passes is untouched, and what is not read is not
//! called failed.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::BodyExt;
use mcptap_model::semconv;
use mcptap_sdk::Watch;
use opentelemetry::trace::Status;
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
use opentelemetry_sdk::trace::SpanData;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tower_service::Service;

use crate::layer::{POST, call, exactly, serve, status};
use crate::support::{Spans, json_said, said};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A server that answers every request with this status, these headers and these bytes.
async fn fixed(
    spans: &Spans,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: Vec<u8>,
) -> SocketAddr {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    let status = StatusCode::from_u16(status).unwrap();
    let router = Router::new().route("/mcp", post(async move |_: Bytes| (status, headers, body)));
    serve(spans, router).await
}

/// Sends bytes, and reads the answer's: all after the head.
async fn send(to: SocketAddr, head: &str, body: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let head = format!("{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    answer.split_off(head + 4)
}

async fn only(spans: &Spans) -> SpanData {
    exactly(spans, 1).await.pop().unwrap()
}

#[tokio::test]
async fn compressed_answers_are_read_and_pass_untouched() {
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"text": "hello ".repeat(500)}}).to_string();
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "boom"}}).to_string();
    let json = ("content-type", "application/json");
    let cases = [
        (
            vec![json, ("content-encoding", "gzip")],
            gzip(answer.as_bytes()),
            None,
        ),
        (
            vec![json, ("content-encoding", "deflate")],
            zlib(answer.as_bytes()),
            None,
        ),
        (
            vec![json, ("content-encoding", "deflate, X-GZIP")],
            gzip(&zlib(answer.as_bytes())),
            None,
        ),
        (
            vec![json, ("content-encoding", "identity")],
            answer.clone().into_bytes(),
            None,
        ),
        // An encoding of characters, where that of the content belongs.
        (
            vec![json, ("content-encoding", "UTF-8")],
            answer.clone().into_bytes(),
            None,
        ),
        (
            vec![json, ("content-encoding", "gzip")],
            gzip(error.as_bytes()),
            Some("-32603"),
        ),
        (
            vec![
                ("content-type", "Text/Event-Stream; charset=utf-8"),
                ("content-encoding", "gzip"),
            ],
            gzip(format!("\u{feff}data:{answer}\revent: message\r\r").as_bytes()),
            None,
        ),
    ];
    for (headers, bytes, error_type) in cases {
        let spans = Spans::new();
        let address = fixed(&spans, 200, &headers, bytes.clone()).await;
        assert!(
            send(address, POST, call(1, "t").as_bytes()).await == bytes,
            "{headers:?}"
        );
        let span = only(&spans).await;
        assert_eq!(
            said(&span, semconv::ERROR_TYPE).as_deref(),
            error_type,
            "{headers:?}"
        );
        let response = json_said(&span, semconv::RESPONSE_BODY);
        assert!(response["text"].is_string() || response["error"]["message"] == "boom");
        assert_eq!(said(&span, semconv::RESPONSE_UNREADABLE), None);
        assert_eq!(said(&span, semconv::RESPONSE_TRUNCATED).as_deref(), Some("false"));
    }
}

#[tokio::test]
async fn an_event_is_read_when_it_is_flushed() {
    let spans = Spans::new();
    let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let posted = async move |_: Bytes| -> Response {
        let receiver = receiver.lock().await.take().unwrap();
        let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Bytes::from(bytes)), receiver))
        });
        let headers = [
            ("content-type", "text/event-stream"),
            ("content-encoding", "gzip"),
        ];
        (headers, Body::from_stream(stream)).into_response()
    };
    let address = serve(&spans, Router::new().route("/mcp", post(posted))).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = call(1, "slow");
    let request = format!(
        "{POST}\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"ok\":true}}\n\n")
        .unwrap();
    encoder.flush().unwrap();
    sender.send(std::mem::take(encoder.get_mut())).unwrap();
    let span = spans.named("tools/call slow").await;
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"ok": true}));
    // The stream goes on all the while.
    drop((sender, connection));
}

#[tokio::test]
async fn compressed_requests_are_requests() {
    let spans = Spans::new();
    let echo = async |bytes: Bytes| {
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"bytes": bytes.len()}});
        axum::Json(answer)
    };
    let address = serve(&spans, Router::new().route("/mcp", post(echo))).await;
    let packed = gzip(call(1, "packed").as_bytes());
    send(address, &format!("{POST}\r\ncontent-encoding: gzip"), &packed).await;
    let span = only(&spans).await;
    assert_eq!(span.name, "tools/call packed");
    // The server got them as they were sent.
    assert_eq!(
        json_said(&span, semconv::RESPONSE_BODY),
        json!({"bytes": packed.len()})
    );
    assert_eq!(
        json_said(&span, semconv::REQUEST_BODY)["params"]["name"],
        "packed"
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_known_by_its_head_and_its_answer() {
    for (head, code, answer, name, error) in [
        (
            "content-encoding: snappy\r\nmcp-method: tools/call\r\nmcp-name: t",
            200,
            r#"{"jsonrpc":"2.0","id":7,"result":{"ok":true}}"#,
            "tools/call t",
            None,
        ),
        (
            "content-encoding: gzip",
            200,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no"}}"#,
            "POST",
            Some("-32000"),
        ),
        ("content-encoding: snappy", 200, "", "POST", None),
        ("content-encoding: snappy", 503, "", "POST", Some("503")),
    ] {
        let spans = Spans::new();
        let json = [("content-type", "application/json")];
        let address = fixed(&spans, code, &json, answer.as_bytes().to_vec()).await;
        send(address, &format!("{POST}\r\n{head}"), b"\x00\x01 unreadable").await;
        let span = only(&spans).await;
        assert_eq!(span.name, name, "{head}");
        assert!(said(&span, semconv::REQUEST_UNREADABLE).is_some(), "{span:?}");
        assert_eq!(status(&span), Some(code.to_string()));
        assert_eq!(said(&span, semconv::ERROR_TYPE).as_deref(), error, "{head}");
        let id = (!answer.is_empty()).then(|| "7".to_owned());
        assert_eq!(said(&span, semconv::JSONRPC_REQUEST_ID), id);
    }
    // Accepted without an answer, it was no request.
    let spans = Spans::new();
    let address = fixed(&spans, 202, &[], Vec::new()).await;
    send(address, &format!("{POST}\r\ncontent-encoding: snappy"), b"\x00").await;
    exactly(&spans, 0).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_judged_by_its_status() {
    let answer = gzip(br#"{"jsonrpc":"2.0","id":1,"result":{"ok":true}}"#);
    let half = answer[..answer.len() / 2].to_vec();
    // Nobody sees its end.
    let text = "x".repeat(64 << 20);
    let bomb = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": text, "isError": true}});
    let bomb = gzip(bomb.to_string().as_bytes());
    for (code, headers, body, why) in [
        (
            200,
            vec![("content-encoding", "snappy")],
            b"\xff\x06sNaPpY".to_vec(),
            "\"snappy\" is not known",
        ),
        (
            200,
            vec![("content-encoding", "gzip")],
            half.clone(),
            "gzip data ends too early",
        ),
        (
            200,
            vec![("content-encoding", "gzip")],
            b"no gzip at all".to_vec(),
            "gzip data is damaged",
        ),
        (200, vec![("content-encoding", "gzip")], bomb, "too large"),
        (
            200,
            vec![("content-type", "text/html")],
            b"<p>Hello</p>".to_vec(),
            "not JSON",
        ),
        (
            200,
            vec![("content-type", "text/event-stream")],
            b"data: \x08\x01binary\n\n".to_vec(),
            "not JSON",
        ),
        (
            502,
            vec![("content-encoding", "snappy")],
            b"\xff\x06".to_vec(),
            "\"snappy\" is not known",
        ),
    ] {
        let spans = Spans::new();
        let address = fixed(&spans, code, &headers, body).await;
        send(address, POST, call(1, "t").as_bytes()).await;
        let span = only(&spans).await;
        let note = said(&span, semconv::RESPONSE_UNREADABLE).unwrap();
        assert!(note.contains(why), "{headers:?}: {note}");
        let error = (code >= 400).then(|| code.to_string());
        assert_eq!(said(&span, semconv::ERROR_TYPE), error, "{why}");
        assert_eq!(status(&span), Some(code.to_string()));
        if why != "not JSON" {
            // Bytes are no text, and how large a text is that was not decoded to its end is not known.
            assert_eq!(said(&span, semconv::RESPONSE_BODY), None, "{why}");
            assert_eq!(said(&span, semconv::RESPONSE_SIZE), None, "{why}");
        }
    }
    // The answer was to come on a stream that nobody here knows.
    let spans = Spans::new();
    let address = fixed(&spans, 202, &[], Vec::new()).await;
    send(address, POST, call(1, "t").as_bytes()).await;
    let span = only(&spans).await;
    assert_eq!(said(&span, semconv::ERROR_TYPE), None);
    assert!(
        said(&span, semconv::RESPONSE_UNREADABLE)
            .unwrap()
            .contains("accepted")
    );
    // What was read and holds no answer was not answered.
    for body in ["", "{}", "{\"ok\":true}"] {
        let spans = Spans::new();
        let json = [("content-type", "application/json")];
        let address = fixed(&spans, 200, &json, body.as_bytes().to_vec()).await;
        send(address, POST, call(1, "t").as_bytes()).await;
        let span = only(&spans).await;
        assert_eq!(
            span.status,
            Status::error("the answer ended without a result"),
            "{body}"
        );
        assert_eq!(said(&span, semconv::RESPONSE_UNREADABLE), None);
    }
}

#[tokio::test]
async fn messages_of_the_older_transport_belong_to_the_stream_that_named_their_address() {
    let (streams, sent) = mpsc::unbounded_channel::<(String, mpsc::UnboundedSender<String>)>();
    let sent = Arc::new(Mutex::new(sent));
    let get = async move |Path(form): Path<String>| -> Response {
        let (sender, receiver) = mpsc::unbounded_channel::<String>();
        streams.send((form, sender)).unwrap();
        let events = futures_util::stream::unfold(receiver, async |mut receiver| {
            let event = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Bytes::from(event)), receiver))
        });
        ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
    };
    let spans = Spans::new();
    let accepted = async |_: Bytes| StatusCode::ACCEPTED;
    let router = Router::new()
        .route("/sse/{form}", axum::routing::get(get).post(accepted))
        .fallback(post(accepted));
    let address = serve(&spans, router).await;
    // What is announced, where the client posts to, and the session that is shown.
    for (form, announced, posted, session) in [
        (
            "path",
            "/messages/0123abcd",
            "/messages/0123abcd",
            Some("0123abcd"),
        ),
        ("name", "/message?SessionID=s", "/message?SessionID=s", Some("s")),
        (
            "other",
            "/message?conn=0123abcd&x=1",
            "/message?conn=0123abcd&x=1",
            None,
        ),
        ("none", "/messages", "/messages", None),
        (
            "relative",
            "../post?to=0123abcd",
            "/post?to=0123abcd",
            Some("0123abcd"),
        ),
        ("absolute", "http://inside:8000/m?sid=1", "/m?sid=1", None),
        ("query", "?s=2", "/sse/query?s=2", None),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET /sse/{form} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (opened, events) = sent.lock().await.recv().await.unwrap();
        assert_eq!(opened, form);
        events
            .send(format!("event: endpoint\ndata: {announced}\n\n"))
            .unwrap();
        let mut seen = String::new();
        let mut piece = [0; 1024];
        while !seen.contains(announced) {
            let count = stream.read(&mut piece).await.unwrap();
            seen.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        // Two clients' worth of ids are in use at once elsewhere; here each is one stream's.
        let post = POST.replace("/mcp", posted);
        send(address, &post, call(1, form).as_bytes()).await;
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"of": form}});
        events.send(format!("data: {answer}\n\n")).unwrap();
        let span = spans.named(&format!("tools/call {form}")).await;
        let body = said(&span, semconv::RESPONSE_BODY).unwrap_or_else(|| panic!("{form}: {span:?}"));
        assert_eq!(body, json!({"of": form}).to_string());
        assert_eq!(status(&span).as_deref(), Some("202"), "{form}");
        assert_eq!(said(&span, semconv::MCP_TRANSPORT).as_deref(), Some("sse"));
        assert_eq!(said(&span, semconv::MCP_SESSION_ID).as_deref(), session, "{form}");
        // The end of the stream is the end of what belongs to it.
        send(address, &post, call(2, &format!("{form}-late")).as_bytes()).await;
        drop((stream, events));
        let late = spans.named(&format!("tools/call {form}-late")).await;
        assert_eq!(
            late.status,
            Status::error("the stream that answers come on ended")
        );
    }
}

#[tokio::test]
async fn what_follows_a_compressed_answer_costs_nothing_of_it_and_is_noted() {
    let spans = Spans::new();
    let logs = InMemoryLogExporter::default();
    let logger = SdkLoggerProvider::builder()
        .with_simple_exporter(logs.clone())
        .build();
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"ok": true}}).to_string();
    let body = [gzip(answer.as_bytes()), b"\0\0no gzip follows here".to_vec()].concat();
    let posted = async move |_: Bytes| ([("content-encoding", "gzip")], body);
    let layer = Watch::through(&spans.provider, Some(&logger)).layer();
    let mut router = Router::new().route("/mcp", post(posted)).layer(layer);
    let request = Request::post("/mcp").body(Body::from(call(1, "t"))).unwrap();
    let response = router.call(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    let span = spans.named("tools/call t").await;
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"ok": true}));
    assert_eq!(said(&span, semconv::ERROR_TYPE), None);
    let [note] = &logs.get_emitted_logs().unwrap()[..] else {
        panic!("one note")
    };
    let note = format!("{:?}", note.record.body());
    assert!(note.contains("gzip data is damaged"), "{note}");
}

#[tokio::test]
async fn a_body_that_takes_long_to_read_lets_others_have_their_turn() {
    const LARGE: usize = 12 << 20;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"text": " ".repeat(LARGE)}}).to_string();
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "text": " ".repeat(LARGE)}});
    let (answer, asked) = (answer.as_bytes(), request.to_string().into_bytes());
    let cases: [(&str, Vec<u8>, Vec<u8>); 3] = [
        ("identity", answer.to_vec(), asked.clone()),
        ("gzip", gzip(answer), gzip(&asked)),
        ("gzip, gzip", gzip(&gzip(answer)), gzip(&gzip(&asked))),
    ];
    for (coding, answer, asked) in cases {
        let spans = Spans::new();
        let given = answer.clone();
        let posted = async move |bytes: Bytes| {
            assert!(!bytes.is_empty());
            ([("content-encoding", coding)], given)
        };
        let layer = Watch::through(&spans.provider, None).layer();
        let router = Router::new()
            .route("/mcp", post(posted))
            .layer(DefaultBodyLimit::disable());
        let mut router = router.layer(layer);
        let request = Request::post("/mcp").header("content-encoding", coding);
        let request = request.body(Body::from(asked)).unwrap();
        // Nobody but the reading makes any of it wait: each time is a turn of others.
        let mut answering = Box::pin(router.call(request));
        let mut turns = 0;
        let response = loop {
            match futures_util::poll!(&mut answering) {
                Poll::Ready(response) => break response.unwrap(),
                Poll::Pending => turns += 1,
            }
        };
        assert!(turns >= 10, "{coding}: {turns}");
        let mut body = response.into_body();
        let mut turns = 0;
        let frame = loop {
            match futures_util::poll!(body.frame()) {
                Poll::Ready(frame) => break frame.unwrap().unwrap(),
                Poll::Pending => turns += 1,
            }
            assert_eq!(body.size_hint().exact(), Some(answer.len() as u64));
            assert!(!body.is_end_stream());
        };
        assert!(turns >= 10, "{coding}: {turns}");
        assert!(frame.into_data().unwrap() == answer);
        let span = spans.named("tools/call t").await;
        assert_eq!(said(&span, semconv::RESPONSE_TRUNCATED).as_deref(), Some("true"));
        assert_eq!(said(&span, semconv::REQUEST_TRUNCATED).as_deref(), Some("true"));
        assert_eq!(said(&span, semconv::ERROR_TYPE), None);
    }
}
