//! Opening and closing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::db::database::{Database, Purpose};
use crate::db::lineage;
use crate::db::schema::Upkeep;
use crate::feed::reach::Reach;
use crate::feed::recent::Recent;
use crate::feed::tail::Tail;
use crate::feed::wakeups::{self, Waiters};
use crate::liveness::silence::{Heartbeats, Silence};
use crate::metrics::Counters;
use crate::read::readers::Readers;
use crate::retention::cleanup::Cleanup;
use crate::retention::expire;
use crate::rows::cache;
use crate::rows::dictionary::Dictionary;
use crate::rows::intern::Remembered;
use crate::search::{Indexer, LiveSearcher, LiveSearches};
use crate::supervise::Supervisor;
use crate::write::committer::Committer;
use crate::write::prepare::Preparation;
use crate::write::queue::Grouping;
use crate::{CpuPool, Error, Gate, MemoryBudget, Metrics, Options, Seq, Store, Writer, health};

/// How many batches of texts may wait to be searched. Queries wait for a permit before they read any, so there are never so
/// many.
const WAITING_TEXTS: usize = 1_024;

/// How long closing waits for what is to be written.
const DRAIN: Duration = Duration::from_secs(6);
/// And then for background tasks to end.
const END: Duration = Duration::from_secs(1);
/// And then for the note of when API keys were last used.
const NOTE: Duration = Duration::from_secs(1);
/// How long closing may take in all.
const CLOSE: Duration = Duration::from_secs(10);

/// Opens the database named by the URL (`sqlite://path?mode=rwc`, `sqlite::memory:` or `postgres://…`), brings its
/// tables up to date, and starts writing and forgetting in the background.
pub async fn open(url: &str, options: Options) -> Result<(Writer, Store), Error> {
    let database = Database::connect(url, &options).await?;
    assemble(database, options, true).await
}

/// Opens a database for one command that reads: its tables must be there and up to date. Nothing is changed and nothing
/// runs in the background; a file that is locked is waited for 2 s.
pub async fn open_to_read(url: &str) -> Result<Store, Error> {
    attach(url, Upkeep::Leave).await
}

/// Opens a database for one command that changes what is there, also beside a running server: its tables must be there and
/// up to date. Nothing runs in the background.
pub async fn open_to_change(url: &str) -> Result<Store, Error> {
    attach(url, Upkeep::Change).await
}

/// Opens a database for one command that adds to it, also beside a running server. Tables are made where there are none;
/// older ones are refused with [`Error::Outdated`], since an older server may be at work on them. Nothing runs in the
/// background.
pub async fn open_to_create(url: &str) -> Result<Store, Error> {
    attach(url, Upkeep::Make).await
}

/// Brings the tables up to date, and does nothing else.
pub async fn migrate(url: &str) -> Result<(), Error> {
    let options = Options::default();
    let database = Database::connect_for(url, &options, Upkeep::Migrate, Purpose::Command).await?;
    database.close().await;
    Ok(())
}

async fn attach(url: &str, upkeep: Upkeep) -> Result<Store, Error> {
    let options = Options {
        retention: None,
        readers: 1,
        ..Options::default()
    };
    let database = Database::connect_for(url, &options, upkeep, Purpose::Command).await?;
    let (writer, store) = assemble(database, options, false).await?;
    drop(writer);
    Ok(store)
}

/// Puts a store together, and starts its background tasks where it has any.
async fn assemble(database: Database, options: Options, background: bool) -> Result<(Writer, Store), Error> {
    let gate = Gate::open(database.clone()).await?;
    let (start, state) = lineage::look(&database.feed()).await?;
    database.health().answered();
    let (announce, head) = watch::channel(start);
    let announce = Arc::new(announce);
    let counters = Arc::new(Counters::default());
    let memory = MemoryBudget::new(options.memory_budget);
    let caches = cache::share(&memory);
    let dictionary = Arc::new(Dictionary::new(&caches, &counters, database.lineage()));
    let preparation = Preparation {
        database: database.clone(),
        dictionary: Arc::clone(&dictionary),
        join_window: options.join_window,
        cpu: CpuPool::new(2, 2),
        counters: Arc::clone(&counters),
        memory: memory.clone(),
    };
    let (writer, requests) = Writer::new(&options, &memory, Arc::clone(&counters), head.clone());
    // One slot: a group is prepared while the one before it is committed.
    let (places, groups) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let supervisor = Supervisor::new(Arc::clone(database.health()), background);
    let closing = writer.closing();
    supervisor.once(
        "grouping",
        Grouping::new(preparation.clone(), requests, places, closing).run(),
    );
    let recent = Arc::new(Recent::new(start, &memory));
    if background && let Err(error) = lineage::shorten(database.write(), &state).await {
        tracing::warn!(%error, "the list of processes that wrote is not shortened");
    }
    let known = (
        Arc::clone(&dictionary),
        Arc::clone(&recent),
        Arc::clone(&announce),
    );
    database.lineage().begin(state, move |head| {
        let (dictionary, recent, announce) = &known;
        dictionary.forget();
        recent.begin_again(head);
        announce.send_replace(head);
    });
    let shared = (Arc::clone(&announce), Arc::clone(&recent), Arc::clone(&counters));
    let ids = caches.clone();
    let committers = move || {
        let (announce, recent, counters) = shared.clone();
        Committer::new(
            preparation.clone(),
            Remembered::new(&ids),
            announce,
            recent,
            counters,
        )
    };
    let committer = committers();
    let written = stop.child_token();
    let ended = written.clone().drop_guard();
    supervisor.once("committer", async move {
        // Also when it panics: nobody waits for what will not be written.
        let _ended = ended;
        committer.run(groups).await;
    });
    let keys = gate.clone();
    supervisor.keep("keys", stop.clone(), move || keys.clone().run());
    let reach = Arc::new(Reach::default());
    let tail = Tail {
        database: database.clone(),
        dictionary: Arc::clone(&dictionary),
        recent: Arc::clone(&recent),
        announce,
        reach: Arc::clone(&reach),
    };
    supervisor.keep("tail", written.clone(), move || tail.clone().run());
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
    supervisor.keep("indexer", stop.clone(), move || indexer.clone().run());
    let searches = Arc::new(LiveSearches::default());
    let searcher = LiveSearcher {
        database: database.clone(),
        recent: Arc::clone(&recent),
        searches: Arc::clone(&searches),
        cpu: cpu.clone(),
        memory: memory.clone(),
        options: options.clone(),
        counters: Arc::clone(&counters),
    };
    supervisor.keep("live searches", stop.clone(), move || searcher.clone().run());
    let waiters = Arc::new(Waiters::default());
    let waiting = (Arc::clone(&recent), Arc::clone(&waiters), options.clone());
    supervisor.keep("live", stop.clone(), move || {
        let (recent, waiters, options) = waiting.clone();
        wakeups::run(recent, waiters, options)
    });
    let watched = database.clone();
    supervisor.keep("health", stop.clone(), move || {
        // One that only tries whether writes work.
        health::watch(watched.clone(), committers())
    });
    let heartbeats = writer.heartbeats();
    let silence = Silence {
        database: database.clone(),
        dictionary: Arc::clone(&dictionary),
        heartbeats: Arc::clone(&heartbeats),
        writer: writer.downgrade(),
        options: options.clone(),
    };
    supervisor.keep("lost calls", stop.clone(), move || silence.clone().run());
    let cleanup = Arc::new(Cleanup::default());
    let kept = (
        database.clone(),
        options.clone(),
        Arc::clone(&counters),
        Arc::clone(&cleanup),
        stop.clone(),
    );
    // It ends by itself when the store closes, after the step that it is at.
    supervisor.keep("retention", CancellationToken::new(), move || {
        let (database, options, counters, cleanup, stop) = kept.clone();
        expire::run(database, options, counters, cleanup, stop)
    });
    let inner = Inner {
        cleanup,
        gate,
        heartbeats,
        room: writer.room(),
        queue_limit: writer.limit(),
        memory,
        caches,
        dictionary,
        counters,
        head,
        reach,
        recent,
        searches,
        waiters,
        written,
        closing: writer.closing(),
        tasks: supervisor.tasks().clone(),
        supervisor,
        stop: stop.clone(),
        _guard: stop.clone().drop_guard(),
        catching_up: Semaphore::new(usize::try_from(database.readers() / 2).unwrap_or(1).max(1)),
        readers: Readers::new(database.readers()),
        options,
        cpu,
        database,
    };
    Ok((
        writer,
        Store {
            inner: Arc::new(inner),
        },
    ))
}

/// The state that all clones of a [`Store`] share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) options: Options,
    pub(crate) counters: Arc<Counters>,
    pub(crate) gate: Gate,
    pub(crate) cleanup: Arc<Cleanup>,
    /// When processes were heard that this one received something from.
    pub(crate) heartbeats: Arc<Heartbeats>,
    head: watch::Receiver<Seq>,
    /// Whether the head can be read.
    pub(crate) reach: Arc<Reach>,
    /// The newest changes.
    pub(crate) recent: Arc<Recent>,
    /// The permits of queries.
    pub(crate) readers: Readers,
    /// Where texts are searched.
    pub(crate) cpu: CpuPool,
    /// The searches of followers.
    pub(crate) searches: Arc<LiveSearches>,
    /// Where followers wait for changes.
    pub(crate) waiters: Arc<Waiters>,
    /// Turns for followers that read the database: never all of its connections.
    pub(crate) catching_up: Semaphore,
    /// Cancelled when nothing will be written any more.
    pub(crate) written: CancellationToken,
    room: Arc<Semaphore>,
    queue_limit: usize,
    pub(crate) memory: MemoryBudget,
    /// The part of it that caches take.
    caches: MemoryBudget,
    /// Cancelled when no more writes are taken.
    closing: CancellationToken,
    supervisor: Supervisor,
    /// Counts what closing waits for.
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

    /// A number that tells this database from every other, until it is put back to an earlier state. All its processes see
    /// the same.
    pub fn identity(&self) -> i64 {
        self.inner.database.lineage().identity()
    }

    /// The budget of bytes that everything in this process takes from.
    pub fn memory(&self) -> &MemoryBudget {
        &self.inner.memory
    }

    /// The counters of the store.
    pub fn metrics(&self) -> Metrics {
        let taken = self
            .inner
            .queue_limit
            .saturating_sub(self.inner.room.available_permits());
        let (followers, lag) = self.inner.waiters.survey(self.head());
        let (changes, bytes) = self.inner.recent.size();
        Metrics {
            followers: followers as u64,
            follower_lag: lag,
            recent_changes: changes as u64,
            recent_bytes: bytes as u64,
            cache_bytes: self.inner.caches.used() as u64,
            queued_records: taken as u64,
            queue_limit: self.inner.queue_limit as u64,
            head: self.head().0,
            index_lag: self.inner.counters.index_lag(self.head().0),
            task_panics: self.inner.database.health().panics(),
            ..self.inner.counters.metrics()
        }
    }

    /// Takes no more writes, commits those that were taken, ends what runs in the background and closes the database. Ends
    /// within 10 seconds, also when the database does not answer; the outcome says what was cut off then. Writes that were
    /// not acknowledged by then may be stored or not; those that were are stored.
    pub async fn close(&self) -> Closed {
        let inner = &self.inner;
        let begun = Instant::now();
        let mut cut = Vec::new();
        inner.closing.cancel();
        // Subscribers hear of the last group before the feed ends.
        if timeout_at(begun + DRAIN, inner.written.cancelled())
            .await
            .is_err()
        {
            cut.push("writes that wait to be stored");
        }
        inner.stop.cancel();
        cut.extend(inner.supervisor.end(begun + DRAIN + END).await);
        match timeout(NOTE, inner.gate.note()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "it is not noted when API keys were last used"),
            Err(_) => cut.push("when API keys were last used"),
        }
        if timeout_at(begun + CLOSE, inner.database.close()).await.is_err() {
            cut.push("connections to the database");
        }
        if !cut.is_empty() {
            tracing::warn!("the database does not answer; cut off: {}", cut.join(", "));
        }
        Closed { cut }
    }
}

/// How closing went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The work that did not end in time and was cut off; empty when all ended well.
    pub cut: Vec<&'static str>,
}
