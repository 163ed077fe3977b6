//! Whose the HTTP spans and lines are that wait in some traces: of calls that are erased, of calls that stay, or of nobody by ids.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use mcptap_model::{HttpSpan, SpanKind, SpanRef};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};

use super::{Erased, Trace, UNTOLD, last_halves, trace_of};
use crate::Error;
use crate::rows::entity::{alias, call, waiting};
use crate::rows::row::{joined_by, joined_fingerprint, kind, span_number, trace_halves};

/// How far times of one request may differ that different spans give, in nanoseconds.
const SLACK: i64 = 5_000_000;

/// A span, by its trace and its own id.
type Span = (Trace, i64);

/// Whose something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owners {
    /// A call that is erased.
    erased: bool,
    /// A call that stays.
    other: bool,
}

impl Owners {
    fn add(&mut self, is_erased: bool) {
        self.erased |= is_erased;
        self.other |= !is_erased;
    }

    /// Adds those of something else. Tells whether there were new ones.
    fn join(&mut self, others: Self) -> bool {
        let before = *self;
        self.erased |= others.erased;
        self.other |= others.other;
        *self != before
    }
}

/// An HTTP span that waits.
#[derive(Clone, Copy, Debug)]
struct Http {
    row: i64,
    span: Span,
    parent: Option<Span>,
    /// The number by which calls that were joined with it name it.
    joined: i64,
    is_servers: bool,
    from: i64,
    to: i64,
}

/// A line that waits.
#[derive(Clone, Copy, Debug)]
struct Line {
    row: i64,
    trace: Trace,
    /// The span that it names.
    span: Option<Span>,
    at: Option<i64>,
}

/// Columns of what waits: a line, and what names a span; and of a call.
type LineRow = (i64, i64, Option<i64>, Option<Vec<u8>>, Option<i64>, Option<i64>);
type NamedRow = (i64, i16, i64, Option<i64>, Option<Vec<u8>>, Option<i64>, i64);
type CallRow = (i64, i64, i64, i64, Option<i64>, Option<i64>);

/// What is known of some traces.
#[derive(Debug, Default)]
pub(super) struct Known {
    https: Vec<Http>,
    lines: Vec<Line>,
    /// Rows that cannot be read. They are nobody's.
    damaged: Vec<i64>,
    /// By spans that are part of calls.
    spans: HashMap<Span, Owners>,
    /// By spans above calls, and those that calls link to.
    above: HashMap<Span, Owners>,
    /// By [`Http::joined`].
    joined: HashMap<i64, Owners>,
}

impl Known {
    /// Reads of these traces. What waits is found by their last halves; that of others with the same is kept apart by what it
    /// is of.
    pub(super) async fn read(
        db: &DatabaseTransaction,
        traces: HashSet<Trace>,
        erased: &[Erased],
    ) -> Result<Self, Error> {
        let mut known = Self::default();
        if traces.is_empty() {
            return Ok(known);
        }
        let of = traces;
        let traces = last_halves(&of);
        let among = |column: waiting::Column| column.is_in(traces.iter().copied());
        let lines: Vec<LineRow> = waiting::Entity::find()
            .select_only()
            .columns([
                waiting::Column::Id,
                waiting::Column::TraceLo,
                waiting::Column::TraceHi,
            ])
            .column_as(Expr::cust(UNTOLD), "untold")
            .columns([waiting::Column::SpanId, waiting::Column::EndedAt])
            .filter(among(waiting::Column::TraceLo))
            .filter(waiting::Column::Call.is_null())
            .filter(waiting::Column::Kind.eq(kind::LOG))
            .into_tuple()
            .all(db)
            .await?;
        for (row, lo, hi, untold, span, at) in lines {
            match trace_of(lo, (hi, untold)) {
                Some(trace) => known.lines.push(Line {
                    row,
                    trace,
                    span: span.map(|span| (trace, span)),
                    at,
                }),
                None => known.damaged.push(row),
            }
        }
        // One at a time: they hold all that is known of their requests.
        let mut https = waiting::Entity::find()
            .filter(among(waiting::Column::TraceLo))
            .filter(waiting::Column::Call.is_null())
            .filter(waiting::Column::Kind.eq(kind::HTTP))
            .stream(db)
            .await?;
        while let Some(row) = https.try_next().await? {
            match serde_json::from_slice(&row.data) {
                Ok(span) => known.https.push(Http::of(row.id, &span)),
                Err(_) if row.trace_hi.is_none_or(|hi| of.contains(&(row.trace_lo, hi))) => {
                    known.damaged.push(row.id);
                }
                Err(_) => {}
            }
        }
        drop(https);
        if !known.https.is_empty() {
            known.read_calls(db, &of, erased).await?;
        }
        Ok(known)
    }

    /// The spans of the calls, and those that they name.
    async fn read_calls(
        &mut self,
        db: &DatabaseTransaction,
        traces: &HashSet<Trace>,
        erased: &[Erased],
    ) -> Result<(), Error> {
        let rows: HashSet<i64> = erased.iter().map(|call| call.row).collect();
        // With the first halves too: a trace of others that ends alike may be very large.
        let first: HashSet<i64> = traces.iter().map(|(_, hi)| *hi).collect();
        let traces = last_halves(traces);
        let calls: Vec<CallRow> = call::Entity::find()
            .select_only()
            .columns([
                call::Column::Id,
                call::Column::TraceLo,
                call::Column::TraceHi,
                call::Column::SpanId,
                call::Column::PrimarySpanId,
                call::Column::ParentSpanId,
            ])
            .filter(call::Column::TraceLo.is_in(traces.iter().copied()))
            .filter(call::Column::TraceHi.is_in(first.iter().copied()))
            .into_tuple()
            .all(db)
            .await?;
        for (row, lo, hi, span, primary, parent) in calls {
            let trace = (lo, hi);
            let is_erased = rows.contains(&row);
            for span in [Some(span), primary].into_iter().flatten() {
                self.spans.entry((trace, span)).or_default().add(is_erased);
            }
            if let Some(parent) = parent {
                self.above.entry((trace, parent)).or_default().add(is_erased);
            }
        }
        let aliases: Vec<(i64, i64, i64, i64)> = alias::Entity::find()
            .select_only()
            .columns([
                alias::Column::TraceLo,
                alias::Column::TraceHi,
                alias::Column::SpanId,
                alias::Column::Call,
            ])
            .filter(alias::Column::TraceLo.is_in(traces.iter().copied()))
            .filter(alias::Column::TraceHi.is_in(first.iter().copied()))
            .filter(alias::Column::Call.is_not_null())
            .into_tuple()
            .all(db)
            .await?;
        for (lo, hi, span, row) in aliases {
            let owners = self.spans.entry(((lo, hi), span)).or_default();
            owners.add(rows.contains(&row));
        }
        let named: Vec<NamedRow> = waiting::Entity::find()
            .select_only()
            .columns([
                waiting::Column::Call,
                waiting::Column::Kind,
                waiting::Column::TraceLo,
                waiting::Column::TraceHi,
            ])
            .column_as(Expr::cust(UNTOLD), "untold")
            .columns([waiting::Column::SpanId, waiting::Column::Fingerprint])
            .filter(waiting::Column::TraceLo.is_in(traces.iter().copied()))
            .filter(waiting::Column::Call.is_not_null())
            .filter(waiting::Column::Kind.is_in([kind::LINK, kind::VIEW, kind::JOINED]))
            .into_tuple()
            .all(db)
            .await?;
        for (row, is, lo, hi, untold, span, fingerprint) in named {
            let owners = if is == kind::JOINED {
                self.joined.entry(joined_by(fingerprint, row)).or_default()
            } else if let Some((span, trace)) = span.zip(trace_of(lo, (hi, untold))) {
                self.above.entry((trace, span)).or_default()
            } else {
                continue;
            };
            owners.add(rows.contains(&row));
        }
        Ok(())
    }

    /// The rows that go.
    pub(super) fn going(&self, erased: &[Erased]) -> Vec<i64> {
        let mut of_trace: HashMap<Trace, Vec<&Erased>> = HashMap::new();
        for call in erased {
            of_trace.entry(call.trace).or_default().push(call);
        }
        let at_the_time = |trace: Trace, may: &dyn Fn(&Erased) -> bool| {
            let calls = of_trace.get(&trace);
            calls.is_some_and(|calls| calls.iter().any(|call| may(call)))
        };
        let mut going = self.damaged.clone();
        let mut gone = HashSet::new();
        let mut kept = HashSet::new();
        for (http, owners) in self.https.iter().zip(self.owners()) {
            if owners.other {
                kept.insert(http.span);
            } else if owners.erased || at_the_time(http.span.0, &|call| http.may_be_of(call)) {
                gone.insert(http.span);
                going.push(http.row);
            }
        }
        let spans = |call: &Erased| [Some(call.span), call.primary].map(|span| Some((call.trace, span?)));
        let own: HashSet<Span> = erased.iter().flat_map(spans).flatten().collect();
        for line in &self.lines {
            let named = |spans: &HashSet<Span>| line.span.is_some_and(|span| spans.contains(&span));
            let goes = named(&own)
                || named(&gone)
                || !named(&kept) && at_the_time(line.trace, &|call| line.may_be_of(call));
            if goes {
                going.push(line.row);
            }
        }
        going
    }

    /// Whose each HTTP span is, by ids.
    fn owners(&self) -> Vec<Owners> {
        let by_span: HashMap<Span, usize> = self
            .https
            .iter()
            .enumerate()
            .map(|(at, http)| (http.span, at))
            .collect();
        let parent = |at: usize| {
            let http = self.https.get(at)?;
            by_span.get(&http.parent?).copied()
        };
        // Above a call: what carried it, and what led to that.
        let mut above = vec![Owners::default(); self.https.len()];
        for (at, http) in self.https.iter().enumerate() {
            let mut owners = self.above.get(&http.span).copied().unwrap_or_default();
            owners.join(self.joined.get(&http.joined).copied().unwrap_or_default());
            let mut next = (owners != Owners::default()).then_some(at);
            while let Some(at) = next
                && let Some(known) = above.get_mut(at)
                && known.join(owners)
            {
                next = parent(at);
            }
        }
        // Below a call: what it sent, and what that led to.
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        for at in 0..self.https.len() {
            if let Some(parent) = parent(at) {
                children.entry(parent).or_default().push(at);
            }
        }
        let mut below = vec![Owners::default(); self.https.len()];
        let of_call = |http: &Http| self.spans.get(&http.parent?).copied();
        let roots = self.https.iter().enumerate();
        let mut left: Vec<(usize, Owners)> = roots
            .filter_map(|(at, http)| Some((at, of_call(http)?)))
            .collect();
        while let Some((at, owners)) = left.pop() {
            if below.get_mut(at).is_some_and(|known| known.join(owners)) {
                let children = children.get(&at).into_iter().flatten();
                left.extend(children.map(|child| (*child, owners)));
            }
        }
        for (owners, below) in above.iter_mut().zip(below) {
            owners.join(below);
        }
        above
    }
}

impl Http {
    fn of(row: i64, span: &HttpSpan) -> Self {
        let (hi, lo) = trace_halves(span.trace_id);
        let trace = (lo, hi);
        let own = SpanRef {
            trace_id: span.trace_id,
            span_id: span.span_id,
        };
        Self {
            row,
            span: (trace, span_number(span.span_id)),
            parent: span.parent_span_id.map(|parent| (trace, span_number(parent))),
            joined: joined_fingerprint(own),
            is_servers: span.kind == SpanKind::Server,
            from: span.started_at.0.saturating_sub(SLACK),
            to: span.ended_at.0.saturating_add(SLACK),
        }
    }

    /// Whether it may be of a call as far as times tell: what carries a request lasts around it.
    fn may_be_of(&self, call: &Erased) -> bool {
        if call.is_clients {
            return self.from <= call.to && call.from <= self.to;
        }
        self.is_servers && self.from <= call.from && call.to <= self.to
    }
}

impl Line {
    /// Whether it may be of a call as far as times tell.
    fn may_be_of(&self, call: &Erased) -> bool {
        let around = call.from.saturating_sub(SLACK)..=call.to.saturating_add(SLACK);
        call.is_clients && self.at.is_none_or(|at| around.contains(&at))
    }
}
