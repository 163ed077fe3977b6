//! The end of a request's body: what it asks for, and the trace that it begins.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::SpanContext;

use super::refusal::Asked;
use super::{Exchange, State, lock};
use crate::observer::{Call, Scope, Side};

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// In the extensions of a request: for who sends it on, the trace of its record. A client may name its trace in the body alone, so
/// it is known when the body was read.
#[derive(Clone)]
pub struct RequestTrace(Exchange);

impl fmt::Debug for RequestTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RequestTrace").finish_non_exhaustive()
    }
}

impl RequestTrace {
    pub(in crate::layer) fn new(exchange: &Exchange) -> Self {
        Self(exchange.clone())
    }

    /// Names the span of the record in the `traceparent` of the head that is sent on. Nothing changes where the body was not
    /// read to its end, where it has no request of JSON-RPC, and where the span is not sampled: the server's spans would name
    /// a parent that nobody sends.
    pub fn name_in(&self, headers: &mut HeaderMap) {
        let mut named = None;
        self.0.with(|state| named = state.begun_trace());
        let Some(span) = named.filter(|span| span.is_valid() && span.is_sampled()) else {
            return;
        };
        let value = format!("00-{}-{}-01", span.trace_id(), span.span_id());
        let Ok(value) = HeaderValue::try_from(value) else {
            return;
        };
        headers.insert(TRACEPARENT, value);
        // One that belongs to no trace that can be read means nothing.
        headers.remove(TRACESTATE);
        let state = span.trace_state().header();
        if let Ok(state) = HeaderValue::try_from(state)
            && !state.is_empty()
        {
            headers.insert(TRACESTATE, state);
        }
    }
}

impl State {
    pub(super) fn request_ended(&mut self) {
        let Some(mut scanner) = self.request.take() else {
            self.settle();
            return;
        };
        self.request_decoder.finish(|bytes| scanner.feed(bytes));
        let scan = scanner.finish();
        if scan.messages.is_empty() {
            self.request_fault = self.request_decoder.fault().cloned();
        }
        {
            let mut conversation = lock(&self.conversation);
            for message in scan.messages.iter().filter(|message| message.is_version_2()) {
                // A cancellation in a batch may be of what stands before it.
                let scope = Scope::Session(&self.keys);
                if let Some(key) = conversation.take(Side::Client, message, &self.carrier, scope) {
                    if self.begins_trace && self.keys.is_empty() {
                        // The others of a batch are below the first, which the server is told of.
                        self.carrier.told = conversation.call(key).map(Call::span_context);
                    }
                    self.keys.push(key);
                }
            }
        }
        self.asked = Some(Asked::from(scan));
        self.tell_status();
        self.settle();
    }

    /// The span that stands for the request, where it is known and the request's head names none.
    fn begun_trace(&mut self) -> Option<SpanContext> {
        let asked = self.asked.as_ref().filter(|_| self.begins_trace)?;
        if self.keys.is_empty() && !asked.is_jsonrpc() {
            // It may have a record all the same, as one that was refused or could not be read.
            return Some(self.carrier.tell());
        }
        let first = *self.keys.first()?;
        lock(&self.conversation).call(first).map(Call::span_context)
    }
}
