//! What one connection does at the moment, and for how long it may go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcptap_graphql::Standing;

use super::frames::Frames;
use super::port::Limits;

/// How long after a change of state a time limit may be noticed late, where nothing wakes the connection's task.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long a peer may take nothing of an answer before its place may be given to somebody else.
const DAWDLE: Duration = Duration::from_secs(2);
/// How many bytes of an answer, by TCP, give it a second more.
const DAWDLE_RATE: u64 = 32 << 10;

/// How many bytes an upgraded connection may send before it is known who it is.
const MAX_ANONYMOUS: usize = 16 << 10;

/// The state of a connection, shared by its stream, its requests and whoever decides about it.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the connection last began to be without a request, or when the peer last took bytes after that.
    idle_since: Instant,
    /// Whether a request ever came.
    asked: bool,
    /// Of HTTP/2: its frames.
    http2: Option<Frames>,
    /// Whether more came than may.
    flooded: bool,
    /// It is no HTTP any more.
    upgraded: bool,
    /// Of one that became a WebSocket of the API: who it is, and what it does.
    socket: Option<Standing>,
    /// How many bytes came from it meanwhile.
    said: usize,
    /// Requests of whose answers something is still held here.
    open: usize,
    /// Requests that have not come whole.
    receiving: usize,
    /// Bodies that nobody reads and that still come.
    discarding: usize,
    /// When the first byte of the next request came.
    head_since: Option<Instant>,
    /// Since when the peer takes no bytes though there are some.
    blocked_since: Option<Instant>,
    /// Since when something always waited to be taken, and the bytes that were taken meanwhile.
    backlog: Option<(Instant, u64)>,
    /// Parts of answers that were handed on, by request, and since when no more was asked for.
    unread: BTreeMap<u64, Instant>,
    next: u64,
}

/// How much would be lost if a connection were closed, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It never asked for anything.
    Silent,
    /// Its requests are answered.
    Idle,
    /// It asked, and does not take the answers.
    Unread,
    /// Its requests have not come whole.
    Receiving,
}

/// What the time limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again after this time.
    Keep(Duration),
    /// It has no request: the peer is told goodbye.
    Part,
    /// The peer took too long.
    TooSlow,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                idle_since: Instant::now(),
                asked: false,
                http2: None,
                flooded: false,
                upgraded: false,
                socket: None,
                said: 0,
                open: 0,
                receiving: 0,
                discarding: 0,
                head_since: None,
                blocked_since: None,
                backlog: None,
                unread: BTreeMap::new(),
                next: 0,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came. `first`: they are the first of the connection, which tell the version. Tells whether the peer may send
    /// them: somebody who has not said who it is may say little, and nobody much that carries nothing.
    #[must_use]
    pub(super) fn read(&self, bytes: &[u8], first: bool) -> bool {
        let mut state = self.state();
        if first && bytes.starts_with(b"PRI") {
            state.http2 = Some(Frames::new(Instant::now()));
        }
        if let Some(socket) = &state.socket {
            let may = socket.read(bytes.len(), Instant::now());
            let anonymous = socket.is_anonymous();
            state.said = state.said.saturating_add(bytes.len());
            if !may || (anonymous && state.said > MAX_ANONYMOUS) {
                return false;
            }
        }
        if let Some(frames) = &mut state.http2
            && !frames.read(bytes, Instant::now())
        {
            state.flooded = true;
            return false;
        }
        // In HTTP/2 pings and settings come at any time, and a body that was refused comes after its answer.
        if state.open == 0 && state.discarding == 0 && state.http2.is_none() && !state.upgraded {
            state.head_since.get_or_insert_with(Instant::now);
        }
        true
    }

    /// The peer took bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.state();
        state.blocked_since = None;
        if let Some((_, taken)) = &mut state.backlog {
            *taken += bytes as u64;
        }
        match &mut state.http2 {
            // Pings go out at any time.
            Some(frames) => frames.took(bytes),
            None => state.idle_since = Instant::now(),
        }
    }

    /// The peer takes no bytes at the moment.
    pub(super) fn blocked(&self) {
        let mut state = self.state();
        let now = Instant::now();
        state.blocked_since.get_or_insert(now);
        state.backlog.get_or_insert((now, 0));
    }

    /// Everything that was to be sent is with the system.
    pub(super) fn flushed(&self) {
        self.state().backlog = None;
    }

    /// The head of a request has come.
    pub(super) fn begin(self: &Arc<Self>) -> OpenRequest {
        let mut state = self.state();
        state.asked = true;
        state.open += 1;
        state.head_since = None;
        state.next += 1;
        OpenRequest {
            number: state.next,
            activity: Arc::clone(self),
        }
    }

    /// The connection speaks another protocol from now on.
    pub(super) fn upgrade(&self, socket: Option<Standing>) {
        let mut state = self.state();
        state.upgraded = true;
        state.socket = socket;
    }

    /// Whether it was ended because more came than may.
    pub(super) fn is_flooded(&self) -> bool {
        self.state().flooded
    }

    /// Whether no request is open.
    pub(super) fn is_idle(&self) -> bool {
        self.state().open == 0
    }

    /// Whether every open request still misses some of its body.
    pub(super) fn only_receives(&self) -> bool {
        let state = self.state();
        state.receiving >= state.open
    }

    /// How much would be lost with it, and since when it is so; `None`: it is at work and keeps its place.
    pub(super) fn worth(&self, now: Instant) -> Option<(Worth, Instant)> {
        let state = self.state();
        if let Some(since) = state.dawdles_since(now) {
            return Some((Worth::Unread, since));
        }
        let worth = match state.open {
            _ if state.blocked_since.is_some() => return None,
            _ if state.upgraded => {
                let socket = state.socket.as_ref()?;
                if socket.is_anonymous() {
                    Worth::Silent
                } else if socket.is_idle() {
                    Worth::Idle
                } else {
                    return None;
                }
            }
            0 if state.asked => Worth::Idle,
            0 => Worth::Silent,
            open if state.receiving >= open => Worth::Receiving,
            _ => return None,
        };
        Some((worth, state.idle_since))
    }

    /// What the time limits say at this time.
    pub(super) fn judge(&self, limits: &Limits, now: Instant) -> Verdict {
        let state = self.state();
        let (since, limit, over) = if let Some(since) = state.blocked_since {
            (since, limits.stall, Verdict::TooSlow)
        } else if state.open > 0 {
            match state.unread.values().min() {
                Some(since) => (*since, limits.stall, Verdict::TooSlow),
                None => return Verdict::Keep(LOOK_AGAIN),
            }
        } else if let Some(since) = state.head_since {
            (since, limits.head, Verdict::TooSlow)
        } else if state.asked || state.http2.is_some() {
            (state.idle_since, limits.idle, Verdict::Part)
        } else {
            (state.idle_since, limits.head, Verdict::TooSlow)
        };
        let left = limit.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            over
        } else {
            Verdict::Keep(left.min(LOOK_AGAIN))
        }
    }
}

impl State {
    /// Since when the peer has been too slow to take what is ready for it, if nothing else goes on.
    fn dawdles_since(&self, now: Instant) -> Option<Instant> {
        let waited = |since: Instant| now.saturating_duration_since(since);
        if let Some((since, taken)) = self.backlog {
            let earned = Duration::from_secs(taken / DAWDLE_RATE);
            if waited(since) > DAWDLE + earned {
                return Some(since);
            }
        }
        // A request that waits for us, or for upstream, is worth the place.
        let waiting_for_peer = self.unread.len() + self.receiving >= self.open;
        let since = self.unread.values().min().copied()?;
        (waiting_for_peer && waited(since) > DAWDLE).then_some(since)
    }
}

/// A request from its head until the last byte of its answer has gone. Dropping it ends it.
#[derive(Debug)]
pub(super) struct OpenRequest {
    number: u64,
    activity: Arc<Activity>,
}

impl OpenRequest {
    /// A body is due.
    pub(super) fn receive(&self) -> Receiving {
        self.activity.state().receiving += 1;
        Receiving {
            activity: Arc::clone(&self.activity),
        }
    }

    /// Some of the answer was handed on.
    pub(super) fn handed_on(&self) {
        self.activity.state().unread.insert(self.number, Instant::now());
    }

    /// More of the answer was asked for.
    pub(super) fn asked_on(&self) {
        self.activity.state().unread.remove(&self.number);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.open = state.open.saturating_sub(1);
        state.unread.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

/// A request whose body has not come whole. Dropping it says that nobody waits for more.
#[derive(Debug)]
pub(super) struct Receiving {
    activity: Arc<Activity>,
}

impl Receiving {
    /// What still comes is read by nobody: the request does not wait for it.
    pub(super) fn discard(self) -> Discarding {
        self.activity.state().discarding += 1;
        Discarding {
            activity: Arc::clone(&self.activity),
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.receiving = state.receiving.saturating_sub(1);
    }
}

/// A body that nobody reads and that still comes. Dropping it says that no more of it comes.
#[derive(Debug)]
pub(super) struct Discarding {
    activity: Arc<Activity>,
}

impl Drop for Discarding {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.discarding = state.discarding.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(activity: &Activity, seconds: u64) -> Verdict {
        let limits = Limits::server(1);
        activity.judge(&limits, Instant::now() + Duration::from_secs(seconds))
    }

    #[test]
    fn time_runs_while_the_peer_is_awaited() {
        let activity = Activity::new();
        assert!(matches!(after(&activity, 14), Verdict::Keep(_)));
        assert_eq!(after(&activity, 16), Verdict::TooSlow, "a silent one");
        assert!(activity.read(b"GE", true));
        assert_eq!(after(&activity, 16), Verdict::TooSlow, "a part of a head");
        let request = activity.begin();
        assert!(
            matches!(after(&activity, 3600), Verdict::Keep(_)),
            "we are at work"
        );
        request.handed_on();
        assert_eq!(
            after(&activity, 61),
            Verdict::TooSlow,
            "an answer that nobody takes"
        );
        request.asked_on();
        assert!(
            matches!(after(&activity, 3600), Verdict::Keep(_)),
            "a stream that has nothing to say"
        );
        drop(request);
        assert!(matches!(after(&activity, 50), Verdict::Keep(_)));
        assert_eq!(after(&activity, 56), Verdict::Part);
        assert!(activity.read(b"x", false));
        assert_eq!(after(&activity, 16), Verdict::TooSlow, "a part of the next head");
        activity.blocked();
        assert!(matches!(after(&activity, 16), Verdict::Keep(_)));
        assert_eq!(
            after(&activity, 61),
            Verdict::TooSlow,
            "the end of an answer that nobody takes"
        );
    }

    #[test]
    fn a_connection_of_http_2_may_wait_for_its_first_request() {
        let activity = Activity::new();
        assert!(activity.read(b"PRI * HTTP/2.0", true));
        assert!(activity.read(b"x", false));
        assert!(matches!(after(&activity, 50), Verdict::Keep(_)));
        assert_eq!(after(&activity, 56), Verdict::Part);
    }

    #[test]
    fn what_is_at_work_keeps_its_place() {
        let activity = Activity::new();
        let after = |seconds| activity.worth(Instant::now() + Duration::from_secs(seconds));
        let worth = |seconds| after(seconds).map(|(worth, _)| worth);
        assert_eq!(worth(0), Some(Worth::Silent));
        let request = activity.begin();
        let receiving = request.receive();
        assert_eq!(worth(0), Some(Worth::Receiving));
        let discarding = receiving.discard();
        assert_eq!(worth(60), None, "it does not wait for the rest");
        drop(request);
        assert_eq!(worth(0), Some(Worth::Idle));
        assert!(activity.read(b"x", false));
        assert!(activity.state().head_since.is_none(), "it is the rest of a body");
        drop(discarding);
        assert!(activity.read(b"x", false));
        assert!(activity.state().head_since.is_some());
        activity.upgrade(None);
        assert_eq!(worth(60), None);
        let memory = mcptap_store::MemoryBudget::new(1 << 20);
        activity.upgrade(Some(Standing::new(&memory)));
        assert_eq!(worth(0), Some(Worth::Silent));
        // Whatever it was answered: pings are answered to anybody.
        activity.wrote(100);
        assert_eq!(worth(0), Some(Worth::Silent));
    }

    #[test]
    fn who_has_not_said_who_it_is_says_little() {
        let activity = Activity::new();
        let _request = activity.begin();
        let kilobyte = [b'x'; 1 << 10];
        assert!((0..100).all(|_| activity.read(&kilobyte, false)), "no upgrade");
        let memory = mcptap_store::MemoryBudget::new(1 << 20);
        activity.upgrade(Some(Standing::new(&memory)));
        assert!((0..16).all(|_| activity.read(&kilobyte, false)));
        assert!(!activity.read(b"x", false));
        let known = Activity::new();
        known.upgrade(None);
        assert!((0..100).all(|_| known.read(&kilobyte, false)));
    }

    #[test]
    fn an_answer_that_is_not_taken_keeps_no_place() {
        let activity = Activity::new();
        let worth = |seconds| {
            let worth = activity.worth(Instant::now() + Duration::from_secs(seconds));
            worth.map(|(worth, _)| worth)
        };
        let request = activity.begin();
        activity.blocked();
        assert_eq!((worth(1), worth(3)), (None, Some(Worth::Unread)));
        // A little now and then is no better.
        activity.wrote(1);
        activity.blocked();
        assert_eq!((worth(1), worth(3)), (None, Some(Worth::Unread)));
        activity.wrote(1 << 20);
        activity.blocked();
        assert_eq!((worth(20), worth(60)), (None, Some(Worth::Unread)));
        activity.wrote(1);
        activity.flushed();
        assert_eq!(worth(60), None, "we are at work");

        // By the window of HTTP/2 it is seen only that no more is asked for.
        request.handed_on();
        assert_eq!((worth(1), worth(3)), (None, Some(Worth::Unread)));
        let other = activity.begin();
        assert_eq!(worth(60), None, "another request is at work");
        let receiving = other.receive();
        assert_eq!(worth(3), Some(Worth::Unread));
        drop(receiving);
        drop(other);
        request.asked_on();
        assert_eq!(worth(60), None, "a stream that has nothing to say");
        assert!(Worth::Unread < Worth::Receiving && Worth::Idle < Worth::Unread);
    }
}
