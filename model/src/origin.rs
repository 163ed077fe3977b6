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
    /// A text that tells the process from others, as far as it is known: by service and instance, since an instance's id is
    /// unique only within its service. Empty where neither is known.
    pub fn process(&self) -> String {
        if self.service.is_none() && self.instance.is_none() {
            return String::new();
        }
        let service = self.service.as_deref().unwrap_or_default();
        let instance = self.instance.as_deref().unwrap_or_default();
        // The length keeps a service apart whose name goes on with what is another's instance.
        format!("{}:{service}{instance}", service.len())
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_process_is_a_service_and_its_instance() {
        let process = |service: Option<&str>, instance: Option<&str>| {
            let origin = Origin {
                service: service.map(str::to_owned),
                instance: instance.map(str::to_owned),
                ..Origin::default()
            };
            origin.process()
        };
        let all = [
            (None, None),
            (Some("a"), None),
            (None, Some("a")),
            (Some("a"), Some("a")),
            (Some("a"), Some("b")),
            (Some("b"), Some("a")),
            (Some("ab"), None),
            (None, Some("ab")),
            (Some("a"), Some("1:a")),
            (Some("1:a"), Some("a")),
        ];
        let told: HashSet<String> = all
            .iter()
            .map(|(service, instance)| process(*service, *instance))
            .collect();
        assert_eq!(told.len(), all.len(), "{told:?}");
        assert!(process(None, None).is_empty());
    }
}
