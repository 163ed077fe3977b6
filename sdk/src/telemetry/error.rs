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
    /// Records were recorded and could neither be sent nor kept on disk.
    #[error("{0} records were lost: nobody took them, and they could not be kept on disk")]
    Lost(u64),
}
