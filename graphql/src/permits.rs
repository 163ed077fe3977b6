//! Permits for operations: so many for all callers, and a share of them for each.

use std::sync::Arc;
use std::time::Instant;

use mcptap_store::{Asker, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

/// One caller may have a permit of so many.
const SHARE: usize = 4;

/// Permits for operations of one kind.
#[derive(Debug)]
pub(crate) struct Permits {
    all: Arc<Semaphore>,
    count: usize,
    shares: Shares<Asker>,
}

/// A permit; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _of_share: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// There is no permit. Each says how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The caller has as many as one may.
    Share(usize),
    /// All are taken.
    All(usize),
}

impl Permits {
    /// So many permits, a quarter of them for one caller, at least 1.
    pub(crate) fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(count)),
            count,
            shares: Shares::new(count / SHARE),
        }
    }

    /// Takes a permit, if there is one now.
    pub(crate) fn try_take(&self, asker: &Asker) -> Result<Permit, Full> {
        let share = self.shares.of(asker).try_acquire_owned();
        Ok(Permit {
            _of_share: share.map_err(|_| self.share_is_full())?,
            _of_all: Arc::clone(&self.all)
                .try_acquire_owned()
                .map_err(|_| Full::All(self.count))?,
        })
    }

    /// Waits for a permit until that time: first for one of the caller's own, where it holds up nobody else.
    pub(crate) async fn take(&self, asker: &Asker, until: Instant) -> Result<Permit, Full> {
        let share = timeout_at(until.into(), self.shares.of(asker).acquire_owned()).await;
        let Ok(Ok(share)) = share else {
            return Err(self.share_is_full());
        };
        match timeout_at(until.into(), Arc::clone(&self.all).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Permit {
                _of_share: share,
                _of_all: permit,
            }),
            Ok(Err(_)) | Err(_) => Err(Full::All(self.count)),
        }
    }

    fn share_is_full(&self) -> Full {
        Full::Share(self.shares.size())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_has_all_permits_nor_waits_where_others_do() {
        let permits = Permits::new(8);
        let soon = || Instant::now() + Duration::from_millis(50);
        let [first, second, third] = [1, 2, 3].map(Asker::Key);
        let held = [
            permits.try_take(&first).unwrap(),
            permits.try_take(&first).unwrap(),
        ];
        assert_eq!(permits.try_take(&first).unwrap_err(), Full::Share(2));
        assert_eq!(permits.take(&first, soon()).await.unwrap_err(), Full::Share(2));
        // However many of the first wait, the second does not.
        let waiting = (0..300).map(|_| permits.take(&first, soon()));
        let waiting = futures_util::future::join_all(waiting);
        let light = async { permits.take(&second, soon()).await.is_ok() };
        let (refused, answered) = tokio::join!(waiting, light);
        assert!(answered && refused.iter().all(Result::is_err));
        drop(held);
        assert!(permits.try_take(&first).is_ok());

        let all: Vec<_> = (10..14)
            .flat_map(|key| [Asker::Key(key), Asker::Key(key)])
            .map(|asker| permits.try_take(&asker).unwrap())
            .collect();
        assert_eq!(permits.try_take(&third).unwrap_err(), Full::All(8));
        drop(all);
        assert!(Permits::new(1).try_take(&first).is_ok());
        assert_eq!(Permits::new(0).try_take(&first).unwrap_err(), Full::All(0));
    }
}
