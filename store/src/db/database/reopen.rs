//! Opening SQLite's files anew while the process goes on, after its write-ahead log, or the index of that, was lost: somebody
//! deleted them, or another program opened a file that stood at the path of the database for a while.
//!
//! What was acknowledged is brought into the database's own file by a connection that has the lost log open. Then all
//! connections are closed, and the next ones make a log at its path. No connection is made before the last of the old ones
//! is closed (`OpenFile::admit`): SQLite has one index of the log for all connections of a process.

use std::sync::atomic::Ordering;

use sea_orm::DatabaseConnection;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, Row, Sqlite};

use super::{Backend, Database};
use crate::Error;

impl Database {
    /// A connection that may write to the file, for what is no transaction of calls.
    pub(crate) async fn writer(&self) -> Result<PoolConnection<Sqlite>, Error> {
        self.in_place().await?;
        Ok(self.write().get_sqlite_connection_pool().acquire().await?)
    }

    /// Brings what is in SQLite's write-ahead log into the file itself, by a connection that has that log open. Whether all of
    /// it is there then.
    pub(crate) async fn write_back(&self) -> Result<bool, Error> {
        for connections in self.of_sqlite() {
            // A new one would have another log open.
            let Some(mut connection) = connections.get_sqlite_connection_pool().try_acquire() else {
                continue;
            };
            let row = sqlx::query("PRAGMA wal_checkpoint(FULL)")
                .fetch_one(&mut *connection)
                .await?;
            let [blocked, logged, written]: [i64; 3] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
            return Ok(blocked == 0 && logged == written);
        }
        Ok(false)
    }

    /// Closes the connections to SQLite that nobody uses, and from now on those that are used as soon as they come back. Nothing
    /// is closed where another process works on the file too, since the two would then have different logs, nor where the
    /// log at the path may be of another database, since it would be read as this one's. Gives whether it was done.
    pub(crate) async fn let_go(&self) -> Result<bool, Error> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        if !file.log_is_free() || !file.is_ours_alone().map_err(sqlx::Error::Io)? {
            return Ok(false);
        }
        self.leaving.store(true, Ordering::Relaxed);
        for connections in self.of_sqlite() {
            while let Some(connection) = connections.get_sqlite_connection_pool().try_acquire() {
                connection.close().await?;
            }
        }
        Ok(true)
    }

    /// Connections that come back are kept again.
    pub(crate) fn keep(&self) {
        self.leaving.store(false, Ordering::Relaxed);
    }

    /// The connections to SQLite by what they are for.
    fn of_sqlite(&self) -> Vec<DatabaseConnection> {
        if self.backend != Backend::Sqlite {
            return Vec::new();
        }
        let (feed, probe) = (self.feed(), self.probe());
        let others = [&self.near, &self.maintenance, &self.read, &feed, &probe];
        std::iter::once(&self.write).chain(others).cloned().collect()
    }
}
