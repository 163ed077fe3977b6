//! What was recorded and waits to be encoded. Bounded; pushing never waits for anything slow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::SpanData;

use super::ledger::{Ledger, Place};
use super::parcel::{REQUEST_BYTES, log_weight, span_weight};

/// One record.
#[derive(Debug)]
pub(super) enum Record {
    Span(Box<SpanData>),
    Log(Box<(SdkLogRecord, InstrumentationScope)>),
}

/// How much may wait, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes, as [`span_weight`] and [`log_weight`] count them.
    pub(super) bytes: usize,
    pub(super) records: usize,
    /// How long a record waits for company.
    pub(super) linger: Duration,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<(Record, usize)>,
    bytes: usize,
    /// When the oldest record came.
    since: Option<Instant>,
    /// Somebody waits for what is queued.
    hurry: bool,
    is_closed: bool,
}

/// The queue. When it is full the oldest records go, and are counted as lost.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
    ledger: Arc<Ledger>,
    /// Something had to go since this was last asked.
    has_overflowed: AtomicBool,
}

impl Record {
    fn weight(&self) -> usize {
        match self {
            Self::Span(span) => span_weight(span),
            Self::Log(log) => log_weight(&log.0),
        }
    }
}

impl Queue {
    pub(super) fn new(limits: Limits, ledger: Arc<Ledger>) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            changed: Condvar::new(),
            ledger,
            has_overflowed: AtomicBool::new(false),
        }
    }

    pub(super) fn push(&self, record: Record) {
        let weight = record.weight();
        // What goes is dropped after the lock: freeing large bodies takes time.
        let mut gone = Vec::new();
        {
            let mut state = self.state();
            if state.is_closed {
                return;
            }
            self.ledger.arrive(1);
            if weight > self.limits.bytes || self.limits.records == 0 {
                gone.push(record);
            } else {
                while state.bytes.saturating_add(weight) > self.limits.bytes
                    || state.records.len() >= self.limits.records
                {
                    let Some((oldest, weight)) = state.records.pop_front() else {
                        break;
                    };
                    state.bytes = state.bytes.saturating_sub(weight);
                    gone.push(oldest);
                }
                state.records.push_back((record, weight));
                state.bytes = state.bytes.saturating_add(weight);
                let first = state.since.is_none();
                state.since.get_or_insert_with(Instant::now);
                if first || state.bytes >= REQUEST_BYTES {
                    self.changed.notify_one();
                }
            }
        }
        if !gone.is_empty() {
            self.ledger.lose(Place::Memory, gone.len() as u64);
            self.has_overflowed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether something had to go since this was last asked. It is not the server's thread that says so: even a
    /// warning may have to wait.
    pub(super) fn has_overflowed(&self) -> bool {
        self.has_overflowed.swap(false, Ordering::Relaxed)
    }

    /// The next records, in the order they came, about [`REQUEST_BYTES`] of them; waits for them to come. None
    /// after [`close`](Self::close) once everything was taken.
    pub(super) fn take(&self) -> Option<Vec<Record>> {
        let mut state = self.state();
        loop {
            let Some(since) = state.since else {
                if state.is_closed {
                    return None;
                }
                state.hurry = false;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let wait = self.limits.linger.saturating_sub(since.elapsed());
            if wait.is_zero() || state.hurry || state.is_closed || state.bytes >= REQUEST_BYTES {
                return Some(state.take());
            }
            (state, _) = self
                .changed
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the waiting for company, once.
    pub(super) fn hurry(&self) {
        self.state().hurry = true;
        self.changed.notify_one();
    }

    /// Takes nothing more in.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<Record> {
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while bytes < REQUEST_BYTES
            && let Some((record, weight)) = self.records.pop_front()
        {
            bytes = bytes.saturating_add(weight);
            self.bytes = self.bytes.saturating_sub(weight);
            taken.push(record);
        }
        if self.records.is_empty() {
            self.since = None;
            // One large body must not keep its room for ever.
            self.records.shrink_to(1024);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::parcel::tests::spans;

    fn queue(bytes: usize, records: usize) -> (Queue, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::default());
        let limits = Limits {
            bytes,
            records,
            linger: Duration::ZERO,
        };
        (Queue::new(limits, Arc::clone(&ledger)), ledger)
    }

    fn push(queue: &Queue, names: std::ops::Range<usize>, body: usize) {
        for (span, name) in spans(names.len(), body).into_iter().zip(names) {
            let name = name.to_string().into();
            queue.push(Record::Span(Box::new(SpanData { name, ..span })));
        }
    }

    fn names(records: Vec<Record>) -> Vec<String> {
        let name = |record| match record {
            Record::Span(span) => span.name.into_owned(),
            Record::Log(_) => panic!("no log was pushed"),
        };
        records.into_iter().map(name).collect()
    }

    #[test]
    fn the_oldest_go_when_it_is_full_and_are_counted() {
        let (queue, ledger) = queue(usize::MAX, 3);
        push(&queue, 0..5, 1);
        assert_eq!(names(queue.take().unwrap()), ["2", "3", "4"]);
        assert_eq!((ledger.stats().lost, ledger.stats().waiting), (2, 3));
    }

    #[test]
    fn it_is_bounded_in_bytes() {
        let (queue, ledger) = queue(10_000, usize::MAX);
        push(&queue, 0..4, 3000);
        push(&queue, 4..5, 20_000);
        assert_eq!(names(queue.take().unwrap()), ["1", "2", "3"]);
        assert_eq!(ledger.stats().lost, 2);
    }

    #[test]
    fn what_is_queued_can_be_taken_after_closing_and_nothing_else_comes_in() {
        let (queue, ledger) = queue(usize::MAX, 10);
        push(&queue, 0..2, 2 * REQUEST_BYTES);
        queue.close();
        push(&queue, 2..3, 1);
        assert_eq!(names(queue.take().unwrap()), ["0"]);
        assert_eq!(names(queue.take().unwrap()), ["1"]);
        assert!(queue.take().is_none());
        assert_eq!(ledger.stats().waiting, 2);
    }
}
