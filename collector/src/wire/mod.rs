//! Protobuf as it is on the wire: counted before it is decoded ([`count`]), mended where it cannot be ([`mend`]), and told from
//! an export of another signal ([`other_signal`]).

mod count;
mod mend;
mod signal;

pub(crate) use count::count;
pub(crate) use mend::{GROWTH, mend};
pub(crate) use signal::other_signal;

use crate::census::Part;

/// How deep messages may stand in each other; prost refuses what is deeper, too.
const DEEPEST: usize = 100;
/// How deep values may stand in an attribute, in messages: three for each level of a map, two for each of an array. With the
/// messages around the attribute they fit into [`DEEPEST`]. An attribute with deeper ones is left out.
pub(crate) const DEEPEST_VALUE: usize = 91;

/// The messages of OTLP that are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// `ExportTraceServiceRequest`
    Traces,
    /// `ExportLogsServiceRequest`
    Logs,
    ResourceSpans,
    ResourceLogs,
    Resource,
    EntityRef,
    ScopeSpans,
    ScopeLogs,
    Scope,
    Span,
    Event,
    Link,
    Status,
    LogRecord,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message(Message),
    Text,
    Bytes,
    Varint,
    Fixed64,
    Fixed32,
}

impl Kind {
    /// The number that says on the wire how a value ends.
    const fn wire_type(self) -> u64 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Message(_) | Self::Text | Self::Bytes => 2,
            Self::Fixed32 => 5,
        }
    }
}

/// The type of a field of a message, and the part that it counts as. Fields that are not here are not read.
fn field(of: Message, number: u64) -> Option<(Kind, Option<Part>)> {
    use Message as M;
    let (message, part) = match (of, number) {
        (M::Traces, 1) => (M::ResourceSpans, Some(Part::Group)),
        (M::Logs, 1) => (M::ResourceLogs, Some(Part::Group)),
        (M::ResourceSpans | M::ResourceLogs, 1) => (M::Resource, None),
        (M::ResourceSpans, 2) => (M::ScopeSpans, Some(Part::Scope)),
        (M::ResourceLogs, 2) => (M::ScopeLogs, Some(Part::Scope)),
        (M::ScopeSpans | M::ScopeLogs, 1) => (M::Scope, None),
        (M::ScopeSpans, 2) => (M::Span, Some(Part::Span)),
        (M::ScopeLogs, 2) => (M::LogRecord, Some(Part::Record)),
        (M::Resource, 1)
        | (M::Scope | M::Event, 3)
        | (M::Span, 9)
        | (M::Link, 4)
        | (M::LogRecord, 6)
        | (M::KeyValueList, 1) => (M::KeyValue, Some(Part::Attribute)),
        (M::Resource, 3) => (M::EntityRef, Some(Part::Entity)),
        (M::Span, 11) => (M::Event, Some(Part::Event)),
        (M::Span, 13) => (M::Link, Some(Part::Link)),
        (M::Span, 15) => (M::Status, None),
        (M::LogRecord, 5) | (M::KeyValue, 2) => (M::AnyValue, None),
        (M::AnyValue, 5) => (M::ArrayValue, None),
        (M::AnyValue, 6) => (M::KeyValueList, None),
        (M::ArrayValue, 1) => (M::AnyValue, Some(Part::Value)),
        (M::EntityRef, 3 | 4) => return Some((Kind::Text, Some(Part::Entity))),
        _ => return scalar(of, number).map(|kind| (kind, None)),
    };
    Some((Kind::Message(message), part))
}

/// The type of a field that holds no message and counts as nothing.
fn scalar(of: Message, number: u64) -> Option<Kind> {
    use Message as M;
    match (of, number) {
        (M::ResourceSpans | M::ResourceLogs | M::ScopeSpans | M::ScopeLogs | M::Span | M::Link, 3)
        | (M::Scope | M::EntityRef, 1 | 2)
        | (M::Span, 5)
        | (M::Event | M::Status, 2)
        | (M::LogRecord, 3 | 12)
        | (M::KeyValue | M::AnyValue, 1) => Some(Kind::Text),
        (M::Span, 1 | 2 | 4) | (M::Link, 1 | 2) | (M::LogRecord, 9 | 10) | (M::AnyValue, 7) => {
            Some(Kind::Bytes)
        }
        (M::Resource, 2)
        | (M::Scope | M::Event, 4)
        | (M::Span, 6 | 10 | 12 | 14)
        | (M::Link, 5)
        | (M::Status | M::KeyValue, 3)
        | (M::LogRecord, 2 | 7)
        | (M::AnyValue, 2 | 3 | 8) => Some(Kind::Varint),
        (M::Span, 7 | 8) | (M::Event, 1) | (M::LogRecord, 1 | 11) | (M::AnyValue, 4) => Some(Kind::Fixed64),
        (M::Span, 16) | (M::Link, 6) | (M::LogRecord, 8) => Some(Kind::Fixed32),
        _ => None,
    }
}

/// Why bytes are no message.
type Malformed = &'static str;

/// The content of a field, if that is a sequence of bytes.
fn content<'a>(rest: &mut &'a [u8], wire_type: u64) -> Result<Option<&'a [u8]>, Malformed> {
    match wire_type {
        0 => varint(rest).map(|_| None),
        1 => take(rest, 8).map(|_| None),
        2 => {
            let length = usize::try_from(varint(rest)?).unwrap_or(usize::MAX);
            take(rest, length).map(Some)
        }
        5 => take(rest, 4).map(|_| None),
        // Groups are not in OTLP.
        _ => Err("it has a field of an unknown wire type"),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, behind) = rest
        .split_at_checked(length)
        .ok_or("it ends in the middle of a field")?;
    *rest = behind;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, behind) = rest.split_first().ok_or("it ends in the middle of a number")?;
        *rest = behind;
        // The tenth byte has one bit left; prost refuses more, too.
        if shift == 63 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("it has a number of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::DESCRIPTORS;
    use prost_reflect::{DescriptorPool, Kind as Type, MessageDescriptor};

    use super::*;

    fn number(kind: &Type) -> u64 {
        match kind {
            Type::Message(_) | Type::String | Type::Bytes => 2,
            Type::Fixed64 | Type::Double => 1,
            Type::Fixed32 => 5,
            _ => 0,
        }
    }

    /// Compares the fields of a message, and of those in it.
    fn compare(of: Message, descriptor: &MessageDescriptor, seen: &mut Vec<Message>) {
        if seen.contains(&of) {
            return;
        }
        seen.push(of);
        for each in descriptor.fields() {
            let name = each.full_name();
            let (kind, _) = field(of, each.number().into()).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(kind.wire_type(), number(&each.kind()), "{name}");
            match (kind, each.kind()) {
                (Kind::Message(inner), Type::Message(descriptor)) => compare(inner, &descriptor, seen),
                (kind, Type::String) => assert_eq!(kind, Kind::Text, "{name}"),
                (kind, Type::Bytes) => assert_eq!(kind, Kind::Bytes, "{name}"),
                _ => {}
            }
        }
        let known = (1..100).filter(|number| field(of, *number).is_some());
        assert_eq!(known.count(), descriptor.fields().count(), "{of:?}");
    }

    #[test]
    fn every_field_of_otlp_is_known_with_its_type() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let mut seen = Vec::new();
        for (of, name) in [
            (Message::Traces, "trace.v1.ExportTraceServiceRequest"),
            (Message::Logs, "logs.v1.ExportLogsServiceRequest"),
        ] {
            let descriptor = pool.get_message_by_name(&format!("opentelemetry.proto.collector.{name}"));
            compare(of, &descriptor.unwrap(), &mut seen);
        }
        assert_eq!(seen.len(), 18);
    }
}
