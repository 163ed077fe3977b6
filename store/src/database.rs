//! The connections: one that writes, one that looks around before a write, and some that read.

use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{self, ConnectOptions, Connection, PgPool};
use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, IsolationLevel, SqlxPostgresConnector,
    SqlxSqliteConnector, TransactionTrait,
};

use tokio::time::timeout;

use crate::address::Address;
use crate::connections::Connections;
use crate::health::Health;
use crate::pooler::Work;
use crate::schema::{self, Found, Upkeep};
use crate::{Error, ErrorKind, Options, patience, pooler};

/// How long a connection that comes back may take to answer.
pub(crate) const RELEASE: Duration = Duration::from_secs(2);

/// How many more connections read than there are places for questions: for small reads that take no place, and in the stead
/// of those that a question that was given up has left behind.
const SPARE: u32 = 2;

/// How many connections maintenance has: one for an erasure, one for retention, one for the API keys.
const MAINTENANCE: u32 = 3;

/// How long the checks wait for a connection or a lock.
const PROBE: Duration = Duration::from_millis(500);

/// How many connections look around before writes: for the next group, for one that is tried again, and for whoever holds
/// the lock, who must wait for none of them.
const NEAR: u32 = 3;

/// How long a statement of PostgreSQL may take where no other limit holds.
const STATEMENT: Duration = Duration::from_secs(60);

/// How much longer than a statement may take its answer is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a write waits for the lock of a file at most. Its senders wait with it, and those of the next group.
const LOCKED: Duration = Duration::from_secs(5);

/// How long to wait before connecting again to a file that is locked.
const AGAIN: Duration = Duration::from_millis(25);

/// Sends a notification without content.
const NOTIFY: &str = "SELECT pg_notify('mcptap', '')";

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
    /// What a write must look at first does not queue behind readers.
    near: DatabaseConnection,
    read: DatabaseConnection,
    /// What all followers of the feed wait for does not queue behind readers either.
    feed: DatabaseConnection,
    /// Deletions, sweeps and reads of the API keys. No query limit applies, and they do not queue behind readers.
    maintenance: DatabaseConnection,
    /// What asks whether all is well queues behind nobody.
    probe: DatabaseConnection,
    /// The file, where the database is one.
    file: Option<OpenFile>,
    health: Arc<Health>,
    /// How many places for questions there are.
    readers: u32,
    /// Whether this database takes notifications.
    notifies: bool,
    /// Where `sqlite::memory:` really lives.
    _scratch: Option<Arc<Scratch>>,
    /// What is to go wrong.
    #[cfg(test)]
    faults: Arc<crate::transaction::faults::Faults>,
}

impl Database {
    /// Connects; brings the tables up to date when `options` say so.
    pub(crate) async fn connect(url: &str, options: &Options) -> Result<Self, Error> {
        let upkeep = if options.migrate {
            Upkeep::Migrate
        } else {
            Upkeep::Leave
        };
        Self::connect_for(url, options, upkeep).await
    }

    /// Connects, and does to the tables what may be done. What belongs to another program, or to a newer version, is left
    /// as it is.
    pub(crate) async fn connect_for(url: &str, options: &Options, upkeep: Upkeep) -> Result<Self, Error> {
        let wait = upkeep.patience();
        match Address::parse(url)? {
            Address::Memory => {
                // An in-memory database belongs to one connection; ours are several. A file that vanishes does the same.
                let file = Scratch::new();
                let connect = SqliteConnectOptions::new()
                    .filename(&file.0)
                    .create_if_missing(true);
                let database = Self::sqlite(connect, options, upkeep, Some(Arc::new(file))).await?;
                schema::migrate(&database.write, upkeep).await?;
                Ok(database)
            }
            Address::File(connect) => {
                let (found, looked) = schema::look_into_file(&connect, wait).await?;
                if let Some(looked) = looked {
                    looked.close().await?;
                }
                let work = upkeep.asks_for_work(found)?;
                let database = Self::sqlite(*connect, options, upkeep, None).await?;
                if work || upkeep == Upkeep::Migrate {
                    schema::migrate(&database.write, upkeep).await?;
                }
                Ok(database)
            }
            Address::Server { connect, pooled } => {
                let database = Self::postgres(*connect, pooled, options, upkeep).await?;
                if upkeep.asks_for_work(schema::inspect(&database.write).await?)? {
                    schema::migrate(&database.write, upkeep).await?;
                }
                Ok(database)
            }
        }
    }

    /// A connection to a database that is there already, to look at it only; `None` when there is none yet.
    pub(crate) async fn look(url: &str) -> Result<Option<DatabaseConnection>, Error> {
        match Address::parse(url)? {
            Address::Memory => Ok(None),
            Address::File(connect) => Ok(schema::look_into_file(&connect, Upkeep::Leave.patience())
                .await?
                .1),
            Address::Server { connect, pooled } => {
                let pooling = pooler::detect(&connect, pooled).await?;
                let pool = pooler::pool(1, STATEMENT, Work::Reads, pooling)
                    .connect_with(pooling.fit(*connect))
                    .await?;
                let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
                Ok(match schema::inspect(&connection).await? {
                    Found::Nothing => None,
                    Found::Ours { .. } => Some(connection),
                })
            }
        }
    }

    async fn sqlite(
        connect: SqliteConnectOptions,
        options: &Options,
        upkeep: Upkeep,
        scratch: Option<Arc<Scratch>>,
    ) -> Result<Self, Error> {
        let wait = upkeep.patience();
        let connect = connect
            // Rows are referred to only by statements that keep them right; checking would read the other table.
            .foreign_keys(false)
            .journal_mode(SqliteJournalMode::Wal)
            // Acknowledged means stored, also through a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(wait)
            .pragma("temp_store", "memory")
            .pragma("mmap_size", "268435456")
            .pragma("journal_size_limit", "134217728")
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let writer = connect
            .clone()
            // This and the next only have an effect before the first table, and the next takes the lock of writers: readers
            // must not wait for it. Larger pages make a write a fifth cheaper (measured): fewer to find, to balance and to log.
            .page_size(8192)
            // Lets retention give space back.
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .thread_name(|_| "mcptap-write".to_owned())
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "8000")
            // What is deleted is overwritten, not only unlinked.
            .pragma("secure_delete", "on")
            .busy_timeout(wait.min(LOCKED));
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(wait * 3)
            .after_release(|connection, _| Box::pin(is_idle(connection)));
        let write = match upkeep {
            // Who only reads does not wait for the lock of writers.
            Upkeep::Leave => write.connect_lazy_with(writer),
            Upkeep::Migrate | Upkeep::Make | Upkeep::Change => {
                until_free(wait, || {
                    write.clone().min_connections(1).connect_with(writer.clone())
                })
                .await?
            }
        };
        let prober = connect.clone().create_if_missing(false).busy_timeout(PROBE);
        // Known from here on; whoever opens it again opens the same.
        let file = match &scratch {
            None => Some(OpenFile::of(connect.get_filename())?),
            Some(_) => None,
        };
        let reader = connect
            .create_if_missing(false)
            .pragma("cache_size", "-8192")
            .pragma("query_only", "on");
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(wait)
                .after_release(|connection, _| Box::pin(is_idle(connection)))
        };
        let near = pool(NEAR).connect_lazy_with(reader.clone());
        let feed = pool(1).connect_lazy_with(reader.clone());
        let maintenance = pool(MAINTENANCE).connect_lazy_with(reader.clone());
        let readers = pool(options.readers.max(1).saturating_add(SPARE));
        let probe = pool(1).acquire_timeout(PROBE).connect_lazy_with(prober);
        let read = patience::sqlite(readers, options.read_timeout).connect_lazy_with(reader);
        Ok(Self {
            backend: Backend::Sqlite,
            write: SqlxSqliteConnector::from_sqlx_sqlite_pool(write),
            near: SqlxSqliteConnector::from_sqlx_sqlite_pool(near),
            read: SqlxSqliteConnector::from_sqlx_sqlite_pool(read),
            feed: SqlxSqliteConnector::from_sqlx_sqlite_pool(feed),
            maintenance: SqlxSqliteConnector::from_sqlx_sqlite_pool(maintenance),
            probe: SqlxSqliteConnector::from_sqlx_sqlite_pool(probe),
            file,
            health: Arc::default(),
            readers: options.readers,
            notifies: false,
            _scratch: scratch,
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    async fn postgres(
        connect: PgConnectOptions,
        pooled: bool,
        options: &Options,
        upkeep: Upkeep,
    ) -> Result<Self, Error> {
        let wait = upkeep.patience();
        let pooling = pooler::detect(&connect, pooled).await?;
        let wanted = Connections {
            write: 3,
            near: NEAR,
            // One of them listens.
            feed: 2,
            maintenance: MAINTENANCE,
            probe: 1,
            read: options.readers.max(1).saturating_add(SPARE),
        };
        // Commands take one or two of them.
        let connections = match upkeep {
            Upkeep::Migrate => pooler::share(&connect, pooling, wanted).await?,
            Upkeep::Make | Upkeep::Change | Upkeep::Leave => wanted,
        };
        let connect = pooling.fit(connect);
        let pool =
            |connections, work| pooler::pool(connections, STATEMENT, work, pooling).acquire_timeout(wait);
        let write = pool(connections.write, Work::Writes)
            .connect_with(connect.clone())
            .await?;
        let near = pool(connections.near, Work::Reads).connect_lazy_with(connect.clone());
        let feed = pool(connections.feed, Work::Reads).connect_lazy_with(connect.clone());
        let maintenance = pooler::pool(connections.maintenance, Duration::ZERO, Work::Reads, pooling)
            .acquire_timeout(wait)
            .connect_lazy_with(connect.clone());
        let probe = pooler::pool(connections.probe, PROBE, Work::Writes, pooling)
            .acquire_timeout(PROBE)
            .connect_lazy_with(connect.clone());
        let readers =
            pooler::pool(connections.read, options.read_timeout, Work::Reads, pooling).acquire_timeout(wait);
        let read = readers.connect_lazy_with(connect);
        // What speaks like PostgreSQL may not know notifications, and then refuses every write that sends one.
        let notifies = pooling.has_sessions() && sqlx::query(NOTIFY).execute(&write).await.is_ok();
        Ok(Self {
            backend: Backend::Postgres,
            write: SqlxPostgresConnector::from_sqlx_postgres_pool(write),
            near: SqlxPostgresConnector::from_sqlx_postgres_pool(near),
            read: SqlxPostgresConnector::from_sqlx_postgres_pool(read),
            feed: SqlxPostgresConnector::from_sqlx_postgres_pool(feed),
            maintenance: SqlxPostgresConnector::from_sqlx_postgres_pool(maintenance),
            probe: SqlxPostgresConnector::from_sqlx_postgres_pool(probe),
            file: None,
            health: Arc::default(),
            readers: connections.read.saturating_sub(SPARE).max(1),
            notifies,
            _scratch: None,
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    /// Which database it is.
    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// How many questions are answered at the same time. Fewer than were asked for where connections are few.
    pub(crate) fn readers(&self) -> u32 {
        self.readers
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
    pub(crate) fn feed(&self) -> &DatabaseConnection {
        &self.feed
    }

    /// The connections of maintenance.
    pub(crate) fn maintenance(&self) -> &DatabaseConnection {
        &self.maintenance
    }

    /// The connection of the checks.
    pub(crate) fn probe(&self) -> &DatabaseConnection {
        &self.probe
    }

    /// How long a group may take to be written. A server that does not answer is given up; a file is waited for.
    pub(crate) fn write_limit(&self) -> Duration {
        match self.backend {
            Backend::Sqlite => Duration::from_secs(24 * 60 * 60),
            Backend::Postgres => STATEMENT / 2,
        }
    }

    /// Waits for a piece of work without which its task cannot go on, and not for ever: where packets are dropped nobody
    /// answers, and the system waits for a quarter of an hour. A file is waited for.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.backend {
            Backend::Sqlite => work.await,
            // Dropping it closes its connection.
            Backend::Postgres => timeout(STATEMENT + ANSWER, work)
                .await
                .unwrap_or(Err(Error::TimedOut)),
        }
    }

    /// What is known of the state of writes and tasks.
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

    /// Fails with [`Error::Replaced`] when the file that is open is not the one at its path: what is written to it then is
    /// lost with the last process that has it open.
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

    /// Where commits of other processes are notified.
    pub(crate) fn notifications(&self) -> Option<&PgPool> {
        self.notifies.then(|| self.feed.get_postgres_connection_pool())
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
        self.snapshot_of(&self.feed).await
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
                whole(async move {
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
                whole(async move { connection.begin().await }).await
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn faults(&self) -> Arc<crate::transaction::faults::Faults> {
        Arc::clone(&self.faults)
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        for connection in [
            &self.probe,
            &self.maintenance,
            &self.read,
            &self.feed,
            &self.near,
            &self.write,
        ] {
            if let Err(error) = connection.close_by_ref().await {
                tracing::warn!(%error, "closing a connection failed");
            }
        }
    }
}

/// Begins a transaction of PostgreSQL to the end, also when nobody waits for it any more. If it were left half-way, sqlx
/// would give the connection to the next one inside a transaction that nobody ends (transact-rs/sqlx#4393).
pub(crate) async fn whole<T, E>(
    beginning: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, Error>
where
    T: Send + 'static,
    E: Send + 'static,
    Error: From<E>,
{
    match tokio::spawn(beginning).await {
        Ok(begun) => Ok(begun?),
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down.
            Err(_) => Err(Error::Stopping),
        },
    }
}

/// Whether a connection that comes back to its pool is outside of any transaction. If it is not, its ROLLBACK failed, and
/// the pool closes it: SQLite rolls back by itself when the disk is full, and sqlx then counts that transaction as open
/// for as long as the connection lives.
pub(crate) async fn is_idle<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    // The ROLLBACK of a dropped transaction is queued; the connection answers this after it. A server that does not answer
    // would keep the connection's place for ever.
    match tokio::time::timeout(RELEASE, connection.ping()).await {
        Ok(answered) => answered?,
        Err(_) => return Ok(false),
    }
    Ok(!connection.is_in_transaction())
}

/// Connects to SQLite again while another process holds the lock: SQLite does not wait for it where it changes to WAL mode.
pub(crate) async fn until_free<T, F, E>(wait: Duration, connect: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>>,
    Error: From<E>,
{
    let started = Instant::now();
    loop {
        match connect().await.map_err(Error::from) {
            // SQLITE_BUSY, SQLITE_LOCKED.
            Err(error) if error.kind() == ErrorKind::Conflict && started.elapsed() < wait => {
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// The file that is open, by which it is told from another one at its path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenFile {
    fn of(path: &Path) -> Result<Self, Error> {
        // Links are followed, as SQLite follows them; the folder may be another one later.
        let path = std::fs::canonicalize(path).map_err(sqlx::Error::Io)?;
        let found = std::fs::metadata(&path).map_err(sqlx::Error::Io)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            path,
        })
    }

    async fn in_place(&self) -> Result<(), Error> {
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(Error::Replaced),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Replaced),
            Err(error) => Err(sqlx::Error::Io(error).into()),
        }
    }
}

/// A database file that is deleted with its last user.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = crate::clock::now().0;
        Self(std::env::temp_dir().join(format!("mcptap-{}-{now}-{number}.db", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            // It may never have been made; then there is nothing to delete.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn near_is_free(url: &str) {
        let database = Database::connect(url, &Options::default()).await.unwrap();
        // The next group is prepared, and one that is tried again.
        let one = database.near_snapshot().await.unwrap();
        let other = database.near_snapshot().await.unwrap();
        // Whoever holds the lock waits for neither.
        database.near_snapshot().await.unwrap().commit().await.unwrap();
        for snapshot in [one, other] {
            snapshot.commit().await.unwrap();
        }
        database.close().await;
    }

    #[tokio::test]
    async fn who_holds_the_lock_does_not_wait_for_preparations() {
        near_is_free("sqlite::memory:").await;
        if let Some(url) = crate::transaction::tests::of_server("near").await {
            near_is_free(&url).await;
        }
    }

    #[tokio::test]
    async fn what_nobody_answers_is_given_up() {
        let Some(url) = crate::transaction::tests::of_server("silent").await else {
            return;
        };
        let database = Database::connect(&url, &Options::default()).await.unwrap();
        tokio::time::pause();
        let silence = std::future::pending::<Result<(), Error>>();
        assert!(matches!(database.in_time(silence).await, Err(Error::TimedOut)));
    }
}
