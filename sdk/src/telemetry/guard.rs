//! Telemetry set up from the standard variables, and taken down without loss.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

use super::error::Error;
use super::ids::Ids;
use super::layer;
use super::ledger::Stats;
use super::line::Line;
use super::naming::Naming;
use super::resource::Environment;
use super::settings::{Settings, SpoolSettings, variable};
use super::signal::Signal;
use crate::capture::{self, Capture};
use crate::recorder::{end_open_spans, set_global_logger};

/// Telemetry to be started: [`init`] and [`connect`] with everything that can be chosen.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before it is started"]
pub struct Telemetry {
    service_name: String,
    is_default_name: bool,
    endpoint: Option<String>,
    api_key: Option<HeaderValue>,
    attributes: Vec<KeyValue>,
    spool: SpoolChoice,
    capture: Option<Capture>,
    is_global: bool,
}

#[derive(Clone, Debug)]
enum SpoolChoice {
    Environment,
    Directory(PathBuf, u64),
    Memory,
}

/// Telemetry that runs for as long as this is kept. Dropping it sends what is left, as
/// [`shutdown`](Self::shutdown) does.
#[derive(Debug)]
#[must_use = "telemetry ends when the guard is dropped"]
pub struct Guard {
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
    /// None when both signals are switched off.
    line: Option<Line>,
    has_given_name: bool,
    sends_every_span: bool,
    capture: Arc<Capture>,
    is_global: bool,
    is_done: AtomicBool,
}

/// Sends spans and log records to an OTLP collector, and makes that the global tracer provider and the one that
/// [`log_layer`](crate::log_layer) writes to.
///
/// `service_name` is the server's name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` has another.
/// The variables of the OpenTelemetry specification are obeyed: `OTEL_SDK_DISABLED`,
/// `OTEL_TRACES_EXPORTER=none`, `OTEL_LOGS_EXPORTER=none`, `OTEL_EXPORTER_OTLP_*` (endpoint, protocol, headers,
/// timeout, compression, certificate), `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`. Without them everything is sampled, and
/// sent as `http/protobuf` in gzip to `127.0.0.1:4318`. Works inside a tokio runtime of any kind and without one.
///
/// What may be recorded is said by `MCPTAP_CAPTURE` and its kin: see [`Capture::from_env`].
///
/// While the collector is away, what is recorded is kept on disk, below `MCPTAP_SPOOL_DIR` (without that, below
/// `mcptap/spool` in the user's state directory), in `MCPTAP_SPOOL_BYTES` at most (64 MiB for all processes
/// together; `0` or `off` for memory only), and delivered later in order, if need be by a later process.
///
/// # Errors
/// A variable with a value that makes no sense; the server can go on without telemetry.
pub fn init(service_name: impl Into<String>) -> Result<Guard, Error> {
    let mut telemetry = Telemetry::from_env(service_name);
    telemetry.is_global = true;
    telemetry.start()
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
    Telemetry::from_env(service_name)
        .service_name_is_default(false)
        .endpoint(endpoint)
        .start()
}

// === impl Telemetry ===

impl Telemetry {
    /// As the variables of the environment say, without touching anything global. `service_name` is a default.
    pub fn from_env(service_name: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            is_default_name: true,
            endpoint: None,
            api_key: None,
            attributes: Vec::new(),
            spool: SpoolChoice::Environment,
            capture: None,
            is_global: false,
        }
    }

    /// Whether the service name gives way to `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; it does unless told
    /// otherwise.
    pub fn service_name_is_default(mut self, is_default: bool) -> Self {
        self.is_default_name = is_default;
        self
    }

    /// Adds attributes to the resource, which is who the telemetry is from.
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// Sends to this base URL, by OTLP over HTTP, whatever the variables say.
    pub fn endpoint(mut self, base_url: impl Into<String>) -> Self {
        self.endpoint = Some(base_url.into());
        self
    }

    /// Shows this API key to the collector, as `x-api-key`.
    ///
    /// # Errors
    /// It has characters that no header may have.
    pub fn api_key(mut self, secret: &str) -> Result<Self, Error> {
        let mut key = HeaderValue::try_from(secret).map_err(|_| Error::ApiKey)?;
        key.set_sensitive(true);
        self.api_key = Some(key);
        Ok(self)
    }

    /// Keeps what the collector does not take in this directory, `bytes` at most, whatever the variables say. Other
    /// processes may use the same.
    pub fn spool(mut self, directory: impl Into<PathBuf>, bytes: u64) -> Self {
        self.spool = SpoolChoice::Directory(directory.into(), bytes);
        self
    }

    /// Records no more than this, whatever the variables say.
    pub fn capture(mut self, capture: Capture) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Keeps what the collector does not take in memory only.
    pub fn in_memory(mut self) -> Self {
        self.spool = SpoolChoice::Memory;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`init`].
    pub fn start(self) -> Result<Guard, Error> {
        let mut settings = Settings::from_env(self.endpoint.as_deref())?;
        let capture = match self.capture {
            Some(capture) => capture,
            None => Capture::from_env()?,
        };
        match self.spool {
            SpoolChoice::Environment => {}
            SpoolChoice::Directory(directory, bytes) => {
                settings.spool = Some(SpoolSettings { directory, bytes });
            }
            SpoolChoice::Memory => settings.spool = None,
        }
        settings.api_key = self.api_key;
        let environment = Environment::read();
        let has_given_name = !self.is_default_name || environment.names_service();
        let resource = environment.resource(self.service_name, self.is_default_name, self.attributes);
        let has = |signal| settings.targets.of(signal).is_some();
        let (has_traces, has_logs) = (has(Signal::Traces), has(Signal::Logs));
        let line = if has_traces || has_logs {
            Some(Line::start(settings, &resource, capture.redactor.clone())?)
        } else {
            None
        };
        let mut tracers = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_id_generator(Ids::default());
        let mut loggers = SdkLoggerProvider::builder().with_resource(resource);
        if let Some(line) = &line {
            if has_traces {
                tracers = tracers.with_span_processor(line.intake());
            }
            if has_logs {
                loggers = loggers.with_log_processor(line.intake());
            }
        }
        let sampler = variable("OTEL_TRACES_SAMPLER");
        let samples_all = sampler
            .as_deref()
            .is_none_or(|name| matches!(name, "always_on" | "parentbased_always_on"));
        if sampler.is_none() {
            // The default asks the parent, so that a client which does not sample would hide its calls.
            tracers = tracers.with_sampler(Sampler::AlwaysOn);
        }
        let guard = Guard {
            tracers: tracers.build(),
            loggers: loggers.build(),
            line,
            has_given_name,
            sends_every_span: has_traces && samples_all,
            capture: Arc::new(capture),
            is_global: self.is_global,
            is_done: AtomicBool::new(false),
        };
        if guard.is_global {
            global::set_tracer_provider(guard.tracers.clone());
            layer::set_global(&guard.loggers);
            set_global_logger(&guard.loggers);
            capture::set_global(&guard.capture);
        }
        Ok(guard)
    }
}

// === impl Guard ===

impl Guard {
    /// The tracer provider, for [`instrument_with`](crate::instrument_with) and for spans of one's own.
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.tracers
    }

    /// The logger provider, for [`log_layer_with`](crate::log_layer_with) and for log records of one's own.
    pub fn logger_provider(&self) -> &SdkLoggerProvider {
        &self.loggers
    }

    /// What may be recorded.
    pub(crate) fn capture(&self) -> &Arc<Capture> {
        &self.capture
    }

    /// The name of the service, to be told when it is learned; none where somebody gave it one.
    pub(crate) fn naming(&self) -> Option<Naming> {
        let line = self.line.as_ref().filter(|_| !self.has_given_name)?;
        Some(line.naming().clone())
    }

    /// Whether somebody gave the service its name: `OTEL_SERVICE_NAME`, `service.name` in
    /// `OTEL_RESOURCE_ATTRIBUTES`, or an argument that is no default.
    pub fn service_name_was_given(&self) -> bool {
        self.has_given_name
    }

    /// Whether every span is sent that has no parent: none is left out by a sampler, and spans are switched on.
    pub fn sends_every_span(&self) -> bool {
        self.sends_every_span
    }

    /// The URL that spans are sent to, or log records where spans are switched off; without credentials. None where telemetry
    /// is switched off.
    pub fn collector(&self) -> Option<&str> {
        self.line.as_ref()?.collector()
    }

    /// What became of everything that was recorded so far; all zero when telemetry is switched off.
    pub fn stats(&self) -> Stats {
        self.line.as_ref().map(Line::stats).unwrap_or_default()
    }

    /// Sends what is left, and stops telemetry. After [`init`] that includes the spans of requests still
    /// being handled. Blocks for about 5 seconds at most, and only while the collector answers: if it does not, what
    /// is left stays on disk, and a later process sends it. A second call does nothing.
    ///
    /// # Errors
    /// [`Error::Lost`] when records were neither taken nor kept on disk.
    pub fn shutdown(&self) -> Result<(), Error> {
        if self.is_done.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        if self.is_global {
            end_open_spans();
        }
        let stopped = self.line.as_ref().map_or(Ok(()), Line::stop);
        // Everything is done already; spans from now on cost nothing.
        let _ = self.tracers.shutdown_with_timeout(Duration::ZERO);
        let _ = self.loggers.shutdown_with_timeout(Duration::ZERO);
        stopped
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.shutdown() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "telemetry did not end well"
            );
        }
    }
}
