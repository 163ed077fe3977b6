//! How traffic is watched: where its records go, and what may be in them.

use std::sync::Arc;

use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rmcp::{RoleServer, Service};

use crate::capture::{self, Capture};
use crate::layer::TrafficLayer;
use crate::observer::Observer;
use crate::pipe::Pipe;
use crate::recorder::Recorder;
use crate::service::Instrumented;
use crate::telemetry::{Guard, Naming};

/// Says where records go and what may be in them; [`layer`](Watch::layer) or [`pipe`](Watch::pipe) then watch.
#[derive(Clone, Debug)]
pub struct Watch {
    observer: Observer,
    /// The name of the service, where it can still be learned.
    naming: Option<Naming>,
}

impl Watch {
    /// Records go to the global providers, those of [`init`](crate::init) for example.
    pub fn global() -> Self {
        Self {
            observer: Observer::global(),
            naming: None,
        }
    }

    /// Records go the way of a guard, and hold what its [`Capture`] allows.
    pub fn with(guard: &Guard) -> Self {
        let recorder = Recorder::given(guard.tracer_provider(), Some(guard.logger_provider()));
        Self {
            observer: Observer::new(recorder, Arc::clone(guard.capture()), true),
            naming: guard.naming(),
        }
    }

    /// As [`with`](Self::with), for who watches a server from outside its process: what the server itself tells of a request
    /// is then taken for the same request.
    pub fn outside(guard: &Guard) -> Self {
        let recorder = Recorder::outside(guard.tracer_provider(), guard.logger_provider());
        Self {
            observer: Observer::new(recorder, Arc::clone(guard.capture()), true),
            naming: guard.naming(),
        }
    }

    /// Records go through providers of one's own; without one for logs there is no console output.
    pub fn through(tracers: &SdkTracerProvider, loggers: Option<&SdkLoggerProvider>) -> Self {
        let recorder = Recorder::given(tracers, loggers);
        Self {
            observer: Observer::new(recorder, capture::global().capture, false),
            naming: None,
        }
    }

    /// What may be recorded; without it what the environment says, and without that everything but secrets.
    #[must_use]
    pub fn capture(mut self, capture: Capture) -> Self {
        self.observer = self.observer.with(capture);
        self
    }

    /// Records carry the name that the server gives itself (`serverInfo.name`), as soon as it says one. With a [`Guard`] whose
    /// service was given no name it is that of the service too, so that log lines and heartbeats are of the same server.
    #[must_use]
    pub fn server_names_itself(mut self) -> Self {
        self.observer = self.observer.learning_the_name(self.naming.clone());
        self
    }

    /// Wraps an rmcp handler or service, as [`instrument`](crate::instrument).
    pub fn instrument<S: Service<RoleServer>>(self, handler: S) -> Instrumented<S> {
        Instrumented {
            handler,
            observer: self.observer,
        }
    }

    /// A layer for an HTTP server.
    pub fn layer(self) -> TrafficLayer {
        TrafficLayer::new(self.observer)
    }

    /// A recorder for a process that speaks MCP over its standard input and output.
    pub fn pipe(self) -> Pipe {
        Pipe::new(self.observer)
    }
}
