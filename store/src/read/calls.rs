//! `impl Store`: one call, pages of calls, how many there are.

use std::ops::ControlFlow;

use mcptap_model::{CallFilter, Count, SpanId, TraceId};
use sea_orm::sea_query::{Alias, Expr, Func, Order, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use crate::read::readers::Reading;
use crate::read::scan::{Direction, Scan, beyond, head};
use crate::rows::entity::{alias, call};
use crate::rows::row::{span_number, trace_halves};
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
    /// Where the feed goes on from it: see [`Store::feed_start`].
    pub live: FeedStart,
}

/// Where the feed goes on from a page, as far as the page itself tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStart {
    /// After this change: of the newest page the head of the very snapshot that it was read from, of the oldest the
    /// beginning.
    After(Seq),
    /// Before every call that is newer than this one. Finding it takes a statement of its own.
    BeforeNewerThan(CallPosition),
}

/// Up to how many calls newer than a page are looked at for the first change among them.
const LOOKED_AT: u64 = 2_000;

/// A call begins at most a day after it is received: clocks differ, and what is said to begin later is refused. An hour
/// more, because several processes number the calls that they receive.
const AHEAD_OF_ARRIVAL: i64 = 25 * 3_600 * 1_000_000_000;

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
            let alias = alias::Entity::find_by_id((lo, span, hi)).one(&*tx).await?;
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
            FeedStart::After(head)
        } else if !page.has_next {
            FeedStart::After(Seq(0))
        } else {
            let first = items.first().map(Stored::position);
            first.map_or(FeedStart::After(Seq(0)), FeedStart::BeforeNewerThan)
        };
        tx.commit().await?;
        Ok(CallPage {
            items,
            has_next: page.has_next,
            has_previous: page.has_previous,
            live,
        })
    }

    /// Where to follow the feed from, so that no call newer than a page is missed. It is the last change before all of
    /// them while these are few. Behind more of them it may lie further back, by what was received in about a day:
    /// looking at all of them would take longer the older the page is.
    pub async fn feed_start(&self, start: FeedStart) -> Result<Seq, Error> {
        let first = match start {
            FeedStart::After(seq) => return Ok(seq),
            FeedStart::BeforeNewerThan(first) => first,
        };
        let tx = self.snapshot(Reading::Light).await?;
        let newer = Query::select()
            .column(call::Column::Id)
            .from(call::Entity)
            .cond_where(beyond(Direction::Newer, first))
            .order_by(call::Column::StartedAt, Order::Asc)
            .order_by(call::Column::Id, Order::Asc)
            .limit(LOOKED_AT + 1)
            .take();
        let rows = tx.query_all(&newer).await?;
        let ids: Result<Vec<i64>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
        let ids = ids?;
        let start = if ids.len() as u64 <= LOOKED_AT {
            ids.into_iter().min().map_or(0, |lowest| lowest - 1)
        } else {
            let since = first.started_at.0.saturating_sub(AHEAD_OF_ARRIVAL);
            let upto = head(&*tx).await?.0;
            received_before(&tx, since, upto).await?
        };
        tx.commit().await?;
        Ok(Seq(start))
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

/// A change that nothing received at `since` or later is before. Numbers follow the order of arrival, so it is found by
/// halving, along the primary key.
async fn received_before(tx: &DatabaseTransaction, since: i64, upto: i64) -> Result<i64, Error> {
    let (mut before, mut from) = (0, upto);
    while before < from {
        let middle = before + (from - before) / 2;
        let next = Query::select()
            .columns([call::Column::Id, call::Column::ReceivedAt])
            .from(call::Entity)
            .and_where(call::Column::Id.gt(middle))
            .order_by(call::Column::Id, Order::Asc)
            .limit(1)
            .take();
        let next = tx.query_one(&next).await?;
        let next: Option<(i64, i64)> = next
            .map(|row| Ok::<_, Error>((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
            .transpose()?;
        match next {
            Some((id, received_at)) if received_at < since => before = id.min(from),
            _ => from = middle,
        }
    }
    Ok(before)
}
