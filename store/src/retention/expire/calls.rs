//! Deleting calls with all that belongs to them, in steps.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use mcptap_model::UnixNanos;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use tokio_util::sync::CancellationToken;

use super::{Pruned, TASK};
use crate::db::database::Database;
use crate::db::transaction::Transaction;
use crate::liveness::silence::forget_heartbeats;
use crate::metrics::Counters;
use crate::retention::cleanup::count;
use crate::retention::pace::Pace;
use crate::rows::entity::{alias, call};
use crate::search::unindex;
use crate::{Error, Seq};

/// How many calls one step deletes.
const CALLS: std::ops::RangeInclusive<u64> = 16..=500;

/// Deletes all calls that began or arrived before `cutoff`, and what else is as old.
pub(crate) async fn forget(
    database: &Database,
    cutoff: UnixNanos,
    counters: &Counters,
    stop: &CancellationToken,
) -> Result<Pruned, Error> {
    let mut pruned = Pruned::default();
    let mut pace = Pace::new(stop, CALLS);
    for of_age in [began_before, arrived_before] {
        loop {
            let most = pace.size();
            let next = step(database, || of_age(cutoff), most);
            let Some(step) = database.step(TASK, next).await? else {
                break;
            };
            counters.pruned(step.deleted.calls);
            pruned.calls += step.deleted.calls;
            pruned.log_lines += step.deleted.log_lines;
            pace.rest(step.took).await?;
        }
    }
    aliases_of_nothing(database, cutoff, &mut pace).await?;
    database.step(TASK, forget_heartbeats(database, cutoff)).await?;
    Ok(pruned)
}

fn began_before(cutoff: UnixNanos) -> Select<call::Entity> {
    call::Entity::find()
        .filter(call::Column::StartedAt.lt(cutoff.0))
        .order_by_asc(call::Column::StartedAt)
}

/// Calls that began later than they arrived have an index of their own.
fn arrived_before(cutoff: UnixNanos) -> Select<call::Entity> {
    call::Entity::find()
        .filter(Expr::col(call::Column::StartedAt).gt(Expr::col(call::Column::ReceivedAt)))
        .filter(call::Column::ReceivedAt.lt(cutoff.0))
        .order_by_asc(call::Column::ReceivedAt)
}

/// A transaction that deleted calls.
pub(crate) struct Step {
    pub(crate) deleted: Pruned,
    /// The last change now.
    pub(crate) head: Seq,
    /// How long writers waited for it.
    pub(crate) took: Duration,
}

/// Deletes the first of some calls; `None` where there are none, which is found without the lock.
pub(crate) async fn step(
    database: &Database,
    calls: impl Fn() -> Select<call::Entity>,
    most: u64,
) -> Result<Option<Step>, Error> {
    let db = database.maintenance();
    let any: Option<i64> = calls()
        .select_only()
        .column(call::Column::Id)
        .into_tuple()
        .one(db)
        .await?;
    if any.is_none() {
        return Ok(None);
    }
    // Acquired before the lock, so that no writer waits for a connection of maintenance. Its snapshot begins with its first
    // statement.
    let reading = database.maintenance_snapshot().await?;
    let mut tx = Transaction::begin(database).await?;
    let started = Instant::now();
    let advanced = tx.advance(1, 0).await?;
    let first = calls().limit(most).select_only();
    let rows: Vec<(i64, Option<i64>)> = first
        .columns([call::Column::Id, call::Column::Session])
        .into_tuple()
        .all(&reading)
        .await?;
    reading.commit().await?;
    let calls: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let sessions: HashSet<i64> = rows.iter().filter_map(|(_, session)| *session).collect();
    let log_lines = remove(&mut tx, &calls, sessions).await?;
    tx.commit().await?;
    Ok(Some(Step {
        deleted: Pruned {
            calls: calls.len() as u64,
            log_lines,
        },
        head: Seq(advanced.after),
        took: started.elapsed(),
    }))
}

/// Deletes what is known of spans that belong to no call.
async fn aliases_of_nothing(database: &Database, cutoff: UnixNanos, pace: &mut Pace) -> Result<(), Error> {
    loop {
        let started = Instant::now();
        let deleted = database.step(TASK, some_aliases_of_nothing(database, cutoff));
        if !deleted.await? {
            return Ok(());
        }
        pace.rest(started.elapsed()).await?;
    }
}

/// Deletes the first of them. Gives whether there were any, which is found without the lock.
async fn some_aliases_of_nothing(database: &Database, cutoff: UnixNanos) -> Result<bool, Error> {
    let any = alias::Entity::find()
        .filter(alias::Column::Call.is_null())
        .filter(alias::Column::ArrivedAt.lt(cutoff.0))
        .one(database.maintenance())
        .await?;
    if any.is_none() {
        return Ok(false);
    }
    let mut tx = Transaction::begin(database).await?;
    tx.advance(1, 0).await?;
    let deleted = tx
        .with_number(
            "DELETE FROM aliases WHERE (trace_lo, span_id, trace_hi) IN (SELECT trace_lo, span_id, trace_hi FROM aliases \
             WHERE call IS NULL AND arrived_at < $1 LIMIT 2000)",
            cutoff.0,
        )
        .await?;
    count(&mut tx, deleted).await?;
    tx.commit().await?;
    Ok(true)
}

/// Deletes calls with all that hangs on them, and those of the sessions that have no other. Gives the number of log lines.
pub(crate) async fn remove(
    tx: &mut Transaction,
    calls: &[i64],
    sessions: HashSet<i64>,
) -> Result<u64, Error> {
    let log_lines = tx
        .with_keys("DELETE FROM log_lines WHERE call IN ({keys})", calls)
        .await?;
    tx.with_keys("DELETE FROM details WHERE call IN ({keys})", calls)
        .await?;
    tx.with_keys("DELETE FROM aliases WHERE call IN ({keys})", calls)
        .await?;
    tx.with_keys(
        "DELETE FROM waiting WHERE call IN ({keys}) AND call IS NOT NULL",
        calls,
    )
    .await?;
    unindex(tx, calls).await?;
    tx.with_keys("DELETE FROM calls WHERE id IN ({keys})", calls)
        .await?;
    let sessions: Vec<i64> = sessions.into_iter().collect();
    let ended = tx
        .with_keys(
            "DELETE FROM sessions WHERE id IN ({keys}) \
             AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.session = sessions.id)",
            &sessions,
        )
        .await?;
    if ended > 0 {
        tx.advance(0, 1).await?;
    }
    count(tx, calls.len() as u64).await?;
    Ok(log_lines)
}
