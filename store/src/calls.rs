//! `impl Store`: one call, pages of calls, how many there are.

use mcptap_model::{CallFilter, Count, SpanId, TraceId};

use crate::{CallPosition, Error, PageRequest, Seq, Store, Stored};

/// A page of calls, and where the feed goes on from it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPage {
    /// The calls, newest first.
    pub items: Vec<Stored>,
    /// Whether older calls of the filter exist.
    pub has_next: bool,
    /// Whether newer calls of the filter exist.
    pub has_previous: bool,
    /// Reading the feed from here on misses no call newer than this page. Of the newest page it is the head of the
    /// very snapshot that the page was read from; of the oldest it is the beginning.
    pub live: Seq,
}

impl Store {
    /// The call that the span told of: its first span, or one that was folded into it.
    pub async fn call(&self, _trace: TraceId, _span: SpanId) -> Result<Option<Stored>, Error> {
        Err(Error::Unsupported)
    }

    /// Calls of the filter, newest first. Rows and `live` come from one snapshot.
    pub async fn calls(&self, _filter: &CallFilter, _page: PageRequest<CallPosition>) -> Result<CallPage, Error> {
        Err(Error::Unsupported)
    }

    /// How many calls the filter means; counting stops beyond `cap`.
    pub async fn count(&self, _filter: &CallFilter, _cap: u64) -> Result<Count, Error> {
        Err(Error::Unsupported)
    }
}
