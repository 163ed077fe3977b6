//! Pages of other origins. Their browser asks first whether they may, with whatever headers the page's program and its
//! instrumentation set, and shows them no answer that does not name their origin, not even a refusal. So the listener does both,
//! for all answers of a port. Programs that are no browsers say nothing of an origin.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mcptap_graphql::{CrossOrigin, Origins, Page};

/// Credentials are allowed because `navigator.sendBeacon` always sends with them; there are none that mcptap reads.
const OTLP: CrossOrigin = CrossOrigin {
    methods: "POST",
    credentials: true,
};

/// The pages that may talk to a port. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    origins: Origins,
    port: CrossOrigin,
}

impl Pages {
    /// Those that may use the API.
    pub(crate) fn of_api(origins: Origins) -> Self {
        let port = CrossOrigin::API;
        Self { origins, port }
    }

    /// Those that may send telemetry.
    pub(crate) fn of_otlp(origins: Origins) -> Self {
        Self { origins, port: OTLP }
    }

    /// The page that a request is of, if it is of one of these.
    pub(crate) fn find<B>(&self, request: &http::Request<B>) -> Option<Page> {
        self.origins.page(self.port, request)
    }
}

/// Refuses pages from elsewhere.
pub(crate) async fn guard_otlp(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    if pages.origins.refuse(&request) {
        let message = "pages of this origin may not send telemetry: list it in allowed_origins (--allowed-origins, \
                       MCPTAP_ALLOWED_ORIGINS)\n";
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    next.run(request).await
}
