//! OpenTelemetry's side of the queue: finished spans and log records come in here, on the server's own threads.

use std::sync::Arc;
use std::time::Duration;

use mcptap_model::semconv;
use opentelemetry::trace::Event;
use opentelemetry::{Context, InstrumentationScope, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::ledger::Ledger;
use super::naming::Naming;
use super::queue::{Queue, Record};
use crate::capture::Capture;
use crate::recorder::{Home, is_hushed, saw};

/// How long a flush waits for the collector.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Puts everything into the queue, and never waits. Stopping is the guard's business: a provider that shuts down
/// only flushes.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    pub(super) queue: Arc<Queue>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) naming: Naming,
}

/// Takes spans.
#[derive(Debug)]
pub(super) struct SpanIntake(Option<(Intake, Arc<Home>)>);

/// Takes log records.
#[derive(Debug)]
pub(super) struct LogIntake {
    intake: Option<Intake>,
    /// What may be kept of the application's lines. Records of our own are made by who asked.
    capture: Capture,
}

impl Intake {
    /// Sends what is queued, and waits for the collector, but not for longer. Returns how many records it has not taken.
    pub(super) fn send(&self, limit: Duration) -> u64 {
        self.queue.hurry();
        self.ledger.settled(limit)
    }

    fn flush(&self, limit: Duration) -> OTelSdkResult {
        match self.send(limit) {
            0 => Ok(()),
            left => Err(OTelSdkError::InternalFailure(format!(
                "the collector has not taken {left} records yet; they are kept and sent later"
            ))),
        }
    }
}

impl SpanIntake {
    pub(super) fn new(intake: Intake, home: &Arc<Home>) -> Self {
        Self(Some((intake, Arc::clone(home))))
    }

    /// That of a guard whose spans are switched off.
    pub(super) fn closed() -> Self {
        Self(None)
    }

    fn flush(&self, limit: Duration) -> OTelSdkResult {
        self.0.as_ref().map_or(Ok(()), |(intake, _)| intake.flush(limit))
    }
}

impl SpanProcessor for SpanIntake {
    fn on_start(&self, _: &mut Span, _: &Context) {
        if let Some((_, home)) = &self.0 {
            saw(home);
        }
    }

    fn on_end(&self, mut span: SpanData) {
        let Some((intake, home)) = &self.0 else { return };
        // Whoever recorded a request of MCP may not have known that this guard allows none.
        let is_allowed = home.records() || span.instrumentation_scope.name() != env!("CARGO_PKG_NAME");
        if span.span_context.is_sampled() && is_allowed {
            if has_hidden_lines(&span, &home.rules.capture) {
                span.events.events.retain(tells_a_type_alone);
            }
            intake.queue.push(Record::Span(Box::new(span)));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(FLUSH_LIMIT)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some((intake, _)) = &self.0 {
            intake.naming.add(resource);
        }
    }
}

/// Whether an event says the type of an exception and nothing else, as the record of such a call does.
fn tells_a_type_alone(event: &Event) -> bool {
    let mut said = event.attributes.iter();
    event.name == "exception" && said.all(|said| said.key.as_str() == semconv::EXCEPTION_TYPE)
}

/// Whether the events of a span are log lines of a call whose lines may not be kept.
fn has_hidden_lines(span: &SpanData, capture: &Capture) -> bool {
    let said = |key: &str| {
        let mut attributes = span.attributes.iter();
        attributes
            .find(|known| known.key.as_str() == key)
            .map(|known| &known.value)
    };
    let tool = said(semconv::GEN_AI_TOOL_NAME).map(Value::as_str);
    let is_call = said(semconv::MCP_METHOD_NAME).is_some();
    !span.events.events.is_empty()
        && (said(semconv::HUSHED) == Some(&Value::Bool(true))
            || (is_call && !capture.bodies_of(tool.as_deref())))
}

impl LogIntake {
    pub(super) fn new(intake: Intake, capture: Capture) -> Self {
        Self {
            intake: Some(intake),
            capture,
        }
    }

    /// That of a guard whose log records are switched off.
    pub(super) fn closed() -> Self {
        Self {
            intake: None,
            capture: Capture::off(),
        }
    }

    fn flush(&self, limit: Duration) -> OTelSdkResult {
        self.intake.as_ref().map_or(Ok(()), |intake| intake.flush(limit))
    }
}

impl LogProcessor for LogIntake {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        let is_ours = [env!("CARGO_PKG_NAME"), semconv::WATCH_SCOPE].contains(&scope.name());
        let target = record.target().map_or("", |target| target.as_ref());
        if !is_ours && (!self.capture.takes_lines(target) || is_hushed()) {
            return;
        }
        if let Some(intake) = &self.intake {
            let record = Record::Log(Box::new((record.clone(), scope.clone())));
            intake.queue.push(record);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(FLUSH_LIMIT)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout)
    }

    fn event_enabled(&self, _: opentelemetry::logs::Severity, _: &str, _: Option<&str>) -> bool {
        self.intake.is_some()
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(intake) = &self.intake {
            intake.naming.add(resource);
        }
    }
}
