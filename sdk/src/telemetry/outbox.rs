//! What is encoded and waits for the collector, in order: on disk what is older, in memory what is newer.
//!
//! As long as parcels are taken quickly they never touch the disk. Once one is not, what waits goes to disk, and so
//! does what comes after it, until everything there is delivered.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::ledger::{Ledger, Place};
use super::notice::Notice;
use super::parcel::Parcel;
use super::shelf::load;
use super::signal::{Lanes, Signal};
use super::spool::{Spool, Stored};

/// What may wait in memory before it goes to disk, in bytes.
const SPILL_BYTES: usize = 8 * 1024 * 1024;
/// What may wait in memory when the disk does not take it, in bytes.
const MEMORY_BYTES: usize = 32 * 1024 * 1024;

/// A parcel to deliver.
#[derive(Debug)]
pub(super) struct Job {
    number: u64,
    /// The directory, when it is the parcel of a dead process.
    adopted: Option<PathBuf>,
    pub(super) parcel: Parcel,
}

#[derive(Debug)]
struct Held {
    number: u64,
    parcel: Parcel,
    since: Instant,
}

#[derive(Debug, Default)]
struct Lane {
    /// The newest parcels, also the one that is being delivered.
    held: VecDeque<Held>,
    /// The last attempt failed.
    is_away: bool,
}

#[derive(Debug)]
struct State {
    lanes: Lanes<Lane>,
    /// Bytes in memory, on both lanes.
    bytes: usize,
    next: u64,
    spool: Option<Spool>,
}

/// The outbox.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    ledger: Arc<Ledger>,
    arrived: Lanes<Notify>,
    overflow: Notice,
}

impl Outbox {
    /// Without a spool everything stays in memory.
    pub(super) fn new(spool: Option<Spool>, ledger: Arc<Ledger>) -> Self {
        Self {
            state: Mutex::new(State {
                lanes: Lanes::default(),
                bytes: 0,
                next: 0,
                spool,
            }),
            ledger,
            arrived: Lanes::default(),
            overflow: Notice::default(),
        }
    }

    /// Takes a parcel in, behind the others.
    pub(super) fn push(&self, parcel: Parcel) {
        let signal = parcel.signal;
        let lost = {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            state.bytes = state.bytes.saturating_add(parcel.body.len());
            state.lanes.of_mut(signal).held.push_back(Held {
                number,
                parcel,
                since: Instant::now(),
            });
            if state.is_spooling(signal) {
                state.spill(signal);
            }
            if state.bytes > SPILL_BYTES {
                Signal::ALL.into_iter().for_each(|signal| state.spill(signal));
            }
            let mut lost = 0_u64;
            while state.bytes > MEMORY_BYTES
                && let Some(records) = state.drop_oldest()
            {
                lost += records;
            }
            lost
        };
        if lost > 0 {
            self.ledger.lose(Place::Memory, lost);
            if self.overflow.is_due() {
                tracing::warn!(
                    lost = self.ledger.stats().lost,
                    "the collector is away and memory for telemetry is full; the oldest is dropped"
                );
            }
        }
        self.arrived.of(signal).notify_one();
    }

    /// The next parcel to deliver, which stays here until it is [settled](Self::settle): first what this process
    /// recorded, then what dead processes left.
    pub(super) fn next(&self, signal: Signal) -> Option<Job> {
        loop {
            let stored = {
                let state = self.state();
                let stored = state.own_stored(signal);
                let held = state.lanes.of(signal).held.front();
                match (stored, held) {
                    (Some(stored), Some(held)) if held.number < stored.entry.number => {
                        return Some(held.job());
                    }
                    (None, Some(held)) => return Some(held.job()),
                    (Some(stored), _) => stored,
                    (None, None) => state.spool.as_ref()?.adopted_front(signal)?,
                }
            };
            if let Some(parcel) = load(&stored.file, signal, stored.entry.records) {
                return Some(Job {
                    number: stored.entry.number,
                    adopted: stored.adopted,
                    parcel,
                });
            }
            tracing::debug!(file = %stored.file.display(), "a file of telemetry is torn or gone");
            self.give_up(&stored);
        }
    }

    /// A parcel is done with: the collector took all but `refused` of its records.
    pub(super) fn settle(&self, job: &Job, refused: u64) {
        let signal = job.parcel.signal;
        let place = {
            let mut state = self.state();
            state.lanes.of_mut(signal).is_away = false;
            state.remove(job)
        };
        // None: it had to go to make room while it was on its way, and is counted as lost.
        if let Some(place) = place {
            self.ledger.settle(place, job.parcel.records, refused);
        }
        self.ledger.stall(signal, false);
    }

    /// The collector is away: what waits goes to disk, and so does what comes.
    pub(super) fn hold(&self, signal: Signal) {
        {
            let mut state = self.state();
            state.lanes.of_mut(signal).is_away = true;
            state.spill(signal);
        }
        self.ledger.stall(signal, true);
    }

    /// Puts what waits on disk.
    pub(super) fn spill(&self, signal: Signal) {
        self.state().spill(signal);
    }

    /// Since when the oldest parcel has been in memory, if it could be on disk.
    pub(super) fn in_memory_since(&self, signal: Signal) -> Option<Instant> {
        let state = self.state();
        state.spool.as_ref()?;
        Some(state.lanes.of(signal).held.front()?.since)
    }

    /// Whether nothing would be lost if the process ended now.
    pub(super) fn is_safe(&self, signal: Signal) -> bool {
        self.state().lanes.of(signal).held.is_empty()
    }

    /// Waits for a parcel to come.
    pub(super) async fn arrival(&self, signal: Signal) {
        self.arrived.of(signal).notified().await;
    }

    /// Looks for what dead processes left.
    pub(super) fn adopt(&self) {
        if let Some(spool) = &mut self.state().spool {
            spool.look();
        }
        for signal in Signal::ALL {
            self.arrived.of(signal).notify_one();
        }
    }

    /// Ends everything: what is not delivered goes to disk, or is lost.
    pub(super) fn close(&self) {
        let mut state = self.state();
        for signal in Signal::ALL {
            state.spill(signal);
            self.ledger.stall(signal, true);
        }
        while let Some(records) = state.drop_oldest() {
            self.ledger.lose(Place::Memory, records);
        }
        if let Some(mut spool) = state.spool.take() {
            spool.close();
        }
    }

    fn give_up(&self, stored: &Stored) {
        let mut state = self.state();
        let Some(spool) = &mut state.spool else { return };
        let number = stored.entry.number;
        let removed = match &stored.adopted {
            Some(directory) => spool.remove_adopted(directory, stored.signal, number),
            None => spool.remove_own(stored.signal, number),
        };
        if let Some(entry) = removed {
            self.ledger.lose(Place::Disk, entry.records);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Job ===

impl Job {
    /// Whether a dead process left it.
    pub(super) fn is_adopted(&self) -> bool {
        self.adopted.is_some()
    }

    /// Whether it is the same parcel, wherever it is kept by now.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.number == other.number && self.adopted == other.adopted
    }
}

// === impl State ===

impl State {
    fn own_stored(&self, signal: Signal) -> Option<Stored> {
        self.spool.as_ref()?.own_front(signal)
    }

    fn is_spooling(&self, signal: Signal) -> bool {
        self.lanes.of(signal).is_away || self.own_stored(signal).is_some()
    }

    /// Moves what is in memory to disk, as far as that takes it.
    fn spill(&mut self, signal: Signal) {
        let Some(spool) = &mut self.spool else { return };
        let held = &mut self.lanes.of_mut(signal).held;
        while let Some(front) = held.front() {
            if !spool.store(front.number, &front.parcel) {
                return;
            }
            self.bytes = self.bytes.saturating_sub(front.parcel.body.len());
            held.pop_front();
        }
    }

    /// Takes a parcel out, and says where it was.
    fn remove(&mut self, job: &Job) -> Option<Place> {
        let signal = job.parcel.signal;
        if let Some(directory) = &job.adopted {
            let spool = self.spool.as_mut()?;
            return spool
                .remove_adopted(directory, signal, job.number)
                .map(|_| Place::Disk);
        }
        let held = &mut self.lanes.of_mut(signal).held;
        let is_front = held.front().is_some_and(|front| front.number == job.number);
        if let Some(front) = is_front.then(|| held.pop_front()).flatten() {
            self.bytes = self.bytes.saturating_sub(front.parcel.body.len());
            return Some(Place::Memory);
        }
        self.spool
            .as_mut()?
            .remove_own(signal, job.number)
            .map(|_| Place::Disk)
    }

    /// Drops the oldest parcel in memory; how many records were in it.
    fn drop_oldest(&mut self) -> Option<u64> {
        let oldest = Signal::ALL
            .into_iter()
            .filter_map(|signal| Some((self.lanes.of(signal).held.front()?.number, signal)))
            .min()?;
        let held = self.lanes.of_mut(oldest.1).held.pop_front()?;
        self.bytes = self.bytes.saturating_sub(held.parcel.body.len());
        Some(held.parcel.records)
    }
}

// === impl Held ===

impl Held {
    fn job(&self) -> Job {
        Job {
            number: self.number,
            adopted: None,
            parcel: self.parcel.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::settings::SpoolSettings;
    use super::super::shelf::tests::parcel;
    use super::*;

    fn outbox(directory: Option<&Path>) -> Outbox {
        let ledger = Arc::new(Ledger::default());
        let spool = directory.map(|directory| {
            let settings = SpoolSettings {
                directory: directory.to_owned(),
                bytes: 1 << 20,
            };
            let addresses = Lanes::new(|_| Some("http://host".to_owned()));
            Spool::new(settings, addresses, Arc::clone(&ledger))
        });
        Outbox::new(spool, ledger)
    }

    fn push(outbox: &Outbox, bodies: &[&str]) {
        for body in bodies {
            outbox.ledger.arrive(1);
            outbox.push(parcel(Signal::Traces, 1, body.as_bytes()));
        }
    }

    /// Delivers everything, as far as it goes.
    fn drain(outbox: &Outbox) -> Vec<String> {
        let mut bodies = Vec::new();
        while let Some(job) = outbox.next(Signal::Traces) {
            bodies.push(String::from_utf8(job.parcel.body.to_vec()).unwrap());
            outbox.settle(&job, 0);
        }
        bodies
    }

    #[test]
    fn what_is_taken_at_once_never_touches_the_disk() {
        let root = tempfile::tempdir().unwrap();
        let outbox = outbox(Some(root.path()));
        push(&outbox, &["a", "b"]);
        assert_eq!(drain(&outbox), ["a", "b"]);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        assert_eq!(outbox.ledger.stats().delivered, 2);
    }

    #[test]
    fn an_outage_keeps_the_order_and_delivers_once() {
        let root = tempfile::tempdir().unwrap();
        let outbox = outbox(Some(root.path()));
        push(&outbox, &["a", "b"]);
        let job = outbox.next(Signal::Traces).unwrap();
        outbox.hold(Signal::Traces);
        push(&outbox, &["c"]);
        assert_eq!(
            (outbox.ledger.stats().spooled, outbox.is_safe(Signal::Traces)),
            (3, true)
        );
        // The first attempt was heard after all.
        outbox.settle(&job, 0);
        push(&outbox, &["d"]);
        assert_eq!(drain(&outbox), ["b", "c", "d"]);
        push(&outbox, &["e"]);
        assert!(!outbox.is_safe(Signal::Traces), "in memory again");
        assert_eq!(drain(&outbox), ["e"]);
        let stats = outbox.ledger.stats();
        assert_eq!((stats.delivered, stats.spooled, stats.waiting), (5, 0, 0));
        outbox.close();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_next_process_delivers_what_is_left() {
        let root = tempfile::tempdir().unwrap();
        let first = outbox(Some(root.path()));
        push(&first, &["a", "b"]);
        first.close();
        let second = outbox(Some(root.path()));
        second.adopt();
        push(&second, &["c"]);
        assert_eq!(drain(&second), ["c", "a", "b"]);
        assert_eq!(second.ledger.stats().delivered, 3);
        second.close();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn memory_is_bounded_without_a_disk() {
        let outbox = outbox(None);
        let body = "x".repeat(MEMORY_BYTES / 4);
        push(&outbox, &[&body, &body, &body, &body, &body, "last"]);
        let stats = outbox.ledger.stats();
        assert_eq!((stats.lost, stats.waiting), (2, 4));
        assert_eq!(drain(&outbox).last().unwrap(), "last");
        push(&outbox, &["a"]);
        outbox.close();
        assert_eq!(outbox.ledger.stats().lost, 3);
    }
}
