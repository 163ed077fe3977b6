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

mod access;
mod clock;
mod db;
mod error;
mod feed;
mod health;
mod limits;
mod liveness;
mod metrics;
mod open;
mod options;
mod read;
mod retention;
mod rows;
mod search;
mod supervise;
mod write;

use std::sync::Arc;

pub use access::attempts::Attempts;
pub use access::audit::{Actor, AuditEntry};
pub use access::gate::{Denied, Gate};
pub use access::keys::{DamagedKey, RevokedKey, has_keys};
pub use access::saved_views::{Reach, View, ViewContent};
pub use access::secret::Secret;
pub use clock::now;
pub use db::address::{check_url, is_cut_off, shown as shown_url};
pub use db::look::{examine, exists};
pub use error::{Cause, Error, ErrorKind, WriteError};
pub use feed::changes::{Change, ChangeKind, FeedChanges};
pub use feed::follower::{Follower, Seq};
pub use health::{Rounds, Unready};
pub use limits::budget::{BudgetExhausted, MemoryBudget, Reservation};
pub use limits::cpu::{Cancelled, CpuError, CpuPool};
pub use limits::operation::{AbandonOnDrop, Asker, Operation, Run};
pub use limits::shares::Shares;
pub use metrics::Metrics;
pub use open::{Closed, migrate, open, open_to_change, open_to_create, open_to_read};
pub use options::Options;
pub use read::calls::{CallPage, FeedStart};
pub use read::details::{DetailParts, Details, Unread};
pub use read::facets::{Facet, FacetSet, Facets};
pub use read::page::{CallPosition, LogPosition, Page, PageRequest, Stored};
pub use read::ranking::{Figure, Ranked, Ranking};
pub use read::servers::Server;
pub use read::sessions::{Session, SessionName, SessionPosition};
pub use read::stats::{CallStats, StatsBucket};
pub use read::tools::Tool;
pub use retention::erase::Erasure;
pub use retention::expire::Pruned;
pub use retention::slack::Remains;
pub use rows::row::export_key;
pub use write::queue::{Packed, Rejected, Writer, Written};

/// Answers queries about what is stored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<open::Inner>,
}
