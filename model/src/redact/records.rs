//! A name and its value in two fields of one record, whichever comes first: YAML, XML, and what debuggers print. And
//! cookies, whose record says what it is.

use super::bytes::{before, byte, is_space, run, run_back};
use super::joints::{Begin, Joint};
use super::named::NEAR;
use super::pairs;
use super::private_keys::line_break;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The last word of the label that ends at `end`, and where the label begins: of `param-name` it is `name`.
fn label(bytes: &[u8], end: usize) -> (&str, usize) {
    let word = run_back(bytes, end, 24, is_word);
    let whole = run_back(bytes, word, 24, |byte| {
        is_word(byte) || matches!(byte, b'-' | b':')
    });
    let text = bytes.get(word..end).unwrap_or_default();
    (std::str::from_utf8(text).unwrap_or_default(), whole)
}

/// How far records were read, and the value before that place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    to: usize,
    found: Option<(usize, usize)>,
}

/// How far before a name its value begins at most.
const FAR: usize = 4 << 10;

/// The value of the record in which the name from `start` to `end` is the value of `name`, `key` or the like. `read`
/// says how far records were read already.
pub(super) fn value(bytes: &[u8], start: usize, end: usize, read: &mut Read) -> Option<Begin> {
    let name = run_back(bytes, start, 64, |byte| {
        is_word(byte) || matches!(byte, b'-' | b'.' | b'[')
    });
    let mark = run_back(bytes, name, 4, |byte| matches!(byte, b'"' | b'\'' | b'\\'));
    let joint = run_back(bytes, mark, 4, |byte| byte == b' ');
    let sign = before(bytes, joint, 1);
    if mark > joint && matches!(sign, b's' | b'S') {
        return aliased(bytes, joint);
    }
    if !matches!(sign, b':' | b'=' | b'>') {
        return None;
    }
    let close = run_back(bytes, joint - 1, 4, |byte| {
        matches!(byte, b' ' | b'"' | b'\'' | b'\\')
    });
    let (label, from) = label(bytes, close);
    let last = label.rsplit('_').next().unwrap_or_default();
    // <input type="password" value="…">
    let is_input = last == "type" && sign == b'=' && bytes.get(start..end) == Some(b"password");
    if !pairs::is_name(last) && !is_input {
        return None;
    }
    if sign == b'>' {
        return element(bytes, from, end);
    }
    if let Some(found) = fields(bytes, from, read) {
        return known(found);
    }
    let behind = run(bytes, end, 4, |byte| matches!(byte, b'"' | b'\'' | b'\\'));
    field(bytes, behind, is_border).and_then(known)
}

/// The text that a statement of SQL gives a name behind `AS`, which ends at `end`: `'…' AS password`.
fn aliased(bytes: &[u8], end: usize) -> Option<Begin> {
    let word = end.checked_sub(4)?;
    if !bytes.get(word..end)?.eq_ignore_ascii_case(b"' as") {
        return None;
    }
    let from = run_back(bytes, word, NEAR, |byte| !matches!(byte, b'\'' | b'\n'));
    (before(bytes, from, 1) == b'\'' && from < word)
        .then(|| known((from, word)))
        .flatten()
}

const fn known((at, end): (usize, usize)) -> Option<Begin> {
    Some(Begin {
        at,
        joint: Joint::Known,
        quote: (0, 0),
        end: Some(end),
    })
}

/// Whether a record ends or another begins at a byte.
fn is_border(bytes: &[u8], at: usize) -> bool {
    match byte(bytes, at) {
        b'{' | b'}' | b'<' | b'>' | b';' => true,
        // An item of a list, and an empty line, also where the end of a line is escaped.
        b'\n' => is_next(bytes, at + 1),
        b'\\' => byte(bytes, at + 1) == b'n' && is_next(bytes, at + 2),
        _ => false,
    }
}

/// Whether the line at `at` is the first one of an item of a list, or empty.
fn is_next(bytes: &[u8], at: usize) -> bool {
    let next = run(bytes, at, NEAR, |byte| byte == b' ');
    byte(bytes, next) == b'\n' || (byte(bytes, next) == b'-' && matches!(byte(bytes, next + 1), b' ' | b'-'))
}

/// The last value of the record that goes on up to `to`. What is before `read` was read with the record before.
fn fields(bytes: &[u8], to: usize, read: &mut Read) -> Option<(usize, usize)> {
    // Of one name several parts are names of secrets.
    if read.to == to {
        return read.found;
    }
    let mut found = None;
    let mut at = to.saturating_sub(FAR).max(read.to);
    #[cfg(test)]
    super::bytes::looks::add(to.saturating_sub(at));
    while at < to {
        if is_border(bytes, at) {
            found = None;
        } else if let Some(value) = value_at(bytes, at) {
            if value.1 <= to {
                found = Some(value);
            }
            at = value.1.max(at + 1);
            continue;
        }
        at += 1;
    }
    if to > read.to {
        *read = Read { to, found };
    }
    found
}

/// The value of the record that goes on at `from`, up to a border.
fn field(bytes: &[u8], from: usize, is_border: fn(&[u8], usize) -> bool) -> Option<(usize, usize)> {
    #[cfg(test)]
    super::bytes::looks::add(NEAR);
    let mut at = from;
    while at < from + NEAR && at < bytes.len() && !is_border(bytes, at) {
        if let Some(value) = value_at(bytes, at) {
            return Some(value);
        }
        at += 1;
    }
    None
}

/// The value whose label, `value` or the like, begins at `at`.
fn value_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if !matches!(byte(bytes, at), b'v' | b'V') || is_word(before(bytes, at, 1)) {
        return None;
    }
    let end = run(bytes, at, 8, is_word);
    let label = std::str::from_utf8(bytes.get(at..end)?).ok()?;
    if !(label.eq_ignore_ascii_case("value") || label.eq_ignore_ascii_case("val")) {
        return None;
    }
    let sign = run(bytes, end, 6, |byte| matches!(byte, b'"' | b'\'' | b'\\' | b' '));
    if !matches!(byte(bytes, sign), b':' | b'=') {
        return None;
    }
    let from = run(bytes, sign + 1, 4, |byte| byte == b' ');
    let from = super::wraps::wrapped(bytes, from);
    if let Some((slashes, content)) = super::quotes::quote(bytes, from) {
        let mark = byte(bytes, content - 1);
        let end = run(bytes, content, usize::MAX, |byte| byte != mark && byte != b'\n');
        let end = run_back(bytes, end, slashes, |byte| byte == b'\\');
        return (end > content).then_some((content, end));
    }
    // The scheme belongs to a credential, and a comma ends what has no quotes.
    let is = |byte: u8| !(is_space(byte) || b"\"'\\,}<>".contains(&byte));
    let mut end = run(bytes, from, usize::MAX, is);
    let is_scheme = bytes
        .get(from..end)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic"));
    if is_scheme && byte(bytes, end) == b' ' {
        end = run(bytes, end + 1, usize::MAX, is);
    }
    (end > from).then_some((from, end))
}

/// The text of the element `value` beside the element whose label begins at `from` and whose text ends at `end`.
fn element(bytes: &[u8], from: usize, end: usize) -> Option<Begin> {
    if before(bytes, from, 1) != b'<' {
        return None;
    }
    let is_text = |byte: u8| !matches!(byte, b'<' | b'>' | b'"' | b'\n');
    // `</name> <value>…</value>`, also with its type: `<value><string>…`.
    if byte(bytes, end) == b'<' && byte(bytes, end + 1) == b'/' {
        let tag = run(bytes, end, 48, |byte| byte != b'>');
        let mut open = line_break(bytes, tag + 1);
        let mut close = run(bytes, open, 48, |byte| byte != b'>');
        let is_value = label(bytes, close).0.eq_ignore_ascii_case("value");
        if is_value && byte(bytes, open) == b'<' {
            let inner = line_break(bytes, close + 1);
            if byte(bytes, inner) == b'<' && byte(bytes, inner + 1) != b'/' {
                open = inner;
                close = run(bytes, open, 48, |byte| byte != b'>');
            }
            let to = run(bytes, close + 1, NEAR, is_text);
            if to > close + 1 && byte(bytes, to) == b'<' {
                return known((close + 1, to));
            }
        }
    }
    // `<value>…</value> <name>`
    let stop = run_back(bytes, from - 1, NEAR, is_space);
    let tag = run_back(bytes, stop.saturating_sub(1), 48, |byte| byte != b'<');
    let closed = stop.checked_sub(1)?;
    let is_value = byte(bytes, closed) == b'>'
        && byte(bytes, tag) == b'/'
        && label(bytes, closed).0.eq_ignore_ascii_case("value");
    if !is_value {
        return None;
    }
    let to = tag.checked_sub(1)?;
    let begins = run_back(bytes, to, NEAR, is_text);
    (begins < to && before(bytes, begins, 1) == b'>')
        .then(|| known((begins, to)))
        .flatten()
}

/// The value of a cookie's record that is open at `at`: `Cookie{Name:"sid", Value:"…"}`; or of the only cookie in
/// `<Cookie sid=… for x.test>`.
pub(super) fn cookie(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let gap = run(bytes, end, 2, |byte| matches!(byte, b' ' | b':'));
    let open = run(bytes, gap, 4, |byte| matches!(byte, b'{' | b'(' | b' '));
    if open > gap && byte(bytes, gap) != b' ' && gap <= end + 1 {
        return field(bytes, open, is_brace);
    }
    let tag = run_back(bytes, start, 8, |byte| byte.is_ascii_alphabetic());
    if gap == end || before(bytes, tag, 1) != b'<' {
        return None;
    }
    let name = run(bytes, gap, 64, |byte| {
        is_word(byte) || matches!(byte, b'-' | b'.')
    });
    let value = run(bytes, name, 1, |byte| byte == b'=');
    let value = run(bytes, value, 1, |byte| matches!(byte, b'"' | b'\''));
    let to = run(bytes, value, NEAR, |byte| {
        !(is_space(byte) || matches!(byte, b'>' | b'"' | b'\''))
    });
    (value > name && to > value).then_some((value, to))
}

fn is_brace(bytes: &[u8], at: usize) -> bool {
    matches!(byte(bytes, at), b'}' | b'{' | b')')
}

/// The value of the cookie of which the attribute at `at`, `HttpOnly`, is one: in the head of an answer, or a record.
/// `read` says how far records were read already.
pub(super) fn around(bytes: &[u8], at: usize, read: &mut Read) -> Option<(usize, usize)> {
    /// As long as most cookies are with their attributes.
    const LONG: usize = 400;
    let is_line = |byte: u8| !matches!(byte, b'\n' | b'\r' | b'"' | b'\'' | b'[' | b'{' | b'}' | b',');
    let spaces = run_back(bytes, at, 1, |byte| byte == b' ');
    if before(bytes, spaces, 1) == b';' {
        let mut from = run_back(bytes, spaces, LONG, is_line);
        // `Expires=Wed, 21 Oct 2015 …`
        while before(bytes, from, 1) == b',' && spaces - from < LONG {
            from = run_back(bytes, from - 1, LONG, is_line);
        }
        from = run(bytes, from, 4, |byte| matches!(byte, b' ' | b'<'));
        let colon = run(bytes, from, 16, |byte| byte.is_ascii_alphabetic() || byte == b'-');
        if byte(bytes, colon) == b':' {
            from = run(bytes, colon + 1, 4, |byte| byte == b' ');
        }
        let name = run(bytes, from, 64, |byte| {
            is_word(byte) || matches!(byte, b'-' | b'.')
        });
        let to = run(bytes, name, LONG, |byte| byte != b';' && !is_space(byte));
        return (byte(bytes, name) == b'=' && to > name + 1 && to < at).then_some((name + 1, to));
    }
    fields(bytes, at, read)
}

/// The text between braces that SQL Server takes for a value, in a connection string: `PWD={a;b}`.
pub(super) fn braced(bytes: &[u8], start: usize, at: usize) -> Option<(usize, usize)> {
    if byte(bytes, at) != b'{' || before(bytes, at, 1) != b'=' {
        return None;
    }
    let mut end = at + 1;
    loop {
        end = run(bytes, end, NEAR, |byte| !matches!(byte, b'}' | b'\n' | b'"'));
        if byte(bytes, end) != b'}' || end > at + NEAR {
            return None;
        }
        // Doubled it is a part of the text.
        if byte(bytes, end + 1) != b'}' {
            break;
        }
        end += 2;
    }
    let name = run_back(bytes, start, 24, |byte| is_word(byte) || byte == b' ');
    let text = bytes.get(at + 1..end)?;
    let in_string = before(bytes, name, 1) == b';' || byte(bytes, end + 1) == b';' || text.contains(&b';');
    (in_string && !text.is_empty() && !is_template(bytes, name, text)).then_some((at + 1, end))
}

/// Whether what stands in braces is the name of a variable in a template: it speaks of a secret, or other values of the
/// string stand in braces, too.
fn is_template(bytes: &[u8], start: usize, text: &[u8]) -> bool {
    let is_name = text.iter().all(|byte| is_word(*byte) || *byte == b'.');
    let string = bytes.get(start.saturating_sub(NEAR)..start).unwrap_or_default();
    #[cfg(test)]
    super::bytes::looks::add(string.len());
    let others = string.windows(2).enumerate().any(|(place, pair)| {
        pair == b"={"
            && !string
                .get(..place)
                .is_some_and(|key| key.to_ascii_lowercase().ends_with(b"driver"))
    });
    is_name
        && (super::looks::is_reference(text, 0)
            || text.first().is_some_and(u8::is_ascii_digit) && text.len() < 4
            || others && !super::looks::is_lot(text))
}
