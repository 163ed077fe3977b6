//! The few columns that statistics, tools and sessions count with, read in chunks.

use std::ops::ControlFlow;

use mcptap_model::Outcome;
use sea_orm::{ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use crate::Error;
use crate::entity::call;
use crate::scan::{Direction, Scan};

/// How many rows are read together.
const CHUNK: u64 = 20_000;
/// How many ids one statement takes.
const IDS: usize = 1_000;

/// A call as it is counted.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub(crate) struct Tally {
    /// Its row.
    pub(crate) id: i64,
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
    /// Shows every call of the filter to `visit`, in order of row where SQL alone decides.
    pub(crate) async fn tally(&self, mut visit: impl FnMut(Tally)) -> Result<(), Error> {
        if self.exact() {
            return self.tally_where(self.condition(), &mut visit).await;
        }
        let mut found: Vec<i64> = Vec::new();
        self.walk(Direction::Newer, None, None, CHUNK / 100, |stored| {
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
        let mut after = i64::MIN;
        loop {
            let rows: Vec<Tally> = call::Entity::find()
                .select_only()
                .columns([
                    call::Column::Id,
                    call::Column::StartedAt,
                    call::Column::Duration,
                    call::Column::Outcome,
                    call::Column::Server,
                    call::Column::Tool,
                    call::Column::Session,
                ])
                .filter(condition.clone())
                .filter(call::Column::Id.gt(after))
                .order_by_asc(call::Column::Id)
                .limit(CHUNK)
                .into_model()
                .all(self.tx)
                .await?;
            let full = rows.len() as u64 == CHUNK;
            after = rows.last().map_or(after, |row| row.id);
            rows.into_iter().for_each(&mut *visit);
            if !full {
                return Ok(());
            }
        }
    }
}
