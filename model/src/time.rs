//! Points in time as OTLP counts them.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z (OTLP `time_unix_nano`), good from 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixNanos(pub i64);

/// A text that is no RFC 3339 time, or one outside 1677..2262.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a time like 2026-11-22T13:20:04.123456789Z (RFC 3339, with a time zone)")]
pub struct InvalidTime(String);

impl UnixNanos {
    /// This moment, by the system's clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// So many milliseconds before this moment, stopping at the ends of the range; what is no number is no distance.
    pub fn before_ms(self, millis: f64) -> Self {
        Self(self.0.saturating_sub((millis * 1e6) as i64))
    }

    /// From OTLP's unsigned count; what lies beyond 2262 becomes the last representable moment.
    pub fn from_otlp(nanos: u64) -> Self {
        Self(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// Nanoseconds from `earlier` to `self`; zero when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// This moment moved by `nanos`, stopping at the ends of the range.
    pub fn plus(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for UnixNanos {
    /// RFC 3339 in UTC, with as many fractional digits as there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl FromStr for UnixNanos {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| InvalidTime(text.to_owned()))?;
        i64::try_from(timestamp.as_nanosecond())
            .map(Self)
            .map_err(|_| InvalidTime(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_survive_text() {
        let time: UnixNanos = "2026-11-22T13:20:04.123456789Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-22T13:20:04.123456789Z");
        assert_eq!(
            "2026-11-22T14:20:04.123456789+01:00"
                .parse::<UnixNanos>()
                .unwrap(),
            time
        );
    }

    #[test]
    fn a_bad_time_says_what_a_good_one_is() {
        let error = "yesterday".parse::<UnixNanos>().unwrap_err().to_string();
        assert!(
            error.contains("yesterday") && error.contains("RFC 3339"),
            "{error}"
        );
        assert!("9999-01-01T00:00:00Z".parse::<UnixNanos>().is_err());
    }
}
