//! Batches cut into requests that a receiver takes.

use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;

/// The most bytes of attributes sent in one request: receivers of OTLP over gRPC take 4 MiB unless told
/// otherwise.
const REQUEST_BYTES: usize = 3 * 1024 * 1024;
/// What a span weighs besides its attributes, roughly, in bytes.
const SPAN_BYTES: usize = 256;

/// The batch in requests of bounded size: full bodies would otherwise add up to more than a receiver takes,
/// which would refuse them all.
pub(crate) fn parcels(batch: Vec<SpanData>) -> Vec<Vec<SpanData>> {
    let mut parcels = Vec::new();
    let mut part: Vec<SpanData> = Vec::new();
    let mut bytes = 0_usize;
    for span in batch {
        let weight = weight(&span);
        if !part.is_empty() && bytes.saturating_add(weight) > REQUEST_BYTES {
            parcels.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes = bytes.saturating_add(weight);
        part.push(span);
    }
    parcels.push(part);
    parcels
}

fn weight(span: &SpanData) -> usize {
    span.attributes.iter().fold(SPAN_BYTES, |sum, attribute| {
        let value = match &attribute.value {
            Value::String(text) => text.as_str().len(),
            _ => 0,
        };
        sum.saturating_add(attribute.key.as_str().len())
            .saturating_add(value)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use opentelemetry::KeyValue;
    use opentelemetry::trace::{Span, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    use super::*;

    /// Spans with a body of so many bytes each.
    pub(crate) fn spans(count: usize, body: usize) -> Vec<SpanData> {
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
        let sizes = |count, body| {
            parcels(spans(count, body))
                .iter()
                .map(Vec::len)
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(5, 10), [5]);
        assert_eq!(sizes(5, 1_400_000), [2, 2, 1]);
        assert_eq!(sizes(2, 4_000_000), [1, 1]);
    }
}
