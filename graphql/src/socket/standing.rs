//! The standing of a WebSocket: who it is, how many operations it runs, and how many bytes of a message wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcptap_store::{MemoryBudget, Reservation};

/// How long a message may take to come whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many bytes of an unfinished message are not worth a reservation: every connection keeps as much ready.
const FREE: usize = super::READ_BUFFER;
/// The bytes of a client's control frame besides what it says: its head and its mask.
const CONTROL: usize = 6;

/// Goes with the answer to an upgrade. A listener says by it what comes, and learns what the connection is worth: one that is
/// short of connections may close those first of whom nobody knows who they are, and then those without an operation.
#[derive(Clone, Debug)]
pub struct Standing(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Nobody has said who it is, until `connection_init` is accepted.
    anonymous: bool,
    /// How many operations run.
    operations: usize,
    /// How many bytes came that belong to no message that was taken, and the room for them.
    unread: usize,
    held: Reservation,
    /// Since when there are such bytes.
    since: Option<Instant>,
}

impl Standing {
    /// Of a connection whose messages are held within a budget.
    pub fn new(memory: &MemoryBudget) -> Self {
        Self(Arc::new(Mutex::new(State {
            anonymous: true,
            operations: 0,
            unread: 0,
            held: memory.hold_nothing(),
            since: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody has said yet who it is.
    pub fn is_anonymous(&self) -> bool {
        self.state().anonymous
    }

    /// Whether no operation runs.
    pub fn is_idle(&self) -> bool {
        self.state().operations == 0
    }

    /// Bytes came. Tells whether there is room for the message that they are of.
    #[must_use]
    pub fn read(&self, bytes: usize, now: Instant) -> bool {
        let mut state = self.state();
        state.since.get_or_insert(now);
        state.unread = state.unread.saturating_add(bytes);
        let unread = state.unread;
        // Twice: the parts that came lie beside the buffer into which the last one is read.
        unread <= FREE || state.held.resize(unread.saturating_mul(2)).is_ok()
    }

    /// It is known now who it is.
    pub(super) fn entered(&self) {
        self.state().anonymous = false;
    }

    /// So many operations run now.
    pub(super) fn runs(&self, operations: usize) {
        self.state().operations = operations;
    }

    /// A message came whole, and was dealt with. Those between its parts were taken before.
    pub(super) fn took_message(&self) {
        let mut state = self.state();
        state.unread = 0;
        state.since = None;
        state.held.shrink_to(0);
    }

    /// A ping or a pong came, which may stand between the parts of a message.
    pub(super) fn took_control(&self, said: usize) {
        let mut state = self.state();
        state.unread = state.unread.saturating_sub(said + CONTROL);
        if state.unread == 0 {
            state.since = None;
        }
    }

    /// Whether a message has been coming for too long.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let since = self.state().since;
        since.is_some_and(|since| now.saturating_duration_since(since) > PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_messages_take_room_and_have_a_time() {
        let memory = MemoryBudget::new(200_000);
        let (one, other) = (Standing::new(&memory), Standing::new(&memory));
        let now = Instant::now();
        let late = now + PATIENCE + Duration::from_secs(1);
        assert!(one.read(FREE, now) && !one.is_overdue(late - PATIENCE));
        assert_eq!(memory.used(), 0);
        assert!(one.read(60_000, now));
        assert_eq!(memory.used(), 2 * (FREE + 60_000));
        assert!(!other.read(60_000, now), "both together are too much");
        // What comes between its parts ends no message.
        assert!(one.read(CONTROL + 4, late));
        one.took_control(4);
        assert!(one.is_overdue(late));
        one.took_message();
        assert!(!one.is_overdue(late));
        assert_eq!(memory.used(), 0);
        // Pongs alone, for as long as they like.
        for _ in 0..10 {
            assert!(one.read(CONTROL, now));
            one.took_control(0);
        }
        assert!(!one.is_overdue(late));
        drop(other);
        assert_eq!(memory.used(), 0);
    }
}
