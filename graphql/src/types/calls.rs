//! `CallConnection`: a page of calls, how many there are, and where the live feed goes on.

use std::sync::Arc;

use async_graphql::{Context, Error, Object};
use mcptap_model::CallFilter;
use mcptap_store::{CallPage, FeedStart};

use super::{Call, Count};
use crate::connection::{Connection, Edge, PageInfo};
use crate::cost::{self, Allowance};
use crate::cursor::Live;
use crate::error::from_store;
use crate::loaders::store;

/// How far calls are counted.
const COUNT_CAP: u64 = 10_000;

/// A page of calls.
pub(crate) struct CallConnection {
    page: Connection<Call>,
    live: FeedStart,
    filter: Arc<CallFilter>,
}

impl CallConnection {
    pub(crate) fn new(ctx: &Context<'_>, page: CallPage, filter: Arc<CallFilter>) -> Result<Self, Error> {
        // Several pages of one answer are held together.
        Allowance::of(ctx)?.read(page.items.iter().map(|stored| bytes(&stored.call)).sum())?;
        let around = (page.has_previous, page.has_next);
        Ok(Self {
            page: Connection::new(page.items, around, Call::edge),
            live: page.live,
            filter,
        })
    }
}

/// About how many bytes a call has without its origin, which others share. What may be long is measured; of the rest, names
/// are short as a rule.
fn bytes(call: &mcptap_model::Call) -> usize {
    let long = [
        &call.resource_uri,
        &call.error_message,
        &call.tool,
        &call.prompt,
        &call.user_agent,
    ];
    size_of::<mcptap_model::Call>() + long.into_iter().flatten().map(String::len).sum::<usize>()
}

/// A page of calls.
#[Object]
impl CallConnection {
    /// The calls of this page, each with its cursor.
    async fn edges(&self) -> &[Edge<Call>] {
        &self.page.edges
    }

    /// The calls of this page alone, for when their cursors are of no interest.
    async fn nodes(&self) -> Vec<&Call> {
        self.page.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this page lies in the list.
    async fn page_info(&self) -> &PageInfo {
        &self.page.page_info
    }

    /// How many calls the filter means, on all pages. Computed only when asked for, and only up to 10,000: beyond
    /// that it is `AT_LEAST`.
    #[graphql(complexity = "cost::BODY + child_complexity")]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<Count, Error> {
        store(ctx)?
            .count(&self.filter, COUNT_CAP)
            .await
            .map(Count)
            .map_err(from_store)
    }

    /// Where the live feed goes on from exactly this page: hand it to `Subscription.calls(after:)` with the same
    /// filter, and no call is missed or shown twice between the two. Taken from an older page it replays everything
    /// newer than that page, and where much is newer some that is not; from the oldest page, or when there are no calls,
    /// it starts at the beginning.
    async fn live_cursor(&self, ctx: &Context<'_>) -> Result<String, Error> {
        let store = store(ctx)?;
        let start = store.feed_start(self.live).await.map_err(from_store)?;
        Ok(Live::cursor(store, start))
    }
}
