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

use mcptap_model::{Batch, Evidence, Observation, Outcome};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio::time::Instant;

use crate::database::Database;
use crate::dictionary::Dictionary;
use crate::entity::{call, process};
use crate::hash::text_hash;
use crate::options::Options;
use crate::writer::WeakWriter;
use crate::{Error, clock};

/// How often heartbeats are written down, and silence is looked for: at most.
const LOOK: Duration = Duration::from_secs(5);
/// How many calls are found lost at once.
const AT_ONCE: u64 = 500;
/// Of how many processes heartbeats are noted between two writes, 16 bytes each; those of others come again.
const MOST_PROCESSES: usize = 100_000;
/// How long it is remembered when a process was heard.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Running calls, said as the index of them says it.
const RUNNING: &str = "outcome = 6";

/// Which processes were heard since it was last written down.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    heard: Mutex<HashMap<i64, i64>>,
}

impl Heartbeats {
    /// Notes that the process was heard now.
    pub(crate) fn note(&self, process: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let key = text_hash(process);
        if heard.len() < MOST_PROCESSES || heard.contains_key(&key) {
            heard.insert(key, clock::now().0);
        }
    }

    fn take(&self) -> HashMap<i64, i64> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives back what could not be written, unless there is newer.
    fn give_back(&self, heard: &HashMap<i64, i64>) {
        let mut now = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for (process, at) in heard {
            now.entry(*process).or_insert(*at);
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

impl Silence {
    /// Goes on until it is cancelled, or nothing is written any more.
    pub(crate) async fn run(self) {
        let begun = Instant::now();
        let lost_after = self.options.lost_after;
        let mut failing = false;
        loop {
            tokio::time::sleep(LOOK.min(lost_after / 4)).await;
            let done = async {
                self.write_down().await?;
                // Who could not reach us before this process began must have had the time for it.
                if begun.elapsed() >= lost_after {
                    self.find_lost().await?;
                }
                Ok::<_, Error>(())
            };
            match self.database.step("lost calls", done).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "it cannot be told which running calls are lost; tried again");
                }
                Err(_) => {}
            }
        }
    }

    /// Writes down which processes were heard.
    async fn write_down(&self) -> Result<(), Error> {
        let heard = self.heartbeats.take();
        if heard.is_empty() {
            return Ok(());
        }
        let written = self.upsert(&heard).await;
        if written.is_err() {
            self.heartbeats.give_back(&heard);
        }
        written
    }

    async fn upsert(&self, heard: &HashMap<i64, i64>) -> Result<(), Error> {
        let tx = self.database.change().await?;
        let rows: Vec<process::ActiveModel> = heard
            .iter()
            .map(|(process, at)| process::ActiveModel {
                id: ActiveValue::Set(*process),
                heard_at: ActiveValue::Set(*at),
            })
            .collect();
        for rows in rows.chunks(1_000) {
            let mut newer = OnConflict::column(process::Column::Id);
            newer.update_column(process::Column::HeardAt);
            process::Entity::insert_many(rows.to_vec())
                .on_conflict(newer)
                .exec_without_returning(&tx)
                .await?;
        }
        process::Entity::delete_many()
            .filter(process::Column::HeardAt.lt(clock::ago(REMEMBERED).0))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives the writer what runs at processes that are silent.
    async fn find_lost(&self) -> Result<(), Error> {
        let limit = clock::ago(self.options.lost_after);
        let mut after = (i64::MIN, 0);
        loop {
            let tx = self.database.maintenance_snapshot().await?;
            let rows = call::Entity::find()
                .filter(Expr::cust(RUNNING))
                .filter(call::Column::ReceivedAt.lt(limit.0))
                .filter(
                    call::Column::StartedAt.gt(after.0).or(call::Column::StartedAt
                        .eq(after.0)
                        .and(call::Column::Id.gt(after.1))),
                )
                .order_by_asc(call::Column::StartedAt)
                .order_by_asc(call::Column::Id)
                .limit(AT_ONCE)
                .all(&tx)
                .await?;
            let Some(last) = rows.last() else {
                tx.commit().await?;
                return Ok(());
            };
            after = (last.started_at, last.id);
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
                    lost.observations.push(as_lost((*stored.call).clone()));
                }
            }
            // Without a writer nothing is written any more.
            let Some(writer) = self.writer.upgrade() else {
                return Ok(());
            };
            if let Err(error) = writer.write(lost).await {
                tracing::debug!(%error, "calls that are lost are told so later");
                return Ok(());
            }
        }
    }
}

/// The same call once more, by a span that knows nothing but that its process is silent.
fn as_lost(mut call: mcptap_model::Call) -> Observation {
    call.evidence = Evidence {
        lost: true,
        ..call.evidence
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
    fn heartbeats_are_bounded_and_survive_a_failed_write() {
        let heartbeats = Heartbeats::default();
        for process in 0..MOST_PROCESSES + 10 {
            heartbeats.note(&process.to_string());
        }
        let taken = heartbeats.take();
        assert_eq!(taken.len(), MOST_PROCESSES);
        heartbeats.note("0");
        let newer = heartbeats.heard.lock().unwrap().clone();
        heartbeats.give_back(&taken);
        let back = heartbeats.take();
        assert_eq!(back.len(), MOST_PROCESSES);
        assert_eq!(back.get(&text_hash("0")), newer.get(&text_hash("0")));
    }
}
