//! `tracing` events as OTLP log records: the console output of a call.

use std::sync::{Arc, PoisonError, RwLock};

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

/// Where [`log_layer`] writes to since the last [`init`](crate::init).
static GLOBAL: RwLock<Option<Arc<Bridge>>> = RwLock::new(None);

/// Crates that delivering telemetry goes through. Their events are not sent, since each would cause more of them.
const OWN_STACK: [&str; 11] = [
    "h2",
    "hyper",
    "hyper_rustls",
    "hyper_util",
    "mcptap_sdk::telemetry",
    "reqwest",
    "rustls",
    "tokio_rustls",
    "tonic",
    "tower",
    "want",
];

/// A layer for `tracing-subscriber`; see [`log_layer`].
pub struct LogLayer {
    /// None follows the global provider.
    bridge: Option<Bridge>,
}

/// Sends `tracing` events as log records through the telemetry of [`init`](crate::init), with the trace and span id
/// of the current OpenTelemetry span: inside a handler, that of the call.
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
/// Events of the crates that carry telemetry (`hyper`, `h2`, `tonic`, `reqwest`, `rustls`, `opentelemetry…`) are not
/// sent.
#[must_use]
pub fn log_layer() -> LogLayer {
    LogLayer { bridge: None }
}

/// As [`log_layer`], through one given provider: [`Guard::logger_provider`](crate::Guard::logger_provider).
#[must_use]
pub fn log_layer_with(provider: &SdkLoggerProvider) -> LogLayer {
    LogLayer {
        bridge: Some(Bridge::new(provider)),
    }
}

/// Makes a provider the global one.
pub(super) fn set_global(provider: &SdkLoggerProvider) {
    *GLOBAL.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Bridge::new(provider)));
}

impl std::fmt::Debug for LogLayer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogLayer")
            .field("is_global", &self.bridge.is_none())
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_own_stack(event.metadata().target()) {
            return;
        }
        if let Some(bridge) = &self.bridge {
            bridge.on_event(event, context);
            return;
        }
        let bridge = GLOBAL.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bridge) = bridge {
            bridge.on_event(event, context);
        }
    }
}

fn is_own_stack(target: &str) -> bool {
    let is_below = |name: &str| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    target.starts_with("opentelemetry") || OWN_STACK.into_iter().any(is_below)
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
            tracing::info!(target: "opentelemetry_sdk", "exported");
            tracing::info!(target: "mcptap_sdk::telemetry::courier", "sent");
            tracing::info!(target: "hyperspace", "not ours");
        });
        let records = memory.get_emitted_logs().unwrap();
        let bodies: Vec<_> = records
            .iter()
            .map(|log| format!("{:?}", log.record.body()))
            .collect();
        assert_eq!(bodies.len(), 2, "{bodies:?}");
        assert!(
            bodies[0].contains("out of stock") && bodies[1].contains("not ours"),
            "{bodies:?}"
        );
        let trace = records[0].record.trace_context().unwrap();
        assert_eq!(trace.span_id, context.span().span_context().span_id());
        assert_eq!(trace.trace_id, context.span().span_context().trace_id());
    }
}
