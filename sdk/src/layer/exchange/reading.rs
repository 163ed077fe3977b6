//! The body of an answer, read as it passes.

use http::{HeaderMap, StatusCode};
use mcptap_model::semconv;
use opentelemetry::KeyValue;

use super::head::is_events;
use super::{State, event_hash, lock};
use crate::jsonrpc::{Event, EventStream, Excerpt, Message, Scanner};
use crate::layer::decoder::{Decoder, Unreadable};
use crate::observer::{Observer, Scope, Side, address_session, resolve};

/// How many events of one stream are remembered, to know it again when it is taken up elsewhere.
const MOST_EVENTS: usize = 64;

/// How an answer's body is read.
#[derive(Debug)]
pub(super) enum Form {
    Json(Scanner),
    Events(EventStream),
    /// There is no body, or it has ended.
    Nothing,
}

/// The body of an answer on its way.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) form: Form,
    pub(super) decoder: Decoder,
    /// Whether something came that could have been an answer and was no JSON.
    is_garbled: bool,
}

impl Reading {
    pub(super) fn new(observer: &Observer, headers: &HeaderMap) -> Self {
        Self {
            form: if is_events(headers) {
                Form::Events(EventStream::new(observer.cap()))
            } else {
                Form::Json(Scanner::new(observer.cap()))
            },
            decoder: Decoder::new(observer, headers),
            is_garbled: false,
        }
    }

    /// Before the head of the answer is known.
    pub(super) fn none(observer: &Observer) -> Self {
        Self {
            form: Form::Nothing,
            decoder: Decoder::new(observer, &HeaderMap::new()),
            is_garbled: false,
        }
    }

    /// Why an answer may have been in it that was not read.
    pub(super) fn unreadable(&self) -> Option<Unreadable> {
        let garbled = self.is_garbled.then_some(Unreadable::NotJson);
        self.decoder.fault().cloned().or(garbled)
    }
}

impl State {
    /// A piece of the answer's body.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        let Reading {
            form,
            decoder,
            is_garbled,
        } = &mut self.reading;
        let mut events = Vec::new();
        decoder.feed(bytes, |bytes| match form {
            Form::Json(scanner) => scanner.feed(bytes),
            Form::Events(stream) => stream.feed(bytes, |event| events.push(event)),
            Form::Nothing => {}
        });
        if !events.is_empty() {
            decoder.next_message();
        }
        let garbled =
            |event: &Event| event.name == "message" && !event.data.complete && !event.data.is_blank();
        *is_garbled |= events.iter().any(garbled);
        for event in events {
            if let Some(id) = &event.id {
                if self.events.len() >= MOST_EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(event_hash(id));
            }
            if event.name == "endpoint" && self.stream.is_some() {
                self.opened(&event.data.head);
            }
            for message in &event.data.messages {
                self.said(message);
            }
        }
    }

    /// The end of the answer's body: what was read of it as one text.
    pub(super) fn answer_read(&mut self) {
        let form = std::mem::replace(&mut self.reading.form, Form::Nothing);
        let Form::Json(mut scanner) = form else { return };
        self.reading.decoder.finish(|bytes| scanner.feed(bytes));
        let scan = scanner.finish();
        if scan.is_jsonrpc() && (self.asked.is_some() || !self.keys.is_empty()) {
            for message in &scan.messages {
                self.said(message);
            }
        }
        self.reading.is_garbled |= !scan.complete && !scan.is_blank();
        let refusal = Excerpt {
            text: scan.head,
            size: scan.size,
        };
        self.refusal = if scan.complete {
            refusal.readable()
        } else {
            refusal
        };
    }

    /// The server said something.
    fn said(&mut self, message: &Message) {
        let is_refused = self
            .status
            .is_some_and(|status| status.is_client_error() || status.is_server_error());
        let mut conversation = lock(&self.conversation);
        if message.is_answer() {
            let is_own = |id| conversation.handled(id, &self.keys).is_some();
            let names_own = message.id().as_ref().is_some_and(is_own);
            // A refusal is about all that was asked; some servers give it an id of their own making.
            let refuses = is_refused && message.error().is_some() && !names_own;
            if self.keys.is_empty() && self.request_fault.is_some() {
                if message.says_jsonrpc() {
                    self.unasked.get_or_insert_with(|| message.clone());
                }
                return;
            }
            if message.id().is_none() || refuses {
                if message.says_jsonrpc() {
                    conversation.answer_all(&self.keys, message);
                }
                return;
            }
        }
        let scope = if self.head.method == http::Method::POST {
            Scope::Answer(&self.keys)
        } else {
            Scope::Session(&self.resumed)
        };
        conversation.take(Side::Server, message, &self.carrier, scope);
    }

    /// HTTP+SSE: the stream says where its messages are to be posted, and so what belongs to it.
    fn opened(&mut self, endpoint: &str) {
        if self.owned.is_some() {
            return;
        }
        let address = resolve(&self.head.target, endpoint);
        // Streams that announce the same address are one conversation, since nothing on the wire tells them apart.
        self.conversation = self.sessions.announce(&address, &self.conversation);
        let session = address_session(&address);
        if let Some(id) = &session {
            lock(&self.conversation).set_session(id.clone());
            self.sessions.keep(id.clone(), &self.conversation);
        }
        self.owned = Some((address, session));
        let transport = self.carrier.make_sse();
        if let Some(call) = &self.stream {
            call.set([transport]);
        }
    }

    /// The status is that of every request in this one.
    pub(super) fn tell_status(&self) {
        let Some(status) = self.status else { return };
        let status = status_attribute(status);
        let mut conversation = lock(&self.conversation);
        for key in &self.keys {
            if let Some(call) = conversation.call(*key) {
                call.set([status.clone()]);
            }
            conversation.carried(*key);
        }
    }
}

/// The status of the HTTP answer.
pub(super) fn status_attribute(status: StatusCode) -> KeyValue {
    KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()))
}
