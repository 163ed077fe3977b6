//! Erasing the calls of a filter: finding them, some at a time, and deleting them with what is theirs.

use std::collections::HashSet;
use std::time::Instant;

use mcptap_model::{CallFilter, UnixNanos};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::waiting::{Erased, Rest};
use super::{CALLS, Progress, TASK, Until};
use crate::db::transaction::Transaction;
use crate::read::scan::{Direction, Scan, beyond, head};
use crate::retention::expire::{Pruned, Step, remove};
use crate::retention::pace::Pace;
use crate::rows::entity::call;
use crate::{CallPosition, Error, Seq, Store};

/// Among how many calls one step looks for those of the filter.
const LOOKED_AT: std::ops::RangeInclusive<u64> = 2_000..=500_000;

/// What is known of spans of no call in traces that are given by the halves of their ids, the last first.
const ALIASES_OF_NO_CALL: &str = "WITH erased (lo, hi) AS ({rows}) DELETE FROM aliases WHERE call IS NULL \
     AND trace_lo IN (SELECT lo FROM erased) AND (trace_lo, trace_hi) IN (SELECT lo, hi FROM erased)";

/// How often it is looked for calls that were completed meanwhile.
const WALKS: usize = 10;

/// After a position, or from the oldest on, up to another.
type Stretch = (Option<CallPosition>, CallPosition);

/// The next calls of a filter.
struct Found {
    rows: Vec<i64>,
    /// Where to go on; `None`: there are no more.
    reached: Option<CallPosition>,
}

impl Store {
    /// Erases the calls of a filter up to a change, oldest first. A call that is completed meanwhile may begin earlier then,
    /// behind where the walk is: so there is another walk among those, until there are none.
    pub(super) async fn erase_found(
        &self,
        filter: &CallFilter,
        until: Until,
        progress: &Progress,
    ) -> Result<(), Error> {
        let mut looked_at = until.last;
        // Beyond what is newest now there is nothing that is meant.
        let mut stretch = self.patiently(|| self.newest()).await?.map(|end| (None, end));
        for _ in 0..WALKS {
            let Some((from, end)) = stretch else {
                return Ok(());
            };
            self.erase_stretch(filter, until, (from, end), progress).await?;
            let (head, moved) = self.patiently(|| self.completed(until.last, looked_at)).await?;
            (looked_at, stretch) = (head, moved);
        }
        if stretch.is_some() {
            tracing::warn!(
                "calls were completed all the time while others were erased: one that did not match where it began may be left"
            );
        }
        Ok(())
    }

    /// Erases the calls of a filter up to a change, and between two positions, oldest first.
    async fn erase_stretch(
        &self,
        filter: &CallFilter,
        until: Until,
        (mut from, end): Stretch,
        progress: &Progress,
    ) -> Result<(), Error> {
        let mut pace = Pace::new(&self.inner.stop, CALLS);
        let mut looking = Pace::new(&self.inner.stop, LOOKED_AT);
        let mut failed = 0;
        loop {
            let started = Instant::now();
            let database = &self.inner.database;
            let found = database
                .step(TASK, self.next_of(filter, from, &pace, &looking))
                .await;
            let looked = started.elapsed();
            if matches!(found, Err(Error::TimedOut)) {
                // Perhaps it was too much for the time that a step has.
                looking.shrink();
            }
            let deleted = match found {
                Ok(found) => database
                    .step(TASK, self.erase_rows(&found.rows, until))
                    .await
                    .map(|step| (found, step)),
                Err(error) => Err(error),
            };
            match deleted {
                Ok((found, step)) => {
                    failed = 0;
                    if let Some(Step { deleted, head, took }) = step {
                        progress.add(deleted);
                        self.inner.recent.skip_to(head);
                        pace.rest(took).await?;
                    }
                    if found.reached.is_none_or(|reached| order(reached) >= order(end)) {
                        return Ok(());
                    }
                    from = found.reached;
                    looking.breathe(looked).await?;
                }
                Err(error) => self.try_again(error, &mut failed, &pace).await?,
            }
        }
    }

    async fn newest(&self) -> Result<Option<CallPosition>, Error> {
        let newest: Option<(i64, i64)> = call::Entity::find()
            .select_only()
            .columns([call::Column::StartedAt, call::Column::Id])
            .order_by_desc(call::Column::StartedAt)
            .order_by_desc(call::Column::Id)
            .into_tuple()
            .one(self.inner.database.maintenance())
            .await?;
        Ok(newest.map(position))
    }

    /// Where the calls up to a change are now that were completed after another one, and the last change by now.
    async fn completed(&self, last: Seq, since: Seq) -> Result<(Seq, Option<Stretch>), Error> {
        let tx = self.inner.database.maintenance_snapshot().await?;
        let head = head(&tx).await?;
        let found: Option<(Option<i64>, Option<i64>)> = call::Entity::find()
            .select_only()
            .column_as(call::Column::StartedAt.min(), "first")
            .column_as(call::Column::StartedAt.max(), "last")
            .filter(call::Column::UpdatedSeq.gt(since.0))
            .filter(call::Column::Id.lte(last.0))
            .into_tuple()
            .one(&tx)
            .await?;
        tx.commit().await?;
        let stretch = found.and_then(|(first, last)| first.zip(last));
        let stretch =
            stretch.map(|(first, last)| (Some(position((first, i64::MIN))), position((last, i64::MAX))));
        Ok((head, stretch))
    }

    /// The next calls of the filter, oldest first, among a bounded number of calls.
    async fn next_of(
        &self,
        filter: &CallFilter,
        from: Option<CallPosition>,
        pace: &Pace,
        looking: &Pace,
    ) -> Result<Found, Error> {
        let tx = self.inner.database.maintenance_snapshot().await?;
        let end = further(&tx, from, looking.size()).await?;
        let until = end.map(|end| CallPosition {
            row: end.row.saturating_add(1),
            ..end
        });
        let scan = Scan::new(self, &tx, filter).await?;
        let most = usize::try_from(pace.size()).unwrap_or(usize::MAX);
        let found = scan.take(Direction::Newer, from, until, most).await?;
        tx.commit().await?;
        let full = found.len() == most;
        Ok(Found {
            reached: if full {
                found.last().map(crate::Stored::position)
            } else {
                end
            },
            rows: found.into_iter().map(|stored| stored.row).collect(),
        })
    }

    /// Erases calls, unless they came in after a change.
    async fn erase_rows(&self, rows: &[i64], until: Until) -> Result<Option<Step>, Error> {
        let database = &self.inner.database;
        if rows.is_empty() {
            return Ok(None);
        }
        // Acquired before the lock, so that no writer waits for a connection of maintenance. Its snapshot begins with its
        // first statement.
        let reading = database.maintenance_snapshot().await?;
        let mut tx = Transaction::begin_after(database, until.generation).await?;
        let started = Instant::now();
        let advanced = tx.advance(1, 0).await?;
        // Nobody writes now: what these rows have is all that they have.
        let erased = Erased::read(&reading, rows, until.last).await?;
        let rest = Rest::find(&reading, &erased).await?;
        reading.commit().await?;
        let calls: Vec<i64> = erased.iter().map(|call| call.row).collect();
        let sessions: HashSet<i64> = erased.iter().filter_map(|call| call.session).collect();
        let Rest { traces, rows } = rest;
        tx.with_keys("DELETE FROM waiting WHERE id IN ({keys})", &rows)
            .await?;
        let traces: Vec<(i64, Option<i64>)> = traces.into_iter().map(|(lo, hi)| (lo, Some(hi))).collect();
        tx.with_pairs(ALIASES_OF_NO_CALL, &traces).await?;
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
}

/// The call that comes so many calls after a position; `None` where there are not that many.
async fn further(
    tx: &DatabaseTransaction,
    from: Option<CallPosition>,
    calls: u64,
) -> Result<Option<CallPosition>, Error> {
    let mut select = call::Entity::find()
        .select_only()
        .columns([call::Column::StartedAt, call::Column::Id])
        .order_by_asc(call::Column::StartedAt)
        .order_by_asc(call::Column::Id)
        .offset(calls)
        .limit(1);
    if let Some(from) = from {
        select = select.filter(beyond(Direction::Newer, from));
    }
    let found: Option<(i64, i64)> = select.into_tuple().one(tx).await?;
    Ok(found.map(position))
}

fn position((started_at, row): (i64, i64)) -> CallPosition {
    CallPosition {
        started_at: UnixNanos(started_at),
        row,
    }
}

/// The order of [`Direction::Newer`].
fn order(position: CallPosition) -> (i64, i64) {
    (position.started_at.0, position.row)
}
