//! How traffic is watched: where its records go, and what may be in them.

use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::capture::Capture;
use crate::layer::TrafficLayer;
use crate::observer::Observer;
use crate::pipe::Pipe;
use crate::recorder::Recorder;

/// Says where records go and what may be in them; [`layer`](Watch::layer) or [`pipe`](Watch::pipe) then watch.
#[derive(Clone, Debug)]
pub struct Watch {
    observer: Observer,
}

impl Watch {
    /// Records go to the global providers, those of [`init`](crate::init) for example.
    pub fn global() -> Self {
        Self {
            observer: Observer::new(Recorder::Global, Capture::default()),
        }
    }

    /// Records go through given providers, those of a [`Guard`](crate::Guard) for example; without one for logs there
    /// is no console output.
    pub fn through(tracers: &SdkTracerProvider, loggers: Option<&SdkLoggerProvider>) -> Self {
        Self {
            observer: Observer::new(Recorder::given(tracers, loggers), Capture::default()),
        }
    }

    /// What may be recorded; without it everything, with the built-in rules against secrets.
    #[must_use]
    pub fn capture(mut self, capture: Capture) -> Self {
        self.observer = self.observer.with(capture);
        self
    }

    /// Records carry the name that the server gives itself (`serverInfo.name`), as soon as it says one.
    #[must_use]
    pub fn server_names_itself(mut self) -> Self {
        self.observer = self.observer.learning_the_name();
        self
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
