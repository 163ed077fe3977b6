//! Where a span came from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The resource and the instrumentation scope of a span. Shared by all spans of one exporter, stored once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// `service.name`, unless it is the SDK's `unknown_service` default.
    pub service: Option<String>,
    /// `service.instance.id`; without it `process.pid` at `host.id` or `host.name`.
    pub instance: Option<String>,
    /// The name of the instrumentation scope; empty when it has none.
    pub scope: String,
    /// The version of the instrumentation scope.
    pub scope_version: Option<String>,
    /// All attributes of the resource.
    pub resource: Map<String, Value>,
}

impl Origin {
    /// The process, as far as it is known: the instance, else the service, else nothing.
    pub fn process(&self) -> &str {
        self.instance
            .as_deref()
            .or(self.service.as_deref())
            .unwrap_or_default()
    }

    /// Whether two spans come from the same running service. Instances decide where both are known.
    pub fn same_service(&self, other: &Self) -> bool {
        self.service == other.service
            && match (&self.instance, &other.instance) {
                (Some(one), Some(two)) => one == two,
                _ => true,
            }
    }
}

/// OTLP `SpanKind`. It says how the sender saw the span; it does not decide who handled the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpanKind {
    /// Not given, or inside one service.
    #[default]
    Internal,
    /// Handles a request.
    Server,
    /// Sends a request.
    Client,
    /// Sends to a broker.
    Producer,
    /// Receives from a broker.
    Consumer,
}

impl SpanKind {
    /// From OTLP's number; unknown numbers are internal.
    pub fn from_otlp(kind: i32) -> Self {
        match kind {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }

    /// OTLP's number.
    pub fn as_otlp(self) -> i32 {
        match self {
            Self::Internal => 1,
            Self::Server => 2,
            Self::Client => 3,
            Self::Producer => 4,
            Self::Consumer => 5,
        }
    }
}
