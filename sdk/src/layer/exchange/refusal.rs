//! Requests that never became one of JSON-RPC: refused before anybody read them, or not to be read.

use http::StatusCode;
use mcptap_model::semconv;
use opentelemetry::KeyValue;

use super::{State, lock};
use crate::jsonrpc::{Excerpt, Message, Scan};
use crate::observer::Call;
use crate::span::Ending;

impl State {
    /// A request that was refused, or could not be read.
    pub(super) fn record_refusal(&mut self, status: StatusCode) {
        if !(status.is_client_error() || status.is_server_error()) {
            return;
        }
        let asked = self.asked.take();
        // A well-formed text that is no JSON-RPC was meant for something else.
        let malformed = asked
            .as_ref()
            .is_some_and(|asked| !asked.complete && !asked.is_blank());
        let notified = asked.as_ref().is_some_and(Scan::is_jsonrpc);
        let other = asked
            .as_ref()
            .is_some_and(|asked| asked.complete && !asked.is_jsonrpc());
        let meant =
            self.head.is_mcp() || notified || (malformed && self.head.sends_json && !self.head.is_wellknown);
        if !meant || (other && self.head.mcp_method.is_none() && self.head.session.is_none()) || notified {
            return;
        }
        let method = self.head.mcp_method.clone();
        let method = method.unwrap_or_else(|| self.head.method.to_string());
        let known = lock(&self.conversation).known_of_all(&self.carrier);
        let mut call = Call::start_http(
            &self.observer,
            &method,
            self.head.name.as_deref(),
            &self.carrier,
            known,
            false,
        );
        call.set([KeyValue::new(
            semconv::HTTP_RESPONSE_STATUS_CODE,
            i64::from(status.as_u16()),
        )]);
        if let Some(asked) = asked.filter(|asked| !asked.is_blank()) {
            call.hold_request(Excerpt {
                text: asked.head,
                size: asked.size,
            });
        }
        let answer = Message::from_text(&self.refusal.text, self.refusal.size).filter(Message::is_answer);
        match answer {
            Some(answer) => call.answered(&answer),
            None => {
                call.hold_response(std::mem::take(&mut self.refusal));
                call.end_as(Ending::refused(status.as_u16(), self.not_forwarded.as_deref()));
            }
        }
    }
}
