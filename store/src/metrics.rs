//! What the store counts, for `/metrics`.

/// Totals since the store was opened, and gauges of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Calls stored.
    pub calls_added: u64,
    /// Calls completed by a later view.
    pub calls_completed: u64,
    /// Log lines attached to calls.
    pub log_lines: u64,
    /// Log lines dropped because no call came for them within the join window.
    pub log_lines_dropped: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Records written by them.
    pub records: u64,
    /// Time spent in these transactions, in seconds.
    pub commit_seconds: f64,
    /// Transactions that failed.
    pub commit_failures: u64,
    /// Writes refused because the queue was full.
    pub overloads: u64,
    /// Records waiting now.
    pub queued_records: u64,
    /// How many records may wait.
    pub queue_limit: u64,
    /// Calls deleted by retention.
    pub calls_pruned: u64,
    /// The head of the feed.
    pub head: i64,
}
