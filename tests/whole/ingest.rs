//! OTLP in, by the official exporter and by hand: every encoding, and every answer the specification knows.

use std::io::Write;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Tracer, TracerProvider};
use opentelemetry_otlp::{Compression, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{Client, TestServer, on_each_database, sorted, span, traces_request};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A server's telemetry as the official SDK sends it: three calls of one session.
fn export_officially(exporter: SpanExporter) {
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("official").build())
        .with_batch_exporter(exporter)
        .build();
    let tracer = provider.tracer("test");
    for tool in ["get_order", "ship_order", "cancel_order"] {
        let attributes = [
            KeyValue::new("mcp.method.name", "tools/call"),
            KeyValue::new("gen_ai.tool.name", tool),
            KeyValue::new("gen_ai.tool.call.arguments", r#"{"id":"A-1001"}"#),
            KeyValue::new("warehouse", 7),
        ];
        let begun = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_348_800);
        let builder = tracer.span_builder(format!("tools/call {tool}"));
        let builder = builder
            .with_kind(SpanKind::Server)
            .with_start_time(begun)
            .with_attributes(attributes);
        let mut span = tracer.build(builder);
        opentelemetry::trace::Span::end_with_timestamp(
            &mut span,
            begun + std::time::Duration::from_micros(2500),
        );
    }
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();
}

#[tokio::test]
async fn the_official_exporter_is_understood() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        for compression in [None, Some(Compression::Gzip), Some(Compression::Zstd)] {
            let (http, grpc) = (
                format!("{}/v1/traces", server.otlp_http_url()),
                server.otlp_grpc_url(),
            );
            let runtime = tokio::runtime::Handle::current();
            let sending = tokio::task::spawn_blocking(move || {
                let _entered = runtime.enter();
                let over_http = SpanExporter::builder().with_http().with_endpoint(http);
                let over_grpc = SpanExporter::builder().with_tonic().with_endpoint(grpc);
                let (over_http, over_grpc) = match compression {
                    Some(by) => (over_http.with_compression(by), over_grpc.with_compression(by)),
                    None => (over_http, over_grpc),
                };
                export_officially(over_http.build().unwrap());
                export_officially(over_grpc.build().unwrap());
            });
            sending.await.unwrap();
        }
        let fields =
            "method tool durationMs startedAt server { name } observedBy outcome attributes request { json }";
        let calls = server.calls(Value::Null, fields).await;
        assert_eq!(calls.len(), 18, "three calls, two transports, three compressions");
        let mut tools = calls
            .iter()
            .map(|call| call["tool"].as_str().unwrap())
            .collect::<Vec<_>>();
        tools.sort_unstable();
        tools.dedup();
        assert_eq!(tools, ["cancel_order", "get_order", "ship_order"]);
        for call in calls {
            assert_eq!(call["method"], "tools/call");
            assert_eq!(call["startedAt"], "2026-11-22T12:00:00Z");
            assert_eq!(call["durationMs"], 2.5);
            assert_eq!(call["server"]["name"], "official");
            assert_eq!(call["observedBy"], "SERVER");
            assert_eq!(call["outcome"], "OK");
            assert_eq!(call["attributes"]["warehouse"], 7);
            let params = json!({"name": call["tool"], "arguments": {"id": "A-1001"}});
            assert_eq!(
                call["request"]["json"],
                json!({"method": "tools/call", "params": params})
            );
        }
    })
    .await;
}

/// An answer of OTLP/HTTP.
struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

async fn post(
    server: &Client,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let url = format!("{}{path}", server.otlp_http_url());
    let request = headers
        .iter()
        .fold(server.web().post(url), |request, (name, value)| {
            request.header(*name, *value)
        });
    let answer = request.body(body).send().await.unwrap();
    let content_type = answer
        .headers()
        .get("content-type")
        .map(|value| value.to_str().unwrap().to_owned());
    Answer {
        status: answer.status().as_u16(),
        content_type: content_type.unwrap_or_default(),
        body: answer.bytes().await.unwrap().to_vec(),
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// One span in OTLP's own JSON: ids in hex, 64-bit integers as text.
fn otlp_json(tool: &str, span_id: &str) -> String {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": span_id,
        "name": format!("tools/call {tool}"),
        "kind": 2,
        "startTimeUnixNano": "1795348800000000001",
        "endTimeUnixNano": "1795348800001500001",
        "attributes": [
            attribute("mcp.method.name", "tools/call"),
            attribute("gen_ai.tool.name", tool),
            {"key": "big", "value": {"intValue": "9007199254740993"}},
        ],
        "aFieldOfTheFuture": {},
    });
    let resource = json!({"attributes": [attribute("service.name", "json")]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}).to_string()
}

#[tokio::test]
async fn json_and_compressed_bodies_are_understood_and_answered_in_kind() {
    let server = TestServer::start().await;
    let plain = otlp_json("plain", "eee19b7ec3c1b171");
    let zipped = gzip(otlp_json("zipped", "eee19b7ec3c1b172").as_bytes());
    let squeezed = zstd::encode_all(otlp_json("squeezed", "eee19b7ec3c1b173").as_bytes(), 3).unwrap();
    let answers = [
        post(
            &server,
            "/v1/traces",
            &[("content-type", "application/json; charset=utf-8")],
            plain,
        )
        .await,
        post(
            &server,
            "/v1/traces",
            &[("content-type", JSON), ("content-encoding", "gzip")],
            zipped,
        )
        .await,
        post(
            &server,
            "/v1/traces",
            &[("content-type", JSON), ("content-encoding", "zstd")],
            squeezed,
        )
        .await,
    ];
    for answer in answers {
        assert_eq!(
            (
                answer.status,
                answer.content_type.as_str(),
                answer.body.as_slice()
            ),
            (200, JSON, b"{}".as_slice())
        );
    }
    let zipped = gzip(&traces_request([span("tools/call protobuf")]).encode_to_vec());
    let answer = post(
        &server,
        "/v1/traces",
        &[("content-type", PROTOBUF), ("content-encoding", "gzip")],
        zipped,
    )
    .await;
    assert_eq!(
        (answer.status, answer.content_type.as_str(), answer.body.len()),
        (200, PROTOBUF, 0)
    );

    let calls = server
        .calls(
            json!({"servers": ["json"]}),
            "tool startedAt durationMs attributes",
        )
        .await;
    let tools = sorted(calls.iter().map(|call| call["tool"].as_str().unwrap()));
    assert_eq!(tools, ["plain", "squeezed", "zipped"]);
    for call in &calls {
        assert_eq!(call["startedAt"], "2026-11-22T12:00:00.000000001Z");
        assert_eq!(call["durationMs"], 1.5);
        assert_eq!(call["attributes"]["big"].to_string(), "9007199254740993");
    }
    assert_eq!(
        server.calls(json!({"tools": ["protobuf"]}), "tool").await.len(),
        1
    );
}

#[tokio::test]
async fn what_can_never_be_stored_is_told_and_the_rest_is_stored() {
    let server = TestServer::start().await;
    let request = traces_request([
        span("tools/call good"),
        span("tools/call no_trace").with(|span| span.trace_id.clear()),
        span("tools/call short").with(|span| span.span_id.truncate(4)),
        span("tools/call zero").with(|span| span.span_id.fill(0)),
        span("tools/call never").with(|span| span.start_time_unix_nano = 0),
    ]);
    let partial = server.try_send(&request).await.unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 4);
    assert!(
        partial.error_message.contains("no_trace")
            && partial.error_message.contains("and 2 more: invalid_id"),
        "{partial:?}"
    );
    let partial = server
        .grpc()
        .await
        .export(request.clone())
        .await
        .unwrap()
        .into_inner()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_spans, 4);
    assert_eq!(server.calls(Value::Null, "tool").await, [json!({"tool": "good"})]);
    assert_eq!(server.metric("rejected_spans_total").await, 8);

    let body = otlp_json("odd", "eee19b7ec3c1b174").replace("eee19b7ec3c1b174", "0000000000000000");
    let answer = post(&server, "/v1/traces", &[("content-type", JSON)], body).await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &body["partialSuccess"]["rejectedSpans"]),
        (200, &json!("1"))
    );
}

#[tokio::test]
async fn metrics_are_taken_with_a_warning_and_nothing_is_stored() {
    let server = TestServer::start().await;
    let answer = post(&server, "/v1/metrics", &[("content-type", PROTOBUF)], Vec::new()).await;
    assert_eq!(answer.status, 200);
    let warned = ExportMetricsServiceResponse::decode(answer.body.as_slice())
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(
        (warned.rejected_data_points, warned.error_message.is_empty()),
        (0, false)
    );
    let answer = post(&server, "/v1/metrics", &[("content-type", JSON)], "{}").await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["partialSuccess"]["errorMessage"], warned.error_message);
    let mut grpc = MetricsServiceClient::connect(server.otlp_grpc_url())
        .await
        .unwrap();
    let answer = grpc
        .export(ExportMetricsServiceRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        answer.partial_success.unwrap().error_message,
        warned.error_message
    );
    assert_eq!(server.metric("metric_exports_total").await, 3);
}

#[tokio::test]
async fn an_empty_export_is_all_well() {
    let server = TestServer::start().await;
    for path in ["/v1/traces", "/v1/logs"] {
        let answer = post(&server, path, &[("content-type", PROTOBUF)], Vec::new()).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        let answer = post(&server, path, &[("content-type", JSON)], "{}").await;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, b"{}".as_slice()),
            "{path}"
        );
    }
    server.export_grpc([]).await;
    let (trace, log) = (
        ExportTraceServiceResponse::default(),
        ExportLogsServiceResponse::default(),
    );
    assert!(
        trace.encode_to_vec().is_empty() && log.encode_to_vec().is_empty(),
        "full success is the empty message"
    );
}

#[tokio::test]
async fn refusals_say_why_in_the_encoding_of_the_request() {
    let server = TestServer::start().await;
    let bomb = gzip(&vec![0; 17 << 20]);
    assert!(bomb.len() < 64 << 10, "small on the wire: {}", bomb.len());
    let large = vec![0; (16 << 20) + 1];
    let (traces, logs) = ("/v1/traces", "/v1/logs");
    let cases = [
        (
            traces,
            PROTOBUF,
            "identity",
            b"\xff\xff\xff".to_vec(),
            400,
            "no OTLP request",
        ),
        (
            traces,
            JSON,
            "identity",
            b"{\"resourceSpans\":3}".to_vec(),
            400,
            "resourceSpans",
        ),
        (logs, JSON, "identity", b"[".to_vec(), 400, "not JSON"),
        (traces, PROTOBUF, "gzip", b"no gzip".to_vec(), 400, "decompressed"),
        (traces, PROTOBUF, "gzip", bomb, 413, "16777216"),
        (logs, PROTOBUF, "identity", large, 413, "16777216"),
        (traces, "text/plain", "identity", Vec::new(), 415, "text/plain"),
        (traces, JSON, "br", b"{}".to_vec(), 415, "br"),
    ];
    let refusals = cases.len() as u64;
    for (path, content_type, encoding, body, status, said) in cases {
        let headers = [("content-type", content_type), ("content-encoding", encoding)];
        let answer = post(&server, path, &headers, body).await;
        assert_eq!(answer.status, status, "{headers:?}");
        let (code, message) = if content_type == JSON {
            assert_eq!(answer.content_type, JSON);
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            (
                body["code"].as_i64().unwrap(),
                body["message"].as_str().unwrap().to_owned(),
            )
        } else {
            assert_eq!(answer.content_type, PROTOBUF, "{headers:?}");
            let body = tonic_types::Status::decode(answer.body.as_slice()).unwrap();
            (body.code.into(), body.message)
        };
        assert_eq!(code, i64::from(i32::from(Code::InvalidArgument)), "{message}");
        assert!(message.contains(said), "{said:?} is not in {message:?}");
    }
    assert_eq!(server.metric("refused_exports_total").await, refusals);
    assert_eq!(post(&server, "/v1/nothing", &[], Vec::new()).await.status, 404);
}

#[tokio::test]
async fn a_bomb_over_grpc_is_refused_for_good() {
    let server = TestServer::start().await;
    let filler = "x".repeat(17 << 20);
    let grpc = server
        .grpc()
        .await
        .send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let mut grpc = grpc.max_encoding_message_size(64 << 20);
    let request = traces_request([span("tools/call bomb").attr("filler", filler.as_str())]);
    let refused = grpc.export(request).await.unwrap_err();
    assert!(
        refused.get_details_retry_info().is_none(),
        "not to be sent again: {refused:?}"
    );
    server.export_grpc([span("tools/call after")]).await;
    assert_eq!(
        server.calls(Value::Null, "tool").await,
        [json!({"tool": "after"})]
    );
}
