//! Telemetry set up from the standard variables, and taken down without loss.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mcptap_model::semconv;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler, SdkTracerProvider,
};
use tokio::runtime::Runtime;

use crate::recorder::end_open_spans;
use crate::retry::{Closing, Retrying};

/// Where mcptap listens unless told otherwise.
const HTTP_ENDPOINT: &str = "http://127.0.0.1:4318/v1/traces";
/// What OTLP over HTTP puts after the base URL, for spans.
const TRACES_PATH: &str = "/v1/traces";
const GRPC_ENDPOINT: &str = "http://127.0.0.1:4317";
/// How long finished spans wait for company. Shorter than OpenTelemetry's 5 s, so that a feed of calls feels
/// live and a process that is killed loses little.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long a process that exits waits for its last spans to be taken.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// How long the exporter's thread may take to end after that.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// What can go wrong with telemetry. None of it needs to stop a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An `OTEL_EXPORTER_OTLP_*` variable is wrong: an endpoint that is no URL, a compression nobody knows.
    #[error("the OTLP exporter could not be set up")]
    Exporter(#[from] ExporterBuildError),
    /// `OTEL_EXPORTER_OTLP_PROTOCOL` names a protocol that this SDK does not speak.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is {0:?}; http/protobuf and grpc are spoken")]
    Protocol(String),
    /// The endpoint is `https`, and this SDK is built without TLS. A collector on the same machine, or a proxy
    /// there, can carry the spans on.
    #[error("the OTLP endpoint is https, which needs TLS, and this SDK is built without")]
    Tls,
    /// The thread that gRPC runs on could not be started.
    #[error("the thread for OTLP over gRPC could not be started")]
    Runtime(#[source] std::io::Error),
    /// The last spans were not taken in time.
    #[error("the last spans could not be sent")]
    Flush(#[source] OTelSdkError),
}

/// Telemetry that runs for as long as this is kept. Dropping it sends what is left, as
/// [`shutdown`](Self::shutdown) does.
#[derive(Debug)]
#[must_use = "telemetry ends when the guard is dropped"]
pub struct Guard {
    provider: SdkTracerProvider,
    closing: Arc<Closing>,
    is_global: bool,
    is_done: AtomicBool,
}

/// Sends spans to an OTLP collector, and makes that the global tracer provider.
///
/// `service_name` is the server's name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` has another.
/// The variables of the OpenTelemetry specification are obeyed: `OTEL_SDK_DISABLED`,
/// `OTEL_TRACES_EXPORTER=none`, `OTEL_EXPORTER_OTLP_*` (endpoint, protocol, headers, timeout, compression),
/// `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`. Without them everything is sampled, and sent as `http/protobuf` to
/// `127.0.0.1:4318`. Works inside a tokio runtime of any kind and without one.
///
/// # Errors
/// A variable with a value that makes no sense; the server can go on without telemetry.
pub fn init(service_name: impl Into<String>) -> Result<Guard, Error> {
    let mut guard = if is_disabled() {
        Guard::new(SdkTracerProvider::builder().build(), Arc::default())
    } else {
        start(exporter()?, resource(service_name.into()))
    };
    guard.is_global = true;
    global::set_tracer_provider(guard.provider.clone());
    Ok(guard)
}

/// Sends spans to the collector at `endpoint` (a base URL for OTLP over HTTP, `http://127.0.0.1:4318` for
/// example) through a tracer provider of its own, for [`instrument_with`](crate::instrument_with). Nothing
/// global is touched, so that several servers in one process can each have their own.
///
/// The arguments win over the variables that say the same; the others are obeyed as by [`init`].
///
/// # Errors
/// As [`init`].
pub fn connect(service_name: impl Into<String>, endpoint: &str) -> Result<Guard, Error> {
    without_tls(endpoint)?;
    let endpoint = format!("{}{TRACES_PATH}", endpoint.trim_end_matches('/'));
    let resource = Resource::builder()
        .with_service_name(service_name.into())
        .with_attribute(KeyValue::new(semconv::SERVICE_INSTANCE_ID, instance_id()))
        .build();
    Ok(start((http_exporter(Some(endpoint))?, None), resource))
}

fn start((exporter, runtime): (SpanExporter, Option<Runtime>), resource: Resource) -> Guard {
    let closing = Arc::new(Closing::default());
    let mut batches = BatchConfigBuilder::default();
    if !is_set("OTEL_BSP_SCHEDULE_DELAY") {
        batches = batches.with_scheduled_delay(BATCH_DELAY);
    }
    let processor = BatchSpanProcessor::builder(Retrying::new(exporter, Arc::clone(&closing), runtime))
        .with_batch_config(batches.build())
        .build();
    let mut provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(processor);
    if !is_set("OTEL_TRACES_SAMPLER") {
        // The default asks the parent, so that a client which does not sample would hide its calls.
        provider = provider.with_sampler(Sampler::AlwaysOn);
    }
    Guard::new(provider.build(), closing)
}

impl Guard {
    fn new(provider: SdkTracerProvider, closing: Arc<Closing>) -> Self {
        Self {
            provider,
            closing,
            is_global: false,
            is_done: AtomicBool::new(false),
        }
    }

    /// The tracer provider, for [`instrument_with`](crate::instrument_with) and for spans of one's own.
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// Sends what is left, and stops telemetry. After [`init`] that includes the spans of requests still
    /// being handled. Blocks for 5 seconds at most; a second call does nothing.
    ///
    /// # Errors
    /// [`Error::Flush`] when the collector took not everything in time.
    pub fn shutdown(&self) -> Result<(), Error> {
        if self.is_done.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let started = Instant::now();
        if self.is_global {
            end_open_spans();
        }
        self.closing.begin(FLUSH_LIMIT);
        // Flushed first because the processor does not say how the last export of its shutdown went.
        let flushed = self.provider.force_flush();
        let left = FLUSH_LIMIT.saturating_sub(started.elapsed()).max(LEAST_WAIT);
        let stopped = self.provider.shutdown_with_timeout(left);
        flushed.and(stopped).map_err(Error::Flush)
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

/// An empty variable counts as unset, as the specification says.
fn is_set(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| !value.trim().is_empty())
}

fn is_disabled() -> bool {
    let is =
        |variable, value: &str| env::var(variable).is_ok_and(|set| set.trim().eq_ignore_ascii_case(value));
    is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none")
}

/// The endpoint that the environment names.
fn endpoint() -> Option<String> {
    [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]
    .into_iter()
    .find_map(|variable| env::var(variable).ok().filter(|value| !value.trim().is_empty()))
}

/// The HTTP client would only fail at each export, and say no more than that it did.
fn without_tls(endpoint: &str) -> Result<(), Error> {
    if endpoint.trim().to_ascii_lowercase().starts_with("https:") {
        return Err(Error::Tls);
    }
    Ok(())
}

fn exporter() -> Result<(SpanExporter, Option<Runtime>), Error> {
    let endpoint = endpoint();
    if let Some(endpoint) = &endpoint {
        without_tls(endpoint)?;
    }
    let protocol = [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ]
    .into_iter()
    .find_map(|variable| env::var(variable).ok().filter(|value| !value.trim().is_empty()));
    match protocol.as_deref().map(str::trim) {
        None | Some("http/protobuf") => {
            let endpoint = endpoint.is_none().then(|| HTTP_ENDPOINT.to_owned());
            Ok((http_exporter(endpoint)?, None))
        }
        Some("grpc") => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("mcptap-otlp")
                .enable_all()
                .build()
                .map_err(Error::Runtime)?;
            let mut builder = SpanExporter::builder().with_tonic();
            if endpoint.is_none() {
                builder = builder.with_endpoint(GRPC_ENDPOINT);
            }
            let exporter = {
                let _entered = runtime.enter();
                builder.build()
            };
            match exporter {
                Ok(exporter) => Ok((exporter, Some(runtime))),
                Err(error) => {
                    runtime.shutdown_background();
                    Err(error.into())
                }
            }
        }
        Some(other) => Err(Error::Protocol(other.to_owned())),
    }
}

fn http_exporter(endpoint: Option<String>) -> Result<SpanExporter, Error> {
    let mut builder = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(builder.build()?)
}

fn resource(service_name: String) -> Resource {
    let environment = EnvResourceDetector::new().detect();
    let has = |key: &'static str| environment.get(&key.into()).is_some();
    let mut resource = Resource::builder();
    if !is_set("OTEL_SERVICE_NAME") && !has(semconv::SERVICE_NAME) {
        resource = resource.with_service_name(service_name);
    }
    if !has(semconv::SERVICE_INSTANCE_ID) {
        resource = resource.with_attribute(KeyValue::new(semconv::SERVICE_INSTANCE_ID, instance_id()));
    }
    resource
        .with_attribute(KeyValue::new(semconv::PROCESS_PID, i64::from(std::process::id())))
        .build()
}

/// A random UUID (version 4), from the generator of trace ids.
fn instance_id() -> String {
    let random = u128::from_be_bytes(RandomIdGenerator::default().new_trace_id().to_bytes());
    let uuid = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{uuid:032x}");
    let mut grouped = String::with_capacity(36);
    for (at, digit) in text.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            grouped.push('-');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::{Error, connect, instance_id};

    #[test]
    fn an_endpoint_that_needs_tls_is_refused_at_once() {
        assert!(matches!(
            connect("shop", "https://127.0.0.1:4318"),
            Err(Error::Tls)
        ));
    }

    #[test]
    fn an_instance_id_is_a_random_uuid() {
        let (one, other) = (instance_id(), instance_id());
        assert_ne!(one, other);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(one.chars().nth(14), Some('4'));
        assert!(
            one.chars()
                .nth(19)
                .is_some_and(|variant| "89ab".contains(variant))
        );
    }
}
