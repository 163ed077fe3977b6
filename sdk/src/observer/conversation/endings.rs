//! How open requests end, or go on elsewhere.

use std::sync::Arc;

use opentelemetry::trace::SpanContext;

use super::super::open::{Key, Open, Scope};
use super::{Cancellation, Conversation, Past, Side};
use crate::jsonrpc::{Id, Message};
use crate::observer::Ended;
use crate::span::Ending;

/// How many requests that ended are remembered, to know a second answer from a stray one.
const REMEMBERED: usize = 512;
/// How many events are remembered after which streams may go on.
const MOST_EVENTS: usize = 4096;

/// Why a request has no answer, where nobody refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered(pub(crate) &'static str);

impl Conversation {
    /// The head of the HTTP answer to an open request was seen, or will not be: its own answer need not wait any more.
    pub(crate) fn carried(&mut self, key: Key) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        open.call.awaits_head = false;
        if let Some(answer) = open.call.early.take() {
            self.answer_one(key, &answer, Scope::Only);
        }
    }

    /// The HTTP answer to open requests is over without their answers: they may come on other streams of the session, or
    /// on one that begins after one of these events.
    pub(crate) fn left(&mut self, keys: &[Key], events: impl IntoIterator<Item = u64>) {
        // Shared by the events: there may be thousands of each.
        let open: Arc<[Key]> = keys
            .iter()
            .copied()
            .filter(|key| self.open.get(*key).is_some())
            .collect();
        for key in open.iter() {
            if let Some(left) = self.open.get_mut(*key) {
                left.is_awaited = false;
            }
        }
        if let Some(reason) = &self.closed {
            let reason = reason.clone();
            for key in open.iter() {
                self.end(*key, Ended::Broken, Ending::broken(&reason));
            }
        } else if !open.is_empty() {
            if self.resumable.len() >= MOST_EVENTS {
                self.resumable
                    .retain(|_, keys| keys.iter().any(|key| self.open.get(*key).is_some()));
            }
            let room = MOST_EVENTS.saturating_sub(self.resumable.len());
            let events = events.into_iter().take(room);
            self.resumable
                .extend(events.map(|event| (event, Arc::clone(&open))));
        }
    }

    /// The open requests that a stream goes on with which begins after this event.
    pub(crate) fn resumed(&self, event: u64) -> Vec<Key> {
        let keys = self.resumable.get(&event);
        keys.map(|keys| keys.to_vec()).unwrap_or_default()
    }

    /// Takes an answer to all requests of one HTTP request: one whose id is `null`, or of a refusal.
    pub(crate) fn answer_all(&mut self, keys: &[Key], message: &Message) {
        for key in keys {
            self.answer_one(*key, message, Scope::Answer(keys));
        }
    }

    /// Ends an open request without an answer.
    pub(crate) fn end(&mut self, key: Key, how: Ended, ending: Ending) {
        if let Some(open) = self.remove(key, how) {
            open.call.end_as(ending);
        }
    }

    /// Ends an open request that was not answered and that nobody refused. If one with its id was cancelled, it was this.
    pub(crate) fn give_up(&mut self, key: Key, why: Unanswered) {
        let Some(open) = self.open.get(key) else { return };
        let meant = self
            .cancellations
            .iter()
            .position(|cancelled| cancelled.side == open.side && cancelled.id == open.id);
        match meant {
            Some(meant) => {
                let Cancellation { reason, .. } = self.cancellations.swap_remove(meant);
                self.end(key, Ended::Cancelled, Ending::cancelled(reason));
            }
            None => self.end(key, Ended::Broken, Ending::broken(why.0)),
        }
    }

    pub(super) fn remove(&mut self, key: Key, how: Ended) -> Option<Open> {
        let open = self.open.remove(key)?;
        if !self.open.has(open.side, &open.id) {
            self.cancellations
                .retain(|cancelled| cancelled.side != open.side || cancelled.id != open.id);
        }
        self.remember(key, open.side, open.id.clone(), how, open.call.span_context());
        Some(open)
    }

    pub(super) fn remember(&mut self, key: Key, side: Side, id: Id, how: Ended, span: SpanContext) {
        if self.past.len() >= REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(Past {
            key,
            side,
            id,
            how,
            span,
        });
    }

    /// How many answers came to nothing that was asked.
    pub(crate) fn strays(&self) -> u64 {
        self.observer.strays()
    }

    /// The end of the conversation: what is open will not be answered.
    pub(crate) fn close(&mut self, reason: &str) {
        for key in self.open.keys() {
            self.close_one(key, reason);
        }
        self.closed = Some(reason.to_owned());
    }

    /// The end of the session: what is open will be answered in the HTTP answer that is awaited for it, or not at all.
    pub(crate) fn close_session(&mut self, reason: &str) {
        for key in self.open.keys() {
            if self.open.get(key).is_some_and(|open| !open.is_awaited) {
                self.close_one(key, reason);
            }
        }
        self.closed = Some(reason.to_owned());
    }

    fn close_one(&mut self, key: Key, reason: &str) {
        self.carried(key);
        let Some(open) = self.remove(key, Ended::Broken) else {
            return;
        };
        let ending = if open.call.long_lived {
            Ending::over()
        } else {
            Ending::broken(reason)
        };
        open.call.end_as(ending);
    }
}
