//! How the audit records erasures: that they began, and how they ended. Where the process of an erasure ended first, another
//! process records the end; as long as the erasure is at work, no other process does.

use std::fs::{File, TryLockError};
use std::time::Duration;

use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement};
use tokio::time::{Instant, timeout};

use super::{Actor, COMMAND_LINE, authorize, note};
use crate::Error;
use crate::db::database::{Database, RELEASE};
use crate::rows::entity::audit;

/// The mutation under which the audit records erasures.
pub(crate) const ERASURE: &str = "deleteCalls";

/// The end of the entry that records the begin of an erasure.
const BEGUN: &str = ": begun";

/// How many entries are looked through for erasures without an end.
const LOOKED_THROUGH: u64 = 1_000;

/// An erasure whose begin is recorded and whose end is not: its process ended first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// The entry that records its begin.
    pub(super) id: i64,
    pub(super) key: Option<i64>,
    /// The calls that it erases, as the entry names them.
    pub(super) subject: String,
}

/// The task, as readiness names it.
const TASK: &str = "erasure";

/// The advisory locks of PostgreSQL that running erasures hold: this number, and that of the entry.
const RUNNING: i32 = 0x6d63_7065;

/// How long the connection of an erasure's lock may take to come.
const CONNECTING: Duration = Duration::from_secs(5);

/// How long an erasure waits for whoever looks whether one is at work, and how often it tries.
const LOOKED_AT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(10);

/// An erasure that is at work. It holds a lock that ends with its process, by which other processes know.
#[derive(Debug)]
pub(crate) struct Begun(Lock);

#[derive(Debug)]
enum Lock {
    /// On a file beside that of SQLite: shared by all erasures.
    File { _held: File },
    /// An advisory lock of PostgreSQL.
    Connection(PgConnection),
}

impl Begun {
    /// Records the begin of an erasure.
    pub(crate) async fn tell(database: &Database, by: Actor, subject: &str) -> Result<Self, Error> {
        database.step(TASK, Self::begin(database, by, subject)).await
    }

    async fn begin(database: &Database, by: Actor, subject: &str) -> Result<Self, Error> {
        // The lock is held before anybody can read the entry.
        let mut lock = match database.erasing() {
            Some(path) => Lock::File {
                _held: share(File::create(path).map_err(sqlx::Error::Io)?).await?,
            },
            // Where connections are few, a pooler may let this one wait: nobody waits for this erasure then.
            None => Lock::Connection(connect(database).await?),
        };
        let tx = database.change().await?;
        authorize(&tx, by).await?;
        let id = note(&tx, by, ERASURE, format!("{subject}{BEGUN}")).await?;
        if let Lock::Connection(connection) = &mut lock {
            hold(connection, id).await?;
        }
        tx.commit().await?;
        Ok(Self(lock))
    }

    /// To be called when its end is recorded.
    pub(crate) async fn end(self) {
        if let Lock::Connection(connection) = self.0
            && !matches!(timeout(RELEASE, connection.close()).await, Ok(Ok(())))
        {
            tracing::debug!("a connection was lost while an erasure was at work");
        }
    }
}

/// Holds a lock that others may hold too, but nobody who [looks](alone) whether one is held.
async fn share(file: File) -> Result<File, Error> {
    let started = Instant::now();
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOOKED_AT => tokio::time::sleep(AGAIN).await,
            Err(TryLockError::WouldBlock) => return Err(Error::TimedOut),
            Err(TryLockError::Error(error)) => return Err(sqlx::Error::Io(error).into()),
        }
    }
}

/// Keeps erasures from beginning, where none is at work.
fn alone(file: File) -> Result<Option<File>, Error> {
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(sqlx::Error::Io(error).into()),
    }
}

/// A connection of its own, in a transaction that ends with it: so a pooler lends it for as long.
async fn connect(database: &Database) -> Result<PgConnection, Error> {
    let pool = database.maintenance().get_postgres_connection_pool();
    let connecting = async {
        let mut connection = pool.connect_options().connect().await?;
        sqlx::raw_sql("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
            .execute(&mut connection)
            .await?;
        Ok(connection)
    };
    // As where a pool has none: nothing was recorded, and it can be tried again.
    timeout(CONNECTING, connecting)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

/// Holds the lock of an entry until the connection ends.
async fn hold(connection: &mut PgConnection, id: i64) -> Result<(), Error> {
    let entry = entry_lock(id);
    let statement = format!("SELECT pg_advisory_xact_lock({RUNNING}, {entry})");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}

fn entry_lock(id: i64) -> i32 {
    i32::try_from(id % i64::from(i32::MAX)).unwrap_or_default()
}

/// The erasures whose begin is recorded and whose end is not.
pub(crate) async fn interrupted(db: &impl ConnectionTrait) -> Result<Vec<Interrupted>, Error> {
    let mut entries = audit::Entity::find()
        .filter(audit::Column::What.eq(ERASURE))
        .order_by_desc(audit::Column::Id)
        .limit(LOOKED_THROUGH)
        .all(db)
        .await?;
    entries.reverse();
    Ok(without_end(entries))
}

pub(super) fn without_end(entries: Vec<audit::Model>) -> Vec<Interrupted> {
    let mut open: Vec<Interrupted> = Vec::new();
    for entry in entries {
        let subject = entry.subject.strip_suffix(COMMAND_LINE).unwrap_or(&entry.subject);
        if let Some(subject) = subject.strip_suffix(BEGUN) {
            open.push(Interrupted {
                id: entry.id,
                key: entry.key,
                subject: subject.to_owned(),
            });
            continue;
        }
        let ends = |begun: &Interrupted| {
            let rest = subject.strip_prefix(begun.subject.as_str());
            begun.key == entry.key && rest.is_some_and(|rest| rest.starts_with(": "))
        };
        if let Some(at) = open.iter().position(ends) {
            open.remove(at);
        }
    }
    open
}

/// The erasures whose process ended first. Those that may still be at work are left out.
pub(crate) async fn abandoned(database: &Database) -> Result<Vec<Interrupted>, Error> {
    database.step(TASK, without_process(database)).await
}

async fn without_process(database: &Database) -> Result<Vec<Interrupted>, Error> {
    let open = interrupted(database.maintenance()).await?;
    if open.is_empty() {
        return Ok(open);
    }
    if let Some(path) = database.erasing() {
        let nobody = alone(File::create(path).map_err(sqlx::Error::Io)?)?.is_some();
        return Ok(if nobody { open } else { Vec::new() });
    }
    let tx = database.change().await?;
    let mut ended = Vec::new();
    for erasure in open {
        if try_lock(&tx, erasure.id).await? {
            ended.push(erasure);
        }
    }
    tx.rollback().await?;
    Ok(ended)
}

/// Records the end of erasures that were [abandoned], after the files were cleaned up.
pub(crate) async fn end_abandoned(database: &Database, known: &[Interrupted]) -> Result<(), Error> {
    if known.is_empty() {
        return Ok(());
    }
    database.step(TASK, tell_of_abandoned(database, known)).await
}

async fn tell_of_abandoned(database: &Database, known: &[Interrupted]) -> Result<(), Error> {
    let alone_here = match database.erasing() {
        Some(path) => match alone(File::create(path).map_err(sqlx::Error::Io)?)? {
            // None is at work, and none begins.
            Some(file) => Some(file),
            None => return Ok(()),
        },
        None => None,
    };
    let tx = database.change().await?;
    let mut ended = Vec::new();
    for erasure in known {
        if alone_here.is_some() || try_lock(&tx, erasure.id).await? {
            ended.push(erasure.clone());
        }
    }
    // Another process may have recorded the end of some until their locks were free.
    let still = interrupted(&tx).await?;
    ended.retain(|erasure| still.contains(erasure));
    for Interrupted { key, subject, .. } in ended {
        tracing::warn!(
            "an erasure of {subject} was interrupted: what it deleted is gone from the files too; delete the rest again"
        );
        let by = key.map_or(Actor::Anybody, Actor::Key);
        note(
            &tx,
            by,
            ERASURE,
            format!(
                "{subject}: interrupted; what it had deleted was removed from the files at the next start"
            ),
        )
        .await?;
    }
    Ok(tx.commit().await?)
}

async fn try_lock(tx: &impl ConnectionTrait, id: i64) -> Result<bool, Error> {
    let entry = entry_lock(id);
    let text = format!("SELECT pg_try_advisory_xact_lock({RUNNING}, {entry}) AS locked");
    let row = tx
        .query_one_raw(Statement::from_string(tx.get_database_backend(), text))
        .await?;
    match row {
        Some(row) => Ok(row.try_get("", "locked")?),
        None => Ok(false),
    }
}
