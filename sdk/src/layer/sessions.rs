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
}

impl Sessions {
    pub(super) fn new(observer: Observer) -> Self {
        Self {
            observer,
            known: Arc::default(),
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
        for (conversation, _) in all.into_values() {
            close(&conversation, reason);
        }
    }
}

fn close(conversation: &Shared, reason: &str) {
    conversation
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .close(reason);
}
