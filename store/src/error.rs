//! What can go wrong, in terms of what the caller can do about it.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr, sqlx};

use crate::patience::ran_out;

/// Asking or opening failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused or could not be reached; trying again may help.
    #[error("database: {0}")]
    Database(#[source] Cause),
    /// The answer took longer than a question may ([`Options::read_timeout`](crate::Options::read_timeout)).
    #[error("the database took longer than a question may")]
    TimedOut,
    /// The URL names no database that mcptap can use.
    #[error("{0:?} is no database URL: use sqlite://mcptap.db?mode=rwc or postgres://user@host/name")]
    Url(String),
    /// A stored row cannot be understood: it was written by something newer, or is damaged.
    #[error("table {table}, row {row}: {what}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// Its primary key.
        row: i64,
        /// What is wrong.
        what: &'static str,
    },
    /// The tables are not up to date, and bringing them up to date was not asked for.
    #[error("the database's tables are older than this version; migrate it first")]
    Outdated,
    /// The system has no randomness to make a secret of.
    #[error("no randomness: {0}")]
    Randomness(String),
    /// The store is closed: what was begun is not finished.
    #[error("the store is closing")]
    Stopping,
    /// The position is ahead of everything in this database: it was given out by another one, or by this one before it
    /// was put back to an earlier state.
    #[error("the position is ahead of the database")]
    Ahead,
}

/// Writing failed: nothing of the batch was stored.
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
    /// The store is closed. No further write will succeed.
    #[error("the store is closed")]
    Closed,
    /// The database failed. Sending the same batch again is safe.
    #[error("database: {0}")]
    Database(#[source] Cause),
}

/// The database library's own error.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    pub(crate) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl Error {
    /// Whether it may be one row's fault, so that others could be stored without it.
    pub(crate) fn is_about_rows(&self) -> bool {
        let cause = match self {
            Self::Database(cause) => cause,
            Self::TimedOut => return false,
            _ => return true,
        };
        match cause.0.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Database(error)) => error.code().is_none_or(|code| {
                if code.len() == 5 {
                    // PostgreSQL: connection, resources, operator, system.
                    return !["08", "53", "57", "58"]
                        .iter()
                        .any(|class| code.starts_with(class));
                }
                // SQLite: busy, locked, out of memory, read-only, interrupted, I/O, corrupt; full.
                !matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(5..=11 | 13))
            }),
            Some(sqlx::Error::Encode(_)) => true,
            _ => false,
        }
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        match &error {
            DbErr::Query(RuntimeErr::SqlxError(cause)) | DbErr::Exec(RuntimeErr::SqlxError(cause))
                if ran_out(cause) =>
            {
                Self::TimedOut
            }
            _ => Self::Database(Cause::new(error)),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if ran_out(&error) {
            return Self::TimedOut;
        }
        Self::Database(Cause::new(error))
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(cause) => Self::Database(cause),
            other => Self::Database(Cause::new(other)),
        }
    }
}
