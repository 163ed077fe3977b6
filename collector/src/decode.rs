//! An export, decoded. Its memory is counted first and reserved; parts that cannot be read are left out.

use std::borrow::Cow;

use mcptap_store::Reservation;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::{DecodeError, Message};

use crate::codec::Encoding;
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

/// Decodes an export of logs, or else of traces, and says which parts cannot be read. Its memory is added to `held`.
pub(crate) fn decode(
    encoding: Encoding,
    logs: bool,
    body: &[u8],
    held: &mut Reservation,
) -> Result<(Decoded, Losses), Refusal> {
    let (decoded, losses) = match encoding {
        Encoding::Protobuf => lenient(logs, body, held)?,
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
    held.grow(body.len().saturating_mul(char::REPLACEMENT_CHARACTER.len_utf8()))?;
    let text = String::from_utf8_lossy(body);
    if text.len() > MAX_REQUEST_BYTES {
        return Err(Refusal::TooLarge {
            limit: MAX_REQUEST_BYTES,
        });
    }
    Ok(text)
}

fn json(logs: bool, body: &[u8], held: &mut Reservation) -> Result<(Decoded, Losses), Refusal> {
    let before = held.bytes();
    let text = text(body, held)?;
    let tree = tree_bytes(text.as_bytes());
    if tree > MOST_TREE {
        return Err(Refusal::TooMany(
            "the request has too many JSON values; send smaller batches".to_owned(),
        ));
    }
    // The texts with escapes are copied into the tree.
    let parsed = held.bytes() + tree;
    held.resize(parsed + text.len())?;
    let malformed = |error: InvalidJson| Refusal::Malformed(error.to_string());
    let document = Document::parse(&text).map_err(malformed)?;
    let bytes = document.census().bytes(text.len())?;
    held.resize(parsed + bytes)?;
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
