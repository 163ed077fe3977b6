//! OTLP/HTTP: `/v1/traces`, `/v1/logs`, `/v1/metrics` in protobuf and JSON, plain, gzip or zstd.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::post;
use mcptap_model::Access;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tower_http::decompression::RequestDecompressionLayer;

use crate::MAX_REQUEST_BYTES;
use crate::codec::{Accepted, Encoding, Signal};
use crate::ingest::Collector;
use crate::status::Refusal;

/// The OTLP/HTTP routes, to be served alone or merged into another axum server.
pub fn http_router(collector: &Collector) -> Router {
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(metrics))
        // What it cannot decompress passes, so that the refusal is ours: a google.rpc.Status that names the encoding.
        .layer(
            RequestDecompressionLayer::new()
                .gzip(true)
                .zstd(true)
                .pass_through_unaccepted(true),
        )
        .with_state(collector.clone())
}

async fn traces(State(collector): State<Collector>, request: Request) -> Response<Body> {
    answer(
        &collector,
        Signal::Traces,
        request,
        async |encoding, body, sender| {
            collector
                .traces(&encoding.decode::<ExportTraceServiceRequest>(body)?, sender)
                .await
        },
    )
    .await
}

async fn logs(State(collector): State<Collector>, request: Request) -> Response<Body> {
    answer(
        &collector,
        Signal::Logs,
        request,
        async |encoding, body, sender| {
            collector
                .logs(&encoding.decode::<ExportLogsServiceRequest>(body)?, sender)
                .await
        },
    )
    .await
}

async fn metrics(State(collector): State<Collector>, request: Request) -> Response<Body> {
    answer(&collector, Signal::Metrics, request, async |_, _, _| {
        Ok(collector.metrics())
    })
    .await
}

/// Reads the body within its bounds, has it stored, and answers in the encoding of the request.
async fn answer(
    collector: &Collector,
    signal: Signal,
    request: Request,
    store: impl AsyncFnOnce(Encoding, &[u8], &Access) -> Result<Accepted, Refusal>,
) -> Response<Body> {
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let answer_in = Encoding::of_answer(content_type.as_ref());
    let stored = async {
        let sender = collector.sender(request.headers()).await?;
        let encoding = Encoding::of(content_type.as_ref())?;
        let body = read(request).await?;
        store(encoding, &body, &sender).await
    };
    match stored.await {
        Ok(accepted) => answer_in.accepted(signal, &accepted),
        Err(refusal) => {
            collector.refused();
            answer_in.refused(&refusal)
        }
    }
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    check_encoding(request.headers())?;
    // The limit counts decompressed bytes as they come, so a bomb stops there.
    axum::body::to_bytes(request.into_body(), MAX_REQUEST_BYTES)
        .await
        .map_err(|error| {
            let text = format!("{error:?}");
            if text.contains("LengthLimit") {
                Refusal::TooLarge {
                    limit: MAX_REQUEST_BYTES,
                }
            } else {
                Refusal::Malformed("the body could not be read or decompressed".to_owned())
            }
        })
}

/// The layer removes the header of what it decompresses.
fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.to_str().unwrap_or("?"))
    {
        None | Some("identity" | "") => Ok(()),
        Some(other) => Err(Refusal::ContentEncoding(other.chars().take(80).collect())),
    }
}
