//! Frames of HTTP/2 that carry nothing of a request or an answer: settings, pings, priorities, windows, and those of other
//! kinds. They cost their sender nothing, and no setting of the library bounds them. It ends connections by itself that send too
//! many resets, continuations or pieces without data.

use std::time::{Duration, Instant};

/// How many such frames may come at once. Clients send a handful.
const BURST: u64 = 4096;
/// How many may come each second besides.
const RATE: u64 = 512;
/// For so many bytes that it takes a peer may send one more: it opens its windows again, and measures by pings how fast it is.
/// The answer to a ping is shorter.
const PAID_BY: u64 = 32;

/// The client's words before its first frame.
const PREFACE: usize = 24;
/// The bytes of a frame before its payload: three of its length, then its kind.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;

/// The frames that came on a connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// How many bytes come before the next frame.
    skipped: usize,
    /// What came of its head.
    head: [u8; HEAD],
    filled: usize,
    /// How many frames that carry nothing may still come.
    left: u64,
    since: Instant,
    /// Bytes that the peer took, not yet counted.
    taken: u64,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            skipped: PREFACE,
            head: [0; HEAD],
            filled: 0,
            left: BURST,
            since: now,
            taken: 0,
        }
    }

    /// The peer took bytes.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes as u64);
    }

    /// Bytes came. Tells whether their frames may.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        self.earn(now);
        let mut may = true;
        loop {
            let (skipped, rest) = bytes.split_at(self.skipped.min(bytes.len()));
            self.skipped -= skipped.len();
            let (head, rest) = rest.split_at(rest.len().min(HEAD - self.filled));
            let room = self.head.iter_mut().skip(self.filled);
            room.zip(head).for_each(|(to, from)| *to = *from);
            self.filled += head.len();
            if self.filled < HEAD {
                return may;
            }
            bytes = rest;
            self.filled = 0;
            let [long, middle, short, kind, ..] = self.head;
            self.skipped = usize::from(long) << 16 | usize::from(middle) << 8 | usize::from(short);
            if !matches!(kind, DATA | HEADERS | RST_STREAM | CONTINUATION) {
                match self.left.checked_sub(1) {
                    Some(left) => self.left = left,
                    None => may = false,
                }
            }
        }
    }

    /// Adds what may come by now.
    fn earn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let by_time = u64::try_from(passed.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_mul(RATE)
            / 1_000_000;
        if by_time > 0 {
            self.since += Duration::from_micros(by_time.saturating_mul(1_000_000) / RATE);
        }
        let by_bytes = self.taken / PAID_BY;
        self.taken %= PAID_BY;
        self.left = self
            .left
            .saturating_add(by_time)
            .saturating_add(by_bytes)
            .min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [.., long, middle, short] = payload.to_be_bytes();
        let mut frame = vec![long, middle, short, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + payload, 6);
        frame
    }

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        assert!(frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now));
        frames
    }

    #[test]
    fn frames_are_told_in_any_pieces() {
        let now = Instant::now();
        let said = [
            frame(4, 12),
            frame(HEADERS, 300),
            frame(PING, 8),
            frame(DATA, 70_000),
            frame(8, 4),
            frame(CONTINUATION, 0),
            frame(0x77, 1),
            frame(RST_STREAM, 4),
        ]
        .concat();
        for size in [1, 2, 8, 9, 10, 17, 1000, said.len()] {
            let mut frames = begun(now);
            assert!(said.chunks(size).all(|piece| frames.read(piece, now)));
            assert_eq!(
                (BURST - frames.left, frames.skipped, frames.filled),
                (4, 0, 0),
                "{size}"
            );
        }
    }

    #[test]
    fn what_carries_something_may_come_for_ever() {
        let now = Instant::now();
        let mut frames = begun(now);
        let request = [frame(HEADERS, 50), frame(DATA, 0), frame(RST_STREAM, 4)].concat();
        assert!((0..2 * BURST).all(|_| frames.read(&request, now)));
    }

    #[test]
    fn of_what_carries_nothing_a_burst_may_come_and_then_little() {
        let now = Instant::now();
        let mut frames = begun(now);
        let ping = frame(PING, 8);
        let may = |frames: &mut Frames, now: Instant| {
            (0..100_000).take_while(|_| frames.read(&ping, now)).count() as u64
        };
        assert_eq!(may(&mut frames, now), BURST);
        let later = now + Duration::from_secs(1);
        assert_eq!(may(&mut frames, later), RATE);
        // However often it is asked.
        let often = (1..=1_000).map(|at| later + Duration::from_millis(at));
        assert_eq!(often.map(|now| may(&mut frames, now)).sum::<u64>(), RATE);
        assert_eq!(may(&mut frames, later + Duration::from_secs(3_600)), BURST);
    }

    #[test]
    fn whoever_takes_answers_may_say_so() {
        let now = Instant::now();
        let mut frames = begun(now);
        let window = frame(8, 4);
        // Two windows for each small event, such as are sent for long.
        let event = 100;
        assert!((0..10 * BURST).all(|_| {
            frames.took(event);
            frames.read(&window, now) && frames.read(&window, now)
        }));
        // An answer to each ping pays for no more of them.
        let ping = frame(PING, 8);
        let answered = (0..10 * BURST).take_while(|_| {
            frames.took(17);
            frames.read(&ping, now)
        });
        assert!(answered.count() as u64 <= 3 * BURST);
    }
}
