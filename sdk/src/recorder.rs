//! Where records go: spans of requests and lines of their console output, through OpenTelemetry's own providers.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::{
    Link, Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, Value, global};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::running::Begun;

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

/// What a span says when it starts.
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) links: Vec<Link>,
    pub(crate) parent: Context,
    pub(crate) at: SystemTime,
}

/// A log record that is told apart by its name.
pub(crate) struct Event<'a> {
    pub(crate) name: &'static str,
    /// The span that it is about.
    pub(crate) span: Option<&'a SpanContext>,
    pub(crate) body: String,
    pub(crate) attributes: Vec<KeyValue>,
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
        /// Tells it from others.
        identity: Arc<()>,
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
            identity: Arc::default(),
        }
    }

    /// Starts a span.
    pub(crate) fn start(&self, start: Start) -> Recording {
        let told = (start.name.clone(), start.kind.clone(), start.at);
        let parent = start.parent.span().span_context().span_id();
        let attributes = start.attributes.clone();
        let context = match self {
            Self::Global => begin(&global::tracer_with_scope(scope()), start),
            Self::Given { tracer, .. } => begin(tracer, start),
        };
        let open = matches!(self, Self::Global).then(|| OPEN.add(context.clone()));
        let span = context.span();
        let running = (span.is_recording() && self.has_logger()).then(|| {
            Begun::new(
                self.clone(),
                span.span_context().clone(),
                parent,
                told,
                attributes,
            )
        });
        Recording {
            context,
            open,
            running,
        }
    }

    /// Whether events go anywhere.
    fn has_logger(&self) -> bool {
        match self {
            Self::Global => GLOBAL_LOGGER
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some(),
            Self::Given { logger, .. } => logger.is_some(),
        }
    }

    /// Whether both give to the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Global, Self::Global) => true,
            (Self::Given { identity: one, .. }, Self::Given { identity: two, .. }) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    /// Tells an event.
    pub(crate) fn event(&self, event: Event<'_>) {
        match self {
            Self::Global => {
                let logger = GLOBAL_LOGGER.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(logger) = logger.as_ref() {
                    tell(logger, event);
                }
            }
            Self::Given { logger, .. } => {
                if let Some(logger) = logger {
                    tell(logger, event);
                }
            }
        }
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

fn tell(logger: &SdkLogger, event: Event<'_>) {
    let mut record = logger.create_log_record();
    record.set_event_name(event.name);
    record.set_timestamp(SystemTime::now());
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
        other => other.to_string().into(),
    }
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
    start
        .parent
        .with_span(tracer.build_with_context(builder, &start.parent))
}

/// A span that was started and has not ended.
#[derive(Debug)]
pub(crate) struct Recording {
    context: Context,
    open: Option<u64>,
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

    pub(crate) fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        match &self.running {
            Some(running) => {
                let attributes: Vec<KeyValue> = attributes.into_iter().collect();
                running.add(&attributes);
                self.context.span().set_attributes(attributes);
            }
            None => self.context.span().set_attributes(attributes),
        }
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.context.span().set_status(status);
    }

    /// Ends the span.
    pub(crate) fn end(mut self, at: SystemTime) {
        self.running = None;
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
