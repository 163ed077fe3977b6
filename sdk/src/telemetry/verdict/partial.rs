//! What a success says of the records in it, in protobuf or in JSON.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde_json::Value;

use super::{Verdict, cut};
use crate::telemetry::signal::Signal;

/// The partial success of an answer: how many records were refused, and why.
#[derive(Debug, Default)]
pub(super) struct Partial {
    rejected: i64,
    why: String,
}

impl From<Partial> for Verdict {
    fn from(partial: Partial) -> Self {
        Self::Taken {
            refused: u64::try_from(partial.rejected).unwrap_or(0),
            why: cut(&partial.why).to_owned(),
        }
    }
}

impl Partial {
    /// None where it is no answer of OTLP.
    pub(super) fn of_protobuf(signal: Signal, body: &[u8]) -> Option<Self> {
        let partial = match signal {
            Signal::Traces => ExportTraceServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|partial| (partial.rejected_spans, partial.error_message)),
            Signal::Logs => ExportLogsServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|partial| (partial.rejected_log_records, partial.error_message)),
        };
        let (rejected, why) = partial.unwrap_or_default();
        Some(Self { rejected, why })
    }

    /// None where it is no answer of OTLP. Members that are not known are none of our business.
    pub(super) fn of_json(signal: Signal, body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        if !answer.is_object() {
            return None;
        }
        // Keys in either style, and numbers as text: ProtoJSON allows all of it.
        let member = |value: &Value, camel: &str, snake: &str| {
            value
                .get(camel)
                .or_else(|| value.get(snake))
                .cloned()
                .unwrap_or_default()
        };
        let partial = member(&answer, "partialSuccess", "partial_success");
        let rejected = match signal {
            Signal::Traces => member(&partial, "rejectedSpans", "rejected_spans"),
            Signal::Logs => member(&partial, "rejectedLogRecords", "rejected_log_records"),
        };
        let rejected = rejected
            .as_i64()
            .or_else(|| rejected.as_str().and_then(|digits| digits.parse().ok()));
        let why = member(&partial, "errorMessage", "error_message");
        Some(Self {
            rejected: rejected.unwrap_or(0),
            why: why.as_str().unwrap_or_default().to_owned(),
        })
    }
}
