//! The subscription root: follow the store's feed from where the subscriber stands, and hand over what comes.
//!
//! History and live are one path. Nothing is kept for a subscriber but its position and the calls it is being handed,
//! so a slow one costs nothing and misses nothing: it reads on when it has taken the last event.

use async_graphql::{Context, Error, Subscription};
use async_stream::try_stream;
use futures_util::{Stream, TryStreamExt};
use mcptap_store::{Change, ChangeKind, FeedChanges, Follower, Seq, Store, Stored};

use crate::access::asked;
use crate::connection::{edges, size};
use crate::cost;
use crate::cursor::Live;
use crate::error::{bad_input, from_store};
use crate::input::CallFilterInput;
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
        let filter = asked(ctx, filter)?;
        let limit = size("batchSize", batch_size)?.unwrap_or(BATCH_SIZE) as usize;
        let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
        let after = match (place.resume(), after) {
            (Some(text), _) => Some(Live::seq(&store, "Last-Event-ID", &text)?),
            (None, Some(text)) => Some(Live::seq(&store, "after", &text)?),
            (None, None) => None,
        };
        let follower = store.follow(filter, after).await.map_err(cannot_follow)?;
        let events = follow(store, follower, limit);
        Ok(events.inspect_ok(move |event| place.reach(event.cursor())))
    }
}

/// Everything that the follower gets, for as long as the store is open.
fn follow(
    store: Store,
    mut follower: Follower,
    limit: usize,
) -> impl Stream<Item = Result<CallFeedEvent, Error>> {
    try_stream! {
        let mut history = true;
        while let Some(FeedChanges { items, upto, caught_up }) = follower.next(limit).await.map_err(cannot_follow)? {
            for event in events(&store, items, upto) {
                yield event;
            }
            if caught_up && history {
                history = false;
                yield CaughtUp { cursor: Live::cursor(&store, upto) }.into();
            }
        }
    }
}

fn cannot_follow(error: mcptap_store::Error) -> Error {
    match error {
        mcptap_store::Error::Ahead => bad_input(
            "after: this cursor is ahead of the database, which was put back to an earlier state since; take the \
             liveCursor of a page",
        ),
        mcptap_store::Error::Rewound => bad_input(
            "after: the database was put back to an earlier state, or another one took its place, and calls that this feed \
             gave may not be in it; subscribe again with the liveCursor of a page",
        ),
        error => from_store(error),
    }
}

/// Neighbours of a kind become one event. The last event's cursor also covers what was looked at in vain.
fn events(store: &Store, changes: Vec<Change>, upto: Seq) -> Vec<CallFeedEvent> {
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
        .map(|(kind, end, run)| event(kind, run, Live::cursor(store, end)))
        .collect()
}

fn event(kind: ChangeKind, calls: Vec<Stored>, cursor: String) -> CallFeedEvent {
    let edges = edges(calls, Call::edge);
    match kind {
        ChangeKind::Added => CallsAdded { edges, cursor }.into(),
        ChangeKind::Updated => CallsUpdated { edges, cursor }.into(),
    }
}
