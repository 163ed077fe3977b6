//! Requests that stay open for hours are announced while they run, and recorded when they end: one record. So is every
//! request that runs for longer than a second.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::StreamExt;
use mcptap_sdk::Watch;
use serde_json::{Value, json};

use crate::support::{TestServer, eventually, sorted};

const QUERY: &str =
    "{ calls(first: 10) { nodes { id method target outcome durationMs endedAt httpStatus kind late } } }";

/// A server whose streams stay open.
fn listening() -> Router {
    let stream = async || {
        let first =
            futures_util::stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b": here\n\n")) });
        let stream = first.chain(futures_util::stream::pending());
        ([("content-type", "text/event-stream")], Body::from_stream(stream)).into_response()
    };
    Router::new().route("/mcp", get(stream).post(stream))
}

#[tokio::test]
async fn a_stream_is_seen_while_it_is_open_and_when_it_ends() {
    let mcptap = TestServer::start().await;
    let telemetry = mcptap_sdk::connect("news", &mcptap.otlp_http_url()).unwrap();
    let router = listening().layer(Watch::with(&telemetry).layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let web = reqwest::Client::new();
    let stream = web
        .get(&url)
        .header("accept", "text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .send()
        .await
        .unwrap();
    let listen = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {}});
    let listening = web
        .post(&url)
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .body(listen.to_string())
        .send()
        .await
        .unwrap();

    let calls = async |wanted: &dyn Fn(&[Value]) -> bool| {
        eventually("the calls", async || {
            let answer = mcptap.graphql(QUERY, json!({})).await;
            let calls = answer["calls"]["nodes"].as_array().unwrap().clone();
            wanted(&calls).then_some(calls)
        })
        .await
    };
    let begun = calls(&|calls| calls.len() == 2).await;
    let methods = sorted(begun.iter().map(|call| call["method"].as_str().unwrap()));
    assert_eq!(methods, ["GET", "subscriptions/listen"]);
    for call in &begun {
        let seen = (
            &call["outcome"],
            &call["durationMs"],
            &call["endedAt"],
            &call["kind"],
        );
        assert_eq!(
            seen,
            (&json!("RUNNING"), &Value::Null, &Value::Null, &json!("STREAM")),
            "{call}"
        );
    }
    let stats = mcptap
        .graphql(
            "{ stats { callCount p99Ms } streams: stats(filter: {kinds: [STREAM]}) { callCount errorCount p99Ms } }",
            json!({}),
        )
        .await;
    assert_eq!(
        stats,
        json!({"stats": {"callCount": 0, "p99Ms": null}, "streams": {"callCount": 2, "errorCount": 0, "p99Ms": null}})
    );

    drop((stream, listening));
    let ended = calls(&|calls| calls.iter().all(|call| call["durationMs"].as_f64() > Some(0.0))).await;
    let ids = |calls: &[Value]| sorted(calls.iter().map(|call| call["id"].to_string()));
    assert_eq!(ids(&begun), ids(&ended));
    for call in &ended {
        assert_eq!(
            (&call["outcome"], &call["httpStatus"], &call["late"]),
            (&json!("OK"), &json!(200), &json!(false)),
            "{call}"
        );
        assert!(call["endedAt"].is_string(), "{call}");
    }
    let down = tokio::task::spawn_blocking(move || telemetry.shutdown());
    down.await.unwrap().unwrap();
}
