//! OTLP over HTTP as real senders send it: addresses set in other ways than meant, pages in browsers, records without times.

use std::io::Write;

use mcptap::Settings;
use mcptap_model::UnixNanos;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Client, Database, TestServer, line, sorted, span, traces_request};

const JSON: &str = "application/json";
const PAGE: &str = "http://app.example:3000";

async fn post(server: &Client, path: &str, tool: &str) -> u16 {
    let body = traces_request([span(&format!("tools/call {tool}"))]).encode_to_vec();
    let request = server.web().post(format!("{}{path}", server.otlp_http_url()));
    let request = request
        .header("content-type", "application/x-protobuf")
        .body(body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_path_that_means_another_is_served_as_that() {
    let server = TestServer::start().await;
    let paths = [
        "/v1/traces",
        "/v1/traces/",
        "//v1/traces",
        "/v1/traces/v1/traces",
        "/v1/logs/v1/traces?x=1",
    ];
    for (number, path) in paths.iter().enumerate() {
        assert_eq!(post(&server, path, &format!("p{number}")).await, 200, "{path}");
    }
    assert_eq!(server.calls(Value::Null, "tool").await.len(), paths.len());
    for path in [
        "/v1/logs/",
        "/v1/traces/v1/logs",
        "//v1/metrics",
        "/v1/metrics/v1/metrics",
    ] {
        let request = server.web().post(format!("{}{path}", server.otlp_http_url()));
        let answer = request
            .header("content-type", JSON)
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let request = server.web().get(format!("{}{path}", server.otlp_http_url()));
        assert_eq!(request.send().await.unwrap().status(), 405, "{path}");
    }
    assert_eq!(server.metric("metric_exports_total").await, 2);
}

#[tokio::test]
async fn deflate_is_undone_over_both_transports() {
    let server = TestServer::start().await;
    let body = traces_request([span("tools/call http")]).encode_to_vec();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(&body).unwrap();
    let zlib = zlib.finish().unwrap();
    let send = |coding: &'static str, body: Vec<u8>| {
        let request = server.web().post(format!("{}/v1/traces", server.otlp_http_url()));
        let request = request.header("content-type", "application/x-protobuf");
        request.header("content-encoding", coding).body(body).send()
    };
    assert_eq!(send("Deflate", zlib.clone()).await.unwrap().status(), 200);
    let refused = send("br", Vec::new()).await.unwrap();
    assert_eq!(refused.status(), 415);
    assert_eq!(refused.headers()["accept-encoding"], "gzip, deflate, zstd");
    let length = u32::try_from(zlib.len()).unwrap().to_be_bytes();
    let request = server.web().post(format!(
        "{}/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        server.otlp_grpc_url()
    ));
    let request = request
        .header("content-type", "application/grpc")
        .header("grpc-encoding", "deflate")
        .body([&[1][..], &length, &zlib].concat());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers().get("grpc-status"), None);
    assert_eq!(server.calls(json!({"tools": ["http"]}), "tool").await.len(), 1);
    assert_eq!(server.metric("spans_total").await, 2);
}

/// So many maps in each other.
fn nested(levels: usize) -> Any {
    (0..levels).fold(Any::StringValue("x".into()), |value, _| {
        let value = Some(AnyValue { value: Some(value) });
        Any::KvlistValue(KeyValueList {
            values: vec![KeyValue {
                key: "k".into(),
                value,
                ..KeyValue::default()
            }],
        })
    })
}

#[tokio::test]
async fn a_bad_value_costs_itself_alone_and_is_told() {
    let server = TestServer::start().await;
    let deep = span("tools/call deep").with(|span| {
        span.attributes.push(KeyValue {
            key: "gen_ai.tool.call.result".into(),
            value: Some(AnyValue {
                value: Some(nested(40)),
            }),
            ..KeyValue::default()
        });
    });
    let request = traces_request([deep.clone(), span("tools/call beside")]);
    let over_grpc = server.grpc().await.export(request.clone()).await.unwrap();
    let over_http = server.try_send(&request).await.unwrap();
    for answer in [over_grpc.into_inner(), over_http] {
        let partial = answer.partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 0);
        assert!(
            partial.error_message.contains("gen_ai.tool.call.result")
                && partial.error_message.contains("deep"),
            "{partial:?}"
        );
    }
    let tools = server.calls(Value::Null, "tool").await;
    let tools = sorted(tools.iter().map(|call| call["tool"].as_str().unwrap()));
    assert_eq!(tools, ["beside", "deep"]);

    let spans: Vec<Value> = [
        ("half", r#"{"stringValue":"cut \ud83d"}"#),
        ("word", r#"{"intValue":"many"}"#),
        ("flat", r#"{"stringValue":"whole"}"#),
    ]
    .iter()
    .enumerate()
    .map(|(number, (tool, value))| {
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        json!({
            "traceId": format!("{:032x}", number + 1), "spanId": format!("{:016X}", number + 1),
            "name": format!("tools/call {tool}"), "kind": "SPAN_KIND_SERVER", "startTimeUnixNano": 1.7953488e18,
            "attributes": [text("mcp.method.name", "tools/call"), text("gen_ai.tool.name", tool),
                           {"key": "value", "value": format!("<{value}>")}],
        })
    })
    .collect();
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    // As the library for JSON would not write it.
    let body = body.replace("\"<", "").replace(">\"", "").replace("\\\"", "\"");
    let body = format!("\u{feff}{}", body.replace(r"\\ud83d", r"\ud83d"));
    let request = server.web().post(format!("{}/v1/traces", server.otlp_http_url()));
    let answer = request
        .header("content-type", JSON)
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let partial: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(
        partial["partialSuccess"],
        json!({"rejectedSpans": "0",
            "errorMessage": "left out: span \"tools/call word\": attribute \"value\" is not a whole number of 64 bits"})
    );
    let calls = server
        .calls(json!({"tools": ["half", "word", "flat"]}), "tool attributes")
        .await;
    let values = calls
        .iter()
        .map(|call| format!("{} {}", call["tool"], call["attributes"]["value"]));
    assert_eq!(
        sorted(values),
        ["\"flat\" \"whole\"", "\"half\" \"cut \u{fffd}\"", "\"word\" null"]
    );
    // A secret in a name is not told back either.
    let token = format!("ghp_{}", "A1b2C3d4E5f6".repeat(3));
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"key": token, "value": 7}]}]}]}]});
    let request = server.web().post(format!("{}/v1/traces", server.otlp_http_url()));
    let answer = request
        .header("content-type", JSON)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let told = answer.text().await.unwrap();
    assert!(told.contains("left out") && !told.contains(&token), "{told}");
    assert_eq!(server.metric("unreadable_values_total").await, 4);
    assert_eq!(server.metric("rejected_spans_total").await, 1);
}

async fn of_page(server: &Client, method: Method, origin: &str, headers: &[(&str, &str)]) -> Response {
    let request = server
        .web()
        .request(method, format!("{}/v1/traces", server.otlp_http_url()));
    let request = headers
        .iter()
        .fold(request.header("origin", origin), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.body("{}").send().await.unwrap()
}

#[tokio::test]
async fn pages_of_listed_origins_may_send_and_no_others() {
    let listed = TestServer::with(
        Database::sqlite(),
        Settings {
            allowed_origins: Some(vec![format!("{PAGE}/")]),
            ..Settings::default()
        },
    )
    .await;
    let names = "authorization,content-type,traceparent,x-tenant";
    let asks = [
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", names),
        ("access-control-request-private-network", "true"),
    ];
    let preflight = of_page(&listed, Method::OPTIONS, PAGE, &asks).await;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], PAGE);
    assert_eq!(preflight.headers()["access-control-allow-headers"], names);
    assert_eq!(preflight.headers()["access-control-allow-methods"], "POST");
    assert_eq!(
        preflight.headers()["access-control-allow-private-network"],
        "true"
    );
    assert_eq!(preflight.headers()["access-control-allow-credentials"], "true");
    let sends = [("content-type", JSON)];
    let sent = of_page(&listed, Method::POST, PAGE, &sends).await;
    assert_eq!(sent.status(), 200);
    assert_eq!(sent.headers()["access-control-allow-origin"], PAGE);
    // A refusal is shown to the page, too.
    let refused = of_page(&listed, Method::POST, PAGE, &[]).await;
    assert_eq!(refused.status(), 415);
    assert_eq!(refused.headers()["access-control-allow-origin"], PAGE);

    let none = TestServer::start().await;
    for (server, origin) in [(&listed, "http://evil.example"), (&none, PAGE), (&none, "null")] {
        for (method, headers) in [(Method::OPTIONS, &asks[..]), (Method::POST, &sends[..])] {
            let answer = of_page(server, method, origin, headers).await;
            assert_eq!(answer.status(), 403, "{origin}");
            assert_eq!(answer.headers().get("access-control-allow-origin"), None);
            assert!(answer.text().await.unwrap().contains("--allowed-origins"));
        }
    }
}

#[tokio::test]
async fn records_without_any_time_are_of_the_moment_they_came() {
    let server = TestServer::start().await;
    let before = UnixNanos::now();
    let call = span("tools/call timed").with(|span| {
        span.events = vec![Event {
            name: "untimed event".into(),
            ..Event::default()
        }];
    });
    let log = line(&call, "untimed record").with(|record| {
        record.time_unix_nano = 0;
        record.observed_time_unix_nano = 0;
    });
    let observed = line(&call, "observed record").with(|record| {
        record.observed_time_unix_nano = record.time_unix_nano;
        record.time_unix_nano = 0;
    });
    server.export([call]).await;
    server.export_logs([log, observed]).await;
    let calls = server
        .calls(Value::Null, "startedAt logs(first: 9) { nodes { body time } }")
        .await;
    let lines = calls[0]["logs"]["nodes"].as_array().unwrap();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let time: UnixNanos = line["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(time >= before, line["body"] != "observed record", "{line}");
    }
}
