//! Values that stand under the name of a secret: in JSON (also inside JSON inside JSON), headers, query strings,
//! command lines, connection strings, XML, YAML, forms.

use super::REDACTED;
use super::bytes::{after_escape, before, byte, is_mixed, is_space, run, run_back};
use super::looks::{is_drawn, is_harmless, is_placeholder, is_reference};
use super::names::{Kind, begins_line, is_flag, kind_of};

/// How the value of an authorization begins, where another word follows.
const SCHEMES: &[&[u8]] = &[
    b"bearer",
    b"basic",
    b"digest",
    b"negotiate",
    b"token",
    b"apikey",
    b"api-key",
    b"key",
    b"hawk",
    b"ntlm",
    b"mac",
    b"oauth",
    b"signature",
    b"aws4-hmac-sha256",
];
/// Those of them that parameters follow: `realm="…", response="…"`.
const WITH_PARAMETERS: &[&[u8]] = &[
    b"digest",
    b"hawk",
    b"mac",
    b"oauth",
    b"signature",
    b"aws4-hmac-sha256",
];
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
/// How far behind a name the value is looked for where other things stand between.
const NEAR: usize = 200;
/// The longest value that may be a credential cut already: ten characters and an ellipsis.
const MASKED: usize = 11;
/// How the ellipsis of a cut credential is encoded.
const ELLIPSIS: &[u8] = "…".as_bytes();

/// A value to cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it is one: what is cut already, or no secret, is only passed over.
    pub(super) secret: bool,
    /// The quote to put around what stands in its place, for a JSON number.
    pub(super) quote: (usize, usize),
}

/// How a value is joined to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
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
    joint: Joint,
    /// The quote that ended the name.
    quote: (usize, usize),
    /// Where it ends, if that is known.
    end: Option<usize>,
}

/// Where the value of the name from `start` to `end` begins.
pub(super) fn value_start(bytes: &[u8], start: usize, end: usize, kind: Kind) -> Option<(Begin, Kind)> {
    let flag = kind != Kind::Code && is_flag(bytes, start);
    let kind = match kind_of(bytes, start, end, kind) {
        Some(kind) if flag && kind == Kind::Token => Kind::Secret,
        Some(kind) => kind,
        None if flag => kind,
        None => return None,
    };
    let begin = separator(bytes, start, end, flag)?;
    Some((begin, kind))
}

/// The value that begins there, of the name from `start` to `end`.
pub(super) fn value(bytes: &[u8], start: usize, end: usize, begin: Begin, kind: Kind) -> Option<Value> {
    let at = begin.at;
    let (from, to) = if let Some(to) = begin.end {
        (at, to)
    } else if at == end + 1 && byte(bytes, end) == b'>' {
        let is = |byte: u8| !(is_space(byte) || matches!(byte, b'<' | b'>' | b'"' | b'\\'));
        let to = run(bytes, at, usize::MAX, is);
        (byte(bytes, to) == b'<' && to > at).then_some((at, to))?
    } else {
        quoted_or_listed(bytes, at).or_else(|| bare(bytes, at, kind, begin.joint))?
    };
    let text = bytes.get(from..to).unwrap_or_default();
    let quoted_name = begin.quote.0 < begin.quote.1;
    let bare = from == at && begin.end.is_none();
    // What JSON writes bare is no secret if it is a word of JSON or a count, except under the operator's keys; what is
    // cut already is not cut again.
    let plain = bare && is_plain(text, kind, quoted_name);
    Some(Value {
        start: from,
        end: to,
        secret: !plain && !is_cut(text) && {
            let line = begin.joint == Joint::Spaced && begins_line(bytes, start);
            let next = byte(bytes, to);
            covers(
                kind,
                text,
                bare,
                begin.joint,
                line && ends_line(bytes, to),
                next,
                before(bytes, start, 1),
            )
        },
        quote: if bare && quoted_name && is_number(text) {
            begin.quote
        } else {
            (0, 0)
        },
    })
}

/// Whether a name of this kind makes this text a secret.
fn covers(kind: Kind, text: &[u8], bare: bool, joint: Joint, line: bool, next: u8, previous: u8) -> bool {
    if kind == Kind::Key {
        return true;
    }
    if std::str::from_utf8(text).is_ok_and(is_placeholder) {
        return false;
    }
    if bare && joint != Joint::Known && kind != Kind::Cookie && is_reference(text, next) {
        return false;
    }
    // Sentences and code are written like that too.
    let written = bare && joint == Joint::Spaced;
    match kind {
        Kind::Key => true,
        Kind::Cookie => text.contains(&b'=') && !(written && text.starts_with(b"=")),
        Kind::Authorization => {
            is_authorization(text)
                || (is_drawn(text))
                || (!bare && text.len() >= 12 && !text.contains(&b' ') && !is_harmless(text))
        }
        Kind::Secret if joint == Joint::Compared => !bare && !is_harmless(text),
        Kind::Secret if written => {
            (is_drawn(text) && text.iter().any(u8::is_ascii_digit)) || (line && !is_harmless(text))
        }
        Kind::Secret => !is_harmless(text),
        Kind::Token => is_token(text),
        Kind::Weak if joint == Joint::Compared => false,
        Kind::Weak if is_number(text) => text.len() >= 3 && joint != Joint::Spaced,
        Kind::Weak => is_drawn(text) || is_basic(text) || (matches!(previous, b';') && bare),
        Kind::Code => {
            matches!(previous, b'?' | b'&')
                && joint == Joint::Tight
                && text.len() >= 8
                && text.iter().any(u8::is_ascii_digit)
        }
    }
}

/// Whether a value under this name and in quotes is a secret.
pub(super) fn is_secret_value(kind: Kind, text: &str) -> bool {
    !is_cut(text.as_bytes()) && covers(kind, text.as_bytes(), false, Joint::Known, false, 0, 0)
}

/// The shortest number that is a secret under a secret's name, in characters: shorter ones are counts.
const SHORTEST_NUMBER: usize = 4;

/// Whether a number under this name is a secret.
pub(super) fn is_secret_number(kind: Kind, number: &str) -> bool {
    match kind {
        Kind::Key => true,
        Kind::Secret => number.len() >= SHORTEST_NUMBER && number.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// Whether what stands under `token` is one, rather than a word that a model of language reads.
fn is_token(text: &[u8]) -> bool {
    let mixed = text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic);
    !text.iter().any(|byte| is_space(*byte))
        && ((text.len() >= 8 && mixed) || (text.len() >= 8 && is_drawn(text)))
}

/// Whether it is a user and a password in base64.
fn is_basic(text: &[u8]) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let Some(text) = text
        .get(..NEAR.min(text.len()) / 4 * 4)
        .filter(|text| text.len() >= 8)
    else {
        return false;
    };
    let decoded = STANDARD.decode(text).ok();
    let read = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    read.is_some_and(|read| read.contains(':') && !read.contains(char::is_control))
}

/// A scheme, and something behind it.
fn is_authorization(text: &[u8]) -> bool {
    let scheme = run(text, 0, 24, |byte| {
        !is_space(byte) && byte != b'+' && byte != b'%'
    });
    let word = text.get(..scheme).unwrap_or_default();
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known)) && scheme < text.len()
}

/// Whether nothing but an end of a line follows.
fn ends_line(bytes: &[u8], at: usize) -> bool {
    let end = run(bytes, at, usize::MAX, |byte| matches!(byte, b' ' | b'\t'));
    end >= bytes.len()
        || matches!(byte(bytes, end), b'\n' | b'\r' | b'"' | b'#')
        || (byte(bytes, end) == b'\\' && matches!(byte(bytes, end + 1), b'n' | b'r' | b'\\' | b'"'))
}

/// Whether JSON writes this bare and means no secret.
fn is_plain(text: &[u8], kind: Kind, in_json: bool) -> bool {
    let is_count = || {
        let length = if in_json { SHORTEST_NUMBER } else { 1 };
        is_number(text) && (text.len() < length || text.contains(&b'.') || kind == Kind::Token)
    };
    matches!(text, b"null" | b"true" | b"false") || (kind != Kind::Key && in_json && is_count())
}

fn is_number(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok())
}

/// Whether this is what a cut left.
pub(super) fn is_cut(text: &[u8]) -> bool {
    text == REDACTED.as_bytes()
        || (text.ends_with(ELLIPSIS)
            && std::str::from_utf8(text).is_ok_and(|text| text.chars().take(MASKED + 1).count() <= MASKED))
}

/// What stands between a name and its value.
fn separator(bytes: &[u8], start: usize, end: usize, flag: bool) -> Option<Begin> {
    let spaces = |at| run(bytes, at, usize::MAX, is_space);
    let begin = |at, joint, quote| {
        Some(Begin {
            at,
            joint,
            quote,
            end: None,
        })
    };
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
        (b':' | b'=', _) => Some(after + 1),
        (b'%', b'3') if matches!(byte(bytes, after + 2), b'A' | b'a' | b'D' | b'd') => Some(after + 3),
        _ => None,
    };
    if let Some(at) = assigned {
        if let Some(block) = block(bytes, start, at) {
            return Some(block);
        }
        let value = spaces(at);
        let lines = bytes.get(at..value).unwrap_or_default().contains(&b'\n');
        let value = wrapped(bytes, value);
        // A sentence ends here, and what follows is none of it.
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
        if (flag || is_tuple(bytes, start)) && quote(bytes, next).is_some() {
            return begin(next, Joint::Tight, (0, 0));
        }
    }
    if quoted > end || is_form(bytes, start) {
        if let Some(at) = elsewhere(bytes, start, quoted) {
            return Some(at);
        }
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
fn elsewhere(bytes: &[u8], start: usize, at: usize) -> Option<Begin> {
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
        let end = run(bytes, close + 1, usize::MAX, |byte| {
            !matches!(byte, b'<' | b'"' | b'\\')
        });
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

/// The lines of a block of YAML whose `|` or `>` stands behind `at`.
fn block(bytes: &[u8], start: usize, at: usize) -> Option<Begin> {
    let mark = run(bytes, at, NEAR, |byte| byte == b' ');
    if mark == at || !matches!(byte(bytes, mark), b'|' | b'>') {
        return None;
    }
    let line = run(bytes, mark + 1, NEAR, |byte| {
        matches!(byte, b'-' | b'+' | b' ' | b'\r') || byte.is_ascii_digit()
    });
    if byte(bytes, line) != b'\n' {
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
    let from = run(bytes, line + 1, usize::MAX, is_space);
    (end > from).then_some(Begin {
        at: from,
        joint: Joint::Known,
        quote: (0, 0),
        end: Some(end),
    })
}

/// A quote at `at`, inside any number of strings: how many backslashes it has, and where its content begins.
fn quote(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mark = run(bytes, at, usize::MAX, |byte| byte == b'\\');
    matches!(byte(bytes, mark), b'"' | b'\'').then_some((mark - at, mark + 1))
}

/// Content of the quotes at `at`, and where they are closed; a text that was cut ends inside them.
fn quoted(bytes: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let (depth, content) = quote(bytes, at)?;
    let mark = byte(bytes, content - 1);
    let mut scan = content;
    loop {
        let next = run(bytes, scan, usize::MAX, |byte| byte != mark);
        let slashes = run_back(bytes, next, next - content, |byte| byte == b'\\');
        if next >= bytes.len() {
            return Some((content, slashes, next));
        }
        // A quote inside has two backslashes more for each string around it, and one.
        let (before, own) = (next - slashes, depth + 1);
        if before < depth {
            return Some((content, slashes, next));
        }
        if ((before - depth) / own).is_multiple_of(2) {
            return Some((content, next - depth, next + 1));
        }
        scan = next + 1;
    }
}

/// A value in quotes, or a list of them: from the first one's content to the last one's.
fn quoted_or_listed(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if byte(bytes, at) != b'[' {
        return quoted(bytes, at)
            .map(|(start, end, _)| (start, end))
            .filter(|(start, end)| start < end);
    }
    let spaces = |at| run(bytes, at, usize::MAX, is_space);
    let (start, mut end, mut next) = quoted(bytes, spaces(at + 1))?;
    loop {
        next = spaces(next);
        if byte(bytes, next) != b',' {
            break;
        }
        let Some((_, further, behind)) = quoted(bytes, spaces(next + 1)) else {
            break;
        };
        (end, next) = (further, behind);
    }
    (start < end).then_some((start, end))
}

/// A value that ends at the next delimiter. The word that names an authorization's scheme belongs to it, and to a
/// cookie all further ones.
fn bare(bytes: &[u8], at: usize, kind: Kind, joint: Joint) -> Option<(usize, usize)> {
    let is = |byte: u8| !(is_space(byte) || b"\"'\\&,;{}[]\0".contains(&byte));
    // A placeholder has braces: `${PASSWORD}`, `{{ password }}`.
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.starts_with(b"${") || rest.starts_with(b"{{") {
        let end = run(bytes, at + 2, NEAR, |byte| {
            byte != b'}' && byte != b'\n' && byte != b'"'
        });
        let end = run(bytes, end, 2, |byte| byte == b'}');
        return Some((at, end));
    }
    let mut end = run(bytes, at, usize::MAX, is);
    let word = bytes.get(at..end).unwrap_or_default();
    let is_scheme = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
    let next = run(bytes, end, usize::MAX, |byte| matches!(byte, b' ' | b'\t'));
    if is_scheme && next > end && (kind == Kind::Authorization || kind == Kind::Key || joint == Joint::Tight)
    {
        end = if WITH_PARAMETERS
            .iter()
            .any(|scheme| word.eq_ignore_ascii_case(scheme))
        {
            parameters(bytes, next).max(end)
        } else {
            run(bytes, next, usize::MAX, is).max(end)
        };
    }
    while kind == Kind::Cookie && byte(bytes, end) == b';' {
        let next = run(bytes, end + 1, usize::MAX, |byte| byte == b' ');
        let further = run(bytes, next, usize::MAX, is);
        if !bytes.get(next..further).unwrap_or_default().contains(&b'=') {
            break;
        }
        end = further;
    }
    (end > at).then_some((at, end))
}

/// Where parameters such as `username="a", response="b"` end that begin at `at`.
fn parameters(bytes: &[u8], at: usize) -> usize {
    let (mut end, mut next) = (at, at);
    loop {
        let name = run(bytes, next, NEAR, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
        });
        if name == next || byte(bytes, name) != b'=' {
            return if end == at {
                run(bytes, at, usize::MAX, |byte| {
                    !(is_space(byte) || b"\"'\\,;".contains(&byte))
                })
            } else {
                end
            };
        }
        let value = name + 1;
        end = match quoted(bytes, value) {
            Some((_, _, behind)) => behind,
            None => run(bytes, value, usize::MAX, |byte| {
                !(is_space(byte) || b"\"'\\,".contains(&byte))
            }),
        };
        next = run(bytes, end, NEAR, |byte| matches!(byte, b',' | b' '));
        if next == end {
            return end;
        }
    }
}

/// The value of a `Bearer` or `Basic` that ends at `end`: only what looks like one, for both are also words. Otherwise
/// up to where there is none.
pub(super) fn credential(bytes: &[u8], start: usize, end: usize) -> Result<(usize, usize), usize> {
    let previous = before(bytes, start, 1);
    if (previous.is_ascii_alphanumeric() || previous == b'_') && !after_escape(bytes, start) {
        return Err(end);
    }
    let from = if bytes.get(end..end + 3) == Some(b"%20") {
        end + 3
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
    let is_basic = || is_basic(text) || text.ends_with(b"=") || text.iter().any(u8::is_ascii_digit);
    let looks = byte(bytes, start).to_ascii_lowercase() != b'b'
        || byte(bytes, start + 1).to_ascii_lowercase() != b'a'
        || is_basic();
    if text.len() >= 8 && looks && !is_cut(text) {
        Ok((from, to))
    } else {
        Err(from)
    }
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
        return Some((from, colon));
    }
    if byte(bytes, colon) != b':' {
        return None;
    }
    let end = run(bytes, colon, usize::MAX, is);
    // The last one: passwords are not always encoded as they should be.
    let at = run_back(bytes, end, end - colon, |byte| byte != b'@').checked_sub(1)?;
    let password = bytes.get(colon + 1..at).filter(|password| !password.is_empty())?;
    (!is_cut(password)).then_some((colon + 1, at))
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
        matches!(byte, b' ' | b'=' | b'"' | b'\'' | b'\\')
    });
    let to = run(bytes, from, NEAR, |byte| {
        !(is_space(byte) || b"\"'\\".contains(&byte))
    });
    let colon = run(bytes, from, to - from, |byte| byte != b':');
    let password = bytes.get(colon + 1..to)?;
    let stays = is_cut(password) || std::str::from_utf8(password).is_ok_and(is_placeholder);
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
