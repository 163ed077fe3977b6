//! Work that keeps a core busy, kept off the async workers: decoding, redaction, compression, folding, text matching.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

/// A few threads for work that keeps a core busy, and a bounded queue before them. Clones share both.
///
/// The async workers only wait for it, so health checks, timers and other connections go on whatever is computed. The
/// bytes that queued work holds are reserved by its owner (see [`MemoryBudget`](crate::MemoryBudget)); the queue itself
/// is bounded in jobs.
#[derive(Clone, Debug)]
pub struct CpuPool {
    threads: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// Work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// The queue is full: try again later.
    #[error("too much work waits for a processor; try again later")]
    Full,
    /// The work panicked; the panic is in the log.
    #[error("the work failed inside mcptap; its log says why")]
    Panicked,
}

/// Tells work that runs whether anybody still waits for its result. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// Whether nobody waits any more; long work asks now and then, and ends when it is so.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct CancelOnDrop(Cancelled);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl CpuPool {
    /// A pool that runs `threads` jobs at the same time and lets `queue` more wait.
    pub fn new(threads: usize, queue: usize) -> Self {
        let threads = threads.clamp(1, Semaphore::MAX_PERMITS / 2);
        let places = threads.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        Self {
            threads: Arc::new(Semaphore::new(threads)),
            queue: Arc::new(Semaphore::new(places)),
        }
    }

    /// Runs the work on a thread of the pool. When the returned future is dropped, work that waits is never begun, and
    /// work that runs is told by its [`Cancelled`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cancelled) -> T + Send + 'static,
    ) -> Result<T, CpuError> {
        let place = Arc::clone(&self.queue)
            .try_acquire_owned()
            .map_err(|_| CpuError::Full)?;
        // Neither semaphore is ever closed.
        let thread = Arc::clone(&self.threads)
            .acquire_owned()
            .await
            .map_err(|_| CpuError::Full)?;
        let cancelled = Cancelled::default();
        let _cancel = CancelOnDrop(cancelled.clone());
        tokio::task::spawn_blocking(move || {
            let _held = (place, thread);
            work(&cancelled)
        })
        .await
        .map_err(|_| CpuError::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_queue_is_bounded_and_a_dropped_future_cancels_its_work() {
        let pool = CpuPool::new(1, 1);
        let (began, begun) = mpsc::channel();
        let (told, ended) = mpsc::channel();
        let busy = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move |cancelled| {
                    began.send(()).unwrap();
                    while !cancelled.get() {
                        std::thread::yield_now();
                    }
                    told.send(()).unwrap();
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || begun.recv().unwrap())
            .await
            .unwrap();
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|_| 7).await }
        });
        // The one that waits takes the last place; who comes then is refused.
        while pool.queue.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(pool.run(|_| 8).await, Err(CpuError::Full));
        busy.abort();
        tokio::task::spawn_blocking(move || ended.recv().unwrap())
            .await
            .unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_its_place_back() {
        let pool = CpuPool::new(1, 0);
        let panics = pool.run(|_| assert_eq!(1, 2)).await;
        assert_eq!(panics, Err(CpuError::Panicked));
        assert_eq!(pool.run(|_| 1).await, Ok(1));
    }
}
