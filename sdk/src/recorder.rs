//! Where records go: spans of requests and lines of their console output, through OpenTelemetry's own providers.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::{
    Link, Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// The requests being handled by servers that use the global provider: a server that exits meanwhile ends
/// their spans.
static OPEN: LazyLock<Open> = LazyLock::new(Open::default);

/// OpenTelemetry has no global logger provider; this is the one that [`init`](crate::init) made.
static GLOBAL_LOGGER: RwLock<Option<SdkLogger>> = RwLock::new(None);

/// Ends the span of every request still being handled by a server that uses the global provider.
pub(crate) fn end_open_spans() {
    OPEN.end_all();
}

/// Makes a provider the one that console lines of globally recorded calls go to.
pub(crate) fn set_global_logger(provider: &SdkLoggerProvider) {
    let logger = provider.logger_with_scope(scope());
    *GLOBAL_LOGGER.write().unwrap_or_else(PoisonError::into_inner) = Some(logger);
}

/// Marks the context of a span that may stay open for hours: it is told of when it begins, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongLived;

/// What a span says when it starts.
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) links: Vec<Link>,
    pub(crate) parent: Context,
    pub(crate) at: SystemTime,
    pub(crate) long_lived: bool,
}

/// Where spans and log records come from.
#[derive(Clone)]
pub(crate) enum Recorder {
    /// Whichever provider is global when a request arrives: a server may be wrapped before telemetry is set
    /// up.
    Global,
    /// Given ones.
    Given {
        tracer: SdkTracer,
        logger: Option<SdkLogger>,
    },
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Global => "Global",
            Self::Given { .. } => "Given",
        })
    }
}

impl Recorder {
    pub(crate) fn given(spans: &SdkTracerProvider, logs: Option<&SdkLoggerProvider>) -> Self {
        Self::Given {
            tracer: spans.tracer_with_scope(scope()),
            logger: logs.map(|logs| logs.logger_with_scope(scope())),
        }
    }

    /// Starts a span.
    pub(crate) fn start(&self, start: Start) -> Recording {
        let context = match self {
            Self::Global => begin(&global::tracer_with_scope(scope()), start),
            Self::Given { tracer, .. } => begin(tracer, start),
        };
        let open = matches!(self, Self::Global).then(|| OPEN.add(context.clone()));
        Recording { context, open }
    }

    /// Writes a line into the console output of a call.
    pub(crate) fn log(&self, call: &SpanContext, line: Line) {
        match self {
            Self::Global => {
                let logger = GLOBAL_LOGGER.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(logger) = logger.as_ref() {
                    write(logger, call, line);
                }
            }
            Self::Given { logger, .. } => {
                if let Some(logger) = logger {
                    write(logger, call, line);
                }
            }
        }
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

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

fn begin<T>(tracer: &T, start: Start) -> Context
where
    T: Tracer,
    T::Span: Span + Send + Sync + 'static,
{
    let builder = tracer
        .span_builder(start.name)
        .with_kind(start.kind)
        .with_start_time(start.at)
        .with_attributes(start.attributes)
        .with_links(start.links);
    if start.long_lived {
        let marked = start.parent.with_value(LongLived);
        return start
            .parent
            .with_span(tracer.build_with_context(builder, &marked));
    }
    start
        .parent
        .with_span(tracer.build_with_context(builder, &start.parent))
}

/// A span that was started and has not ended.
#[derive(Debug)]
pub(crate) struct Recording {
    context: Context,
    open: Option<u64>,
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

    pub(crate) fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.context.span().set_attributes(attributes);
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.context.span().set_status(status);
    }

    /// Ends the span.
    pub(crate) fn end(self, at: SystemTime) {
        self.context.span().end_with_timestamp(at);
        if let Some(open) = self.open {
            OPEN.remove(open);
        }
    }
}

/// The requests being handled.
#[derive(Default)]
struct Open {
    next: AtomicU64,
    contexts: Mutex<HashMap<u64, Context>>,
}

impl Open {
    fn add(&self, context: Context) -> u64 {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, context);
        key
    }

    fn remove(&self, key: u64) {
        self.contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }

    fn end_all(&self) {
        let contexts = std::mem::take(&mut *self.contexts.lock().unwrap_or_else(PoisonError::into_inner));
        for context in contexts.into_values() {
            let span = context.span();
            span.set_attribute(KeyValue::new(semconv::OUTCOME, semconv::CANCELLED));
            span.end();
        }
    }
}
