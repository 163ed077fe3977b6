//! Requests that stay open for hours are recorded when they begin, and again when they end: one record.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::StreamExt;
use mcptap_sdk::Watch;
use serde_json::{Value, json};

use crate::support::{TestServer, eventually, sorted};

const QUERY: &str = "{ calls(first: 10) { nodes { id method target outcome durationMs httpStatus } } }";

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
async fn a_stream_is_recorded_when_it_begins_and_when_it_ends() {
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
    assert!(begun.iter().all(|call| call["durationMs"] == 0.0), "{begun:?}");

    drop((stream, listening));
    let ended = calls(&|calls| calls.iter().all(|call| call["durationMs"].as_f64() > Some(0.0))).await;
    let ids = |calls: &[Value]| sorted(calls.iter().map(|call| call["id"].to_string()));
    assert_eq!(ids(&begun), ids(&ended));
    for call in &ended {
        assert_eq!(
            (&call["outcome"], &call["httpStatus"]),
            (&json!("OK"), &json!(200)),
            "{call}"
        );
    }
    let down = tokio::task::spawn_blocking(move || telemetry.shutdown());
    down.await.unwrap().unwrap();
}
