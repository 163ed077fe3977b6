//! What is kept in memory of one shared table.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcptap_model::Origin;

use super::Resource;
use crate::MemoryBudget;
use crate::feed::recent::size_of_fields;
use crate::rows::cache::Cache;
use crate::rows::entity::{client, session};

#[derive(Debug)]
pub(super) struct Shelf<T: ?Sized>(Mutex<Values<T>>);

#[derive(Debug)]
struct Values<T: ?Sized> {
    cache: Cache<i64, Arc<T>>,
    /// How often everything was forgotten: what was looked for before is not kept after.
    forgotten: u64,
}

/// What is known of some ids.
pub(super) struct Looked<T: ?Sized> {
    pub(super) found: HashMap<i64, Arc<T>>,
    pub(super) missing: Vec<i64>,
    pub(super) forgotten: u64,
}

/// A value that is kept of a shared table.
pub(super) trait Kept {
    /// About how many bytes it has.
    fn weight(&self) -> usize;
}

fn length(texts: &[&Option<String>]) -> usize {
    texts.iter().copied().flatten().map(String::capacity).sum()
}

impl Kept for str {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Kept for client::Model {
    fn weight(&self) -> usize {
        let texts = [
            &self.name,
            &self.version,
            &self.ip,
            &self.country,
            &self.authorization,
            &self.user_agent,
            &self.protocol_version,
        ];
        size_of::<Self>() + self.hash.capacity() + length(&texts)
    }
}

impl Kept for session::Model {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.hash.capacity() + length(&[&self.key, &self.wire])
    }
}

impl Kept for Origin {
    fn weight(&self) -> usize {
        let texts = length(&[&self.service, &self.instance, &self.scope_version]) + self.scope.capacity();
        size_of::<Self>() + texts
    }
}

impl Kept for Resource {
    fn weight(&self) -> usize {
        size_of::<Self>() + size_of_fields(self)
    }
}

impl<T: Kept + ?Sized> Shelf<T> {
    pub(super) fn new(caches: &MemoryBudget) -> Self {
        Self(Mutex::new(Values {
            cache: Cache::new(caches),
            forgotten: 0,
        }))
    }

    fn values(&self) -> MutexGuard<'_, Values<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values of the known ones of these ids, and the ids that are not known.
    pub(super) fn get(&self, ids: impl Iterator<Item = i64>) -> Looked<T> {
        let mut values = self.values();
        let mut found = HashMap::new();
        let mut missing = HashSet::new();
        for id in ids {
            match values.cache.get(&id) {
                Some(value) => drop(found.insert(id, value)),
                None => drop(missing.insert(id)),
            }
        }
        Looked {
            found,
            missing: missing.into_iter().collect(),
            forgotten: values.forgotten,
        }
    }

    /// Keeps values, unless everything was forgotten since they were looked for.
    pub(super) fn put(&self, forgotten: u64, kept: impl Iterator<Item = (i64, Arc<T>)>) {
        let mut values = self.values();
        if values.forgotten != forgotten {
            return;
        }
        for (id, value) in kept {
            // The reference counters of the `Arc` come on top.
            let bytes = value.weight() + 16;
            values.cache.put(id, value, bytes);
        }
    }

    pub(super) fn forget(&self) {
        let mut values = self.values();
        values.forgotten += 1;
        values.cache.clear();
    }
}
