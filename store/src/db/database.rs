//! The connections to the database: a pool for each kind of work, so that no kind waits for another.

mod beside;
mod connect;
mod file;
mod handle;
pub(crate) mod reach;
mod release;
mod reopen;
mod single;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sea_orm::sqlx::PgPool;
use sea_orm::{AccessMode, DatabaseConnection, DatabaseTransaction, IsolationLevel, TransactionTrait};
use tokio::time::timeout;

use crate::db::lineage::Lineage;
use crate::health::Health;
use crate::{Error, ErrorKind};
pub(crate) use connect::Purpose;
pub(crate) use file::beside;
use file::{ERASING, OpenFile, Scratch};
pub(crate) use handle::{Access, header, number, open, page_size};
use release::whole;
pub(crate) use release::{RELEASE, is_idle, until_free};
use single::Single;

/// How long a statement of PostgreSQL may take where no other limit holds.
const STATEMENT: Duration = Duration::from_secs(60);

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// SQLite.
    Sqlite,
    /// PostgreSQL, or what speaks like it.
    Postgres,
}

/// The connections to one database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    backend: Backend,
    /// SQLite has one writer at a time, so this has one connection there.
    write: DatabaseConnection,
    /// For the reads that prepare a write, which do not queue behind queries.
    near: DatabaseConnection,
    read: DatabaseConnection,
    /// For the feed, the API keys and the search for lost calls: short reads, for which all followers and all requests wait,
    /// and which do not queue behind queries either.
    feed: Single,
    /// Deletions, sweeps and the index of words. No query limit applies, and they do not queue behind readers.
    maintenance: DatabaseConnection,
    /// For the readiness checks alone, which queue behind nothing.
    probe: Single,
    /// The file, where the database is one.
    file: Option<OpenFile>,
    /// Whether connections that come back to their pools are closed.
    leaving: Arc<AtomicBool>,
    health: Arc<Health>,
    /// How many queries read at the same time.
    readers: u32,
    /// How long a step of work in the background may take on PostgreSQL.
    step_limit: Duration,
    /// Whether this database takes notifications.
    notifies: bool,
    /// Whether it takes them, and there is a connection to listen by.
    listens: bool,
    /// Where `sqlite::memory:` really lives.
    scratch: Option<Arc<Scratch>>,
    /// What this process has seen of its contents.
    lineage: Arc<Lineage>,
    /// The faults that tests inject.
    #[cfg(test)]
    faults: Arc<crate::db::transaction::faults::Faults>,
}

impl Database {
    /// Which database it is.
    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// How many queries read at the same time. Fewer than [`Options::readers`](crate::Options::readers) where connections are
    /// few.
    pub(crate) fn readers(&self) -> u32 {
        self.readers
    }

    /// What this process has seen of its contents.
    pub(crate) fn lineage(&self) -> &Arc<Lineage> {
        &self.lineage
    }

    /// The connection that writes.
    pub(crate) fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    /// The connections by which writers look around.
    pub(crate) fn near(&self) -> &DatabaseConnection {
        &self.near
    }

    /// The connections that read.
    pub(crate) fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// The connection by which the feed is kept up to date.
    pub(crate) fn feed(&self) -> DatabaseConnection {
        self.feed.get()
    }

    /// The connections of maintenance.
    pub(crate) fn maintenance(&self) -> &DatabaseConnection {
        &self.maintenance
    }

    /// The connection of the checks.
    pub(crate) fn probe(&self) -> DatabaseConnection {
        self.probe.get()
    }

    /// The checks had no answer by the connection that they had.
    pub(crate) fn renew_probe(&self) {
        self.probe.renew_if_lent();
    }

    /// How long a group may take to be written. A server that does not answer is given up; a file is waited for.
    pub(crate) fn write_limit(&self) -> Duration {
        match self.backend {
            Backend::Sqlite => Duration::from_secs(24 * 60 * 60),
            Backend::Postgres => STATEMENT / 2,
        }
    }

    /// One step of work in the background, or of an erasure. On PostgreSQL it fails with [`Error::TimedOut`] when it takes
    /// longer than [`Options::step_timeout`](crate::Options::step_timeout): where packets are dropped nobody answers, and the
    /// system would wait for a quarter of an hour. The connections that the step had are closed, and readiness says no until
    /// a step of this task gets its answer. A file is waited for.
    pub(crate) async fn step<T>(
        &self,
        task: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.step_within(task, self.step_limit, work).await
    }

    /// The same within a limit that is shorter.
    pub(crate) async fn step_within<T>(
        &self,
        task: &'static str,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.backend {
            Backend::Sqlite => {
                let done = work.await;
                self.health.noticed(done.as_ref().map(drop));
                done
            }
            Backend::Postgres => {
                // A connection that comes back to its pool with something unanswered is closed (`is_idle`).
                let done = timeout(limit.min(self.step_limit), work)
                    .await
                    .unwrap_or(Err(Error::TimedOut));
                let unanswered =
                    |error: &Error| matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Resources);
                if done.as_ref().is_err_and(unanswered) {
                    self.feed.renew_if_lent();
                }
                self.health.stepped(task, done.as_ref().map(drop));
                done
            }
        }
    }

    /// The state of writes and tasks, as far as it is known.
    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Whether no write of this process holds the lock.
    pub(crate) fn writer_is_idle(&self) -> bool {
        match self.backend {
            Backend::Sqlite => self.write.get_sqlite_connection_pool().num_idle() > 0,
            Backend::Postgres => {
                let pool = self.write.get_postgres_connection_pool();
                u32::try_from(pool.num_idle()).is_ok_and(|idle| idle == pool.size())
            }
        }
    }

    /// Fails with [`Error::Replaced`] when the file that is open is not the one at its path, since what is written to it then
    /// is lost with the last process that has it open; or when somebody cut it or wrote over it. The same for those beside
    /// it: [`Error::LogReplaced`].
    pub(crate) async fn in_place(&self) -> Result<(), Error> {
        match &self.file {
            Some(file) => file.in_place().await,
            None => Ok(()),
        }
    }

    /// Whether the file system of the file has at least so many bytes left. True where that is not known.
    pub(crate) async fn has_space(&self, bytes: u64) -> bool {
        let Some(file) = &self.file else {
            return true;
        };
        let path = file.path.clone();
        let looked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&path)).await;
        match looked {
            Ok(Ok(found)) => found.f_bavail.saturating_mul(found.f_frsize) >= bytes,
            _ => true,
        }
    }

    /// The file beside a database of SQLite on which running erasures hold locks.
    pub(crate) fn erasing(&self) -> Option<PathBuf> {
        Some(beside(&self.path()?, ERASING))
    }

    /// The file, where the database is one.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let scratch = self.scratch.as_ref().map(|scratch| &scratch.0);
        self.file.as_ref().map(|file| &file.path).or(scratch).cloned()
    }

    /// Whether commits are notified to other processes.
    pub(crate) fn notifies(&self) -> bool {
        self.notifies
    }

    /// Where commits of other processes are notified.
    pub(crate) fn notifications(&self) -> Option<PgPool> {
        self.listens
            .then(|| self.feed().get_postgres_connection_pool().clone())
    }

    /// A snapshot for readers: all its statements see the same moment.
    pub(crate) async fn snapshot(&self) -> Result<DatabaseTransaction, Error> {
        self.snapshot_of(&self.read).await
    }

    /// A snapshot for the writer, which looks around before it writes.
    pub(crate) async fn near_snapshot(&self) -> Result<DatabaseTransaction, Error> {
        self.in_place().await?;
        self.snapshot_of(&self.near).await
    }

    /// A snapshot for the feed.
    pub(crate) async fn feed_snapshot(&self) -> Result<DatabaseTransaction, Error> {
        self.snapshot_of(&self.feed()).await
    }

    /// A snapshot for maintenance.
    pub(crate) async fn maintenance_snapshot(&self) -> Result<DatabaseTransaction, Error> {
        self.snapshot_of(&self.maintenance).await
    }

    async fn snapshot_of(&self, connection: &DatabaseConnection) -> Result<DatabaseTransaction, Error> {
        match self.backend {
            // In WAL mode a deferred transaction stays with what it saw first.
            Backend::Sqlite => Ok(connection.begin().await?),
            Backend::Postgres => {
                let connection = connection.clone();
                let pool = connection.get_postgres_connection_pool().clone();
                whole(&pool, self.step_limit, async move {
                    let (isolation, access) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
                    connection.begin_with_config(Some(isolation), Some(access)).await
                })
                .await
            }
        }
    }

    /// A transaction that changes a few rows, other than of calls.
    pub(crate) async fn change(&self) -> Result<DatabaseTransaction, Error> {
        self.in_place().await?;
        match self.backend {
            Backend::Sqlite => Ok(self.write.begin().await?),
            Backend::Postgres => {
                let connection = self.write.clone();
                let pool = connection.get_postgres_connection_pool().clone();
                whole(&pool, self.step_limit, async move { connection.begin().await }).await
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn faults(&self) -> Arc<crate::db::transaction::faults::Faults> {
        Arc::clone(&self.faults)
    }

    /// Closes all connections, those of all pools at the same time: one that does not answer keeps none of the others.
    pub(crate) async fn close(&self) {
        let close = async |connection: &DatabaseConnection| {
            if let Err(error) = connection.close_by_ref().await {
                tracing::warn!(%error, "closing a connection failed");
            }
        };
        let (feed, probe) = (self.feed(), self.probe());
        let readers = async { tokio::join!(close(&self.maintenance), close(&self.read), close(&feed)) };
        // In SQLite the last one to close, which may write, tidies up the log.
        tokio::join!(close(&probe), readers, close(&self.near));
        close(&self.write).await;
    }
}
