//! The body of an answer, read as it passes.

use std::time::SystemTime;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::logs::Severity;

use super::head::is_events;
use super::{State, event_hash, lock};
use crate::jsonrpc::{Event, EventStream, Excerpt, Message, Scanner};
use crate::layer::decoder::{Decoder, Unreadable};
use crate::observer::{Observer, Scope, Side, address_session, resolve};
use crate::recorder::Line;

/// How much is read before other tasks of the server have their turn, in bytes before and after decoding: less than a
/// millisecond's work.
const TURN: usize = 128 * 1024;
/// The work that an event counts for besides its bytes: a message in it may begin or end a record.
const EVENT: usize = 1024;
/// How many requests of a batch are told that their common answer was damaged.
const MOST_NOTED: usize = 16;
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
    /// Reads on in a piece of the request's body, for one turn. Returns whether all of it was read.
    pub(super) fn read_request(&mut self, bytes: &mut Bytes) -> bool {
        let Some(scanner) = &mut self.request else {
            return true;
        };
        let decoder = &mut self.request_decoder;
        let (mut rest, mut work) = (bytes.as_ref(), 0);
        while work < TURN && !(rest.is_empty() && decoder.is_idle()) {
            work += decoder.step(&mut rest, |bytes| scanner.feed(bytes)).max(1);
        }
        let left = rest.len();
        bytes.advance(bytes.len() - left);
        left == 0 && decoder.is_idle()
    }

    /// Reads on in a piece of the answer's body, for one turn. Returns whether all of it was read.
    pub(super) fn read_answer(&mut self, bytes: &mut Bytes) -> bool {
        if matches!(self.reading.form, Form::Nothing) {
            bytes.clear();
            return true;
        }
        let (mut rest, mut work) = (bytes.as_ref(), 0);
        while work < TURN && !(rest.is_empty() && self.reading.decoder.is_idle()) {
            let mut events = Vec::new();
            let Reading { form, decoder, .. } = &mut self.reading;
            let done = decoder.step(&mut rest, |bytes| match form {
                Form::Json(scanner) => scanner.feed(bytes),
                Form::Events(stream) => stream.feed(bytes, |event| events.push(event)),
                Form::Nothing => {}
            });
            if !events.is_empty() {
                decoder.next_message();
            }
            work += done.max(1) + EVENT * events.len();
            events.into_iter().for_each(|event| self.take_event(event));
        }
        let left = rest.len();
        bytes.advance(bytes.len() - left);
        left == 0 && self.reading.decoder.is_idle()
    }

    fn take_event(&mut self, event: Event) {
        self.reading.is_garbled |= event.name == "message" && !event.data.complete && !event.data.is_blank();
        if let Some(id) = &event.id {
            if self.events.len() >= MOST_EVENTS {
                self.events.pop_front();
            }
            self.events.push_back(event_hash(id));
        }
        if event.name == "endpoint" && self.head.method == http::Method::GET {
            if self.stream.is_none() {
                self.begin_stream();
            }
            self.opened(&event.data.head);
        }
        if self.head.method == http::Method::GET && self.stream.is_none() {
            // A stream of something else: the older transport's begins with its address.
            self.reading.form = Form::Nothing;
            return;
        }
        if event.name != "message" {
            // Clients take events of no other name for messages.
            return;
        }
        self.hold_answers();
        for message in &event.data.messages {
            self.said(message);
        }
    }

    /// The end of the answer's body: what was read of it as one text.
    pub(super) fn answer_read(&mut self) {
        let form = std::mem::replace(&mut self.reading.form, Form::Nothing);
        let Form::Json(mut scanner) = form else { return };
        self.reading.decoder.finish(|bytes| scanner.feed(bytes));
        let scan = scanner.finish();
        if scan.is_jsonrpc() && (self.asked.is_some() || !self.keys.is_empty()) {
            self.note_damage();
            for message in &scan.messages {
                self.said(message);
            }
        }
        self.reading.is_garbled |= !scan.complete && !scan.is_blank();
        let refusal = Excerpt {
            text: scan.head,
            size: scan.size,
        };
        let is_damaged = self.reading.decoder.damage().is_some();
        if is_damaged && !scan.complete {
            self.note(&beginning("answer", &refusal));
        }
        self.refusal = if is_damaged || (self.reading.decoder.fault().is_some() && !refusal.is_text()) {
            // How large it is, nobody knows.
            Excerpt::default()
        } else if scan.complete {
            refusal.readable()
        } else {
            refusal
        };
    }

    /// The answer is whole, and what came after it in the same body could not be decoded.
    fn note_damage(&self) {
        let Some(damage) = self.reading.decoder.damage() else {
            return;
        };
        self.note(&Some(warning(format!(
            "the answer was read, and more of its body was not: {damage}"
        ))));
    }

    /// Writes a line into the console output of the requests that are answered.
    fn note(&self, line: &Option<Line>) {
        let Some(line) = line else { return };
        let conversation = lock(&self.conversation);
        let calls = self.keys.iter().filter_map(|key| conversation.call(*key));
        calls.take(MOST_NOTED).for_each(|call| call.log(line.clone()));
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
        let followed = self.follows.map(|event| conversation.followed(event));
        let scope = if self.head.method == http::Method::POST {
            Scope::Answer(&self.keys)
        } else {
            Scope::Session(followed.as_deref().unwrap_or_default())
        };
        let begun = conversation.take(Side::Server, message, &self.carrier, scope);
        if let Some(begun) = begun {
            // A stream may be open for days.
            if self.asked_back.len() == self.asked_back.capacity() {
                self.asked_back.retain(|key| conversation.call(*key).is_some());
                self.asked_back.reserve(self.asked_back.len() + 1);
            }
            self.asked_back.push(begun);
        }
    }

    /// HTTP+SSE: the stream says where its messages are to be posted, and so what belongs to it.
    fn opened(&mut self, endpoint: &str) {
        if self.owned.is_some() {
            return;
        }
        let address = resolve(&self.head.target, endpoint);
        self.leave_streams();
        // Streams that announce the same address are one conversation, since nothing on the wire tells them apart.
        self.conversation = self.sessions.announce(&address, &self.conversation);
        let session = address_session(&address);
        self.listens = true;
        lock(&self.conversation).listens();
        if let Some(id) = &session {
            lock(&self.conversation).set_session(id.clone());
            self.sessions.keep(id, &self.conversation);
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

/// How the text of a body begins that could not be decoded to its end, to be shown in place of it.
pub(super) fn beginning(what: &str, body: &Excerpt) -> Option<Line> {
    let is_shown = body.is_text() && !body.text.trim().is_empty();
    is_shown.then(|| {
        let text = &body.text;
        warning(format!(
            "the {what} could not be read to its end; it begins: {text}"
        ))
    })
}

fn warning(body: String) -> Line {
    Line {
        severity: Severity::Warn,
        body,
        attributes: Vec::new(),
        at: SystemTime::now(),
    }
}

/// The status of the HTTP answer.
pub(super) fn status_attribute(status: StatusCode) -> KeyValue {
    KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()))
}
