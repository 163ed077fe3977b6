//! The file of a database of SQLite.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::sqlx;

use crate::Error;

/// Ends the name of the file on which running erasures hold locks.
pub(super) const ERASING: &str = "-erasing";

/// The path with something after it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The identity of the file that is open: another file at its path has another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenFile {
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenFile {
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        // Links are followed, as SQLite follows them; the folder may be another one later.
        let path = std::fs::canonicalize(path).map_err(sqlx::Error::Io)?;
        let found = std::fs::metadata(&path).map_err(sqlx::Error::Io)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            path,
        })
    }

    pub(super) async fn in_place(&self) -> Result<(), Error> {
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(Error::Replaced),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Replaced),
            Err(error) => Err(sqlx::Error::Io(error).into()),
        }
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
