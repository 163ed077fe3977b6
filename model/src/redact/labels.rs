//! Fields of log lines whose names stand in other fields, as CEF and LEEF have them: `cs1Label=password cs1=…`.

use std::collections::HashMap;

use super::bytes::{before, byte, run, run_back};
use super::named::is_secret_value;
use super::names::Kind;

/// The end of the name of a field that holds another's name.
const LABEL: &str = "Label";
/// The most fields of a line that are remembered.
const MOST: usize = 256;

/// Tells the secrets, in one walk over the lines. `kind` is asked for the kind of a name.
pub(super) fn find(text: &str, kind: impl Fn(&str) -> Option<Kind>, mut found: impl FnMut(usize, usize)) {
    let mut values = HashMap::new();
    let mut labels = Vec::new();
    let mut tell = |values: &mut HashMap<&str, (usize, usize)>, labels: &mut Vec<(&str, Kind)>| {
        for (name, kind) in labels.drain(..) {
            if let Some((from, to)) = values.get(name).copied()
                && is_secret_value(kind, text.get(from..to).unwrap_or_default())
            {
                found(from, to);
            }
        }
        values.clear();
    };
    let bytes = text.as_bytes();
    let mut at = 0;
    #[cfg(test)]
    super::bytes::looks::add(text.len());
    for (place, character) in text.char_indices() {
        match character {
            '\n' => tell(&mut values, &mut labels),
            // In a string of JSON it is escaped.
            'n' if before(bytes, place, 1) == b'\\' => tell(&mut values, &mut labels),
            '=' if place >= at => {
                let from = run_back(bytes, place, 48, |byte| byte.is_ascii_alphanumeric());
                let to = end(bytes, place + 1);
                at = to;
                let (name, value) = (text.get(from..place), text.get(place + 1..to));
                let (Some(name), Some(value)) = (name.filter(|name| !name.is_empty()), value) else {
                    continue;
                };
                if let Some(labelled) = name.strip_suffix(LABEL).filter(|name| !name.is_empty()) {
                    labels.extend(kind(value).map(|kind| (labelled, kind)));
                } else if values.len() < MOST {
                    values.insert(name, (place + 1, to));
                }
            }
            _ => {}
        }
    }
    tell(&mut values, &mut labels);
}

/// Where the value at `at` ends: values with gaps are no secrets.
fn end(bytes: &[u8], at: usize) -> usize {
    let is = |byte: u8| !(byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\\' | b'|' | b'^'));
    run(bytes, at, usize::MAX, is)
}

/// Whether what begins at `start` and ends at `end` is such a name, and its `=`.
pub(super) fn is_label(bytes: &[u8], start: usize, end: usize) -> bool {
    bytes.get(start..start + LABEL.len()) == Some(LABEL.as_bytes())
        && before(bytes, start, 1).is_ascii_alphanumeric()
        && !matches!(byte(bytes, end), b'"' | b'\'' | b' ')
}
