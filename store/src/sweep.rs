//! Cleaning up after forgetting: shared things that nothing refers to any more, and free pages.

use std::collections::HashSet;

use sea_orm::sqlx::{self, Row};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::Error;
use crate::database::{Backend, Database};
use crate::entity::{call, client, origin, waiting};
use crate::scan::head;
use crate::transaction::Transaction;

/// How many free pages are kept, since new rows will want them.
pub(crate) const USEFUL: i64 = 10_000;

/// How many pages are given back at a time.
const PAGES: i64 = 500;

/// Deletes clients and origins that no call has. Reads all calls, beside the writes.
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
    tx.with_keys("DELETE FROM clients WHERE id IN ({keys})", &clients)
        .await?;
    tx.with_keys("DELETE FROM origins WHERE id IN ({keys})", &origins)
        .await?;
    if !clients.is_empty() || !origins.is_empty() {
        tx.advance(0, 1).await?;
    }
    Ok(tx.commit().await?)
}

#[derive(Default)]
struct Used {
    clients: HashSet<i64>,
    origins: HashSet<i64>,
}

impl Used {
    fn extend(&mut self, other: Self) {
        self.clients.extend(other.clients);
        self.origins.extend(other.origins);
    }
}

async fn used(db: &impl ConnectionTrait, among: sea_orm::sea_query::SimpleExpr) -> Result<Used, Error> {
    let select = call::Entity::find()
        .select_only()
        .columns([call::Column::Client, call::Column::Origin])
        .distinct()
        .filter(among);
    let pairs: Vec<(i64, i64)> = select.into_tuple().all(db).await?;
    let (clients, origins) = pairs.into_iter().unzip();
    Ok(Used { clients, origins })
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
        let _: Vec<_> = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_all(pool)
            .await?;
    }
    Ok(())
}
