//! When exports came first whose records have no time of their own.
//!
//! Such a record is of the moment at which it came. A sender that hears no answer sends its export again, and to be the same
//! records these must be of the same moment then: that of the first time. This process remembers it until the export is
//! stored, and for a quarter of an hour at most; what comes again after a restart, or to another process, is stored again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcptap_model::UnixNanos;

/// How many exports are remembered: under a megabyte.
const MOST: usize = 16_384;

/// How long one is remembered. OpenTelemetry's exporters try for less than that; the same text later is news.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// The exports that may come again, by their keys.
#[derive(Debug, Default)]
pub(crate) struct FirstArrivals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    first: HashMap<i64, First>,
    /// In the order in which they were remembered. Those that were forgotten since are passed over.
    order: VecDeque<(i64, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct First {
    at: UnixNanos,
    remembered: Instant,
}

/// An export that is being stored. Dropped before it was [stored](Self::stored), it may come again.
#[derive(Debug)]
pub(crate) struct Storing<'a> {
    arrivals: &'a FirstArrivals,
    export: i64,
    /// When it came first.
    pub(crate) first: UnixNanos,
    may_come_again: bool,
}

impl FirstArrivals {
    /// An export with this key came at `at`. While it is being stored, an equal one is another.
    pub(crate) fn begin(&self, export: i64, at: UnixNanos) -> Storing<'_> {
        let mut known = self.known();
        known.forget_old(Instant::now());
        let first = known.first.remove(&export).map_or(at, |first| first.at);
        Storing {
            arrivals: self,
            export,
            first,
            may_come_again: true,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_old(&mut self, now: Instant) {
        let is_old = |remembered: Instant| now.duration_since(remembered) >= KEPT;
        while let Some((export, remembered)) = self.order.front().copied()
            && (self.order.len() > MOST || is_old(remembered))
        {
            self.order.pop_front();
            if self
                .first
                .get(&export)
                .is_some_and(|first| first.remembered == remembered)
            {
                self.first.remove(&export);
            }
        }
    }

    fn remember(&mut self, export: i64, at: UnixNanos) {
        let remembered = Instant::now();
        self.first.insert(export, First { at, remembered });
        self.order.push_back((export, remembered));
        self.forget_old(remembered);
    }
}

impl Storing<'_> {
    /// It is stored, and its sender is about to hear so: one that says the same comes later by itself.
    pub(crate) fn stored(mut self) {
        self.may_come_again = false;
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        if self.may_come_again {
            self.arrivals.known().remember(self.export, self.first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_that_comes_again_is_of_its_first_moment() {
        let arrivals = FirstArrivals::default();
        let came = |export, at| arrivals.begin(export, UnixNanos(at));
        // It failed, or nobody waited any more.
        assert_eq!(came(7, 100).first.0, 100);
        let again = came(7, 200);
        assert_eq!(again.first.0, 100);
        // An equal one that comes meanwhile is another.
        let other = came(7, 300);
        assert_eq!(other.first.0, 300);
        again.stored();
        other.stored();
        assert_eq!(came(7, 400).first.0, 400);
        assert_eq!(came(8, 500).first.0, 500);
    }

    #[test]
    fn few_are_remembered_and_not_for_long() {
        let arrivals = FirstArrivals::default();
        for export in 0..=i64::try_from(MOST).unwrap() + 10 {
            drop(arrivals.begin(export, UnixNanos(export)));
            drop(arrivals.begin(export, UnixNanos(-1)));
        }
        let mut known = arrivals.known();
        assert!(known.order.len() <= MOST && known.first.len() <= MOST);
        assert!(!known.first.contains_key(&0) && known.first.contains_key(&16_000));
        known.forget_old(Instant::now() + KEPT);
        assert!(known.first.is_empty() && known.order.is_empty());
    }
}
