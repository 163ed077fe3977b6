//! The wrapper and a server that has telemetry of its own: one request, one record, where the server is told of the trace.

use serde_json::Value;

use super::{Wrapping, call_tool, calls_of, python};
use crate::support::{TestServer, eventually, span};

/// Says what it got, and from when to when it worked on it.
const TIMED: &str = r#"
import json, sys, time
for line in sys.stdin:
    since = time.time_ns()
    time.sleep(0.05)
    asked = json.loads(line)
    result = {"got": line, "since": since, "until": time.time_ns()}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"#;

#[tokio::test]
async fn a_server_with_telemetry_of_its_own_has_one_record_where_it_is_told_of_the_trace() {
    let server = TestServer::start().await;
    let mut wrapped = Wrapping::to(&server)
        .with("MCPTAP_WRAP_TRACEPARENT", "true")
        .run(&python(TIMED));
    wrapped.send(&call_tool(1, "sell")).await;
    let answer: Value = serde_json::from_str(&wrapped.line().await).unwrap();
    let answer = &answer["result"];
    wrapped.end().await;
    let got: Value = serde_json::from_str(answer["got"].as_str().unwrap()).unwrap();
    let traceparent = got["params"]["_meta"]["traceparent"].as_str().unwrap();
    let ids: Vec<Vec<u8>> = traceparent
        .split('-')
        .map(|id| {
            let digits = id.as_bytes().chunks(2);
            digits
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        })
        .collect();
    let own = span("tools/call sell")
        .attr("jsonrpc.request.id", "1")
        .attr("by.itself", "yes")
        .with(|span| {
            (span.trace_id, span.parent_span_id) = (ids[1].clone(), ids[2].clone());
            span.start_time_unix_nano = answer["since"].as_u64().unwrap();
            span.end_time_unix_nano = answer["until"].as_u64().unwrap();
        });
    calls_of(&server, 1, "id").await;
    server.export([own]).await;
    eventually("both views in one call", async || {
        let calls = server.calls(Value::Null, "transport attributes").await;
        let both = |call: &Value| call["transport"] == "STDIO" && call["attributes"]["by.itself"] == "yes";
        (calls.len() == 1 && calls.iter().all(both)).then_some(())
    })
    .await;
}
