//! `CallFeedEvent`: what the subscription delivers.

use async_graphql::{SimpleObject, Union};

use super::Call;
use crate::connection::Edge;

/// What happens in the live feed.
#[derive(Union)]
pub(crate) enum CallFeedEvent {
    /// Calls that are new to the feed.
    Added(CallsAdded),
    /// Calls that were completed.
    Updated(CallsUpdated),
    /// The end of history.
    CaughtUp(CaughtUp),
}

impl CallFeedEvent {
    /// Where the feed goes on after it.
    pub(crate) fn cursor(&self) -> &str {
        match self {
            Self::Added(event) => &event.cursor,
            Self::Updated(event) => &event.cursor,
            Self::CaughtUp(event) => &event.cursor,
        }
    }
}

/// Calls that were stored, in the order in which they were. At most `batchSize` of them.
#[derive(SimpleObject)]
pub(crate) struct CallsAdded {
    /// The calls. Their cursors are those of `Query.calls`.
    pub(crate) edges: Vec<Edge<Call>>,
    /// To go on after this event, however much later: hand it to `Subscription.calls(after:)`.
    pub(crate) cursor: String,
}

/// Calls that were stored earlier and have been completed since, as they are now. Also a call that only now matches
/// the filter arrives so. At most `batchSize` of them.
#[derive(SimpleObject)]
pub(crate) struct CallsUpdated {
    /// The calls, each with the id it always had. Their cursors are those of `Query.calls`.
    pub(crate) edges: Vec<Edge<Call>>,
    /// To go on after this event, however much later: hand it to `Subscription.calls(after:)`.
    pub(crate) cursor: String,
}

/// History is done: everything stored when the subscription began has been delivered, and what follows is live. Comes
/// exactly once in each subscription, also when there was nothing to deliver.
#[derive(SimpleObject)]
pub(crate) struct CaughtUp {
    /// To go on after this event, however much later: hand it to `Subscription.calls(after:)`.
    pub(crate) cursor: String,
}
