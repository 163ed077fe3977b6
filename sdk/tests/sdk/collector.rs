//! A collector that can be started late, killed, restarted and told what to answer. HTTP and gRPC on one port, with
//! or without TLS.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flate2::read::GzDecoder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tonic::codec::CompressionEncoding;

/// What a collector was sent, over all its lives.
#[derive(Clone, Default)]
pub(crate) struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    logs: Arc<Mutex<Vec<LogRecord>>>,
    headers: Arc<Mutex<HeaderMap>>,
    /// Statuses to answer the next exports of spans with; 206 takes all spans but one, and 299 is a page that takes none.
    answers: Arc<Mutex<VecDeque<u16>>>,
    limits: Arc<Mutex<Limits>>,
}

/// The requests that are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The largest request, in bytes: over HTTP as they come, over gRPC decompressed, as servers count them.
    pub(crate) largest: usize,
    pub(crate) reads_gzip: bool,
    /// How many requests were rejected.
    pub(crate) rejected: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            largest: usize::MAX,
            reads_gzip: true,
            rejected: 0,
        }
    }
}

/// The page of a network that wants a login, with the status of success.
pub(crate) const PAGE: u16 = 299;

/// A collector that runs. Dropping it kills it, in the middle of whatever it does.
pub(crate) struct Collector {
    runtime: Option<Runtime>,
}

impl Received {
    pub(crate) fn answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    /// The limits from now on.
    pub(crate) fn limits(&self, largest: usize, reads_gzip: bool) {
        *self.limits.lock().unwrap() = Limits {
            largest,
            reads_gzip,
            rejected: 0,
        };
    }

    /// How many requests were rejected.
    pub(crate) fn rejected(&self) -> usize {
        self.limits.lock().unwrap().rejected
    }

    /// Whether a request is within the limits.
    fn passes(&self, bytes: usize, is_gzip: bool) -> Result<(), StatusCode> {
        let mut limits = self.limits.lock().unwrap();
        let passed = if is_gzip && !limits.reads_gzip {
            Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        } else if bytes > limits.largest {
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        } else {
            Ok(())
        };
        limits.rejected += usize::from(passed.is_err());
        passed
    }

    /// The names of the spans, in the order they came.
    pub(crate) fn names(&self) -> Vec<String> {
        let spans = self.spans.lock().unwrap();
        spans.iter().map(|span| span.name.clone()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.logs.lock().unwrap().clone()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers.lock().unwrap();
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    /// Waits for so many spans and log records.
    pub(crate) fn wait_for(&self, spans: usize, logs: usize) {
        for _ in 0..1500 {
            if self.spans.lock().unwrap().len() >= spans && self.logs.lock().unwrap().len() >= logs {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("only {:?} and {} logs came", self.names(), self.logs().len());
    }

    /// Waits until so many of the [answers](Self::answer) are left.
    pub(crate) fn wait_for_answers(&self, left: usize) {
        for _ in 0..1500 {
            if self.answers.lock().unwrap().len() <= left {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nobody asks");
    }

    /// Forgets what came so far.
    pub(crate) fn forget(&self) {
        self.spans.lock().unwrap().clear();
    }

    fn take_spans(&self, headers: HeaderMap, request: ExportTraceServiceRequest) -> Result<u64, u16> {
        *self.headers.lock().unwrap() = headers;
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(200);
        if answer == PAGE || !(200..300).contains(&answer) {
            return Err(answer);
        }
        let spans = request.resource_spans.into_iter();
        let spans = spans.flat_map(|spans| spans.scope_spans);
        let refused = u64::from(answer == 206);
        let taken = spans
            .flat_map(|spans| spans.spans)
            .skip(usize::from(answer == 206));
        self.spans.lock().unwrap().extend(taken);
        Ok(refused)
    }

    fn take_logs(&self, request: ExportLogsServiceRequest) {
        let logs = request.resource_logs.into_iter();
        let logs = logs.flat_map(|logs| logs.scope_logs);
        self.logs
            .lock()
            .unwrap()
            .extend(logs.flat_map(|logs| logs.log_records));
    }
}

fn partial(refused: u64) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: (refused > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: refused.cast_signed(),
            error_message: "not this one".to_owned(),
        }),
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let headers = request.metadata().clone().into_headers();
        if self.passes(request.get_ref().encoded_len(), false).is_err() {
            return Err(tonic::Status::out_of_range("message length too large"));
        }
        match self.take_spans(headers, request.into_inner()) {
            Ok(refused) => Ok(tonic::Response::new(partial(refused))),
            Err(400) => Err(tonic::Status::invalid_argument("wrong")),
            Err(_) => Err(tonic::Status::unavailable("busy")),
        }
    }
}

#[tonic::async_trait]
impl LogsService for Received {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.take_logs(request.into_inner());
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

async fn traces(
    State(received): State<Received>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    received.passes(body.len(), is_gzip(&headers))?;
    let body = decoded(&headers, body);
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    match received.take_spans(headers, request) {
        Ok(refused) => Ok(partial(refused).encode_to_vec()),
        Err(PAGE) => Ok(b"<!doctype html><title>Welcome</title>".to_vec()),
        Err(status) => Err(StatusCode::from_u16(status).unwrap()),
    }
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get("content-encoding")
        .is_some_and(|coding| coding == "gzip")
}

/// The body without its coding.
fn decoded(headers: &HeaderMap, body: Bytes) -> Bytes {
    let mut plain = Vec::new();
    match headers
        .get("content-encoding")
        .map(|coding| coding.to_str().unwrap())
    {
        None => return body,
        Some("gzip") => GzDecoder::new(body.as_ref()).read_to_end(&mut plain).unwrap(),
        Some("zstd") => zstd::stream::read::Decoder::new(body.as_ref())
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap(),
        Some(other) => panic!("{other}?"),
    };
    plain.into()
}

async fn logs(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body = decoded(&headers, body);
    match ExportLogsServiceRequest::decode(body) {
        Ok(request) => {
            received.take_logs(request);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// A port that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

impl Collector {
    pub(crate) fn start(address: SocketAddr, received: &Received) -> Self {
        Self::start_with(address, received, None)
    }

    /// With TLS if there is a configuration for it.
    pub(crate) fn start_with(address: SocketAddr, received: &Received, tls: Option<ServerConfig>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let trace_service = TraceServiceServer::new(received.clone()).max_decoding_message_size(usize::MAX);
        let log_service = LogsServiceServer::new(received.clone());
        let (trace_service, log_service) = if received.limits.lock().unwrap().reads_gzip {
            (
                trace_service.accept_compressed(CompressionEncoding::Gzip),
                log_service.accept_compressed(CompressionEncoding::Gzip),
            )
        } else {
            (trace_service, log_service)
        };
        let router = tonic::service::Routes::new(trace_service)
            .add_service(log_service)
            .into_axum_router()
            .merge(
                axum::Router::new()
                    .route("/v1/traces", post(traces))
                    .route("/v1/logs", post(logs))
                    .with_state(received.clone()),
            );
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (router, tls) = (router.clone(), tls.clone());
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let service = TowerToHyperService::new(router);
                    // Clients may break off; that is their business.
                    let _ = match tls {
                        None => builder.serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
                            Err(_) => return,
                        },
                    };
                });
            }
        });
        Self {
            runtime: Some(runtime),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}
