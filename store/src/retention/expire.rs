//! Retention: what is past its time is deleted for good, in small steps beside the writes.
//!
//! A call is past its time by the earlier of when it began and when it arrived, so a clock that is ahead keeps nothing
//! longer. A step is a transaction like any other: it takes the sequence's lock first, so nothing it looks at can change
//! under it and no writer can wait for it crosswise, and it moves the sequence, so that a write prepared beside it notices.

mod calls;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::access::audit;
use crate::db::database::Database;
use crate::metrics::Counters;
use crate::read::scan::head;
use crate::retention::cleanup::{Cleanup, counted};
use crate::retention::compact;
pub(crate) use crate::retention::pace::REST;
use crate::{Error, Options, Store, clock};
pub(crate) use calls::{Step, forget, remove, step};
use waiting::expire;

/// The task, as readiness names it.
const TASK: &str = "retention";

/// How often the background looks for what is past its time.
const PERIOD: Duration = Duration::from_secs(60);

/// How long it is at most until it cleans up after what it deleted, which reads all calls and rewrites the index of words.
const CLEANUP_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// The share of the time that calls are kept for which words of theirs may stay in the files after it.
const CLEANUP_SHARE: u32 = 8;

/// How much was deleted.
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
        let now = database.step(TASK, head(database.maintenance())).await?;
        inner.recent.skip_to(now);
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
    // At once: words that a process deleted before it was killed must not stay in the files until the first round.
    let mut done = retention.clean_up().await;
    loop {
        retention
            .database
            .health()
            .ended_round(TASK, done.as_ref().map(drop));
        match done {
            Ok(()) | Err(Error::Stopping) => {}
            Err(error) => tracing::error!(%error, "retention failed; it is tried again in a minute"),
        }
        let pause = tokio::time::sleep(PERIOD);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
        done = retention.round().await;
    }
}

/// How long it is until it cleans up again.
fn cleanup_period(kept: Option<Duration>) -> Duration {
    let share = kept.unwrap_or(Duration::MAX) / CLEANUP_SHARE;
    share.clamp(PERIOD, CLEANUP_PERIOD)
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
        // None of them is kept from running by another's failure.
        let expired = expire(database, clock::ago(waits), counters).await;
        let forgotten = self.forget().await;
        let cleaned = self.clean_up().await;
        let space = compact::space(&self.database, compact::USEFUL, &self.stop).await;
        expired.and(forgotten).and(cleaned).and(space)
    }

    async fn forget(&self) -> Result<(), Error> {
        let Some(retention) = self.options.retention else {
            return Ok(());
        };
        let pruned = forget(&self.database, clock::ago(retention), &self.counters, &self.stop).await?;
        if pruned.calls > 0 {
            tracing::info!(
                calls = pruned.calls,
                log_lines = pruned.log_lines,
                "deleted what was past its time"
            );
        }
        Ok(())
    }

    /// Cleans up after deletions where that is due, and after erasures whose process ended first.
    async fn clean_up(&mut self) -> Result<(), Error> {
        let database = &self.database;
        // Before the files are cleaned: whoever is killed later has the next round clean up after it.
        let abandoned = audit::abandoned(database).await?;
        let due = self.cleanup.is_urgent() || self.next_cleanup <= Instant::now();
        if !due && abandoned.is_empty() {
            return Ok(());
        }
        let (deleted, cleaned) = counted(database).await?;
        if deleted > cleaned {
            self.cleanup.run(database, &self.stop).await?;
        }
        audit::end_abandoned(database, &abandoned).await?;
        // PostgreSQL may commit the last step of a process that was killed after it let go of its lock.
        let next = if abandoned.is_empty() {
            cleanup_period(self.options.retention)
        } else {
            PERIOD
        };
        self.next_cleanup = Instant::now() + next;
        Ok(())
    }
}
