//! The sequence: the numbers of changes, and by its row whether the database is the one that memory is of.

use std::sync::Arc;

use sea_orm::sqlx::{self, Row};

use super::{Open, Transaction};
use crate::db::database::{Backend, Database};
use crate::db::lineage::{Finding, State};
use crate::{Error, Seq};

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

/// The same on PostgreSQL, and what else it returns.
macro_rules! advance_postgres {
    ($more:literal) => {
        concat!(
            "UPDATE sequence SET value = value + $1, epoch = epoch + $2, commits = commits + 1, \
             writers = (writers::jsonb || jsonb_build_object('was', writers::jsonb -> $3::text, $3::text, commits + 1))::text \
             WHERE id = 1 RETURNING value, epoch, identity, lineage, writers",
            $more
        )
    };
}

/// The statement that moves the sequence. Where processes listen, it tells them at the commit.
pub(super) fn statement(database: &Database) -> &'static str {
    match database.backend() {
        Backend::Sqlite => ADVANCE_SQLITE,
        Backend::Postgres if database.notifies() => advance_postgres!(", pg_notify('mcptap', '')"),
        Backend::Postgres => advance_postgres!(""),
    }
}

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
}
