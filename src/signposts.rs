//! Answers for those who knock at the wrong port or path: exporters show them to nobody but a log, so the text says what
//! to change.

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The paths of OTLP.
const SIGNALS: [&str; 3] = ["/v1/traces", "/v1/logs", "/v1/metrics"];

/// Any path of the API's port that there is not.
pub(crate) async fn at_the_api(request: Request) -> Response {
    let path = request.uri().path();
    if is_grpc(&request) {
        wrong_for_grpc("this is the port of the API; OTLP/gRPC is received at otlp_grpc, 4317 by default")
    } else if request.method() == Method::POST && SIGNALS.iter().any(|signal| path.contains(signal)) {
        nothing(
            "this is the port of the API; OTLP over HTTP is received at /v1/traces and /v1/logs of otlp_http, \
             http://127.0.0.1:4318 by default",
        )
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// Any path of OTLP/HTTP that there is not.
pub(crate) async fn at_otlp_http(request: Request) -> Response {
    if is_grpc(&request) {
        return wrong_for_grpc(
            "this port speaks OTLP over HTTP; OTLP/gRPC is received at otlp_grpc, 4317 by default",
        );
    }
    nothing(
        "OTLP is received at /v1/traces and /v1/logs: set OTEL_EXPORTER_OTLP_ENDPOINT to the address alone, such as \
         http://127.0.0.1:4318, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to http://127.0.0.1:4318/v1/traces",
    )
}

/// Tells those who speak anything but gRPC at its port.
pub(crate) async fn grpc_only(request: Request, next: Next) -> Response {
    if is_grpc(&request) {
        return next.run(request).await;
    }
    let message = "this port speaks OTLP/gRPC; OTLP over HTTP is received at /v1/traces and /v1/logs of otlp_http, \
                   http://127.0.0.1:4318 by default\n";
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response()
}

fn is_grpc(request: &Request) -> bool {
    let media = request.headers().get(header::CONTENT_TYPE);
    media.is_some_and(|media| media.as_bytes().starts_with(b"application/grpc"))
}

fn wrong_for_grpc(message: &str) -> Response {
    tonic::Status::unimplemented(message).into_http()
}

fn nothing(message: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("{message}\n")).into_response()
}
