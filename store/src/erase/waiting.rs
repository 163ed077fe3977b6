//! What waits in the traces of erased calls, and goes with them.
//!
//! Of a trace without any other call all of it goes. Elsewhere an HTTP span goes that ids say is of an erased call, or that
//! by time alone may be; one that ids say is of a call that stays, stays with it. A line goes with the HTTP span that it names. A
//! line that no rule gave to a call is of another service than those that handled the erased ones. It goes only where the
//! client alone told of such a call: the service that answered it is not known then.
//!
//! In a trace where very many calls stay nobody looks whose it is: all that waits there for no call goes.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use mcptap_model::{HttpSpan, SpanKind, SpanRef, TraceId, Vantage};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};
use serde::Deserialize;

use crate::entity::{alias, call, waiting};
use crate::neighbourhood::{arms, each};
use crate::row::{joined_by, joined_fingerprint, kind, span_number, trace_halves};
use crate::{Error, Seq};

/// How far times of one request may differ that different spans give, in nanoseconds.
const SLACK: i64 = 5_000_000;

/// Of how many calls that stay all is read that is known of their trace. Each step of an erasure reads it again.
const CROWD: usize = 256;

/// A trace, by the halves of its id, the last first: rows are found by that one, and several traces may have the same.
pub(super) type Trace = (i64, i64);

/// A span, by its trace and its own id.
type Span = (Trace, i64);

/// The first half of a row's trace, and what the row holds where only that tells its trace.
type FirstHalf = (Option<i64>, Option<Vec<u8>>);

/// Selects the second part of [`FirstHalf`].
const UNTOLD: &str = "CASE WHEN trace_hi IS NULL THEN data END";

/// The trace of what waits; `None` where a row of an older version cannot be read.
fn trace_of(lo: i64, (hi, data): FirstHalf) -> Option<Trace> {
    #[derive(Deserialize)]
    struct OfTrace {
        trace_id: TraceId,
    }
    if let Some(hi) = hi {
        return Some((lo, hi));
    }
    let of: OfTrace = serde_json::from_slice(&data?).ok()?;
    Some((lo, trace_halves(of.trace_id).0))
}

/// A call that is erased.
#[derive(Clone, Copy, Debug)]
pub(super) struct Erased {
    pub(super) row: i64,
    pub(super) session: Option<i64>,
    trace: Trace,
    span: i64,
    primary: Option<i64>,
    from: i64,
    to: i64,
    /// Whether the client alone tells of it.
    is_clients: bool,
}

impl Erased {
    /// Those of these rows that came in until a change.
    pub(super) async fn read(db: &DatabaseTransaction, rows: &[i64], last: Seq) -> Result<Vec<Self>, Error> {
        type Row = (i64, Option<i64>, i64, i64, i64, Option<i64>, i64, i64, i16);
        let found: Vec<Row> = call::Entity::find()
            .select_only()
            .columns([
                call::Column::Id,
                call::Column::Session,
                call::Column::TraceLo,
                call::Column::TraceHi,
                call::Column::SpanId,
                call::Column::PrimarySpanId,
                call::Column::StartedAt,
                call::Column::Duration,
                call::Column::Vantage,
            ])
            .filter(call::Column::Id.is_in(rows.iter().copied()))
            .filter(call::Column::Id.lte(last.0))
            .into_tuple()
            .all(db)
            .await?;
        let erased = found.into_iter();
        let erased = erased.map(
            |(row, session, lo, hi, span, primary, from, duration, vantage)| Self {
                row,
                session,
                trace: (lo, hi),
                span,
                primary,
                from,
                to: from.saturating_add(duration),
                is_clients: vantage == Vantage::Client.code(),
            },
        );
        Ok(erased.collect())
    }
}

/// What goes with erased calls.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Traces of which no call stays: what is known of spans of no call.
    pub(super) traces: Vec<Trace>,
    /// Rows of `waiting`: all of these traces, and some of others.
    pub(super) rows: Vec<i64>,
}

impl Rest {
    /// Looks for it. Nobody may write meanwhile.
    pub(super) async fn find(db: &DatabaseTransaction, erased: &[Erased]) -> Result<Self, Error> {
        let rows: Vec<i64> = erased.iter().map(|call| call.row).collect();
        let mut going_of: HashMap<Trace, usize> = HashMap::new();
        for call in erased {
            *going_of.entry(call.trace).or_default() += 1;
        }
        for trace in linked(db, &rows).await? {
            going_of.entry(trace).or_default();
        }
        let traces: HashSet<Trace> = going_of.keys().copied().collect();
        let counts = counts(db, &traces, rows.len() + CROWD).await?;
        let (mut alone, mut shared, mut crowded) = (HashSet::new(), HashSet::new(), HashSet::new());
        for (trace, going) in going_of {
            let staying = counts
                .get(&trace)
                .copied()
                .unwrap_or_default()
                .saturating_sub(going);
            match staying {
                0 if going > 0 => alone.insert(trace),
                0..CROWD => shared.insert(trace),
                _ => crowded.insert(trace),
            };
        }
        let mut going = Known::read(db, shared, erased).await?.going(erased);
        going.extend(waiting_in(db, &alone, None).await?);
        going.extend(waiting_in(db, &crowded, Some(&rows)).await?);
        Ok(Self {
            traces: alone.into_iter().collect(),
            rows: going,
        })
    }
}

fn last_halves(traces: &HashSet<Trace>) -> HashSet<i64> {
    traces.iter().map(|(lo, _)| *lo).collect()
}

/// How many calls each of these traces has, counted up to `most`.
async fn counts(
    db: &DatabaseTransaction,
    traces: &HashSet<Trace>,
    most: usize,
) -> Result<HashMap<Trace, usize>, Error> {
    let text = format!(
        "SELECT ? AS lo, ? AS hi, COUNT(*) AS calls FROM \
         (SELECT 1 FROM calls WHERE trace_lo = ? AND trace_hi = ? LIMIT {most}) AS found"
    );
    let backend = db.get_database_backend();
    let keys: Vec<[i64; 4]> = traces.iter().map(|(lo, hi)| [*lo, *hi, *lo, *hi]).collect();
    let mut counts = HashMap::new();
    for keys in keys.chunks(arms(backend)) {
        for row in db.query_all_raw(each(backend, &text, keys)).await? {
            let trace = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let calls: i64 = row.try_get_by_index(2)?;
            counts.insert(trace, usize::try_from(calls).unwrap_or(usize::MAX));
        }
    }
    Ok(counts)
}

/// The rows of all that waits in traces, or, beside these calls, for none of the others. One that cannot be read, and so may be
/// of them, is nobody's.
async fn waiting_in(
    db: &DatabaseTransaction,
    traces: &HashSet<Trace>,
    calls: Option<&[i64]>,
) -> Result<Vec<i64>, Error> {
    type Row = (i64, i64, Option<i64>, Option<Vec<u8>>);
    let of_none = calls.map(|calls| {
        let column = waiting::Column::Call;
        column.is_null().or(column.is_in(calls.iter().copied()))
    });
    let mut waits = waiting::Entity::find()
        .filter(sea_orm::Condition::all().add_option(of_none))
        .select_only()
        .columns([
            waiting::Column::Id,
            waiting::Column::TraceLo,
            waiting::Column::TraceHi,
        ])
        .column_as(Expr::cust(UNTOLD), "untold")
        .filter(waiting::Column::TraceLo.is_in(last_halves(traces)))
        .into_tuple::<Row>()
        .stream(db)
        .await?;
    let mut rows = Vec::new();
    while let Some((row, lo, hi, untold)) = waits.try_next().await? {
        if trace_of(lo, (hi, untold)).is_none_or(|trace| traces.contains(&trace)) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The traces of spans that calls link to, as long as something of these waits: the HTTP spans there carried the calls.
async fn linked(db: &DatabaseTransaction, calls: &[i64]) -> Result<HashSet<Trace>, Error> {
    let traces: Vec<(i64, Option<i64>, Option<Vec<u8>>)> = waiting::Entity::find()
        .select_only()
        .columns([waiting::Column::TraceLo, waiting::Column::TraceHi])
        .column_as(Expr::cust(UNTOLD), "untold")
        .filter(waiting::Column::Call.is_in(calls.iter().copied()))
        .filter(waiting::Column::Kind.is_in([kind::LINK, kind::JOINED]))
        .into_tuple()
        .all(db)
        .await?;
    let traces = traces.into_iter();
    // Where a link of an older version does not tell it, one of these halves: what is there is told apart by its own rows.
    Ok(traces
        .map(|(lo, hi, untold)| trace_of(lo, (hi, untold)).unwrap_or((lo, 0)))
        .collect())
}

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
struct Known {
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
    /// Reads by the last halves of these traces. What is of others with the same is kept apart by what it is of.
    async fn read(
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
            known.read_calls(db, &traces, erased).await?;
        }
        Ok(known)
    }

    /// The spans of the calls, and those that they name.
    async fn read_calls(
        &mut self,
        db: &DatabaseTransaction,
        traces: &HashSet<i64>,
        erased: &[Erased],
    ) -> Result<(), Error> {
        let rows: HashSet<i64> = erased.iter().map(|call| call.row).collect();
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
    fn going(&self, erased: &[Erased]) -> Vec<i64> {
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
