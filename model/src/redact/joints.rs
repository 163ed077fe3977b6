//! Where a value begins that belongs to a name: what stands between the two, in all that writes names and values.

use super::bytes::{before, byte, is_space, run, run_back};
use super::looks::is_lot;
use super::named::NEAR;
use super::quotes::quote;

/// How a value is joined to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// `name=value`, `name:value`, a flag, an element of XML: nothing stands between, or it can be nothing else.
    Tight,
    /// `name: value` or `name = value`, which code and sentences write too.
    Spaced,
    /// A comparison, `name == value`.
    Compared,
    /// A value of several lines, or one that stands elsewhere: it is the value in any case.
    Known,
}

/// Where a value begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub(super) at: usize,
    pub(super) joint: Joint,
    /// The quote that ended the name.
    pub(super) quote: (usize, usize),
    /// Where it ends, if that is known.
    pub(super) end: Option<usize>,
}

/// Skips what joins a value to the name from `start` to `end`. Up to `covered` values were read already; `element` is the
/// last text of an element that was read. Neither is read again for every name in it.
pub(super) fn separator(
    bytes: &[u8],
    start: usize,
    end: usize,
    flag: bool,
    covered: usize,
    element: &mut (usize, usize),
) -> Option<Begin> {
    let spaces = |at| run(bytes, at, usize::MAX, is_space);
    let begin = |at, joint, quote| {
        Some(Begin {
            at,
            joint,
            quote,
            end: None,
        })
    };
    let end = closed(bytes, end);
    let quoted = quote(bytes, end).map_or(end, |(_, content)| content);
    let quoted = if quoted == end && bytes.get(end..end + 3) == Some(b"%22") {
        end + 3
    } else {
        quoted
    };
    let after = spaces(quoted);
    let assigned = match (byte(bytes, after), byte(bytes, after + 1)) {
        (b'=', b'=') | (b'!', b'=') => {
            let at = spaces(run(bytes, after, 3, |byte| matches!(byte, b'=' | b'!')));
            return begin(at, Joint::Compared, (end, quoted));
        }
        // A path of code: `Credentials::new`.
        (b':', b':') => return None,
        (b':', b'=') | (b'=', b'>') => Some(after + 2),
        // Emphasis of Markdown ends behind the colon: `**Password:** …`.
        (b':' | b'=', _) => Some(run(bytes, after + 1, 2, |byte| byte == b'*')),
        // The colon of Chinese and Japanese.
        (0xef, 0xbc) if byte(bytes, after + 2) == 0x9a => Some(after + 3),
        (b'%', b'3') if matches!(byte(bytes, after + 2), b'A' | b'a' | b'D' | b'd') => Some(after + 3),
        _ => None,
    };
    if let Some(at) = assigned {
        if let Some(block) = block(bytes, start, at, covered) {
            return Some(block);
        }
        let value = untagged(bytes, at, spaces(at));
        let lines = bytes.get(at..value).unwrap_or_default().contains(&b'\n');
        let value = wrapped(bytes, value);
        // A sentence ends here, and what follows is none of it.
        if lines && is_line_of_secret(bytes, at, value) {
            return begin(value, Joint::Spaced, (end, quoted));
        }
        if lines && quote(bytes, value).is_none() && !matches!(byte(bytes, value), b'[' | b'%') {
            return None;
        }
        let joint = if value > at && quoted == end {
            Joint::Spaced
        } else {
            Joint::Tight
        };
        let value = if bytes.get(value..value + 3) == Some(b"%22") {
            value + 3
        } else {
            value
        };
        return begin(value, joint, (end, quoted));
    }
    if let Some(content) = element_content(bytes, start, end) {
        return Some(content);
    }
    if quoted == end
        && after > end
        && byte(bytes, after) == b'\''
        && is_sql(bytes.get(start..end).unwrap_or_default())
    {
        return begin(after, Joint::Tight, (0, 0));
    }
    if byte(bytes, end) == b'>' {
        return begin(end + 1, Joint::Tight, (0, 0));
    }
    if quoted > end && byte(bytes, after) == b',' {
        let next = spaces(after + 1);
        // {"name": "API_KEY", "value": "…"}
        let pair = quote(bytes, next)
            .and_then(|(_, content)| bytes.get(content..)?.strip_prefix(b"value"))
            .map(|rest| bytes.len() - rest.len())
            .and_then(|at| quote(bytes, at))
            .map(|(_, content)| spaces(content))
            .filter(|at| byte(bytes, *at) == b':')
            .map(|at| spaces(at + 1));
        if let Some(at) = pair {
            return begin(at, Joint::Tight, (0, 0));
        }
        // ["--api-key", "…"], and ("password", "…") of a debugger, which is no call.
        let is_flag = |at: usize| bytes.get(at..at + 2) == Some(b"--");
        if (flag || is_tuple(bytes, start))
            && quote(bytes, next).is_some_and(|(_, content)| !is_flag(content))
        {
            return begin(next, Joint::Tight, (0, 0));
        }
    }
    if (quoted > end || is_form(bytes, start))
        && let Some(at) = elsewhere(bytes, start, quoted, element)
    {
        return Some(at);
    }
    if let Some(at) = next_line(bytes, start, quoted) {
        return begin(at, Joint::Tight, (0, 0));
    }
    if after > end && is_netrc(bytes, start) {
        return begin(after, Joint::Tight, (0, 0));
    }
    if flag && quoted == end && after > end && byte(bytes, after) != b'-' {
        return begin(after, Joint::Tight, (0, 0));
    }
    None
}

/// Where a name ends that stands in brackets or is emphasised: `user[password]=…`, `[password] => …`, `**Password**: …`.
fn closed(bytes: &[u8], end: usize) -> usize {
    let behind = match byte(bytes, end) {
        b']' => end + 1,
        b'*' => run(bytes, end, 2, |byte| byte == b'*'),
        b'%' if matches!(bytes.get(end + 1..end + 3), Some(b"5D" | b"5d")) => end + 3,
        _ => return end,
    };
    let next = run(bytes, behind, 2, |byte| byte == b' ');
    let assigns = match byte(bytes, next) {
        b'=' => byte(bytes, next + 1) != b'=',
        b':' => byte(bytes, end) == b'*',
        _ => false,
    };
    if assigns { behind } else { end }
}

/// Where a value of YAML begins behind its anchor and its tag: `&db x`, `!!str x`.
fn untagged(bytes: &[u8], colon: usize, value: usize) -> usize {
    let mut at = value;
    // Without a gap they are part of the value.
    while at > colon && (byte(bytes, at) == b'&' || bytes.get(at..at + 2) == Some(b"!!")) {
        let word = run(bytes, at, 40, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'&' | b'!' | b'_' | b'-')
        });
        let next = run(bytes, word, 4, |byte| byte == b' ');
        if next == word || word < at + 3 {
            break;
        }
        at = next;
    }
    at
}

/// Words of SQL that a password in quotes follows: `IDENTIFIED BY '…'`, `WITH PASSWORD '…'`.
fn is_sql(name: &[u8]) -> bool {
    name == b"PASSWORD" || name.eq_ignore_ascii_case(b"identified by")
}

/// The text of an element of XML whose name ends at `end`, where it has attributes or is CDATA, and of the one behind
/// `<key>…</key>` of a property list.
fn element_content(bytes: &[u8], start: usize, end: usize) -> Option<Begin> {
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
    (to > at && matches!(byte(bytes, to), b'<' | b']')).then_some(Begin {
        at,
        joint: Joint::Known,
        quote: (0, 0),
        end: Some(to),
    })
}

/// Whether the value at `value`, in the line below the name whose colon is before `at`, is all that stands there and looks
/// drawn by lot: what is printed behind a prompt, and YAML.
fn is_line_of_secret(bytes: &[u8], at: usize, value: usize) -> bool {
    let end = run(bytes, value, NEAR, |byte| !is_space(byte) && byte != b'"');
    let between = bytes.get(at..value).unwrap_or_default();
    let below = value - at <= NEAR && between.iter().filter(|byte| **byte == b'\n').count() == 1;
    let ends = end == bytes.len() || matches!(byte(bytes, end), b'\n' | b'\r' | b'"');
    below && ends && !matches!(before(bytes, end, 1), b':' | b',' | b';' | b'{') && {
        is_lot(bytes.get(value..end).unwrap_or_default())
    }
}

/// Where the quotes begin of a value that code wraps: `Some("…")`, `b'…'`.
fn wrapped(bytes: &[u8], at: usize) -> usize {
    const WRAPS: &[&[u8]] = &[
        b"Some(",
        b"Ok(",
        b"Secret(",
        b"SecretString(",
        b"SecretStr(",
        b"Password(",
        b"b",
        b"u",
        b"r",
        b"f",
    ];
    let rest = bytes.get(at..).unwrap_or_default();
    let wrap = WRAPS
        .iter()
        .find(|wrap| rest.starts_with(wrap) && quote(bytes, at + wrap.len()).is_some());
    wrap.map_or(at, |wrap| at + wrap.len())
}

/// Whether only the structure around the name from `start` to `end` tells its value: it is not the text behind it.
pub(super) fn is_structural(bytes: &[u8], start: usize, end: usize) -> bool {
    let spaces = |at| run(bytes, at, NEAR, is_space);
    let Some((slashes, quoted)) = quote(bytes, end) else {
        // A block of YAML, or its environment, where ends of lines are escaped.
        let next = run(bytes, end, 4, |byte| byte == b' ');
        let block = run(bytes, next + 1, 4, |byte| byte == b' ');
        return (byte(bytes, next) == b':' && matches!(byte(bytes, block), b'|' | b'>'))
            || (byte(bytes, next) == b'\\' && matches!(byte(bytes, next + 1), b'n' | b'r'));
    };
    let next = spaces(quoted);
    match byte(bytes, next) {
        b':' => {
            let value = spaces(next + 1);
            match byte(bytes, value) {
                // A schema has a type here, a wrapper a value.
                b'{' => {
                    let near = bytes
                        .get(value..(value + NEAR).min(bytes.len()))
                        .unwrap_or_default();
                    #[cfg(test)]
                    super::bytes::looks::add(near.len());
                    near.windows(4).any(|window| {
                        matches!(
                            window,
                            b"alue" | b"text" | b"raw\"" | b"raw\\" | b"data" | b"\"S\":" | b"secu"
                        )
                    })
                }
                b'[' => true,
                _ => false,
            }
        }
        // An item of a list, or the name of a pair.
        b',' => true,
        b'}' => {
            let word = run_back(bytes, start, NEAR, |byte| byte != b'"' && byte != b'\n');
            let before = bytes
                .get(..word.saturating_sub(1 + slashes))
                .unwrap_or_default()
                .trim_ascii_end();
            before.ends_with(b":")
        }
        // A part of a form.
        b'\\' | b'>' => true,
        other => slashes > 0 && other.is_ascii_alphabetic(),
    }
}

/// Whether the quoted name at `start` is the first of a tuple: `("password", …`.
fn is_tuple(bytes: &[u8], start: usize) -> bool {
    let word = run_back(bytes, start, NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
    });
    let mark = run_back(bytes, word, 4, |byte| matches!(byte, b'"' | b'\'' | b'\\' | b'b'));
    let caller = before(bytes, mark, 2);
    before(bytes, mark, 1) == b'(' && mark < word && !(caller.is_ascii_alphanumeric() || caller == b'_')
}

/// Whether the name at `start` is the value of `name=` or `key=`, as in forms and configuration files of XML.
fn is_form(bytes: &[u8], start: usize) -> bool {
    let word = run_back(bytes, start, NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'[' | b'.')
    });
    let mark = run_back(bytes, word, 4, |byte| matches!(byte, b'"' | b'\'' | b'\\'));
    let before = bytes.get(..mark).unwrap_or_default();
    mark < word
        && [&b"name="[..], b"key=", b"id="]
            .iter()
            .any(|name| before.ends_with(name))
}

/// The value of a part of a form, or of an element with `name` and `value`, whose name ends before `at`.
fn elsewhere(bytes: &[u8], start: usize, at: usize, element: &mut (usize, usize)) -> Option<Begin> {
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
    if let Some(value) = find(b"value=").filter(|value| close.is_none_or(|close| *value < close)) {
        return quote(bytes, value + 6).and_then(|_| known(value + 6, None));
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

/// Whether the name at `start` stands in a line of `.netrc`: `machine … login … password …`.
fn is_netrc(bytes: &[u8], start: usize) -> bool {
    if before(bytes, start, 1) != b' ' {
        return false;
    }
    let line = bytes.get(start.saturating_sub(NEAR)..start).unwrap_or_default();
    #[cfg(test)]
    super::bytes::looks::add(line.len());
    let has = |text: &[u8]| line.windows(text.len()).any(|window| window == text);
    has(b"login ") && has(b"machine ")
}

/// `- name: PASSWORD` and `value: …` in the next line, as YAML has environments.
fn next_line(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let line = run(bytes, end, NEAR, |byte| matches!(byte, b' ' | b'\t' | b'\r'));
    if byte(bytes, line) != b'\n' {
        return None;
    }
    let word = run_back(bytes, start, NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'"' | b'\'')
    });
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
fn block(bytes: &[u8], start: usize, at: usize, covered: usize) -> Option<Begin> {
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
