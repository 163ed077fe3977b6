//! What waits in the traces of erased calls, and goes with them.
//!
//! Of a trace without any other call all of it goes. Elsewhere an HTTP span goes that ids say is of an erased call, or that
//! by time alone may be; one that ids say is of a call that stays, stays with it. A line goes with the HTTP span that it names. A
//! line that no rule gave to a call is of another service than those that handled the erased ones. It goes only where the
//! client alone told of such a call: the service that answered it is not known then.
//!
//! Of a trace where very many calls stay only the spans of the erased ones are read: what ids say is of them goes. What by time
//! alone may be stays, and is forgotten like all that waits for no call, when it is past its time.

mod known;

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use known::Known;
use mcptap_model::{TraceId, Vantage};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};
use serde::Deserialize;

use crate::rows::entity::{call, waiting};
use crate::rows::row::{kind, trace_halves};
use crate::write::neighbourhood::{arms, each};
use crate::{Error, Seq};

/// Of how many calls that stay all is read that is known of their trace. Each step of an erasure reads it again.
const CROWD: usize = 256;

/// How many values one statement is given. The databases take 32,766 (SQLite) and 65,535 (PostgreSQL).
const KEYS: usize = 8_000;

/// A trace, by the halves of its id, the last first: rows are found by that one, and several traces may have the same.
pub(super) type Trace = (i64, i64);

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
        going.extend(Known::read_of_erased(db, crowded, erased).await?.named_by(erased));
        going.extend(waiting_in(db, &alone).await?);
        Ok(Self {
            traces: alone.into_iter().collect(),
            rows: going,
        })
    }
}

/// The last halves of these traces, each once.
fn last_halves(traces: &HashSet<Trace>) -> Vec<i64> {
    let halves: HashSet<i64> = traces.iter().map(|(lo, _)| *lo).collect();
    halves.into_iter().collect()
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

/// The rows of all that waits in traces. One that cannot be read, and so may be of them, is nobody's.
async fn waiting_in(db: &DatabaseTransaction, traces: &HashSet<Trace>) -> Result<Vec<i64>, Error> {
    type Row = (i64, i64, Option<i64>, Option<Vec<u8>>);
    let mut rows = Vec::new();
    for some in last_halves(traces).chunks(KEYS) {
        let mut waits = waiting::Entity::find()
            .select_only()
            .columns([
                waiting::Column::Id,
                waiting::Column::TraceLo,
                waiting::Column::TraceHi,
            ])
            .column_as(Expr::cust(UNTOLD), "untold")
            .filter(waiting::Column::TraceLo.is_in(some.iter().copied()))
            .into_tuple::<Row>()
            .stream(db)
            .await?;
        while let Some((row, lo, hi, untold)) = waits.try_next().await? {
            if trace_of(lo, (hi, untold)).is_none_or(|trace| traces.contains(&trace)) {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

/// The traces of spans that calls link to, as long as something of these waits: the HTTP spans there carried the calls.
async fn linked(db: &DatabaseTransaction, calls: &[i64]) -> Result<HashSet<Trace>, Error> {
    let mut traces = HashSet::new();
    for calls in calls.chunks(KEYS) {
        let links: Vec<(i64, Option<i64>, Option<Vec<u8>>)> = waiting::Entity::find()
            .select_only()
            .columns([waiting::Column::TraceLo, waiting::Column::TraceHi])
            .column_as(Expr::cust(UNTOLD), "untold")
            .filter(waiting::Column::Call.is_in(calls.iter().copied()))
            .filter(waiting::Column::Kind.is_in([kind::LINK, kind::JOINED]))
            .into_tuple()
            .all(db)
            .await?;
        let links = links.into_iter();
        // Where a link of an older version does not tell it, one of these halves: what is there is told apart by its own rows.
        traces.extend(links.map(|(lo, hi, untold)| trace_of(lo, (hi, untold)).unwrap_or((lo, 0))));
    }
    Ok(traces)
}
