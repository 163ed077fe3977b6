//! The proxy and a server that has telemetry of its own: one request, one record.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};

use super::ProxyProcess;
use crate::support::{TestServer, eventually, span};

/// What a server got of one request: its `traceparent`, and from when to when it worked on it.
type Handled = (String, u64, u64);

async fn start_server() -> (SocketAddr, Arc<Mutex<Vec<Handled>>>) {
    let handled: Arc<Mutex<Vec<Handled>>> = Arc::default();
    let notes = Arc::clone(&handled);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let answer = move |headers: HeaderMap, axum::Json(asked): axum::Json<Value>| async move {
        let since = now();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let traceparent = headers["traceparent"].to_str().unwrap().to_owned();
        notes.lock().unwrap().push((traceparent, since, now()));
        axum::Json(json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"content": []}}))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/mcp", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, handled)
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[tokio::test]
async fn a_request_has_one_record_whoever_tells_of_it() {
    const CLIENTS: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    let server = TestServer::start().await;
    let (upstream, handled) = start_server().await;
    let spool = tempfile::tempdir().unwrap();
    let proxy = ProxyProcess::with(
        &format!("http://{upstream}"),
        &["--name", "from-outside"],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http_url()),
            ("MCPTAP_SPOOL_DIR", spool.path().to_str().unwrap()),
        ],
    )
    .await;
    let client = reqwest::Client::new();
    let mut told_at_once = Vec::new();
    // The last is of a server that reads no `traceparent`: its spans are in a trace of their own. Each comes before the
    // proxy's, and once more when that is there.
    for (id, traceparent, is_apart) in [
        (1, None, false),
        (2, Some(CLIENTS), false),
        (3, None, true),
        (4, None, true),
    ] {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "sell"}});
        let mut request = client.post(format!("http://{}/mcp", proxy.address)).json(&call);
        request = request.header("mcp-session-id", "the-session");
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
        let (told, since, until) = handled.lock().unwrap().last().cloned().unwrap();
        let ids: Vec<&str> = told.split('-').collect();
        let own = || {
            span("tools/call sell")
                .service("from-inside")
                .attr("jsonrpc.request.id", id.to_string())
                .attr("mcp.session.id", "the-session")
                .attr("by.itself", "yes")
                .with(|span| {
                    if !is_apart {
                        span.trace_id = bytes(ids[1]);
                        span.parent_span_id = bytes(ids[2]);
                    }
                    (span.start_time_unix_nano, span.end_time_unix_nano) = (since, until);
                })
        };
        match id {
            4 => told_at_once.push(own()),
            _ => server.export([own()]).await,
        }
    }
    // That of the last comes when the proxy has told of it already.
    eventually("the proxy's view", async || {
        let calls = server.calls(Value::Null, "requestId").await;
        calls.iter().any(|call| call["requestId"] == "4").then_some(())
    })
    .await;
    server.export(told_at_once).await;
    let calls = eventually("both views of all calls", async || {
        let fields = "requestId httpStatus attributes traceId server { name } session { calls(first: 9) { nodes { requestId } } }";
        let calls = server.calls(Value::Null, fields).await;
        let both = |call: &Value| call["httpStatus"] == 200 && call["attributes"]["by.itself"] == "yes";
        (calls.len() == 4 && calls.iter().all(both)).then_some(calls)
    })
    .await;
    let first = handled.lock().unwrap()[0].0.clone();
    let of_first = |call: &&Value| call["requestId"] == "1";
    let call = calls.iter().find(of_first).unwrap();
    assert!(
        first.contains(call["traceId"].as_str().unwrap()),
        "{first} {call}"
    );
    assert!(
        calls.iter().all(|call| call["server"]["name"] == "from-inside"),
        "{calls:?}"
    );
}
