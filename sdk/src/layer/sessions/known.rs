//! Sessions by the hash of their id, those unused for longest first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::observer::Conversation;

/// How many sessions are remembered; of more, the ones unused for longest are forgotten.
pub(super) const REMEMBERED: usize = 10_000;
/// How long a session is remembered of which no request is open. The client names itself once, when the session
/// begins, and clients sleep over night with their machines; the memory of sessions is bounded in bytes.
pub(super) const IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many sessions are looked at, at most, for one to forget that is not in use.
const TRIES: usize = 16;
/// From how many sessions on that no answer has proved those are looked for of which no request is open.
const FEW_CLAIMED: usize = 128;

/// The sessions that are remembered.
#[derive(Debug, Default)]
pub(super) struct Known {
    by_id: HashMap<u64, (Shared, u64)>,
    /// By a number that grows with each use.
    by_use: BTreeMap<u64, (u64, Instant)>,
    next: u64,
    /// Sessions that requests on their way name, and that no answer has proved yet. They last as long as such a request.
    claimed: HashMap<u64, Weak<Mutex<Conversation>>>,
    /// How many of these there may be before those are looked for that are over.
    claimed_checked: usize,
}

impl Known {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The conversation of a session, which is used now.
    pub(super) fn find(&mut self, id: u64) -> Option<Shared> {
        let conversation = Arc::clone(&self.by_id.get(&id)?.0);
        self.touch(id);
        Some(conversation)
    }

    /// The conversation of a session: of one that is known, or that another request on its way names as well. Otherwise it is
    /// this new one, which is kept once an answer proves the session: clients can name any.
    pub(super) fn claim(&mut self, id: u64, fresh: impl FnOnce() -> Shared) -> Shared {
        if let Some(known) = self.find(id) {
            return known;
        }
        if let Some(claimed) = self.claimed.get(&id).and_then(Weak::upgrade) {
            return claimed;
        }
        if self.claimed.len() >= self.claimed_checked.max(FEW_CLAIMED) {
            self.claimed
                .retain(|_, conversation| conversation.strong_count() > 0);
            self.claimed_checked = 2 * self.claimed.len();
        }
        let fresh = fresh();
        self.claimed.insert(id, Arc::downgrade(&fresh));
        fresh
    }

    /// A session is used now, if it is known.
    pub(super) fn touch(&mut self, id: u64) {
        if let Some((_, place)) = self.by_id.get_mut(&id) {
            self.by_use.remove(place);
            *place = self.next;
            self.by_use.insert(self.next, (id, Instant::now()));
            self.next += 1;
        }
    }

    /// Remembers a session. Returns the one that is forgotten for it.
    pub(super) fn keep(&mut self, id: u64, conversation: &Shared) -> Option<Shared> {
        let is_new = !self.by_id.contains_key(&id);
        let forgotten = (is_new && self.by_id.len() >= REMEMBERED)
            .then(|| self.forget_one())
            .flatten();
        let before = self.by_id.insert(id, (Arc::clone(conversation), self.next));
        if let Some((_, place)) = before {
            self.by_use.remove(&place);
        }
        self.by_use.insert(self.next, (id, Instant::now()));
        self.next += 1;
        self.claimed.remove(&id);
        forgotten
    }

    /// Forgets the session that is unused for longest; one in use only if that is not found soon.
    fn forget_one(&mut self) -> Option<Shared> {
        for _ in 0..TRIES {
            let (id, _) = *self.by_use.first_key_value()?.1;
            if !self.is_in_use(id) {
                break;
            }
            self.touch(id);
        }
        let (_, (id, _)) = self.by_use.pop_first()?;
        self.by_id.remove(&id).map(|(conversation, _)| conversation)
    }

    /// Whether a request of the session is on its way, a stream of it open, or something in it waits for an answer:
    /// each of them holds the conversation.
    fn is_in_use(&self, id: u64) -> bool {
        let known = self.by_id.get(&id);
        known.is_some_and(|(conversation, _)| Arc::strong_count(conversation) > 1)
    }

    /// Takes sessions out that are idle. Looks at so many at most, and returns at how many.
    pub(super) fn take_idle(&mut self, now: Instant, most: usize) -> (Vec<Shared>, usize) {
        let mut idle = Vec::new();
        let mut looked = 0;
        while looked < most
            && let Some((_, (id, used))) = self.by_use.first_key_value()
            && now.duration_since(*used) >= IDLE
        {
            let id = *id;
            if self.is_in_use(id) {
                self.touch(id);
            } else {
                idle.extend(self.remove(id));
            }
            looked += 1;
        }
        (idle, looked)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Shared> {
        let (conversation, place) = self.by_id.remove(&id)?;
        self.by_use.remove(&place);
        Some(conversation)
    }

    /// All of them.
    pub(super) fn into_all(self) -> impl Iterator<Item = Shared> {
        self.by_id.into_values().map(|(conversation, _)| conversation)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::observer::{Conversation, Observer};

    fn conversation() -> Shared {
        Arc::new(Mutex::new(Conversation::new(Observer::global())))
    }

    #[test]
    fn of_too_many_the_one_is_forgotten_that_nobody_uses_and_that_was_used_first() {
        let mut known = Known::default();
        let in_use = conversation();
        for id in 0..REMEMBERED as u64 {
            let fresh = conversation();
            let kept = if id == 0 { &in_use } else { &fresh };
            assert!(known.keep(id, kept).is_none());
        }
        // A session that is kept again takes no second place.
        assert!(known.keep(2, &conversation()).is_none());
        assert!(known.find(1).is_some());
        let new = REMEMBERED as u64;
        assert!(known.keep(new, &conversation()).is_some());
        for (id, is_known) in [(0, true), (1, true), (2, true), (3, false), (new, true)] {
            assert_eq!(known.find(id).is_some(), is_known, "{id}");
        }
        assert_eq!((known.by_id.len(), known.by_use.len()), (REMEMBERED, REMEMBERED));
        // Where all are in use, one is forgotten all the same.
        let held: Vec<Shared> = (0..=new).filter_map(|id| known.find(id)).collect();
        assert!(known.keep(new + 1, &conversation()).is_some());
        assert_eq!(known.by_id.len(), REMEMBERED);
        drop(held);
    }

    #[test]
    fn what_is_idle_is_taken_in_pieces() {
        let mut known = Known::default();
        let in_use = conversation();
        known.keep(0, &in_use);
        for id in 1..=20 {
            known.keep(id, &conversation());
        }
        let now = Instant::now() + IDLE;
        assert_eq!(known.take_idle(Instant::now(), 5).1, 0);
        let (idle, looked) = known.take_idle(now, 5);
        assert_eq!((idle.len(), looked), (4, 5));
        let (idle, looked) = known.take_idle(now, 100);
        assert_eq!((idle.len(), looked), (16, 16));
        assert!(known.find(0).is_some() && !known.is_empty());
        assert!(known.remove(0).is_some() && known.is_empty());
    }
}
