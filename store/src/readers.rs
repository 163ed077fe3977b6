//! Places for those who read: light questions, which an index answers, and scans, which may take seconds. Each kind has
//! places of its own, and nobody has all places of scans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mcptap_model::CallFilter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::Error;
use crate::operation::{Asker, Operation};

/// How a question reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Along an index, or a few rows by key.
    Light,
    /// Over as many rows as there are, or over texts.
    Scan,
}

impl Reading {
    /// How a page of the filter's calls is read: texts decide only where something is searched.
    pub(crate) fn of(filter: &CallFilter) -> Self {
        if filter.needs_text() {
            Self::Scan
        } else {
            Self::Light
        }
    }
}

/// The places of a store's readers.
#[derive(Debug)]
pub(crate) struct Readers {
    light: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    /// How many places of scans one asker may have.
    share: usize,
    askers: Mutex<HashMap<Asker, Weak<Semaphore>>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ReaderPlace {
    _place: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
}

/// Up to how many askers are remembered before those without a question are forgotten.
const ASKERS: usize = 256;

impl Readers {
    /// Shares out so many connections: half of them to scans, half of these to one asker, and never none.
    pub(crate) fn new(connections: u32) -> Self {
        let connections = usize::try_from(connections).unwrap_or(1).max(2);
        let scans = connections / 2;
        Self {
            light: Arc::new(Semaphore::new(connections - scans)),
            scans: Arc::new(Semaphore::new(scans)),
            share: (scans / 2).max(1),
            askers: Mutex::default(),
        }
    }

    /// Waits for a place, as long as the question has time.
    pub(crate) async fn place(&self, reading: Reading, operation: &Operation) -> Result<ReaderPlace, Error> {
        let waiting = async {
            let (all, share) = match reading {
                Reading::Light => (&self.light, None),
                Reading::Scan => (&self.scans, Some(self.share_of(operation.asker()))),
            };
            // First the share: who waits for it holds up nobody else.
            let share = match share {
                Some(share) => Some(share.acquire_owned().await?),
                None => None,
            };
            Ok::<_, tokio::sync::AcquireError>(ReaderPlace {
                _place: Arc::clone(all).acquire_owned().await?,
                _share: share,
            })
        };
        match timeout_at(operation.deadline().into(), waiting).await {
            Ok(Ok(place)) => Ok(place),
            // Neither semaphore is ever closed.
            Ok(Err(_)) => Err(Error::Stopping),
            Err(_) => Err(Error::Busy),
        }
    }

    fn share_of(&self, asker: &Asker) -> Arc<Semaphore> {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = askers.get(asker).and_then(Weak::upgrade) {
            return share;
        }
        if askers.len() >= ASKERS {
            askers.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(self.share));
        askers.insert(asker.clone(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asking(key: i64) -> Operation {
        Operation::new(Asker::Key(key), Duration::from_secs(600))
    }

    #[tokio::test(start_paused = true)]
    async fn one_asker_never_has_all_places_and_light_questions_have_their_own() {
        let readers = Readers::new(8);
        let (greedy, other, third) = (asking(1), asking(2), asking(3));
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(readers.place(Reading::Scan, &greedy).await.unwrap());
        }
        let soon = |place| tokio::time::timeout(Duration::from_secs(1), place);
        assert!(soon(readers.place(Reading::Scan, &greedy)).await.is_err());
        let others = [
            readers.place(Reading::Scan, &other).await.unwrap(),
            readers.place(Reading::Scan, &other).await.unwrap(),
        ];
        // All four places of scans are taken.
        assert!(soon(readers.place(Reading::Scan, &third)).await.is_err());
        for _ in 0..4 {
            held.push(readers.place(Reading::Light, &greedy).await.unwrap());
        }
        drop(others);
        assert!(soon(readers.place(Reading::Scan, &third)).await.is_ok());
        held.remove(0);
        assert!(soon(readers.place(Reading::Scan, &greedy)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_question() {
        let readers = Readers::new(4);
        let _held = readers.place(Reading::Scan, &asking(1)).await.unwrap();
        let short = Operation::new(Asker::Key(1), Duration::from_millis(20));
        let refused = readers.place(Reading::Scan, &short).await;
        assert!(matches!(refused, Err(Error::Busy)));
    }
}
