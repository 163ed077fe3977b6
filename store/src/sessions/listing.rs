//! The sessions that have calls of a filter.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use mcptap_model::{CallFilter, UnixNanos};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Order, Query, WindowStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, StreamTrait};

use super::places::{AT_ONCE, End, Place};
use crate::entity::call;
use crate::scan::Scan;
use crate::visits::{Moment, PAUSE};
use crate::{Error, Page, PageRequest, Reservation, Store};

/// How many calls a page of all sessions walks through before the sessions are gathered another way.
const WALK: usize = 20_000;
/// How many calls it reads at a time.
const STEP: u64 = 1_000;

impl Store {
    /// The sessions of a page of all, by walking back in time until there are enough: newest activity comes first by
    /// itself. `None` where the filter or the page asks for more than that, or few sessions have all the calls.
    pub(super) async fn walked(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
        page: &PageRequest<Reverse<(UnixNanos, i64)>>,
    ) -> Result<Option<Vec<Place>>, Error> {
        let of_servers = CallFilter {
            servers: filter.servers.clone(),
            ..CallFilter::default()
        };
        let bounds = page.bounds();
        if *filter != of_servers || bounds.backward || page.before.is_some() {
            return Ok(None);
        }
        let scan = Scan::new(self, tx, filter).await?;
        let mut until = page.after.map(|Reverse((last, _))| (last.0, i64::MAX));
        let mut seen: HashMap<i64, i64> = HashMap::new();
        let mut places: Vec<Place> = Vec::new();
        for _ in 0..WALK / STEP as usize {
            let mut step = Query::select();
            step.columns([call::Column::Session, call::Column::StartedAt])
                .from(call::Entity)
                .cond_where(scan.condition())
                .and_where(call::Column::Session.is_not_null())
                .order_by(call::Column::StartedAt, Order::Desc)
                .order_by(call::Column::Session, Order::Desc)
                .limit(STEP);
            if let Some((at, session)) = until {
                step.and_where(call::Column::StartedAt.lte(at)).and_where(
                    call::Column::StartedAt
                        .lt(at)
                        .or(call::Column::Session.lt(session)),
                );
            }
            let rows = tx.query_all(&step).await?;
            let whole = (rows.len() as u64) < STEP;
            let mut moments = Vec::new();
            for row in rows {
                let moment = Moment {
                    session: row.try_get_by_index(0)?,
                    at: row.try_get_by_index(1)?,
                };
                let before = seen.insert(moment.session, moment.at);
                if before.is_none_or(|before| before.saturating_sub(moment.at) > PAUSE) {
                    moments.push(moment);
                }
                until = Some((moment.at, moment.session));
            }
            for place in self.of_moments(tx, &moments).await? {
                let beyond = page.after.as_ref().is_none_or(|after| place.order() > *after);
                if beyond && !places.iter().any(|known| known.name == place.name) {
                    places.push(place);
                }
            }
            if whole || places.len() > bounds.size {
                return Ok(Some(places));
            }
        }
        Ok(None)
    }

    /// The page of all sessions with calls of a filter. Of those that are not on the page only numbers are kept, and what
    /// these take is taken from the process's memory budget.
    pub(super) async fn gathered(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
        page: &PageRequest<Reverse<(UnixNanos, i64)>>,
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
    fn order(&self) -> Reverse<(UnixNanos, i64)> {
        Reverse((UnixNanos(self.last), self.row))
    }
}
