//! One query of a client to the store, however many reads it takes: who asks, until when, and whether anybody still
//! waits for the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Whose share of the readers a query takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Asker {
    /// The holder of an API key, by its number.
    Key(i64),
    /// Somebody without a key, by the address where that is known.
    Peer(Option<std::net::IpAddr>),
    /// The server itself, on its own behalf.
    #[default]
    Server,
    /// Followers of the feed that read what memory does not hold any more.
    Feed,
    /// Deletions, which take as long as they take. They have connections of their own.
    Maintenance,
}

/// A query on its way. Clones are the same query.
///
/// Reads of the store take it from the task they run in ([`Operation::run`], [`Operation::join`]). A task that is spawned
/// for the query must be given it: task-locals do not follow.
#[derive(Clone, Debug)]
pub struct Operation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asker: Asker,
    deadline: Instant,
    abandoned: CancellationToken,
    /// How many of SQLite's instructions ran for it, in steps of [`patience::STEPS`](crate::db::deadline::STEPS).
    #[cfg(test)]
    steps: Arc<std::sync::atomic::AtomicU64>,
}

tokio::task_local! {
    static CURRENT: Operation;
}

impl Operation {
    /// A query that may take so long from now on.
    pub fn new(asker: Asker, limit: Duration) -> Self {
        let now = Instant::now();
        // A limit that is too long to add is none: a century.
        let deadline = now
            .checked_add(limit)
            .unwrap_or(now + Duration::from_secs(3_155_760_000));
        Self(Arc::new(Inner {
            asker,
            deadline,
            abandoned: CancellationToken::new(),
            #[cfg(test)]
            steps: Arc::default(),
        }))
    }

    /// Counts what SQLite did for it.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> &std::sync::atomic::AtomicU64 {
        &self.0.steps
    }

    /// The query that this task runs for.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// One read for the query that this task runs for, which may take so long; without one, for a query of the
    /// server's own.
    pub(crate) fn reading(limit: Duration) -> Self {
        match Self::current() {
            Some(question) if question.0.asker == Asker::Maintenance => question,
            Some(question) => question.within(limit),
            None => Self::new(Asker::Server, limit),
        }
    }

    /// Reads in order to delete: no limit ends them.
    pub(crate) fn maintenance() -> Self {
        Self::new(Asker::Maintenance, Duration::MAX)
    }

    /// Runs the future that asks. When it is dropped half-way, everything that runs for the query ends.
    pub fn run<'a, F: Future + Send + 'a>(&self, asking: F) -> Run<'a, F::Output> {
        Run {
            _abandon: self.abandoned_on_drop(),
            asking: Box::pin(CURRENT.scope(self.clone(), asking)),
        }
    }

    /// Does something at once for the query, such as polling what asks.
    pub fn enter<T>(&self, part: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), part)
    }

    /// Everything that runs for the query ends when this is dropped.
    pub fn abandoned_on_drop(&self) -> AbandonOnDrop {
        AbandonOnDrop(self.0.abandoned.clone())
    }

    /// Runs a part of the query in another task. It ends without a result when nobody waits any more.
    pub async fn join<F: Future>(&self, part: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.0.abandoned.cancelled() => None,
            output = CURRENT.scope(self.clone(), part) => Some(output),
        }
    }

    /// A part of the query that may take at most so long from now on, and no longer than the query itself.
    pub(crate) fn within(&self, limit: Duration) -> Self {
        let now = Instant::now();
        let deadline = now
            .checked_add(limit)
            .map_or(self.0.deadline, |end| end.min(self.0.deadline));
        Self(Arc::new(Inner {
            asker: self.0.asker.clone(),
            deadline,
            abandoned: self.0.abandoned.clone(),
            #[cfg(test)]
            steps: Arc::clone(&self.0.steps),
        }))
    }

    /// Until when it must be answered.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// Whether it is of no use to go on: nobody waits any more, or the time is over.
    pub fn is_over(&self) -> bool {
        self.is_abandoned() || Instant::now() >= self.0.deadline
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.abandoned.is_cancelled()
    }

    pub(crate) fn asker(&self) -> &Asker {
        &self.0.asker
    }

    /// How much time is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }
}

/// Ends what runs for a query ([`Operation::abandoned_on_drop`]).
#[derive(Debug)]
pub struct AbandonOnDrop(CancellationToken);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A future that asks ([`Operation::run`]).
pub struct Run<'a, T> {
    // Before the future: what the future drops must know already that nobody waits.
    _abandon: AbandonOnDrop,
    asking: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
}

impl<T> Future for Run<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.asking.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn what_was_spawned_for_a_question_ends_with_it() {
        let operation = Operation::new(Asker::Key(7), Duration::from_secs(600));
        let asking = operation.run(async {
            let current = Operation::current().unwrap();
            assert_eq!(current.asker(), &Asker::Key(7));
            pending::<()>().await;
        });
        let joined = operation.clone();
        let loading = tokio::spawn(async move {
            let asks_on = async { Operation::current().map(|current| current.asker().clone()) };
            assert_eq!(joined.join(asks_on).await.flatten(), Some(Asker::Key(7)));
            joined.join(pending::<()>()).await
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(20), asking)
                .await
                .is_err()
        );
        assert_eq!(loading.await.unwrap(), None);
        assert!(operation.is_over() && operation.within(Duration::MAX).is_over());
    }

    #[test]
    fn a_part_takes_no_longer_than_the_whole() {
        let operation = Operation::new(Asker::Server, Duration::from_millis(50));
        assert!(operation.within(Duration::from_secs(60)).deadline() == operation.deadline());
        assert!(operation.within(Duration::ZERO).is_over());
        assert!(!Operation::new(Asker::Server, Duration::MAX).is_over());
    }
}
