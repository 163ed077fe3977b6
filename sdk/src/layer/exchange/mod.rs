//! One HTTP request and its answer, read as they pass.

mod head;
mod observed;
mod refusal;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode, request, response};
use mcptap_model::semconv;
use opentelemetry::KeyValue;

use head::Head;
pub(crate) use observed::Observed;
pub(super) use observed::Waiting;

use super::sessions::{Sessions, Shared as SharedConversation};
use crate::jsonrpc::{EventStream, Excerpt, Message, Scan, Scanner};
use crate::observer::{
    Call, Carrier, Conversation, Ended, Key, Observer, SESSION_HEADER, Side, query_session, text,
};
use crate::span::Ending;

/// In the extensions of an answer: the client went away before there was one, and nobody gets this. A service that has to
/// answer all the same says so with it, so that the request is not recorded as answered.
#[derive(Clone, Copy, Debug)]
pub struct Abandoned;

/// In the extensions of an answer: it is not the server's. Who stands in front of the server gave it, for this reason, and
/// the server was not reached or did not answer. The record says so.
#[derive(Clone, Debug)]
pub struct NotForwarded(pub String);

/// How long a client that went away may take to say that it cancelled.
const GRACE: Duration = Duration::from_secs(1);

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// At its end.
    Complete,
    /// The server broke it off.
    Broken,
    /// The client did not want the rest.
    Gone,
}

/// One HTTP request and its answer.
#[derive(Clone)]
pub(super) struct Exchange(Arc<Mutex<State>>);

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exchange").finish_non_exhaustive()
    }
}

/// How an answer's body is read.
#[derive(Debug)]
enum Reading {
    Json(Scanner),
    Events(EventStream),
    Nothing,
}

#[derive(Debug)]
struct State {
    observer: Observer,
    sessions: Sessions,
    conversation: SharedConversation,
    carrier: Carrier,
    head: Head,
    request: Option<Scanner>,
    /// What the request's body was: none until it has ended.
    asked: Option<Scan>,
    /// The requests that were begun by this one.
    keys: Vec<Key>,
    status: Option<StatusCode>,
    reading: Reading,
    /// Whether events of the answer have ids, so that a client may ask for the rest elsewhere.
    resumable: bool,
    /// The stream itself, where a client opened one that answers nothing it asked.
    stream: Option<Call>,
    /// The conversation whose stream this is (HTTP+SSE): it ends with it.
    owned: Option<String>,
    left: Option<Left>,
    /// Whether the client went away before there was an answer.
    is_abandoned: bool,
    /// The answer, where it is no JSON-RPC.
    refusal: Excerpt,
    /// Why the server gave no answer, where another answered for it.
    not_forwarded: Option<String>,
}

impl Exchange {
    pub(super) fn new(
        observer: Observer,
        sessions: &Sessions,
        carrier: Carrier,
        parts: &request::Parts,
    ) -> Self {
        let known = carrier.session.as_deref().and_then(|id| sessions.find(id));
        let scanner = (parts.method == Method::POST).then(|| Scanner::new(observer.cap()));
        Self(Arc::new(Mutex::new(State {
            conversation: known.unwrap_or_else(|| sessions.fresh()),
            observer,
            sessions: sessions.clone(),
            carrier,
            head: Head::of(parts),
            request: scanner,
            asked: None,
            keys: Vec::new(),
            status: None,
            reading: Reading::Nothing,
            resumable: false,
            stream: None,
            owned: None,
            left: None,
            is_abandoned: false,
            refusal: Excerpt::default(),
            not_forwarded: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's traffic must go on whatever happens here.
    fn with(&self, act: impl FnOnce(&mut State)) {
        if catch_unwind(AssertUnwindSafe(|| act(&mut self.state()))).is_err() {
            tracing::error!("recording a request broke; the traffic goes on");
        }
    }

    /// A piece of the request's body.
    pub(super) fn request(&self, bytes: &[u8]) {
        self.with(|state| {
            if let Some(scanner) = &mut state.request {
                scanner.feed(bytes);
            }
        });
    }

    /// The end of the request's body.
    pub(super) fn request_ended(&self) {
        self.with(State::request_ended);
    }

    /// The head of the answer.
    pub(super) fn answer_begins(&self, parts: &response::Parts) {
        self.with(|state| state.answer_begins(parts));
    }

    /// A piece of the answer's body.
    pub(super) fn answer(&self, bytes: &[u8]) {
        self.with(|state| state.answer(bytes));
    }

    /// The end of the answer.
    pub(super) fn answer_ended(&self, left: Left) {
        self.with(|state| state.answer_ended(left));
    }

    /// There is no answer.
    pub(super) fn failed(&self, reason: &str) {
        self.with(|state| state.failed(reason));
    }
}

fn lock(conversation: &SharedConversation) -> MutexGuard<'_, Conversation> {
    conversation.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn failed(&mut self, reason: &str) {
        let keys = std::mem::take(&mut self.keys);
        let mut conversation = lock(&self.conversation);
        for key in keys {
            conversation.end(key, Ended::Broken, Ending::broken(reason));
        }
    }

    fn request_ended(&mut self) {
        let Some(scanner) = self.request.take() else {
            self.settle();
            return;
        };
        let scan = scanner.finish();
        {
            let mut conversation = lock(&self.conversation);
            for message in &scan.messages {
                self.keys
                    .extend(conversation.take(Side::Client, message, &self.carrier));
            }
        }
        self.asked = Some(scan);
        self.tell_status();
        self.settle();
    }

    /// The status is that of every request in this one.
    fn tell_status(&self) {
        let Some(status) = self.status else { return };
        let status = KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
        let mut conversation = lock(&self.conversation);
        for key in &self.keys {
            if let Some(call) = conversation.call(key) {
                call.set([status.clone()]);
            }
            conversation.carried(key);
        }
    }

    fn answer_begins(&mut self, parts: &response::Parts) {
        if parts.extensions.get::<Abandoned>().is_some() {
            self.is_abandoned = true;
            return;
        }
        let not_forwarded = parts.extensions.get::<NotForwarded>();
        self.not_forwarded = not_forwarded.map(|NotForwarded(reason)| reason.clone());
        self.status = Some(parts.status);
        let content_type = text(&parts.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let is_events = content_type.starts_with("text/event-stream");
        // What is compressed cannot be read in passing.
        let is_plain = !parts.headers.contains_key(http::header::CONTENT_ENCODING);
        self.reading = match is_events {
            _ if !is_plain => Reading::Nothing,
            true => Reading::Events(EventStream::new(self.observer.cap())),
            false => Reading::Json(Scanner::new(self.observer.cap())),
        };
        if let Some(id) = text(&parts.headers, SESSION_HEADER)
            && self.head.method == Method::POST
            && parts.status.is_success()
            && self.sessions.find(&id).is_none()
        {
            {
                let mut conversation = lock(&self.conversation);
                // The handshake belongs to the session that it begins.
                for call in self.keys.iter().filter_map(|key| conversation.call(key)) {
                    call.set([KeyValue::new(semconv::MCP_SESSION_ID, id.clone())]);
                }
                conversation.set_session(id.clone());
            }
            self.sessions.keep(id, &self.conversation);
        }
        if self.head.method == Method::DELETE
            && parts.status.is_success()
            && let Some(id) = &self.head.session
        {
            self.sessions.end(id, "the session was ended before the answer");
        }
        if is_events && self.head.method == Method::GET && parts.status.is_success() {
            let known = lock(&self.conversation).known_of_all(&self.carrier);
            let call = Call::start_http(&self.observer, "GET", None, &self.carrier, known, true);
            self.stream = Some(call);
        }
        if let Some(call) = &self.stream {
            call.set([KeyValue::new(
                semconv::HTTP_RESPONSE_STATUS_CODE,
                i64::from(parts.status.as_u16()),
            )]);
        }
        self.tell_status();
    }

    fn answer(&mut self, bytes: &[u8]) {
        match &mut self.reading {
            Reading::Json(scanner) => scanner.feed(bytes),
            Reading::Events(events) => {
                let mut found = Vec::new();
                events.feed(bytes, |event| found.push(event));
                for event in found {
                    self.resumable |= event.resumable;
                    if event.name == "endpoint" {
                        self.opened(&event.data.head);
                    }
                    for message in &event.data.messages {
                        self.said(message);
                    }
                }
            }
            Reading::Nothing => {}
        }
    }

    /// HTTP+SSE: the stream says where its messages are to be posted, and so its session.
    fn opened(&mut self, endpoint: &str) {
        let query = endpoint.split_once('?').map(|(_, query)| query);
        let Some(id) = query.and_then(query_session) else {
            return;
        };
        lock(&self.conversation).set_session(id.clone());
        self.sessions.keep(id.clone(), &self.conversation);
        self.owned = Some(id);
        let transport = self.carrier.make_sse();
        if let Some(call) = &self.stream {
            call.set([transport]);
        }
    }

    /// The server said something.
    fn said(&mut self, message: &Message) {
        let mut conversation = lock(&self.conversation);
        if message.is_answer() && message.id().is_none() {
            conversation.answer_all(&self.keys, message);
        } else {
            conversation.take(Side::Server, message, &self.carrier);
        }
    }

    fn answer_ended(&mut self, left: Left) {
        let left = if self.is_abandoned { Left::Gone } else { left };
        if let Reading::Json(scanner) = std::mem::replace(&mut self.reading, Reading::Nothing) {
            let scan = scanner.finish();
            if scan.is_jsonrpc() && (self.asked.is_some() || !self.keys.is_empty()) {
                for message in &scan.messages {
                    self.said(message);
                }
            }
            self.refusal = Excerpt {
                text: scan.head,
                size: scan.size,
            };
        }
        self.left = Some(left);
        if let Some(call) = self.stream.take() {
            call.closed();
        }
        if let Some(id) = self.owned.take() {
            self.sessions.end(&id, "the stream that answers come on ended");
        }
        self.settle();
    }

    /// When question and answer are both over, what is open of this request will not be answered, unless elsewhere.
    fn settle(&mut self) {
        let (Some(left), true) = (self.left, self.request.is_none()) else {
            return;
        };
        let status = self.status.unwrap_or(StatusCode::OK);
        let keys = std::mem::take(&mut self.keys);
        if keys.is_empty() {
            self.record_refusal(status);
            return;
        }
        let mut conversation = lock(&self.conversation);
        for key in &keys {
            conversation.carried(key);
        }
        // HTTP+SSE answers on the stream; a stream with ids may be taken up again.
        let elsewhere = self.carrier.session.is_some()
            && (status == StatusCode::ACCEPTED
                || (self.resumable && !conversation.is_stateless(&self.carrier)));
        let mut left_open = Vec::new();
        for key in keys {
            let Some(call) = conversation.call(&key) else {
                continue;
            };
            if call.long_lived && status.is_success() {
                if let Some(call) = conversation.release(&key) {
                    call.closed();
                }
                continue;
            }
            if status.is_client_error() || status.is_server_error() {
                call.hold_response(self.refusal.clone());
                let ending = Ending::refused(status.as_u16(), self.not_forwarded.as_deref());
                conversation.end(key, Ended::Broken, ending);
                continue;
            }
            match left {
                Left::Gone if conversation.is_stateless(&self.carrier) => {
                    let why = "the client closed the stream".to_owned();
                    conversation.end(key, Ended::Cancelled, Ending::cancelled(Some(why)));
                }
                _ if elsewhere => {}
                // A client that cancels may hang up before it says so.
                Left::Gone if self.carrier.session.is_some() => left_open.push(key),
                Left::Gone => conversation.end(
                    key,
                    Ended::Broken,
                    Ending::broken("the client went away before the answer"),
                ),
                Left::Broken => conversation.end(key, Ended::Broken, Ending::broken("the answer broke off")),
                Left::Complete => {
                    call.hold_response(self.refusal.clone());
                    conversation.end(
                        key,
                        Ended::Broken,
                        Ending::broken("the answer ended without a result"),
                    );
                }
            }
        }
        drop(conversation);
        if !left_open.is_empty() {
            give_up_later(Arc::clone(&self.conversation), left_open);
        }
    }
}

/// Ends requests whose client went away, unless it says within [`GRACE`] that it cancelled them.
fn give_up_later(conversation: SharedConversation, keys: Vec<Key>) {
    let give_up = move || {
        let mut conversation = lock(&conversation);
        for key in keys {
            let reason = "the client went away before the answer";
            conversation.end(key, Ended::Broken, Ending::broken(reason));
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move {
            tokio::time::sleep(GRACE).await;
            give_up();
        })),
        Err(_) => give_up(),
    }
}
