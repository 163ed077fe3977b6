//! Exports that are refused stand in the server's own log, with the sender and the reason.

use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

use crate::commands::mcptap;
use crate::support::{
    Database, TestProcess, TestServer, eventually, line, logs_request, span, traces_request,
};

#[tokio::test]
async fn the_log_tells_who_is_refused_and_why_and_counts_the_rest() {
    let database = Database::sqlite();
    let server = TestProcess::serve(&database).await;
    let post = async |url: String, kind: &'static str, body: Vec<u8>| {
        let sent = server.web().post(url).header("content-type", kind).body(body);
        sent.send().await.unwrap().status().as_u16()
    };
    let at = |path: &str| format!("{}{path}", server.otlp_http_url());
    let json = "application/json";
    for _ in 0..3 {
        assert_eq!(post(at("/v1/traces"), "text/plain", b"hello".to_vec()).await, 415);
    }
    assert_eq!(
        post(at("/v1/traces"), json, b"no JSON\nWARN forged".to_vec()).await,
        400
    );
    assert_eq!(post(at("/v1/logs"), json, vec![b' '; (16 << 20) + 1]).await, 413);
    assert_eq!(post(at("/v1/spans"), json, b"{}".to_vec()).await, 404);
    assert_eq!(post(server.url("/v1/traces"), json, b"{}".to_vec()).await, 404);
    // What is no export is nobody's refusal.
    assert_eq!(server.get("/nowhere").await.0, 404);
    assert_eq!(post(at("/v1/traces"), json, b"{}".to_vec()).await, 200);
    let grpc = format!("{}/nowhere.Service/Export", server.otlp_grpc_url());
    assert_eq!(post(grpc, json, b"{}".to_vec()).await, 415);
    // The beginning of a TLS handshake, as of an endpoint with https.
    for url in [server.otlp_http_url(), server.otlp_grpc_url()] {
        let address = url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
    }
    // From the first key on everybody needs one.
    let folder = tempfile::tempdir().unwrap();
    let create = [
        "keys",
        "create",
        "--name=a",
        "--scope=read",
        "--database-url",
        database.url(),
    ];
    let made = mcptap(folder.path(), &create, &[]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let refused = async |key: Option<&str>| {
        let mut sent = server
            .web()
            .post(at("/v1/traces"))
            .header("content-type", json)
            .body("{}");
        if let Some(key) = key {
            sent = sent.header("x-api-key", key);
        }
        sent.send().await.unwrap().status().as_u16()
    };
    let known = async || (refused(None).await == 401).then_some(());
    eventually("the key is known", known).await;
    assert_eq!(refused(Some(&key)).await, 403);
    assert_eq!(refused(Some("mcptap_wrong")).await, 401);

    let log = server.stopped().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("refused")).collect();
    let told = |words: &[&str]| {
        let found = lines
            .iter()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        assert_eq!(found.count(), 1, "{words:?}: {log}");
    };
    told(&[
        "refused an export from 127.0.0.1:",
        "at OTLP/HTTP: 415",
        "\"text/plain\"",
    ]);
    told(&["refused 2 more exports from 127.0.0.1 at OTLP/HTTP: 415"]);
    told(&["refused an export", "at OTLP/HTTP: 400"]);
    told(&["refused an export", "at OTLP/HTTP: 413", "smaller batches"]);
    told(&[
        "refused an export",
        "at OTLP/HTTP: 404",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]);
    told(&["refused an export", "at the API's port: 404", "/v1/traces"]);
    told(&["refused an export", "at OTLP/gRPC: 415"]);
    told(&[
        "refused an export",
        "at OTLP/HTTP: it does not speak HTTP",
        "https://",
    ]);
    told(&["refused an export", "at OTLP/gRPC: it does not speak HTTP"]);
    told(&[
        "refused an export",
        "at OTLP/HTTP: 403",
        "it needs the scope ingest",
    ]);
    assert!(!log.contains("mcptap_wrong") && !log.contains(&key), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("WARN forged")), "{log}");
    let keyless = lines.iter().filter(|line| line.contains("401"));
    assert!(keyless.count() >= 2, "without a key, and with a wrong one: {log}");
}

/// One export of each signal, in both encodings.
fn exports() -> [(&'static str, Vec<u8>, &'static str); 3] {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
    };
    let call = span("tools/call add");
    let data_points = vec![NumberDataPoint::default()];
    let metric = Metric {
        name: "cpu".to_owned(),
        data: Some(Data::Gauge(Gauge { data_points })),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    }];
    let resource_metrics = vec![ResourceMetrics {
        scope_metrics,
        ..ResourceMetrics::default()
    }];
    let metrics = ExportMetricsServiceRequest { resource_metrics };
    [
        (
            "traces",
            traces_request([call.clone()]).encode_to_vec(),
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
            "spanId":"eee19b7ec3c1b174","name":"tools/call add","startTimeUnixNano":"1"}]}]}]}"#,
        ),
        (
            "logs",
            logs_request([line(&call, "out of stock")]).encode_to_vec(),
            r#"{"resource_logs":[{"scope_logs":[{"log_records":[{"body":{"stringValue":"out of stock"}}]}]}]}"#,
        ),
        (
            "metrics",
            metrics.encode_to_vec(),
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"cpu"}]}]}]}"#,
        ),
    ]
}

#[tokio::test]
async fn an_export_of_another_signal_is_told_where_it_belongs() {
    let server = TestServer::start().await;
    for (sent_as, ..) in exports() {
        for (of, protobuf, json) in exports() {
            let url = format!("{}/v1/{sent_as}", server.otlp_http_url());
            for (kind, body) in [
                ("application/x-protobuf", protobuf.clone()),
                ("application/json", json.as_bytes().to_vec()),
            ] {
                let sent = server.web().post(&url).header("content-type", kind).body(body);
                let answer = sent.send().await.unwrap();
                let status = answer.status().as_u16();
                let said = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
                if of == sent_as {
                    assert_eq!(status, 200, "{of} {kind}: {said}");
                } else {
                    assert_eq!(status, 400, "{of} as {sent_as} in {kind}: {said}");
                    assert!(said.contains(&format!("belongs to /v1/{of} ")), "{said}");
                }
            }
        }
    }
}

#[tokio::test]
async fn over_grpc_it_is_told_as_well() {
    let server = TestServer::start().await;
    let (traces, logs) = (
        traces_request([span("ping")]),
        logs_request([line(&span("ping"), "out of stock")]),
    );
    let url = server.otlp_grpc_url();
    for (service, of_traces, of_logs) in [
        ("trace.v1.TraceService", Code::Ok, Code::InvalidArgument),
        ("logs.v1.LogsService", Code::InvalidArgument, Code::Ok),
        (
            "metrics.v1.MetricsService",
            Code::InvalidArgument,
            Code::InvalidArgument,
        ),
    ] {
        assert_eq!(
            unary(&url, service, traces.clone()).await,
            of_traces,
            "traces to {service}"
        );
        assert_eq!(
            unary(&url, service, logs.clone()).await,
            of_logs,
            "logs to {service}"
        );
    }
}

/// Calls a service of OTLP over gRPC with any message.
async fn unary(url: &str, service: &str, message: impl prost::Message + Default + 'static) -> Code {
    let channel = tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = format!("/opentelemetry.proto.collector.{service}/Export")
        .parse()
        .unwrap();
    let codec = tonic_prost::ProstCodec::<_, ()>::default();
    match client.unary(tonic::Request::new(message), path, codec).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}
