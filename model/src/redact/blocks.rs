//! Values of names in lines that belong together: YAML.

use super::bytes::{before, byte, is_space, run, run_back};
use super::joints::{Begin, Joint};
use super::looks::is_lot;
use super::named::NEAR;

/// Where a value of YAML begins behind its anchor and its tag: `&db x`, `!!str x`.
pub(super) fn untagged(bytes: &[u8], colon: usize, value: usize) -> usize {
    let mut at = value;
    // A tag that another program resolves: `!secret x` is a name as often as it is a secret.
    if value > colon && byte(bytes, at) == b'!' && byte(bytes, at + 1).is_ascii_alphabetic() {
        let tag = run(bytes, at + 1, 40, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/')
        });
        let next = run(bytes, tag, 4, |byte| byte == b' ');
        let end = run(bytes, next, NEAR, |byte| !is_space(byte));
        let is_one = next > tag && is_lot(bytes.get(next..end).unwrap_or_default());
        return if is_one { next } else { value };
    }
    // Without a gap they are part of the value.
    while at > colon && (byte(bytes, at) == b'&' || bytes.get(at..at + 2) == Some(b"!!")) {
        let word = run(bytes, at, 40, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'&' | b'!' | b'_' | b'-' | b'/' | b'.')
        });
        let next = run(bytes, word, 4, |byte| byte == b' ');
        if next == word || word < at + 3 {
            break;
        }
        at = next;
    }
    at
}

/// `- name: PASSWORD` and `value: …` in the next line, as YAML has environments.
pub(super) fn next_line(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let line = run(bytes, end, NEAR, |byte| matches!(byte, b' ' | b'\t' | b'\r'));
    if byte(bytes, line) != b'\n' {
        return None;
    }
    let word = run_back(bytes, start, NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'"' | b'\'' | b'.')
    });
    // As R prints a member of a list.
    if before(bytes, word, 1) == b'$' && bytes.get(line + 1..line + 6) == Some(b"[1] \"") {
        return Some(line + 5);
    }
    // As pydantic says what is wrong with a value.
    if matches!(before(bytes, word, 1), 0 | b'\n') && bytes.get(line + 1..line + 3) == Some(b"  ") {
        let end = run(bytes, line + 1, NEAR, |byte| byte != b'\n');
        let told = bytes.get(line + 1..end)?;
        #[cfg(test)]
        super::bytes::looks::add(told.len());
        return told
            .windows(12)
            .position(|window| window == b"input_value=")
            .map(|at| line + 1 + at + 12);
    }
    if !bytes
        .get(..word)
        .unwrap_or_default()
        .trim_ascii_end()
        .ends_with(b"name:")
    {
        return None;
    }
    let next = run(bytes, line, NEAR, is_space);
    let rest = bytes.get(next..)?.strip_prefix(b"value:")?;
    Some(run(bytes, bytes.len() - rest.len(), NEAR, |byte| byte == b' '))
}

/// The lines of a block of YAML whose `|` or `>` stands behind `at`, unless they were read with the block around it.
pub(super) fn block(bytes: &[u8], start: usize, at: usize, covered: usize) -> Option<Begin> {
    let mark = run(bytes, at, NEAR, |byte| byte == b' ');
    if mark == at || !matches!(byte(bytes, mark), b'|' | b'>') {
        return None;
    }
    let line = run(bytes, mark + 1, NEAR, |byte| {
        matches!(byte, b'-' | b'+' | b' ' | b'\r') || byte.is_ascii_digit()
    });
    let from = run(bytes, line + 1, usize::MAX, is_space);
    if byte(bytes, line) != b'\n' || from < covered {
        return None;
    }
    let begin = run_back(bytes, start, NEAR, |byte| byte != b'\n');
    let indent = |at: usize| run(bytes, at, NEAR, |byte| matches!(byte, b' ' | b'-')) - at;
    let outer = indent(begin);
    let (mut end, mut next) = (line, line + 1);
    while next < bytes.len() {
        let content = next + run(bytes, next, NEAR, |byte| byte == b' ') - next;
        let stop = run(bytes, content, usize::MAX, |byte| byte != b'\n');
        let is_empty = bytes
            .get(content..stop)
            .unwrap_or_default()
            .trim_ascii()
            .is_empty();
        if !is_empty && content - next <= outer {
            break;
        }
        if !is_empty {
            end = stop;
        }
        next = stop + 1;
    }
    (end > from).then_some(Begin {
        at: from,
        joint: Joint::Known,
        quote: (0, 0),
        end: Some(end),
    })
}
