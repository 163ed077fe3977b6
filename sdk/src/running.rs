//! Requests that run: each is announced once it has run for a second, and its process says that it lives for as long as
//! there are such.
//!
//! A span is sent when it ends, so a request that hangs, or whose process is killed, would never be seen. An announcement
//! is a log record (an event named `mcptap.call.running`) with the ids of the span and the attributes that it has by then: every
//! backend takes that for a line of the span's own log, and mcptap shows the request as running until the span comes. A
//! heartbeat (`mcptap.heartbeat`) follows every ten seconds; when it stays away, mcptap takes what was announced for lost.
//! It also names announced requests that [ended](ended) a while ago, whose spans may never have reached mcptap.
//!
//! One thread does it for the whole process. It starts with the first request, sleeps while none runs, and never holds up a
//! server's own thread: beginning a request appends to a list, ending it drops a reference.

mod ended;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mcptap_model::semconv;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt};
use opentelemetry::{Array, KeyValue, StringValue, Value};

use crate::announcement::{Announcement, Late};
use crate::recorder::{Event, Given, Logs, Start};
use ended::Ended;

/// How long a request runs before it is announced.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(1);
/// How often the process says that it lives while announced requests run.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How much later than due a request may be announced. The thread wakes once in that time at most, however many requests
/// begin.
const ROUND: Duration = Duration::from_millis(100);
/// How many requests may begin within [`ANNOUNCED_AFTER`] and be announced. One that ended holds about 200 bytes until then:
/// its entry, and the allocation of a [`Begun`] without the texts.
const MOST: usize = 100_000;

static RUNNING: LazyLock<Running> = LazyLock::new(Running::default);

/// How a request began, for its announcement.
#[derive(Debug)]
pub(crate) struct Started {
    parent: SpanId,
    name: String,
    kind: SpanKind,
    at: SystemTime,
    attributes: Vec<KeyValue>,
}

impl Started {
    pub(crate) fn of(start: &Start) -> Self {
        Self {
            parent: start.parent.span().span_context().span_id(),
            name: start.name.clone(),
            kind: start.kind.clone(),
            at: start.at,
            attributes: start.attributes.clone(),
        }
    }
}

/// A request that has begun. While it is held, the request runs.
#[derive(Debug)]
pub(crate) struct Begun {
    logs: Arc<Logs>,
    span: SpanContext,
    parent: SpanId,
    name: String,
    kind: SpanKind,
    at: SystemTime,
    /// The attributes of its span so far.
    attributes: Mutex<Vec<KeyValue>>,
    /// Those that the code of the call sets.
    given: Arc<Given>,
}

impl Begun {
    pub(crate) fn new(logs: Arc<Logs>, span: SpanContext, started: Started, given: Arc<Given>) -> Arc<Self> {
        let Started {
            parent,
            name,
            kind,
            at,
            attributes,
        } = started;
        let begun = Arc::new(Self {
            logs,
            span,
            parent,
            name,
            kind,
            at,
            attributes: Mutex::new(attributes),
            given,
        });
        RUNNING.add(&begun);
        begun
    }

    /// Adds attributes that its span got.
    pub(crate) fn add(&self, attributes: &[KeyValue]) {
        let mut known = self.attributes.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend_from_slice(attributes);
    }

    fn announce(&self) {
        self.told().tell();
    }

    /// Tells of an answer that comes after its end.
    pub(crate) fn late(&self) -> Late {
        Late::of(self.told())
    }

    fn told(&self) -> Announcement {
        let known = self.attributes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attributes = known.clone();
        drop(known);
        attributes.extend(self.given.all());
        Announcement {
            logs: Arc::clone(&self.logs),
            span: self.span.clone(),
            parent: self.parent,
            name: self.name.clone(),
            kind: self.kind.clone(),
            at: self.at,
            attributes,
        }
    }
}

/// A request that has begun, and may have ended since.
#[derive(Clone, Debug)]
struct Watched {
    span: SpanId,
    begun: Weak<Begun>,
}

impl Watched {
    fn of(begun: &Arc<Begun>) -> Self {
        Self {
            span: begun.span.span_id(),
            begun: Arc::downgrade(begun),
        }
    }

    fn runs(&self) -> bool {
        self.begun.strong_count() > 0
    }
}

/// Notes that a request has ended of which another log record is written.
pub(crate) fn ended(span: SpanId) {
    RUNNING.state().ended.add(span, Instant::now());
}

/// The requests of this process.
#[derive(Debug, Default)]
struct Running {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Begun and not announced, oldest first; some have ended since.
    begun: VecDeque<(Instant, Watched)>,
    /// Announced; some have ended since.
    announced: Vec<Watched>,
    /// Announced and ended.
    ended: Ended,
    /// When the process last said that it lives.
    beaten: Option<Instant>,
    has_thread: bool,
}

impl Running {
    fn add(&'static self, begun: &Arc<Begun>) {
        let mut state = self.state();
        let is_next = state.add(Watched::of(begun), Instant::now());
        if !state.has_thread {
            let started = thread::Builder::new()
                .name("mcptap-running".to_owned())
                .spawn(move || Thread(self).run());
            // Without it nothing is announced, and all else goes on; the next request tries again.
            state.has_thread = started.is_ok();
        } else if is_next {
            self.changed.notify_one();
        }
    }

    /// Waits until something is due.
    fn wait(&self) -> Due {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let due = state.due(now);
            if !due.announced.is_empty() || !due.alive.is_empty() {
                return due;
            }
            state = match state.next() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread. Should a log processor of the server's own panic in it, the next request starts another.
struct Thread(&'static Running);

impl Thread {
    fn run(&self) {
        loop {
            let due = self.0.wait();
            // A request that ended meanwhile is not announced: its span may be on its way already.
            for begun in due.announced.iter().filter_map(|due| due.begun.upgrade()) {
                begun.announce();
            }
            beat(&due.alive, &due.ended);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.state().has_thread = false;
    }
}

/// Says to all who were told of these requests that the process lives, and which of its requests have ended. Others may have
/// been told of those: nobody else has their ids.
fn beat(announced: &[Watched], ended: &[SpanId]) {
    let mut told: Vec<Arc<Logs>> = Vec::new();
    for begun in announced.iter().filter_map(|alive| alive.begun.upgrade()) {
        if !told.iter().any(|known| Arc::ptr_eq(known, &begun.logs)) {
            told.push(Arc::clone(&begun.logs));
        }
    }
    let mut attributes = Vec::new();
    if !ended.is_empty() {
        let ended: Vec<StringValue> = ended.iter().map(|span| span.to_string().into()).collect();
        attributes.push(KeyValue::new(semconv::ENDED, Value::Array(Array::String(ended))));
    }
    for logs in told {
        logs.event(Event {
            name: semconv::HEARTBEAT,
            span: None,
            at: SystemTime::now(),
            body: String::new(),
            attributes: attributes.clone(),
        });
    }
}

/// Requests that something is due for. None is kept alive: its end may be the end of its provider, which takes time.
#[derive(Debug, Default)]
struct Due {
    /// To be announced.
    announced: Vec<Watched>,
    /// Announced, and a heartbeat is due.
    alive: Vec<Watched>,
    /// The heartbeat names them as ended.
    ended: Vec<SpanId>,
}

impl State {
    /// Adds a request. Returns whether the thread may sleep past the time at which it is due; where an older one is listed,
    /// it does not.
    fn add(&mut self, begun: Watched, now: Instant) -> bool {
        if self.begun.len() >= MOST {
            return false;
        }
        self.begun.push_back((now, begun));
        self.begun.len() == 1
    }

    fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        while let Some((at, _)) = self.begun.front()
            && *at + ANNOUNCED_AFTER <= now
        {
            let begun = self.begun.pop_front().map(|(_, begun)| begun);
            due.announced.extend(begun.filter(Watched::runs));
        }
        if self.begun.is_empty() {
            // One burst must not keep its room for ever.
            self.begun.shrink_to(1024);
        }
        self.announced.extend(due.announced.iter().cloned());
        if !due.announced.is_empty() {
            // An announcement is a sign of life.
            self.beaten.get_or_insert(now);
        }
        if self.beaten.is_some_and(|beaten| beaten + HEARTBEAT <= now) {
            for over in self.announced.extract_if(.., |begun| !begun.runs()) {
                self.ended.add(over.span, now);
            }
            due.alive.clone_from(&self.announced);
            self.beaten = (!self.announced.is_empty()).then_some(now);
            if self.beaten.is_some() {
                due.ended = self.ended.next(now);
            }
        }
        due
    }

    /// When to look again.
    fn next(&self) -> Option<Instant> {
        let begun = self.begun.front().map(|(at, _)| *at + ANNOUNCED_AFTER + ROUND);
        let beat = self.beaten.map(|beaten| beaten + HEARTBEAT);
        [begun, beat].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
