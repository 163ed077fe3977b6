//! What the collector's answer means for a parcel.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use super::signal::Signal;

/// The longest pause that a collector can ask for.
const LONGEST_WISH: Duration = Duration::from_secs(600);
/// How much of a collector's words is repeated in a warning, in bytes.
const WORDS: usize = 300;

/// What became of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The collector has it, but for some records that it will never take.
    Taken { refused: u64, why: String },
    /// The collector will never take it.
    Refused { why: String },
    /// Worth another attempt.
    Later {
        why: String,
        /// The pause that the collector asks for.
        after: Option<Duration>,
        /// Whether anybody answered at all.
        answered: bool,
    },
}

impl Verdict {
    /// Nobody answered.
    pub(super) fn silence(why: String) -> Self {
        Self::Later {
            why,
            after: None,
            answered: false,
        }
    }

    /// What an answer of OTLP over HTTP means.
    pub(super) fn of_http(signal: Signal, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        if status.is_success() {
            return Self::taken(signal, body);
        }
        let why = format!("HTTP {}{}", status.as_u16(), words(headers, body));
        let is_temporary = match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::NOT_IMPLEMENTED => false,
            other => other.is_server_error(),
        };
        if is_temporary {
            Self::Later {
                why,
                after: retry_after(headers),
                answered: true,
            }
        } else {
            Self::Refused { why }
        }
    }

    /// What an answer of OTLP over gRPC means; `message` is the body of a success.
    pub(super) fn of_grpc(signal: Signal, status: &tonic::Status, message: &[u8]) -> Self {
        let after = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
            .map(|delay| delay.min(LONGEST_WISH));
        let why = format!("gRPC {:?}: {}", status.code(), cut(status.message()));
        let is_temporary = match status.code() {
            Code::Ok => return Self::taken(signal, message),
            // Without a delay it means that the request is too large.
            Code::ResourceExhausted => after.is_some(),
            // OTLP counts OUT_OF_RANGE as temporary, but it is also how a receiver says that a request is larger
            // than it takes, and then no attempt would be the last.
            Code::OutOfRange
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Unauthenticated => false,
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => true,
        };
        if is_temporary {
            Self::Later {
                why,
                after,
                answered: true,
            }
        } else {
            Self::Refused { why }
        }
    }

    fn taken(signal: Signal, body: &[u8]) -> Self {
        // What cannot be read, a JSON answer for example, says nothing about refusals.
        let partial = match signal {
            Signal::Traces => ExportTraceServiceResponse::decode(body)
                .ok()
                .and_then(|response| response.partial_success)
                .map(|partial| (partial.rejected_spans, partial.error_message)),
            Signal::Logs => ExportLogsServiceResponse::decode(body)
                .ok()
                .and_then(|response| response.partial_success)
                .map(|partial| (partial.rejected_log_records, partial.error_message)),
        };
        let (refused, why) = partial.unwrap_or_default();
        Self::Taken {
            refused: u64::try_from(refused).unwrap_or(0),
            why: cut(&why).to_owned(),
        }
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wish = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    };
    Some(wish.min(LONGEST_WISH))
}

/// What the collector says about a failure.
fn words(headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let said = if kind.starts_with("application/x-protobuf") {
        tonic_types::Status::decode(body).map_or_else(|_| String::new(), |status| status.message)
    } else if kind.starts_with("application/json") || kind.starts_with("text/plain") {
        String::from_utf8_lossy(body).trim().to_owned()
    } else {
        String::new()
    };
    if said.is_empty() {
        said
    } else {
        format!(": {}", cut(&said))
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WORDS)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use tonic_types::ErrorDetails;

    use super::*;

    fn http(status: u16, retry_after: Option<&'static str>) -> Verdict {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
        }
        Verdict::of_http(
            Signal::Traces,
            StatusCode::from_u16(status).unwrap(),
            &headers,
            &[],
        )
    }

    fn is_later(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Later { .. })
    }

    #[test]
    fn what_is_worth_another_attempt() {
        for (status, later) in [
            (400, false),
            (401, false),
            (404, false),
            (408, true),
            (413, false),
            (429, true),
            (500, true),
            (501, false),
            (503, true),
        ] {
            assert_eq!(is_later(&http(status, None)), later, "{status}");
        }
        for (code, later) in [
            (Code::Unavailable, true),
            (Code::Internal, true),
            (Code::InvalidArgument, false),
            (Code::Unauthenticated, false),
            (Code::ResourceExhausted, false),
        ] {
            let verdict = Verdict::of_grpc(Signal::Traces, &tonic::Status::new(code, ""), &[]);
            assert_eq!(is_later(&verdict), later, "{code:?}");
        }
    }

    #[test]
    fn the_collectors_wish_is_heard() {
        let after = |verdict| match verdict {
            Verdict::Later { after, .. } => after,
            _ => None,
        };
        assert_eq!(after(http(429, Some("7"))), Some(Duration::from_secs(7)));
        assert_eq!(after(http(503, Some("99999999"))), Some(LONGEST_WISH));
        assert_eq!(
            after(http(503, Some("Wed, 21 Oct 2015 07:28:00 GMT"))),
            Some(Duration::ZERO)
        );
        assert_eq!(after(http(503, Some("soon"))), None);
        let delay = Duration::from_millis(1500);
        let details = ErrorDetails::with_retry_info(Some(delay));
        let status = tonic::Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert_eq!(after(Verdict::of_grpc(Signal::Logs, &status, &[])), Some(delay));
    }

    #[test]
    fn refusals_of_some_records_are_heard() {
        let response = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 2,
                error_message: "no name".to_owned(),
            }),
        };
        let verdict = Verdict::of_http(
            Signal::Traces,
            StatusCode::OK,
            &HeaderMap::new(),
            &response.encode_to_vec(),
        );
        let why = "no name".to_owned();
        assert_eq!(verdict, Verdict::Taken { refused: 2, why });
        let unreadable = Verdict::of_http(Signal::Traces, StatusCode::OK, &HeaderMap::new(), b"{}\xff");
        let why = String::new();
        assert_eq!(unreadable, Verdict::Taken { refused: 0, why });
    }
}
