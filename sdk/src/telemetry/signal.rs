//! The two kinds of telemetry that leave the process, each on a lane of its own: a collector that takes spans and
//! refuses logs must not hold up the spans.

/// What a parcel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signal {
    Traces,
    Logs,
}

/// Something for each signal.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes<T> {
    traces: T,
    logs: T,
}

impl Signal {
    pub(super) const ALL: [Self; 2] = [Self::Traces, Self::Logs];

    /// As it stands in names of files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// What OTLP over HTTP puts after the base URL.
    pub(super) fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }

    /// The method of OTLP over gRPC.
    pub(super) fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}

impl<T> Lanes<T> {
    pub(super) fn new(mut make: impl FnMut(Signal) -> T) -> Self {
        Self {
            traces: make(Signal::Traces),
            logs: make(Signal::Logs),
        }
    }

    pub(super) fn of(&self, signal: Signal) -> &T {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Logs => &self.logs,
        }
    }

    pub(super) fn of_mut(&mut self, signal: Signal) -> &mut T {
        match signal {
            Signal::Traces => &mut self.traces,
            Signal::Logs => &mut self.logs,
        }
    }
}
