//! Private keys.

use super::bytes::{before, byte, is_space, run, run_back};

/// A private key in PEM or PGP armour that begins at `start`; without its last line it reaches as far as it can.
pub(super) fn find(bytes: &[u8], start: usize, from: usize) -> Option<(usize, usize)> {
    let label = run(bytes, from, 60, |byte| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
    });
    let name = bytes.get(from..label)?;
    let is_private = name.ends_with(b"PRIVATE KEY") || name.ends_with(b"PRIVATE KEY BLOCK");
    if !is_private || bytes.get(label..label + 5) != Some(b"-----") {
        return None;
    }
    // Text of any kind but quotes: a string that holds the key ends there.
    let is = |byte: u8| byte.is_ascii_alphanumeric() || is_space(byte) || b"+/=:,.()<>@_\\%".contains(&byte);
    let mut end = label + 5;
    loop {
        end = run(bytes, end, usize::MAX, is);
        if byte(bytes, end) != b'-' {
            match next_line(bytes, end) {
                Some(line) => {
                    end = line;
                    continue;
                }
                None => break,
            }
        }
        let dashes = run(bytes, end, usize::MAX, |byte| byte == b'-');
        if dashes - end >= 5 {
            let last = bytes.get(dashes..dashes + 4) == Some(b"END ");
            if !last {
                break;
            }
            let label = run(bytes, dashes, 64, |byte| {
                byte.is_ascii_uppercase() || byte == b' '
            });
            end = run(bytes, label, 5, |byte| byte == b'-');
            return Some((start, end));
        }
        end = dashes;
    }
    // A backslash belongs to the quote behind it; white space to what follows.
    let end = run_back(bytes, end, usize::MAX, |byte| byte == b'\\' || is_space(byte));
    Some((start, end.max(label + 5)))
}

/// Where the next line of a key begins that is written as a list of texts: `"MIIE…",` and a line further `"…"`.
fn next_line(bytes: &[u8], at: usize) -> Option<usize> {
    let is_mark = |byte: u8| is_space(byte) || b"\"'`,+\\[]();".contains(&byte);
    let escaped = |at: usize| byte(bytes, at) == b'n' && before(bytes, at, 1) == b'\\';
    let mut next = run(bytes, at, 64, is_mark);
    while escaped(next) {
        next = run(bytes, next + 1, 64, is_mark);
    }
    let line = run(bytes, next, 20, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
    });
    (next > at && (line - next == 20 || bytes.get(next..next + 9) == Some(b"-----END "))).then_some(next)
}
