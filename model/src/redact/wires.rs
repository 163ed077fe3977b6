//! Passwords in what programs say to one another: logins of protocols, pipes into a command, files of cookies.

use super::bytes::{before, byte, is_space, run, run_back};
use super::looks::{is_harmless, is_lot};
use super::named::{NEAR, is_cut};

/// Whether a text may be a password here.
fn is_open(text: &[u8]) -> bool {
    text.len() >= 6 && !is_cut(text) && !is_harmless(text) && !text.starts_with(b"[redacted")
}

/// Where the line begins that `at` is in, or the text in quotes; `None` if it is far away.
fn line_start(bytes: &[u8], at: usize) -> Option<usize> {
    let start = run_back(bytes, at, NEAR, |byte| !matches!(byte, b'\n' | b'"'));
    (start == 0 || matches!(before(bytes, start, 1), b'\n' | b'"')).then_some(start)
}

/// The last word of the line that goes on at `at`, if it is all that stands there.
fn last_word(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let end = run(bytes, at, NEAR, |byte| !is_space(byte) && byte != b'"');
    let next = run(bytes, end, 2, |byte| byte == b'\r');
    (end > at && matches!(byte(bytes, next), 0 | b'\n' | b'"')).then_some((at, end))
}

/// The password of a line in which a client logs in, whose command is from `start` to `end`: `AUTH …`, `AUTH user …`,
/// `PASS …`, `a001 LOGIN user …`. It must look drawn by lot: others write such lines, too.
pub(super) fn login(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let command = bytes.get(start..end)?.trim_ascii();
    let tag = run_back(bytes, start, 8, |byte| byte.is_ascii_alphanumeric());
    if !matches!(before(bytes, tag, 1), 0 | b'\n' | b'"') {
        return None;
    }
    let value = match command {
        b"AUTH" | b"PASS" if tag == start => end,
        b"LOGIN" if tag < start => {
            let user = run(bytes, end, NEAR, |byte| !is_space(byte));
            user + 1
        }
        _ => return None,
    };
    let word = last_word(bytes, value).or_else(|| {
        let user = run(bytes, value, NEAR, |byte| !is_space(byte));
        (command == b"AUTH" && byte(bytes, user) == b' ').then(|| last_word(bytes, user + 1))?
    })?;
    let text = bytes.get(word.0..word.1)?;
    // The verdict of a test has a path behind it.
    let is_path = text.iter().any(|byte| matches!(byte, b'/' | b'.' | b':'));
    (is_open(text) && is_lot(text) && !is_path).then_some(word)
}

/// The text that `echo` puts into a pipe before the program at `start`, which reads a password there.
pub(super) fn piped(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let bar = run_back(bytes, start, NEAR, |byte| !matches!(byte, b'|' | b'\n' | b';')).checked_sub(1)?;
    if byte(bytes, bar) != b'|' {
        return None;
    }
    let stop = run_back(bytes, bar, 4, |byte| byte == b' ');
    let mark = before(bytes, stop, 1);
    let is_quote = matches!(mark, b'"' | b'\'');
    let to = stop - usize::from(is_quote);
    let to = run_back(bytes, to, 4, |byte| byte == b'\\');
    let from = run_back(bytes, to, NEAR, |byte| {
        !(matches!(byte, b'|' | b'\n' | b';') || (is_quote && byte == mark) || (!is_quote && is_space(byte)))
    });
    let command = bytes.get(from.saturating_sub(24)..from)?;
    let is_echo = [&b"echo"[..], b"printf"]
        .iter()
        .any(|name| command.windows(name.len()).any(|window| window == *name));
    let text = bytes.get(from..to)?;
    // `user:password` of `chpasswd`
    let colon = text.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1);
    let colon = if bytes
        .get(start..)
        .is_some_and(|rest| rest.starts_with(b"chpasswd"))
    {
        colon
    } else {
        0
    };
    (is_echo && is_open(text.get(colon..)?)).then_some((from + colon, to))
}

/// The value in a line of a file of cookies, as browsers and `curl` write it, in which a flag begins at `at`; and where the
/// line ends. Seven columns: host, flag, path, flag, time, name, value.
pub(super) fn jar(bytes: &[u8], at: usize) -> (Option<(usize, usize)>, usize) {
    /// Longer than cookies are.
    const LONG: usize = 4 << 10;
    let end = run(bytes, at, LONG, |byte| !matches!(byte, b'\n' | b'\r'));
    let found = line_start(bytes, at).and_then(|start| {
        let columns: Vec<&[u8]> = bytes.get(start..end)?.split(|byte| *byte == b'\t').collect();
        let [_, flag, path, secure, time, _, value] = columns.as_slice() else {
            return None;
        };
        let is_flag = |flag: &[u8]| matches!(flag, b"TRUE" | b"FALSE");
        let is_line = is_flag(flag)
            && is_flag(secure)
            && path.starts_with(b"/")
            && !time.is_empty()
            && time.iter().all(u8::is_ascii_digit);
        (is_line && is_open(value)).then_some((end - value.len(), end))
    });
    (found, end)
}
