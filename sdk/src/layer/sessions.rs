//! Conversations found again by the session id on the wire, and what in them waits for too long.

mod known;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::observer::{Conversation, Observer, Scope};
use known::{Known, REMEMBERED};

/// How often is looked for what has waited or been idle for too long.
const ROUND: Duration = Duration::from_secs(15);
/// How many conversations are looked at before other tasks have their turn.
const AT_ONCE: usize = 64;
/// Why an answer is not waited for any more.
const WAS_IDLE: &str = "the session was idle for too long to wait for an answer";

/// One conversation, as several HTTP requests share it.
pub(super) type Shared = Arc<Mutex<Conversation>>;

/// The conversations that have a session id.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    observer: Observer,
    remembered: Arc<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// Ids and addresses are hashed: they are only compared, and may be long.
    hashes: RandomState,
    known: Mutex<Known>,
    /// By the address that streams announced on which answers come.
    announced: Mutex<HashMap<u64, Announced>>,
    /// The conversations in which requests wait for an answer elsewhere.
    waiting: Mutex<VecDeque<Shared>>,
    /// Whether a task looks after them.
    has_task: AtomicBool,
}

/// The conversation whose messages are posted to one address.
#[derive(Debug)]
struct Announced {
    conversation: Shared,
    /// How many streams announced the address and are open.
    streams: usize,
}

impl Sessions {
    pub(super) fn new(observer: Observer) -> Self {
        Self {
            observer,
            remembered: Arc::default(),
        }
    }

    /// A conversation that no other request is part of yet.
    pub(super) fn fresh(&self) -> Shared {
        Arc::new(Mutex::new(Conversation::new(self.observer.clone())))
    }

    /// The conversation of that session, which others that name it now or later are part of.
    pub(super) fn claim(&self, id: &str) -> Shared {
        let hash = self.remembered.hashes.hash_one(id);
        lock(&self.remembered.known).claim(hash, || self.fresh())
    }

    /// Notes that a session was in use until now.
    pub(super) fn used(&self, id: &str) {
        let hash = self.remembered.hashes.hash_one(id);
        lock(&self.remembered.known).touch(hash);
    }

    /// Makes a conversation the one of a session.
    pub(super) fn keep(&self, id: &str, conversation: &Shared) {
        let hash = self.remembered.hashes.hash_one(id);
        let forgotten = lock(&self.remembered.known).keep(hash, conversation);
        self.kept(forgotten);
    }

    /// Makes a conversation the one of a session, unless that has one: then nothing changes. Returns whether it is. Looking and
    /// keeping are one step, so that of several first requests at the same time one is kept.
    pub(super) fn adopt(&self, id: &str, conversation: &Shared) -> bool {
        let hash = self.remembered.hashes.hash_one(id);
        let forgotten = {
            let mut known = lock(&self.remembered.known);
            if known.find(hash).is_some() {
                return false;
            }
            known.keep(hash, conversation)
        };
        self.kept(forgotten);
        true
    }

    fn kept(&self, forgotten: Option<Shared>) {
        if let Some(forgotten) = forgotten {
            close(&forgotten, WAS_IDLE);
        }
        self.ensure_task();
    }

    /// Sees to it that what waits in a conversation does not wait for ever.
    pub(super) fn watch(&self, conversation: &Shared) {
        if lock(conversation).needs_watching() {
            lock(&self.remembered.waiting).push_back(Arc::clone(conversation));
            self.ensure_task();
        }
    }

    /// Starts the task that looks after conversations, unless there is one. Without a runtime each new one looks after
    /// those before.
    fn ensure_task(&self) {
        let Ok(runtime) = Handle::try_current() else {
            return self.remembered.look_at_all();
        };
        if !self.remembered.has_task.swap(true, Ordering::AcqRel) {
            let task = Task {
                remembered: Arc::downgrade(&self.remembered),
                is_over: false,
            };
            runtime.spawn(task.run());
        }
    }

    /// A stream announced where its messages are to be posted (HTTP+SSE). Returns the conversation of that address: the
    /// stream's own, or that of another stream with the same.
    pub(super) fn announce(&self, address: &str, own: &Shared) -> Shared {
        let address = self.remembered.hashes.hash_one(address);
        let mut announced = lock(&self.remembered.announced);
        if announced.len() >= REMEMBERED && !announced.contains_key(&address) {
            return Arc::clone(own);
        }
        let known = announced.entry(address).or_insert_with(|| Announced {
            conversation: Arc::clone(own),
            streams: 0,
        });
        known.streams += 1;
        Arc::clone(&known.conversation)
    }

    /// The conversation of an announced address.
    pub(super) fn announced(&self, address: &str) -> Option<Shared> {
        let address = self.remembered.hashes.hash_one(address);
        let announced = lock(&self.remembered.announced);
        Some(Arc::clone(&announced.get(&address)?.conversation))
    }

    /// A stream ended that had announced an address, and with the last one the session that the address names.
    pub(super) fn withdraw(&self, address: &str, session: Option<&str>, reason: &str) {
        let address = self.remembered.hashes.hash_one(address);
        let ended = {
            let mut announced = lock(&self.remembered.announced);
            match announced.get_mut(&address) {
                Some(known) if known.streams > 1 => {
                    known.streams -= 1;
                    return;
                }
                _ => announced.remove(&address),
            }
        };
        if let Some(ended) = ended {
            close(&ended.conversation, reason);
        }
        if let Some(id) = session {
            self.end(id, reason);
        }
    }

    /// Forgets a session, which has ended.
    pub(super) fn end(&self, id: &str, reason: &str) {
        let hash = self.remembered.hashes.hash_one(id);
        let ended = lock(&self.remembered.known).remove(hash);
        if let Some(conversation) = ended {
            close(&conversation, reason);
            lock(&conversation).end_session();
        }
    }

    /// Ends all that is open.
    pub(super) fn close_all(&self, reason: &str) {
        let known = std::mem::take(&mut *lock(&self.remembered.known));
        let announced = std::mem::take(&mut *lock(&self.remembered.announced));
        let waiting = std::mem::take(&mut *lock(&self.remembered.waiting));
        let announced = announced.into_values().map(|announced| announced.conversation);
        for conversation in known.into_all().chain(announced).chain(waiting) {
            let mut conversation = lock(&conversation);
            conversation.close(reason, Scope::Session(&[]));
            conversation.end_session();
        }
    }
}

impl Remembered {
    /// Closes sessions that are idle, of so many at most. Returns how many were looked at.
    fn close_idle(&self, most: usize) -> usize {
        let (idle, looked) = lock(&self.known).take_idle(Instant::now(), most);
        idle.iter().for_each(|idle| close(idle, WAS_IDLE));
        looked
    }

    /// Gives up what waits for too long, in so many conversations.
    fn expire(&self, most: usize) {
        for _ in 0..most {
            let Some(conversation) = lock(&self.waiting).pop_front() else {
                return;
            };
            if lock(&conversation).expire() {
                lock(&self.waiting).push_back(conversation);
            }
        }
    }

    fn look_at_all(&self) {
        self.close_idle(usize::MAX);
        let waiting = lock(&self.waiting).len();
        self.expire(waiting);
    }

    /// The same, in pieces.
    async fn look_after_all(&self) {
        while self.close_idle(AT_ONCE) == AT_ONCE {
            tokio::task::yield_now().await;
        }
        // As many as there are now, since those that go on waiting are put back.
        let mut left = lock(&self.waiting).len();
        while left > 0 {
            self.expire(left.min(AT_ONCE));
            left = left.saturating_sub(AT_ONCE);
            tokio::task::yield_now().await;
        }
    }

    fn is_empty(&self) -> bool {
        lock(&self.known).is_empty() && lock(&self.waiting).is_empty()
    }
}

/// Looks after conversations for as long as there are any.
struct Task {
    remembered: Weak<Remembered>,
    /// Whether it ended by itself; its runtime may end it as well.
    is_over: bool,
}

impl Task {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(ROUND).await;
            let Some(remembered) = self.remembered.upgrade() else {
                return;
            };
            remembered.look_after_all().await;
            if remembered.is_empty() {
                remembered.has_task.store(false, Ordering::Release);
                // Unless there is something new by now, which another task may have taken on.
                if remembered.is_empty() || remembered.has_task.swap(true, Ordering::AcqRel) {
                    self.is_over = true;
                    return;
                }
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let (false, Some(remembered)) = (self.is_over, self.remembered.upgrade()) {
            remembered.has_task.store(false, Ordering::Release);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is still answered in an HTTP answer of its own is left to that.
fn close(conversation: &Shared, reason: &str) {
    lock(conversation).close_session(reason);
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn of_first_requests_at_the_same_time_one_is_the_session() {
        const REQUESTS: usize = 4;
        let sessions = Sessions::new(Observer::global());
        let together = Barrier::new(REQUESTS);
        for session in 0..500 {
            let id = format!("session {session}");
            let adopted: Vec<Shared> = thread::scope(|scope| {
                let request = || {
                    let own = sessions.fresh();
                    together.wait();
                    sessions.adopt(&id, &own).then_some(own)
                };
                let requests: Vec<_> = (0..REQUESTS).map(|_| scope.spawn(request)).collect();
                requests
                    .into_iter()
                    .filter_map(|request| request.join().unwrap())
                    .collect()
            });
            assert_eq!(adopted.len(), 1, "{id}");
            assert!(Arc::ptr_eq(&adopted[0], &sessions.claim(&id)), "{id}");
        }
    }
}
