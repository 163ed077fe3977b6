//! Where a value begins that belongs to a name: what stands between the two, in all that writes names and values.

use super::REDACTED;
use super::blocks::{block, next_line, untagged};
use super::bytes::{before, byte, is_space, run, run_back};
use super::elements::{element_content, elsewhere, is_form};
use super::lines::is_netrc;
use super::looks::is_lot;
use super::named::NEAR;
use super::phrases;
use super::quotes::quote;
use super::records;
use super::source;
use super::wraps::{self, wrapped};

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
    /// An item or an argument behind the name, which may be anything.
    Listed,
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

/// How far some parts of a text were read already, which are not read again for every name in them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    /// The last text of an element that was read.
    element: (usize, usize),
    /// The last record that was read.
    pub(super) records: records::Read,
}

/// Skips what joins a value to the name from `start` to `end`. Up to `covered` values were read already.
pub(super) fn separator(
    bytes: &[u8],
    start: usize,
    end: usize,
    flag: bool,
    covered: usize,
    reads: &mut Reads,
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
    let whole = end;
    let end = closed(bytes, start, end);
    let quoted = quote(bytes, end).map_or(end, |(_, content)| content);
    let quoted = if quoted == end && bytes.get(end..end + 3) == Some(b"%22") {
        end + 3
    } else {
        quoted
    };
    if quoted == end
        && let Some(typed) = source::typed(bytes, end).or_else(|| source::parallel(bytes, start, end))
    {
        return Some(typed);
    }
    let mut after = spaces(quoted);
    // As Java escapes the signs in the names of properties.
    let signed = run(bytes, after, 2, |byte| byte == b'\\');
    if matches!(byte(bytes, signed), b'=' | b':') {
        after = signed;
    }
    // A binary of Erlang.
    after += if quoted > end && bytes.get(after..after + 2) == Some(b">>") {
        2
    } else {
        0
    };
    let assigned = match (byte(bytes, after), byte(bytes, after + 1)) {
        (b'=', b'=') | (b'!', b'=') => {
            let at = spaces(run(bytes, after, 3, |byte| matches!(byte, b'=' | b'!')));
            return begin(at, Joint::Compared, (end, quoted));
        }
        // A path of code: `Credentials::new`.
        (b':', b':') => return None,
        (b':', b'=') | (b'=', b'>') => Some(after + 2),
        // Of R.
        (b'<', b'-') if quote(bytes, spaces(after + 2)).is_some() => Some(after + 2),
        (b'|', b'|') | (b'?', b'?') if byte(bytes, after + 2) == b'=' => Some(after + 3),
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
        if let Some((from, to)) = records::braced(bytes, start, value)
            .or_else(|| in_brackets(bytes, spaces(at), at))
            .or_else(|| wraps::optional(bytes, value))
        {
            return Some(Begin {
                at: from,
                joint: Joint::Known,
                quote: (0, 0),
                end: Some(to),
            });
        }
        if let Some(at) = phrases::tagged(bytes, value) {
            return begin(at, Joint::Listed, (end, quoted));
        }
        // The quote behind a prompt closes it: `input('Password: ')`, `log('password:', password)`.
        if quoted == end
            && quote(bytes, value).is_some_and(|(_, next)| matches!(byte(bytes, next), b')' | b',' | b';'))
        {
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
    if let Some(at) = phrases::value(bytes, start, end, quoted) {
        return begin(at, Joint::Listed, (0, 0));
    }
    if quoted == end && is_sql(bytes.get(start..end).unwrap_or_default()) {
        // `PASSWORD '…'`, `PASSWORD FOR 'bob'@'%' = '…'`, `PASSWORD = PASSWORD('…')`
        let value = sql_value(bytes, after);
        if after > end && byte(bytes, value) == b'\'' {
            return begin(value, Joint::Tight, (0, 0));
        }
    }
    if byte(bytes, end) == b'>' {
        return begin(end + 1, Joint::Tight, (0, 0));
    }
    if bytes.get(end..end + 3) == Some(b")=(") {
        // As PostgreSQL tells of a row: `Key (password)=(…)`.
        let close = run(bytes, end + 3, NEAR, |byte| !matches!(byte, b')' | b',' | b'\n'));
        return (byte(bytes, close) == b')' && close > end + 3).then_some(Begin {
            at: end + 3,
            joint: Joint::Known,
            quote: (0, 0),
            end: Some(close),
        });
    }
    if flag && quoted > end && after > quoted && quote(bytes, after).is_some() {
        return begin(after, Joint::Tight, (0, 0));
    }
    if byte(bytes, after) == b',' {
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
        // ["--api-key", "…"]
        let is_flag = |at: usize| bytes.get(at..at + 2) == Some(b"--");
        let is_text = quote(bytes, next).is_some_and(|(_, content)| !is_flag(content));
        // add_argument('--password', default='…')
        let default = bytes
            .get(next..next + 8)
            .filter(|word| *word == b"default=")
            .map_or(next, |_| next + 8);
        if flag && quoted > end && (is_text || (default > next && quote(bytes, default).is_some())) {
            return begin(default, Joint::Tight, (0, 0));
        }
        // `[Password, …]`
        let close = run(bytes, next, NEAR, |byte| {
            !(is_space(byte) || matches!(byte, b',' | b'[' | b']'))
        });
        if quoted == end && before(bytes, start, 1) == b'[' && byte(bytes, close) == b']' {
            return begin(next, Joint::Listed, (0, 0));
        }
        if !flag
            && (quoted > end || source::is_defined(bytes, start) || source::is_atom(bytes, start))
            && let Some(listed) = source::listed(bytes, start, after)
        {
            return Some(listed);
        }
        if quoted == end && source::is_atom(bytes, start) && source::ends_tuple(bytes, next) {
            return begin(next, Joint::Listed, (0, 0));
        }
    }
    if (quoted > end || is_form(bytes, start))
        && let Some(at) = elsewhere(bytes, start, quoted, &mut reads.element)
    {
        return Some(at);
    }
    if let Some(at) = next_line(bytes, start, quoted) {
        return begin(at, Joint::Tight, (0, 0));
    }
    if after > end && is_netrc(bytes, start, end) {
        return begin(after, Joint::Tight, (0, 0));
    }
    if flag && quoted == end && after > end && byte(bytes, after) != b'-' {
        return begin(after, Joint::Tight, (0, 0));
    }
    source::fallback(bytes, whole)
        .or_else(|| source::called(bytes, start, whole))
        .or_else(|| source::declared(bytes, start, whole))
        .or_else(|| records::value(bytes, start, whole, &mut reads.records))
        .or_else(|| {
            // trying password "…"
            (after > quoted && quoted == end && quote(bytes, after).is_some())
                .then(|| begin(after, Joint::Listed, (0, 0)))
                .flatten()
        })
}

/// The text in brackets at `at` that no quotes are in, behind a name whose colon ends at `colon`, as Go prints lists:
/// `X-Api-Key:[…]`.
fn in_brackets(bytes: &[u8], at: usize, colon: usize) -> Option<(usize, usize)> {
    if byte(bytes, at) != b'['
        || bytes
            .get(at..)
            .is_some_and(|text| text.starts_with(REDACTED.as_bytes()))
    {
        return None;
    }
    let end = run(bytes, at + 1, NEAR, |byte| {
        !matches!(byte, b'[' | b']' | b'\n' | b'"' | b'\'' | b'{')
    });
    let list = bytes.get(at + 1..end)?;
    // Names of secrets are listed, too, and code has lists behind a gap.
    let is_one = (at == colon && !list.contains(&b','))
        || list
            .split(|byte| *byte == b',')
            .all(|item| is_lot(item.trim_ascii()));
    (byte(bytes, end) == b']' && end > at + 1 && is_one).then_some((at + 1, end))
}

/// Where the text begins that a statement of SQL takes for a password behind its word at `at`.
fn sql_value(bytes: &[u8], at: usize) -> usize {
    let spaces = |at| run(bytes, at, NEAR, is_space);
    let mut at = at;
    // `IDENTIFIED WITH mysql_native_password BY '…'`
    let plugin = run(bytes, at, 48, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\'' | b'"')
    });
    let word = spaces(plugin);
    if plugin > at
        && bytes
            .get(word..word + 3)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"by ") || word.eq_ignore_ascii_case(b"as "))
    {
        at = spaces(word + 3);
    }
    if bytes
        .get(at..at + 4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"for "))
    {
        let sign = run(bytes, at + 4, NEAR, |byte| !matches!(byte, b'=' | b';' | b'\n'));
        if byte(bytes, sign) == b'=' {
            at = spaces(sign + 1);
        }
    }
    wrapped(bytes, at)
}

/// Where a name ends that stands in brackets or is emphasised: `user[password]=…`, `env["PASSWORD"] = …`,
/// `[password] => …`, `char password[] = …`, `**Password**: …`.
fn closed(bytes: &[u8], start: usize, end: usize) -> usize {
    let quoted = quote(bytes, end).map_or(end, |(_, content)| content);
    // As PHP dumps a member that is not public: `["password":protected]=>`.
    let quoted = [&b":protected"[..], b":private"]
        .iter()
        .find(|word| quoted > end && bytes.get(quoted..).is_some_and(|rest| rest.starts_with(word)))
        .map_or(quoted, |word| quoted + word.len());
    let behind = match byte(bytes, quoted) {
        b']' => quoted + 1,
        _ if quoted > end => return end,
        b'[' => match run(bytes, end + 1, 8, |byte| byte.is_ascii_digit()) {
            close if byte(bytes, close) == b']' => close + 1,
            _ => return end,
        },
        // A symbol of JavaScript.
        b')' if bytes
            .get(..start)
            .is_some_and(|before| before.ends_with(b"Symbol(")) =>
        {
            return run(bytes, end + 1, 1, |byte| byte == b']');
        }
        b'*' => run(bytes, end, 2, |byte| byte == b'*'),
        b'%' if matches!(bytes.get(end + 1..end + 3), Some(b"5D" | b"5d")) => end + 3,
        _ => return end,
    };
    let next = run(bytes, behind, 2, |byte| byte == b' ');
    let assigns = match byte(bytes, next) {
        b'=' => byte(bytes, next + 1) != b'=',
        b':' => byte(bytes, end) == b'*',
        b'|' | b'?' => byte(bytes, next + 1) == byte(bytes, next) && byte(bytes, next + 2) == b'=',
        _ => false,
    };
    if assigns { behind } else { end }
}

/// Words of SQL that a password in quotes follows: `IDENTIFIED BY '…'`, `WITH PASSWORD '…'`.
fn is_sql(name: &[u8]) -> bool {
    matches!(name, b"PASSWORD" | b"SECRET")
        || name.eq_ignore_ascii_case(b"identified by")
        || name.eq_ignore_ascii_case(b"identified with")
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

/// Whether only the structure around the name from `start` to `end` tells its value: it is not the text behind it.
pub(super) fn is_structural(bytes: &[u8], start: usize, end: usize) -> bool {
    let spaces = |at| run(bytes, at, NEAR, is_space);
    let Some((slashes, quoted)) = quote(bytes, end) else {
        // A block of YAML, or its environment, where ends of lines are escaped.
        let next = run(bytes, end, 4, |byte| byte == b' ');
        let block = run(bytes, next + 1, 4, |byte| byte == b' ');
        let closed = end + usize::from(byte(bytes, end) == b']');
        return (byte(bytes, closed) == b'\\' && matches!(byte(bytes, closed + 1), b'n' | b'r'))
            || (byte(bytes, next) == b':' && matches!(byte(bytes, block), b'|' | b'>' | b'\\'))
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
                                // The value that a schema gives.
                                | b"ault" | b"xamp" | b"enum" | b"cons" | b"itia" | b"llba"
                        )
                    })
                }
                b'[' => true,
                _ => false,
            }
        }
        // An item of a list, or the name of a pair.
        b',' | b']' => true,
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
