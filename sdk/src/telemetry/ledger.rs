//! What became of every record: counted once, here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::signal::{Lanes, Signal};

/// Counts of records (spans and log records) since telemetry started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Taken by the collector, also those that an earlier process left behind.
    pub delivered: u64,
    /// In memory, on their way.
    pub waiting: u64,
    /// On disk, because the collector was away or slow; those that an earlier process left behind count once they
    /// are taken over.
    pub spooled: u64,
    /// Gone, because something was full, or nobody took them before the process ended.
    pub lost: u64,
    /// Turned away by the collector for good.
    pub refused: u64,
}

/// Where a record is while it is neither delivered nor gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    Disk,
}

#[derive(Debug, Default)]
struct Counts {
    stats: Stats,
    /// Lanes whose last attempt failed.
    stalled: Lanes<bool>,
}

/// The counts, shared by everybody who moves records.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    counts: Mutex<Counts>,
    changed: Condvar,
}

impl Ledger {
    pub(super) fn stats(&self) -> Stats {
        self.counts().stats
    }

    /// Records have arrived.
    pub(super) fn arrive(&self, records: u64) {
        self.counts().stats.waiting += records;
    }

    /// Records that an earlier process left on disk are ours now.
    pub(super) fn adopt(&self, records: u64) {
        self.counts().stats.spooled += records;
    }

    /// Records went from memory to disk.
    pub(super) fn spool(&self, records: u64) {
        self.change(|counts| {
            counts.stats.leave(Place::Memory, records);
            counts.stats.spooled += records;
        });
    }

    pub(super) fn lose(&self, from: Place, records: u64) {
        self.change(|counts| {
            counts.stats.leave(from, records);
            counts.stats.lost += records;
        });
    }

    /// Records that nobody here ever counted are gone: those of dead processes that made room.
    pub(super) fn lose_foreign(&self, records: u64) {
        self.change(|counts| counts.stats.lost += records);
    }

    /// The collector answered: it took all but `refused` of the records.
    pub(super) fn settle(&self, from: Place, records: u64, refused: u64) {
        self.change(|counts| {
            let refused = refused.min(records);
            counts.stats.leave(from, records);
            counts.stats.delivered += records - refused;
            counts.stats.refused += refused;
        });
    }

    /// Whether the last attempt on a lane failed.
    pub(super) fn stall(&self, signal: Signal, stalled: bool) {
        self.change(|counts| *counts.stalled.of_mut(signal) = stalled);
    }

    /// Waits until everything is delivered or cannot be for now, for `limit` at most. Returns how many records are
    /// still on their way.
    pub(super) fn settled(&self, limit: Duration) -> u64 {
        let deadline = Instant::now() + limit;
        let mut counts = self.counts();
        loop {
            let left = counts.stats.waiting + counts.stats.spooled;
            let stalled = Signal::ALL.iter().any(|signal| *counts.stalled.of(*signal));
            let wait = deadline.saturating_duration_since(Instant::now());
            if left == 0 || stalled || wait.is_zero() {
                return left;
            }
            (counts, _) = self
                .changed
                .wait_timeout(counts, wait)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts());
        self.changed.notify_all();
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stats {
    fn leave(&mut self, from: Place, records: u64) {
        let place = match from {
            Place::Memory => &mut self.waiting,
            Place::Disk => &mut self.spooled,
        };
        *place = place.saturating_sub(records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_in_one_place() {
        let ledger = Ledger::default();
        ledger.arrive(10);
        ledger.spool(6);
        ledger.settle(Place::Memory, 4, 1);
        ledger.settle(Place::Disk, 3, 0);
        ledger.lose(Place::Disk, 2);
        let stats = ledger.stats();
        assert_eq!((stats.delivered, stats.refused, stats.lost), (6, 1, 2));
        assert_eq!((stats.waiting, stats.spooled), (0, 1));
        assert_eq!(ledger.settled(Duration::ZERO), 1);
    }
}
