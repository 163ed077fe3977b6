//! The trace a request belongs to: the client's, when it sent one, else that of the HTTP request that brought it.

use http::header::{HeaderMap, HeaderName};
use opentelemetry::baggage::{BaggageExt, KeyValueMetadata};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Link, SpanContext, TraceContextExt};
use opentelemetry::{Context, global};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
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

/// The span that a source names: by W3C Trace Context, else in the form of the propagator that the application set.
fn remote(source: &dyn Extractor) -> Option<SpanContext> {
    let named = |context: Context| {
        let named = context.span().span_context().clone();
        named.is_valid().then_some(named)
    };
    match source.get("traceparent") {
        Some(traceparent) if is_traceparent(traceparent.trim()) => {
            named(TraceContextPropagator::new().extract_with_context(&Context::new(), source))
        }
        Some(_) => None,
        None => global::get_text_map_propagator(|propagator| {
            // One that finds nothing may answer with what is current.
            let _nothing_is_current = Context::new().attach();
            named(propagator.extract_with_context(&Context::new(), source))
        }),
    }
}

/// The same context with the baggage that a source carries, if it carries any (W3C Baggage).
fn with_baggage(context: Context, source: &dyn Extractor) -> Context {
    match source.get("baggage") {
        Some(_) => BaggagePropagator::new().extract_with_context(&context, source),
        None => context,
    }
}

/// What the headers of an HTTP request name: a span, and baggage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) span: Option<SpanContext>,
    baggage: Option<Context>,
}

impl Sent {
    pub(crate) fn in_headers(headers: &HeaderMap) -> Self {
        let source = Headers(headers);
        let has_baggage = headers.contains_key("baggage");
        Self {
            span: remote(&source),
            baggage: has_baggage.then(|| with_baggage(Context::new(), &source)),
        }
    }
}

/// What is around a request where it is recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// The context of the HTTP request that brought it, or of the call in which its server asks it.
    pub(crate) request: Context,
    /// What was current when its connection began: of many requests, so never the parent of one.
    pub(crate) connection: Context,
    /// What the headers of the HTTP request name.
    pub(crate) sent: Sent,
}

impl Around {
    /// Whether anything but the request's own message names a trace.
    pub(crate) fn is_traced(&self) -> bool {
        self.sent.span.is_some() || self.request.span().span_context().is_valid()
    }

    /// The parent of a request's span, and the spans it is linked to.
    ///
    /// A valid context in `_meta` is the parent, and the span of the HTTP request becomes a link, as the conventions for MCP
    /// say. Without one, or with a malformed one, the HTTP request's span is the parent, and without that `above`: the span
    /// that its headers named. A span that was current when the connection began is linked, whichever is the parent: below it
    /// a sampler would decide for all requests of a connection at once. Baggage is that of `_meta`, else of the same order.
    pub(crate) fn parent(&self, meta: Option<&Value>, above: Option<&SpanContext>) -> (Context, Vec<Link>) {
        let around = self.request.span().span_context().clone();
        let of_meta = meta.and_then(|meta| remote(&Meta(meta)));
        let mut linked = Vec::new();
        let mut parent = match of_meta {
            Some(sent) => {
                linked.push(around);
                self.request.with_remote_span_context(sent)
            }
            None if around.is_valid() => self.request.clone(),
            None => match above {
                Some(sent) => self.request.with_remote_span_context(sent.clone()),
                None => self.request.clone(),
            },
        };
        if parent.baggage().is_empty() {
            let mut known = self.sent.baggage.iter().chain([&self.connection]);
            if let Some(known) = known.find(|known| !known.baggage().is_empty()) {
                let members = known.baggage().iter();
                parent = parent.with_baggage(members.map(|(key, (value, metadata))| {
                    KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
                }));
            }
        }
        if let Some(meta) = meta {
            parent = with_baggage(parent, &Meta(meta));
        }
        linked.push(self.connection.span().span_context().clone());
        let is_other =
            |link: &SpanContext| link.is_valid() && link.span_id() != parent.span().span_context().span_id();
        linked.dedup_by_key(|link| link.span_id());
        let links = linked.into_iter().filter(is_other).map(Link::with_context);
        (parent.clone(), links.collect())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
    use serde_json::json;

    use super::*;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    fn current(span: u64) -> Context {
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from(7),
            SpanId::from(span),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ))
    }

    /// Below the span 8 of an HTTP request, on a connection that began in the span 9.
    fn around() -> Around {
        Around {
            request: current(8),
            connection: current(9),
            sent: Sent::default(),
        }
    }

    fn ids(links: &[Link]) -> Vec<SpanId> {
        links.iter().map(|link| link.span_context.span_id()).collect()
    }

    fn span_id(context: &Context) -> String {
        context.span().span_context().span_id().to_string()
    }

    #[test]
    fn the_clients_context_is_the_parent_and_the_spans_around_are_links() {
        let meta = json!({"traceparent": TRACEPARENT, "tracestate": "vendor=1"});
        let (parent, links) = around().parent(Some(&meta), None);
        assert_eq!(span_id(&parent), "00f067aa0ba902b7");
        let sent = parent.span().span_context().clone();
        assert_eq!(sent.trace_state().header(), "vendor=1");
        assert!(sent.is_remote());
        assert_eq!(ids(&links), [SpanId::from(8), SpanId::from(9)]);
    }

    #[test]
    fn without_a_valid_one_it_is_the_http_requests_then_the_headers_and_never_the_connections() {
        let meta = json!({"traceparent": "00-zz-yy-01"});
        let (parent, links) = around().parent(Some(&meta), None);
        assert_eq!(span_id(&parent), "0000000000000008");
        assert_eq!(ids(&links), [SpanId::from(9)]);

        let mut headers = HeaderMap::new();
        headers.insert("traceparent", TRACEPARENT.parse().unwrap());
        headers.insert("baggage", "team=a".parse().unwrap());
        let mut below = around();
        below.sent = Sent::in_headers(&headers);
        let above = below.sent.span.clone();
        let (parent, _) = below.parent(None, above.as_ref());
        assert_eq!(span_id(&parent), "0000000000000008");
        below.request = Context::new();
        let (parent, links) = below.parent(None, above.as_ref());
        assert_eq!(span_id(&parent), "00f067aa0ba902b7");
        assert_eq!(parent.baggage().get("team").unwrap().as_str(), "a");
        assert_eq!(ids(&links), [SpanId::from(9)]);

        let (parent, links) = below.parent(None, None);
        assert!(!parent.has_active_span());
        assert_eq!(ids(&links), [SpanId::from(9)]);
    }

    #[test]
    fn baggage_in_meta_is_that_of_the_request() {
        let mut below = around();
        below.connection = below
            .connection
            .with_baggage([opentelemetry::KeyValue::new("team", "a")]);
        let (parent, _) = below.parent(None, None);
        assert_eq!(parent.baggage().get("team").unwrap().as_str(), "a");
        let meta = json!({"baggage": "tenant=shop%20one"});
        let (parent, _) = below.parent(Some(&meta), None);
        assert_eq!(parent.baggage().get("tenant").unwrap().as_str(), "shop one");
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
            let (parent, _) = Around::default().parent(Some(&meta), None);
            assert_eq!(parent.span().span_context().is_valid(), is, "{text}");
        }
    }
}
