//! The one place where the store asks what time it is.

use std::time::Duration;

use mcptap_model::UnixNanos;

/// Now, by the clock that keys expire by.
pub fn now() -> UnixNanos {
    UnixNanos::now()
}

/// The moment `age` ago.
pub(crate) fn ago(age: Duration) -> UnixNanos {
    now().plus(-nanos(age))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
