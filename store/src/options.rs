//! The options of the operator.

use std::time::Duration;

use mcptap_model::UnixNanos;

use crate::clock;

/// How the store behaves. The defaults suit one machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call is kept, from when it began or arrived, whichever was earlier; `None` keeps everything. Default 30
    /// days.
    pub retention: Option<Duration>,
    /// How long HTTP spans, log lines and links wait for the call they belong to. Default 15 minutes.
    pub join_window: Duration,
    /// How many records may wait to be written before writes are refused. Default 65,536.
    pub queue_records: usize,
    /// How much of a body is kept, in bytes. Default 1 MiB.
    pub body_cap: usize,
    /// How many bytes may be held at the same time for senders and readers: exports on their way, the queue, caches,
    /// answers. Default 256 MiB.
    pub memory_budget: usize,
    /// How many threads read, redact and compress exports; one a core by default.
    pub ingest_threads: usize,
    /// Whether to bring the tables up to date when opening. Default true.
    pub migrate: bool,
    /// How many queries read at the same time: half of them along an index, half of them over many rows. Default two a
    /// core, at least 4.
    pub readers: u32,
    /// How long one query may read. Default 30 seconds.
    pub read_timeout: Duration,
    /// How long one step of work in the background may take on PostgreSQL, before it counts as one that nobody answers and
    /// its connection is given up. Default 65 seconds: the server ends a statement after 60.
    pub step_timeout: Duration,
    /// How long nothing may be heard of the process of a running call before the call counts as lost. Default 60 seconds.
    pub lost_after: Duration,
    /// How long changes gather before the index of words takes them in; until then searches read them. Default 250 ms.
    pub index_delay: Duration,
}

impl Options {
    /// No call that began or arrived before this is served.
    pub(crate) fn oldest_kept(&self) -> UnixNanos {
        self.retention.map_or(UnixNanos(i64::MIN), clock::ago)
    }
}

fn default_readers() -> u32 {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    u32::try_from(cores.saturating_mul(2))
        .unwrap_or(u32::MAX)
        .clamp(4, 64)
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            join_window: Duration::from_secs(15 * 60),
            queue_records: 65_536,
            body_cap: 1024 * 1024,
            memory_budget: 256 << 20,
            ingest_threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            migrate: true,
            readers: default_readers(),
            read_timeout: Duration::from_secs(30),
            step_timeout: Duration::from_secs(65),
            lost_after: Duration::from_secs(60),
            index_delay: Duration::from_millis(250),
        }
    }
}
