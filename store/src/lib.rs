//! The only part of mcptap that touches the database: write, announce, ask.

mod body;
mod calls;
mod changes;
mod clock;
mod committer;
mod database;
mod details;
mod dictionary;
mod entity;
mod error;
mod facets;
mod feed;
mod filter;
mod fold;
mod hash;
mod insert;
mod intern;
mod logs;
mod metrics;
mod neighbourhood;
mod open;
mod options;
mod page;
mod prepare;
mod retention;
mod row;
mod scan;
mod search;
mod servers;
mod sessions;
mod stats;
mod sweep;
mod tally;
mod tools;
mod transaction;
mod writer;

use std::sync::Arc;

pub use calls::CallPage;
pub use changes::{Change, ChangeKind, FeedChanges};
pub use details::Details;
pub use error::{Cause, Error, WriteError};
pub use facets::{Facet, FacetSet, Facets};
pub use feed::{Closed, Feed, Seq};
pub use metrics::Metrics;
pub use open::open;
pub use options::Options;
pub use page::{CallPosition, LogPosition, Page, PageRequest, Stored};
pub use retention::Pruned;
pub use servers::Server;
pub use sessions::{Session, SessionPosition};
pub use stats::{CallStats, StatsBucket};
pub use tools::Tool;
pub use writer::{Writer, Written};

/// Answers questions about what is stored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<open::Inner>,
}
