//! An export, decoded. Its memory is counted first and reserved; parts that cannot be read are left out.

use std::borrow::Cow;

use mcptap_store::Reservation;
use memchr::memmem;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::{DecodeError, Message};

use crate::codec::{Encoding, Signal};
use crate::json::{Document, InvalidJson, tree_bytes};
use crate::losses::Losses;
use crate::status::Refusal;
use crate::{MAX_REQUEST_BYTES, wire};

/// The most bytes that the tree of a JSON request may take besides its texts: 96 MiB.
const MOST_TREE: usize = 96 << 20;

/// An export, decoded.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
}

impl Decoded {
    /// Whether it has no records at all.
    fn is_empty(&self) -> bool {
        match self {
            Self::Traces(request) => {
                let groups = request.resource_spans.iter();
                groups
                    .flat_map(|group| &group.scope_spans)
                    .all(|scope| scope.spans.is_empty())
            }
            Self::Logs(request) => {
                let groups = request.resource_logs.iter();
                groups
                    .flat_map(|group| &group.scope_logs)
                    .all(|scope| scope.log_records.is_empty())
            }
        }
    }
}

/// Refuses metrics that are an export of another signal: nothing is kept of metrics, and what is sent to the wrong place would be
/// lost without a word.
pub(crate) fn judge_metrics(encoding: Encoding, body: &[u8], held: &mut Reservation) -> Result<(), Refusal> {
    let own = Signal::Metrics;
    let other = match encoding {
        Encoding::Protobuf => wire::other_signal(own, body),
        Encoding::Json if memmem::find(body, b"resourceMetrics").is_some() => None,
        // A text that is no JSON is no export of another signal either.
        Encoding::Json => match parsed(&text(body, held)?, held) {
            Ok(document) => document.other_signal(own),
            Err(Refusal::Malformed(_)) => None,
            Err(refusal) => return Err(refusal),
        },
    };
    other.map_or(Ok(()), |other| Err(own.misplaced(other)))
}

/// Decodes an export of logs, or else of traces, and says which parts cannot be read. Its memory is added to `held`.
pub(crate) fn decode(
    encoding: Encoding,
    logs: bool,
    body: &[u8],
    held: &mut Reservation,
) -> Result<(Decoded, Losses), Refusal> {
    let (decoded, losses) = match encoding {
        Encoding::Protobuf => {
            let own = if logs { Signal::Logs } else { Signal::Traces };
            if let Some(other) = wire::other_signal(own, body) {
                return Err(own.misplaced(other));
            }
            lenient(logs, body, held)?
        }
        Encoding::Json => json(logs, body, held)?,
    };
    // Where nothing is left, it was no export of this kind.
    if losses.records.count > 0 && decoded.is_empty() {
        return Err(no_request(losses.records.example.unwrap_or_default()));
    }
    Ok((decoded, losses))
}

fn no_request(why: impl std::fmt::Display) -> Refusal {
    Refusal::Malformed(format!("the body is no OTLP request: {why}"))
}

/// Decodes protobuf, if need be without what cannot be decoded.
fn lenient(logs: bool, body: &[u8], held: &mut Reservation) -> Result<(Decoded, Losses), Refusal> {
    let before = held.bytes();
    let refusal = match protobuf(logs, body, held) {
        Err(refusal @ Refusal::Malformed(_)) => refusal,
        decoded => return Ok((decoded?, Losses::default())),
    };
    held.shrink_to(before);
    let room = body.len().saturating_mul(wire::GROWTH);
    held.grow(room)?;
    let (mended, losses) = wire::mend(message(logs), body).ok_or(refusal)?;
    let decoded = protobuf(logs, &mended, held)?;
    drop(mended);
    held.shrink_to(held.bytes().saturating_sub(room));
    Ok((decoded, losses))
}

fn message(logs: bool) -> wire::Message {
    if logs {
        wire::Message::Logs
    } else {
        wire::Message::Traces
    }
}

fn protobuf(logs: bool, body: &[u8], held: &mut Reservation) -> Result<Decoded, Refusal> {
    held.grow(wire::count(message(logs), body)?.bytes(body.len())?)?;
    let decoded: Result<_, DecodeError> = if logs {
        Message::decode(body).map(Decoded::Logs)
    } else {
        Message::decode(body).map(Decoded::Traces)
    };
    decoded.map_err(no_request)
}

/// The body as text. Bytes that are no UTF-8 become U+FFFD, so that they cost nothing beside them.
fn text<'a>(body: &'a [u8], held: &mut Reservation) -> Result<Cow<'a, str>, Refusal> {
    if let Ok(text) = std::str::from_utf8(body) {
        return Ok(Cow::Borrowed(text));
    }
    if let Some(wide) = Wide::of(body) {
        held.grow(body.len().saturating_mul(2))?;
        return bounded(wide.text(body)).map(Cow::Owned);
    }
    held.grow(body.len().saturating_mul(char::REPLACEMENT_CHARACTER.len_utf8()))?;
    bounded(String::from_utf8_lossy(body).into_owned()).map(Cow::Owned)
}

fn bounded(text: String) -> Result<String, Refusal> {
    if text.len() > MAX_REQUEST_BYTES {
        return Err(Refusal::TooLarge {
            limit: MAX_REQUEST_BYTES,
        });
    }
    Ok(text)
}

/// An encoding of text in units of two or four bytes, told by its byte order mark.
#[derive(Clone, Copy)]
struct Wide {
    is_utf32: bool,
    is_big_endian: bool,
}

impl Wide {
    fn of(body: &[u8]) -> Option<Self> {
        let (is_utf32, is_big_endian) = match body {
            // Before UTF-16, which begins alike.
            [0xff, 0xfe, 0, 0, ..] => (true, false),
            [0, 0, 0xfe, 0xff, ..] => (true, true),
            [0xff, 0xfe, ..] => (false, false),
            [0xfe, 0xff, ..] => (false, true),
            _ => return None,
        };
        Some(Self {
            is_utf32,
            is_big_endian,
        })
    }

    /// The text, with U+FFFD in the place of what is none.
    fn text(self, body: &[u8]) -> String {
        let unit = |bytes: &[u8]| {
            let add = |unit: u32, byte: &u8| (unit << 8) | u32::from(*byte);
            if self.is_big_endian {
                bytes.iter().fold(0, add)
            } else {
                bytes.iter().rev().fold(0, add)
            }
        };
        let units = body.chunks(if self.is_utf32 { 4 } else { 2 }).map(unit);
        let mut text: String = if self.is_utf32 {
            let read = |unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
            units.map(read).collect()
        } else {
            let units = units.map(|unit| u16::try_from(unit).unwrap_or_default());
            char::decode_utf16(units)
                .map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        };
        // The mark itself.
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        text
    }
}

/// The text as a tree, whose memory is added to `held`: with the texts, of which those with escapes are copied.
fn parsed<'a>(text: &'a str, held: &mut Reservation) -> Result<Document<'a>, Refusal> {
    let tree = tree_bytes(text.as_bytes());
    if tree > MOST_TREE {
        return Err(Refusal::TooMany(
            "the request has too many JSON values; send smaller batches".to_owned(),
        ));
    }
    held.grow(tree + text.len())?;
    Document::parse(text).map_err(malformed)
}

fn malformed(error: InvalidJson) -> Refusal {
    Refusal::Malformed(error.to_string())
}

fn json(logs: bool, body: &[u8], held: &mut Reservation) -> Result<(Decoded, Losses), Refusal> {
    let before = held.bytes();
    let text = text(body, held)?;
    let document = parsed(&text, held)?;
    let own = if logs { Signal::Logs } else { Signal::Traces };
    if let Some(other) = document.other_signal(own) {
        return Err(own.misplaced(other));
    }
    let bytes = document.census().bytes(text.len())?;
    // The texts that were copied into the tree are those of the export.
    held.resize(held.bytes() - text.len() + bytes)?;
    let (decoded, losses) = if logs {
        let (request, losses) = document.logs().map_err(malformed)?;
        (Decoded::Logs(request), losses)
    } else {
        let (request, losses) = document.traces().map_err(malformed)?;
        (Decoded::Traces(request), losses)
    };
    drop(document);
    drop(text);
    held.shrink_to(before + bytes);
    Ok((decoded, losses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_texts_are_told_by_their_mark() {
        let text = "{\"a\":\"é😀\"}";
        let marked = || format!("\u{feff}{text}");
        let utf16 = |bytes: fn(u16) -> [u8; 2]| marked().encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let utf32 = |bytes: fn(u32) -> [u8; 4]| marked().chars().flat_map(|one| bytes(one.into())).collect();
        for body in [
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            utf32(u32::to_le_bytes),
            utf32(u32::to_be_bytes),
        ] {
            assert_eq!(Wide::of(&body).unwrap().text(&body), text, "{body:?}");
        }
        for body in [&b"{}"[..], b"\xef\xbb\xbf{}", b"", b"\xff"] {
            assert!(Wide::of(body).is_none(), "{body:?}");
        }
        let half = b"\xff\xfe\x00\xd8{\x00\xff";
        assert_eq!(Wide::of(half).unwrap().text(half), "\u{fffd}{\u{ff}");
    }
}
