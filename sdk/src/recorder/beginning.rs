//! How the span of a request begins, and which it is where the application's own layer makes one of the call's span of `tracing`.

use std::sync::Arc;

use mcptap_model::semconv;
use opentelemetry::trace::{Span, SpanContext, TraceContextExt, TraceFlags, TraceState, Tracer};
use opentelemetry::{Context, global};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::destination::{Destination, Home, scope};
use super::joining::seeing;
use super::visible::{Visible, is_field};
use super::{Rules, Start};
use crate::telemetry::with_ids;

/// A span that has begun.
pub(super) struct Beginning {
    pub(super) context: Context,
    /// The guard that sends it, if one does.
    pub(super) home: Option<Arc<Home>>,
    /// The span of `tracing`, of a call.
    pub(super) span: Option<tracing::Span>,
    /// Whether the application's layer made it.
    pub(super) is_bridged: bool,
}

impl Beginning {
    pub(super) fn of(destination: &Destination, mut start: Start, rules: &Rules, is_apart: bool) -> Self {
        if !start.is_call || !destination.is_inside {
            return Self::own(destination, start, None);
        }
        // A provider of ours gives these ids to the layer's span, and so is known.
        let ids = (destination.redacts && start.told.is_none()).then(random);
        let (visible, home) = seeing(|| with_ids(ids.as_ref(), || Visible::begin(&start, rules)));
        let span = Some(visible.span);
        let Some(within) = visible.bridged else {
            return Self::own(destination, start, span);
        };
        if !is_apart && destination.has_begun(&within, ids.as_ref(), home.as_ref()) {
            let own = within.span();
            start.attributes.retain(|known| !is_field(known.key.as_str()));
            own.set_attributes(start.attributes);
            for link in start.links {
                own.add_link(link.span_context, link.attributes);
            }
            return Self {
                context: within,
                home,
                span,
                is_bridged: true,
            };
        }
        // The layer's spans go elsewhere: the two are of one trace at least, and what is read of both knows which is which.
        if let Some(span) = &span {
            span.record(semconv::MIRROR, true);
        }
        if !start.parent.span().span_context().is_valid() {
            start.parent = within;
        }
        Self::own(destination, start, span)
    }

    /// A span of our own.
    fn own(destination: &Destination, start: Start, span: Option<tracing::Span>) -> Self {
        let told = start.told.clone();
        let (context, home) = seeing(|| {
            with_ids(told.as_ref(), || match &destination.tracer {
                None => begin(&global::tracer_with_scope(scope()), start),
                Some(tracer) => begin(tracer, start),
            })
        });
        Self {
            context,
            home,
            span,
            is_bridged: false,
        }
    }
}

impl Destination {
    /// Whether the layer's span goes where this destination's go.
    fn has_begun(&self, within: &Context, ids: Option<&SpanContext>, seen: Option<&Arc<Home>>) -> bool {
        let span = within.span();
        if self.redacts {
            return ids.is_some_and(|ids| ids.span_id() == span.span_context().span_id());
        }
        match &self.home {
            // A processor sees what is recorded; of what a sampler left out nobody tells.
            Some(home) => !span.is_recording() || seen.is_some_and(|seen| Arc::ptr_eq(seen, home)),
            // An application has one provider, as a rule, and nothing tells one from another but its word.
            None => true,
        }
    }
}

fn random() -> SpanContext {
    let ids = RandomIdGenerator::default();
    let (trace, span) = (ids.new_trace_id(), ids.new_span_id());
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn begin<T>(tracer: &T, start: Start) -> Context
where
    T: Tracer,
    T::Span: Span + Send + Sync + 'static,
{
    let builder = tracer
        .span_builder(start.name)
        .with_kind(start.kind)
        .with_start_time(start.at)
        .with_attributes(start.attributes)
        .with_links(start.links);
    start
        .parent
        .with_span(tracer.build_with_context(builder, &start.parent))
}
