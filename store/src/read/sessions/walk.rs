//! A page of sessions, found by walking back in time over the calls.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use mcptap_model::{CallFilter, SessionSource};
use sea_orm::sea_query::{ExprTrait, Order, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction};

use super::listing::Position;
use super::places::Place;
use crate::read::probe::{Index, Stretch, is_probed};
use crate::read::scan::Scan;
use crate::read::visits::{Moment, PAUSE};
use crate::rows::entity::call;
use crate::rows::hash::secret_hash;
use crate::{Error, PageRequest, Store};

/// How many calls a page walks through before its sessions are gathered another way.
const WALK: u64 = 20_000;
/// How many calls it reads at a time.
const STEP: std::ops::RangeInclusive<u64> = 64..=2_048;

impl Store {
    /// The sessions of a page, by walking back in time over all calls until there are enough that have a call of the
    /// filter: newest activity comes first by itself. `None` where the filter or the page asks for something else, few
    /// sessions have all the calls, or few of them have one of the filter.
    pub(super) async fn walked(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
        page: &PageRequest<Position>,
    ) -> Result<Option<Vec<Place>>, Error> {
        // A session has calls of one server, and its last call is no earlier than any of the filter.
        let along = CallFilter {
            // No index has the calls of several servers in order.
            servers: if filter.servers.len() == 1 {
                filter.servers.clone()
            } else {
                Vec::new()
            },
            from: filter.from,
            ..CallFilter::default()
        };
        let bounds = page.bounds();
        if bounds.backward || page.before.is_some() || !is_probed(filter) {
            return Ok(None);
        }
        let all = Scan::new(self, tx, &along).await?;
        let meant = if *filter == along {
            None
        } else {
            Some(Scan::new(self, tx, filter).await?)
        };
        let mut walk = Walk::new(page.after.map(|Reverse((last, _))| last.0));
        let mut step = (bounds.size as u64 * 4).clamp(*STEP.start(), *STEP.end());
        let mut seen: HashSet<u64> = HashSet::new();
        let mut places: Vec<Place> = Vec::new();
        while walk.passed < WALK {
            let moments = walk.step(&all, step).await?;
            let mut some = self.of_moments(tx, &moments).await?;
            walk.whole_rows(&some);
            some.retain(|place| {
                page.after.as_ref().is_none_or(|after| place.order() > *after)
                    && seen.insert(secret_hash(&place.name))
            });
            if let Some(scan) = &meant {
                match having(scan, some).await? {
                    Some(having) => some = having,
                    None => return Ok(None),
                }
            }
            places.extend(some);
            // Of those that end at the last time that was read there may be more.
            let settled = places.iter().filter(|place| walk.is_past(place.last)).count();
            if walk.ended || settled > bounds.size {
                return Ok(Some(places));
            }
            step = std::cmp::min(step * 2, *STEP.end());
        }
        Ok(None)
    }
}

/// Those of the places that have a call of the filter; `None` where that would take long to find out.
async fn having(scan: &Scan<'_>, places: Vec<Place>) -> Result<Option<Vec<Place>>, Error> {
    let from = scan.filter.from.map_or(i64::MIN, |from| from.0);
    let to = scan.filter.to.map_or(i64::MAX, |to| to.0.saturating_sub(1));
    let stretches: Vec<Stretch<1>> = places
        .iter()
        .flat_map(|place| {
            place.rows.iter().map(|row| Stretch {
                keys: [*row],
                first: std::cmp::max(place.first, from),
                last: std::cmp::min(place.last, to),
            })
        })
        .collect();
    let index = Index {
        columns: [call::Column::Session],
        only: None,
    };
    let mut found = scan.any_in(index, &stretches).await?.into_iter();
    let mut having = Vec::new();
    for place in places {
        let rows: Vec<Option<bool>> = found.by_ref().take(place.rows.len()).collect();
        if rows.contains(&Some(true)) {
            having.push(place);
        } else if rows.contains(&None) {
            return Ok(None);
        }
    }
    Ok(Some(having))
}

/// A way back in time over calls that are in sessions.
struct Walk {
    /// The start and the session of the last call that was read.
    until: Option<(i64, i64)>,
    /// How many calls were read.
    passed: u64,
    /// Whether there are no more.
    ended: bool,
    /// The start of the earliest call that was read of each row of `sessions`; `None` of those whose further calls add
    /// nothing.
    seen: HashMap<i64, Option<i64>>,
}

impl Walk {
    fn new(from: Option<i64>) -> Self {
        Self {
            until: from.map(|from| (from, i64::MAX)),
            passed: 0,
            ended: false,
            seen: HashMap::new(),
        }
    }

    /// The moments of the next calls that may be of sessions, or visits, not seen yet.
    async fn step(&mut self, scan: &Scan<'_>, limit: u64) -> Result<Vec<Moment>, Error> {
        let mut step = Query::select();
        step.columns([call::Column::Session, call::Column::StartedAt])
            .from(call::Entity)
            .cond_where(scan.condition())
            .and_where(call::Column::Session.is_not_null())
            .order_by(call::Column::StartedAt, Order::Desc)
            .order_by(call::Column::Session, Order::Desc)
            .limit(limit);
        if let Some((at, session)) = self.until {
            step.and_where(call::Column::StartedAt.lte(at)).and_where(
                call::Column::StartedAt
                    .lt(at)
                    .or(call::Column::Session.lt(session)),
            );
        }
        let rows = scan.tx.query_all(&step).await?;
        self.passed += limit;
        self.ended = (rows.len() as u64) < limit;
        let mut moments = Vec::new();
        for row in rows {
            let moment = Moment {
                session: row.try_get_by_index(0)?,
                at: row.try_get_by_index(1)?,
            };
            self.until = Some((moment.at, moment.session));
            match self.seen.get_mut(&moment.session) {
                None => {
                    self.seen.insert(moment.session, Some(moment.at));
                    moments.push(moment);
                }
                Some(Some(before)) => {
                    if before.saturating_sub(moment.at) > PAUSE {
                        moments.push(moment);
                    }
                    *before = moment.at;
                }
                Some(None) => {}
            }
        }
        Ok(moments)
    }

    /// Places that have all calls of their rows.
    fn whole_rows(&mut self, places: &[Place]) {
        let whole = places
            .iter()
            .filter(|place| place.name.source != SessionSource::Client);
        for row in whole.flat_map(|place| &place.rows) {
            self.seen.insert(*row, None);
        }
    }

    /// Whether all calls of that time were read.
    fn is_past(&self, time: i64) -> bool {
        self.until.is_some_and(|(until, _)| until < time)
    }
}
