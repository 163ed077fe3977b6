//! HTTP spans: no calls, but they know status and client.

use std::sync::Arc;

use mcptap_model::{HttpSpan, Origin, SpanKind};

use super::keys::{Attributes, Key};
use super::peer::Peer;
use super::span::Times;

/// Where an HTTP status stands, newest name first.
pub(super) const STATUSES: &[Key] = &[Key::HttpResponseStatusCode, Key::HttpStatusCode, Key::HttpStatus];

/// Whether the span is one HTTP request as its server or client saw it (not a step of it, such as ASGI's sends).
pub(super) fn is_http(kind: SpanKind, attributes: &Attributes<'_>) -> bool {
    matches!(kind, SpanKind::Server | SpanKind::Client)
        && (attributes.get(Key::HttpRequestMethod).is_some() || attributes.get(Key::HttpMethod).is_some())
}

/// The status answered. Only what HTTP can answer: three digits.
pub(super) fn status(attributes: &mut Attributes<'_>) -> Option<i32> {
    let status = attributes.take_integer(STATUSES)?;
    i32::try_from(status)
        .ok()
        .filter(|status| (100..=599).contains(status))
}

/// Whether what is told of is no request of MCP but part of an ordinary visit over HTTP: what the specification lets a
/// server not offer (a stream, the end of a session), and what clients try that look for the way in.
pub(super) fn is_routine(method: &str, attributes: &Attributes<'_>) -> bool {
    let status = STATUSES.iter().find_map(|key| attributes.integer(*key));
    let is_not_offered = matches!(status, Some(405 | 501));
    let has_session = || {
        [Key::McpSessionId, Key::HeaderMcpSessionId]
            .iter()
            .any(|key| attributes.text(*key).is_some())
    };
    match method {
        "HEAD" | "OPTIONS" => true,
        "DELETE" => is_not_offered,
        "GET" => is_not_offered || (matches!(status, Some(400 | 404 | 406)) && !has_session()),
        _ => false,
    }
}

/// Reads an HTTP span.
pub(super) fn http_span(
    attributes: &mut Attributes<'_>,
    times: &Times,
    kind: SpanKind,
    origin: &Arc<Origin>,
    peer: Peer,
) -> HttpSpan {
    HttpSpan {
        trace_id: times.trace_id,
        span_id: times.span_id,
        parent_span_id: times.parent_span_id,
        kind,
        origin: Arc::clone(origin),
        started_at: times.started_at,
        ended_at: times.ended_at,
        http_status: status(attributes),
        client_ip: peer.client_ip,
        country: peer.country,
        authorization: peer.authorization,
        user_agent: peer.user_agent,
        session_id: attributes.text(Key::HeaderMcpSessionId),
        protocol_version: attributes.text(Key::HeaderMcpProtocolVersion),
    }
}
