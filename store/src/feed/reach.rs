//! Whether the head of the feed can be read. While it cannot, a feed is silent also where calls are stored elsewhere, and
//! whoever follows it has to be told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Error;

/// How long one read of the head may take. Where a connection is dead, the next one is by another.
const HEAD: Duration = Duration::from_secs(4);

/// For so long the head cannot be read until followers are told: more than one read, and by more than one connection.
const AWAY: Duration = Duration::from_secs(8);

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Reach {
    /// When the first of the reads began that have failed since the last that did not.
    failing: Mutex<Option<Instant>>,
    away: watch::Sender<bool>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            failing: Mutex::default(),
            away: watch::Sender::new(false),
        }
    }
}

impl Reach {
    /// Runs a read of the head, and notes whether there was an answer. A read that takes longer than [`HEAD`] is given up.
    pub(crate) async fn watch<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let since = *self.failing().get_or_insert_with(Instant::now);
        let limited = async { timeout(HEAD, read).await.unwrap_or(Err(Error::TimedOut)) };
        let mut limited = std::pin::pin!(limited);
        let read = match timeout_at(since + AWAY, limited.as_mut()).await {
            Ok(read) => read,
            Err(_) => {
                self.say(true);
                limited.await
            }
        };
        if read.is_ok() {
            *self.failing() = None;
            self.say(false);
        } else if since.elapsed() >= AWAY {
            self.say(true);
        }
        read
    }

    /// Whether it cannot be read now.
    pub(crate) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// Until it cannot be read.
    pub(crate) async fn away(&self) {
        let mut away = self.away.subscribe();
        // The sender is here.
        let _away = away.wait_for(|away| *away).await;
    }

    fn say(&self, away: bool) {
        self.away
            .send_if_modified(|was| std::mem::replace(was, away) != away);
    }

    fn failing(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_away_where_reads_fail_for_a_while_and_back_with_the_first_that_does_not() {
        let reach = Reach::default();
        let silent = || pending::<Result<(), Error>>();
        // One dead connection is not the database.
        assert!(matches!(reach.watch(silent()).await, Err(Error::TimedOut)));
        assert!(!reach.is_away());
        reach.watch(ready(Ok(()))).await.unwrap();
        // Silence.
        for _ in 0..3 {
            reach.watch(silent()).await.unwrap_err();
        }
        assert!(reach.is_away());
        reach.away().await;
        reach.watch(ready(Ok(()))).await.unwrap();
        assert!(!reach.is_away());
        // Refusals.
        for _ in 0..5 {
            assert!(!reach.is_away());
            reach.watch(ready(Err::<(), _>(Error::Lost))).await.unwrap_err();
            tokio::time::sleep(AWAY / 4).await;
        }
        reach.watch(ready(Err::<(), _>(Error::Lost))).await.unwrap_err();
        assert!(reach.is_away());
    }
}
