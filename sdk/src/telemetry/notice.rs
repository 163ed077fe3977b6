//! Warnings: those that would come again and again are said once, then at most every minute, and none goes unheard.

use std::fmt;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SILENCE: Duration = Duration::from_secs(60);

/// Says what is wrong: as an event of `tracing`, or on standard error where the application listens to none. An author who
/// has set up nothing but telemetry could not learn otherwise why nothing arrives.
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    tracing::warn!("{message}");
    if !tracing::dispatcher::has_been_set() {
        // Who closed standard error wants to hear nothing.
        let _ = writeln!(std::io::stderr(), "mcptap-sdk: {message}");
    }
}

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
