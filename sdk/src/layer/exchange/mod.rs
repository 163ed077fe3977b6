//! One HTTP request and its answer, read as they pass.

mod asking;
mod head;
mod observed;
mod reading;
mod receipt;
mod refusal;
mod verdict;

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, StatusCode, request};
use mcptap_model::semconv;
use opentelemetry::KeyValue;

pub use asking::RequestTrace;
pub(super) use head::sends_json;
use head::{Head, is_events};
pub(crate) use observed::Observed;
pub(super) use observed::Waiting;
use reading::{Reading, status_attribute};
pub use receipt::Receipt;
use refusal::Asked;

use super::decoder::{Decoder, Unreadable};
use super::sessions::{Sessions, Shared as SharedConversation};
use crate::jsonrpc::{Excerpt, Message, Scanner};
use crate::observer::{
    Call, Carrier, Conversation, Ended, Key, Lasting, Observer, SESSION_HEADER, Way, text,
};
use crate::span::Ending;

/// In the extensions of an answer: the client went away before there was one, and nobody gets this. A service that has to
/// answer all the same says so with it, so that the request is not recorded as answered.
#[derive(Clone, Copy, Debug)]
pub struct Abandoned;

/// In the extensions of an answer that is not the server's: a proxy in front of the server gave it, for this reason. The server
/// was not reached or did not answer. The record says so.
#[derive(Clone, Debug)]
pub struct NotForwarded(pub String);

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

#[derive(Debug)]
struct State {
    observer: Observer,
    sessions: Sessions,
    conversation: SharedConversation,
    /// Whether other requests are part of the conversation.
    is_shared: bool,
    carrier: Carrier,
    /// Whether a request that is of no trace begins one, which others are told of.
    begins_trace: bool,
    head: Head,
    /// When the request came.
    since: SystemTime,
    request: Option<Scanner>,
    request_decoder: Decoder,
    /// Why the request's body could not be read.
    request_fault: Option<Unreadable>,
    /// What the request's body was: none until it has ended.
    asked: Option<Asked>,
    /// The requests that were begun by this one, in the order in which they began.
    keys: Vec<Key>,
    /// The event after which the stream goes on that this one opens.
    follows: Option<u64>,
    /// Whether this is an open stream on which anything may come.
    listens: bool,
    /// The requests of the server on this stream, in the order in which they began; some have ended.
    asked_back: Vec<Key>,
    status: Option<StatusCode>,
    reading: Reading,
    /// The last events of the answer that have ids, hashed: a client may ask for what comes after one of them.
    events: VecDeque<u64>,
    /// The stream itself, where a client opened one that answers nothing it asked.
    stream: Option<Call>,
    /// The address that belongs to this stream (HTTP+SSE), and the session that it names: they end with it.
    owned: Option<(String, Option<String>)>,
    left: Option<Left>,
    /// When the answer's body was over.
    over: Option<SystemTime>,
    /// By what is to be learned whether the client got the answer.
    receipt: Option<Receipt>,
    /// Whether answers are held until that is known.
    is_held: bool,
    /// Whether the client went away before there was an answer.
    is_abandoned: bool,
    /// The answer, where it is no JSON-RPC.
    refusal: Excerpt,
    /// Why the server gave no answer, where another answered for it.
    not_forwarded: Option<String>,
    /// The answer to a request that could not be read.
    unasked: Option<Message>,
}

impl Exchange {
    pub(super) fn new(
        observer: Observer,
        sessions: &Sessions,
        mut carrier: Carrier,
        begins_trace: bool,
        is_mcp: bool,
        parts: &request::Parts,
    ) -> Self {
        let head = Head::of(parts, is_mcp);
        let is_post = parts.method == Method::POST;
        let announced = (is_post && head.session.is_none())
            .then(|| sessions.announced(&head.target))
            .flatten();
        if announced.is_some() && !carrier.is_sse {
            carrier.make_sse();
        }
        let is_stateless = carrier.is_stateless();
        let session = carrier.session.as_deref().filter(|_| !is_stateless);
        let known = announced.or_else(|| session.map(|id| sessions.claim(id)));
        let is_shared = known.is_some() || carrier.session.is_some();
        let conversation = known.unwrap_or_else(|| sessions.fresh());
        let last_event = head.last_event.as_deref();
        let follows = last_event.filter(|_| parts.method == Method::GET).map(event_hash);
        if let Some(event) = follows {
            lock(&conversation).follow(event);
        }
        let scanner = is_post.then(|| Scanner::new(observer.cap()));
        Self(Arc::new(Mutex::new(State {
            request_decoder: Decoder::new(&observer, &parts.headers),
            reading: Reading::none(&observer),
            conversation,
            is_shared,
            observer,
            sessions: sessions.clone(),
            carrier,
            begins_trace,
            head,
            since: SystemTime::now(),
            request: scanner,
            request_fault: None,
            asked: None,
            keys: Vec::new(),
            follows,
            listens: false,
            asked_back: Vec::new(),
            status: None,
            events: VecDeque::new(),
            stream: None,
            owned: None,
            left: None,
            over: None,
            receipt: None,
            is_held: false,
            is_abandoned: false,
            refusal: Excerpt::default(),
            not_forwarded: None,
            unasked: None,
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

    /// Reads on in a piece of the request's body. Returns whether all of it was read; others have their turn otherwise.
    pub(super) fn request(&self, bytes: &mut Bytes) -> bool {
        let mut is_read = true;
        self.with(|state| is_read = state.read_request(bytes));
        is_read
    }

    /// The end of the request's body.
    pub(super) fn request_ended(&self) {
        self.with(State::request_ended);
    }

    /// The head of the answer.
    pub(super) fn answer_begins(&self, status: StatusCode, headers: &HeaderMap, extensions: &Extensions) {
        self.with(|state| state.answer_begins(status, headers, extensions));
    }

    /// Reads on in a piece of the answer's body, in the same way.
    pub(super) fn answer(&self, bytes: &mut Bytes) -> bool {
        let mut is_read = true;
        self.with(|state| is_read = state.read_answer(bytes));
        is_read
    }

    /// There is no answer.
    pub(super) fn failed(&self, reason: &str) {
        self.with(|state| state.failed(|| Ending::broken(reason)));
    }

    /// There is no answer, or no end of it, because the service panicked.
    pub(super) fn panicked(&self, said: Option<String>) {
        self.with(|state| state.failed(|| Ending::panicked(said.clone())));
    }
}

/// What an event's id is remembered by.
fn event_hash(id: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

fn lock(conversation: &SharedConversation) -> MutexGuard<'_, Conversation> {
    conversation.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn failed(&mut self, ending: impl Fn() -> Ending) {
        let keys = std::mem::take(&mut self.keys);
        let mut conversation = lock(&self.conversation);
        for key in keys {
            conversation.end(key, Ended::Broken, ending());
        }
        drop(conversation);
        self.leave_streams();
    }

    fn answer_begins(&mut self, status: StatusCode, headers: &HeaderMap, extensions: &Extensions) {
        if extensions.get::<Abandoned>().is_some() {
            self.is_abandoned = true;
            return;
        }
        let not_forwarded = extensions.get::<NotForwarded>();
        self.not_forwarded = not_forwarded.map(|NotForwarded(reason)| reason.clone());
        self.status = Some(status);
        self.receipt = extensions.get().cloned();
        if self.may_answer(headers) {
            self.reading = Reading::new(&self.observer, headers);
        }
        let given = text(headers, SESSION_HEADER);
        if let Some(id) = given.clone()
            && self.head.method == Method::POST
            && status.is_success()
        {
            self.begin_session(id);
        }
        if self.head.method == Method::DELETE
            && status.is_success()
            && let Some(id) = &self.head.session
        {
            self.sessions.end(id, "the session was ended before the answer");
        }
        let is_stream = is_events(headers) && self.head.method == Method::GET && status.is_success();
        // Any server may send events. Those of the older transport begin with the address for messages.
        if is_stream && self.head.names_mcp() {
            self.begin_stream();
        }
        if status.is_success() {
            self.adopt_session(given.as_deref());
        }
        self.tell_status();
    }

    /// Whether the answer may be of MCP, so that its body is read. A request that is JSON and no JSON-RPC was meant for
    /// something else, and so is what a browser asks for.
    fn may_answer(&self, headers: &HeaderMap) -> bool {
        let asks_other = self.asked.as_ref().is_some_and(Asked::is_other);
        let is_asked = self.head.method == Method::POST && !asks_other;
        is_asked || self.head.names_mcp() || (self.head.method == Method::GET && is_events(headers))
    }

    /// The client listens on a stream on which anything may come.
    fn begin_stream(&mut self) {
        let known = lock(&self.conversation).known_of_all(&self.carrier);
        let lasting = Lasting {
            since: self.since,
            long_lived: true,
        };
        let call = Call::start_http(&self.observer, "GET", None, &self.carrier, known, lasting);
        call.set(self.status.map(status_attribute));
        self.stream = Some(call);
        self.listens = true;
        lock(&self.conversation).listens();
    }

    /// A session that began before anybody watched is known from its first request that succeeds, unless the server gave
    /// another.
    fn adopt_session(&mut self, given: Option<&str>) {
        let is_over =
            self.head.method == Method::DELETE || lock(&self.conversation).is_stateless(&self.carrier);
        if let Some(id) = self.head.session.clone().filter(|_| !is_over)
            && given.is_none_or(|given| given == id)
            && self.sessions.adopt(&id, &self.conversation)
        {
            lock(&self.conversation).set_session(id);
        }
    }

    /// The server's own requests on this stream, where they can be answered in others.
    fn take_asked_back(&mut self) -> Vec<Key> {
        let keys = std::mem::take(&mut self.asked_back);
        if self.is_shared { keys } else { Vec::new() }
    }

    /// The stream is over that this exchange may be: what goes on with it may go on in another, for some time.
    fn leave_streams(&mut self) {
        let (follows, listens) = (self.follows.take(), std::mem::take(&mut self.listens));
        if follows.is_none() && !listens {
            return;
        }
        let mut keys = self.take_asked_back();
        let mut conversation = lock(&self.conversation);
        if let Some(event) = follows {
            keys.extend(conversation.unfollow(event).iter());
        }
        if listens {
            conversation.stops_listening();
        }
        conversation.left(&keys, Way::Resumed, self.events.iter().copied());
        drop(conversation);
        self.sessions.watch(&self.conversation);
    }

    /// The server gave its session an id.
    fn begin_session(&mut self, id: String) {
        if !self.sessions.adopt(&id, &self.conversation) {
            return;
        }
        self.is_shared = true;
        let mut conversation = lock(&self.conversation);
        // The handshake belongs to the session that it begins.
        for call in self.keys.iter().filter_map(|key| conversation.call(*key)) {
            call.set([KeyValue::new(semconv::MCP_SESSION_ID, id.clone())]);
        }
        conversation.set_session(id);
    }

    fn answer_over(&mut self, left: Left) {
        self.left = Some(left);
        if let Some(call) = self.stream.take() {
            call.closed();
        }
        self.leave_streams();
        // It may have been open for longer than sessions are remembered that nobody uses.
        if let Some(id) = &self.head.session {
            self.sessions.used(id);
        }
        if let Some((address, session)) = self.owned.take() {
            let reason = "the stream that answers come on ended";
            self.sessions.withdraw(&address, session.as_deref(), reason);
        }
        self.settle();
    }
}

impl Drop for State {
    /// However the exchange ended, it holds no stream open.
    fn drop(&mut self) {
        self.leave_streams();
    }
}
