//! Warnings that would come again and again: said once, then at most every minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SILENCE: Duration = Duration::from_secs(60);

/// One kind of warning.
#[derive(Debug, Default)]
pub(super) struct Notice {
    last: Mutex<Option<Instant>>,
}

impl Notice {
    /// Whether it is time to say it (again).
    pub(super) fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|said| now.duration_since(said) < SILENCE) {
            return false;
        }
        *last = Some(now);
        true
    }
}
