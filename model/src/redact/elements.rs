//! Values of names in XML, HTML and forms: texts of elements, attributes, parts.

use super::bytes::{before, byte, is_space, run, run_back};
use super::joints::{Begin, Joint};
use super::named::NEAR;
use super::quotes::quote;

/// The text of an element of XML whose name ends at `end`, where it has attributes or is CDATA, and of the one behind
/// `<key>…</key>` of a property list.
pub(super) fn element_content(bytes: &[u8], start: usize, end: usize) -> Option<Begin> {
    let opens = before(bytes, start, 1) == b'<' || {
        let prefix = run_back(bytes, start, 16, |byte| {
            byte.is_ascii_alphanumeric() || byte == b':'
        });
        before(bytes, prefix, 1) == b'<' && before(bytes, start, 1) == b':'
    };
    let at = if opens && byte(bytes, end) == b' ' {
        let close = run(bytes, end, NEAR, |byte| !matches!(byte, b'>' | b'<' | b'/'));
        let close = run(bytes, close, NEAR, |byte| !matches!(byte, b'>' | b'<'));
        (byte(bytes, close) == b'>' && before(bytes, close, 1) != b'/').then_some(close + 1)?
    } else if byte(bytes, end) == b'>' && bytes.get(end + 1..end + 10) == Some(b"<![CDATA[") {
        end + 1
    } else if byte(bytes, end) == b'>' && is_space(byte(bytes, end + 1)) {
        // The text stands in a line of its own.
        run(bytes, end + 1, NEAR, is_space)
    } else if bytes.get(end..end + 6) == Some(b"</key>") {
        let next = run(bytes, end + 6, NEAR, is_space);
        bytes.get(next..next + 8).filter(|tag| *tag == b"<string>")?;
        next + 8
    } else {
        return None;
    };
    let is = |byte: u8| !matches!(byte, b'<' | b'>' | b'"' | b'\\' | b'\n');
    let (at, to) = if bytes.get(at..at + 9) == Some(b"<![CDATA[") {
        let to = run(bytes, at + 9, NEAR, is);
        let inner = bytes.get(at + 9..to)?.strip_suffix(b"]]")?;
        (at + 9, at + 9 + inner.len())
    } else {
        (at, run(bytes, at, NEAR, is))
    };
    let next = run(bytes, to, NEAR, is_space);
    let in_line = byte(bytes, to) == b'\n' && bytes.get(next..next + 2) == Some(b"</");
    (to > at && (in_line || matches!(byte(bytes, to), b'<' | b']'))).then_some(Begin {
        at,
        joint: Joint::Known,
        quote: (0, 0),
        end: Some(to),
    })
}

/// Whether the name at `start` is the value of `name=` or `key=`, as in forms and configuration files of XML.
pub(super) fn is_form(bytes: &[u8], start: usize) -> bool {
    let word = run_back(bytes, start, NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'[' | b'.')
    });
    let mark = run_back(bytes, word, 4, |byte| matches!(byte, b'"' | b'\'' | b'\\'));
    let before = bytes.get(..mark).unwrap_or_default();
    let before = before.get(before.len().saturating_sub(5)..).unwrap_or_default();
    let before = before.to_ascii_lowercase();
    // A part of a form has its name without quotes, too.
    let bare = mark == word
        && bytes
            .get(..word)
            .is_some_and(|head| head.ends_with(b"form-data; name="));
    (mark < word || bare)
        && [&b"name="[..], b"key=", b"id="]
            .iter()
            .any(|name| before.ends_with(name))
}

/// The value of a part of a form, or of an element with `name` and `value`, whose name ends before `at`.
pub(super) fn elsewhere(
    bytes: &[u8],
    start: usize,
    at: usize,
    element: &mut (usize, usize),
) -> Option<Begin> {
    if !is_form(bytes, start) {
        return None;
    }
    let known = |at, end| {
        Some(Begin {
            at,
            joint: Joint::Known,
            quote: (0, 0),
            end,
        })
    };
    let near = bytes.get(at..(at + NEAR).min(bytes.len())).unwrap_or_default();
    let find = |text: &[u8]| {
        near.windows(text.len())
            .position(|window| window == text)
            .map(|found| at + found)
    };
    #[cfg(test)]
    super::bytes::looks::add(near.len());
    // <input name="password" value="…">, <entry key="password">…</entry>
    let close = find(b">");
    for label in [&b"value="[..], b"content="] {
        if let Some(value) = find(label).filter(|value| close.is_none_or(|close| *value < close)) {
            let value = value + label.len();
            return quote(bytes, value).and_then(|_| known(value, None));
        }
    }
    if let Some(close) = close.filter(|close| {
        near.get(..close - at)
            .is_some_and(|between| !between.contains(&b'<'))
    }) {
        if !(element.0..element.1).contains(&(close + 1)) {
            let end = run(bytes, close + 1, usize::MAX, |byte| {
                !matches!(byte, b'<' | b'"' | b'\\')
            });
            *element = (close + 1, end);
        }
        // <property name="password"><value>…</value>
        if element.1 <= run(bytes, close + 1, NEAR, is_space) {
            return inner(bytes, close + 1).and_then(|(at, end)| known(at, Some(end)));
        }
        let end = element.1;
        return (end > close + 1 && byte(bytes, end) == b'<')
            .then(|| known(close + 1, Some(end)))
            .flatten();
    }
    // A part of a form: its head ends with an empty line.
    let empty = [&b"\r\n\r\n"[..], b"\n\n", b"\\r\\n\\r\\n", b"\\n\\n"];
    let (begins, length) = empty.iter().find_map(|line| Some((find(line)?, line.len())))?;
    let from = begins + length;
    let end = run(bytes, from, usize::MAX, |byte| {
        !matches!(byte, b'\r' | b'\n' | b'\\' | b'"')
    });
    (end > from).then(|| known(from, Some(end))).flatten()
}

/// The text of the element whose name ends with `value` and that begins at `at`.
fn inner(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let open = run(bytes, at, NEAR, is_space);
    let close = run(bytes, open, 48, |byte| !matches!(byte, b'>' | b'/'));
    let tag = bytes.get(open..close)?.to_ascii_lowercase();
    let end = run(bytes, close + 1, usize::MAX, |byte| {
        !matches!(byte, b'<' | b'"' | b'\n')
    });
    let is_one = tag.starts_with(b"<") && tag.ends_with(b"value") && byte(bytes, close) == b'>';
    (is_one && end > close + 1 && byte(bytes, end) == b'<').then_some((close + 1, end))
}
