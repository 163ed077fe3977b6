//! One transaction after the other: a prepared group is written, committed, announced and answered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use mcptap_model::Batch;
use tokio::sync::{mpsc, oneshot, watch};

use crate::body::Compressed;
use crate::fold::Target;
use crate::intern::Remembered;
use crate::metrics::Counters;
use crate::prepare::{Preparation, Prepared};
use crate::recent::{Recent, Stretch};
use crate::row::{AliasRow, LogRow, log_fingerprint};
use crate::search::{UnindexedRow, unindex};
use crate::transaction::{Advanced, Transaction};
use crate::writer::{Request, Written};
use crate::{Change, ChangeKind, Error, ErrorKind, Seq, Stored, WriteError, clock};

/// Requests that share a transaction.
pub(crate) struct Group {
    /// Whom to answer.
    pub(crate) requests: Vec<Request>,
    /// What to write.
    pub(crate) prepared: Result<Prepared, Error>,
    /// Dropped when the group is done with, one way or the other.
    pub(crate) done: oneshot::Sender<()>,
}

/// Writes groups, in the order they come.
pub(crate) struct Committer {
    preparation: Preparation,
    remembered: Remembered,
    head: Arc<watch::Sender<Seq>>,
    recent: Arc<Recent>,
    counters: Arc<Counters>,
    /// What this process itself committed last: a neighbourhood read before that is still true, since groups that touch
    /// the same traces are not prepared at the same time.
    last: Option<(i64, i64)>,
}

impl Committer {
    pub(crate) fn new(
        preparation: Preparation,
        head: Arc<watch::Sender<Seq>>,
        recent: Arc<Recent>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            preparation,
            remembered: Remembered::default(),
            head,
            recent,
            counters,
            last: None,
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
            self.store(requests, prepared).await;
            drop(done);
        }
    }

    async fn store(&mut self, requests: Vec<Request>, prepared: Result<Prepared, Error>) {
        let started = Instant::now();
        let failure = match prepared {
            Ok(prepared) => match self.commit(&requests, prepared).await {
                Ok(written) => {
                    self.counters.committed(
                        requests.iter().map(|request| request.batch.len()).sum(),
                        started.elapsed(),
                    );
                    requests
                        .into_iter()
                        .for_each(|request| request.answer(Ok(written)));
                    return;
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        self.counters.failed();
        if requests.len() == 1 || !is_about_rows(failure.kind()) {
            tracing::error!(error = %failure, "a write failed");
            requests
                .into_iter()
                .for_each(|request| request.answer(Err(WriteError::from(failure.clone()))));
            return;
        }
        // One row that the database refuses must only fail the export it came with.
        tracing::warn!(error = %failure, exports = requests.len(), "a write failed; each export is tried alone");
        let mut alone: VecDeque<Request> = requests.into();
        while let Some(request) = alone.pop_front() {
            let one = std::slice::from_ref(&request);
            let outcome = match self.prepare(one).await {
                Ok(prepared) => self.commit(one, prepared).await,
                Err(error) => Err(error),
            };
            match &outcome {
                Ok(_) => self.counters.committed(request.batch.len(), started.elapsed()),
                Err(error) => {
                    self.counters.failed();
                    tracing::error!(%error, "a write failed");
                }
            }
            request.answer(outcome.map_err(WriteError::from));
        }
    }

    async fn prepare(&self, requests: &[Request]) -> Result<Prepared, Error> {
        self.preparation
            .prepare(merged(requests), Compressed::default())
            .await
    }

    async fn commit(&mut self, requests: &[Request], mut prepared: Prepared) -> Result<Written, Error> {
        if prepared.is_empty() {
            return Ok(Written {
                added: 0,
                completed: 0,
                head: *self.head.borrow(),
            });
        }
        let mut tx = Transaction::begin(&self.preparation.database).await?;
        // Never zero: whoever prepared beside this must notice it.
        let mut advanced = tx.advance(prepared.changes().max(1), 0).await?;
        let after = Seq(advanced.before);
        if !self.true_until(prepared.head, advanced.before) {
            // Somebody else wrote after the neighbourhood was read. Now that the row is locked, nobody can.
            prepared = self.prepare(requests).await?;
            advanced = tx.advance(prepared.changes().max(1), 0).await?;
        }
        self.remembered.at_epoch(advanced.epoch);
        let (added, completed) = (prepared.added.len(), prepared.completed.len());
        let lines = prepared.logs.len();
        let stretch = stretch(&mut prepared, after, advanced);
        self.write(&mut tx, prepared, advanced).await?;
        tx.commit().await?;
        self.remembered.keep();
        self.last = Some((advanced.before, advanced.after));
        let head = Seq(advanced.after);
        self.counters.stored(added, completed, lines);
        self.recent.add(stretch);
        self.head
            .send_if_modified(|last| std::mem::replace(last, head.max(*last)) < head);
        Ok(Written {
            added,
            completed,
            head,
        })
    }

    /// Whether nothing but this process's own last group was committed between reading at `head` and `before`.
    fn true_until(&self, head: i64, before: i64) -> bool {
        head == before || self.last == Some((head, before))
    }

    async fn write(
        &mut self,
        tx: &mut Transaction,
        prepared: Prepared,
        numbers: Advanced,
    ) -> Result<(), Error> {
        let first = first(&prepared, numbers);
        let relined = relined(&prepared).into_iter().map(|call| UnindexedRow {
            call,
            seq: numbers.after,
        });
        tx.insert(relined).await?;
        let ids = self.remembered.resolve(tx, prepared.interner).await?;
        let row_of = |target| match target {
            Target::Known(row) => row,
            Target::Added(index) => first + index as i64,
        };
        remove(
            tx,
            prepared
                .removed
                .iter()
                .map(|(row, target)| (*row, target.map(row_of)))
                .collect(),
        )
        .await?;
        let left: Vec<(i64, Option<i64>)> = prepared
            .left
            .iter()
            .map(|(row, line)| (*row, Some(log_fingerprint(line))))
            .collect();
        tx.with_pairs(
            "WITH moved (source, line) AS ({pairs}) DELETE FROM log_lines \
             WHERE call IN (SELECT source FROM moved) AND fingerprint IN (SELECT line FROM moved)",
            &left,
        )
        .await?;
        tx.with_keys("DELETE FROM waiting WHERE id IN ({keys})", &prepared.arrived)
            .await?;
        let placed: Vec<(i64, Option<i64>)> = prepared
            .placed
            .iter()
            .map(|(key, target)| (*key, Some(row_of(*target))))
            .collect();
        tx.with_pairs(
            "WITH moved (source, target) AS ({pairs}) UPDATE waiting SET call = moved.target FROM moved \
             WHERE id = moved.source",
            &placed,
        )
        .await?;

        let next = first + prepared.added.len() as i64;
        let numbered = prepared.added.into_iter().enumerate();
        tx.insert(numbered.map(|(index, row)| row.added(first + index as i64, &ids)))
            .await?;
        tx.insert(
            prepared
                .added_details
                .into_iter()
                .map(|(index, row)| row.added(first + index as i64)),
        )
        .await?;
        let numbered = prepared.completed.into_iter().enumerate();
        tx.insert(numbered.map(|(index, (id, row))| row.completed(id, next + index as i64, &ids)))
            .await?;
        tx.insert(
            prepared
                .completed_details
                .into_iter()
                .map(|(id, row)| row.completed(id)),
        )
        .await?;
        tx.with_keys("DELETE FROM details WHERE call IN ({keys})", &prepared.bare)
            .await?;
        tx.insert(
            prepared
                .logs
                .into_iter()
                .map(|(target, line)| LogRow::new(row_of(target), line)),
        )
        .await?;
        let arrived_at = clock::now().0;
        let aliases = prepared.aliases.into_iter();
        tx.insert(aliases.map(|(span, call)| AliasRow {
            span,
            call: call.map(row_of),
            arrived_at,
        }))
        .await?;
        tx.insert(
            prepared
                .waiting
                .into_iter()
                .map(|waiting| waiting.row(&ids, row_of)),
        )
        .await?;
        Ok(())
    }
}

/// Whether it may be one row's fault, so that others could be stored without it.
fn is_about_rows(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Data | ErrorKind::Internal)
}

/// The number of the first change.
fn first(prepared: &Prepared, numbers: Advanced) -> i64 {
    numbers.after - prepared.changes() + 1
}

/// Stored calls that get log lines or lose some.
fn relined(prepared: &Prepared) -> BTreeSet<i64> {
    let known = |target: &Target| match target {
        Target::Known(row) => Some(*row),
        Target::Added(_) => None,
    };
    let getting = prepared.logs.iter().map(|(target, _)| target);
    let merged = prepared.removed.iter().filter_map(|(_, target)| target.as_ref());
    let losing = prepared.left.iter().map(|(row, _)| *row);
    getting.chain(merged).filter_map(known).chain(losing).collect()
}

/// The transaction as followers see it.
fn stretch(prepared: &mut Prepared, after: Seq, numbers: Advanced) -> Stretch {
    let added = std::iter::repeat_n(None, prepared.added.len());
    let rows = added.chain(prepared.completed.iter().map(|(row, _)| Some(*row)));
    let numbered = (first(prepared, numbers)..).zip(rows);
    let changes = numbered.zip(std::mem::take(&mut prepared.listed));
    Stretch {
        after,
        upto: Seq(numbers.after),
        changes: changes
            .map(|((seq, row), call)| Change {
                seq: Seq(seq),
                kind: if row.is_some() {
                    ChangeKind::Updated
                } else {
                    ChangeKind::Added
                },
                stored: Stored {
                    row: row.unwrap_or(seq),
                    call,
                },
            })
            .collect(),
        removed: prepared.removed.iter().map(|(row, _)| *row).collect(),
        whole: true,
    }
}

/// The batches of all requests as one.
pub(crate) fn merged(requests: &[Request]) -> Batch {
    let mut batch = Batch::default();
    for request in requests {
        batch.observations.extend_from_slice(&request.batch.observations);
        batch.https.extend_from_slice(&request.batch.https);
        batch.logs.extend_from_slice(&request.batch.logs);
    }
    batch
}

/// Deletes calls that are part of another; what hung on them hangs on that.
async fn remove(tx: &mut Transaction, pairs: Vec<(i64, Option<i64>)>) -> Result<(), Error> {
    if pairs.is_empty() {
        return Ok(());
    }
    // The same line may be there already, so lines are copied, then deleted.
    tx.with_pairs(
        "WITH moved (source, target) AS ({pairs}) INSERT INTO log_lines \
         (call, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes) \
         SELECT moved.target, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes \
         FROM log_lines JOIN moved ON call = moved.source WHERE moved.target IS NOT NULL ON CONFLICT DO NOTHING",
        &pairs,
    )
    .await?;
    tx.with_pairs(
        "WITH moved (source, target) AS ({pairs}) UPDATE aliases SET call = moved.target FROM moved \
         WHERE call = moved.source",
        &pairs,
    )
    .await?;
    tx.with_pairs(
        "WITH moved (source, target) AS ({pairs}) UPDATE waiting SET call = moved.target FROM moved \
         WHERE call = moved.source AND call IS NOT NULL",
        &pairs,
    )
    .await?;
    let sources: Vec<i64> = pairs.iter().map(|(source, _)| *source).collect();
    tx.with_keys("DELETE FROM log_lines WHERE call IN ({keys})", &sources)
        .await?;
    tx.with_keys("DELETE FROM details WHERE call IN ({keys})", &sources)
        .await?;
    unindex(tx, &sources).await?;
    tx.with_keys("DELETE FROM calls WHERE id IN ({keys})", &sources)
        .await?;
    Ok(())
}
