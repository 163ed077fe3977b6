//! Cancellations that come in a POST of their own before the first answer of a session has.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use mcptap_model::semconv;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::layer::{POST, call, exactly, send, serve};
use crate::support::{Spans, said};

/// What lets the server answer, by the name of a tool.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<HashMap<String, Arc<Notify>>>>);

impl Gates {
    fn of(&self, tool: &str) -> Arc<Notify> {
        Arc::clone(self.0.lock().unwrap().entry(tool.to_owned()).or_default())
    }
}

/// A server that answers each call when the test lets it.
fn gated(gates: &Gates) -> Router {
    let posted = async move |State(gates): State<Gates>, Json(message): Json<Value>| -> Response {
        let Some(tool) = message["params"]["name"].as_str() else {
            return StatusCode::ACCEPTED.into_response();
        };
        gates.of(tool).notified().await;
        Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}})).into_response()
    };
    Router::new()
        .route("/mcp", post(posted))
        .with_state(gates.clone())
}

/// Sends a call with these headers, and waits until it is open.
async fn ask(spans: &Spans, address: SocketAddr, headers: &str, id: u32, tool: &str) -> JoinHandle<u16> {
    let (head, body) = (format!("{POST}{headers}"), call(id, tool));
    let asked = tokio::spawn(async move { send(address, &head, &body).await.0 });
    spans.begun(&format!("tools/call {tool}")).await;
    asked
}

async fn cancel(address: SocketAddr, headers: &str, id: Value) {
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    let answered = send(address, &format!("{POST}{headers}"), &cancelled.to_string()).await;
    assert_eq!(answered.0, 202);
}

/// Lets the server answer all calls, and tells of each whether it was cancelled.
async fn answered(spans: &Spans, gates: &Gates, asked: Vec<(&str, JoinHandle<u16>)>) -> Vec<(String, bool)> {
    let count = asked.len();
    for (tool, asked) in asked {
        gates.of(tool).notify_one();
        assert_eq!(asked.await.unwrap(), 200);
    }
    let mut outcomes: Vec<_> = exactly(spans, count)
        .await
        .iter()
        .map(|span| {
            let outcome = said(span, semconv::OUTCOME);
            (
                span.name.replace("tools/call ", ""),
                outcome.as_deref() == Some(semconv::CANCELLED),
            )
        })
        .collect();
    outcomes.sort();
    outcomes
}

fn expected(outcomes: &[(&str, bool)]) -> Vec<(String, bool)> {
    let owned = outcomes.iter().map(|(tool, is)| ((*tool).to_owned(), *is));
    owned.collect()
}

#[tokio::test]
async fn a_session_whose_first_answer_has_not_come_is_one_all_the_same() {
    let (spans, gates) = (Spans::new(), Gates::default());
    let address = serve(&spans, gated(&gates)).await;
    let (one, two) = ("\r\nmcp-session-id: one", "\r\nmcp-session-id: two");
    let asked = vec![
        ("a", ask(&spans, address, one, 3, "a").await),
        ("b", ask(&spans, address, two, 3, "b").await),
        ("c", ask(&spans, address, two, 4, "c").await),
    ];
    cancel(address, one, json!(3)).await;
    cancel(address, two, json!("4")).await;
    // Of no session that is open.
    cancel(address, "\r\nmcp-session-id: three", json!(3)).await;
    cancel(address, "", json!(3)).await;
    let outcomes = answered(&spans, &gates, asked).await;
    assert_eq!(outcomes, expected(&[("a", true), ("b", false), ("c", true)]));
}

/// Two programs behind one address, each of which counts from the same number, are told apart by nothing.
#[tokio::test]
async fn without_sessions_a_cancellation_is_of_no_other_request() {
    let (spans, gates) = (Spans::new(), Gates::default());
    let address = serve(&spans, gated(&gates)).await;
    let asked = vec![("a", ask(&spans, address, "", 3, "a").await)];
    cancel(address, "", json!(3)).await;
    let outcomes = answered(&spans, &gates, asked).await;
    assert_eq!(outcomes, expected(&[("a", false)]));
}
