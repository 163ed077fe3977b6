//! Log records that tell of a request besides its span: that it runs, and that its answer came late.

use std::sync::Arc;
use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceState};
use opentelemetry::{KeyValue, Value};

use crate::recorder::{Event, Logs};
use crate::running;

/// The most bytes of a text among the attributes with which a late answer is told. Longer ones are in the span alone.
const SHORT: usize = 256;

/// The announcement of a request: its ids, and the attributes that its span had.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) logs: Arc<Logs>,
    pub(crate) span: SpanContext,
    pub(crate) parent: SpanId,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) at: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
}

impl Announcement {
    /// Writes it as a log record.
    pub(crate) fn tell(self) {
        let mut attributes = self.attributes;
        attributes.push(KeyValue::new(semconv::SPAN_KIND, number_of(&self.kind)));
        if self.parent != SpanId::INVALID {
            attributes.push(KeyValue::new(semconv::SPAN_PARENT, self.parent.to_string()));
        }
        self.logs.event(Event {
            name: semconv::CALL_RUNNING,
            span: Some(&self.span),
            at: self.at,
            body: self.name,
            attributes,
        });
    }
}

/// Tells that an answer came to a request that had been given up.
#[derive(Debug)]
pub(crate) struct Late(Box<Announcement>);

impl Late {
    /// Of a request. Its long texts, such as bodies, are left out.
    pub(crate) fn of(mut request: Announcement) -> Self {
        request.attributes.retain(|attribute| match &attribute.value {
            Value::String(text) => text.as_str().len() <= SHORT,
            Value::Array(_) => false,
            _ => true,
        });
        request.attributes.push(KeyValue::new(semconv::LATE, true));
        request.attributes.shrink_to_fit();
        // It is the client's, and its length is anything.
        let span = &request.span;
        request.span = SpanContext::new(
            span.trace_id(),
            span.span_id(),
            span.trace_flags(),
            span.is_remote(),
            TraceState::NONE,
        );
        Self(Box::new(request))
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.0.attributes.iter().map(|attribute| match &attribute.value {
            Value::String(text) => text.as_str().len(),
            _ => 0,
        });
        let attributes = self.0.attributes.capacity() * size_of::<KeyValue>();
        size_of::<Announcement>() + self.0.name.capacity() + attributes + texts.sum::<usize>()
    }

    /// Writes it as a log record.
    pub(crate) fn tell(self) {
        // Should its span have been lost, nobody may take it for running.
        running::ended(self.0.span.span_id());
        self.0.tell();
    }
}

/// The number that OTLP has for it (`Span.SpanKind`).
fn number_of(kind: &SpanKind) -> i64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}
