//! `impl Store`: one call, pages of calls, how many there are.

use std::ops::ControlFlow;

use mcptap_model::{CallFilter, Count, SpanId, TraceId};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use crate::entity::{alias, call};
use crate::readers::Reading;
use crate::row::{span_number, trace_halves};
use crate::scan::{Direction, Scan, beyond, head};
use crate::{CallPosition, Error, PageRequest, Seq, Store, Stored};

/// How many rows are counted together when their bodies decide.
const CHUNK: u64 = 500;

/// A page of calls, and where the feed goes on from it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPage {
    /// The calls, newest first.
    pub items: Vec<Stored>,
    /// Whether older calls of the filter exist.
    pub has_next: bool,
    /// Whether newer calls of the filter exist.
    pub has_previous: bool,
    /// Reading the feed from here on misses no call newer than this page. Of the newest page it is the head of the
    /// very snapshot that the page was read from; of the oldest it is the beginning.
    pub live: Seq,
}

impl Store {
    /// The call that the span told of: its first span, or one that was folded into it.
    pub async fn call(&self, trace: TraceId, span: SpanId) -> Result<Option<Stored>, Error> {
        let (hi, lo) = trace_halves(trace);
        let span = span_number(span);
        let tx = self.snapshot(Reading::Light).await?;
        let of_span = call::Entity::find()
            .filter(call::Column::TraceLo.eq(lo))
            .filter(call::Column::SpanId.eq(span))
            .filter(call::Column::TraceHi.eq(hi));
        let mut row = of_span.filter(self.kept()).one(&*tx).await?;
        if row.is_none() {
            let alias = alias::Entity::find_by_id((lo, span))
                .filter(alias::Column::TraceHi.eq(hi))
                .one(&*tx)
                .await?;
            if let Some(id) = alias.and_then(|alias| alias.call) {
                row = call::Entity::find_by_id(id).filter(self.kept()).one(&*tx).await?;
            }
        }
        let stored = self
            .inner
            .dictionary
            .stored(&*tx, row.into_iter().collect())
            .await?;
        tx.commit().await?;
        Ok(stored.into_iter().next())
    }

    /// Calls of the filter, newest first. Rows and `live` come from one snapshot.
    pub async fn calls(
        &self,
        filter: &CallFilter,
        page: PageRequest<CallPosition>,
    ) -> Result<CallPage, Error> {
        let tx = self.snapshot(Reading::of(filter)).await?;
        let head = head(&*tx).await?;
        let scan = Scan::new(self, &tx, filter).await?;
        let (after, before) = (page.after, page.before);
        let mut page = page.bounds();
        let direction = if page.backward {
            Direction::Newer
        } else {
            Direction::Older
        };
        let (from, until) = if page.backward {
            (before, after)
        } else {
            (after, before)
        };

        let mut items = scan.take(direction, from, until, page.size + 1).await?;
        let cut = items.len() > page.size;
        items.truncate(page.size);
        // What was not reached because the page is full; what lies behind the position it started from.
        let last = items.last().map(Stored::position).or(until);
        let ahead = cut || (until.is_some() && beyond_any(&scan, direction, last).await?);
        let first = items.first().map(Stored::position).or(from);
        let behind = from.is_some() && beyond_any(&scan, direction.reverse(), first).await?;
        if page.backward {
            items.reverse();
        }
        page.set(ahead, behind);
        let live = if !page.has_previous {
            head
        } else if !page.has_next {
            Seq(0)
        } else {
            before_all_newer(&tx, items.first().map(Stored::position)).await?
        };
        tx.commit().await?;
        Ok(CallPage {
            items,
            has_next: page.has_next,
            has_previous: page.has_previous,
            live,
        })
    }

    /// How many calls the filter means; counting stops beyond `cap`.
    pub async fn count(&self, filter: &CallFilter, cap: u64) -> Result<Count, Error> {
        let tx = self.snapshot(Reading::Scan).await?;
        let scan = Scan::new(self, &tx, filter).await?;
        let mut value = 0u64;
        if scan.exact() {
            let some = Query::select()
                .expr(Expr::cust("1"))
                .from(call::Entity)
                .cond_where(scan.condition())
                .limit(cap.saturating_add(1))
                .take();
            let count = Query::select()
                .expr(Func::count(Expr::cust("*")))
                .from_subquery(some, Alias::new("some"))
                .take();
            if let Some(row) = tx.query_one(&count).await? {
                value = u64::try_from(row.try_get_by_index::<i64>(0)?).unwrap_or_default();
            }
        } else {
            scan.walk(Direction::Older, None, None, CHUNK, |_| {
                value += 1;
                if value > cap {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .await?;
        }
        tx.commit().await?;
        Ok(Count {
            value: std::cmp::min(value, cap),
            exact: value <= cap,
        })
    }
}

async fn beyond_any(
    scan: &Scan<'_>,
    direction: Direction,
    from: Option<CallPosition>,
) -> Result<bool, Error> {
    match from {
        Some(from) => scan.any(direction, from).await,
        None => Ok(false),
    }
}

/// The change before the first of all calls that are newer than the position.
async fn before_all_newer(tx: &DatabaseTransaction, first: Option<CallPosition>) -> Result<Seq, Error> {
    let Some(first) = first else { return Ok(Seq(0)) };
    let lowest = Query::select()
        // Plain, SQLite would walk along the primary key from the oldest row on; so it walks along the index by
        // start, which holds only what is newer.
        .expr(Func::min(Expr::col(call::Column::Id).add(0)))
        .from(call::Entity)
        .cond_where(beyond(Direction::Newer, first))
        .take();
    let row = tx.query_one(&lowest).await?;
    let lowest: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    Ok(Seq(lowest.map_or(0, |lowest| lowest - 1)))
}
