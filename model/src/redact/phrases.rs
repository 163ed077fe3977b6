//! Values behind a name as people read them: an arrow, a word, a cell, marks of HTML between.

use super::bytes::{before, byte, run, run_back};
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
        b'i' if after > end => {
            let word = bytes.get(after..after + 3)?;
            let colon = word == b"is:" || word == b"is ";
            colon.then(|| spaces(after + 3))
        }
        b'(' if after > end => {
            let close = run(bytes, after, 24, |byte| !matches!(byte, b')' | b'\n'));
            (bytes.get(close..close + 3)? == b"): ").then_some(close + 3)
        }
        b'|' => {
            let name = run_back(bytes, start, 24, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_')
            });
            (before(bytes, name, 1) == b'|' && before(bytes, name, 2) != b'|').then(|| spaces(after + 1))
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
        _ => None,
    }
}
