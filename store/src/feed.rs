//! The feed wakes; it carries nothing. Whoever is woken reads [`Store::changes`](crate::Store::changes) from where
//! it stands, so a slow reader misses nothing.

use tokio::sync::watch;

/// The number of a change, in order of commit. Zero is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

/// The store was closed: no change will come any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is closed")]
pub struct Closed;

/// Wakes when something was committed.
#[derive(Clone, Debug)]
pub struct Feed {
    head: watch::Receiver<Seq>,
}

impl Feed {
    pub(crate) fn new(head: watch::Receiver<Seq>) -> Self {
        Self { head }
    }

    /// Waits until the head has moved since the last call (or since the feed was made), and gives the new head.
    /// Many commits between two calls are one.
    pub async fn changed(&mut self) -> Result<Seq, Closed> {
        self.head.changed().await.map_err(|_| Closed)?;
        Ok(*self.head.borrow_and_update())
    }

    /// The head as last seen by this process.
    pub fn head(&self) -> Seq {
        *self.head.borrow()
    }
}
