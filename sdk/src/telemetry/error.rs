//! What can go wrong with telemetry.

use std::path::PathBuf;

use opentelemetry_otlp::ExporterBuildError;

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
    /// Something is asked for that this build of the SDK cannot do.
    #[error("{0} needs the feature {1:?} of mcptap-sdk, which is switched off")]
    Feature(&'static str, &'static str),
    /// The endpoint is no `http` or `https` URL.
    #[error(
        "the OTLP endpoint {0:?} is no URL such as http://127.0.0.1:4318 or https://collector.example:4318"
    )]
    Endpoint(String),
    /// The API key cannot be sent in a header.
    #[error("an API key of mcptap has letters, digits and _ alone")]
    ApiKey,
    /// A variable has a value that makes no sense.
    #[error("{variable} is {value:?}; {expected}")]
    Setting {
        /// The variable's name.
        variable: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be set to.
        expected: &'static str,
    },
    /// What may be recorded is said in a way that cannot be kept.
    #[error(transparent)]
    Capture(#[from] crate::CaptureError),
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE` names a file without certificates in it, or one that cannot be read.
    #[error("{} has no certificates that can be used: {reason}", path.display())]
    Certificate {
        /// The file that the variable names.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread that telemetry runs on could not be started.
    #[error("a thread for telemetry could not be started")]
    Thread(#[source] std::io::Error),
    /// A header that was given in code cannot be sent.
    #[error("{0:?} is no header with a value that can be sent")]
    Header(String),
    /// The process has telemetry already, by [`init`](crate::init) or [`Telemetry::install`](crate::Telemetry::install).
    #[error(
        "telemetry is installed already: keep that guard and use it everywhere, shut it down before another is installed, or \
         start a second one beside it by Telemetry::start"
    )]
    Installed,
    /// The collector has not taken all records in time. They are kept, and sent later.
    #[error("the collector has not taken {0} records yet; they are kept and sent later")]
    Unsent(u64),
    /// The collector refused records: it wants a key or another one, or it is not the right port. Each kind of refusal was
    /// warned of, with advice, when it came first.
    #[error("the collector refused {0} records; the warnings say why")]
    Refused(u64),
    /// Records were recorded and could neither be sent nor kept on disk.
    #[error("{0} records were lost: nobody took them, and they could not be kept on disk")]
    Lost(u64),
}
