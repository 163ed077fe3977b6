//! The one place where the store asks what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcptap_model::UnixNanos;

/// Now, by the clock that keys expire by.
pub fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(nanos(since))
}

/// The moment `age` ago.
pub(crate) fn ago(age: Duration) -> UnixNanos {
    now().plus(-nanos(age))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
