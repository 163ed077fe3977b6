//! The sessions that have calls of a filter.

use std::cmp::Reverse;
use std::collections::HashMap;

use mcptap_model::{CallFilter, UnixNanos};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Order, Query, WindowStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction};

use super::places::Place;
use crate::entity::call;
use crate::scan::Scan;
use crate::visits::{Moment, PAUSE};
use crate::{Error, PageRequest, Store};

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

    /// All sessions with calls of a filter.
    pub(super) async fn gathered(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
    ) -> Result<Vec<Place>, Error> {
        let scan = Scan::new(self, tx, filter).await?;
        let mut moments: Vec<Moment> = Vec::new();
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
            for row in tx.query_all(&select).await? {
                moments.push(Moment {
                    session: row.try_get_by_index(0)?,
                    at: row.try_get_by_index(1)?,
                });
            }
        } else {
            scan.tally(|tally| {
                moments.extend(tally.session.map(|session| Moment {
                    session,
                    at: tally.started_at,
                }));
            })
            .await?;
        }
        self.of_moments(tx, &moments).await
    }
}
