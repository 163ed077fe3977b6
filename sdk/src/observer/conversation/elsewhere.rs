//! Requests whose HTTP answer is over without their own: it may come on another stream of the session, for some time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tokio::time::Instant;

use super::super::open::Key;
use super::{Conversation, Side, Unanswered};
use crate::announcement::Late;
use crate::jsonrpc::Id;
use crate::observer::Ended;
use crate::span::{Ending, Part, unreadable};

/// How long an answer may come elsewhere while no stream is open on which it could.
///
/// Clients reconnect within seconds (rmcp after 3 s, the official TypeScript SDK after 30 s at most), and rmcp's server
/// itself gives a session up after five minutes without a client. Of a call of which nothing was heard for so long nobody
/// gets the answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How many events are remembered after which streams may go on.
const MOST_EVENTS: usize = 4096;
/// From how many remembered events on those are looked for that no open request needs.
const FEW_EVENTS: usize = 128;
/// The memory of a remembered event besides its requests, in bytes.
const EVENT_BYTES: usize = 64;

/// The client hung up.
pub(crate) const GONE: Unanswered = Unanswered("the client went away before the answer");
/// Its answer was to come on a stream, and no stream is known to be it.
pub(crate) const ACCEPTED: &str = "it was accepted, and the stream on which its answer comes is not known";

/// The way on which an answer may come that is not in the HTTP answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On a stream that goes on after an event of the one that ended.
    Resumed,
    /// On any stream that the client opened: the request was accepted.
    Accepted,
}

/// A moment, by the clock that deadlines go by and by the clock that records have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    at: Instant,
    time: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            time: SystemTime::now(),
        }
    }
}

/// Where the answer to an open request may come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elsewhere {
    way: Way,
    /// Since when no stream is open that goes on with it; in [`Conversation::waiting`] under that, while so.
    since: Moment,
    /// After how many events streams are open that go on with it.
    followed: usize,
    /// Whether a stream was open meanwhile on which it could have come.
    was_heard: bool,
}

/// The open streams that began after one event.
#[derive(Debug, Default)]
pub(super) struct Following {
    streams: usize,
    /// In the order in which they began.
    keys: Arc<[Key]>,
}

/// A request that ended, for the answers that still come. Ids are hashed, since they are only compared.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) key: Key,
    pub(super) side: Side,
    pub(super) id: u64,
    pub(super) how: Ended,
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
    /// Whether a later request with its id was begun, whose answer may be taken for its own.
    pub(super) is_doubted: bool,
    /// Tells of its answer, where it was given up.
    pub(super) late: Option<Late>,
}

impl Past {
    pub(super) fn new(key: Key, side: Side, id: &Id, how: Ended, span: &SpanContext) -> Self {
        Self {
            key,
            side,
            id: id.hash(),
            how,
            trace: span.trace_id(),
            span: span.span_id(),
            flags: span.trace_flags(),
            is_doubted: false,
            late: None,
        }
    }

    /// Its span. The client's `tracestate` is not kept.
    pub(super) fn span(&self) -> SpanContext {
        SpanContext::new(self.trace, self.span, self.flags, false, TraceState::NONE)
    }
}

impl Conversation {
    /// The HTTP answer to open requests is over without their answers: they may come on other streams of the session, or
    /// on one that begins after one of these events.
    pub(crate) fn left(&mut self, keys: &[Key], way: Way, events: impl IntoIterator<Item = u64>) {
        let now = Moment::now();
        let mut open: Vec<Key> = Vec::new();
        for key in keys.iter().copied() {
            if let Some(reason) = &self.closed {
                let reason = reason.clone();
                self.end(key, Ended::Broken, Ending::broken(&reason));
            } else if let Some(left) = self.open.get_mut(key) {
                left.is_awaited = false;
                if left.elsewhere.is_none() {
                    left.elsewhere = Some(Elsewhere {
                        way,
                        since: now,
                        followed: 0,
                        was_heard: false,
                    });
                    self.waiting.insert((now.at, key));
                }
                open.push(key);
            }
        }
        if open.is_empty() {
            return;
        }
        open.sort_unstable();
        open.dedup();
        // Shared by the events: there may be thousands of each.
        let open: Arc<[Key]> = open.into();
        for event in events {
            self.remember_event(event, &open);
            // The client may be back before it is noticed that it was away.
            if let Some(following) = self.following.get_mut(&event) {
                let is_new = |key: &&Key| following.keys.binary_search(key).is_err();
                let new: Vec<Key> = open.iter().filter(is_new).copied().collect();
                let mut keys = [following.keys.as_ref(), &new].concat();
                keys.sort_unstable();
                following.keys = keys.into();
                new.into_iter().for_each(|key| self.follow_one(key));
            }
        }
    }

    fn remember_event(&mut self, event: u64, open: &Arc<[Key]>) {
        if self.resumable.len() >= self.resumable_checked.max(FEW_EVENTS) {
            self.forget_events();
            self.resumable_checked = 2 * self.resumable.len();
        }
        let bytes = bytes_of(open);
        if self.resumable.len() < MOST_EVENTS
            && self.remembered.grow(bytes)
            && let Some(before) = self.resumable.insert(event, Arc::clone(open))
        {
            self.remembered.shrink(bytes_of(&before));
        }
    }

    /// Forgets events that streams need not go on after, since all is answered that was open at them.
    fn forget_events(&mut self) {
        let (open, remembered) = (&self.open, &mut self.remembered);
        self.resumable.retain(|_, keys| {
            let is_needed = keys.iter().any(|key| open.get(*key).is_some());
            if !is_needed {
                remembered.shrink(bytes_of(keys));
            }
            is_needed
        });
    }

    /// A stream begins after this event.
    pub(crate) fn follow(&mut self, event: u64) {
        let keys = self.resumable.get(&event).cloned();
        let following = self.following.entry(event).or_default();
        following.streams += 1;
        if following.streams == 1 {
            following.keys = keys.unwrap_or_default();
            let keys = Arc::clone(&following.keys);
            keys.iter().for_each(|key| self.follow_one(*key));
        }
    }

    /// The open requests that a stream goes on with which began after this event.
    pub(crate) fn followed(&self, event: u64) -> Arc<[Key]> {
        let following = self.following.get(&event);
        following
            .map(|following| Arc::clone(&following.keys))
            .unwrap_or_default()
    }

    /// A stream ended that had begun after this event. Returns the requests that it went on with.
    pub(crate) fn unfollow(&mut self, event: u64) -> Arc<[Key]> {
        let Some(following) = self.following.get_mut(&event) else {
            return Arc::default();
        };
        following.streams = following.streams.saturating_sub(1);
        let keys = Arc::clone(&following.keys);
        if following.streams == 0 {
            self.following.remove(&event);
            let now = Moment::now();
            for key in keys.iter() {
                if let Some(elsewhere) = self.elsewhere(*key) {
                    elsewhere.followed = elsewhere.followed.saturating_sub(1);
                    elsewhere.since = now;
                    if elsewhere.followed == 0 {
                        self.waiting.insert((now.at, *key));
                    }
                }
            }
        }
        keys
    }

    fn follow_one(&mut self, key: Key) {
        if let Some(elsewhere) = self.elsewhere(key) {
            elsewhere.followed += 1;
            let since = elsewhere.since.at;
            self.waiting.remove(&(since, key));
        }
    }

    fn elsewhere(&mut self, key: Key) -> Option<&mut Elsewhere> {
        self.open.get_mut(key)?.elsewhere.as_mut()
    }

    /// A request ended that may have waited for an answer elsewhere.
    pub(super) fn stop_waiting(&mut self, key: Key, elsewhere: Option<Elsewhere>) {
        if let Some(elsewhere) = elsewhere {
            self.waiting.remove(&(elsewhere.since.at, key));
        }
    }

    /// The client opened a stream on which anything may come.
    pub(crate) fn listens(&mut self) {
        self.listening += 1;
    }

    /// Such a stream ended.
    pub(crate) fn stops_listening(&mut self) {
        self.listening = self.listening.saturating_sub(1);
        self.listened = Some(Moment::now());
    }

    /// Whether somebody has to ask for [`Conversation::expire`] from now on, who does not yet.
    pub(crate) fn needs_watching(&mut self) -> bool {
        !self.waiting.is_empty() && !std::mem::replace(&mut self.is_watched, true)
    }

    /// Gives up the requests whose answers could have come nowhere for [`PATIENCE`]. Returns whether to ask again.
    pub(crate) fn expire(&mut self) -> bool {
        let now = Moment::now();
        while let Some((since, key)) = self.waiting.first().copied()
            && now.at.duration_since(since) >= PATIENCE
        {
            self.waiting.pop_first();
            let (is_listening, listened) = (self.listening > 0, self.listened);
            let Some(elsewhere) = self.elsewhere(key) else {
                continue;
            };
            // Streams on which anything may come are not noted with each request that is accepted.
            let is_accepted = elsewhere.way == Way::Accepted;
            let heard = if is_listening { Some(now) } else { listened };
            let heard = heard.filter(|heard| is_accepted && heard.at > since);
            if let Some(heard) = heard {
                elsewhere.since = heard;
                elsewhere.was_heard = true;
                self.waiting.insert((heard.at, key));
                continue;
            }
            let (over, is_unheard) = (elsewhere.since.time, is_accepted && !elsewhere.was_heard);
            if let Some(call) = self.call_mut(key) {
                call.over = Some(over);
            }
            if is_unheard {
                if let Some(call) = self.call(key) {
                    call.set([unreadable(Part::Response, ACCEPTED.to_owned())]);
                }
                self.end(key, Ended::Answered, Ending::over());
            } else {
                self.give_up(key, GONE);
            }
        }
        self.is_watched = !self.waiting.is_empty();
        if !self.is_watched {
            self.forget_events();
        }
        self.is_watched
    }
}

fn bytes_of(keys: &Arc<[Key]>) -> usize {
    EVENT_BYTES + std::mem::size_of_val(keys.as_ref())
}
