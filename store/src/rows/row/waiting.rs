//! What came before its call, as a row.

use std::sync::Arc;

use mcptap_model::{HttpSpan, LogLine, Origin, SpanRef};

use super::{log_fingerprint, span_number, trace_halves};
use crate::db::insert::{Kind, Record, Sink, Table};
use crate::rows::hash::Identity;
use crate::rows::intern::{Ids, Interner, Local};
use crate::write::fold::{InTrace, Parts, Target, Watcher};

/// The kinds of rows of `waiting`. Frozen: never renumber.
pub(crate) mod kind {
    /// An HTTP span.
    pub(crate) const HTTP: i16 = 0;
    /// A log line.
    pub(crate) const LOG: i16 = 1;
    /// A link of a call to a span that has not come.
    pub(crate) const LINK: i16 = 2;
    /// The span above a client's view that was folded into a call.
    pub(crate) const VIEW: i16 = 3;
    /// A link of a call to an HTTP span that had come. No rule reads it: an erasure of the call finds the span by it.
    pub(crate) const JOINED: i16 = 4;
    /// A watcher's span that is part of a call: in its trace, or under the key of its request.
    pub(crate) const WATCHER: i16 = 5;
    /// The parts of a call that are one request only as far as is known. Found by the call alone.
    pub(crate) const PARTS: i16 = 6;
}

/// What waits, before the ids it refers to are known.
#[derive(Debug)]
pub(crate) struct Waiting {
    trace_hi: i64,
    /// Of a watcher's span also the key of its request.
    trace_lo: i64,
    fingerprint: i64,
    kind: i16,
    call: Option<Target>,
    origin: Option<Local>,
    /// The span that it refers to: an HTTP span's parent, the span that a line names, a link's target.
    span: Option<i64>,
    /// When an HTTP span ended, or when a line was written.
    ended_at: Option<i64>,
    data: Vec<u8>,
    arrived_at: i64,
}

/// The fingerprint under which an HTTP span waits.
pub(crate) fn http_fingerprint(span: SpanRef) -> i64 {
    http_fingerprint_of(trace_halves(span.trace_id).0, span_number(span.span_id))
}

/// The same, by the first half of the trace's id and the number of the span's.
pub(crate) fn http_fingerprint_of(trace_hi: i64, span: i64) -> i64 {
    Identity::default()
        .start(b'h')
        .number(trace_hi)
        .number(span)
        .hash8()
}

/// Tells what refers to one call from what refers to another: it is XORed to fingerprints, which no database takes for an
/// overflow.
fn salt(call: i64) -> i64 {
    call.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)
}

/// By what the fingerprint of a row differs where it refers to another call, by XOR.
pub(crate) fn moved(from: i64, to: i64) -> i64 {
    salt(from) ^ salt(to)
}

impl Waiting {
    /// An HTTP span. Its origin is stored apart.
    pub(crate) fn http(mut span: HttpSpan, interner: &mut Interner, arrived_at: i64) -> Self {
        let origin = interner.origin(&std::mem::take(&mut span.origin));
        let fingerprint = http_fingerprint(SpanRef {
            trace_id: span.trace_id,
            span_id: span.span_id,
        });
        let data = serde_json::to_vec(&span).unwrap_or_default();
        let (trace_hi, trace_lo) = trace_halves(span.trace_id);
        Self {
            trace_hi,
            trace_lo,
            fingerprint,
            kind: kind::HTTP,
            call: None,
            origin: Some(origin),
            span: span.parent_span_id.map(span_number),
            ended_at: Some(span.ended_at.0),
            data,
            arrived_at,
        }
    }

    /// A log line, and the call that has it meanwhile.
    pub(crate) fn log(line: &LogLine, call: Option<Target>, arrived_at: i64) -> Self {
        let data = serde_json::to_vec(line).unwrap_or_default();
        let (trace_hi, trace_lo) = trace_halves(line.trace_id);
        let fingerprint = Identity::default()
            .start(b'l')
            .number(trace_hi)
            .number(log_fingerprint(line))
            .hash8();
        Self {
            trace_hi,
            trace_lo,
            fingerprint,
            kind: kind::LOG,
            call,
            origin: None,
            span: line.span_id.map(span_number),
            ended_at: Some(line.time.0),
            data,
            arrived_at,
        }
    }

    /// A link of a call.
    pub(crate) fn link(target: SpanRef, call: Target, arrived_at: i64) -> Self {
        let (trace_hi, trace_lo) = trace_halves(target.trace_id);
        let fingerprint = Identity::default()
            .start(b'k')
            .number(trace_hi)
            .number(span_number(target.span_id))
            .hash8();
        let data = serde_json::to_vec(&target).unwrap_or_default();
        Self {
            trace_hi,
            trace_lo,
            fingerprint,
            kind: kind::LINK,
            call: Some(call),
            origin: None,
            span: Some(span_number(target.span_id)),
            ended_at: None,
            data,
            arrived_at,
        }
    }

    /// A link of a call to an HTTP span that is here already. Nothing waits for it, so it is not found by its span.
    pub(crate) fn joined(target: SpanRef, call: Target, arrived_at: i64) -> Self {
        Self {
            trace_hi: trace_halves(target.trace_id).0,
            trace_lo: trace_halves(target.trace_id).1,
            fingerprint: Identity::default()
                .start(b'j')
                .number(trace_halves(target.trace_id).0)
                .number(span_number(target.span_id))
                .hash8(),
            kind: kind::JOINED,
            call: Some(call),
            origin: None,
            span: None,
            ended_at: None,
            data: serde_json::to_vec(&target).unwrap_or_default(),
            arrived_at,
        }
    }

    /// The span above a client's view.
    pub(crate) fn view(
        above: SpanRef,
        origin: &Arc<Origin>,
        call: Target,
        interner: &mut Interner,
        arrived_at: i64,
    ) -> Self {
        let (trace_hi, trace_lo) = trace_halves(above.trace_id);
        let fingerprint = Identity::default()
            .start(b'w')
            .number(trace_hi)
            .number(span_number(above.span_id))
            .hash8();
        Self {
            trace_hi,
            trace_lo,
            fingerprint,
            kind: kind::VIEW,
            call: Some(call),
            origin: Some(interner.origin(origin)),
            span: Some(span_number(above.span_id)),
            ended_at: None,
            data: serde_json::to_vec(&above).unwrap_or_default(),
            arrived_at,
        }
    }

    /// A watcher's span that is part of a call: for those in its trace, and for those that know what names its request.
    pub(crate) fn watcher(
        watcher: &Watcher,
        call: Target,
        in_trace: InTrace,
        arrived_at: i64,
    ) -> impl Iterator<Item = Self> {
        let (trace_hi, trace_lo) = trace_halves(watcher.span.trace_id);
        let data = serde_json::to_vec(watcher).unwrap_or_default();
        let span = span_number(watcher.span.span_id);
        let ended_at = Some(watcher.until().0);
        let places = in_trace.then_some(trace_lo).into_iter().chain(watcher.key());
        places.map(move |place| Self {
            trace_hi,
            trace_lo: place,
            fingerprint: Identity::default()
                .start(b'o')
                .number(trace_hi)
                .number(trace_lo)
                .number(span)
                .hash8(),
            kind: kind::WATCHER,
            call: Some(call),
            origin: None,
            span: Some(span),
            ended_at,
            data: data.clone(),
            arrived_at,
        })
    }

    /// The parts of a call, in the trace of the last span of the last one.
    pub(crate) fn parts(parts: &Parts, call: Target, arrived_at: i64) -> Self {
        let spans = parts.iter().flat_map(|part| &part.spans);
        let trace = spans.last().map(|span| trace_halves(span.trace_id));
        let (trace_hi, trace_lo) = trace.unwrap_or_default();
        Self {
            trace_hi,
            trace_lo,
            // A call has them once.
            fingerprint: Identity::default().start(b'p').hash8(),
            kind: kind::PARTS,
            call: Some(call),
            origin: None,
            span: None,
            ended_at: None,
            data: serde_json::to_vec(parts).unwrap_or_default(),
            arrived_at,
        }
    }

    /// With the ids it refers to.
    pub(crate) fn row(mut self, ids: &Ids, row_of: impl Fn(Target) -> i64) -> WaitingRow {
        let call = self.call.map(row_of);
        let origin = self.origin.map(|origin| ids.of(origin));
        if let Some(call) = call
            && self.kind != kind::LOG
        {
            // Several calls may link to the same span.
            self.fingerprint ^= salt(call);
        }
        WaitingRow {
            waiting: self,
            call,
            origin,
        }
    }
}

/// A row of `waiting`.
pub(crate) struct WaitingRow {
    waiting: Waiting,
    call: Option<i64>,
    origin: Option<i64>,
}

impl Record for WaitingRow {
    const TABLE: Table = Table {
        name: "waiting",
        columns: &[
            ("trace_hi", Kind::Integer),
            ("trace_lo", Kind::Integer),
            ("fingerprint", Kind::Integer),
            ("kind", Kind::Integer),
            ("call", Kind::Integer),
            ("origin", Kind::Integer),
            ("span_id", Kind::Integer),
            ("ended_at", Kind::Integer),
            ("data", Kind::Bytes),
            ("arrived_at", Kind::Integer),
        ],
        conflict: "ON CONFLICT DO NOTHING",
    };

    fn bind(self, sink: &mut impl Sink) {
        sink.integer(Some(self.waiting.trace_hi));
        sink.integer(Some(self.waiting.trace_lo));
        sink.integer(Some(self.waiting.fingerprint));
        sink.integer(Some(i64::from(self.waiting.kind)));
        sink.integer(self.call);
        sink.integer(self.origin);
        sink.integer(self.waiting.span);
        sink.integer(self.waiting.ended_at);
        sink.bytes(Some(self.waiting.data));
        sink.integer(Some(self.waiting.arrived_at));
    }
}
