//! Which running calls are lost: the process that announced them has fallen silent.
//!
//! A sender announces a call that runs for longer than a second, and sends heartbeats for as long as it has such calls.
//! Heartbeats are noted in memory and written every few seconds, so that every process on the database knows of all. A
//! call that was announced, has not ended, and of whose process nothing was heard for [`Options::lost_after`] is given to
//! the writer once more, as lost: like any span it is folded, announced and idempotent, and the call's end, should it come
//! after all, takes its place. Where its process is heard again first, it [runs again](revival).
//!
//! Where a process lives and says of a running call that it [has ended](ends), the span that told so was lost, and so is the call.
//!
//! Time in which exports were refused counts a tenth, and that in which the database did not take what was received is
//! [no silence](listening).

mod ends;
mod heard;
mod heartbeats;
mod listening;
mod origins;
mod revival;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcptap_model::{Batch, Call, Evidence, Observation, Outcome, UnixNanos};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use crate::db::database::Database;
use crate::options::Options;
use crate::rows::dictionary::Dictionary;
use crate::rows::entity::call;
use crate::write::queue::WeakWriter;
use crate::{Error, clock};
#[cfg(test)]
pub(crate) use ends::as_ended;
pub(crate) use heartbeats::{Heartbeats, forget_heartbeats};
use heartbeats::{MOST_ROWS, of_processes, sweep, write};
use listening::Listening;
use origins::{Origin, PAGE, Place, Processes, Walk, next_without_end};
use revival::revive;

/// The task, as readiness names it.
const TASK: &str = "lost calls";

/// The longest time between two writes of heartbeats, and between two searches for lost calls.
const LOOK: Duration = Duration::from_secs(5);
/// How many running calls are read as a whole at once, and how long a read may take on PostgreSQL. No memory is reserved for
/// them, and each may have long texts.
const AT_ONCE: u64 = 100;
const READ: Duration = Duration::from_secs(20);
/// How many origins of running calls are looked at together, and how many of lost ones: those of a month may be many.
const RUNNING: usize = 200_000;
const LOST: usize = 10_000;
/// How long the last heartbeat of a process is stored at least, and how often older ones are deleted.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
const SWEEP: Duration = Duration::from_secs(60);
/// By how much less a time counts in which something was refused before it was read. It counts, because one sender that is
/// refused for good would keep the calls of all others running; and a process that is heard again takes its calls back.
const UNREAD: u32 = 10;

/// The task that looks for silence.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    pub(crate) database: Database,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) heartbeats: Arc<Heartbeats>,
    pub(crate) writer: WeakWriter,
    pub(crate) options: Options,
}

/// How far it got.
struct Progress {
    running: Walk,
    lost: Walk,
    processes: Processes,
    swept: Instant,
}

impl Silence {
    /// Goes on until it is cancelled.
    pub(crate) async fn run(self) {
        let lost_after = self.options.lost_after;
        let pause = LOOK.min(lost_after / 4);
        let mut listening = Listening::default();
        let mut progress = Progress {
            running: Walk::new(Outcome::Running, RUNNING),
            lost: Walk::new(Outcome::Lost, LOST),
            processes: Processes::default(),
            swept: Instant::now(),
        };
        let mut failing = false;
        loop {
            let (before, started) = (clock::now(), Instant::now());
            tokio::time::sleep(pause).await;
            if clock::ago(pause + lost_after / 2) > before {
                // The machine was suspended, or its clock was set forward: no process could send anything meanwhile.
                listening.begin_anew();
            } else if self.heartbeats.take_unread() {
                listening.add(before, started.elapsed() / UNREAD);
            } else {
                listening.add(before, started.elapsed());
            }
            match self.look(&mut progress, listening.since(lost_after)).await {
                Ok(()) => failing = false,
                Err(error) => {
                    // Another process may have the same trouble, and write what it received only after this one looks.
                    listening.begin_anew();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "running calls of silent processes cannot be found; it is tried again");
                    }
                }
            }
        }
    }

    /// Writes what was heard, brings back calls, and where it was listened for long enough finds those of processes that were
    /// not heard `since`.
    async fn look(&self, progress: &mut Progress, since: Option<UnixNanos>) -> Result<(), Error> {
        let Progress {
            running,
            lost,
            processes,
            swept,
        } = progress;
        let (database, dictionary) = (&self.database, &self.dictionary);
        let feed = database.feed();
        let walk = running.next(&feed, dictionary, processes);
        let running = database.step_within(TASK, READ, walk).await?;
        let noted = self.heartbeats.noted();
        let mut silenced = Vec::new();
        if !noted.is_empty() {
            let walk = lost.next(&feed, dictionary, processes);
            silenced = database.step_within(TASK, READ, walk).await?.origins;
        }
        let origins = running.origins.iter().chain(&silenced);
        let known: HashSet<i64> = origins.clone().map(|origin| origin.process).collect();
        let ended = self.heartbeats.take_ended();
        if !ended.is_empty() {
            let origins: Vec<Origin> = origins.copied().collect();
            self.end(&origins, &ended).await?;
        }
        let mut heard = noted.clone();
        heard.retain(|(process, _)| known.contains(process));
        if !heard.is_empty() {
            database.step(TASK, write(database, &heard)).await?;
        }
        self.heartbeats.done(&noted, known, running.all);
        let heard: HashSet<i64> = heard.into_iter().map(|(process, _)| process).collect();
        silenced.retain(|origin| origin.is_instance && heard.contains(&origin.process));
        let back: Vec<i64> = silenced.iter().map(|origin| origin.id).collect();
        revive(database, &back).await?;
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            // A process without a row counts as silent, so a row stays for as long as its process may be silent.
            let oldest = clock::ago(REMEMBERED.max(self.options.lost_after));
            database.step(TASK, sweep(database, oldest, MOST_ROWS)).await?;
        }
        match since {
            Some(since) => self.find_lost(&running.origins, since).await,
            None => Ok(()),
        }
    }

    /// Gives the writer the running calls of processes that were not heard since then.
    async fn find_lost(&self, running: &[Origin], since: UnixNanos) -> Result<(), Error> {
        let database = &self.database;
        for some in running.chunks(PAGE) {
            let processes = some.iter().map(|origin| origin.process);
            let feed = database.feed();
            let heard = of_processes(&feed, processes);
            let heard = database.step_within(TASK, READ, heard).await?;
            let is_silent = |origin: &&Origin| heard.get(&origin.process).is_none_or(|at| *at < since);
            let silent: Vec<i64> = some.iter().filter(is_silent).map(|origin| origin.id).collect();
            if !silent.is_empty() && !self.lose(&silent, since).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives the writer the running calls of these origins that were received before then. Returns whether it takes more.
    async fn lose(&self, origins: &[i64], since: UnixNanos) -> Result<bool, Error> {
        let mut after = Place::START;
        loop {
            let next = self.next_running(origins, since, after);
            let Some((reached, lost)) = self.database.step_within(TASK, READ, next).await? else {
                return Ok(true);
            };
            after = reached;
            if !self.write(lost).await {
                return Ok(false);
            }
        }
    }

    /// Gives the writer lost calls. Returns whether it takes more.
    async fn write(&self, lost: Batch) -> bool {
        // Without another writer nothing is written any more.
        let Some(writer) = self.writer.upgrade() else {
            return false;
        };
        let written = writer.write(lost).await;
        if let Err(error) = &written {
            tracing::debug!(%error, "lost calls are written later");
        }
        written.is_ok()
    }

    /// The calls in these rows.
    async fn calls(&self, db: &impl ConnectionTrait, rows: &[i64]) -> Result<Vec<Arc<Call>>, Error> {
        let rows = call::Entity::find().filter(call::Column::Id.is_in(rows.iter().copied()));
        let stored = self.dictionary.stored(db, rows.all(db).await?).await?;
        Ok(stored.into_iter().map(|stored| stored.call).collect())
    }

    /// The next calls of these origins that run and were received before then, as lost ones, and the place of the last of
    /// them; `None` where there are no more.
    async fn next_running(
        &self,
        origins: &[i64],
        since: UnixNanos,
        after: Place,
    ) -> Result<Option<(Place, Batch)>, Error> {
        // Nobody keeps this connection for long; erasures may have those of maintenance for minutes.
        let tx = self.database.feed_snapshot().await?;
        let places = next_without_end(&tx, Outcome::Running, origins, since, after, AT_ONCE).await?;
        let Some(reached) = places.last().copied() else {
            tx.commit().await?;
            return Ok(None);
        };
        let rows: Vec<i64> = places.iter().map(|place| place.row).collect();
        let calls = self.calls(&tx, &rows).await?;
        tx.commit().await?;
        let running = calls.iter().filter(|call| call.outcome() == Outcome::Running);
        let lost = Batch {
            observations: running.map(|call| as_lost(call)).collect(),
            ..Batch::default()
        };
        Ok(Some((reached, lost)))
    }
}

/// The same call once more, by a span that knows nothing but that its process is silent: what others said of the call is
/// theirs to say.
pub(crate) fn as_lost(call: &Call) -> Observation {
    let call = Call {
        primary_span_id: call.primary_span_id,
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
        ..Call::bare(call.trace_id, call.span_id)
    };
    Observation {
        call,
        links: Vec::new(),
    }
}
