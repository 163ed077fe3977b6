//! The trace a request belongs to: the client's, when it sent one, else whatever is current.

use http::header::{HeaderMap, HeaderName};
use http::request::Parts;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Link, SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use rmcp::model::MetaObject;

/// Reads `traceparent` and `tracestate` from `params._meta`, where MCP puts them without a prefix (SEP-414).
struct Meta<'a>(&'a MetaObject);

impl Extractor for Meta<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.0.get(key).and_then(|value| value.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.0.keys().map(String::as_str).collect()
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

fn remote(source: &dyn Extractor) -> Option<SpanContext> {
    let sent = TraceContextPropagator::new().extract_with_context(&Context::new(), source);
    let sent = sent.span().span_context().clone();
    sent.is_valid().then_some(sent)
}

/// The parent of a request's span, and the spans it is linked to.
///
/// A valid context in `_meta` is the parent, and the ambient span (the HTTP server's, say) becomes a link, as
/// the conventions for MCP say. Without one, or with a malformed one, the ambient span is the parent. rmcp
/// handles HTTP requests in tasks of their own, where nothing is current: a web layer can leave its
/// [`Context`] in the extensions of the HTTP request, else the `traceparent` header is taken.
pub(crate) fn parent(meta: &MetaObject, http: Option<&Parts>) -> (Context, Vec<Link>) {
    let mut ambient = Context::current();
    if let Some(left) = http.and_then(|parts| parts.extensions.get::<Context>())
        && !ambient.span().span_context().is_valid()
    {
        ambient = left.clone();
    }
    let around = ambient.span().span_context().clone();
    match remote(&Meta(meta)) {
        Some(sent) if around.is_valid() => (
            ambient.with_remote_span_context(sent),
            vec![Link::with_context(around)],
        ),
        Some(sent) => (ambient.with_remote_span_context(sent), Vec::new()),
        None if around.is_valid() => (ambient, Vec::new()),
        None => match http.and_then(|parts| remote(&Headers(&parts.headers))) {
            Some(sent) => (ambient.with_remote_span_context(sent), Vec::new()),
            None => (ambient, Vec::new()),
        },
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

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

    #[test]
    fn the_clients_context_is_the_parent_and_the_ambient_span_a_link() {
        let mut meta = MetaObject::new();
        meta.set_traceparent(TRACEPARENT);
        meta.set_tracestate("vendor=1");
        let _guard = ambient().attach();
        let (parent, links) = parent(&meta, None);
        let parent = parent.span().span_context().clone();
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(parent.trace_state().header(), "vendor=1");
        assert!(parent.is_remote());
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
        let mut meta = MetaObject::new();
        meta.set_traceparent("00-zz-yy-01");
        let _guard = ambient().attach();
        let (parent, links) = parent(&meta, None);
        assert_eq!(parent.span().span_context().span_id(), SpanId::from(8));
        assert!(links.is_empty());
    }

    #[test]
    fn without_both_there_is_no_parent() {
        let (parent, links) = parent(&MetaObject::new(), None);
        assert!(!parent.span().span_context().is_valid());
        assert!(links.is_empty());
    }

    #[test]
    fn over_http_the_web_layers_context_or_the_header_stands_in() {
        let mut parts = http::Request::builder()
            .header("traceparent", TRACEPARENT)
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let span_id = |parts: &Parts| {
            let (parent, _) = parent(&MetaObject::new(), Some(parts));
            parent.span().span_context().span_id().to_string()
        };
        assert_eq!(span_id(&parts), "00f067aa0ba902b7");
        parts.extensions.insert(ambient());
        assert_eq!(span_id(&parts), "0000000000000008");
    }
}
