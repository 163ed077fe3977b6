//! How open requests end, or go on elsewhere.

use std::time::SystemTime;

use super::super::open::{Doubt, Key, Open, Scope};
use super::elsewhere::Past;
use super::{Cancellation, Conversation};
use crate::announcement::Late;
use crate::jsonrpc::Message;
use crate::observer::Ended;
use crate::span::{Ending, Part, unreadable};

/// How many requests that ended are remembered, to know a second answer from a stray one.
const REMEMBERED: usize = 512;
/// Of how many of them that were given up a late answer is told: about 2 kB are remembered for each.
const MOST_GIVEN_UP: usize = 32;
/// The memory of one of them in a list that grows by doubling, in bytes.
const PAST_BYTES: usize = 2 * size_of::<Past>();

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
        if let Some((answer, at)) = open.call.early.take() {
            open.call.over = Some(at);
            self.end_answered(key, &answer, Scope::Session(&[]));
        }
    }

    /// The answers to these are held until [`carried`](Self::carried) or [`answered_in_vain`](Self::answered_in_vain).
    pub(crate) fn hold_answers(&mut self, keys: &[Key]) {
        for key in keys {
            if let Some(open) = self.open.get_mut(*key) {
                open.call.awaits_head = true;
            }
        }
    }

    /// The answer to an open request that was held did not reach the client.
    pub(crate) fn answered_in_vain(&mut self, key: Key) {
        if let Some(open) = self.open.get_mut(key) {
            open.call.awaits_head = false;
            open.call.show_in_vain();
        }
    }

    /// The HTTP answer to an open request was over at that time, which is its end where none is known that was before.
    pub(crate) fn over_at(&mut self, key: Key, at: SystemTime) {
        if let Some(call) = self.call_mut(key) {
            call.over.get_or_insert(at);
        }
    }

    /// The HTTP answer to open requests is over without their answers, and its client may say yet that it cancelled.
    pub(crate) fn abandoned(&mut self, keys: &[Key]) {
        for key in keys {
            if let Some(reason) = self.closed.clone() {
                self.end(*key, Ended::Broken, Ending::broken(&reason));
            } else if let Some(open) = self.open.get_mut(*key) {
                open.is_awaited = false;
            }
        }
    }

    /// Takes the answer to an open request on the only stream before it is sent.
    pub(crate) fn begin_answer(&mut self, key: Key, answer: &Message) -> Option<Answering> {
        self.learn(answer);
        let mut open = self.remove(key, Ended::Answered)?;
        self.tell_version(&open);
        open.call.hold_answer(answer);
        Some(Answering(Some(open)))
    }

    /// Takes an answer to all requests of one HTTP request: one whose id is `null`, or of a refusal.
    pub(crate) fn answer_all(&mut self, keys: &[Key], message: &Message) {
        for key in keys {
            self.answer_one(*key, message, Scope::Answer(keys));
        }
    }

    /// Ends an open request without an answer.
    pub(crate) fn end(&mut self, key: Key, how: Ended, ending: Ending) {
        let Some(open) = self.remove(key, how) else {
            return;
        };
        let is_late = open.call.answered_in_vain;
        open.call.end_as(ending);
        if is_late {
            self.answer_late(open.side, &open.id, Scope::Answer(&[key]));
        }
    }

    /// Ends an open request that was not answered and that nobody refused. If one with its id was cancelled, it was this.
    pub(crate) fn give_up(&mut self, key: Key, why: Unanswered) {
        self.give_up_on(key, why.0, Scope::Session(&[]));
    }

    pub(super) fn give_up_on(&mut self, key: Key, why: &str, scope: Scope<'_>) {
        let Some(open) = self.open.get(key) else { return };
        if open.doubt == Some(Doubt::Twins) && self.was_twin_answered(open) {
            if let Some(open) = self.remove(key, Ended::Answered) {
                end_in_doubt(open, Doubt::Twins, scope);
            }
            return;
        }
        let meant = self
            .cancellations
            .iter()
            .position(|cancelled| cancelled.side == open.side && cancelled.id == open.id);
        match meant {
            Some(meant) => {
                let Cancellation { reason, .. } = self.cancellations.swap_remove(meant);
                self.end(key, Ended::Cancelled, Ending::cancelled(reason));
            }
            None => self.end(key, Ended::Broken, Ending::broken(why)),
        }
    }

    /// Whether an answer came to one of those that share their id with this one, and so may have been this one's.
    fn was_twin_answered(&self, open: &Open) -> bool {
        let first = self.open.named(open.side, &open.id).next();
        first
            .and_then(|first| self.open.get(first))
            .is_some_and(|first| first.was_twin_answered)
    }

    pub(super) fn remove(&mut self, key: Key, how: Ended) -> Option<Open> {
        let open = self.open.remove(key)?;
        if open.doubt == Some(Doubt::Twins) && (how == Ended::Answered || open.was_twin_answered) {
            // The first of those that are left knows it for all of them.
            let next = self.open.named(open.side, &open.id).next();
            if let Some(next) = next.and_then(|next| self.open.get_mut(next)) {
                next.was_twin_answered = true;
            }
        }
        if !self.open.has(open.side, &open.id) {
            self.cancellations
                .retain(|cancelled| cancelled.side != open.side || cancelled.id != open.id);
        }
        self.stop_waiting(key, open.elsewhere);
        let mut past = Past::new(key, open.side, &open.id, how, &open.call.span_context());
        if matches!(how, Ended::Cancelled | Ended::Broken) {
            past.late = open.call.late();
        }
        self.remember(past);
        Some(open)
    }

    pub(super) fn remember(&mut self, mut past: Past) {
        let has_room = self.past.len() < REMEMBERED && self.remembered.grow(PAST_BYTES);
        if !has_room {
            // One that is forgotten leaves its room to the next.
            let Some(oldest) = self.past.pop_front() else {
                return;
            };
            self.remembered
                .shrink(oldest.late.as_ref().map_or(0, Late::bytes));
        }
        if past.late.is_some() {
            self.forget_given_up();
        }
        past.late = past.late.filter(|late| self.remembered.grow(late.bytes()));
        self.past.push_back(past);
    }

    /// Makes room for one more that was given up.
    fn forget_given_up(&mut self) {
        let given_up = self.past.iter().filter(|past| past.late.is_some()).count();
        let oldest = self
            .past
            .iter_mut()
            .find_map(|past| past.late.take_if(|_| given_up >= MOST_GIVEN_UP));
        self.remembered.shrink(oldest.as_ref().map_or(0, Late::bytes));
    }

    /// How many answers came to nothing that was asked.
    pub(crate) fn strays(&self) -> u64 {
        self.observer.strays()
    }

    /// The session is over, and not only forgotten: how long it took is known, if its handshake was answered.
    pub(crate) fn end_session(&mut self) {
        if let (Some(measure), Some(version)) = (self.measure.take(), &self.version) {
            measure.closed(version, &self.observer.rules());
        }
    }

    /// The end of the conversation: what is open will not be answered on any stream. `scope`: the last of them.
    pub(crate) fn close(&mut self, reason: &str, scope: Scope<'_>) {
        for key in self.open.keys() {
            self.close_one(key, reason, scope);
        }
        self.closed = Some(reason.to_owned());
    }

    /// The end of the session: what is open will be answered in the HTTP answer that is awaited for it, or not at all.
    pub(crate) fn close_session(&mut self, reason: &str) {
        for key in self.open.keys() {
            if self.open.get(key).is_some_and(|open| !open.is_awaited) {
                self.close_one(key, reason, Scope::Session(&[]));
            }
        }
        self.closed = Some(reason.to_owned());
    }

    fn close_one(&mut self, key: Key, reason: &str, scope: Scope<'_>) {
        self.carried(key);
        if self.open.get(key).is_some_and(|open| open.call.long_lived) {
            self.end(key, Ended::Broken, Ending::over());
        } else {
            self.give_up_on(key, reason, scope);
        }
    }
}

/// A request whose answer is on its way. Dropped meanwhile, it was not sent.
#[derive(Debug)]
pub(crate) struct Answering(Option<Open>);

impl Answering {
    /// The answer was sent, or it could not be, for this reason.
    pub(crate) fn end(mut self, failure: Option<&str>) {
        match failure {
            None => self.end_sent(),
            Some(failure) => self.end_unsent(&format!("the answer could not be sent: {failure}")),
        }
    }

    fn end_sent(&mut self) {
        let Some(mut open) = self.0.take() else { return };
        match (open.doubt, open.call.early.take()) {
            (Some(doubt), _) => end_in_doubt(open, doubt, Scope::Only),
            (None, Some((answer, _))) => open.call.answered(&answer),
            (None, None) => open.call.end_as(Ending::over()),
        }
    }

    fn end_unsent(&mut self, reason: &str) {
        let Some(mut open) = self.0.take() else { return };
        open.call.show_in_vain();
        // It ended when nobody could be told any more.
        open.call.over = None;
        open.call.end_as(Ending::broken(reason));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.end_unsent("the connection ended before the answer was sent");
    }
}

/// Ends a request whose answer came, or may have come, and cannot be told from another's.
pub(super) fn end_in_doubt(open: Open, doubt: Doubt, scope: Scope<'_>) {
    let reason = doubt.reason().to_owned();
    open.call.set([unreadable(Part::Response, reason)]);
    open.call.end_as(match scope {
        // There is no status of HTTP that could be the verdict.
        Scope::Only => Ending::unknown(),
        Scope::Answer(_) | Scope::Session(_) => Ending::over(),
    });
}
