//! A write transaction on either database: raw connections out of sea-orm's pools, behind one face.

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sea_orm::QueryResult;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Pool, Postgres, Row, Sqlite};

use crate::database::{Backend, Database};
use crate::health::Writing;
use crate::insert::sqlite::Texts;
use crate::insert::{Record, postgres, sqlite};
use crate::lineage::{Checked, Finding, State};
use crate::{Error, Seq};

/// How many keys a statement of SQLite takes at most.
const KEYS: usize = 512;

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

/// The counter after it was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advanced {
    /// The last number before.
    pub(crate) before: i64,
    /// The last number now.
    pub(crate) after: i64,
    /// The epoch of interned ids.
    pub(crate) epoch: i64,
    /// Of what memory may know of the database.
    pub(crate) generation: u64,
}

/// Moves the sequence, and writes the number of this transaction as its writer's last.
const ADVANCE_SQLITE: &str = "UPDATE sequence SET value = value + $1, epoch = epoch + $2, commits = commits + 1, \
    writers = json_set(writers, '$.was', json_extract(writers, '$.' || $3), '$.' || $3, commits + 1) \
    WHERE id = 1 RETURNING value, epoch, identity, lineage, writers";

const ADVANCE_POSTGRES: &str = "UPDATE sequence SET value = value + $1, epoch = epoch + $2, commits = commits + 1, \
    writers = (writers::jsonb || jsonb_build_object('was', writers::jsonb -> $3::text, $3::text, commits + 1))::text \
    WHERE id = 1 RETURNING value, epoch, identity, lineage, writers";

/// The same, telling other processes at the commit.
const ADVANCE_AND_NOTIFY: &str = "UPDATE sequence SET value = value + $1, epoch = epoch + $2, commits = commits + 1, \
    writers = (writers::jsonb || jsonb_build_object('was', writers::jsonb -> $3::text, $3::text, commits + 1))::text \
    WHERE id = 1 RETURNING value, epoch, identity, lineage, writers, pg_notify('mcptap', '')";

/// The database lacks what was committed to it: this number tells all processes.
const NEW_LINEAGE: &str = "UPDATE sequence SET epoch = epoch + 1, lineage = $1 WHERE id = 1";

/// The row of the sequence as it was moved.
struct Moved {
    after: i64,
    epoch: i64,
    identity: i64,
    lineage: i64,
    writers: String,
}

impl Moved {
    fn of<R: Row>(row: &R) -> Result<Self, sqlx::Error>
    where
        usize: sqlx::ColumnIndex<R>,
        for<'r> i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
        for<'r> String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    {
        Ok(Self {
            after: row.try_get(0)?,
            epoch: row.try_get(1)?,
            identity: row.try_get(2)?,
            lineage: row.try_get(3)?,
            writers: row.try_get(4)?,
        })
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
            advance: match database.backend() {
                Backend::Sqlite => ADVANCE_SQLITE,
                Backend::Postgres if database.notifies() => ADVANCE_AND_NOTIFY,
                Backend::Postgres => ADVANCE_POSTGRES,
            },
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

    /// Takes the next `numbers` numbers of the sequence. The first statement of every transaction: from here to the
    /// commit nobody else writes, so order of numbers is order of commit.
    ///
    /// Fails with [`Error::Rewound`] where the database is not the one that memory is of: memory was dropped then, and the
    /// transaction is over.
    pub(crate) async fn advance(&mut self, numbers: i64, epochs: i64) -> Result<Advanced, Error> {
        let moved = self.try_advance(numbers, epochs).await;
        let moved = moved.map_err(|error| match Error::from(error) {
            // There are no records in it whose fault it could be.
            Error::Data(cause) => Error::Refused(cause),
            error => error,
        })?;
        let state = State::new(moved.identity, moved.lineage, &moved.writers)?;
        let lineage = Arc::clone(self.database.lineage());
        match lineage.check(state, Seq(moved.after - numbers))? {
            Finding::Known(checked) if self.read_at.is_some_and(|read_at| read_at != checked.generation) => {
                Err(Error::Rewound)
            }
            Finding::Known(checked) => {
                let generation = checked.generation;
                self.checked = Some(checked);
                Ok(Advanced {
                    before: moved.after - numbers,
                    after: moved.after,
                    epoch: moved.epoch,
                    generation,
                })
            }
            Finding::Dropped => Err(Error::Rewound),
            Finding::Lost(state) => {
                let generation = lineage.generation();
                self.with_number(NEW_LINEAGE, state.lineage()).await?;
                self.run("COMMIT").await?;
                lineage.drop_memory(generation, state, Seq(moved.after));
                Err(Error::Rewound)
            }
        }
    }

    async fn try_advance(&mut self, numbers: i64, epochs: i64) -> Result<Moved, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        let writer = self.database.lineage().writer().to_owned();
        match &mut self.open {
            Open::Sqlite(tx) => {
                let query = sqlx::query(self.advance).bind(numbers).bind(epochs).bind(writer);
                Moved::of(&query.fetch_one(&mut **tx).await?)
            }
            Open::Postgres(tx) => {
                let query = sqlx::query(self.advance).bind(numbers).bind(epochs).bind(writer);
                Moved::of(&query.fetch_one(&mut **tx).await?)
            }
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

    /// Runs a statement over pairs: `{pairs}` in it stands for a table of two columns. Gives the number of rows
    /// changed.
    pub(crate) async fn with_pairs(
        &mut self,
        statement: &'static str,
        pairs: &[(i64, Option<i64>)],
    ) -> Result<u64, sqlx::Error> {
        #[cfg(test)]
        self.fail_when_told().await?;
        let mut changed = 0;
        match &mut self.open {
            Open::Sqlite(tx) => {
                for chunk in pairs.chunks(KEYS) {
                    let size = chunk.len().next_power_of_two();
                    let text = self.key_texts.entry((statement, size)).or_insert_with(|| {
                        statement
                            .replace("{pairs}", &format!("VALUES {}", vec!["(?,?)"; size].join(",")))
                            .into()
                    });
                    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
                    for (one, other) in chunk.iter().chain(chunk.last().into_iter().cycle()).take(size) {
                        query = query.bind(*one).bind(*other);
                    }
                    changed += query.execute(&mut **tx).await?.rows_affected();
                }
            }
            Open::Postgres(tx) => {
                if !pairs.is_empty() {
                    let text =
                        statement.replace("{pairs}", "SELECT * FROM UNNEST($1::bigint[], $2::bigint[])");
                    let (ones, others): (Vec<i64>, Vec<Option<i64>>) = pairs.iter().copied().unzip();
                    changed = sqlx::query(AssertSqlSafe(text))
                        .bind(ones)
                        .bind(others)
                        .execute(&mut **tx)
                        .await?
                        .rows_affected();
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
