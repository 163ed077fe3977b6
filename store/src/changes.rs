//! `impl Store`: what was committed after a point, in order of commit.

use mcptap_model::CallFilter;

use crate::{Error, Seq, Store, Stored};

/// What happened to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was stored.
    Added,
    /// It was completed after having been stored.
    Updated,
}

/// One change, with the call as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in the order of commit.
    pub seq: Seq,
    /// What happened.
    pub kind: ChangeKind,
    /// The call, without details.
    pub stored: Stored,
}

/// A stretch of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedChanges {
    /// The changes of the filter, in order of commit.
    pub items: Vec<Change>,
    /// Go on from here: everything up to here has been looked at, also when nothing matched.
    pub upto: Seq,
    /// Whether `upto` is the head of the snapshot that was read.
    pub caught_up: bool,
}

impl Store {
    /// Changes of the filter after a point, at most `limit` (clamped to 1..=500). One call looks at a bounded
    /// number of rows, so it may find nothing and still not have caught up: then go on from `upto`.
    pub async fn changes(&self, _filter: &CallFilter, _after: Seq, _limit: usize) -> Result<FeedChanges, Error> {
        Err(Error::Unsupported)
    }
}
