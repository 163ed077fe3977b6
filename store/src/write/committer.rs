//! One transaction after the other: a prepared group is written, committed, announced and answered.

mod complaints;
mod plain;
mod retry;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use self::complaints::Complaints;
use crate::db::transaction::{Advanced, Transaction};
use crate::feed::recent::Recent;
use crate::metrics::Counters;
use crate::rows::intern::Remembered;
use crate::supervise::contained;
use crate::write::footprint::Writes;
use crate::write::incoming::Incoming;
use crate::write::prepare::{Preparation, Prepared};
use crate::write::queue::{Request, Written};
use crate::{Error, Seq};

/// A century.
const NO_LIMIT: Duration = Duration::from_secs(3_155_760_000);

/// Requests that share a transaction.
pub(crate) struct Group {
    /// The senders to answer.
    pub(crate) requests: Vec<Request>,
    /// The rows to write.
    pub(crate) prepared: Result<Prepared, Error>,
    /// Dropped when the group is done with, one way or the other.
    pub(crate) done: oneshot::Sender<()>,
}

/// A group that was committed.
struct Last {
    /// The sequence before it.
    before: i64,
    /// The sequence after it.
    after: i64,
    /// Of what memory knew of the database.
    generation: u64,
    /// Its changes.
    writes: Arc<Writes>,
}

/// Writes groups, in the order they come.
pub(crate) struct Committer {
    preparation: Preparation,
    remembered: Remembered,
    head: Arc<watch::Sender<Seq>>,
    recent: Arc<Recent>,
    counters: Arc<Counters>,
    /// The last group that this process itself committed.
    last: Option<Last>,
    complaints: Complaints,
}

impl Committer {
    pub(crate) fn new(
        preparation: Preparation,
        remembered: Remembered,
        head: Arc<watch::Sender<Seq>>,
        recent: Arc<Recent>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            preparation,
            remembered,
            head,
            recent,
            counters,
            last: None,
            complaints: Complaints::default(),
        }
    }

    /// Writes until no more groups can come.
    pub(crate) async fn run(mut self, mut groups: mpsc::Receiver<Group>) {
        while let Some(Group {
            requests,
            prepared,
            done,
        }) = groups.recv().await
        {
            let health = Arc::clone(self.preparation.database.health());
            // Each of its transactions has a limit of its own.
            if contained(&health, "committer", NO_LIMIT, self.store(requests, prepared))
                .await
                .is_err()
            {
                self.forget();
                self.counters.failed();
            }
            drop(done);
        }
    }

    /// Forgets what it remembers of rows: that may be half true.
    fn forget(&mut self) {
        self.remembered.forget();
        self.last = None;
    }

    /// Commits a group as a whole or not at all, within the time that a write may take. Without anything prepared it is
    /// prepared first.
    async fn commit_in_time(
        &mut self,
        batches: &[&Incoming],
        prepared: Option<Prepared>,
    ) -> Result<Written, Error> {
        let database = self.preparation.database.clone();
        let committing = async {
            let prepared = match prepared {
                Some(prepared) => prepared,
                None => self.prepare(batches).await?,
            };
            self.commit(batches, prepared).await
        };
        let committed = contained(database.health(), "committer", database.write_limit(), committing);
        committed.await.unwrap_or_else(|error| {
            self.forget();
            Err(error)
        })
    }

    async fn prepare(&self, batches: &[&Incoming]) -> Result<Prepared, Error> {
        self.preparation.prepare(merged(batches)).await
    }

    /// Commits a group as a whole or not at all.
    async fn commit(&mut self, batches: &[&Incoming], prepared: Prepared) -> Result<Written, Error> {
        match self.attempt(batches, Some(prepared)).await {
            Err(Error::Stale(table)) => {
                tracing::warn!(
                    table,
                    "rows that a group read are gone; the group is prepared again"
                );
                self.attempt(batches, None).await
            }
            outcome => outcome,
        }
    }

    /// One transaction. Without anything prepared, or with what is no longer true, the group is prepared while nobody else
    /// can write.
    async fn attempt(&mut self, batches: &[&Incoming], prepared: Option<Prepared>) -> Result<Written, Error> {
        if let Some(prepared) = prepared.as_ref().filter(|prepared| prepared.is_empty()) {
            return Ok(Written {
                head: *self.head.borrow(),
                left_out: prepared.foreign.clone(),
                ..Written::default()
            });
        }
        let mut tx = Transaction::begin(&self.preparation.database).await?;
        let numbers = prepared.as_ref().map_or(1, Prepared::numbers);
        let mut advanced = tx.advance(numbers, 0).await?;
        let before = advanced.before;
        // A stale one gives its memory back before the group is prepared again.
        let prepared = prepared.filter(|prepared| self.is_current(prepared, advanced));
        let mut prepared = match prepared {
            Some(prepared) => prepared,
            None => {
                // From here to the end of the transaction nobody else commits.
                let prepared = self.prepare(batches).await?;
                advanced = tx.advance(prepared.numbers(), 0).await?;
                prepared
            }
        };
        self.remembered.at_epoch(advanced);
        let (added, completed) = (prepared.added.len(), prepared.completed.len());
        let lines = prepared.logs.len();
        let writes = Arc::clone(&prepared.writes);
        let left_out = std::mem::take(&mut prepared.foreign);
        let mut stretch = rows::stretch(&mut prepared, Seq(before), advanced);
        let stored = self.write(&mut tx, prepared, advanced).await?;
        let added = added - stored.len();
        stretch.changes.retain(|change| !stored.contains(&change.seq.0));
        tx.commit().await?;
        self.preparation.database.health().wrote(Ok(()));
        self.remembered.keep();
        self.last = Some(Last {
            before,
            after: advanced.after,
            generation: advanced.generation,
            writes,
        });
        let head = Seq(advanced.after);
        self.counters.stored(added, completed, lines);
        self.recent.add(stretch);
        self.head
            .send_if_modified(|last| std::mem::replace(last, head.max(*last)) < head);
        Ok(Written {
            added,
            completed,
            head,
            left_out,
            ..Written::default()
        })
    }

    /// Whether what was prepared is what would be prepared now: nothing was committed since its
    /// neighbourhood was read, or only this process's own last group, which changed nothing of what was read.
    fn is_current(&self, prepared: &Prepared, advanced: Advanced) -> bool {
        let before = advanced.before;
        let is_of_last = |last: &Last| {
            (last.before, last.after, last.generation) == (prepared.head, before, advanced.generation)
                && !last.writes.change(&prepared.reads)
        };
        prepared.generation == advanced.generation
            && (prepared.head == before || self.last.as_ref().is_some_and(is_of_last))
    }
}

/// Batches as one.
pub(crate) fn merged(batches: &[&Incoming]) -> Incoming {
    let mut all = Incoming::default();
    for batch in batches {
        all.observations.extend_from_slice(&batch.observations);
        all.https.extend_from_slice(&batch.https);
        all.logs.extend_from_slice(&batch.logs);
    }
    all
}

/// The batches of requests.
pub(crate) fn batches(requests: &[Request]) -> Vec<&Incoming> {
    requests.iter().map(|request| &request.batch).collect()
}
