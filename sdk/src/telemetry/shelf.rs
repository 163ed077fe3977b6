//! One process's parcels on disk: a directory with a file for each parcel, locked while its process lives.
//!
//! Files are written under another name and renamed, so that one that is there is whole; it says its own length
//! and checksum all the same, since a machine may stop in between. Names begin with the parcel's number, so that
//! their order is the order of delivery. Neither credentials nor anything that was redacted is ever written.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_http::Bytes;

use super::parcel::Parcel;
use super::signal::{Lanes, Signal};

const LOCK: &str = "lock";
/// Where the parcels are meant to go, a line for each signal.
const ADDRESSES: &str = "addresses";
const PARCEL: &str = ".parcel";
/// Ends the name of a file that is being written.
const HALF: &str = ".half";
/// Begins the name of a directory that is being set up.
const NEW: &str = ".new-";
/// What the first line of a parcel begins with: the name and the version of the format.
const MAGIC: &str = "mcptap-parcel 1";
/// The least that a file takes on disk.
const BLOCK: u64 = 4096;

/// The URLs, without credentials, that the parcels of each signal are meant for.
pub(super) type Addresses = Lanes<Option<String>>;

/// A parcel on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) records: u64,
    /// What the file takes on disk.
    pub(super) bytes: u64,
}

/// A locked directory and what is in it, the oldest first.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) path: PathBuf,
    pub(super) addresses: Addresses,
    /// Held until this is dropped, also by a process that is killed.
    _lock: File,
    lanes: Lanes<VecDeque<Entry>>,
    bytes: u64,
}

// === impl Shelf ===

impl Shelf {
    /// Makes a new directory for this process.
    pub(super) fn create(root: &Path, addresses: &Addresses) -> io::Result<Self> {
        private_directories().create(root)?;
        let millis = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        // Sorted by name is sorted by age.
        let chance = RandomState::new().hash_one(std::process::id());
        let name = format!("{millis:013}-{}-{chance:016x}", std::process::id());
        let hidden = root.join(format!("{NEW}{name}"));
        private_directories().recursive(false).create(&hidden)?;
        let lock = private_file().open(hidden.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        let mut lines = String::new();
        for signal in Signal::ALL {
            if let Some(url) = addresses.of(signal) {
                lines.push_str(&format!("{} {url}\n", signal.name()));
            }
        }
        private_file()
            .open(hidden.join(ADDRESSES))?
            .write_all(lines.as_bytes())?;
        // Only now can anybody find it, locked as it is.
        let path = root.join(name);
        fs::rename(&hidden, &path)?;
        Ok(Self {
            path,
            addresses: addresses.clone(),
            _lock: lock,
            lanes: Lanes::default(),
            bytes: 0,
        })
    }

    /// Takes over the directory of a process that died. None while that lives, and for whatever else it may be.
    pub(super) fn adopt(path: &Path) -> Option<Self> {
        let lock = File::open(path.join(LOCK)).ok()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
        }
        let text = fs::read_to_string(path.join(ADDRESSES)).unwrap_or_default();
        let mut addresses = Addresses::default();
        for line in text.lines() {
            if let Some((signal, url)) = line.split_once(' ')
                && let Some(signal) = Signal::named(signal)
            {
                *addresses.of_mut(signal) = Some(url.to_owned());
            }
        }
        let mut shelf = Self {
            path: path.to_owned(),
            addresses,
            _lock: lock,
            lanes: Lanes::default(),
            bytes: 0,
        };
        let mut found = Vec::new();
        for file in fs::read_dir(path).ok()?.flatten() {
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(HALF) {
                let _ = fs::remove_file(file.path());
            } else if let Some((signal, number, records)) = read_name(name)
                && let Ok(metadata) = file.metadata()
                && metadata.is_file()
            {
                let bytes = on_disk(metadata.len());
                found.push((
                    signal,
                    Entry {
                        number,
                        records,
                        bytes,
                    },
                ));
            }
        }
        found.sort_by_key(|(_, entry)| entry.number);
        for (signal, entry) in found {
            shelf.add(signal, entry);
        }
        Some(shelf)
    }

    /// Writes a parcel behind the others of its signal.
    pub(super) fn store(&mut self, number: u64, parcel: &Parcel) -> io::Result<()> {
        let name = name(parcel.signal, number, parcel.records);
        let half = self.path.join(format!("{name}{HALF}"));
        let head = head(parcel);
        let written = private_file().open(&half).and_then(|mut file| {
            file.write_all(head.as_bytes())?;
            file.write_all(&parcel.body)?;
            fs::rename(&half, self.path.join(name))
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&half);
            return Err(error);
        }
        let entry = Entry {
            number,
            records: parcel.records,
            bytes: size(parcel),
        };
        self.add(parcel.signal, entry);
        Ok(())
    }

    /// The oldest parcel of a signal.
    pub(super) fn front(&self, signal: Signal) -> Option<Entry> {
        self.lanes.of(signal).front().copied()
    }

    /// The oldest parcel of all.
    pub(super) fn oldest(&self) -> Option<(Signal, Entry)> {
        Signal::ALL
            .into_iter()
            .filter_map(|signal| Some((signal, self.front(signal)?)))
            .min_by_key(|(_, entry)| entry.number)
    }

    /// The file of a parcel, for [`load`].
    pub(super) fn file(&self, signal: Signal, entry: Entry) -> PathBuf {
        self.path.join(name(signal, entry.number, entry.records))
    }

    /// Removes a parcel, and its file. None when it is not here (any more).
    pub(super) fn remove(&mut self, signal: Signal, number: u64) -> Option<Entry> {
        let lane = self.lanes.of_mut(signal);
        let at = lane.iter().position(|entry| entry.number == number)?;
        let entry = lane.remove(at)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        let _ = fs::remove_file(self.file(signal, entry));
        Some(entry)
    }

    pub(super) fn records(&self, signal: Signal) -> u64 {
        self.lanes.of(signal).iter().map(|entry| entry.records).sum()
    }

    /// What it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.oldest().is_none()
    }

    /// Removes the directory if nothing is left in it; else it waits for another process.
    pub(super) fn close(self) {
        if self.is_empty() {
            // Other people's files, if there are any, keep the directory.
            let _ = fs::remove_file(self.path.join(ADDRESSES));
            let _ = fs::remove_file(self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }

    fn add(&mut self, signal: Signal, entry: Entry) {
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.lanes.of_mut(signal).push_back(entry);
    }
}

/// What a parcel would take on disk.
pub(super) fn size(parcel: &Parcel) -> u64 {
    on_disk((head(parcel).len() as u64).saturating_add(parcel.body.len() as u64))
}

/// Reads a parcel. None when it is gone, torn or not one of ours.
pub(super) fn load(file: &Path, signal: Signal, records: u64) -> Option<Parcel> {
    let bytes = Bytes::from(fs::read(file).ok()?);
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let encoding = std::str::from_utf8(bytes.get(..end)?)
        .ok()?
        .strip_prefix(MAGIC)?
        .split(' ')
        .nth(1)?;
    let parcel = Parcel {
        signal,
        records,
        encoding: (encoding != "-").then(|| encoding.to_owned()),
        body: bytes.slice(end.checked_add(1)?..),
    };
    // The line must be the one that would be written for what follows it.
    (head(&parcel).as_bytes() == bytes.get(..=end)?).then_some(parcel)
}

/// What a directory takes on disk, roughly, whoever it belongs to.
pub(super) fn weigh(directory: &Path) -> u64 {
    let Ok(files) = fs::read_dir(directory) else {
        return 0;
    };
    files
        .flatten()
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| on_disk(metadata.len()))
        .sum()
}

/// Whether a directory's name is one that [`Shelf::create`] gives.
pub(super) fn is_name(name: &str) -> bool {
    let mut parts = name.split('-');
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (Some(millis), Some(process), Some(chance), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    millis.len() == 13 && is_hex(millis) && is_hex(process) && chance.len() == 16 && is_hex(chance)
}

fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK).saturating_mul(BLOCK)
}

fn name(signal: Signal, number: u64, records: u64) -> String {
    format!("{number:016x}-{}-{records}{PARCEL}", signal.name())
}

fn read_name(name: &str) -> Option<(Signal, u64, u64)> {
    let mut parts = name.strip_suffix(PARCEL)?.split('-');
    let number = u64::from_str_radix(parts.next()?, 16).ok()?;
    let signal = Signal::named(parts.next()?)?;
    let records = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((signal, number, records))
}

fn head(parcel: &Parcel) -> String {
    let encoding = parcel.encoding.as_deref().unwrap_or("-");
    let length = parcel.body.len();
    format!("{MAGIC} {encoding} {length} {:016x}\n", checksum(&parcel.body))
}

/// FNV-1a: enough to tell a torn file.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Readable by nobody else.
fn private_directories() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Readable by nobody else, and new.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::telemetry) fn parcel(signal: Signal, records: u64, body: &[u8]) -> Parcel {
        Parcel {
            signal,
            records,
            encoding: None,
            body: Bytes::copy_from_slice(body),
        }
    }

    fn addresses() -> Addresses {
        Lanes::new(|signal| Some(format!("http://collector{}", signal.http_path())))
    }

    #[test]
    fn a_shelf_outlives_its_process_in_order() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::create(root.path(), &addresses()).unwrap();
        let mut zipped = parcel(Signal::Traces, 2, b"second\nline");
        zipped.encoding = Some("gzip".to_owned());
        // Written late, and older all the same.
        shelf.store(11, &zipped).unwrap();
        shelf.store(12, &parcel(Signal::Logs, 5, b"logs")).unwrap();
        shelf.store(2, &parcel(Signal::Traces, 1, b"first")).unwrap();
        let path = shelf.path.clone();
        assert!(Shelf::adopt(&path).is_none(), "its process lives");
        drop(shelf);

        let mut shelf = Shelf::adopt(&path).unwrap();
        assert_eq!(
            shelf.addresses.of(Signal::Logs).as_deref(),
            Some("http://collector/v1/logs")
        );
        assert_eq!(
            (shelf.records(Signal::Traces), shelf.records(Signal::Logs)),
            (3, 5)
        );
        let first = shelf.front(Signal::Traces).unwrap();
        assert_eq!(shelf.oldest(), Some((Signal::Traces, first)));
        let loaded = load(&shelf.file(Signal::Traces, first), Signal::Traces, first.records);
        assert_eq!(loaded, Some(parcel(Signal::Traces, 1, b"first")));
        shelf.remove(Signal::Traces, first.number).unwrap();
        let second = shelf.front(Signal::Traces).unwrap();
        let loaded = load(
            &shelf.file(Signal::Traces, second),
            Signal::Traces,
            second.records,
        );
        assert_eq!(loaded, Some(zipped));
        shelf.remove(Signal::Traces, 11).unwrap();
        shelf.remove(Signal::Logs, 12).unwrap();
        assert_eq!((shelf.bytes(), shelf.remove(Signal::Logs, 12)), (0, None));
        shelf.close();
        assert!(!path.exists());
    }

    #[test]
    fn torn_and_foreign_files_do_no_harm() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::create(root.path(), &addresses()).unwrap();
        for number in 0..3 {
            shelf
                .store(number, &parcel(Signal::Traces, 1, b"a body of some length"))
                .unwrap();
        }
        let path = shelf.path.clone();
        let file = |number| path.join(name(Signal::Traces, number, 1));
        let whole = fs::read(file(0)).unwrap();
        fs::write(file(0), &whole[..whole.len() - 4]).unwrap();
        fs::write(file(1), b"").unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        fs::write(path.join(format!("{}{HALF}", name(Signal::Traces, 9, 1))), "half").unwrap();
        drop(shelf);
        let mut shelf = Shelf::adopt(&path).unwrap();
        let found: Vec<_> = (0..3)
            .map(|number| load(&file(number), Signal::Traces, 1))
            .collect();
        assert_eq!(found.iter().filter(|parcel| parcel.is_some()).count(), 1);
        for number in 0..3 {
            shelf.remove(Signal::Traces, number).unwrap();
        }
        assert!(shelf.is_empty());
        shelf.close();
        assert_eq!(fs::read_to_string(path.join("notes.txt")).unwrap(), "mine");
        assert!(Shelf::adopt(root.path()).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let spool = root.path().join("state/spool");
        let mut shelf = Shelf::create(&spool, &addresses()).unwrap();
        shelf.store(1, &parcel(Signal::Logs, 1, b"x")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&spool), mode(&shelf.path)), (0o700, 0o700));
        for file in fs::read_dir(&shelf.path).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        assert!(is_name(shelf.path.file_name().unwrap().to_str().unwrap()));
        assert!(!is_name("notes"));
    }
}
