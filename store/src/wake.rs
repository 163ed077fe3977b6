//! Who sleeps is woken for what it waits for, and for nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcptap_model::{CallFilter, UnixNanos};
use tokio::sync::Notify;

use crate::recent::{Ahead, Recent, Sight, Window};
use crate::{Options, Seq};

/// Between two rounds there is at least this long: what is committed meanwhile is one message instead of several.
const PAUSE: Duration = Duration::from_millis(4);

/// And this many times as long as the round took, so that no number of followers takes all of a processor.
const REST: u32 = 3;

/// How many filters are compared before whoever adds changes may have the window.
const AT_ONCE: usize = 32;

/// Where a follower sleeps.
#[derive(Debug)]
pub(crate) struct Bed {
    number: u64,
    filter: CallFilter,
    sight: Sight,
    place: Mutex<Place>,
    wake: Notify,
}

#[derive(Debug)]
struct Place {
    /// Nothing of the filter lies between the follower's own position and this.
    position: Seq,
    asleep: bool,
}

impl Bed {
    /// A follower that is awake has come this far.
    pub(crate) fn stand(&self, position: Seq) {
        *self.place() = Place {
            position,
            asleep: false,
        };
    }

    /// A follower that has come this far wants to be woken.
    pub(crate) fn lie_down(&self, position: Seq) {
        *self.place() = Place {
            position,
            asleep: true,
        };
    }

    /// Moves whoever sleeps here past what it does not wait for, and wakes it if there is something for it after
    /// `position`.
    pub(crate) fn heed(&self, window: &Window, position: Seq, oldest: UnixNanos) {
        let (passed, wake) = match window.ahead(&self.filter, position, oldest, self.sight) {
            Ahead::Nothing(head) => (head, false),
            Ahead::First(seq) => (Seq(seq.0 - 1), true),
            Ahead::Unknown => (position, true),
        };
        let mut place = self.place();
        if place.asleep {
            place.position = place.position.max(passed);
            if wake {
                place.asleep = false;
                self.wake.notify_one();
            }
        }
    }

    /// Until there is something.
    pub(crate) async fn woken(&self) {
        while self.place().asleep {
            // May be of an earlier sleep.
            self.wake.notified().await;
        }
    }

    /// Whether there was something, and how far the follower needs not look.
    pub(crate) fn stand_up(&self) -> (bool, Seq) {
        let mut place = self.place();
        (!std::mem::replace(&mut place.asleep, false), place.position)
    }

    /// How far the follower needs not look.
    pub(crate) fn position(&self) -> Seq {
        self.place().position
    }

    fn asleep(&self) -> Option<Seq> {
        let place = self.place();
        place.asleep.then_some(place.position)
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All beds.
#[derive(Debug, Default)]
pub(crate) struct Beds {
    beds: Mutex<HashMap<u64, Arc<Bed>>>,
    next: AtomicU64,
}

impl Beds {
    /// One more, for a follower that is awake.
    pub(crate) fn make(&self, filter: CallFilter, sight: Sight, position: Seq) -> Arc<Bed> {
        let bed = Arc::new(Bed {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            filter,
            sight,
            place: Mutex::new(Place {
                position,
                asleep: false,
            }),
            wake: Notify::new(),
        });
        self.beds().insert(bed.number, Arc::clone(&bed));
        bed
    }

    pub(crate) fn remove(&self, bed: &Bed) {
        self.beds().remove(&bed.number);
    }

    /// How many followers there are, and how many numbers the last of those awake is behind `head`.
    pub(crate) fn survey(&self, head: Seq) -> (usize, u64) {
        let all = self.all();
        let awake = all.iter().filter(|bed| bed.asleep().is_none());
        let behind = awake.map(|bed| u64::try_from(head.0 - bed.position().0).unwrap_or_default());
        (all.len(), behind.max().unwrap_or_default())
    }

    fn all(&self) -> Vec<Arc<Bed>> {
        self.beds().values().cloned().collect()
    }

    fn beds(&self) -> MutexGuard<'_, HashMap<u64, Arc<Bed>>> {
        self.beds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes, until it is cancelled.
pub(crate) async fn run(recent: Arc<Recent>, beds: Arc<Beds>, options: Options) {
    loop {
        recent.moved.notified().await;
        let oldest = options.oldest_kept();
        let mut took = Duration::ZERO;
        for some in beds.all().chunks(AT_ONCE) {
            let started = Instant::now();
            heed(some, &recent.look(), oldest);
            took += started.elapsed();
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(PAUSE.max(took * REST)).await;
    }
}

fn heed(beds: &[Arc<Bed>], window: &Window, oldest: UnixNanos) {
    for bed in beds {
        if let Some(position) = bed.asleep() {
            bed.heed(window, position, oldest);
        }
    }
}
