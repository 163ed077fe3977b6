//! Requests that run: each is announced once it has run for a second, and its process says that it lives for as long as
//! there are such.
//!
//! A span is sent when it ends, so a request that hangs, or whose process is killed, would never be seen. An announcement
//! is a log record (an event named `mcptap.call.running`) with the ids of the span and the attributes that it has by then: every
//! backend takes that for a line of the span's own log, and mcptap shows the request as running until the span comes. A
//! heartbeat (`mcptap.heartbeat`) follows every ten seconds; when it stays away, mcptap takes what was announced for lost.
//!
//! One thread does it for the whole process. It starts with the first request, sleeps while none runs, and never holds up a
//! server's own thread: beginning a request appends to a list, ending it drops a reference.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt};

use crate::recorder::{Event, Recorder, Start};

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
    recorder: Recorder,
    span: SpanContext,
    parent: SpanId,
    name: String,
    kind: SpanKind,
    at: SystemTime,
    /// The attributes of its span so far.
    attributes: Mutex<Vec<KeyValue>>,
}

impl Begun {
    pub(crate) fn new(recorder: Recorder, span: SpanContext, started: Started) -> Arc<Self> {
        let Started {
            parent,
            name,
            kind,
            at,
            attributes,
        } = started;
        let begun = Arc::new(Self {
            recorder,
            span,
            parent,
            name,
            kind,
            at,
            attributes: Mutex::new(attributes),
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
        let known = self.attributes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attributes = known.clone();
        drop(known);
        attributes.push(KeyValue::new(semconv::SPAN_KIND, kind(&self.kind)));
        if self.parent != SpanId::INVALID {
            attributes.push(KeyValue::new(semconv::SPAN_PARENT, self.parent.to_string()));
        }
        self.recorder.event(Event {
            name: semconv::CALL_RUNNING,
            span: Some(&self.span),
            at: self.at,
            body: self.name.clone(),
            attributes,
        });
    }
}

/// The number that OTLP has for it (`Span.SpanKind`).
fn kind(kind: &SpanKind) -> i64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
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
    begun: VecDeque<(Instant, Weak<Begun>)>,
    /// Announced; some have ended since.
    announced: Vec<Weak<Begun>>,
    /// When the process last said that it lives.
    beaten: Option<Instant>,
    has_thread: bool,
}

impl Running {
    fn add(&'static self, begun: &Arc<Begun>) {
        let mut state = self.state();
        let is_next = state.add(Arc::downgrade(begun), Instant::now());
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
            for begun in due.announced.iter().filter_map(Weak::upgrade) {
                begun.announce();
            }
            beat(&due.alive);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.state().has_thread = false;
    }
}

/// Says through each recorder of these requests that the process lives.
fn beat(announced: &[Weak<Begun>]) {
    let mut recorders: Vec<Recorder> = Vec::new();
    for begun in announced.iter().filter_map(Weak::upgrade) {
        if !recorders.iter().any(|known| known.is_same(&begun.recorder)) {
            recorders.push(begun.recorder.clone());
        }
    }
    for recorder in recorders {
        recorder.event(Event {
            name: semconv::HEARTBEAT,
            span: None,
            at: SystemTime::now(),
            body: String::new(),
            attributes: Vec::new(),
        });
    }
}

/// Requests that something is due for. None is kept alive: its end may be the end of its provider, which takes time.
#[derive(Debug, Default)]
struct Due {
    /// To be announced.
    announced: Vec<Weak<Begun>>,
    /// Announced, and a heartbeat is due.
    alive: Vec<Weak<Begun>>,
}

impl State {
    /// Adds a request. Returns whether the thread may sleep past the time at which it is due; where an older one is listed,
    /// it does not.
    fn add(&mut self, begun: Weak<Begun>, now: Instant) -> bool {
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
            due.announced
                .extend(begun.filter(|begun| begun.strong_count() > 0));
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
            self.announced.retain(|begun| begun.strong_count() > 0);
            due.alive.clone_from(&self.announced);
            self.beaten = (!self.announced.is_empty()).then_some(now);
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
mod tests {
    use opentelemetry::logs::AnyValue;
    use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    fn begun(recorder: &Recorder) -> Arc<Begun> {
        Arc::new(Begun {
            recorder: recorder.clone(),
            span: SpanContext::NONE,
            parent: SpanId::INVALID,
            name: String::new(),
            kind: SpanKind::Server,
            at: SystemTime::now(),
            attributes: Mutex::default(),
        })
    }

    #[test]
    fn what_runs_for_a_second_is_announced_once_and_kept_alive_until_it_ends() {
        let mut state = State::default();
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let (long, short) = (begun(&Recorder::Global), begun(&Recorder::Global));
        for begun in [&long, &short] {
            state.add(Arc::downgrade(begun), start);
        }
        assert!(state.due(start).announced.is_empty());
        assert_eq!(state.next(), Some(after(1) + ROUND));
        drop(short);
        assert_eq!(state.due(after(1)).announced.len(), 1);
        let later = state.due(after(2));
        assert!(later.announced.is_empty() && later.alive.is_empty());
        assert_eq!(state.next(), Some(after(11)));
        assert_eq!(state.due(after(11)).alive.len(), 1);
        drop(long);
        assert!(state.due(after(21)).alive.is_empty());
        assert_eq!(state.next(), None);
    }

    #[test]
    fn the_thread_is_woken_for_a_request_that_begins_while_others_run() {
        let mut state = State::default();
        let start = Instant::now();
        let begun = [(); 3].map(|()| begun(&Recorder::Global));
        let [first, second, third] = begun.each_ref().map(Arc::downgrade);
        assert!(state.add(first, start));
        assert_eq!(state.due(start + ANNOUNCED_AFTER).announced.len(), 1);
        // Its heartbeat is due in ten seconds.
        let later = start + 2 * ANNOUNCED_AFTER;
        assert!(state.add(second, later) && !state.add(third, later));
        assert_eq!(state.next(), Some(later + ANNOUNCED_AFTER + ROUND));
        assert_eq!(state.due(later + ANNOUNCED_AFTER).announced.len(), 2);
    }

    #[test]
    fn the_thread_wakes_seldom_however_many_requests_begin() {
        let mut state = State::default();
        let start = Instant::now();
        let begun = begun(&Recorder::Global);
        for number in 0..1000 {
            state.add(Arc::downgrade(&begun), start + Duration::from_millis(number));
        }
        let mut wakes = 0;
        while let Some(at) = state.next()
            && !state.begun.is_empty()
        {
            state.due(at);
            wakes += 1;
        }
        assert!(wakes <= 10, "{wakes}");
    }

    #[test]
    fn each_provider_gets_one_heartbeat_and_each_request_an_announcement() {
        let memory = InMemoryLogExporter::default();
        let logs = SdkLoggerProvider::builder()
            .with_simple_exporter(memory.clone())
            .build();
        let recorder = Recorder::given(&SdkTracerProvider::builder().build(), Some(&logs));
        let requests = [begun(&recorder), begun(&recorder)];
        beat(&requests.each_ref().map(Arc::downgrade));
        for request in &requests {
            request.add(&[KeyValue::new("tool", "t")]);
            request.announce();
        }
        let emitted = memory.get_emitted_logs().unwrap();
        let names: Vec<_> = emitted.iter().map(|log| log.record.event_name()).collect();
        let [heartbeat, announcement] = [semconv::HEARTBEAT, semconv::CALL_RUNNING].map(Some);
        assert_eq!(names, [heartbeat, announcement, announcement]);
        let has = |name: &str, value: AnyValue| {
            let mut attributes = emitted[1].record.attributes_iter();
            attributes.any(|(key, given)| key.as_str() == name && *given == value)
        };
        assert!(has("tool", "t".into()) && has(semconv::SPAN_KIND, 2_i64.into()));
    }
}
