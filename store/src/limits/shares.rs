//! Shares of a limited number of permits: no caller has all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// How many callers are remembered before those that hold nothing are forgotten.
const ASKERS: usize = 256;

/// How many permits each caller may have, however many there are. A permit of the caller's own semaphore is acquired before
/// the shared one: a caller that waits for its own holds up no other.
#[derive(Debug)]
pub struct Shares<K> {
    size: usize,
    askers: Mutex<Askers<K>>,
}

#[derive(Debug)]
struct Askers<K> {
    known: HashMap<K, Weak<Semaphore>>,
    /// When so many are known, those that hold nothing are forgotten.
    full: usize,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// Shares of so many permits, at least 1.
    pub fn new(size: usize) -> Self {
        Self {
            size: size.clamp(1, Semaphore::MAX_PERMITS),
            askers: Mutex::new(Askers {
                known: HashMap::new(),
                full: ASKERS,
            }),
        }
    }

    /// How many permits a caller may have.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The permits of a caller. They are remembered for as long as one is held, or waited for.
    pub fn of(&self, asker: &K) -> Arc<Semaphore> {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = askers.known.get(asker).and_then(Weak::upgrade) {
            return share;
        }
        if askers.known.len() >= askers.full {
            askers.known.retain(|_, share| share.strong_count() > 0);
            // Where all of them are at work, they are not looked through for each that comes.
            askers.full = ASKERS.max(askers.known.len().saturating_mul(2));
        }
        let share = Arc::new(Semaphore::new(self.size));
        askers.known.insert(asker.clone(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_is_remembered_while_it_holds_something() {
        let shares = Shares::new(2);
        let held = [shares.of(&1), shares.of(&1)].map(|share| share.try_acquire_owned().unwrap());
        for other in 2..3 * ASKERS {
            assert_eq!(shares.of(&other).available_permits(), 2);
        }
        assert!(shares.askers.lock().unwrap().known.len() <= ASKERS);
        assert!(shares.of(&1).try_acquire_owned().is_err());
        drop(held);
        assert_eq!(shares.of(&1).available_permits(), 2);
    }
}
