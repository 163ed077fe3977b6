//! The files beside an open database of SQLite: its write-ahead log and the index of that.
//!
//! Who deletes or moves them while they are open makes two databases of one: what is committed here goes into files that nobody
//! finds any more, and new connections read others.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::beside;

const SUFFIXES: [&str; 2] = ["-wal", "-shm"];

/// Where the system tells which files a process has open.
const OPEN_FILES: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// Device and number.
type Id = (u64, u64);

/// The files that were there at the last look.
#[derive(Debug, Default)]
pub(super) struct Beside(Mutex<[Option<Id>; 2]>);

impl Beside {
    /// Whether this process has none of them open that is not at its path any more. SQLite itself deletes them when the last
    /// connection is closed, and makes others for the next one.
    pub(super) fn are_in_place(&self, path: &Path) -> io::Result<bool> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (suffix, seen) in SUFFIXES.into_iter().zip(seen.iter_mut()) {
            let found = match std::fs::metadata(beside(path, suffix)) {
                Ok(found) => Some(id(&found)),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            match *seen {
                _ if found == *seen => {}
                Some(before) if is_open(before) => return Ok(false),
                _ => *seen = found,
            }
        }
        Ok(true)
    }

    /// Whether this is the write-ahead log that was there at the last look.
    pub(super) fn is_known_log(&self, found: &Metadata) -> bool {
        let [log, _] = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log == Some(id(found))
    }
}

fn id(of: &Metadata) -> Id {
    (of.dev(), of.ino())
}

/// Whether this process has a file open; it is taken to have where the system does not tell.
fn is_open(wanted: Id) -> bool {
    let Some(files) = OPEN_FILES
        .iter()
        .find_map(|folder| std::fs::read_dir(folder).ok())
    else {
        return true;
    };
    files
        .filter_map(|file| std::fs::metadata(file.ok()?.path()).ok())
        .any(|file| id(&file) == wanted)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_that_is_open_has_to_stay_at_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let wal = beside(&path, "-wal");
        let looked = Beside::default();
        let is_well = || looked.are_in_place(&path).unwrap();
        assert!(is_well());
        let open = File::create(&wal).unwrap();
        assert!(is_well());
        // Deleted, replaced, moved away and back.
        let away = folder.path().join("away");
        std::fs::rename(&wal, &away).unwrap();
        assert!(!is_well());
        std::fs::write(&wal, "another").unwrap();
        assert!(!is_well());
        std::fs::rename(&away, &wal).unwrap();
        assert!(is_well());
        std::fs::remove_file(&wal).unwrap();
        assert!(!is_well());
        // Nobody has it open: the next one is as good.
        drop(open);
        assert!(is_well());
        let _open = File::create(&wal).unwrap();
        assert!(is_well());
    }
}
