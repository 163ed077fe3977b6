//! When processes were last heard of: noted in memory, then stored in the table `processes`.
//!
//! Anybody may say that a process lives, so what is kept is bounded by what is stored anyway: only processes with calls that
//! have no end get a row. A heartbeat of any other means nothing: the calls of its process come later than it does, and so
//! does its next heartbeat.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use mcptap_model::{SpanId, UnixNanos};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};

use crate::db::database::{Backend, Database};
use crate::rows::entity::process;
use crate::rows::hash::text_hash;
use crate::{Error, clock};

/// The most processes that are noted without being known, 16 bytes each. Heartbeats of others are sent again.
const MOST_UNKNOWN: usize = 100_000;
/// The most spans that are noted as ended, about 16 bytes each. More are named again.
const MOST_ENDED: usize = 100_000;
/// The most rows. Of more processes those that were heard last stay.
pub(super) const MOST_ROWS: u64 = 200_000;
/// How many rows one transaction writes, and how many one deletes.
const WRITTEN: usize = 10_000;
const DELETED: u64 = 1_000;

/// The latest heartbeat of each process that is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    noted: Mutex<Noted>,
    ended: Mutex<NotedEnds>,
    unread: AtomicBool,
}

/// The spans that each process, by its hash, names as ended.
pub(super) type Ended = HashMap<i64, HashSet<SpanId>>;

#[derive(Debug, Default)]
struct NotedEnds {
    ended: Ended,
    /// How many spans there are of all processes.
    spans: usize,
}

#[derive(Debug, Default)]
struct Noted {
    /// By the process, in nanoseconds since 1970.
    heard: HashMap<i64, i64>,
    /// The processes that had calls without an end a moment ago. There is always room for them, whoever else is heard.
    known: HashSet<i64>,
    /// How many of `heard` are not known.
    unknown: usize,
}

impl Heartbeats {
    /// Notes that the process was heard now.
    pub(crate) fn note(&self, process: &str) {
        let process = text_hash(process);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !noted.heard.contains_key(&process);
        if is_new && !noted.known.contains(&process) {
            if noted.unknown >= MOST_UNKNOWN {
                return;
            }
            noted.unknown += 1;
        }
        noted.heard.insert(process, clock::now().0);
    }

    /// Notes that the process names these spans as ended.
    pub(crate) fn note_ended(&self, process: &str, spans: impl IntoIterator<Item = SpanId>) {
        let mut spans = spans.into_iter().peekable();
        let mut noted = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_ENDED.saturating_sub(noted.spans);
        if room == 0 || spans.peek().is_none() {
            return;
        }
        let of_process = noted.ended.entry(text_hash(process)).or_default();
        let before = of_process.len();
        of_process.extend(spans.take(room));
        let more = of_process.len() - before;
        noted.spans += more;
    }

    /// When the process was heard last, where that is not written yet.
    pub(super) fn heard(&self, process: i64) -> Option<UnixNanos> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.heard.get(&process).copied().map(UnixNanos)
    }

    /// What was noted as ended since it was asked last. Where that comes to nothing, the processes name it again.
    pub(super) fn take_ended(&self) -> Ended {
        let mut noted = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *noted).ended
    }

    /// Notes that something was refused before it was read, and may come again: there may be heartbeats in it.
    pub(crate) fn note_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether something was, since it was asked last.
    pub(super) fn take_unread(&self) -> bool {
        self.unread.swap(false, Ordering::Relaxed)
    }

    /// The noted heartbeats, in the order of their processes. They stay here until they are [done with](Self::done): a write
    /// that fails or is cancelled loses nothing.
    pub(super) fn noted(&self) -> Vec<(i64, i64)> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(i64, i64)> = noted.heard.iter().map(|(process, at)| (*process, *at)).collect();
        drop(noted);
        all.sort_unstable();
        all
    }

    /// The heartbeats of the known processes are written: they are forgotten unless there are newer ones. So are those of the
    /// others, where `known` has `all` processes that matter.
    pub(super) fn done(&self, written: &[(i64, i64)], known: HashSet<i64>, all: bool) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        for (process, at) in written {
            if (all || known.contains(process)) && noted.heard.get(process) == Some(at) {
                noted.heard.remove(process);
            }
        }
        noted.known = known;
        let unknown = noted
            .heard
            .keys()
            .filter(|process| !noted.known.contains(process));
        noted.unknown = unknown.count();
    }
}

/// Stores when processes were heard, sorted by process, unless another mcptap heard them later.
pub(super) async fn write(database: &Database, heard: &[(i64, i64)]) -> Result<(), Error> {
    for some in heard.chunks(WRITTEN) {
        let tx = database.change().await?;
        upsert(&tx, some).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// All who write lock the rows in the same order, so that no two of them wait for each other.
async fn upsert(tx: &DatabaseTransaction, heard: &[(i64, i64)]) -> Result<(), Error> {
    for some in heard.chunks(1_000) {
        let rows: Vec<process::ActiveModel> = some
            .iter()
            .map(|(process, at)| process::ActiveModel {
                id: ActiveValue::Set(*process),
                heard_at: ActiveValue::Set(*at),
            })
            .collect();
        let stored = Expr::col((process::Entity, process::Column::HeardAt));
        let ours = Expr::col((Alias::new("excluded"), process::Column::HeardAt));
        let mut newer = OnConflict::column(process::Column::Id);
        newer.update_column(process::Column::HeardAt);
        newer.action_and_where(stored.lt(ours));
        process::Entity::insert_many(rows)
            .on_conflict(newer)
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}

/// When these processes were last heard.
pub(super) async fn of_processes(
    db: &impl ConnectionTrait,
    processes: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, UnixNanos>, Error> {
    let rows = process::Entity::find()
        .filter(process::Column::Id.is_in(processes))
        .all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, UnixNanos(row.heard_at)))
        .collect())
}

/// Deletes the heartbeats from before `oldest`, and all but the `most` that were heard last.
pub(super) async fn sweep(database: &Database, oldest: UnixNanos, most: u64) -> Result<(), Error> {
    forget_heartbeats(database, oldest).await?;
    let first_beyond: Option<i64> = process::Entity::find()
        .select_only()
        .column(process::Column::HeardAt)
        .order_by_desc(process::Column::HeardAt)
        .offset(most)
        .limit(1)
        .into_tuple()
        .one(&database.feed())
        .await?;
    match first_beyond {
        Some(at) => forget_heartbeats(database, UnixNanos(at.saturating_add(1))).await,
        None => Ok(()),
    }
}

/// Deletes the heartbeats from before a moment, some at a time, so that writes come in between. Takes no lock where there are
/// none.
pub(crate) async fn forget_heartbeats(database: &Database, before: UnixNanos) -> Result<(), Error> {
    loop {
        let any = process::Entity::find()
            .filter(process::Column::HeardAt.lt(before.0))
            .limit(1)
            .one(&database.feed())
            .await?;
        if any.is_none() {
            return Ok(());
        }
        let tx = database.change().await?;
        // Waits for nobody who writes heartbeats, and so cannot wait crosswise: what is written just now is not old.
        let skip = match database.backend() {
            Backend::Postgres => " FOR UPDATE SKIP LOCKED",
            Backend::Sqlite => "",
        };
        let text = format!(
            "DELETE FROM processes WHERE id IN (SELECT id FROM processes WHERE heard_at < $1 \
             ORDER BY heard_at LIMIT {DELETED}{skip})"
        );
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), text, [before.0.into()]);
        let deleted = tx.execute_raw(statement).await?.rows_affected();
        tx.commit().await?;
        if deleted < DELETED {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    fn heard(heartbeats: &Heartbeats) -> Vec<i64> {
        heartbeats.noted().iter().map(|(process, _)| *process).collect()
    }

    #[test]
    fn heartbeats_are_bounded_and_kept_until_they_are_written() {
        let heartbeats = Heartbeats::default();
        for process in 0..MOST_UNKNOWN + 10 {
            heartbeats.note(&process.to_string());
        }
        let noted = heartbeats.noted();
        assert_eq!(noted.len(), MOST_UNKNOWN);
        assert!(noted.is_sorted());
        // That write failed, or was cancelled.
        assert_eq!(heartbeats.noted(), noted);
        heartbeats.note("0");
        heartbeats.done(&noted, HashSet::new(), true);
        assert_eq!(heard(&heartbeats), [text_hash("0")]);
    }

    #[test]
    fn known_processes_are_heard_among_any_number_of_others() {
        let heartbeats = Heartbeats::default();
        let known = HashSet::from([text_hash("honest")]);
        heartbeats.done(&[], known.clone(), true);
        for process in 0..MOST_UNKNOWN + 10 {
            heartbeats.note(&process.to_string());
        }
        heartbeats.note("honest");
        let noted = heartbeats.noted();
        assert_eq!(noted.len(), MOST_UNKNOWN + 1);
        assert!(heard(&heartbeats).contains(&text_hash("honest")));
        // While there are more processes than are looked at together, nobody is unknown for good.
        heartbeats.done(&noted, known.clone(), false);
        assert_eq!(heard(&heartbeats).len(), MOST_UNKNOWN);
        heartbeats.done(&noted, known, true);
        assert_eq!(heard(&heartbeats), [0; 0]);
        heartbeats.note("unknown");
        assert_eq!(heard(&heartbeats), [text_hash("unknown")]);
    }

    #[test]
    fn what_ended_is_noted_by_process_and_bounded() {
        let heartbeats = Heartbeats::default();
        let spans = |range: std::ops::Range<u64>| {
            range.map(|number| SpanId::from_bytes(&(number + 1).to_be_bytes()).unwrap())
        };
        heartbeats.note_ended("none", []);
        heartbeats.note_ended("one", spans(0..2));
        heartbeats.note_ended("one", spans(1..3));
        heartbeats.note_ended("other", spans(0..1));
        let ended = heartbeats.take_ended();
        let count = |ended: &Ended, process: &str| ended.get(&text_hash(process)).map(HashSet::len);
        assert_eq!(
            ["none", "one", "other"].map(|process| count(&ended, process)),
            [None, Some(3), Some(1)]
        );
        assert!(heartbeats.take_ended().is_empty());
        for number in 0..300 {
            heartbeats.note_ended(&number.to_string(), spans(0..1_000));
        }
        let ended = heartbeats.take_ended();
        assert_eq!(
            (ended.len(), ended.values().map(HashSet::len).sum::<usize>()),
            (100, MOST_ENDED)
        );
    }

    #[test]
    fn what_was_not_read_is_told_once() {
        let heartbeats = Heartbeats::default();
        assert!(!heartbeats.take_unread());
        heartbeats.note_unread();
        assert!(heartbeats.take_unread() && !heartbeats.take_unread());
    }

    async fn stored(database: &Database) -> Vec<(i64, i64)> {
        let stored = process::Entity::find().order_by_asc(process::Column::Id);
        let stored = stored.all(database.near()).await.unwrap();
        stored.iter().map(|row| (row.id, row.heard_at)).collect()
    }

    async fn the_later_stays(url: &str) {
        let database = Database::connect(url, &Options::default()).await.unwrap();
        for heard in [&[(1, 20), (2, 10)][..], &[(1, 15), (2, 30), (3, 5)]] {
            write(&database, heard).await.unwrap();
        }
        assert_eq!(stored(&database).await, [(1, 20), (2, 30), (3, 5)]);
        // The oldest go, and of too many the oldest.
        sweep(&database, UnixNanos(6), 9).await.unwrap();
        assert_eq!(stored(&database).await, [(1, 20), (2, 30)]);
        sweep(&database, UnixNanos(6), 1).await.unwrap();
        assert_eq!(stored(&database).await, [(2, 30)]);
        let many: Vec<(i64, i64)> = (1..=2_500).map(|process| (process, 10_000 - process)).collect();
        write(&database, &many).await.unwrap();
        sweep(&database, UnixNanos(0), 7).await.unwrap();
        assert_eq!(stored(&database).await, many[..7]);
        database.close().await;
    }

    #[tokio::test]
    async fn of_two_heartbeats_the_later_stays_and_rows_are_bounded() {
        the_later_stays("sqlite::memory:").await;
        if let Some(url) = crate::db::transaction::tests::of_server("heartbeats").await {
            the_later_stays(&url).await;
        }
    }

    /// Another mcptap writes heartbeats of the rows that are deleted here: nobody waits for the other.
    #[tokio::test]
    async fn what_is_written_just_now_is_not_waited_for() {
        let Some(url) = crate::db::transaction::tests::of_server("crosswise").await else {
            return;
        };
        let database = Database::connect(&url, &Options::default()).await.unwrap();
        write(&database, &[(1, 10), (2, 10), (3, 10)]).await.unwrap();
        let writing = database.change().await.unwrap();
        upsert(&writing, &[(2, 99)]).await.unwrap();
        let forgetting = forget_heartbeats(&database, UnixNanos(50));
        let forgotten = tokio::time::timeout(std::time::Duration::from_secs(5), forgetting).await;
        forgotten.expect("it waits for nobody").unwrap();
        writing.commit().await.unwrap();
        assert_eq!(stored(&database).await, [(2, 99)]);
        database.close().await;
    }
}
