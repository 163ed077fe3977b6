//! What one client and one server say to each other: requests and answers are paired, whatever order they come in.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanContext, SpanKind};
use opentelemetry::{Context, KeyValue};
use serde_json::Value;

use super::{Call, Carrier, Ended, Observer};
use crate::jsonrpc::{Field, Id, Message};
use crate::recorder::Line;
use crate::span::{Ending, implementation};

/// How many requests of one conversation may be open; what is beyond is not recorded.
const MOST_OPEN: usize = 10_000;
/// How many requests that ended are remembered, to know a second answer from a stray one.
const REMEMBERED: usize = 512;
/// How many open requests a line of console output is written to: the ones begun last.
const MOST_LISTENERS: usize = 16;
/// Versions from this on have no sessions and no handshake.
const STATELESS: &str = "2026-07-28";

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

/// What names a request: who asked, and its id.
pub(crate) type Key = (Side, Id);

/// One conversation.
#[derive(Debug)]
pub(crate) struct Conversation {
    observer: Observer,
    open: HashMap<Key, Call>,
    /// The open requests of the client, in the order in which they began. May hold some that ended.
    order: VecDeque<Key>,
    ended: VecDeque<(Key, Ended, SpanContext)>,
    client: Option<(String, Option<String>)>,
    /// The version agreed on, where there was a handshake.
    version: Option<String>,
    /// The session id on the wire.
    session: Option<String>,
}

impl Conversation {
    pub(crate) fn new(observer: Observer) -> Self {
        Self {
            observer,
            open: HashMap::new(),
            order: VecDeque::new(),
            ended: VecDeque::new(),
            client: None,
            version: None,
            session: None,
        }
    }

    /// The session id that the server gave.
    pub(crate) fn set_session(&mut self, id: String) {
        self.session = Some(id);
    }

    /// Whether the version in force has no sessions, so that a closed stream is a cancellation.
    pub(crate) fn is_stateless(&self, carrier: &Carrier) -> bool {
        let version = self.version.as_deref().or(carrier.version.as_deref());
        version.is_some_and(|version| version >= STATELESS)
    }

    /// Takes a message. Returns the request that it began, if it began one that is recorded.
    pub(crate) fn take(&mut self, from: Side, message: &Message, carrier: &Carrier) -> Option<Key> {
        if !self.observer.is_on() {
            return None;
        }
        if message.is_answer() {
            let id = message.id()?;
            self.answer((from.other(), id), message);
            return None;
        }
        let method = message.method()?;
        match message.id() {
            Some(id) => self.request((from, id), &method, message, carrier),
            None => {
                self.notification(from, &method, message);
                None
            }
        }
    }

    fn request(&mut self, key: Key, method: &str, message: &Message, carrier: &Carrier) -> Option<Key> {
        if method == "initialize"
            && let Some(info) = message.json(Field::ClientInfo)
        {
            self.client = implementation(&info);
        }
        if let Some(earlier) = self.open.remove(&key) {
            let reason = "its id was used again before it was answered";
            self.settle(key.clone(), earlier, Ended::Broken, Ending::broken(reason));
        }
        if self.open.len() >= MOST_OPEN {
            return None;
        }
        let known = self.known(method, message, carrier);
        let kind = match key.0 {
            Side::Client => SpanKind::Server,
            // By the conventions the server that asks is the client of what it asks.
            Side::Server => SpanKind::Client,
        };
        let call = Call::start(&self.observer, kind, message, carrier, known)?;
        if key.0 == Side::Client {
            self.order.push_back(key.clone());
            while self.order.len() > 2 * MOST_LISTENERS
                && let Some(first) = self.order.front()
                && (!self.open.contains_key(first) || self.order.len() > MOST_OPEN)
            {
                self.order.pop_front();
            }
        }
        self.open.insert(key.clone(), call);
        Some(key)
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

    fn answer(&mut self, key: Key, message: &Message) {
        if let Some(call) = self.open.get_mut(&key)
            && call.awaits_head
            && call.early.is_none()
        {
            call.early = Some(message.clone());
            return;
        }
        self.learn(message);
        if let Some(call) = self.open.remove(&key) {
            self.remember(key, Ended::Answered, call.span_context());
            if let Some(version) = self.version.clone().filter(|_| !call.knows_version) {
                call.set([KeyValue::new(semconv::MCP_PROTOCOL_VERSION, version)]);
            }
            call.answered(message);
            return;
        }
        let Some((_, how, span)) = self.ended.iter().rev().find(|(ended, ..)| *ended == key) else {
            return self.observer.stray();
        };
        let body = match how {
            Ended::Answered => "a second answer to this request came",
            Ended::Cancelled => "the answer came after the request was cancelled",
            Ended::Broken => "the answer came after the request was given up",
        };
        let line = Line {
            severity: Severity::Warn,
            body: body.to_owned(),
            attributes: Vec::new(),
            at: SystemTime::now(),
        };
        self.observer.recorder.log(&span.clone(), line);
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
            self.version = Some(version);
        }
    }

    fn notification(&mut self, from: Side, method: &str, message: &Message) {
        match (from, method) {
            (_, "notifications/cancelled") => {
                let Some(id) = message.id_in(Field::RequestId) else {
                    return;
                };
                self.end(
                    (from, id),
                    Ended::Cancelled,
                    Ending::cancelled(message.text(Field::Reason)),
                );
            }
            (Side::Server, "notifications/message") => self.log_message(message),
            (Side::Server, "notifications/progress") => {
                let Some(token) = message.get(Field::ProgressToken) else {
                    return;
                };
                let mut calls = self.open.values_mut();
                if let Some(call) = calls.find(|call| call.progress_token.as_deref() == Some(&token.text)) {
                    call.progressed(message);
                }
            }
            _ => {}
        }
    }

    /// A log message that the server sends to its client.
    fn log_message(&mut self, message: &Message) {
        let severity = match message.text(Field::LogLevel).as_deref() {
            Some("debug") => Severity::Debug,
            Some("notice") => Severity::Info2,
            Some("warning") => Severity::Warn,
            Some("error") => Severity::Error,
            Some("critical") => Severity::Error2,
            Some("alert") => Severity::Error3,
            Some("emergency") => Severity::Fatal,
            _ => Severity::Info,
        };
        let raw = message.get(Field::LogData).map(|data| data.text.clone());
        let body = message.text(Field::LogData).or(raw).unwrap_or_default();
        let logger = message.text(Field::Logger).map(|logger| ("logger", logger));
        self.log(severity, body, logger.into_iter().collect());
    }

    /// A line of the server's console output: it belongs to the calls then running.
    pub(crate) fn log(&mut self, severity: Severity, body: String, attributes: Vec<(&'static str, String)>) {
        let line = Line {
            severity,
            body,
            attributes,
            at: SystemTime::now(),
        };
        let running = self.order.iter().rev().filter_map(|key| self.open.get(key));
        for call in running.filter(|call| !call.long_lived).take(MOST_LISTENERS) {
            call.log(line.clone());
        }
    }

    /// The context of an open request of the client, for who handles it.
    pub(crate) fn context_of(&self, id: &Id) -> Option<Context> {
        self.open.get(&(Side::Client, id.clone())).map(Call::context)
    }

    /// An open request.
    pub(crate) fn call(&self, key: &Key) -> Option<&Call> {
        self.open.get(key)
    }

    /// The same, to change it.
    pub(crate) fn call_mut(&mut self, key: &Key) -> Option<&mut Call> {
        self.open.get_mut(key)
    }

    /// The head of the HTTP answer to an open request was seen, or will not be: its own answer need not wait any more.
    pub(crate) fn carried(&mut self, key: &Key) {
        let Some(call) = self.open.get_mut(key) else {
            return;
        };
        call.awaits_head = false;
        if let Some(answer) = call.early.take() {
            self.answer(key.clone(), &answer);
        }
    }

    /// Takes an open request out, to end it by hand.
    pub(crate) fn release(&mut self, key: &Key) -> Option<Call> {
        self.open.remove(key)
    }

    /// Takes an answer whose id is `null`, which is to all requests of one HTTP request.
    pub(crate) fn answer_all(&mut self, keys: &[Key], message: &Message) {
        for key in keys {
            if self.open.contains_key(key) {
                self.answer(key.clone(), message);
            }
        }
    }

    /// Ends an open request without an answer.
    pub(crate) fn end(&mut self, key: Key, how: Ended, ending: Ending) {
        if let Some(call) = self.open.remove(&key) {
            self.settle(key, call, how, ending);
        }
    }

    fn settle(&mut self, key: Key, call: Call, how: Ended, ending: Ending) {
        self.remember(key, how, call.span_context());
        call.end_as(ending);
    }

    fn remember(&mut self, key: Key, how: Ended, span: SpanContext) {
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((key, how, span));
    }

    /// How many answers came to nothing that was asked.
    pub(crate) fn strays(&self) -> u64 {
        self.observer.strays()
    }

    /// The end of the conversation: what is open will not be answered.
    pub(crate) fn close(&mut self, reason: &str) {
        let waiting = self.open.iter().filter(|(_, call)| call.early.is_some());
        for key in waiting.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.carried(&key);
        }
        for (key, call) in std::mem::take(&mut self.open) {
            if call.long_lived {
                call.closed();
            } else {
                self.settle(key, call, Ended::Broken, Ending::broken(reason));
            }
        }
        self.order.clear();
    }
}
