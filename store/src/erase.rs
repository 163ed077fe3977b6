//! `impl Store`: erasing the calls of a filter, so that nothing of them is left in the database's files.
//!
//! Calls go in small steps, as retention deletes them, so that writes come in between. With them go their bodies, log lines
//! and aliases, whatever waits in the same traces, and what only they had: sessions, clients, origins, names. On SQLite
//! deleted bytes are overwritten (`secure_delete`), free pages given back, and the log, which still holds them as they
//! were, is emptied. PostgreSQL is told to vacuum.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use mcptap_model::CallFilter;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::audit::{Actor, note};
use crate::entity::call;
use crate::retention::{Pruned, REST, remove};
use crate::scan::{Direction, Scan};
use crate::transaction::Transaction;
use crate::{CallPosition, Error, Seq, Store, sweep};

/// How many calls one step erases.
const CALLS: usize = 500;

impl Store {
    /// Erases every call that the filter means now, and gives what was erased. It goes on when nobody waits for it any
    /// more. `subject` is what the audit says of the filter.
    pub async fn erase(&self, filter: CallFilter, by: Actor, subject: String) -> Result<Pruned, Error> {
        let (store, tasks) = (self.clone(), self.inner.tasks.clone());
        let erasing = tasks.spawn(async move { store.erase_all(&filter, by, &subject).await });
        erasing.await.map_err(|_| Error::Stopping)?
    }

    async fn erase_all(&self, filter: &CallFilter, by: Actor, subject: &str) -> Result<Pruned, Error> {
        self.tell(by, format!("calls with {subject}: begun")).await?;
        let mut erased = Pruned::default();
        // What comes in later and further on is not meant: so there is an end.
        let Some(last) = self.newest(filter).await? else {
            self.tell(by, format!("calls with {subject}: none")).await?;
            return Ok(erased);
        };
        let mut from = None;
        loop {
            let started = Instant::now();
            let (rows, reached) = self.next_of(filter, from, last).await?;
            let step = self.erase_rows(&rows).await?;
            erased.calls += step.calls;
            erased.log_lines += step.log_lines;
            from = reached;
            if from.is_none() {
                break;
            }
            self.rest(started.elapsed() * REST).await?;
        }
        let database = &self.inner.database;
        sweep::shared(database).await?;
        sweep::words(database).await?;
        sweep::space(database, 0).await?;
        sweep::vacuum(database).await;
        self.tell(by, format!("calls with {subject}: {} erased", erased.calls))
            .await?;
        Ok(erased)
    }

    async fn tell(&self, by: Actor, subject: String) -> Result<(), Error> {
        let tx = self.inner.database.change().await?;
        note(&tx, by, "deleteCalls", subject).await?;
        Ok(tx.commit().await?)
    }

    /// Lets others write; ends the erasing when the store is closed.
    async fn rest(&self, time: Duration) -> Result<(), Error> {
        let stop = self.inner.stop.clone();
        match stop.run_until_cancelled(tokio::time::sleep(time)).await {
            Some(()) => Ok(()),
            None => Err(Error::Stopping),
        }
    }

    async fn newest(&self, filter: &CallFilter) -> Result<Option<CallPosition>, Error> {
        let tx = self.inner.database.snapshot().await?;
        let scan = Scan::new(self, &tx, filter).await?;
        let found = scan.take(Direction::Older, None, None, 1).await?;
        tx.commit().await?;
        Ok(found.first().map(crate::Stored::position))
    }

    /// The next calls of the filter up to `last`, oldest first, and where to go on if there may be more.
    async fn next_of(
        &self,
        filter: &CallFilter,
        from: Option<CallPosition>,
        last: CallPosition,
    ) -> Result<(Vec<i64>, Option<CallPosition>), Error> {
        let tx = self.inner.database.snapshot().await?;
        let scan = Scan::new(self, &tx, filter).await?;
        let found = scan.take(Direction::Newer, from, None, CALLS).await?;
        tx.commit().await?;
        let end = found.last().map(crate::Stored::position);
        let more = found.len() == CALLS && end.is_some_and(|end| order(end) < order(last));
        let within = found
            .iter()
            .filter(|stored| order(stored.position()) <= order(last));
        Ok((within.map(|stored| stored.row).collect(), end.filter(|_| more)))
    }

    async fn erase_rows(&self, rows: &[i64]) -> Result<Pruned, Error> {
        let database = &self.inner.database;
        if rows.is_empty() {
            return Ok(Pruned::default());
        }
        let mut tx = Transaction::begin(database).await?;
        let advanced = tx.advance(1, 0).await?;
        // Nobody writes now: what these rows have is all that they have.
        let rows: Vec<(i64, Option<i64>, i64)> = call::Entity::find()
            .select_only()
            .columns([call::Column::Id, call::Column::Session, call::Column::TraceLo])
            .filter(call::Column::Id.is_in(rows.iter().copied()))
            .into_tuple()
            .all(database.near())
            .await?;
        let calls: Vec<i64> = rows.iter().map(|(id, ..)| *id).collect();
        let sessions: HashSet<i64> = rows.iter().filter_map(|(_, session, _)| *session).collect();
        let traces: HashSet<i64> = rows.iter().map(|(.., trace)| *trace).collect();
        let traces: Vec<i64> = traces.into_iter().collect();
        tx.with_keys("DELETE FROM waiting WHERE trace_lo IN ({keys})", &traces)
            .await?;
        tx.with_keys(
            "DELETE FROM aliases WHERE trace_lo IN ({keys}) AND call IS NULL",
            &traces,
        )
        .await?;
        let log_lines = remove(&mut tx, &calls, sessions).await?;
        tx.commit().await?;
        self.inner.recent.skip_to(Seq(advanced.after));
        Ok(Pruned {
            calls: calls.len() as u64,
            log_lines,
        })
    }
}

/// The order of [`Direction::Newer`].
fn order(position: CallPosition) -> (i64, i64) {
    (position.started_at.0, position.row)
}
