//! Which running calls are lost: the process that announced them has fallen silent.
//!
//! A sender announces a call that runs for longer than a second, and sends heartbeats for as long as it has such calls.
//! Heartbeats are noted in memory and written every few seconds, so that every process on the database knows of all. A
//! call that was announced, has not ended, and of whose process nothing was heard for [`Options::lost_after`] is given to
//! the writer once more, as lost: like any span it is folded, announced and idempotent, and the call's end, should it come
//! after all, takes its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mcptap_model::{Batch, Call, Evidence, Observation, Outcome, UnixNanos};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::Map;
use tokio::time::Instant;

use crate::database::Database;
use crate::dictionary::Dictionary;
use crate::entity::{call, process};
use crate::hash::text_hash;
use crate::options::Options;
use crate::scan::{Direction, beyond};
use crate::writer::WeakWriter;
use crate::{CallPosition, Error, clock};

/// The task, as readiness names it.
const TASK: &str = "lost calls";

/// The longest time between two writes of heartbeats, and between two searches for lost calls.
const LOOK: Duration = Duration::from_secs(5);
/// How many running calls are read at once, and how long that may take on PostgreSQL. No memory is reserved for them, and each
/// may have long texts.
const AT_ONCE: u64 = 100;
const READ: Duration = Duration::from_secs(20);
/// The most processes whose heartbeats wait to be written, 16 bytes each. Those of others are sent again.
const MOST_PROCESSES: usize = 100_000;
/// How long the last heartbeat of a process is stored at least.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The condition of the index of running calls, word for word.
const RUNNING: &str = "outcome = 6";

/// The latest heartbeat of each process that is not written yet: the process, and the nanoseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    heard: Mutex<HashMap<i64, i64>>,
}

impl Heartbeats {
    /// Notes that the process was heard now.
    pub(crate) fn note(&self, process: &str) {
        let key = text_hash(process);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < MOST_PROCESSES || heard.contains_key(&key) {
            heard.insert(key, clock::now().0);
        }
    }

    /// What is to be written, in the order of its processes. It stays here until it is [written](Self::written): a write
    /// that fails or is cancelled loses nothing.
    fn noted(&self) -> Vec<(i64, i64)> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut noted: Vec<(i64, i64)> = heard.iter().map(|(process, at)| (*process, *at)).collect();
        drop(heard);
        noted.sort_unstable();
        noted
    }

    /// Forgets what was written, unless there is newer.
    fn written(&self, written: &[(i64, i64)]) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for (process, at) in written {
            if heard.get(process) == Some(at) {
                heard.remove(process);
            }
        }
    }
}

/// The task that looks for silence.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    pub(crate) database: Database,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) heartbeats: Arc<Heartbeats>,
    pub(crate) writer: WeakWriter,
    pub(crate) options: Options,
}

/// The next running calls.
struct Running {
    /// Those of silent processes, as lost.
    lost: Batch,
    /// The last one, where the next ones follow.
    reached: CallPosition,
}

impl Silence {
    /// Goes on until it is cancelled.
    pub(crate) async fn run(self) {
        let lost_after = self.options.lost_after;
        let pause = LOOK.min(lost_after / 4);
        // Since when every heartbeat could have been received and written by every process on the database.
        let mut listening = Instant::now();
        let mut failing = false;
        loop {
            let before = clock::now();
            tokio::time::sleep(pause).await;
            if clock::ago(pause + lost_after / 2) > before {
                // The machine was suspended, or its clock was set forward: no process could send anything meanwhile.
                listening = Instant::now();
            }
            match self.look(listening.elapsed() >= lost_after).await {
                Ok(()) => failing = false,
                Err(error) => {
                    // Another process may have the same trouble, and write what it received only after this one looks.
                    listening = Instant::now();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "running calls of silent processes cannot be found; it is tried again");
                    }
                }
            }
        }
    }

    async fn look(&self, long_enough: bool) -> Result<(), Error> {
        self.database.step(TASK, self.write_heartbeats()).await?;
        if long_enough {
            self.find_lost().await?;
        }
        Ok(())
    }

    async fn write_heartbeats(&self) -> Result<(), Error> {
        let noted = self.heartbeats.noted();
        if noted.is_empty() {
            return Ok(());
        }
        let tx = self.database.change().await?;
        upsert(&tx, &noted).await?;
        // A process without a row counts as silent, so a row stays for as long as its process may be silent.
        let remembered = REMEMBERED.max(self.options.lost_after);
        delete_before(&tx, clock::ago(remembered)).await?;
        tx.commit().await?;
        self.heartbeats.written(&noted);
        Ok(())
    }

    /// Gives the writer the running calls of silent processes.
    async fn find_lost(&self) -> Result<(), Error> {
        let limit = clock::ago(self.options.lost_after);
        let mut after = CallPosition {
            started_at: UnixNanos(i64::MIN),
            row: 0,
        };
        loop {
            let reading = self.running(limit, after);
            let Some(running) = self.database.step_within(TASK, READ, reading).await? else {
                return Ok(());
            };
            after = running.reached;
            // Without another writer nothing is written any more.
            let Some(writer) = self.writer.upgrade() else {
                return Ok(());
            };
            if let Err(error) = writer.write(running.lost).await {
                tracing::debug!(%error, "lost calls are written later");
                return Ok(());
            }
        }
    }

    /// The next calls that run and were received before the limit; `None` where there are no more.
    async fn running(&self, limit: UnixNanos, after: CallPosition) -> Result<Option<Running>, Error> {
        // Nobody keeps this connection for long; erasures may have those of maintenance for minutes.
        let tx = self.database.feed_snapshot().await?;
        let rows = call::Entity::find()
            .filter(Expr::cust(RUNNING))
            .filter(call::Column::ReceivedAt.lt(limit.0))
            .filter(beyond(Direction::Newer, after))
            .order_by_asc(call::Column::StartedAt)
            .order_by_asc(call::Column::Id)
            .limit(AT_ONCE)
            .all(&tx)
            .await?;
        let Some(last) = rows.last() else {
            tx.commit().await?;
            return Ok(None);
        };
        let reached = CallPosition {
            started_at: UnixNanos(last.started_at),
            row: last.id,
        };
        let running = self.dictionary.stored(&tx, rows).await?;
        let processes = running
            .iter()
            .map(|stored| text_hash(stored.call.origin.process()));
        let heard: HashMap<i64, i64> = process::Entity::find()
            .filter(process::Column::Id.is_in(processes))
            .all(&tx)
            .await?
            .into_iter()
            .map(|process| (process.id, process.heard_at))
            .collect();
        tx.commit().await?;
        let silent = |process: &str| heard.get(&text_hash(process)).is_none_or(|at| *at < limit.0);
        let mut lost = Batch::default();
        for stored in running {
            if stored.call.outcome() == Outcome::Running && silent(stored.call.origin.process()) {
                lost.observations.push(as_lost(&stored.call));
            }
        }
        Ok(Some(Running { lost, reached }))
    }
}

/// Stores when processes were heard, unless another process heard them later. Sorted by process: all who write lock the rows
/// in the same order, so that no two of them wait for each other.
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

/// Deletes the heartbeats from before a moment. Takes no lock where there are none.
pub(crate) async fn forget_heartbeats(database: &Database, before: UnixNanos) -> Result<(), Error> {
    let any = process::Entity::find()
        .filter(process::Column::HeardAt.lt(before.0))
        .one(database.maintenance())
        .await?;
    if any.is_none() {
        return Ok(());
    }
    let tx = database.change().await?;
    delete_before(&tx, before).await?;
    Ok(tx.commit().await?)
}

async fn delete_before(tx: &DatabaseTransaction, before: UnixNanos) -> Result<(), Error> {
    process::Entity::delete_many()
        .filter(process::Column::HeardAt.lt(before.0))
        .exec(tx)
        .await?;
    Ok(())
}

/// The same call once more, by a span that knows nothing but that its process is silent: what others said of the call is
/// theirs to say.
pub(crate) fn as_lost(call: &Call) -> Observation {
    let call = Call {
        trace_id: call.trace_id,
        span_id: call.span_id,
        primary_span_id: call.primary_span_id,
        parent_span_id: None,
        kind: call.kind,
        vantage: call.vantage,
        origin: Arc::clone(&call.origin),
        method: call.method.clone(),
        started_at: call.started_at,
        received_at: call.received_at,
        evidence: Evidence {
            open: true,
            lost: true,
            stream: call.evidence.stream,
            ..Evidence::default()
        },
        duration_nanos: 0,
        attributes: Map::new(),
        server: None,
        tool: None,
        prompt: None,
        resource_uri: None,
        http_status: None,
        rpc_error_code: None,
        error_type: None,
        error_message: None,
        stack_trace: None,
        session_id: None,
        session: None,
        request_id: None,
        protocol_version: None,
        transport: None,
        client_name: None,
        client_version: None,
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        request: None,
        response: None,
    };
    Observation {
        call,
        links: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_are_bounded_and_kept_until_they_are_written() {
        let heartbeats = Heartbeats::default();
        for process in 0..MOST_PROCESSES + 10 {
            heartbeats.note(&process.to_string());
        }
        let noted = heartbeats.noted();
        assert_eq!(noted.len(), MOST_PROCESSES);
        assert!(noted.is_sorted());
        // That write failed, or was cancelled.
        assert_eq!(heartbeats.noted(), noted);
        heartbeats.note("0");
        heartbeats.written(&noted);
        let newer: Vec<i64> = heartbeats.noted().iter().map(|(process, _)| *process).collect();
        assert_eq!(newer, [text_hash("0")]);
    }

    async fn the_later_stays(url: &str) {
        let database = Database::connect(url, &Options::default()).await.unwrap();
        for heard in [&[(1, 20), (2, 10)][..], &[(1, 15), (2, 30), (3, 5)]] {
            let tx = database.change().await.unwrap();
            upsert(&tx, heard).await.unwrap();
            tx.commit().await.unwrap();
        }
        let stored = process::Entity::find().order_by_asc(process::Column::Id);
        let stored = stored.all(database.near()).await.unwrap();
        let stored: Vec<(i64, i64)> = stored.iter().map(|row| (row.id, row.heard_at)).collect();
        assert_eq!(stored, [(1, 20), (2, 30), (3, 5)]);
        database.close().await;
    }

    #[tokio::test]
    async fn of_two_processes_the_later_heartbeat_stays() {
        the_later_stays("sqlite::memory:").await;
        if let Some(url) = crate::transaction::tests::of_server("heartbeats").await {
            the_later_stays(&url).await;
        }
    }
}
