//! Spans of requests: started, and ended whatever happens to the request.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use mcptap_model::semconv;
use opentelemetry::context::FutureExt;
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use rmcp::RoleServer;
use rmcp::model::{ClientRequest, ErrorData, GetMeta, RequestMetaObject, ServerResult};
use rmcp::service::RequestContext;
use tokio_util::sync::CancellationToken;

use crate::context::parent;
use crate::origin::Origin;
use crate::span;

/// How long a handler may take to answer after its request was cancelled and still have the answer on the
/// span. The handler itself is never stopped: that is its own business and rmcp's.
const GRACE: Duration = Duration::from_millis(250);

/// The requests being handled by servers that use the global provider: a server that exits meanwhile ends
/// their spans.
static OPEN: LazyLock<Open> = LazyLock::new(Open::default);

/// Ends the span of every request still being handled by a server that uses the global provider.
pub(crate) fn end_open_spans() {
    OPEN.end_all();
}

/// Where spans come from.
#[derive(Clone)]
pub(crate) enum Recorder {
    /// Whichever provider is global when a request arrives: a server may be wrapped before telemetry is set
    /// up.
    Global,
    /// One given provider.
    Given(SdkTracer),
}

impl Recorder {
    pub(crate) fn given(provider: &SdkTracerProvider) -> Self {
        Self::Given(provider.tracer_with_scope(scope()))
    }

    /// Starts the span of a request.
    pub(crate) fn start(&self, request: &mut ClientRequest, context: &RequestContext<RoleServer>) -> Call {
        let origin = Origin::of(request, context);
        let mut attributes = span::request_attributes(request);
        attributes.extend(origin.attributes());
        let (parent, links) = parent(&context.meta, origin.http);
        let name = span::name(request);
        let context_of_span = match self {
            Self::Global => begin(
                &global::tracer_with_scope(scope()),
                name,
                attributes,
                links,
                &parent,
            ),
            Self::Given(tracer) => begin(tracer, name, attributes, links, &parent),
        };
        // Writing a body down costs; nobody would read it from a span that is not recorded.
        if context_of_span.span().is_recording() {
            context_of_span
                .span()
                .set_attributes(with_meta(request, &context.meta, span::request_body));
        }
        let open = matches!(self, Self::Global).then(|| OPEN.add(context_of_span.clone()));
        Call {
            context: context_of_span,
            open,
            ended: false,
        }
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

fn begin<T>(
    tracer: &T,
    name: String,
    attributes: Vec<KeyValue>,
    links: Vec<opentelemetry::trace::Link>,
    parent: &Context,
) -> Context
where
    T: Tracer,
    T::Span: Span + Send + Sync + 'static,
{
    let builder = tracer
        .span_builder(name)
        .with_kind(SpanKind::Server)
        .with_attributes(attributes)
        .with_links(links);
    parent.with_span(tracer.build_with_context(builder, parent))
}

/// Calls `read` on the request as it was sent. rmcp moves `_meta` from the request into its context before a
/// service sees it; it is put back for as long as the call takes.
fn with_meta<T>(
    request: &mut ClientRequest,
    meta: &RequestMetaObject,
    read: impl FnOnce(&ClientRequest) -> T,
) -> T {
    if meta.0.0.is_empty() {
        return read(request);
    }
    let held = std::mem::replace(request.get_meta_mut(), meta.clone());
    let seen = read(request);
    *request.get_meta_mut() = held;
    seen
}

/// A request being handled. Dropping it ends its span: a future that is dropped half-way was given up.
pub(crate) struct Call {
    context: Context,
    open: Option<u64>,
    ended: bool,
}

impl Call {
    /// Runs `handling` inside the span, and ends the span with the answer.
    ///
    /// `handling` is never stopped and its answer never changed. The span of a cancelled request ends with
    /// the answer or shortly after the cancellation, whichever comes first: its handler may never look at the
    /// token.
    pub(crate) async fn follow<F>(
        self,
        token: CancellationToken,
        handling: F,
    ) -> Result<ServerResult, ErrorData>
    where
        F: Future<Output = Result<ServerResult, ErrorData>>,
    {
        let mut handling = pin!(handling.with_context(self.context.clone()));
        let given_up = async {
            token.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            answer = &mut handling => {
                self.answered(&answer, token.is_cancelled());
                answer
            }
            () = given_up => {
                self.given_up();
                handling.await
            }
        }
    }

    fn answered(mut self, answer: &Result<ServerResult, ErrorData>, cancelled: bool) {
        let span = self.context.span();
        if span.is_recording() {
            let ending = span::ending(answer);
            span.set_attributes(ending.attributes);
            span.set_status(ending.status);
            if cancelled {
                span.set_attribute(KeyValue::new(semconv::OUTCOME, semconv::CANCELLED));
            }
        }
        self.end();
    }

    fn given_up(mut self) {
        give_up(&self.context);
        self.end();
    }

    fn end(&mut self) {
        self.ended = true;
        self.context.span().end();
        if let Some(open) = self.open {
            OPEN.remove(open);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            let span = self.context.span();
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, semconv::PANIC));
            span.set_status(Status::error("the handler panicked"));
        } else {
            give_up(&self.context);
        }
        self.end();
    }
}

fn give_up(context: &Context) {
    context
        .span()
        .set_attribute(KeyValue::new(semconv::OUTCOME, semconv::CANCELLED));
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
            give_up(&context);
            context.span().end();
        }
    }
}
