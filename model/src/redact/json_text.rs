//! Borders in JSON: where strings, objects and lists end, and whether a text is JSON at all.

use serde::de::IgnoredAny;

use super::bytes::byte;

/// Whether a text is JSON.
pub(super) fn is_valid(text: &str) -> bool {
    // Most that is not says so with its first byte.
    let start = text.trim_start().as_bytes().first().copied().unwrap_or_default();
    matches!(
        start,
        b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'
    ) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether there may be strings with escapes in a text.
pub(super) fn has_escapes(text: &str) -> bool {
    let bytes = text.as_bytes();
    #[cfg(test)]
    super::bytes::looks::add(bytes.len());
    memchr::memchr(b'"', bytes).is_some()
        && memchr::memchr_iter(b'\\', bytes)
            .any(|at| matches!(byte(bytes, at + 1), b'n' | b't' | b'r' | b'"' | b'u'))
}

/// Where the string that begins at `at` ends.
pub(super) fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match byte(bytes, at) {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the object or list that begins at `at` ends.
pub(super) fn structure_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        match byte(bytes, at) {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}
