//! Waiting followers are woken for changes of their filter, and for nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcptap_model::{Matcher, UnixNanos};
use tokio::sync::Notify;

use crate::feed::recent::{Ahead, Comparing, Reader, Recent, Visibility};
use crate::{Options, Seq};

/// Between two rounds there is at least this long: what is committed meanwhile is one message instead of several.
const PAUSE: Duration = Duration::from_millis(4);

/// And this many times as long as the round took, so that no number of followers takes all of a processor.
const REST: u32 = 3;

/// How many filters are compared with one copy of changes.
const AT_ONCE: usize = 32;

/// A follower as it waits: what for, and how far it has come.
#[derive(Debug)]
pub(crate) struct Waiter {
    number: u64,
    matcher: Arc<Matcher>,
    /// The visits that it names, which are watched.
    visits: Vec<String>,
    visibility: Visibility,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    /// Nothing of the filter lies between the follower's own position and this.
    position: Seq,
    parked: bool,
}

impl Waiter {
    /// A follower that is awake has come this far.
    pub(crate) fn move_to(&self, position: Seq) {
        *self.state() = State {
            position,
            parked: false,
        };
    }

    /// A follower that has come this far wants to be woken.
    pub(crate) fn park(&self, position: Seq) {
        *self.state() = State {
            position,
            parked: true,
        };
    }

    /// Moves a parked follower past what it does not wait for, and wakes it if there is something for it after
    /// `position`.
    fn tell(&self, position: Seq, ahead: Ahead) {
        let (passed, wake) = match ahead {
            Ahead::Nothing(upto) => (upto, false),
            Ahead::First(seq) => (Seq(seq.0 - 1), true),
            Ahead::Unknown => (position, true),
        };
        let mut state = self.state();
        if state.parked {
            state.position = state.position.max(passed);
            if wake {
                state.parked = false;
                self.wake.notify_one();
            }
        }
    }

    /// Until there is something.
    pub(crate) async fn woken(&self) {
        while self.state().parked {
            // A permit may be left from an earlier wait.
            self.wake.notified().await;
        }
    }

    /// Whether there was something, and how far the follower needs not look.
    pub(crate) fn unpark(&self) -> (bool, Seq) {
        let mut state = self.state();
        (!std::mem::replace(&mut state.parked, false), state.position)
    }

    /// How far the follower needs not look.
    pub(crate) fn position(&self) -> Seq {
        self.state().position
    }

    fn parked(&self) -> Option<Seq> {
        let state = self.state();
        state.parked.then_some(state.position)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All waiters.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiters: Mutex<HashMap<u64, Arc<Waiter>>>,
    next: AtomicU64,
}

impl Waiters {
    /// One more, for a follower that is awake.
    pub(crate) fn make(
        &self,
        matcher: Arc<Matcher>,
        visits: Vec<String>,
        visibility: Visibility,
        position: Seq,
    ) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            matcher,
            visits,
            visibility,
            state: Mutex::new(State {
                position,
                parked: false,
            }),
            wake: Notify::new(),
        });
        self.waiters().insert(waiter.number, Arc::clone(&waiter));
        waiter
    }

    pub(crate) fn remove(&self, waiter: &Waiter) {
        self.waiters().remove(&waiter.number);
    }

    /// How many followers there are, and how many numbers the last of those awake is behind `head`.
    pub(crate) fn survey(&self, head: Seq) -> (usize, u64) {
        let all = self.all();
        let awake = all.iter().filter(|waiter| waiter.parked().is_none());
        let behind = awake.map(|waiter| u64::try_from(head.0 - waiter.position().0).unwrap_or_default());
        (all.len(), behind.max().unwrap_or_default())
    }

    fn all(&self) -> Vec<Arc<Waiter>> {
        self.waiters().values().cloned().collect()
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<u64, Arc<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes, until it is cancelled.
pub(crate) async fn run(recent: Arc<Recent>, waiters: Arc<Waiters>, options: Options) {
    loop {
        recent.moved.notified().await;
        let oldest = options.oldest_kept();
        let mut took = Duration::ZERO;
        for some in waiters.all().chunks(AT_ONCE) {
            let started = Instant::now();
            check(some, &recent, oldest).await;
            took += started.elapsed();
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(PAUSE.max(took * REST)).await;
    }
}

/// Compares what came after the positions of those who are parked with their filters.
pub(crate) async fn check(waiters: &[Arc<Waiter>], recent: &Recent, oldest: UnixNanos) {
    let mut comparing = Comparing::default();
    let parked = waiters
        .iter()
        .filter_map(|waiter| Some((waiter.parked()?, waiter)));
    let mut parked: Vec<(Seq, &Arc<Waiter>)> = parked.collect();
    // Each copy begins at the lowest position among them.
    while let Some(first) = parked.iter().map(|(position, _)| *position).min() {
        let visits = parked
            .iter()
            .flat_map(|(_, waiter)| waiter.visits.iter().cloned());
        let excerpt = recent.excerpt(first, &visits.collect::<Vec<_>>());
        let mut further = Vec::new();
        for (position, waiter) in parked {
            let Some(excerpt) = &excerpt else {
                if position == first {
                    waiter.tell(position, Ahead::Unknown);
                } else {
                    further.push((position, waiter));
                }
                continue;
            };
            if !excerpt.reaches(position, waiter.visibility) {
                further.push((position, waiter));
                continue;
            }
            let reader = Reader {
                matcher: &waiter.matcher,
                after: position,
                oldest,
                visibility: waiter.visibility,
            };
            let ahead = excerpt.ahead(reader, &mut comparing).await;
            waiter.tell(position, ahead);
            if let Ahead::Nothing(upto) = ahead
                && !excerpt.is_all(waiter.visibility)
            {
                further.push((upto, waiter));
            }
        }
        parked = further;
    }
}
