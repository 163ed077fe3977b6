//! `impl Store`: what was committed after a point, in order of commit.

use std::ops::ControlFlow;

use mcptap_model::CallFilter;
use sea_orm::sea_query::{Expr, Func, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};

use crate::feed::recent::Stretch;
use crate::read::readers::Reading;
use crate::read::scan::{Scan, head};
use crate::rows::dictionary::Dictionary;
use crate::rows::entity::{call, unindexed};
use crate::write::neighbourhood::CALL_BYTES;
use crate::{Error, Seq, Store, Stored};

/// How many numbers of the sequence one read looks at.
const STRETCH: i64 = 10_000;

/// The same when bodies decide: all of it is read, whatever its calls have of texts.
const SEARCH_STRETCH: i64 = 100;

/// How many changes one read gives at most.
pub(crate) const MOST: usize = 500;

/// How a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was stored.
    Added,
    /// It was completed after having been stored.
    Updated,
}

/// One change, with the call as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in the order of commit.
    pub seq: Seq,
    /// How the call changed.
    pub kind: ChangeKind,
    /// The call, without details.
    pub stored: Stored,
}

/// A stretch of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedChanges {
    /// The changes of the filter, in order of commit.
    pub items: Vec<Change>,
    /// Go on from here: everything up to here has been looked at, also when nothing matched.
    pub upto: Seq,
    /// Whether `upto` is the head of the snapshot that was read.
    pub caught_up: bool,
}

impl Store {
    /// Changes of the filter after a point, at most `limit` (clamped to 1..=500). One call looks at a bounded
    /// number of rows, so it may find nothing and still not have caught up: then go on from `upto`.
    pub async fn changes(&self, filter: &CallFilter, after: Seq, limit: usize) -> Result<FeedChanges, Error> {
        let limit = limit.clamp(1, MOST);
        let tx = self.snapshot(Reading::Scan).await?;
        let head = head(&*tx).await?;
        // Numbers of calls long forgotten are skipped at once.
        let Some(start) = next(&tx, after).await?.filter(|start| *start <= head.0) else {
            tx.commit().await?;
            return Ok(FeedChanges {
                items: Vec::new(),
                upto: head.max(after),
                caught_up: true,
            });
        };
        let scan = Scan::of_new_calls(self, &tx, filter).await?;
        let stretch = if scan.exact() { STRETCH } else { SEARCH_STRETCH };
        let end = std::cmp::min(head.0, start.saturating_add(stretch - 1));

        let added = call::Entity::find()
            .filter(scan.condition())
            .filter(call::Column::Id.gt(after.0))
            .filter(call::Column::Id.lte(end))
            .order_by_asc(call::Column::Id);
        let updated = call::Entity::find()
            .filter(scan.condition())
            .filter(call::Column::UpdatedSeq.gt(after.0))
            .filter(call::Column::UpdatedSeq.lte(end))
            .filter(call::Column::Id.lte(after.0))
            .order_by_asc(call::Column::UpdatedSeq);
        // One more than wanted tells whether the stretch was read to its end. Where bodies decide, all of it is read.
        let most = scan.exact().then_some(limit as u64 + 1);
        let mut rows: Vec<(i64, ChangeKind, call::Model)> = Vec::new();
        for row in added.limit(most).all(&*tx).await? {
            rows.push((row.id, ChangeKind::Added, row));
        }
        for row in updated.limit(most).all(&*tx).await? {
            rows.push((row.updated_seq.unwrap_or(row.id), ChangeKind::Updated, row));
        }
        rows.sort_unstable_by_key(|(seq, _, _)| *seq);
        let mut upto = Seq(end);
        if scan.exact() && rows.len() > limit {
            // By the rows, not by the calls: one that cannot be read is passed too, and nothing behind it is.
            rows.truncate(limit);
            upto = rows.last().map_or(after, |(last, ..)| Seq(*last));
        }
        let numbered: Vec<(i64, ChangeKind, i64)> = rows
            .iter()
            .map(|(seq, kind, row)| (*seq, *kind, row.id))
            .collect();
        let rows = rows.into_iter().map(|(_, _, row)| row).collect();
        let mut found = self.inner.dictionary.stored(&*tx, rows).await?;
        if !scan.exact() {
            let calls = std::mem::take(&mut found);
            let texts = self.texts(&tx);
            let read = texts.matching(&scan.filter, calls, |stored| {
                found.push(stored);
                // One more than wanted is read of what is cut off.
                if found.len() > limit {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let _end: ControlFlow<()> = read.await?;
        }
        tx.commit().await?;

        let mut items = in_order(numbered, found);
        if items.len() > limit {
            items.truncate(limit);
            upto = items.last().map_or(after, |last| last.seq);
        }
        Ok(FeedChanges {
            items,
            upto,
            caught_up: upto == head,
        })
    }
}

/// How many bytes the long texts of the calls have that changed after a point.
pub(crate) async fn bytes(tx: &DatabaseTransaction, after: Seq) -> Result<i64, Error> {
    let mut bytes = 0;
    for column in ["id", "updated_seq"] {
        let text =
            format!("SELECT CAST(COALESCE(SUM({CALL_BYTES}), 0) AS BIGINT) FROM calls WHERE {column} > $1");
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), text, [after.0.into()]);
        if let Some(row) = tx.query_one_raw(statement).await? {
            bytes += row.try_get_by_index::<i64>(0)?;
        }
    }
    Ok(bytes)
}

/// Everything after a point, of whatever age, for all who follow.
pub(crate) async fn between(
    tx: &DatabaseTransaction,
    dictionary: &Dictionary,
    after: Seq,
) -> Result<Stretch, Error> {
    let upto = head(tx).await?;
    let range = |column: call::Column| Condition::all().add(column.gt(after.0)).add(column.lte(upto.0));
    let mut numbered: Vec<(i64, ChangeKind, i64)> = Vec::new();
    let added = call::Entity::find()
        .filter(range(call::Column::Id))
        .all(tx)
        .await?;
    numbered.extend(added.iter().map(|row| (row.id, ChangeKind::Added, row.id)));
    let updated = call::Entity::find()
        .filter(range(call::Column::UpdatedSeq))
        .all(tx)
        .await?;
    let seq = |row: &call::Model| row.updated_seq.unwrap_or(row.id);
    numbered.extend(updated.iter().map(|row| (seq(row), ChangeKind::Updated, row.id)));
    let stored = dictionary
        .stored(tx, added.into_iter().chain(updated).collect())
        .await?;
    let mut changes = in_order(numbered, stored);
    changes.sort_unstable_by_key(|change| change.seq);
    // Log lines have no change of their own; calls that got some are noted for the index.
    let relined = unindexed::Entity::find()
        .select_only()
        .column(unindexed::Column::Call)
        .filter(unindexed::Column::Seq.gt(after.0))
        .filter(unindexed::Column::Seq.lte(upto.0))
        .into_tuple()
        .all(tx)
        .await?;
    Ok(Stretch {
        after,
        upto,
        whole: i64::try_from(changes.len()).is_ok_and(|changes| changes == upto.0 - after.0),
        changes,
        removed: Vec::new(),
        relined,
        moved: None,
    })
}

/// The calls that were found, as the changes they stand for.
fn in_order(numbered: Vec<(i64, ChangeKind, i64)>, found: Vec<Stored>) -> Vec<Change> {
    let mut found = found.into_iter().peekable();
    let mut items = Vec::new();
    for (seq, kind, row) in numbered {
        if let Some(stored) = found.next_if(|stored| stored.row == row) {
            items.push(Change {
                seq: Seq(seq),
                kind,
                stored,
            });
        }
    }
    items
}

/// The first change after a point.
async fn next(tx: &DatabaseTransaction, after: Seq) -> Result<Option<i64>, Error> {
    let mut first = None;
    for column in [call::Column::Id, call::Column::UpdatedSeq] {
        let select = Query::select()
            .expr(Func::min(Expr::col(column)))
            .from(call::Entity)
            .and_where(column.gt(after.0))
            .take();
        let row = tx.query_one(&select).await?;
        let number: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
        first = first.into_iter().chain(number).min();
    }
    Ok(first)
}
