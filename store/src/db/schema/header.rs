//! A look into a file of SQLite before it is opened to be used.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sea_orm::sqlx::{self, ConnectOptions};
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};

use super::{APPLICATION_ID, Found, inspect};
use crate::Error;
use crate::db::database::{Access, beside, header, open};

/// How often a file is looked into again that another process begins to use, and how long it is left alone before.
const LOOKS: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A look into a file of SQLite that may be another program's, or not be there. Changes neither the file nor what lies
/// beside it. Gives the connection it looked by, if there is something.
pub(crate) async fn look_into_file(
    connect: &SqliteConnectOptions,
    wait: Duration,
) -> Result<(Found, Option<DatabaseConnection>), Error> {
    let mut pauses = std::iter::repeat_n(PAUSE, LOOKS);
    loop {
        let Some(header) = Header::of(connect).await? else {
            return Ok((Found::Nothing, None));
        };
        let looked = header.look(connect, wait).await;
        if !header.is_unused() || Header::of(connect).await?.as_ref() == Some(&header) {
            return looked;
        }
        // Another process began to use it, so what was read belongs to different times.
        let Some(pause) = pauses.next() else {
            return looked;
        };
        if let Ok((_, Some(connection))) = looked {
            connection.close().await?;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The header of a file, and what tells that the file was changed.
#[derive(PartialEq, Eq)]
struct Header {
    bytes: [u8; 100],
    length: u64,
    modified: Option<SystemTime>,
    /// The log beside it is not empty.
    log: bool,
}

impl Header {
    async fn of(connect: &SqliteConnectOptions) -> Result<Option<Self>, Error> {
        let path = connect.get_filename().to_owned();
        let read = tokio::task::spawn_blocking(move || Self::read(&path)).await;
        read.unwrap_or(Err(Error::Stopping))
    }

    /// `None` for a file that is empty or not there.
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        let file = match open(path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(sqlx::Error::Io(error).into()),
        };
        let found = file.metadata().map_err(sqlx::Error::Io)?;
        let bytes = match header(&file).map_err(sqlx::Error::Io)? {
            Some(bytes) => bytes,
            None if found.len() == 0 => return Ok(None),
            None => return Err(Error::Foreign(format!("{} is no file of SQLite", path.display()))),
        };
        Ok(Some(Self {
            bytes,
            length: found.len(),
            modified: found.modified().ok(),
            log: std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0),
        }))
    }

    /// It has our `application_id`.
    fn is_ours(&self) -> bool {
        self.id() == Some(&APPLICATION_ID.to_be_bytes())
    }

    /// It has that of another program.
    fn is_theirs(&self) -> bool {
        !self.is_ours() && self.id() != Some(&[0; 4])
    }

    fn id(&self) -> Option<&[u8]> {
        self.bytes.get(68..72)
    }

    /// A file in WAL mode that nobody has open, and that is not known to be ours.
    fn is_unused(&self) -> bool {
        !self.is_ours() && self.bytes.get(18..20) == Some(&[2, 2]) && !self.log
    }

    async fn look(
        &self,
        connect: &SqliteConnectOptions,
        wait: Duration,
    ) -> Result<(Found, Option<DatabaseConnection>), Error> {
        if self.is_theirs() {
            return Err(Error::Foreign(format!(
                "{} has the application_id of that program",
                connect.get_filename().display()
            )));
        }
        let connect = connect
            .clone()
            .read_only(true)
            .create_if_missing(false)
            .foreign_keys(false)
            .busy_timeout(wait)
            .disable_statement_logging()
            // It is read without making a log and an index beside it.
            .immutable(self.is_unused());
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(wait * 2)
            .connect_with(connect)
            .await?;
        let connection = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
        let found = inspect(&connection).await?;
        Ok((found, Some(connection)))
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx::Connection;
    use sea_orm::sqlx::sqlite::SqliteJournalMode;

    use super::*;

    #[tokio::test]
    async fn a_file_that_was_used_meanwhile_is_another() {
        let path = std::env::temp_dir().join(format!("mcptap-header-{}.db", std::process::id()));
        let made = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let made = made.journal_mode(SqliteJournalMode::Wal);
        let used = async |statement: &'static str| {
            let mut connection = made.connect().await.unwrap();
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            let while_open = Header::of(&made).await.unwrap().unwrap();
            assert!(!while_open.is_unused());
            connection.close().await.unwrap();
            let after = Header::of(&made).await.unwrap().unwrap();
            assert!(after.is_unused());
            after
        };
        let first = used("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
        assert!(Header::of(&made).await.unwrap() == Some(first));
        let first = Header::of(&made).await.unwrap().unwrap();
        // Neither its length nor the number of its tables changes.
        let second = used("UPDATE t SET id = 2").await;
        assert!(first != second);
        std::fs::remove_file(path).unwrap();
    }
}
