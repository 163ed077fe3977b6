//! Where records go: spans of requests and lines of their console output, through OpenTelemetry's own providers.
//!
//! Everything that is recorded passes here, whichever entry point saw it and whichever provider takes it. So here, and
//! nowhere else, it is decided what may be in a record, and secrets are cut out before a provider gets it that is not our own;
//! our own cut them out on a thread of theirs.

mod beginning;
mod destination;
mod given;
mod handle;
mod hush;
mod joining;
mod open;
mod visible;

use std::sync::Arc;
use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceContextExt};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::announcement::Late;
use crate::capture::Capture;
use crate::current::Call;
use crate::running::{Begun, Started};
use beginning::Beginning;
#[cfg(feature = "metrics")]
pub(crate) use destination::scope;
pub(crate) use destination::{Destination, Home, Logs, Rules, install, join, leave, process_rules};
pub(crate) use given::Given;
pub(crate) use handle::Handle;
pub(crate) use hush::{Hush, is_hushed};
use joining::is_joined;
pub(crate) use joining::saw;
use open::Opened;

/// What a span says when it starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) links: Vec<Link>,
    pub(crate) parent: Context,
    /// The ids that others were told of the span, before it began: of the trace too, where it has no parent.
    pub(crate) told: Option<SpanContext>,
    pub(crate) at: SystemTime,
    /// Whether it is a call that code in this process may handle, and so a span of `tracing` too.
    pub(crate) is_call: bool,
}

impl Start {
    /// An attribute as text.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|known| known.key.as_str() == key)?;
        Some(found.value.as_str().into_owned())
    }
}

/// A log record that has a name.
pub(crate) struct Event<'a> {
    pub(crate) name: &'static str,
    /// The span that it is about.
    pub(crate) span: Option<&'a SpanContext>,
    pub(crate) at: SystemTime,
    pub(crate) body: String,
    pub(crate) attributes: Vec<KeyValue>,
}

/// Where spans and log records come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    /// None: whatever holds for the process when a request arrives. A server may be wrapped before telemetry is set up.
    to: Option<Arc<Destination>>,
    /// What may be recorded, where that was said for this recorder.
    over: Option<Arc<Rules>>,
    /// Whether the spans of an application's own layer go elsewhere.
    is_apart: bool,
}

impl Recorder {
    /// Of a guard.
    pub(crate) fn own(destination: Arc<Destination>) -> Self {
        Self {
            to: Some(destination),
            over: None,
            is_apart: false,
        }
    }

    /// Through providers of the application.
    pub(crate) fn given(spans: &SdkTracerProvider, logs: Option<&SdkLoggerProvider>) -> Self {
        Self::own(Destination::foreign(spans, logs))
    }

    /// The same with other settings.
    pub(crate) fn with(mut self, capture: Capture) -> Self {
        self.over = Some(Rules::new(capture));
        self
    }

    /// The same, whose spans are never those of an application's own layer.
    pub(crate) fn apart(mut self) -> Self {
        self.is_apart = true;
        self
    }

    /// What may be recorded.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        match (&self.over, &self.to) {
            (Some(rules), _) => Arc::clone(rules),
            (None, Some(destination)) => destination.rules(),
            (None, None) => process_rules(),
        }
    }

    /// Whether nobody takes records, and nobody sees the span of `tracing` that a call is.
    pub(crate) fn is_idle(&self) -> bool {
        self.destination().leads_nowhere() && !tracing::span_enabled!(target: "mcptap", tracing::Level::INFO)
    }

    /// Whether the server that is watched is in this process.
    pub(crate) fn is_inside(&self) -> bool {
        self.to.as_ref().is_none_or(|to| to.is_inside)
    }

    fn destination(&self) -> Arc<Destination> {
        self.to.clone().unwrap_or_else(destination::process)
    }

    /// The rules to cut secrets out by before this destination is given anything. None: it does that itself.
    fn ahead(&self, destination: &Destination) -> Option<Arc<Rules>> {
        (!destination.redacts || self.over.is_some()).then(|| self.rules())
    }

    /// Starts a span.
    pub(crate) fn start(&self, mut start: Start) -> Recording {
        let destination = self.destination();
        let ahead = self.ahead(&destination);
        if let Some(rules) = &ahead {
            rules.redaction.text(&mut start.name);
            rules.redaction.attributes(&mut start.attributes);
        }
        let is_told = is_joined() || destination.logs.as_ref().is_some_and(|logs| logs.takes_events());
        let started = is_told.then(|| Started::of(&start));
        let id = start.text(semconv::JSONRPC_REQUEST_ID);
        let hush = Hush::within(&start.parent);
        start.parent = start.parent.with_value(hush.clone());
        let Beginning {
            mut context,
            home,
            span: span_of_tracing,
            is_bridged,
        } = Beginning::of(&destination, start, &self.rules(), self.is_apart);
        let given = Arc::new(Given::default());
        let logs = destination
            .logs
            .clone()
            .or_else(|| home.as_ref().map(|home| Arc::clone(&home.logs)));
        let open = home
            .as_ref()
            .map(|home| Opened::new(&home.open, context.clone(), &given));
        let span = context.span();
        // Nobody sends a span that is not sampled, also if its sampler has it recorded.
        let is_sent = span.is_recording() && span.span_context().is_sampled();
        let running = started
            .zip(logs.as_ref())
            .filter(|(_, logs)| is_sent && logs.takes_events());
        let running = running.map(|(started, logs)| {
            let span = span.span_context().clone();
            Begun::new(Arc::clone(logs), span, started, Arc::clone(&given))
        });
        if let Some(visible) = span_of_tracing {
            let handle = Handle {
                context: context.clone(),
                ahead: ahead.clone(),
                given: Arc::clone(&given),
                is_bridged,
            };
            context = context.with_value(Call::new(handle, id, visible, hush.clone()));
        }
        Recording {
            context,
            given,
            hush,
            is_bridged,
            home,
            ahead,
            logs,
            _open: open,
            running,
        }
    }

    /// Writes a line into the console output of a call that is over.
    pub(crate) fn log(&self, call: &SpanContext, mut line: Line) {
        let destination = self.destination();
        if let Some(rules) = self.ahead(&destination) {
            line.redact(&rules);
        }
        if let Some(logs) = &destination.logs {
            write(logs.logger(), call, line);
        }
    }
}

impl Logs {
    /// Writes an event about a request. What it says was in the request's span before, without secrets.
    pub(crate) fn event(&self, event: Event<'_>) {
        write_event(self.logger(), event);
    }
}

/// A line of console output.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) severity: Severity,
    pub(crate) body: String,
    pub(crate) attributes: Vec<(&'static str, String)>,
    pub(crate) at: SystemTime,
}

impl Line {
    fn redact(&mut self, rules: &Rules) {
        rules.redaction.text(&mut self.body);
        for (key, value) in &mut self.attributes {
            rules.redaction.field(key, value);
        }
    }
}

fn write(logger: &SdkLogger, call: &SpanContext, line: Line) {
    let mut record = logger.create_log_record();
    record.set_timestamp(line.at);
    record.set_severity_number(line.severity);
    record.set_severity_text(line.severity.name());
    record.set_body(AnyValue::from(line.body));
    record.add_attributes(line.attributes);
    record.set_trace_context(call.trace_id(), call.span_id(), Some(call.trace_flags()));
    logger.emit(record);
}

fn write_event(logger: &SdkLogger, event: Event<'_>) {
    let mut record = logger.create_log_record();
    record.set_event_name(event.name);
    record.set_timestamp(event.at);
    record.set_severity_number(Severity::Debug);
    if !event.body.is_empty() {
        record.set_body(AnyValue::from(event.body));
    }
    let attributes = event.attributes.into_iter();
    record.add_attributes(attributes.map(|attribute| (attribute.key, any_value(attribute.value))));
    if let Some(span) = event.span {
        record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
    }
    logger.emit(record);
}

fn any_value(value: Value) -> AnyValue {
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        Value::String(value) => value.into(),
        // As lists, so that secrets are cut out of them as out of those of a span.
        Value::Array(Array::Bool(values)) => values.into_iter().collect(),
        Value::Array(Array::I64(values)) => values.into_iter().collect(),
        Value::Array(Array::F64(values)) => values.into_iter().collect(),
        Value::Array(Array::String(values)) => values.into_iter().collect(),
        other => other.to_string().into(),
    }
}

/// A span that was started and has not ended.
#[derive(Debug)]
pub(crate) struct Recording {
    context: Context,
    /// What the code of the call sets.
    given: Arc<Given>,
    hush: Hush,
    /// Whether the application's own layer made the span.
    is_bridged: bool,
    /// The guard that sends it, if one does.
    home: Option<Arc<Home>>,
    /// The rules by which secrets are cut out before the span has them.
    ahead: Option<Arc<Rules>>,
    logs: Option<Arc<Logs>>,
    _open: Option<Opened>,
    /// While it is held, the request runs.
    running: Option<Arc<Begun>>,
}

impl Recording {
    /// The context in which the span is the current one.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Whether anybody will read it.
    pub(crate) fn is_recording(&self) -> bool {
        self.context.span().is_recording()
    }

    /// Whether the guard that sends it keeps the bodies of this tool, or of a request about none.
    pub(crate) fn keeps_bodies_of(&self, tool: Option<&str>) -> bool {
        let of_guard = self.home.as_ref();
        of_guard.is_none_or(|home| home.rules.capture.bodies_of(tool))
    }

    /// How many bytes of a body the guard that sends it keeps.
    pub(crate) fn cap(&self) -> usize {
        let of_guard = self.home.as_ref();
        of_guard.map_or(usize::MAX, |home| home.rules.capture.body_cap)
    }

    /// Log lines that are written in its context are not kept.
    pub(crate) fn hush(&self) {
        self.hush.begin();
        if let Some(call) = Call::of(&self.context) {
            // A layer of the application's own writes them into its span all the same.
            call.span().record(semconv::HUSHED, true);
        }
    }

    pub(crate) fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        let mut attributes: Vec<KeyValue> = attributes.into_iter().collect();
        if attributes.is_empty() {
            return;
        }
        if let Some(rules) = &self.ahead {
            rules.redaction.attributes(&mut attributes);
        }
        self.given.note_own(&attributes);
        if let Some(running) = &self.running {
            running.add(&attributes);
        }
        span.set_attributes(attributes);
    }

    /// Sets what is on its span under another name already, and so is not announced.
    pub(crate) fn set_beside(&self, attribute: KeyValue) {
        let mut attributes = vec![attribute];
        if let Some(rules) = &self.ahead {
            rules.redaction.attributes(&mut attributes);
        }
        self.context.span().set_attributes(attributes);
    }

    pub(crate) fn set_status(&self, mut status: Status) {
        if let (Some(rules), Status::Error { description }) = (&self.ahead, &mut status) {
            rules.redaction.cow(description);
        }
        // The application's layer says ERROR after any log line that does, and what it said can be overruled by OK alone.
        let is_overruled = self.is_bridged && status == Status::Unset;
        self.context
            .span()
            .set_status(if is_overruled { Status::Ok } else { status });
    }

    /// Writes a line of its console output.
    pub(crate) fn log(&self, mut line: Line) {
        let Some(logs) = &self.logs else { return };
        if let Some(rules) = &self.ahead {
            line.redact(rules);
        }
        write(logs.logger(), self.context.span().span_context(), line);
    }

    /// Tells of an answer that comes after the request was given up. None where such records go nowhere.
    pub(crate) fn late(&self) -> Option<Late> {
        self.running.as_deref().map(Begun::late)
    }

    /// The request is over: it is not announced any more, and what is set from now on goes to the span alone.
    pub(crate) fn conclude(&mut self) {
        self.running = None;
    }

    /// Ends the span.
    pub(crate) fn end(self, at: SystemTime) {
        let span = self.context.span();
        self.given.write(&span);
        span.end_with_timestamp(at);
    }
}

#[cfg(test)]
mod tests;
