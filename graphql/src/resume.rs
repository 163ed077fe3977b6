//! Where a subscriber stands, told beside the answers: a stream of events names it in each event's `id`, whether the
//! client selected a cursor or not, and clients that connect again send the last one back.

use std::sync::{Arc, Mutex, PoisonError};

/// A cursor of the live feed that the transport and the subscription share. By default nobody looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    resume: Option<String>,
    reached: Option<String>,
}

impl Place {
    /// To go on after this cursor, whatever the document says.
    pub(crate) fn after(cursor: Option<String>) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            resume: cursor,
            reached: None,
        })))
    }

    /// Where to go on, if that was said.
    pub(crate) fn resume(&self) -> Option<String> {
        self.with(|shared| shared.resume.clone())
    }

    /// The event that is about to be delivered ends here.
    pub(crate) fn reach(&self, cursor: &str) {
        self.with(|shared| shared.reached = Some(cursor.to_owned()));
    }

    /// Where the last event ended. Told once.
    pub(crate) fn take(&self) -> Option<String> {
        self.with(|shared| shared.reached.take())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Shared) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
