//! Shared rows that nothing refers to any more: sessions, clients, origins and names of calls that were deleted, or that
//! refer to others since they were completed.
//!
//! All calls are read, in steps beside the writes. Whatever was added or completed meanwhile is looked at under the lock of
//! the sequence, right before rows are deleted.

use std::collections::HashSet;
use std::time::Instant;

use sea_orm::{ConnectionTrait, QueryResult, Statement};

use crate::Error;
use crate::db::database::Database;
use crate::db::transaction::Transaction;
use crate::read::scan::head;
use crate::retention::cleanup::TASK;
use crate::retention::pace::Pace;

/// How many rows of shared things one step looks at, and how many numbers of calls.
const SHARED: std::ops::RangeInclusive<u64> = 64..=4096;
const CALLS: std::ops::RangeInclusive<u64> = 1024..=65_536;

/// So few changes are looked at under the lock. More are read before it is taken.
const FEW: i64 = 500;

/// How often that is tried while many write.
const TRIES: usize = 20;

/// A session is one of calls: the index of calls by session finds these.
const SESSIONS: &str = "SELECT id, CASE WHEN EXISTS (SELECT 1 FROM calls WHERE calls.session = sessions.id) \
    THEN 1 ELSE 0 END FROM sessions WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";

const DELETE_SESSIONS: &str = "DELETE FROM sessions WHERE id IN ({keys}) \
    AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.session = sessions.id)";

/// The tables whose rows calls refer to without an index that would find them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Clients,
    Origins,
    Names,
}

impl Table {
    fn select(self) -> &'static str {
        match self {
            Self::Clients => "SELECT id FROM clients WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3",
            Self::Origins => "SELECT id FROM origins WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3",
            Self::Names => "SELECT id FROM names WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3",
        }
    }

    fn newest(self) -> &'static str {
        match self {
            Self::Clients => "SELECT MAX(id) FROM clients",
            Self::Origins => "SELECT MAX(id) FROM origins",
            Self::Names => "SELECT MAX(id) FROM names",
        }
    }

    fn delete(self) -> &'static str {
        match self {
            Self::Clients => "DELETE FROM clients WHERE id IN ({keys})",
            Self::Origins => "DELETE FROM origins WHERE id IN ({keys})",
            Self::Names => "DELETE FROM names WHERE id IN ({keys})",
        }
    }
}

/// Deletes sessions, clients, origins and names that nothing refers to.
pub(crate) async fn delete(
    database: &Database,
    stop: &tokio_util::sync::CancellationToken,
) -> Result<(), Error> {
    let mut pace = Pace::new(stop, SHARED);
    // First: they refer to names.
    sessions(database, &mut pace).await?;
    let mut references = References::read(database, &mut Pace::new(stop, CALLS)).await?;
    for table in [Table::Clients, Table::Origins, Table::Names] {
        references.delete_others(database, table, &mut pace).await?;
    }
    Ok(())
}

/// The newest row now: senders who go on add others, which the next cleaning up looks at.
async fn newest(database: &Database, text: &'static str) -> Result<i64, Error> {
    Ok(number(database, text, &[]).await?.unwrap_or_default())
}

async fn sessions(database: &Database, pace: &mut Pace) -> Result<(), Error> {
    let mut after = 0;
    let last = newest(database, "SELECT MAX(id) FROM sessions").await?;
    loop {
        let started = Instant::now();
        let rows = ask(database, SESSIONS, &[after, last, pace.size() as i64]).await?;
        let mut orphans = Vec::new();
        for row in &rows {
            after = row.try_get_by_index(0)?;
            let used: i32 = row.try_get_by_index(1)?;
            if used == 0 {
                orphans.push(after);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        if orphans.is_empty() {
            pace.breathe(started.elapsed()).await?;
            continue;
        }
        let locked = Instant::now();
        let delete = async {
            let mut tx = Transaction::begin(database).await?;
            tx.advance(0, 1).await?;
            tx.with_keys(DELETE_SESSIONS, &orphans).await?;
            tx.commit().await
        };
        database.step(TASK, delete).await?;
        pace.rest(locked.elapsed()).await?;
    }
}

/// The shared rows that calls refer to.
#[derive(Default)]
struct References {
    clients: HashSet<i64>,
    origins: HashSet<i64>,
    names: HashSet<i64>,
    /// Everything up to this change has been looked at.
    seen: i64,
    /// How often memory had been dropped when it was begun.
    generation: u64,
    /// Of what waits, everything up to this row has been looked at.
    seen_waiting: i64,
}

/// The origins of what waits, by number of row. Rows come in order of arrival.
const WAITING: &str = "SELECT DISTINCT origin FROM waiting WHERE id > $1 AND id <= $2 AND origin IS NOT NULL";
/// Beyond a row, as far as there are some.
const NEXT_WAITING: &str = "SELECT MIN(id), MAX(id) FROM waiting WHERE id > $1";

/// The columns of calls that refer to shared rows.
const ADDED: &str = "SELECT DISTINCT client, origin, server, method, tool, prompt, error_type FROM calls \
    WHERE id > $1 AND id <= $2";
const COMPLETED: &str = "SELECT DISTINCT client, origin, server, method, tool, prompt, error_type FROM calls \
    WHERE updated_seq > $1 AND updated_seq <= $2";

impl References {
    async fn read(database: &Database, pace: &mut Pace) -> Result<Self, Error> {
        let mut references = Self {
            generation: database.lineage().generation(),
            seen: database.step(TASK, head(database.maintenance())).await?.0,
            ..Self::default()
        };
        let mut after = 0;
        while after < references.seen {
            let started = Instant::now();
            let next = number(database, "SELECT MIN(id) FROM calls WHERE id > $1", &[after]).await?;
            let Some(next) = next else { break };
            let upto = next.saturating_add(pace.size() as i64).min(references.seen);
            references.add(&ask(database, ADDED, &[after, upto]).await?)?;
            after = upto;
            pace.breathe(started.elapsed()).await?;
        }
        for row in ask(database, "SELECT DISTINCT server FROM sessions", &[]).await? {
            references.names.insert(row.try_get_by_index(0)?);
        }
        let reading = database.maintenance();
        let newest = newest(database, "SELECT MAX(id) FROM waiting").await?;
        while references.seen_waiting < newest
            && let Some((next, last)) = database.step(TASK, references.next_waiting(reading)).await?
        {
            let started = Instant::now();
            let upto = next.saturating_add(pace.size() as i64).min(last);
            database
                .step(TASK, references.look_at_waiting(reading, upto))
                .await?;
            pace.breathe(started.elapsed()).await?;
        }
        references.catch_up(database, pace).await?;
        Ok(references)
    }

    /// The first and the last row that waits and has not been looked at.
    async fn next_waiting(&self, db: &impl ConnectionTrait) -> Result<Option<(i64, i64)>, Error> {
        let rows = query(db, NEXT_WAITING, &[self.seen_waiting]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (first, last): (Option<i64>, Option<i64>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok(first.zip(last))
    }

    /// Looks at what waits, up to a row.
    async fn look_at_waiting(&mut self, db: &impl ConnectionTrait, upto: i64) -> Result<(), Error> {
        for row in query(db, WAITING, &[self.seen_waiting, upto]).await? {
            self.origins.insert(row.try_get_by_index(0)?);
        }
        self.seen_waiting = upto;
        Ok(())
    }

    fn add(&mut self, rows: &[QueryResult]) -> Result<(), Error> {
        for row in rows {
            self.clients.insert(row.try_get_by_index(0)?);
            self.origins.insert(row.try_get_by_index(1)?);
            for column in 2..7 {
                self.names.extend(row.try_get_by_index::<Option<i64>>(column)?);
            }
        }
        Ok(())
    }

    /// Looks at what was committed up to a change.
    async fn look(&mut self, db: &impl ConnectionTrait, upto: i64) -> Result<(), Error> {
        for changes in [ADDED, COMPLETED] {
            self.add(&query(db, changes, &[self.seen, upto]).await?)?;
        }
        self.seen = upto;
        Ok(())
    }

    /// Looks at what was committed meanwhile, so that little is left to look at under the lock.
    async fn catch_up(&mut self, database: &Database, pace: &mut Pace) -> Result<(), Error> {
        for _ in 0..TRIES {
            let started = Instant::now();
            let reading = database.maintenance();
            let head = database.step(TASK, head(reading)).await?.0;
            let waiting = database.step(TASK, self.next_waiting(reading)).await?;
            if head - self.seen < FEW && waiting.is_none_or(|(next, last)| last - next < FEW) {
                break;
            }
            database.step(TASK, self.look(reading, head)).await?;
            if let Some((_, last)) = waiting {
                database.step(TASK, self.look_at_waiting(reading, last)).await?;
            }
            pace.breathe(started.elapsed()).await?;
        }
        Ok(())
    }

    fn has(&self, table: Table, id: i64) -> bool {
        match table {
            Table::Clients => self.clients.contains(&id),
            Table::Origins => self.origins.contains(&id),
            Table::Names => self.names.contains(&id),
        }
    }

    /// Deletes these rows, but for those that something came to refer to meanwhile.
    async fn delete_unless_used(
        &mut self,
        database: &Database,
        table: Table,
        mut rows: Vec<i64>,
    ) -> Result<(), Error> {
        // Acquired before the lock: an erasure and the indexer may have those of maintenance for minutes, and no writer
        // waits for them. Its snapshot begins with its first statement.
        let reading = database.maintenance_snapshot().await?;
        let mut tx = Transaction::begin_after(database, self.generation).await?;
        let advanced = tx.advance(0, 1).await?;
        // Nobody writes now: what came in the meantime is little, and all of it.
        self.look(&reading, advanced.after).await?;
        if table == Table::Origins
            && let Some((_, last)) = self.next_waiting(&reading).await?
        {
            self.look_at_waiting(&reading, last).await?;
        }
        reading.commit().await?;
        rows.retain(|id| !self.has(table, *id));
        if rows.is_empty() {
            return Ok(tx.rollback().await?);
        }
        tx.with_keys(table.delete(), &rows).await?;
        tx.commit().await
    }

    async fn delete_others(
        &mut self,
        database: &Database,
        table: Table,
        pace: &mut Pace,
    ) -> Result<(), Error> {
        let mut after = 0;
        let last = newest(database, table.newest()).await?;
        loop {
            let started = Instant::now();
            let rows = ask(database, table.select(), &[after, last, pace.size() as i64]).await?;
            let mut orphans: Vec<i64> = Vec::new();
            for row in &rows {
                after = row.try_get_by_index(0)?;
                orphans.push(after);
            }
            if rows.is_empty() {
                return Ok(());
            }
            orphans.retain(|id| !self.has(table, *id));
            if orphans.is_empty() {
                pace.breathe(started.elapsed()).await?;
                continue;
            }
            self.catch_up(database, pace).await?;
            let locked = Instant::now();
            let delete = self.delete_unless_used(database, table, orphans);
            database.step(TASK, delete).await?;
            pace.rest(locked.elapsed()).await?;
        }
    }
}

/// The one number that a statement gives, if any.
async fn number(database: &Database, text: &str, numbers: &[i64]) -> Result<Option<i64>, Error> {
    match ask(database, text, numbers).await?.first() {
        Some(row) => Ok(row.try_get_by_index(0)?),
        None => Ok(None),
    }
}

/// A statement as a step of its own.
async fn ask(database: &Database, text: &str, numbers: &[i64]) -> Result<Vec<QueryResult>, Error> {
    database
        .step(TASK, query(database.maintenance(), text, numbers))
        .await
}

async fn query(db: &impl ConnectionTrait, text: &str, numbers: &[i64]) -> Result<Vec<QueryResult>, Error> {
    let values = numbers.iter().map(|number| (*number).into());
    let statement = Statement::from_sql_and_values(db.get_database_backend(), text, values);
    Ok(db.query_all_raw(statement).await?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Options;

    async fn waits_for_its_connection_before_it_has_the_lock(url: &str) {
        let database = Database::connect(url, &Options::default()).await.unwrap();
        // An erasure and the indexer have all connections of maintenance.
        let mut busy = Vec::new();
        while let Ok(Ok(reading)) =
            tokio::time::timeout(Duration::from_millis(500), database.maintenance_snapshot()).await
        {
            busy.push(reading);
        }
        let deleting = tokio::spawn({
            let database = database.clone();
            async move {
                References::default()
                    .delete_unless_used(&database, Table::Names, vec![1])
                    .await
            }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        // It is not the writers who wait for them.
        let writing = async {
            let mut tx = Transaction::begin(&database).await?;
            tx.advance(1, 0).await?;
            tx.commit().await
        };
        let written = tokio::time::timeout(Duration::from_secs(5), writing).await;
        written.expect("nobody has the lock").unwrap();
        drop(busy);
        deleting.await.unwrap().unwrap();
        database.close().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_writer_waits_while_a_deletion_has_no_connection() {
        waits_for_its_connection_before_it_has_the_lock("sqlite::memory:").await;
        if let Some(url) = crate::db::transaction::tests::of_server("orphans").await {
            waits_for_its_connection_before_it_has_the_lock(&url).await;
        }
    }
}
