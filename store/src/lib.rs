//! The only part of mcptap that touches the database: write, announce, ask.

mod calls;
mod changes;
mod details;
mod error;
mod facets;
mod feed;
mod fold;
mod logs;
mod metrics;
mod open;
mod options;
mod page;
mod retention;
mod servers;
mod sessions;
mod stats;
mod tools;
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
