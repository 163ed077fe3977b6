//! Traces that are too large to be read as a whole: of them only what a batch can touch is read, by ids and by time.

mod chain;
mod sessions;
mod windows;

use std::collections::{BTreeMap, HashSet};

use chain::Chain;
use mcptap_model::{SpanRef, TraceId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryResult, Statement};

use super::memory::{Held, ROW};
use super::statement::keyed;
use super::weights::{CALL_BYTES, named, size};
use super::{Because, Found, KEYS, read_referred_to};
use crate::Error;
use crate::rows::dictionary::Dictionary;
use crate::rows::entity::{alias, call};
use crate::rows::row::{span_number, trace_lo};
use crate::write::fold::{Reach, reaches};
use crate::write::incoming::Incoming;

/// How many rows of each table a trace may have to be read as a whole. To read, decode and cluster so many for one span
/// costs about what the statements cost that read only what it touches.
const WHOLE: usize = 16;

/// How many rows a list of ids, or all stretches of time of a trace, bring at least, if there are as many.
const ROWS: usize = 448;

/// How many rows one stretch of time brings at least, if there are as many.
const LEAST: usize = 128;

/// How many traces are read together: the statements are as many for all of them as for one.
const TOGETHER: usize = 256;

/// How many rows a list of ids brings at most: some for each span of the batch. One of few numbers, so that there are few
/// statements.
fn limit(spans: usize) -> usize {
    (ROWS + 4 * spans).next_power_of_two()
}

/// How many rows each stretch of time of a trace brings at most: all together about as many as a list of the batch's ids.
fn limit_in_time(reach: &Reach) -> usize {
    let all = ROWS + 4 * reach.own.len();
    (all / reach.windows.len().max(1)).max(LEAST).next_power_of_two()
}

/// Of these traces (sorted), those that are too large to be read as a whole.
pub(super) async fn large(snapshot: &DatabaseTransaction, traces: &[i64]) -> Result<HashSet<i64>, Error> {
    let text = format!(
        "WITH k (trace) AS ({{keys}}) SELECT k.trace FROM k WHERE \
         (SELECT 1 FROM calls WHERE trace_lo = k.trace LIMIT 1 OFFSET {WHOLE}) IS NOT NULL OR \
         (SELECT 1 FROM aliases WHERE trace_lo = k.trace LIMIT 1 OFFSET {WHOLE}) IS NOT NULL OR \
         (SELECT 1 FROM waiting WHERE trace_lo = k.trace LIMIT 1 OFFSET {WHOLE}) IS NOT NULL"
    );
    let mut large = HashSet::new();
    for traces in traces.chunks(KEYS) {
        let keys: Vec<[i64; 1]> = traces.iter().map(|trace| [*trace]).collect();
        let statement = keyed(snapshot.get_database_backend(), &text, &keys);
        for row in snapshot.query_all_raw(statement).await? {
            large.insert(row.try_get_by_index::<i64>(0)?);
        }
    }
    Ok(large)
}

/// Which tables have rows at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filled {
    pub(super) calls: bool,
    pub(super) aliases: bool,
    pub(super) waiting: bool,
}

/// Reads what a batch can touch of some large traces.
pub(super) struct Reading<'a> {
    snapshot: &'a DatabaseTransaction,
    dictionary: &'a Dictionary,
    db: DbBackend,
    /// What waits since then is not past its time.
    since: i64,
    /// Whether there are aliases, and whether anything waits, in any trace.
    filled: Filled,
    found: &'a mut Found,
    held: &'a mut Held,
}

/// Traces that are read together, with what the batch touches of each.
type Traces = [(TraceId, Reach)];

impl<'a> Reading<'a> {
    pub(super) fn new(
        snapshot: &'a DatabaseTransaction,
        dictionary: &'a Dictionary,
        since: i64,
        filled: Filled,
        found: &'a mut Found,
        held: &'a mut Held,
    ) -> Self {
        Self {
            snapshot,
            dictionary,
            db: snapshot.get_database_backend(),
            since,
            filled,
            found,
            held,
        }
    }

    /// Reads of the traces what the batch can touch.
    pub(super) async fn read(&mut self, batch: &Incoming, traces: &HashSet<TraceId>) -> Result<(), Error> {
        let mut traces: Vec<(TraceId, Reach)> = reaches(batch, traces).into_iter().collect();
        let limit = |(_, reach): &(TraceId, Reach)| limit_in_time(reach);
        traces.sort_unstable_by_key(|of| (limit(of), of.0));
        for alike in traces.chunk_by(|one, other| limit(one) == limit(other)) {
            for some in alike.chunks(TOGETHER) {
                self.read_together(some, some.first().map_or(ROWS, limit)).await?;
            }
        }
        Ok(())
    }

    /// Reads traces in as many statements as one takes. `limit` is for each stretch of time of each of them.
    async fn read_together(&mut self, traces: &Traces, limit: usize) -> Result<(), Error> {
        let all = |of: fn(&Reach) -> &HashSet<SpanRef>| -> HashSet<SpanRef> {
            traces.iter().flat_map(|(_, reach)| of(reach)).copied().collect()
        };
        let (own, named) = (all(|reach| &reach.own), all(|reach| &reach.named));
        let mut chain = Chain::default();
        self.in_windows(traces, limit, &mut chain).await?;
        self.over_https(&own, &named, &mut chain).await?;

        let listing = all(|reach| &reach.listing);
        let below: HashSet<SpanRef> = own.union(&chain.below).chain(&listing).copied().collect();
        let named: HashSet<SpanRef> = own.union(&named).chain(&chain.above).copied().collect();
        let mut read = self.calls_with(&named).await?;
        read.extend(self.calls_below(&below).await?);
        self.aliases_with(&named).await?;
        self.waiting_for(&own.union(&chain.https).copied().collect())
            .await?;
        // What is known of the calls so found: their other spans, and the HTTP spans above them.
        self.aliases_of(&read).await?;
        self.over_https(&HashSet::new(), &read.parents, &mut chain)
            .await?;
        read_referred_to(self.snapshot, self.found, self.held).await?;
        self.sessions(traces).await
    }

    /// The rows of a statement over pairs of a trace and a number in it. Each trace has a limit of its own: where all
    /// together have too many rows, each is asked for alone. `{limit}` stands in the text for it, and `{keys}` for the
    /// pairs.
    async fn of_traces(&mut self, text: &str, keys: &[[i64; 2]]) -> Result<Vec<QueryResult>, Error> {
        let mut rows = Vec::new();
        for keys in keys.chunks(KEYS) {
            let most = limit(keys.len());
            let some = self.limited(text, keys, most).await?;
            if some.len() < most {
                self.found.read(some.len(), usize::MAX);
                rows.extend(some);
                continue;
            }
            let mut traces: BTreeMap<i64, Vec<[i64; 2]>> = BTreeMap::new();
            for [trace, number] in keys {
                traces.entry(*trace).or_default().push([*trace, *number]);
            }
            for keys in traces.into_values() {
                let most = limit(keys.len());
                let some = self.limited(text, &keys, most).await?;
                self.found.read(some.len(), most);
                rows.extend(some);
            }
        }
        Ok(rows)
    }

    async fn limited(&self, text: &str, keys: &[[i64; 2]], limit: usize) -> Result<Vec<QueryResult>, Error> {
        let text = text.replace("{limit}", &limit.to_string());
        Ok(self.snapshot.query_all_raw(keyed(self.db, &text, keys)).await?)
    }

    /// Reads the calls that a statement names and gives the rows of those that are here.
    async fn calls_of(&mut self, statement: Statement, because: Because) -> Result<Vec<i64>, Error> {
        let named = named(self.snapshot, statement).await?;
        self.found.read(named.len(), usize::MAX);
        self.calls_named(&named, because).await
    }

    /// Reads calls, given by their rows with the bytes of their long texts, and gives the rows of those that are here.
    async fn calls_named(&mut self, named: &[(i64, usize)], because: Because) -> Result<Vec<i64>, Error> {
        self.found
            .read_calls(self.snapshot, named, because, self.held)
            .await?;
        let rows = named.iter().map(|(row, _)| *row);
        Ok(rows.filter(|row| self.found.call(*row).is_some()).collect())
    }

    /// What is known of the calls in these rows.
    fn of(&self, rows: &[i64]) -> Read {
        let mut read = Read::default();
        read.add(rows.iter().filter_map(|row| self.found.call(*row)));
        read
    }

    /// Calls with these spans as their first.
    async fn calls_with(&mut self, spans: &HashSet<SpanRef>) -> Result<Read, Error> {
        let text = format!(
            "WITH k (trace, span) AS ({{keys}}) SELECT c.id, {CALL_BYTES} FROM k CROSS JOIN calls AS c \
             WHERE c.trace_lo = k.trace AND c.span_id = k.span"
        );
        let mut read = Read::default();
        for keys in pairs(spans).chunks(KEYS) {
            let rows = self.calls_of(keyed(self.db, &text, keys), Because::Named).await?;
            read.extend(self.of(&rows));
        }
        Ok(read)
    }

    /// Calls right below these spans.
    async fn calls_below(&mut self, spans: &HashSet<SpanRef>) -> Result<Read, Error> {
        let text = format!(
            "WITH k (trace, span) AS ({{keys}}) SELECT c.id, {CALL_BYTES} FROM k CROSS JOIN calls AS c \
             WHERE c.trace_lo = k.trace AND c.parent_span_id = k.span LIMIT {{limit}}"
        );
        let mut named = Vec::new();
        for row in self.of_traces(&text, &pairs(spans)).await? {
            named.push((row.try_get_by_index(0)?, size(row.try_get_by_index(1)?)));
        }
        let rows = self.calls_named(&named, Because::Near).await?;
        Ok(self.of(&rows))
    }

    async fn aliases_with(&mut self, spans: &HashSet<SpanRef>) -> Result<(), Error> {
        let text = "WITH k (trace, span) AS ({keys}) SELECT a.* FROM k CROSS JOIN aliases AS a \
                    WHERE a.trace_lo = k.trace AND a.span_id = k.span";
        self.aliases(text, &pairs(spans)).await
    }

    /// The other spans of these calls.
    async fn aliases_of(&mut self, read: &Read) -> Result<(), Error> {
        let keys: Vec<[i64; 1]> = read.rows.iter().map(|row| [*row]).collect();
        let text = "WITH k (id) AS ({keys}) SELECT a.* FROM k CROSS JOIN aliases AS a WHERE a.call = k.id";
        self.aliases(text, &keys).await
    }

    async fn aliases<const N: usize>(&mut self, text: &str, keys: &[[i64; N]]) -> Result<(), Error> {
        if !self.filled.aliases {
            return Ok(());
        }
        for keys in keys.chunks(KEYS) {
            let rows = alias::Entity::find()
                .from_raw_sql(keyed(self.db, text, keys))
                .all(self.snapshot)
                .await?;
            self.found.read(rows.len(), usize::MAX);
            self.held.grow(rows.len() * ROW)?;
            for row in rows {
                if self.found.spans.insert((row.trace_hi, row.trace_lo, row.span_id)) {
                    self.found.aliases.push(row);
                }
            }
        }
        Ok(())
    }
}

/// Calls just read.
#[derive(Default)]
struct Read {
    rows: HashSet<i64>,
    parents: HashSet<SpanRef>,
}

impl Read {
    fn add<'c>(&mut self, calls: impl Iterator<Item = &'c call::Model>) {
        for row in calls {
            self.rows.insert(row.id);
            let trace = crate::rows::row::trace_of(row.trace_hi, row.trace_lo);
            let parent = row.parent_span_id.and_then(crate::rows::row::span_of);
            self.parents.extend(
                trace
                    .zip(parent)
                    .map(|(trace_id, span_id)| SpanRef { trace_id, span_id }),
            );
        }
    }

    fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.parents.extend(other.parents);
    }
}

fn pairs(spans: &HashSet<SpanRef>) -> Vec<[i64; 2]> {
    spans
        .iter()
        .map(|span| [trace_lo(span.trace_id), span_number(span.span_id)])
        .collect()
}
