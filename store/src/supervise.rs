//! Background tasks that go on: after a panic a task is started anew, and readiness says so until it has run for a while.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::health::Health;

/// How long to wait before a task is started anew: at first, and at most. It doubles with every panic in a row.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// A task that ran this long has recovered.
const STANDS: Duration = Duration::from_secs(10);

/// The store's background tasks.
#[derive(Debug)]
pub(crate) struct Supervisor {
    health: Arc<Health>,
    tasks: TaskTracker,
    aborts: Mutex<Vec<(&'static str, AbortHandle)>>,
    /// Commands that do one thing and end start no tasks.
    starts: bool,
}

impl Supervisor {
    /// One that starts tasks, or none.
    pub(crate) fn new(health: Arc<Health>, starts: bool) -> Self {
        Self {
            health,
            tasks: TaskTracker::new(),
            aborts: Mutex::default(),
            starts,
        }
    }

    /// Runs what `task` makes until it ends by itself or is cancelled. When it panics, it is made anew.
    pub(crate) fn keep<F, T>(&self, name: &'static str, until: CancellationToken, task: F)
    where
        F: Fn() -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let health = Arc::clone(&self.health);
        self.start(name, async move {
            let mut backoff = BACKOFF.0;
            loop {
                let begun = Instant::now();
                let work = task();
                let running = async {
                    let stands = async {
                        tokio::time::sleep(STANDS).await;
                        health.stands(name);
                        std::future::pending::<()>().await;
                    };
                    tokio::select! {
                        () = work => {}
                        () = stands => {}
                        () = until.cancelled() => {}
                    }
                };
                let Err(panic) = AssertUnwindSafe(running).catch_unwind().await else {
                    return;
                };
                if begun.elapsed() >= STANDS {
                    backoff = BACKOFF.0;
                }
                health.fell(name);
                tracing::error!(
                    task = name,
                    panic = message(&*panic),
                    "a background task broke; it is started anew"
                );
                if until
                    .run_until_cancelled(tokio::time::sleep(backoff))
                    .await
                    .is_none()
                {
                    return;
                }
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        });
    }

    /// Runs a task that cannot be made anew. When it panics, readiness says so for good.
    pub(crate) fn once(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let health = Arc::clone(&self.health);
        self.start(name, async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                health.fell(name);
                tracing::error!(
                    task = name,
                    panic = message(&*panic),
                    "a background task broke; restart mcptap"
                );
            }
        });
    }

    fn start(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        if self.starts {
            let started = self.tasks.spawn(task);
            self.aborts().push((name, started.abort_handle()));
        }
    }

    /// Waits for all tasks to end; aborts those that do not by then and gives their names.
    pub(crate) async fn end(&self, deadline: Instant) -> Vec<&'static str> {
        self.tasks.close();
        if tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_ok() {
            return Vec::new();
        }
        let running: Vec<&'static str> = self
            .aborts()
            .iter()
            .filter(|(_, task)| !task.is_finished())
            .map(|(name, task)| {
                task.abort();
                *name
            })
            .collect();
        // Work that others count here cannot be aborted; it ends with the process.
        if running.is_empty() {
            vec!["tasks"]
        } else {
            running
        }
    }

    /// Where one-off tasks are counted that closing has to wait for.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn aborts(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, AbortHandle)>> {
        self.aborts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does one piece of the writers' work. Fails when it panicked ([`Error::Lost`]) or took longer than `limit`
/// ([`Error::TimedOut`]): it is dropped with what it holds, its connection is closed, and the work goes on with the next
/// piece.
pub(crate) async fn contained<T>(
    health: &Health,
    task: &'static str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(panic)) => {
            health.stumbled();
            health.wrote(Err(&Error::Lost));
            tracing::error!(
                task,
                panic = message(&*panic),
                "a write broke; its senders are told to send again"
            );
            Err(Error::Lost)
        }
        Err(_) => {
            health.wrote(Err(&Error::TimedOut));
            tracing::error!(
                task,
                "the database did not answer for {limit:?}; the write is given up, its senders are told"
            );
            Err(Error::TimedOut)
        }
    }
}

/// The text of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_anew_and_readiness_says_so() {
        let health = Arc::new(Health::default());
        let supervisor = Supervisor::new(Arc::clone(&health), true);
        let stop = CancellationToken::new();
        let starts = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&starts);
        supervisor.keep("indexer", stop.clone(), move || {
            let number = seen.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(number >= 3, "boom");
                std::future::pending::<()>().await;
            }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(starts.load(Ordering::SeqCst), 4);
        assert_eq!(health.panics(), 3);
        assert_eq!(health.fallen(), ["indexer"]);
        tokio::time::sleep(STANDS).await;
        assert!(health.fallen().is_empty());
        stop.cancel();
        assert!(supervisor.end(Instant::now() + STANDS).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_of_work_that_panics_or_hangs_is_given_up() {
        let health = Health::default();
        let limit = Duration::from_secs(30);
        let done = contained(&health, "committer", limit, async { 1 }).await;
        assert_eq!(done.unwrap(), 1);
        assert_eq!(health.panics(), 0);
        let broken = async { assert!(health.panics() > 5, "boom") };
        let broken = contained(&health, "committer", limit, broken).await;
        assert!(matches!(broken, Err(Error::Lost)));
        assert_eq!(health.panics(), 1);
        let hung = contained(&health, "committer", limit, std::future::pending::<()>()).await;
        assert!(matches!(hung, Err(Error::TimedOut)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_aborted_and_named() {
        let supervisor = Supervisor::new(Arc::default(), true);
        supervisor.once("committer", std::future::pending());
        assert_eq!(supervisor.end(Instant::now() + STANDS).await, ["committer"]);
        supervisor.tasks.wait().await;
    }

    #[tokio::test]
    async fn what_cannot_be_made_anew_is_told_for_good() {
        let health = Arc::new(Health::default());
        let supervisor = Supervisor::new(Arc::clone(&health), true);
        supervisor.once("committer", async { panic!("boom") });
        assert!(supervisor.end(Instant::now() + STANDS).await.is_empty());
        assert_eq!(health.fallen(), ["committer"]);
    }
}
