//! `impl Store`: what was done with the rights of an administrator. Rows are added and never changed.

use mcptap_model::UnixNanos;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};

use crate::database::{Backend, Database};
use crate::entity::audit;
use crate::{Error, Page, PageRequest, Store, clock};

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The holder of the key of this number.
    Key(i64),
    /// Anybody: no key existed yet.
    Anybody,
    /// Whoever can run commands on the database.
    CommandLine,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, which grows.
    pub id: i64,
    /// When it was done.
    pub at: UnixNanos,
    /// The key by which; `None`: no key existed yet, or it was the command line.
    pub key: Option<i64>,
    /// What was done: the name of the mutation.
    pub what: String,
    /// To what.
    pub subject: String,
}

impl Store {
    /// What was done, newest first; positions are the numbers of entries. Read forward only.
    pub async fn audit(&self, page: PageRequest<i64>) -> Result<Page<AuditEntry>, Error> {
        let mut bounds = page.bounds();
        let mut select = audit::Entity::find()
            .order_by_desc(audit::Column::Id)
            .limit(bounds.size as u64 + 1);
        if let Some(after) = page.after {
            select = select.filter(audit::Column::Id.lt(after));
        }
        let mut rows = select.all(self.inner.database.read()).await?;
        let cut = rows.len() > bounds.size;
        rows.truncate(bounds.size);
        bounds.set(cut, page.after.is_some());
        Ok(Page {
            items: rows.into_iter().map(entry).collect(),
            has_next: bounds.has_next,
            has_previous: bounds.has_previous,
        })
    }
}

fn entry(row: audit::Model) -> AuditEntry {
    AuditEntry {
        id: row.id,
        at: UnixNanos(row.at),
        key: row.key,
        what: row.what,
        subject: row.subject,
    }
}

/// The mutation that erasures are told under.
pub(crate) const ERASURE: &str = "deleteCalls";

/// How the entry ends that tells of an erasure's begin.
pub(crate) const BEGUN: &str = ": begun";

/// How many entries are looked through for erasures without an end.
const LOOKED_THROUGH: u64 = 1_000;

/// An erasure that began and of whose end nothing is told: its process ended first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// The entry that tells of its begin.
    id: i64,
    key: Option<i64>,
    /// What was being erased.
    subject: String,
}

/// The advisory locks of PostgreSQL that running erasures hold: this number, and that of the entry.
const RUNNING: i32 = 0x6d63_7065;

/// An erasure that is at work.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Holds a lock, so that other processes know that this one still is at work.
    lock: Option<PgConnection>,
}

impl Begun {
    /// Tells of an erasure's begin.
    pub(crate) async fn tell(database: &Database, by: Actor, subject: &str) -> Result<Self, Error> {
        let tx = database.change().await?;
        let id = note(&tx, by, ERASURE, format!("{subject}{BEGUN}")).await?;
        // Before anybody can read the entry.
        let lock = match database.backend() {
            Backend::Sqlite => None,
            Backend::Postgres => Some(lock(database, id).await?),
        };
        tx.commit().await?;
        Ok(Self { lock })
    }

    /// To be called when its end is told.
    pub(crate) async fn end(self) {
        if let Some(lock) = self.lock
            && let Err(error) = lock.close().await
        {
            tracing::debug!(%error, "a connection was lost while an erasure was at work");
        }
    }
}

/// A connection of its own, in a transaction that ends with it: so a pooler lends it for as long.
async fn lock(database: &Database, id: i64) -> Result<PgConnection, Error> {
    let pool = database.maintenance().get_postgres_connection_pool();
    let mut connection = pool.connect_options().connect().await?;
    let entry = entry_lock(id);
    let statements = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock({RUNNING}, {entry})"
    );
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

fn entry_lock(id: i64) -> i32 {
    i32::try_from(id % i64::from(i32::MAX)).unwrap_or_default()
}

/// The erasures that began and of whose end nothing is told. On SQLite to be read before this process begins any.
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

fn without_end(entries: Vec<audit::Model>) -> Vec<Interrupted> {
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

/// Tells of the end of interrupted erasures, after the files were cleaned up. `known` are those that were without an end when
/// this process started: where processes share no locks, no others can be told from those that are at work.
pub(crate) async fn end_interrupted(database: &Database, known: &[Interrupted]) -> Result<(), Error> {
    if interrupted(database.maintenance()).await?.is_empty() {
        return Ok(());
    }
    let tx = database.change().await?;
    let mut ended = Vec::new();
    for erasure in interrupted(&tx).await? {
        let is_over = match database.backend() {
            Backend::Sqlite => known.contains(&erasure),
            Backend::Postgres => try_lock(&tx, erasure.id).await?,
        };
        if is_over {
            ended.push(erasure);
        }
    }
    // Another process may have told of some until their locks were free.
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
            format!("{subject}: interrupted, and cleaned up after a restart"),
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

const COMMAND_LINE: &str = ", on the command line";

/// Adds an entry; in the transaction of what it tells of, so that neither is without the other. Gives its number.
pub(crate) async fn note(
    tx: &impl ConnectionTrait,
    by: Actor,
    what: &str,
    mut subject: String,
) -> Result<i64, Error> {
    let key = match by {
        Actor::Key(key) => Some(key),
        Actor::Anybody => None,
        Actor::CommandLine => {
            subject.push_str(COMMAND_LINE);
            None
        }
    };
    let row = audit::ActiveModel {
        id: NotSet,
        at: Set(clock::now().0),
        key: Set(key),
        what: Set(what.to_owned()),
        subject: Set(subject),
    };
    Ok(row.insert(tx).await?.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erasures_without_an_end_are_found() {
        let entry = |id: i64, key: Option<i64>, subject: &str| audit::Model {
            id,
            at: 0,
            key,
            what: ERASURE.into(),
            subject: subject.into(),
        };
        let open = without_end(vec![
            // Its begin is too long ago to be read.
            entry(1, None, "calls with tools: 3 erased"),
            entry(2, Some(1), "calls with tools: begun"),
            entry(
                3,
                Some(1),
                "calls with tools: failed after 7 calls: the database failed",
            ),
            entry(4, Some(1), "calls with tools: begun"),
            entry(5, Some(2), "calls with tools: begun"),
            entry(6, Some(1), "calls with tools, from: none"),
            entry(7, None, "calls with clients: begun, on the command line"),
            entry(8, None, "calls with no constraint: begun, on the command line"),
            entry(9, None, "calls with no constraint: 1 erased, on the command line"),
            entry(10, Some(2), "calls with tools: 12 erased"),
        ]);
        let of = |id, key, subject: &str| Interrupted {
            id,
            key,
            subject: subject.into(),
        };
        assert_eq!(
            open,
            [
                of(4, Some(1), "calls with tools"),
                of(7, None, "calls with clients")
            ]
        );
    }
}
