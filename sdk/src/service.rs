//! The wrapper around a server's handler.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::request::Parts;
use mcptap_model::semconv;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, KeyValue};
use rmcp::model::{
    ClientNotification, ClientRequest, ErrorData, Implementation, ProtocolVersion, RequestMetaObject,
    ServerConfig, ServerResult,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, ServerInitializeError, ServiceExt};
use rmcp::transport::IntoTransport;
use rmcp::{RoleServer, Service};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::context::{Around, Sent};
use crate::current::Call as Current;
use crate::jsonrpc::Id;
use crate::layer::{Observed, client_address};
use crate::observer::{Call, Carrier, Key, Observer, SESSION_HEADER, VERSION_HEADER, text};
use crate::span::{Ending, said_by};
use crate::watch::Watch;
use crate::wire::{Watched, Wire, answered, asked, body_of, id_of, with_meta};

/// How long a handler may take to answer after its request was cancelled and still have the answer on the
/// span. The handler itself is never stopped: that is its own business and rmcp's.
const GRACE: Duration = Duration::from_millis(250);

/// Wraps an rmcp handler, or any `Service<RoleServer>` such as rmcp's `Router`, so that every request it handles becomes a span
/// of the global tracer provider.
///
/// The provider that [`init`](crate::init) installs, or any other; without one nothing is recorded and
/// nothing breaks. [`serve`](Instrumented::serve) serves it over one connection. An instrumented handler is a handler itself,
/// and goes wherever the handler went, `StreamableHttpService::new` for example; another service is one as
/// [`into_service`](Instrumented::into_service). Wrap what is outermost: a router routes past a handler inside it.
pub fn instrument<S: Service<RoleServer>>(handler: S) -> Instrumented<S> {
    Instrumented {
        handler,
        observer: Observer::global(),
    }
}

/// [`instrument`] with a destination of one's own in place of the global one: a `&`[`Guard`](crate::Guard), whose
/// [`Capture`](crate::Capture) then holds, a `&`[`SdkTracerProvider`](opentelemetry_sdk::trace::SdkTracerProvider) of the application, or a [`Watch`].
pub fn instrument_with<S: Service<RoleServer>>(handler: S, to: impl Into<Watch>) -> Instrumented<S> {
    Instrumented {
        handler,
        observer: to.into().observer,
    }
}

/// A handler whose requests become spans. Made by [`instrument`] and [`instrument_with`].
#[derive(Clone)]
pub struct Instrumented<H> {
    pub(crate) handler: H,
    pub(crate) observer: Observer,
}

impl<H> fmt::Debug for Instrumented<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Instrumented").finish_non_exhaustive()
    }
}

/// How a request that is being handled is recorded.
pub(crate) enum Handling {
    /// By a span of this handler's own.
    Own(Box<Call>),
    /// By a layer above, which sees it on the wire.
    Layer(Observed, Id, Context),
    /// By the connection, which sees it on the wire.
    Wire(Arc<Wire>, Key, Context),
    /// Not at all, in the context that the client sent: what the handler asks of others is of the client's trace.
    Passing(Context),
    /// Not here.
    Unseen,
}

impl<S: Service<RoleServer>> Instrumented<S> {
    /// Serves over one connection, stdio for example.
    ///
    /// Shadows [`ServiceExt::serve`], which would work as well for a handler, but would see its requests alone. Here the
    /// connection is watched: also requests that rmcp itself answers or refuses, progress, log messages, cancellations, and
    /// what the server asks its client.
    ///
    /// # Errors
    /// As [`ServiceExt::serve`]: the connection ended, or the first message opened no lifecycle.
    pub async fn serve<T, E, A>(
        self,
        transport: T,
    ) -> Result<RunningService<RoleServer, InstrumentedService<S>>, ServerInitializeError>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let wire = Wire::new(&self.observer);
        let transport = Watched::new(transport.into_transport(), Arc::clone(&wire));
        let service = InstrumentedService {
            inner: self,
            wire: Some(wire),
        };
        ServiceExt::serve(service, transport).await
    }

    /// The handler or service that is wrapped.
    pub fn inner(&self) -> &S {
        &self.handler
    }

    /// The handler or service that was wrapped.
    pub fn into_inner(self) -> S {
        self.handler
    }

    /// A service of rmcp that records the requests it is given, for where rmcp wants one and [`serve`](Self::serve) does not do:
    /// `rmcp::serve_server_with_ct`. The connection is not watched then.
    pub fn into_service(self) -> InstrumentedService<S> {
        InstrumentedService {
            inner: self,
            wire: None,
        }
    }

    /// Hands a request to the handler, inside its span.
    pub(crate) async fn observe(
        &self,
        mut request: ClientRequest,
        context: RequestContext<RoleServer>,
        wire: Option<&Arc<Wire>>,
    ) -> Result<ServerResult, ErrorData> {
        let handling = self.begin(&mut request, &context, wire);
        let token = context.ct.clone();
        handling
            .follow(
                token,
                Service::handle_request(&self.handler, request, context),
                self.observer.cap(),
            )
            .await
    }

    /// Starts the record of a request, unless a layer above has.
    pub(crate) fn begin(
        &self,
        request: &mut ClientRequest,
        context: &RequestContext<RoleServer>,
        wire: Option<&Arc<Wire>>,
    ) -> Handling {
        let http = context.extensions.get::<Parts>();
        let passing = || Handling::Passing(sent(&context.meta, http));
        if !self.observer.is_on() {
            return passing();
        }
        let id = id_of(&context.id);
        if let Some(wire) = wire {
            let begun = wire.begin(&id, &context.extensions);
            return match begun {
                Some((key, around)) => Handling::Wire(Arc::clone(wire), key, around),
                // The connection did not read it, since nobody records, or there are too many.
                None => passing(),
            };
        }
        if let Some(observed) = http.and_then(|parts| parts.extensions.get::<Observed>())
            && let Some(around) = observed.context_of(&id)
        {
            return Handling::Layer(observed.clone(), id, around);
        }
        // Wrapped twice, it is one call.
        if Context::map_current(Current::of).is_some_and(|call| call.has_id(&id.to_string())) {
            return Handling::Unseen;
        }
        if self.observer.is_idle() {
            return passing();
        }
        let known = known(request, context, http);
        let carrier = match http {
            Some(parts) => Carrier::http_handled(parts, client_address(parts, &[])),
            None => Carrier::pipe(),
        };
        let cap = self.observer.cap();
        let call = with_meta(request, &context.meta, |request| {
            let head = asked(&context.id, request)?;
            let body = || body_of(request, cap);
            Call::start(&self.observer, SpanKind::Server, &head, &carrier, known, body)
        });
        call.map_or(Handling::Unseen, |call| Handling::Own(Box::new(call)))
    }
}

/// The context that a request was sent with.
fn sent(meta: &RequestMetaObject, http: Option<&Parts>) -> Context {
    let current = Context::current();
    if meta.0.0.is_empty() && http.is_none() {
        return current;
    }
    let around = Around {
        request: http
            .and_then(|parts| parts.extensions.get::<Context>().cloned())
            .unwrap_or(current),
        connection: Context::new(),
        sent: http.map_or_else(Sent::default, |parts| Sent::in_headers(&parts.headers)),
    };
    let meta = serde_json::Value::Object(meta.0.0.clone());
    around.parent(Some(&meta), around.sent.span.as_ref()).0
}

/// What rmcp knows of a request besides what it says.
fn known(
    request: &ClientRequest,
    context: &RequestContext<RoleServer>,
    http: Option<&Parts>,
) -> Vec<KeyValue> {
    let header = |name| text(&http?.headers, name);
    let (version, client) = match request {
        // The version in force is the server's answer, which is read from the result.
        ClientRequest::InitializeRequest(request) => (None, Some(request.params.client_info.clone())),
        // rmcp makes up a handshake for a request that arrives by HTTP outside a session. Only what the
        // request itself says is true then.
        _ if http.is_some() && header(SESSION_HEADER).is_none() => {
            let version = context.meta.protocol_version().map(|version| version.to_string());
            (
                version.or_else(|| header(VERSION_HEADER)),
                context.meta.client_info(),
            )
        }
        _ => (
            context.protocol_version().map(|version| version.to_string()),
            context.client_info(),
        ),
    };
    let is_stateless = |version: &String| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str();
    // Since 2026-07-28 there are no sessions, whatever a client still sends.
    let session = header(SESSION_HEADER).filter(|_| !version.as_ref().is_some_and(is_stateless));
    let mut known = Vec::new();
    let mut push = |key: &'static str, value: Option<String>| {
        known.extend(value.map(|value| KeyValue::new(key, value)));
    };
    push(semconv::MCP_PROTOCOL_VERSION, version);
    push(semconv::MCP_SESSION_ID, session);
    if let Some(Implementation { name, version, .. }) = client {
        push(semconv::MCP_CLIENT_NAME, Some(name));
        push(semconv::MCP_CLIENT_VERSION, Some(version));
    }
    known
}

impl Handling {
    /// Runs `handling` inside the span, and ends the span with the answer.
    ///
    /// `handling` is never stopped and its answer never changed. The span of a cancelled request ends with
    /// the answer or shortly after the cancellation, whichever comes first: its handler may never look at the
    /// token. A panic is recorded after the process's panic hook has seen it, and answered with an internal error,
    /// so that the client does not wait for ever.
    pub(crate) async fn follow<F>(
        mut self,
        token: CancellationToken,
        handling: F,
        cap: usize,
    ) -> Result<ServerResult, ErrorData>
    where
        F: Future<Output = Result<ServerResult, ErrorData>>,
    {
        let context = match &self {
            Self::Own(call) => call.context(),
            Self::Layer(_, _, context) | Self::Wire(_, _, context) | Self::Passing(context) => {
                context.clone()
            }
            Self::Unseen => Context::current(),
        };
        let span = Current::of(&context).map_or_else(tracing::Span::none, |call| call.span().clone());
        let handling = AssertUnwindSafe(handling).catch_unwind().with_context(context);
        let mut handling = pin!(handling.instrument(span));
        let given_up = async {
            token.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let answer = tokio::select! {
            biased;
            answer = &mut handling => answer,
            () = given_up => {
                self.cancel();
                handling.await
            }
        };
        match answer {
            Ok(mut answer) => {
                self.answered(&mut answer, token.is_cancelled(), cap);
                answer
            }
            Err(panic) => Err(self.panicked(panic.as_ref())),
        }
    }

    fn cancel(&mut self) {
        match std::mem::replace(self, Self::Unseen) {
            Self::Own(call) => call.end_as(Ending::cancelled(None)),
            Self::Wire(wire, key, _) => wire.gave_up(key),
            Self::Layer(..) | Self::Passing(_) | Self::Unseen => {}
        }
    }

    fn answered(self, answer: &mut Result<ServerResult, ErrorData>, cancelled: bool, cap: usize) {
        match self {
            Self::Own(call) => {
                if cancelled {
                    call.set([KeyValue::new(semconv::OUTCOME, semconv::CANCELLED)]);
                }
                let Some(keeps_body) = call.reads_answer(&[]) else {
                    return call.end_as(Ending::over());
                };
                let answer = answer.as_mut().map_err(|error| &*error);
                if let Some(said) = answered(answer, keeps_body.then_some(cap)) {
                    call.answered(&said);
                }
            }
            // rmcp sends no answer to what was cancelled.
            Self::Wire(wire, key, _) if cancelled => wire.answered_in_vain(key, answer),
            Self::Wire(..) | Self::Layer(..) | Self::Passing(_) | Self::Unseen => {}
        }
    }

    /// Records a panic, and makes the answer to the client.
    fn panicked(self, panic: &(dyn Any + Send)) -> ErrorData {
        let said = said_by(panic);
        let error = ErrorData::internal_error("the server's handler panicked", None);
        match self {
            Self::Own(mut call) => {
                call.panicked(said);
                if let Some(answer) = answered(Err(&error), Some(usize::MAX)) {
                    call.answered(&answer);
                }
            }
            Self::Layer(observed, id, _) => observed.panicked(&id, said),
            Self::Wire(wire, key, _) => wire.panicked(key, said),
            Self::Passing(_) | Self::Unseen => {}
        }
        error
    }
}

/// An [`Instrumented`] handler or service as a service of rmcp: the outermost place at which a connection's requests can
/// be seen.
#[derive(Debug)]
pub struct InstrumentedService<S> {
    inner: Instrumented<S>,
    /// The connection, where that is watched.
    wire: Option<Arc<Wire>>,
}

impl<S: Service<RoleServer>> InstrumentedService<S> {
    /// The handler or service that is wrapped: of a server that runs, `running.service().inner()`.
    pub fn inner(&self) -> &S {
        self.inner.inner()
    }
}

impl<S: Service<RoleServer>> Service<RoleServer> for InstrumentedService<S> {
    async fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        self.inner.observe(request, context, self.wire.as_ref()).await
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.inner
            .handler
            .handle_notification(notification, context)
            .await
    }

    fn get_info(&self) -> ServerConfig {
        Service::get_info(&self.inner.handler)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Service::supported_protocol_versions(&self.inner.handler)
    }
}
