//! What waits on disk: this process's own shelf, and those of processes that died. All shelves together are
//! bounded; when there is no room, the oldest parcels go.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ledger::{Ledger, Place};
use super::notice::Notice;
use super::parcel::Parcel;
use super::settings::SpoolSettings;
use super::shelf::{self, Addresses, Entry, Shelf};
use super::signal::{Lanes, Signal};

/// How long the disk is left alone after it made trouble.
const REST: Duration = Duration::from_secs(30);
/// How long what others take on disk is taken for known.
const FRESH: Duration = Duration::from_secs(5);
/// How many shelves of dead processes are held at once.
const ADOPTED: usize = 16;

/// A parcel on disk, and where.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) signal: Signal,
    pub(super) entry: Entry,
    pub(super) file: PathBuf,
    /// The shelf's directory, when it is another process's.
    pub(super) adopted: Option<PathBuf>,
}

/// All shelves that this process holds.
#[derive(Debug)]
pub(super) struct Spool {
    settings: SpoolSettings,
    addresses: Addresses,
    ledger: Arc<Ledger>,
    /// None until the first parcel must be kept: as long as all is well the disk is not touched.
    own: Option<Shelf>,
    /// The oldest first.
    adopted: Vec<Shelf>,
    /// Bytes of shelves that belong to processes that live.
    others: u64,
    /// Bytes of shelves of dead processes that sent somewhere else.
    strangers: u64,
    looked: Option<Instant>,
    rest_until: Option<Instant>,
    full: Notice,
    trouble: Notice,
}

impl Spool {
    pub(super) fn new(settings: SpoolSettings, addresses: Addresses, ledger: Arc<Ledger>) -> Self {
        Self {
            settings,
            addresses,
            ledger,
            own: None,
            adopted: Vec::new(),
            others: 0,
            strangers: 0,
            looked: None,
            rest_until: None,
            full: Notice::default(),
            trouble: Notice::default(),
        }
    }

    /// Keeps a parcel. False when it cannot be kept: memory is the place for it then.
    pub(super) fn store(&mut self, number: u64, parcel: &Parcel) -> bool {
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        if !self.make_room(shelf::size(parcel)) {
            return false;
        }
        let shelf = match self.own.take() {
            Some(shelf) => Ok(shelf),
            None => Shelf::create(&self.settings.directory, &self.addresses),
        };
        let stored = shelf.and_then(|shelf| self.own.insert(shelf).store(number, parcel));
        match stored {
            Ok(()) => {
                self.ledger.spool(parcel.records);
                true
            }
            Err(error) => {
                self.rest_until = Some(Instant::now() + REST);
                if self.trouble.is_due() {
                    tracing::warn!(
                        %error,
                        directory = %self.settings.directory.display(),
                        "telemetry cannot be kept on disk; it is kept in memory"
                    );
                }
                self.forget_if_gone();
                false
            }
        }
    }

    /// The oldest parcel of this process.
    pub(super) fn own_front(&self, signal: Signal) -> Option<Stored> {
        let shelf = self.own.as_ref()?;
        let entry = shelf.front(signal)?;
        Some(Stored {
            signal,
            entry,
            file: shelf.file(signal, entry),
            adopted: None,
        })
    }

    /// The oldest parcel of dead processes that is meant for the same collector.
    pub(super) fn adopted_front(&self, signal: Signal) -> Option<Stored> {
        let (shelf, entry) = self
            .adopted
            .iter()
            .filter(|shelf| self.is_mine(shelf, signal))
            .find_map(|shelf| Some((shelf, shelf.front(signal)?)))?;
        Some(Stored {
            signal,
            entry,
            file: shelf.file(signal, entry),
            adopted: Some(shelf.path.clone()),
        })
    }

    /// Removes a parcel of this process. None when it is not here (any more).
    pub(super) fn remove_own(&mut self, signal: Signal, number: u64) -> Option<Entry> {
        self.own.as_mut()?.remove(signal, number)
    }

    /// Removes a parcel of a dead process, and its shelf when nothing is left there for us.
    pub(super) fn remove_adopted(
        &mut self,
        directory: &PathBuf,
        signal: Signal,
        number: u64,
    ) -> Option<Entry> {
        let at = self.adopted.iter().position(|shelf| shelf.path == *directory)?;
        let removed = self.adopted.get_mut(at)?.remove(signal, number);
        self.release_if_done(at);
        removed
    }

    /// Looks for shelves of processes that died, and takes over those that are meant for the same collector.
    pub(super) fn look(&mut self) {
        self.looked = Some(Instant::now());
        (self.others, self.strangers) = (0, 0);
        for directory in self.directories() {
            let Some(shelf) = Shelf::adopt(&directory) else {
                self.others = self.others.saturating_add(shelf::weigh(&directory));
                continue;
            };
            let records: u64 = self.mine(&shelf).map(|signal| shelf.records(signal)).sum();
            if shelf.is_empty() {
                shelf.close();
            } else if records > 0 && self.adopted.len() < ADOPTED {
                tracing::debug!(records, directory = %directory.display(), "an earlier process left telemetry");
                self.ledger.adopt(records);
                self.adopted.push(shelf);
            } else {
                self.strangers = self.strangers.saturating_add(shelf.bytes());
            }
        }
        self.adopted.sort_by(|one, other| one.path.cmp(&other.path));
    }

    /// Leaves what is on disk to the next process.
    pub(super) fn close(&mut self) {
        for shelf in self.own.take().into_iter().chain(self.adopted.drain(..)) {
            shelf.close();
        }
    }

    /// Makes room for so many bytes. False when that cannot be done, since it is others who take it.
    fn make_room(&mut self, bytes: u64) -> bool {
        let limit = self.settings.bytes;
        if bytes > limit {
            return false;
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= FRESH) {
            self.look();
        }
        let mut lost = 0_u64;
        let has_room = loop {
            if self.total().saturating_add(bytes) <= limit {
                break true;
            }
            match self.drop_oldest() {
                Some(records) => lost = lost.saturating_add(records),
                None => break false,
            }
        };
        if lost > 0 && self.full.is_due() {
            tracing::warn!(
                lost = self.ledger.stats().lost,
                limit,
                directory = %self.settings.directory.display(),
                "the collector is away and the telemetry kept on disk takes all the room it may; the oldest is dropped"
            );
        }
        has_room
    }

    fn total(&self) -> u64 {
        let held = self.own.iter().chain(&self.adopted).map(Shelf::bytes);
        held.fold(self.others.saturating_add(self.strangers), u64::saturating_add)
    }

    /// Drops the oldest parcel that may be dropped; how many records were in it. Dead processes come first, then
    /// this one; those of other processes that live are theirs.
    fn drop_oldest(&mut self) -> Option<u64> {
        if let Some(shelf) = self.adopted.first_mut()
            && let Some((signal, entry)) = shelf.oldest()
        {
            shelf.remove(signal, entry.number);
            if self
                .adopted
                .first()
                .is_some_and(|shelf| self.is_mine(shelf, signal))
            {
                self.ledger.lose(Place::Disk, entry.records);
            } else {
                self.ledger.lose_foreign(entry.records);
            }
            self.release_if_done(0);
            return Some(entry.records);
        }
        if self.strangers > 0 {
            let stranger = self.directories().into_iter().find_map(|directory| {
                let shelf = Shelf::adopt(&directory)?;
                Some((shelf.oldest()?, shelf))
            });
            if let Some(((signal, entry), mut shelf)) = stranger {
                shelf.remove(signal, entry.number);
                shelf.close();
                self.strangers = self.strangers.saturating_sub(entry.bytes);
                self.ledger.lose_foreign(entry.records);
                return Some(entry.records);
            }
            self.strangers = 0;
        }
        let shelf = self.own.as_mut()?;
        let (signal, entry) = shelf.oldest()?;
        shelf.remove(signal, entry.number);
        self.ledger.lose(Place::Disk, entry.records);
        Some(entry.records)
    }

    /// The directories of other processes that this one does not hold, the oldest first.
    fn directories(&self) -> Vec<PathBuf> {
        let Ok(directories) = fs::read_dir(&self.settings.directory) else {
            return Vec::new();
        };
        let is_held = |path: &PathBuf| {
            self.own
                .iter()
                .chain(&self.adopted)
                .any(|shelf| shelf.path == *path)
        };
        let mut found: Vec<PathBuf> = directories
            .flatten()
            .filter(|directory| directory.file_name().to_str().is_some_and(shelf::is_name))
            .map(|directory| directory.path())
            .filter(|path| !is_held(path))
            .collect();
        found.sort();
        found
    }

    /// Whether what a shelf holds of a signal is meant for the collector of this process.
    fn is_mine(&self, shelf: &Shelf, signal: Signal) -> bool {
        let address = self.addresses.of(signal);
        address.is_some() && address == shelf.addresses.of(signal)
    }

    fn mine<'a>(&'a self, shelf: &'a Shelf) -> impl Iterator<Item = Signal> + 'a {
        Signal::ALL
            .into_iter()
            .filter(move |signal| self.is_mine(shelf, *signal))
    }

    /// Lets go of an adopted shelf that has nothing more for us; what is left there is for somebody else.
    fn release_if_done(&mut self, at: usize) {
        let is_done = self
            .adopted
            .get(at)
            .is_some_and(|shelf| self.mine(shelf).all(|signal| shelf.front(signal).is_none()));
        if is_done {
            let shelf = self.adopted.remove(at);
            self.strangers = self.strangers.saturating_add(shelf.bytes());
            shelf.close();
        }
    }

    /// Somebody may have removed the directory.
    fn forget_if_gone(&mut self) {
        if let Some(shelf) = self.own.take_if(|shelf| !shelf.path.exists()) {
            let records = Lanes::new(|signal| shelf.records(signal));
            for signal in Signal::ALL {
                self.ledger.lose(Place::Disk, *records.of(signal));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::shelf::tests::parcel;
    use super::*;

    fn spool(directory: &Path, bytes: u64, host: &str) -> (Spool, Arc<Ledger>) {
        let settings = SpoolSettings {
            directory: directory.to_owned(),
            bytes,
        };
        let addresses = Lanes::new(|signal| Some(format!("http://{host}{}", signal.http_path())));
        let ledger = Arc::new(Ledger::default());
        (Spool::new(settings, addresses, Arc::clone(&ledger)), ledger)
    }

    fn store(spool: &mut Spool, ledger: &Ledger, numbers: std::ops::Range<u64>) {
        for number in numbers {
            ledger.arrive(1);
            assert!(spool.store(number, &parcel(Signal::Traces, 1, b"body")));
        }
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let root = tempfile::tempdir().unwrap();
        let (mut spool, ledger) = spool(root.path(), 3 * 4096, "host");
        store(&mut spool, &ledger, 0..5);
        assert_eq!(spool.own_front(Signal::Traces).unwrap().entry.number, 2);
        assert_eq!((ledger.stats().lost, ledger.stats().spooled), (2, 3));
        // What fits nowhere drops nothing.
        assert!(!spool.store(9, &parcel(Signal::Traces, 1, &[0; 5 * 4096])));
        assert_eq!(ledger.stats().spooled, 3);
    }

    #[test]
    fn dead_processes_for_the_same_collector_are_taken_over_and_give_way_first() {
        let root = tempfile::tempdir().unwrap();
        for host in ["host", "elsewhere"] {
            let (mut dead, ledger) = spool(root.path(), 1 << 20, host);
            store(&mut dead, &ledger, 0..2);
        }
        let (mut living, ledger) = spool(root.path(), 1 << 20, "anywhere");
        store(&mut living, &ledger, 0..1);

        let (mut spool, ledger) = spool(root.path(), 6 * 4096, "host");
        spool.look();
        assert_eq!(ledger.stats().spooled, 2);
        let first = spool.adopted_front(Signal::Traces).unwrap();
        assert_eq!(first.entry.number, 0);
        assert!(spool.adopted_front(Signal::Logs).is_none());
        let directory = first.adopted.unwrap();
        spool.remove_adopted(&directory, Signal::Traces, 0).unwrap();
        ledger.settle(Place::Disk, 1, 0);

        // The living process has a parcel and the file of its addresses; of the 6 blocks 4 are left.
        store(&mut spool, &ledger, 0..4);
        assert!(!directory.exists(), "the oldest went, and its directory");
        assert_eq!((ledger.stats().lost, ledger.stats().spooled), (3, 4));
        store(&mut spool, &ledger, 4..5);
        assert_eq!(spool.own_front(Signal::Traces).unwrap().entry.number, 1);
        assert!(living.own_front(Signal::Traces).unwrap().file.exists());
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let (mut spool, ledger) = spool(&file, 1 << 20, "host");
        ledger.arrive(1);
        assert!(!spool.store(0, &parcel(Signal::Traces, 1, b"body")));
        fs::remove_file(&file).unwrap();
        assert!(
            !spool.store(0, &parcel(Signal::Traces, 1, b"body")),
            "not tried again at once"
        );
        assert_eq!((ledger.stats().waiting, ledger.stats().lost), (1, 0));
    }
}
