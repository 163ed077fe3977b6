//! `impl Store`: what was done with the rights of an administrator. Rows are added and never changed.

mod erasure;
#[cfg(test)]
mod tests;

use mcptap_model::UnixNanos;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::rows::entity::{api_key, audit};
use crate::{Denied, Error, Page, PageRequest, Store, clock};

#[cfg(test)]
pub(crate) use erasure::interrupted;
pub(crate) use erasure::{Begun, ERASURE, abandoned, end_abandoned};

/// The author of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The holder of the key of this number.
    Key(i64),
    /// Anybody: no key existed yet. Refused where one exists when the act begins.
    Anybody,
    /// A caller of a program that embeds the API and asks nobody for a key.
    Embedding,
    /// A user who can run commands on the database.
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
    /// The act: the name of the mutation.
    pub what: String,
    /// To what.
    pub subject: String,
}

impl Store {
    /// The acts, newest first; positions are the numbers of entries. Read forward only.
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

/// Refuses whoever was let in because no key existed, where one exists by now. The first thing in the transaction of an act:
/// no key can be made between this and its commit.
///
/// # Errors
/// [`Error::Denied`]: a key is needed by now.
pub(crate) async fn authorize(tx: &DatabaseTransaction, by: Actor) -> Result<(), Error> {
    if by != Actor::Anybody {
        return Ok(());
    }
    // Transactions that make keys wait for this one. It must come before any read: on PostgreSQL a statement sees what was
    // committed before it began, and SQLite refuses the lock to a transaction that read before another one wrote.
    let lock = match tx.get_database_backend() {
        DbBackend::Sqlite => "UPDATE api_keys SET id = id WHERE 1 = 0",
        _ => "LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE",
    };
    tx.execute_unprepared(lock).await?;
    let any: Option<i64> = api_key::Entity::find()
        .select_only()
        .column(api_key::Column::Id)
        .limit(1)
        .into_tuple()
        .one(tx)
        .await?;
    match any {
        Some(_) => Err(Error::Denied(Denied::Missing)),
        None => Ok(()),
    }
}

const COMMAND_LINE: &str = ", on the command line";

/// Adds an entry, in the transaction of the act that it records, so that neither is without the other. Gives its number.
pub(crate) async fn note(
    tx: &impl ConnectionTrait,
    by: Actor,
    what: &str,
    mut subject: String,
) -> Result<i64, Error> {
    let key = match by {
        Actor::Key(key) => Some(key),
        Actor::Anybody | Actor::Embedding => None,
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
