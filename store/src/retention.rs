//! Forgetting: what is past its time is deleted for good, in small steps beside the writes.
//!
//! A step is a transaction like any other: it takes the sequence's lock, so nothing it looks at can change under it, and
//! it moves the sequence, so that a write prepared beside it notices.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcptap_model::UnixNanos;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::database::Database;
use crate::entity::{call, waiting};
use crate::metrics::Counters;
use crate::row::kind;
use crate::scan::head;
use crate::search::unindex;
use crate::transaction::Transaction;
use crate::{Error, Options, Store, clock, sweep};

/// How many calls one step deletes.
const CALLS: u64 = 500;

/// How many waiting rows one step deletes.
const WAITING: u64 = 2000;

/// How often the background looks for what is past its time.
const PERIOD: Duration = Duration::from_secs(60);

/// How often it looks for shared things that nothing refers to any more, which reads all calls, and for words of calls that
/// are gone, which rewrites the index of words.
const SWEEP_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Between two steps the writer has this many times as long for itself as the step took.
pub(crate) const REST: u32 = 4;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Calls, with their bodies.
    pub calls: u64,
    /// Log lines of these calls.
    pub log_lines: u64,
}

impl Store {
    /// Deletes every call that began longer ago than `older_than`, with all that belongs to it, in small steps, and
    /// gives the space back.
    pub async fn prune(&self, older_than: Duration) -> Result<Pruned, Error> {
        let (database, counters) = (&self.inner.database, &self.inner.counters);
        let pruned = forget(database, clock::ago(older_than), counters).await?;
        self.inner.recent.skip_to(head(database.near()).await?);
        sweep::shared(database).await?;
        sweep::words(database).await?;
        sweep::space(database, 0).await?;
        Ok(pruned)
    }
}

/// Forgets from time to time, until it is cancelled.
pub(crate) async fn run(database: Database, options: Options, counters: Arc<Counters>) {
    let mut swept = Instant::now();
    loop {
        tokio::time::sleep(PERIOD).await;
        if let Err(error) = round(&database, &options, &counters, &mut swept).await {
            tracing::error!(%error, "forgetting failed; it is tried again in a minute");
        }
    }
}

async fn round(
    database: &Database,
    options: &Options,
    counters: &Counters,
    swept: &mut Instant,
) -> Result<(), Error> {
    expire(database, clock::ago(options.join_window), counters).await?;
    let Some(retention) = options.retention else {
        return Ok(());
    };
    let pruned = forget(database, clock::ago(retention), counters).await?;
    if pruned.calls > 0 {
        tracing::info!(
            calls = pruned.calls,
            log_lines = pruned.log_lines,
            "deleted what was past its time"
        );
    }
    if swept.elapsed() >= SWEEP_PERIOD {
        *swept = Instant::now();
        sweep::shared(database).await?;
        sweep::words(database).await?;
    }
    sweep::space(database, sweep::USEFUL).await
}

/// Deletes all calls that began before `cutoff`.
async fn forget(database: &Database, cutoff: UnixNanos, counters: &Counters) -> Result<Pruned, Error> {
    let mut pruned = Pruned::default();
    loop {
        let started = Instant::now();
        let step = step(database, cutoff).await?;
        counters.pruned(step.calls);
        pruned.calls += step.calls;
        pruned.log_lines += step.log_lines;
        if step.calls < CALLS {
            return Ok(pruned);
        }
        tokio::time::sleep(started.elapsed() * REST).await;
    }
}

async fn step(database: &Database, cutoff: UnixNanos) -> Result<Pruned, Error> {
    let old = || call::Entity::find().filter(call::Column::StartedAt.lt(cutoff.0));
    // Without the lock, and mostly in vain.
    let any = old()
        .select_only()
        .column(call::Column::Id)
        .into_tuple::<i64>()
        .one(database.near())
        .await?;
    let mut tx = Transaction::begin(database).await?;
    if any.is_none() {
        tx.with_number(
            "DELETE FROM aliases WHERE call IS NULL AND arrived_at < $1",
            cutoff.0,
        )
        .await?;
        tx.commit().await?;
        return Ok(Pruned::default());
    }
    tx.advance(1, 0).await?;
    let oldest = old()
        .order_by_asc(call::Column::StartedAt)
        .limit(CALLS)
        .select_only();
    let rows: Vec<(i64, Option<i64>)> = oldest
        .columns([call::Column::Id, call::Column::Session])
        .into_tuple()
        .all(database.near())
        .await?;
    let calls: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let sessions: HashSet<i64> = rows.iter().filter_map(|(_, session)| *session).collect();
    let log_lines = remove(&mut tx, &calls, sessions).await?;
    tx.commit().await?;
    Ok(Pruned {
        calls: calls.len() as u64,
        log_lines,
    })
}

/// Deletes calls with all that hangs on them, and those of the sessions that have no other. Gives the number of log lines.
pub(crate) async fn remove(
    tx: &mut Transaction,
    calls: &[i64],
    sessions: HashSet<i64>,
) -> Result<u64, Error> {
    let log_lines = tx
        .with_keys("DELETE FROM log_lines WHERE call IN ({keys})", calls)
        .await?;
    tx.with_keys("DELETE FROM details WHERE call IN ({keys})", calls)
        .await?;
    tx.with_keys("DELETE FROM aliases WHERE call IN ({keys})", calls)
        .await?;
    tx.with_keys(
        "DELETE FROM waiting WHERE call IN ({keys}) AND call IS NOT NULL",
        calls,
    )
    .await?;
    unindex(tx, calls).await?;
    tx.with_keys("DELETE FROM calls WHERE id IN ({keys})", calls)
        .await?;
    let sessions: Vec<i64> = sessions.into_iter().collect();
    let ended = tx
        .with_keys(
            "DELETE FROM sessions WHERE id IN ({keys}) \
             AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.session = sessions.id)",
            &sessions,
        )
        .await?;
    if ended > 0 {
        tx.advance(0, 1).await?;
    }
    Ok(log_lines)
}

/// Deletes what has waited for its call since before `cutoff`.
async fn expire(database: &Database, cutoff: UnixNanos, counters: &Counters) -> Result<(), Error> {
    loop {
        let started = Instant::now();
        // Rows come in order of arrival: those past their time are the first.
        let first = waiting::Entity::find()
            .order_by_asc(waiting::Column::Id)
            .limit(WAITING)
            .select_only();
        let rows: Vec<(i64, i16, Option<i64>, i64)> = first
            .columns([
                waiting::Column::Id,
                waiting::Column::Kind,
                waiting::Column::Call,
                waiting::Column::ArrivedAt,
            ])
            .into_tuple()
            .all(database.near())
            .await?;
        let expired: Vec<(i64, bool)> = rows
            .iter()
            .filter(|(.., arrived)| *arrived < cutoff.0)
            .map(|(id, kind, call, _)| (*id, *kind == kind::LOG && call.is_none()))
            .collect();
        if expired.is_empty() {
            return Ok(());
        }
        let keys: Vec<i64> = expired.iter().map(|(id, _)| *id).collect();
        let mut tx = Transaction::begin(database).await?;
        tx.advance(1, 0).await?;
        // A line that found its call just now is not there any more, and not lost.
        let logs: Vec<i64> = expired
            .iter()
            .filter(|(_, lost)| *lost)
            .map(|(id, _)| *id)
            .collect();
        let lost = tx
            .with_keys("DELETE FROM waiting WHERE id IN ({keys})", &logs)
            .await?;
        tx.with_keys("DELETE FROM waiting WHERE id IN ({keys})", &keys)
            .await?;
        tx.commit().await?;
        counters.dropped(lost);
        if (expired.len() as u64) < WAITING {
            return Ok(());
        }
        tokio::time::sleep(started.elapsed() * REST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waited_too_long_is_dropped_and_counted() {
        let database = Database::connect("sqlite::memory:", &Options::default())
            .await
            .unwrap();
        let mut tx = Transaction::begin(&database).await.unwrap();
        for (row, kind, arrived_at) in [(1, kind::LOG, 10), (2, kind::HTTP, 10), (3, kind::LOG, 30)] {
            tx.run_for_test(&format!(
                "INSERT INTO waiting (id, trace_lo, fingerprint, kind, data, arrived_at) \
                 VALUES ({row}, 1, {row}, {kind}, x'00', {arrived_at})"
            ))
            .await;
        }
        tx.commit().await.unwrap();
        let counters = Counters::default();
        expire(&database, UnixNanos(20), &counters).await.unwrap();
        assert_eq!(counters.metrics().log_lines_dropped, 1);
        let left: Vec<i64> = waiting::Entity::find()
            .all(database.near())
            .await
            .unwrap()
            .iter()
            .map(|row| row.id)
            .collect();
        assert_eq!(left, [3]);
    }
}
