//! The few columns that statistics, tools and sessions count with, read as they come.

use std::ops::ControlFlow;

use futures_util::TryStreamExt;
use mcptap_model::Outcome;
use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
};

use crate::Error;
use crate::entity::call;
use crate::scan::{Direction, Scan};

/// How many rows are read together where their texts decide.
const CHUNK: u64 = 200;
/// How many ids one statement takes.
const IDS: usize = 1_000;

/// A call as it is counted.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub(crate) struct Tally {
    /// Nanoseconds since 1970.
    pub(crate) started_at: i64,
    /// Nanoseconds.
    pub(crate) duration: i64,
    /// How it ended.
    pub(crate) outcome: i16,
    /// Into `names`.
    pub(crate) server: i64,
    /// Into `names`.
    pub(crate) tool: Option<i64>,
    /// Into `sessions`.
    pub(crate) session: Option<i64>,
}

impl Tally {
    /// Whether it counts as an error.
    pub(crate) fn is_error(&self) -> bool {
        Outcome::from_code(self.outcome).is_some_and(Outcome::is_error)
    }
}

impl Scan<'_> {
    /// Shows every call of the filter to `visit`, in no order.
    pub(crate) async fn tally(&self, mut visit: impl FnMut(Tally)) -> Result<(), Error> {
        if self.exact() {
            return self.tally_where(self.condition(), &mut visit).await;
        }
        let mut found: Vec<i64> = Vec::new();
        self.walk(Direction::Newer, None, None, CHUNK, |stored| {
            found.push(stored.row);
            ControlFlow::Continue(())
        })
        .await?;
        for ids in found.chunks(IDS) {
            let among = Condition::all().add(call::Column::Id.is_in(ids.iter().copied()));
            self.tally_where(among, &mut visit).await?;
        }
        Ok(())
    }

    async fn tally_where(&self, condition: Condition, visit: &mut impl FnMut(Tally)) -> Result<(), Error> {
        let calls = call::Entity::find().select_only().columns([
            call::Column::StartedAt,
            call::Column::Duration,
            call::Column::Outcome,
            call::Column::Server,
            call::Column::Tool,
            call::Column::Session,
        ]);
        let mut rows = calls.filter(condition).into_model().stream(self.tx).await?;
        while let Some(tally) = rows.try_next().await? {
            visit(tally);
        }
        Ok(())
    }

    /// The first and the last start of the filter's calls; `None` without any.
    pub(crate) async fn span(&self) -> Result<Option<(i64, i64)>, Error> {
        if self.exact() {
            let ends = Query::select()
                .expr(call::Column::StartedAt.min())
                .expr(call::Column::StartedAt.max())
                .from(call::Entity)
                .cond_where(self.condition())
                .take();
            let row = self.tx.query_one(&ends).await?;
            let ends = row.map(|row| Ok::<_, Error>((row.try_get_by_index(0)?, row.try_get_by_index(1)?)));
            let (first, last): (Option<i64>, Option<i64>) = ends.transpose()?.unwrap_or_default();
            return Ok(first.zip(last));
        }
        let mut ends: Option<(i64, i64)> = None;
        self.tally(|Tally { started_at: at, .. }| {
            let (first, last) = ends.unwrap_or((at, at));
            ends = Some((std::cmp::min(first, at), std::cmp::max(last, at)));
        })
        .await?;
        Ok(ends)
    }
}
