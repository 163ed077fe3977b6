//! Whether a time can be right: what is past its time, ahead of ours, or not in nanoseconds, is told to its sender.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcptap_model::UnixNanos;

use crate::rejections::Reason;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// How far a clock may be ahead before its records are marked.
const UNMARKED: i64 = 60 * SECOND;
/// How far a clock may be ahead before its records are rejected.
const AHEAD: i64 = DAY;
/// The first moment that can be one, in nanoseconds: 1 January 2000. What is before is no time in nanoseconds.
const FIRST: i64 = 946_684_800 * SECOND;
/// Units that are taken for nanoseconds, with how many nanoseconds they have.
const UNITS: [(&str, i64); 3] = [
    ("microseconds", 1000),
    ("milliseconds", 1_000_000),
    ("seconds", SECOND),
];

/// When an export came, and what times can be right in it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When it came.
    pub at: UnixNanos,
    oldest: i64,
    newest: i64,
}

impl Arrival {
    /// Now. What began longer ago than the retention would never be seen.
    pub fn now(retention: Option<Duration>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::of(UnixNanos(nanos(since)), retention)
    }

    /// At that time.
    pub fn of(at: UnixNanos, retention: Option<Duration>) -> Self {
        let kept = retention.map_or(i64::MIN, |retention| at.0.saturating_sub(nanos(retention)));
        Self {
            at,
            oldest: kept,
            newest: at.0.saturating_add(AHEAD),
        }
    }

    /// At that time, of records from any time: for exports that were recorded.
    pub fn replayed(at: UnixNanos) -> Self {
        Self {
            at,
            oldest: i64::MIN,
            newest: i64::MAX,
        }
    }

    /// Whether a record can be from then to then; why not, and how to say so.
    pub(crate) fn check(&self, start: u64, end: u64) -> Result<(), (Reason, String)> {
        let start = UnixNanos::from_otlp(start).0;
        let end = UnixNanos::from_otlp(end).0;
        if self.is_replayed() {
            return Ok(());
        }
        if start < FIRST {
            return Err(match self.unit(start) {
                Some(unit) => (
                    Reason::Unit,
                    format!("its time {start} looks like {unit}; OTLP has nanoseconds"),
                ),
                None => (
                    Reason::Unit,
                    format!("its time {start} is no time in nanoseconds since 1970"),
                ),
            });
        }
        if start < self.oldest {
            let (ago, kept) = (age(self.at.0 - start), age(self.at.0 - self.oldest));
            return Err((
                Reason::Expired,
                format!("it is older than the retention: it began {ago} ago, and calls are kept {kept}"),
            ));
        }
        if start > self.newest {
            return Err((
                Reason::Future,
                "it begins more than a day ahead of this server's clock".to_owned(),
            ));
        }
        if end > self.newest {
            return Err((
                Reason::Future,
                "it ends more than a day ahead of this server's clock".to_owned(),
            ));
        }
        Ok(())
    }

    /// How many milliseconds a record's time is ahead of ours, where that is worth a mark.
    pub(crate) fn ahead_ms(&self, time: UnixNanos) -> Option<i64> {
        let ahead = time.0.saturating_sub(self.at.0);
        (ahead > UNMARKED && !self.is_replayed()).then_some(ahead / 1_000_000)
    }

    fn is_replayed(&self) -> bool {
        self.newest == i64::MAX
    }

    /// The unit in which a time would be one of these years.
    fn unit(&self, time: i64) -> Option<&'static str> {
        let found = UNITS.iter().find(|(_, nanos)| {
            let read = time.saturating_mul(*nanos);
            (FIRST..=self.at.0.saturating_add(365 * DAY)).contains(&read)
        });
        found.map(|(name, _)| *name)
    }
}

/// An age in the largest unit of which there are two.
fn age(nanos: i64) -> String {
    let units = [("days", DAY), ("hours", DAY / 24), ("minutes", 60 * SECOND)];
    let unit = units.into_iter().find(|(_, unit)| nanos >= 2 * unit);
    let (name, unit) = unit.unwrap_or(("seconds", SECOND));
    format!("{} {name}", nanos / unit)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000 * SECOND;

    fn reason(start: i64, end: i64) -> Option<Reason> {
        let arrival = Arrival::of(UnixNanos(NOW), Some(Duration::from_secs(30 * 86_400)));
        let checked = arrival.check(start as u64, end as u64);
        checked.err().map(|(reason, _)| reason)
    }

    #[test]
    fn times_that_cannot_be_are_told() {
        for (time, expected) in [
            (NOW, None),
            (NOW - 29 * DAY, None),
            (NOW - 31 * DAY, Some(Reason::Expired)),
            (NOW + DAY - 1, None),
            (NOW + 2 * DAY, Some(Reason::Future)),
            (i64::MAX, Some(Reason::Future)),
            (1, Some(Reason::Unit)),
            (NOW / 1000, Some(Reason::Unit)),
            (NOW / 1_000_000, Some(Reason::Unit)),
            (NOW / SECOND, Some(Reason::Unit)),
        ] {
            assert_eq!(reason(time, time), expected, "{time}");
        }
        assert_eq!(reason(NOW, NOW + 2 * DAY), Some(Reason::Future));
        assert_eq!(reason(NOW, NOW - DAY), None);
        let saturated = Arrival::of(UnixNanos(NOW), None).check(NOW as u64, u64::MAX);
        assert!(saturated.is_err());
        assert!(Arrival::replayed(UnixNanos(0)).check(1, u64::MAX).is_ok());
    }

    #[test]
    fn a_unit_is_named_and_a_clock_ahead_is_measured() {
        let arrival = Arrival::of(UnixNanos(NOW), None);
        let (_, text) = arrival.check((NOW / 1_000_000) as u64, 0).unwrap_err();
        assert!(text.contains("milliseconds"), "{text}");
        assert_eq!(arrival.ahead_ms(UnixNanos(NOW + 30 * SECOND)), None);
        assert_eq!(arrival.ahead_ms(UnixNanos(NOW + 3600 * SECOND)), Some(3_600_000));
        assert_eq!(arrival.ahead_ms(UnixNanos(NOW - DAY)), None);
        assert!(arrival.check((NOW - 9000 * DAY) as u64, 0).is_ok());
    }
}
