//! The trace a request belongs to: the client's, when it sent one, else whatever is current.

use http::header::{HeaderMap, HeaderName};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Link, SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::Value;

/// Reads `traceparent` and `tracestate` from `params._meta`, where MCP puts them without a prefix (SEP-414).
struct Meta<'a>(&'a Value);

impl Extractor for Meta<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        let members = self.0.as_object();
        members
            .map(|members| members.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }
}

/// Reads the same from the headers of an HTTP request.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Whether a text is a `traceparent` as W3C Trace Context has it; readers make a new trace of what is none. For `mcptap wrap`.
#[doc(hidden)]
pub fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == length && part.bytes().all(is_digit)
    };
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let mut next = || parts.next().unwrap_or_default();
    let (version, trace, span, flags) = (next(), next(), next(), next());
    let is_whole = is_hex(version, 2) && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2);
    // Later versions may say more.
    is_whole && version != "ff" && (version != "00" || parts.next().is_none())
}

fn remote(source: &dyn Extractor) -> Option<SpanContext> {
    let traceparent = source.get("traceparent")?;
    if !is_traceparent(traceparent.trim()) {
        return None;
    }
    let sent = TraceContextPropagator::new().extract_with_context(&Context::new(), source);
    let sent = sent.span().span_context().clone();
    sent.is_valid().then_some(sent)
}

/// The span that the headers of an HTTP request name.
pub(crate) fn of_headers(headers: &HeaderMap) -> Option<SpanContext> {
    remote(&Headers(headers))
}

/// The parent of a request's span, and the spans it is linked to.
///
/// A valid context in `_meta` is the parent, and the ambient span (the HTTP server's, say) becomes a link, as
/// the conventions for MCP say. Without one, or with a malformed one, the ambient span is the parent, and
/// without that the span that the HTTP request's own `traceparent` named.
pub(crate) fn parent(
    meta: Option<&Value>,
    ambient: &Context,
    header: Option<&SpanContext>,
) -> (Context, Vec<Link>) {
    let around = ambient.span().span_context().clone();
    match meta.and_then(|meta| remote(&Meta(meta))) {
        Some(sent) if around.is_valid() => (
            ambient.with_remote_span_context(sent),
            vec![Link::with_context(around)],
        ),
        Some(sent) => (ambient.with_remote_span_context(sent), Vec::new()),
        None if around.is_valid() => (ambient.clone(), Vec::new()),
        None => match header {
            Some(sent) => (ambient.with_remote_span_context(sent.clone()), Vec::new()),
            None => (ambient.clone(), Vec::new()),
        },
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
    use serde_json::json;

    use super::*;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    fn ambient() -> Context {
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from(7),
            SpanId::from(8),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ))
    }

    fn span_id(context: &Context) -> String {
        context.span().span_context().span_id().to_string()
    }

    #[test]
    fn the_clients_context_is_the_parent_and_the_ambient_span_a_link() {
        let meta = json!({"traceparent": TRACEPARENT, "tracestate": "vendor=1"});
        let (parent, links) = parent(Some(&meta), &ambient(), None);
        assert_eq!(span_id(&parent), "00f067aa0ba902b7");
        let sent = parent.span().span_context().clone();
        assert_eq!(sent.trace_state().header(), "vendor=1");
        assert!(sent.is_remote());
        assert_eq!(
            links
                .iter()
                .map(|link| link.span_context.span_id())
                .collect::<Vec<_>>(),
            [SpanId::from(8)]
        );
    }

    #[test]
    fn without_a_valid_one_the_ambient_span_is_the_parent() {
        let meta = json!({"traceparent": "00-zz-yy-01"});
        let (parent, links) = parent(Some(&meta), &ambient(), None);
        assert_eq!(span_id(&parent), "0000000000000008");
        assert!(links.is_empty());
    }

    #[test]
    fn what_is_no_traceparent_counts_as_none() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7");
        for (text, is) in [
            (TRACEPARENT.to_owned(), true),
            (format!("00-{trace}-{span}-03"), true),
            (format!("cc-{trace}-{span}-01-what-comes"), true),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{trace}-{span}-01-more"), false),
            (format!("00-{trace}-{span}"), false),
            (format!("00-{}-{span}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{}-{span}-01", &trace[1..]), false),
            (format!("00-{trace}-+{}-01", &span[1..]), false),
            (format!("0-{trace}-{span}-1"), false),
            (String::new(), false),
        ] {
            let meta = json!({"traceparent": text});
            let (parent, _) = parent(Some(&meta), &Context::new(), None);
            assert_eq!(parent.span().span_context().is_valid(), is, "{text}");
        }
    }

    #[test]
    fn without_both_the_header_stands_in_and_without_that_nothing() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("traceparent"),
            TRACEPARENT.parse().unwrap(),
        )]);
        let header = of_headers(&headers);
        assert_eq!(
            span_id(&parent(None, &Context::new(), header.as_ref()).0),
            "00f067aa0ba902b7"
        );
        assert_eq!(
            span_id(&parent(None, &ambient(), header.as_ref()).0),
            "0000000000000008"
        );
        let (parent, links) = parent(None, &Context::new(), None);
        assert!(!parent.span().span_context().is_valid());
        assert!(links.is_empty());
    }
}
