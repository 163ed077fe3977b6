//! The requests of an ordinary visit are no errors, and refusals of MCP are distinguished from those that no handler saw.

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use mcptap_model::semconv;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use serde_json::json;

use crate::layer::{POST, call, send, serve, status};
use crate::support::{Spans, json_said, said};

/// The spans of one request to a server that always answers with this.
async fn answered(head: &str, body: &str, code: u16, answer: &str) -> Vec<SpanData> {
    let spans = Spans::new();
    let answer = answer.to_owned();
    let status = StatusCode::from_u16(code).unwrap();
    let serving = async move |_: Bytes| -> Response {
        let headers = [("content-type", "application/json"), ("location", "/mcp/")];
        (status, headers, answer.clone()).into_response()
    };
    let address = serve(&spans, Router::new().fallback(any(serving))).await;
    assert_eq!(send(address, head, body).await.0, code);
    let mut is_quiet = false;
    for _ in 0..60 {
        is_quiet = is_quiet || spans.quiet().await;
    }
    assert!(is_quiet);
    spans.all()
}

#[tokio::test]
async fn an_ordinary_visit_leaves_no_errors() {
    let not_allowed =
        json!({"jsonrpc": "2.0", "error": {"code": -32000, "message": "Method not allowed."}, "id": null});
    let not_allowed = not_allowed.to_string();
    let session = "accept: text/event-stream\r\nmcp-session-id: s";
    for (head, code) in [
        (format!("GET /mcp HTTP/1.1\r\n{session}"), 405),
        (format!("DELETE /mcp HTTP/1.1\r\n{session}"), 405),
        ("GET /mcp HTTP/1.1\r\naccept: text/event-stream".to_owned(), 400),
        ("GET /mcp HTTP/1.1\r\naccept: text/event-stream".to_owned(), 404),
        (
            "OPTIONS /mcp HTTP/1.1\r\naccept: text/event-stream".to_owned(),
            403,
        ),
        (format!("GET /mcp HTTP/1.1\r\n{session}"), 307),
    ] {
        assert!(
            answered(&head, "", code, &not_allowed).await.is_empty(),
            "{head} {code}"
        );
    }
    // What is refused all the same is shown.
    for (head, code) in [
        (format!("GET /mcp HTTP/1.1\r\n{session}"), 401),
        (format!("GET /mcp HTTP/1.1\r\n{session}"), 404),
        (format!("DELETE /mcp HTTP/1.1\r\n{session}"), 500),
    ] {
        // An error of OAuth looks like one of JSON-RPC, and is none.
        let spans = answered(&head, "", code, "{\"error\":{\"code\":7}}").await;
        assert_eq!(spans.len(), 1, "{head} {code}");
        assert_eq!(said(&spans[0], semconv::ERROR_TYPE), Some(code.to_string()));
    }
}

#[tokio::test]
async fn a_redirect_is_an_ending_of_its_own() {
    let spans = answered(POST, &call(1, "moved"), 307, "").await;
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(said(span, semconv::OUTCOME).as_deref(), Some("redirected"));
    assert_eq!(
        (status(span).as_deref(), &span.status),
        (Some("307"), &Status::Unset)
    );
    assert_eq!(said(span, semconv::ERROR_TYPE), None);
}

#[tokio::test]
async fn a_refusal_by_mcp_is_told_from_one_that_no_handler_saw() {
    let error = |id: serde_json::Value, code: i64| {
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}}).to_string()
    };
    for (status_code, answer, rpc_code) in [
        // 2026-07-28 answers errors of the handler with 400.
        (400, error(json!(1), -32602), Some("-32602")),
        (404, error(json!(null), -32001), Some("-32001")),
        // Python's SDK has an id of its own making.
        (400, error(json!("server-error"), -32600), Some("-32600")),
        (500, error(json!(1.0), -32603), Some("-32603")),
        // Errors of OAuth and of gateways are none of JSON-RPC.
        (400, "{\"error\":\"invalid_request\"}".to_owned(), None),
        (
            401,
            "{\"error\":{\"code\":401,\"message\":\"no\",\"status\":\"UNAUTHENTICATED\"}}".to_owned(),
            None,
        ),
        (401, "who are you?".to_owned(), None),
        (502, "<html>".to_owned(), None),
    ] {
        let spans = answered(POST, &call(1, "t"), status_code, &answer).await;
        let [span] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(status(span), Some(status_code.to_string()));
        assert_eq!(
            said(span, semconv::RPC_RESPONSE_STATUS_CODE).as_deref(),
            rpc_code,
            "{answer}"
        );
        let refused = (rpc_code.is_none()).then(|| status_code.to_string());
        assert_eq!(
            said(span, semconv::ERROR_TYPE).filter(|error| !error.starts_with('-')),
            refused,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_service_that_panics_is_not_a_client_that_left() {
    let spans = Spans::new();
    let broken = async |bytes: Bytes| -> StatusCode {
        assert!(bytes.is_empty(), "a bug in the server");
        StatusCode::OK
    };
    let address = serve(&spans, Router::new().fallback(any(broken))).await;
    let head = format!("{POST}\r\nhost: x\r\nconnection: close");
    let body = call(1, "t");
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tokio::io::AsyncWriteExt::write_all(&mut connection, request.as_bytes())
        .await
        .unwrap();
    let span = spans.named("tools/call t").await;
    assert_eq!(said(&span, semconv::ERROR_TYPE).as_deref(), Some("panic"));
}

#[tokio::test]
async fn half_an_emoji_and_null_members_cost_nothing_over_http() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"text":"cut \ud83d"},"error":null,"method":null}"#;
    let spans = answered(POST, &call(1, "t"), 200, answer).await;
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.status, Status::Unset);
    assert_eq!(
        json_said(span, semconv::RESPONSE_BODY),
        json!({"text": "cut \u{fffd}"})
    );
    assert_eq!(said(span, semconv::RESPONSE_TRUNCATED).as_deref(), Some("false"));
}

#[tokio::test]
async fn events_of_other_names_are_no_messages() {
    for (name, is_answer) in [
        ("", true),
        ("event: message\n", true),
        ("event:\n", true),
        ("event: ping\n", false),
    ] {
        let spans = Spans::new();
        let events = format!("{name}data: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"ok\":true}}}}\n\n");
        let serving = async move |_: Bytes| ([("content-type", "text/event-stream")], events.clone());
        let address = serve(&spans, Router::new().fallback(any(serving))).await;
        assert_eq!(send(address, POST, &call(1, "t")).await.0, 200);
        let span = spans.named("tools/call t").await;
        assert_eq!(
            said(&span, semconv::RESPONSE_BODY).is_some(),
            is_answer,
            "{name:?}"
        );
        let expected = if is_answer {
            Status::Unset
        } else {
            Status::error("the answer ended without a result")
        };
        assert_eq!(span.status, expected, "{name:?}");
    }
}

#[tokio::test]
async fn requests_with_ids_that_are_none_leave_a_record() {
    let error = json!({"jsonrpc": "2.0", "error": {"code": -32600, "message": "no id"}, "id": null});
    let request = json!({"jsonrpc": "2.0", "id": true, "method": "tools/call", "params": {"name": "t"}});
    let spans = answered(POST, &request.to_string(), 400, &error.to_string()).await;
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(said(span, semconv::JSONRPC_REQUEST_ID).as_deref(), Some("true"));
    assert_eq!(
        said(span, semconv::RPC_RESPONSE_STATUS_CODE).as_deref(),
        Some("-32600")
    );
}
