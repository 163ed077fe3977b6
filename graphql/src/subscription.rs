//! The subscription root: wait for the feed, read from where the subscriber stands, hand it over, move on.
//!
//! History and live are one path. Nothing is kept for a subscriber but its cursor and the batch it is being handed, so
//! a slow one costs nothing and misses nothing: it reads from the store, at its own pace.

use async_graphql::{Context, Error, Subscription};
use async_stream::try_stream;
use futures_util::{Stream, TryStreamExt};
use mcptap_model::CallFilter;
use mcptap_store::{Change, ChangeKind, FeedChanges, Seq, Store, Stored, abandonable};

use crate::connection::{edges, size};
use crate::cost;
use crate::cursor::Cursor;
use crate::error::from_store;
use crate::input::{CallFilterInput, filter};
use crate::loaders::store;
use crate::resume::Place;
use crate::types::{Call, CallFeedEvent, CallsAdded, CallsUpdated, CaughtUp};

/// How many calls an event has at most, when nobody says.
const BATCH_SIZE: i32 = 100;

/// What can be followed live.
#[derive(Debug, Default)]
pub struct Subscription;

/// What can be followed live.
#[Subscription]
impl Subscription {
    /// First every call stored after the cursor, oldest first, then each new one as it is committed: each exactly
    /// once, with no gap where history ends, however long the subscriber was away (as far as calls are still stored).
    /// A call that is completed later, or that comes to match the filter only then, arrives as `CallsUpdated`.
    ///
    /// To resume after a lost connection, subscribe again with the `cursor` of the last event. To go on from a page,
    /// take its `liveCursor`. A slow subscriber loses nothing: its next event is read when it has taken the last.
    #[graphql(complexity = "cost::list(batch_size, None, child_complexity)")]
    async fn calls(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which calls. Without it, all.")] filter: Option<CallFilterInput>,
        #[graphql(
            desc = "Where to begin: the `liveCursor` of a page, or the `cursor` of an event. Without it, from now \
                          on."
        )]
        after: Option<String>,
        #[graphql(desc = "How many calls an event may have, from 1 to 500.", default = 100)]
        batch_size: Option<i32>,
    ) -> Result<impl Stream<Item = Result<CallFeedEvent, Error>>, Error> {
        let store = store(ctx)?.clone();
        let filter = self::filter(filter)?;
        let limit = size("batchSize", batch_size)?.unwrap_or(BATCH_SIZE) as usize;
        let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
        let after = match (place.resume(), after) {
            (Some(text), _) => Seq::decode("Last-Event-ID", &text)?,
            (None, Some(text)) => Seq::decode("after", &text)?,
            (None, None) => store.head(),
        };
        let events = follow(store, filter, after, limit);
        Ok(events.inspect_ok(move |event| place.reach(event.cursor())))
    }
}

/// Everything after `cursor`, for as long as the store is open.
fn follow(
    store: Store,
    filter: CallFilter,
    mut cursor: Seq,
    limit: usize,
) -> impl Stream<Item = Result<CallFeedEvent, Error>> {
    try_stream! {
        // Made before the first read: what is committed after that read wakes it.
        let mut feed = store.feed();
        let mut history = true;
        loop {
            let FeedChanges { items, upto, caught_up } =
                abandonable(store.changes(&filter, cursor, limit)).await.map_err(from_store)?;
            for event in events(items, upto) {
                yield event;
            }
            cursor = upto;
            if caught_up && history {
                history = false;
                yield CaughtUp { cursor: cursor.encode() }.into();
            }
            if caught_up && feed.changed().await.is_err() {
                break;
            }
        }
    }
}

/// Neighbours of a kind become one event. The last event's cursor also covers what was looked at in vain.
fn events(changes: Vec<Change>, upto: Seq) -> Vec<CallFeedEvent> {
    let mut runs: Vec<(ChangeKind, Seq, Vec<Stored>)> = Vec::new();
    for Change { seq, kind, stored } in changes {
        match runs.last_mut() {
            Some((last, end, run)) if *last == kind => {
                *end = seq;
                run.push(stored);
            }
            _ => runs.push((kind, seq, vec![stored])),
        }
    }
    if let Some((_, end, _)) = runs.last_mut() {
        *end = upto;
    }
    runs.into_iter()
        .map(|(kind, end, run)| event(kind, run, end))
        .collect()
}

fn event(kind: ChangeKind, calls: Vec<Stored>, end: Seq) -> CallFeedEvent {
    let (edges, cursor) = (edges(calls, Call::edge()), end.encode());
    match kind {
        ChangeKind::Added => CallsAdded { edges, cursor }.into(),
        ChangeKind::Updated => CallsUpdated { edges, cursor }.into(),
    }
}
