//! The sessions that have calls of a filter.

use std::cmp::Reverse;
use std::collections::HashSet;

use futures_util::TryStreamExt;
use mcptap_model::{CallFilter, UnixNanos};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Order, Query, WindowStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, StreamTrait};

use super::places::{AT_ONCE, End, Place};
use crate::read::scan::Scan;
use crate::read::visits::{Moment, PAUSE};
use crate::rows::entity::call;
use crate::{Error, Page, PageRequest, Reservation, Store};

/// The order of pages, as something that grows.
pub(super) type Position = Reverse<(UnixNanos, i64)>;

impl Store {
    /// The page of all sessions with calls of a filter. Of those that are not on the page only numbers are kept, and what
    /// these take is taken from the process's memory budget.
    pub(super) async fn gathered(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
        page: &PageRequest<Position>,
    ) -> Result<Page<Place>, Error> {
        let mut held = self.inner.memory.try_reserve(0)?;
        let moments = self.moments(tx, filter, &mut held).await?;
        held.grow(moments.len() * size_of::<End>())?;
        let mut ends: Vec<End> = Vec::with_capacity(moments.len());
        for some in moments.chunks(AT_ONCE) {
            let found = self.ends_of(tx, some).await?;
            ends.extend(found.iter().map(|(end, _)| *end));
        }
        drop(moments);
        // One session may have been seen with and without its wire id: two rows, one name.
        ends.sort_unstable();
        ends.dedup();
        let of_one = |one: &End, other: &End| one.name == other.name;
        held.grow(ends.len() * size_of::<Ranked>())?;
        let mut ranked: Vec<Ranked> = ends
            .chunk_by(of_one)
            .filter_map(|ends| {
                Some(Ranked {
                    last: ends.iter().map(|end| end.last).max()?,
                    row: ends.iter().map(|end| end.row).min()?,
                    name: ends.first()?.name,
                })
            })
            .collect();
        ranked.sort_unstable_by_key(Ranked::order);
        let page = Page::cut(ranked, page, Ranked::order);
        let names: HashSet<u64> = page.items.iter().map(|ranked| ranked.name).collect();
        ends.retain(|end| names.contains(&end.name));
        // Each end is found again by its own last call.
        let moments: Vec<Moment> = ends
            .iter()
            .map(|end| Moment {
                session: end.row,
                at: end.last,
            })
            .collect();
        let mut places = self.of_moments(tx, &moments).await?;
        places.sort_by_key(Place::order);
        Ok(Page {
            items: places,
            has_next: page.has_next,
            has_previous: page.has_previous,
        })
    }

    /// A moment in every session with calls of a filter; in a client's one in every visit.
    async fn moments(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
        held: &mut Reservation,
    ) -> Result<Vec<Moment>, Error> {
        let scan = Scan::new(self, tx, filter).await?;
        let mut moments: Vec<Moment> = Vec::new();
        let mut add = |moment: Moment| {
            if moments.len() == moments.capacity() {
                let more = moments.capacity().max(1_024);
                held.grow(more * size_of::<Moment>())?;
                moments.reserve_exact(more);
            }
            moments.push(moment);
            Ok::<_, Error>(())
        };
        if scan.exact() {
            let (before, calls) = (Alias::new("before"), Alias::new("calls_of_filter"));
            let mut window = WindowStatement::partition_by(call::Column::Session);
            window.order_by(call::Column::StartedAt, Order::Asc);
            let matching = Query::select()
                .columns([call::Column::Session, call::Column::StartedAt])
                .expr_window_as(
                    Func::cust("LAG").arg(Expr::col(call::Column::StartedAt)),
                    window,
                    before.clone(),
                )
                .from(call::Entity)
                .cond_where(scan.condition())
                .and_where(call::Column::Session.is_not_null())
                .take();
            let select = Query::select()
                .columns([call::Column::Session, call::Column::StartedAt])
                .from_subquery(matching, calls)
                .and_where(
                    Expr::col(before.clone())
                        .is_null()
                        .or(Expr::col(call::Column::StartedAt)
                            .sub(Expr::col(before))
                            .gt(PAUSE)),
                )
                .take();
            let statement = ConnectionTrait::get_database_backend(tx).build(&select);
            let mut rows = tx.stream_raw(statement).await?;
            while let Some(row) = rows.try_next().await? {
                add(Moment {
                    session: row.try_get_by_index(0)?,
                    at: row.try_get_by_index(1)?,
                })?;
            }
        } else {
            scan.tally(|tally| {
                let at = tally.started_at;
                tally
                    .session
                    .map_or(Ok(()), |session| add(Moment { session, at }))
            })
            .await?;
        }
        Ok(moments)
    }
}

/// A session in the order of pages.
#[derive(Clone, Copy)]
struct Ranked {
    last: i64,
    row: i64,
    /// A hash of its name.
    name: u64,
}

impl Ranked {
    fn order(&self) -> Position {
        Reverse((UnixNanos(self.last), self.row))
    }
}
