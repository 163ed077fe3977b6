//! Rows of details and of log lines as domain values.

use mcptap_model::{LogLine, Payload, UnixNanos};
use serde_json::{Map, Value};

use crate::rows::body::{Bodies, Body, flag, unpack};
use crate::rows::entity::{detail, log_line};
use crate::rows::row::{span_of, trace_of};
use crate::write::fold::Heavy;
use crate::{Details, Error};

/// A row of `details` as folding takes it: what is not looked at stays compressed.
pub(crate) fn heavy(row: detail::Model) -> Result<Heavy, Error> {
    let damaged = |what| Error::Damaged {
        table: "details",
        row: row.call,
        what,
    };
    let body = |data: Option<Vec<u8>>, bytes: Option<i64>, [compressed, truncated, redacted]: [i16; 3]| {
        data.map(|data| Body {
            bytes: bytes
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or(data.len() as u64),
            data: data.into(),
            compressed: row.flags & compressed != 0,
            truncated: row.flags & truncated != 0,
            redacted: row.flags & redacted != 0,
        })
    };
    let text = |data: Option<Vec<u8>>, packed: i16| {
        data.map(|data| unpack(data, row.flags & packed != 0).ok_or_else(|| damaged("a text cannot be read")))
            .transpose()
    };
    Ok(Heavy {
        bodies: Bodies {
            request: body(
                row.request,
                row.request_bytes,
                [
                    flag::REQUEST_COMPRESSED,
                    flag::REQUEST_TRUNCATED,
                    flag::REQUEST_REDACTED,
                ],
            ),
            response: body(
                row.response,
                row.response_bytes,
                [
                    flag::RESPONSE_COMPRESSED,
                    flag::RESPONSE_TRUNCATED,
                    flag::RESPONSE_REDACTED,
                ],
            ),
        },
        stack_trace: text(row.stack_trace, flag::STACK_TRACE_COMPRESSED)?,
        attributes: object(text(row.attributes, flag::ATTRIBUTES_COMPRESSED)?.as_deref())
            .ok_or_else(|| damaged("the attributes cannot be read"))?,
    })
}

/// A row of `details` as it was given: without what [`crate::Store::details`] adds of the origin.
pub(crate) fn details(row: detail::Model) -> Result<Details, Error> {
    let damaged = |what| Error::Damaged {
        table: "details",
        row: row.call,
        what,
    };
    let body = |data: Option<Vec<u8>>, bytes: Option<i64>, [packed, truncated, redacted]: [i16; 3]| {
        let Some(data) = data else {
            return Ok::<_, Error>(None);
        };
        let text = unpack(data, row.flags & packed != 0).ok_or_else(|| damaged("a body cannot be read"))?;
        let bytes = bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(text.len() as u64);
        Ok(Some(Payload {
            text,
            bytes,
            truncated: row.flags & truncated != 0,
            redacted: row.flags & redacted != 0,
        }))
    };
    let text = |data: Option<Vec<u8>>, packed: i16| {
        data.map(|data| unpack(data, row.flags & packed != 0).ok_or_else(|| damaged("a text cannot be read")))
            .transpose()
    };
    Ok(Details {
        request: body(
            row.request,
            row.request_bytes,
            [
                flag::REQUEST_COMPRESSED,
                flag::REQUEST_TRUNCATED,
                flag::REQUEST_REDACTED,
            ],
        )?,
        response: body(
            row.response,
            row.response_bytes,
            [
                flag::RESPONSE_COMPRESSED,
                flag::RESPONSE_TRUNCATED,
                flag::RESPONSE_REDACTED,
            ],
        )?,
        stack_trace: text(row.stack_trace, flag::STACK_TRACE_COMPRESSED)?,
        attributes: object(text(row.attributes, flag::ATTRIBUTES_COMPRESSED)?.as_deref())
            .ok_or_else(|| damaged("the attributes cannot be read"))?,
    })
}

/// The object of a text; an empty one where there is no text, and `None` where it is no object.
fn object(text: Option<&str>) -> Option<Map<String, Value>> {
    text.map_or_else(|| Some(Map::new()), |text| serde_json::from_str(text).ok())
}

/// A row of `log_lines` as a log line, with as much of it as can be read: a line that lost a part is better than none.
/// `damaged` is told of the rest. `None` where it cannot be a line.
pub(crate) fn log_line(row: log_line::Model, damaged: &mut impl FnMut(&Error)) -> Option<LogLine> {
    let mut tell = |what| {
        damaged(&Error::Damaged {
            table: "log_lines",
            row: row.call,
            what,
        });
    };
    let Some(trace_id) = trace_of(row.trace_hi, row.trace_lo) else {
        tell("trace id is zero");
        return None;
    };
    let body = String::from_utf8(row.body).unwrap_or_else(|error| {
        tell("the body is no text");
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    });
    let attributes = row
        .attributes
        .map_or_else(|| Some(Map::new()), |text| serde_json::from_slice(&text).ok());
    Some(LogLine {
        trace_id,
        span_id: row.span_id.and_then(span_of),
        service: None,
        time: UnixNanos(row.time),
        severity: row.severity,
        body,
        attributes: attributes.unwrap_or_else(|| {
            tell("the attributes cannot be read");
            Map::new()
        }),
    })
}
