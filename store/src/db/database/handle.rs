//! Handles of database files beside those of SQLite, and the headers that are read by them.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The file's number in its file system, and what the handle is for.
type Key = (u64, u64, Access);

/// What a handle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// To read.
    Read,
    /// To read and to write.
    Write,
}

/// Opens the file of a database, to be open until the process ends: with the first handle of a file that is closed, a
/// process loses all its locks on that file, those of SQLite too. So there is one handle for each file and access.
pub(crate) fn open(path: &Path, access: Access) -> std::io::Result<Arc<File>> {
    static OPEN: Mutex<Option<HashMap<Key, Arc<File>>>> = Mutex::new(None);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open.get_or_insert_default();
    if let Some(known) = open.get(&key(&std::fs::metadata(path)?, access)) {
        return Ok(Arc::clone(known));
    }
    let file = File::options()
        .read(true)
        .write(access == Access::Write)
        .open(path)?;
    // Of what was opened, should another file be there meanwhile.
    let key = key(&file.metadata()?, access);
    let file = Arc::new(file);
    open.insert(key, Arc::clone(&file));
    Ok(file)
}

fn key(found: &Metadata, access: Access) -> Key {
    (found.dev(), found.ino(), access)
}

/// The header of a database (<https://www.sqlite.org/fileformat2.html>); `None` for a file without one.
pub(crate) fn header(file: &File) -> std::io::Result<Option<[u8; 100]>> {
    let mut bytes = [0; 100];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(bytes.starts_with(b"SQLite format 3\0").then_some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// A number of so many bytes, the most significant first; zero beyond the end.
pub(crate) fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The size of a page, in bytes, as a header has it.
pub(crate) fn page_size(header: &[u8]) -> u64 {
    match number(header, 16, 2) {
        1 => 65_536,
        size => size,
    }
}
