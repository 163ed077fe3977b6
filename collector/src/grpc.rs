//! OTLP/gRPC: the three export methods. They are unary, so a request is one message in a frame and an answer another.
//!
//! The frames are read here and not by tonic's generated services, which decompress and decode on the async workers,
//! before anything could be counted or reserved.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::codec::{Accepted, Encoding, Signal, encode_accepted};
use crate::inflate::{CODINGS, Codings};
use crate::ingest::{Collector, Export};
use crate::receive::receive;
use crate::status::Refusal;

/// Bytes before a message: a flag and a length.
const FRAME: usize = 5;
/// The header that says how messages are compressed.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The three OTLP/gRPC services, to be served alone or merged into another tonic server. They accept gzip, deflate
/// and zstd, and messages up to 16 MiB after decompression.
pub fn grpc_routes(collector: &Collector) -> Routes {
    Router::new()
        .route(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            post(traces),
        )
        .route(
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            post(logs),
        )
        .route(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            post(metrics),
        )
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(collector.clone())
        .into()
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

async fn unknown() -> Response<Body> {
    Status::unimplemented("this server has OTLP's TraceService, LogsService and MetricsService").into_http()
}

async fn answer(collector: &Collector, signal: Signal, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let is_grpc = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match store(collector, signal, &head.headers, body).await {
        Ok(accepted) => accepted_response(signal, &accepted),
        Err(status) => {
            let comes_again = matches!(status.code(), Code::ResourceExhausted | Code::Unavailable);
            collector.refused(comes_again);
            status.into_http()
        }
    }
}

async fn store(
    collector: &Collector,
    signal: Signal,
    headers: &HeaderMap,
    body: Body,
) -> Result<Accepted, Status> {
    let refuse = |refusal: Refusal| refusal.grpc_status();
    let sender = collector.sender(headers).await.map_err(refuse)?;
    let codings = codings(headers)?;
    let mut received = receive(headers, body, collector.memory()).await.map_err(refuse)?;
    let codings = unframe(&mut received.body, codings)?;
    let export = Export {
        signal,
        encoding: Encoding::Protobuf,
        codings,
        received,
    };
    collector.export(export, sender).await.map_err(refuse)
}

/// How the message is compressed, if its frame says that it is.
fn codings(headers: &HeaderMap) -> Result<Codings, Status> {
    Codings::of(headers, &ENCODING).map_err(|refusal| {
        let mut status = Status::unimplemented(refusal.to_string());
        status.metadata_mut().insert(
            "grpc-accept-encoding",
            tonic::metadata::MetadataValue::from_static(CODINGS),
        );
        status
    })
}

/// Takes the frame off the one message of a request: whether it is compressed, and its length.
fn unframe(body: &mut Vec<u8>, codings: Codings) -> Result<Codings, Status> {
    let Some((frame, message)) = body.split_first_chunk::<FRAME>() else {
        return Err(Status::invalid_argument("the request has no message"));
    };
    let [flag, length @ ..] = *frame;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if message.len() != length {
        return Err(Status::invalid_argument(
            "the request is not one message of the length that its frame tells",
        ));
    }
    let codings = match flag {
        0 => Codings::default(),
        1 if codings.is_empty() => {
            return Err(Status::internal(
                "the message is compressed, but no grpc-encoding says how",
            ));
        }
        1 => codings,
        _ => return Err(Status::internal("the frame of the message is damaged")),
    };
    body.drain(..FRAME);
    Ok(codings)
}

fn accepted_response(signal: Signal, accepted: &Accepted) -> Response<Body> {
    let message = encode_accepted(signal, accepted);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let frame = [&[0][..], &length.to_be_bytes(), &message].concat();
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from(i32::from(Code::Ok)))]);
    let body = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
