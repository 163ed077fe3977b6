//! Large exports that are small on the wire: they take their share of memory and of the processor, and no more.

use std::io::Write;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use mcptap::Settings;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

use crate::support::{Client, Database, TestProcess, TestServer, span, traces_request};

/// The largest body that is received, in bytes.
const LARGEST: usize = 16 << 20;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

async fn post(client: &Client, zipped: Vec<u8>) -> reqwest::Response {
    let request = client.web().post(format!("{}/v1/traces", client.otlp_http_url()));
    let request = request.header("content-type", "application/x-protobuf");
    let request = request.header("content-encoding", "gzip").body(zipped);
    // Also a slow machine ends it some time.
    request.timeout(Duration::from_secs(600)).send().await.unwrap()
}

/// On one thread for everything but the work on exports: if that were done beside the doors, they would be shut.
#[tokio::test]
async fn health_is_answered_while_large_exports_are_worked_on() {
    let settings = Settings {
        memory_budget: Some("1GiB".parse().unwrap()),
        ..Settings::default()
    };
    let server = TestServer::with(Database::sqlite(), settings).await;
    let text = "sk-".repeat(100_000);
    let spans = (0..LARGEST / text.len() - 1)
        .map(|_| span("tools/call get_order").attr("gen_ai.tool.call.arguments", text.as_str()));
    let zipped = gzip(&traces_request(spans).encode_to_vec());
    assert!(zipped.len() < 1 << 20, "small on the wire: {}", zipped.len());

    let mut exports: FuturesUnordered<_> = (0..4).map(|_| post(&server, zipped.clone())).collect();
    let mut healthy = 0;
    let first = loop {
        tokio::select! {
            biased;
            answer = exports.next() => break answer.unwrap(),
            health = server.get("/healthz") => {
                assert_eq!(health, (200, "ok\n".to_owned()));
                healthy += 1;
            }
        }
    };
    // While the work is done beside the doors, next to none is answered before the first export is.
    assert!(healthy >= 10, "{healthy} answers");
    for answer in [first].into_iter().chain(exports.collect::<Vec<_>>().await) {
        assert_eq!(answer.status(), 200);
    }
}

/// A traces request of which the resource spans are given as they are on the wire.
#[derive(Clone, PartialEq, Message)]
struct Raw {
    #[prost(bytes = "vec", tag = "1")]
    resource_spans: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    unknown: Vec<u8>,
}

/// Empty messages, two bytes each on the wire: `12 00`, at every depth where they mean something.
fn empty_messages() -> [Raw; 3] {
    let pairs = [0x12, 0].repeat(LARGEST / 2 - 32);
    let mut scope = vec![0x12];
    prost::encoding::encode_varint(pairs.len() as u64, &mut scope);
    scope.extend_from_slice(&pairs);
    [
        // Spans.
        Raw {
            resource_spans: scope,
            ..Raw::default()
        },
        // Scopes.
        Raw {
            resource_spans: pairs.clone(),
            ..Raw::default()
        },
        // Nothing that is known.
        Raw {
            unknown: pairs,
            ..Raw::default()
        },
    ]
}

async fn post_grpc(client: &Client, message: Raw) -> Result<(), tonic::Status> {
    let channel = tonic::transport::Endpoint::new(client.otlp_grpc_url())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut grpc = tonic::client::Grpc::new(channel)
        .send_compressed(tonic::codec::CompressionEncoding::Gzip)
        .max_encoding_message_size(64 << 20);
    grpc.ready().await.unwrap();
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    let codec = tonic_prost::ProstCodec::<Raw, ExportTraceServiceResponse>::default();
    grpc.unary(tonic::Request::new(message), path, codec)
        .await
        .map(drop)
}

#[tokio::test]
async fn millions_of_empty_messages_take_no_memory() {
    let database = Database::sqlite();
    let process = TestProcess::serve(&database).await;
    process.export([span("tools/call before")]).await;
    let before = process.peak_memory();
    for message in empty_messages() {
        let zipped = gzip(&message.encode_to_vec());
        assert!(zipped.len() < 64 << 10, "small on the wire: {}", zipped.len());
        let status = post(&process, zipped).await.status().as_u16();
        assert!(matches!(status, 200 | 413 | 429), "{status}");
        if let Err(refused) = post_grpc(&process, message).await {
            let code = refused.code();
            assert!(
                matches!(
                    code,
                    tonic::Code::InvalidArgument | tonic::Code::ResourceExhausted
                ),
                "{refused:?}"
            );
        }
    }
    let more = process.peak_memory() - before;
    assert!(more < 200 << 20, "{} MiB more", more >> 20);
    process.export([span("tools/call after")]).await;
}

/// A logs request of lines that name no span, one in each of these traces.
fn lines(traces: std::ops::Range<u8>, body: &str, first: u64, count: u64) -> Vec<u8> {
    let line = |trace: u8, at: u64| LogRecord {
        time_unix_nano: NOON + at,
        trace_id: [[1; 15].as_slice(), &[trace + 1]].concat(),
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(format!("{at} {body}"))),
        }),
        ..LogRecord::default()
    };
    let records = traces.flat_map(|trace| (first..first + count).map(move |at| line(trace, at)));
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    request.encode_to_vec()
}

/// 2026-11-22T12:00:00Z.
const NOON: u64 = 1_795_348_800_000_000_000;

async fn post_logs(client: &Client, body: &[u8]) {
    for _ in 0..600 {
        let request = client.web().post(format!("{}/v1/logs", client.otlp_http_url()));
        let request = request.header("content-type", "application/x-protobuf");
        let request = request.header("content-encoding", "gzip").body(gzip(body));
        let status = request
            .timeout(Duration::from_secs(600))
            .send()
            .await
            .unwrap()
            .status();
        if status == 200 {
            return;
        }
        assert_eq!(status, 429);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("an export of log lines is never taken");
}

/// Both halves: what waits is stored in small parts, and then one export touches all of it.
#[tokio::test]
async fn what_waits_takes_no_more_memory_than_there_is_for_it() {
    let database = Database::sqlite();
    let process = TestProcess::serve_with_budget(&database, "512MiB").await;
    let large = "x".repeat(1_000_000);
    for trace in 0..8 {
        for part in 0..5 {
            post_logs(&process, &lines(trace..trace + 1, &large, part * 10, 10)).await;
        }
    }
    let before = process.peak_memory();
    post_logs(&process, &lines(0..8, "small", 1_000, 1)).await;
    let more = process.peak_memory() - before;
    // 400 MB wait, and each of them was there three times.
    assert!(more < 200 << 20, "{} MiB more", more >> 20);
}
