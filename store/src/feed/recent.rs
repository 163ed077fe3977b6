//! The newest changes, kept at hand: whoever follows the feed closely reads them here instead of the database.
//!
//! A window onto the feed, never a source of its own: for every position inside it, reading here gives what reading
//! the database would give ([`Store::changes`](crate::Store::changes)). It is bounded in changes and in bytes; whoever
//! is behind it reads the database. So nothing is ever kept for a slow reader, and dropping all of it loses nothing.

mod excerpt;
mod visits;
mod weight;
mod window;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mcptap_model::search::Found;
use tokio::sync::Notify;

pub(crate) use self::excerpt::{Comparing, Excerpt, Reader};
pub(crate) use self::visits::{Extent, Lasting};
pub(crate) use self::weight::{size_of_fields, weight};
use self::window::Window;
use crate::{Change, MemoryBudget, Seq, Stored};

/// How many bytes they have at most, about: so many, and no more than this part of the budget.
const BYTES: usize = 16 << 20;
const PART: usize = 16;

/// The changes that one commit, or several together, made to the feed.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    /// The number before the first.
    pub(crate) after: Seq,
    /// The last number.
    pub(crate) upto: Seq,
    /// The changes between, in order. Where numbers are missing among them, `whole` says whether that is all.
    pub(crate) changes: Vec<Change>,
    /// Calls that are there no more, by row.
    pub(crate) removed: Vec<i64>,
    /// Calls that got log lines or lost some, by row.
    pub(crate) relined: Vec<i64>,
    /// Clients (server, key) of which a stored call moved in time or went to another session. `None`: that is not known.
    pub(crate) moved: Option<Vec<(String, String)>>,
    /// Whether nothing else happened to calls. If something may have (they may have been deleted), what was kept before is
    /// dropped.
    pub(crate) whole: bool,
}

/// The part of a call that memory must know to decide whether a filter means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// The calls as they are in the window.
    Rows,
    /// The calls and the matches in their texts.
    Texts,
}

/// Whether changes lie after a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Nothing of the filter up to here.
    Nothing(Seq),
    /// The first change of the filter has this number.
    First(Seq),
    /// The position is behind the window, or memory does not know what is meant.
    Unknown,
}

/// The window. Readers and the one who adds share a lock, each for microseconds: readers copy what they compare.
#[derive(Debug)]
pub(crate) struct Recent {
    window: RwLock<Window>,
    /// Somebody is to look whether followers must be woken.
    pub(crate) moved: Notify,
    /// Somebody is to read what was committed elsewhere.
    pub(crate) missing: Notify,
    /// Somebody is to search calls.
    pub(crate) to_search: Notify,
    /// Fewer calls are still to be searched.
    fewer_to_search: Notify,
}

/// A call that was not searched as it is.
#[derive(Debug)]
pub(crate) struct Unsearched {
    pub(crate) stored: Stored,
    seq: i64,
    /// Tells whether it was listed once more meanwhile.
    version: u64,
}

impl Recent {
    pub(crate) fn new(head: Seq, memory: &MemoryBudget) -> Self {
        let memory = memory.share(BYTES.min(memory.limit() / PART));
        Self {
            window: RwLock::new(Window::new(head, memory.hold_nothing())),
            moved: Notify::new(),
            missing: Notify::new(),
            to_search: Notify::new(),
            fewer_to_search: Notify::new(),
        }
    }

    /// From now on calls are searched.
    pub(crate) fn begin_searching(&self) {
        self.write().begin_searching();
    }

    /// Calls are searched no more.
    pub(crate) fn end_searching(&self) {
        let mut window = self.write();
        let dropped = window.end_searching();
        drop(window);
        drop(dropped);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// The first calls that are still to be searched.
    pub(crate) fn unsearched(&self, limit: usize) -> Vec<Unsearched> {
        self.look().unsearched(limit)
    }

    /// Takes what was found in calls; nothing where they could not be searched.
    pub(crate) fn searched<'a>(&self, calls: impl Iterator<Item = (&'a Unsearched, Option<Arc<Found>>)>) {
        let mut window = self.write();
        let dropped = window.take_found(calls);
        drop(window);
        drop(dropped);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// Keeps up, from now on, from when to when these visits last; false when there are too many. Each needs an
    /// [`unwatch`](Self::unwatch).
    pub(crate) fn watch(&self, ids: &[String]) -> bool {
        ids.is_empty() || self.write().watch(ids)
    }

    /// One follower less watches these visits.
    pub(crate) fn unwatch(&self, ids: &[String]) {
        if !ids.is_empty() {
            self.write().unwatch(ids);
        }
    }

    /// Takes from when to when visits last, as it was read of the state after change `head`.
    pub(crate) fn learn(&self, head: Seq, extents: Vec<(String, Extent)>) {
        self.write().learn(head, extents);
        self.moved.notify_one();
    }

    /// Waits until no call is left to be searched.
    pub(crate) async fn all_searched(&self) {
        loop {
            let mut fewer = std::pin::pin!(self.fewer_to_search.notified());
            // Before looking, so that no notification in between is missed.
            fewer.as_mut().enable();
            if self.look().all_searched() {
                return;
            }
            fewer.await;
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Window> {
        self.window.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was committed. A stretch that does not follow on what is here is read from the database.
    pub(crate) fn add(&self, stretch: Stretch) {
        let mut window = self.write();
        if stretch.upto <= window.head() {
            return;
        }
        if stretch.after != window.head() {
            drop(window);
            self.missing.notify_one();
            return;
        }
        let dropped = window.add(stretch);
        let to_search = !window.all_searched();
        drop(window);
        if to_search {
            self.to_search.notify_one();
        }
        // Freed when nobody waits for it.
        drop(dropped);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// Forgets everything and goes on from `head`: calls were deleted up to there, or so much happened that it is not worth
    /// reading. Ignores commits up to there that are added only after this.
    pub(crate) fn skip_to(&self, head: Seq) {
        let mut window = self.write();
        if head <= window.head() {
            return;
        }
        let dropped = window.skip_to(head);
        drop(window);
        drop(dropped);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// Forgets everything and goes on from `head`, wherever that is: the database is another one.
    pub(crate) fn begin_again(&self, head: Seq) {
        let mut window = self.write();
        let dropped = window.skip_to(head);
        drop(window);
        drop(dropped);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// The last number that is known here.
    pub(crate) fn head(&self) -> Seq {
        self.look().head()
    }

    /// How many changes are kept, and about how many bytes they have.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.look().size()
    }

    /// A copy of what comes first after a position, with what is known of these visits; `None` when the position is behind
    /// the window.
    pub(crate) fn excerpt(&self, after: Seq, visits: &[String]) -> Option<Excerpt> {
        self.look().excerpt(after, visits)
    }

    /// Those of the watched visits whose extent must be read.
    pub(crate) fn unknown_visits(&self, ids: &[String]) -> Vec<String> {
        self.look().unknown_visits(ids)
    }

    fn look(&self) -> RwLockReadGuard<'_, Window> {
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }
}
