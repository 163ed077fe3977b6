//! The one classification of what a database answers.

use std::io;

use sea_orm::sqlx;
use sea_orm::sqlx::postgres::PgDatabaseError;

/// The kinds of failures of a database, by what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another transaction was in the way: a deadlock, a serialization failure, a lock. The same again soon succeeds.
    Conflict,
    /// The connection broke, or its server stopped, failed over or became read-only. Another connection may do.
    Unreachable,
    /// No memory, or too many connections. It helps to wait.
    Resources,
    /// No space is left on the disk. It helps to free some.
    Full,
    /// Reading or writing the disk failed.
    Io,
    /// The statement took longer than it may, or nobody waited for its result any more.
    TimedOut,
    /// A value can never be stored or computed. Everything but that value can.
    Data,
    /// The server may not do this: no permission, a read-only file, a wrong password. An operator has to help.
    Refused,
    /// The database's files are damaged. Only a backup or a recovery helps.
    Corrupt,
    /// Anything else: a missing table, or a mistake of mcptap's own.
    Internal,
}

impl ErrorKind {
    /// Whether the same transaction may well succeed a moment later.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Conflict | Self::Unreachable | Self::Resources)
    }

    /// The kind of an error of sqlx.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let Some(code) = error.code() else {
                    return Self::Internal;
                };
                if error.try_downcast_ref::<PgDatabaseError>().is_some() {
                    return Self::of_postgres(&code);
                }
                code.parse().map_or(Self::Internal, Self::of_sqlite)
            }
            sqlx::Error::Encode(_) => Self::Data,
            sqlx::Error::PoolTimedOut => Self::Resources,
            sqlx::Error::Io(cause)
                if matches!(
                    cause.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Self::Full
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::InvalidSavePointStatement => Self::Unreachable,
            sqlx::Error::Configuration(_) => Self::Refused,
            _ => Self::Internal,
        }
    }

    /// The kind of an (extended) result code of SQLite (<https://sqlite.org/rescode.html>).
    fn of_sqlite(code: i32) -> Self {
        /// SQLITE_IOERR_CORRUPTFS.
        const CORRUPT_FS: i32 = 10 | (33 << 8);
        /// SQLITE_IOERR_NOMEM.
        const NO_MEMORY: i32 = 10 | (12 << 8);
        match (code, code & 0xff) {
            (CORRUPT_FS, _) | (_, 11 | 26) => Self::Corrupt,
            // ABORT, BUSY, LOCKED, PROTOCOL (of locks), SCHEMA (changed meanwhile).
            (_, 4..=6 | 15 | 17) => Self::Conflict,
            (NO_MEMORY, _) | (_, 7) => Self::Resources,
            // PERM, READONLY, AUTH.
            (_, 3 | 8 | 23) => Self::Refused,
            (_, 9) => Self::TimedOut,
            // IOERR, CANTOPEN, NOLFS.
            (_, 10 | 14 | 22) => Self::Io,
            (_, 13) => Self::Full,
            // TOOBIG, CONSTRAINT, MISMATCH, RANGE.
            (_, 18..=20 | 25) => Self::Data,
            _ => Self::Internal,
        }
    }

    /// The kind of a SQLSTATE of PostgreSQL (its documentation, appendix A).
    fn of_postgres(code: &str) -> Self {
        match code {
            // lock_not_available, object_in_use.
            "55P03" | "55006" => Self::Conflict,
            // read_only_sql_transaction: the server became a standby. in_failed_sql_transaction and a timeout while
            // idle: the connection is in no state to go on with.
            "25006" | "25P02" | "25P03" | "25P04" => Self::Unreachable,
            // A prepared statement that is gone, there twice (both behind a pooler) or made for older tables.
            "26000" | "42P05" | "0A000" => Self::Unreachable,
            // object_not_in_prerequisite_state: the database takes no connections for a while (it is moved or restored), or
            // a standby is not ready.
            "55000" => Self::Unreachable,
            "57014" => Self::TimedOut,
            "53100" => Self::Full,
            "XX001" | "XX002" => Self::Corrupt,
            // insufficient_privilege, undefined database.
            "42501" | "3D000" => Self::Refused,
            _ => match code.get(..2) {
                Some("40") => Self::Conflict,
                Some("08" | "57") => Self::Unreachable,
                Some("53") => Self::Resources,
                // Program limits: a value too large for an index, for a row, for a text search vector.
                Some("22" | "23" | "54") => Self::Data,
                Some("28") => Self::Refused,
                Some("58") => Self::Io,
                _ => Self::Internal,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_sqlite() {
        for (code, kind) in [
            (5, ErrorKind::Conflict),
            (261, ErrorKind::Conflict),
            (517, ErrorKind::Conflict),
            (6, ErrorKind::Conflict),
            (7, ErrorKind::Resources),
            (3082, ErrorKind::Resources),
            (8, ErrorKind::Refused),
            (1032, ErrorKind::Refused),
            (9, ErrorKind::TimedOut),
            (10, ErrorKind::Io),
            (778, ErrorKind::Io),
            (8458, ErrorKind::Corrupt),
            (10_250, ErrorKind::Io),
            (11, ErrorKind::Corrupt),
            (779, ErrorKind::Corrupt),
            (26, ErrorKind::Corrupt),
            (13, ErrorKind::Full),
            (14, ErrorKind::Io),
            (18, ErrorKind::Data),
            (19, ErrorKind::Data),
            (1811, ErrorKind::Data),
            (20, ErrorKind::Data),
            (25, ErrorKind::Data),
            (1, ErrorKind::Internal),
            (21, ErrorKind::Internal),
        ] {
            assert_eq!(ErrorKind::of_sqlite(code), kind, "{code}");
        }
    }

    #[test]
    fn codes_of_postgresql() {
        for (codes, kind) in [
            (&["40001", "40P01", "55P03"][..], ErrorKind::Conflict),
            (
                &[
                    "55000", "25006", "57P01", "57P02", "57P03", "08006", "08P01", "25P02", "0A000",
                ],
                ErrorKind::Unreachable,
            ),
            (&["53200", "53300", "53400"], ErrorKind::Resources),
            (&["53100"], ErrorKind::Full),
            (&["57014"], ErrorKind::TimedOut),
            (&["22003", "22P05", "23505", "23514", "54000"], ErrorKind::Data),
            (&["28P01", "42501", "3D000"], ErrorKind::Refused),
            (&["58030"], ErrorKind::Io),
            (&["XX001", "XX002"], ErrorKind::Corrupt),
            (&["42P01", "XX000", "42601"], ErrorKind::Internal),
        ] {
            for code in codes {
                assert_eq!(ErrorKind::of_postgres(code), kind, "{code}");
            }
        }
    }
}
