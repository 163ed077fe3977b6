//! How the requests of an exchange ended that have no answer when it is over.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::{Left, SharedConversation, State, lock};
use crate::observer::{ACCEPTED, Conversation, Ended, GONE, Key, Unanswered, Way};
use crate::span::{Ending, Part, unreadable};

/// How long a client that went away may take to say that it cancelled.
const GRACE: Duration = Duration::from_secs(1);

impl State {
    /// When question and answer are both over, what is open of this request will not be answered, unless elsewhere.
    pub(super) fn settle(&mut self) {
        let (Some(left), true) = (self.left, self.request.is_none()) else {
            return;
        };
        let status = self.status.unwrap_or(StatusCode::OK);
        let keys = std::mem::take(&mut self.keys);
        let mut elsewhere = self.take_asked_back();
        if keys.is_empty() {
            self.record_unread(status);
            if elsewhere.is_empty() {
                return;
            }
        }
        let mut conversation = lock(&self.conversation);
        let mut left_open = Vec::new();
        let mut accepted = Vec::new();
        let is_in_vain = self.is_held && left == Left::Gone;
        for key in keys {
            if is_in_vain {
                conversation.answered_in_vain(key);
            } else {
                conversation.carried(key);
            }
            let verdict = self.verdict(&conversation, key, status, left);
            if let Some(over) = self.over.filter(|_| !matches!(verdict, Verdict::Elsewhere(_))) {
                // Word of it may have come later.
                conversation.over_at(key, over);
            }
            match verdict {
                Verdict::Ended => {}
                Verdict::Over => conversation.end(key, Ended::Broken, Ending::over()),
                Verdict::Unreadable(reason) => {
                    if let Some(call) = conversation.call(key) {
                        call.set([unreadable(Part::Response, reason)]);
                        call.hold_response(self.refusal.clone());
                    }
                    conversation.end(key, Ended::Answered, Ending::over());
                }
                Verdict::Refused => {
                    if let Some(call) = conversation.call(key) {
                        call.hold_response(self.refusal.clone());
                        call.set(self.why_unread());
                    }
                    let ending = Ending::refused(status.as_u16(), self.not_forwarded.as_deref());
                    conversation.end(key, Ended::Broken, ending);
                }
                Verdict::Redirected => {
                    if let Some(call) = conversation.call(key) {
                        call.hold_response(self.refusal.clone());
                    }
                    conversation.end(key, Ended::Broken, Ending::redirected());
                }
                Verdict::Cancelled => {
                    let why = "the client closed the stream".to_owned();
                    conversation.end(key, Ended::Cancelled, Ending::cancelled(Some(why)));
                }
                Verdict::Elsewhere(Way::Accepted) => accepted.push(key),
                Verdict::Elsewhere(Way::Resumed) => elsewhere.push(key),
                Verdict::LeftOpen => left_open.push(key),
                Verdict::Unanswered(why) => {
                    if let Some(call) = conversation.call(key)
                        && left == Left::Complete
                    {
                        call.hold_response(self.refusal.clone());
                    }
                    conversation.give_up(key, why);
                }
            }
        }
        conversation.left(&accepted, Way::Accepted, []);
        conversation.left(&elsewhere, Way::Resumed, self.events.iter().copied());
        conversation.abandoned(&left_open);
        drop(conversation);
        self.sessions.watch(&self.conversation);
        if !left_open.is_empty() {
            give_up_later(Arc::clone(&self.conversation), left_open);
        }
    }

    fn verdict(&self, conversation: &Conversation, key: Key, status: StatusCode, left: Left) -> Verdict {
        let Some(call) = conversation.call(key) else {
            return Verdict::Ended;
        };
        if call.long_lived && status.is_success() {
            return Verdict::Over;
        }
        if status.is_client_error() || status.is_server_error() {
            return Verdict::Refused;
        }
        if status.is_redirection() {
            return Verdict::Redirected;
        }
        let is_stateless = conversation.is_stateless(&self.carrier);
        // HTTP+SSE answers on the stream; a stream with ids may be taken up again.
        let elsewhere = match status {
            StatusCode::ACCEPTED => Some(Way::Accepted),
            _ if self.events.is_empty() || is_stateless => None,
            _ => Some(Way::Resumed),
        };
        match (left, elsewhere.filter(|_| self.is_shared)) {
            (Left::Gone, _) if is_stateless => Verdict::Cancelled,
            (_, Some(way)) => Verdict::Elsewhere(way),
            // A client that cancels may hang up before it says so.
            (Left::Gone, None) if self.is_shared => Verdict::LeftOpen,
            (Left::Gone, None) => Verdict::Unanswered(GONE),
            (Left::Broken, None) => Verdict::Unanswered(Unanswered("the answer broke off")),
            (Left::Complete, None) if status == StatusCode::ACCEPTED => {
                Verdict::Unreadable(ACCEPTED.to_owned())
            }
            (Left::Complete, None) => match self.reading.unreadable() {
                Some(why) => Verdict::Unreadable(why.to_string()),
                None => Verdict::Unanswered(Unanswered("the answer ended without a result")),
            },
        }
    }
}

/// How a request is judged at the end of its exchange.
enum Verdict {
    /// It ended already.
    Ended,
    /// It is over as its nature is: it stays open until somebody leaves.
    Over,
    /// The body of its answer could not be read, for this reason. The status is a success.
    Unreadable(String),
    Refused,
    Redirected,
    Cancelled,
    /// Its answer may come on another stream.
    Elsewhere(Way),
    /// Its client has gone, and may say yet that it cancelled.
    LeftOpen,
    Unanswered(Unanswered),
}

/// Ends requests whose client went away, unless it says within [`GRACE`] that it cancelled them.
fn give_up_later(conversation: SharedConversation, keys: Vec<Key>) {
    let give_up = move || {
        let mut conversation = lock(&conversation);
        for key in keys {
            conversation.give_up(key, GONE);
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move {
            tokio::time::sleep(GRACE).await;
            give_up();
        })),
        Err(_) => give_up(),
    }
}
