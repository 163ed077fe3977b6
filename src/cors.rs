//! Pages that send telemetry. Their browser asks first whether they may, with whatever headers the page's exporter and its
//! instrumentation set. Programs that are no browsers say nothing of an origin.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mcptap_graphql::{CrossOrigin, Origins};

/// Credentials are allowed because `navigator.sendBeacon` always sends with them; there are none that mcptap reads.
const OTLP: CrossOrigin = CrossOrigin {
    methods: "POST",
    credentials: true,
};

/// Refuses pages from elsewhere, and answers the browsers of those that may send.
pub(crate) async fn guard_otlp(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let refuse = || {
        let message = "pages of this origin may not send telemetry: list it in allowed_origins (--allowed-origins, \
                       MCPTAP_ALLOWED_ORIGINS)\n";
        (StatusCode::FORBIDDEN, message).into_response()
    };
    origins.answer(OTLP, request, next).await.unwrap_or_else(refuse)
}
