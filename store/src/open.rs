//! Opening and closing.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::cleanup::Cleanup;
use crate::committer::Committer;
use crate::database::Database;
use crate::dictionary::Dictionary;
use crate::metrics::Counters;
use crate::prepare::Preparation;
use crate::readers::Readers;
use crate::recent::Recent;
use crate::search::Indexer;
use crate::tail::Tail;
use crate::wake::{self, Beds};
use crate::writer::Grouping;
use crate::{CpuPool, Error, Gate, MemoryBudget, Metrics, Options, Seq, Store, Writer, retention, scan};

/// How many batches of texts may wait to be searched. Questions wait for a place before they read any, so this is more
/// than there ever are.
const WAITING_TEXTS: usize = 1_024;

/// Opens the database named by the URL (`sqlite://path?mode=rwc`, `sqlite::memory:` or `postgres://…`), brings its
/// tables up to date, and starts writing and forgetting in the background.
pub async fn open(url: &str, options: Options) -> Result<(Writer, Store), Error> {
    let database = Database::connect(url, &options).await?;
    let start = scan::head(database.read()).await?;
    let gate = Gate::open(database.clone()).await?;
    let identity = scan::identity(database.read()).await?;
    let (announce, head) = watch::channel(start);
    let announce = Arc::new(announce);
    let counters = Arc::new(Counters::default());
    let dictionary = Arc::new(Dictionary::default());
    let preparation = Preparation {
        database: database.clone(),
        dictionary: Arc::clone(&dictionary),
        join_window: options.join_window,
        cpu: CpuPool::new(2, 2),
        counters: Arc::clone(&counters),
    };
    let memory = MemoryBudget::new(options.memory_budget);
    let (writer, requests) = Writer::new(&options, &memory, Arc::clone(&counters), head.clone());
    // One place: a group is prepared while the one before it is committed.
    let (places, groups) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(Grouping::new(preparation.clone(), requests, places).run());
    let recent = Arc::new(Recent::new(start));
    let committer = Committer::new(
        preparation,
        Arc::clone(&announce),
        Arc::clone(&recent),
        Arc::clone(&counters),
    );
    let written = stop.child_token();
    tasks.spawn({
        let written = written.clone();
        async move {
            committer.run(groups).await;
            written.cancel();
        }
    });
    tasks.spawn(stop.clone().run_until_cancelled_owned(gate.clone().run()));
    let tail = Tail {
        database: database.clone(),
        dictionary: Arc::clone(&dictionary),
        recent: Arc::clone(&recent),
        announce,
    };
    tasks.spawn(written.clone().run_until_cancelled_owned(tail.run()));
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let cpu = CpuPool::new(threads, WAITING_TEXTS);
    let indexer = Indexer {
        database: database.clone(),
        dictionary: Arc::clone(&dictionary),
        head: head.clone(),
        room: writer.room(),
        limit: writer.limit(),
        delay: options.index_delay,
        counters: Arc::clone(&counters),
        cpu: cpu.clone(),
    };
    tasks.spawn(stop.clone().run_until_cancelled_owned(indexer.run()));
    let beds = Arc::new(Beds::default());
    let waking = wake::run(Arc::clone(&recent), Arc::clone(&beds), options.clone());
    tasks.spawn(stop.clone().run_until_cancelled_owned(waking));
    let cleanup = Arc::new(Cleanup::default());
    let inner = Inner {
        cleanup: Arc::clone(&cleanup),
        gate,
        room: writer.room(),
        queue_limit: writer.limit(),
        memory,
        options: options.clone(),
        dictionary,
        counters: Arc::clone(&counters),
        identity,
        head,
        recent,
        beds,
        catching_up: Semaphore::new(usize::try_from(options.readers / 2).unwrap_or(1).max(1)),
        written,
        tasks: tasks.clone(),
        stop: stop.clone(),
        _guard: stop.clone().drop_guard(),
        readers: Readers::new(options.readers),
        cpu,
        database: database.clone(),
    };
    tasks.spawn(retention::run(database, options, counters, cleanup, stop));
    tasks.close();
    Ok((
        writer,
        Store {
            inner: Arc::new(inner),
        },
    ))
}

/// What all clones of a [`Store`] share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) options: Options,
    pub(crate) counters: Arc<Counters>,
    pub(crate) gate: Gate,
    pub(crate) cleanup: Arc<Cleanup>,
    identity: i64,
    head: watch::Receiver<Seq>,
    /// The newest changes.
    pub(crate) recent: Arc<Recent>,
    /// Places for questions.
    pub(crate) readers: Readers,
    /// Where texts are searched.
    pub(crate) cpu: CpuPool,
    /// Where followers sleep.
    pub(crate) beds: Arc<Beds>,
    /// Turns for followers that read the database: never all of its connections.
    pub(crate) catching_up: Semaphore,
    /// Cancelled when nothing will be written any more.
    pub(crate) written: CancellationToken,
    room: Arc<Semaphore>,
    queue_limit: usize,
    pub(crate) memory: MemoryBudget,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// The background ends with the last clone.
    _guard: DropGuard,
}

impl Store {
    /// The last committed change that this process knows of.
    pub fn head(&self) -> Seq {
        *self.inner.head.borrow()
    }

    /// The threads on which answers are made: texts are searched, bodies unpacked.
    pub fn cpu(&self) -> &CpuPool {
        &self.inner.cpu
    }

    /// A number that tells this database from every other, for as long as it lives. All its processes see the same.
    pub fn identity(&self) -> i64 {
        self.inner.identity
    }

    /// The budget of bytes that everything in this process takes from.
    pub fn memory(&self) -> &MemoryBudget {
        &self.inner.memory
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), Error> {
        scan::head(self.inner.database.read()).await.map(drop)
    }

    /// What the store counts.
    pub fn metrics(&self) -> Metrics {
        let taken = self
            .inner
            .queue_limit
            .saturating_sub(self.inner.room.available_permits());
        let (followers, lag) = self.inner.beds.survey(self.head());
        let (changes, bytes) = self.inner.recent.size();
        Metrics {
            followers: followers as u64,
            follower_lag: lag,
            recent_changes: changes as u64,
            recent_bytes: bytes as u64,
            queued_records: taken as u64,
            queue_limit: self.inner.queue_limit as u64,
            head: self.head().0,
            index_lag: self.inner.counters.index_lag(self.head().0),
            ..self.inner.counters.metrics()
        }
    }

    /// Waits until everything written is committed (drop every [`Writer`] first), then closes the database.
    pub async fn close(&self) {
        // The feed ends when the last group is committed.
        let mut head = self.inner.head.clone();
        while head.changed().await.is_ok() {}
        self.inner.stop.cancel();
        self.inner.tasks.wait().await;
        if let Err(error) = self.inner.gate.note().await {
            tracing::warn!(%error, "it is not noted when API keys were last used");
        }
        self.inner.database.close().await;
    }
}
