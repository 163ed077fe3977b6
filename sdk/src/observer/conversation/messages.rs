//! Answers and notifications, which are about requests that are open.

use std::time::SystemTime;

use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::logs::Severity;

use super::super::open::{Doubt, Found, Key, Open, Scope};
use super::endings::end_in_doubt;
use super::{Cancellation, Conversation, Side};
use crate::announcement::Late;
use crate::jsonrpc::{Field, Id, Message};
use crate::observer::Ended;
use crate::recorder::Line;
use crate::span::Ending;

/// How many open requests a line of console output is written to: the ones begun last.
const MOST_LISTENERS: usize = 16;

impl Conversation {
    pub(super) fn answer(&mut self, side: Side, id: &Id, message: &Message, scope: Scope<'_>) {
        // Where ids are used again, one that is answered in an HTTP answer of its own is not meant by what comes elsewhere.
        match self.open.find(side, id, scope, !self.reuses_ids) {
            Found::One(key) => self.answer_one(key, message, scope),
            Found::AnyOf(keys) => {
                for key in &keys {
                    if let Some(open) = self.open.get_mut(*key) {
                        open.doubt = Some(Doubt::Twins);
                    }
                }
                if let Some(key) = keys.first() {
                    self.answer_one(*key, message, scope);
                }
            }
            Found::Nothing => self.answer_late(side, id, scope),
        }
        if matches!(scope, Scope::Only) {
            self.give_up_cancelled(side, id);
        }
    }

    /// Takes an error that names no request. On a pipe it is about the one whose id is none of JSON-RPC, if there is one.
    pub(super) fn answer_nameless(&mut self, side: Side, message: &Message, scope: Scope<'_>) {
        if matches!(scope, Scope::Only)
            && message.error().is_some()
            && let Some(key) = self.open.misnamed(side)
        {
            self.answer_one(key, message, scope);
        }
    }

    /// Takes the answer to an open request.
    pub(super) fn answer_one(&mut self, key: Key, message: &Message, scope: Scope<'_>) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        if scope.own().binary_search(&key).is_ok() {
            open.doubt = None;
        }
        if open.call.awaits_head {
            open.call.hold_answer(message);
            return;
        }
        // Whatever was over before.
        open.call.over = None;
        self.end_answered(key, message, scope);
    }

    /// Ends an open request with its answer.
    pub(super) fn end_answered(&mut self, key: Key, message: &Message, scope: Scope<'_>) {
        self.learn(message);
        let Some(open) = self.remove(key, Ended::Answered) else {
            return;
        };
        self.tell_version(&open);
        match open.doubt {
            Some(doubt) => end_in_doubt(open, doubt, scope),
            None => open.call.answered(message),
        }
    }

    /// Says the version in force of a request that began before it was known.
    pub(super) fn tell_version(&self, open: &Open) {
        let version = self.version.clone().filter(|_| !open.call.knows_version);
        let version = version.map(|version| KeyValue::new(semconv::MCP_PROTOCOL_VERSION, version));
        open.call.set(version);
    }

    /// Takes an answer to nothing that is open.
    pub(super) fn answer_late(&mut self, side: Side, id: &Id, scope: Scope<'_>) {
        let id = id.hash();
        let reuses_ids = self.reuses_ids;
        let past = self.past.iter_mut().rev().find(|past| {
            let is_near = match scope {
                Scope::Answer(own) => past.how == Ended::Notified || own.contains(&past.key),
                Scope::Session(own) if reuses_ids => own.contains(&past.key),
                Scope::Only | Scope::Session(_) => true,
            };
            is_near && past.side == side && past.id == id
        });
        let Some(past) = past else {
            return self.observer.stray();
        };
        let body = match past.how {
            Ended::Answered => "a second answer to this request came",
            Ended::Cancelled => "the answer came after the request was cancelled",
            Ended::Broken => "the answer came after the request was given up",
            Ended::Notified => return,
        };
        let line = Line {
            severity: Severity::Warn,
            body: body.to_owned(),
            attributes: Vec::new(),
            at: SystemTime::now(),
        };
        let span = past.span();
        // One that is not recorded has none.
        if span.is_valid() {
            self.observer.recorder.log(&span, line);
        }
        let late = past.late.take();
        self.remembered.shrink(late.as_ref().map_or(0, Late::bytes));
        if let Some(late) = late {
            late.tell();
        }
    }

    pub(super) fn notification(&mut self, from: Side, method: &str, message: &Message, scope: Scope<'_>) {
        match (from, method) {
            (_, "notifications/cancelled") => {
                if let Some(id) = message.id_in(Field::RequestId) {
                    self.cancel(from, id, message.text(Field::Reason), scope);
                }
            }
            (Side::Server, "notifications/message") => self.log_message(message, scope),
            (Side::Server, "notifications/progress") => {
                if let Some(token) = message.id_in(Field::ProgressToken)
                    && let Some(open) = self.open.with_token(&token, scope, self.reuses_ids)
                {
                    open.call.progressed(message);
                }
            }
            _ => {}
        }
    }

    fn cancel(&mut self, side: Side, id: Id, reason: Option<String>, scope: Scope<'_>) {
        match self.open.find(side, &id, scope, true) {
            Found::One(key) if !self.may_be_late(key, scope) && !self.has_twin(key) => {
                self.end(key, Ended::Cancelled, Ending::cancelled(reason));
            }
            Found::One(_) | Found::AnyOf(_) if self.cancellations.len() < self.open.len() => {
                let cancelled = id.clone();
                self.cancellations.push(Cancellation { side, id, reason });
                if matches!(scope, Scope::Only) {
                    self.give_up_cancelled(side, &cancelled);
                }
            }
            Found::One(_) | Found::AnyOf(_) | Found::Nothing => {}
        }
    }

    /// Whether another request had the same id while this one was open.
    fn has_twin(&self, key: Key) -> bool {
        self.open
            .get(key)
            .is_some_and(|open| open.doubt == Some(Doubt::Twins))
    }

    /// Gives up the open requests with this id, where all that are left of them were cancelled: on a pipe nobody else says that no
    /// answer comes.
    fn give_up_cancelled(&mut self, side: Side, id: &Id) {
        let cancelled = self.cancellations.iter();
        let cancelled = cancelled.filter(|cancelled| cancelled.side == side && cancelled.id == *id);
        let count = cancelled.count();
        if count == 0 {
            return;
        }
        let left: Vec<Key> = self.open.named(side, id).take(count + 1).collect();
        if left.len() <= count {
            for key in left {
                self.give_up_on(key, "it was cancelled", Scope::Only);
            }
        }
    }

    /// Whether a cancellation may be of an earlier request with the same id, which was answered meanwhile.
    fn may_be_late(&self, key: Key, scope: Scope<'_>) -> bool {
        let is_awaited = self.open.get(key).is_some_and(|open| open.is_awaited);
        self.reuses_ids && is_awaited && scope.own().binary_search(&key).is_err()
    }

    /// A log message that the server sends to its client.
    fn log_message(&mut self, message: &Message, scope: Scope<'_>) {
        let severity = match message.text(Field::LogLevel).as_deref() {
            Some("debug") => Severity::Debug,
            Some("notice") => Severity::Info2,
            Some("warning") => Severity::Warn,
            Some("error") => Severity::Error,
            Some("critical") => Severity::Error2,
            Some("alert") => Severity::Error3,
            Some("emergency") => Severity::Fatal,
            _ => Severity::Info,
        };
        let raw = message.get(Field::LogData).map(|data| data.text.clone());
        let mut body = message.text(Field::LogData).or(raw).unwrap_or_default();
        let [_, _, told] = &mut self.lines;
        self.observer.redact_next(told, &mut body);
        let logger = message.text(Field::Logger).map(|logger| ("logger", logger));
        let line = Line {
            severity,
            body,
            attributes: logger.into_iter().collect(),
            at: SystemTime::now(),
        };
        match scope {
            // What comes in the body of an answer is about what is answered there.
            Scope::Answer(own) => own
                .iter()
                .rev()
                .filter_map(|key| self.open.get(*key))
                .take(MOST_LISTENERS)
                .for_each(|open| open.call.log(line.clone())),
            Scope::Only | Scope::Session(_) => self.log_line(&line),
        }
    }

    /// A line of the server's console output: it belongs to the calls then running.
    pub(crate) fn log(
        &mut self,
        severity: Severity,
        mut body: String,
        attributes: Vec<(&'static str, String)>,
    ) {
        let [errors, others, _] = &mut self.lines;
        let is_error = attributes.iter().any(|(_, stream)| stream == "stderr");
        self.observer
            .redact_next(if is_error { errors } else { others }, &mut body);
        let line = Line {
            severity,
            body,
            attributes,
            at: SystemTime::now(),
        };
        self.log_line(&line);
    }

    fn log_line(&self, line: &Line) {
        let running = self
            .open
            .newest()
            .filter(|open| open.side == Side::Client && !open.call.long_lived);
        for open in running.take(MOST_LISTENERS) {
            open.call.log(line.clone());
        }
    }
}
