//! A record as the code of its call has it.

use std::sync::{Arc, Weak};

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};

use super::Rules;
use crate::running::Begun;

/// What the code of a call holds of its record.
pub(crate) struct Handle {
    pub(super) context: Context,
    pub(super) ahead: Option<Arc<Rules>>,
    pub(super) running: Option<Weak<Begun>>,
    pub(super) is_bridged: bool,
}

impl Handle {
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Whether its span is the one that the application's layer made of the span of `tracing`.
    pub(crate) fn is_bridged(&self) -> bool {
        self.is_bridged
    }

    pub(crate) fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        let running = self.running.as_ref().and_then(Weak::upgrade);
        set(
            &self.context,
            self.ahead.as_deref(),
            running.as_deref(),
            attributes,
        );
    }
}

impl Handle {
    /// Adds an event to its span, without secrets.
    pub(crate) fn event(&self, name: &'static str, mut attributes: Vec<KeyValue>) {
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        if let Some(rules) = &self.ahead {
            rules.redaction.attributes(&mut attributes);
        }
        span.add_event(name, attributes);
    }
}

/// Sets attributes of a span, without secrets.
pub(super) fn set(
    context: &Context,
    ahead: Option<&Rules>,
    running: Option<&Begun>,
    attributes: impl IntoIterator<Item = KeyValue>,
) {
    let span = context.span();
    if !span.is_recording() {
        return;
    }
    let mut attributes: Vec<KeyValue> = attributes.into_iter().collect();
    if attributes.is_empty() {
        return;
    }
    if let Some(rules) = ahead {
        rules.redaction.attributes(&mut attributes);
    }
    if let Some(running) = running {
        running.add(&attributes);
    }
    span.set_attributes(attributes);
}
