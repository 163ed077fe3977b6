//! Operations that take several requests: `input_required` rounds, which hand a `requestState` on, and tasks, which
//! have an id. What was begun is remembered for a while, so that what goes on with it can point back.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use opentelemetry::trace::SpanContext;

/// How many open operations are remembered.
const REMEMBERED: usize = 4096;

/// What an operation is recognised by.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Handle<'a> {
    /// `requestState`.
    State(&'a str),
    /// `taskId`.
    Task(&'a str),
}

/// A round that went before.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Its span.
    pub(crate) span: SpanContext,
    /// The span id of the operation's first round.
    pub(crate) operation: String,
}

/// The operations that may go on. The oldest are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    known: HashMap<u64, Round>,
    order: VecDeque<u64>,
}

impl Rounds {
    /// Remembers a round under what it gave to the client.
    pub(crate) fn remember(&mut self, handle: Handle<'_>, round: Round) {
        let key = key(handle);
        if self.known.insert(key, round).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// The round that gave this to the client.
    pub(crate) fn before(&self, handle: Handle<'_>) -> Option<Round> {
        self.known.get(&key(handle)).cloned()
    }
}

fn key(handle: Handle<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    handle.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut rounds = Rounds::default();
        for number in 0..=REMEMBERED {
            let round = Round {
                span: SpanContext::NONE,
                operation: number.to_string(),
            };
            rounds.remember(Handle::State(&number.to_string()), round);
        }
        assert!(rounds.before(Handle::State("0")).is_none());
        assert_eq!(rounds.before(Handle::State("1")).unwrap().operation, "1");
        assert!(rounds.before(Handle::Task("1")).is_none());
    }
}
