//! `impl Store`: what was done with the rights of an administrator. Rows are added and never changed.

use mcptap_model::UnixNanos;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::database::Database;

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
    key: Option<i64>,
    /// What was being erased.
    subject: String,
}

/// The erasures that began and of whose end nothing is told. To be read before this process begins any.
pub(crate) async fn interrupted(database: &Database) -> Result<Vec<Interrupted>, Error> {
    let mut entries = audit::Entity::find()
        .filter(audit::Column::What.eq(ERASURE))
        .order_by_desc(audit::Column::Id)
        .limit(LOOKED_THROUGH)
        .all(database.maintenance())
        .await?;
    entries.reverse();
    Ok(without_end(entries))
}

fn without_end(entries: Vec<audit::Model>) -> Vec<Interrupted> {
    let mut open: Vec<Interrupted> = Vec::new();
    for entry in entries {
        let subject = entry.subject.strip_suffix(COMMAND_LINE).unwrap_or(&entry.subject);
        if let Some(subject) = subject.strip_suffix(BEGUN) {
            let (key, subject) = (entry.key, subject.to_owned());
            open.push(Interrupted { key, subject });
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

/// Tells of the end of interrupted erasures, after the files were cleaned up.
pub(crate) async fn end_interrupted(database: &Database, erasures: Vec<Interrupted>) -> Result<(), Error> {
    if erasures.is_empty() {
        return Ok(());
    }
    let tx = database.change().await?;
    for Interrupted { key, subject } in erasures {
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

const COMMAND_LINE: &str = ", on the command line";

/// Adds an entry; in the transaction of what it tells of, so that neither is without the other.
pub(crate) async fn note(
    tx: &impl ConnectionTrait,
    by: Actor,
    what: &str,
    mut subject: String,
) -> Result<(), Error> {
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
    row.insert(tx).await?;
    Ok(())
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
        let of = |key, subject: &str| Interrupted {
            key,
            subject: subject.into(),
        };
        assert_eq!(
            open,
            [of(Some(1), "calls with tools"), of(None, "calls with clients")]
        );
    }
}
