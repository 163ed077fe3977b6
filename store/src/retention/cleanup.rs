//! After deletions: what only deleted rows had goes too, and the database's files are rewritten where they still hold words
//! of theirs.
//!
//! How much was deleted is counted in `sequence.deleted` by the transactions that delete, and how much of that has been
//! cleaned up after in `sequence.cleaned`. So a process that ends in between leaves the rest to the next one.

use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::{ConnectionTrait, Statement};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::db::database::Database;
use crate::db::transaction::Transaction;
use crate::retention::slack::Remains;
use crate::retention::{compact, orphans, slack};

/// The task, as readiness names it.
pub(crate) const TASK: &str = "cleanup";

/// Which of a process's tasks cleans up, and whether one must soon.
#[derive(Debug, Default)]
pub(crate) struct Cleanup {
    running: Mutex<()>,
    erasing: Mutex<()>,
    /// Whether the last one failed, or left the log of SQLite full.
    failed: AtomicBool,
}

impl Cleanup {
    /// Erasures of one process come one after the other.
    pub(crate) async fn erasing(&self) -> MutexGuard<'_, ()> {
        self.erasing.lock().await
    }

    /// Whether it must be tried again soon.
    pub(crate) fn is_urgent(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Deletes what nothing refers to, and removes what was deleted from the files. A step that fails does not keep the
    /// later ones from being taken.
    pub(crate) async fn run(&self, database: &Database, stop: &CancellationToken) -> Result<Remains, Error> {
        let _running = self.running.lock().await;
        let done = clean(database, stop).await;
        // What is left in unused space would be left again.
        let failed = !matches!(done, Ok(Remains::Nothing | Remains::Copies));
        self.failed.store(failed, Ordering::Relaxed);
        done
    }
}

async fn clean(database: &Database, stop: &CancellationToken) -> Result<Remains, Error> {
    let (deleted, _) = counted(database).await?;
    let orphans = orphans::delete(database, stop).await;
    let words = compact::words(database, stop).await;
    let pages = compact::space(database, 0, stop).await;
    // The file shrinks when the log is written back.
    let remains = slack::overwrite(database, stop).await;
    compact::vacuum(database, stop).await;
    orphans.and(words).and(pages)?;
    let remains = remains?;
    if remains != Remains::Log {
        let note = async {
            let mut tx = Transaction::begin(database).await?;
            tx.with_number(
                "UPDATE sequence SET cleaned = $1 WHERE id = 1 AND cleaned < $1",
                deleted,
            )
            .await?;
            tx.commit().await
        };
        database.step(TASK, note).await?;
    }
    Ok(remains)
}

/// How much was deleted, and how much of it was cleaned up after.
pub(crate) async fn counted(database: &Database) -> Result<(i64, i64), Error> {
    let db = database.maintenance();
    let text = "SELECT deleted, cleaned FROM sequence WHERE id = 1";
    let statement = Statement::from_string(db.get_database_backend(), text);
    let reading = async { Ok(db.query_one_raw(statement).await?) };
    let row = database.step(TASK, reading).await?.ok_or(Error::Damaged {
        table: "sequence",
        row: 1,
        what: "is missing",
    })?;
    Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
}

/// Notes in a transaction that it deletes, so that the files are cleaned up after it even if this process ends before.
pub(crate) async fn count(tx: &mut Transaction, rows: u64) -> Result<(), Error> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    tx.with_number("UPDATE sequence SET deleted = deleted + $1 WHERE id = 1", rows)
        .await?;
    Ok(())
}
