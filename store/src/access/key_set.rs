//! The API keys in memory, and the order of the reads that bring them.
//!
//! Reads of the keys may overlap, and the one that began first may end last. Each takes a ticket before it begins, and a
//! result is only taken over when its ticket is later than that of what is there. So a set that was read before a
//! revocation never replaces one that was read after it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use mcptap_model::{ApiKey, UnixNanos};
use tokio::sync::watch;

use crate::Denied;
use crate::access::keys::{DamagedKey, KeyRow};
use crate::access::secret::same;

/// The place of a read in the order of reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The keys at one time.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    read_by: Ticket,
    /// Whether the table has any row, also one that is revoked, expired or damaged.
    exists: bool,
    held: HashMap<i64, Held>,
    /// Their numbers by the first bytes of the hashes, which tell nothing of a secret.
    by_start: HashMap<[u8; 8], Vec<i64>>,
    damaged: Vec<DamagedKey>,
}

/// A key and when it was last used.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: Arc<ApiKey>,
    hash: [u8; 32],
    /// Nanoseconds since 1970.
    pub(crate) used: Arc<AtomicI64>,
}

/// Whether a key holds now.
pub(crate) fn judge(key: &ApiKey, now: UnixNanos) -> Result<(), Denied> {
    if key.revoked_at.is_some() {
        return Err(Denied::Revoked);
    }
    match key.expires_at {
        Some(end) if end <= now => Err(Denied::Expired(end)),
        _ => Ok(()),
    }
}

fn start(hash: &[u8; 32]) -> [u8; 8] {
    let mut start = [0; 8];
    start.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    start
}

impl KeySet {
    fn of(read_by: Ticket, rows: Vec<KeyRow>, before: &Self) -> Self {
        let mut set = Self {
            read_by,
            // Whatever happens to the rows: where a key was needed once, it stays needed.
            exists: before.exists || !rows.is_empty(),
            ..Self::default()
        };
        for row in rows {
            match row {
                KeyRow::Damaged(damaged) => set.damaged.push(damaged),
                KeyRow::DamagedAndRevoked => {}
                KeyRow::Readable(key, hash) => {
                    let used = before.held.get(&key.id);
                    let used = used.map_or_else(Arc::default, |held| Arc::clone(&held.used));
                    set.by_start.entry(start(&hash)).or_default().push(key.id);
                    let key = Arc::new(key);
                    set.held.insert(key.id, Held { key, hash, used });
                }
            }
        }
        set
    }

    /// Whether any key was ever made.
    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    /// The key of this number.
    pub(crate) fn get(&self, id: i64) -> Option<&Held> {
        self.held.get(&id)
    }

    /// The key with this hash.
    pub(crate) fn find(&self, hash: &[u8; 32]) -> Option<&Held> {
        let numbers = self.by_start.get(&start(hash))?;
        let mut held = numbers.iter().filter_map(|id| self.held.get(id));
        held.find(|held| same(&held.hash, hash))
    }

    /// All keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    fn same_keys(&self, other: &Self) -> bool {
        self.exists == other.exists
            && self.damaged == other.damaged
            && self.held.len() == other.held.len()
            && self.held.iter().all(|(id, held)| {
                let other = other.held.get(id);
                other.is_some_and(|other| other.key == held.key && other.hash == held.hash)
            })
    }
}

/// The keys as they were read last.
#[derive(Debug)]
pub(crate) struct Keys {
    tickets: AtomicU64,
    current: watch::Sender<Arc<KeySet>>,
}

impl Default for Keys {
    fn default() -> Self {
        let (current, _) = watch::channel(Arc::default());
        Self {
            tickets: AtomicU64::new(0),
            current,
        }
    }
}

impl Keys {
    /// To be called before a read begins.
    pub(crate) fn begin(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// The ticket of the read that began last. Whatever has a later one begins after this call.
    pub(crate) fn begun(&self) -> Ticket {
        Ticket(self.tickets.load(Ordering::SeqCst))
    }

    /// Takes over what a read found, unless a later read has told already. Damaged rows are logged when they turn up.
    pub(crate) fn put(&self, ticket: Ticket, rows: Vec<KeyRow>) {
        let mut turned_up = Vec::new();
        self.current.send_if_modified(|current| {
            if ticket <= current.read_by {
                return false;
            }
            let set = KeySet::of(ticket, rows, current);
            let known = |damaged: &&DamagedKey| !current.damaged.contains(damaged);
            turned_up = set.damaged.iter().filter(known).cloned().collect();
            let modified = !current.same_keys(&set);
            *current = Arc::new(set);
            modified
        });
        for DamagedKey { id, what } in turned_up {
            tracing::error!(
                key = id,
                what,
                "an API key is damaged and is not accepted; make a new one, and revoke this one (mcptap keys revoke)"
            );
        }
    }

    /// The keys now.
    pub(crate) fn current(&self) -> Arc<KeySet> {
        self.current.borrow().clone()
    }

    /// Whether a read that began after `ticket` was taken over.
    pub(crate) fn is_later_than(&self, ticket: Ticket) -> bool {
        self.current.borrow().read_by > ticket
    }

    /// Tells of every change of the keys.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<KeySet>> {
        self.current.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use mcptap_model::Scope;
    use proptest::prelude::*;

    use super::*;

    fn key(id: i64, revoked: bool) -> KeyRow {
        let key = ApiKey {
            id,
            name: "a".into(),
            scopes: vec![Scope::Read],
            servers: Vec::new(),
            created_at: UnixNanos(1),
            expires_at: None,
            last_used_at: None,
            revoked_at: revoked.then_some(UnixNanos(2)),
        };
        KeyRow::Readable(key, [id as u8; 32])
    }

    #[test]
    fn an_older_read_does_not_undo_a_revocation() {
        let keys = Keys::default();
        let early = keys.begin();
        let late = keys.begin();
        keys.put(late, vec![key(1, true)]);
        // It was read before the revocation and ends after it.
        keys.put(early, vec![key(1, false)]);
        let set = keys.current();
        assert_eq!(
            judge(&set.get(1).unwrap().key, UnixNanos(3)),
            Err(Denied::Revoked)
        );
    }

    proptest! {
        /// Reads begin and end in any order; in between keys are made and revoked. No set shows less than one before it.
        #[test]
        fn reads_in_any_order_never_go_back(steps in prop::collection::vec((0..4_u8, any::<prop::sample::Index>()), 1..60)) {
            let keys = Keys::default();
            // The database: whether each key is revoked.
            let mut stored: Vec<bool> = Vec::new();
            let mut reading: Vec<(Ticket, Vec<bool>)> = Vec::new();
            let mut seen: Vec<bool> = Vec::new();
            for (step, index) in steps {
                match step {
                    0 => stored.push(false),
                    1 if !stored.is_empty() => {
                        let at = index.index(stored.len());
                        stored[at] = true;
                    }
                    2 => {
                        let ticket = keys.begin();
                        reading.push((ticket, stored.clone()));
                    }
                    3 if !reading.is_empty() => {
                        let (ticket, rows) = reading.remove(index.index(reading.len()));
                        let rows = rows.iter().enumerate().map(|(id, revoked)| key(id as i64, *revoked));
                        keys.put(ticket, rows.collect());
                    }
                    _ => {}
                }
                let set = keys.current();
                let now: Vec<bool> = (0..stored.len() as i64)
                    .map_while(|id| set.get(id).map(|held| held.key.revoked_at.is_some()))
                    .collect();
                prop_assert!(now.len() >= seen.len());
                prop_assert!(seen.iter().zip(&now).all(|(before, now)| now >= before));
                seen = now;
            }
        }
    }

    #[test]
    fn damaged_rows_shut_the_gate_and_let_nobody_in() {
        let keys = Keys::default();
        assert!(!keys.current().exists());
        let damaged = DamagedKey {
            id: 1,
            what: "the hash has not 32 bytes",
        };
        keys.put(keys.begin(), vec![KeyRow::Damaged(damaged)]);
        let set = keys.current();
        assert!(set.exists() && set.iter().next().is_none());
    }

    #[test]
    fn what_was_used_is_remembered_across_reads() {
        let keys = Keys::default();
        keys.put(keys.begin(), vec![key(1, false)]);
        keys.current().get(1).unwrap().used.store(7, Ordering::Relaxed);
        keys.put(keys.begin(), vec![key(1, true)]);
        assert_eq!(keys.current().get(1).unwrap().used.load(Ordering::Relaxed), 7);
    }
}
