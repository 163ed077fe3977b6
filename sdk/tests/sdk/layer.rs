//! The layer around HTTP servers: what they answer and what they refuse, with and without a handler that records
//! as well.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use mcptap_model::semconv;
use mcptap_sdk::internals::Receipt;
use mcptap_sdk::{Watch, instrument_with};
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::SpanData;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ClientServiceExt, ServiceError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Client, LEGACY, Shop, Spans, json_said, modern, said};

/// Serves a router below the layer.
pub(crate) async fn serve(spans: &Spans, router: Router) -> SocketAddr {
    let layer = Watch::through(&spans.provider, None).layer();
    let router = router.layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    spans.is_quiet_now();
    address
}

/// The shop as rmcp serves it, wrapped as well.
fn shop(spans: &Spans) -> Router {
    let provider = spans.provider.clone();
    let service: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(instrument_with(Shop, &provider)),
        Arc::default(),
        StreamableHttpServerConfig::default(),
    );
    Router::new().nest_service("/mcp", service)
}

/// Sends one request by hand; the status and the body of the answer.
pub(crate) async fn send(to: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let request =
        format!("{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

pub(crate) const POST: &str =
    "POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream";

pub(crate) fn call(id: u32, tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {"a": 1}}})
        .to_string()
}

/// Waits until there are so many spans, and that there are no more.
pub(crate) async fn exactly(spans: &Spans, count: usize) -> Vec<SpanData> {
    for _ in 0..3_000 {
        if spans.all().len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    spans.quiet().await;
    let all = spans.all();
    let names: Vec<_> = all.iter().map(|span| span.name.clone()).collect();
    assert_eq!(all.len(), count, "{names:?}");
    all
}

pub(crate) fn status(span: &SpanData) -> Option<String> {
    said(span, semconv::HTTP_RESPONSE_STATUS_CODE)
}

#[tokio::test]
async fn a_session_is_one_record_per_request_with_status_session_and_client() {
    let spans = Spans::new();
    let address = serve(&spans, shop(&spans)).await;
    let url = format!("http://{address}/mcp");
    let client = Client
        .serve_with_lifecycle(StreamableHttpClientTransport::from_uri(url), LEGACY)
        .await
        .unwrap();
    let answer = client
        .call_tool(rmcp::model::CallToolRequestParams::new("span"))
        .await
        .unwrap();
    let failed = client
        .call_tool(rmcp::model::CallToolRequestParams::new("fail"))
        .await
        .unwrap();
    assert_eq!(failed.is_error, Some(true));
    client.cancel().await.unwrap();
    // The stream that the client opened is told of by its own method.
    let span = spans.named("tools/call span").await;
    assert_eq!(status(&span).as_deref(), Some("200"));
    assert_eq!(said(&span, semconv::MCP_CLIENT_NAME).as_deref(), Some("probe"));
    assert_eq!(
        said(&span, semconv::MCP_PROTOCOL_VERSION).as_deref(),
        Some("2025-11-25")
    );
    assert_eq!(said(&span, semconv::CLIENT_ADDRESS).as_deref(), Some("127.0.0.1"));
    let session = said(&span, semconv::MCP_SESSION_ID).unwrap();
    let response = json_said(&span, semconv::RESPONSE_BODY);
    assert_eq!(response, serde_json::to_value(&answer).unwrap());
    // The handler ran inside the layer's span.
    assert_eq!(
        response["content"][0]["text"],
        span.span_context.span_id().to_string()
    );
    let failed = spans.named("tools/call fail").await;
    assert_eq!(said(&failed, semconv::ERROR_TYPE).as_deref(), Some("tool_error"));
    assert_eq!(said(&failed, semconv::MCP_SESSION_ID), Some(session));
    let mut names: Vec<_> = spans
        .all()
        .into_iter()
        .map(|span| span.name.into_owned())
        .collect();
    names.sort();
    names.retain(|name| name != "GET");
    assert_eq!(names, ["initialize", "tools/call fail", "tools/call span"]);
}

#[tokio::test]
async fn a_modern_request_is_one_record() {
    let spans = Spans::new();
    let address = serve(&spans, shop(&spans)).await;
    let url = format!("http://{address}/mcp");
    let client = Client
        .serve_with_lifecycle(StreamableHttpClientTransport::from_uri(url), modern())
        .await
        .unwrap();
    client
        .call_tool(rmcp::model::CallToolRequestParams::new("span"))
        .await
        .unwrap();
    let refused = client
        .call_tool(rmcp::model::CallToolRequestParams::new("no-such"))
        .await;
    assert!(matches!(refused, Err(ServiceError::McpError(_))));
    let panicked = client
        .call_tool(rmcp::model::CallToolRequestParams::new("panic"))
        .await;
    assert!(matches!(panicked, Err(ServiceError::McpError(_))), "{panicked:?}");
    let span = spans.named("tools/call span").await;
    assert_eq!(said(&span, semconv::MCP_SESSION_ID), None);
    assert_eq!(said(&span, semconv::MCP_CLIENT_NAME).as_deref(), Some("probe"));
    assert_eq!(status(&span).as_deref(), Some("200"));
    let refused = spans.named("tools/call no-such").await;
    assert_eq!(
        said(&refused, semconv::RPC_STATUS_CODE).as_deref(),
        Some("-32602")
    );
    let panicked = spans.named("tools/call panic").await;
    assert_eq!(said(&panicked, semconv::ERROR_TYPE).as_deref(), Some("panic"));
    assert_eq!(
        panicked.status,
        Status::error("the handler panicked: a bug in a tool")
    );
    exactly(&spans, 4).await;
}

#[tokio::test]
async fn what_is_refused_before_any_handler_is_recorded() {
    let spans = Spans::new();
    let guarded = async |headers: HeaderMap, request: Request, next: Next| {
        if headers
            .get("authorization")
            .is_some_and(|token| token == "Bearer right-token-1")
        {
            next.run(request).await
        } else {
            let challenge = [("www-authenticate", "Bearer error=\"invalid_token\"")];
            (StatusCode::UNAUTHORIZED, challenge, "who are you?").into_response()
        }
    };
    let address = serve(&spans, shop(&spans).layer(from_fn(guarded))).await;
    let wrong = format!("{POST}\r\nauthorization: Bearer wrong-token-2");
    assert_eq!(
        send(address, &wrong, &call(7, "get_order")).await,
        (401, "who are you?".to_owned())
    );
    let [span] = &exactly(&spans, 1).await[..] else {
        unreachable!()
    };
    assert_eq!(span.name, "tools/call get_order");
    assert_eq!(status(span).as_deref(), Some("401"));
    assert_eq!(said(span, semconv::JSONRPC_REQUEST_ID).as_deref(), Some("7"));
    assert_eq!(said(span, semconv::AUTHORIZATION).as_deref(), Some("Bearer wro…"));
    assert_eq!(
        said(span, semconv::RESPONSE_BODY).as_deref(),
        Some("who are you?")
    );
    assert_eq!(
        json_said(span, semconv::REQUEST_BODY)["params"]["arguments"],
        json!({"a": 1})
    );
    assert_eq!(span.status, Status::error("HTTP 401"));
    assert!(!format!("{span:?}").contains("wrong-token"));
}

#[tokio::test]
async fn refusals_of_every_kind_have_their_status() {
    let spans = Spans::new();
    let address = serve(&spans, shop(&spans)).await;
    let accept = "accept: application/json, text/event-stream";
    let cases = [
        // Malformed JSON.
        (POST.to_owned(), "{\"jsonrpc\": \"2.0\", \"id\": 1, oops"),
        // An answer that the client would not take.
        (
            "POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\naccept: text/plain".to_owned(),
            "MESSAGE",
        ),
        // No such session.
        (format!("{POST}\r\nmcp-session-id: none"), "MESSAGE"),
        // No such method of HTTP.
        (format!("PUT /mcp HTTP/1.1\r\n{accept}"), ""),
        // A stream of no session.
        (
            "GET /mcp HTTP/1.1\r\naccept: text/event-stream\r\nmcp-session-id: none".to_owned(),
            "",
        ),
        // No such path.
        (
            format!("POST /nowhere HTTP/1.1\r\ncontent-type: application/json\r\n{accept}"),
            "MESSAGE",
        ),
    ];
    let message = call(3, "span");
    for (at, (head, body)) in cases.iter().enumerate() {
        let body = if *body == "MESSAGE" { &message } else { *body };
        let (code, _) = send(address, head, body).await;
        assert!(code >= 400, "{head}");
        let span = exactly(&spans, at + 1).await.pop().unwrap();
        assert_eq!(status(&span), Some(code.to_string()), "{head}");
        let expected = if body == message {
            "tools/call"
        } else {
            head.split(' ').next().unwrap()
        };
        assert_eq!(
            said(&span, semconv::MCP_METHOD_NAME).as_deref(),
            Some(expected),
            "{head}"
        );
    }
}

#[tokio::test]
async fn what_is_not_mcp_is_not_recorded() {
    let spans = Spans::new();
    let router = Router::new().route("/register", post(async || (StatusCode::BAD_REQUEST, "no")));
    let address = serve(&spans, router).await;
    let json = "content-type: application/json";
    send(
        address,
        &format!("POST /register HTTP/1.1\r\n{json}"),
        "{\"client_name\":\"x\"}",
    )
    .await;
    send(
        address,
        "GET /.well-known/oauth-protected-resource HTTP/1.1\r\naccept: */*",
        "",
    )
    .await;
    send(address, "GET /favicon.ico HTTP/1.1\r\naccept: image/png", "").await;
    exactly(&spans, 0).await;
}

#[tokio::test]
async fn an_event_passes_as_soon_as_it_is_sent() {
    let spans = Spans::new();
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let router = Router::new().route(
        "/mcp",
        post(async move |_: Bytes| -> Response {
            let receiver = receiver.lock().await.take().unwrap();
            let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
                receiver.recv().await.map(|item| (item, receiver))
            });
            ([("content-type", "text/event-stream")], Body::from_stream(stream)).into_response()
        }),
    );
    let address = serve(&spans, router).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = call(1, "slow");
    let request = format!(
        "{POST}\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let progress =
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}\n\n";
    sender
        .send(Ok(Bytes::from_static(progress.as_bytes())))
        .await
        .unwrap();
    // Nothing more is sent until the first event has come through.
    let mut seen = String::new();
    while !seen.contains(progress) {
        let mut piece = [0; 1024];
        let count = connection.read(&mut piece).await.unwrap();
        seen.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    assert!(spans.all().is_empty());
    let answer = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n";
    sender
        .send(Ok(Bytes::from_static(answer.as_bytes())))
        .await
        .unwrap();
    // The answer ends the record, though the stream goes on.
    let span = spans.named("tools/call slow").await;
    assert_eq!(
        said(&span, semconv::RESPONSE_BODY).as_deref(),
        Some("{\"content\":[]}")
    );
    drop(sender);
}

#[tokio::test]
async fn a_stream_that_ends_early_says_who_ended_it() {
    for (version, outcome, error) in [
        ("2026-07-28", Some("cancelled"), None),
        ("2025-11-25", None, Some("closed")),
    ] {
        let spans = Spans::new();
        let router = Router::new().route(
            "/mcp",
            post(async |_: Bytes| {
                let first = futures_util::stream::once(async {
                    Ok::<_, Infallible>(Bytes::from_static(b": hello\n\n"))
                });
                let stream = first.chain(futures_util::stream::pending());
                ([("content-type", "text/event-stream")], Body::from_stream(stream))
            }),
        );
        let address = serve(&spans, router).await;
        let mut connection = TcpStream::connect(address).await.unwrap();
        let body = call(1, "endless");
        let head = format!("{POST}\r\nhost: x\r\nmcp-protocol-version: {version}");
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut piece = [0; 64];
        assert!(connection.read(&mut piece).await.unwrap() > 0);
        drop(connection);
        let span = spans.named("tools/call endless").await;
        assert_eq!(said(&span, semconv::OUTCOME).as_deref(), outcome, "{version}");
        assert_eq!(said(&span, semconv::ERROR_TYPE).as_deref(), error, "{version}");
    }
}

#[tokio::test]
async fn a_client_may_hang_up_before_it_says_that_it_cancelled() {
    let spans = Spans::new();
    let router = Router::new().route(
        "/mcp",
        post(async |Json(message): Json<Value>| -> Response {
            if message["id"].is_null() {
                return StatusCode::ACCEPTED.into_response();
            }
            let first =
                futures_util::stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b": hello\n\n")) });
            let stream = first.chain(futures_util::stream::pending());
            let headers = [("content-type", "text/event-stream"), ("mcp-session-id", "s-1")];
            (headers, Body::from_stream(stream)).into_response()
        }),
    );
    let address = serve(&spans, router).await;
    let head = format!("{POST}\r\nmcp-session-id: s-1");
    // The session begins with a request whose stream stays open.
    let mut opening = TcpStream::connect(address).await.unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    for (connection, head, id) in [(&mut opening, POST, 1), (&mut connection, head.as_str(), 2)] {
        let body = call(id, "slow");
        let request = format!(
            "{head}\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        assert!(connection.read(&mut [0; 64]).await.unwrap() > 0);
    }
    drop(connection);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2, "reason": "enough"}});
    assert_eq!(send(address, &head, &cancelled.to_string()).await.0, 202);
    let span = spans.named("tools/call slow").await;
    assert_eq!(said(&span, semconv::OUTCOME).as_deref(), Some("cancelled"));
    assert_eq!(span.status, Status::error("enough"));
    drop(opening);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_the_transports_error() {
    let spans = Spans::new();
    let router = Router::new().route(
        "/mcp",
        post(async |_: Bytes| {
            let half = futures_util::stream::iter([
                Ok(Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"res")),
                Err(std::io::Error::other("gone")),
            ]);
            ([("content-type", "application/json")], Body::from_stream(half))
        }),
    );
    let address = serve(&spans, router).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = call(1, "half");
    let request = format!(
        "{POST}\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let _broken = connection.read_to_end(&mut rest).await;
    let span = spans.named("tools/call half").await;
    assert_eq!(said(&span, semconv::ERROR_TYPE).as_deref(), Some("closed"));
    assert_eq!(span.status, Status::error("the answer broke off"));
}

#[tokio::test]
async fn a_batch_is_a_record_for_each() {
    let spans = Spans::new();
    let router = Router::new().route(
        "/mcp",
        post(async |Json(batch): Json<Vec<Value>>| {
            let answers = batch.iter().rev().filter(|message| !message["id"].is_null());
            let answers = answers.map(
                |message| json!({"jsonrpc": "2.0", "id": message["id"], "result": {"was": message["id"]}}),
            );
            Json(answers.collect::<Vec<_>>())
        }),
    );
    let address = serve(&spans, router).await;
    let batch = format!(
        "[{},{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}},{}]",
        call(1, "one"),
        call(2, "two")
    );
    send(address, POST, &batch).await;
    exactly(&spans, 2).await;
    for (name, id) in [("tools/call one", 1), ("tools/call two", 2)] {
        let span = spans.named(name).await;
        assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"was": id}));
        assert_eq!(status(&span).as_deref(), Some("200"));
    }
}

#[tokio::test]
async fn the_older_transport_answers_on_its_stream() {
    let spans = Spans::new();
    let (sender, receiver) = mpsc::unbounded_channel::<Result<Bytes, Infallible>>();
    let receiver = Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let events = async move || -> Response {
        let receiver = receiver.lock().await.take().unwrap();
        let endpoint = Bytes::from_static(b"event: endpoint\ndata: /messages?session_id=abc\n\n");
        let first = futures_util::stream::once(async { Ok(endpoint) });
        let rest = futures_util::stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|item| (item, receiver))
        });
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(first.chain(rest)),
        )
            .into_response()
    };
    let answers = sender.clone();
    let messages = async move |Json(message): Json<Value>| {
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {"ok": true}});
        answers
            .send(Ok(Bytes::from(format!("event: message\ndata: {answer}\n\n"))))
            .unwrap();
        StatusCode::ACCEPTED
    };
    let router = Router::new()
        .route("/sse", get(events))
        .route("/messages", post(messages));
    let address = serve(&spans, router).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /sse HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
        .await
        .unwrap();
    let mut seen = String::new();
    let mut piece = [0; 1024];
    while !seen.contains("endpoint") {
        let count = stream.read(&mut piece).await.unwrap();
        seen.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    let post = POST.replace("/mcp", "/messages?session_id=abc");
    assert_eq!(send(address, &post, &call(5, "early")).await.0, 202);
    while !seen.contains("\"ok\"") {
        let count = stream.read(&mut piece).await.unwrap();
        seen.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    let span = spans.named("tools/call early").await;
    assert_eq!(status(&span).as_deref(), Some("202"));
    assert_eq!(
        said(&span, semconv::RESPONSE_BODY).as_deref(),
        Some("{\"ok\":true}")
    );
    assert_eq!(said(&span, semconv::MCP_SESSION_ID).as_deref(), Some("abc"));
    // What is open when the stream ends will not be answered.
    drop(stream);
    let stream = spans.named("GET").await;
    assert_eq!(stream.status, Status::Unset);
    assert_eq!(stream.parent_span_id, SpanId::INVALID);
    drop(sender);
}

#[tokio::test]
async fn rounds_of_one_operation_point_back_to_the_first() {
    let spans = Spans::new();
    let router = Router::new().route(
        "/mcp",
        post(async |Json(message): Json<Value>| {
            let result = match message["params"]["requestState"].as_str() {
                None => json!({"resultType": "input_required", "requestState": "s-1", "inputRequests": {}}),
                Some("s-1") => json!({"resultType": "input_required", "requestState": "s-2"}),
                Some(_) => json!({"resultType": "complete", "content": []}),
            };
            Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
        }),
    );
    let address = serve(&spans, router).await;
    for (id, state) in [(1, None), (2, Some("s-1")), (3, Some("s-2"))] {
        let mut params = json!({"name": "book", "arguments": {}});
        if let Some(state) = state {
            params["requestState"] = state.into();
        }
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        send(address, POST, &message.to_string()).await;
    }
    let all = exactly(&spans, 3).await;
    let first = all[0].span_context.span_id().to_string();
    for (at, span) in all.iter().enumerate() {
        assert_eq!(said(span, semconv::OPERATION), Some(first.clone()), "{at}");
        let links: Vec<_> = span
            .links
            .iter()
            .map(|link| link.span_context.span_id())
            .collect();
        let before: Vec<_> = all[..at]
            .last()
            .map(|span| span.span_context.span_id())
            .into_iter()
            .collect();
        assert_eq!(links, before, "{at}");
    }
    assert_eq!(
        said(&all[0], semconv::RESULT_TYPE).as_deref(),
        Some("input_required")
    );
}

#[tokio::test]
async fn what_came_to_nobody_ended_when_it_came_and_is_shown() {
    let spans = Spans::new();
    let (told, received) = tokio::sync::watch::channel(None);
    let serving = async move |_: Bytes| {
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"text": "hello"}});
        let mut response = Json(answer).into_response();
        response
            .extensions_mut()
            .insert(Receipt::new(|| true, received.clone()));
        response
    };
    let address = serve(&spans, Router::new().route("/mcp", post(serving))).await;
    assert_eq!(send(address, POST, &call(1, "nobodys")).await.0, 200);
    let answered = SystemTime::now();
    // Word of it comes later.
    told.send(Some(false)).unwrap();
    let span = spans.named("tools/call nobodys").await;
    assert_eq!(said(&span, semconv::ERROR_TYPE).as_deref(), Some("closed"));
    assert!(span.end_time <= answered, "{:?} {answered:?}", span.end_time);
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"text": "hello"}));
}

#[tokio::test]
async fn what_came_to_its_client_ended_when_it_came() {
    let spans = Spans::new();
    let (told, received) = tokio::sync::watch::channel(None);
    let serving = async move |_: Bytes| {
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
        let mut response = Json(answer).into_response();
        response
            .extensions_mut()
            .insert(Receipt::new(|| true, received.clone()));
        response
    };
    let address = serve(&spans, Router::new().route("/mcp", post(serving))).await;
    assert_eq!(send(address, POST, &call(1, "its")).await.0, 200);
    let answered = SystemTime::now();
    told.send(Some(true)).unwrap();
    let span = spans.named("tools/call its").await;
    assert_eq!(said(&span, semconv::ERROR_TYPE), None);
    assert!(span.end_time <= answered, "{:?} {answered:?}", span.end_time);
}
