//! Following the feed: each change of a filter once, in order of commit, from any position on.
//!
//! A [`Follower`] is a filter and a position, and nothing else. Near the head it reads `recent`; behind that it reads the
//! database, in its turn: a few followers at a time, so that a thousand who come back at once hold up nobody. When it has
//! everything, it sleeps. What is committed is compared with the filters of those asleep by one task (`wake`), which
//! moves their positions past what is not meant and wakes only those for whom there is something.

use std::sync::Arc;
use std::time::Duration;

use mcptap_model::CallFilter;

use crate::recent::Sight;
use crate::sessions::{client_of_visit, names_visits};
use crate::wake::Bed;
use crate::{Asker, Error, FeedChanges, Operation, Store, scan};

/// How often a read is tried. A database that does not answer for half a minute is no reason to end a feed.
const TRIES: u32 = 30;

/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_secs(1);

/// The number of a change, in order of commit. Zero is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

/// Follows the feed. Dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    filter: CallFilter,
    position: Seq,
    /// What was committed when it began: history ends there.
    goal: Seq,
    /// Whether it has been said that history is done.
    live: bool,
    /// What tells in memory which calls are meant; `None`: only the database does.
    sight: Option<Sight>,
    bed: Arc<Bed>,
}

impl Store {
    /// Follows the changes of the filter after a position, or from now on. A position ahead of the database was given out
    /// by another, or by this one before it was put back to an earlier state: [`Error::Ahead`]. Of what was forgotten
    /// since the position, nothing comes.
    pub async fn follow(&self, filter: CallFilter, after: Option<Seq>) -> Result<Follower, Error> {
        let head = scan::head(self.inner.database.read()).await?;
        let position = after.unwrap_or(head);
        if position > head {
            return Err(Error::Ahead);
        }
        let sight = self.sight(&filter);
        let known = match sight {
            Some(_) => filter.clone(),
            None => widened(&filter),
        };
        Ok(Follower {
            bed: self
                .inner
                .beds
                .make(known, sight.unwrap_or(Sight::Rows), position),
            store: self.clone(),
            filter,
            position,
            goal: head,
            live: false,
            sight,
        })
    }

    /// What tells in memory which calls a follower's filter means. Its searches are looked for in new calls from now on.
    fn sight(&self, filter: &CallFilter) -> Option<Sight> {
        if names_visits(filter) {
            return None;
        }
        if !filter.needs_text() {
            return Some(Sight::Rows);
        }
        let registered = self.inner.searches.register(filter, &self.inner.recent);
        registered.then_some(Sight::Texts)
    }
}

impl Follower {
    /// The next changes, at most `limit` (clamped to 1..=500). While there is history, it comes at once; the first
    /// answer with `caught_up` ends it, also when it has no changes. After that each answer waits for changes. `None`
    /// when the store was closed and all was said.
    ///
    /// A future that is dropped loses nothing.
    pub async fn next(&mut self, limit: usize) -> Result<Option<FeedChanges>, Error> {
        loop {
            let part = self.read(limit).await?;
            self.position = part.upto;
            self.bed.stand(part.upto);
            let done = part.caught_up && part.upto >= self.goal;
            if !part.items.is_empty() || (done && !self.live) {
                self.live |= done;
                self.store.inner.counters.delivered(part.items.len());
                return Ok(Some(FeedChanges {
                    caught_up: done,
                    ..part
                }));
            }
            if done && !self.sleep().await {
                return Ok(None);
            }
        }
    }

    async fn read(&self, limit: usize) -> Result<FeedChanges, Error> {
        let inner = &self.store.inner;
        if let Some(sight) = self.sight {
            let limit = limit.clamp(1, crate::changes::MOST);
            let oldest = inner.options.oldest_kept();
            let range = (self.position, self.goal);
            if let Some(read) = inner
                .recent
                .look()
                .read(&self.filter, range, limit, oldest, sight)
            {
                return Ok(read);
            }
        }
        let mut tries = 1;
        loop {
            let turn = inner.catching_up.acquire().await;
            inner.counters.caught_up();
            let operation = Operation::new(Asker::Feed, inner.options.read_timeout);
            let read = operation
                .run(self.store.changes(&self.filter, self.position, limit))
                .await;
            drop(turn);
            match read {
                Err(error @ (Error::Database(_) | Error::Internal(_) | Error::Busy | Error::Memory(_)))
                    if tries < TRIES =>
                {
                    tracing::warn!(%error, "a feed could not be read; it is tried again");
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                read => return read,
            }
        }
    }

    /// Until there is something to read; false when there will never be.
    async fn sleep(&mut self) -> bool {
        self.bed.lie_down(self.position);
        // From here on it is woken. What came before must be looked for.
        self.look_ahead();
        tokio::select! {
            biased;
            () = self.bed.woken() => {}
            // What was written last is to be heard too.
            () = self.store.inner.written.cancelled() => {
                if self.sight == Some(Sight::Texts) {
                    // The searcher ends with `stop`: then nothing more becomes known.
                    let all_searched = self.store.inner.recent.all_searched();
                    self.store.inner.stop.run_until_cancelled(all_searched).await;
                }
                self.look_ahead();
            }
        }
        let (more, position) = self.bed.stand_up();
        self.position = position.max(self.position);
        more
    }

    fn look_ahead(&self) {
        let inner = &self.store.inner;
        let position = self.bed.position();
        self.bed
            .heed(&inner.recent.look(), position, inner.options.oldest_kept());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let inner = &self.store.inner;
        inner.beds.remove(&self.bed);
        if self.sight == Some(Sight::Texts) {
            inner.searches.unregister(&self.filter, &inner.recent);
        }
    }
}

/// A filter that memory can decide, and that means every call that the filter means: without what stands in texts, and
/// with the client of a visit in place of the visit.
fn widened(filter: &CallFilter) -> CallFilter {
    let settled = |filter: &CallFilter| !filter.needs_text() && !names_visits(filter);
    CallFilter {
        search: None,
        session_id: filter
            .session_id
            .as_deref()
            .map(|id| client_of_visit(id).unwrap_or_else(|| id.to_owned())),
        not: filter.not.clone().filter(|not| settled(not)),
        or: filter.or.iter().map(widened).collect(),
        ..filter.clone()
    }
}
