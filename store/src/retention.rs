//! `impl Store`: forgetting what is older than wanted.

use std::time::Duration;

use crate::{Error, Store};

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Calls, with their bodies.
    pub calls: u64,
    /// Log lines of these calls.
    pub log_lines: u64,
}

impl Store {
    /// Deletes every call that began longer ago than `older_than`, with all that belongs to it, in small steps, and
    /// gives the space back.
    pub async fn prune(&self, _older_than: Duration) -> Result<Pruned, Error> {
        Err(Error::Unsupported)
    }
}
