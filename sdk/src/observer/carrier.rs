//! What the transport knows of a message besides its text: who sent it, over what, in which trace.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HeaderMap, USER_AGENT};
use http::request::Parts;
use mcptap_model::{mask_authorization, semconv};
use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::conversation::STATELESS;
use super::endpoint::query_session;
use crate::context::{Around, Sent};

/// The session header of Streamable HTTP up to protocol 2025-11-25.
pub(crate) const SESSION_HEADER: &str = "mcp-session-id";
/// The protocol version header of Streamable HTTP since 2025-06-18.
pub(crate) const VERSION_HEADER: &str = "mcp-protocol-version";

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

/// The way a message came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carrier {
    /// What is said of each request that came this way.
    attributes: Vec<KeyValue>,
    /// The session that the HTTP request named.
    pub(crate) session: Option<String>,
    /// The protocol version that the HTTP request named.
    pub(crate) version: Option<String>,
    /// Whether it is HTTP+SSE (protocol 2024-11-05).
    pub(crate) is_sse: bool,
    /// What is around the message where it is handled.
    pub(crate) around: Around,
    /// The call in which the server asks what comes this way, where that is known.
    pub(crate) asked_in: Option<Context>,
    /// The span of the first request that came this way, which the server was told of.
    pub(crate) told: Option<SpanContext>,
    /// The ids of a span that the server was told of, and that has not begun.
    promised: Option<SpanContext>,
}

impl Carrier {
    /// A pipe: the standard input and output of a process. What is current is the connection's.
    pub(crate) fn pipe() -> Self {
        Self {
            attributes: vec![KeyValue::new(semconv::NETWORK_TRANSPORT, "pipe")],
            around: Around {
                connection: Context::current(),
                ..Around::default()
            },
            ..Self::default()
        }
    }

    /// The same for one who handles the request below the HTTP server: what is current there is the connection's, for
    /// a session's requests are handled in tasks that began with it.
    pub(crate) fn http_handled(parts: &Parts, client: Option<(IpAddr, Option<u16>)>) -> Self {
        let left = parts.extensions.get::<Context>().cloned();
        let around = Around {
            request: left.unwrap_or_default(),
            connection: Context::current(),
            sent: Sent::in_headers(&parts.headers),
        };
        Self::of_http(parts, client, around)
    }

    /// An HTTP request from `client`, the address behind all proxies that are trusted, and the port if it is the
    /// peer's own.
    pub(crate) fn http(parts: &Parts, client: Option<(IpAddr, Option<u16>)>) -> Self {
        // A web layer can leave its context in the extensions of the request, since the rest may run in another task.
        let left = parts.extensions.get::<Context>().cloned();
        let around = Around {
            request: left.unwrap_or_else(Context::current),
            connection: Context::new(),
            sent: Sent::in_headers(&parts.headers),
        };
        Self::of_http(parts, client, around)
    }

    fn of_http(parts: &Parts, client: Option<(IpAddr, Option<u16>)>, around: Around) -> Self {
        let headers = &parts.headers;
        let mut attributes = vec![
            KeyValue::new(semconv::NETWORK_TRANSPORT, "tcp"),
            KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "http"),
            KeyValue::new(semconv::HTTP_REQUEST_METHOD, parts.method.to_string()),
        ];
        let mut push = |key: &'static str, value: Option<String>| {
            attributes.extend(value.map(|value| KeyValue::new(key, value)));
        };
        push(semconv::NETWORK_PROTOCOL_VERSION, http_version(parts.version));
        push(semconv::USER_AGENT_ORIGINAL, text(headers, USER_AGENT.as_str()));
        push(
            semconv::AUTHORIZATION,
            text(headers, AUTHORIZATION.as_str()).map(|value| mask_authorization(&value)),
        );
        if let Some((address, port)) = client {
            push(semconv::CLIENT_ADDRESS, Some(address.to_string()));
            attributes.extend(port.map(|port| KeyValue::new(semconv::CLIENT_PORT, i64::from(port))));
        }
        attributes.extend(
            KEPT_HEADERS
                .into_iter()
                .filter_map(|name| kept_header(headers, name)),
        );
        let mut carrier = Self {
            attributes,
            session: text(headers, SESSION_HEADER),
            version: text(headers, VERSION_HEADER),
            around,
            is_sse: false,
            asked_in: None,
            told: None,
            promised: None,
        };
        if carrier.session.is_none()
            && let Some(session) = parts.uri.query().and_then(query_session)
        {
            carrier.session = Some(session);
            carrier.make_sse();
        }
        carrier
    }

    /// Whether its head or the web layer around names a trace.
    pub(crate) fn is_traced(&self) -> bool {
        self.around.is_traced()
    }

    /// A span for a request of which no message begins one, so that the server can be told of it.
    pub(crate) fn tell(&mut self) -> SpanContext {
        let ids = RandomIdGenerator::default();
        let (trace, span) = (ids.new_trace_id(), ids.new_span_id());
        let told = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default());
        self.promised = Some(told.clone());
        told
    }

    /// The ids that the span of a request gets, and the span above it besides those of its messages.
    pub(crate) fn place(&self) -> (Option<SpanContext>, Option<SpanContext>) {
        let above = self.told.as_ref().or(self.around.sent.span.as_ref());
        (self.promised.clone(), above.cloned())
    }

    /// Whether the version that the request names has no sessions, whatever else it names.
    pub(crate) fn is_stateless(&self) -> bool {
        self.version
            .as_deref()
            .is_some_and(|version| version >= STATELESS)
    }

    /// It is HTTP+SSE, whose answers come on a stream of their own. Returns what says so.
    pub(crate) fn make_sse(&mut self) -> KeyValue {
        let transport = KeyValue::new(semconv::MCP_TRANSPORT, "sse");
        self.is_sse = true;
        self.attributes.push(transport.clone());
        transport
    }

    /// Messages on the pipe are framed in another way than by lines. Returns whether that is news.
    pub(crate) fn note_framing(&mut self) -> bool {
        let is_known = self
            .attributes
            .iter()
            .any(|known| known.key.as_str() == semconv::FRAMING);
        if !is_known {
            self.attributes
                .push(KeyValue::new(semconv::FRAMING, semconv::CONTENT_LENGTH));
        }
        !is_known
    }

    /// What is said of each request that came this way.
    pub(crate) fn attributes(&self) -> Vec<KeyValue> {
        self.attributes.clone()
    }
}

/// A header's first value, if it is text.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        let request = http::Request::post("/mcp")
            .header("authorization", "Bearer sk-very-secret")
            .header("cookie", "session=secret")
            .header("mcp-session-id", "s-1")
            .header("mcp-protocol-version", "2025-11-25")
            .header("user-agent", "probe/1")
            .header("x-forwarded-for", "203.0.113.9")
            .body(())
            .unwrap();
        request.into_parts().0
    }

    #[test]
    fn http_says_who_and_never_the_secret() {
        let carrier = Carrier::http(&parts(), Some(("203.0.113.9".parse().unwrap(), Some(4711))));
        let said = |key: &str| {
            let mut attributes = carrier.attributes.iter();
            let found = attributes.find(|attribute| attribute.key.as_str() == key);
            found.map(|found| found.value.to_string()).unwrap_or_default()
        };
        assert_eq!(said(semconv::AUTHORIZATION), "Bearer sk-…");
        assert_eq!(said(semconv::NETWORK_TRANSPORT), "tcp");
        assert_eq!(said(semconv::NETWORK_PROTOCOL_VERSION), "1.1");
        assert_eq!(said(semconv::CLIENT_ADDRESS), "203.0.113.9");
        assert_eq!(said(semconv::CLIENT_PORT), "4711");
        assert_eq!(said(semconv::USER_AGENT_ORIGINAL), "probe/1");
        assert_eq!(said("http.request.header.x-forwarded-for"), "[\"203.0.113.9\"]");
        assert!(!format!("{:?}", carrier.attributes).contains("secret"));
        assert_eq!(carrier.session.as_deref(), Some("s-1"));
        assert_eq!(carrier.version.as_deref(), Some("2025-11-25"));
    }
}
