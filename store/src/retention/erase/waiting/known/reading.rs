//! Reading what waits in some traces, and the spans of their calls.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use mcptap_model::SpanRef;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect,
};

use super::super::{Erased, KEYS, Trace, UNTOLD, last_halves, trace_of};
use super::{Http, Known, Line, Owners, Span, own_spans};
use crate::Error;
use crate::rows::entity::{alias, call, waiting};
use crate::rows::row::{http_fingerprint_of, kind, span_number};
use crate::write::fold::HOPS;
use crate::write::neighbourhood::{arms, each, keyed};

/// Columns of what waits: a line, and what names a span; and of a call.
type LineRow = (i64, i64, Option<i64>, Option<Vec<u8>>, Option<i64>, Option<i64>);
type NamedRow = (i64, i16, i64, Option<i64>, Option<Vec<u8>>, Option<i64>);
type CallRow = (i64, i64, i64, i64, Option<i64>, Option<i64>);

/// Selects the data of what says in it what it names. 4 is [`kind::JOINED`].
const TOLD: &str = "CASE WHEN trace_hi IS NULL OR kind = 4 THEN data END";

/// Which calls are read.
#[derive(Clone, Copy, Debug)]
enum Calls<'a> {
    /// All of these traces. With the first halves of their ids too: a trace of others that ends alike may be very large.
    Of(&'a HashSet<Trace>),
    /// Those in these rows.
    In(&'a [i64]),
}

impl Calls<'_> {
    /// The conditions that select them, in parts: by the columns of both halves of their trace, and by that of their row.
    fn conditions<C: ColumnTrait>(self, (lo, hi): (C, Option<C>), row: C) -> Vec<Condition> {
        match self {
            Self::In(rows) => {
                let parts = rows.chunks(KEYS);
                let of = |rows: &[i64]| Condition::all().add(row.is_in(rows.iter().copied()));
                parts.map(of).collect()
            }
            Self::Of(traces) => {
                let traces: Vec<Trace> = traces.iter().copied().collect();
                let of = |traces: &[Trace]| {
                    let lows: HashSet<i64> = traces.iter().map(|(lo, _)| *lo).collect();
                    let highs: HashSet<i64> = traces.iter().map(|(_, hi)| *hi).collect();
                    Condition::all()
                        .add(lo.is_in(lows))
                        .add_option(hi.map(|hi| hi.is_in(highs)))
                };
                traces.chunks(KEYS / 2).map(of).collect()
            }
        }
    }
}

impl Known {
    /// Reads of these traces all that waits and all calls. What waits is found by their last halves; that of others with the
    /// same is kept apart by what it is of.
    pub(in super::super) async fn read(
        db: &DatabaseTransaction,
        traces: HashSet<Trace>,
        erased: &[Erased],
    ) -> Result<Self, Error> {
        let mut known = Self::read_waiting(db, &traces).await?;
        if !known.https.is_empty() {
            let rows = erased.iter().map(|call| call.row).collect();
            known.read_calls(db, Calls::Of(&traces), &rows).await?;
        }
        Ok(known)
    }

    /// Reads of these traces the erased calls, what waits that ids say is of them, and the calls right below the same HTTP
    /// spans. The others are not looked at, however many they are.
    pub(in super::super) async fn read_of_erased(
        db: &DatabaseTransaction,
        traces: HashSet<Trace>,
        erased: &[Erased],
    ) -> Result<Self, Error> {
        let mut known = Self::default();
        if traces.is_empty() {
            return Ok(known);
        }
        let rows: Vec<i64> = erased.iter().map(|call| call.row).collect();
        let going = rows.iter().copied().collect();
        known.read_calls(db, Calls::In(&rows), &going).await?;
        let in_traces = |spans: &HashMap<Span, Owners>| -> Vec<Span> {
            let spans = spans.keys().filter(|(trace, _)| traces.contains(trace));
            spans.copied().collect()
        };
        let (above, mut own) = (in_traces(&known.above), in_traces(&known.spans));
        let keys: Vec<[i64; 2]> = above
            .iter()
            .map(|((lo, hi), span)| [*lo, http_fingerprint_of(*hi, *span)])
            .collect();
        known.read_https(db, "fingerprint", &keys, &traces).await?;
        own.extend(
            own_spans(erased)
                .into_iter()
                .filter(|(trace, _)| traces.contains(trace)),
        );
        let mut parents = own.clone();
        for _ in 0..HOPS {
            let keys: Vec<[i64; 2]> = parents.iter().map(|((lo, _), span)| [*lo, *span]).collect();
            parents = known.read_https(db, "span_id", &keys, &traces).await?;
        }
        known.read_beside(db, &going).await?;
        own.extend(known.https.iter().map(|http| http.span));
        known.read_lines(db, &own, &traces).await?;
        Ok(known)
    }

    /// Reads the HTTP spans that wait with these numbers in a column, by the last half of their trace. Gives the spans of
    /// those that were not known.
    async fn read_https(
        &mut self,
        db: &DatabaseTransaction,
        column: &'static str,
        keys: &[[i64; 2]],
        traces: &HashSet<Trace>,
    ) -> Result<Vec<Span>, Error> {
        let text = format!(
            "WITH k (lo, number) AS ({{keys}}) SELECT w.id, w.data FROM k CROSS JOIN waiting AS w \
             WHERE w.trace_lo = k.lo AND w.{column} = k.number AND w.kind = {}",
            kind::HTTP
        );
        let mut new = Vec::new();
        for keys in keys.chunks(KEYS / 2) {
            let statement = keyed(db.get_database_backend(), &text, keys);
            for row in db.query_all_raw(statement).await? {
                let (row, data): (i64, Vec<u8>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                let Ok(span) = serde_json::from_slice(&data) else {
                    continue;
                };
                let http = Http::of(row, &span);
                if traces.contains(&http.span.0) && self.rows.insert(row) {
                    new.push(http.span);
                    self.https.push(http);
                }
            }
        }
        Ok(new)
    }

    /// Reads the lines of no call that name these spans.
    async fn read_lines(
        &mut self,
        db: &DatabaseTransaction,
        spans: &[Span],
        traces: &HashSet<Trace>,
    ) -> Result<(), Error> {
        let text = format!(
            "WITH k (lo, span) AS ({{keys}}) SELECT w.id, w.trace_lo, w.trace_hi, {UNTOLD} AS untold, w.span_id, w.ended_at \
             FROM k CROSS JOIN waiting AS w \
             WHERE w.trace_lo = k.lo AND w.span_id = k.span AND w.kind = {} AND w.call IS NULL",
            kind::LOG
        );
        let keys: Vec<[i64; 2]> = spans.iter().map(|((lo, _), span)| [*lo, *span]).collect();
        for keys in keys.chunks(KEYS / 2) {
            let statement = keyed(db.get_database_backend(), &text, keys);
            for found in db.query_all_raw(statement).await? {
                let row: i64 = found.try_get_by_index(0)?;
                let halves = (found.try_get_by_index(2)?, found.try_get_by_index(3)?);
                let Some(trace) = trace_of(found.try_get_by_index(1)?, halves) else {
                    continue;
                };
                let span: Option<i64> = found.try_get_by_index(4)?;
                if traces.contains(&trace) && self.rows.insert(row) {
                    self.lines.push(Line {
                        row,
                        trace,
                        span: span.map(|span| (trace, span)),
                        at: found.try_get_by_index(5)?,
                    });
                }
            }
        }
        Ok(())
    }

    async fn read_waiting(db: &DatabaseTransaction, of: &HashSet<Trace>) -> Result<Self, Error> {
        let mut known = Self::default();
        for traces in last_halves(of).chunks(KEYS) {
            let among = waiting::Column::TraceLo.is_in(traces.iter().copied());
            let lines: Vec<LineRow> = waiting::Entity::find()
                .select_only()
                .columns([
                    waiting::Column::Id,
                    waiting::Column::TraceLo,
                    waiting::Column::TraceHi,
                ])
                .column_as(Expr::cust(UNTOLD), "untold")
                .columns([waiting::Column::SpanId, waiting::Column::EndedAt])
                .filter(among.clone())
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
                .filter(among)
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
        }
        Ok(known)
    }

    /// The spans of the calls, and those that they name. `erased` are the rows of those that go.
    async fn read_calls(
        &mut self,
        db: &DatabaseTransaction,
        calls: Calls<'_>,
        erased: &HashSet<i64>,
    ) -> Result<(), Error> {
        let columns = (call::Column::TraceLo, Some(call::Column::TraceHi));
        for condition in calls.conditions(columns, call::Column::Id) {
            let some: Vec<CallRow> = call::Entity::find()
                .select_only()
                .columns([
                    call::Column::Id,
                    call::Column::TraceLo,
                    call::Column::TraceHi,
                    call::Column::SpanId,
                    call::Column::PrimarySpanId,
                    call::Column::ParentSpanId,
                ])
                .filter(condition)
                .into_tuple()
                .all(db)
                .await?;
            for (row, lo, hi, span, primary, parent) in some {
                let trace = (lo, hi);
                let is_erased = erased.contains(&row);
                for span in [Some(span), primary].into_iter().flatten() {
                    self.spans.entry((trace, span)).or_default().add(is_erased);
                }
                if let Some(parent) = parent {
                    self.above.entry((trace, parent)).or_default().add(is_erased);
                }
            }
        }
        let columns = (alias::Column::TraceLo, Some(alias::Column::TraceHi));
        for condition in calls.conditions(columns, alias::Column::Call) {
            let aliases: Vec<(i64, i64, i64, i64)> = alias::Entity::find()
                .select_only()
                .columns([
                    alias::Column::TraceLo,
                    alias::Column::TraceHi,
                    alias::Column::SpanId,
                    alias::Column::Call,
                ])
                .filter(condition)
                .filter(alias::Column::Call.is_not_null())
                .into_tuple()
                .all(db)
                .await?;
            for (lo, hi, span, row) in aliases {
                let owners = self.spans.entry(((lo, hi), span)).or_default();
                owners.add(erased.contains(&row));
            }
        }
        let columns = (waiting::Column::TraceLo, None);
        for condition in calls.conditions(columns, waiting::Column::Call) {
            let named: Vec<NamedRow> = waiting::Entity::find()
                .select_only()
                .columns([
                    waiting::Column::Call,
                    waiting::Column::Kind,
                    waiting::Column::TraceLo,
                    waiting::Column::TraceHi,
                ])
                .column_as(Expr::cust(TOLD), "told")
                .column(waiting::Column::SpanId)
                .filter(condition)
                .filter(waiting::Column::Call.is_not_null())
                .filter(waiting::Column::Kind.is_in([kind::LINK, kind::VIEW, kind::JOINED]))
                .into_tuple()
                .all(db)
                .await?;
            for (row, is, lo, hi, told, span) in named {
                // A link to an HTTP span that had come is not found by that, and says it in its data.
                let span = if is == kind::JOINED {
                    let target: Option<SpanRef> =
                        told.as_deref().and_then(|data| serde_json::from_slice(data).ok());
                    target.map(|target| span_number(target.span_id))
                } else {
                    span
                };
                let Some((span, trace)) = span.zip(trace_of(lo, (hi, told))) else {
                    continue;
                };
                let owners = self.above.entry((trace, span)).or_default();
                owners.add(erased.contains(&row));
            }
        }
        Ok(())
    }

    /// Whether calls that stay are right below the HTTP spans that erased ones name.
    async fn read_beside(&mut self, db: &DatabaseTransaction, erased: &HashSet<i64>) -> Result<(), Error> {
        // One more than the erased ones is one that stays.
        let text = format!(
            "SELECT trace_lo, parent_span_id, id FROM calls WHERE trace_lo = ? AND parent_span_id = ? LIMIT {}",
            erased.len() + 1
        );
        let https = self.https.iter().map(|http| http.span);
        let named = https.filter(|span| self.above.get(span).is_some_and(|owners| owners.erased));
        let spans: Vec<Span> = named.collect();
        let keys: Vec<[i64; 2]> = spans.iter().map(|((lo, _), span)| [*lo, *span]).collect();
        let mut shared: HashSet<(i64, i64)> = HashSet::new();
        let backend = db.get_database_backend();
        for keys in keys.chunks(arms(backend)) {
            for row in db.query_all_raw(each(backend, &text, keys)).await? {
                let call: i64 = row.try_get_by_index(2)?;
                if !erased.contains(&call) {
                    shared.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
                }
            }
        }
        for span in spans {
            if shared.contains(&(span.0.0, span.1)) {
                self.above.entry(span).or_default().add(false);
            }
        }
        Ok(())
    }
}
