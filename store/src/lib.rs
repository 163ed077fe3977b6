//! The only part of mcptap that touches the database: write, announce, ask.
//!
//! [`open`] gives two handles. A [`Writer`] takes batches into a bounded queue. What waits there becomes a group: its
//! neighbourhood (calls, aliases and waiting rows of the same traces) is read in one snapshot, the pure `fold` says
//! what to change, and the changes become rows, all while the group before is being committed. The committer writes a
//! group in one transaction of multi-row statements. Its first statement moves the `sequence` and so locks it: order of
//! commit is order of numbers, also with many processes over one PostgreSQL; whoever finds the sequence elsewhere than
//! where the neighbourhood was read, reads it again under the lock. After the commit the head is announced and every
//! export of the group is answered.
//!
//! A call's row number is the number of the change that added it; a completed call gets the number of that change
//! beside it. So the feed ([`Store::changes`]) reads along the primary key and one small index. A [`Follower`] of it
//! reads the newest changes in memory (`recent`, filled by the committer, and by `tail` with what other processes
//! commit), the others from the database, and waits until `wake` finds something for it. And
//! pages ([`Store::calls`]) are ordered by start. Every read is one snapshot, sees nothing past its time, and takes its
//! condition from one place (`filter`), which a property test holds against the model's definition. Names, clients,
//! sessions and origins are stored once and referred to by number; bodies stand in a table of their own. What a filter
//! searches is looked up in an index of words (`search`), which follows the changes behind the writes. Who may ask
//! and write is told by the [`Gate`], which holds the keys in memory; asking it is up to whoever opens a door.

mod address;
mod arrivals;
mod attempts;
mod audit;
mod body;
mod bounds;
mod budget;
mod cache;
mod calls;
mod changes;
mod cleanup;
mod clock;
mod committer;
mod connections;
mod cpu;
mod database;
mod details;
mod dictionary;
mod entity;
mod erase;
mod error;
mod facets;
mod feed;
mod filter;
mod fold;
mod footprint;
mod gate;
mod hash;
mod health;
mod incoming;
mod insert;
mod intern;
mod key_set;
mod keys;
mod lineage;
mod logs;
mod look;
mod metrics;
mod neighbourhood;
mod open;
mod operation;
mod options;
mod orphans;
mod pace;
mod page;
mod patience;
mod pooler;
mod prepare;
mod probe;
mod ranking;
mod readers;
mod recent;
mod retention;
mod row;
mod scan;
mod schema;
mod search;
mod secret;
mod servers;
mod sessions;
mod shares;
mod silence;
mod slack;
mod snapshot;
mod stats;
mod supervise;
mod sweep;
mod tail;
mod tally;
mod tools;
mod transaction;
mod views;
mod visits;
mod wake;
#[cfg(test)]
mod work;
mod writer;

use std::sync::Arc;

pub use address::{check_url, shown as shown_url};
pub use arrivals::export_key;
pub use attempts::Attempts;
pub use audit::{Actor, AuditEntry};
pub use budget::{BudgetExhausted, MemoryBudget, Reservation};
pub use calls::{CallPage, FeedStart};
pub use changes::{Change, ChangeKind, FeedChanges};
pub use clock::now;
pub use cpu::{Cancelled, CpuError, CpuPool};
pub use details::{DetailParts, Details, Unread};
pub use erase::Erasure;
pub use error::{Cause, Error, ErrorKind, WriteError};
pub use facets::{Facet, FacetSet, Facets};
pub use feed::{Follower, Seq};
pub use gate::{Denied, Gate};
pub use health::{Rounds, Unready};
pub use keys::{DamagedKey, RevokedKey, has_keys};
pub use look::{examine, exists};
pub use metrics::Metrics;
pub use open::{Closed, migrate, open, open_to_change, open_to_create, open_to_read};
pub use operation::{AbandonOnDrop, Asker, Operation, Run};
pub use options::Options;
pub use page::{CallPosition, LogPosition, Page, PageRequest, Stored};
pub use ranking::{Figure, Ranked, Ranking};
pub use retention::Pruned;
pub use secret::Secret;
pub use servers::Server;
pub use sessions::{Session, SessionName, SessionPosition};
pub use shares::Shares;
pub use slack::Remains;
pub use stats::{CallStats, StatsBucket};
pub use tools::Tool;
pub use views::{Reach, View, ViewContent};
pub use writer::{Packed, Rejected, Writer, Written};

/// Answers queries about what is stored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<open::Inner>,
}
