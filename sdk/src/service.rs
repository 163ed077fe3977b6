//! The wrapper around a server's handler.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::request::Parts;
use mcptap_model::semconv;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracerProvider;
use rmcp::model::{
    ClientNotification, ClientRequest, ErrorData, GetMeta, Implementation, ProtocolVersion, RequestId,
    RequestMetaObject, ServerConfig, ServerResult,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, ServerInitializeError, ServiceExt};
use rmcp::transport::IntoTransport;
use rmcp::{RoleServer, ServerHandler, Service};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::capture;
use crate::jsonrpc::{Id, Message};
use crate::layer::{Observed, client_address};
use crate::observer::{Call, Carrier, Observer, SESSION_HEADER, VERSION_HEADER, text};
use crate::recorder::Recorder;
use crate::span::Ending;

/// How long a handler may take to answer after its request was cancelled and still have the answer on the
/// span. The handler itself is never stopped: that is its own business and rmcp's.
const GRACE: Duration = Duration::from_millis(250);

/// Wraps an rmcp handler so that every request it handles becomes a span of the global tracer provider.
///
/// The provider that [`init`](crate::init) installs, or any other; without one nothing is recorded and
/// nothing breaks. The result is a handler itself, and goes wherever the handler went: `.serve(stdio())`,
/// `StreamableHttpService::new`.
pub fn instrument<H: ServerHandler>(handler: H) -> Instrumented<H> {
    Instrumented {
        handler,
        observer: Observer::global(),
    }
}

/// [`instrument`] with a tracer provider of one's own in place of the global one.
pub fn instrument_with<H: ServerHandler>(handler: H, provider: &SdkTracerProvider) -> Instrumented<H> {
    Instrumented {
        handler,
        observer: Observer::new(Recorder::given(provider, None), capture::global().capture, false),
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

/// A request as it was on the wire.
#[derive(Serialize)]
struct Asked<'a> {
    id: &'a RequestId,
    #[serde(flatten)]
    request: &'a ClientRequest,
}

/// An answer as it will be on the wire.
#[derive(Serialize)]
struct Answered<'a> {
    id: u8,
    #[serde(flatten)]
    answer: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Result(&'a ServerResult),
    Error(&'a ErrorData),
}

/// How a request that is being handled is recorded.
pub(crate) enum Handling {
    /// By a span of this handler's own.
    Own(Box<Call>),
    /// By a layer above, which sees it on the wire.
    Layer(Observed, Id, Context),
    /// Not at all.
    Unseen,
}

impl<H: ServerHandler> Instrumented<H> {
    /// Serves over one connection, stdio for example.
    ///
    /// Shadows [`ServiceExt::serve`], which would work as well but would not see the requests that rmcp
    /// itself refuses (a protocol version the server does not speak, a `ping` where there is none any more).
    ///
    /// # Errors
    /// As [`ServiceExt::serve`]: the connection ended, or the first message opened no lifecycle.
    pub async fn serve<T, E, A>(
        self,
        transport: T,
    ) -> Result<RunningService<RoleServer, InstrumentedService<H>>, Box<ServerInitializeError>>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        ServiceExt::serve(InstrumentedService(self), transport)
            .await
            .map_err(Box::new)
    }

    /// Hands a request to the handler, inside its span.
    pub(crate) async fn observe(
        &self,
        mut request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let handling = self.begin(&mut request, &context);
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
    ) -> Handling {
        if !self.observer.is_on() {
            return Handling::Unseen;
        }
        let http = context.extensions.get::<Parts>();
        let id = match &context.id {
            RequestId::Number(number) => Id::number(&number.to_string()),
            RequestId::String(text) => Id::Text(text.to_string()),
        };
        if let Some(observed) = http.and_then(|parts| parts.extensions.get::<Observed>())
            && let Some(around) = observed.context_of(&id)
        {
            return Handling::Layer(observed.clone(), id, around);
        }
        let known = known(request, context, http);
        let carrier = match http {
            Some(parts) => Carrier::http_handled(parts, client_address(parts, &[])),
            None => Carrier::pipe(),
        };
        let message = with_meta(request, &context.meta, |request| {
            Message::of(
                &Asked {
                    id: &context.id,
                    request,
                },
                self.observer.cap(),
            )
        });
        message
            .and_then(|message| Call::start(&self.observer, SpanKind::Server, &message, &carrier, known))
            .map_or(Handling::Unseen, |call| Handling::Own(Box::new(call)))
    }
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
            Self::Layer(_, _, context) => context.clone(),
            Self::Unseen => Context::current(),
        };
        let mut handling = pin!(AssertUnwindSafe(handling).catch_unwind().with_context(context));
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
            Ok(answer) => {
                self.answered(&answer, token.is_cancelled(), cap);
                answer
            }
            Err(panic) => Err(self.panicked(panic.as_ref())),
        }
    }

    fn cancel(&mut self) {
        if let Self::Own(call) = std::mem::replace(self, Self::Unseen) {
            call.end_as(Ending::cancelled(None));
        }
    }

    fn answered(self, answer: &Result<ServerResult, ErrorData>, cancelled: bool, cap: usize) {
        let Self::Own(call) = self else { return };
        if cancelled {
            call.set([KeyValue::new(semconv::OUTCOME, semconv::CANCELLED)]);
        }
        if let Some(answer) = answer_of(answer, cap) {
            call.answered(&answer);
        }
    }

    /// Records a panic, and makes the answer to the client.
    fn panicked(self, panic: &(dyn Any + Send)) -> ErrorData {
        let said = panic
            .downcast_ref::<&str>()
            .map(|said| (*said).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        let error = ErrorData::internal_error("the server's handler panicked", None);
        match self {
            Self::Own(mut call) => {
                call.panicked(said);
                if let Some(answer) = answer_of(&Err(error.clone()), usize::MAX) {
                    call.answered(&answer);
                }
            }
            Self::Layer(observed, id, _) => observed.panicked(&id, said),
            Self::Unseen => {}
        }
        error
    }
}

fn answer_of(answer: &Result<ServerResult, ErrorData>, cap: usize) -> Option<Message> {
    let answer = match answer {
        Ok(result) => Outcome::Result(result),
        Err(error) => Outcome::Error(error),
    };
    Message::of(&Answered { id: 0, answer }, cap)
}

/// An [`Instrumented`] handler as a service of rmcp: the outermost place at which a connection's requests can
/// be seen.
#[derive(Debug)]
pub struct InstrumentedService<H>(Instrumented<H>);

impl<H: ServerHandler> Service<RoleServer> for InstrumentedService<H> {
    async fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        self.0.observe(request, context).await
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Service::handle_notification(&self.0.handler, notification, context).await
    }

    fn get_info(&self) -> ServerConfig {
        ServerHandler::get_info(&self.0.handler)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        ServerHandler::supported_protocol_versions(&self.0.handler)
    }
}
