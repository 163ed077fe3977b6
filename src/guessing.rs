//! Slows down whoever tries many keys, at every port: [`Attempts`] counts what was refused, and from some count on the
//! refusal is another. Keys are looked at first, so good ones work all the same.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mcptap_store::Attempts;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

/// Counts the keys that were refused.
pub(crate) async fn slow_down(State(attempts): State<Attempts>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let tried = headers.contains_key("authorization") || headers.contains_key("x-api-key");
    let peer = request.extensions().get::<SocketAddr>().map(|peer| peer.ip());
    let (version, is_graphql) = (request.version(), request.uri().path() == "/graphql");
    let answer = next.run(request).await;
    let over_grpc = answer
        .headers()
        .get("grpc-status")
        .is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Unauthenticated);
    let Some(peer) = peer.filter(|_| tried && (over_grpc || answer.status() == StatusCode::UNAUTHORIZED))
    else {
        return answer;
    };
    let Err(wait) = attempts.failed(peer) else {
        return answer;
    };
    let message = format!(
        "too many wrong API keys came from your address; try again in {} s",
        wait.as_secs()
    );
    if over_grpc {
        let details = ErrorDetails::with_retry_info(Some(wait));
        return tonic::Status::with_error_details(Code::ResourceExhausted, message, details).into_http();
    }
    refuse(&message, wait, version, is_graphql)
}

fn refuse(message: &str, wait: Duration, version: Version, is_graphql: bool) -> Response {
    let mut answer = if is_graphql {
        let error = serde_json::json!({"message": message, "extensions": {"code": "TOO_MANY_REQUESTS"}});
        Json(serde_json::json!({ "errors": [error] })).into_response()
    } else {
        format!("{message}\n").into_response()
    };
    *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    answer.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
    if version <= Version::HTTP_11 {
        // Each further try costs a connection.
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    answer
}
