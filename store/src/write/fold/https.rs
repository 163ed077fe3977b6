//! The HTTP spans around a batch, by id, by parent and by time.

use std::collections::HashMap;

use mcptap_model::{HttpSpan, SpanId, SpanKind, SpanRef, TraceId};

use super::intervals::{Interval, Intervals};

/// How many HTTP spans may stand between a client's span and the server's.
pub(crate) const HOPS: usize = 8;

/// How many spans of the same id are looked at: a redelivery, or one sent at its begin and at its end.
const SAME_ID: usize = 8;

/// HTTP spans, and where each is found.
pub(super) struct Https<'a> {
    spans: &'a [HttpSpan],
    by_id: HashMap<SpanRef, Vec<usize>>,
    by_parent: HashMap<SpanRef, Vec<usize>>,
    received: HashMap<(TraceId, Option<&'a str>), Intervals>,
    /// Spans with which a server received a request, below a span over HTTP spans, and how far below.
    answers: HashMap<SpanRef, Vec<(usize, usize)>>,
}

impl<'a> Https<'a> {
    /// An index over these spans. The first of an id is the one that counts.
    pub(super) fn new(spans: &'a [HttpSpan]) -> Self {
        let mut by_id: HashMap<SpanRef, Vec<usize>> = HashMap::with_capacity(spans.len());
        let mut by_parent: HashMap<SpanRef, Vec<usize>> = HashMap::new();
        let mut received: HashMap<(TraceId, Option<&str>), Vec<Interval>> = HashMap::new();
        for (index, http) in spans.iter().enumerate() {
            let span = |span_id| SpanRef {
                trace_id: http.trace_id,
                span_id,
            };
            let same = by_id.entry(span(http.span_id)).or_default();
            if same.len() == SAME_ID {
                continue;
            }
            same.push(index);
            if let Some(parent) = http.parent_span_id {
                by_parent.entry(span(parent)).or_default().push(index);
            }
            if http.kind == SpanKind::Server {
                let key = (http.trace_id, http.origin.service.as_deref());
                let place = (http.started_at.0, http.ended_at.0, index);
                received.entry(key).or_default().push(place);
            }
        }
        let received = received
            .into_iter()
            .map(|(key, items)| (key, Intervals::new(items)));
        let mut index = Self {
            spans,
            by_id,
            by_parent,
            received: received.collect(),
            answers: HashMap::new(),
        };
        let mut answers: HashMap<SpanRef, Vec<(usize, usize)>> = HashMap::new();
        for (at, http) in spans.iter().enumerate() {
            if http.kind == SpanKind::Server {
                for (depth, span_id) in index.ancestors(http.trace_id, http.parent_span_id).enumerate() {
                    let span = SpanRef {
                        trace_id: http.trace_id,
                        span_id,
                    };
                    answers.entry(span).or_default().push((at, depth));
                }
            }
        }
        index.answers = answers;
        index
    }

    /// The first span of that id.
    pub(super) fn get(&self, span: SpanRef) -> Option<&'a HttpSpan> {
        self.all(span).next()
    }

    /// All spans of that id.
    pub(super) fn all(&self, span: SpanRef) -> impl Iterator<Item = &'a HttpSpan> + '_ {
        self.at(self.by_id.get(&span))
    }

    /// The spans right below another.
    pub(super) fn below(&self, parent: SpanRef) -> impl Iterator<Item = &'a HttpSpan> + '_ {
        self.at(self.by_parent.get(&parent))
    }

    fn at<'s>(&'s self, places: Option<&'s Vec<usize>>) -> impl Iterator<Item = &'a HttpSpan> + 's {
        let places = places.map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|index| self.spans.get(*index))
    }

    /// With what a service received requests in a trace: what started at or before `from` and ended at or after `to`.
    pub(super) fn received<'s>(
        &'s self,
        trace: TraceId,
        service: Option<&'s str>,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = &'a HttpSpan> + 's {
        let intervals = self.received.get(&(trace, service)).into_iter();
        intervals
            .flat_map(move |intervals| intervals.around(from, to))
            .filter_map(move |index| self.spans.get(index))
    }

    /// With what servers received a request below this span, each with how many HTTP spans are between.
    pub(super) fn answers(&self, above: SpanRef) -> impl Iterator<Item = (usize, &'a HttpSpan)> + '_ {
        let answers = self.answers.get(&above).map(Vec::as_slice).unwrap_or_default();
        answers
            .iter()
            .filter_map(|(at, depth)| Some((*depth, self.spans.get(*at)?)))
    }

    /// A span's parent and, over HTTP spans, the parents above.
    pub(super) fn ancestors(
        &self,
        trace_id: TraceId,
        parent: Option<SpanId>,
    ) -> impl Iterator<Item = SpanId> + '_ {
        let above = move |span_id: &SpanId| {
            let span_id = *span_id;
            self.get(SpanRef { trace_id, span_id })?.parent_span_id
        };
        std::iter::successors(parent, above).take(HOPS)
    }
}
