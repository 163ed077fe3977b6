//! The file of a database of SQLite.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
use sea_orm::sqlx;

use super::beside::Beside;
use super::handle::{Access, header, number, open, page_size};
use crate::Error;

/// How long after a header that cannot be it is read once more.
const AGAIN: Duration = Duration::from_millis(50);

/// The bytes on which SQLite's readers hold locks.
const SHARED: u64 = 0x4000_0002;
const SHARED_LENGTH: u64 = 510;

/// Ends the name of the file on which running erasures hold locks.
pub(super) const ERASING: &str = "-erasing";

/// The path with something after it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The file that is open. Another file at its path is known by its number, other bytes in the same file by its header.
#[derive(Clone, Debug)]
pub(super) struct OpenFile {
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
    handle: Arc<File>,
    /// The header as it was at the last look.
    seen: Arc<Mutex<Header>>,
    beside: Arc<Beside>,
}

/// Where the files are that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At their paths.
    Kept,
    /// The database's own is another one now, or other bytes are in it.
    Replaced,
    /// One beside it is another one now, or none is there.
    LogReplaced,
}

impl OpenFile {
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        // Links are followed, as SQLite follows them; the folder may be another one later.
        let path = std::fs::canonicalize(path).map_err(sqlx::Error::Io)?;
        let handle = open(&path, Access::Read).map_err(sqlx::Error::Io)?;
        let found = handle.metadata().map_err(sqlx::Error::Io)?;
        let seen = Header::read(&handle).map_err(sqlx::Error::Io)?;
        let beside = Beside::default();
        beside.are_in_place(&path).map_err(sqlx::Error::Io)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            path,
            handle,
            seen: Arc::new(Mutex::new(seen.unwrap_or_default())),
            beside: Arc::new(beside),
        })
    }

    pub(super) async fn in_place(&self) -> Result<(), Error> {
        let file = self.clone();
        match tokio::task::spawn_blocking(move || file.place()).await {
            Ok(Ok(Place::Kept)) => Ok(()),
            Ok(Ok(Place::Replaced)) => Err(Error::Replaced),
            Ok(Ok(Place::LogReplaced)) => Err(Error::LogReplaced),
            Ok(Err(error)) => Err(sqlx::Error::Io(error).into()),
            // The runtime is going down.
            Err(_) => Err(Error::Stopping),
        }
    }

    fn place(&self) -> std::io::Result<Place> {
        if !self.is_in_place()? {
            return Ok(Place::Replaced);
        }
        let are_kept = self.beside.are_in_place(&self.path)?;
        Ok(if are_kept { Place::Kept } else { Place::LogReplaced })
    }

    /// Fails where a connection that was just made may have other files open than those before it. SQLite keeps one index of
    /// the log for all connections of a process: what is right for the log of one is wrong for that of another.
    pub(super) fn admit(&self) -> Result<(), sqlx::Error> {
        let is_same = self.is_at_path().map_err(sqlx::Error::Io)?
            && self.beside.are_in_place(&self.path).map_err(sqlx::Error::Io)?;
        if is_same {
            return Ok(());
        }
        Err(sqlx::Error::Io(std::io::Error::other(
            "the database's file, or one beside it, is not the one that is open; a new connection is not used",
        )))
    }

    /// Whether connections that are made now find a log that belongs to this file: none, an empty one, or its own.
    pub(super) fn log_is_free(&self) -> bool {
        match std::fs::metadata(beside(&self.path, "-wal")) {
            Ok(found) => found.len() == 0 || self.beside.is_known_log(&found),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Whether no other process has it open: each connection in WAL mode holds a shared lock on these bytes until it is closed
    /// (<https://www.sqlite.org/fileformat2.html>, "Lock-Byte Page").
    pub(super) fn is_ours_alone(&self) -> std::io::Result<bool> {
        let shared = Flock {
            start: SHARED,
            length: SHARED_LENGTH,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        Ok(fcntl_getlk(&*self.handle, &shared)?.is_none())
    }

    fn is_at_path(&self) -> std::io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (self.device, self.inode)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_in_place(&self) -> std::io::Result<bool> {
        if !self.is_at_path()? {
            return Ok(false);
        }
        if self.is_intact()? {
            return Ok(true);
        }
        // A header that is being written may be read half.
        std::thread::sleep(AGAIN);
        self.is_intact()
    }

    /// Whether the header is one that SQLite may have made of the last one seen, in a file that is long enough for it.
    fn is_intact(&self) -> std::io::Result<bool> {
        // First, so that nobody looks at a later one in between.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Header::read(&self.handle)?;
        let Some(found) = found else {
            // A file that never had one is new: all of it is in the log.
            return Ok(*seen == Header::default());
        };
        let follows = found.follows(&seen);
        if follows {
            *seen = Header {
                changes: found.changes.or(seen.changes),
                ..found
            };
        }
        Ok(follows)
    }
}

/// What tells the contents of a file: its length, and fields of its header (<https://www.sqlite.org/fileformat2.html>).
/// While the log is in use, the header is that of the last checkpoint, which writes it first, and makes a file shorter last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Header {
    /// Of the file, in bytes.
    length: u64,
    /// As long as the file is once the checkpoint has ended, in bytes.
    wanted: u64,
    /// mcptap's number, or zero in a file that was not checkpointed since it was made.
    application: u32,
    /// Of this database, or zero likewise (`PRAGMA user_version`).
    identity: u32,
    /// How often the header was changed, modulo 2^32; never smaller than before. `None` where it is being written.
    changes: Option<u32>,
}

impl Header {
    /// `None` for a file without one.
    fn read(file: &File) -> std::io::Result<Option<Self>> {
        // First, because a file becomes shorter after its header said so.
        let length = file.metadata()?.len();
        let Some(bytes) = header(file)? else {
            return Ok(None);
        };
        let number = |at: usize| number(&bytes, at, 4) as u32;
        let (changes, valid_for) = (number(24), number(92));
        Ok(Some(Self {
            length,
            wanted: u64::from(number(28)) * page_size(&bytes),
            application: number(68),
            identity: number(60),
            changes: (changes == valid_for).then_some(changes),
        }))
    }

    /// Whether SQLite may have made it of `before`.
    fn follows(&self, before: &Self) -> bool {
        // A checkpoint that makes the file longer may be on its way, or may have been interrupted.
        let is_cut = self.length < self.wanted && self.length < before.length;
        let stays = |now: u32, before: u32| before == 0 || now == before;
        let went_back = match (self.changes, before.changes) {
            (Some(now), Some(before)) => now.wrapping_sub(before) > u32::MAX / 2,
            _ => false,
        };
        !is_cut
            && !went_back
            && stays(self.application, before.application)
            && stays(self.identity, before.identity)
    }
}

/// A database file that is deleted with its last user.
#[derive(Debug)]
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = crate::clock::now().0;
        Self(std::env::temp_dir().join(format!("mcptap-{}-{now}-{number}.db", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", ERASING] {
            // It may never have been made; then there is nothing to delete.
            let _ = std::fs::remove_file(beside(&self.0, suffix));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_follow_each_other_as_checkpoints_write_them() {
        let before = Header {
            length: 8192 * 10,
            wanted: 8192 * 10,
            application: 7,
            identity: 9,
            changes: Some(5),
        };
        let grows = Header {
            wanted: 8192 * 20,
            changes: Some(6),
            ..before
        };
        let shrunk = Header {
            length: 8192 * 4,
            wanted: 8192 * 4,
            ..before
        };
        let half_written = Header {
            changes: None,
            ..before
        };
        // A checkpoint that was interrupted before this process began.
        let short = Header {
            length: 8192 * 2,
            ..before
        };
        for (now, before) in [
            (before, before),
            (before, Header::default()),
            (grows, before),
            (shrunk, before),
            (half_written, before),
            (short, Header::default()),
            (short, short),
        ] {
            assert!(now.follows(&before), "{now:?} after {before:?}");
        }
        for now in [
            short,
            Header {
                application: 0,
                ..before
            },
            Header {
                identity: 8,
                ..before
            },
            Header {
                changes: Some(4),
                ..before
            },
        ] {
            assert!(!now.follows(&before), "{now:?} after {before:?}");
        }
        // The number begins again.
        let last = Header {
            changes: Some(u32::MAX),
            ..before
        };
        assert!(
            Header {
                changes: Some(1),
                ..before
            }
            .follows(&last)
        );
    }
}
