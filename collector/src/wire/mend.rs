//! Messages of which a part cannot be decoded, without that part.
//!
//! prost refuses a whole message for an attribute that nests too deep, a text that is not UTF-8, or a field of another
//! type. A part that can be told from the rest is left out alone: a value, an event, a record.

use super::{DEEPEST_VALUE, Kind, Message, content, field, varint};
use crate::losses::{Losses, beginning};

/// How many bytes the mended message may have for each byte of the one that came. A length that had one byte has four, and
/// a byte that is no UTF-8 becomes the three of U+FFFD.
pub(crate) const GROWTH: usize = 3;
/// The bytes of a length, which is written behind what it is the length of: as many as any length here needs.
const LENGTH: usize = 4;
/// The key of an attribute's name on the wire: field 1, a sequence of bytes.
const KEY: u64 = 1 << 3 | 2;

/// Why a message cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// A value stands too deep in others.
    Deep,
    /// It is not what it should be.
    Broken,
}

/// The message without what cannot be decoded, and how much that was; nothing where the message itself is damaged.
pub(crate) fn mend(of: Message, bytes: &[u8]) -> Option<(Vec<u8>, Losses)> {
    let mut mender = Mender {
        mended: Vec::with_capacity(bytes.len().saturating_mul(GROWTH)),
        losses: Losses::default(),
    };
    mender.message(of, bytes, 0).ok()?;
    Some((mender.mended, mender.losses))
}

struct Mender {
    mended: Vec<u8>,
    losses: Losses,
}

impl Mender {
    /// Writes what a message holds, which stands so deep in an attribute.
    fn message(&mut self, of: Message, bytes: &[u8], depth: usize) -> Result<(), Damage> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let whole = rest;
            let key = varint(&mut rest).map_err(|_| Damage::Broken)?;
            let content = content(&mut rest, key & 7).map_err(|_| Damage::Broken)?;
            if key >> 3 == 0 {
                return Err(Damage::Broken);
            }
            // Fields that are not known are not read either.
            let Some((kind, _)) = field(of, key >> 3) else {
                continue;
            };
            if kind.wire_type() != key & 7 {
                return Err(Damage::Broken);
            }
            match (kind, content) {
                (Kind::Message(inner), Some(content)) => self.inner(of, key, inner, content, depth)?,
                (Kind::Text, Some(text)) => self.text(key, text),
                _ => {
                    let whole = whole.get(..whole.len() - rest.len());
                    self.mended.extend_from_slice(whole.unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    /// Writes a message that is a field of another, or leaves out what of it is damaged: as little as can stand alone.
    fn inner(
        &mut self,
        of: Message,
        key: u64,
        inner: Message,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(), Damage> {
        use Message as M;
        let in_value = matches!(of, M::KeyValue | M::AnyValue | M::ArrayValue | M::KeyValueList);
        let depth = if in_value { depth + 1 } else { 0 };
        if depth > DEEPEST_VALUE {
            return Err(Damage::Deep);
        }
        let before = self.mended.len();
        let place = self.begin(key);
        let Err(damage) = self.message(inner, bytes, depth) else {
            self.end(place);
            return Ok(());
        };
        self.mended.truncate(place);
        let why = match damage {
            Damage::Deep => "nested too deep",
            Damage::Broken => "damaged",
        };
        match (damage, inner) {
            (Damage::Deep, M::KeyValue) if in_value => return Err(damage),
            (_, M::KeyValue) => {
                let name = name(bytes);
                let shown: String = beginning(&String::from_utf8_lossy(name));
                self.losses.values.add(|| format!("attribute {shown:?} is {why}"));
                // Its name is kept, so that it shows that there was one. An empty one would grow beyond [`GROWTH`].
                if !name.is_empty() {
                    self.text(KEY, name);
                }
                self.end(place);
                return Ok(());
            }
            (_, M::AnyValue) if of == M::LogRecord => {
                self.losses.values.add(|| format!("log record: body is {why}"));
            }
            (Damage::Deep, _) => return Err(damage),
            (Damage::Broken, M::Event) => self.losses.values.add(|| "an event is damaged".to_owned()),
            (Damage::Broken, M::Link) => self.losses.values.add(|| "a link is damaged".to_owned()),
            (Damage::Broken, M::Span) => self.losses.records.add(|| "a span is damaged".to_owned()),
            (Damage::Broken, M::LogRecord) => {
                self.losses.records.add(|| "a log record is damaged".to_owned());
            }
            (Damage::Broken, M::ScopeSpans | M::ScopeLogs | M::ResourceSpans | M::ResourceLogs) => {
                self.losses
                    .records
                    .add(|| "a group of records is damaged".to_owned());
            }
            (Damage::Broken, _) => return Err(damage),
        }
        self.mended.truncate(before);
        Ok(())
    }

    /// Writes a text, in which each byte that is no UTF-8 is U+FFFD.
    fn text(&mut self, key: u64, text: &[u8]) {
        let place = self.begin(key);
        self.mended
            .extend_from_slice(String::from_utf8_lossy(text).as_bytes());
        self.end(place);
    }

    /// Begins a field whose length is known later. Returns where its content begins.
    fn begin(&mut self, key: u64) -> usize {
        prost::encoding::encode_varint(key, &mut self.mended);
        self.mended.extend_from_slice(&[0; LENGTH]);
        self.mended.len()
    }

    /// Writes the length of a field that ends here. A varint may have more bytes than it needs.
    fn end(&mut self, place: usize) {
        let mut length = self.mended.len() - place;
        let bytes = self.mended.iter_mut().take(place).skip(place - LENGTH);
        for (index, byte) in bytes.enumerate() {
            let more = if index + 1 < LENGTH { 0x80 } else { 0 };
            *byte = (length & 0x7f) as u8 | more;
            length >>= 7;
        }
    }
}

/// The name of an attribute, as far as it can be told.
fn name(mut attribute: &[u8]) -> &[u8] {
    while let Ok(key) = varint(&mut attribute) {
        match content(&mut attribute, key & 7) {
            Ok(Some(name)) if key == KEY => return name,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    &[]
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
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
    use prost::Message as _;

    use super::*;

    fn attribute(key: &str, value: Any) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    fn map(levels: usize) -> Any {
        (0..levels).fold(Any::IntValue(7), |value, _| {
            Any::KvlistValue(KeyValueList {
                values: vec![attribute("k", value)],
            })
        })
    }

    fn array(levels: usize) -> Any {
        (0..levels).fold(Any::IntValue(7), |value, _| {
            Any::ArrayValue(ArrayValue {
                values: vec![AnyValue { value: Some(value) }],
            })
        })
    }

    /// Every field is set, so that each is seen to pass.
    fn span(attributes: Vec<KeyValue>) -> Span {
        Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            trace_state: "a=b".into(),
            parent_span_id: vec![3; 8],
            flags: 1,
            name: "span é".into(),
            kind: 2,
            start_time_unix_nano: 5,
            end_time_unix_nano: 6,
            attributes: attributes.clone(),
            dropped_attributes_count: 300,
            events: vec![Event {
                time_unix_nano: 7,
                name: "event".into(),
                attributes: attributes.clone(),
                dropped_attributes_count: 1,
            }],
            dropped_events_count: 2,
            links: vec![Link {
                trace_id: vec![4; 16],
                span_id: vec![5; 8],
                trace_state: "c".into(),
                attributes,
                dropped_attributes_count: 3,
                flags: 4,
            }],
            dropped_links_count: 5,
            status: Some(Status {
                message: "m".into(),
                code: 2,
            }),
        }
    }

    fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![attribute("service.name", Any::StringValue("shop".into()))],
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans,
                    schema_url: "url".into(),
                    ..ScopeSpans::default()
                }],
                schema_url: "url".into(),
            }],
        }
    }

    fn mended(request: &[u8]) -> (ExportTraceServiceRequest, Losses) {
        let (bytes, losses) = mend(Message::Traces, request).unwrap();
        assert!(bytes.len() <= GROWTH * request.len());
        (
            ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap(),
            losses,
        )
    }

    /// Replaces some bytes by others of the same length, where they stand.
    fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let places = bytes.windows(from.len()).enumerate();
        let places = places
            .filter(|(_, window)| *window == from)
            .map(|(place, _)| place);
        let places: Vec<usize> = places.collect();
        assert!(!places.is_empty());
        for place in places {
            bytes[place..place + to.len()].copy_from_slice(to);
        }
        bytes
    }

    #[test]
    fn what_is_sound_stays_as_it_is() {
        let request = traces(vec![span(vec![
            attribute("map", map(30)),
            attribute("array", array(45)),
            attribute("bytes", Any::BytesValue(vec![0xff; 300])),
            attribute("double", Any::DoubleValue(1.5)),
        ])]);
        let (same, losses) = mended(&request.encode_to_vec());
        assert_eq!((same, losses), (request, Losses::default()));
    }

    #[test]
    fn a_deep_value_costs_its_attribute() {
        for deep in [map(31), map(60), array(46), array(400)] {
            let good = attribute("good", Any::StringValue("x".into()));
            let request = traces(vec![
                span(vec![attribute("deep", deep), good.clone()]),
                span(vec![good.clone()]),
            ]);
            let (mended, losses) = mended(&request.encode_to_vec());
            let empty = KeyValue {
                key: "deep".into(),
                ..KeyValue::default()
            };
            assert_eq!(
                mended,
                traces(vec![span(vec![empty, good.clone()]), span(vec![good])])
            );
            assert_eq!((losses.values.count, losses.records.count), (3, 0));
            assert_eq!(
                losses.values.example.as_deref(),
                Some("attribute \"deep\" is nested too deep")
            );
        }
    }

    #[test]
    fn a_deep_body_costs_itself() {
        let record = |body: Option<AnyValue>| LogRecord {
            body,
            time_unix_nano: 1,
            ..LogRecord::default()
        };
        let logs = |log_records| ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records,
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        let deep = logs(vec![
            record(Some(AnyValue { value: Some(map(40)) })),
            record(None),
        ]);
        let (bytes, losses) = mend(Message::Logs, &deep.encode_to_vec()).unwrap();
        let read = ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(read, logs(vec![record(None), record(None)]));
        assert_eq!((losses.values.count, losses.records.count), (1, 0));
    }

    #[test]
    fn texts_that_are_no_utf_8_are_replaced() {
        let request = traces(vec![span(vec![attribute(
            "k",
            Any::StringValue("abcdef".into()),
        )])]);
        let bytes = replaced(&request.encode_to_vec(), b"abcdef", b"ab\xff\xfe\xc3f");
        let (read, losses) = mended(&bytes);
        let expected = Any::StringValue("ab\u{fffd}\u{fffd}\u{fffd}f".into());
        assert_eq!(read, traces(vec![span(vec![attribute("k", expected)])]));
        assert_eq!(losses, Losses::default());
        let all = traces(vec![Span {
            name: "x".repeat(100_000),
            ..Span::default()
        }]);
        let (read, _) = mended(&replaced(&all.encode_to_vec(), &[b'x'; 100], &[0xff; 100]));
        assert!(read.resource_spans[0].scope_spans[0].spans[0].name.len() > 290_000);
    }

    #[test]
    fn damage_costs_as_little_as_can_stand_alone() {
        let good = span(vec![attribute("good", Any::IntValue(1))]);
        let other = |change: fn(&mut Span)| {
            let mut span = span(vec![attribute("bad", Any::StringValue("valuevalue".into()))]);
            change(&mut span);
            span
        };
        // The length of the text is longer than the attribute.
        let request = traces(vec![good.clone(), other(|_| {}), good.clone()]).encode_to_vec();
        let (read, losses) = mended(&replaced(&request, b"\x0a\x0avaluevalue", b"\x0a\x7fvaluevalue"));
        let spans = &read.resource_spans[0].scope_spans[0].spans;
        assert_eq!((&spans[0], &spans[2]), (&good, &good));
        assert_eq!(
            (spans[1].attributes[0].key.as_str(), &spans[1].attributes[0].value),
            ("bad", &None)
        );
        assert_eq!((losses.values.count, losses.records.count), (3, 0));
        // The trace id is a number.
        let odd = other(|span| span.trace_id = vec![9; 7]);
        let request = traces(vec![good.clone(), odd, good.clone()]).encode_to_vec();
        let bytes = replaced(
            &request,
            &[&[0x0a, 7][..], &[9; 7]].concat(),
            &[&[0x09, 7][..], &[9; 7]].concat(),
        );
        let (read, losses) = mended(&bytes);
        assert_eq!(read, traces(vec![good.clone(), good.clone()]));
        assert_eq!((losses.values.count, losses.records.count), (0, 1));
        // The event's time is a text.
        let odd = other(|span| span.events[0].time_unix_nano = u64::from_le_bytes([6; 8]));
        let request = traces(vec![odd, good.clone()]).encode_to_vec();
        let bytes = replaced(
            &request,
            &[&[0x09][..], &[6; 8]].concat(),
            &[&[0x0a][..], &[6; 8]].concat(),
        );
        let (read, losses) = mended(&bytes);
        assert_eq!(read.resource_spans[0].scope_spans[0].spans[0].events, []);
        assert_eq!((losses.values.count, losses.records.count), (1, 0));
        // Each attribute is one byte of a key.
        let attributes = [0x4a, 1, 0xff].repeat(50);
        let request = [&[0x0a, 156, 1, 0x12, 153, 1, 0x12, 150, 1][..], &attributes].concat();
        let (read, losses) = mended(&request);
        let empty = vec![KeyValue::default(); 50];
        assert_eq!(read.resource_spans[0].scope_spans[0].spans[0].attributes, empty);
        assert_eq!((losses.values.count, losses.records.count), (50, 0));
        // A number of more than 64 bits.
        let number = [&[0x50][..], &[0xff; 9], &[2]].concat();
        let (read, losses) = mended(&[&[0x0a, 15, 0x12, 13, 0x12, 11][..], &number].concat());
        assert_eq!(read.resource_spans[0].scope_spans[0].spans, []);
        assert_eq!((losses.values.count, losses.records.count), (0, 1));
        for garbage in [
            &b"\xff\xff\xff"[..],
            b"\x0a\x05a",
            b"\x0b",
            b"\x02\x00",
            b"\x08\x01",
        ] {
            assert_eq!(mend(Message::Traces, garbage), None, "{garbage:?}");
        }
    }
}
