//! Clients that pool a session and use ids again: each answer is that of its own request, or of none.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use mcptap_model::semconv;
use opentelemetry::trace::Status;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, mpsc};

use crate::layer::{POST, call, exactly, send, serve};
use crate::support::{Spans, json_said, said};

/// What a test lets the server say, by the name of a stream.
pub(crate) type Streams = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<String>>>>;

/// A server that answers each request on a stream of its own, and says what the test wants.
pub(crate) fn scripted(streams: &Streams) -> Router {
    let open = |streams: &Streams, name: &str| -> Response {
        let (sender, receiver) = mpsc::unbounded_channel::<String>();
        streams.lock().unwrap().insert(name.to_owned(), sender);
        let events = futures_util::stream::unfold(receiver, async |mut receiver| {
            let event = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Bytes::from(event)), receiver))
        });
        let headers = [("content-type", "text/event-stream"), ("mcp-session-id", "pool")];
        (headers, Body::from_stream(events)).into_response()
    };
    let posted = async move |State(streams): State<Streams>, Json(message): Json<Value>| -> Response {
        match message["params"]["name"].as_str() {
            Some(tool) if tool.starts_with("accepted") => StatusCode::ACCEPTED.into_response(),
            Some(tool) => open(&streams, tool),
            None if message["method"] == "initialize" => {
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
                let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
                ([("mcp-session-id", "pool")], Json(answer)).into_response()
            }
            None => StatusCode::ACCEPTED.into_response(),
        }
    };
    let opened = async move |State(streams): State<Streams>, headers: HeaderMap| -> Response {
        let name = headers
            .get("last-event-id")
            .map_or("GET", |event| event.to_str().unwrap());
        open(&streams, name)
    };
    Router::new()
        .route("/mcp", post(posted).get(opened))
        .with_state(Arc::clone(streams))
}

async fn handshake(address: SocketAddr) {
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    assert_eq!(send(address, POST, &initialize.to_string()).await.0, 200);
}

/// Sends a request in the pooled session, and waits until its stream is open.
async fn ask(address: SocketAddr, streams: &Streams, body: &str, name: &str) -> TcpStream {
    let head = format!("{POST}\r\nmcp-session-id: pool");
    open(address, streams, &head, body, name).await
}

async fn open(address: SocketAddr, streams: &Streams, head: &str, body: &str, name: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head}\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    connection.write_all(request.as_bytes()).await.unwrap();
    assert!(connection.read(&mut [0; 2048]).await.unwrap() > 0);
    assert!(streams.lock().unwrap().contains_key(name));
    connection
}

pub(crate) fn say(streams: &Streams, name: &str, event: &str) {
    let streams = streams.lock().unwrap();
    streams[name].send(event.to_owned()).unwrap();
}

pub(crate) fn answer(of: &str) -> String {
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"of": of}});
    format!("data: {answer}\n\n")
}

/// Ends the server's side of a stream, and waits until that has come through.
async fn end(streams: &Streams, name: &str, connection: &mut TcpStream) {
    streams.lock().unwrap().remove(name);
    let mut seen = Vec::new();
    while !seen.ends_with(b"0\r\n\r\n") {
        let mut piece = [0; 1024];
        let count = connection.read(&mut piece).await.unwrap();
        assert!(count > 0);
        seen.extend_from_slice(&piece[..count]);
    }
}

#[tokio::test]
async fn every_request_at_once_may_have_the_same_id() {
    const AT_ONCE: usize = 24;
    let spans = Spans::new();
    let barrier = Arc::new(Barrier::new(AT_ONCE));
    let posted = async move |Path(place): Path<u64>, Json(message): Json<Value>| -> Response {
        // All are open before any is answered, and the first is answered last.
        barrier.wait().await;
        tokio::time::sleep(Duration::from_millis(4 * (AT_ONCE as u64 - place))).await;
        let of = message["params"]["name"].clone();
        let answer = if place % 4 == 3 {
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": of}})
        } else {
            json!({"jsonrpc": "2.0", "id": 1, "result": {"of": of}})
        };
        let session = ("mcp-session-id", "pool");
        if place % 2 == 0 {
            ([session], Json(answer)).into_response()
        } else {
            let events = [session, ("content-type", "text/event-stream")];
            (events, format!("data: {answer}\n\n")).into_response()
        }
    };
    let address = serve(&spans, Router::new().route("/mcp/{place}", post(posted))).await;
    let sent = (0..AT_ONCE).map(async |place| {
        let head = POST.replace("/mcp", &format!("/mcp/{place}"));
        let head = format!("{head}\r\nmcp-session-id: pool");
        let (status, body) = send(address, &head, &call(1, &format!("tool-{place}"))).await;
        assert!(
            status == 200 && body.contains(&format!("\"tool-{place}\"")),
            "{body}"
        );
    });
    futures_util::future::join_all(sent).await;
    exactly(&spans, AT_ONCE).await;
    for place in 0..AT_ONCE {
        let tool = format!("tool-{place}");
        let span = spans.named(&format!("tools/call {tool}")).await;
        let response = json_said(&span, semconv::RESPONSE_BODY);
        if place % 4 == 3 {
            assert_eq!(response["error"]["message"], tool);
            assert_eq!(span.status, Status::error(tool));
        } else {
            assert_eq!(response, json!({"of": tool}));
            assert_eq!(span.status, Status::Unset);
        }
    }
}

#[tokio::test]
async fn progress_and_cancellations_are_about_the_request_of_their_stream() {
    let spans = Spans::new();
    let streams = Streams::default();
    let address = serve(&spans, scripted(&streams)).await;
    handshake(address).await;
    let body = |tool: &str| {
        let params = json!({"name": tool, "_meta": {"progressToken": 1}});
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
    };
    let first = ask(address, &streams, &body("first"), "first").await;
    let second = ask(address, &streams, &body("second"), "second").await;
    let third = ask(address, &streams, &body("third"), "third").await;
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1.0, "progress": 1}});
    say(
        &streams,
        "second",
        &format!("data: {progress}\n\ndata: {progress}\n\n"),
    );
    // Its client hangs up before it says that it cancelled.
    drop(third);
    let is_heard = || streams.lock().unwrap()["third"].is_closed();
    while !is_heard() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"}});
    let head = format!("{POST}\r\nmcp-session-id: pool");
    send(address, &head, &cancelled.to_string()).await;
    say(&streams, "second", &answer("second"));
    say(&streams, "first", &answer("first"));
    for (tool, progress) in [("first", None), ("second", Some("2"))] {
        let span = spans.named(&format!("tools/call {tool}")).await;
        assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"of": tool}));
        assert_eq!(
            said(&span, semconv::PROGRESS_COUNT).as_deref(),
            progress,
            "{tool}"
        );
        assert_eq!(said(&span, semconv::OUTCOME), None);
    }
    let third = spans.named("tools/call third").await;
    assert_eq!(said(&third, semconv::OUTCOME).as_deref(), Some("cancelled"));
    assert_eq!(third.status, Status::error("enough"));
    drop((first, second));
}

#[tokio::test]
async fn a_cancellation_that_may_be_anybodys_is_that_of_who_is_not_answered() {
    let spans = Spans::new();
    let streams = Streams::default();
    let address = serve(&spans, scripted(&streams)).await;
    handshake(address).await;
    let mut first = ask(address, &streams, &call(1, "first"), "first").await;
    let second = ask(address, &streams, &call(1, "second"), "second").await;
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"}});
    let head = format!("{POST}\r\nmcp-session-id: pool");
    send(address, &head, &cancelled.to_string()).await;
    end(&streams, "first", &mut first).await;
    let given_up = spans.named("tools/call first").await;
    assert_eq!(said(&given_up, semconv::OUTCOME).as_deref(), Some("cancelled"));
    assert_eq!(given_up.status, Status::error("enough"));
    say(&streams, "second", &answer("second"));
    let answered = spans.named("tools/call second").await;
    assert_eq!(
        json_said(&answered, semconv::RESPONSE_BODY),
        json!({"of": "second"})
    );
    assert_eq!(said(&answered, semconv::OUTCOME), None);
    drop(second);
}

#[tokio::test]
async fn what_is_late_is_not_about_the_next_with_the_same_id() {
    let spans = Spans::new();
    let streams = Streams::default();
    let address = serve(&spans, scripted(&streams)).await;
    handshake(address).await;
    let first = ask(address, &streams, &call(1, "first"), "first").await;
    say(&streams, "first", &answer("first"));
    spans.named("tools/call first").await;
    let second = ask(address, &streams, &call(1, "second"), "second").await;
    // The client cancels what was answered meanwhile; the server answers it once more on the stream of the session.
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let head = format!("{POST}\r\nmcp-session-id: pool");
    send(address, &head, &cancelled.to_string()).await;
    let get = "GET /mcp HTTP/1.1\r\naccept: text/event-stream\r\nmcp-session-id: pool";
    let mut stream = open(address, &streams, get, "", "GET").await;
    say(&streams, "GET", &answer("first"));
    end(&streams, "GET", &mut stream).await;
    say(&streams, "second", &answer("second"));
    let span = spans.named("tools/call second").await;
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"of": "second"}));
    assert_eq!(said(&span, semconv::OUTCOME), None);
    drop((first, second));
}

#[tokio::test]
async fn a_stream_that_is_taken_up_again_answers_its_own_request() {
    let spans = Spans::new();
    let streams = Streams::default();
    let address = serve(&spans, scripted(&streams)).await;
    handshake(address).await;
    let mut connections = Vec::new();
    for tool in ["first", "second"] {
        let mut connection = ask(address, &streams, &call(1, tool), tool).await;
        say(&streams, tool, &format!("id: {tool}-1\ndata:\n\n"));
        say(&streams, tool, &format!("id: {tool}-2\ndata:\n\n"));
        end(&streams, tool, &mut connection).await;
        connections.push(connection);
    }
    let get = |event: &str| {
        format!(
            "GET /mcp HTTP/1.1\r\naccept: text/event-stream\r\nmcp-session-id: pool\r\nlast-event-id: {event}"
        )
    };
    // The client missed the last event of one, and polls twice for the other.
    let mut polled = open(address, &streams, &get("second-2"), "", "second-2").await;
    say(&streams, "second-2", "id: second-3\ndata:\n\n");
    end(&streams, "second-2", &mut polled).await;
    let second = open(address, &streams, &get("second-3"), "", "second-3").await;
    let first = open(address, &streams, &get("first-1"), "", "first-1").await;
    say(&streams, "second-3", &answer("second"));
    say(&streams, "first-1", &answer("first"));
    for tool in ["first", "second"] {
        let span = spans.named(&format!("tools/call {tool}")).await;
        assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"of": tool}));
        assert_eq!(said(&span, semconv::RESPONSE_UNREADABLE), None);
    }
    drop((first, second, connections));
}

#[tokio::test]
async fn an_answer_that_may_be_anybodys_is_nobodys() {
    let spans = Spans::new();
    let streams = Streams::default();
    let address = serve(&spans, scripted(&streams)).await;
    handshake(address).await;
    let head = format!("{POST}\r\nmcp-session-id: pool");
    for tool in ["accepted-one", "accepted-two"] {
        assert_eq!(send(address, &head, &call(1, tool)).await.0, 202);
    }
    assert_eq!(send(address, &head, &call(2, "accepted-three")).await.0, 202);
    // One that is answered on a stream of its own is not meant by what comes on another.
    let own = ask(address, &streams, &call(1, "own"), "own").await;
    let get = "GET /mcp HTTP/1.1\r\naccept: text/event-stream\r\nmcp-session-id: pool";
    let stream = open(address, &streams, get, "", "GET").await;
    say(&streams, "GET", &answer("?"));
    say(&streams, "GET", &answer("?"));
    say(
        &streams,
        "GET",
        "data: {\"id\":2,\"result\":{\"of\":\"three\"}}\n\n",
    );
    for tool in ["accepted-one", "accepted-two"] {
        let span = spans.named(&format!("tools/call {tool}")).await;
        assert_eq!(said(&span, semconv::RESPONSE_BODY), None, "{tool}");
        assert_eq!(said(&span, semconv::ERROR_TYPE), None);
        assert!(
            said(&span, semconv::RESPONSE_UNREADABLE)
                .unwrap()
                .contains("same id")
        );
    }
    let three = spans.named("tools/call accepted-three").await;
    assert_eq!(json_said(&three, semconv::RESPONSE_BODY), json!({"of": "three"}));
    say(&streams, "own", &answer("own"));
    let span = spans.named("tools/call own").await;
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"of": "own"}));
    drop((own, stream));
}

#[tokio::test]
async fn the_body_of_one_answer_is_about_no_other_request() {
    let spans = Spans::new();
    let streams = Streams::default();
    let address = serve(&spans, scripted(&streams)).await;
    handshake(address).await;
    let mut first = ask(address, &streams, &call(2, "first"), "first").await;
    let second = ask(address, &streams, &call(3, "second"), "second").await;
    say(
        &streams,
        "first",
        "data: {\"id\":3,\"result\":{\"of\":\"nobody\"}}\n\n",
    );
    end(&streams, "first", &mut first).await;
    let unanswered = spans.named("tools/call first").await;
    assert_eq!(said(&unanswered, semconv::ERROR_TYPE).as_deref(), Some("closed"));
    say(
        &streams,
        "second",
        "data: {\"id\":3,\"result\":{\"of\":\"second\"}}\n\n",
    );
    let answered = spans.named("tools/call second").await;
    assert_eq!(
        json_said(&answered, semconv::RESPONSE_BODY),
        json!({"of": "second"})
    );
    drop(second);
}

#[tokio::test]
async fn a_session_that_ends_ends_what_waits_elsewhere() {
    let spans = Spans::new();
    let streams = Streams::default();
    let leave = delete(async || StatusCode::OK);
    let address = serve(&spans, scripted(&streams).route("/leave", leave)).await;
    handshake(address).await;
    let head = format!("{POST}\r\nmcp-session-id: pool");
    assert_eq!(send(address, &head, &call(1, "accepted")).await.0, 202);
    let own = ask(address, &streams, &call(1, "own"), "own").await;
    let leaving = "DELETE /leave HTTP/1.1\r\nmcp-session-id: pool";
    assert_eq!(send(address, leaving, "").await.0, 200);
    let waiting = spans.named("tools/call accepted").await;
    assert_eq!(
        waiting.status,
        Status::error("the session was ended before the answer")
    );
    // An answer that is on its way still comes.
    say(&streams, "own", &answer("own"));
    let span = spans.named("tools/call own").await;
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"of": "own"}));
    drop(own);
}
