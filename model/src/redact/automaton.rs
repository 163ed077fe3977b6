//! Finds where any of many texts stands, capitals or not.
//!
//! Each step of an automaton waits for the one before, so one that reads four parts of a text in turn is nearly four
//! times as fast.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, BuildError, MatchKind, StartKind};

/// How many parts are read in turn.
const LANES: usize = 4;
/// Bytes of each part: what is found in a part is held until all four are read.
const LANE: usize = 4096;
/// Bytes from which on it is worth it.
const WORTH: usize = 1024;

/// Texts to be found.
#[derive(Debug)]
pub(super) struct Automaton {
    table: DFA,
    start: StateID,
}

impl Automaton {
    /// For these texts.
    pub(super) fn new(texts: &[String]) -> Result<Self, BuildError> {
        let table = DFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(texts)?;
        // It was built to start anywhere; the first state would find nothing.
        let start = table.start_state(Anchored::No).unwrap_or(StateID::ZERO);
        Ok(Self { table, start })
    }

    /// Tells all that is found, also what overlaps, in order of where it ends: which text, from, to.
    pub(super) fn find(&self, bytes: &[u8], mut found: impl FnMut(usize, usize, usize)) {
        let mut hits: [Vec<(usize, StateID)>; LANES] = Default::default();
        let mut at = 0;
        let mut state = self.start;
        while bytes.len() - at >= WORTH {
            let lane = ((bytes.len() - at) / LANES).min(LANE);
            let part = |number: usize| {
                bytes
                    .get(at + number * lane..at + (number + 1) * lane)
                    .unwrap_or_default()
            };
            let mut states = [0, 1, 2, 3].map(|number| match number {
                0 => state,
                number => self.state_at(bytes, at + number * lane),
            });
            let parts = part(0).iter().zip(part(1)).zip(part(2)).zip(part(3));
            for (offset, (((a, b), c), d)) in parts.enumerate() {
                let [s, t, u, v] = states;
                states = [
                    self.next(s, *a),
                    self.next(t, *b),
                    self.next(u, *c),
                    self.next(v, *d),
                ];
                if states.iter().any(|state| self.table.is_special(*state)) {
                    for (number, (hits, state)) in hits.iter_mut().zip(states).enumerate() {
                        if self.table.is_match(state) {
                            hits.push((at + number * lane + offset + 1, state));
                        }
                    }
                }
            }
            for (end, state) in hits.iter_mut().flat_map(|hits| hits.drain(..)) {
                self.tell(state, end, &mut found);
            }
            at += LANES * lane;
            state = states[LANES - 1];
        }
        for (offset, byte) in bytes.get(at..).unwrap_or_default().iter().enumerate() {
            state = self.next(state, *byte);
            if self.table.is_special(state) && self.table.is_match(state) {
                self.tell(state, at + offset + 1, &mut found);
            }
        }
    }

    fn next(&self, state: StateID, byte: u8) -> StateID {
        self.table.next_state(Anchored::No, state, byte)
    }

    /// The state before `at`: the longest of the texts decides how far one has to go back for it.
    fn state_at(&self, bytes: &[u8], at: usize) -> StateID {
        let back = bytes
            .get(at.saturating_sub(self.table.max_pattern_len())..at)
            .unwrap_or_default();
        back.iter()
            .fold(self.start, |state, byte| self.next(state, *byte))
    }

    fn tell(&self, state: StateID, end: usize, found: &mut impl FnMut(usize, usize, usize)) {
        for index in 0..self.table.match_len(state) {
            let text = self.table.match_pattern(state, index);
            found(text.as_usize(), end - self.table.pattern_len(text), end);
        }
    }
}
