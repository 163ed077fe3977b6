//! The size and the coding of requests that a collector turned out to take.

use super::parcel::REQUEST_BYTES;

/// After how many requests in a row that passed a larger one is tried again: limits are raised, too.
const PROBE_AFTER: u32 = 64;

/// A limit above this, in bytes, is none: requests of several records are smaller.
const LARGEST: usize = 4 * REQUEST_BYTES;

/// The limits of a collector, learned from its answers. Sizes are in bytes before compression.
#[derive(Debug, Default)]
pub(super) struct Tolerance {
    /// The largest request that passed since one was too large.
    passed: Option<usize>,
    /// The smallest request of several records that was too large.
    too_large: Option<usize>,
    /// How many requests have passed since.
    in_a_row: u32,
    coding: Coding,
}

/// Whether the collector reads compressed requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Untried,
    Read,
    Unread,
}

impl Tolerance {
    /// The most that a request should have. None while none was too large.
    pub(super) fn most(&self) -> Option<usize> {
        let too_large = self.too_large?;
        Some(match self.passed {
            None => too_large / 2,
            // Near enough to the limit.
            Some(passed) if passed.saturating_add(passed / 4) >= too_large => passed,
            Some(passed) => passed.midpoint(too_large),
        })
    }

    /// A request of several records was too large.
    pub(super) fn reject(&mut self, bytes: usize) {
        self.too_large = Some(self.too_large.map_or(bytes, |known| known.min(bytes)));
        self.passed = self.passed.filter(|passed| *passed < bytes);
        self.in_a_row = 0;
    }

    /// A request passed; its size is asked for only where it matters.
    pub(super) fn pass(&mut self, bytes: impl FnOnce() -> Option<usize>) {
        let Some(too_large) = self.too_large else { return };
        let Some(bytes) = bytes() else { return };
        if bytes >= too_large {
            // It was not the size, or the limit is another now.
            (self.passed, self.too_large) = (None, None);
            return;
        }
        self.passed = Some(self.passed.map_or(bytes, |known| known.max(bytes)));
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row >= PROBE_AFTER {
            self.in_a_row = 0;
            self.too_large = Some(too_large.saturating_mul(2)).filter(|bytes| *bytes <= LARGEST);
        }
    }

    /// Whether a compressed request that was turned away is worth another attempt without compression.
    pub(super) fn doubts_coding(&self) -> bool {
        self.coding == Coding::Untried
    }

    /// Whether requests should go without compression.
    pub(super) fn is_plain(&self) -> bool {
        self.coding == Coding::Unread
    }

    /// A compressed request was read.
    pub(super) fn read_coding(&mut self) {
        self.coding = Coding::Read;
    }

    /// A request passed only once it had no compression.
    pub(super) fn refuse_coding(&mut self) {
        self.coding = Coding::Unread;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a request of `bytes` to a collector that takes `limit`, in pieces if need be; how many were too large.
    fn send(tolerance: &mut Tolerance, bytes: usize, limit: usize) -> usize {
        let (mut left, mut rejected) = (bytes, 0);
        while left > 0 {
            let piece = tolerance.most().map_or(left, |most| left.min(most));
            if piece > limit {
                tolerance.reject(piece);
                rejected += 1;
            } else {
                tolerance.pass(|| Some(piece));
                left -= piece;
            }
        }
        rejected
    }

    #[test]
    fn a_limit_is_found_once_and_kept_to() {
        let mut tolerance = Tolerance::default();
        assert_eq!(tolerance.most(), None);
        let found = send(&mut tolerance, 3_000_000, 1_000_000);
        assert!((1..8).contains(&found), "{found}");
        let most = tolerance.most().unwrap();
        assert!((750_000..=1_000_000).contains(&most), "{most}");
        let again: usize = (0..10).map(|_| send(&mut tolerance, 3_000_000, 1_000_000)).sum();
        assert_eq!(again, 0);
    }

    #[test]
    fn a_limit_that_is_gone_is_forgotten() {
        let mut tolerance = Tolerance::default();
        send(&mut tolerance, 3_000_000, 10_000);
        for _ in 0..300 {
            send(&mut tolerance, 3_000_000, usize::MAX);
        }
        assert_eq!(tolerance.most(), None);
    }
}
