//! The newest changes, kept at hand: whoever follows the feed closely reads them here instead of the database.
//!
//! A window onto the feed, never a source of its own: for every position inside it, reading here gives what reading
//! the database would give ([`Store::changes`](crate::Store::changes)). It is bounded in changes and in bytes; whoever
//! is behind it reads the database. So nothing is ever kept for a slow reader, and dropping all of it loses nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mcptap_model::search::Found;
use mcptap_model::{Call, CallFilter, UnixNanos};
use serde_json::Value;
use tokio::sync::Notify;

use crate::{Change, ChangeKind, FeedChanges, MemoryBudget, Reservation, Seq, Stored};

/// How many changes are kept at most.
const CHANGES: usize = 16_384;

/// How many bytes they have at most, about: so many, and no more than this part of the budget.
const BYTES: usize = 16 << 20;
const PART: usize = 16;

/// How many changes one read looks at.
const STRETCH: usize = 1_000;

/// What one commit, or several together, did to the feed.
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
    /// Whether nothing else happened to calls. If something may have (they may have been deleted), what was kept before is
    /// dropped.
    pub(crate) whole: bool,
}

/// What must be looked at to tell which calls a filter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The calls as they stand in the window.
    Rows,
    /// What was found in their texts, too.
    Texts,
}

/// What lies after a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Nothing of the filter up to here, which is the head.
    Nothing(Seq),
    /// The first change of the filter has this number.
    First(Seq),
    /// The position is behind the window.
    Unknown,
}

/// The window. Readers and the one who adds share a lock, each for microseconds.
#[derive(Debug)]
pub(crate) struct Recent {
    window: RwLock<Window>,
    memory: MemoryBudget,
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

#[derive(Debug)]
pub(crate) struct Window {
    /// Everything after this is here.
    start: Seq,
    /// And up to this.
    head: Seq,
    changes: BTreeMap<i64, Change>,
    /// The number of the last completion of a row, if that is here.
    completed: HashMap<i64, i64>,
    bytes: usize,
    /// The bytes, taken from the budget.
    held: Reservation,
    /// Whether anybody follows with a search.
    searching: bool,
    /// Changes whose calls are still to be searched, by number.
    unsearched: BTreeMap<i64, u64>,
    /// Which searches occur in the calls that were searched, by row.
    found: HashMap<i64, Arc<Found>>,
    version: u64,
}

impl Recent {
    pub(crate) fn new(head: Seq, memory: &MemoryBudget) -> Self {
        let memory = memory.share(BYTES.min(memory.limit() / PART));
        Self {
            window: RwLock::new(Window::new(head, memory.hold_nothing())),
            memory,
            moved: Notify::new(),
            missing: Notify::new(),
            to_search: Notify::new(),
            fewer_to_search: Notify::new(),
        }
    }

    /// From now on calls are searched.
    pub(crate) fn begin_searching(&self) {
        self.write().searching = true;
    }

    /// Calls are searched no more.
    pub(crate) fn end_searching(&self) {
        let mut window = self.write();
        window.searching = false;
        window.unsearched.clear();
        window.found.clear();
        drop(window);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// The first calls that are still to be searched.
    pub(crate) fn unsearched(&self, limit: usize) -> Vec<Unsearched> {
        let window = self.look();
        let calls = window.unsearched.iter().filter_map(|(&seq, &version)| {
            Some(Unsearched {
                stored: window.changes.get(&seq)?.stored.clone(),
                seq,
                version,
            })
        });
        calls.take(limit).collect()
    }

    /// Takes what was found in calls; nothing where they could not be searched.
    pub(crate) fn searched<'a>(&self, calls: impl Iterator<Item = (&'a Unsearched, Option<Arc<Found>>)>) {
        let mut window = self.write();
        for (call, found) in calls {
            if window.unsearched.get(&call.seq) != Some(&call.version) {
                continue;
            }
            window.unsearched.remove(&call.seq);
            match found {
                Some(found) => drop(window.found.insert(call.stored.row, found)),
                None => drop(window.found.remove(&call.stored.row)),
            }
        }
        drop(window);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// Waits until no call is left to be searched.
    pub(crate) async fn all_searched(&self) {
        loop {
            let mut fewer = std::pin::pin!(self.fewer_to_search.notified());
            // Before looking, so that no notification in between is missed.
            fewer.as_mut().enable();
            if self.look().unsearched.is_empty() {
                return;
            }
            fewer.await;
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Window> {
        self.window.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was committed. What does not follow on what is here is left to be read from the database.
    pub(crate) fn add(&self, stretch: Stretch) {
        let mut window = self.write();
        if stretch.upto <= window.head {
            return;
        }
        if stretch.after != window.head {
            drop(window);
            self.missing.notify_one();
            return;
        }
        let dropped = window.add(stretch);
        let to_search = !window.unsearched.is_empty();
        drop(window);
        if to_search {
            self.to_search.notify_one();
        }
        // Freed when nobody waits for it.
        drop(dropped);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// Forgets everything and stands at `head`: calls were deleted up to there, or so much happened that it is not worth
    /// reading. What was committed before and is added only after this is ignored.
    pub(crate) fn skip_to(&self, head: Seq) {
        let mut fresh = Window::new(head, self.memory.hold_nothing());
        let mut window = self.write();
        if head <= window.head {
            return;
        }
        fresh.searching = window.searching;
        let dropped = std::mem::replace(&mut *window, fresh);
        drop(window);
        drop(dropped);
        self.fewer_to_search.notify_waiters();
        self.moved.notify_one();
    }

    /// The last number that is known here.
    pub(crate) fn head(&self) -> Seq {
        self.look().head
    }

    /// How many changes are kept, and about how many bytes they have.
    pub(crate) fn size(&self) -> (usize, usize) {
        let window = self.look();
        (window.changes.len(), window.bytes)
    }

    /// For several looks at the same moment. Whoever adds waits meanwhile.
    pub(crate) fn look(&self) -> RwLockReadGuard<'_, Window> {
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn new(head: Seq, held: Reservation) -> Self {
        Self {
            start: head,
            head,
            changes: BTreeMap::new(),
            completed: HashMap::new(),
            bytes: 0,
            held,
            searching: false,
            unsearched: BTreeMap::new(),
            found: HashMap::new(),
            version: 0,
        }
    }

    /// Gives what is no longer kept.
    fn add(&mut self, stretch: Stretch) -> Vec<Change> {
        let mut dropped = Vec::new();
        if !stretch.whole {
            dropped.extend(std::mem::take(&mut self.changes).into_values());
            self.completed.clear();
            self.unsearched.clear();
            self.found.clear();
            self.bytes = 0;
            self.start = stretch.after;
        }
        for row in stretch.removed {
            let completed = self.completed.get(&row).copied();
            dropped.extend(completed.and_then(|seq| self.take(seq)));
            dropped.extend(self.take(row));
        }
        for change in stretch.changes {
            let (seq, row) = (change.seq.0, change.stored.row);
            if change.kind == ChangeKind::Updated {
                // As in the database: a call has one last completion, and is everywhere as it is now.
                let earlier = self.completed.insert(row, seq);
                dropped.extend(earlier.and_then(|seq| self.take(seq)));
                if let Some(added) = self.changes.get_mut(&row) {
                    self.bytes =
                        self.bytes.saturating_sub(weight(&added.stored.call)) + weight(&change.stored.call);
                    added.stored = change.stored.clone();
                }
            }
            self.bytes += weight(&change.stored.call);
            self.changes.insert(seq, change);
            self.search_again(row);
        }
        for row in stretch.relined {
            self.search_again(row);
        }
        self.head = stretch.upto;
        // When the budget has no room, the oldest give way.
        while (self.changes.len() > CHANGES || self.held.resize(self.bytes).is_err())
            && let Some((&seq, _)) = self.changes.first_key_value()
        {
            self.start = Seq(seq);
            dropped.extend(self.take(seq));
        }
        dropped
    }

    /// The call's texts are not what was searched.
    fn search_again(&mut self, row: i64) {
        if !self.searching {
            return;
        }
        self.version += 1;
        let completed = self.completed.get(&row).copied();
        for seq in [Some(row), completed].into_iter().flatten() {
            if self.changes.contains_key(&seq) {
                self.unsearched.insert(seq, self.version);
            }
        }
    }

    /// Up to where all calls were searched.
    fn searched(&self) -> Seq {
        let first = self.unsearched.first_key_value();
        first.map_or(self.head, |(first, _)| Seq(first - 1))
    }

    fn take(&mut self, seq: i64) -> Option<Change> {
        let change = self.changes.remove(&seq)?;
        self.unsearched.remove(&seq);
        let row = change.stored.row;
        let others = [Some(row), self.completed.get(&row).copied()];
        if !others
            .into_iter()
            .flatten()
            .any(|seq| self.changes.contains_key(&seq))
        {
            self.found.remove(&row);
        }
        self.bytes = self.bytes.saturating_sub(weight(&change.stored.call));
        if self.completed.get(&change.stored.row) == Some(&seq) {
            self.completed.remove(&change.stored.row);
        }
        Some(change)
    }

    /// What a reader at `after` has not seen. A call that is ahead as a whole is not also ahead as completed.
    fn after(&self, after: Seq) -> impl Iterator<Item = &Change> {
        self.changes
            .range((Excluded(after.0), Unbounded))
            .map(|(_, change)| change)
            .filter(move |change| change.kind == ChangeKind::Added || change.stored.row <= after.0)
    }

    /// Whether a change is meant; `None` when that is not known here.
    fn means(&self, filter: &CallFilter, change: &Change, oldest: UnixNanos, sight: Sight) -> Option<bool> {
        let call = &change.stored.call;
        if call.started_at.min(call.received_at) < oldest {
            return Some(false);
        }
        match sight {
            Sight::Rows => Some(filter.matches(call, None)),
            Sight::Texts => {
                let found = self.found.get(&change.stored.row)?;
                found.knows(filter).then(|| filter.matches(call, Some(found)))
            }
        }
    }

    /// Up to where it is known what is meant.
    fn end(&self, sight: Sight) -> Seq {
        match sight {
            Sight::Rows => self.head,
            Sight::Texts => self.searched(),
        }
    }

    /// At most `limit` changes of the filter after a position; `None` when that is behind the window, or this does not
    /// tell what is meant. `goal` must be within what it tells. No call that began or
    /// arrived before `oldest` is served.
    pub(crate) fn read(
        &self,
        filter: &CallFilter,
        (after, goal): (Seq, Seq),
        limit: usize,
        oldest: UnixNanos,
        sight: Sight,
    ) -> Option<FeedChanges> {
        let end = self.end(sight);
        // What another process committed before the follower began may not be here yet.
        if after < self.start || end < goal {
            return None;
        }
        let mut items: Vec<Change> = Vec::new();
        for (looked, change) in self.after(after).enumerate() {
            if change.seq > end {
                break;
            }
            if looked == STRETCH {
                return Some(FeedChanges {
                    items,
                    upto: Seq(change.seq.0 - 1),
                    caught_up: false,
                });
            }
            if !self.means(filter, change, oldest, sight)? {
                continue;
            }
            if items.len() == limit {
                return Some(FeedChanges {
                    upto: items.last().map_or(after, |last| last.seq),
                    items,
                    caught_up: false,
                });
            }
            items.push(change.clone());
        }
        Some(FeedChanges {
            items,
            upto: end.max(after),
            caught_up: true,
        })
    }

    /// The first change of the filter after a position.
    pub(crate) fn ahead(&self, filter: &CallFilter, after: Seq, oldest: UnixNanos, sight: Sight) -> Ahead {
        if after < self.start {
            return Ahead::Unknown;
        }
        let end = self.end(sight);
        for change in self.after(after).take_while(|change| change.seq <= end) {
            match self.means(filter, change, oldest, sight) {
                Some(false) => {}
                Some(true) => return Ahead::First(change.seq),
                None => return Ahead::Unknown,
            }
        }
        Ahead::Nothing(end.max(after))
    }
}

/// About how many bytes a call has.
fn weight(call: &Call) -> usize {
    let texts = [
        &call.server,
        &call.tool,
        &call.prompt,
        &call.resource_uri,
        &call.error_type,
        &call.error_message,
        &call.session_id,
        &call.request_id,
        &call.protocol_version,
        &call.client_name,
        &call.client_version,
        &call.client_ip,
        &call.country,
        &call.authorization,
        &call.user_agent,
    ];
    let texts: usize = texts.into_iter().flatten().map(|text| text.capacity()).sum();
    let key = call.session.as_ref().map_or(0, |session| session.key.capacity());
    // As if no call shared its origin with another: what is bounded is the worst case.
    let resource = call.origin.resource.iter();
    let resource: usize = resource.map(|(name, value)| 2 * name.len() + size(value)).sum();
    // Beside it stand its entry and its counters.
    size_of::<Call>() + size_of::<Change>() + 128 + call.method.capacity() + key + texts + resource
}

/// About how many bytes a value has.
pub(crate) fn size(value: &Value) -> usize {
    let inside: usize = match value {
        Value::String(text) => text.capacity(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| 2 * name.len() + size(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}
