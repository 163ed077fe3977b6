//! Faults on purpose: in tests a transaction breaks at a chosen statement, as a database breaks it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sea_orm::sqlx::error::{DatabaseError, ErrorKind as Violation};
use sea_orm::sqlx::{self, Connection, PgConnection, SqliteConnection};

use super::{Open, Transaction};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space on the disk. On SQLite it is real, and rolls the transaction back.
    Full,
    /// The disk fails.
    Io,
    /// No memory.
    NoMemory,
    /// Another one is in the way. The transaction stays open.
    Busy,
    /// Somebody interrupts. On SQLite it is real, and rolls the transaction back.
    Interrupt,
    /// The server ends the connection. On PostgreSQL it is real.
    Terminated,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::Full,
        Self::Io,
        Self::NoMemory,
        Self::Busy,
        Self::Interrupt,
        Self::Terminated,
    ];
}

/// What is to go wrong, and when.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Mutex<Option<(u64, Fault)>>,
    struck: AtomicU64,
}

impl Faults {
    /// The statement after `statements` others fails.
    pub(crate) fn plan(&self, statements: u64, fault: Fault) {
        *self.planned.lock().unwrap() = Some((statements, fault));
    }

    /// Nothing goes wrong any more. Gives whether something was still to come.
    pub(crate) fn cancel(&self) -> bool {
        self.planned.lock().unwrap().take().is_some()
    }

    /// How many statements failed so far.
    pub(crate) fn struck(&self) -> u64 {
        self.struck.load(Relaxed)
    }

    fn next(&self) -> Option<Fault> {
        let mut planned = self.planned.lock().unwrap();
        match planned.as_mut() {
            Some((0, fault)) => {
                let fault = *fault;
                *planned = None;
                self.struck.fetch_add(1, Relaxed);
                Some(fault)
            }
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }
}

impl Transaction {
    /// Fails where a test planned it.
    pub(super) async fn fail_when_told(&mut self) -> Result<(), sqlx::Error> {
        let Some(fault) = self.faults.next() else {
            return Ok(());
        };
        Err(match &mut self.open {
            Open::Sqlite(tx) => break_sqlite(tx, fault).await,
            Open::Postgres(tx) => break_postgres(tx, fault).await,
        })
    }
}

async fn break_sqlite(connection: &mut SqliteConnection, fault: Fault) -> sqlx::Error {
    let code = match fault {
        Fault::Full => {
            // The least that this takes is the present size.
            run(connection, "PRAGMA max_page_count = 1").await.unwrap();
            let row = "INSERT OR FAIL INTO views (name, filter, columns, created_at, updated_at) \
                 VALUES ('full', hex(randomblob(4000000)), '', 0, 0)";
            return run(connection, row).await.unwrap_err();
        }
        Fault::Interrupt => {
            connection
                .lock_handle()
                .await
                .unwrap()
                .set_progress_handler(1, || false);
            let change = "UPDATE sequence SET value = value + 1000";
            return run(connection, change).await.unwrap_err();
        }
        Fault::Busy => return Injected(5).into(),
        Fault::Io | Fault::Terminated => 10,
        Fault::NoMemory => 7,
    };
    // There may be none yet.
    let _ = run(connection, "ROLLBACK").await;
    Injected(code).into()
}

async fn run(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(statement).execute(connection).await.map(drop)
}

async fn break_postgres(connection: &mut PgConnection, fault: Fault) -> sqlx::Error {
    let state = match fault {
        Fault::Full => "53100",
        Fault::Io => "58030",
        Fault::NoMemory => "53200",
        Fault::Busy => "40001",
        Fault::Interrupt => "57014",
        Fault::Terminated => {
            let terminated = sqlx::raw_sql("SELECT pg_terminate_backend(pg_backend_pid())")
                .execute(&mut *connection)
                .await;
            return match terminated {
                Err(error) => error,
                Ok(_) => connection.ping().await.unwrap_err(),
            };
        }
    };
    let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END $$");
    sqlx::raw_sql(sqlx::AssertSqlSafe(raise))
        .execute(connection)
        .await
        .unwrap_err()
}

/// An error of SQLite that cannot be had on demand, by its code.
#[derive(Debug)]
struct Injected(i32);

impl fmt::Display for Injected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "(code: {}) on purpose", self.0)
    }
}

impl StdError for Injected {}

impl DatabaseError for Injected {
    fn message(&self) -> &str {
        "on purpose"
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.to_string().into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> Violation {
        Violation::Other
    }
}
