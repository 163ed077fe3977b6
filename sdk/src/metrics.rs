//! How long requests and sessions take, as the conventions of OpenTelemetry for MCP have it: histograms of the application's
//! meter provider. They know every request, also those that no span is recorded of.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use mcptap_model::semconv;
use opentelemetry::metrics::{Histogram, Meter, MeterProvider};
use opentelemetry::{KeyValue, global};

use crate::recorder::{Rules, scope};
use crate::span::Ending;

const OPERATION: &str = "mcp.server.operation.duration";
const SESSION: &str = "mcp.server.session.duration";

/// The bounds of the conventions, in seconds.
const BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// The attributes of a request's span that its duration has: nothing that has as many values as there are requests,
/// sessions or clients.
const OF_OPERATION: [&str; 8] = [
    semconv::MCP_METHOD_NAME,
    semconv::GEN_AI_TOOL_NAME,
    semconv::GEN_AI_PROMPT_NAME,
    semconv::GEN_AI_OPERATION_NAME,
    semconv::MCP_PROTOCOL_VERSION,
    semconv::NETWORK_TRANSPORT,
    semconv::NETWORK_PROTOCOL_NAME,
    semconv::NETWORK_PROTOCOL_VERSION,
];
/// What the end adds.
const OF_ENDING: [&str; 3] = [
    semconv::ERROR_TYPE,
    semconv::RPC_RESPONSE_STATUS_CODE,
    semconv::MCP_PROTOCOL_VERSION,
];
/// The attributes of a session's duration.
const OF_SESSION: [&str; 4] = [
    semconv::MCP_PROTOCOL_VERSION,
    semconv::NETWORK_TRANSPORT,
    semconv::NETWORK_PROTOCOL_NAME,
    semconv::NETWORK_PROTOCOL_VERSION,
];

/// Where durations go: to a provider that was given, else to the global one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Option<Arc<Instruments>>);

struct Instruments {
    operation: Histogram<f64>,
    session: Histogram<f64>,
}

impl fmt::Debug for Instruments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Instruments").finish_non_exhaustive()
    }
}

impl Instruments {
    fn of(meter: &Meter) -> Arc<Self> {
        let histogram = |name, description| {
            let builder = meter.f64_histogram(name).with_unit("s");
            let builder = builder.with_description(description);
            builder.with_boundaries(BOUNDS.into()).build()
        };
        Arc::new(Self {
            operation: histogram(
                OPERATION,
                "The duration of the MCP request as observed on the receiver.",
            ),
            session: histogram(
                SESSION,
                "The duration of the MCP session as observed on the MCP server.",
            ),
        })
    }
}

type Provider = Arc<dyn MeterProvider + Send + Sync>;

/// The instruments of the global provider, and which that was: the application may set it after its server has begun.
static GLOBAL: RwLock<Option<(Provider, Arc<Instruments>)>> = RwLock::new(None);

fn of_global() -> Arc<Instruments> {
    let provider = global::meter_provider();
    let is_same = |known: &Provider| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(&provider));
    if let Some((known, instruments)) = &*GLOBAL.read().unwrap_or_else(PoisonError::into_inner)
        && is_same(known)
    {
        return Arc::clone(instruments);
    }
    let instruments = Instruments::of(&provider.meter_with_scope(scope()));
    *GLOBAL.write().unwrap_or_else(PoisonError::into_inner) = Some((provider, Arc::clone(&instruments)));
    instruments
}

impl Metrics {
    pub(crate) fn of(provider: &dyn MeterProvider) -> Self {
        Self(Some(Instruments::of(&provider.meter_with_scope(scope()))))
    }

    fn instruments(&self) -> Arc<Instruments> {
        self.0.clone().unwrap_or_else(of_global)
    }

    /// Whether anybody may take durations.
    pub(crate) fn may_measure(&self) -> bool {
        // The one that does nothing, which is the global one until another is set, has no state either.
        self.0.is_some() || size_of_val(&*global::meter_provider()) > 0
    }

    /// A request begins that has these attributes.
    pub(crate) fn operation(&self, attributes: &[KeyValue]) -> Measure {
        Measure {
            metrics: self.clone(),
            since: Instant::now(),
            at: SystemTime::now(),
            attributes: among(attributes, &OF_OPERATION),
        }
    }

    /// A session begins with a handshake that came this way.
    pub(crate) fn session(&self, attributes: &[KeyValue]) -> Measure {
        Measure {
            metrics: self.clone(),
            since: Instant::now(),
            at: SystemTime::now(),
            attributes: among(attributes, &OF_SESSION),
        }
    }
}

/// A request or a session that lasts.
#[derive(Debug)]
pub(crate) struct Measure {
    metrics: Metrics,
    since: Instant,
    at: SystemTime,
    attributes: Vec<KeyValue>,
}

impl Measure {
    /// The request ended so: now, or at the time when it was over.
    pub(crate) fn operated(mut self, ending: &Ending, over: Option<SystemTime>, rules: &Rules) {
        for known in among(&ending.attributes, &OF_ENDING) {
            self.attributes.retain(|before| before.key != known.key);
            self.attributes.push(known);
        }
        rules.redaction.attributes(&mut self.attributes);
        let until_then = over.map(|over| over.duration_since(self.at).unwrap_or_default());
        let lasted = until_then.unwrap_or_else(|| self.since.elapsed());
        let instruments = self.metrics.instruments();
        instruments
            .operation
            .record(lasted.as_secs_f64(), &self.attributes);
    }

    /// The session ended, which spoke this version.
    pub(crate) fn closed(mut self, version: &str, rules: &Rules) {
        let version = version.to_owned();
        self.attributes
            .push(KeyValue::new(semconv::MCP_PROTOCOL_VERSION, version));
        rules.redaction.attributes(&mut self.attributes);
        let lasted = self.since.elapsed();
        let instruments = self.metrics.instruments();
        instruments.session.record(lasted.as_secs_f64(), &self.attributes);
    }
}

fn among(attributes: &[KeyValue], names: &[&str]) -> Vec<KeyValue> {
    let named = attributes
        .iter()
        .filter(|known| names.contains(&known.key.as_str()));
    named.cloned().collect()
}
