//! The origins of calls that have no end, and the process of each: found by seeks along an index, whatever the number of the
//! calls.

use std::collections::HashMap;

use mcptap_model::{Outcome, UnixNanos};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement};

use super::ends::UNENDED;
use crate::Error;
use crate::rows::dictionary::{Dictionary, freely};
use crate::rows::entity::call;
use crate::rows::hash::text_hash;

/// The condition of the index of calls without an end (outcome, origin, received_at, id), word for word.
const OPEN: &str = "outcome >= 6";

/// How many origins one statement finds.
pub(super) const PAGE: usize = 500;

/// How many origins are remembered at most with their processes, 48 bytes each. Ids are never given out twice.
const REMEMBERED: usize = 500_000;

/// An origin of calls without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) id: i64,
    /// The hash of what names its process.
    pub(super) process: i64,
    /// Whether that is an instance of its own. A service's name goes over to whoever is started in its place.
    pub(super) is_instance: bool,
}

/// Where a call stands in the index of calls without an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    origin: i64,
    received_at: i64,
    pub(super) row: i64,
}

impl Place {
    /// Before all of them.
    pub(super) const START: Self = Self {
        origin: START,
        received_at: 0,
        row: 0,
    };
}

/// The next calls of these origins with that outcome that were received before then, in the order of the index. Those are left
/// out that are lost for good.
pub(super) async fn next_without_end(
    db: &impl ConnectionTrait,
    outcome: Outcome,
    origins: &[i64],
    before: UnixNanos,
    after: Place,
    most: u64,
) -> Result<Vec<Place>, Error> {
    let Place {
        origin,
        received_at,
        row,
    } = after;
    let mut calls = call::Entity::find();
    if outcome == Outcome::Lost {
        calls = calls.filter(Expr::cust(UNENDED));
    }
    let places: Vec<(i64, i64, i64)> = calls
        .select_only()
        .columns([call::Column::Origin, call::Column::ReceivedAt, call::Column::Id])
        .filter(Expr::cust(OPEN))
        .filter(call::Column::Outcome.eq(outcome.code()))
        .filter(call::Column::Origin.is_in(origins.iter().copied()))
        .filter(call::Column::ReceivedAt.lt(before.0))
        .filter(Expr::cust(format!(
            "(origin, received_at, id) > ({origin}, {received_at}, {row})"
        )))
        .order_by_asc(call::Column::Origin)
        .order_by_asc(call::Column::ReceivedAt)
        .order_by_asc(call::Column::Id)
        .limit(most)
        .into_tuple()
        .all(db)
        .await?;
    let places = places.into_iter();
    Ok(places
        .map(|(origin, received_at, row)| Place {
            origin,
            received_at,
            row,
        })
        .collect())
}

/// Goes over the origins of one outcome again and again.
#[derive(Debug)]
pub(super) struct Walk {
    outcome: Outcome,
    /// About how many are found at a time.
    most: usize,
    /// Where to go on.
    after: i64,
}

/// Where a walk begins: no row has this number.
const START: i64 = -1;

/// The origins that a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) origins: Vec<Origin>,
    /// Whether these are all that there are.
    pub(super) all: bool,
}

/// The processes of origins, as far as they are remembered.
#[derive(Debug, Default)]
pub(super) struct Processes(HashMap<i64, Origin>);

impl Walk {
    pub(super) fn new(outcome: Outcome, most: usize) -> Self {
        Self {
            outcome,
            most,
            after: START,
        }
    }

    /// The next origins, and after the last ones the first ones again.
    pub(super) async fn next(
        &mut self,
        db: &impl ConnectionTrait,
        dictionary: &Dictionary,
        processes: &mut Processes,
    ) -> Result<Found, Error> {
        let from_start = self.after == START;
        let mut origins = Vec::new();
        while origins.len() < self.most {
            let ids = self.page(db).await?;
            origins.extend(processes.of(db, dictionary, &ids).await?);
            match ids.last() {
                Some(last) if ids.len() == PAGE => self.after = *last,
                _ => {
                    self.after = START;
                    break;
                }
            }
        }
        Ok(Found {
            origins,
            all: from_start && self.after == START,
        })
    }

    async fn page(&self, db: &impl ConnectionTrait) -> Result<Vec<i64>, Error> {
        let next = format!(
            "SELECT MIN(origin) FROM calls WHERE {OPEN} AND outcome = {} AND origin >",
            self.outcome.code()
        );
        let text = format!(
            "WITH RECURSIVE found (origin) AS ({next} $1 UNION ALL \
             SELECT ({next} found.origin) FROM found WHERE origin IS NOT NULL) \
             SELECT origin FROM found WHERE origin IS NOT NULL LIMIT {PAGE}"
        );
        let statement = Statement::from_sql_and_values(db.get_database_backend(), text, [self.after.into()]);
        let rows = db.query_all_raw(statement).await?;
        rows.iter().map(|row| Ok(row.try_get_by_index(0)?)).collect()
    }
}

impl Processes {
    async fn of(
        &mut self,
        db: &impl ConnectionTrait,
        dictionary: &Dictionary,
        ids: &[i64],
    ) -> Result<Vec<Origin>, Error> {
        if self.0.len() > REMEMBERED {
            self.0 = HashMap::new();
        }
        let missing = ids.iter().copied().filter(|id| !self.0.contains_key(id));
        let read = dictionary.origins(db, missing, &mut freely).await?;
        self.0.extend(read.into_iter().map(|(id, origin)| {
            let known = Origin {
                id,
                process: text_hash(&origin.process()),
                is_instance: origin.instance.is_some(),
            };
            (id, known)
        }));
        // One that is gone had calls that are gone.
        Ok(ids.iter().filter_map(|id| self.0.get(id).copied()).collect())
    }
}
