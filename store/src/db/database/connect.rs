//! Connecting: which pools there are, how many connections each has, and what these are set to.

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{self, ConnectOptions};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector};

use super::{Backend, Database, OpenFile, STATEMENT, Scratch, Single, is_idle, reach, until_free};
use crate::db::address::Address;
use crate::db::connections::Connections;
use crate::db::lineage::Lineage;
use crate::db::pooler::{Pooling, Work};
use crate::db::schema::{self, Found, Upkeep, grants};
use crate::db::{deadline, look, pooler};
use crate::{Error, Options};

/// How long a new connection to a server is waited for at least, also by commands: the server may be far, or a pooler may have
/// to make it first.
const CONNECTING: Duration = Duration::from_secs(10);

/// The one for whom a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A server, which takes as many connections as there are for it.
    Server,
    /// A command, which runs beside a server, with those that it leaves.
    Command,
}

/// How many more connections read than queries may run at the same time: for small reads that do not count as queries, and
/// in place of connections that a query has left behind when it was given up.
const SPARE: u32 = 2;

/// How many connections maintenance has: one for an erasure, one for retention, one for the indexer.
const MAINTENANCE: u32 = 3;

/// How long the checks wait for a connection or a lock.
const PROBE: Duration = Duration::from_millis(500);

/// How many connections look around before writes: for the next group, for one that is tried again, and for whoever holds
/// the lock, who must wait for none of them.
const NEAR: u32 = 3;

/// How long a write waits for the lock of a file at most. Its senders wait with it, and those of the next group.
const LOCKED: Duration = Duration::from_secs(5);

/// Sends a notification without content.
const NOTIFY: &str = "SELECT pg_notify('mcptap', '')";

impl Database {
    /// Connects; brings the tables up to date when `options` say so.
    pub(crate) async fn connect(url: &str, options: &Options) -> Result<Self, Error> {
        let upkeep = if options.migrate {
            Upkeep::Migrate
        } else {
            Upkeep::Leave
        };
        Self::connect_for(url, options, upkeep, Purpose::Server).await
    }

    /// Connects, and does to the tables what may be done. What belongs to another program, or to a newer version, is left
    /// as it is.
    pub(crate) async fn connect_for(
        url: &str,
        options: &Options,
        upkeep: Upkeep,
        purpose: Purpose,
    ) -> Result<Self, Error> {
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
                // Other commands fail with another error: without a file there are no tables.
                if matches!(upkeep, Upkeep::Migrate | Upkeep::Make) {
                    look::place_of_file(url, &connect)?;
                }
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
                reach::server(url, &connect, wait).await?;
                let database = Self::postgres(*connect, pooled, options, upkeep, purpose).await?;
                let found = schema::inspect(&database.write).await?;
                let work = upkeep.asks_for_work(found)?;
                grants::check(&database.write, upkeep, work).await?;
                if work {
                    schema::migrate(&database.write, upkeep).await?;
                }
                Ok(database)
            }
        }
    }

    /// A connection to a database that is there already, to look at it only; `None` when there is none yet. A server that is
    /// not there is tried again for as long as `wait`, a file that is locked likewise.
    pub(crate) async fn look(url: &str, wait: Duration) -> Result<Option<DatabaseConnection>, Error> {
        match Address::parse(url)? {
            Address::Memory => Ok(None),
            Address::File(connect) => Ok(schema::look_into_file(&connect, wait).await?.1),
            Address::Server { connect, pooled } => {
                let (connection, _) = Self::look_at_server(url, &connect, pooled, wait).await?;
                Ok(match schema::inspect(&connection).await? {
                    Found::Nothing => None,
                    Found::Ours { .. } => Some(connection),
                })
            }
        }
    }

    /// One connection to a server, to look at the database only. One that is not there is tried again for as long as `wait`.
    pub(crate) async fn look_at_server(
        url: &str,
        connect: &PgConnectOptions,
        pooled: bool,
        wait: Duration,
    ) -> Result<(DatabaseConnection, Pooling), Error> {
        reach::server(url, connect, wait).await?;
        let pooling = pooler::detect(connect, pooled).await?;
        let pool = pooler::pool(1, STATEMENT, Work::Reads, pooling)
            .connect_with(pooling.fit(connect.clone()))
            .await?;
        Ok((SqlxPostgresConnector::from_sqlx_postgres_pool(pool), pooling))
    }

    async fn sqlite(
        connect: SqliteConnectOptions,
        given: &Options,
        upkeep: Upkeep,
        scratch: Option<Arc<Scratch>>,
    ) -> Result<Self, Error> {
        let wait = upkeep.patience();
        let connect = connect
            // Rows are referred to only by statements that keep them right; checking would read the other table.
            .foreign_keys(false)
            // Acknowledged means stored, also through a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(wait)
            .pragma("temp_store", "memory")
            // Nothing of the file is mapped: where it is cut, or the disk cannot read a page, access to a mapped page ends the
            // process by SIGBUS, and a read is an error. Pages come from the system's cache then (3 µs more each, measured), and a
            // connection keeps those it needs most: 8 MiB each for readers, 64 MiB for the one that writes.
            .pragma("mmap_size", "0")
            .pragma("journal_size_limit", "134217728")
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let writer = connect
            .clone()
            .busy_timeout(wait.min(LOCKED))
            .thread_name(|_| "mcptap-write".to_owned())
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "8000")
            // Deleted rows are overwritten, not only unlinked.
            .pragma("secure_delete", "on");
        // The file keeps this mode. Later connections do not ask for it: it would be a write to another program's file, should
        // one be at the path for a while.
        let first = writer
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            // This and the next only have an effect before the first table, and the next takes the lock of writers: readers
            // must not wait for it. Larger pages make a write a fifth cheaper (measured): fewer to find, to balance and to log.
            .page_size(8192)
            // Lets retention give space back.
            .auto_vacuum(SqliteAutoVacuum::Incremental);
        // Known from the first connection on.
        let opened: Arc<OnceLock<OpenFile>> = Arc::default();
        let same = Arc::clone(&opened);
        let admit = move || same.get().map_or(Ok(()), OpenFile::admit);
        let leaving: Arc<AtomicBool> = Arc::default();
        let options = |connections| {
            let (admit, leaving) = (admit.clone(), Arc::clone(&leaving));
            SqlitePoolOptions::new()
                .max_connections(connections)
                .after_connect(move |_, _| Box::pin(ready(admit())))
                .after_release(move |connection, _| {
                    let leaves = leaving.load(Ordering::Relaxed);
                    Box::pin(async move { Ok(!leaves && is_idle(connection).await?) })
                })
        };
        let write = options(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(wait * 3);
        let write = match upkeep {
            // A command that only reads does not wait for the lock of writers.
            Upkeep::Leave => write.connect_lazy_with(first),
            Upkeep::Migrate | Upkeep::Make | Upkeep::Change => {
                until_free(wait, || {
                    write.clone().min_connections(1).connect_with(first.clone())
                })
                .await?
            }
        };
        // It is there from now on. Where it is gone, a new one would take its place, and its log away.
        write.set_connect_options(writer.create_if_missing(false));
        let prober = connect.clone().create_if_missing(false).busy_timeout(PROBE);
        // Known from here on; whoever opens it again opens the same.
        let file = match &scratch {
            None => Some(OpenFile::of(connect.get_filename())?),
            Some(_) => None,
        };
        if let Some(file) = &file {
            opened.get_or_init(|| file.clone());
        }
        let reader = connect
            .create_if_missing(false)
            .pragma("cache_size", "-8192")
            .pragma("query_only", "on");
        let pool = |connections| options(connections).acquire_timeout(wait);
        let near = pool(NEAR).connect_lazy_with(reader.clone());
        let feed = pool(1).connect_lazy_with(reader.clone());
        let maintenance = pool(MAINTENANCE).connect_lazy_with(reader.clone());
        let readers = pool(given.readers.max(1).saturating_add(SPARE));
        let probe = pool(1).acquire_timeout(PROBE).connect_lazy_with(prober);
        let read = deadline::sqlite(readers, given.read_timeout, admit).connect_lazy_with(reader);
        Ok(Self {
            backend: Backend::Sqlite,
            write: SqlxSqliteConnector::from_sqlx_sqlite_pool(write),
            near: SqlxSqliteConnector::from_sqlx_sqlite_pool(near),
            read: SqlxSqliteConnector::from_sqlx_sqlite_pool(read),
            feed: Single::sqlite(feed),
            maintenance: SqlxSqliteConnector::from_sqlx_sqlite_pool(maintenance),
            probe: Single::sqlite(probe),
            file,
            leaving,
            health: Arc::default(),
            readers: given.readers,
            step_limit: given.step_timeout,
            notifies: false,
            listens: false,
            scratch,
            lineage: Arc::new(Lineage::new()?),
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    async fn postgres(
        connect: PgConnectOptions,
        pooled: bool,
        options: &Options,
        upkeep: Upkeep,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let wait = upkeep.patience().max(CONNECTING);
        let pooling = pooler::detect(&connect, pooled).await?;
        let wanted = Connections {
            write: 3,
            near: NEAR,
            // One of them listens.
            feed: 2,
            maintenance: MAINTENANCE,
            probe: 1,
            erasure: 2,
            read: options.readers.max(1).saturating_add(SPARE),
        };
        let connections = match purpose {
            Purpose::Server => pooler::share(&connect, pooling, wanted).await?,
            Purpose::Command => Connections::COMMAND,
        };
        let connect = pooling.fit(connect);
        let pool =
            |connections, work| pooler::pool(connections, STATEMENT, work, pooling).acquire_timeout(wait);
        let write = pool(connections.write, Work::Writes)
            .connect_with(connect.clone())
            .await
            .map_err(|error| match error {
                sqlx::Error::PoolTimedOut => pooler::none_in_time(wait),
                error => error.into(),
            })?;
        let near = pool(connections.near, Work::Reads).connect_lazy_with(connect.clone());
        let maintenance = pool(connections.maintenance, Work::Reads).connect_lazy_with(connect.clone());
        // The one that listens is in a pool of its own.
        let feed = match purpose {
            Purpose::Server => Single::postgres(pool(1, Work::Reads), connect.clone()),
            Purpose::Command => Single::shared(&maintenance),
        };
        let probe = pooler::pool(connections.probe, PROBE, Work::Writes, pooling).acquire_timeout(PROBE);
        let probe = Single::postgres(probe, connect.clone());
        let readers =
            pooler::pool(connections.read, options.read_timeout, Work::Reads, pooling).acquire_timeout(wait);
        let read = readers.connect_lazy_with(connect);
        // A database that speaks like PostgreSQL may not know notifications, and then refuses every write that sends one.
        let notifies = pooling.has_sessions() && sqlx::query(NOTIFY).execute(&write).await.is_ok();
        Ok(Self {
            backend: Backend::Postgres,
            write: SqlxPostgresConnector::from_sqlx_postgres_pool(write),
            near: SqlxPostgresConnector::from_sqlx_postgres_pool(near),
            read: SqlxPostgresConnector::from_sqlx_postgres_pool(read),
            feed,
            maintenance: SqlxPostgresConnector::from_sqlx_postgres_pool(maintenance),
            probe,
            file: None,
            leaving: Arc::default(),
            health: Arc::default(),
            readers: connections.read.saturating_sub(SPARE).max(1),
            step_limit: options.step_timeout,
            notifies,
            listens: notifies && connections.feed > 1,
            scratch: None,
            lineage: Arc::new(Lineage::new()?),
            #[cfg(test)]
            faults: Arc::default(),
        })
    }
}
