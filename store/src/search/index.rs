//! The index of words, built behind the writes: no writer waits for it, and it gives way to all of them.
//!
//! It follows the order of changes, a step at a time: what a stretch of changes left is read in a snapshot, cut into keys,
//! and written in one transaction with how far the index knows them now (`sequence.indexed`). A call that is changed in
//! the meantime has a later change, so it counts as unknown until its turn comes. Log lines have no change of their own:
//! whoever adds some to a call, or takes some away, notes that in `unindexed`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcptap_model::search::KeyCollector;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio::sync::{Semaphore, watch};

use super::{Texts, stored};
use crate::db::database::Database;
use crate::db::insert::{Kind, Record, Sink, Table};
use crate::db::transaction::Transaction;
use crate::limits::operation::{Asker, Operation};
use crate::metrics::Counters;
use crate::read::scan::{head, indexed};
use crate::retention::expire::REST;
use crate::rows::dictionary::Dictionary;
use crate::rows::entity::{call, detail, unindexed};
use crate::{CpuPool, Error, Seq};

/// How many calls one step indexes at most: while others write, and while nobody does. Large steps make a smaller index in
/// less time, but whoever writes waits for them.
const CALLS: (u64, u64) = (256, 2_048);

/// How many calls are read together, and up to how many bytes their bodies have, give or take those of one call.
const CHUNK: (usize, i64) = (64, 1 << 20);

/// How many bytes of keys one step writes, give or take those of a few calls.
const BYTES: usize = 8 << 20;

/// How many bytes the bodies have that one step reads, give or take those of a few calls: it keeps a connection meanwhile.
const BODIES: i64 = 32 << 20;

/// A call with more bytes of keys than this is not in the index, but read by every search: PostgreSQL could not hold it.
const MOST: usize = 512 << 10;

/// How long the texts of one chunk may take to read.
const LONGEST: Duration = Duration::from_secs(600);

/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(3);

/// A call that the index does not know as it is.
pub(crate) struct UnindexedRow {
    /// Its row.
    pub(crate) call: i64,
    /// After which change that is so.
    pub(crate) seq: i64,
}

impl Record for UnindexedRow {
    const TABLE: Table = Table {
        name: "unindexed",
        columns: &[("call", Kind::Integer), ("seq", Kind::Integer)],
        conflict: "ON CONFLICT (call) DO UPDATE SET seq = excluded.seq",
    };

    fn bind(self, sink: &mut impl Sink) {
        sink.integer(Some(self.call));
        sink.integer(Some(self.seq));
    }
}

/// A call in the index.
struct IndexedRow {
    call: i64,
    /// `None` when they are more than the index takes.
    keys: Option<String>,
}

impl Record for IndexedRow {
    const TABLE: Table = Table {
        name: "search",
        columns: &[("rowid", Kind::Integer), ("words", Kind::Keys)],
        conflict: "",
    };

    fn bind(self, sink: &mut impl Sink) {
        sink.integer(Some(self.call));
        sink.text(self.keys);
    }
}

/// Takes calls out of the index.
pub(crate) async fn unindex(tx: &mut Transaction, calls: &[i64]) -> Result<(), Error> {
    tx.with_keys("DELETE FROM search WHERE rowid IN ({keys})", calls)
        .await?;
    tx.with_keys("DELETE FROM unindexed WHERE call IN ({keys})", calls)
        .await?;
    Ok(())
}

/// Builds the index.
#[derive(Clone)]
pub(crate) struct Indexer {
    pub(crate) database: Database,
    pub(crate) dictionary: Arc<Dictionary>,
    /// The last change that was committed.
    pub(crate) head: watch::Receiver<Seq>,
    /// Room in the writer's queue, and how much that is when nobody writes.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) limit: usize,
    /// How long changes gather before they are indexed.
    pub(crate) delay: Duration,
    pub(crate) counters: Arc<Counters>,
    pub(crate) cpu: CpuPool,
}

/// What a step is about.
struct Step {
    /// How far the index knows the changes.
    known: i64,
    /// How far it does afterwards.
    upto: i64,
    /// The last change in the snapshot.
    head: i64,
    /// Changes up to there in order, with the call of each; then calls that were noted.
    calls: Vec<(i64, i64)>,
    /// The calls' keys.
    rows: Vec<IndexedRow>,
}

impl Indexer {
    /// Until it is cancelled, or nothing will be written any more.
    pub(crate) async fn run(mut self) {
        tokio::time::sleep(self.delay).await;
        loop {
            self.head.mark_unchanged();
            let started = Instant::now();
            let done = self.step().await;
            self.database
                .health()
                .ended_round("indexer", done.as_ref().map(drop));
            match done {
                Ok(true) => self.give_way(started.elapsed()).await,
                Ok(false) => {
                    if self.head.changed().await.is_err() {
                        return;
                    }
                    tokio::time::sleep(self.delay).await;
                }
                Err(error) => {
                    tracing::error!(%error, "what came last is not in the index of words; it is tried again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether somebody is writing.
    fn is_busy(&self) -> bool {
        self.room.available_permits() < self.limit
    }

    /// While others write, they have most of the time.
    async fn give_way(&self, took: Duration) {
        if self.is_busy() {
            tokio::time::sleep(took * REST).await;
        }
    }

    /// Whether there may be more to do.
    async fn step(&self) -> Result<bool, Error> {
        let calls = if self.is_busy() { CALLS.0 } else { CALLS.1 };
        let generation = self.database.lineage().generation();
        let next = async {
            let tx = self.database.maintenance_snapshot().await?;
            let step = Step::next(&tx, calls).await?;
            Ok((tx, step))
        };
        let (tx, mut step) = self.database.step("indexer", next).await?;
        if step.calls.is_empty() && step.known == step.upto {
            self.counters.indexed(step.known);
            return Ok(false);
        }
        // What was noted is behind too.
        self.counters.indexed(std::cmp::min(step.known, step.head - 1));
        self.read(&mut step, &tx).await?;
        let write = async {
            tx.commit().await?;
            self.write(step, generation).await
        };
        self.database.step("indexer", write).await?;
        Ok(true)
    }

    /// Reads the calls' keys; ends the step earlier when they are many.
    async fn read(&self, step: &mut Step, tx: &DatabaseTransaction) -> Result<(), Error> {
        let sizes = sizes(tx, step.calls.iter().map(|(_, call)| *call));
        let sizes = self.database.step("indexer", sizes).await?;
        let (mut done, mut bytes, mut bodies) = (0, 0, 0_i64);
        while bytes < BYTES && bodies < BODIES {
            let mut read = 0_i64;
            let next = step
                .calls
                .iter()
                .skip(done)
                .take(CHUNK.0)
                .take_while(|(_, call)| {
                    let more = read < CHUNK.1;
                    if more {
                        let size = sizes.get(call).copied().unwrap_or_default();
                        read = read.saturating_add(size);
                    }
                    more
                });
            let next: Vec<i64> = next.map(|(_, call)| *call).collect();
            if next.is_empty() {
                break;
            }
            done += next.len();
            bodies = bodies.saturating_add(read);
            let texts = Texts {
                tx,
                cpu: &self.cpu,
                // Not less may be indexed when others take much: the index would fall behind, and searches read more.
                memory: None,
                operation: Operation::new(Asker::Server, LONGEST),
                counters: &self.counters,
            };
            let calls = stored(&next, tx, &self.dictionary);
            let calls = self.database.step("indexer", calls).await?;
            let collector = || KeyCollector::new(MOST);
            let read = self.database.step(
                "indexer",
                texts.read(&calls, true, collector, |stored, collector| {
                    let keys = collector.keys().map(|keys| keys.join(" "));
                    bytes += keys.as_ref().map_or(0, String::len);
                    step.rows.push(IndexedRow {
                        call: stored.row,
                        keys,
                    });
                    ControlFlow::Continue(())
                }),
            );
            let _all: ControlFlow<()> = read.await?;
        }
        if let Some((next, _)) = step.calls.get(done) {
            step.upto = std::cmp::min(step.upto, next - 1);
            step.calls.truncate(done);
        }
        Ok(())
    }

    async fn write(&self, step: Step, generation: u64) -> Result<(), Error> {
        let mut tx = Transaction::begin_after(&self.database, generation).await?;
        tx.advance(0, 0).await?;
        // Nobody writes now.
        let near = self.database.near();
        if indexed(near).await? != step.known {
            // Another process was faster.
            return Ok(tx.rollback().await?);
        }
        let calls: BTreeSet<i64> = step.calls.iter().map(|(_, call)| *call).collect();
        let alive = call::Entity::find()
            .select_only()
            .column(call::Column::Id)
            .filter(call::Column::Id.is_in(calls.iter().copied()));
        let alive: Vec<i64> = alive.into_tuple().all(near).await?;
        let alive: HashSet<i64> = alive.into_iter().collect();
        let noted = unindexed::Entity::find()
            .select_only()
            .column(unindexed::Column::Call)
            .filter(unindexed::Column::Call.is_in(calls.iter().copied()))
            // What was noted after the snapshot was read is still to come.
            .filter(
                unindexed::Column::Seq
                    .lte(step.head)
                    .or(unindexed::Column::Seq.eq(i64::MAX)),
            );
        let noted: Vec<i64> = noted.into_tuple().all(near).await?;
        let calls: Vec<i64> = calls.into_iter().collect();
        tx.with_keys("DELETE FROM search WHERE rowid IN ({keys})", &calls)
            .await?;
        tx.with_keys("DELETE FROM unindexed WHERE call IN ({keys})", &noted)
            .await?;
        // What was deleted after the snapshot was read must not come back.
        let mut rows: HashMap<i64, IndexedRow> = step.rows.into_iter().map(|row| (row.call, row)).collect();
        rows.retain(|call, _| alive.contains(call));
        let (large, rows): (Vec<IndexedRow>, Vec<IndexedRow>) =
            rows.into_values().partition(|row| row.keys.is_none());
        tx.insert(rows.into_iter()).await?;
        let large = large.into_iter().map(|row| UnindexedRow {
            call: row.call,
            seq: i64::MAX,
        });
        tx.insert(large).await?;
        tx.with_number("UPDATE sequence SET indexed = $1 WHERE id = 1", step.upto)
            .await?;
        tx.commit().await
    }
}

/// How many bytes the bodies of calls had before any cap.
async fn sizes(
    tx: &DatabaseTransaction,
    calls: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, i64>, Error> {
    let sizes = detail::Entity::find()
        .select_only()
        .columns([
            detail::Column::Call,
            detail::Column::RequestBytes,
            detail::Column::ResponseBytes,
        ])
        .filter(detail::Column::Call.is_in(calls));
    let sizes: Vec<(i64, Option<i64>, Option<i64>)> = sizes.into_tuple().all(tx).await?;
    let sum = |one: Option<i64>, other: Option<i64>| one.unwrap_or(0).saturating_add(other.unwrap_or(0));
    Ok(sizes
        .into_iter()
        .map(|(call, request, response)| (call, sum(request, response)))
        .collect())
}

impl Step {
    /// The next changes, at most `most` of them.
    async fn next(tx: &DatabaseTransaction, most: u64) -> Result<Self, Error> {
        let (head, known) = (head(tx).await?.0, indexed(tx).await?);
        let added = call::Entity::find()
            .select_only()
            .column(call::Column::Id)
            .filter(call::Column::Id.gt(known))
            .order_by_asc(call::Column::Id)
            .limit(most);
        let added: Vec<i64> = added.into_tuple().all(tx).await?;
        let completed = call::Entity::find()
            .select_only()
            .columns([call::Column::UpdatedSeq, call::Column::Id])
            .filter(call::Column::UpdatedSeq.gt(known))
            .order_by_asc(call::Column::UpdatedSeq)
            .limit(most);
        let completed: Vec<(i64, i64)> = completed.into_tuple().all(tx).await?;
        // Beyond what was read there may be more.
        let end = |found: usize, last: Option<i64>| last.filter(|_| found as u64 == most).unwrap_or(head);
        let upto = std::cmp::min(
            end(added.len(), added.last().copied()),
            end(completed.len(), completed.last().map(|(seq, _)| *seq)),
        );
        let changes = added.into_iter().map(|id| (id, id)).chain(completed);
        let mut calls: Vec<(i64, i64)> = changes.filter(|(seq, _)| *seq <= upto).collect();
        calls.sort_unstable();
        let noted = unindexed::Entity::find()
            .select_only()
            .column(unindexed::Column::Call)
            .filter(unindexed::Column::Seq.lte(head))
            .limit(most);
        let noted: Vec<i64> = noted.into_tuple().all(tx).await?;
        calls.extend(noted.into_iter().map(|call| (i64::MAX, call)));
        Ok(Self {
            known,
            upto,
            head,
            calls,
            rows: Vec::new(),
        })
    }
}
