//! What one client and one server say to each other: requests and answers are paired, whatever order they come in.

mod elsewhere;
mod endings;
mod messages;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use mcptap_model::redact::Sequence;
use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use elsewhere::{ACCEPTED, Elsewhere, GONE, Way};
use elsewhere::{Following, Moment, Past};
#[cfg(feature = "rmcp")]
pub(crate) use endings::Answering;
pub(crate) use endings::Unanswered;

use super::open::{Doubt, Found, Key, OpenRequests, Scope};
use super::{Call, Carrier, Ended, Observer, Reserved};
use crate::jsonrpc::{Excerpt, Field, Id, Message};
use crate::metrics::Measure;
use crate::span::{LONGEST_NAME, cut, implementation};

/// How many requests of one conversation may be open; what is beyond is not recorded.
const MOST_OPEN: usize = 10_000;
/// Versions from this on have no sessions and no handshake.
pub(super) const STATELESS: &str = "2026-07-28";

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A cancellation that may be meant for any of several requests: it counts for the one that is given up.
#[derive(Debug)]
struct Cancellation {
    side: Side,
    id: Id,
    reason: Option<String>,
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct Conversation {
    observer: Observer,
    open: OpenRequests,
    past: VecDeque<Past>,
    /// At most as many as there are open requests.
    cancellations: Vec<Cancellation>,
    /// Which requests a stream goes on with that begins after an event with this id, by the id's hash.
    resumable: BTreeMap<u64, Arc<[Key]>>,
    /// How many there may be before those are looked for that are not needed.
    resumable_checked: usize,
    /// The open streams that go on after an event, by its hash.
    following: HashMap<u64, Following>,
    /// The requests that wait for an answer elsewhere, and since when it could have come nowhere.
    waiting: BTreeSet<(Instant, Key)>,
    /// Whether somebody asks for what has waited for too long.
    is_watched: bool,
    /// How many streams are open on which anything may come.
    listening: usize,
    /// When the last of them ended.
    listened: Option<Moment>,
    /// The memory of everything that is remembered besides open requests.
    remembered: Reserved,
    /// How much of that are names, in bytes.
    names: usize,
    client: Option<(String, Option<String>)>,
    /// The version agreed on, where there was a handshake.
    version: Option<String>,
    /// What the server printed last on its standard error, what else on a stream, and what it told its client.
    lines: [Sequence; 3],
    /// The session id on the wire.
    session: Option<String>,
    /// Whether the server may answer what was cancelled.
    may_answer_ended: bool,
    /// Whether the client uses ids again, as clients do that pool a session for several.
    reuses_ids: bool,
    /// Why nothing that is still open will be answered but in its own HTTP answer.
    closed: Option<String>,
    /// Measures how long the session takes that a handshake began.
    measure: Option<Measure>,
}

impl Conversation {
    pub(crate) fn new(observer: Observer) -> Self {
        let mut remembered = Reserved::none(observer.remembered());
        remembered.force(size_of::<Self>());
        Self {
            observer,
            remembered,
            names: 0,
            resumable_checked: 0,
            following: HashMap::new(),
            waiting: BTreeSet::new(),
            is_watched: false,
            listening: 0,
            listened: None,
            open: OpenRequests::default(),
            past: VecDeque::new(),
            cancellations: Vec::new(),
            resumable: BTreeMap::new(),
            client: None,
            version: None,
            lines: Default::default(),
            session: None,
            may_answer_ended: false,
            reuses_ids: false,
            closed: None,
            measure: None,
        }
    }

    /// The same with a server of which nothing is known: it may answer what was cancelled.
    pub(crate) fn with_any_server(self) -> Self {
        Self {
            may_answer_ended: true,
            ..self
        }
    }

    /// The session id that the server gave. One that is longer than any name is known from each request alone.
    pub(crate) fn set_session(&mut self, id: String) {
        self.session = Some(id).filter(|id| id.len() <= LONGEST_NAME);
        self.count_names();
    }

    fn set_client(&mut self, client: Option<(String, Option<String>)>) {
        self.client = client;
        self.count_names();
    }

    fn set_version(&mut self, mut version: String) {
        cut(&mut version, LONGEST_NAME);
        self.version = Some(version);
        self.count_names();
    }

    /// Sets what names take against the bytes that conversations may remember. They are kept in any case: there is one of
    /// each, and the number of sessions is bounded.
    fn count_names(&mut self) {
        let length = |name: &Option<String>| name.as_ref().map_or(0, String::len);
        let client = self.client.as_ref();
        let client = client.map_or(0, |(name, version)| name.len() + length(version));
        let names = client + length(&self.version) + length(&self.session);
        self.remembered.shrink(self.names);
        self.remembered.force(names);
        self.names = names;
    }

    /// Whether the version in force has no sessions, so that a closed stream is a cancellation.
    pub(crate) fn is_stateless(&self, carrier: &Carrier) -> bool {
        let version = self.version.as_deref().or(carrier.version.as_deref());
        version.is_some_and(|version| version >= STATELESS)
    }

    /// Takes a message that came on this stream. Returns the request that it began, if it began one that is recorded.
    pub(crate) fn take(
        &mut self,
        from: Side,
        message: &Message,
        carrier: &Carrier,
        scope: Scope<'_>,
    ) -> Option<Key> {
        if !self.observer.is_on() {
            return None;
        }
        if message.is_answer() {
            match message.id() {
                Some(id) => self.answer(from.other(), &id, message, scope),
                None => self.answer_nameless(from.other(), message, scope),
            }
            return None;
        }
        let method = message.method()?;
        let id = message.id();
        // Some clients number notifications too. They are no requests, whatever the server makes of them.
        if method.starts_with("notifications/") {
            if let Some(id) = id {
                self.remember(Past::new(
                    Key::NONE,
                    from,
                    &id,
                    Ended::Notified,
                    &SpanContext::NONE,
                ));
            }
            self.notification(from, &method, message, scope);
            return None;
        }
        self.take_request(from, message, carrier, scope, || message.body())
    }

    /// Takes a request whose body is read apart from the rest, where it is kept.
    pub(crate) fn take_request(
        &mut self,
        from: Side,
        message: &Message,
        carrier: &Carrier,
        scope: Scope<'_>,
        body: impl FnOnce() -> Excerpt,
    ) -> Option<Key> {
        let (id, method) = (message.id()?, message.method()?);
        if method == "initialize"
            && let Some(info) = message.json(Field::ClientInfo)
        {
            self.set_client(implementation(&info));
        }
        if method == "initialize" && from == Side::Client {
            self.measure = Some(self.observer.metrics.session(&carrier.attributes()));
        }
        // On a pipe nothing but the id tells two requests apart.
        let doubt = match scope {
            Scope::Only => self.doubt(from, &id),
            Scope::Answer(_) | Scope::Session(_) => None,
        };
        if from == Side::Client && !self.reuses_ids {
            let hash = id.hash();
            let is_past = |past: &Past| past.side == from && past.id == hash;
            self.reuses_ids = self.open.has(from, &id) || self.past.iter().any(is_past);
        }
        if self.open.len() >= MOST_OPEN {
            return None;
        }
        let known = self.known(&method, message, carrier);
        let kind = match from {
            Side::Client => SpanKind::Server,
            // By the conventions the server that asks is the client of what it asks.
            Side::Server => SpanKind::Client,
        };
        let mut below = None;
        if from == Side::Server {
            let asking = || self.call(self.open.asking(scope)?).map(Call::context);
            if let Some(context) = carrier.asked_in.clone().or_else(asking) {
                let mut carrier = carrier.clone();
                carrier.around.request = context;
                below = Some(carrier);
            }
        }
        let carrier = below.as_ref().unwrap_or(carrier);
        let call = Call::start(&self.observer, kind, message, carrier, known, body)?;
        let key = self.open.add(from, id, call);
        // A client answers in a request of its own; on a pipe and over HTTP+SSE there is one stream for all answers.
        let on_its_own = from == Side::Client && !carrier.is_sse && !matches!(scope, Scope::Only);
        if let Some(open) = self.open.get_mut(key) {
            open.doubt = doubt;
            open.is_awaited = on_its_own;
        }
        Some(key)
    }

    /// Why the answer to a request that begins on the only stream may be another's. One that is open with the same id has the
    /// same doubt.
    fn doubt(&mut self, side: Side, id: &Id) -> Option<Doubt> {
        let twin = self.open.named(side, id).next();
        if let Some(twin) = twin.and_then(|twin| self.open.get_mut(twin)) {
            twin.doubt = Some(Doubt::Twins);
            return Some(Doubt::Twins);
        }
        if !self.may_answer_ended {
            return None;
        }
        let hash = id.hash();
        let mut past = self.past.iter_mut().rev();
        let before = past.find(|past| past.side == side && past.id == hash)?;
        let is_owed = matches!(before.how, Ended::Cancelled | Ended::Broken);
        // Most servers never answer what was cancelled, so one that did not by the next answer is not waited for.
        (is_owed && !std::mem::replace(&mut before.is_doubted, true)).then_some(Doubt::Predecessor)
    }

    /// What is known of a request besides what it says and how it came.
    fn known(&self, method: &str, message: &Message, carrier: &Carrier) -> Vec<KeyValue> {
        let meta = message.json(Field::Meta);
        let of_meta = |name: &str| meta.as_ref()?.get(format!("io.modelcontextprotocol/{name}"));
        let own_version = of_meta("protocolVersion")
            .and_then(Value::as_str)
            .map(str::to_owned);
        // The version that a handshake asks for is not the one in force; the server's answer says that.
        let version = match method {
            "initialize" => None,
            _ => own_version
                .or_else(|| self.version.clone())
                .or_else(|| carrier.version.clone()),
        };
        let client = of_meta("clientInfo")
            .and_then(implementation)
            .or_else(|| self.client.clone());
        // Since 2026-07-28 there are no sessions, whatever a client still sends.
        let session = self.session.clone().or_else(|| carrier.session.clone());
        let session = session.filter(|_| version.as_deref().is_none_or(|version| version < STATELESS));
        let mut known = Vec::new();
        let mut push = |key: &'static str, value: Option<String>| {
            known.extend(value.map(|value| KeyValue::new(key, value)));
        };
        push(semconv::MCP_PROTOCOL_VERSION, version);
        push(semconv::MCP_SESSION_ID, session);
        if let Some((name, version)) = client {
            push(semconv::MCP_CLIENT_NAME, Some(name));
            push(semconv::MCP_CLIENT_VERSION, version);
        }
        known
    }

    /// What is known of every request of the conversation that came this way.
    pub(crate) fn known_of_all(&self, carrier: &Carrier) -> Vec<KeyValue> {
        self.known("", &Message::default(), carrier)
    }

    /// What answers say of the server and the version in force.
    fn learn(&mut self, answer: &Message) {
        let own = answer.json(Field::ServerInfo);
        let info = own.as_ref().cloned().or_else(|| {
            answer
                .json(Field::ResultMeta)?
                .get("io.modelcontextprotocol/serverInfo")
                .cloned()
        });
        if let Some((name, _)) = info.as_ref().and_then(implementation) {
            self.observer.learn_server(name);
        }
        // Only the answer to a handshake has both.
        if own.is_some()
            && let Some(version) = answer.text(Field::ProtocolVersion)
        {
            self.set_version(version);
        }
    }

    /// The open request of the client with this id among those of one HTTP request, for who handles it.
    pub(crate) fn handled(&self, id: &Id, own: &[Key]) -> Option<Key> {
        self.open.among(Side::Client, id, own)
    }

    /// The open request with this id, where a message on the only stream names it.
    pub(crate) fn named(&self, side: Side, id: &Id) -> Option<Key> {
        match self.open.find(side, id, Scope::Only, true) {
            Found::One(key) => Some(key),
            Found::AnyOf(keys) => keys.first().copied(),
            Found::Nothing => None,
        }
    }

    /// Takes the answer to an open request on the only stream.
    pub(crate) fn answer_key(&mut self, key: Key, answer: &Message) {
        self.answer_one(key, answer, Scope::Only);
    }

    /// Whether any open request is recorded.
    pub(crate) fn records_any(&self) -> bool {
        self.open.newest().any(|open| open.call.is_recording())
    }

    /// An open request.
    pub(crate) fn call(&self, key: Key) -> Option<&Call> {
        self.open.get(key).map(|open| &open.call)
    }

    /// The same, to change it.
    pub(crate) fn call_mut(&mut self, key: Key) -> Option<&mut Call> {
        self.open.get_mut(key).map(|open| &mut open.call)
    }
}

#[cfg(test)]
mod tests;
