//! Deleting what waits for its call for too long.

use std::time::Instant;

use mcptap_model::UnixNanos;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{REST, TASK};
use crate::Error;
use crate::db::database::Database;
use crate::db::transaction::Transaction;
use crate::metrics::Counters;
use crate::retention::cleanup::count;
use crate::rows::entity::waiting;
use crate::rows::row::kind;

/// How many waiting rows one step deletes.
const WAITING: u64 = 2000;

/// Deletes what has waited for its call since before `cutoff`.
pub(crate) async fn expire(database: &Database, cutoff: UnixNanos, counters: &Counters) -> Result<(), Error> {
    loop {
        let started = Instant::now();
        if !database
            .step(TASK, expire_some(database, cutoff, counters))
            .await?
        {
            return Ok(());
        }
        tokio::time::sleep(started.elapsed() * REST).await;
    }
}

/// Deletes the first that are past their time. Gives whether there may be more.
async fn expire_some(database: &Database, cutoff: UnixNanos, counters: &Counters) -> Result<bool, Error> {
    let generation = database.lineage().generation();
    // By arrival, not in the order of their ids: the clock may have been ahead when earlier ones came.
    let rows: Vec<(i64, i16, Option<i64>)> = waiting::Entity::find()
        .select_only()
        .columns([waiting::Column::Id, waiting::Column::Kind, waiting::Column::Call])
        .filter(waiting::Column::ArrivedAt.lt(cutoff.0))
        .order_by_asc(waiting::Column::ArrivedAt)
        .limit(WAITING)
        .into_tuple()
        .all(database.maintenance())
        .await?;
    let expired: Vec<(i64, bool)> = rows
        .iter()
        .map(|(id, kind, call)| (*id, *kind == kind::LOG && call.is_none()))
        .collect();
    if expired.is_empty() {
        return Ok(false);
    }
    let keys: Vec<i64> = expired.iter().map(|(id, _)| *id).collect();
    let mut tx = Transaction::begin_after(database, generation).await?;
    tx.advance(1, 0).await?;
    // A line that found its call just now is not there any more, and not lost.
    let logs: Vec<i64> = expired
        .iter()
        .filter(|(_, lost)| *lost)
        .map(|(id, _)| *id)
        .collect();
    let lost = tx
        .with_keys("DELETE FROM waiting WHERE id IN ({keys})", &logs)
        .await?;
    let others = tx
        .with_keys("DELETE FROM waiting WHERE id IN ({keys})", &keys)
        .await?;
    // Parts that a watcher held together would fall apart without it: from now on their call is one.
    let held_together: Vec<i64> = rows
        .iter()
        .filter(|(_, kind, _)| *kind == kind::WATCHER)
        .filter_map(|(.., call)| *call)
        .collect();
    // 6 is [`kind::PARTS`].
    let parts = tx
        .with_keys(
            "DELETE FROM waiting WHERE call IN ({keys}) AND kind = 6",
            &held_together,
        )
        .await?;
    count(&mut tx, lost + others + parts).await?;
    tx.commit().await?;
    counters.dropped(lost);
    Ok(expired.len() as u64 >= WAITING)
}
