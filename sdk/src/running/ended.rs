//! Announced requests that have ended: heartbeats name them for as long as the process lives.
//!
//! The end of a request is told by its span, and that may be lost on its way: a queue or a spool is full, or a collector refuses it.
//! Exporters do not tell of which span that is true. So all that ended a while ago are named, in turn and again and again: mcptap
//! takes those for lost that it still has as running. It may have been away when one was named first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use opentelemetry::trace::SpanId;

/// How long after its end a request is named, so that its span comes first where nothing is amiss.
const NAMED_AFTER: Duration = Duration::from_secs(60);
/// How many requests one heartbeat names, with 16 bytes each and their framing.
const NAMED_AT_ONCE: usize = 512;
/// How many are remembered in either list, with 24 bytes at most.
const MOST: usize = 8192;

/// The span ids of requests that have ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Oldest first.
    recent: VecDeque<(Instant, SpanId)>,
    /// Those that are named; the next ones first, and those that were named last at the end.
    named: VecDeque<SpanId>,
}

impl Ended {
    /// Adds one that has ended. Of more than [`MOST`] within [`NAMED_AFTER`] the oldest is forgotten.
    pub(super) fn add(&mut self, span: SpanId, now: Instant) {
        if self.recent.len() >= MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((now, span));
    }

    /// Those that the next heartbeat names. New ones come first.
    pub(super) fn next(&mut self, now: Instant) -> Vec<SpanId> {
        while let Some((at, span)) = self.recent.front().copied()
            && at + NAMED_AFTER <= now
        {
            self.recent.pop_front();
            self.named.push_front(span);
        }
        self.named.truncate(MOST);
        let next = self.named.len().min(NAMED_AT_ONCE);
        let next: Vec<SpanId> = self.named.drain(..next).collect();
        self.named.extend(&next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(number: usize) -> SpanId {
        SpanId::from(number as u64 + 1)
    }

    #[test]
    fn what_ended_is_named_after_a_while_and_then_again_and_again() {
        let mut ended = Ended::default();
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        ended.add(span(1), start);
        ended.add(span(2), after(30));
        assert!(ended.next(after(59)).is_empty());
        assert_eq!(ended.next(after(60)), [span(1)]);
        assert_eq!(ended.next(after(90)), [span(2), span(1)]);
        assert_eq!(ended.next(after(10_000)), [span(2), span(1)]);
    }

    #[test]
    fn many_are_named_in_turn_and_their_number_is_bounded() {
        let mut ended = Ended::default();
        let start = Instant::now();
        for number in 0..2 * MOST {
            ended.add(span(number), start);
        }
        assert_eq!(ended.recent.len(), MOST);
        let now = start + NAMED_AFTER;
        let mut named: Vec<SpanId> = Vec::new();
        for _ in 0..MOST / NAMED_AT_ONCE {
            let next = ended.next(now);
            assert_eq!(next.len(), NAMED_AT_ONCE);
            named.extend(next);
        }
        named.sort_unstable_by_key(|span| span.to_bytes());
        assert!(named.iter().copied().eq((MOST..2 * MOST).map(span)));
        // One that ends meanwhile does not wait for its turn.
        ended.add(span(0), now);
        let next = ended.next(now + NAMED_AFTER);
        assert_eq!((next.len(), next[0]), (NAMED_AT_ONCE, span(0)));
        assert_eq!(ended.named.len(), MOST);
    }
}
