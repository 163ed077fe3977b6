//! Cleaning up the files after deletions: words in the index, free pages, SQLite's write-ahead log, PostgreSQL's dead rows.

use std::time::{Duration, Instant};

use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection, Row, SqliteConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::db::database::{Backend, Database, RELEASE};
use crate::retention::pace::Pace;
use crate::{Error, ErrorKind};

/// How many free pages are kept, since new rows will want them.
pub(crate) const USEFUL: i64 = 10_000;

/// How many pages are given back at a time.
const PAGES: std::ops::RangeInclusive<u64> = 50..=2000;

/// How many pages of the index of words are rewritten at a time.
const MERGED: std::ops::RangeInclusive<u64> = 50..=2000;

/// How long one attempt to empty SQLite's log waits for readers.
const ATTEMPT: Duration = Duration::from_millis(100);

/// How many attempts there are: a minute of them.
const ATTEMPTS: u32 = 200;

/// The contents of SQLite's write-ahead log after cleaning up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wal {
    /// Nothing of what was deleted; so it is for PostgreSQL, whose log is not ours.
    Empty,
    /// A reader keeps it from being emptied: pages as they were before are in it.
    Kept,
}

/// Rewrites SQLite's index of words where it holds words of deleted calls: it only marks these as deleted. A part at a
/// time, so that writes come in between.
pub(crate) async fn words(database: &Database, stop: &CancellationToken) -> Result<(), Error> {
    if database.backend() != Backend::Sqlite {
        return Ok(());
    }
    let mut pace = Pace::new(stop, MERGED);
    // Negative: everything is to become one part, in which nothing deleted is left. Positive: more of the same.
    let mut sign = -1;
    loop {
        let mut connection = database.writer().await?;
        let started = Instant::now();
        let merged = merge(&mut connection, sign * pace.size() as i64).await;
        if merged.is_err() {
            connection.close_on_drop();
        }
        // One for the command itself.
        if merged? < 2 {
            return Ok(());
        }
        drop(connection);
        sign = 1;
        pace.rest(started.elapsed()).await?;
    }
}

/// Merges pages of the index of words. Gives how many rows that changed.
async fn merge(connection: &mut SqliteConnection, pages: i64) -> Result<i64, Error> {
    let before = changes(connection).await?;
    sqlx::query("INSERT INTO search (search, rank) VALUES ('merge', ?)")
        .bind(pages)
        .execute(&mut *connection)
        .await?;
    Ok(changes(connection).await? - before)
}

async fn changes(connection: &mut SqliteConnection) -> Result<i64, Error> {
    Ok(sqlx::query("SELECT total_changes()")
        .fetch_one(connection)
        .await?
        .try_get(0)?)
}

/// Gives free pages back to the file system, all but `keep`, a few at a time. PostgreSQL does so by itself.
pub(crate) async fn space(database: &Database, keep: i64, stop: &CancellationToken) -> Result<(), Error> {
    if database.backend() != Backend::Sqlite {
        return Ok(());
    }
    let mut pace = Pace::new(stop, PAGES);
    let mut last = i64::MAX;
    loop {
        let mut connection = database.writer().await?;
        let free: i64 = sqlx::query("PRAGMA freelist_count")
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        // A database made by something else may not be able to shrink: then the number stays.
        if free <= keep || free >= last {
            return Ok(());
        }
        last = free;
        let started = Instant::now();
        let some = format!("PRAGMA incremental_vacuum({})", pace.size());
        let freed = sqlx::query(sqlx::AssertSqlSafe(some))
            .fetch_all(&mut *connection)
            .await;
        if freed.is_err() {
            connection.close_on_drop();
        }
        freed?;
        drop(connection);
        pace.rest(started.elapsed()).await?;
    }
}

/// A connection of its own to empty SQLite's log by.
pub(crate) async fn beside_writers(database: &Database) -> Result<SqliteConnection, Error> {
    let pool = database.near().get_sqlite_connection_pool();
    let options = SqliteConnectOptions::clone(&pool.connect_options()).busy_timeout(ATTEMPT);
    Ok(options.connect().await?)
}

/// Whether the log could be written back and emptied in a moment. What waiting for readers does not help, such as a full
/// disk, is an error.
pub(crate) async fn is_emptied(connection: &mut SqliteConnection) -> Result<bool, Error> {
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut *connection)
        .await;
    // Busy is a row here and an error there.
    match row.map_err(Error::from) {
        Ok(row) => Ok(row.try_get::<i64, _>(0)? == 0),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes SQLite's log back and empties it: it holds pages as they were before. It waits for readers, in short attempts,
/// so that writers do not wait with it.
pub(crate) async fn empty_wal(
    connection: &mut SqliteConnection,
    stop: &CancellationToken,
) -> Result<Wal, Error> {
    for _ in 0..ATTEMPTS {
        if is_emptied(connection).await? {
            return Ok(Wal::Empty);
        }
        let pause = stop.run_until_cancelled(tokio::time::sleep(ATTEMPT * 2));
        pause.await.ok_or(Error::Stopping)?;
    }
    tracing::warn!(
        "a reader keeps SQLite's write-ahead log from being emptied: what was deleted is in it until that succeeds; it is \
         tried again every minute"
    );
    Ok(Wal::Kept)
}

/// How long the connection of a vacuum may take to come.
const CONNECTING: Duration = Duration::from_secs(5);

/// Tells PostgreSQL to clear dead rows away now. SQLite has none.
pub(crate) async fn vacuum(database: &Database, stop: &CancellationToken) {
    if database.backend() != Backend::Postgres {
        return;
    }
    // A server that stops does not wait: autovacuum does it later.
    if let Some(Err(error)) = stop.run_until_cancelled(vacuum_tables(database)).await {
        tracing::warn!(%error, "VACUUM failed; autovacuum clears dead rows away later");
    }
}

async fn vacuum_tables(database: &Database) -> Result<(), Error> {
    // On a connection of its own: behind a pooler of transactions those of the pools are always inside one.
    let pool = database.maintenance().get_postgres_connection_pool();
    // Where connections are few, a pooler may let this one wait.
    let connect = pool.connect_options();
    let connecting = timeout(CONNECTING, connect.connect());
    let mut connection = connecting.await.map_err(|_| Error::TimedOut)??;
    for statement in VACUUM {
        // The server goes on with what it began, also when nobody waits any more.
        let vacuum = sqlx::raw_sql(statement).execute(&mut connection);
        timeout(VACUUM_LIMIT, vacuum)
            .await
            .map_err(|_| Error::TimedOut)??;
    }
    timeout(RELEASE, connection.close())
        .await
        .map_err(|_| Error::TimedOut)??;
    Ok(())
}

/// How long the VACUUM of one table is waited for.
const VACUUM_LIMIT: Duration = Duration::from_secs(300);

/// The tables from which rows are deleted.
const VACUUM: [&str; 12] = [
    "VACUUM calls",
    "VACUUM details",
    "VACUUM log_lines",
    "VACUUM aliases",
    "VACUUM waiting",
    "VACUUM sessions",
    "VACUUM clients",
    "VACUUM origins",
    "VACUUM names",
    "VACUUM processes",
    "VACUUM search",
    "VACUUM unindexed",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    /// As on a disk that is full: to wait for readers does not help.
    #[tokio::test]
    async fn what_is_no_readers_fault_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let database = Database::connect(&url, &Options::default()).await.unwrap();
        let unable = SqliteConnectOptions::new().filename(&path).read_only(true);
        let mut unable = unable.connect().await.unwrap();
        is_emptied(&mut unable).await.unwrap_err();
        let told = empty_wal(&mut unable, &CancellationToken::new()).await;
        assert!(told.is_err(), "{told:?}");
        let mut able = beside_writers(&database).await.unwrap();
        assert!(is_emptied(&mut able).await.unwrap());
        able.close().await.unwrap();
        unable.close().await.unwrap();
        database.close().await;
    }
}
