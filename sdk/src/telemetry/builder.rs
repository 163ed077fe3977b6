//! Telemetry to be started: what the variables say, and what was said in code.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Span, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{InstrumentationScope, Key, KeyValue, Value, global};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, ShouldSample};

use super::error::Error;
use super::guard::Guard;
use super::ids::Ids;
#[cfg(feature = "logs")]
use super::layer;
use super::line::Line;
use super::notice::warn;
use super::propagation;
use super::resource::Environment;
use super::sampling;
use super::settings::{Choices, Compression, Protocol, Settings, SpoolSettings};
use super::signal::Signal;
use crate::capture::Capture;
use crate::recorder::{self, Destination, Home};

/// Telemetry to be started, with everything that can be chosen: what is not chosen here the variables of the environment
/// say. See [`init`] for those.
///
/// ```no_run
/// # fn run(key: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let _telemetry = mcptap_sdk::Telemetry::builder("shop")
///     .endpoint("https://tap.example")
///     .api_key(key)
///     .attribute("team", "checkout")
///     .capture(mcptap_sdk::Capture::full().deny_tools(["get_secret*"]))
///     .install()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before it is started"]
pub struct Telemetry {
    service_name: String,
    is_default_name: bool,
    choices: Choices,
    /// The first choice that cannot be kept.
    mistake: Option<Error>,
    attributes: Vec<KeyValue>,
    capture: Option<Capture>,
    sampler: Option<Box<dyn ShouldSample>>,
    propagator: Option<Box<dyn TextMapPropagator + Send + Sync>>,
}

/// Sends spans and log records to an OTLP collector, and makes that the telemetry of the process: what
/// [`instrument`](crate::instrument), [`layer`](crate::layer) and [`log_layer`](crate::log_layer) see goes there, and so do
/// spans of the application's own, unless it has a global tracer provider already, which stays.
///
/// `service_name` is the server's name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` has another.
/// The variables of the OpenTelemetry specification are obeyed: `OTEL_SDK_DISABLED`,
/// `OTEL_TRACES_EXPORTER`, `OTEL_LOGS_EXPORTER` (`otlp` or `none`), `OTEL_EXPORTER_OTLP_*` (endpoint, protocol, headers,
/// timeout, compression, certificate), `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_BLRP_*` and `OTEL_PROPAGATORS`
/// (`tracecontext`, `baggage`, `none`). A value that is unknown or not offered is warned of and ignored, as the specification
/// says. Without them everything is sampled, and
/// sent as `http/protobuf` in gzip to `127.0.0.1:4318`. Spans and log records share one queue: where both
/// `OTEL_BSP_` and `OTEL_BLRP_` say how large it is and how long it waits, the larger size and the shorter time hold.
/// Works inside a tokio runtime of any kind and without one.
///
/// What may be recorded is said by `MCPTAP_CAPTURE` and its kin: see [`Capture::from_env`].
///
/// While the collector is away, what is recorded is kept on disk, below `MCPTAP_SPOOL_DIR` (without that, below
/// `mcptap/spool` in the user's state directory), in `MCPTAP_SPOOL_BYTES` at most (64 MiB for all processes
/// together; `0` or `off` for memory only), and delivered later in order, if need be by a later process.
///
/// # Errors
/// A variable with a value that makes no sense, or [`Error::Installed`]; the server can go on without telemetry.
pub fn init(service_name: impl Into<String>) -> Result<Guard, Error> {
    Telemetry::builder(service_name).install()
}

/// Sends spans and log records to the collector at `endpoint` (a base URL for OTLP over HTTP,
/// `http://127.0.0.1:4318` for example) through providers of its own, for
/// [`instrument_with`](crate::instrument_with). Nothing global is touched, so that several servers in one process
/// can each have their own.
///
/// The arguments win over the variables that say the same, also over those that switch telemetry off; the others are
/// obeyed as by [`init`].
///
/// # Errors
/// As [`init`].
pub fn connect(service_name: impl Into<String>, endpoint: &str) -> Result<Guard, Error> {
    Telemetry::builder(service_name)
        .service_name_is_default(false)
        .endpoint(endpoint)
        .start()
}

impl Telemetry {
    /// As the variables of the environment say, where nothing else is said here. `service_name` is a default.
    pub fn builder(service_name: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            is_default_name: true,
            choices: Choices::default(),
            mistake: None,
            attributes: Vec::new(),
            capture: None,
            sampler: None,
            propagator: None,
        }
    }

    /// Whether the service name gives way to `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; it does unless told
    /// otherwise.
    pub fn service_name_is_default(mut self, is_default: bool) -> Self {
        self.is_default_name = is_default;
        self
    }

    /// Adds an attribute to the resource, which is who the telemetry is from.
    pub fn attribute(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Adds attributes to the resource.
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// Sends to this base URL, whatever the variables say, also those that switch telemetry off. By OTLP over HTTP, unless
    /// another [`protocol`](Self::protocol) is chosen.
    pub fn endpoint(mut self, base_url: impl Into<String>) -> Self {
        self.choices.endpoint = Some(base_url.into());
        self
    }

    /// Speaks this protocol to the collector.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.choices.protocol = Some(protocol);
        self
    }

    /// Compresses requests so.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.choices.compression = Some(compression);
        self
    }

    /// Sends this header with each request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.choices.headers.insert(name, value);
            }
            _ => {
                self.mistake.get_or_insert(Error::Header(name.to_owned()));
            }
        }
        self
    }

    /// Shows this API key to the collector, as `x-api-key`.
    pub fn api_key(mut self, secret: &str) -> Self {
        match HeaderValue::try_from(secret) {
            Ok(mut key) => {
                key.set_sensitive(true);
                self.choices
                    .headers
                    .insert(HeaderName::from_static("x-api-key"), key);
            }
            Err(_) => {
                self.mistake.get_or_insert(Error::ApiKey);
            }
        }
        self
    }

    /// How long the collector may take to answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.choices.timeout = Some(timeout);
        self
    }

    /// Trusts the certificates in this file (PEM) besides those that the system trusts.
    pub fn certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.choices.certificate = Some(path.into());
        self
    }

    /// Which spans are sent; all of them, unless something else is said.
    pub fn sampler(mut self, sampler: impl ShouldSample + 'static) -> Self {
        self.sampler = Some(Box::new(sampler));
        self
    }

    /// How [`install`](Self::install) has contexts written into requests of the application, and read from them.
    pub fn propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.propagator = Some(Box::new(propagator));
        self
    }

    /// Sends no spans.
    pub fn without_spans(mut self) -> Self {
        *self.choices.is_off.of_mut(Signal::Traces) = true;
        self
    }

    /// Sends no log records: no console output, and no word of calls that run.
    pub fn without_logs(mut self) -> Self {
        *self.choices.is_off.of_mut(Signal::Logs) = true;
        self
    }

    /// How many records may wait to be sent.
    pub fn queue(mut self, records: usize) -> Self {
        self.choices.queue = Some(records);
        self
    }

    /// How many records one request holds at most.
    pub fn batch(mut self, records: usize) -> Self {
        self.choices.batch = Some(records);
        self
    }

    /// How long a record waits for others to be sent with.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.choices.delay = Some(delay);
        self
    }

    /// Keeps what the collector does not take in this directory, `bytes` at most, whatever the variables say. Other
    /// processes may use the same.
    pub fn spool(mut self, directory: impl Into<PathBuf>, bytes: u64) -> Self {
        let directory = directory.into();
        self.choices.spool = Some(Some(SpoolSettings { directory, bytes }));
        self
    }

    /// Keeps what the collector does not take in memory only.
    pub fn in_memory(mut self) -> Self {
        self.choices.spool = Some(None);
        self
    }

    /// Records no more than this, whatever the variables say.
    pub fn capture(mut self, capture: Capture) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Starts it for the process: [`init`] with what was chosen. Sets the global propagator, too, unless the application has
    /// one.
    ///
    /// # Errors
    /// As [`init`].
    pub fn install(mut self) -> Result<Guard, Error> {
        let propagator = self.propagator.take();
        let guard = self.start()?;
        recorder::install(&guard.destination()).map_err(|_| Error::Installed)?;
        #[cfg(feature = "logs")]
        layer::set_global(&guard);
        if application_has_provider() {
            warn(format_args!(
                "the application's global tracer provider stays: its own spans go on to where it sends them, and only MCP \
                 requests to the telemetry that is installed now; to send both to both, give the application's provider \
                 Guard::span_processor and start telemetry by Telemetry::start"
            ));
        } else {
            global::set_tracer_provider(OurProvider(guard.tracer_provider().clone()));
        }
        propagation::set_global(propagator);
        Ok(guard)
    }

    /// Starts it with providers of its own, for [`instrument_with`](crate::instrument_with) and
    /// [`Guard::span_processor`]. Nothing global is touched.
    ///
    /// # Errors
    /// A choice or a variable with a value that makes no sense.
    pub fn start(self) -> Result<Guard, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let settings = Settings::read(self.choices)?;
        let capture = match self.capture {
            Some(capture) => capture,
            None => Capture::from_env()?,
        };
        let environment = Environment::read();
        let has_given_name = !self.is_default_name || environment.names_service();
        let resource = environment.resource(self.service_name, self.is_default_name, self.attributes);
        let has = |signal| settings.targets.of(signal).is_some();
        let (has_traces, has_logs) = (has(Signal::Traces), has(Signal::Logs));
        let line = if has_traces || has_logs {
            Some(Line::start(settings, &resource, &capture)?)
        } else {
            None
        };
        let mut loggers = SdkLoggerProvider::builder().with_resource(resource.clone());
        if let Some(line) = line.as_ref().filter(|_| has_logs) {
            loggers = loggers.with_log_processor(line.log_intake(&capture));
        }
        let loggers = loggers.build();
        let home = Home::new(&loggers, capture, line.is_none());
        let mut tracers = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_id_generator(Ids::default());
        if let Some(line) = line.as_ref().filter(|_| has_traces) {
            tracers = tracers.with_span_processor(line.span_intake(&home));
        }
        let (sampler, samples_all) = sampling::choose(self.sampler);
        let tracers = tracers.with_sampler(sampler).build();
        Ok(Guard::new(
            Destination::own(&tracers, &home),
            home,
            tracers,
            loggers,
            line.map(|line| (line, has_traces, has_logs)),
            has_given_name,
            has_traces && samples_all,
        ))
    }
}

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// A provider of ours as the global one. It tells that it is asked for a tracer, since the global one does not tell whose it is.
#[derive(Debug)]
struct OurProvider(SdkTracerProvider);

impl TracerProvider for OurProvider {
    type Tracer = SdkTracer;

    fn tracer_with_scope(&self, scope: InstrumentationScope) -> SdkTracer {
        ASKED.set(true);
        self.0.tracer_with_scope(scope)
    }
}

/// Whose the global tracer provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Global {
    Nobodys,
    Ours,
    Applications,
}

/// Whether the application has set a global tracer provider.
fn application_has_provider() -> bool {
    Global::now() == Global::Applications
}

/// Whether there is a global tracer provider.
pub(crate) fn has_global_provider() -> bool {
    Global::now() != Global::Nobodys
}

impl Global {
    /// The present one. No span is begun that anybody would see.
    fn now() -> Self {
        let (trace, span) = (TraceId::from(1), SpanId::from(1));
        let above = SpanContext::new(trace, span, TraceFlags::NOT_SAMPLED, true, TraceState::NONE);
        let quiet = opentelemetry::Context::new()
            .with_remote_span_context(above)
            .with_telemetry_suppressed();
        ASKED.set(false);
        let tracer = global::tracer(env!("CARGO_PKG_NAME"));
        if ASKED.take() {
            return Self::Ours;
        }
        // Without a provider the parent is passed on; one of the SDK begins nothing where telemetry is suppressed.
        let span = tracer.build_with_context(tracer.span_builder(""), &quiet);
        if span.span_context().is_valid() {
            Self::Nobodys
        } else {
            Self::Applications
        }
    }
}
