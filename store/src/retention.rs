//! Retention: what is past its time is deleted for good, in small steps beside the writes.
//!
//! A call is past its time by the earlier of when it began and when it arrived, so a clock that is ahead keeps nothing
//! longer. A step is a transaction like any other: it takes the sequence's lock first, so nothing it looks at can change
//! under it and no writer can wait for it crosswise, and it moves the sequence, so that a write prepared beside it notices.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcptap_model::UnixNanos;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::cleanup::{Cleanup, count, counted};
use crate::database::Database;
use crate::entity::{alias, call, waiting};
use crate::metrics::Counters;
use crate::pace::Pace;
pub(crate) use crate::pace::REST;
use crate::row::kind;
use crate::scan::head;
use crate::search::unindex;
use crate::transaction::Transaction;
use crate::{Error, Options, Seq, Store, clock, sweep};

/// How many calls one step deletes.
const CALLS: std::ops::RangeInclusive<u64> = 16..=500;

/// How many waiting rows one step deletes.
const WAITING: u64 = 2000;

/// How often the background looks for what is past its time.
const PERIOD: Duration = Duration::from_secs(60);

/// How often it cleans up after what it deleted, which reads all calls and rewrites the index of words.
const CLEANUP_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Calls, with their bodies.
    pub calls: u64,
    /// Log lines of these calls.
    pub log_lines: u64,
}

impl Store {
    /// Deletes every call that began or arrived longer ago than `older_than`, with all that belongs to it and what has
    /// waited for a call for that long, in small steps, and gives the space back.
    pub async fn prune(&self, older_than: Duration) -> Result<Pruned, Error> {
        let inner = &self.inner;
        let (database, counters) = (&inner.database, &inner.counters);
        let cutoff = clock::ago(older_than);
        expire(database, cutoff, counters).await?;
        let pruned = forget(database, cutoff, counters, &inner.stop).await?;
        inner.recent.skip_to(head(database.maintenance()).await?);
        inner.cleanup.run(database, &inner.stop).await?;
        Ok(pruned)
    }
}

/// Deletes what is past its time again and again, until `stop` is cancelled.
pub(crate) async fn run(
    database: Database,
    options: Options,
    counters: Arc<Counters>,
    cleanup: Arc<Cleanup>,
    stop: CancellationToken,
) {
    let mut retention = Retention::new(database, options, counters, cleanup, stop.clone());
    while stop
        .run_until_cancelled(tokio::time::sleep(PERIOD))
        .await
        .is_some()
    {
        match retention.round().await {
            Ok(()) | Err(Error::Stopping) => {}
            Err(error) => tracing::error!(%error, "retention failed; it is tried again in a minute"),
        }
    }
}

struct Retention {
    database: Database,
    options: Options,
    counters: Arc<Counters>,
    cleanup: Arc<Cleanup>,
    stop: CancellationToken,
    /// Due at the start: the process before this one may not have got to it.
    next_cleanup: Instant,
}

impl Retention {
    fn new(
        database: Database,
        options: Options,
        counters: Arc<Counters>,
        cleanup: Arc<Cleanup>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            database,
            options,
            counters,
            cleanup,
            stop,
            next_cleanup: Instant::now(),
        }
    }

    async fn round(&mut self) -> Result<(), Error> {
        let (database, counters) = (&self.database, &self.counters);
        let waits = self.options.join_window;
        let waits = self.options.retention.map_or(waits, |kept| kept.min(waits));
        expire(database, clock::ago(waits), counters).await?;
        if let Some(retention) = self.options.retention {
            let pruned = forget(database, clock::ago(retention), counters, &self.stop).await?;
            if pruned.calls > 0 {
                tracing::info!(
                    calls = pruned.calls,
                    log_lines = pruned.log_lines,
                    "deleted what was past its time"
                );
            }
        }
        if self.cleanup.is_urgent() || self.next_cleanup <= Instant::now() {
            let (deleted, cleaned) = counted(database).await?;
            if deleted > cleaned {
                self.cleanup.run(database, &self.stop).await?;
            }
            audit::end_interrupted(database, self.cleanup.interrupted()).await?;
            self.next_cleanup = Instant::now() + CLEANUP_PERIOD;
        }
        sweep::space(database, sweep::USEFUL, &self.stop).await
    }
}

/// Deletes all calls that began or arrived before `cutoff`.
pub(crate) async fn forget(
    database: &Database,
    cutoff: UnixNanos,
    counters: &Counters,
    stop: &CancellationToken,
) -> Result<Pruned, Error> {
    let mut pruned = Pruned::default();
    let mut pace = Pace::new(stop, CALLS);
    for of_age in [began_before, arrived_before] {
        loop {
            let most = pace.size();
            let next = step(database, || of_age(cutoff), most);
            let Some(step) = database.in_time(next).await? else {
                break;
            };
            counters.pruned(step.deleted.calls);
            pruned.calls += step.deleted.calls;
            pruned.log_lines += step.deleted.log_lines;
            pace.rest(step.took).await?;
        }
    }
    aliases_of_nothing(database, cutoff, &mut pace).await?;
    Ok(pruned)
}

fn began_before(cutoff: UnixNanos) -> Select<call::Entity> {
    call::Entity::find()
        .filter(call::Column::StartedAt.lt(cutoff.0))
        .order_by_asc(call::Column::StartedAt)
}

/// Calls that began later than they arrived have an index of their own.
fn arrived_before(cutoff: UnixNanos) -> Select<call::Entity> {
    call::Entity::find()
        .filter(Expr::col(call::Column::StartedAt).gt(Expr::col(call::Column::ReceivedAt)))
        .filter(call::Column::ReceivedAt.lt(cutoff.0))
        .order_by_asc(call::Column::ReceivedAt)
}

/// A transaction that deleted calls.
pub(crate) struct Step {
    pub(crate) deleted: Pruned,
    /// The last change now.
    pub(crate) head: Seq,
    /// How long writers waited for it.
    pub(crate) took: Duration,
}

/// Deletes the first of some calls; `None` where there are none, which is found without the lock.
pub(crate) async fn step(
    database: &Database,
    calls: impl Fn() -> Select<call::Entity>,
    most: u64,
) -> Result<Option<Step>, Error> {
    let db = database.maintenance();
    let any: Option<i64> = calls()
        .select_only()
        .column(call::Column::Id)
        .into_tuple()
        .one(db)
        .await?;
    if any.is_none() {
        return Ok(None);
    }
    let mut tx = Transaction::begin(database).await?;
    let started = Instant::now();
    let advanced = tx.advance(1, 0).await?;
    let first = calls().limit(most).select_only();
    let rows: Vec<(i64, Option<i64>)> = first
        .columns([call::Column::Id, call::Column::Session])
        .into_tuple()
        .all(db)
        .await?;
    let calls: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let sessions: HashSet<i64> = rows.iter().filter_map(|(_, session)| *session).collect();
    let log_lines = remove(&mut tx, &calls, sessions).await?;
    tx.commit().await?;
    Ok(Some(Step {
        deleted: Pruned {
            calls: calls.len() as u64,
            log_lines,
        },
        head: Seq(advanced.after),
        took: started.elapsed(),
    }))
}

/// Deletes what is known of spans that belong to no call.
async fn aliases_of_nothing(database: &Database, cutoff: UnixNanos, pace: &mut Pace) -> Result<(), Error> {
    loop {
        let any = alias::Entity::find()
            .filter(alias::Column::Call.is_null())
            .filter(alias::Column::ArrivedAt.lt(cutoff.0))
            .one(database.maintenance())
            .await?;
        if any.is_none() {
            return Ok(());
        }
        let mut tx = Transaction::begin(database).await?;
        let started = Instant::now();
        tx.advance(1, 0).await?;
        let deleted = tx
            .with_number(
                "DELETE FROM aliases WHERE (trace_lo, span_id) IN (SELECT trace_lo, span_id FROM aliases \
                 WHERE call IS NULL AND arrived_at < $1 LIMIT 2000)",
                cutoff.0,
            )
            .await?;
        count(&mut tx, deleted).await?;
        tx.commit().await?;
        pace.rest(started.elapsed()).await?;
    }
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
    count(tx, calls.len() as u64).await?;
    Ok(log_lines)
}

/// Deletes what has waited for its call since before `cutoff`.
pub(crate) async fn expire(database: &Database, cutoff: UnixNanos, counters: &Counters) -> Result<(), Error> {
    loop {
        let started = Instant::now();
        if !database.in_time(expire_some(database, cutoff, counters)).await? {
            return Ok(());
        }
        tokio::time::sleep(started.elapsed() * REST).await;
    }
}

/// Deletes the first that are past their time. Gives whether there may be more.
async fn expire_some(database: &Database, cutoff: UnixNanos, counters: &Counters) -> Result<bool, Error> {
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
        .all(database.maintenance())
        .await?;
    let expired: Vec<(i64, bool)> = rows
        .iter()
        .filter(|(.., arrived)| *arrived < cutoff.0)
        .map(|(id, kind, call, _)| (*id, *kind == kind::LOG && call.is_none()))
        .collect();
    if expired.is_empty() {
        return Ok(false);
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
    let others = tx
        .with_keys("DELETE FROM waiting WHERE id IN ({keys})", &keys)
        .await?;
    count(&mut tx, lost + others).await?;
    tx.commit().await?;
    counters.dropped(lost);
    Ok(expired.len() as u64 >= WAITING)
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

    #[tokio::test]
    async fn what_an_interrupted_erasure_left_is_cleaned_up() {
        let database = Database::connect("sqlite::memory:", &Options::default())
            .await
            .unwrap();
        // The process before this one ended after it had deleted the only call with this name.
        let mut tx = Transaction::begin(&database).await.unwrap();
        for statement in [
            "INSERT INTO names (hash, kind, text) VALUES (x'01', 1, 'erased')",
            "UPDATE sequence SET deleted = 3 WHERE id = 1",
            "INSERT INTO audit (at, key, what, subject) VALUES (1, 7, 'deleteCalls', 'calls with tools: begun')",
        ] {
            tx.run_for_test(statement).await;
        }
        tx.commit().await.unwrap();
        let mut retention = retention(&database).await;
        assert_eq!(retention.cleanup.interrupted().len(), 1);
        retention.round().await.unwrap();
        assert_eq!(counted(&database).await.unwrap(), (3, 3));
        let names = crate::entity::name::Entity::find();
        assert!(names.all(database.near()).await.unwrap().is_empty());
        let told = crate::entity::audit::Entity::find()
            .all(database.near())
            .await
            .unwrap();
        let told: Vec<_> = told
            .iter()
            .map(|entry| (entry.key, entry.subject.as_str()))
            .collect();
        assert_eq!(
            told[1..],
            [(
                Some(7),
                "calls with tools: interrupted, and cleaned up after a restart"
            )]
        );
        assert!(audit::interrupted(database.near()).await.unwrap().is_empty());
    }

    /// As of a process that just started.
    async fn retention(database: &Database) -> Retention {
        let cleanup = Arc::new(Cleanup::default());
        cleanup.know_interrupted(database).await.unwrap();
        Retention::new(
            database.clone(),
            Options::default(),
            Arc::default(),
            cleanup,
            CancellationToken::new(),
        )
    }

    async fn subjects(database: &Database) -> Vec<String> {
        let entries = crate::entity::audit::Entity::find().all(database.near()).await;
        entries.unwrap().into_iter().map(|entry| entry.subject).collect()
    }

    #[tokio::test]
    async fn an_erasure_of_another_process_is_not_told_to_be_interrupted_while_it_is_at_work() {
        let Some(url) = crate::transaction::tests::of_server("audit").await else {
            return;
        };
        let erasing = Database::connect(&url, &Options::default()).await.unwrap();
        let begun = audit::Begun::tell(&erasing, crate::Actor::Anybody, "all calls")
            .await
            .unwrap();
        let started = Database::connect(&url, &Options::default()).await.unwrap();
        let mut retention = retention(&started).await;
        retention.round().await.unwrap();
        assert_eq!(subjects(&started).await, ["all calls: begun"]);
        // That process ends without a word.
        begun.end().await;
        retention.next_cleanup = Instant::now();
        retention.round().await.unwrap();
        assert_eq!(
            subjects(&started).await,
            [
                "all calls: begun",
                "all calls: interrupted, and cleaned up after a restart"
            ]
        );
        erasing.close().await;
        started.close().await;
    }

    #[tokio::test]
    async fn an_erasure_that_this_process_began_is_not_told_to_be_interrupted() {
        let database = Database::connect("sqlite::memory:", &Options::default())
            .await
            .unwrap();
        let mut retention = retention(&database).await;
        let begun = audit::Begun::tell(&database, crate::Actor::Anybody, "all calls");
        begun.await.unwrap();
        // Also when the task is started anew.
        retention = Retention::new(
            database.clone(),
            Options::default(),
            Arc::default(),
            Arc::clone(&retention.cleanup),
            CancellationToken::new(),
        );
        retention.round().await.unwrap();
        assert_eq!(subjects(&database).await, ["all calls: begun"]);
    }
}
