//! The two encodings of OTLP/HTTP. An answer is in the encoding of its request.

use axum::http::{HeaderValue, Response, StatusCode, header};
use prost::Message;
use serde_json::json;

use crate::inflate::CODINGS;
use crate::status::{Refusal, Refused};

/// An encoding of OTLP/HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// The answer to an export that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many spans, records or points can never be stored.
    pub rejected: i64,
    /// Why, or a warning; empty when all is well.
    pub message: String,
}

/// The kind of data of an export; each has its own name for the rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// `/v1/traces`
    Traces,
    /// `/v1/logs`
    Logs,
    /// `/v1/metrics`
    Metrics,
}

impl Signal {
    /// Each of them.
    pub(crate) const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The name of its records.
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }

    /// The name of its service over gRPC.
    fn service(self) -> &'static str {
        match self {
            Self::Traces => "TraceService",
            Self::Logs => "LogsService",
            Self::Metrics => "MetricsService",
        }
    }

    /// Its records stand in an export of another signal, in a list of this name.
    pub(crate) fn misplaced_beside(self, list: &str) -> String {
        format!("{list} belong to /v1/{}", self.name())
    }

    /// The refusal of an export of another signal that was sent as this one.
    pub(crate) fn misplaced(self, other: Self) -> Refusal {
        let (own, other, service) = (self.name(), other.name(), other.service());
        Refusal::Malformed(format!(
            "the body is an export of {other}, which belongs to /v1/{other} (over gRPC to {service}), and was sent as {own}"
        ))
    }
}

impl Encoding {
    /// The encoding a content type names; parameters such as charset are ignored.
    pub(crate) fn of(content_type: Option<&HeaderValue>) -> Result<Self, Refusal> {
        let given = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        match given
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            // Bytes of no special kind are what OTLP is by default.
            "application/x-protobuf" | "application/protobuf" | "application/octet-stream" => {
                Ok(Self::Protobuf)
            }
            "application/json" | "text/json" => Ok(Self::Json),
            _ => Err(Refusal::MediaType(given.chars().take(80).collect())),
        }
    }

    /// The encoding to answer in: that of the request, or protobuf, OTLP's default, when it is neither.
    pub(crate) fn of_answer(request: Option<&HeaderValue>) -> Self {
        Self::of(request).unwrap_or(Self::Protobuf)
    }

    /// Answers 200 with the signal's export response.
    pub(crate) fn accepted(self, signal: Signal, accepted: &Accepted) -> Response<axum::body::Body> {
        let body = match self {
            Self::Protobuf => encode_accepted(signal, accepted),
            Self::Json if *accepted == Accepted::default() => b"{}".to_vec(),
            Self::Json => {
                let rejected = match signal {
                    Signal::Traces => "rejectedSpans",
                    Signal::Logs => "rejectedLogRecords",
                    Signal::Metrics => "rejectedDataPoints",
                };
                // 64-bit integers are text in protobuf's JSON.
                json!({ "partialSuccess": { rejected: accepted.rejected.to_string(), "errorMessage": accepted.message } })
                    .to_string()
                    .into_bytes()
            }
        };
        self.respond(StatusCode::OK, body)
    }

    /// Answers with a google.rpc.Status.
    pub(crate) fn refused(self, refusal: &Refusal) -> Response<axum::body::Body> {
        let status = refusal.grpc_status();
        let code = i32::from(status.code());
        let body = match self {
            Self::Protobuf => tonic_types::Status {
                code,
                message: status.message().to_owned(),
                details: Vec::new(),
            }
            .encode_to_vec(),
            Self::Json => json!({ "code": code, "message": status.message() })
                .to_string()
                .into_bytes(),
        };
        let http = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = self.respond(http, body);
        response.extensions_mut().insert(Refused(refusal.to_string()));
        if let Some(seconds) = refusal.retry_after_seconds() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(refusal, Refusal::ContentEncoding(_)) {
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(CODINGS));
        }
        if matches!(refusal, Refusal::Unauthenticated(_) | Refusal::Forbidden) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    fn respond(self, status: StatusCode, body: Vec<u8>) -> Response<axum::body::Body> {
        let mut response = Response::new(axum::body::Body::from(body));
        *response.status_mut() = status;
        let content_type = match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        };
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }
}

/// The export response of the signal, in protobuf.
pub(crate) fn encode_accepted(signal: Signal, accepted: &Accepted) -> Vec<u8> {
    match signal {
        Signal::Traces => accepted.traces().encode_to_vec(),
        Signal::Logs => accepted.logs().encode_to_vec(),
        Signal::Metrics => accepted.metrics().encode_to_vec(),
    }
}

macro_rules! response {
    ($name:ident, $module:ident, $response:ident, $partial:ident, $rejected:ident) => {
        /// As the signal's response; all well is the empty message (OTLP specification, "Full Success").
        pub(crate) fn $name(&self) -> opentelemetry_proto::tonic::collector::$module::v1::$response {
            use opentelemetry_proto::tonic::collector::$module::v1::{$partial, $response};
            let partial_success = (*self != Self::default()).then(|| $partial {
                $rejected: self.rejected,
                error_message: self.message.clone(),
            });
            $response { partial_success }
        }
    };
}

impl Accepted {
    response!(
        traces,
        trace,
        ExportTraceServiceResponse,
        ExportTracePartialSuccess,
        rejected_spans
    );
    response!(
        logs,
        logs,
        ExportLogsServiceResponse,
        ExportLogsPartialSuccess,
        rejected_log_records
    );
    response!(
        metrics,
        metrics,
        ExportMetricsServiceResponse,
        ExportMetricsPartialSuccess,
        rejected_data_points
    );
}
