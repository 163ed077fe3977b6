//! One open request: a span that is started, and ended whatever happens to the request.

mod starting;

use std::sync::Arc;
use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, KeyValue};

use super::rounds::{Handle, Round};
use super::{Observer, Reserved};
use crate::announcement::Late;
use crate::capture::Sampling;
use crate::jsonrpc::{Excerpt, Field, Id, Message};
use crate::metrics::Measure;
use crate::recorder::{Line, Recording, Start};
use crate::span::{self, Ending, Part};

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
    /// Where it is handled, as long as it has no record.
    around: Context,
    /// How its method is sampled.
    sampling: Option<Arc<Sampling>>,
    /// How its record begins if it fails, where it was not chosen.
    unchosen: Option<Box<Start>>,
    is_over: bool,
    began: SystemTime,
    /// Measures how long it takes, of one that a server is asked.
    measure: Option<Measure>,
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
    /// Its answer and when that came, where it waits: for the head of the HTTP answer, or for word that the client got it.
    pub(crate) early: Option<(Message, SystemTime)>,
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
    /// Whether it begins a session.
    pub(crate) fn is_handshake(&self) -> bool {
        self.method == "initialize"
    }

    /// The context in which its span is the current one, or the one above it where it has none.
    pub(crate) fn context(&self) -> Context {
        let own = self.recording.as_ref().map(Recording::context);
        own.unwrap_or(&self.around).clone()
    }

    /// Its span.
    pub(crate) fn span_context(&self) -> SpanContext {
        self.recording.as_ref().map_or(SpanContext::NONE, |recording| {
            recording.context().span().span_context().clone()
        })
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
        // One that was not chosen is recorded if this says that it failed.
        let may_be_recorded = self.unchosen.is_some();
        (is_read || may_be_recorded).then(|| self.keeps_bodies() || may_be_recorded && self.bodies)
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
        let arguments = span::arguments(&body).filter(|_| self.names_gen_ai());
        self.set(span::body(Part::Request, body));
        if let (Some(arguments), Some(recording)) = (arguments, &self.recording)
            && self.held.grow(arguments.len())
        {
            recording.set_beside(KeyValue::new(semconv::GEN_AI_TOOL_CALL_ARGUMENTS, arguments));
        }
    }

    /// Whether its bodies are also under the names of the conventions.
    fn names_gen_ai(&self) -> bool {
        self.method == "tools/call" && self.observer.names_gen_ai()
    }

    /// Keeps its answer, which came before the head of the HTTP answer. Where there is no room for long values, they
    /// are left out.
    pub(crate) fn hold_answer(&mut self, answer: &Message) {
        let answer = if self.held.grow(answer.bytes()) {
            answer.clone()
        } else {
            answer.without_long_values()
        };
        self.early = Some((answer, SystemTime::now()));
    }

    /// Keeps the body of an answer that waited, and that the client did not get.
    pub(crate) fn show_in_vain(&mut self) {
        let Some((answer, at)) = self.early.take() else {
            return;
        };
        self.answered_in_vain = true;
        self.over = Some(at);
        let recording = self.recording.as_ref().filter(|_| self.keeps_bodies());
        if let Some(recording) = recording {
            let mut body = answer.body();
            body.cut(recording.cap());
            recording.set(span::body(Part::Response, body));
        }
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
        let ending = Ending::of(&self.method, answer);
        self.choose(&ending);
        let names_gen_ai = self.names_gen_ai();
        if let Some(recording) = self.recording.as_mut() {
            recording.conclude();
            if recording.is_recording() {
                if self.bodies {
                    let mut body = answer.body();
                    body.cut(recording.cap());
                    let body = span::body(Part::Response, body);
                    let [text, ..] = &body;
                    let result = (names_gen_ai && answer.error().is_none())
                        .then(|| KeyValue::new(semconv::GEN_AI_TOOL_CALL_RESULT, text.value.clone()));
                    recording.set(body);
                    if let Some(result) = result {
                        recording.set_beside(result);
                    }
                }
                self.remember_round(answer);
            }
        }
        self.end(ending);
    }

    /// Begins the record of one that was not chosen, if it failed.
    fn choose(&mut self, ending: &Ending) {
        let has_failed = self.panic.is_some() || !ending.is_success();
        if has_failed && let Some(start) = self.unchosen.take() {
            let tool = start.text(semconv::GEN_AI_TOOL_NAME);
            let start = Start {
                is_call: false,
                ..*start
            };
            self.record(start, tool.as_deref());
        }
    }

    /// For how many requests its record stands, where its method is sampled.
    fn weigh(&self, ending: &Ending) -> Option<KeyValue> {
        let sampling = self.sampling.as_ref()?;
        if self.panic.is_some() || !ending.is_success() {
            return None;
        }
        if self.recording.is_none() {
            sampling.skip();
            return None;
        }
        Some(KeyValue::new(semconv::WEIGHT, sampling.weight()))
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
        self.is_over = true;
        self.choose(&ending);
        let weight = self.weigh(&ending);
        if let Some(panic) = self.panic.take() {
            ending
                .attributes
                .retain(|known| known.key.as_str() != semconv::ERROR_TYPE);
            ending.attributes.extend(panic.attributes);
            ending.status = panic.status;
        }
        if let Some(measure) = self.measure.take() {
            measure.operated(&ending, self.over, &self.observer.rules());
        }
        let Some(mut recording) = self.recording.take() else {
            return;
        };
        recording.conclude();
        recording.set(ending.attributes);
        recording.set(weight);
        recording.set(
            self.observer
                .server()
                .map(|server| KeyValue::new(semconv::MCP_SERVER_NAME, server)),
        );
        if self.progress > 0 {
            recording.set([KeyValue::new(semconv::PROGRESS_COUNT, self.progress)]);
        }
        recording.set_status(ending.status);
        // A server may answer before the request that it answers has come whole.
        let over = self.over.filter(|over| *over >= self.began);
        recording.end(over.unwrap_or_else(SystemTime::now));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(if std::thread::panicking() {
                Ending::panicked(None)
            } else {
                Ending::cancelled(None)
            });
        }
    }
}
