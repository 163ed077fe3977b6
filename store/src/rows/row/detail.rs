//! What lists leave out, as a row.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::json;
use crate::db::insert::{Kind, Record, Sink, Table};
use crate::rows::body::{Bodies, Body, flag, pack};

/// A row of `details`, before its call's number is known.
#[derive(Debug)]
pub(crate) struct DetailRow {
    request: Option<Arc<[u8]>>,
    request_bytes: Option<i64>,
    response: Option<Arc<[u8]>>,
    response_bytes: Option<i64>,
    stack_trace: Option<Vec<u8>>,
    attributes: Option<Vec<u8>>,
    flags: i16,
}

impl DetailRow {
    /// The heavy part of a call; `None` when there is nothing of it.
    pub(super) fn new(
        bodies: Bodies,
        stack_trace: Option<String>,
        attributes: &Map<String, Value>,
    ) -> Option<Self> {
        let mut flags = 0;
        let mut raise = |flag, raised| {
            if raised {
                flags |= flag
            }
        };
        let mut body = |body: Option<Body>, [compressed, truncated, redacted]: [i16; 3]| {
            let Some(body) = body else {
                return (None, None);
            };
            raise(compressed, body.compressed);
            raise(truncated, body.truncated);
            raise(redacted, body.redacted);
            (
                Some(body.data),
                Some(i64::try_from(body.bytes).unwrap_or(i64::MAX)),
            )
        };
        let (request, request_bytes) = body(
            bodies.request,
            [
                flag::REQUEST_COMPRESSED,
                flag::REQUEST_TRUNCATED,
                flag::REQUEST_REDACTED,
            ],
        );
        let (response, response_bytes) = body(
            bodies.response,
            [
                flag::RESPONSE_COMPRESSED,
                flag::RESPONSE_TRUNCATED,
                flag::RESPONSE_REDACTED,
            ],
        );
        let stack_trace = stack_trace.map(|text| {
            let (bytes, packed) = pack(text.into_bytes());
            raise(flag::STACK_TRACE_COMPRESSED, packed);
            bytes
        });
        let attributes = json(attributes).map(|text| {
            let (bytes, packed) = pack(text);
            raise(flag::ATTRIBUTES_COMPRESSED, packed);
            bytes
        });
        if request.is_none() && response.is_none() && stack_trace.is_none() && attributes.is_none() {
            return None;
        }
        Some(Self {
            request,
            request_bytes,
            response,
            response_bytes,
            stack_trace,
            attributes,
            flags,
        })
    }

    /// Of a call that is new.
    pub(crate) fn added(self, call: i64) -> AddedDetails {
        AddedDetails(call, self)
    }

    /// Of a call that is more complete now.
    pub(crate) fn completed(self, call: i64) -> CompletedDetails {
        CompletedDetails(call, self)
    }

    fn bind(self, call: i64, sink: &mut impl Sink) {
        sink.integer(Some(call));
        sink.bytes(self.request.map(|data| data.to_vec()));
        sink.integer(self.request_bytes);
        sink.bytes(self.response.map(|data| data.to_vec()));
        sink.integer(self.response_bytes);
        sink.bytes(self.stack_trace);
        sink.bytes(self.attributes);
        sink.integer(Some(i64::from(self.flags)));
    }
}

/// The details of a call that is new.
pub(crate) struct AddedDetails(i64, DetailRow);

/// The details of a call that is more complete now.
pub(crate) struct CompletedDetails(i64, DetailRow);

const COLUMNS: &[(&str, Kind)] = &[
    ("call", Kind::Integer),
    ("request", Kind::Bytes),
    ("request_bytes", Kind::Integer),
    ("response", Kind::Bytes),
    ("response_bytes", Kind::Integer),
    ("stack_trace", Kind::Bytes),
    ("attributes", Kind::Bytes),
    ("flags", Kind::Integer),
];

impl Record for AddedDetails {
    const TABLE: Table = Table {
        name: "details",
        columns: COLUMNS,
        conflict: "",
    };

    fn bind(self, sink: &mut impl Sink) {
        self.1.bind(self.0, sink);
    }
}

impl Record for CompletedDetails {
    const TABLE: Table = Table {
        name: "details",
        columns: COLUMNS,
        conflict: "ON CONFLICT (call) DO UPDATE SET request = excluded.request, \
            request_bytes = excluded.request_bytes, response = excluded.response, \
            response_bytes = excluded.response_bytes, stack_trace = excluded.stack_trace, \
            attributes = excluded.attributes, flags = excluded.flags",
    };

    fn bind(self, sink: &mut impl Sink) {
        self.1.bind(self.0, sink);
    }
}
