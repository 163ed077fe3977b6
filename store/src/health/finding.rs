//! How a fault is reported: which check failed, why, and what helps.

use mcptap_model::UnixNanos;

use super::Failure;
use crate::error::READ_ONLY;
use crate::{Error, ErrorKind};

/// SQLSTATE insufficient_privilege.
const NO_RIGHT: &str = "42501";

/// Why the store is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// The check that failed: `database`, `file`, `schema`, `write` or `task`.
    pub check: &'static str,
    /// Since when it is so, as far as it was noticed.
    pub since: UnixNanos,
    /// The reason, in words that quote nothing that is stored.
    pub reason: String,
    /// The remedy.
    pub advice: &'static str,
}

/// A finding, before it is known since when it is so.
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) reason: String,
    pub(super) advice: &'static str,
}

impl Failure {
    /// The finding that reports this failure.
    pub(super) fn finding(&self) -> Finding {
        if let Some(replaced) = &self.replaced {
            return of_error("write", replaced);
        }
        let told = of_code("write", self.kind, self.code.as_deref());
        match (&self.code, self.kind) {
            (Some(code), ErrorKind::Refused) if is_about_login(code) => told,
            // The words of the database may name what is stored; its codes do not.
            (Some(code), ErrorKind::Refused | ErrorKind::Internal) => Finding {
                reason: format!("{} (code {code})", told.reason),
                ..told
            },
            _ => told,
        }
    }
}

/// The finding that reports a kind of failure, and, where the code of the database tells more than that, this.
pub(super) fn of_code(check: &'static str, kind: ErrorKind, code: Option<&str>) -> Finding {
    match code {
        Some(READ_ONLY) => Finding {
            check,
            reason:
                "the database is read-only: the server is a standby, or default_transaction_read_only is on"
                    .to_owned(),
            advice: "connect to the primary, or promote this server, or turn default_transaction_read_only off; writing goes on by \
                     itself when the database takes writes",
        },
        Some(NO_RIGHT) => Finding {
            check,
            reason: "the database refuses its tables to mcptap's role".to_owned(),
            advice: "let their owner run GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO …: the role is that of the \
                     URL, and mcptap config check tells which rights are missing; mcptap goes on by itself",
        },
        Some(NO_DATABASE) => Finding {
            check,
            reason: "the database of the URL is not there".to_owned(),
            advice: "make it again or restore it, and look whether somebody dropped or renamed it; then restart mcptap",
        },
        Some(code) if kind == ErrorKind::Refused && is_about_login(code) => Finding {
            check,
            reason: "the database refuses the user or the password".to_owned(),
            advice: "look at user and password in the URL, whether the password was changed or has expired, and at pg_hba.conf; \
                     mcptap goes on by itself when they are right again, and must be restarted with a new URL",
        },
        _ => finding(check, kind),
    }
}

/// SQLSTATE 3D000, invalid_catalog_name.
const NO_DATABASE: &str = "3D000";

/// SQLSTATE class 28, invalid authorization: a password that was changed, a role that is gone or may not log in.
fn is_about_login(code: &str) -> bool {
    code.len() == 5 && code.starts_with("28")
}

/// The finding that reports a kind of failure.
pub(super) fn finding(check: &'static str, kind: ErrorKind) -> Finding {
    let (reason, advice) = match kind {
        ErrorKind::Full => ("the disk is full", "free some space; writing goes on by itself"),
        ErrorKind::Refused => (
            "the database refuses to write",
            "check permissions, that it is not read-only, and that it has no triggers or constraints that mcptap did not make",
        ),
        ErrorKind::Corrupt => (
            "the database is damaged",
            "stop mcptap, keep a copy of the database, then restore a backup or recover what is left",
        ),
        ErrorKind::Io => (
            "a file of the database cannot be read or written",
            "look at the disk and at the system's log, and whether somebody deleted, cut or replaced the database's file or \
             those beside it (-wal, -shm): then restart mcptap",
        ),
        ErrorKind::Conflict => (
            "the database's lock is taken",
            "another program holds it; look for what has the database open and does not end its transaction",
        ),
        ErrorKind::Resources => (
            "the database has no memory or connection to give",
            "look at the database's limits, and at what else uses it",
        ),
        ErrorKind::TimedOut | ErrorKind::Unreachable => (
            "the database does not answer",
            "look at the database and the way to it; mcptap goes on by itself when it answers",
        ),
        ErrorKind::Data | ErrorKind::Internal => (
            "a statement fails that should never fail",
            "look at mcptap's log for the reason, and for tables, triggers or constraints that somebody changed",
        ),
    };
    Finding {
        check,
        reason: reason.to_owned(),
        advice,
    }
}

/// The finding where the checks get no answer from the database.
pub(super) fn of_error(check: &'static str, error: &Error) -> Finding {
    match error {
        Error::Replaced => Finding {
            check: "file",
            reason: "the database's file was deleted, moved, replaced, cut or written over while it was open"
                .to_owned(),
            advice: "nothing is written any more; move the same file back (a copy is another file), or stop mcptap, put a backup \
                 in its place without the -wal and -shm beside it, and start mcptap: a new file has no calls and no API keys",
        },
        Error::LogReplaced => Finding {
            check: "file",
            reason:
                "a file beside the database's (-wal or -shm) was deleted, moved or replaced while it was open"
                    .to_owned(),
            advice: "what was acknowledged is brought into the database's own file, and that is opened anew within seconds where no \
                     other process works on it and no other log is in its place; otherwise move the same file back (a copy is \
                     another file), or restart mcptap when its log says that all is in the file",
        },
        Error::Incomplete { table } => Finding {
            check: "schema",
            reason: format!("the database is damaged: table {table}, or a column of it, is missing"),
            advice: "put it back as it was, restore a backup, or give mcptap an empty database",
        },
        // The checks have a connection of their own: without one, nobody answers.
        error if error.is_without_connection() => finding(check, ErrorKind::TimedOut),
        error => of_code(check, error.kind(), error.code().as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_called_read_only() {
        let told = of_code("write", ErrorKind::Unreachable, Some(READ_ONLY));
        assert!(told.reason.contains("read-only") && told.advice.contains("primary"));
        let told = of_code("write", ErrorKind::Unreachable, Some("57P01"));
        assert!(told.reason.contains("does not answer"));
    }
}
