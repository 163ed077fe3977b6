//! For how long heartbeats could have been received: only that is silence.

use std::collections::VecDeque;
use std::time::Duration;

use mcptap_model::UnixNanos;

/// The times in which exports were read, and the database took what was received.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// When each began, and for how long it counts; oldest first. Together they are hardly longer than what was ever asked for.
    times: VecDeque<(UnixNanos, Duration)>,
}

impl Listening {
    /// It was listened since that moment, and that counts for so long.
    pub(super) fn add(&mut self, since: UnixNanos, length: Duration) {
        self.times.push_back((since, length));
    }

    /// Nobody knows what was sent until now.
    pub(super) fn begin_anew(&mut self) {
        self.times.clear();
    }

    /// The moment since which it was listened for that long; `None` where it was not yet.
    pub(super) fn since(&mut self, long: Duration) -> Option<UnixNanos> {
        let mut total = Duration::ZERO;
        let enough = self.times.iter().rposition(|(_, length)| {
            total += *length;
            total >= long
        })?;
        self.times.drain(..enough);
        self.times.front().map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn only_times_in_which_all_could_be_heard_count() {
        let mut listening = Listening::default();
        let five = Duration::from_secs(5);
        let minute = Duration::from_secs(60);
        let mut now = 0;
        let mut pass = |listening: &mut Listening, hears: bool| {
            if hears {
                listening.add(UnixNanos(now * SECOND), five);
            }
            now += 5;
        };
        for _ in 0..11 {
            pass(&mut listening, true);
            assert_eq!(listening.since(minute), None);
        }
        // Exports are refused for two minutes.
        for _ in 0..24 {
            pass(&mut listening, false);
            assert_eq!(listening.since(minute), None);
        }
        pass(&mut listening, true);
        assert_eq!(listening.since(minute), Some(UnixNanos(0)));
        for _ in 0..5 {
            pass(&mut listening, true);
        }
        assert_eq!(listening.since(minute), Some(UnixNanos(25 * SECOND)));
        assert_eq!(listening.times.len(), 12);
        listening.begin_anew();
        pass(&mut listening, true);
        assert_eq!(listening.since(minute), None);
        assert_eq!(listening.since(five), Some(UnixNanos(205 * SECOND)));
    }
}
