//! Where a request came from: which client, session and protocol version, over which transport.

use std::net::SocketAddr;

use http::header::{AUTHORIZATION, HeaderMap, USER_AGENT};
use http::request::Parts;
use mcptap_model::{mask_authorization, semconv};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use rmcp::RoleServer;
use rmcp::model::{ClientRequest, Implementation, ProtocolVersion};
use rmcp::service::RequestContext;

/// The session header of Streamable HTTP up to protocol 2025-11-25.
const SESSION_HEADER: &str = "mcp-session-id";
/// The protocol version header of Streamable HTTP since 2025-06-18.
const VERSION_HEADER: &str = "mcp-protocol-version";

/// The request headers worth keeping, as `http.request.header.<name>`. A list of what may pass rather than of
/// what may not: any other header can be a credential.
const KEPT_HEADERS: [&str; 11] = [
    "accept",
    "cf-ipcountry",
    "cloudfront-viewer-country",
    "content-type",
    "forwarded",
    "host",
    VERSION_HEADER,
    "origin",
    "x-forwarded-for",
    "x-real-ip",
    "x-vercel-ip-country",
];

/// What is known of a request besides its method and parameters. Unknown stays `None`: nothing is guessed.
#[derive(Debug, Default)]
pub(crate) struct Origin<'a> {
    /// The JSON-RPC id.
    pub(crate) id: Option<String>,
    /// The protocol version in force.
    pub(crate) version: Option<ProtocolVersion>,
    /// The client, as it names itself.
    pub(crate) client: Option<Implementation>,
    /// The HTTP request that carried it; `None` over stdio.
    pub(crate) http: Option<&'a Parts>,
}

impl<'a> Origin<'a> {
    /// Reads it from what rmcp hands to a service.
    pub(crate) fn of(request: &ClientRequest, context: &'a RequestContext<RoleServer>) -> Self {
        let http = context.extensions.get::<Parts>();
        let (version, client) = match request {
            // The version in force is the server's answer, which is read from the result.
            ClientRequest::InitializeRequest(request) => (None, Some(request.params.client_info.clone())),
            // rmcp makes up a handshake for a request that arrives by HTTP outside a session. Only what the
            // request itself says is true then.
            _ if http.is_some_and(|parts| !parts.headers.contains_key(SESSION_HEADER)) => (
                context.meta.protocol_version().or_else(|| header_version(http)),
                context.meta.client_info(),
            ),
            _ => (context.protocol_version(), context.client_info()),
        };
        Self {
            id: Some(context.id.to_string()),
            version,
            client,
            http,
        }
    }

    /// The attributes that say it.
    pub(crate) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = Vec::new();
        let mut push = |key: &'static str, value: Option<String>| {
            attributes.extend(value.map(|value| KeyValue::new(key, value)));
        };
        push(semconv::JSONRPC_REQUEST_ID, self.id.clone());
        push(
            semconv::MCP_PROTOCOL_VERSION,
            self.version.as_ref().map(ToString::to_string),
        );
        if let Some(client) = &self.client {
            push(semconv::MCP_CLIENT_NAME, Some(client.name.clone()));
            push(semconv::MCP_CLIENT_VERSION, Some(client.version.clone()));
        }
        let Some(parts) = self.http else {
            push(semconv::NETWORK_TRANSPORT, Some("pipe".to_owned()));
            return attributes;
        };
        push(semconv::NETWORK_TRANSPORT, Some("tcp".to_owned()));
        push(semconv::NETWORK_PROTOCOL_NAME, Some("http".to_owned()));
        push(semconv::NETWORK_PROTOCOL_VERSION, http_version(parts.version));
        push(semconv::HTTP_REQUEST_METHOD, Some(parts.method.to_string()));
        push(
            semconv::USER_AGENT_ORIGINAL,
            text(&parts.headers, USER_AGENT.as_str()),
        );
        push(
            semconv::AUTHORIZATION,
            text(&parts.headers, AUTHORIZATION.as_str()).map(|value| mask_authorization(&value)),
        );
        // Since 2026-07-28 there are no sessions, whatever a client still sends.
        if self.version.as_ref().is_none_or(ProtocolVersion::has_initialize) {
            push(semconv::MCP_SESSION_ID, text(&parts.headers, SESSION_HEADER));
        }
        if let Some(peer) = peer(parts) {
            push(semconv::CLIENT_ADDRESS, Some(peer.ip().to_string()));
            attributes.push(KeyValue::new(semconv::CLIENT_PORT, i64::from(peer.port())));
        }
        attributes.extend(
            KEPT_HEADERS
                .into_iter()
                .filter_map(|name| kept_header(&parts.headers, name)),
        );
        attributes
    }
}

fn header_version(http: Option<&Parts>) -> Option<ProtocolVersion> {
    let version = text(&http?.headers, VERSION_HEADER)?;
    serde_json::from_value(serde_json::Value::String(version)).ok()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned)
}

/// A header as the conventions want it: an array of strings, one for each time it was sent.
fn kept_header(headers: &HeaderMap, name: &str) -> Option<KeyValue> {
    let values: Vec<StringValue> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(|value| value.to_owned().into())
        .collect();
    (!values.is_empty()).then(|| {
        KeyValue::new(
            format!("{}{name}", semconv::HTTP_REQUEST_HEADER_PREFIX),
            Value::Array(Array::String(values)),
        )
    })
}

/// `1.1`, `2`: as `network.protocol.version` wants it.
fn http_version(version: http::Version) -> Option<String> {
    format!("{version:?}")
        .strip_prefix("HTTP/")
        .map(|version| version.trim_end_matches(".0").to_owned())
}

/// The other end of the connection, where the web framework left it.
fn peer(parts: &Parts) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(peer)) =
        parts.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>()
    {
        return Some(*peer);
    }
    parts.extensions.get::<SocketAddr>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        let request = http::Request::post("/mcp")
            .header("authorization", "Bearer sk-very-secret")
            .header("cookie", "session=secret")
            .header("mcp-session-id", "s-1")
            .header("user-agent", "probe/1")
            .header("x-forwarded-for", "203.0.113.9")
            .extension(SocketAddr::from(([203, 0, 113, 9], 4711)))
            .body(())
            .unwrap();
        request.into_parts().0
    }

    fn said(origin: &Origin<'_>, key: &str) -> Option<String> {
        origin
            .attributes()
            .into_iter()
            .find(|attribute| attribute.key.as_str() == key)
            .map(|found| found.value.to_string())
    }

    #[test]
    fn http_says_who_and_never_the_secret() {
        let parts = parts();
        let origin = Origin {
            version: Some(ProtocolVersion::V_2025_11_25),
            http: Some(&parts),
            ..Origin::default()
        };
        assert_eq!(
            said(&origin, semconv::AUTHORIZATION).as_deref(),
            Some("Bearer sk-…")
        );
        assert_eq!(said(&origin, semconv::MCP_SESSION_ID).as_deref(), Some("s-1"));
        assert_eq!(said(&origin, semconv::NETWORK_TRANSPORT).as_deref(), Some("tcp"));
        assert_eq!(
            said(&origin, semconv::NETWORK_PROTOCOL_VERSION).as_deref(),
            Some("1.1")
        );
        assert_eq!(
            said(&origin, semconv::CLIENT_ADDRESS).as_deref(),
            Some("203.0.113.9")
        );
        assert_eq!(
            said(&origin, semconv::USER_AGENT_ORIGINAL).as_deref(),
            Some("probe/1")
        );
        assert_eq!(
            said(&origin, "http.request.header.x-forwarded-for").as_deref(),
            Some("[\"203.0.113.9\"]")
        );
        assert!(!format!("{:?}", origin.attributes()).contains("secret"));
    }

    #[test]
    fn there_are_no_sessions_since_2026_07_28() {
        let parts = parts();
        let origin = Origin {
            version: Some(ProtocolVersion::V_2026_07_28),
            http: Some(&parts),
            ..Origin::default()
        };
        assert_eq!(said(&origin, semconv::MCP_SESSION_ID), None);
    }

    #[cfg(feature = "axum")]
    #[test]
    fn axum_says_who_connected() {
        let mut parts = http::Request::new(()).into_parts().0;
        parts
            .extensions
            .insert(axum::extract::ConnectInfo(SocketAddr::from((
                [203, 0, 113, 9],
                4711,
            ))));
        let origin = Origin {
            http: Some(&parts),
            ..Origin::default()
        };
        assert_eq!(
            said(&origin, semconv::CLIENT_ADDRESS).as_deref(),
            Some("203.0.113.9")
        );
        assert_eq!(said(&origin, semconv::CLIENT_PORT).as_deref(), Some("4711"));
    }

    #[test]
    fn stdio_is_a_pipe_and_nothing_more() {
        let attributes = Origin::default().attributes();
        assert_eq!(attributes, [KeyValue::new(semconv::NETWORK_TRANSPORT, "pipe")]);
    }
}
