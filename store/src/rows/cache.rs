//! Caches that are bounded in bytes, taken from the budget of the process.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use crate::{MemoryBudget, Reservation};

/// The most that all caches of a store take together.
const MOST: usize = 32 << 20;
/// Which part of the budget they take at most.
const PART: usize = 16;
/// How many caches share that: ids, names, clients, sessions, origins and resources.
const CACHES: usize = 6;

/// The memory that all caches of a store share: a sixteenth of the budget, at most 32 MiB.
pub(crate) fn share(memory: &MemoryBudget) -> MemoryBudget {
    memory.share(MOST.min(memory.limit() / PART))
}

/// A cache of two generations: what was not asked for while one generation was filled is forgotten with it. When the
/// budget has no room, the cache gives way.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: Generation<K, V>,
    old: Generation<K, V>,
    memory: MemoryBudget,
    /// How many bytes a generation takes at most.
    half: usize,
}

#[derive(Debug)]
struct Generation<K, V> {
    entries: HashMap<K, (V, usize)>,
    held: Reservation,
}

impl<K, V> Generation<K, V> {
    fn new(memory: &MemoryBudget) -> Self {
        Self {
            entries: HashMap::new(),
            held: memory.hold_nothing(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty one that takes its part of what all caches [`share`].
    pub(crate) fn new(memory: &MemoryBudget) -> Self {
        Self {
            young: Generation::new(memory),
            old: Generation::new(memory),
            memory: memory.clone(),
            half: memory.limit() / CACHES / 2,
        }
    }

    /// The value of a key, if it is known.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some((value, _)) = self.young.entries.get(key) {
            return Some(value.clone());
        }
        let (key, (value, bytes)) = self.old.entries.remove_entry(key)?;
        let left = self.old.held.bytes().saturating_sub(bytes);
        self.old.held.shrink_to(left);
        self.insert(key, value.clone(), bytes);
        Some(value)
    }

    /// Keeps a value that holds so many bytes beside itself.
    pub(crate) fn put(&mut self, key: K, value: V, bytes: usize) {
        // Tables of entries are half empty at times.
        let entry = 2 * (size_of::<(K, (V, usize))>() + 1);
        self.insert(key, value, bytes + entry);
    }

    fn insert(&mut self, key: K, value: V, bytes: usize) {
        if bytes > self.half {
            // It never fits, so nothing else has to give way to it.
            return;
        }
        if !self.make_room(bytes) {
            self.turn();
            if !self.make_room(bytes) {
                self.clear();
                return;
            }
        }
        if let Some((_, earlier)) = self.young.entries.insert(key, (value, bytes)) {
            let left = self.young.held.bytes().saturating_sub(earlier);
            self.young.held.shrink_to(left);
        }
    }

    fn make_room(&mut self, bytes: usize) -> bool {
        self.young.held.bytes() + bytes <= self.half && self.young.held.grow(bytes).is_ok()
    }

    /// Forgets the older generation and begins a new one.
    fn turn(&mut self) {
        let young = std::mem::replace(&mut self.young, Generation::new(&self.memory));
        self.old = young;
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young = Generation::new(&self.memory);
        self.old = Generation::new(&self.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 1000;

    fn fill(cache: &mut Cache<usize, String>, keys: std::ops::Range<usize>) {
        for key in keys {
            cache.put(key, format!("{key:0LONG$}"), LONG);
        }
    }

    #[test]
    fn bytes_are_bounded_whatever_is_put_in() {
        let memory = MemoryBudget::new(16 << 20);
        let caches = share(&memory);
        assert_eq!(caches.limit(), 1 << 20);
        let mut cache = Cache::new(&caches);
        fill(&mut cache, 0..5000);
        let held: usize = (0..5000)
            .filter_map(|key| {
                cache
                    .get(&key)
                    .inspect(|value| assert_eq!(*value, format!("{key:0LONG$}")))
            })
            .map(|value| value.len())
            .sum();
        assert!(held > 50 * LONG, "{held}");
        assert!(
            held <= caches.used() && caches.used() <= caches.limit() / CACHES,
            "{held} {}",
            caches.used()
        );
        assert_eq!(memory.used(), caches.used());
        // Values larger than a generation are not kept, and a key that is put twice is counted once.
        cache.put(1, String::new(), 1 << 20);
        assert_eq!(cache.get(&1), None);
        fill(&mut cache, 7..8);
        let once = memory.used();
        fill(&mut cache, 7..8);
        assert_eq!(memory.used(), once);
        drop(cache);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_never_fits_leaves_the_others_where_they_are() {
        let caches = share(&MemoryBudget::new(16 << 20));
        let mut cache = Cache::new(&caches);
        fill(&mut cache, 0..10);
        cache.put(10, String::new(), caches.limit());
        assert_eq!(cache.get(&10), None);
        assert!((0..10).all(|key| cache.get(&key).is_some()));
    }

    #[test]
    fn what_is_asked_for_stays() {
        let caches = share(&MemoryBudget::new(16 << 20));
        let mut cache = Cache::new(&caches);
        fill(&mut cache, 0..1);
        for key in 1..5000 {
            fill(&mut cache, key..key + 1);
            assert!(cache.get(&0).is_some(), "{key}");
        }
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn a_cache_gives_way_when_the_budget_is_taken() {
        let memory = MemoryBudget::new(16 << 20);
        let mut cache = Cache::new(&share(&memory));
        fill(&mut cache, 0..10);
        let others = memory.try_reserve(memory.limit() - memory.used()).unwrap();
        fill(&mut cache, 10..11);
        assert_eq!((memory.used(), cache.get(&10)), (others.bytes(), None));
        drop(others);
        fill(&mut cache, 10..11);
        assert!(cache.get(&10).is_some());
    }
}
