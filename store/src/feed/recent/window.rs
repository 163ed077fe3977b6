//! The newest changes between two points of the feed, with what was found in their calls and the visits that followers
//! watch.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use mcptap_model::Call;
use mcptap_model::search::{Found, Searches};

use super::excerpt::{Excerpt, Listed};
use super::visits::{Extent, Visits};
use super::weight::weight;
use super::{Stretch, Unsearched};
use crate::read::visits::{client_of, is_in_place};
use crate::{Change, ChangeKind, Reservation, Seq};

/// How many changes are kept at most.
const CHANGES: usize = 16_384;

/// How many changes are copied together.
const EXCERPT: usize = 1_000;

/// Bytes of an entry of `found`, its value aside.
const ENTRY: usize = 64;

#[derive(Debug)]
pub(super) struct Window {
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
    /// The searches that these were found with, and how many were.
    found_with: Vec<(Searches, usize)>,
    version: u64,
    visits: Visits,
}

/// Values that are no longer kept: freed when nobody waits for the window.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    changes: Vec<Change>,
    found: Vec<Arc<Found>>,
    searches: Vec<Searches>,
}

impl Window {
    pub(super) fn new(head: Seq, held: Reservation) -> Self {
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
            found_with: Vec::new(),
            version: 0,
            visits: Visits::default(),
        }
    }

    /// The last number that is known here.
    pub(super) fn head(&self) -> Seq {
        self.head
    }

    /// How many changes are kept, and about how many bytes they have together with what was found in them.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.changes.len(), self.bytes)
    }

    /// Adds what follows on what is here.
    pub(super) fn add(&mut self, stretch: Stretch) -> Dropped {
        let mut dropped = Dropped::default();
        if !stretch.whole {
            self.clear(&mut dropped);
            self.start = stretch.after;
        }
        self.follow_visits(&stretch);
        for row in stretch.removed {
            let completed = self.completed.get(&row).copied();
            if let Some(seq) = completed {
                self.take(seq, &mut dropped);
            }
            self.take(row, &mut dropped);
        }
        for change in stretch.changes {
            let (seq, row) = (change.seq.0, change.stored.row);
            if change.kind == ChangeKind::Updated {
                // As in the database: a call has one last completion, and is everywhere as it is now.
                let earlier = self.completed.insert(row, seq);
                if let Some(seq) = earlier {
                    self.take(seq, &mut dropped);
                }
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
        self.fit(&mut dropped);
        dropped
    }

    /// Forgets everything and goes on from `head`.
    pub(super) fn skip_to(&mut self, head: Seq) -> Dropped {
        let mut dropped = Dropped::default();
        self.clear(&mut dropped);
        self.held.shrink_to(0);
        (self.start, self.head) = (head, head);
        self.visits.any_left(head);
        dropped
    }

    fn clear(&mut self, dropped: &mut Dropped) {
        dropped
            .changes
            .extend(std::mem::take(&mut self.changes).into_values());
        self.completed.clear();
        self.unsearched.clear();
        self.forget_found(dropped);
        self.bytes = 0;
    }

    /// While there are too many changes, or the budget has no room, the oldest give way.
    fn fit(&mut self, dropped: &mut Dropped) {
        while (self.changes.len() > CHANGES || self.held.resize(self.bytes).is_err())
            && let Some((&seq, _)) = self.changes.first_key_value()
        {
            self.start = Seq(seq);
            self.take(seq, dropped);
        }
    }

    fn take(&mut self, seq: i64, dropped: &mut Dropped) {
        let Some(change) = self.changes.remove(&seq) else {
            return;
        };
        self.unsearched.remove(&seq);
        let row = change.stored.row;
        let others = [Some(row), self.completed.get(&row).copied()];
        if !others
            .into_iter()
            .flatten()
            .any(|seq| self.changes.contains_key(&seq))
        {
            self.lose_found(row, dropped);
        }
        self.bytes = self.bytes.saturating_sub(weight(&change.stored.call));
        if self.completed.get(&row) == Some(&seq) {
            self.completed.remove(&row);
        }
        dropped.changes.push(change);
    }

    /// The call in a row, as it was when it last changed here.
    fn call(&self, row: i64) -> Option<&Call> {
        let seq = self.completed.get(&row).unwrap_or(&row);
        self.changes.get(seq).map(|change| &*change.stored.call)
    }
}

/// Searches.
impl Window {
    /// From now on calls are searched.
    pub(super) fn begin_searching(&mut self) {
        self.searching = true;
    }

    /// Calls are searched no more.
    pub(super) fn end_searching(&mut self) -> Dropped {
        let mut dropped = Dropped::default();
        self.searching = false;
        self.unsearched.clear();
        self.forget_found(&mut dropped);
        self.fit(&mut dropped);
        dropped
    }

    pub(super) fn all_searched(&self) -> bool {
        self.unsearched.is_empty()
    }

    pub(super) fn unsearched(&self, limit: usize) -> Vec<Unsearched> {
        let calls = self.unsearched.iter().filter_map(|(&seq, &version)| {
            Some(Unsearched {
                stored: self.changes.get(&seq)?.stored.clone(),
                seq,
                version,
            })
        });
        calls.take(limit).collect()
    }

    /// Takes what was found in calls that have not changed meanwhile.
    pub(super) fn take_found<'a>(
        &mut self,
        calls: impl Iterator<Item = (&'a Unsearched, Option<Arc<Found>>)>,
    ) -> Dropped {
        let mut dropped = Dropped::default();
        for (call, found) in calls {
            if self.unsearched.get(&call.seq) != Some(&call.version) {
                continue;
            }
            self.unsearched.remove(&call.seq);
            self.lose_found(call.stored.row, &mut dropped);
            if let Some(found) = found {
                self.keep_found(call.stored.row, found);
            }
        }
        self.fit(&mut dropped);
        dropped
    }

    fn keep_found(&mut self, row: i64, found: Arc<Found>) {
        self.bytes += found.bytes() + ENTRY;
        // The last searches are the usual ones.
        let mut known = self.found_with.iter_mut().rev();
        match known.find(|(searches, _)| searches.is_same(found.searches())) {
            Some((_, count)) => *count += 1,
            None => {
                self.bytes += found.searches().bytes();
                self.found_with.push((found.searches().clone(), 1));
            }
        }
        self.found.insert(row, found);
    }

    fn lose_found(&mut self, row: i64, dropped: &mut Dropped) {
        let Some(found) = self.found.remove(&row) else {
            return;
        };
        let mut less = found.bytes() + ENTRY;
        let with = |(searches, _): &(Searches, usize)| searches.is_same(found.searches());
        if let Some(at) = self.found_with.iter().position(with)
            && let Some((searches, count)) = self.found_with.get_mut(at)
        {
            *count -= 1;
            if *count == 0 {
                less += searches.bytes();
                dropped.searches.push(self.found_with.remove(at).0);
            }
        }
        self.bytes = self.bytes.saturating_sub(less);
        dropped.found.push(found);
    }

    fn forget_found(&mut self, dropped: &mut Dropped) {
        let own: usize = self.found.values().map(|found| found.bytes() + ENTRY).sum();
        let shared: usize = self.found_with.iter().map(|(searches, _)| searches.bytes()).sum();
        self.bytes = self.bytes.saturating_sub(own + shared);
        dropped
            .found
            .extend(std::mem::take(&mut self.found).into_values());
        let searches = std::mem::take(&mut self.found_with).into_iter();
        dropped.searches.extend(searches.map(|(searches, _)| searches));
    }

    /// The call's texts are not those that were searched.
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
}

/// Visits.
impl Window {
    pub(super) fn watch(&mut self, ids: &[String]) -> bool {
        self.visits.watch(ids, self.head)
    }

    pub(super) fn unwatch(&mut self, ids: &[String]) {
        self.visits.unwatch(ids);
    }

    /// Those of the watched visits whose extent must be read.
    pub(super) fn unknown_visits(&self, ids: &[String]) -> Vec<String> {
        self.visits.unknown(ids)
    }

    /// Takes what was read of the state after change `head`, and adds the calls that came since.
    pub(super) fn learn(&mut self, head: Seq, extents: Vec<(String, Extent)>) {
        if head < self.start {
            return;
        }
        for (id, extent) in extents {
            self.visits.learn(&id, head, extent);
        }
        let since = self.changes.range((Excluded(head.0), Unbounded));
        for change in since.map(|(_, change)| change) {
            self.visits.add(&change.stored.call, self.head);
        }
    }

    fn follow_visits(&mut self, stretch: &Stretch) {
        if self.visits.is_empty() {
            return;
        }
        let upto = stretch.upto;
        if !stretch.whole {
            self.visits.any_left(upto);
        }
        for row in &stretch.removed {
            match self
                .call(*row)
                .map(|call| (call.server_name().to_owned(), client_of(call)))
            {
                Some((server, Some(client))) => {
                    let client = client.to_owned();
                    self.visits.call_left(&server, &client, upto);
                }
                Some((_, None)) => {}
                None => self.visits.any_left(upto),
            }
        }
        match &stretch.moved {
            Some(moved) => moved
                .iter()
                .for_each(|(server, client)| self.visits.call_left(server, client, upto)),
            None => self.find_moved(stretch),
        }
        for change in &stretch.changes {
            self.visits.add(&change.stored.call, upto);
        }
    }

    /// Finds out which completed calls have left a visit, by how they were here before.
    fn find_moved(&mut self, stretch: &Stretch) {
        let completed = |change: &&Change| change.kind == ChangeKind::Updated;
        for change in stretch.changes.iter().filter(completed) {
            let now = &change.stored.call;
            let Some(before) = self.call(change.stored.row) else {
                // Of what was added by this stretch nothing was known before.
                if change.stored.row <= stretch.after.0 {
                    self.visits.any_left(stretch.upto);
                }
                continue;
            };
            if let Some(client) = client_of(before)
                && !is_in_place(before, now)
            {
                let (server, client) = (before.server_name().to_owned(), client.to_owned());
                self.visits.call_left(&server, &client, stretch.upto);
            }
        }
    }
}

/// Reading.
impl Window {
    /// A copy of what comes first after a position, with what is known of these visits; `None` when the position is behind
    /// the window.
    pub(super) fn excerpt(&self, after: Seq, visits: &[String]) -> Option<Excerpt> {
        if after < self.start {
            return None;
        }
        let mut ahead = self.changes.range((Excluded(after.0), Unbounded));
        let listed = ahead.by_ref().take(EXCERPT).map(|(_, change)| Listed {
            change: change.clone(),
            found: self.found.get(&change.stored.row).cloned(),
        });
        let changes = listed.collect();
        let next = ahead.next().map(|(seq, _)| Seq(seq - 1));
        Some(Excerpt {
            changes,
            upto: next.unwrap_or(self.head),
            head: self.head,
            searched: self.searched(),
            visits: self.visits.extents(visits),
        })
    }
}
