//! Which web pages may talk to the API. A browser lets any page send requests to a server on the same machine, and
//! tells only by `Origin` where the page came from; programs that are no browsers send none.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The pages from elsewhere that may talk to this server, by their origins. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<[String]>);

/// The meaning of a request's `Origin` for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No browser, or a page of this very server.
    Own,
    /// A page from elsewhere that may.
    Allowed,
    /// A page from elsewhere.
    Foreign,
}

/// The permissions that a port gives to pages of listed origins (CORS, in the Fetch standard).
#[derive(Clone, Copy, Debug)]
pub struct CrossOrigin {
    /// The methods that pages may use, as `Access-Control-Allow-Methods` lists them.
    pub methods: &'static str,
    /// Whether requests may come with the browser's own credentials, none of which is looked at here.
    pub credentials: bool,
}

/// A page from elsewhere that may talk to a port.
#[derive(Clone, Debug)]
pub struct Page {
    port: CrossOrigin,
    origin: HeaderValue,
}

/// For how long a browser may remember what it was answered, in seconds: two hours, the most that browsers do.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// The headers of answers that pages may read besides the usual ones: when to come again, and which key is missing.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, www-authenticate");

/// Refuses pages from elsewhere, and tells the browsers of those that may.
pub(crate) async fn guard(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    if origins.refuse(&request) {
        let message = "pages of this origin may not use the API; list it among the allowed origins";
        let body =
            serde_json::json!({"errors": [{"message": message, "extensions": {"code": "FORBIDDEN_ORIGIN"}}]});
        return (StatusCode::FORBIDDEN, Json(body)).into_response();
    }
    let Some(page) = origins.page(CrossOrigin::API, &request) else {
        return next.run(request).await;
    };
    let mut response = match page.preflight(&request) {
        Some(preflight) => preflight.map(|()| Body::empty()),
        None => next.run(request).await,
    };
    page.show(response.headers_mut());
    response
}

impl CrossOrigin {
    /// Those of the API.
    pub const API: Self = Self {
        methods: "GET, POST",
        credentials: false,
    };
}

impl Page {
    /// The answer to a preflight, which is still to be shown; `None` to any other request. The headers that it asks for may be
    /// sent, because clients and what instruments them send ever others, and none lets anybody in but by a key. Some browsers
    /// also ask whether pages of the Internet may reach a private address at all.
    pub fn preflight<B>(&self, request: &http::Request<B>) -> Option<http::Response<()>> {
        let asked = request.headers();
        if request.method() != Method::OPTIONS || !asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(self.port.methods),
        );
        let headers = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        answer.extend(headers.map(|headers| (header::ACCESS_CONTROL_ALLOW_HEADERS, headers)));
        if asked.contains_key("access-control-request-private-network") {
            answer.insert(
                HeaderName::from_static("access-control-allow-private-network"),
                HeaderValue::from_static("true"),
            );
        }
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        answer.append(
            header::VARY,
            HeaderValue::from_static("access-control-request-headers"),
        );
        Some(response)
    }

    /// Lets the page see an answer, whatever that is; of one that it may see already nothing changes.
    pub fn show(&self, headers: &mut HeaderMap) {
        let before = headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        if before.is_some() {
            return;
        }
        if self.port.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

impl Origins {
    /// These, such as `https://ui.example.org`; a slash behind them means nothing.
    pub fn new(allowed: &[String]) -> Self {
        let origins = allowed.iter().map(|origin| origin.trim().trim_end_matches('/'));
        Self(origins.map(str::to_owned).collect())
    }

    /// The page from elsewhere that a request to a port is of, if it is of one that may.
    pub fn page<B>(&self, port: CrossOrigin, request: &http::Request<B>) -> Option<Page> {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN)?;
        let allowed = self.judge(headers, request.uri()) == Verdict::Allowed;
        allowed.then(|| Page {
            port,
            origin: origin.clone(),
        })
    }

    /// Whether a request is of a page that may not: nothing is to be done for it.
    pub fn refuse<B>(&self, request: &http::Request<B>) -> bool {
        self.judge(request.headers(), request.uri()) == Verdict::Foreign
    }

    /// Judges a request by its `Origin` and `Host`.
    fn judge(&self, headers: &HeaderMap, uri: &Uri) -> Verdict {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Verdict::Own;
        };
        let origin = origin.to_str().unwrap_or_default();
        if self.0.iter().any(|listed| listed.eq_ignore_ascii_case(origin)) {
            return Verdict::Allowed;
        }
        // HTTP/2 says the host in the request's own target.
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .or(uri.authority().map(Authority::as_str));
        match (
            origin.parse::<Uri>().ok(),
            host.and_then(|host| host.parse::<Authority>().ok()),
        ) {
            (Some(origin), Some(host)) if same_host(&origin, &host) => Verdict::Own,
            _ => Verdict::Foreign,
        }
    }
}

fn same_host(origin: &Uri, host: &Authority) -> bool {
    let usual = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    origin.authority().is_some_and(|origin| {
        origin.host().eq_ignore_ascii_case(host.host())
            && origin.port_u16().unwrap_or(usual) == host.port_u16().unwrap_or(usual)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(origin: Option<&str>, host: &str) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
        Origins::new(&["https://ui.example.org/".to_owned()]).judge(&headers, &Uri::from_static("/graphql"))
    }

    #[test]
    fn only_pages_of_this_server_and_listed_ones() {
        for (origin, host, expected) in [
            (None, "127.0.0.1:6278", Verdict::Own),
            (Some("http://127.0.0.1:6278"), "127.0.0.1:6278", Verdict::Own),
            (Some("http://[::1]:6278"), "[::1]:6278", Verdict::Own),
            (
                Some("https://Log.example.org"),
                "log.example.org:443",
                Verdict::Own,
            ),
            (Some("https://ui.example.org"), "127.0.0.1:6278", Verdict::Allowed),
            (Some("http://ui.example.org"), "127.0.0.1:6278", Verdict::Foreign),
            (Some("http://127.0.0.1:8080"), "127.0.0.1:6278", Verdict::Foreign),
            (Some("http://evil.example"), "127.0.0.1:6278", Verdict::Foreign),
            (Some("null"), "127.0.0.1:6278", Verdict::Foreign),
            (
                Some("http://127.0.0.1:6278.evil.example"),
                "127.0.0.1:6278",
                Verdict::Foreign,
            ),
            (Some("file://127.0.0.1:6278"), "127.0.0.1:6278", Verdict::Foreign),
        ] {
            assert_eq!(verdict(origin, host), expected, "{origin:?} to {host}");
        }
    }
}
