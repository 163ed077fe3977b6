//! What the store counts, for `/metrics`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Error;
use crate::rows::bounds::Cuts;
use crate::write::queue::RETRY;

/// How many damaged rows are told apart.
const DAMAGED: usize = 10_000;

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
    /// Transactions tried again after a conflict or a lost connection.
    pub commit_retries: u64,
    /// Records left out because the database can never store them.
    pub records_rejected: u64,
    /// Stored rows that cannot be read and were left out, each counted once, up to 10,000.
    pub rows_damaged: u64,
    /// Writes refused because the queue was full.
    pub overloads: u64,
    /// Names longer than 1 KiB that were cut.
    pub names_cut: u64,
    /// Messages, stack traces, URIs, log lines and values of attributes that were cut.
    pub texts_cut: u64,
    /// Attributes that were dropped because their record had too many or too large ones.
    pub attributes_dropped: u64,
    /// Records waiting now.
    pub queued_records: u64,
    /// How many records may wait.
    pub queue_limit: u64,
    /// Rows read to find what belongs together.
    pub join_rows_read: u64,
    /// Statements by which these rows were read.
    pub join_statements: u64,
    /// Candidates compared to find what belongs together.
    pub join_compared: u64,
    /// Stored calls whose details were read because they might change.
    pub details_read: u64,
    /// Times that more would have had to be read or compared than is, so that something may not have been joined.
    pub join_limited: u64,
    /// Calls deleted because they were past their time.
    pub calls_pruned: u64,
    /// The head of the feed.
    pub head: i64,
    /// How many changes the index of words is behind.
    pub index_lag: u64,
    /// Times that a background task panicked and was started anew.
    pub task_panics: u64,
    /// Who follows the feed now.
    pub followers: u64,
    /// How many changes the last follower that is awake is behind the head.
    pub follower_lag: u64,
    /// Changes handed to followers.
    pub changes_delivered: u64,
    /// Times that a follower read the database, because it was behind what memory holds, or memory could not tell.
    pub catch_up_reads: u64,
    /// Changes that memory holds for followers.
    pub recent_changes: u64,
    /// About how many bytes they have.
    pub recent_bytes: u64,
    /// About how many bytes the caches of names, clients, sessions and origins have.
    pub cache_bytes: u64,
}

/// The counters behind [`Metrics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls_added: AtomicU64,
    calls_completed: AtomicU64,
    log_lines: AtomicU64,
    log_lines_dropped: AtomicU64,
    commits: AtomicU64,
    records: AtomicU64,
    commit_nanos: AtomicU64,
    commit_failures: AtomicU64,
    commit_retries: AtomicU64,
    records_rejected: AtomicU64,
    damaged: Mutex<HashSet<(&'static str, i64)>>,
    overloads: AtomicU64,
    join_rows_read: AtomicU64,
    join_statements: AtomicU64,
    join_compared: AtomicU64,
    join_limited: AtomicU64,
    details_read: AtomicU64,
    names_cut: AtomicU64,
    texts_cut: AtomicU64,
    attributes_dropped: AtomicU64,
    calls_pruned: AtomicU64,
    changes_delivered: AtomicU64,
    catch_up_reads: AtomicU64,
    indexed: AtomicI64,
}

impl Counters {
    pub(crate) fn committed(&self, records: usize, took: Duration) {
        self.commits.fetch_add(1, Relaxed);
        self.records.fetch_add(records as u64, Relaxed);
        self.commit_nanos
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.commit_failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn overloaded(&self) {
        self.overloads.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut(&self, cuts: Cuts) {
        self.names_cut.fetch_add(cuts.names, Relaxed);
        self.texts_cut.fetch_add(cuts.texts, Relaxed);
        self.attributes_dropped.fetch_add(cuts.attributes, Relaxed);
    }

    pub(crate) fn stored(&self, added: usize, completed: usize, lines: usize) {
        self.calls_added.fetch_add(added as u64, Relaxed);
        self.calls_completed.fetch_add(completed as u64, Relaxed);
        self.log_lines.fetch_add(lines as u64, Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.commit_retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn rejected(&self, records: usize) {
        self.records_rejected.fetch_add(records as u64, Relaxed);
    }

    pub(crate) fn joined(&self, statements: u64, read: u64, details: usize, compared: u64, limited: u64) {
        self.details_read.fetch_add(details as u64, Relaxed);
        self.join_statements.fetch_add(statements, Relaxed);
        self.join_rows_read.fetch_add(read, Relaxed);
        self.join_compared.fetch_add(compared, Relaxed);
        self.join_limited.fetch_add(limited, Relaxed);
    }

    /// A row cannot be read and is left out. Says so once for each.
    pub(crate) fn damaged(&self, error: &Error) {
        let Error::Damaged { table, row, .. } = error else {
            return;
        };
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() < DAMAGED && damaged.insert((table, *row)) {
            tracing::error!(%error, "a stored row cannot be read; it is left out");
        }
    }

    fn rows_damaged(&self) -> u64 {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    pub(crate) fn pruned(&self, calls: u64) {
        self.calls_pruned.fetch_add(calls, Relaxed);
    }

    pub(crate) fn delivered(&self, changes: usize) {
        self.changes_delivered.fetch_add(changes as u64, Relaxed);
    }

    pub(crate) fn caught_up(&self) {
        self.catch_up_reads.fetch_add(1, Relaxed);
    }

    /// The last change that the index of words knows.
    pub(crate) fn indexed(&self, change: i64) {
        self.indexed.store(change, Relaxed);
    }

    /// How far behind a head the index of words is.
    pub(crate) fn index_lag(&self, head: i64) -> u64 {
        u64::try_from(head - self.indexed.load(Relaxed)).unwrap_or_default()
    }

    pub(crate) fn dropped(&self, lines: u64) {
        self.log_lines_dropped.fetch_add(lines, Relaxed);
    }

    /// About how long it takes to write so many records, by what was written so far.
    pub(crate) fn time_for(&self, records: usize) -> Duration {
        let (nanos, written) = (self.commit_nanos.load(Relaxed), self.records.load(Relaxed));
        let each = nanos.checked_div(written).unwrap_or(50_000);
        Duration::from_nanos(each.saturating_mul(records as u64)).clamp(*RETRY.start(), *RETRY.end())
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics {
            calls_added: self.calls_added.load(Relaxed),
            calls_completed: self.calls_completed.load(Relaxed),
            log_lines: self.log_lines.load(Relaxed),
            log_lines_dropped: self.log_lines_dropped.load(Relaxed),
            commits: self.commits.load(Relaxed),
            records: self.records.load(Relaxed),
            commit_seconds: self.commit_nanos.load(Relaxed) as f64 / 1e9,
            commit_failures: self.commit_failures.load(Relaxed),
            commit_retries: self.commit_retries.load(Relaxed),
            records_rejected: self.records_rejected.load(Relaxed),
            rows_damaged: self.rows_damaged(),
            overloads: self.overloads.load(Relaxed),
            join_rows_read: self.join_rows_read.load(Relaxed),
            join_statements: self.join_statements.load(Relaxed),
            join_compared: self.join_compared.load(Relaxed),
            join_limited: self.join_limited.load(Relaxed),
            details_read: self.details_read.load(Relaxed),
            names_cut: self.names_cut.load(Relaxed),
            texts_cut: self.texts_cut.load(Relaxed),
            attributes_dropped: self.attributes_dropped.load(Relaxed),
            calls_pruned: self.calls_pruned.load(Relaxed),
            changes_delivered: self.changes_delivered.load(Relaxed),
            catch_up_reads: self.catch_up_reads.load(Relaxed),
            ..Metrics::default()
        }
    }
}
