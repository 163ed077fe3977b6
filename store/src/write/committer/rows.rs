//! The changes of a prepared group, as statements. Each one that changes rows checks that they were there.

mod parted;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Committer;
use crate::db::transaction::{Advanced, Transaction};
use crate::feed::recent::Stretch;
use crate::rows::intern::Ids;
use crate::rows::row::{AliasRow, CallRow, moved};
use crate::search::{UnindexedRow, unindex};
use crate::write::fold::{Parted, Target};
use crate::write::prepare::Prepared;
use crate::{Change, ChangeKind, Error, Seq, Stored, clock};

impl Committer {
    /// Runs the statements. Gives the numbers of new calls that were not added, because their spans are stored already in
    /// rows that cannot be read.
    pub(super) async fn write(
        &mut self,
        tx: &mut Transaction,
        prepared: Prepared,
        numbers: Advanced,
    ) -> Result<HashSet<i64>, Error> {
        let first = first(&prepared, numbers);
        let others: Vec<i64> = others(&prepared).into_iter().collect();
        all_there("calls", tx.calls(&others).await?, &others)?;
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
        parted::part(tx, &prepared.parted, row_of).await?;
        tx.with_keys(
            "DELETE FROM waiting WHERE call IN ({keys}) AND kind = 6",
            &prepared.no_parts,
        )
        .await?;
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
            .map(|(target, fingerprint)| (row_of(*target), Some(*fingerprint)))
            .collect();
        tx.with_pairs(
            "WITH moved (source, line) AS ({rows}) DELETE FROM log_lines \
             WHERE call IN (SELECT source FROM moved) \
             AND (call, fingerprint) IN (SELECT source, line FROM moved)",
            &left,
        )
        .await?;
        let arrived = tx
            .with_keys("DELETE FROM waiting WHERE id IN ({keys})", &prepared.arrived)
            .await?;
        all_there("waiting", arrived, &prepared.arrived)?;
        let placed: Vec<(i64, Option<i64>)> = prepared
            .placed
            .iter()
            .map(|(key, target)| (*key, Some(row_of(*target))))
            .collect();
        let found = tx
            .with_pairs(
                "WITH moved (source, target) AS ({rows}) UPDATE waiting SET call = moved.target FROM moved \
                 WHERE id = moved.source",
                &placed,
            )
            .await?;
        let placed: Vec<i64> = placed.iter().map(|(key, _)| *key).collect();
        all_there("waiting", found, &placed)?;

        let next = first + prepared.added.len() as i64;
        let stored = add(tx, prepared.added, first, &ids).await?;
        let details = prepared.added_details.into_iter();
        let details = details.map(|(index, row)| (first + index as i64, row));
        let details: Vec<_> = details.filter(|(id, _)| !stored.contains_key(id)).collect();
        tx.insert(details.into_iter().map(|(id, row)| row.added(id)))
            .await?;
        let completed: Vec<i64> = prepared.completed.iter().map(|(row, _)| *row).collect();
        let numbered = prepared.completed.into_iter().enumerate();
        let found = tx
            .overwrite(numbered.map(|(index, (id, row))| row.completed(id, next + index as i64, &ids)))
            .await?;
        all_there("calls", found, &completed)?;
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
                .map(|(target, line)| line.of(row_of(target))),
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
        let pairs: Vec<(i64, Option<i64>)> = stored.iter().map(|(id, row)| (*id, Some(*row))).collect();
        rehang(tx, &pairs).await?;
        Ok(stored.into_keys().collect())
    }
}

/// Adds calls, with numbers from `first` on. Gives those that were not added, by number, with the rows where their spans
/// are: these rows are there and cannot be read, so nothing knew of them.
async fn add(
    tx: &mut Transaction,
    calls: Vec<CallRow>,
    first: i64,
    ids: &Ids,
) -> Result<HashMap<i64, i64>, Error> {
    let keys: Vec<[i64; 3]> = calls.iter().map(CallRow::key).collect();
    let numbered = calls.into_iter().enumerate();
    let added = tx
        .insert(numbered.map(|(index, row)| row.added(first + index as i64, ids)))
        .await?;
    if added.len() == keys.len() {
        return Ok(HashMap::new());
    }
    let mut ids: HashSet<i64> = HashSet::with_capacity(added.len());
    for row in added {
        ids.insert(row.try_get_by_index(0)?);
    }
    let missing = (first..).zip(keys).filter(|(id, _)| !ids.contains(id));
    let mut stored = HashMap::new();
    for (id, key) in missing {
        let row = tx.row_of(key).await?.ok_or(Error::Stale("calls"))?;
        stored.insert(id, row);
    }
    tracing::warn!(
        calls = stored.len(),
        "spans came again whose stored rows cannot be read; nothing is added to these"
    );
    Ok(stored)
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
    let losing = prepared.parted.iter().map(|parted| parted.row);
    let parted = prepared.parted.iter().flat_map(Parted::targets);
    getting
        .chain(prepared.left.iter().map(|(target, _)| target))
        .chain(merged)
        .chain(parted)
        .filter_map(known)
        .chain(losing)
        .collect()
}

/// Stored calls that something is attached to, but that are neither completed nor removed: those are counted anyway.
fn others(prepared: &Prepared) -> HashSet<i64> {
    let targets = prepared.removed.iter().filter_map(|(_, target)| target.as_ref());
    let targets = targets
        .chain(prepared.aliases.iter().filter_map(|(_, target)| target.as_ref()))
        .chain(prepared.logs.iter().map(|(target, _)| target))
        .chain(prepared.placed.iter().map(|(_, target)| target))
        .chain(prepared.parted.iter().flat_map(Parted::targets));
    let mut rows: HashSet<i64> = targets
        .filter_map(|target| match target {
            Target::Known(row) => Some(*row),
            Target::Added(_) => None,
        })
        .collect();
    for (row, _) in &prepared.completed {
        rows.remove(row);
    }
    rows
}

/// Fails when a statement found fewer rows than were read.
fn all_there(table: &'static str, found: u64, wanted: &[i64]) -> Result<(), Error> {
    let wanted: HashSet<i64> = wanted.iter().copied().collect();
    if found >= wanted.len() as u64 {
        Ok(())
    } else {
        Err(Error::Stale(table))
    }
}

/// The transaction as followers see it.
pub(super) fn stretch(prepared: &mut Prepared, after: Seq, numbers: Advanced) -> Stretch {
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
        relined: relined(prepared).into_iter().collect(),
        moved: Some(std::mem::take(&mut prepared.moved)),
        whole: true,
    }
}

/// Deletes calls that are part of another; what hung on them hangs on that.
async fn remove(tx: &mut Transaction, pairs: Vec<(i64, Option<i64>)>) -> Result<(), Error> {
    if pairs.is_empty() {
        return Ok(());
    }
    rehang(tx, &pairs).await?;
    let sources: Vec<i64> = pairs.iter().map(|(source, _)| *source).collect();
    tx.with_keys("DELETE FROM details WHERE call IN ({keys})", &sources)
        .await?;
    unindex(tx, &sources).await?;
    let found = tx
        .with_keys("DELETE FROM calls WHERE id IN ({keys})", &sources)
        .await?;
    all_there("calls", found, &sources)
}

/// Lines that were placed by their time go with the call that has them. 1 is [`kind::LOG`](crate::rows::row::kind::LOG).
const LINES_THAT_WAIT: &str = "WITH moved (source, target) AS ({rows}) UPDATE waiting SET call = moved.target FROM moved \
    WHERE call = moved.source AND kind = 1";

/// All else that waits, but for its parts, refers to its call by its fingerprint too: `flip` is by what that differs. No
/// operator of both databases is XOR.
const OTHERS_THAT_WAIT: &str = "WITH moved (source, target, flip) AS ({rows}) INSERT INTO waiting \
    (trace_hi, trace_lo, fingerprint, kind, call, origin, span_id, ended_at, data, arrived_at) \
    SELECT trace_hi, trace_lo, (fingerprint | flip) & ~(fingerprint & flip), kind, target, origin, span_id, ended_at, data, \
    arrived_at FROM waiting JOIN moved ON call = source WHERE kind NOT IN (1, 6) ON CONFLICT DO NOTHING";

/// Hangs what hangs on calls on others: lines, aliases and what waits.
async fn rehang(tx: &mut Transaction, pairs: &[(i64, Option<i64>)]) -> Result<(), Error> {
    if pairs.is_empty() {
        return Ok(());
    }
    // The same line may be there already, so lines are copied, then deleted.
    tx.with_pairs(
        "WITH moved (source, target) AS ({rows}) INSERT INTO log_lines \
         (call, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes) \
         SELECT moved.target, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes \
         FROM log_lines JOIN moved ON call = moved.source WHERE moved.target IS NOT NULL ON CONFLICT DO NOTHING",
        pairs,
    )
    .await?;
    tx.with_pairs(
        "WITH moved (source, target) AS ({rows}) UPDATE aliases SET call = moved.target FROM moved \
         WHERE call = moved.source",
        pairs,
    )
    .await?;
    tx.with_pairs(LINES_THAT_WAIT, pairs).await?;
    // What is the other call's already has the same fingerprint, and is not copied.
    let targets = pairs
        .iter()
        .filter_map(|(source, target)| Some((*source, (*target)?)));
    let others: Vec<[Option<i64>; 3]> = targets
        .map(|(source, target)| [source, target, moved(source, target)].map(Some))
        .collect();
    tx.with_rows(OTHERS_THAT_WAIT, &others).await?;
    let sources: Vec<i64> = pairs.iter().map(|(source, _)| *source).collect();
    tx.with_keys("DELETE FROM waiting WHERE call IN ({keys})", &sources)
        .await?;
    tx.with_keys("DELETE FROM log_lines WHERE call IN ({keys})", &sources)
        .await?;
    Ok(())
}
