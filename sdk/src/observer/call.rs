//! One open request: a span that is started, and ended whatever happens to the request.

use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::logs::Severity;
use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use serde_json::Value;

use super::rounds::{Handle, Round};
use super::{Carrier, Observer, Reserved};
use crate::announcement::Late;
use crate::jsonrpc::{Excerpt, Field, Id, Message};
use crate::recorder::{Line, Recording, Start};
use crate::span::{self, Ending, Part, Target};

/// Methods whose answer may take hours.
const LONG_LIVED: [&str; 1] = ["subscriptions/listen"];
/// How many lines of progress one call has at most.
const PROGRESS_LINES: i64 = 100;

/// How long an HTTP request lasts that is no request of JSON-RPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting {
    /// When it began.
    pub(crate) since: SystemTime,
    /// Whether it may stay open for hours.
    pub(crate) long_lived: bool,
}

/// How a call ended, for who remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Answered,
    Cancelled,
    Broken,
    /// It was a notification, to which no answer is due.
    Notified,
}

/// An open request. Dropping it ends its span: what is dropped half-way was given up.
#[derive(Debug)]
pub(crate) struct Call {
    observer: Observer,
    method: String,
    recording: Option<Recording>,
    /// Whether its bodies may be recorded.
    bodies: bool,
    /// Bytes that it holds: of its request, in the span, and of an answer that waits.
    held: Reserved,
    /// The span id of the first round of its operation.
    operation: Option<String>,
    progress: i64,
    /// How it ends, when its handler panicked.
    panic: Option<Ending>,
    /// What names it in notifications of progress.
    pub(crate) progress_token: Option<Id>,
    /// Whether its protocol version was known when it began, or is in its answer.
    pub(crate) knows_version: bool,
    /// Its answer, where that waits: for the head of the HTTP answer, or for word that the client got it.
    pub(crate) early: Option<Message>,
    /// When it was over, where that became known later.
    pub(crate) over: Option<SystemTime>,
    /// Whether its answer is to wait: the head of the HTTP answer is to come still, on another stream than the answer, or the
    /// client may be gone.
    pub(crate) awaits_head: bool,
    /// Whether its answer came when the client was gone already.
    pub(crate) answered_in_vain: bool,
    /// Whether it stays open by its nature, so that its end is no failure.
    pub(crate) long_lived: bool,
    /// Whether code in this process handles it, which hears of its cancellation.
    pub(crate) is_handled: bool,
    /// Whether its client cancelled it, and the reason if there was one, while it is handled.
    pub(crate) cancelled: Option<Option<String>>,
}

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
        let target = Target::of(&method, request);
        let meta = request.json(Field::Meta);
        let mut attributes = target.attributes(&method);
        attributes.extend(
            request
                .id()
                .map(|id| KeyValue::new(semconv::JSONRPC_REQUEST_ID, id.to_string())),
        );
        attributes.extend(carrier.attributes());
        let is_version = |known: &KeyValue| known.key.as_str() == semconv::MCP_PROTOCOL_VERSION;
        let knows_version = method == "initialize" || known.iter().any(is_version);
        attributes.extend(known);
        let (told, above) = match kind {
            SpanKind::Server => carrier.place(),
            _ => (None, carrier.around.sent.span.clone()),
        };
        let (parent, mut links) = carrier.around.parent(meta.as_ref(), above.as_ref());
        let before = earlier_round(observer, request);
        let operation = before.as_ref().map(|before| before.operation.clone());
        links.extend(before.map(|before| Link::with_context(before.span)));
        attributes.extend(
            operation
                .clone()
                .map(|operation| KeyValue::new(semconv::OPERATION, operation)),
        );
        let long_lived = LONG_LIVED.contains(&method.as_str());
        let is_call = kind == SpanKind::Server;
        let awaits_head = carrier.is_sse && is_call;
        let mut recording = observer.recorder.start(Start {
            name: target.span_name(&method),
            kind,
            attributes,
            links,
            parent,
            told,
            at: SystemTime::now(),
            is_call,
        });
        let bodies = keeps_bodies(observer, &mut recording, &target);
        let mut call = Self {
            observer: observer.clone(),
            method,
            recording: Some(recording),
            bodies,
            held: Reserved::none(observer.open_bytes()),
            operation,
            progress: 0,
            panic: None,
            progress_token: meta
                .as_ref()
                .and_then(|meta| meta.get("progressToken"))
                .and_then(token),
            knows_version,
            early: None,
            over: None,
            awaits_head,
            answered_in_vain: false,
            long_lived,
            is_handled: false,
            cancelled: None,
        };
        if call.keeps_bodies() {
            call.hold_request(body());
        }
        Some(call)
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
        let mut attributes = target.attributes(method);
        attributes.extend(carrier.attributes());
        attributes.extend(known);
        if lasting.long_lived {
            attributes.push(KeyValue::new(semconv::STREAM, true));
        }
        let (told, above) = carrier.place();
        let (parent, links) = carrier.around.parent(None, above.as_ref());
        let mut recording = observer.recorder.start(Start {
            name: target.span_name(method),
            kind: SpanKind::Server,
            attributes,
            links,
            parent,
            told,
            at: lasting.since,
            is_call: false,
        });
        let bodies = keeps_bodies(observer, &mut recording, &target);
        Self {
            observer: observer.clone(),
            method: method.to_owned(),
            recording: Some(recording),
            bodies,
            held: Reserved::none(observer.open_bytes()),
            operation: None,
            progress: 0,
            panic: None,
            progress_token: None,
            knows_version: true,
            early: None,
            over: None,
            awaits_head: false,
            answered_in_vain: false,
            long_lived: lasting.long_lived,
            is_handled: false,
            cancelled: None,
        }
    }

    /// Whether it begins a session.
    pub(crate) fn is_handshake(&self) -> bool {
        self.method == "initialize"
    }

    /// The context in which its span is the current one.
    pub(crate) fn context(&self) -> Context {
        self.recording
            .as_ref()
            .map_or_else(Context::current, |recording| recording.context().clone())
    }

    /// Its span.
    pub(crate) fn span_context(&self) -> SpanContext {
        self.context().span().span_context().clone()
    }

    /// Tells of an answer that comes after its end.
    pub(crate) fn late(&self) -> Option<Late> {
        self.recording.as_ref().and_then(Recording::late)
    }

    /// Adds what became known meanwhile.
    pub(crate) fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        if let Some(recording) = &self.recording {
            recording.set(attributes);
        }
    }

    /// Whether a body of it would be kept: nobody would read it from a span that is not recorded.
    pub(crate) fn keeps_bodies(&self) -> bool {
        self.bodies && self.is_recording()
    }

    /// Whether its span is recorded.
    pub(crate) fn is_recording(&self) -> bool {
        self.recording.as_ref().is_some_and(Recording::is_recording)
    }

    /// Whether its answer is to be read, and if so, whether with its body. Of a request that is not recorded only that of a
    /// method which tells something of later requests.
    pub(crate) fn reads_answer(&self, telling: &[&str]) -> Option<bool> {
        let is_read = self.is_recording() || telling.contains(&self.method.as_str());
        is_read.then(|| self.keeps_bodies())
    }

    /// The body of its request.
    pub(crate) fn hold_request(&mut self, mut body: Excerpt) {
        let recording = self.recording.as_ref().filter(|_| self.keeps_bodies());
        let Some(recording) = recording else {
            return;
        };
        body.cut(recording.cap());
        if !self.held.grow(body.text.len()) {
            body.text.clear();
        }
        self.set(span::body(Part::Request, body));
    }

    /// Keeps its answer, which came before the head of the HTTP answer. Where there is no room for long values, they
    /// are left out.
    pub(crate) fn hold_answer(&mut self, answer: &Message) {
        self.early = Some(if self.held.grow(answer.bytes()) {
            answer.clone()
        } else {
            answer.without_long_values()
        });
    }

    /// The body of its answer, where that is no answer of JSON-RPC.
    pub(crate) fn hold_response(&self, mut body: Excerpt) {
        let Some(recording) = &self.recording else { return };
        if self.bodies && body.size > 0 {
            body.cut(recording.cap());
            self.set(span::body(Part::Response, body));
        }
    }

    /// Writes a line of its console output.
    pub(crate) fn log(&self, line: Line) {
        if let Some(recording) = self.recording.as_ref().filter(|_| self.bodies) {
            recording.log(line);
        }
    }

    /// Its handler panicked, whatever the answer will say.
    pub(crate) fn panicked(&mut self, said: Option<String>) {
        self.panic = Some(Ending::panicked(said));
    }

    /// Its server tells how far it is.
    pub(crate) fn progressed(&mut self, notification: &Message) {
        self.progress += 1;
        if self.progress > PROGRESS_LINES {
            return;
        }
        let number = |field| notification.get(field).map(|number| number.text.clone());
        let mut body = format!("progress {}", number(Field::Progress).unwrap_or_default());
        if let Some(total) = number(Field::ProgressTotal) {
            body = format!("{body} of {total}");
        }
        if let Some(message) = notification.text(Field::ProgressMessage) {
            body = format!("{body}: {message}");
        }
        self.log(Line {
            severity: Severity::Debug,
            body,
            attributes: Vec::new(),
            at: SystemTime::now(),
        });
    }

    /// Ends it with its answer.
    pub(crate) fn answered(mut self, answer: &Message) {
        let Some(recording) = self.recording.as_mut() else {
            return;
        };
        recording.conclude();
        if recording.is_recording() {
            if self.bodies {
                let mut body = answer.body();
                body.cut(recording.cap());
                recording.set(span::body(Part::Response, body));
            }
            self.remember_round(answer);
        }
        self.end(Ending::of(&self.method, answer));
    }

    /// Ends it without an answer.
    pub(crate) fn end_as(mut self, ending: Ending) {
        self.end(ending);
    }

    /// Ends it as its nature is: what stays open until somebody leaves has not failed then.
    pub(crate) fn closed(mut self) {
        self.end(Ending::over());
    }

    /// What the client may come back with.
    fn remember_round(&mut self, answer: &Message) {
        let state = answer.text(Field::GivenState);
        let task = answer
            .text(Field::GivenTaskId)
            .or_else(|| answer.text(Field::GivenTask));
        if state.is_none() && (task.is_none() || self.method.starts_with("tasks/")) {
            return;
        }
        let span = self.span_context();
        let operation = self
            .operation
            .clone()
            .unwrap_or_else(|| span.span_id().to_string());
        if self.operation.is_none() {
            self.set([KeyValue::new(semconv::OPERATION, operation.clone())]);
        }
        let round = Round { span, operation };
        self.observer.rounds(|rounds| {
            if let Some(state) = &state {
                rounds.remember(Handle::State(state), round.clone());
            }
            if let Some(task) = &task {
                rounds.remember(Handle::Task(task), round);
            }
        });
    }

    fn end(&mut self, mut ending: Ending) {
        let Some(mut recording) = self.recording.take() else {
            return;
        };
        recording.conclude();
        if let Some(panic) = self.panic.take() {
            ending
                .attributes
                .retain(|known| known.key.as_str() != semconv::ERROR_TYPE);
            ending.attributes.extend(panic.attributes);
            ending.status = panic.status;
        }
        recording.set(ending.attributes);
        recording.set(
            self.observer
                .server()
                .map(|server| KeyValue::new(semconv::MCP_SERVER_NAME, server)),
        );
        if self.progress > 0 {
            recording.set([KeyValue::new(semconv::PROGRESS_COUNT, self.progress)]);
        }
        recording.set_status(ending.status);
        recording.end(self.over.unwrap_or_else(SystemTime::now));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.recording.is_some() {
            self.end(if std::thread::panicking() {
                Ending::panicked(None)
            } else {
                Ending::cancelled(None)
            });
        }
    }
}

/// Whether the bodies of a request are kept. Where they are not, neither are the log lines that its handler writes.
fn keeps_bodies(observer: &Observer, recording: &mut Recording, target: &Target) -> bool {
    let keeps = observer.bodies_of(target.tool()) && recording.keeps_bodies_of(target.tool());
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
