//! The call that code runs in, for the code itself: attributes, who called, and the trace for what it asks of others.
//!
//! A call is a context of OpenTelemetry and a span of `tracing` (`mcp.call`). Code in the task of the handler is in both. Code
//! in another task or on another thread is in it as soon as the span goes along: `task.in_current_span()`,
//! `span.in_scope(|| …)`.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderName, HeaderValue};
use mcptap_model::semconv;
use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, Key, KeyValue, Value, global};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
#[cfg(feature = "rmcp")]
use rmcp::model::RequestMetaObject;
use serde_json::Map;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

use crate::recorder::{Handle, Hush};
use crate::span::cut;

/// Who calls, as the conventions of OpenTelemetry name it.
const CALLER: &str = "enduser.id";

/// The longest message and the longest stack of an exception, in bytes.
const LONGEST_EXCEPTION: usize = 64 * 1024;

/// The call that the current code runs in.
///
/// ```
/// # fn tool(request: &mut http::HeaderMap) {
/// if let Some(call) = mcptap_sdk::Call::current() {
///     call.set("order.id", 42);
///     call.caller("u-17");
///     call.inject(request);
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Call(Arc<Current>);

/// What a call is made of.
struct Current {
    handle: Handle,
    /// The id of its request.
    id: Option<String>,
    span: tracing::Span,
    hush: Hush,
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Call").finish_non_exhaustive()
    }
}

impl Call {
    /// The call that is handled here. None outside of calls, in tasks and threads that the span `mcp.call` did not go along to,
    /// where nothing is instrumented, and where nobody takes records.
    pub fn current() -> Option<Self> {
        let of_context = Context::map_current(Self::of);
        of_context.or_else(|| Mark::current()?.call())
    }

    pub(crate) fn new(handle: Handle, id: Option<String>, span: tracing::Span, hush: Hush) -> Self {
        let call = Self(Arc::new(Current {
            handle,
            id,
            span,
            hush,
        }));
        call.mark();
        call
    }

    /// The call that a context is of.
    pub(crate) fn of(context: &Context) -> Option<Self> {
        context.get::<Self>().cloned()
    }

    /// The span of `tracing` that it is.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.0.span
    }

    /// Whether it is a request with this id.
    pub(crate) fn has_id(&self, id: &str) -> bool {
        self.0.id.as_deref() == Some(id)
    }

    /// Sets an attribute of the call, in place of one that was set with that name. Secrets are cut out of its value as out of
    /// everything else; after the call's end nothing happens.
    ///
    /// They are in the record when the call ends. Of each call 64 names and 64 KiB are kept; `mcptap.dropped_attributes` counts the
    /// values that there was no room for. What the record says by itself, such as `error.type`, stays as it is.
    pub fn set(&self, key: impl Into<Key>, value: impl Into<Value>) {
        self.0.handle.set(KeyValue::new(key, value));
    }

    /// Says who calls: the id of a user or an account, as the attribute `enduser.id`.
    pub fn caller(&self, id: impl Into<String>) {
        self.set(CALLER, id.into());
    }

    /// Records an error of the tool's own code, as the event `exception`: its type, its message, and as its stack what `Debug` says
    /// of it. rmcp's [`ErrorData`](https://docs.rs/rmcp/latest/rmcp/model/struct.ErrorData.html) carries none of these, so say it where the error is still at hand:
    ///
    /// ```
    /// # use mcptap_sdk::Call;
    /// # fn stock() -> Result<u32, std::io::Error> { Ok(7) }
    /// # fn tool() -> Result<u32, rmcp::ErrorData> {
    /// stock().map_err(|error| {
    ///     if let Some(call) = Call::current() {
    ///         call.exception(&error);
    ///     }
    ///     rmcp::ErrorData::internal_error(error.to_string(), None)
    /// })
    /// # }
    /// ```
    ///
    /// `anyhow`, `eyre` and their like give their causes, and a backtrace where `RUST_BACKTRACE` asks for one; an error that derives
    /// `Debug` gives what it holds, with its sources. Message and stack are cut at 64 KiB each, secrets are cut out of both, and
    /// where bodies or log lines of the call are not kept, the type alone is recorded. How the call ends is said by its answer all the same.
    pub fn exception<E: fmt::Debug + fmt::Display + ?Sized>(&self, error: &E) {
        let mut attributes = vec![KeyValue::new(semconv::EXCEPTION_TYPE, std::any::type_name::<E>())];
        if !self.0.hush.holds() {
            // The alternate form of what has causes names them.
            let (message, stack) = (format!("{error:#}"), format!("{error:?}"));
            if stack != message {
                attributes.push(KeyValue::new(semconv::EXCEPTION_STACKTRACE, short(stack)));
            }
            attributes.push(KeyValue::new(semconv::EXCEPTION_MESSAGE, short(message)));
        }
        self.0.handle.event("exception", attributes);
    }

    /// Writes the trace and the baggage into what goes out to another server: the headers of an HTTP request, or the `_meta` of a
    /// request of MCP. What is asked there is then below the call, or below the span that is current in it.
    pub fn inject(&self, into: &mut impl Outgoing) {
        let own = self.0.handle.context();
        let current = Context::current();
        let trace = |context: &Context| context.span().span_context().trace_id();
        let context = if trace(&current) == trace(own) {
            &current
        } else {
            own
        };
        let mut into = Carried(into);
        TraceContextPropagator::new().inject_context(context, &mut into);
        BaggagePropagator::new().inject_context(context, &mut into);
        global::get_text_map_propagator(|propagator| propagator.inject_context(context, &mut into));
    }

    /// Leaves a mark on its span, so that it is found from code which the span goes along to.
    fn mark(&self) {
        let mark = Mark {
            context: self.0.handle.context().clone(),
            is_bridged: self.0.handle.is_bridged(),
            hush: self.0.hush.clone(),
            current: Arc::downgrade(&self.0),
        };
        self.0.span.with_subscriber(|(id, dispatch)| {
            if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|all| all.span(id)) {
                span.extensions_mut().replace(mark);
            }
        });
    }
}

fn short(mut text: String) -> String {
    cut(&mut text, LONGEST_EXCEPTION);
    text
}

/// What finds a call from its span of `tracing`. It does not keep the span open.
#[derive(Clone)]
pub(crate) struct Mark {
    /// That of the call, also after its end.
    pub(crate) context: Context,
    /// Whether the application's own layer records the span as that of the call.
    pub(crate) is_bridged: bool,
    hush: Hush,
    current: Weak<Current>,
}

impl Mark {
    /// That of the innermost call around the current code.
    pub(crate) fn current() -> Option<Self> {
        let found = tracing::Span::current().with_subscriber(|(id, dispatch)| {
            let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
            span.scope()
                .find_map(|span| span.extensions().get::<Self>().cloned())
        });
        found.flatten()
    }

    /// Whether the call's log lines may not be kept.
    pub(crate) fn is_hushed(&self) -> bool {
        self.hush.holds()
    }

    /// The call, as long as it runs.
    pub(crate) fn call(&self) -> Option<Call> {
        self.current.upgrade().map(Call)
    }
}

/// What carries a trace to another server.
pub trait Outgoing {
    /// Sets a member, in place of one of that name.
    fn put(&mut self, name: &str, value: String);
}

impl Outgoing for HeaderMap {
    fn put(&mut self, name: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.insert(name, value);
        }
    }
}

impl Outgoing for Map<String, serde_json::Value> {
    fn put(&mut self, name: &str, value: String) {
        self.insert(name.to_owned(), value.into());
    }
}

#[cfg(feature = "rmcp")]
impl Outgoing for RequestMetaObject {
    fn put(&mut self, name: &str, value: String) {
        self.0.0.put(name, value);
    }
}

impl<S: BuildHasher> Outgoing for HashMap<String, String, S> {
    fn put(&mut self, name: &str, value: String) {
        self.insert(name.to_owned(), value);
    }
}

struct Carried<'a, T>(&'a mut T);

impl<T: Outgoing> Injector for Carried<'_, T> {
    fn set(&mut self, key: &str, value: String) {
        // Nothing to tell is nothing to send.
        if !value.is_empty() {
            self.0.put(key, value);
        }
    }
}
