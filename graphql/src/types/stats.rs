//! `CallStats`: totals, percentiles, and a series for a chart.

use std::sync::Arc;

use async_graphql::{Error, Lookahead, Object};

use crate::error::bad_input;
use crate::scalars::{DateTime, int};

/// How many buckets a series may have.
const MAX_BUCKETS: i32 = 1_000;

/// Statistics over some calls.
pub(crate) struct CallStats(pub(crate) Arc<mcptap_store::CallStats>);

/// One stretch of the series.
pub(crate) struct StatsBucket<'a>(&'a mcptap_store::StatsBucket);

/// How many buckets to compute: as many as asked for, but only where the series is selected.
pub(crate) fn wanted_buckets(buckets: i32, selection: &Lookahead<'_>) -> Result<usize, Error> {
    match usize::try_from(buckets) {
        Ok(wanted) if (1..=MAX_BUCKETS).contains(&buckets) => Ok(if selection.field("series").exists() {
            wanted
        } else {
            1
        }),
        _ => Err(bad_input(format!(
            "buckets must be from 1 to {MAX_BUCKETS}, not {buckets}"
        ))),
    }
}

/// Totals and percentiles of durations over some calls, and the same over time.
#[Object]
impl CallStats {
    /// How many calls.
    async fn call_count(&self) -> i32 {
        int(self.0.call_count)
    }

    /// How many of them ended with TOOL_ERROR, PROTOCOL_ERROR or TRANSPORT_ERROR.
    async fn error_count(&self) -> i32 {
        int(self.0.error_count)
    }

    /// Half of the calls took this many milliseconds or fewer. Null without calls.
    async fn p50_ms(&self) -> Option<f64> {
        self.0.p50_ms
    }

    /// 95 of 100 calls took this many milliseconds or fewer. Null without calls.
    async fn p95_ms(&self) -> Option<f64> {
        self.0.p95_ms
    }

    /// 99 of 100 calls took this many milliseconds or fewer. Null without calls.
    async fn p99_ms(&self) -> Option<f64> {
        self.0.p99_ms
    }

    /// The same over time, oldest first, in buckets of equal length and without gaps, from `from` to `to` of the
    /// filter, else from the first matching call to the last. Empty when there is neither a range nor a call.
    async fn series(&self) -> Vec<StatsBucket<'_>> {
        self.0.series.iter().map(StatsBucket).collect()
    }
}

/// One of the equal stretches of time that a series consists of. It ends where the next begins.
#[Object]
impl StatsBucket<'_> {
    /// When it begins. A call belongs to the bucket in which it began.
    async fn start(&self) -> DateTime {
        DateTime(self.0.start)
    }

    /// How many calls began in it.
    async fn call_count(&self) -> i32 {
        int(self.0.call_count)
    }

    /// How many of them ended with TOOL_ERROR, PROTOCOL_ERROR or TRANSPORT_ERROR.
    async fn error_count(&self) -> i32 {
        int(self.0.error_count)
    }

    /// Half of its calls took this many milliseconds or fewer. Null without calls.
    async fn p50_ms(&self) -> Option<f64> {
        self.0.p50_ms
    }

    /// 95 of 100 of its calls took this many milliseconds or fewer. Null without calls.
    async fn p95_ms(&self) -> Option<f64> {
        self.0.p95_ms
    }

    /// 99 of 100 of its calls took this many milliseconds or fewer. Null without calls.
    async fn p99_ms(&self) -> Option<f64> {
        self.0.p99_ms
    }
}
