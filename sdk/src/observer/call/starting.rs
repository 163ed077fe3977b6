//! How the record of a request starts, if it has one.

use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::trace::{Link, SpanKind};
use opentelemetry::{Context, KeyValue};
use serde_json::Value;

use super::{Call, Lasting};
use crate::capture::CallParts;
use crate::jsonrpc::{Excerpt, Field, Id, Message};
use crate::observer::rounds::{Handle, Round};
use crate::observer::{Carrier, Observer, Reserved};
use crate::recorder::{Recording, Start};
use crate::span::Target;

/// Methods whose answer may take hours.
const LONG_LIVED: [&str; 1] = ["subscriptions/listen"];

impl Call {
    /// Starts the span of a request. `known` is what the conversation adds to what request and carrier say; `body` is asked
    /// where a body is kept.
    pub(crate) fn start(
        observer: &Observer,
        kind: SpanKind,
        request: &Message,
        carrier: &Carrier,
        known: Vec<KeyValue>,
        body: impl FnOnce() -> Excerpt,
    ) -> Option<Self> {
        let method = request.method()?;
        let meta = request.json(Field::Meta);
        let (told, above) = match kind {
            SpanKind::Server => carrier.place(),
            _ => (None, carrier.around.sent.span.clone()),
        };
        let (parent, mut links) = carrier.around.parent(meta.as_ref(), above.as_ref());
        let is_call = kind == SpanKind::Server;
        let mut call = Self::unrecorded(observer, method, parent.clone());
        let given = meta.as_ref().and_then(|meta| meta.get("progressToken"));
        call.progress_token = given.and_then(token);
        call.awaits_head = carrier.is_sse && is_call;
        call.long_lived = LONG_LIVED.contains(&call.method.as_str());
        let is_version = |known: &KeyValue| known.key.as_str() == semconv::MCP_PROTOCOL_VERSION;
        call.knows_version = call.is_handshake() || known.iter().any(is_version);
        let rules = observer.rules();
        let target = Target::of(&call.method, request);
        let mut attributes = target.attributes(&call.method);
        attributes.extend(
            request
                .id()
                .map(|id| KeyValue::new(semconv::JSONRPC_REQUEST_ID, id.to_string())),
        );
        attributes.extend(carrier.attributes());
        attributes.extend(known);
        let is_measured = is_call && observer.metrics.may_measure();
        call.measure = is_measured.then(|| observer.metrics.operation(&attributes));
        if rules.capture.methods.excludes(&call.method) {
            return Some(call);
        }
        let before = earlier_round(observer, request);
        call.operation = before.as_ref().map(|before| before.operation.clone());
        links.extend(before.map(|before| Link::with_context(before.span)));
        let operation = call.operation.clone();
        attributes.extend(operation.map(|operation| KeyValue::new(semconv::OPERATION, operation)));
        attributes.extend(observer.named());
        let tags = rules.capture.hooks.tags(&CallParts {
            attributes: &attributes,
            meta: meta.as_ref(),
        });
        attributes.extend(tags);
        let start = Start {
            name: target.span_name(&call.method),
            kind,
            attributes,
            links,
            parent,
            told,
            at: call.began,
            is_call,
        };
        call.sampling = rules.capture.methods.sampling(&call.method);
        if call.sampling.as_ref().is_some_and(|method| !method.takes_next()) {
            call.bodies = observer.bodies_of(target.tool());
            call.unchosen = Some(Box::new(start));
            return Some(call);
        }
        call.record(start, target.tool());
        if call.keeps_bodies() {
            call.hold_request(body());
        }
        Some(call)
    }

    /// A request without a record.
    fn unrecorded(observer: &Observer, method: String, around: Context) -> Self {
        Self {
            observer: observer.clone(),
            method,
            recording: None,
            around,
            sampling: None,
            unchosen: None,
            is_over: false,
            began: SystemTime::now(),
            measure: None,
            bodies: false,
            held: Reserved::none(observer.open_bytes()),
            operation: None,
            progress: 0,
            panic: None,
            progress_token: None,
            knows_version: false,
            early: None,
            over: None,
            awaits_head: false,
            answered_in_vain: false,
            long_lived: false,
            is_handled: false,
            cancelled: None,
        }
    }

    /// Begins its record.
    pub(super) fn record(&mut self, start: Start, tool: Option<&str>) {
        let recording = self.observer.recorder.start(start);
        self.bodies = keeps_bodies(&self.observer, &recording, tool);
        self.recording = Some(recording);
    }

    /// Starts the span of an HTTP request that is no request of JSON-RPC: a stream that a client opened, or one that
    /// was refused before anybody read a message.
    pub(crate) fn start_http(
        observer: &Observer,
        method: &str,
        name: Option<&str>,
        carrier: &Carrier,
        known: Vec<KeyValue>,
        lasting: Lasting,
    ) -> Self {
        let target = match (method, name) {
            ("tools/call", Some(name)) => Target::Tool(name.to_owned()),
            ("prompts/get", Some(name)) => Target::Prompt(name.to_owned()),
            (method, Some(name)) if method.starts_with("resources/") => Target::Resource(name.to_owned()),
            _ => Target::Nothing,
        };
        let (told, above) = carrier.place();
        let (parent, links) = carrier.around.parent(None, above.as_ref());
        let mut call = Self::unrecorded(observer, method.to_owned(), parent.clone());
        call.knows_version = true;
        call.long_lived = lasting.long_lived;
        call.began = lasting.since;
        if observer.rules().capture.methods.excludes(method) {
            return call;
        }
        let mut attributes = target.attributes(method);
        attributes.extend(carrier.attributes());
        attributes.extend(known);
        attributes.extend(observer.named());
        if lasting.long_lived {
            attributes.push(KeyValue::new(semconv::STREAM, true));
        }
        let start = Start {
            name: target.span_name(method),
            kind: SpanKind::Server,
            attributes,
            links,
            parent,
            told,
            at: lasting.since,
            is_call: false,
        };
        call.record(start, target.tool());
        call
    }
}

/// Whether the bodies of a request are kept. Where they are not, neither are the log lines that its handler writes.
fn keeps_bodies(observer: &Observer, recording: &Recording, tool: Option<&str>) -> bool {
    let keeps = observer.bodies_of(tool) && recording.keeps_bodies_of(tool);
    if !keeps {
        recording.hush();
    }
    keeps
}

/// A token of progress: a text or a number.
fn token(value: &Value) -> Option<Id> {
    match value {
        Value::String(text) => Some(Id::Text(text.clone())),
        Value::Number(number) => Some(Id::number(&number.to_string())),
        _ => None,
    }
}

/// The round that a request goes on from.
fn earlier_round(observer: &Observer, request: &Message) -> Option<Round> {
    let state = request.text(Field::SentState);
    let task = request.text(Field::TaskId);
    if state.is_none() && task.is_none() {
        return None;
    }
    observer.rounds(|rounds| {
        let by_state = state
            .as_deref()
            .and_then(|state| rounds.before(Handle::State(state)));
        by_state.or_else(|| rounds.before(Handle::Task(task.as_deref()?)))
    })
}
