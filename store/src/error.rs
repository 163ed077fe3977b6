//! Failures, in terms of what the caller can do about them.

mod kind;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, sqlx};

use crate::{BudgetExhausted, CpuError};
pub use kind::ErrorKind;

/// Asking or opening failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database cannot do it now: a conflict, a lost connection, no resources, an I/O error. Try again.
    #[error("database: {0}")]
    Database(Cause),
    /// There is no space left for the database. Free some, then try again.
    #[error("the disk is full: {0}")]
    Full(Cause),
    /// The database refuses the server: read-only, no permission, wrong password. An operator has to help.
    #[error("the database refuses access: {0}")]
    Refused(Cause),
    /// The database can never store or compute a value. Trying again is useless.
    #[error("the database cannot take a value: {0}")]
    Data(Cause),
    /// The database's files are damaged.
    #[error(
        "the database is damaged: {0}; stop mcptap, keep a copy of the files, then restore a backup or recover what \
         is left (sqlite3 DATABASE .recover, or PostgreSQL's amcheck and pg_dump)"
    )]
    Corrupt(Cause),
    /// A statement failed that should never fail: a missing table, or a mistake of mcptap's own.
    #[error("database: {0}")]
    Internal(Cause),
    /// Rows that were to be changed are not there. The transaction was rolled back.
    #[error("rows of {0} that were to be changed are not there")]
    Stale(&'static str),
    /// The answer took longer than a query may ([`Options::read_timeout`](crate::Options::read_timeout)).
    #[error("the database took longer than a query may")]
    TimedOut,
    /// As many queries of this kind as may were running until the time for this one was over. Trying again later may help.
    #[error("no reader was free before the time for the query was over")]
    Busy,
    /// The query, or the write, needs more memory than the process may take now. Trying again later may help.
    #[error("more memory is needed than there is: {0}")]
    Memory(#[from] BudgetExhausted),
    /// Work for the query failed inside mcptap.
    #[error(transparent)]
    Work(CpuError),
    /// The URL names no database that mcptap can use.
    #[error("{shown} is no database URL: {advice}")]
    Url {
        /// The URL without what may be a password.
        shown: String,
        /// The remedy: the form of a URL that works.
        advice: &'static str,
    },
    /// PostgreSQL, or the pooler in front of it, gives too few connections.
    #[error(
        "PostgreSQL, or the pooler in front of it, gives {found} connections, and mcptap needs {needed} at least: {raise}"
    )]
    FewConnections {
        /// How many there were.
        found: u32,
        /// How many are needed.
        needed: u32,
        /// The remedy.
        raise: String,
    },
    /// The database of PostgreSQL cannot hold every text.
    #[error(
        "the database of PostgreSQL is encoded as {0}, which lacks letters that calls have: give mcptap one made with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding(String),
    /// The pooler in front of PostgreSQL lends a connection for a statement.
    #[error(
        "the pooler in front of PostgreSQL refuses transactions: set PgBouncer's pool_mode to session or transaction, or \
         connect to PostgreSQL itself"
    )]
    Pooler,
    /// The database cannot be opened.
    #[error("{reason}; {advice}")]
    NotOpened {
        /// Why.
        reason: String,
        /// The remedy.
        advice: String,
    },
    /// The database belongs to another program. Nothing of it was changed.
    #[error("the database belongs to another program: {0}; give mcptap one of its own")]
    Foreign(String),
    /// The database was written by a newer version, which made the step named here. Nothing of it was changed.
    #[error(
        "the database was written by a newer mcptap (its step {0} is unknown here): use that version or a newer one"
    )]
    Newer(String),
    /// There is no database yet, and making one was not asked for.
    #[error("there is no database of mcptap there yet: mcptap serve or mcptap migrate makes it")]
    NoTables,
    /// A table, or a column of it, is missing.
    #[error(
        "the database is damaged: table {table}, or a column of it, is missing; put it back as it was, restore a backup, or \
         give mcptap an empty database"
    )]
    Incomplete {
        /// The table.
        table: &'static str,
    },
    /// The file that was opened is not at its path any more: it was deleted, moved or replaced.
    #[error(
        "the database's file was deleted, moved or replaced while it was open: nothing is written until the very file is back; put it back, \
         or restart mcptap to begin with what is there now"
    )]
    Replaced,
    /// The write-ahead log of SQLite, or the index of it, is not at its path any more: it was deleted, moved or replaced.
    #[error(
        "a file beside the database's (-wal or -shm) was deleted, moved or replaced while it was open: nothing is written \
         until mcptap has opened the database anew; restart it where that does not come"
    )]
    LogReplaced,
    /// A fault of mcptap's own ended the work half-way.
    #[error("a fault of mcptap's own ended the work half-way")]
    Lost,
    /// A stored row cannot be understood: it was written by something newer, or is damaged.
    #[error("table {table}, row {row}: {what}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// Its primary key.
        row: i64,
        /// The fault.
        what: &'static str,
    },
    /// The tables are not up to date, and bringing them up to date was not asked for.
    #[error(
        "the database's tables are older than this version, and only mcptap serve and mcptap migrate bring them up to \
         date: stop the older server, then run mcptap migrate; or use the version that the server has"
    )]
    Outdated,
    /// The system has no randomness to make a secret of.
    #[error("no randomness: {0}")]
    Randomness(String),
    /// Whoever asks was let in without a key, and a key is needed by now. Nothing was changed.
    #[error(transparent)]
    Denied(#[from] crate::Denied),
    /// The store is closed: what was begun is not finished.
    #[error("the store is closing")]
    Stopping,
    /// The position is ahead of everything in this database: it was given out by another one, or by this one before it
    /// was put back to an earlier state.
    #[error("the position is ahead of the database")]
    Ahead,
    /// The database does not answer now, and so the feed says nothing. Follow it again from the last position, after a while.
    #[error("the database does not answer now; the feed goes on when it does")]
    Away,
    /// The database is not the one that it was: it was put back to an earlier state, or another one took its place. What was
    /// read of it before may not be in it. Begin again with what is there now.
    #[error(
        "the database was put back to an earlier state, or another one took its place: begin again with what is there now"
    )]
    Rewound,
}

/// Writing failed: nothing of the batch was stored, or a part of it; sending it again stores the rest.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Too much waits to be written already. Send the same batch again after the delay.
    #[error("too many records wait to be written; try again in {retry_after:?}")]
    Overloaded {
        /// How long to wait before sending again.
        retry_after: Duration,
    },
    /// The batch alone has more records than the queue may ever hold. Send it in parts.
    #[error("{records} records at once are more than the queue holds ({limit}); send them in parts")]
    TooLarge {
        /// How many the batch has.
        records: usize,
        /// How many the queue holds.
        limit: usize,
    },
    /// The batch made mcptap itself fail, before it was queued. The same batch will do so again.
    #[error("{0}")]
    Failed(crate::CpuError),
    /// The store is closed. No further write will succeed.
    #[error("the store is closed")]
    Closed,
    /// The write was lost to a fault of mcptap's, or of a database that did not answer in time. Sending the same batch again
    /// is safe.
    #[error("the write was lost to a fault; send it again")]
    Lost,
    /// The database failed. Sending the same batch again is safe.
    #[error(transparent)]
    Database(#[from] Error),
}

/// SQLSTATE read_only_sql_transaction.
pub(crate) const READ_ONLY: &str = "25006";

/// The words where a pool has none to give.
const NO_CONNECTION: &str = "no connection was free or could be made in time; the server does not answer, or it, or a pooler in \
                             front of it, has given all that it has";

/// The database library's own error, in one line.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.driver() {
            // Without the line of PostgreSQL's own source that it comes from.
            Some(sqlx::Error::Database(error)) => match error.code() {
                Some(code) => write!(f, "{} (code {code})", error.message()),
                None => f.write_str(error.message()),
            },
            Some(sqlx::Error::PoolTimedOut) => f.write_str(NO_CONNECTION),
            Some(error) => error.fmt(f),
            None => match self.0.downcast_ref() {
                Some(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) => f.write_str(NO_CONNECTION),
                _ => self.0.fmt(f),
            },
        }
    }
}

impl Cause {
    /// The error of the driver, where it is one.
    fn driver(&self) -> Option<&sqlx::Error> {
        match self.0.downcast_ref() {
            Some(
                DbErr::Conn(RuntimeErr::SqlxError(error))
                | DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error)),
            ) => Some(error),
            _ => self.0.downcast_ref(),
        }
    }

    pub(crate) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl Error {
    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Database(cause) => match cause.0.downcast_ref::<DbErr>() {
                Some(error) => of_orm(error),
                None => cause
                    .0
                    .downcast_ref::<sqlx::Error>()
                    .map_or(ErrorKind::Unreachable, ErrorKind::of),
            },
            Self::Full(_) => ErrorKind::Full,
            // Somebody has to put the file back.
            Self::Refused(_) | Self::NotOpened { .. } | Self::Replaced | Self::LogReplaced => {
                ErrorKind::Refused
            }
            Self::Data(_) => ErrorKind::Data,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::TimedOut | Self::Busy => ErrorKind::TimedOut,
            Self::Memory(_) => ErrorKind::Resources,
            Self::Stopping | Self::Away => ErrorKind::Unreachable,
            // What is prepared anew fits what is there.
            Self::Rewound => ErrorKind::Conflict,
            _ => ErrorKind::Internal,
        }
    }

    /// Work of a query that was not done.
    pub(crate) fn of_work(error: CpuError) -> Self {
        match error {
            CpuError::Full => Self::Busy,
            error => Self::Work(error),
        }
    }

    /// Whether a connection was waited for in vain: the database makes none, or does not answer on those that are there.
    pub(crate) fn is_without_connection(&self) -> bool {
        let Self::Database(cause) = self else {
            return false;
        };
        matches!(
            cause.0.downcast_ref(),
            Some(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
        ) || matches!(cause.0.downcast_ref(), Some(sqlx::Error::PoolTimedOut))
    }

    /// Whether the database takes no changes, though it answers: PostgreSQL's server is a standby, or
    /// `default_transaction_read_only` is on there.
    pub fn is_read_only(&self) -> bool {
        self.code().as_deref() == Some(READ_ONLY)
    }

    /// The code that the database gave: a SQLSTATE of PostgreSQL, a result code of SQLite.
    pub(crate) fn code(&self) -> Option<String> {
        let (Self::Database(cause) | Self::Refused(cause) | Self::Internal(cause)) = self else {
            return None;
        };
        Some(cause.driver()?.as_database_error()?.code()?.into_owned())
    }

    fn of_kind(kind: ErrorKind, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        let cause = Cause::new(cause);
        match kind {
            ErrorKind::Conflict | ErrorKind::Unreachable | ErrorKind::Resources | ErrorKind::Io => {
                Self::Database(cause)
            }
            ErrorKind::Full => Self::Full(cause),
            ErrorKind::Refused => Self::Refused(cause),
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::Data => Self::Data(cause),
            ErrorKind::Corrupt => Self::Corrupt(cause),
            ErrorKind::Internal => Self::Internal(cause),
        }
    }
}

/// The kind of an error of sea-orm.
fn of_orm(error: &DbErr) -> ErrorKind {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => ErrorKind::of(cause),
        DbErr::Conn(_) => ErrorKind::Unreachable,
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => ErrorKind::Resources,
        DbErr::ConnectionAcquire(_) => ErrorKind::Unreachable,
        _ => ErrorKind::Internal,
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::of_kind(of_orm(&error), error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::of_kind(ErrorKind::of(&error), error)
    }
}
