//! `impl Store`: totals, percentiles and a series, for a chart.

use std::collections::BTreeMap;

use mcptap_model::{CallFilter, UnixNanos};

use crate::read::readers::Reading;
use crate::read::scan::Scan;
use crate::read::tally::Tally;
use crate::{BudgetExhausted, Error, Reservation, Store};

/// Totals and percentiles over all calls of a filter, and a series of equal buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallStats {
    /// How many calls.
    pub call_count: u64,
    /// How many of them are errors.
    pub error_count: u64,
    /// Median duration in milliseconds; `None` without calls.
    pub p50_ms: Option<f64>,
    /// 95th percentile, in milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The same over time, without gaps: a bucket in which nothing happened is there with zeros.
    pub series: Vec<StatsBucket>,
}

/// One bucket of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsBucket {
    /// When it begins (inclusive).
    pub start: UnixNanos,
    /// How many calls began in it.
    pub call_count: u64,
    /// How many of them are errors.
    pub error_count: u64,
    /// Median duration in milliseconds; `None` without calls.
    pub p50_ms: Option<f64>,
    /// 95th percentile, in milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// How many buckets a series may have.
const MOST_BUCKETS: usize = 1_000;
/// Up to so many durations percentiles are exact.
const EXACT: usize = 10_000;
/// Beyond that, durations are counted in steps of one part in so many: the error is below two per cent.
const STEPS: f64 = 64.0;

/// Durations, remembered well enough for percentiles: each of them while they are few, then by size.
#[derive(Debug, Default)]
struct Durations {
    each: Vec<i64>,
    by_size: BTreeMap<i32, u64>,
    count: u64,
}

impl Durations {
    /// `held` grows with its memory. The reservation of single durations is kept for their sizes, which are fewer.
    fn add(&mut self, nanos: i64, held: &mut Reservation) -> Result<(), BudgetExhausted> {
        self.count += 1;
        if self.by_size.is_empty() {
            if self.each.len() == self.each.capacity() {
                let more = self.each.capacity().clamp(8, EXACT);
                held.grow(more * size_of::<i64>())?;
                self.each.reserve_exact(more);
            }
            self.each.push(nanos);
            if self.each.len() > EXACT {
                for nanos in std::mem::take(&mut self.each) {
                    *self.by_size.entry(size(nanos)).or_default() += 1;
                }
            }
        } else {
            *self.by_size.entry(size(nanos)).or_default() += 1;
        }
        Ok(())
    }

    /// The least duration that `share` of all do not exceed (nearest rank), in milliseconds.
    fn percentile(&mut self, share: f64) -> Option<f64> {
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        if self.by_size.is_empty() {
            self.each.sort_unstable();
            let index = usize::try_from(rank - 1).ok()?;
            return self.each.get(index).map(|nanos| *nanos as f64 / 1e6);
        }
        let mut seen = 0;
        let reached = self.by_size.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        reached.map(|(size, _)| (f64::from(*size) / STEPS).exp2() / 1e6)
    }
}

fn size(nanos: i64) -> i32 {
    ((nanos.max(1) as f64).log2() * STEPS).round() as i32
}

/// One bucket while it is being filled; the whole range is one too.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    durations: Durations,
}

impl Filling {
    /// One of which the calls are counted already, and no duration is known.
    pub(crate) fn counted(calls: u64, errors: u64) -> Self {
        Self {
            calls,
            errors,
            durations: Durations::default(),
        }
    }

    /// The least duration that `share` of all do not exceed, in milliseconds; `None` where none has an end.
    pub(crate) fn percentile(&mut self, share: f64) -> Option<f64> {
        self.durations.percentile(share)
    }

    /// Counts a call. `held` grows with what is remembered of it.
    pub(crate) fn add(&mut self, tally: &Tally, held: &mut Reservation) -> Result<(), BudgetExhausted> {
        self.calls += 1;
        self.errors += u64::from(tally.is_error());
        match tally.took() {
            Some(took) => self.durations.add(took, held),
            None => Ok(()),
        }
    }
}

impl Store {
    /// Totals, percentiles and a series of at most 1,000 equal buckets from the filter's `from` to its `to`; without
    /// them from the first call to the last. Streams are counted only where the filter names kinds; what has no end has no
    /// part in percentiles. Percentiles are exact for up to 10,000 calls, then within two per cent.
    pub async fn stats(&self, filter: &CallFilter, buckets: usize) -> Result<CallStats, Error> {
        let buckets = buckets.clamp(1, MOST_BUCKETS);
        let filter = &filter.clone().requests_unless_said();
        let tx = self.snapshot(Reading::Scan).await?;
        let scan = Scan::new(self, &tx, filter).await?;
        let (from, to) = match (filter.from, filter.to) {
            (Some(from), Some(to)) => (from.0, to.0),
            (from, to) => {
                let (first, last) = scan.span().await?.unwrap_or((i64::MAX, i64::MIN));
                let after = last.saturating_add(1);
                (from.map_or(first, |from| from.0), to.map_or(after, |to| to.0))
            }
        };
        let mut whole = Filling::default();
        let mut series: Vec<Filling> = Vec::new();
        let width = to.saturating_sub(from).max(1) as f64 / buckets as f64;
        if from < to {
            series.resize_with(buckets, Filling::default);
        }
        let mut held = self.inner.memory.hold_nothing();
        scan.tally(|tally| {
            whole.add(&tally, &mut held)?;
            let index = (tally.started_at.saturating_sub(from) as f64 / width) as usize;
            if let Some(bucket) = series.get_mut(index.min(buckets - 1)) {
                bucket.add(&tally, &mut held)?;
            }
            Ok(())
        })
        .await?;
        tx.commit().await?;
        let series = series
            .into_iter()
            .enumerate()
            .map(|(index, mut filling)| StatsBucket {
                start: UnixNanos(from.saturating_add((index as f64 * width) as i64)),
                call_count: filling.calls,
                error_count: filling.errors,
                p50_ms: filling.percentile(0.50),
                p95_ms: filling.percentile(0.95),
                p99_ms: filling.percentile(0.99),
            });
        Ok(CallStats {
            series: series.collect(),
            call_count: whole.calls,
            error_count: whole.errors,
            p50_ms: whole.percentile(0.50),
            p95_ms: whole.percentile(0.95),
            p99_ms: whole.percentile(0.99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBudget;

    #[test]
    fn few_durations_are_exact_and_many_are_close() {
        let memory = MemoryBudget::new(200_000);
        let mut held = memory.hold_nothing();
        let mut few = Durations::default();
        (1..=100).for_each(|ms| few.add(ms * 1_000_000, &mut held).unwrap());
        assert_eq!(
            (few.percentile(0.5), few.percentile(0.99)),
            (Some(50.0), Some(99.0))
        );
        let mut many = Durations::default();
        (1..=100_000).for_each(|ms| many.add(ms * 1_000_000, &mut held).unwrap());
        assert!(held.bytes() >= (100 + EXACT) * size_of::<i64>());
        let mut refused = Durations::default();
        let all_fit = (1..=100_000).try_for_each(|ms| refused.add(ms * 1_000_000, &mut held));
        assert!(all_fit.is_err());
        let median = many.percentile(0.5).unwrap();
        assert!((median - 50_000.0).abs() < 1_000.0, "{median}");
        assert_eq!(Durations::default().percentile(0.5), None);
    }
}
