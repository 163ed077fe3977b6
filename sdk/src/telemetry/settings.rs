//! How telemetry leaves: what was chosen in code, else what the variables of the environment say, read once.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;

use super::error::Error;
use super::notice::warn;
use super::queue::Limits;
use super::signal::{Lanes, Signal};

/// Where mcptap listens unless told otherwise.
const HTTP_ENDPOINT: &str = "http://127.0.0.1:4318";
const GRPC_ENDPOINT: &str = "http://127.0.0.1:4317";
/// How long records wait for company. Far shorter than OpenTelemetry's 5 s, so that a feed of calls feels live
/// and a process that is killed loses little.
const LINGER: Duration = Duration::from_millis(100);
/// How much may wait to be encoded.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
const QUEUE_RECORDS: usize = 65_536;
const BATCH_RECORDS: usize = 512;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much all processes of this user together may keep on disk.
const SPOOL_BYTES: u64 = 64 * 1024 * 1024;

/// Where one signal goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// None leaves it to the official exporter to read the variables.
    pub(super) endpoint: Option<String>,
    pub(super) is_grpc: bool,
    /// How long the collector may take to answer.
    pub(super) timeout: Duration,
    /// None leaves it to the official exporter to read the variables.
    pub(super) compression: Option<Compression>,
    /// Certificates to trust besides those of the system, in PEM.
    pub(super) certificate: Option<PathBuf>,
}

/// Where records are kept while the collector is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpoolSettings {
    pub(super) directory: PathBuf,
    /// For the whole directory.
    pub(super) bytes: u64,
}

/// A protocol of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// OTLP over HTTP, in protobuf.
    HttpProtobuf,
    /// OTLP over gRPC.
    Grpc,
}

/// How requests to the collector are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

/// What was chosen in code, which wins over the variables.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// The base URL.
    pub(super) endpoint: Option<String>,
    pub(super) protocol: Option<Protocol>,
    pub(super) compression: Option<Compression>,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Option<Duration>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) is_off: Lanes<bool>,
    /// Records that may wait.
    pub(super) queue: Option<usize>,
    /// Records in one request.
    pub(super) batch: Option<usize>,
    pub(super) delay: Option<Duration>,
    /// `Some(None)`: in memory only.
    pub(super) spool: Option<Option<SpoolSettings>>,
}

/// How telemetry leaves.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// None for a signal that is switched off.
    pub(super) targets: Lanes<Option<Target>>,
    pub(super) limits: Limits,
    /// The most records in one request.
    pub(super) batch_records: Lanes<usize>,
    /// None keeps everything in memory.
    pub(super) spool: Option<SpoolSettings>,
    /// Shown to the collector besides the headers that the variables name.
    pub(super) headers: HeaderMap,
}

/// A variable's value; an empty one counts as unset, as the specification says.
pub(super) fn variable(name: &str) -> Option<String> {
    let value = env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

// === impl Settings ===

impl Settings {
    /// Reads the variables, where nothing was chosen.
    pub(super) fn read(choices: Choices) -> Result<Self, Error> {
        let mut targets = Lanes::default();
        for signal in Signal::ALL {
            // An endpoint in code means that something is to be sent there.
            let is_off = *choices.is_off.of(signal) || (choices.endpoint.is_none() && is_off(signal));
            if choices.endpoint.is_none() {
                warn_of_exporter(signal);
            }
            *targets.of_mut(signal) = if is_off {
                None
            } else {
                Some(Target::of(signal, &choices)?)
            };
        }
        // Spans and log records share one queue.
        let either = |what: &str| Signal::ALL.map(|signal| number(&processor(signal, what)));
        let [span_queue, log_queue] = either("MAX_QUEUE_SIZE");
        let [span_delay, log_delay] = either("SCHEDULE_DELAY");
        let delay = [span_delay, log_delay].into_iter().flatten().min();
        Ok(Self {
            targets,
            limits: Limits {
                bytes: QUEUE_BYTES,
                records: choices
                    .queue
                    .or_else(|| span_queue.max(log_queue).map(count))
                    .unwrap_or(QUEUE_RECORDS),
                linger: choices
                    .delay
                    .or_else(|| delay.map(Duration::from_millis))
                    .unwrap_or(LINGER),
            },
            batch_records: Lanes::new(|signal| {
                let said = || number(&processor(signal, "MAX_EXPORT_BATCH_SIZE")).map(count);
                choices.batch.or_else(said).unwrap_or(BATCH_RECORDS).max(1)
            }),
            spool: match choices.spool {
                Some(chosen) => chosen,
                None => spool()?,
            },
            headers: choices.headers,
        })
    }
}

/// A variable of the batch processor of a signal.
fn processor(signal: Signal, what: &str) -> String {
    match signal {
        Signal::Traces => format!("OTEL_BSP_{what}"),
        Signal::Logs => format!("OTEL_BLRP_{what}"),
    }
}

/// Every mistake in the variables that [`init`](super::init) would fail on. Nothing is started.
pub fn check_env() -> Vec<Error> {
    let mut mistakes: Vec<Error> = Vec::new();
    let targets = Signal::ALL.iter().filter(|signal| !is_off(**signal));
    for mistake in targets.filter_map(|signal| Target::of(*signal, &Choices::default()).err()) {
        // Both signals mostly share their variables.
        if mistakes
            .iter()
            .all(|known| known.to_string() != mistake.to_string())
        {
            mistakes.push(mistake);
        }
    }
    mistakes.extend(spool().err());
    mistakes.extend(crate::Capture::mistakes().into_iter().map(Error::from));
    mistakes
}

fn exporter(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "OTEL_TRACES_EXPORTER",
        Signal::Logs => "OTEL_LOGS_EXPORTER",
    }
}

fn is_off(signal: Signal) -> bool {
    let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let named = variable(exporter(signal)).unwrap_or_default();
    is_disabled || exporters(&named).any(|name| name.eq_ignore_ascii_case("none"))
}

fn exporters(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// An exporter that is not offered is ignored, as the specification says, and never in silence: records go elsewhere than was
/// meant.
fn warn_of_exporter(signal: Signal) {
    let variable_name = exporter(signal);
    let named = variable(variable_name).unwrap_or_default();
    if let Some(unknown) = unknown_exporter(&named) {
        warn(format_args!(
            "{variable_name} names {unknown:?}, which is not offered and is ignored: otlp and none are; what is recorded is sent by \
             OTLP"
        ));
    }
}

fn unknown_exporter(list: &str) -> Option<&str> {
    let is_known = |name: &&str| {
        ["otlp", "none"]
            .into_iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    let is_off = exporters(list).any(|name| name.eq_ignore_ascii_case("none"));
    exporters(list).find(|name| !is_known(name)).filter(|_| !is_off)
}

// === impl Target ===

impl Target {
    fn of(signal: Signal, choices: &Choices) -> Result<Self, Error> {
        let endpoint = choices.endpoint.as_deref();
        // The one for the signal wins over the general one.
        let either = |what: &str| {
            let own = match signal {
                Signal::Traces => "TRACES_",
                Signal::Logs => "LOGS_",
            };
            variable(&format!("OTEL_EXPORTER_OTLP_{own}{what}"))
                .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{what}")))
        };
        let protocol = endpoint.map_or_else(|| either("PROTOCOL"), |_| None);
        let is_grpc = match (choices.protocol, protocol.as_deref()) {
            (Some(chosen), _) => chosen == Protocol::Grpc,
            (None, None | Some("http/protobuf")) => false,
            (None, Some("grpc")) => true,
            (None, Some(other)) => return Err(Error::Protocol(other.to_owned())),
        };
        if is_grpc && !cfg!(feature = "grpc") {
            return Err(Error::Feature("OTLP over gRPC", "grpc"));
        }
        let is_zstd = either("COMPRESSION").as_deref() == Some("zstd");
        if !cfg!(feature = "zstd")
            && choices
                .compression
                .map_or(is_zstd, |chosen| chosen == Compression::Zstd)
        {
            return Err(Error::Feature("compression by zstd", "zstd"));
        }
        let endpoint = match (endpoint, is_grpc) {
            (Some(base), true) => Some(grpc_url(base, None, signal)?),
            (Some(base), false) if !is_url(base) => return Err(Error::Endpoint(base.to_owned())),
            (Some(base), false) => Some(format!("{}{}", base.trim_end_matches('/'), signal.http_path())),
            (None, true) => {
                let endpoint = either("ENDPOINT").unwrap_or_else(|| GRPC_ENDPOINT.to_owned());
                Some(grpc_url(&endpoint, either("INSECURE").as_deref(), signal)?)
            }
            (None, false) if either("ENDPOINT").is_some() => None,
            (None, false) => Some(format!("{HTTP_ENDPOINT}{}", signal.http_path())),
        };
        Ok(Self {
            endpoint,
            is_grpc,
            timeout: choices.timeout.unwrap_or_else(|| {
                let timeout = either("TIMEOUT").and_then(|value| value.parse().ok());
                let timeout = timeout.map_or(TIMEOUT, Duration::from_millis);
                let processors = number(&processor(signal, "EXPORT_TIMEOUT"));
                processors.map_or(timeout, |most| timeout.min(Duration::from_millis(most)))
            }),
            // Bodies are texts, which compress well, and reverse proxies limit the size of requests.
            compression: choices
                .compression
                .or_else(|| either("COMPRESSION").is_none().then_some(Compression::Gzip)),
            certificate: choices
                .certificate
                .clone()
                .or_else(|| either("CERTIFICATE").map(PathBuf::from)),
        })
    }
}

/// Whether it is a URL that OTLP over HTTP can be sent to.
fn is_url(text: &str) -> bool {
    let is_ours = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    text.parse().is_ok_and(|uri| is_ours(&uri))
}

/// The URL of the method of OTLP over gRPC. The path of an endpoint means nothing there, and the scheme may be
/// missing.
fn grpc_url(endpoint: &str, insecure: Option<&str>, signal: Signal) -> Result<String, Error> {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or_else(|| {
        let is_insecure = insecure.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        (if is_insecure { "http" } else { "https" }, endpoint)
    });
    match rest.split('/').next() {
        Some(authority) if !authority.is_empty() => {
            Ok(format!("{scheme}://{authority}{}", signal.grpc_path()))
        }
        _ => Err(Error::Endpoint(endpoint.to_owned())),
    }
}

/// A number; what is none counts as unset, as the specification says.
fn number(name: &str) -> Option<u64> {
    let value = variable(name)?;
    let number = value.parse().ok();
    if number.is_none() {
        warn(format_args!(
            "{name} is {value:?}, which is no number, and is ignored"
        ));
    }
    number
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn spool() -> Result<Option<SpoolSettings>, Error> {
    let bytes = spool_bytes(variable("MCPTAP_SPOOL_BYTES"))?;
    let directory = variable("MCPTAP_SPOOL_DIR").map(PathBuf::from).or_else(|| {
        let state = variable("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        Some(
            state
                .or_else(|| Some(env::home_dir()?.join(".local/state")))?
                .join("mcptap/spool"),
        )
    });
    Ok(directory
        .filter(|_| bytes > 0)
        .map(|directory| SpoolSettings { directory, bytes }))
}

fn spool_bytes(value: Option<String>) -> Result<u64, Error> {
    let Some(value) = value else {
        return Ok(SPOOL_BYTES);
    };
    if value.eq_ignore_ascii_case("off") {
        return Ok(0);
    }
    let bytes = mcptap_model::bytes(&value).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or(Error::Setting {
        variable: "MCPTAP_SPOOL_BYTES",
        value,
        expected: "it is a number of bytes, or one with a unit such as 64MiB, or off",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_grpc_method() {
        let url = |endpoint, insecure| grpc_url(endpoint, insecure, Signal::Logs).unwrap();
        let path = Signal::Logs.grpc_path();
        assert_eq!(url("http://host:4317/", None), format!("http://host:4317{path}"));
        assert_eq!(url("https://host", None), format!("https://host{path}"));
        assert_eq!(url("host:4317", None), format!("https://host:4317{path}"));
        assert_eq!(url("host:4317", Some("TRUE")), format!("http://host:4317{path}"));
        assert!(grpc_url("http://", None, Signal::Logs).is_err());
    }

    #[test]
    fn an_exporter_that_is_not_offered_is_named() {
        assert_eq!(unknown_exporter("console"), Some("console"));
        assert_eq!(unknown_exporter("otlp, zipkin"), Some("zipkin"));
        assert_eq!(unknown_exporter(" OTLP,"), None);
        assert_eq!(unknown_exporter("none"), None);
        assert_eq!(unknown_exporter(""), None);
    }

    #[test]
    fn what_is_chosen_in_code_wins() {
        let choices = Choices {
            endpoint: Some("http://tap.example:4317".to_owned()),
            protocol: Some(Protocol::Grpc),
            compression: Some(Compression::None),
            timeout: Some(Duration::from_secs(3)),
            certificate: Some("/ca.pem".into()),
            queue: Some(7),
            batch: Some(0),
            delay: Some(Duration::from_secs(2)),
            spool: Some(None),
            is_off: Lanes::new(|signal| signal == Signal::Logs),
            ..Choices::default()
        };
        let settings = Settings::read(choices).unwrap();
        let target = settings.targets.of(Signal::Traces).as_ref().unwrap();
        let url = format!("http://tap.example:4317{}", Signal::Traces.grpc_path());
        assert_eq!(target.endpoint.as_deref(), Some(url.as_str()));
        assert!(target.is_grpc && target.compression == Some(Compression::None));
        assert_eq!(target.timeout, Duration::from_secs(3));
        assert_eq!(target.certificate.as_deref(), Some("/ca.pem".as_ref()));
        assert_eq!(
            (settings.limits.records, settings.limits.linger),
            (7, Duration::from_secs(2))
        );
        assert_eq!(*settings.batch_records.of(Signal::Traces), 1);
        assert!(settings.spool.is_none() && settings.targets.of(Signal::Logs).is_none());
    }

    #[test]
    fn the_spools_size() {
        let bytes = |value: &str| spool_bytes(Some(value.to_owned()));
        assert_eq!(spool_bytes(None).unwrap(), SPOOL_BYTES);
        assert_eq!(bytes("1000").unwrap(), 1000);
        assert_eq!((bytes("0").unwrap(), bytes("OFF").unwrap()), (0, 0));
        assert_eq!(bytes("64MB").unwrap(), SPOOL_BYTES);
        let error = bytes("a lot").unwrap_err().to_string();
        assert!(error.contains("a lot") && error.contains("64MiB"), "{error}");
    }
}
