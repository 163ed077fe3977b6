//! Credentials that stand under no name: behind their scheme, in URLs, behind a flag of `curl`.

use super::bytes::{after_escape, before, byte, is_mixed, is_space, run, run_back};
use super::looks::{is_drawn, is_lot};
use super::named::{NEAR, is_basic, is_cut};
use super::placeholders::is_placeholder;

/// Parameters of a challenge, which says how to ask and holds no secret.
const CHALLENGE: &[&[u8]] = &[
    b"realm",
    b"resource_metadata",
    b"error",
    b"error_description",
    b"error_uri",
    b"scope",
    b"authorization_uri",
    b"charset",
    b"nonce",
    b"resource",
    b"format",
    b"title",
];
/// The value of a `Bearer` or `Basic` that ends at `end`: only what looks like one, for both are also words. Otherwise
/// up to where there is none.
pub(super) fn credential(bytes: &[u8], start: usize, end: usize) -> Result<(usize, usize), usize> {
    let previous = before(bytes, start, 1);
    if (previous.is_ascii_alphanumeric() || previous == b'_') && !after_escape(bytes, start) {
        return Err(end);
    }
    let from = if bytes.get(end..end + 3) == Some(b"%20") {
        end + 3
    } else if byte(bytes, end) == b'\\' {
        // As a shell has it without quotes, also in a string.
        let slashes = run(bytes, end, 8, |byte| byte == b'\\');
        if byte(bytes, slashes) == b' ' {
            slashes + 1
        } else {
            end
        }
    } else {
        run(bytes, end, usize::MAX, |byte| is_space(byte) || byte == b'+')
    };
    if from == end {
        return Err(end);
    }
    let to = run(bytes, from, usize::MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"._~+/=%-".contains(&byte)
    });
    let text = bytes.get(from..to).unwrap_or_default();
    // A challenge: `Bearer resource_metadata="…"`.
    let name = run(bytes, from, NEAR, |byte| {
        byte.is_ascii_lowercase() || byte == b'_'
    });
    if byte(bytes, name) == b'=' && CHALLENGE.contains(&bytes.get(from..name).unwrap_or_default()) {
        return Err(name);
    }
    if !(is_mixed(text) || text.ends_with(b"=")) {
        return Err(to);
    }
    // `a basic HTTP/1.1 client`
    let is_basic = || {
        is_basic(text)
            || text.ends_with(b"=")
            || (text.iter().any(u8::is_ascii_digit) && !text.contains(&b'.'))
    };
    let looks = !byte(bytes, start).eq_ignore_ascii_case(&b'b')
        || !byte(bytes, start + 1).eq_ignore_ascii_case(&b'a')
        || is_basic();
    if text.len() >= 8 && looks && !is_cut(text) && !goes_on(bytes, to) {
        Ok((from, to))
    } else {
        Err(from)
    }
}

/// Whether an ellipsis follows: the writer has cut it.
fn goes_on(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 3) == Some("…".as_bytes())
}

/// The password of a URL whose `://` ends at `from`.
pub(super) fn url_password(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let is = |byte: u8| !(is_space(byte) || b"/?#\"'\\<>`\0".contains(&byte));
    let colon = run(bytes, from, usize::MAX, |byte| {
        is(byte) && !matches!(byte, b':' | b'@')
    });
    let user = bytes.get(from..colon)?;
    if byte(bytes, colon) == b'@' && user.len() >= 16 && is_drawn(user) {
        // A token in the place of a user.
        return (!is_blank(user)).then_some((from, colon));
    }
    if byte(bytes, colon) != b':' {
        return None;
    }
    let end = run(bytes, colon, usize::MAX, is);
    // The last one: passwords are not always encoded as they should be.
    let at = run_back(bytes, end, end - colon, |byte| byte != b'@').checked_sub(1)?;
    if byte(bytes, at) != b'@' && end == bytes.len() {
        // The text was cut: no port and no tag of an image has such characters.
        let rest = bytes.get(colon + 1..end)?;
        let is_odd = |byte: &u8| {
            byte.is_ascii_punctuation()
                && !matches!(
                    byte,
                    b'.' | b'-' | b'_' | b':' | b'%' | b',' | b')' | b']' | b'}' | b'*' | b'|' | b'$' | b'{'
                )
        };
        return rest
            .iter()
            .any(is_odd)
            .then_some((colon + 1, end))
            .filter(|_| !is_cut(rest));
    }
    if byte(bytes, at) != b'@' {
        return (!user.starts_with(b"[") && matches!(byte(bytes, end), b'/' | b'?' | b'#'))
            .then(|| unencoded(bytes, colon + 1))
            .flatten();
    }
    let password = bytes.get(colon + 1..at).filter(|password| !password.is_empty())?;
    (!is_blank(password)).then_some((colon + 1, at))
}

/// Whether there is no password in the place of one: it is cut already, or only says that one belongs there.
fn is_blank(text: &[u8]) -> bool {
    is_cut(text) || std::str::from_utf8(text).is_ok_and(is_placeholder)
}

/// The password of a URL that begins at `from`, behind the user's name, where `/`, `?` and `#` in it are not encoded as
/// they should be: it looks drawn by lot, and what follows like a host.
fn unencoded(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    /// Longer than passwords that people write so.
    const LONGEST: usize = 100;
    let end = run(bytes, from, LONGEST, |byte| {
        !(is_space(byte) || b"\"'\\<>`@\0".contains(&byte))
    });
    let port = run(bytes, from, LONGEST, |byte| byte.is_ascii_digit());
    let host = run(bytes, end + 1, LONGEST, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
    });
    let password = bytes.get(from..end)?;
    let is_port = port > from && matches!(byte(bytes, port), b'/' | b'?' | b'#');
    (byte(bytes, end) == b'@'
        && host > end + 1
        && !is_port
        && matches!(
            byte(bytes, host),
            0 | b'/' | b':' | b'?' | b' ' | b'"' | b'\'' | b'\\' | b'\n'
        )
        && is_lot(password))
    .then_some((from, end))
}

/// The password before the host of a database that begins at `start`, or behind `:thin:`, which ends at `end`:
/// `user:…@tcp(…)`, `user/…@//…`, `jdbc:oracle:thin:user/…@…`.
pub(super) fn dsn_password(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let is = |byte: u8| !(is_space(byte) || b"\"'\\<>`@\0".contains(&byte));
    let is_user = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let (from, to) = if byte(bytes, start) == b':' {
        let to = run(bytes, end, NEAR, is);
        (run(bytes, end, to - end, is_user), to)
    } else {
        let from = run_back(bytes, start, NEAR, is);
        (run(bytes, from, start - from, is_user), start)
    };
    let password = bytes.get(from + 1..to)?;
    let is_one = byte(bytes, to) == b'@' && matches!(byte(bytes, from), b':' | b'/') && from > 0;
    let stays = is_blank(password);
    // Packages of npm have an `@` in their paths, too.
    let sure = byte(bytes, from) == b':' || is_lot(password);
    (is_one && sure && !stays && password.len() >= 3 && !password.contains(&b'/')).then_some((from + 1, to))
}

/// The password that `curl` is given behind `-u` or `--user`, which ends at `end`.
pub(super) fn curl_user(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let before = bytes.get(start.saturating_sub(NEAR)..start)?;
    #[cfg(test)]
    super::bytes::looks::add(before.len());
    if !before.windows(4).any(|window| window == b"curl") {
        return None;
    }
    let from = run(bytes, end, 4, |byte| {
        matches!(byte, b' ' | b'\t' | b'=' | b'"' | b'\'' | b'\\')
    });
    let to = run(bytes, from, NEAR, |byte| {
        !(is_space(byte) || b"\"'\\".contains(&byte))
    });
    let colon = run(bytes, from, to - from, |byte| byte != b':');
    let password = bytes.get(colon + 1..to)?;
    let stays = is_blank(password);
    (!stays && password.len() >= 3 && !password.starts_with(b"//")).then_some((colon + 1, to))
}

/// The signature of a signed URL whose name ends at `end`; otherwise up to where there is none.
pub(super) fn signature(bytes: &[u8], start: usize, end: usize) -> Result<(usize, usize), usize> {
    let previous = before(bytes, start, 1);
    if (previous.is_ascii_alphanumeric() || previous == b'_') && !after_escape(bytes, start) {
        return Err(end);
    }
    let to = run(bytes, end, usize::MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"%+/=_-".contains(&byte)
    });
    let text = bytes.get(end..to).unwrap_or_default();
    if text.len() >= 16 && is_mixed(text) {
        Ok((end, to))
    } else {
        Err(to)
    }
}
