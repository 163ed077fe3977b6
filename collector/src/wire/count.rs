//! Which messages there are, counted without building one.

use super::{DEEPEST, Kind, Malformed, Message, content, field, varint};
use crate::census::Census;
use crate::status::Refusal;

/// Counts what a message would become.
pub(crate) fn count(message: Message, bytes: &[u8]) -> Result<Census, Refusal> {
    let mut census = Census::default();
    walk(message, bytes, 0, &mut census)
        .map_err(|why| Refusal::Malformed(format!("the body is no OTLP request: {why}")))?;
    Ok(census)
}

fn walk(message: Message, bytes: &[u8], depth: usize, census: &mut Census) -> Result<(), Malformed> {
    if depth > DEEPEST {
        return Err("its messages stand too deep in each other");
    }
    let (mut resource, mut scopes) = (0_usize, 0_usize);
    let mut rest = bytes;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let content = content(&mut rest, key & 7)?;
        let Some((kind, part)) = field(message, key >> 3) else {
            continue;
        };
        let before = census.built();
        if let Some(part) = part {
            census.note(part);
        }
        // A field of another wire type is refused by prost.
        if let (Kind::Message(inner), Some(content)) = (kind, content) {
            walk(inner, content, depth + 1, census)?;
            match inner {
                Message::Resource => {
                    resource += census.built() - before + content.len();
                }
                Message::ScopeSpans | Message::ScopeLogs => scopes += 1,
                _ => {}
            }
        }
    }
    census.copies(resource, scopes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message as _;

    use super::*;
    use crate::census::Part;

    fn attributes(count: usize) -> Vec<KeyValue> {
        vec![KeyValue::default(); count]
    }

    fn cost(parts: &[(Part, usize)]) -> usize {
        let mut census = Census::default();
        for (part, times) in parts {
            (0..*times).for_each(|_| census.note(*part));
        }
        census.built()
    }

    #[test]
    fn every_part_of_a_trace_export_is_counted() {
        let nested = AnyValue {
            value: Some(Any::ArrayValue(ArrayValue {
                values: vec![
                    AnyValue {
                        value: Some(Any::KvlistValue(KeyValueList {
                            values: attributes(5)
                        })),
                    };
                    3
                ],
            })),
        };
        let span = Span {
            trace_id: vec![1; 16],
            start_time_unix_nano: 1_700_000_000_000_000_000,
            attributes: vec![KeyValue {
                key: "k".into(),
                value: Some(nested),
                ..KeyValue::default()
            }],
            events: vec![
                Event {
                    attributes: attributes(2),
                    ..Event::default()
                };
                4
            ],
            links: vec![
                Link {
                    attributes: attributes(3),
                    ..Link::default()
                };
                2
            ],
            ..Span::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: vec![span; 6],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let expected = cost(&[
            (Part::Group, 1),
            (Part::Scope, 1),
            (Part::Span, 6),
            (Part::Attribute, 6 * (1 + 15 + 8 + 6)),
            (Part::Value, 6 * 3),
            (Part::Event, 24),
            (Part::Link, 12),
        ]);
        assert_eq!(
            count(Message::Traces, &request.encode_to_vec()).unwrap().built(),
            expected
        );
    }

    #[test]
    fn a_resource_counts_for_each_of_its_scopes() {
        let logs = |scopes: usize| ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(Resource {
                    attributes: attributes(1000),
                    ..Resource::default()
                }),
                scope_logs: vec![
                    ScopeLogs {
                        log_records: vec![LogRecord {
                            body: Some(AnyValue::default()),
                            ..LogRecord::default()
                        }],
                        ..ScopeLogs::default()
                    };
                    scopes
                ],
                ..ResourceLogs::default()
            }],
        };
        let built = |scopes| {
            count(Message::Logs, &logs(scopes).encode_to_vec())
                .unwrap()
                .built()
        };
        let resource = cost(&[(Part::Attribute, 1000)]);
        assert!(
            built(1) > resource && built(11) > 11 * resource,
            "{} {}",
            built(1),
            built(11)
        );
    }

    #[test]
    fn small_requests_that_would_become_large_are_refused() {
        // Two bytes each: an empty span, scope, group; in a span an empty event, link, attribute; in it a value.
        let wrap = |number: u8, inner: Vec<u8>| {
            let mut bytes = vec![number << 3 | 2];
            prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
            bytes.extend(inner);
            bytes
        };
        let many = |field: u8| [field << 3 | 2, 0].repeat(1 << 20);
        let in_span = |fields: Vec<u8>| wrap(1, wrap(2, wrap(2, fields)));
        let value = |value: Vec<u8>| in_span(wrap(9, wrap(2, value)));
        for (what, bytes) in [
            ("groups", many(1)),
            ("scopes", wrap(1, many(2))),
            ("spans", wrap(1, wrap(2, many(2)))),
            ("attributes", in_span(many(9))),
            ("events", in_span(many(11))),
            ("links", in_span(many(13))),
            ("values", value(wrap(5, many(1)))),
            ("entries", value(wrap(6, many(1)))),
            ("resource attributes", wrap(1, wrap(1, many(1)))),
            ("entities", wrap(1, wrap(1, many(3)))),
            ("keys of entities", wrap(1, wrap(1, wrap(3, many(4))))),
        ] {
            let census = count(Message::Traces, &bytes).unwrap();
            assert!(census.bytes(bytes.len()).is_err(), "{what}: {}", census.built());
        }
        let records = wrap(1, wrap(2, many(2)));
        assert!(
            count(Message::Logs, &records)
                .unwrap()
                .bytes(records.len())
                .is_err()
        );
    }

    #[test]
    fn damaged_and_deep_messages_are_refused() {
        for bytes in [&b"\x0a"[..], b"\x0a\x05a", b"\x0b", &[0x80; 11], &[0xff; 30]] {
            assert!(count(Message::Traces, bytes).is_err(), "{bytes:?}");
        }
        let mut value = AnyValue::default();
        for _ in 0..60 {
            value = AnyValue {
                value: Some(Any::ArrayValue(ArrayValue { values: vec![value] })),
            };
        }
        let deep = LogRecord {
            body: Some(value),
            ..LogRecord::default()
        };
        assert!(count(Message::LogRecord, &deep.encode_to_vec()).is_err());
        assert!(count(Message::Traces, b"").unwrap() == Census::default());
    }
}
