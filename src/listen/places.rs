//! The places of a port. Where all are taken, whoever does least gives theirs up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::port::Counters;

/// How often somebody who waits for a place looks again for one to take.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// As many places as connections may be open.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Taken>>,
    next: AtomicU64,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Taken {
    activity: Arc<Activity>,
    close: CancellationToken,
}

/// A place that is taken, until it is dropped: an upgraded connection keeps it.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
    /// Closes the connection.
    pub(super) close: CancellationToken,
    pub(super) activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(count: usize, counters: Arc<Counters>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))),
            taken: Mutex::default(),
            next: AtomicU64::new(0),
            counters,
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u64, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if need be that of a connection that does nothing. Where all are at work it waits for one to end.
    /// `close` becomes the connection's own token.
    pub(super) async fn take(self: &Arc<Self>, close: CancellationToken) -> Place {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.displace();
            // The one that was told to go has still to go.
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, Arc::clone(&self.free).acquire_owned()).await {
                break permit;
            }
        };
        let (number, activity) = (self.next.fetch_add(1, Ordering::Relaxed), Activity::new());
        self.taken().insert(
            number,
            Taken {
                activity: Arc::clone(&activity),
                close: close.clone(),
            },
        );
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        Place {
            number,
            places: Arc::clone(self),
            close,
            activity,
            _permit: permit,
        }
    }

    /// Closes the connection that would be missed least: one that never asked for anything before one that did, then one
    /// that does not take its answers, and of those the one that has been so longest. Tells whether there was one.
    pub(super) fn displace(&self) -> bool {
        let now = Instant::now();
        let taken = self.taken();
        let least = taken
            .values()
            .filter(|taken| !taken.close.is_cancelled())
            .filter_map(|taken| Some((taken.activity.worth(now)?, taken)))
            .min_by_key(|(worth, _)| *worth);
        if let Some((_, taken)) = least {
            Counters::add(&self.counters.displaced);
            taken.close.cancel();
        }
        least.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(&self.number);
        self.places.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}
