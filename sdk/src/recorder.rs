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
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, Value, global};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::announcement::Late;
use crate::running::{Begun, Started};
use crate::telemetry::with_ids;

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
    /// The ids that others were told of the span, before it began: of the trace too, where it has no parent.
    pub(crate) told: Option<SpanContext>,
    pub(crate) at: SystemTime,
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
#[derive(Clone)]
pub(crate) enum Recorder {
    /// Whichever provider is global when a request arrives: a server may be wrapped before telemetry is set
    /// up.
    Global,
    /// Given ones.
    Given(Arc<Given>),
}

/// The tracer and the logger of given providers.
pub(crate) struct Given {
    tracer: SdkTracer,
    logger: Option<SdkLogger>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Global => "Global",
            Self::Given(_) => "Given",
        })
    }
}

impl Recorder {
    pub(crate) fn given(spans: &SdkTracerProvider, logs: Option<&SdkLoggerProvider>) -> Self {
        Self::of_scope(&scope(), spans, logs)
    }

    /// Records are of who watches the server from outside its process.
    pub(crate) fn outside(spans: &SdkTracerProvider, logs: &SdkLoggerProvider) -> Self {
        let scope = InstrumentationScope::builder(semconv::WATCH_SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self::of_scope(&scope, spans, Some(logs))
    }

    fn of_scope(
        scope: &InstrumentationScope,
        spans: &SdkTracerProvider,
        logs: Option<&SdkLoggerProvider>,
    ) -> Self {
        Self::Given(Arc::new(Given {
            tracer: spans.tracer_with_scope(scope.clone()),
            logger: logs.map(|logs| logs.logger_with_scope(scope.clone())),
        }))
    }

    /// Starts a span.
    pub(crate) fn start(&self, start: Start) -> Recording {
        let started = self.takes_events().then(|| Started::of(&start));
        let told = start.told.clone();
        let context = with_ids(told.as_ref(), || match self {
            Self::Global => begin(&global::tracer_with_scope(scope()), start),
            Self::Given(given) => begin(&given.tracer, start),
        });
        let open = matches!(self, Self::Global).then(|| OPEN.add(context.clone()));
        let span = context.span();
        // Nobody sends a span that is not sampled, also if its sampler has it recorded.
        let is_sent = span.is_recording() && span.span_context().is_sampled();
        let running = started
            .filter(|_| is_sent)
            .map(|started| Begun::new(self.clone(), span.span_context().clone(), started));
        Recording {
            context,
            open,
            running,
        }
    }

    /// Whether events go anywhere.
    fn takes_events(&self) -> bool {
        self.with_logger(|logger| logger.event_enabled(Severity::Debug, "", Some(semconv::CALL_RUNNING)))
            .unwrap_or_default()
    }

    /// Whether both write to the same providers.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Global, Self::Global) => true,
            (Self::Given(one), Self::Given(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Writes an event.
    pub(crate) fn event(&self, event: Event<'_>) {
        self.with_logger(|logger| write_event(logger, event));
    }

    /// Writes a line into the console output of a call.
    pub(crate) fn log(&self, call: &SpanContext, line: Line) {
        self.with_logger(|logger| write(logger, call, line));
    }

    /// Gives the logger to `act`, if there is one.
    fn with_logger<T>(&self, act: impl FnOnce(&SdkLogger) -> T) -> Option<T> {
        match self {
            // Behind the global one is our own queue, which never waits: the lock is held for a moment only.
            Self::Global => {
                let logger = GLOBAL_LOGGER.read().unwrap_or_else(PoisonError::into_inner);
                logger.as_ref().map(act)
            }
            Self::Given(given) => given.logger.as_ref().map(act),
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

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{TraceId, TraceState};
    use opentelemetry_sdk::logs::InMemoryLogExporter;
    use opentelemetry_sdk::trace::{
        InMemorySpanExporter, Sampler, SamplingDecision, SamplingResult, ShouldSample,
    };

    use super::*;

    /// Records every span for the process itself and has none sent.
    #[derive(Clone, Debug)]
    struct RecordsOnly;

    impl ShouldSample for RecordsOnly {
        fn should_sample(
            &self,
            _: Option<&Context>,
            _: TraceId,
            _: &str,
            _: &SpanKind,
            _: &[KeyValue],
            _: &[Link],
        ) -> SamplingResult {
            SamplingResult {
                decision: SamplingDecision::RecordOnly,
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            }
        }
    }

    fn is_announced(sampler: impl ShouldSample + 'static, logs: &SdkLoggerProvider) -> bool {
        let spans = SdkTracerProvider::builder()
            .with_simple_exporter(InMemorySpanExporter::default())
            .with_sampler(sampler)
            .build();
        let mut recording = Recorder::given(&spans, Some(logs)).start(Start {
            name: "ping".to_owned(),
            kind: SpanKind::Server,
            attributes: Vec::new(),
            links: Vec::new(),
            parent: Context::new(),
            told: None,
            at: SystemTime::now(),
        });
        let is_announced = recording.running.is_some();
        recording.conclude();
        assert!(recording.running.is_none());
        is_announced
    }

    #[test]
    fn only_spans_that_are_sent_are_announced_and_only_where_log_records_are_sent() {
        let logs = SdkLoggerProvider::builder()
            .with_simple_exporter(InMemoryLogExporter::default())
            .build();
        assert!(is_announced(Sampler::AlwaysOn, &logs));
        assert!(!is_announced(Sampler::AlwaysOff, &logs));
        assert!(!is_announced(RecordsOnly, &logs));
        assert!(!is_announced(
            Sampler::AlwaysOn,
            &SdkLoggerProvider::builder().build()
        ));
    }

    #[test]
    fn a_list_stays_one_in_a_log_record() {
        let list = Value::Array(Array::String(vec!["a".into(), "b".into()]));
        let AnyValue::ListAny(items) = any_value(list) else {
            panic!("no list");
        };
        assert_eq!(*items, [AnyValue::from("a"), AnyValue::from("b")]);
    }
}
