//! `impl Store`: totals, percentiles and a series, for a chart.

use mcptap_model::{CallFilter, UnixNanos};

use crate::{Error, Store};

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

impl Store {
    /// Statistics of the calls of a filter, over `from`..`to` of the filter, else from the first call to the last.
    /// `buckets` is clamped to 1..=1000.
    pub async fn stats(&self, _filter: &CallFilter, _buckets: usize) -> Result<CallStats, Error> {
        Err(Error::Unsupported)
    }
}
