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
        // The mark behind the number of a line, as tools print files.
        if let Some(mark) = line_mark(bytes, end) {
            end = mark;
            continue;
        }
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
            return is_key(bytes, from, end).then_some((start, end));
        }
        end = dashes;
    }
    // A backslash belongs to the quote behind it; white space to what follows.
    // Its lines may come one by one.
    let goes_on = end >= bytes.len();
    let end = run_back(bytes, end, usize::MAX, |byte| byte == b'\\' || is_space(byte));
    let end = end.max(label + 5);
    (goes_on || is_key(bytes, from, end)).then_some((start, end))
}

/// Whether a text begins as private keys do and holds nothing of one, as manuals write it.
pub(super) fn is_sample(text: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    text.starts_with(BEGIN) && !is_key(text, BEGIN.len(), text.len())
}

/// Whether there is anything of a key behind the label from `from` on: manuals write `XXXX…`, or nothing.
fn is_key(bytes: &[u8], from: usize, end: usize) -> bool {
    /// A few letters of a key are shown as a sample.
    const SHORTEST: usize = 6;
    /// So many letters are not the same one repeated.
    const LETTERS: usize = 3;
    let label = run(bytes, from, 60, |byte| byte != b'-');
    let mut at = label;
    while at < end {
        let line = run(bytes, at, end - at, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
        });
        // The letter behind a backslash is an end of a line.
        let escaped = usize::from(before(bytes, at, 1) == b'\\');
        let text = bytes.get(at + escaped..line).unwrap_or_default();
        if text == b"END" {
            return false;
        }
        if text.len() >= SHORTEST {
            let mut letters: Vec<u8> = text.iter().take(80).copied().collect();
            letters.sort_unstable();
            letters.dedup();
            if letters.len() >= LETTERS {
                return true;
            }
        }
        at = line.max(at) + 1;
    }
    false
}

/// Behind the arrow or the bar that follows the number of a line.
fn line_mark(bytes: &[u8], at: usize) -> Option<usize> {
    let numbered = before(bytes, at, 1).is_ascii_digit() || before(bytes, at, 1) == b' ';
    let mark = ["→".as_bytes(), "│".as_bytes(), b"|"]
        .into_iter()
        .find(|mark| bytes.get(at..).is_some_and(|rest| rest.starts_with(mark)))?;
    numbered.then_some(at + mark.len())
}

/// The lines of a private key of PuTTY, whose number stands behind `Private-Lines: `, at `at`.
pub(super) fn putty(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    /// The most lines of a key, and how long each is.
    const MOST: usize = 400;
    const LONGEST: usize = 80;
    let digits = run(bytes, at, 4, |byte| byte.is_ascii_digit());
    let count = std::str::from_utf8(bytes.get(at..digits)?)
        .ok()?
        .parse::<usize>()
        .ok()?;
    let first = line_break(bytes, digits);
    let (mut end, mut next) = (first, first);
    for _ in 0..count.min(MOST) {
        let line = run(bytes, next, LONGEST, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
        });
        if line == next || byte(bytes, line) == b'-' {
            break;
        }
        end = line;
        next = line_break(bytes, line);
        if next == line {
            break;
        }
    }
    (end > first && first > digits).then_some((first, end))
}

/// Behind ends of lines at `at`, also escaped.
pub(super) fn line_break(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    loop {
        let next = run(bytes, at, 4, is_space);
        let slashes = run(bytes, next, 8, |byte| byte == b'\\');
        if slashes > next && matches!(byte(bytes, slashes), b'n' | b'r') {
            at = slashes + 1;
        } else if next > at {
            at = next;
        } else {
            return at;
        }
    }
}

/// A private key as `ssh.com` writes it, whose label begins at `from`.
pub(super) fn ssh2(bytes: &[u8], start: usize, from: usize) -> Option<(usize, usize)> {
    let label = run(bytes, from, 60, |byte| byte.is_ascii_uppercase() || byte == b' ');
    if !bytes.get(from..label)?.trim_ascii_end().ends_with(b"PRIVATE KEY") {
        return None;
    }
    let mut end = run(bytes, label, 4, |byte| byte == b'-');
    let is = |byte: u8| !matches!(byte, b'-' | b'"' | b'\'' | b'`' | b'{' | b'}');
    loop {
        end = run(bytes, end, usize::MAX, is);
        let dashes = run(bytes, end, 8, |byte| byte == b'-');
        if dashes == end {
            break;
        }
        if dashes - end >= 4 {
            let word = run(bytes, dashes, 64, |byte| {
                byte.is_ascii_alphanumeric() || byte == b' '
            });
            if bytes
                .get(dashes..word)
                .is_some_and(|label| label.starts_with(b" END "))
            {
                end = run(bytes, word, 4, |byte| byte == b'-');
            }
            break;
        }
        end = dashes;
    }
    let end = run_back(bytes, end, end - start, |byte| byte == b'\\' || is_space(byte));
    Some((start, end.max(label)))
}

/// A private key in PEM that is encoded in base64 as a whole and begins at `start`.
pub(super) fn encoded(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    /// As much as holds the first line.
    const LABEL: usize = 48;
    let decoded = STANDARD.decode(bytes.get(start..start + LABEL)?).ok()?;
    if !decoded.windows(11).any(|window| window == b"PRIVATE KEY") {
        return None;
    }
    let is = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut end = run(bytes, start, usize::MAX, is);
    // In lines, as encoders for mail and shells write it.
    loop {
        let next = line_break(bytes, end);
        let line = run(bytes, next, usize::MAX, is);
        let last = before(bytes, line, 1) == b'=';
        if next == end || line - next < if last { 4 } else { 40 } {
            return Some((start, end));
        }
        end = line;
    }
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
