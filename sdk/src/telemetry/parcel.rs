//! A request to the collector: encoded, and small enough for a receiver to take.

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_http::Bytes;
use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::SpanData;

use super::signal::Signal;

/// The most bytes of attributes sent in one request: receivers of OTLP over gRPC take 4 MiB unless told
/// otherwise.
pub(super) const REQUEST_BYTES: usize = 3 * 1024 * 1024;
/// What a record weighs besides its texts, roughly, in bytes.
const RECORD_BYTES: usize = 256;

/// Encoded records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parcel {
    pub(super) signal: Signal,
    /// How many spans or log records are in it.
    pub(super) records: u64,
    /// How the body is compressed, as `Content-Encoding` says it.
    pub(super) encoding: Option<String>,
    pub(super) body: Bytes,
}

/// Cuts a batch into requests: full bodies would otherwise add up to more than a receiver takes, which would
/// refuse them all. At most `most` items each; `weight` is in bytes.
pub(super) fn cut<T>(batch: Vec<T>, most: usize, weight: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    let mut part: Vec<T> = Vec::new();
    let mut bytes = 0_usize;
    for item in batch {
        let weight = weight(&item);
        if !part.is_empty() && (bytes.saturating_add(weight) > REQUEST_BYTES || part.len() >= most) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes = bytes.saturating_add(weight);
        part.push(item);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// What a span takes, in bytes, roughly.
pub(super) fn span_weight(span: &SpanData) -> usize {
    let events = span.events.iter().fold(0_usize, |sum, event| {
        sum.saturating_add(RECORD_BYTES)
            .saturating_add(attributes_weight(&event.attributes))
    });
    let links = span.links.iter().fold(0_usize, |sum, link| {
        sum.saturating_add(RECORD_BYTES)
            .saturating_add(attributes_weight(&link.attributes))
    });
    RECORD_BYTES
        .saturating_add(span.name.len())
        .saturating_add(attributes_weight(&span.attributes))
        .saturating_add(events)
        .saturating_add(links)
}

/// What a log record takes, in bytes, roughly.
pub(super) fn log_weight(record: &SdkLogRecord) -> usize {
    let body = record.body().map_or(0, any_weight);
    record
        .attributes_iter()
        .fold(RECORD_BYTES.saturating_add(body), |sum, (key, value)| {
            sum.saturating_add(key.as_str().len())
                .saturating_add(any_weight(value))
        })
}

fn attributes_weight(attributes: &[KeyValue]) -> usize {
    attributes.iter().fold(0_usize, |sum, attribute| {
        let value = match &attribute.value {
            Value::String(text) => text.as_str().len(),
            Value::Array(Array::String(texts)) => texts.iter().map(|text| text.as_str().len()).sum(),
            _ => 8,
        };
        sum.saturating_add(attribute.key.as_str().len())
            .saturating_add(value)
    })
}

fn any_weight(value: &AnyValue) -> usize {
    match value {
        AnyValue::String(text) => text.as_str().len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::ListAny(items) => items
            .iter()
            .fold(0, |sum, item| sum.saturating_add(any_weight(item))),
        AnyValue::Map(entries) => entries.iter().fold(0, |sum, (key, value)| {
            sum.saturating_add(key.as_str().len())
                .saturating_add(any_weight(value))
        }),
        _ => 8,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use opentelemetry::trace::{Span, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    use super::*;

    /// Spans with a body of so many bytes each.
    pub(in crate::telemetry) fn spans(count: usize, body: usize) -> Vec<SpanData> {
        let memory = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(memory.clone())
            .build();
        for _ in 0..count {
            let mut span = provider.tracer("test").start("tools/call");
            span.set_attribute(KeyValue::new("body", "x".repeat(body)));
            span.end();
        }
        memory.get_finished_spans().unwrap()
    }

    #[test]
    fn large_bodies_are_sent_in_several_requests() {
        let sizes = |count, body, most| {
            cut(spans(count, body), most, span_weight)
                .iter()
                .map(Vec::len)
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(5, 10, 512), [5]);
        assert_eq!(sizes(5, 10, 2), [2, 2, 1]);
        assert_eq!(sizes(5, 1_400_000, 512), [2, 2, 1]);
        assert_eq!(sizes(2, 4_000_000, 512), [1, 1]);
        assert!(sizes(0, 1, 512).is_empty());
    }
}
