//! Changes of a text.

use std::borrow::Cow;
use std::cmp::Reverse;

/// A part of a text, and what replaces it.
pub(super) struct Edit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: Cow<'static, str>,
}

/// The text with the changes made; `None` when there are none.
pub(super) fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|edit| (edit.start, Reverse(edit.end)));
    let mut changed = String::with_capacity(text.len());
    let mut kept = 0;
    for edit in &edits {
        // One inside another: the whole is gone already.
        if edit.start < kept {
            continue;
        }
        changed.push_str(text.get(kept..edit.start).unwrap_or_default());
        changed.push_str(&edit.text);
        kept = edit.end;
    }
    changed.push_str(text.get(kept..).unwrap_or_default());
    Some(changed)
}
