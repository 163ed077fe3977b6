//! Places to cut, and a text without them.

use super::REDACTED;
use super::rules::{Found, PRIVATE_KEY};

/// A place to cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) found: Found,
    pub(super) quote: (usize, usize),
}

impl Cut {
    /// Whether the operator's own rule found something that may reach over the borders of a JSON value.
    pub(super) fn is_crossing(&self, text: &str) -> bool {
        matches!(
            self.found,
            Found::Pattern(_) | Found::Value(_) | Found::BuiltIn(PRIVATE_KEY)
        ) && text
            .get(self.start..self.end)
            .is_some_and(|cut| cut.contains(['"', '{', '}', '[', ']', ',', ':']))
    }
}

/// In order, overlapping ones as one. The one that begins first, of those the longest, of those the last gives its
/// name.
pub(super) fn merged(mut cuts: Vec<Cut>) -> Vec<Cut> {
    cuts.sort_by_key(|cut| (cut.start, std::cmp::Reverse(cut.end)));
    cuts.dedup_by(|next, last| {
        let overlaps = next.start < last.end;
        if overlaps {
            if (next.start, next.end) == (last.start, last.end) {
                last.found = next.found;
            }
            last.end = last.end.max(next.end);
        }
        overlaps
    });
    cuts
}

/// The text with the cuts made.
pub(super) fn apply(text: &str, cuts: &[Cut], found: &mut Vec<Found>) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut kept = 0;
    for cut in cuts {
        let quote = text.get(cut.quote.0..cut.quote.1).unwrap_or_default();
        redacted.push_str(text.get(kept..cut.start).unwrap_or_default());
        redacted.push_str(quote);
        redacted.push_str(REDACTED);
        redacted.push_str(quote);
        if text.get(cut.start..cut.end) != Some(REDACTED) {
            found.push(cut.found);
        }
        kept = cut.end;
    }
    redacted.push_str(text.get(kept..).unwrap_or_default());
    redacted
}
