//! The connections: one that writes, one that looks around before a write, and some that read.

use std::future::Future;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcptap_migrations::{Migrator, MigratorTrait};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{self, ConnectOptions, Connection, PgPool};
use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, IsolationLevel, SqlxPostgresConnector,
    SqlxSqliteConnector, TransactionTrait,
};

use crate::{Error, Options, patience};

/// How long to wait for a connection or a lock before giving up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many more connections read than there are places for questions: for small reads that take no place, and in the stead
/// of those that a question that was given up has left behind.
const SPARE: u32 = 2;

/// How many connections maintenance has: one for an erasure, one for retention, one for the API keys.
const MAINTENANCE: u32 = 3;

/// Any number; two processes that migrate the same PostgreSQL database take turns by it.
const MIGRATION_LOCK: i64 = 0x6d63_7074_6170;

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
        let database = if url.starts_with("sqlite:") {
            Self::sqlite(url, options).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::postgres(url, options).await?
        } else {
            return Err(Error::Url(url.to_owned()));
        };
        database.migrate(options.migrate).await?;
        Ok(database)
    }

    /// Connects to a database that is there already, to look at it only; `None` when there is none yet.
    pub(crate) async fn look(url: &str) -> Result<Option<Self>, Error> {
        let options = Options {
            readers: 1,
            ..Options::default()
        };
        if !url.starts_with("sqlite:") {
            return Self::postgres(url, &options).await.map(Some);
        }
        let connect = SqliteConnectOptions::from_str(url).map_err(|_| Error::Url(url.to_owned()))?;
        if url.contains(":memory:") || url.contains("mode=memory") || !connect.get_filename().exists() {
            return Ok(None);
        }
        Self::sqlite(url, &options).await.map(Some)
    }

    async fn sqlite(url: &str, options: &Options) -> Result<Self, Error> {
        let mut connect = SqliteConnectOptions::from_str(url).map_err(|_| Error::Url(url.to_owned()))?;
        let mut scratch = None;
        if url.contains(":memory:") || url.contains("mode=memory") {
            // An in-memory database belongs to one connection; ours are several. A file that vanishes does the same.
            let file = Scratch::new();
            connect = SqliteConnectOptions::new()
                .filename(&file.0)
                .create_if_missing(true);
            scratch = Some(Arc::new(file));
        }
        let connect = connect
            // Rows are referred to only by statements that keep them right; checking would read the other table.
            .foreign_keys(false)
            .journal_mode(SqliteJournalMode::Wal)
            // Acknowledged means stored, also through a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
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
            .pragma("secure_delete", "on");
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(PATIENCE * 3)
            .after_release(|connection, _| Box::pin(is_idle(connection)))
            .connect_with(writer)
            .await?;
        let reader = connect
            .create_if_missing(false)
            .pragma("cache_size", "-8192")
            .pragma("query_only", "on");
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(PATIENCE)
                .after_release(|connection, _| Box::pin(is_idle(connection)))
        };
        let near = pool(1).connect_lazy_with(reader.clone());
        let feed = pool(1).connect_lazy_with(reader.clone());
        let maintenance = pool(MAINTENANCE).connect_lazy_with(reader.clone());
        let readers = pool(options.readers.max(1).saturating_add(SPARE));
        let read = patience::sqlite(readers, options.read_timeout).connect_lazy_with(reader);
        Ok(Self {
            backend: Backend::Sqlite,
            write: SqlxSqliteConnector::from_sqlx_sqlite_pool(write),
            near: SqlxSqliteConnector::from_sqlx_sqlite_pool(near),
            read: SqlxSqliteConnector::from_sqlx_sqlite_pool(read),
            feed: SqlxSqliteConnector::from_sqlx_sqlite_pool(feed),
            maintenance: SqlxSqliteConnector::from_sqlx_sqlite_pool(maintenance),
            notifies: false,
            _scratch: scratch,
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    async fn postgres(url: &str, options: &Options) -> Result<Self, Error> {
        let connect = PgConnectOptions::from_str(url).map_err(|_| Error::Url(without_password(url)))?;
        let connect = connect.application_name("mcptap").disable_statement_logging();
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(PATIENCE)
                .after_release(|connection, _| Box::pin(is_idle(connection)))
        };
        let write = pool(3).connect_with(connect.clone()).await?;
        let near = pool(1).connect_lazy_with(connect.clone());
        // One of them listens.
        let feed = pool(2).connect_lazy_with(connect.clone());
        let maintenance = pool(MAINTENANCE).connect_lazy_with(connect.clone());
        let reader = patience::postgres(connect, options.read_timeout);
        let read = pool(options.readers.max(1).saturating_add(SPARE)).connect_lazy_with(reader);
        // What speaks like PostgreSQL may not know notifications, and then refuses every write that sends one.
        let notifies = sqlx::query(NOTIFY).execute(&write).await.is_ok();
        Ok(Self {
            backend: Backend::Postgres,
            write: SqlxPostgresConnector::from_sqlx_postgres_pool(write),
            near: SqlxPostgresConnector::from_sqlx_postgres_pool(near),
            read: SqlxPostgresConnector::from_sqlx_postgres_pool(read),
            feed: SqlxPostgresConnector::from_sqlx_postgres_pool(feed),
            maintenance: SqlxPostgresConnector::from_sqlx_postgres_pool(maintenance),
            notifies,
            _scratch: None,
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    async fn migrate(&self, wanted: bool) -> Result<(), Error> {
        if !wanted {
            let pending = Migrator::get_pending_migrations(&self.write).await?;
            return if pending.is_empty() {
                Ok(())
            } else {
                Err(Error::Outdated)
            };
        }
        match self.backend {
            Backend::Sqlite => Migrator::up(&self.write, None).await?,
            Backend::Postgres => {
                let pool = self.write.get_postgres_connection_pool();
                let mut lock = pool.acquire().await?;
                sqlx::query("SELECT pg_advisory_lock($1)")
                    .bind(MIGRATION_LOCK)
                    .execute(&mut *lock)
                    .await?;
                let done = Migrator::up(&self.write, None).await;
                sqlx::query("SELECT pg_advisory_unlock($1)")
                    .bind(MIGRATION_LOCK)
                    .execute(&mut *lock)
                    .await?;
                done?;
            }
        }
        Ok(())
    }

    /// Which database it is.
    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// The connection that writes.
    pub(crate) fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    /// The connection by which the writer looks around.
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
        for connection in [&self.maintenance, &self.read, &self.feed, &self.near, &self.write] {
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
async fn is_idle<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    // The ROLLBACK of a dropped transaction is queued; the connection answers this after it.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// A URL as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
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
