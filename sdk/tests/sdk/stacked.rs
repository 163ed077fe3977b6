//! The layer among others, in a server that does more than MCP.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mcptap_model::semconv;
use mcptap_sdk::Watch;
use opentelemetry::trace::Status;
use tower::ServiceBuilder;

use crate::layer::{POST, call, exactly, send, serve};
use crate::support::{Spans, json_said, said};

async fn echo(body: Bytes) -> Response {
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = serde_json::json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"echo": true}});
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

async fn news() -> Response {
    let events =
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\"}\n\n";
    ([("content-type", "text/event-stream")], events).into_response()
}

async fn listen(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn other_layers_of_tower_stand_above_and_below() {
    let spans = Spans::new();
    let through = |request: Request, next: Next| next.run(request);
    let stack = ServiceBuilder::new()
        .layer(from_fn(through))
        .layer(Watch::through(&spans.provider, None).layer())
        .layer(from_fn(through));
    let address = listen(Router::new().route("/mcp", post(echo)).layer(stack)).await;
    let (status, body) = send(address, POST, &call(1, "t")).await;
    assert_eq!(status, 200);
    assert!(body.contains("echo"), "{body}");
    let calls = exactly(&spans, 1).await;
    assert_eq!(json_said(&calls[0], semconv::RESPONSE_BODY)["echo"], true);
}

#[tokio::test]
async fn what_a_server_does_besides_mcp_is_not_recorded() {
    let spans = Spans::new();
    let router = Router::new()
        .route("/mcp", post(echo))
        .route("/api", post(echo))
        .route("/news", get(news));
    let address = serve(&spans, router).await;
    let api = "POST /api HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json";
    for other in [
        r#"{"id": 1, "method": "orders/list", "params": {}}"#,
        r#"{"jsonrpc": "1.0", "id": 1, "method": "orders/list"}"#,
        r#"{"jsonrpc": 2, "id": 1, "method": "orders/list"}"#,
        r#"{"method": "orders/list", "error": {"code": 1, "message": "x"}}"#,
    ] {
        assert_eq!(send(address, api, other).await.0, 200);
    }
    let (status, events) = send(address, "GET /news HTTP/1.1\r\naccept: text/event-stream", "").await;
    assert_eq!(status, 200);
    assert!(events.contains("sampling"), "{events}");
    send(address, POST, &call(1, "t")).await;
    let calls = exactly(&spans, 1).await;
    assert_eq!(calls[0].name, "tools/call t");
}

#[tokio::test]
async fn paths_say_where_mcp_is_spoken() {
    let spans = Spans::new();
    let layer = Watch::through(&spans.provider, None).layer().paths(["/mcp"]);
    let router = Router::new()
        .route("/mcp", post(echo).get(news))
        .route("/mcp/more", post(echo))
        .route("/mcpx", post(echo))
        .layer(layer);
    let address = listen(router).await;
    spans.is_quiet_now();
    for path in ["/mcpx", "/mcp", "/mcp/more"] {
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json");
        send(address, &head, &call(1, &path.replace('/', "-"))).await;
    }
    send(address, "GET /mcp HTTP/1.1\r\naccept: text/event-stream", "").await;
    let mut names: Vec<_> = exactly(&spans, 4)
        .await
        .into_iter()
        .map(|call| call.name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "GET",
            "sampling/createMessage",
            "tools/call -mcp",
            "tools/call -mcp-more"
        ]
    );
}

#[tokio::test]
async fn a_panic_says_its_words_before_and_within_the_answer() {
    let spans = Spans::new();
    let before = async |_: Bytes| -> String { panic!("no database") };
    let within = async |_: Bytes| -> Response {
        let mut pieces = 0;
        let stream = futures_util::stream::poll_fn(move |_| {
            pieces += 1;
            assert!(pieces < 2, "no disk");
            std::task::Poll::Ready(Some(Ok::<_, Infallible>(Bytes::from_static(b"{"))))
        });
        ([("content-type", "application/json")], Body::from_stream(stream)).into_response()
    };
    let router = Router::new()
        .route("/before", post(before))
        .route("/within", post(within));
    let address = serve(&spans, router).await;
    for path in ["/before", "/within"] {
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json");
        let asking = tokio::spawn(async move {
            let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
            let body = call(1, &path[1..]);
            let request = format!(
                "{head}\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            tokio::io::AsyncWriteExt::write_all(&mut connection, request.as_bytes())
                .await
                .unwrap();
            let mut answer = Vec::new();
            // The connection breaks: that is the point.
            let _broken = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut answer).await;
        });
        asking.await.unwrap();
    }
    for (name, words) in [
        ("tools/call before", "no database"),
        ("tools/call within", "no disk"),
    ] {
        let call = spans.named(name).await;
        assert_eq!(
            said(&call, semconv::ERROR_TYPE).as_deref(),
            Some("panic"),
            "{name}"
        );
        assert_eq!(
            call.status,
            Status::error(format!("the handler panicked: {words}"))
        );
    }
}
