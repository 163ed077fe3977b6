//! The way out: a server process that ends, and a collector that is slow to come up.
//!
//! The variables are read from the environment, so each test runs the server below as a process of its own.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Client, LEGACY, Shop};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use rmcp::ClientServiceExt;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest};
use rmcp::service::PeerRequestOptions;

/// A collector that turns the first requests away.
#[derive(Clone, Default)]
struct Collector {
    refusals: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    headers: Arc<Mutex<HeaderMap>>,
}

impl Collector {
    fn busy(refusals: usize) -> Self {
        Self {
            refusals: Arc::new(AtomicUsize::new(refusals)),
            ..Self::default()
        }
    }

    fn take(&self, request: ExportTraceServiceRequest) -> bool {
        if self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            return false;
        }
        self.received.lock().unwrap().push(request);
        true
    }

    /// The names of the spans received, with how each ended if it was not answered.
    fn spans(&self) -> Vec<(String, Option<String>)> {
        let received = self.received.lock().unwrap();
        let spans = received
            .iter()
            .flat_map(|request| &request.resource_spans)
            .flat_map(|spans| &spans.scope_spans);
        let spans = spans.flat_map(|spans| &spans.spans);
        let outcome = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
            let found = span
                .attributes
                .iter()
                .find(|attribute| attribute.key == "mcptap.outcome")?;
            text(found.value.as_ref()?.value.as_ref()?)
        };
        let mut spans: Vec<_> = spans.map(|span| (span.name.clone(), outcome(span))).collect();
        spans.sort();
        spans
    }

    fn resource(&self) -> BTreeMap<String, String> {
        let received = self.received.lock().unwrap();
        let resource = received
            .iter()
            .flat_map(|request| &request.resource_spans)
            .find_map(|spans| spans.resource.as_ref());
        let attributes = resource.unwrap().attributes.iter();
        attributes
            .filter_map(|at| Some((at.key.clone(), text(at.value.as_ref()?.value.as_ref()?)?)))
            .collect()
    }
}

fn text(value: &Value) -> Option<String> {
    if let Value::StringValue(text) = value {
        Some(text.clone())
    } else {
        None
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        if self.take(request.into_inner()) {
            Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
        } else {
            Err(tonic::Status::unavailable("busy"))
        }
    }
}

async fn over_http(
    State(collector): State<Collector>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> StatusCode {
    let mut plain = Vec::new();
    let body = match headers.get("content-encoding") {
        Some(coding) if coding == "gzip" => {
            GzDecoder::new(body.as_ref()).read_to_end(&mut plain).unwrap();
            plain.into()
        }
        _ => body,
    };
    *collector.headers.lock().unwrap() = headers;
    // Of a body in another coding it is enough that it came.
    let request = ExportTraceServiceRequest::decode(body).unwrap_or_default();
    if collector.take(request) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// Serves the collector by HTTP and by gRPC on one port, and returns its URL.
async fn listen(collector: &Collector) -> String {
    let router = tonic::service::Routes::new(TraceServiceServer::new(collector.clone()))
        .into_axum_router()
        .merge(
            axum::Router::new()
                .route("/v1/traces", post(over_http))
                .with_state(collector.clone()),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Runs [`server_process`] with these variables, to its end.
async fn run_server(variables: &[(&str, &str)]) -> Duration {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "export::server_process"])
        .stdout(Stdio::null());
    let spool = tempfile::tempdir().unwrap();
    command.env("MCPTAP_SPOOL_DIR", spool.path());
    command.envs(variables.iter().copied());
    let started = std::time::Instant::now();
    assert!(command.status().await.unwrap().success());
    started.elapsed()
}

/// Not a test of its own: the process that the others run. A server on the simplest runtime there is, which
/// exits with a request answered and another one still being handled.
#[test]
#[ignore = "run by the other tests as a process"]
fn server_process() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _telemetry = mcptap_sdk::init("argument").unwrap();
        let (server_end, client_end) = tokio::io::duplex(4096);
        let server = mcptap_sdk::instrument(Shop);
        tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
        let client = Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap();
        client
            .call_tool(CallToolRequestParams::new("span"))
            .await
            .unwrap();
        let deaf = ClientRequest::from(CallToolRequest::new(CallToolRequestParams::new("deaf")));
        let _handle = client
            .send_cancellable_request(deaf, PeerRequestOptions::no_options())
            .await
            .unwrap();
        // Time for the server to take it: it is never answered.
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
}

fn whole() -> Vec<(String, Option<String>)> {
    vec![
        ("initialize".to_owned(), None),
        ("tools/call deaf".to_owned(), Some("cancelled".to_owned())),
        ("tools/call span".to_owned(), None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_exits_loses_nothing_over_http() {
    let collector = Collector::busy(3);
    let url = listen(&collector).await;
    run_server(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=environment,deployment.environment.name=test",
        ),
    ])
    .await;
    assert_eq!(collector.spans(), whole());
    let resource = collector.resource();
    assert_eq!(resource.get("service.name").unwrap(), "environment");
    assert_eq!(resource.get("deployment.environment.name").unwrap(), "test");
    assert_eq!(resource.get("service.instance.id").unwrap().len(), 36);
    assert_eq!(
        collector.headers.lock().unwrap().get("authorization").unwrap(),
        "Bearer key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_exits_loses_nothing_over_grpc() {
    let collector = Collector::busy(3);
    let url = listen(&collector).await;
    run_server(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ])
    .await;
    assert_eq!(collector.spans(), whole());
    assert_eq!(collector.resource().get("service.name").unwrap(), "argument");
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_gzip_unless_the_environment_says_otherwise() {
    for (variables, coding) in [
        (vec![], Some("gzip")),
        (vec![("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")], Some("gzip")),
        (
            vec![("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd")],
            Some("zstd"),
        ),
        (vec![("OTEL_EXPORTER_OTLP_COMPRESSION", "none")], None),
    ] {
        let collector = Collector::default();
        let url = listen(&collector).await;
        run_server(&[variables.as_slice(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]].concat()).await;
        let headers = collector.headers.lock().unwrap();
        let told = headers
            .get("content-encoding")
            .map(|coding| coding.to_str().unwrap());
        assert_eq!(told, coding, "{variables:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_holds_nobody_up() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}");
    let took = run_server(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    assert!(took < Duration::from_secs(60), "took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_can_be_switched_off() {
    let collector = Collector::default();
    let url = listen(&collector).await;
    run_server(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_SDK_DISABLED", "true"),
    ])
    .await;
    assert!(collector.spans().is_empty());
}
