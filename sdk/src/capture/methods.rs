//! Methods of which nothing is recorded, or only some requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Capture, is_named};

/// What was said of methods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Methods {
    excluded: Vec<String>,
    sampled: Vec<(String, Arc<Sampling>)>,
}

/// How requests of one method are sampled, by all servers that share a [`Capture`].
#[derive(Debug)]
pub(crate) struct Sampling {
    every: u64,
    begun: AtomicU64,
    /// The successes since the last one that was recorded.
    skipped: AtomicU64,
}

impl Methods {
    pub(crate) fn excludes(&self, method: &str) -> bool {
        is_named(&self.excluded, method)
    }

    /// How this method is sampled, if it is.
    pub(crate) fn sampling(&self, method: &str) -> Option<Arc<Sampling>> {
        let mut sampled = self.sampled.iter();
        let (_, sampling) = sampled.find(|(known, _)| known == method)?;
        Some(Arc::clone(sampling))
    }
}

impl Sampling {
    /// Whether the request that begins now is recorded: the first is, and every so many after it.
    pub(crate) fn takes_next(&self) -> bool {
        self.begun
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(self.every)
    }

    /// A success is not recorded.
    pub(crate) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// A success is recorded. Returns for how many requests it stands: itself, and those that were not since the one before.
    pub(crate) fn weight(&self) -> i64 {
        let skipped = self.skipped.swap(0, Ordering::Relaxed);
        i64::try_from(skipped).unwrap_or(i64::MAX).saturating_add(1)
    }
}

impl Capture {
    /// Records no requests of these methods at all, neither in nor out: exact names such as `ping`, or beginnings with `*` at
    /// the end such as `resources/*`. No count of records has them; the metric `mcp.server.operation.duration` does. What is
    /// recorded inside such a request (spans and log lines of a handler) belongs to no call.
    #[must_use]
    pub fn exclude_methods(mut self, methods: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.methods.excluded.extend(methods.into_iter().map(Into::into));
        self
    }

    /// Of this method records every failure, and one of `every` requests that succeed (0 and 1: all). A record of a success
    /// says for how many requests it stands, itself and those since the one before that were not recorded, as the attribute
    /// `mcptap.weight`; a failure stands for itself. The sum is the number of requests, but for less than `every` a process at its
    /// end.
    ///
    /// Counts, rates and rankings of mcptap are of records and know no weights: of a sampled method failures look more frequent
    /// than they are. The metric `mcp.server.operation.duration` has every request. A failure of a request that was not chosen
    /// when it began has no request body, no log lines and no spans below it, and is not shown while it runs. The name is
    /// exact; of several for one method the first holds.
    #[must_use]
    pub fn sample_method(mut self, method: impl Into<String>, every: u32) -> Self {
        let sampling = Sampling {
            every: every.max(1).into(),
            begun: AtomicU64::default(),
            skipped: AtomicU64::default(),
        };
        self.methods.sampled.push((method.into(), Arc::new(sampling)));
        self
    }
}
