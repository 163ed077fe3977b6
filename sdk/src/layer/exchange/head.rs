//! What is kept of a request's head, and what it tells of a request that nobody read.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, request};

use crate::observer::{SESSION_HEADER, text};

/// The header in which a client names the method (since 2026-07-28).
const METHOD_HEADER: &str = "mcp-method";
/// The header in which a client names the tool, prompt or resource (since 2026-07-28).
const NAME_HEADER: &str = "mcp-name";

/// What is kept of the request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) mcp_method: Option<String>,
    pub(super) name: Option<String>,
    pub(super) session: Option<String>,
    takes_events: bool,
    pub(super) sends_json: bool,
    pub(super) is_wellknown: bool,
}

impl Head {
    pub(super) fn of(parts: &request::Parts) -> Self {
        let has = |name: http::HeaderName, what: &str| {
            let mut values = parts
                .headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok());
            values.any(|value| value.contains(what))
        };
        Self {
            method: parts.method.clone(),
            mcp_method: text(&parts.headers, METHOD_HEADER),
            name: text(&parts.headers, NAME_HEADER).map(decoded),
            session: text(&parts.headers, SESSION_HEADER),
            takes_events: has(ACCEPT, "text/event-stream"),
            sends_json: has(CONTENT_TYPE, "json"),
            is_wellknown: parts.uri.path().starts_with("/.well-known/"),
        }
    }

    /// Whether a refused request was meant for MCP, as far as its head tells.
    pub(super) fn is_mcp(&self) -> bool {
        !self.is_wellknown && (self.takes_events || self.mcp_method.is_some() || self.session.is_some())
    }
}

/// A header value that may be written as `=?base64?…?=` (MCP 2026-07-28).
fn decoded(value: String) -> String {
    use base64::Engine;
    let inner = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let bytes = inner.and_then(|inner| base64::engine::general_purpose::STANDARD.decode(inner).ok());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or(value)
}
