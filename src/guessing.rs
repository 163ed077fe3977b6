//! Holds back whoever tries many keys, at every port. [`Attempts`] counts what was refused; from some count on a secret
//! that no key in memory has is refused late, and no look-up is made for it. Good keys work all the same.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mcptap_model::credential;
use mcptap_store::{Attempts, Gate};
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

/// What a port needs to know of keys.
#[derive(Clone, Debug)]
pub(crate) struct Guessing {
    pub(crate) attempts: Attempts,
    pub(crate) gate: Gate,
}

/// Counts the keys that are refused, and holds back further ones.
pub(crate) async fn slow_down(State(guessing): State<Guessing>, request: Request, next: Next) -> Response {
    let Guessing { attempts, gate } = guessing;
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let secret = credential(text("authorization"), text("x-api-key"));
    let peer = request.extensions().get::<SocketAddr>().map(|peer| peer.ip());
    let (Some(secret), Some(peer)) = (secret, peer) else {
        return next.run(request).await;
    };
    let asked = Asked {
        version: request.version(),
        graphql: request.uri().path() == "/graphql",
        grpc: is_grpc(headers),
    };
    if let Err(wait) = attempts.hold_back(&gate, peer, secret).await {
        return asked.refuse(wait);
    }
    let answer = next.run(request).await;
    let grpc_code = answer.headers().get("grpc-status");
    let unauthenticated = answer.status() == StatusCode::UNAUTHORIZED
        || grpc_code.is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Unauthenticated);
    if !unauthenticated {
        return answer;
    }
    match attempts.failed(peer) {
        Ok(()) => answer,
        Err(wait) => asked.refuse(wait),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE);
    media.is_some_and(|media| media.as_bytes().starts_with(b"application/grpc"))
}

/// The properties of a request that its refusal depends on.
#[derive(Clone, Copy, Debug)]
struct Asked {
    version: Version,
    graphql: bool,
    grpc: bool,
}

impl Asked {
    fn refuse(self, wait: Duration) -> Response {
        let message = format!(
            "too many wrong API keys came from your address; try again in {} s",
            wait.as_secs()
        );
        if self.grpc {
            let details = ErrorDetails::with_retry_info(Some(wait));
            return tonic::Status::with_error_details(Code::ResourceExhausted, message, details).into_http();
        }
        refuse(&message, wait, self.version, self.graphql)
    }
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
