//! OTLP/HTTP: `/v1/traces`, `/v1/logs`, `/v1/metrics` in protobuf and JSON, plain or packed in gzip, deflate or zstd.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::post;

use crate::codec::{Accepted, Encoding, Signal};
use crate::inflate::Codings;
use crate::ingest::{Collector, Export};
use crate::receive::receive;
use crate::status::Refusal;

/// The OTLP/HTTP routes, to be served alone or merged into another axum server.
pub fn http_router(collector: &Collector) -> Router {
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(metrics))
        .with_state(collector.clone())
}

async fn traces(State(collector): State<Collector>, request: Request) -> Response<Body> {
    answer(&collector, Signal::Traces, request).await
}

async fn logs(State(collector): State<Collector>, request: Request) -> Response<Body> {
    answer(&collector, Signal::Logs, request).await
}

async fn metrics(State(collector): State<Collector>, request: Request) -> Response<Body> {
    answer(&collector, Signal::Metrics, request).await
}

/// Reads the body within its bounds, has it stored, and answers in the encoding of the request.
async fn answer(collector: &Collector, signal: Signal, request: Request) -> Response<Body> {
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let answer_in = Encoding::of_answer(content_type.as_ref());
    let (head, body) = request.into_parts();
    match store(collector, signal, &head.headers, body).await {
        Ok(accepted) => answer_in.accepted(signal, &accepted),
        Err(refusal) => {
            collector.refused(refusal.retry_after_seconds().is_some());
            answer_in.refused(&refusal)
        }
    }
}

async fn store(
    collector: &Collector,
    signal: Signal,
    headers: &HeaderMap,
    body: Body,
) -> Result<Accepted, Refusal> {
    let sender = collector.sender(headers).await?;
    let encoding = Encoding::of(headers.get(header::CONTENT_TYPE))?;
    let codings = Codings::of(headers, &header::CONTENT_ENCODING)?;
    let received = receive(headers, body, collector.memory()).await?;
    let export = Export {
        signal,
        encoding,
        codings,
        received,
    };
    collector.export(export, sender).await
}
