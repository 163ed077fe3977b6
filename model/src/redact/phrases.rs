//! Values behind a name as people read them: an arrow, a word, a cell, marks of HTML between.

use super::bytes::{after_escape, before, byte, run, run_back};
use super::named::NEAR;
use super::private_keys::line_break;
use super::quotes::quote;

/// Marks of HTML that mean nothing for the text in them.
const TAGS: &[&[u8]] = &[
    b"b", b"i", b"p", b"a", b"em", b"tt", b"td", b"th", b"dt", b"dd", b"br", b"li", b"kbd", b"pre", b"div",
    b"code", b"span", b"font", b"strong", b"small",
];

/// Where the text begins behind marks of HTML and spaces at `at`, of which there has to be one.
pub(super) fn tagged(bytes: &[u8], at: usize) -> Option<usize> {
    /// As many as stand between the name and the value of a table.
    const MOST: usize = 6;
    let (mut next, mut found) = (at, false);
    for _ in 0..MOST {
        next = line_break(bytes, next);
        if bytes.get(next..next + 6) == Some(b"&nbsp;") {
            (next, found) = (next + 6, true);
            continue;
        }
        if byte(bytes, next) != b'<' {
            break;
        }
        let from = next + 1 + usize::from(byte(bytes, next + 1) == b'/');
        let end = run(bytes, from, 8, |byte| byte.is_ascii_alphabetic());
        let close = run(bytes, end, NEAR, |byte| !matches!(byte, b'<' | b'>' | b'\n'));
        if byte(bytes, close) != b'>' || !TAGS.contains(&bytes.get(from..end)?) {
            return None;
        }
        (next, found) = (close + 1, true);
    }
    found.then_some(next)
}

/// Where the value begins of the name from `start` to `end`, whose quote ends at `quoted`, where something else stands
/// between than an assignment: `password -> …`, `password is: …`, `Password (hidden): …`, `| Password | … |`,
/// `<td>Password</td><td>…`, `s:8:"password";s:10:"…"`.
pub(super) fn value(bytes: &[u8], start: usize, end: usize, quoted: usize) -> Option<usize> {
    let spaces = |at| run(bytes, at, 8, |byte| byte == b' ');
    let after = spaces(quoted);
    match byte(bytes, after) {
        b'-' if after > quoted && bytes.get(after..after + 3) == Some(b"-> ") => Some(spaces(after + 2)),
        // An arrow.
        0xe2 if after > quoted && bytes.get(after..after + 3) == Some("→".as_bytes()) => {
            Some(spaces(after + 3))
        }
        b'a'..=b'z' if after > end => sentence(bytes, after).or_else(|| column(bytes, start, end)),
        b'(' if after > end => {
            let close = run(bytes, after, 24, |byte| !matches!(byte, b')' | b'\n'));
            (bytes.get(close..close + 3)? == b"): ").then_some(close + 3)
        }
        b'|' => {
            let name = run_back(bytes, start, 24, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_')
            });
            // As `psql` prints a record: `password | …`.
            let end = run(bytes, after + 1, NEAR, |byte| !matches!(byte, b'\n' | b'|'));
            let is_record = matches!(before(bytes, name, 1), 0 | b'\n')
                && after > quoted
                && byte(bytes, after + 1) == b' '
                && byte(bytes, end) != b'|';
            (is_record || (before(bytes, name, 1) == b'|' && before(bytes, name, 2) != b'|'))
                .then(|| spaces(after + 1))
        }
        b'<' if after == end => {
            let is_cell = [&b"</td>"[..], b"</dt>", b"</th>", b"</b>", b"</strong>"]
                .iter()
                .any(|cell| bytes.get(after..).is_some_and(|rest| rest.starts_with(cell)));
            let text = tagged(bytes, after).filter(|_| is_cell)?;
            // `<b>Password</b>: …`
            let colon = run(bytes, text, 1, |byte| byte == b':');
            Some(spaces(colon))
        }
        b';' if quoted > end && byte(bytes, after + 1) == b's' => {
            let digits = run(bytes, after + 3, 9, |byte| byte.is_ascii_digit());
            (byte(bytes, digits) == b':')
                .then(|| quote(bytes, digits + 1).map(|_| digits + 1))
                .flatten()
        }
        _ => column(bytes, start, end),
    }
}

/// Words that may stand between a name and its value in a sentence.
const WORDS: &[&[u8]] = &[
    b"is",
    b"was",
    b"has",
    b"been",
    b"to",
    b"set",
    b"changed",
    b"reset",
    b"generated",
    b"created",
    b"provided",
    b"for",
    b"value",
    b"updated",
    b"as",
    b"given",
    b"now",
    b"used",
];

/// Where the value begins in a sentence whose words behind the name begin at `at`: `password for bob: …`, `API key
/// provided: …`, `password changed to …`.
fn sentence(bytes: &[u8], at: usize) -> Option<usize> {
    /// The most words between.
    const MOST: usize = 5;
    let mut at = at;
    let mut before: &[u8] = b"";
    for _ in 0..MOST {
        let end = run(bytes, at, 40, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'.' | b'-' | b'_' | b'\'' | b'/')
        });
        let word = bytes.get(at..end)?;
        // Whose it is.
        if !WORDS.contains(&word) && before != b"for" {
            return None;
        }
        if byte(bytes, end) == b':' && byte(bytes, end + 1) == b' ' {
            return Some(end + 2);
        }
        if end == at || byte(bytes, end) != b' ' {
            return None;
        }
        before = word;
        at = end + 1;
        let ends = matches!(before, b"is" | b"to" | b"value" | b"was");
        let next = run(bytes, at, 20, |byte| byte.is_ascii_lowercase());
        if ends && (next == at || !matches!(byte(bytes, next), b' ' | b':')) {
            return Some(at);
        }
    }
    None
}

/// Where the value begins that stands in the second column of a line whose first is a name, or behind the number of a
/// network device: `DB_PASSWORD      …`, `enable secret 5 …`, `username bob password 0 …`.
fn column(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let value = run(bytes, end, NEAR, |byte| matches!(byte, b' ' | b'\t'));
    if value == end {
        return None;
    }
    let name = run_back(bytes, start, 64, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
    });
    let begins = name == 0 || matches!(byte(bytes, name - 1), b'\n' | b'"') || after_escape(bytes, name);
    if begins && (value - end > 1 || byte(bytes, end) == b'\t') {
        return Some(value);
    }
    let line = bytes.get(name.saturating_sub(24)..name)?;
    let words = line
        .rsplit(|byte| matches!(byte, b'\n' | b'"'))
        .next()?
        .trim_ascii();
    if !(words.ends_with(b"enable") || words.starts_with(b"username ")) {
        return None;
    }
    let digit = run(bytes, value, 1, |byte| byte.is_ascii_digit());
    Some(if byte(bytes, digit) == b' ' {
        digit + 1
    } else {
        value
    })
}
