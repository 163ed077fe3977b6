//! The few columns that menus, statistics, tools and sessions count with, read as they come.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use futures_util::TryStreamExt;
use mcptap_model::{Evidence, Outcome};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Select};

use crate::read::scan::{Direction, Scan};
use crate::rows::entity::call;
use crate::{BudgetExhausted, Error, MemoryBudget, Reservation};

/// How many rows are read together where their texts decide.
const CHUNK: u64 = 200;
/// For how many values there is room at first.
const FIRST: usize = 1_024;

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
    /// Into `names`.
    pub(crate) method: i64,
    /// Into `sessions`.
    pub(crate) session: Option<i64>,
    /// Into `clients`.
    pub(crate) client: i64,
    pub(crate) http_status: Option<i32>,
    /// The bits of [`Evidence`].
    pub(crate) evidence: i16,
}

impl Tally {
    fn of(row: &call::Model) -> Self {
        Self {
            started_at: row.started_at,
            duration: row.duration,
            outcome: row.outcome,
            server: row.server,
            tool: row.tool,
            method: row.method,
            session: row.session,
            client: row.client,
            http_status: row.http_status,
            evidence: row.evidence,
        }
    }

    /// Whether it is a stream and no request.
    pub(crate) fn is_stream(&self) -> bool {
        Evidence::from_bits(self.evidence).stream
    }

    /// Whether it counts as an error.
    pub(crate) fn is_error(&self) -> bool {
        Outcome::from_code(self.outcome).is_some_and(Outcome::is_error)
    }

    /// How long it took, in nanoseconds; `None` without an end.
    pub(crate) fn took(&self) -> Option<i64> {
        let has_end = Outcome::from_code(self.outcome).is_some_and(Outcome::has_end);
        has_end.then_some(self.duration)
    }
}

impl Scan<'_> {
    /// The filter's calls as they are counted, where the filter is exact.
    pub(crate) fn counted(&self) -> Select<call::Entity> {
        let calls = call::Entity::find().select_only().columns([
            call::Column::StartedAt,
            call::Column::Duration,
            call::Column::Outcome,
            call::Column::Server,
            call::Column::Tool,
            call::Column::Method,
            call::Column::Session,
            call::Column::Client,
            call::Column::HttpStatus,
            call::Column::Evidence,
        ]);
        calls.filter(self.condition())
    }

    /// Shows every call of the filter to `visit`, in no order, until that fails.
    pub(crate) async fn tally(&self, mut visit: impl FnMut(Tally) -> Result<(), Error>) -> Result<(), Error> {
        if self.exact() {
            let mut rows = self.counted().into_model().stream(self.tx).await?;
            while let Some(tally) = rows.try_next().await? {
                visit(tally)?;
            }
            return Ok(());
        }
        // Of the rows that are being searched. A mutex, because the closures that share it are part of a future that moves
        // between threads.
        let chunk: Mutex<HashMap<i64, Tally>> = Mutex::default();
        let chunk = || chunk.lock().unwrap_or_else(PoisonError::into_inner);
        let look = |rows: &[call::Model]| {
            *chunk() = rows.iter().map(|row| (row.id, Tally::of(row))).collect();
        };
        let mut outcome = Ok(());
        self.walk_rows(Direction::Newer, None, None, CHUNK, look, |stored| {
            if let Some(tally) = chunk().remove(&stored.row) {
                outcome = visit(tally);
            }
            if outcome.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
        .await?;
        outcome
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
            Ok(())
        })
        .await?;
        Ok(ends)
    }
}

/// How many calls have each value. Its memory is reserved from the process's budget.
#[derive(Debug)]
pub(crate) struct Counter<V> {
    counts: HashMap<V, u64>,
    held: Reservation,
}

impl<V: Hash + Eq> Counter<V> {
    pub(crate) fn new(memory: &MemoryBudget) -> Self {
        Self {
            counts: HashMap::new(),
            held: memory.hold_nothing(),
        }
    }

    /// Counts so many calls more for a value.
    pub(crate) fn add(&mut self, value: V, more: u64) -> Result<(), BudgetExhausted> {
        if self.counts.len() == self.counts.capacity() && !self.counts.contains_key(&value) {
            let room = self.counts.capacity().saturating_mul(2).max(FIRST);
            // A table is at most seven eighths full, and its size a power of two; while it grows, both are there.
            let entry = size_of::<(V, u64)>() + 1;
            self.held.resize(room.saturating_mul(entry).saturating_mul(3))?;
            self.counts.reserve(room - self.counts.len());
            self.held.shrink_to(room.saturating_mul(entry).saturating_mul(2));
        }
        *self.counts.entry(value).or_default() += more;
        Ok(())
    }

    /// How many calls have a value.
    pub(crate) fn count(&self, value: &V) -> u64 {
        self.counts.get(value).copied().unwrap_or_default()
    }

    /// The values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = V>
    where
        V: Copy,
    {
        // No closure here: what asks for them is a future that must be `Send` for all lifetimes.
        self.counts.keys().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&V, u64)> {
        self.counts.iter().map(|(value, count)| (value, *count))
    }
}

impl<V: Ord + Copy> Counter<V> {
    /// The most frequent values, at most so many, most frequent first, then by value.
    pub(crate) fn most_frequent(&self, limit: usize) -> Vec<(V, u64)> {
        let mut top: BinaryHeap<Reverse<(u64, Reverse<V>)>> = BinaryHeap::new();
        for (value, count) in &self.counts {
            top.push(Reverse((*count, Reverse(*value))));
            if top.len() > limit {
                top.pop();
            }
        }
        let sorted = top.into_sorted_vec().into_iter();
        sorted
            .map(|Reverse((count, Reverse(value)))| (value, count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_within_the_budget() {
        let memory = MemoryBudget::new(400_000);
        let mut counter = Counter::new(&memory);
        for value in 0..4_000_i64 {
            counter.add(value % 2_000, 1).unwrap();
        }
        counter.add(1_999, 5).unwrap();
        counter.add(7, 5).unwrap();
        assert_eq!(counter.iter().count(), 2_000);
        assert!(memory.used() >= 2_000 * size_of::<(i64, u64)>());
        let all_fit = (2_000..100_000_i64).try_for_each(|value| counter.add(value, 1));
        assert!(all_fit.is_err());
        // A known value needs no more room.
        counter.add(0, 1).unwrap();
        let top = counter.most_frequent(4);
        assert_eq!(top, [(7, 7), (1_999, 7), (0, 3), (1, 2)]);
        drop(counter);
        assert_eq!(memory.used(), 0);
    }
}
