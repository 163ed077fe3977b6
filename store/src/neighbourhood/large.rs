//! Traces that are too large to be read as a whole: of them only what a batch can touch is read, by ids and by time.

mod chain;

use std::collections::{HashMap, HashSet};

use chain::Chain;
use mcptap_model::{SessionSource, SpanRef, TraceId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, Statement};

use super::memory::{Held, ROW};
use super::statement::{each, keyed};
use super::weights::{CALL_BYTES, WAITING_BYTES, named};
use super::{Because, Found, KEYS, server_ids};
use crate::Error;
use crate::dictionary::Dictionary;
use crate::entity::{alias, call};
use crate::fold::{Reach, reach};
use crate::hash::text_hash;
use crate::incoming::Incoming;
use crate::row::{span_number, trace_lo};

/// How many rows of each table a trace may have to be read as a whole. To read, decode and cluster so many for one span
/// costs about what the statements cost that read only what it touches.
const WHOLE: usize = 16;

/// How many rows one list of ids or one stretch of time brings at least, if there are as many.
const ROWS: usize = 448;

/// How many origins and sides of calls are told apart within the database.
const GROUPS: usize = 8;

/// How many rows a list of ids or a stretch of time brings at most: some for each span of the batch. One of few numbers,
/// so that there are few statements.
fn limit(spans: usize) -> usize {
    (ROWS + 4 * spans).next_power_of_two()
}

/// How many calls of each session that a trace makes are read: more than one tells that it is one.
const OF_SESSION: usize = 3;

/// How many sessions of a trace are looked at, and how many servers without one: one for each server.
const SESSIONS: usize = 64;

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

/// Reads what a batch can touch of one large trace.
pub(super) struct Reading<'a> {
    snapshot: &'a DatabaseTransaction,
    db: DbBackend,
    /// What waits since then is not past its time.
    since: i64,
    /// Whether there are aliases, and whether anything waits, in any trace.
    filled: Filled,
    found: &'a mut Found,
    held: &'a mut Held,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        snapshot: &'a DatabaseTransaction,
        since: i64,
        filled: Filled,
        found: &'a mut Found,
        held: &'a mut Held,
    ) -> Self {
        Self {
            filled,
            snapshot,
            db: snapshot.get_database_backend(),
            since,
            found,
            held,
        }
    }

    /// Reads of the trace what the batch can touch.
    pub(super) async fn read(
        &mut self,
        batch: &Incoming,
        trace: TraceId,
        dictionary: &Dictionary,
    ) -> Result<(), Error> {
        let reach = reach(batch, trace);
        let ids: HashSet<SpanRef> = reach.own.union(&reach.named).copied().collect();
        let mut chain = Chain::default();
        self.in_windows(&reach, trace, dictionary, &mut chain).await?;
        self.over_https(&reach.own, &reach.named, &mut chain).await?;

        let below: HashSet<SpanRef> = reach
            .own
            .union(&chain.below)
            .chain(&reach.listing)
            .copied()
            .collect();
        let named: HashSet<SpanRef> = ids.union(&chain.above).copied().collect();
        let mut read = self.calls_with(&named).await?;
        read.extend(self.calls_below(&below).await?);
        self.sessions(&reach, trace).await?;
        self.aliases_with(&named).await?;
        self.waiting_for(&reach.own.union(&chain.https).copied().collect())
            .await?;
        // What is known of the calls so found: their other spans, and the HTTP spans above them.
        self.aliases_of(&read).await?;
        self.over_https(&HashSet::new(), &read.parents, &mut chain).await
    }

    /// What lasted at the times of the batch: calls, HTTP spans and lines.
    async fn in_windows(
        &mut self,
        reach: &Reach,
        trace: TraceId,
        dictionary: &Dictionary,
        chain: &mut Chain,
    ) -> Result<(), Error> {
        if reach.windows.is_empty() {
            return Ok(());
        }
        let lo = trace_lo(trace);
        let limit = limit(reach.own.len());
        let keys: Vec<[i64; 3]> = reach
            .windows
            .iter()
            // Ends are indexed by halves, so that no sum of a start and a duration is too large.
            .map(|(from, to)| [lo, from / 2 - 1, *to])
            .collect();
        let rows = self
            .lasting(&keys, limit, reach.alike.as_ref(), dictionary)
            .await?;
        // Each stretch has a limit of its own. That one was looked through for nothing but what began later, as it is when
        // old calls come late, is not counted: what lasts beyond the limit is related by ids.
        let most = reach.windows.iter().map(|(from, to)| {
            let lasts = |call: &&call::Model| {
                call.started_at <= *to && call.started_at / 2 + call.duration / 2 >= from / 2 - 1
            };
            let calls = rows.iter().filter_map(|row| self.found.call(*row));
            calls.filter(lasts).count()
        });
        let most = most.max().unwrap_or_default();
        self.found.stopped(most >= limit);
        let mut read = self.of(&rows);
        read.parents.retain(|span| span.trace_id == trace);
        self.aliases_of(&read).await?;
        chain.wanted.extend(read.parents);

        if !self.filled.waiting {
            return Ok(());
        }
        let keys: Vec<[i64; 2]> = reach.windows.iter().map(|(from, _)| [lo, *from]).collect();
        let text = format!(
            "SELECT id, {WAITING_BYTES} AS bytes, arrived_at FROM waiting WHERE trace_lo = ? AND ended_at >= ? \
             ORDER BY ended_at LIMIT {limit}"
        );
        let rows = self.waiting_rows(each(self.db, &text, &keys), limit).await?;
        self.take(&rows, chain).await?;
        Ok(())
    }

    /// Calls that lasted in some stretches of time. Of those that only ids relate to the batch (see [`Reach::alike`]) there
    /// may be very many; they are told apart within the database.
    async fn lasting(
        &mut self,
        keys: &[[i64; 3]],
        limit: usize,
        alike: Option<&(Option<String>, String)>,
        dictionary: &Dictionary,
    ) -> Result<Vec<i64>, Error> {
        let near = |columns: &str| {
            format!(
                "(SELECT {columns} FROM calls WHERE trace_lo = ? AND started_at / 2 + duration / 2 >= ? \
                 ORDER BY started_at / 2 + duration / 2 LIMIT {limit}) AS near WHERE near.started_at <= ?"
            )
        };
        let columns = format!("id, {CALL_BYTES} AS bytes, started_at, origin, vantage");
        let all = format!("SELECT near.id, near.bytes FROM {}", near(&columns));
        let Some((service, scope)) = alike else {
            return self
                .calls_of(each(self.db, &all, keys), usize::MAX, Because::Near)
                .await;
        };
        let text = format!(
            "SELECT near.origin, near.vantage, COUNT(*) FROM {} GROUP BY near.origin, near.vantage",
            near("origin, vantage, started_at")
        );
        let mut groups: HashSet<(i64, i16)> = HashSet::new();
        let mut most = 0;
        for row in self.snapshot.query_all_raw(each(self.db, &text, keys)).await? {
            groups.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
            most = row.try_get_by_index::<i64>(2)?.max(most);
        }
        self.found.read(groups.len(), usize::MAX);
        self.found
            .stopped(usize::try_from(most).is_ok_and(|most| most >= limit));
        let origins = dictionary
            .origins(
                self.snapshot,
                groups.iter().map(|(origin, _)| *origin),
                &mut |bytes| self.held.grow(bytes),
            )
            .await?;
        groups.retain(|(origin, vantage)| {
            *vantage == mcptap_model::Vantage::Client.code()
                || origins
                    .get(origin)
                    .is_none_or(|origin| origin.service != *service || origin.scope != *scope)
        });
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        if groups.len() > GROUPS {
            return self
                .calls_of(each(self.db, &all, keys), usize::MAX, Because::Near)
                .await;
        }
        let text = format!("{all} AND near.origin = ? AND near.vantage = ?");
        let of_groups = keys.iter().flat_map(|[trace, from, to]| {
            groups
                .iter()
                .map(|(origin, vantage)| [*trace, *from, *to, *origin, i64::from(*vantage)])
        });
        let keys: Vec<[i64; 5]> = of_groups.collect();
        self.calls_of(each(self.db, &text, &keys), usize::MAX, Because::Near)
            .await
    }

    /// Reads the calls that a statement names, at most `limit`, and gives the rows of those that are here.
    async fn calls_of(
        &mut self,
        statement: Statement,
        limit: usize,
        because: Because,
    ) -> Result<Vec<i64>, Error> {
        let named = named(self.snapshot, statement).await?;
        self.found.read(named.len(), limit);
        self.found
            .read_calls(self.snapshot, &named, because, self.held)
            .await?;
        let rows = named.into_iter().map(|(row, _)| row);
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
        let text = "WITH k (trace, span) AS ({keys}) SELECT c.id, {bytes} FROM k CROSS JOIN calls AS c \
                    WHERE c.trace_lo = k.trace AND c.span_id = k.span";
        self.calls(text, &pairs(spans), usize::MAX, Because::Named).await
    }

    /// Calls right below these spans.
    async fn calls_below(&mut self, spans: &HashSet<SpanRef>) -> Result<Read, Error> {
        let text = format!(
            "WITH k (trace, span) AS ({{keys}}) SELECT c.id, {{bytes}} FROM k CROSS JOIN calls AS c \
             WHERE c.trace_lo = k.trace AND c.parent_span_id = k.span LIMIT {}",
            limit(spans.len())
        );
        self.calls(&text, &pairs(spans), limit(spans.len()), Because::Near)
            .await
    }

    async fn calls<const N: usize>(
        &mut self,
        text: &str,
        keys: &[[i64; N]],
        limit: usize,
        because: Because,
    ) -> Result<Read, Error> {
        let text = text.replace("{bytes}", CALL_BYTES);
        let mut read = Read::default();
        for keys in keys.chunks(KEYS) {
            let rows = self.calls_of(keyed(self.db, &text, keys), limit, because).await?;
            read.extend(self.of(&rows));
        }
        Ok(read)
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
                if self.found.spans.insert((row.trace_lo, row.span_id)) {
                    self.found.aliases.push(row);
                }
            }
        }
        Ok(())
    }

    /// Some calls of each session that the trace makes, one for each server: enough to tell that it is one. For each server
    /// where it makes none yet, the last calls are looked through for one that carried no id.
    async fn sessions(&mut self, reach: &Reach, trace: TraceId) -> Result<(), Error> {
        let lo = trace_lo(trace);
        let mut servers: HashSet<i64> = HashSet::new();
        if !reach.sessionless.is_empty() {
            let named = reach.sessionless.iter().map(String::as_str);
            servers.extend(server_ids(self.snapshot, named).await?.into_values());
        }
        if reach.lends {
            let calls = self.found.calls.iter().filter(|call| call.trace_lo == lo);
            servers.extend(calls.map(|call| call.server));
        }
        if servers.is_empty() {
            return Ok(());
        }
        let key = text_hash(&trace.to_string());
        let text = format!(
            "WITH k (hash) AS ({{keys}}) SELECT s.server, s.id FROM k CROSS JOIN sessions AS s \
             WHERE s.key_hash = k.hash AND s.source = {} LIMIT {SESSIONS}",
            SessionSource::Trace.code()
        );
        let sessions = self
            .snapshot
            .query_all_raw(keyed(self.db, &text, &[[key]]))
            .await?;
        let mut ids: HashMap<i64, i64> = HashMap::new();
        for row in sessions {
            ids.insert(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        }
        let wanted = servers.iter().filter_map(|server| ids.get(server));
        let keys: Vec<[i64; 2]> = wanted.map(|id| [*id, lo]).collect();
        let mut with: HashSet<i64> = HashSet::new();
        if !keys.is_empty() {
            let text = format!(
                "SELECT id, {CALL_BYTES} AS bytes FROM calls WHERE session = ? AND trace_lo = ? \
                 ORDER BY started_at LIMIT {OF_SESSION}"
            );
            let rows = self
                .calls_of(each(self.db, &text, &keys), usize::MAX, Because::Near)
                .await?;
            let calls = rows.iter().filter_map(|row| self.found.call(*row));
            with.extend(calls.filter_map(|call| call.session));
        }
        let without = servers.into_iter().filter(|server| {
            let session = ids.get(server);
            session.is_none_or(|session| !with.contains(session))
        });
        let keys: Vec<[i64; 2]> = without.take(SESSIONS).map(|server| [lo, server]).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let text = format!(
            "SELECT last.id, last.bytes FROM (SELECT id, {CALL_BYTES} AS bytes, session, server FROM calls \
             WHERE trace_lo = ? ORDER BY started_at / 2 + duration / 2 DESC LIMIT {ROWS}) AS last \
             WHERE last.server = ? AND (last.session IS NULL OR \
             EXISTS (SELECT 1 FROM sessions WHERE sessions.id = last.session AND sessions.source = {})) \
             LIMIT {OF_SESSION}",
            SessionSource::Client.code()
        );
        self.calls_of(each(self.db, &text, &keys), usize::MAX, Because::Near)
            .await?;
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
            let trace = crate::row::trace_of(row.trace_hi, row.trace_lo);
            let parent = row.parent_span_id.and_then(crate::row::span_of);
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
