//! Pages that send telemetry. Their browser asks first whether they may, with whatever headers the page's exporter and its
//! instrumentation set (CORS, in the Fetch standard). Programs that are no browsers say nothing of an origin.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mcptap_graphql::{Origins, Verdict};

/// For how long a browser may remember what it was answered, in seconds: two hours, the most that browsers do.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// Refuses pages from elsewhere, and answers the browsers of those that may send.
pub(crate) async fn guard_otlp(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    match (origins.judge(request.headers(), request.uri()), origin) {
        (Verdict::Allowed, Some(origin)) => {
            let asked = request.headers();
            let preflight = request.method() == Method::OPTIONS
                && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
            let mut response = if preflight {
                may_post(asked)
            } else {
                next.run(request).await
            };
            may_see(response.headers_mut(), origin);
            response
        }
        (Verdict::Own | Verdict::Allowed, _) => next.run(request).await,
        (Verdict::Foreign, _) => {
            let message = "pages of this origin may not send telemetry: list it in allowed_origins (--allowed-origins, \
                           MCPTAP_ALLOWED_ORIGINS)\n";
            (StatusCode::FORBIDDEN, message).into_response()
        }
    }
}

/// The answer to a preflight: the headers that it asks for may be sent. None of them lets anybody in but by a key. Some
/// browsers also ask whether pages of the Internet may reach a private address at all.
fn may_post(asked: &HeaderMap) -> Response {
    let private = HeaderName::from_static("access-control-allow-private-network");
    let headers = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    answer.extend(headers.map(|headers| (header::ACCESS_CONTROL_ALLOW_HEADERS, headers)));
    if asked.contains_key("access-control-request-private-network") {
        answer.insert(private, HeaderValue::from_static("true"));
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    response
}

/// Credentials are allowed because `navigator.sendBeacon` always sends with them; there are none that mcptap reads.
fn may_see(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after"),
    );
    headers.append(
        header::VARY,
        HeaderValue::from_static("origin, access-control-request-headers"),
    );
}
