//! Calls that are running still, and of which their processes say that they have ended: the spans that told of their ends were lost
//! on the way.
//!
//! Such a call is lost for good. It is marked as [late](mcptap_model::Evidence::late) besides, so that it does not
//! [run again](super::revival) when its process is heard; should its span come after all, that takes its place.

use std::collections::HashMap;
use std::sync::Arc;

use mcptap_model::{Batch, Call, Observation, Outcome};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::heartbeats::Ended;
use super::origins::{Origin, PAGE, Place, next_without_end};
use super::{AT_ONCE, READ, Silence, TASK, as_lost};
use crate::rows::entity::call;
use crate::rows::row::span_of;
use crate::{Error, clock};

/// The condition of calls of which no process said that they have ended.
pub(super) const UNENDED: &str = "evidence & 4096 = 0";

/// How many calls without an end are compared at once with what is named, 40 bytes each.
const COMPARED: u64 = 2_000;

/// A call without an end: its row, its origin, its span, and its primary span where that is another.
type Open = (i64, i64, i64, Option<i64>);

impl Silence {
    /// Gives the writer the calls of these origins that their processes name as ended.
    pub(super) async fn end(&self, origins: &[Origin], ended: &Ended) -> Result<(), Error> {
        let named = |origin: &&Origin| ended.contains_key(&origin.process);
        let named: HashMap<i64, i64> = origins
            .iter()
            .filter(named)
            .map(|origin| (origin.id, origin.process))
            .collect();
        let is_named = |(_, origin, span, primary): &Open| {
            let spans = named.get(origin).and_then(|process| ended.get(process));
            let span = span_of(primary.unwrap_or(*span));
            spans.zip(span).is_some_and(|(spans, span)| spans.contains(&span))
        };
        let origins: Vec<i64> = named.keys().copied().collect();
        for some in origins.chunks(PAGE) {
            for outcome in [Outcome::Running, Outcome::Lost] {
                let mut after = Place::START;
                loop {
                    let open = self.open(some, outcome, after);
                    let (reached, open) = self.database.step_within(TASK, READ, open).await?;
                    let Some(reached) = reached else { break };
                    after = reached;
                    let open = open.iter().filter(|open| is_named(open));
                    let rows: Vec<i64> = open.map(|(row, ..)| *row).collect();
                    if !self.end_rows(&rows).await? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The next calls of these origins that are without an end, and the place of the last of them. Those are left out that were
    /// received not long ago: what a process kept while mcptap was away comes in any order, and their ends may be among it.
    async fn open(
        &self,
        origins: &[i64],
        outcome: Outcome,
        after: Place,
    ) -> Result<(Option<Place>, Vec<Open>), Error> {
        let (db, before) = (&self.database.feed(), clock::ago(self.options.lost_after));
        let places = next_without_end(db, outcome, origins, before, after, COMPARED).await?;
        let open = call::Entity::find()
            .select_only()
            .columns([
                call::Column::Id,
                call::Column::Origin,
                call::Column::SpanId,
                call::Column::PrimarySpanId,
            ])
            .filter(call::Column::Id.is_in(places.iter().map(|place| place.row)))
            .into_tuple()
            .all(db)
            .await?;
        Ok((places.last().copied(), open))
    }

    /// Gives these rows to the writer. Returns whether it takes more.
    async fn end_rows(&self, rows: &[i64]) -> Result<bool, Error> {
        for some in rows.chunks(usize::try_from(AT_ONCE).unwrap_or(usize::MAX)) {
            let ended = async {
                let tx = self.database.feed_snapshot().await?;
                let calls = self.calls(&tx, some).await?;
                tx.commit().await?;
                Ok(calls)
            };
            let calls: Vec<Arc<Call>> = self.database.step_within(TASK, READ, ended).await?;
            let open = calls.iter().filter(|call| !call.outcome().has_end());
            let batch = Batch {
                observations: open.map(|call| as_ended(call)).collect(),
                ..Batch::default()
            };
            if !self.write(batch).await {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The same call once more, lost for good.
pub(crate) fn as_ended(call: &Call) -> Observation {
    let mut lost = as_lost(call);
    lost.call.evidence.late = true;
    lost
}

#[cfg(test)]
mod tests {
    use mcptap_model::Evidence;

    use super::*;

    #[test]
    fn the_condition_has_the_number_of_the_model() {
        let late = Evidence {
            late: true,
            ..Evidence::default()
        };
        assert_eq!(UNENDED, format!("evidence & {} = 0", late.bits()));
    }
}
