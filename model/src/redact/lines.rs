//! Passwords in lines of files that programs keep them in: `.pgpass` and `.netrc`.

use super::bytes::{after_escape, before, byte, is_space, run, run_back};
use super::looks::is_harmless;
use super::named::{NEAR, is_cut};

/// Ports, as `.pgpass` has them between two colons, by which a line of it is known.
pub(super) const PORTS: &[&str] = &[
    ":5432:", ":5433:", ":5434:", ":5435:", ":5439:", ":6432:", ":6543:", ":*:",
];

/// How long fields are at most.
const LONGEST: usize = 64;

/// The password of the line `host:port:database:user:password` whose port is from `start` to `end`, with its colons.
pub(super) fn pgpass(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*\\:@".contains(&byte);
    let from = run_back(bytes, start, LONGEST, is_host);
    // As an escape the end of a line is two characters.
    let escaped = byte(bytes, from) == b'\\' && byte(bytes, from + 1) == b'n';
    let host = bytes.get(if escaped { from + 2 } else { from }..start)?;
    let begins = from == 0 || escaped || matches!(before(bytes, from, 1), b'\n' | b'\r' | b'"' | b'\'');
    if !begins || host.is_empty() {
        return None;
    }
    // A colon or a backslash in a field stands behind a backslash.
    let field = |from: usize, ends: &[u8]| {
        let mut at = from;
        loop {
            at = run(bytes, at, LONGEST, |byte| {
                !(is_space(byte) || byte == b'\\' || byte == b'"' || byte == b'\'' || ends.contains(&byte))
            });
            if byte(bytes, at) != b'\\' || !matches!(byte(bytes, at + 1), b':' | b'\\') || at > from + LONGEST
            {
                return at;
            }
            at += 2;
        }
    };
    let database = field(end, b":");
    let user = field(database + 1, b":");
    let password = user + 1;
    let to = field(password, b"");
    let is_line = database > end
        && byte(bytes, database) == b':'
        && user > database + 1
        && byte(bytes, user) == b':'
        && matches!(byte(bytes, to), 0 | b'\n' | b'\r' | b'"' | b'\'' | b'\\');
    let text = bytes.get(password..to)?;
    (is_line && text.len() >= 3 && !is_cut(text) && !is_harmless(text)).then_some((password, to))
}

/// Whether a line of `.netrc` may begin at `at`.
pub(super) fn begins(bytes: &[u8], at: usize) -> bool {
    at == 0
        || is_space(before(bytes, at, 1))
        || matches!(before(bytes, at, 1), b'"' | b'\'')
        || after_escape(bytes, at)
}

/// Whether `password` from `start` to `end` is the word of `.netrc` that a password follows: `machine … login … password …`,
/// in one line or several.
pub(super) fn is_netrc(bytes: &[u8], start: usize, end: usize) -> bool {
    let from = start.saturating_sub(NEAR);
    let near = bytes.get(from..start).unwrap_or_default();
    #[cfg(test)]
    super::bytes::looks::add(near.len());
    if !near.last().copied().is_some_and(is_space) {
        return false;
    }
    let mut words = near
        .rsplit(|byte| is_space(*byte) || matches!(byte, b'"' | b'\''))
        .filter(|word| !word.is_empty());
    let value = words.next();
    let is_head = |word: Option<&[u8]>| word == Some(b"machine") || word == Some(b"default");
    // `machine x password … login …`
    let first = words.clone().next();
    if first == Some(b"machine") || value == Some(b"default") {
        let password = run(bytes, end, NEAR, is_space);
        let behind = run(bytes, password, NEAR, |byte| !is_space(byte));
        let next = run(bytes, behind, NEAR, is_space);
        return bytes.get(next..next + 6) == Some(b"login ");
    }
    if first == Some(b"account") {
        words.nth(1);
    }
    let is_login = words.next() == Some(b"login");
    let machine = words.next();
    is_login && (is_head(machine) || is_head(words.next()))
}
