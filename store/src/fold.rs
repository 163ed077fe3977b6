//! The pure heart of the store: which spans tell of the same request, and what they make together.
//!
//! [`fold`] takes a batch and its neighbourhood (what is already stored in the same traces and still waits there) and
//! says what to change. It does no I/O and reads no clock, so every rule of merging is tested without a database.

use mcptap_model::{Batch, Call, HttpSpan, LogLine, SpanRef, UnixNanos};

/// A call that is stored already, with its details.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its row.
    pub(crate) row: i64,
    /// The call as stored.
    pub(crate) call: Call,
}

/// What is stored or waits near a batch: in its traces, in the traces it links to, and in [`time_ranges`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbourhood {
    /// Stored calls.
    pub(crate) known: Vec<Known>,
    /// HTTP spans that came earlier.
    pub(crate) https: Vec<HttpSpan>,
    /// Log lines that came before their call, with the key under which they wait.
    pub(crate) logs: Vec<(i64, LogLine)>,
    /// Links of stored calls to spans that had not come yet: the target, and the call's row.
    pub(crate) links: Vec<(SpanRef, i64)>,
    /// Spans folded into stored calls earlier; without a row, spans known to be no request at all.
    pub(crate) aliases: Vec<(SpanRef, Option<i64>)>,
}

/// A stretch of time in which a server's calls must be looked at too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimeRange {
    /// The server's name.
    pub(crate) server: String,
    /// Inclusive, by `started_at`.
    pub(crate) from: UnixNanos,
    /// Inclusive.
    pub(crate) to: UnixNanos,
}

/// A call that a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// A stored one, by row.
    Known(i64),
    /// One of [`Changes::added`], by index.
    Added(usize),
}

/// What a batch changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// New calls.
    pub(crate) added: Vec<Call>,
    /// Stored calls that are more complete now (row, whole new content). Only those that really differ.
    pub(crate) completed: Vec<(i64, Call)>,
    /// Stored calls that turned out to be part of another (their log lines move there), or no request at all.
    pub(crate) removed: Vec<(i64, Option<Target>)>,
    /// Spans other than a call's first that are part of it (or of nothing), to be remembered.
    pub(crate) aliases: Vec<(SpanRef, Option<Target>)>,
    /// Log lines of calls.
    pub(crate) logs: Vec<(Target, LogLine)>,
    /// Waiting log lines that found their call (their keys): no longer waiting.
    pub(crate) arrived: Vec<i64>,
    /// HTTP spans to keep for what comes later.
    pub(crate) waiting_https: Vec<HttpSpan>,
    /// Log lines whose call has not come yet.
    pub(crate) waiting_logs: Vec<LogLine>,
    /// Links of calls to spans that have not come yet.
    pub(crate) waiting_links: Vec<(SpanRef, Target)>,
}

/// Where besides its own traces a batch must look.
pub(crate) fn time_ranges(_batch: &Batch) -> Vec<TimeRange> {
    Vec::new()
}

/// Folds a batch into its neighbourhood.
pub(crate) fn fold(_near: Neighbourhood, batch: Batch) -> Changes {
    Changes { added: batch.observations.into_iter().map(|observation| observation.call).collect(), ..Changes::default() }
}
