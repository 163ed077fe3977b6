//! What is kept of a request's head, and what it tells of a request that nobody read.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName};
use http::{Method, StatusCode, request};

use crate::observer::{SESSION_HEADER, VERSION_HEADER, target, text};

/// The header in which a client names the method (since 2026-07-28).
const METHOD_HEADER: &str = "mcp-method";
/// The header in which a client names the tool, prompt or resource (since 2026-07-28).
const NAME_HEADER: &str = "mcp-name";
/// The header in which a client names the last event that it saw of a stream.
const LAST_EVENT_HEADER: &str = "last-event-id";

/// What is kept of the request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) mcp_method: Option<String>,
    pub(super) name: Option<String>,
    pub(super) session: Option<String>,
    pub(super) last_event: Option<Vec<u8>>,
    takes_events: bool,
    takes_json: bool,
    pub(super) sends_json: bool,
    pub(super) is_wellknown: bool,
    /// The protocol version is named.
    names_version: bool,
    /// Whether everything at its address is of MCP, because somebody said so.
    is_mcp: bool,
}

impl Head {
    pub(super) fn of(parts: &request::Parts, is_mcp: bool) -> Self {
        let path = parts.uri.path_and_query();
        Self {
            method: parts.method.clone(),
            target: target(path.map_or("/", |path| path.as_str())),
            mcp_method: text(&parts.headers, METHOD_HEADER),
            name: text(&parts.headers, NAME_HEADER).map(decoded),
            session: text(&parts.headers, SESSION_HEADER),
            last_event: parts
                .headers
                .get(LAST_EVENT_HEADER)
                .map(|event| event.as_bytes().to_vec()),
            takes_events: has(&parts.headers, &ACCEPT, "text/event-stream"),
            takes_json: has(&parts.headers, &ACCEPT, "json"),
            sends_json: sends_json(&parts.headers),
            is_wellknown: parts.uri.path().starts_with("/.well-known/"),
            names_version: parts.headers.contains_key(VERSION_HEADER),
            is_mcp,
        }
    }

    /// Whether its address or a header of its own says that it is of MCP.
    pub(super) fn names_mcp(&self) -> bool {
        self.is_mcp || self.has_mcp_header()
    }

    fn has_mcp_header(&self) -> bool {
        self.names_version || self.mcp_method.is_some() || self.session.is_some()
    }

    /// Whether a refused request was meant for MCP, as far as its head tells. Browsers GET streams of events of any kind, and
    /// ask for pages where MCP is spoken.
    pub(super) fn is_mcp(&self) -> bool {
        let takes_mcp = self.takes_events && (self.is_mcp || self.takes_json || self.sends_json);
        !self.is_wellknown && (self.has_mcp_header() || takes_mcp)
    }

    /// Whether a refusal is part of an ordinary visit: what the specification lets a server not offer, and what clients
    /// try that look for the way in.
    pub(super) fn is_routine(&self, status: StatusCode) -> bool {
        let is_not_offered = matches!(
            status,
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        );
        match self.method {
            Method::HEAD | Method::OPTIONS => true,
            // The session may be gone already.
            Method::DELETE => is_not_offered || status == StatusCode::NOT_FOUND,
            Method::GET => {
                let is_probe = matches!(
                    status,
                    StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::NOT_ACCEPTABLE
                );
                is_not_offered || (is_probe && self.session.is_none())
            }
            _ => false,
        }
    }
}

/// Whether a request's body is JSON, as its head tells.
pub(in crate::layer) fn sends_json(headers: &HeaderMap) -> bool {
    has(headers, &CONTENT_TYPE, "json")
}

fn has(headers: &HeaderMap, name: &HeaderName, what: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut values = values.filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains(what))
}

/// Whether a body is a stream of events. Media types are of any case and may have parameters.
pub(super) fn is_events(headers: &HeaderMap) -> bool {
    let media_type = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, headers: &[(&str, &str)]) -> Head {
        let mut request = http::Request::builder().method(method).uri("/mcp?x=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Head::of(&request.body(()).unwrap().into_parts().0, false)
    }

    #[test]
    fn what_belongs_to_an_ordinary_visit_is_no_refusal() {
        let session = [("mcp-session-id", "s")];
        for (method, headers, status, routine) in [
            ("GET", &session[..], 405, true),
            ("GET", &[], 405, true),
            ("GET", &[], 501, true),
            ("GET", &[], 400, true),
            ("GET", &[], 404, true),
            ("GET", &session, 400, false),
            ("GET", &session, 404, false),
            ("GET", &[], 401, false),
            ("GET", &[], 500, false),
            ("DELETE", &session, 405, true),
            ("DELETE", &session, 404, true),
            ("DELETE", &session, 401, false),
            ("HEAD", &[], 404, true),
            ("OPTIONS", &[], 403, true),
            ("POST", &[], 405, false),
            ("POST", &[], 400, false),
            ("PUT", &[], 405, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                head(method, headers).is_routine(status),
                routine,
                "{method} {status}"
            );
        }
    }

    #[test]
    fn media_types_are_of_any_case() {
        let head = head(
            "POST",
            &[
                ("accept", "Text/Event-Stream"),
                ("content-type", "Application/JSON"),
            ],
        );
        assert!(head.is_mcp() && head.sends_json);
        let events = |media_type: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
            is_events(&headers)
        };
        assert!(events("TEXT/event-stream ; charset=UTF-8") && events("text/event-stream"));
        assert!(!events("text/event-streams") && !events("application/json"));
    }
}
