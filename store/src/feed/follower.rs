//! Following the feed: each change of a filter once, in order of commit, from any position on.
//!
//! A [`Follower`] is a filter and a position, and nothing else. Near the head it reads `recent`; behind that it reads the
//! database, in its turn: a few followers at a time, so that a thousand who come back at once hold up nobody. When it has
//! everything, it waits. One task (`wake`) compares what is committed with the filters of waiting followers, moves their
//! positions past what is not meant and wakes only those for whom there is something.

use std::sync::Arc;
use std::time::Duration;

use mcptap_model::{CallFilter, Matcher};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::feed::changes::MOST;
use crate::feed::recent::{Reader, Visibility, weight};
use crate::feed::wakeups::{Waiter, check};
use crate::open::Inner;
use crate::read::scan;
use crate::read::sessions::{VisitName, visits_of};
use crate::{Asker, Error, FeedChanges, Operation, Reservation, Store};

/// How often a read is tried. A database that does not answer for half a minute is no reason to end a feed.
const TRIES: u32 = 30;

/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_secs(1);

/// About how many bytes of changes a follower is given at once, unless the first alone has more. They are held for as long as
/// it takes them.
const GIVEN: usize = 512 << 10;

/// The number of a change, in order of commit. Zero is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

/// Follows the feed. Dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    filter: CallFilter,
    matcher: Arc<Matcher>,
    position: Seq,
    /// The head when it began: history ends there.
    goal: Seq,
    /// Whether it has been said that history is done.
    live: bool,
    /// The part of a call that memory must know to decide whether it is meant; `None`: only the database can.
    visibility: Option<Visibility>,
    /// The visits that the filter names, which are watched.
    visits: Vec<String>,
    waiter: Arc<Waiter>,
    /// How many changes of late were about [`GIVEN`] bytes.
    fitting: usize,
    /// The memory of the changes that were given last.
    held: Reservation,
    /// Changes when the database is not the one any more that the position is of.
    generation: watch::Receiver<u64>,
}

impl Store {
    /// Follows the changes of the filter after a position, or from now on. A position ahead of the database was given out
    /// by another, or by this one before it was put back to an earlier state: [`Error::Ahead`]. Of what was forgotten
    /// since the position, nothing comes. [`Error::Away`] while the database does not answer.
    pub async fn follow(&self, filter: CallFilter, after: Option<Seq>) -> Result<Follower, Error> {
        if self.inner.reach.is_away() {
            return Err(Error::Away);
        }
        let generation = self.inner.database.lineage().subscribe();
        let head = scan::head(self.inner.database.read()).await?;
        let position = after.unwrap_or(head);
        if position > head {
            return Err(Error::Ahead);
        }
        let visits = visits_of(&filter);
        let visibility = self.visibility(&filter, &visits);
        let matcher = Arc::new(filter.compile());
        let known = match visibility {
            Some(_) => Arc::clone(&matcher),
            None => Arc::new(widened(&filter).compile()),
        };
        let (watched, seen) = match visibility {
            Some(visibility) => (visits.clone(), visibility),
            None => (Vec::new(), Visibility::Rows),
        };
        Ok(Follower {
            waiter: self.inner.waiters.make(known, watched, seen, position),
            store: self.clone(),
            filter,
            matcher,
            position,
            goal: head,
            live: false,
            visibility,
            visits,
            fitting: MOST,
            held: self.memory().hold_nothing(),
            generation,
        })
    }

    /// The part of a call that memory must know to decide whether a follower's filter means it. From now on its searches
    /// are looked for in new calls, and its visits are watched.
    fn visibility(&self, filter: &CallFilter, visits: &[String]) -> Option<Visibility> {
        let Inner { recent, searches, .. } = &*self.inner;
        if !recent.watch(visits) {
            return None;
        }
        if !filter.needs_text() {
            return Some(Visibility::Rows);
        }
        let registered = searches.register(filter, recent);
        if !registered {
            recent.unwatch(visits);
        }
        registered.then_some(Visibility::Texts)
    }
}

impl Follower {
    /// The next changes, at most `limit` (clamped to 1..=500), fewer where they are large. While there is history, it comes
    /// at once; the first answer with `caught_up` ends it, also when it has no changes. After that each answer waits for
    /// changes. `None` when the store was closed and all was said.
    ///
    /// A future that is dropped loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Rewound`] when the database was put back to an earlier state, or another one took its place. [`Error::Away`]
    /// when it does not answer: the feed goes on for whoever follows it again from the last position, once it does.
    pub async fn next(&mut self, limit: usize) -> Result<Option<FeedChanges>, Error> {
        // The caller has taken what it was given before.
        self.held.shrink_to(0);
        loop {
            let part = self.read_fitting(limit).await?;
            if self.is_cut_off() {
                return Err(Error::Rewound);
            }
            self.position = part.upto;
            self.waiter.move_to(part.upto);
            let done = part.caught_up && part.upto >= self.goal;
            if !part.items.is_empty() || (done && !self.live) {
                self.live |= done;
                self.store.inner.counters.delivered(part.items.len());
                return Ok(Some(FeedChanges {
                    caught_up: done,
                    ..part
                }));
            }
            if !done {
                tokio::task::yield_now().await;
            } else if !self.wait().await? {
                return Ok(None);
            }
        }
    }

    /// Reads as much as is given at once, and reserves its memory.
    async fn read_fitting(&mut self, limit: usize) -> Result<FeedChanges, Error> {
        let mut tries = 1;
        loop {
            let mut part = self.read(limit.min(self.fitting)).await?;
            let bytes = fit(&mut part);
            self.fitting = match part.caught_up {
                true => MOST,
                false if bytes > GIVEN / 2 => part.items.len().max(1),
                false => (self.fitting * 2).min(MOST),
            };
            match self.held.resize(bytes) {
                Ok(()) => return Ok(part),
                Err(full) if full.is_final() || tries >= TRIES => return Err(full.into()),
                // Nothing is lost: it is read again from the same position.
                Err(_) => tries += 1,
            }
            drop(part);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn read(&self, limit: usize) -> Result<FeedChanges, Error> {
        tokio::select! {
            biased;
            read = self.read_again(limit) => read,
            () = self.store.inner.reach.away() => Err(Error::Away),
        }
    }

    async fn read_again(&self, limit: usize) -> Result<FeedChanges, Error> {
        if let Some(read) = self.read_window(limit).await {
            return Ok(read);
        }
        let inner = &self.store.inner;
        let mut tries = 1;
        loop {
            let turn = inner.catching_up.acquire().await;
            // Another follower of the same visit may have learnt meanwhile how long it lasts.
            if let Some(read) = self.read_window(limit).await {
                return Ok(read);
            }
            inner.counters.caught_up();
            let limit_of_time = inner.options.read_timeout;
            let operation = Operation::new(Asker::Feed, limit_of_time);
            // A connection that is not answered any more would keep this turn, and the places of all others who catch up.
            let read = timeout(limit_of_time, operation.run(self.read_database(limit))).await;
            let read = read.unwrap_or(Err(Error::TimedOut));
            drop(turn);
            match read {
                Err(error) if tries < TRIES && passes(&error) => {
                    tracing::warn!(%error, "a feed could not be read; it is tried again");
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                read => return read,
            }
        }
    }

    /// `None` where memory cannot decide.
    async fn read_window(&self, limit: usize) -> Option<FeedChanges> {
        let inner = &self.store.inner;
        let reader = Reader {
            matcher: &self.matcher,
            after: self.position,
            oldest: inner.options.oldest_kept(),
            visibility: self.visibility?,
        };
        let excerpt = inner.recent.excerpt(self.position, &self.visits)?;
        // Commits of other processes from before the follower began may not be there yet.
        if excerpt.known(reader.visibility) < self.goal {
            return None;
        }
        excerpt.read(reader, limit.clamp(1, MOST)).await
    }

    async fn read_database(&self, limit: usize) -> Result<FeedChanges, Error> {
        if self.visibility.is_some() {
            self.store.learn_visits(&self.visits).await?;
            if let Some(read) = self.read_window(limit).await {
                return Ok(read);
            }
        }
        self.store.changes(&self.filter, self.position, limit).await
    }

    /// Until there is something to read; false when there will never be. Fails when that cannot be known.
    async fn wait(&mut self) -> Result<bool, Error> {
        self.waiter.park(self.position);
        // From here on it is woken for new changes. It looks for earlier ones itself.
        self.look_ahead().await;
        let mut generation = self.generation.clone();
        tokio::select! {
            biased;
            () = self.waiter.woken() => {}
            // The next read tells of it.
            _ = generation.changed() => {}
            () = self.store.inner.reach.away() => return Err(Error::Away),
            // The last writes are to be heard too.
            () = self.store.inner.written.cancelled() => {
                if self.visibility == Some(Visibility::Texts) {
                    // The searcher ends with `stop`: then nothing more becomes known.
                    let all_searched = self.store.inner.recent.all_searched();
                    self.store.inner.stop.run_until_cancelled(all_searched).await;
                }
                self.look_ahead().await;
            }
        }
        let (more, position) = self.waiter.unpark();
        self.position = position.max(self.position);
        Ok(more || self.is_cut_off())
    }

    /// Whether the database is not the one any more that the position is of.
    fn is_cut_off(&self) -> bool {
        self.generation.has_changed().unwrap_or(false)
    }

    async fn look_ahead(&self) {
        let inner = &self.store.inner;
        let oldest = inner.options.oldest_kept();
        check(std::slice::from_ref(&self.waiter), &inner.recent, oldest).await;
    }
}

/// Leaves as many changes as are given at once. Returns about how many bytes they have.
fn fit(part: &mut FeedChanges) -> usize {
    let mut bytes = 0;
    let fitting = part.items.iter().enumerate().take_while(|(number, change)| {
        let more = weight(&change.stored.call);
        let fits = *number == 0 || bytes + more <= GIVEN;
        if fits {
            bytes += more;
        }
        fits
    });
    let fitting = fitting.count();
    if fitting < part.items.len() {
        part.items.truncate(fitting);
        part.caught_up = false;
        part.upto = part.items.last().map_or(part.upto, |last| last.seq);
    }
    bytes
}

/// Whether what keeps a feed from being read may pass by itself.
fn passes(error: &Error) -> bool {
    matches!(
        error,
        Error::Database(_) | Error::Internal(_) | Error::Busy | Error::Memory(_) | Error::TimedOut
    )
}

impl Drop for Follower {
    fn drop(&mut self) {
        let inner = &self.store.inner;
        inner.waiters.remove(&self.waiter);
        if self.visibility == Some(Visibility::Texts) {
            inner.searches.unregister(&self.filter, &inner.recent);
        }
        if self.visibility.is_some() {
            inner.recent.unwatch(&self.visits);
        }
    }
}

/// A filter that memory can decide, and that means every call that the filter means: without what stands in texts, and
/// with the client of a visit in place of the visit.
fn widened(filter: &CallFilter) -> CallFilter {
    let settled = |filter: &CallFilter| !filter.needs_text() && visits_of(filter).is_empty();
    CallFilter {
        search: None,
        session_id: filter
            .session_id
            .as_deref()
            .map(|id| VisitName::of(id).map_or_else(|| id.to_owned(), |visit| visit.session_of_client)),
        not: filter.not.clone().filter(|not| settled(not)),
        or: filter.or.iter().map(widened).collect(),
        ..filter.clone()
    }
}
