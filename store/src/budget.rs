//! One budget of bytes for all that the process holds for others: requests in flight, decoded messages, the queue,
//! prepared groups, caches and answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound in bytes on what is held at the same time. Clones share it.
///
/// Whoever is about to hold bytes reserves them first and keeps the [`Reservation`] for as long as it holds them. Nobody
/// waits for room: a reservation that does not fit is refused at once, and the refusal is passed on to the sender (429,
/// `RESOURCE_EXHAUSTED`), who waits in its own memory.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    used: AtomicUsize,
}

/// There is no room for so many bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{wanted} bytes do not fit into the memory budget now ({used} of {limit} bytes are taken); try again later"
)]
pub struct BudgetExhausted {
    /// How many bytes were asked for.
    pub wanted: usize,
    /// How many were taken at that moment.
    pub used: usize,
    /// How many there are: what is larger than this never fits.
    pub limit: usize,
}

/// Bytes taken from a [`MemoryBudget`]; given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    counts: Arc<Counts>,
    bytes: usize,
}

impl MemoryBudget {
    /// A budget of that many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counts {
            limit,
            used: AtomicUsize::new(0),
        }))
    }

    /// How many bytes there are.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How many bytes are taken now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes that many bytes, or nothing.
    pub fn try_reserve(&self, bytes: usize) -> Result<Reservation, BudgetExhausted> {
        self.0.take(bytes)?;
        Ok(Reservation {
            counts: Arc::clone(&self.0),
            bytes,
        })
    }
}

impl Counts {
    fn take(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(used) => Err(BudgetExhausted {
                wanted: bytes,
                used,
                limit: self.limit,
            }),
        }
    }
}

impl Reservation {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes that many more. When they do not fit, it holds what it held before.
    pub fn grow(&mut self, more: usize) -> Result<(), BudgetExhausted> {
        self.counts.take(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back all but that many bytes; never takes more.
    pub fn shrink_to(&mut self, bytes: usize) {
        let freed = self.bytes.saturating_sub(bytes);
        self.bytes -= freed;
        self.counts.used.fetch_sub(freed, Ordering::AcqRel);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_takes_nothing() {
        let budget = MemoryBudget::new(100);
        let mut first = budget.try_reserve(60).unwrap();
        let refused = budget.try_reserve(41).unwrap_err();
        assert_eq!((refused.wanted, refused.used, refused.limit), (41, 60, 100));
        assert!(budget.try_reserve(usize::MAX).is_err());
        first.grow(40).unwrap();
        assert!(first.grow(1).is_err());
        assert_eq!((first.bytes(), budget.used()), (100, 100));
        first.shrink_to(30);
        first.shrink_to(90);
        assert_eq!((first.bytes(), budget.used()), (30, 30));
        drop(first);
        assert_eq!(budget.used(), 0);
    }
}
