//! Failed writes as they are logged. An outage fails every write, for hours: the same again is counted, and told once a minute.

use std::time::{Duration, Instant};

/// For how long the same is counted before it is told again.
const PAUSE: Duration = Duration::from_secs(60);
/// How many different ones are told apart; all others are one.
const MOST: usize = 16;
const OTHERS: &str = "others";

/// What was told of late, and how many times it came since.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<Told>);

#[derive(Debug)]
struct Told {
    what: String,
    at: Instant,
    more: u64,
}

impl Complaints {
    /// Counts a failure. Where it is to be told now: how many times it came, untold, since it was told last.
    pub(super) fn note(&mut self, what: &str, now: Instant) -> Option<u64> {
        let is_known = self.0.iter().any(|told| told.what == what);
        if !is_known {
            self.0.retain(|told| now.duration_since(told.at) < PAUSE);
        }
        let what = if is_known || self.0.len() < MOST {
            what
        } else {
            OTHERS
        };
        if let Some(told) = self.0.iter_mut().find(|told| told.what == what) {
            if now.duration_since(told.at) < PAUSE {
                told.more += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.more));
        }
        self.0.push(Told {
            what: what.to_owned(),
            at: now,
            more: 0,
        });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_a_minute_with_its_number() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(complaints.note("full", at(0)), Some(0));
        assert_eq!(complaints.note("away", at(1)), Some(0), "another is told");
        assert!((1..=59).all(|second| complaints.note("full", at(second)).is_none()));
        assert_eq!(complaints.note("full", at(60)), Some(59));
        assert_eq!(complaints.note("full", at(61)), None);
        let told = (0..100).filter(|number| complaints.note(&number.to_string(), at(62)).is_some());
        assert!(told.count() <= MOST + 1, "however different they are");
        assert!(complaints.0.len() <= MOST + 1);
    }
}
