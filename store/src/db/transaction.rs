//! A write transaction on either database: raw connections out of sea-orm's pools, behind one face.

#[cfg(test)]
pub(crate) mod faults;
mod sequence;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sea_orm::QueryResult;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Pool, Postgres, Sqlite};

use crate::Error;
use crate::db::database::{Backend, Database};
use crate::db::insert::sqlite::Texts;
use crate::db::insert::{Record, postgres, sqlite};
use crate::db::lineage::Checked;
use crate::health::Writing;
pub(crate) use sequence::Advanced;

/// How many keys a statement of SQLite takes at most.
const KEYS: usize = 512;
/// How many numbers a statement of SQLite takes at most: its SQLITE_MAX_VARIABLE_NUMBER.
const SQLITE_NUMBERS: usize = 32_766;

/// One writer's transaction. Dropped without [`Transaction::commit`] or [`Transaction::rollback`], it is rolled back by
/// closing its connection.
pub(crate) struct Transaction {
    open: Open,
    advance: &'static str,
    /// How often memory had been dropped when that was read on which it acts.
    read_at: Option<u64>,
    /// What the database was found to be by the last statement that moved the sequence.
    checked: Option<Checked>,
    texts: Texts,
    key_texts: HashMap<(&'static str, usize), Arc<str>>,
    _writing: Writing,
    database: Database,
    #[cfg(test)]
    faults: Arc<faults::Faults>,
}

enum Open {
    Sqlite(Held<Sqlite>),
    Postgres(Held<Postgres>),
}

/// A connection inside a transaction. It goes back to its pool only when the transaction ended well; otherwise it is
/// closed. Nobody knows the state of a connection after a failure: SQLite rolls back by itself when the disk is full, and
/// the ROLLBACK that follows fails.
struct Held<DB: sqlx::Database> {
    connection: PoolConnection<DB>,
    ended: bool,
}

impl<DB: sqlx::Database> Held<DB> {
    async fn acquire(pool: &Pool<DB>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: pool.acquire().await?,
            ended: false,
        })
    }
}

impl<DB: sqlx::Database> Deref for Held<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl<DB: sqlx::Database> DerefMut for Held<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl<DB: sqlx::Database> Drop for Held<DB> {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Transaction {
    /// Begins one. On SQLite it holds the write lock from here on.
    pub(crate) async fn begin(database: &Database) -> Result<Self, Error> {
        database.in_place().await?;
        // It may wait for a connection that another one keeps.
        let writing = database.health().write();
        let open = match database.backend() {
            Backend::Sqlite => {
                Open::Sqlite(Held::acquire(database.write().get_sqlite_connection_pool()).await?)
            }
            Backend::Postgres => {
                Open::Postgres(Held::acquire(database.write().get_postgres_connection_pool()).await?)
            }
        };
        let mut begun = Self {
            open,
            advance: sequence::statement(database),
            read_at: None,
            checked: None,
            texts: Texts::default(),
            key_texts: HashMap::new(),
            _writing: writing,
            database: database.clone(),
            #[cfg(test)]
            faults: database.faults(),
        };
        let statement = match &begun.open {
            Open::Sqlite(_) => "BEGIN IMMEDIATE",
            Open::Postgres(_) => "BEGIN",
        };
        begun.run(statement).await?;
        Ok(begun)
    }

    /// Begins one that acts on rows that were read before, when memory had been dropped so often: should it have been
    /// dropped since, their numbers may stand for others, and moving the sequence fails.
    pub(crate) async fn begin_after(database: &Database, generation: u64) -> Result<Self, Error> {
        let mut begun = Self::begin(database).await?;
        begun.read_at = Some(generation);
        Ok(begun)
    }

    /// Runs one of the statements that begin and end transactions.
    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        match &mut self.open {
            Open::Sqlite(tx) => sqlx::raw_sql(statement).execute(&mut **tx).await.map(drop),
            Open::Postgres(tx) => sqlx::raw_sql(statement).execute(&mut **tx).await.map(drop),
        }
    }

    /// Its connection is good for the next one.
    fn end(mut self) {
        match &mut self.open {
            Open::Sqlite(tx) => tx.ended = true,
            Open::Postgres(tx) => tx.ended = true,
        }
    }

    /// Inserts rows, in as few statements as there can be. Gives what the table's statement returns.
    pub(crate) async fn insert<R: Record>(
        &mut self,
        rows: impl ExactSizeIterator<Item = R> + Send,
    ) -> Result<Vec<QueryResult>, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        match &mut self.open {
            Open::Sqlite(tx) => sqlite::insert(tx, &mut self.texts, rows).await,
            Open::Postgres(tx) => postgres::insert(tx, rows).await,
        }
    }

    /// Overwrites the rows whose first column is given, in as few statements as there can be. Gives how many there were.
    pub(crate) async fn overwrite<R: Record>(
        &mut self,
        rows: impl ExactSizeIterator<Item = R> + Send,
    ) -> Result<u64, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        match &mut self.open {
            Open::Sqlite(tx) => sqlite::overwrite(tx, &mut self.texts, rows).await,
            Open::Postgres(tx) => postgres::overwrite(tx, rows).await,
        }
    }

    /// How many of these calls there are.
    pub(crate) async fn calls(&mut self, rows: &[i64]) -> Result<u64, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        let mut found = 0;
        for chunk in rows.chunks(KEYS) {
            let count: i64 = match &mut self.open {
                Open::Sqlite(tx) => {
                    let keys = vec!["?"; chunk.len().next_power_of_two()].join(",");
                    let text = format!("SELECT count(*) FROM calls WHERE id IN ({keys})");
                    let mut query = sqlx::query_scalar(AssertSqlSafe(text));
                    let size = chunk.len().next_power_of_two();
                    for key in chunk.iter().chain(chunk.last().into_iter().cycle()).take(size) {
                        query = query.bind(*key);
                    }
                    query.fetch_one(&mut **tx).await?
                }
                Open::Postgres(tx) => {
                    sqlx::query_scalar("SELECT count(*) FROM calls WHERE id = ANY($1)")
                        .bind(chunk)
                        .fetch_one(&mut **tx)
                        .await?
                }
            };
            found += u64::try_from(count).unwrap_or_default();
        }
        Ok(found)
    }

    /// The row of the call with this key: the halves of its trace, and its span.
    pub(crate) async fn row_of(&mut self, key: [i64; 3]) -> Result<Option<i64>, sqlx::Error> {
        const ROW: &str = "SELECT id FROM calls WHERE trace_hi = $1 AND trace_lo = $2 AND span_id = $3";
        #[cfg(test)]
        self.fail_when_told().await?;
        let [hi, lo, span] = key;
        match &mut self.open {
            Open::Sqlite(tx) => {
                let row = sqlx::query_scalar(ROW).bind(hi).bind(lo).bind(span);
                row.fetch_optional(&mut **tx).await
            }
            Open::Postgres(tx) => {
                let row = sqlx::query_scalar(ROW).bind(hi).bind(lo).bind(span);
                row.fetch_optional(&mut **tx).await
            }
        }
    }

    /// Runs a statement over keys: `{keys}` in it stands for what goes into `IN (…)`. Gives the number of rows changed.
    pub(crate) async fn with_keys(
        &mut self,
        statement: &'static str,
        keys: &[i64],
    ) -> Result<u64, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        let mut changed = 0;
        match &mut self.open {
            Open::Sqlite(tx) => {
                for chunk in keys.chunks(KEYS) {
                    // Filled up with its last key to a power of two: few statements, prepared once.
                    let size = chunk.len().next_power_of_two();
                    let text = self
                        .key_texts
                        .entry((statement, size))
                        .or_insert_with(|| statement.replace("{keys}", &vec!["?"; size].join(",")).into());
                    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
                    for key in chunk.iter().chain(chunk.last().into_iter().cycle()).take(size) {
                        query = query.bind(*key);
                    }
                    changed += query.execute(&mut **tx).await?.rows_affected();
                }
            }
            Open::Postgres(tx) => {
                if !keys.is_empty() {
                    let text = statement.replace("{keys}", "SELECT UNNEST($1::bigint[])");
                    changed = sqlx::query(AssertSqlSafe(text))
                        .bind(keys)
                        .execute(&mut **tx)
                        .await?
                        .rows_affected();
                }
            }
        }
        Ok(changed)
    }

    /// Runs a statement with one number, `$1`.
    pub(crate) async fn with_number(
        &mut self,
        statement: &'static str,
        number: i64,
    ) -> Result<u64, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        Ok(match &mut self.open {
            Open::Sqlite(tx) => sqlx::query(statement)
                .bind(number)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
            Open::Postgres(tx) => sqlx::query(statement)
                .bind(number)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
        })
    }

    #[cfg(test)]
    pub(crate) async fn run_for_test(&mut self, statement: &str) {
        match &mut self.open {
            Open::Sqlite(tx) => sqlx::query(AssertSqlSafe(statement))
                .execute(&mut **tx)
                .await
                .map(drop),
            Open::Postgres(tx) => sqlx::query(AssertSqlSafe(statement))
                .execute(&mut **tx)
                .await
                .map(drop),
        }
        .unwrap();
    }

    /// Runs a statement over pairs, as [`Self::with_rows`] does.
    pub(crate) async fn with_pairs(
        &mut self,
        statement: &'static str,
        pairs: &[(i64, Option<i64>)],
    ) -> Result<u64, sqlx::Error> {
        let rows: Vec<[Option<i64>; 2]> = pairs.iter().map(|(one, other)| [Some(*one), *other]).collect();
        self.with_rows(statement, &rows).await
    }

    /// Runs a statement over rows of `N` numbers: `{rows}` in it stands for a table of them. Gives the number of rows
    /// changed.
    pub(crate) async fn with_rows<const N: usize>(
        &mut self,
        statement: &'static str,
        rows: &[[Option<i64>; N]],
    ) -> Result<u64, sqlx::Error> {
        self.with_rows_in(statement, rows, KEYS).await
    }

    /// The same for a statement that has to see all rows at once: as many as a statement of SQLite may have numbers.
    pub(crate) async fn with_rows_at_once<const N: usize>(
        &mut self,
        statement: &'static str,
        rows: &[[Option<i64>; N]],
    ) -> Result<u64, sqlx::Error> {
        // Filled up to a power of two.
        let most = (SQLITE_NUMBERS / N.max(1) + 1).next_power_of_two() / 2;
        self.with_rows_in(statement, rows, most.max(1)).await
    }

    async fn with_rows_in<const N: usize>(
        &mut self,
        statement: &'static str,
        rows: &[[Option<i64>; N]],
        most: usize,
    ) -> Result<u64, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        let mut changed = 0;
        match &mut self.open {
            Open::Sqlite(tx) => {
                for chunk in rows.chunks(most) {
                    let size = chunk.len().next_power_of_two();
                    let text = self.key_texts.entry((statement, size)).or_insert_with(|| {
                        let row = format!("({})", vec!["?"; N].join(","));
                        let rows = format!("VALUES {}", vec![row.as_str(); size].join(","));
                        statement.replace("{rows}", &rows).into()
                    });
                    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
                    for number in chunk
                        .iter()
                        .chain(chunk.last().into_iter().cycle())
                        .take(size)
                        .flatten()
                    {
                        query = query.bind(*number);
                    }
                    changed += query.execute(&mut **tx).await?.rows_affected();
                }
            }
            Open::Postgres(tx) => {
                if !rows.is_empty() {
                    let arrays: Vec<String> = (1..=N).map(|at| format!("${at}::bigint[]")).collect();
                    let table = format!("SELECT * FROM UNNEST({})", arrays.join(", "));
                    let mut query = sqlx::query(AssertSqlSafe(statement.replace("{rows}", &table)));
                    for at in 0..N {
                        let column = rows.iter().map(|row| row.get(at).copied().flatten());
                        query = query.bind(column.collect::<Vec<Option<i64>>>());
                    }
                    changed = query.execute(&mut **tx).await?.rows_affected();
                }
            }
        }
        Ok(changed)
    }

    /// Fails where a constraint that PostgreSQL would only check at the commit does not hold.
    pub(crate) async fn check_constraints(&mut self) -> Result<(), sqlx::Error> {
        match &self.open {
            Open::Sqlite(_) => Ok(()),
            Open::Postgres(_) => self.run("SET CONSTRAINTS ALL IMMEDIATE").await,
        }
    }

    /// Makes it last.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.run("COMMIT").await?;
        let (database, checked) = (self.database.clone(), self.checked.take());
        self.end();
        if let Some(checked) = checked {
            database.lineage().committed(checked);
        }
        // What went into a file that is not at its path any more must not be acknowledged.
        database.in_place().await?;
        database.health().committed();
        Ok(())
    }

    /// Undoes it and keeps the connection. For a transaction in which nothing failed.
    pub(crate) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.run("ROLLBACK").await?;
        self.end();
        Ok(())
    }
}
