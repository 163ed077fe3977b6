//! The open requests of one conversation, and which of them a message is about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Call;
use super::conversation::{Elsewhere, Side};
use crate::jsonrpc::Id;

/// An open request: a number of its own. Its id is none, since a pooled session may use one for several at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u64);

impl Key {
    /// What was never open.
    pub(super) const NONE: Self = Self(u64::MAX);
}

/// The stream that a message came on, and so which open requests it can be about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// The only stream that there is: a pipe.
    Only,
    /// The body of the HTTP answer to these requests: it is about no others.
    Answer(&'a [Key]),
    /// Another stream of the session. It is about these first, which it goes on with or was sent with.
    Session(&'a [Key]),
}

impl<'a> Scope<'a> {
    /// The requests that come first, in the order in which they began.
    pub(super) fn own(self) -> &'a [Key] {
        match self {
            Self::Only => &[],
            Self::Answer(own) | Self::Session(own) => own,
        }
    }
}

/// An open request with what names it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) side: Side,
    pub(super) id: Id,
    pub(super) call: Call,
    /// Whether the body of an HTTP answer is still to come, in which its own answer will be.
    pub(super) is_awaited: bool,
    /// Where its answer may come, when the HTTP answer to it is over without it.
    pub(super) elsewhere: Option<Elsewhere>,
    /// Why an answer with its id may be another's.
    pub(super) doubt: Option<Doubt>,
    /// Whether an answer came to one that had the same id at the same time. The first of them that are open knows.
    pub(super) was_twin_answered: bool,
}

/// Why it cannot be told which request an answer is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Another with the same id was open at the same time.
    Twins,
    /// One with the same id ended before without an answer, which may come yet.
    Predecessor,
}

impl Doubt {
    /// The reason, as the record has it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Twins => {
                "requests with the same id were open at once, and which of their answers is its own cannot be told"
            }
            Self::Predecessor => {
                "a request with the same id had ended without an answer, and of which of the two this answer is cannot be told"
            }
        }
    }
}

/// What a message is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    One(Key),
    /// Any one of these, and nothing on the wire tells which.
    AnyOf(Vec<Key>),
}

/// The open requests.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    next: u64,
    /// In the order in which they began.
    open: BTreeMap<Key, Open>,
    /// By who asked, and the digits of the id.
    names: HashMap<(Side, String), BTreeSet<Key>>,
}

impl OpenRequests {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn add(&mut self, side: Side, id: Id, call: Call) -> Key {
        let key = Key(self.next);
        self.next += 1;
        self.names.entry((side, id.digits())).or_default().insert(key);
        let open = Open {
            side,
            id,
            call,
            is_awaited: true,
            elsewhere: None,
            doubt: None,
            was_twin_answered: false,
        };
        self.open.insert(key, open);
        key
    }

    pub(super) fn get(&self, key: Key) -> Option<&Open> {
        self.open.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Open> {
        self.open.get_mut(&key)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Open> {
        let open = self.open.remove(&key)?;
        let name = (open.side, open.id.digits());
        if let Some(keys) = self.names.get_mut(&name) {
            keys.remove(&key);
            if keys.is_empty() {
                self.names.remove(&name);
            }
        }
        Some(open)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.open.keys().copied().collect()
    }

    /// The open requests, those that began last first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Open> {
        self.open.values().rev()
    }

    /// Whether any open request has this id, at least by its digits.
    pub(super) fn has(&self, side: Side, id: &Id) -> bool {
        self.names.contains_key(&(side, id.digits()))
    }

    /// The open requests with this very id, in the order in which they began.
    pub(super) fn named<'a>(&'a self, side: Side, id: &'a Id) -> impl Iterator<Item = Key> + 'a {
        let named = self.names.get(&(side, id.digits())).into_iter().flatten();
        named
            .filter(|key| self.get(**key).is_some_and(|open| open.id == *id))
            .copied()
    }

    /// The open request whose id is of a kind that JSON-RPC does not have, where there is one alone.
    pub(super) fn misnamed(&self, side: Side) -> Option<Key> {
        let is_one = |open: &Open| open.side == side && matches!(open.id, Id::Other(_));
        let mut all = self.open.iter().filter(|(_, open)| is_one(open));
        let (first, _) = all.next()?;
        all.next().is_none().then_some(*first)
    }

    /// The request with this id among those given: one that has it exactly, else one with the same digits.
    pub(super) fn among(&self, side: Side, id: &Id, keys: &[Key]) -> Option<Key> {
        let named = self.names.get(&(side, id.digits()))?;
        // Of a batch of thousands, or of thousands with one id, the shorter list is gone through.
        if keys.len() <= named.len() {
            self.first(id, keys.iter().filter(|key| named.contains(key)))
        } else {
            self.first(id, named.iter().filter(|key| keys.binary_search(key).is_ok()))
        }
    }

    /// The first that waits for an answer and has this id, else the first that waits.
    fn first<'a>(&self, id: &Id, keys: impl Iterator<Item = &'a Key>) -> Option<Key> {
        let mut first = None;
        for key in keys {
            let Some(open) = self.get(*key).filter(|open| open.call.early.is_none()) else {
                continue;
            };
            if open.id == *id {
                return Some(*key);
            }
            first.get_or_insert(*key);
        }
        first
    }

    /// What a message on this stream is about that names a request. What `may_be_awaited` allows are requests whose answers
    /// come in HTTP answers of their own.
    pub(super) fn find(&self, side: Side, id: &Id, scope: Scope<'_>, may_be_awaited: bool) -> Found {
        if let Some(own) = self.among(side, id, scope.own()) {
            return Found::One(own);
        }
        if matches!(scope, Scope::Answer(_)) {
            return Found::Nothing;
        }
        let Some(named) = self.names.get(&(side, id.digits())) else {
            return Found::Nothing;
        };
        // Those that share an id on a pipe know it of each other, so the first is as good as any.
        if matches!(scope, Scope::Only)
            && let Some(first) = self.named(side, id).next()
        {
            return Found::One(first);
        }
        let waiting: Vec<(Key, &Open)> = named
            .iter()
            .filter_map(|key| Some((*key, self.get(*key)?)))
            .filter(|(_, open)| open.call.early.is_none() && (may_be_awaited || !open.is_awaited))
            .collect();
        // Each is narrowed down only as far as something is left.
        let exact = narrowed(waiting, |open| open.id == *id);
        // What a body is still awaited for will be answered there, unless nothing else can be meant.
        let free = match scope {
            Scope::Only => exact,
            _ => narrowed(exact, |open| !open.is_awaited),
        };
        match free.as_slice() {
            [] => Found::Nothing,
            [(key, _)] => Found::One(*key),
            several => Found::AnyOf(several.iter().map(|(key, _)| *key).collect()),
        }
    }

    /// The client's request in which the server asks something on this stream, where only one can be meant.
    pub(super) fn asking(&self, scope: Scope<'_>) -> Option<Key> {
        let is_asking = |open: &Open| open.side == Side::Client && !open.call.long_lived;
        let mut own = scope
            .own()
            .iter()
            .filter(|key| self.get(**key).is_some_and(is_asking));
        let mut all = self.open.iter().filter(|(_, open)| is_asking(open));
        let (first, next) = match scope {
            Scope::Answer(_) => (own.next().copied(), own.next().copied()),
            Scope::Only | Scope::Session(_) => {
                (all.next().map(|(key, _)| *key), all.next().map(|(key, _)| *key))
            }
        };
        first.filter(|_| next.is_none())
    }

    /// The request with this token of progress; where only the stream's own can be meant, one of these.
    pub(super) fn with_token(&mut self, token: &Id, scope: Scope<'_>, only_own: bool) -> Option<&mut Open> {
        let digits = token.digits();
        let has_token = |open: &Open| {
            let own = open.call.progress_token.as_ref();
            own.is_some_and(|own| own.digits() == digits)
        };
        let own = scope
            .own()
            .iter()
            .find(|key| self.open.get(key).is_some_and(has_token));
        let key = match (own, scope) {
            (Some(key), _) => *key,
            (None, Scope::Answer(_)) => return None,
            (None, Scope::Session(_)) if only_own => return None,
            (None, Scope::Only | Scope::Session(_)) => {
                let mut named = self.open.iter().filter(|(_, open)| has_token(open));
                let first = *named.next()?.0;
                // Of several that share a token none is known to be meant.
                if named.next().is_some() {
                    return None;
                }
                first
            }
        };
        self.open.get_mut(&key)
    }
}

/// Those for which it holds; all, where it holds for none.
fn narrowed(open: Vec<(Key, &Open)>, holds: impl Fn(&Open) -> bool) -> Vec<(Key, &Open)> {
    let held: Vec<_> = open.iter().copied().filter(|(_, open)| holds(open)).collect();
    if held.is_empty() { open } else { held }
}
