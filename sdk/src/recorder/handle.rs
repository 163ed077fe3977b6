//! A record as the code of its call has it.

use std::sync::Arc;

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};

use super::{Given, Rules};

/// What the code of a call holds of its record.
pub(crate) struct Handle {
    pub(super) context: Context,
    pub(super) ahead: Option<Arc<Rules>>,
    pub(super) given: Arc<Given>,
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

    /// Sets an attribute, without secrets; nothing happens after the end.
    pub(crate) fn set(&self, attribute: KeyValue) {
        if !self.context.span().is_recording() {
            return;
        }
        let mut attributes = vec![attribute];
        if let Some(rules) = &self.ahead {
            rules.redaction.attributes(&mut attributes);
        }
        self.given.put(attributes);
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
