//! Cleaning up after forgetting: shared things that nothing refers to any more, and free pages.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection, Row, SqliteConnection};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::Error;
use crate::database::{Backend, Database};
use crate::entity::{call, client, name, origin, waiting};
use crate::retention::REST;
use crate::scan::head;
use crate::transaction::Transaction;

/// How many free pages are kept, since new rows will want them.
pub(crate) const USEFUL: i64 = 10_000;

/// How many pages are given back at a time.
const PAGES: i64 = 500;

/// How many pages of the index of words are rewritten at a time.
const MERGED: i64 = 500;

/// How long one attempt to empty SQLite's log waits for readers.
const ATTEMPT: Duration = Duration::from_millis(100);

/// How many attempts there are: a minute of them.
const ATTEMPTS: u32 = 200;

/// Deletes clients, origins and names that no call has. Reads all calls, beside the writes.
pub(crate) async fn shared(database: &Database) -> Result<(), Error> {
    let tx = database.snapshot().await?;
    let seen = head(&tx).await?;
    let clients: Vec<i64> = client::Entity::find()
        .select_only()
        .column(client::Column::Id)
        .into_tuple()
        .all(&tx)
        .await?;
    let origins: Vec<i64> = origin::Entity::find()
        .select_only()
        .column(origin::Column::Id)
        .into_tuple()
        .all(&tx)
        .await?;
    let names: Vec<i64> = name::Entity::find()
        .select_only()
        .column(name::Column::Id)
        .into_tuple()
        .all(&tx)
        .await?;
    let mut used = used(&tx, call::Column::Id.gt(i64::MIN)).await?;
    tx.commit().await?;

    let mut tx = Transaction::begin(database).await?;
    tx.advance(1, 0).await?;
    // Nobody writes now: what came in the meantime is little, and all of it.
    let near = database.near();
    used.extend(self::used(near, call::Column::Id.gt(seen.0)).await?);
    used.extend(self::used(near, call::Column::UpdatedSeq.gt(seen.0)).await?);
    let waiting = waiting::Entity::find()
        .select_only()
        .column(waiting::Column::Origin)
        .distinct();
    let waiting: Vec<i64> = waiting
        .filter(waiting::Column::Origin.is_not_null())
        .into_tuple()
        .all(near)
        .await?;
    used.origins.extend(waiting);
    let clients: Vec<i64> = clients
        .into_iter()
        .filter(|id| !used.clients.contains(id))
        .collect();
    let origins: Vec<i64> = origins
        .into_iter()
        .filter(|id| !used.origins.contains(id))
        .collect();
    let names: Vec<i64> = names.into_iter().filter(|id| !used.names.contains(id)).collect();
    tx.with_keys("DELETE FROM clients WHERE id IN ({keys})", &clients)
        .await?;
    tx.with_keys("DELETE FROM origins WHERE id IN ({keys})", &origins)
        .await?;
    tx.with_keys("DELETE FROM names WHERE id IN ({keys})", &names)
        .await?;
    if !clients.is_empty() || !origins.is_empty() || !names.is_empty() {
        tx.advance(0, 1).await?;
    }
    Ok(tx.commit().await?)
}

/// The names that a call has: server, method, tool, prompt, error type.
type Names = (i64, i64, Option<i64>, Option<i64>, Option<i64>);

#[derive(Default)]
struct Used {
    clients: HashSet<i64>,
    origins: HashSet<i64>,
    names: HashSet<i64>,
}

impl Used {
    fn extend(&mut self, other: Self) {
        self.clients.extend(other.clients);
        self.origins.extend(other.origins);
        self.names.extend(other.names);
    }
}

async fn used(db: &impl ConnectionTrait, among: sea_orm::sea_query::SimpleExpr) -> Result<Used, Error> {
    let mut used = Used::default();
    let pairs = call::Entity::find()
        .select_only()
        .columns([call::Column::Client, call::Column::Origin])
        .distinct()
        .filter(among.clone());
    let pairs: Vec<(i64, i64)> = pairs.into_tuple().all(db).await?;
    (used.clients, used.origins) = pairs.into_iter().unzip();
    let names = call::Entity::find()
        .select_only()
        .columns([
            call::Column::Server,
            call::Column::Method,
            call::Column::Tool,
            call::Column::Prompt,
            call::Column::ErrorType,
        ])
        .distinct()
        .filter(among);
    let names: Vec<Names> = names.into_tuple().all(db).await?;
    for (server, method, tool, prompt, error_type) in names {
        used.names.extend([server, method]);
        used.names
            .extend([tool, prompt, error_type].into_iter().flatten());
    }
    Ok(used)
}

/// Rewrites SQLite's index of words where it holds words of deleted calls: it only marks these as deleted. A part at a
/// time, so that writes come in between.
pub(crate) async fn words(database: &Database) -> Result<(), Error> {
    if database.backend() != Backend::Sqlite {
        return Ok(());
    }
    let pool = database.write().get_sqlite_connection_pool();
    // Negative: everything is to become one part, in which nothing deleted is left. Positive: more of the same.
    let mut pages = -MERGED;
    loop {
        let started = Instant::now();
        let mut connection = pool.acquire().await?;
        let before = changes(&mut connection).await?;
        sqlx::query("INSERT INTO search (search, rank) VALUES ('merge', ?)")
            .bind(pages)
            .execute(&mut *connection)
            .await?;
        // One for the command itself.
        if changes(&mut connection).await? - before < 2 {
            return Ok(());
        }
        drop(connection);
        pages = MERGED;
        tokio::time::sleep(started.elapsed() * REST).await;
    }
}

async fn changes(connection: &mut SqliteConnection) -> Result<i64, Error> {
    Ok(sqlx::query("SELECT total_changes()")
        .fetch_one(connection)
        .await?
        .try_get(0)?)
}

/// Gives free pages back to the file system, all but `keep`, a few at a time. PostgreSQL does so by itself.
pub(crate) async fn space(database: &Database, keep: i64) -> Result<(), Error> {
    if database.backend() != Backend::Sqlite {
        return Ok(());
    }
    let pool = database.write().get_sqlite_connection_pool();
    let mut last = i64::MAX;
    loop {
        let free: i64 = sqlx::query("PRAGMA freelist_count")
            .fetch_one(pool)
            .await?
            .try_get(0)?;
        // A database made by something else may not be able to shrink: then the number stays.
        if free <= keep || free >= last {
            break;
        }
        last = free;
        let _: Vec<_> = sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({PAGES})")))
            .fetch_all(pool)
            .await?;
        tokio::task::yield_now().await;
    }
    if keep == 0 {
        // The file shrinks when the log is written back.
        empty_log(database).await?;
    }
    Ok(())
}

/// Writes SQLite's log back and empties it: it holds pages as they were before. It waits for readers, in short
/// attempts, so that writers do not wait with it.
async fn empty_log(database: &Database) -> Result<(), Error> {
    let pool = database.near().get_sqlite_connection_pool();
    let options = SqliteConnectOptions::clone(&pool.connect_options()).busy_timeout(ATTEMPT);
    let mut connection = options.connect().await?;
    for _ in 0..ATTEMPTS {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut connection)
            .await;
        // Busy is a row here and an error there.
        if let Ok(row) = row
            && row.try_get::<i64, _>(0)? == 0
        {
            return Ok(connection.close().await?);
        }
        tokio::time::sleep(ATTEMPT * 2).await;
    }
    tracing::warn!(
        "readers keep SQLite's log from being emptied: what was deleted is in it until they are done"
    );
    Ok(connection.close().await?)
}

/// Tells PostgreSQL to clear dead rows away now. SQLite has none.
pub(crate) async fn vacuum(database: &Database) {
    if database.backend() != Backend::Postgres {
        return;
    }
    for table in [
        "calls",
        "details",
        "log_lines",
        "aliases",
        "waiting",
        "sessions",
        "clients",
        "origins",
        "names",
        "search",
        "unindexed",
    ] {
        let done = database
            .write()
            .execute_unprepared(&format!("VACUUM {table}"))
            .await;
        if let Err(error) = done {
            tracing::warn!(%error, table, "dead rows are cleared away later");
        }
    }
}
