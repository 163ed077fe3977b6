//! The proxy and traces: requests that are part of none are given one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::any;
use serde_json::{Value, json};

use super::ProxyProcess;
use crate::support::{TestServer, eventually};

/// The head and body of a request, as a server got it.
type Got = (HeaderMap, Bytes);

/// A server that answers every request of JSON-RPC in a body, and keeps what it got.
async fn start_server() -> (SocketAddr, Arc<Mutex<Vec<Got>>>) {
    let got: Arc<Mutex<Vec<Got>>> = Arc::default();
    let notes = Arc::clone(&got);
    let answer = move |headers: HeaderMap, body: Bytes| async move {
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        notes.lock().unwrap().push((headers, body));
        let answer = |asked: &Value| json!({"jsonrpc": "2.0", "id": asked["id"], "result": {}});
        axum::Json(match &asked {
            Value::Array(all) => all.iter().map(answer).collect(),
            one => answer(one),
        })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/mcp", any(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, got)
}

fn traceparent(got: &Got) -> Option<String> {
    let value = got.0.get("traceparent")?;
    Some(value.to_str().unwrap().to_owned())
}

/// Ids of a trace and a span, as a client names them.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn the_head_names_the_record_of_a_request_whose_head_names_no_trace_and_nothing_else_changes() {
    let server = TestServer::start().await;
    let (upstream, got) = start_server().await;
    let spool = tempfile::tempdir().unwrap();
    let proxy = ProxyProcess::with(
        &format!("http://{upstream}"),
        &["--name", "shop"],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http_url()),
            ("MCPTAP_SPOOL_DIR", spool.path().to_str().unwrap()),
        ],
    )
    .await;
    let clients = format!("00-{TRACE}-{SPAN}-01");
    let in_meta = format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"ping","params":{{"_meta":{{"traceparent":"{clients}"}}}}}}"#
    );
    let other = TRACE.replace('0', "1");
    // Long before it says so.
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"long":"{}","_meta":{{"traceparent":"00-{other}-{SPAN}-01","tracestate":"a=b"}}}}}}"#,
        "x".repeat(300_000)
    );
    let bodies = [
        // Not as anybody's library would write it.
        "{ \"id\" : 1.0, \"method\":\"tools/call\",\n\"params\": {\"name\":\"s\\u0065ll\"}, \"jsonrpc\":\"2.0\"}",
        r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
        &in_meta,
        r#"[{"jsonrpc":"2.0","id":4,"method":"ping"},{"jsonrpc":"2.0","id":5,"method":"ping"}]"#,
        r#"{"jsonrpc":"2.0","id":6,"method":"ping"}"#,
        &large,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    ];
    let headers = [
        None,
        Some(clients.as_str()),
        None,
        None,
        Some("00-made-up-01"),
        None,
        None,
    ];
    let client = reqwest::Client::new();
    let url = format!("http://{}/mcp", proxy.address);
    for (body, header) in bodies.iter().zip(headers) {
        let mut request = client.post(&url).body(body.to_string());
        request = request.header("content-type", "application/json");
        if let Some(header) = header {
            request = request
                .header("TraceParent", header)
                .header("tracestate", "its=own");
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    client.get(&url).send().await.unwrap();

    let got = std::mem::take(&mut *got.lock().unwrap());
    for (got, body) in got.iter().zip(bodies) {
        assert_eq!(got.1, body, "the body was altered");
        assert_eq!(got.0["content-length"], *body.len().to_string());
    }
    let told: Vec<_> = got.iter().map(traceparent).collect();
    assert_eq!(told[1], Some(clients), "the client's own was altered");
    assert!(
        got.iter()
            .all(|got| got.0.get_all("traceparent").iter().count() <= 1)
    );
    let states: Vec<_> = got.iter().map(|got| got.0.get("tracestate").cloned()).collect();
    assert_eq!(states[1].as_ref().unwrap(), "its=own");
    assert_eq!(states[4], None, "it was of a trace that nobody can read");
    assert_eq!(states[5].as_ref().unwrap(), "a=b");
    assert_eq!(told[6], None, "a notification has no record");
    assert_eq!(told[7], None, "no request of JSON-RPC");

    let calls = eventually("a record of each request", async || {
        let calls = server.calls(Value::Null, "requestId traceId spanId").await;
        let of = |id: &str| {
            let mut calls = calls.iter();
            calls.find(|call| call["requestId"] == *id).cloned()
        };
        ["1", "2", "3", "4", "5", "6", "7"]
            .map(of)
            .into_iter()
            .collect::<Option<Vec<_>>>()
    })
    .await;
    let ids = |call: &Value| {
        let text = |name: &str| call[name].as_str().unwrap().to_owned();
        (text("traceId"), text("spanId"))
    };
    let calls: Vec<_> = calls.iter().map(ids).collect();
    let named = |at: usize| {
        let told = told[at].as_deref().unwrap();
        let [_, trace, span, _] = told.split('-').collect::<Vec<_>>()[..] else {
            panic!("{told}")
        };
        (trace.to_owned(), span.to_owned())
    };
    assert_eq!(named(0), calls[0]);
    assert_eq!(calls[1].0, TRACE);
    assert_eq!(calls[2].0, TRACE, "the trace that the message names");
    assert_eq!(named(2), calls[2], "and the head names it too");
    assert_eq!(named(3), calls[3], "the first of a batch");
    assert_eq!(calls[4].0, calls[3].0, "the others are of the same trace");
    assert_eq!(named(4), calls[5], "in the place of what nobody can read");
    assert_eq!(calls[6].0, other);
    assert_eq!(named(5), calls[6]);
}

#[tokio::test]
async fn no_traceparent_is_made_up_where_nobody_wants_it_or_nothing_is_sent() {
    for (flags, variables) in [
        (&["--traceparent", "false"][..], &[][..]),
        (&[], &[("OTEL_SDK_DISABLED", "true")]),
        (&[], &[("OTEL_TRACES_EXPORTER", "none")]),
        (&[], &[("OTEL_TRACES_SAMPLER", "always_off")]),
    ] {
        let (upstream, got) = start_server().await;
        let spool = tempfile::tempdir().unwrap();
        let spool = [("MCPTAP_SPOOL_DIR", spool.path().to_str().unwrap())];
        let variables = [variables, &spool].concat();
        let proxy = ProxyProcess::with(&format!("http://{upstream}"), flags, &variables).await;
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let request = reqwest::Client::new()
            .post(format!("http://{}/mcp", proxy.address))
            .json(&call);
        assert_eq!(request.send().await.unwrap().status(), 200);
        assert_eq!(
            traceparent(&got.lock().unwrap()[0]),
            None,
            "{flags:?} {variables:?}"
        );
    }
}
