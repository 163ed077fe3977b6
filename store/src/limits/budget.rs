//! One budget of bytes for all that the process holds for others: requests in flight, decoded messages, the queue,
//! prepared groups, caches and answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound in bytes on what is held at the same time. Clones share it.
///
/// Whoever is about to hold bytes reserves them first and keeps the [`Reservation`] for as long as it holds them. Nobody
/// waits for room: a reservation that does not fit is refused at once, and the refusal is passed on to the sender (429,
/// `RESOURCE_EXHAUSTED`), who waits in its own memory. A [`share`](Self::share) is a bound within the bound: one kind of
/// work cannot take the room of all others.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    used: AtomicUsize,
    /// The budget that this one is a share of.
    within: Option<Arc<Counts>>,
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

impl BudgetExhausted {
    /// Whether so many bytes will never fit, however long the caller waits.
    pub fn is_final(&self) -> bool {
        self.wanted > self.limit
    }
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
            within: None,
        }))
    }

    /// A budget of at most `limit` bytes of this one: they are taken from both, so its users leave the rest to others.
    pub fn share(&self, limit: usize) -> Self {
        Self(Arc::new(Counts {
            limit: limit.min(self.0.limit),
            used: AtomicUsize::new(0),
            within: Some(Arc::clone(&self.0)),
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

    /// Takes nothing yet: what is returned can grow.
    pub fn hold_nothing(&self) -> Reservation {
        Reservation {
            counts: Arc::clone(&self.0),
            bytes: 0,
        }
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
        if let Err(used) = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits) {
            return Err(BudgetExhausted {
                wanted: bytes,
                used,
                limit: self.limit,
            });
        }
        let taken = self.within.as_ref().map_or(Ok(()), |whole| whole.take(bytes));
        if taken.is_err() {
            self.used.fetch_sub(bytes, Ordering::AcqRel);
        }
        taken
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(whole) = &self.within {
            whole.give(bytes);
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
        self.counts.take(more).map_err(|refused| BudgetExhausted {
            wanted: self.bytes.saturating_add(more),
            ..refused
        })?;
        self.bytes += more;
        Ok(())
    }

    /// Takes or gives back what is missing to hold exactly so many. When they do not fit, it holds what it held before.
    pub fn resize(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.shrink_to(bytes);
        Ok(())
    }

    /// Gives back all but that many bytes; never takes more.
    pub fn shrink_to(&mut self, bytes: usize) {
        let freed = self.bytes.saturating_sub(bytes);
        self.bytes -= freed;
        self.counts.give(freed);
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

    #[test]
    fn a_share_is_bounded_itself_and_takes_from_the_whole() {
        let whole = MemoryBudget::new(100);
        let share = whole.share(75);
        let mut held = share.try_reserve(50).unwrap();
        assert_eq!((share.used(), whole.used()), (50, 50));
        assert_eq!(share.try_reserve(26).unwrap_err().limit, 75);
        let others = whole.try_reserve(40).unwrap();
        // The share has room, the whole has not; nothing stays taken.
        assert_eq!(held.grow(20).unwrap_err().limit, 100);
        assert_eq!((share.used(), whole.used()), (50, 90));
        assert!(!held.grow(20).unwrap_err().is_final() && held.grow(100).unwrap_err().is_final());
        drop(others);
        held.resize(75).unwrap();
        held.resize(10).unwrap();
        assert_eq!((share.used(), whole.used()), (10, 10));
        drop(held);
        assert_eq!((share.used(), whole.used()), (0, 0));
    }
}
