//! Conversations found again by the session id on the wire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::observer::{Conversation, Observer};

/// How many sessions are remembered; of more, the ones unused for longest are forgotten.
const REMEMBERED: usize = 10_000;
/// How long a session without traffic is remembered.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// One conversation, as several HTTP requests share it.
pub(super) type Shared = Arc<Mutex<Conversation>>;

/// The conversations that have a session id.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    observer: Observer,
    known: Arc<Mutex<HashMap<String, (Shared, Instant)>>>,
    /// By the address that streams announced on which answers come.
    announced: Arc<Mutex<HashMap<String, Announced>>>,
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
            known: Arc::default(),
            announced: Arc::default(),
        }
    }

    /// A conversation that no other request is part of yet.
    pub(super) fn fresh(&self) -> Shared {
        Arc::new(Mutex::new(Conversation::new(self.observer.clone())))
    }

    /// The conversation of that session.
    pub(super) fn find(&self, id: &str) -> Option<Shared> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (conversation, used) = known.get_mut(id)?;
        *used = Instant::now();
        Some(Arc::clone(conversation))
    }

    /// Makes a conversation the one of a session.
    pub(super) fn keep(&self, id: String, conversation: &Shared) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, used)| used.elapsed() < IDLE);
        }
        if known.len() >= REMEMBERED
            && let Some(oldest) = known
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(id, _)| id.clone())
            && let Some((forgotten, _)) = known.remove(&oldest)
        {
            close(
                &forgotten,
                "the session was idle for too long to wait for an answer",
            );
        }
        known.insert(id, (Arc::clone(conversation), Instant::now()));
    }

    /// A stream announced where its messages are to be posted (HTTP+SSE). Returns the conversation of that address: the
    /// stream's own, or that of another stream with the same.
    pub(super) fn announce(&self, address: &str, own: &Shared) -> Shared {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.len() >= REMEMBERED && !announced.contains_key(address) {
            return Arc::clone(own);
        }
        let known = announced.entry(address.to_owned()).or_insert_with(|| Announced {
            conversation: Arc::clone(own),
            streams: 0,
        });
        known.streams += 1;
        Arc::clone(&known.conversation)
    }

    /// The conversation of an announced address.
    pub(super) fn announced(&self, address: &str) -> Option<Shared> {
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&announced.get(address)?.conversation))
    }

    /// A stream ended that had announced an address, and with the last one the session that the address names.
    pub(super) fn withdraw(&self, address: &str, session: Option<&str>, reason: &str) {
        let ended = {
            let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            match announced.get_mut(address) {
                Some(known) if known.streams > 1 => {
                    known.streams -= 1;
                    return;
                }
                _ => announced.remove(address),
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
        let ended = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        if let Some((conversation, _)) = ended {
            close(&conversation, reason);
        }
    }

    /// Ends all that is open.
    pub(super) fn close_all(&self, reason: &str) {
        let all = std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
        let announced = std::mem::take(&mut *self.announced.lock().unwrap_or_else(PoisonError::into_inner));
        let announced = announced.into_values().map(|announced| announced.conversation);
        for conversation in all.into_values().map(|(known, _)| known).chain(announced) {
            let mut conversation = conversation.lock().unwrap_or_else(PoisonError::into_inner);
            conversation.close(reason);
        }
    }
}

/// What is still answered in an HTTP answer of its own is left to that.
fn close(conversation: &Shared, reason: &str) {
    conversation
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .close_session(reason);
}
