//! The unused space of SQLite's pages. SQLite overwrites cells that are deleted and pages that are freed, but where it
//! splits or balances pages, copies of the cells that moved stay behind in the space between a page's pointers and its
//! cells, and nothing overwrites these when the cells are deleted later. So they are overwritten here, in the file.
//!
//! While the lock of writers is held and the write-ahead log is empty, nobody writes to the file, and it holds every page as
//! it is now. Nobody reads unused space, so readers go on. Formats: <https://www.sqlite.org/fileformat2.html>.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, Connection, Sqlite, SqliteConnection};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::db::database::{Access, Database, beside, header, number, open, page_size};
use crate::retention::compact::{self, Wal};
use crate::retention::pace::Pace;

/// How many pages a file may have: the first byte of a page that only holds text is that of the number of the next such page,
/// and is zero below this.
// Tests cannot write so many.
const MOST_PAGES: u64 = if cfg!(test) { 1 << 8 } else { 1 << 24 };

/// What of deleted rows is left in the database's files after cleaning up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing; so it is for PostgreSQL, whose files are not ours.
    Nothing,
    /// Pages as they were, in SQLite's write-ahead log, because a reader keeps it. It is emptied later.
    Log,
    /// Copies in the unused space of SQLite's pages, because the file has too many of these: 128 GiB at the usual size. They
    /// stay until they are overwritten by chance, or by a `VACUUM`.
    Copies,
}

impl Remains {
    /// For people; `None`: nothing is left.
    pub fn told(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Log => Some("a reader keeps SQLite's write-ahead log, it is emptied later"),
            Self::Copies => Some(
                "copies may be left in unused space of SQLite's file, which is too large to be searched for them: VACUUM \
                 removes them",
            ),
        }
    }
}

/// How many pages are looked at under one lock: 4 to 64 MiB of them.
const PAGES: std::ops::RangeInclusive<u64> = 512..=8_192;

/// How often the log is emptied for one part of the file, where somebody writes or begins to read in between.
const ATTEMPTS: usize = 20;

/// How many free pages are remembered at most.
const MOST_FREE: usize = 1 << 20;

/// The page of this byte holds locks, and nothing else.
const LOCK_BYTE: u64 = 0x4000_0000;

/// Overwrites the unused space of all pages, a part at a time, so that writes come in between; the log is empty then.
/// PostgreSQL leaves nothing behind but dead rows.
pub(crate) async fn overwrite(database: &Database, stop: &CancellationToken) -> Result<Remains, Error> {
    let Some(path) = database.path() else {
        return Ok(Remains::Nothing);
    };
    let mut emptying = compact::beside_writers(database).await?;
    let done = parts(database, &path, &mut emptying, stop).await;
    emptying.close().await?;
    done
}

async fn parts(
    database: &Database,
    path: &Path,
    emptying: &mut SqliteConnection,
    stop: &CancellationToken,
) -> Result<Remains, Error> {
    let file = open(path, Access::Write).map_err(sqlx::Error::Io)?;
    // Of the very file, which may have been away for a moment.
    database.in_place().await?;
    let mut pace = Pace::new(stop, PAGES);
    let (mut next, mut attempts) = (1, 0);
    while attempts < ATTEMPTS {
        // It waits for readers here, and no writer waits with it.
        if compact::empty_wal(emptying, stop).await? == Wal::Kept {
            return Ok(Remains::Log);
        }
        let mut connection = database.writer().await?;
        let started = Instant::now();
        attempts += 1;
        if compact::is_emptied(emptying).await? {
            let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await;
            if let Err(error) = begun {
                connection.close_on_drop();
                return Err(error.into());
            }
            let part = Part {
                file: Arc::clone(&file),
                log: beside(path, "-wal"),
                from: next,
                pages: pace.size(),
            };
            // The thread has the connection, and so the lock, for as long as it writes, also when nobody waits any more.
            let work = tokio::task::spawn_blocking(move || (part.overwrite(), connection));
            let Ok((done, mut connection)) = work.await else {
                return Err(Error::Lost);
            };
            end(&mut connection).await?;
            match done.map_err(sqlx::Error::Io)? {
                Done::Written => {}
                Done::Until(page) => (next, attempts) = (page, 0),
                Done::All => return Ok(Remains::Nothing),
                Done::Unknown => {
                    tracing::warn!(
                        "the unused space of a file of this size cannot be overwritten; VACUUM does it"
                    );
                    return Ok(Remains::Copies);
                }
            }
        }
        pace.rest(started.elapsed()).await?;
    }
    tracing::warn!("others write or read all the time: unused space of the file is overwritten later");
    Ok(Remains::Log)
}

/// Gives the lock back, and forgets pages as they were: they would be written back with what was in their unused space.
async fn end(connection: &mut PoolConnection<Sqlite>) -> Result<(), Error> {
    for statement in ["ROLLBACK", "PRAGMA shrink_memory"] {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut **connection)
            .await;
        if let Err(error) = done {
            connection.close_on_drop();
            return Err(error.into());
        }
    }
    Ok(())
}

/// Some pages of a file.
struct Part {
    file: Arc<File>,
    log: PathBuf,
    from: u64,
    pages: u64,
}

/// How far it came.
enum Done {
    /// Not at all: there is something in the log.
    Written,
    /// Up to this page.
    Until(u64),
    /// To the end.
    All,
    /// Not at all: a file of so many pages is not understood.
    Unknown,
}

impl Part {
    fn overwrite(&self) -> std::io::Result<Done> {
        let log = std::fs::metadata(&self.log);
        if log.is_ok_and(|log| log.len() > 0) {
            return Ok(Done::Written);
        }
        let Some(layout) = Layout::read(&self.file)? else {
            return Ok(Done::Unknown);
        };
        let free = layout.free_pages(&self.file)?;
        let last = self.from.saturating_add(self.pages - 1).min(layout.pages);
        let mut page = vec![0; layout.page_size];
        let mut changed = false;
        for number in self.from..=last {
            let at = (number - 1) * layout.page_size as u64;
            self.file.read_exact_at(&mut page, at)?;
            let unused = if free.contains(&number) {
                0..layout.page_size
            } else {
                layout.unused(number, &page)
            };
            let Some(bytes) = page.get(unused.clone()) else {
                continue;
            };
            if bytes.iter().any(|byte| *byte != 0) {
                let zeros = vec![0; bytes.len()];
                self.file.write_all_at(&zeros, at + unused.start as u64)?;
                changed = true;
            }
        }
        if changed {
            self.file.sync_data()?;
        }
        Ok(if last == layout.pages {
            Done::All
        } else {
            Done::Until(last + 1)
        })
    }
}

/// The layout of a file, as its first page says.
struct Layout {
    page_size: usize,
    /// Without what is reserved at the end of each page.
    usable: usize,
    pages: u64,
    /// Whether some pages are maps of others.
    has_maps: bool,
    first_free: u64,
}

impl Layout {
    /// `None` where it is not the layout of a database.
    fn read(file: &File) -> std::io::Result<Option<Self>> {
        let Some(header) = header(file)? else {
            return Ok(None);
        };
        let (page_size, reserved) = (page_size(&header), number(&header, 20, 1));
        if page_size < 512 || reserved > 32 {
            return Ok(None);
        }
        let pages = file.metadata()?.len() / page_size;
        let is_known = pages < MOST_PAGES;
        Ok(is_known.then_some(Self {
            page_size: page_size as usize,
            usable: (page_size - reserved) as usize,
            pages,
            has_maps: number(&header, 52, 4) > 0,
            first_free: number(&header, 32, 4),
        }))
    }

    /// The pages that are free and hold nothing. Those that list them hold the list.
    fn free_pages(&self, file: &File) -> std::io::Result<HashSet<u64>> {
        let mut free = HashSet::new();
        let mut list = vec![0; self.page_size];
        let mut trunk = self.first_free;
        for _ in 0..self.pages {
            if trunk == 0 || trunk > self.pages || free.len() >= MOST_FREE {
                break;
            }
            file.read_exact_at(&mut list, (trunk - 1) * self.page_size as u64)?;
            let leaves = number(&list, 4, 4).min(self.usable as u64 / 4 - 2) as usize;
            let numbers = (0..leaves).map(|leaf| number(&list, 8 + 4 * leaf, 4));
            free.extend(numbers.filter(|leaf| (2..=self.pages).contains(leaf)));
            trunk = number(&list, 0, 4);
        }
        Ok(free)
    }

    /// The space of a page between its pointers and its cells; empty where it has neither.
    fn unused(&self, page: u64, bytes: &[u8]) -> std::ops::Range<usize> {
        if (self.has_maps && self.map_of(page) == page) || page == self.lock_page() {
            return 0..0;
        }
        let header = if page == 1 { 100 } else { 0 };
        let pointers = header
            + match number(bytes, header, 1) {
                2 | 5 => 12,
                10 | 13 => 8,
                _ => return 0..0,
            };
        let cells = number(bytes, header + 3, 2) as usize;
        let first = match number(bytes, header + 5, 2) {
            0 => 65_536,
            first => first as usize,
        };
        let start = pointers + 2 * cells;
        if start <= first && first <= self.usable {
            start..first
        } else {
            0..0
        }
    }

    /// The page that maps this one.
    fn map_of(&self, page: u64) -> u64 {
        let mapped = self.usable as u64 / 5 + 1;
        let map = page.saturating_sub(2) / mapped * mapped + 2;
        if map == self.lock_page() { map + 1 } else { map }
    }

    fn lock_page(&self) -> u64 {
        LOCK_BYTE / self.page_size as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx::Row;

    use super::*;
    use crate::Options;

    /// How many of these words, all of one length, are in a file.
    fn found(path: &Path, words: impl Iterator<Item = String>) -> usize {
        let bytes = std::fs::read(path).unwrap();
        let there: HashSet<&[u8]> = bytes.windows(word(0).len()).collect();
        words.filter(|word| there.contains(word.as_bytes())).count()
    }

    fn word(number: u64) -> String {
        format!("w{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[tokio::test]
    async fn copies_that_pages_leave_behind_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let database = Database::connect(&url, &Options::default()).await.unwrap();
        let pool = database.write().get_sqlite_connection_pool();
        let run = async |statement: String| {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(pool)
                .await
                .unwrap();
        };
        run("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT); CREATE INDEX i ON t (word)".to_owned())
            .await;
        for number in 0..3_000 {
            run(format!("INSERT INTO t (word) VALUES ('{}')", word(number))).await;
        }
        run("DELETE FROM t WHERE id % 3 > 0".to_owned()).await;
        let gone = || (0..3_000).filter(|number| (number + 1) % 3 > 0).map(word);
        let stop = CancellationToken::new();
        compact::space(&database, 0, &stop).await.unwrap();
        let mut emptying = compact::beside_writers(&database).await.unwrap();
        assert!(compact::is_emptied(&mut emptying).await.unwrap());
        assert!(found(&path, gone()) > 0, "SQLite overwrites them itself by now");

        assert_eq!(overwrite(&database, &stop).await.unwrap(), Remains::Nothing);
        // Also where the pages are written again.
        run("UPDATE t SET word = word || 'x'".to_owned()).await;
        assert!(compact::is_emptied(&mut emptying).await.unwrap());
        assert_eq!(found(&path, gone()), 0);

        let checked = sqlx::query("PRAGMA integrity_check")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(checked.get::<String, _>(0), "ok");
        let words = sqlx::query("SELECT id, word FROM t ORDER BY id")
            .fetch_all(pool)
            .await;
        let words: Vec<_> = words
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        let kept = (0..3_000_u64).filter(|number| (number + 1) % 3 == 0);
        let kept: Vec<(i64, String)> = kept
            .map(|number| (number as i64 + 1, format!("{}x", word(number))))
            .collect();
        assert_eq!(words, kept);
        emptying.close().await.unwrap();
        database.close().await;
    }
}
