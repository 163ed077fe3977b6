//! What the collector's answer means for a parcel.

#[cfg(feature = "grpc")]
mod grpc;
mod partial;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use partial::Partial;
use prost::Message;

use super::signal::Signal;
use crate::jsonrpc::boundary;

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
    Refused {
        why: String,
        /// Whether that may be because the collector does not read the compression.
        unread: bool,
    },
    /// The collector takes nothing of that size.
    TooLarge { why: String },
    /// Worth another attempt.
    Later {
        why: String,
        /// The pause that the collector asks for.
        after: Option<Duration>,
        /// Whether anybody answered at all who reads OTLP.
        answered: bool,
        /// As of [`Refused`](Self::Refused): some fail on what they do not read.
        unread: bool,
    },
}

impl Verdict {
    /// Nobody answered.
    pub(super) fn silence(why: String) -> Self {
        Self::Later {
            why,
            after: None,
            answered: false,
            unread: false,
        }
    }

    /// What an answer of OTLP over HTTP means. `body`: none where it was too long or broke off.
    pub(super) fn of_http(
        signal: Signal,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Self {
        if status.is_success() {
            return Self::taken(signal, headers, body).unwrap_or_else(|| Self::of_another(status, headers));
        }
        let body = body.unwrap_or_default();
        let said = words(headers, body);
        let why = format!("HTTP {}{said}{}", status.as_u16(), advice(status, headers));
        let unread = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::INTERNAL_SERVER_ERROR
        );
        let is_temporary = match status {
            StatusCode::PAYLOAD_TOO_LARGE => return Self::TooLarge { why },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::NOT_IMPLEMENTED => false,
            other => other.is_server_error(),
        };
        if is_temporary {
            Self::Later {
                why,
                after: retry_after(headers),
                answered: true,
                unread,
            }
        } else {
            Self::Refused { why, unread }
        }
    }

    /// Without the feature for it nobody speaks gRPC.
    #[cfg(not(feature = "grpc"))]
    pub(super) fn of_grpc(_: Signal, _: [Option<&HeaderMap>; 2], _: &[u8]) -> Option<Self> {
        None
    }

    /// What a success means, which is empty or says how many records were refused, in protobuf or in JSON. None where it is no
    /// answer of OTLP: the page of a network that wants a login, or of a website, has the status of success as well.
    fn taken(signal: Signal, headers: &HeaderMap, body: Option<&[u8]>) -> Option<Self> {
        let kind = media_type(headers);
        let is_coded = headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let partial = match (kind.as_str(), body) {
            (_, Some([])) => Some(Partial::default()),
            // Nothing but its type tells what it is.
            (PROTOBUF | JSON, None) => Some(Partial::default()),
            (PROTOBUF | JSON, Some(_)) if is_coded => Some(Partial::default()),
            (PROTOBUF, Some(body)) => Partial::of_protobuf(signal, body),
            (JSON, Some(body)) => Partial::of_json(signal, body),
            ("text/plain", Some(body)) if is_yes(body) => Some(Partial::default()),
            (_, Some(body)) => Partial::of_json(signal, body).or_else(|| Partial::of_protobuf(signal, body)),
            (_, None) => None,
        };
        partial.map(Self::from)
    }

    /// A success by somebody who does not speak OTLP. The collector may be there again later.
    fn of_another(status: StatusCode, headers: &HeaderMap) -> Self {
        let kind = media_type(headers);
        let kind = if kind.is_empty() {
            "an unknown type"
        } else {
            cut(&kind)
        };
        Self::silence(format!(
            "HTTP {} with a body of {kind}, which is no answer of OTLP (a login page or another program may answer at this \
             address; OTEL_EXPORTER_OTLP_ENDPOINT is a collector's base URL, such as http://127.0.0.1:4318)",
            status.as_u16()
        ))
    }
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Whether it is one of the words in which receivers tell success that do not answer in OTLP.
fn is_yes(body: &[u8]) -> bool {
    let said = body.trim_ascii();
    let words: [&[u8]; 3] = [b"ok", b"accepted", b"success"];
    words.iter().any(|word| said.eq_ignore_ascii_case(word))
}

/// None may have been sent, or the wrong ones: the collector's own words tell.
const NO_CREDENTIALS: &str =
    "OTEL_EXPORTER_OTLP_HEADERS gives the credentials, such as x-api-key=mcptap_… for mcptap";
const ONE_TOO_LARGE: &str = "one record alone is larger than it takes";

/// Advice to the user after a refusal.
fn advice(status: StatusCode, headers: &HeaderMap) -> String {
    let advice = match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "it does not read this as OTLP",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NO_CREDENTIALS,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => {
            "nothing takes OTLP at this address; OTEL_EXPORTER_OTLP_ENDPOINT is a collector's base URL, such as \
             http://127.0.0.1:4318"
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "it does not take OTLP in protobuf over HTTP",
        StatusCode::PAYLOAD_TOO_LARGE => ONE_TOO_LARGE,
        other if other.is_redirection() => {
            let place = headers
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok());
            return format!(
                " ({:?} is where it sends us; redirects are not followed, so set the endpoint to it)",
                cut(place.unwrap_or("nowhere"))
            );
        }
        _ => return String::new(),
    };
    format!(" ({advice})")
}

/// The media type of a body in small letters, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
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

/// `google.rpc.Status`, as far as it is read.
#[derive(Clone, PartialEq, prost::Message)]
struct Said {
    #[prost(string, tag = "2")]
    message: String,
}

/// What the collector says about a failure.
fn words(headers: &HeaderMap, body: &[u8]) -> String {
    let kind = media_type(headers);
    let said = if kind == PROTOBUF {
        Said::decode(body).map_or_else(|_| String::new(), |status| status.message)
    } else if kind == JSON || kind == "text/plain" {
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
    text.get(..boundary(text, WORDS)).unwrap_or(text)
}

#[cfg(test)]
#[cfg(feature = "grpc")]
mod tests {
    use http::HeaderValue;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt};

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;

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
            Some(&[]),
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
        ] {
            let verdict = Verdict::of_status(Signal::Traces, &tonic::Status::new(code, ""), &[]);
            assert_eq!(is_later(&verdict), later, "{code:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_told_from_what_is_wrong() {
        assert!(matches!(http(413, None), Verdict::TooLarge { .. }));
        for code in [Code::ResourceExhausted, Code::OutOfRange] {
            let verdict = Verdict::of_status(Signal::Traces, &tonic::Status::new(code, ""), &[]);
            assert!(matches!(verdict, Verdict::TooLarge { .. }), "{code:?}");
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
            let status = tonic::Status::with_error_details(code, "busy", details);
            assert!(
                is_later(&Verdict::of_status(Signal::Traces, &status, &[])),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let why = |status, headers: &HeaderMap| {
            let status = StatusCode::from_u16(status).unwrap();
            match Verdict::of_http(Signal::Traces, status, headers, Some(&[])) {
                Verdict::Refused { why, .. } => why,
                other => panic!("{other:?}"),
            }
        };
        let none = HeaderMap::new();
        assert!(why(400, &none).contains("does not read this as OTLP"));
        assert!(why(401, &none).contains("OTEL_EXPORTER_OTLP_HEADERS gives the credentials"));
        assert!(why(404, &none).contains("http://127.0.0.1:4318"));
        let place = HeaderValue::from_static("https://collector.example/v1/traces");
        let moved = HeaderMap::from_iter([(header::LOCATION, place)]);
        assert!(why(308, &moved).contains("https://collector.example/v1/traces"));
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
        assert_eq!(after(Verdict::of_status(Signal::Logs, &status, &[])), Some(delay));
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
            Some(&response.encode_to_vec()),
        );
        let why = "no name".to_owned();
        assert_eq!(verdict, Verdict::Taken { refused: 2, why });
        for body in [
            r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no name"}}"#,
            r#"{"partial_success":{"rejected_spans":2,"error_message":"no name"}}"#,
        ] {
            let json = HeaderValue::from_static("Application/JSON; charset=utf-8");
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
            let told = Verdict::of_http(Signal::Traces, StatusCode::OK, &headers, Some(body.as_bytes()));
            assert_eq!(told, verdict);
        }
    }

    #[test]
    fn a_success_that_is_no_answer_of_otlp_is_none() {
        let long = None;
        let response = ExportLogsServiceResponse::default().encode_to_vec();
        for (kind, body, taken) in [
            ("", Some(&b""[..]), true),
            ("", Some(b"{}"), true),
            ("", Some(b"{}\xff"), false),
            ("text/html", Some(b""), true),
            ("text/plain; charset=utf-8", Some(b"OK\n"), true),
            (
                "text/html; charset=utf-8",
                Some(b"<!doctype html><title>Sign in</title>"),
                false,
            ),
            ("text/html", long, false),
            ("application/json", Some(b"{\"partialSuccess\":null}"), true),
            (
                "Application/JSON; charset=utf-8",
                Some(b" {\"partialSuccess\": {}, \"new\": 1}"),
                true,
            ),
            ("application/json", Some(b"<html>"), false),
            ("application/json", Some(b"\"ok\""), false),
            ("application/json", long, true),
            ("application/x-protobuf", Some(response.as_slice()), true),
            ("application/x-protobuf", Some(b"\x0a\x02\x08\x02"), true),
            ("application/x-protobuf", Some(b"<html>"), false),
            ("application/x-protobuf", long, true),
            ("application/octet-stream", Some(b"\x0a\x02\x08\x02"), true),
            ("text/plain", Some(b"{}"), true),
            ("text/plain", Some(b"Welcome to the hotel"), false),
            ("text/plain", long, false),
        ] {
            let mut headers = HeaderMap::new();
            if !kind.is_empty() {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            for status in [StatusCode::OK, StatusCode::ACCEPTED] {
                let verdict = Verdict::of_http(Signal::Logs, status, &headers, body);
                match verdict {
                    Verdict::Taken { .. } => assert!(taken, "{kind} {body:?}"),
                    Verdict::Later { why, .. } => {
                        assert!(
                            !taken && why.contains("no answer of OTLP"),
                            "{kind} {body:?}: {why}"
                        );
                    }
                    other => panic!("{kind} {body:?}: {other:?}"),
                }
            }
        }
        // Over gRPC the status decides.
        let verdict = Verdict::of_status(Signal::Logs, &tonic::Status::ok(""), b"\xff");
        assert!(matches!(verdict, Verdict::Taken { refused: 0, .. }));
    }
}
