//! How traffic is watched: where its records go, and what may be in them.

#[cfg(feature = "metrics")]
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
#[cfg(feature = "rmcp")]
use rmcp::{RoleServer, Service};

use crate::capture::Capture;
#[cfg(feature = "http")]
use crate::layer::TrafficLayer;
#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::pipe::Pipe;
use crate::recorder::Recorder;
#[cfg(feature = "rmcp")]
use crate::service::Instrumented;
use crate::telemetry::{Guard, Naming};

/// Says where records go and what may be in them; [`layer`](Watch::layer) or [`instrument_with`](crate::instrument_with) then watch.
///
/// Secrets are cut out whichever way it is: a provider of the application is given nothing that has any.
#[derive(Clone, Debug)]
pub struct Watch {
    pub(crate) observer: Observer,
    /// The name of the service, where it can still be learned.
    naming: Option<Naming>,
}

impl Watch {
    /// Records go where those of the process go: to the telemetry of [`init`](crate::init), else to the application's global
    /// provider.
    pub fn global() -> Self {
        Self::of(Recorder::default(), None)
    }

    /// Records go the way of a guard, and hold what its [`Capture`] allows.
    pub fn with(guard: &Guard) -> Self {
        Self::of(Recorder::own(guard.destination()), guard.naming())
    }

    #[doc(hidden)]
    /// As [`with`](Self::with), for who watches a server from outside its process: what the server itself tells of a request
    /// is then taken for the same request.
    pub fn outside(guard: &Guard) -> Self {
        Self::of(Recorder::own(guard.outside()), guard.naming())
    }

    /// Records go through providers of the application; without one for logs there is no console output. They hold what the
    /// telemetry of the process allows ([`init`](crate::init), or a guard whose
    /// [processor](Guard::span_processor) joined), else what the environment says.
    pub fn through(tracers: &SdkTracerProvider, loggers: Option<&SdkLoggerProvider>) -> Self {
        Self::of(Recorder::given(tracers, loggers), None)
    }

    fn of(recorder: Recorder, naming: Option<Naming>) -> Self {
        Self {
            observer: Observer::new(recorder),
            naming,
        }
    }

    /// Records are spans of their own, in the provider that was given, whatever the application's layer makes of the span
    /// `mcp.call`.
    ///
    /// Where an application sends spans of `tracing` to OpenTelemetry, the span that its layer makes of a call is the call's, so that there
    /// are not two. Nothing tells one provider of an application from another, so it is said here that the layer's is another than the one
    /// that was given to [`through`](Self::through). The providers of guards are known.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.observer = self.observer.apart();
        self
    }

    /// What may be recorded, in place of what would hold otherwise. A guard that sends the records allows no more than it
    /// does by itself.
    #[must_use]
    pub fn capture(mut self, capture: Capture) -> Self {
        self.observer = self.observer.with(capture);
        self
    }

    /// The name of the server on its records (`mcp.server.name`), where one process has several; the service keeps its own.
    /// mcptap shows the call under this name.
    ///
    /// ```no_run
    /// # use mcptap_sdk::Watch;
    /// # fn run(orders: impl rmcp::Service<rmcp::RoleServer>, stock: impl rmcp::Service<rmcp::RoleServer>) {
    /// let orders = mcptap_sdk::instrument_with(orders, Watch::global().server_name("orders"));
    /// let stock = mcptap_sdk::instrument_with(stock, Watch::global().server_name("stock"));
    /// # }
    /// ```
    #[must_use]
    pub fn server_name(mut self, name: impl AsRef<str>) -> Self {
        self.observer = self.observer.of_server(name.as_ref());
        self
    }

    /// Gives durations to this meter provider in place of the global one: the histograms `mcp.server.operation.duration` of requests
    /// and `mcp.server.session.duration` of sessions, both in seconds, with the bounds and attributes of OpenTelemetry's
    /// conventions for MCP.
    ///
    /// Requests are measured whether a span is recorded of them or not, also those of excluded and sampled methods; under
    /// [`Capture::off`] nothing is. A session is measured that began with `initialize` and whose end was seen: of a
    /// connection, or, under [`layer`](Watch::layer), by `DELETE` or as unknown to the server. Secrets are cut out of attributes. Tools are named
    /// by clients: a meter provider bounds how many combinations of attributes it keeps.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(mut self, provider: &impl MeterProvider) -> Self {
        self.observer = self.observer.measured_by(Metrics::of(provider));
        self
    }

    #[doc(hidden)]
    /// Records carry the name that the server gives itself (`serverInfo.name`), as soon as it says one. With a [`Guard`] whose
    /// service was given no name it is that of the service too, so that log lines and heartbeats are of the same server.
    #[must_use]
    pub fn server_names_itself(mut self) -> Self {
        self.observer = self.observer.learning_the_name(self.naming.clone());
        self
    }

    #[cfg(feature = "rmcp")]
    /// Wraps an rmcp handler or service, as [`instrument`](crate::instrument).
    pub fn instrument<S: Service<RoleServer>>(self, handler: S) -> Instrumented<S> {
        Instrumented {
            handler,
            observer: self.observer,
        }
    }

    /// A layer for an HTTP server.
    #[cfg(feature = "http")]
    pub fn layer(self) -> TrafficLayer {
        TrafficLayer::new(self.observer)
    }

    /// A recorder for a process that speaks MCP over its standard input and output.
    #[doc(hidden)]
    pub fn pipe(self) -> Pipe {
        Pipe::new(self.observer)
    }
}

impl From<&Guard> for Watch {
    fn from(guard: &Guard) -> Self {
        Self::with(guard)
    }
}

impl From<&SdkTracerProvider> for Watch {
    fn from(tracers: &SdkTracerProvider) -> Self {
        Self::through(tracers, None)
    }
}
