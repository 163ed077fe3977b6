//! Requests that never became one of JSON-RPC: refused before anybody read them, or not to be read.

use http::StatusCode;
use mcptap_model::semconv;
use opentelemetry::KeyValue;

use super::reading::{beginning, status_attribute};
use super::{State, lock};
use crate::jsonrpc::{Excerpt, Message, Scan};
use crate::observer::{Call, Lasting};
use crate::span::{Ending, Part, unreadable};

/// A request's body after its messages were taken.
#[derive(Debug)]
pub(super) struct Asked {
    is_jsonrpc: bool,
    is_blank: bool,
    is_complete: bool,
    head: Excerpt,
}

impl Asked {
    pub(super) fn is_jsonrpc(&self) -> bool {
        self.is_jsonrpc
    }

    /// Whether it is whole and no JSON-RPC.
    pub(super) fn is_other(&self) -> bool {
        self.is_complete && !self.is_jsonrpc
    }
}

impl From<Scan> for Asked {
    fn from(scan: Scan) -> Self {
        Self {
            is_jsonrpc: scan.is_jsonrpc() && scan.messages.iter().any(Message::is_version_2),
            is_blank: scan.is_blank(),
            is_complete: scan.complete,
            head: Excerpt {
                text: scan.head,
                size: scan.size,
            },
        }
    }
}

impl State {
    /// A request that was refused, or could not be read.
    pub(super) fn record_unread(&mut self, status: StatusCode) {
        let is_refused = status.is_client_error() || status.is_server_error();
        let fault = self.request_fault.take();
        let asked = self.asked.take();
        let is_meant = match &fault {
            // Accepted without an answer, it was a notification or an answer.
            Some(_) => self.head.is_mcp() && status != StatusCode::ACCEPTED,
            None => is_refused && self.is_refused_request(asked.as_ref()),
        };
        let is_routine = self.not_forwarded.is_none() && self.head.is_routine(status);
        if !is_meant || is_routine {
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
            Lasting {
                since: self.since,
                long_lived: false,
            },
        );
        call.over = self.over;
        call.set([status_attribute(status)]);
        let is_coded = fault.is_some();
        call.set(fault.map(|fault| unreadable(Part::Request, fault.to_string())));
        let is_shown = |asked: &Asked| !asked.is_blank && (!is_coded || asked.head.is_text());
        if let Some(asked) = asked.filter(is_shown) {
            if self.request_decoder.damage().is_some() {
                // How large it is, nobody knows.
                beginning("request", &asked.head)
                    .into_iter()
                    .for_each(|line| call.log(line));
            } else {
                call.hold_request(asked.head);
            }
        }
        let answer = self.unasked.take().or_else(|| {
            Message::from_text(&self.refusal.text, self.refusal.size)
                .filter(|answer| answer.is_answer() && answer.says_jsonrpc())
        });
        if let Some(answer) = answer {
            let id = answer.id().map(|id| id.to_string());
            call.set(id.map(|id| KeyValue::new(semconv::JSONRPC_REQUEST_ID, id)));
            return call.answered(&answer);
        }
        call.hold_response(std::mem::take(&mut self.refusal));
        call.set(self.why_unread());
        call.end_as(if is_refused {
            Ending::refused(status.as_u16(), self.not_forwarded.as_deref())
        } else if status.is_redirection() {
            Ending::redirected()
        } else {
            Ending::over()
        });
    }

    /// Whether what was refused was a request of MCP.
    fn is_refused_request(&self, asked: Option<&Asked>) -> bool {
        // A well-formed text that is no JSON-RPC was meant for something else.
        let malformed = asked.is_some_and(|asked| !asked.is_complete && !asked.is_blank);
        let notified = asked.is_some_and(|asked| asked.is_jsonrpc);
        let other = asked.is_some_and(Asked::is_other);
        let meant = self.head.is_mcp() || (malformed && self.head.sends_json && !self.head.is_wellknown);
        meant && !notified && (!other || self.head.mcp_method.is_some() || self.head.session.is_some())
    }

    /// Why the body of the answer was not read, if it was not.
    pub(super) fn why_unread(&self) -> Option<KeyValue> {
        // What is no JSON is shown; only what could not be decoded is not.
        let fault = self.reading.decoder.fault();
        fault.map(|why| unreadable(Part::Response, why.to_string()))
    }
}
