//! `tracing` events as OTLP log records: the console output of a call.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{Logger, LoggerProvider, Severity};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord, SdkLoggerProvider};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::bridge::{self, Bridge};
use super::guard::Guard;
use crate::capture::Capture;
use crate::current::Mark;
use crate::recorder::{Home, Rules, is_hushed, process_rules};

/// Where [`log_layer`] writes to since the last [`init`](crate::init).
static GLOBAL: RwLock<Option<(Arc<Bridge>, Arc<Home>)>> = RwLock::new(None);

/// A layer for `tracing-subscriber`; see [`log_layer`].
pub struct LogLayer {
    to: To,
    /// What may be recorded, where that was said for this layer.
    over: Option<Arc<Rules>>,
}

enum To {
    /// Whatever telemetry is installed.
    Process,
    Guard(Bridge, Arc<Home>),
    /// A provider of the application's, which is given nothing that has a secret.
    Application(Bridge, SdkLoggerProvider),
}

impl LogLayer {
    fn new(to: To) -> Self {
        Self { to, over: None }
    }

    /// What may be recorded, in place of what would hold otherwise; a [`Guard`] allows no more than it does by itself.
    #[must_use]
    pub fn capture(mut self, capture: Capture) -> Self {
        let rules = Rules::new(capture);
        if let To::Application(_, provider) = self.to {
            self.to = Cleaner::before(&provider, Some(Arc::clone(&rules)));
        }
        self.over = Some(rules);
        self
    }

    /// Whether lines of this target may be kept.
    fn takes_lines(&self, target: &str) -> bool {
        let of_destination = match &self.to {
            To::Guard(_, home) => home.rules.capture.takes_lines(target),
            To::Application(..) if self.over.is_some() => true,
            To::Process | To::Application(..) => process_rules().capture.takes_lines(target),
        };
        let is_over = self.over.as_ref();
        of_destination && is_over.is_none_or(|rules| rules.capture.takes_lines(target))
    }
}

/// Cuts secrets out of log records, and hands them on to a provider of the application's.
#[derive(Debug)]
struct Cleaner {
    provider: SdkLoggerProvider,
    over: Option<Arc<Rules>>,
}

impl Cleaner {
    fn before(provider: &SdkLoggerProvider, over: Option<Arc<Rules>>) -> To {
        let provider = provider.clone();
        let cleaner = Self {
            provider: provider.clone(),
            over,
        };
        let clean = SdkLoggerProvider::builder().with_log_processor(cleaner).build();
        To::Application(Bridge::new(&clean), provider)
    }
}

impl LogProcessor for Cleaner {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        let mut clean = (record.clone(), scope.clone());
        let rules = self.over.clone().unwrap_or_else(process_rules);
        rules.redaction.log(&mut clean);
        let (record, scope) = clean;
        self.provider.logger_with_scope(scope).emit(record);
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.provider.logger("").event_enabled(level, target, name)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.provider.force_flush()
    }

    /// The provider is the application's to shut down.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl From<&Guard> for LogLayer {
    fn from(guard: &Guard) -> Self {
        let bridge = Bridge::new(guard.logger_provider());
        Self::new(To::Guard(bridge, Arc::clone(guard.home())))
    }
}

impl From<&SdkLoggerProvider> for LogLayer {
    fn from(provider: &SdkLoggerProvider) -> Self {
        Self::new(Cleaner::before(provider, None))
    }
}

/// Sends `tracing` events as log records through the telemetry of [`init`](crate::init), with the trace and span id
/// of the current OpenTelemetry span: inside a handler, and wherever the span `mcp.call` goes along to, that of the call. With
/// the fields of the spans around them, and with where they are in the code (`code.file.path`, `code.line.number`). Fields that
/// are recorded on the span `mcp.call` (`enduser.id`) are attributes of the call.
///
/// It may be installed before [`init`](crate::init) is called; events before that are not sent. Which levels are
/// sent is for a filter to say:
///
/// ```
/// use tracing_subscriber::filter::LevelFilter;
/// use tracing_subscriber::prelude::*;
///
/// tracing_subscriber::registry()
///     .with(mcptap_sdk::log_layer().with_filter(LevelFilter::INFO))
///     .init();
/// ```
///
/// What sending telemetry itself says, and `opentelemetry…`, is not sent.
#[must_use]
pub fn log_layer() -> LogLayer {
    LogLayer::new(To::Process)
}

/// As [`log_layer`], with a destination of one's own: a `&`[`Guard`], or a `&`[`SdkLoggerProvider`] of the application, which
/// is given no line that holds a secret.
#[must_use]
pub fn log_layer_with(to: impl Into<LogLayer>) -> LogLayer {
    to.into()
}

/// Has [`log_layer`] write to this guard.
pub(super) fn set_global(guard: &Guard) {
    let bridge = Arc::new(Bridge::new(guard.logger_provider()));
    *GLOBAL.write().unwrap_or_else(PoisonError::into_inner) = Some((bridge, Arc::clone(guard.home())));
}

/// Has [`log_layer`] write to this guard no more.
pub(super) fn leave(home: &Arc<Home>) {
    let mut global = GLOBAL.write().unwrap_or_else(PoisonError::into_inner);
    global.take_if(|(_, of)| Arc::ptr_eq(of, home));
}

impl std::fmt::Debug for LogLayer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogLayer")
            .field("is_global", &matches!(self.to, To::Process))
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        bridge::begins(attributes, id, &context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        bridge::records(id, values, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let target = event.metadata().target();
        if is_own(target) || is_hushed() || !self.takes_lines(target) {
            return;
        }
        let call = bridge::call_of(event, &context);
        if call.as_ref().is_some_and(Mark::is_hushed) {
            return;
        }
        match &self.to {
            To::Guard(bridge, _) | To::Application(bridge, _) => bridge.write(event, &context, call.as_ref()),
            To::Process => {
                let global = GLOBAL.read().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((bridge, _)) = global {
                    bridge.write(event, &context, call.as_ref());
                }
            }
        }
    }
}

/// What the way out says of itself is not sent: each line would cause more of them. What the crates say that it goes through
/// (hyper, rustls) is not sent either while it does, for its threads record nothing; the application's use of them is.
fn is_own(target: &str) -> bool {
    let is_below = |name: &str| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    target.starts_with("opentelemetry") || is_below("mcptap_sdk")
}

#[cfg(test)]
mod tests {
    use opentelemetry::Context as OtelContext;
    use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
    use opentelemetry_sdk::logs::InMemoryLogExporter;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::prelude::*;

    use super::*;

    #[test]
    fn events_carry_the_ids_of_the_current_span_and_the_own_stack_is_silent() {
        let memory = InMemoryLogExporter::default();
        let logs = SdkLoggerProvider::builder()
            .with_simple_exporter(memory.clone())
            .build();
        let subscriber = tracing_subscriber::registry().with(log_layer_with(&logs));
        let tracers = SdkTracerProvider::builder().build();
        let context = OtelContext::current_with_span(tracers.tracer("test").start("call"));
        tracing::subscriber::with_default(subscriber, || {
            let _in_span = context.clone().attach();
            tracing::warn!(target: "shop", order = 7, "out of stock");
            tracing::info!(target: "hyper::client", "connected");
            let sending = OtelContext::enter_telemetry_suppressed_scope();
            tracing::info!(target: "hyper::client", "connected by the exporter");
            drop(sending);
            tracing::info!(target: "opentelemetry_sdk", "exported");
            tracing::info!(target: "mcptap_sdk::telemetry::courier", "sent");
            // It is said where settings are read, which each line may ask for.
            tracing::error!(target: "mcptap_sdk::recorder::destination", "a wrong setting");
            tracing::info!(target: "hyperspace", "not ours");
        });
        let records = memory.get_emitted_logs().unwrap();
        let bodies: Vec<_> = records
            .iter()
            .map(|log| format!("{:?}", log.record.body()))
            .collect();
        assert_eq!(bodies.len(), 3, "{bodies:?}");
        assert!(
            bodies[0].contains("out of stock")
                && bodies[1].contains("\"connected\"")
                && bodies[2].contains("not ours"),
            "{bodies:?}"
        );
        let trace = records[0].record.trace_context().unwrap();
        assert_eq!(trace.span_id, context.span().span_context().span_id());
        assert_eq!(trace.trace_id, context.span().span_context().trace_id());
    }
}
