//! The variables of the environment that say how telemetry leaves, read once.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use opentelemetry_otlp::Compression;

use super::error::Error;
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

/// How telemetry leaves.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// None for a signal that is switched off.
    pub(super) targets: Lanes<Option<Target>>,
    pub(super) limits: Limits,
    /// The most records in one request.
    pub(super) batch_records: usize,
    /// None keeps everything in memory.
    pub(super) spool: Option<SpoolSettings>,
    /// Shown to the collector besides the headers that the variables name.
    pub(super) api_key: Option<HeaderValue>,
}

/// A variable's value; an empty one counts as unset, as the specification says.
pub(super) fn variable(name: &str) -> Option<String> {
    let value = env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

// === impl Settings ===

impl Settings {
    /// Reads the variables. `endpoint` is the base URL for OTLP over HTTP that wins over them, if any.
    pub(super) fn from_env(endpoint: Option<&str>) -> Result<Self, Error> {
        let mut targets = Lanes::default();
        for signal in Signal::ALL {
            let is_off = endpoint.is_none() && is_off(signal);
            *targets.of_mut(signal) = if is_off {
                None
            } else {
                Some(Target::of(signal, endpoint)?)
            };
        }
        Ok(Self {
            targets,
            limits: Limits {
                bytes: QUEUE_BYTES,
                records: number("OTEL_BSP_MAX_QUEUE_SIZE").map_or(QUEUE_RECORDS, count),
                linger: number("OTEL_BSP_SCHEDULE_DELAY").map_or(LINGER, Duration::from_millis),
            },
            batch_records: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
                .map_or(BATCH_RECORDS, count)
                .max(1),
            spool: spool()?,
            api_key: None,
        })
    }
}

/// Every mistake in the variables that [`init`](super::init) would fail on. Nothing is started.
pub fn check_env() -> Vec<Error> {
    let mut mistakes: Vec<Error> = Vec::new();
    let targets = Signal::ALL.iter().filter(|signal| !is_off(**signal));
    for mistake in targets.filter_map(|signal| Target::of(*signal, None).err()) {
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

fn is_off(signal: Signal) -> bool {
    let is = |name, value: &str| variable(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
    let exporter = match signal {
        Signal::Traces => "OTEL_TRACES_EXPORTER",
        Signal::Logs => "OTEL_LOGS_EXPORTER",
    };
    is("OTEL_SDK_DISABLED", "true") || is(exporter, "none")
}

// === impl Target ===

impl Target {
    fn of(signal: Signal, endpoint: Option<&str>) -> Result<Self, Error> {
        // The one for the signal wins over the general one.
        let either = |what: &str| {
            let own = match signal {
                Signal::Traces => "TRACES_",
                Signal::Logs => "LOGS_",
            };
            variable(&format!("OTEL_EXPORTER_OTLP_{own}{what}"))
                .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{what}")))
        };
        let is_grpc = match endpoint.map_or_else(|| either("PROTOCOL"), |_| None).as_deref() {
            None | Some("http/protobuf") => false,
            Some("grpc") => true,
            Some(other) => return Err(Error::Protocol(other.to_owned())),
        };
        let endpoint = match (endpoint, is_grpc) {
            (Some(base), _) => Some(format!("{}{}", base.trim_end_matches('/'), signal.http_path())),
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
            timeout: either("TIMEOUT")
                .and_then(|value| value.parse().ok())
                .map_or(TIMEOUT, Duration::from_millis),
            // Bodies are texts, which compress well, and reverse proxies limit the size of requests.
            compression: either("COMPRESSION").is_none().then_some(Compression::Gzip),
            certificate: either("CERTIFICATE").map(PathBuf::from),
        })
    }
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
        tracing::warn!("{name} is {value:?}, which is no number, and is ignored");
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
