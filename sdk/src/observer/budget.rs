//! Memory that is bounded in bytes over all that share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that several share.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    held: AtomicUsize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: AtomicUsize::new(0),
        })
    }

    /// Takes so many bytes, if there is room for them.
    fn take(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }
}

/// Bytes taken of a budget. They are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reserved {
    /// Nothing yet.
    pub(crate) fn none(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// Takes so many bytes more. Returns whether there was room for them; nothing is taken otherwise.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let has_room = self.budget.take(bytes);
        if has_room {
            self.bytes += bytes;
        }
        has_room
    }

    /// Takes so many bytes more, whether or not there is room: what is bounded by its number as well, and leaves less
    /// to the others.
    pub(crate) fn force(&mut self, bytes: usize) {
        self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Gives bytes back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Budget {
    /// How many bytes are taken.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_of_it_comes_back() {
        let budget = Budget::new(100);
        let mut one = Reserved::none(&budget);
        let mut other = Reserved::none(&budget);
        assert!(one.grow(60) && !other.grow(41) && other.grow(40));
        other.force(7);
        assert!(!one.grow(1));
        one.shrink(20);
        assert_eq!(budget.held(), 87);
        drop((one, other));
        assert_eq!(budget.held(), 0);
    }
}
