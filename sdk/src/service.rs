//! The wrapper around a server's handler.

use std::borrow::Cow;
use std::fmt;

use opentelemetry_sdk::trace::SdkTracerProvider;
use rmcp::model::{
    ClientNotification, ClientRequest, ErrorData, ProtocolVersion, ServerConfig, ServerResult,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, ServerInitializeError, ServiceExt};
use rmcp::transport::IntoTransport;
use rmcp::{RoleServer, ServerHandler, Service};

use crate::recorder::Recorder;

/// Wraps an rmcp handler so that every request it handles becomes a span of the global tracer provider.
///
/// The provider that [`init`](crate::init) installs, or any other; without one nothing is recorded and
/// nothing breaks. The result is a handler itself, and goes wherever the handler went: `.serve(stdio())`,
/// `StreamableHttpService::new`.
pub fn instrument<H: ServerHandler>(handler: H) -> Instrumented<H> {
    Instrumented {
        handler,
        recorder: Recorder::Global,
    }
}

/// [`instrument`] with a tracer provider of one's own in place of the global one.
pub fn instrument_with<H: ServerHandler>(handler: H, provider: &SdkTracerProvider) -> Instrumented<H> {
    Instrumented {
        handler,
        recorder: Recorder::given(provider),
    }
}

/// A handler whose requests become spans. Made by [`instrument`] and [`instrument_with`].
#[derive(Clone)]
pub struct Instrumented<H> {
    pub(crate) handler: H,
    pub(crate) recorder: Recorder,
}

impl<H> fmt::Debug for Instrumented<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Instrumented").finish_non_exhaustive()
    }
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
        let call = self.recorder.start(&mut request, &context);
        let token = context.ct.clone();
        let handling = Service::handle_request(&self.handler, request, context);
        call.follow(token, handling).await
    }
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
