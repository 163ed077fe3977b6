//! `impl Store`: erasing the calls of a filter, so that nothing of them is left in the database's files.
//!
//! Calls go in small steps, as retention deletes them, so that writes come in between. With them go their bodies, log lines
//! and aliases, HTTP spans and lines that wait and may be theirs, and what only they had: sessions, clients, origins, names.
//! On SQLite deleted bytes are overwritten (`secure_delete`), free pages given back, and the write-ahead log, which still
//! holds them as they were, is emptied. PostgreSQL gets a VACUUM.
//!
//! An erasure reads on connections of its own, without the limit of queries, and its end is logged and audited whatever it
//! is. What it deleted until it failed leaves the files all the same.

mod found;
#[cfg(test)]
mod tests;
mod waiting;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mcptap_model::{CallFilter, UnixNanos};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::access::audit::{Actor, Begun, ERASURE, note};
use crate::db::database::Database;
use crate::db::transaction::Transaction;
use crate::limits::operation::Operation;
use crate::liveness::silence::forget_heartbeats;
use crate::read::scan::head;
use crate::retention::cleanup::count;
use crate::retention::expire::{Pruned, Step, forget, step};
use crate::retention::pace::Pace;
use crate::retention::slack::Remains;
use crate::rows::entity::call;
use crate::{Error, Seq, Store, clock};

/// The task, as readiness names it.
const TASK: &str = "erasure";

/// How many calls one step erases.
const CALLS: std::ops::RangeInclusive<u64> = 16..=500;

/// How often a step that fails is tried again, and after how long.
const TRIES: u32 = 5;
// Tests make every statement fail once.
const TRY_AGAIN: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1_000 });

/// Rows that no call has any more, `$1` at a time. Only looked for when all calls are erased: then these tables are small.
const REST_OF_ALL: [&str; 4] = [
    "DELETE FROM details WHERE call IN (SELECT call FROM details \
     WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = details.call) LIMIT $1)",
    "DELETE FROM log_lines WHERE call IN (SELECT call FROM log_lines \
     WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = log_lines.call) LIMIT $1)",
    "DELETE FROM unindexed WHERE call IN (SELECT call FROM unindexed \
     WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = unindexed.call) LIMIT $1)",
    "DELETE FROM search WHERE rowid IN (SELECT rowid FROM search \
     WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = search.rowid) LIMIT $1)",
];

/// Rows that arrived until `$1` and belong to no call.
const WITHOUT_CALL: [&str; 2] = [
    "DELETE FROM waiting WHERE id IN (SELECT id FROM waiting WHERE arrived_at <= $1 \
     AND (call IS NULL OR NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = waiting.call)) LIMIT 2000)",
    "DELETE FROM aliases WHERE (trace_lo, span_id, trace_hi) IN (SELECT trace_lo, span_id, trace_hi FROM aliases \
     WHERE arrived_at <= $1 AND (call IS NULL OR NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = aliases.call)) LIMIT 2000)",
];

/// What an erasure did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// How many calls it deleted.
    pub calls: u64,
    /// How many log lines of theirs.
    pub log_lines: u64,
    /// What of them is left in the database's files.
    pub remains: Remains,
}

/// Which calls an erasure means. Those that come in later are not meant: so there is an end.
#[derive(Clone, Copy, Debug)]
struct Until {
    /// Up to this change.
    last: Seq,
    /// In this history of the database: in another one the numbers of changes stand for others.
    generation: u64,
}

/// How much an erasure has erased so far.
#[derive(Debug, Default)]
struct Progress {
    calls: AtomicU64,
    log_lines: AtomicU64,
}

impl Progress {
    fn add(&self, deleted: Pruned) {
        self.calls.fetch_add(deleted.calls, Ordering::Relaxed);
        self.log_lines.fetch_add(deleted.log_lines, Ordering::Relaxed);
    }

    fn read(&self) -> Pruned {
        Pruned {
            calls: self.calls.load(Ordering::Relaxed),
            log_lines: self.log_lines.load(Ordering::Relaxed),
        }
    }
}

impl Store {
    /// Erases every call that the filter means now, and gives what was erased. It goes on when nobody waits for it any
    /// more. `subject` is what the audit says of the filter. Erasures of one process come one after the other.
    pub async fn erase(&self, filter: CallFilter, by: Actor, subject: String) -> Result<Erasure, Error> {
        let (store, tasks) = (self.clone(), self.inner.tasks.clone());
        let erasing = tasks.spawn(async move { store.erase_and_tell(&filter, by, &subject).await });
        erasing.await.map_err(|_| Error::Stopping)?
    }

    async fn erase_and_tell(&self, filter: &CallFilter, by: Actor, subject: &str) -> Result<Erasure, Error> {
        let inner = &self.inner;
        let _turn = inner.cleanup.erasing().await;
        let begun = self.begin(by, &format!("calls with {subject}")).await?;
        let progress = Progress::default();
        // A panic is an end too, and the audit records it.
        let erasing = Operation::maintenance().run(self.erase_all(filter, &progress));
        let erasing = AssertUnwindSafe(erasing).catch_unwind().await;
        let erased = progress.read();
        let outcome = match erasing {
            Ok(Err(Error::Stopping)) => Err((Error::Stopping, "the server stopped")),
            done => {
                // After a failure too: what was erased must leave the files.
                let cleaned = self.clean_up().await;
                match done {
                    Ok(done) => done.and(cleaned).map_err(|error| {
                        let reason = reason(&error);
                        (error, reason)
                    }),
                    Err(_) => Err((Error::Stopping, "a fault of the server, which its log tells of")),
                }
            }
        };
        let (end, outcome) = match outcome {
            Ok(remains) => {
                tracing::info!(calls = erased.calls, log_lines = erased.log_lines, "erased calls");
                let end = match (erased.calls, remains.told()) {
                    (0, None) => "none".to_owned(),
                    (calls, None) => format!("{calls} erased"),
                    (calls, Some(left)) => format!("{calls} erased; {left}"),
                };
                let Pruned { calls, log_lines } = erased;
                (
                    end,
                    Ok(Erasure {
                        calls,
                        log_lines,
                        remains,
                    }),
                )
            }
            Err((error, reason)) => {
                tracing::error!(%error, calls = erased.calls, "an erasure failed; delete the rest again");
                (
                    format!("failed after {} calls: {reason}", erased.calls),
                    Err(error),
                )
            }
        };
        if let Err(error) = self.tell(by, format!("calls with {subject}: {end}")).await {
            tracing::error!(%error, "the audit does not tell of the end of an erasure of calls with {subject}: {end}");
        }
        begun.end().await;
        outcome
    }

    /// Records the begin. Where no connection was free in time nothing was recorded, so it can be tried again.
    async fn begin(&self, by: Actor, subject: &str) -> Result<Begun, Error> {
        let pace = Pace::new(&self.inner.stop, CALLS);
        let mut failed = 0;
        loop {
            match Begun::tell(&self.inner.database, by, subject).await {
                Err(error) if error.is_without_connection() => {
                    self.try_again(error, &mut failed, &pace).await?;
                }
                done => return done,
            }
        }
    }

    /// Cleans up the files. A connection that was lost, or a lock that another process held, does not make it fail.
    async fn clean_up(&self) -> Result<Remains, Error> {
        let inner = &self.inner;
        match inner.cleanup.run(&inner.database, &inner.stop).await {
            Err(error) if error.kind().is_transient() || matches!(error, Error::TimedOut) => {
                tracing::warn!(%error, "cleaning up after an erasure failed; it is tried again");
                inner.cleanup.run(&inner.database, &inner.stop).await
            }
            cleaned => cleaned,
        }
    }

    async fn tell(&self, by: Actor, subject: String) -> Result<(), Error> {
        let database = &self.inner.database;
        let telling = async {
            let tx = database.change().await?;
            note(&tx, by, ERASURE, subject).await?;
            Ok(tx.commit().await?)
        };
        database.step(TASK, telling).await
    }

    async fn erase_all(&self, filter: &CallFilter, progress: &Progress) -> Result<(), Error> {
        let inner = &self.inner;
        let begun = clock::now();
        let generation = inner.database.lineage().generation();
        let last = self.patiently(|| head(inner.database.maintenance())).await?;
        let until = Until { last, generation };
        // Calls past their time are not served any more, but may still be stored.
        let oldest = inner.options.oldest_kept();
        let pace = Pace::new(&inner.stop, CALLS);
        let mut failed = 0;
        while let Err(error) = forget(&inner.database, oldest, &inner.counters, &inner.stop).await {
            self.try_again(error, &mut failed, &pace).await?;
        }
        if *filter == CallFilter::default() {
            self.erase_everything(until, begun, progress).await
        } else {
            self.erase_found(filter, until, progress).await
        }
    }

    /// Erases all calls up to a change, what had arrived by then and belongs to no call, heartbeats, and whatever no call has.
    async fn erase_everything(
        &self,
        Until { last, generation }: Until,
        begun: UnixNanos,
        progress: &Progress,
    ) -> Result<(), Error> {
        let database = &self.inner.database;
        let mut pace = Pace::new(&self.inner.stop, CALLS);
        let calls = || {
            call::Entity::find()
                .filter(call::Column::Id.lte(last.0))
                .order_by_asc(call::Column::Id)
        };
        let mut failed = 0;
        loop {
            if database.lineage().generation() != generation {
                return Err(Error::Rewound);
            }
            match database.step(TASK, step(database, calls, pace.size())).await {
                Ok(None) => break,
                Ok(Some(Step { deleted, head, took })) => {
                    failed = 0;
                    progress.add(deleted);
                    self.inner.recent.skip_to(head);
                    pace.rest(took).await?;
                }
                Err(error) => self.try_again(error, &mut failed, &pace).await?,
            }
        }
        self.patiently(|| forget_heartbeats(database, begun)).await?;
        let statements = WITHOUT_CALL.map(|statement| (statement, begun.0));
        let rest = REST_OF_ALL.map(|statement| (statement, 500));
        for (statement, number) in statements.into_iter().chain(rest) {
            loop {
                let started = Instant::now();
                match database
                    .step(TASK, delete_some(database, statement, number))
                    .await
                {
                    Ok(0) => break,
                    Ok(_) => {
                        failed = 0;
                        pace.rest(started.elapsed()).await?;
                    }
                    Err(error) => self.try_again(error, &mut failed, &pace).await?,
                }
            }
        }
        Ok(())
    }

    /// Runs one step; where it fails it is tried again.
    async fn patiently<T, F>(&self, mut step: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let pace = Pace::new(&self.inner.stop, CALLS);
        let mut failed = 0;
        loop {
            match self.inner.database.step(TASK, step()).await {
                Ok(done) => return Ok(done),
                Err(error) => self.try_again(error, &mut failed, &pace).await?,
            }
        }
    }

    /// Waits until a step that failed can be tried again, or gives its error when that was often enough, or helps nothing:
    /// whoever waits for the answer of a full disk learns of it at once.
    async fn try_again(&self, error: Error, failed: &mut u32, pace: &Pace) -> Result<(), Error> {
        *failed += 1;
        let is_over = matches!(
            error,
            Error::Stopping | Error::Rewound | Error::Damaged { .. } | Error::Data(_) | Error::Full(_)
        );
        if is_over || *failed >= TRIES {
            return Err(error);
        }
        tracing::warn!(%error, "a step of an erasure failed; it is tried again");
        pace.pause(TRY_AGAIN).await
    }
}

/// Runs a statement that deletes some rows. Gives how many.
async fn delete_some(database: &Database, statement: &'static str, number: i64) -> Result<u64, Error> {
    let mut tx = Transaction::begin(database).await?;
    tx.advance(1, 0).await?;
    let deleted = tx.with_number(statement, number).await?;
    if deleted == 0 {
        tx.rollback().await?;
    } else {
        count(&mut tx, deleted).await?;
        tx.commit().await?;
    }
    Ok(deleted)
}

/// Why an erasure failed, as the audit says it: without words of calls.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::Stopping => "the server stopped",
        Error::TimedOut => "the database took too long",
        Error::Rewound => "the database was put back to another state",
        Error::Damaged { .. } => "a row is damaged",
        Error::Full(_) => "the disk is full",
        Error::Data(_) => "the database refused it",
        _ => "the database failed",
    }
}
