//! A write transaction on either database: raw connections out of sea-orm's pools, behind one face.

use std::collections::HashMap;

use sea_orm::QueryResult;
use sea_orm::sqlx::{self, AssertSqlSafe, Postgres, Row, Sqlite};

use crate::Error;
use crate::database::{Backend, Database, whole};
use crate::insert::sqlite::Texts;
use crate::insert::{Record, postgres, sqlite};

/// How many keys a statement of SQLite takes at most.
const KEYS: usize = 512;

/// One writer's transaction. Dropped without [`Transaction::commit`], it is rolled back.
pub(crate) struct Transaction {
    open: Open,
    advance: &'static str,
    texts: Texts,
    key_texts: HashMap<(&'static str, usize), std::sync::Arc<str>>,
}

enum Open {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
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
}

const ADVANCE: &str =
    "UPDATE sequence SET value = value + $1, epoch = epoch + $2 WHERE id = 1 RETURNING value, epoch";

/// The same, telling other processes at the commit.
const ADVANCE_AND_NOTIFY: &str = "UPDATE sequence SET value = value + $1, epoch = epoch + $2 WHERE id = 1 \
    RETURNING value, epoch, pg_notify('mcptap', '')";

impl Transaction {
    /// Begins one. On SQLite it holds the write lock from here on.
    pub(crate) async fn begin(database: &Database) -> Result<Self, Error> {
        let open = match database.backend() {
            Backend::Sqlite => Open::Sqlite(
                database
                    .write()
                    .get_sqlite_connection_pool()
                    .begin_with("BEGIN IMMEDIATE")
                    .await?,
            ),
            Backend::Postgres => {
                let pool = database.write().get_postgres_connection_pool().clone();
                Open::Postgres(whole(async move { pool.begin().await }).await?)
            }
        };
        Ok(Self {
            open,
            advance: if database.notifications().is_some() {
                ADVANCE_AND_NOTIFY
            } else {
                ADVANCE
            },
            texts: Texts::default(),
            key_texts: HashMap::new(),
        })
    }

    /// Takes the next `numbers` numbers of the sequence. The first statement of every transaction: from here to the
    /// commit nobody else writes, so order of numbers is order of commit.
    pub(crate) async fn advance(&mut self, numbers: i64, epochs: i64) -> Result<Advanced, sqlx::Error> {
        let (after, epoch) = match &mut self.open {
            Open::Sqlite(tx) => {
                let row = sqlx::query(self.advance)
                    .bind(numbers)
                    .bind(epochs)
                    .fetch_one(&mut **tx)
                    .await?;
                (row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?)
            }
            Open::Postgres(tx) => {
                let row = sqlx::query(self.advance)
                    .bind(numbers)
                    .bind(epochs)
                    .fetch_one(&mut **tx)
                    .await?;
                (row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?)
            }
        };
        Ok(Advanced {
            before: after - numbers,
            after,
            epoch,
        })
    }

    /// Inserts rows, in as few statements as there can be. Gives what the table's statement returns.
    pub(crate) async fn insert<R: Record>(
        &mut self,
        rows: impl ExactSizeIterator<Item = R> + Send,
    ) -> Result<Vec<QueryResult>, sqlx::Error> {
        match &mut self.open {
            Open::Sqlite(tx) => sqlite::insert(tx, &mut self.texts, rows).await,
            Open::Postgres(tx) => postgres::insert(tx, rows).await,
        }
    }

    /// Runs a statement over keys: `{keys}` in it stands for what goes into `IN (…)`. Gives the number of rows changed.
    pub(crate) async fn with_keys(
        &mut self,
        statement: &'static str,
        keys: &[i64],
    ) -> Result<u64, sqlx::Error> {
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
                    let mut query = sqlx::query(AssertSqlSafe(std::sync::Arc::clone(text)));
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

    /// Runs a statement over pairs: `{pairs}` in it stands for a table of two columns.
    pub(crate) async fn with_pairs(
        &mut self,
        statement: &'static str,
        pairs: &[(i64, Option<i64>)],
    ) -> Result<(), sqlx::Error> {
        match &mut self.open {
            Open::Sqlite(tx) => {
                for chunk in pairs.chunks(KEYS) {
                    let size = chunk.len().next_power_of_two();
                    let text = self.key_texts.entry((statement, size)).or_insert_with(|| {
                        statement
                            .replace("{pairs}", &format!("VALUES {}", vec!["(?,?)"; size].join(",")))
                            .into()
                    });
                    let mut query = sqlx::query(AssertSqlSafe(std::sync::Arc::clone(text)));
                    for (one, other) in chunk.iter().chain(chunk.last().into_iter().cycle()).take(size) {
                        query = query.bind(*one).bind(*other);
                    }
                    query.execute(&mut **tx).await?;
                }
            }
            Open::Postgres(tx) => {
                if !pairs.is_empty() {
                    let text =
                        statement.replace("{pairs}", "SELECT * FROM UNNEST($1::bigint[], $2::bigint[])");
                    let (ones, others): (Vec<i64>, Vec<Option<i64>>) = pairs.iter().copied().unzip();
                    sqlx::query(AssertSqlSafe(text))
                        .bind(ones)
                        .bind(others)
                        .execute(&mut **tx)
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Makes it last.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.open {
            Open::Sqlite(tx) => tx.commit().await,
            Open::Postgres(tx) => tx.commit().await,
        }
    }
}
