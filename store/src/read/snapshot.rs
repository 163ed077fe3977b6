//! A snapshot that is read for one query: in its place among the readers, within its time, and no longer than somebody
//! waits for it.

use std::ops::Deref;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};

use crate::db::database::{Backend, Database};
use crate::limits::operation::Operation;
use crate::read::readers::{ReaderPlace, Reading};
use crate::{Error, Store};

/// All its statements see the same moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    tx: Arc<DatabaseTransaction>,
    cancel: Option<CancelOnDrop>,
    _place: ReaderPlace,
}

/// Ends what PostgreSQL does for a query that nobody waits for any more. (SQLite is interrupted by `patience`.)
#[derive(Debug)]
struct CancelOnDrop {
    /// Keeps the connection from others until PostgreSQL was told: its number means nothing once somebody else has it.
    tx: Arc<DatabaseTransaction>,
    database: Database,
    operation: Operation,
    backend: i32,
}

impl Store {
    /// A snapshot for the query that this task runs for. Waits for a place.
    pub(crate) async fn snapshot(&self, reading: Reading) -> Result<Snapshot, Error> {
        let operation = Operation::reading(self.inner.options.read_timeout);
        let place = self.inner.readers.place(reading, &operation).await?;
        let database = &self.inner.database;
        let tx = Arc::new(database.snapshot().await?);
        let mut cancel = None;
        if database.backend() == Backend::Postgres {
            let left = operation.remaining().as_millis().max(1).to_string();
            let statement = Statement::from_sql_and_values(
                tx.get_database_backend(),
                "SELECT pg_backend_pid(), set_config('statement_timeout', $1, true)",
                [left.into()],
            );
            let row = tx.query_one_raw(statement).await?;
            let backend = row.map(|row| row.try_get_by_index(0)).transpose()?;
            cancel = backend.map(|backend| CancelOnDrop {
                tx: Arc::clone(&tx),
                database: database.clone(),
                operation,
                backend,
            });
        }
        Ok(Snapshot {
            tx,
            cancel,
            _place: place,
        })
    }
}

impl Snapshot {
    /// Ends it.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        let Self { tx, cancel, .. } = self;
        drop(cancel);
        match Arc::into_inner(tx) {
            Some(tx) => Ok(tx.commit().await?),
            None => Ok(()),
        }
    }
}

impl Deref for Snapshot {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.tx
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.operation.is_abandoned() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (tx, database, backend) = (Arc::clone(&self.tx), self.database.clone(), self.backend);
        runtime.spawn(async move {
            let connection = database.read();
            let statement = Statement::from_sql_and_values(
                connection.get_database_backend(),
                "SELECT pg_cancel_backend($1)",
                [backend.into()],
            );
            if let Err(error) = connection.execute_raw(statement).await {
                tracing::debug!(%error, "a query that nobody waits for goes on until its time is over");
            }
            drop(tx);
        });
    }
}
