//! The trace a request belongs to: the client's, when it sent one, else whatever is current.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Link, TraceContextExt};
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

/// The parent of a request's span, and the spans it is linked to.
///
/// A valid context in `_meta` is the parent, and the span that is current (the HTTP server's, say) becomes a
/// link, as the conventions for MCP say. Without one, or with a malformed one, the current context is the
/// parent.
pub(crate) fn parent(meta: &MetaObject) -> (Context, Vec<Link>) {
    let current = Context::current();
    let sent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Meta(meta));
    let remote = sent.span().span_context().clone();
    if !remote.is_valid() {
        return (current, Vec::new());
    }
    let ambient = current.span().span_context().clone();
    let links = if ambient.is_valid() {
        vec![Link::with_context(ambient)]
    } else {
        Vec::new()
    };
    (current.with_remote_span_context(remote), links)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

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
        let (parent, links) = parent(&meta);
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
        let (parent, links) = parent(&meta);
        assert_eq!(parent.span().span_context().span_id(), SpanId::from(8));
        assert!(links.is_empty());
    }

    #[test]
    fn without_both_there_is_no_parent() {
        let (parent, links) = parent(&MetaObject::new());
        assert!(!parent.span().span_context().is_valid());
        assert!(links.is_empty());
    }
}
