//! Values that stand under the name of a secret: in JSON (also inside JSON inside JSON), headers, query strings,
//! command lines, connection strings, XML.

use super::REDACTED;
use super::bytes::{after_escape, before, byte, is_space, run, run_back};

/// Names under which secrets stand, as whole names and as the last part of others: `X-Api-Key`, `dbPassword`. A `?` may
/// be `_`, `-` or nothing.
pub(super) const NAMES: &[&str] = &[
    "api?key",
    "access?key",
    "secret?key",
    "secret?access?key",
    "private?key",
    "account?key",
    "subscription?key",
    "signing?key",
    "encryption?key",
    "master?key",
    "access?token",
    "refresh?token",
    "id?token",
    "auth?token",
    "oauth?token",
    "session?token",
    "bearer?token",
    "api?token",
    "security?token",
    "csrf?token",
    "xsrf?token",
    "bot?token",
    "user?token",
    "personal?token",
    "private?token",
    "deploy?token",
    "github?token",
    "gitlab?token",
    "slack?token",
    "npm?token",
    "client?secret",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pgpassword",
    "authorization",
    "cookie",
    "cookies",
    "credential",
    "credentials",
];

/// Words of names such as `NEXT_PAGE_TOKEN`, which are no secrets.
const HARMLESS: &[&[u8]] = &[
    b"PAGE",
    b"NEXT",
    b"PROGRESS",
    b"CONTINUATION",
    b"CURSOR",
    b"SYNC",
    b"MAX",
];
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
];
/// How far a command line's flag is looked for.
const LONGEST_FLAG: usize = 64;
/// The longest value that may be a credential cut already: ten characters and an ellipsis.
const MASKED: usize = 11;
/// How the ellipsis of a cut credential is encoded.
const ELLIPSIS: &[u8] = "…".as_bytes();

/// Every spelling of a name with `?` in it.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let mut spelled = vec![String::new()];
    for part in name.split_inclusive('?') {
        let joints: &[&str] = if part.ends_with('?') {
            &["", "_", "-"]
        } else {
            &[""]
        };
        spelled = spelled
            .iter()
            .flat_map(|begun| {
                joints
                    .iter()
                    .map(move |joint| format!("{begun}{}{joint}", part.trim_end_matches('?')))
            })
            .collect();
    }
    spelled
}

/// What kind of name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of [`NAMES`].
    Secret,
    /// `token`, which alone names many harmless things.
    Token,
    /// One that the operator added: its numbers are secrets too.
    Key,
    /// `pwd`, a password in a connection string only.
    Pwd,
}

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

/// Whether a name of this kind may begin at `start` and end at `end`, whatever follows.
pub(super) fn is_name(bytes: &[u8], start: usize, end: usize, kind: Kind) -> bool {
    let previous = before(bytes, start, 1);
    match kind {
        Kind::Secret | Kind::Key => {
            let hump = previous.is_ascii_lowercase() && byte(bytes, start).is_ascii_uppercase();
            !previous.is_ascii_alphabetic() || hump || after_escape(bytes, start)
        }
        Kind::Token => {
            let begins = !(previous.is_ascii_alphanumeric() || matches!(previous, b'_' | b'-'));
            begins || after_escape(bytes, start) || is_variable(bytes, start, end)
        }
        Kind::Pwd => previous == b';' || (is_space(previous) && before(bytes, start, 2) == b';'),
    }
}

/// Whether the `TOKEN` at `start` ends an environment variable's name such as `GITHUB_TOKEN`.
fn is_variable(bytes: &[u8], start: usize, end: usize) -> bool {
    let word_end = start.saturating_sub(1);
    let word = run_back(bytes, word_end, LONGEST_FLAG, |byte| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit()
    });
    bytes.get(start..end) == Some(b"TOKEN")
        && byte(bytes, word_end) == b'_'
        && word < word_end
        && !HARMLESS.contains(&bytes.get(word..word_end).unwrap_or_default())
}

/// Whether the name at `start` is a flag, or its last word: `--api-key`, `-dbPassword`.
fn is_flag(bytes: &[u8], start: usize) -> bool {
    let flag = run_back(bytes, start, LONGEST_FLAG, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'-'
    });
    // An escape before it is no part of it.
    let flag = run(bytes, flag, start - flag, |byte| byte != b'-');
    byte(bytes, flag) == b'-' && flag < start && {
        let previous = before(bytes, flag, 1);
        !previous.is_ascii_alphanumeric() || after_escape(bytes, flag)
    }
}

/// Where the value of the name from `start` to `end` begins, and the quote that ended the name.
pub(super) fn value_start(
    bytes: &[u8],
    start: usize,
    end: usize,
    kind: Kind,
) -> Option<(usize, (usize, usize))> {
    let flag = kind != Kind::Pwd && is_flag(bytes, start);
    if !(flag || is_name(bytes, start, end, kind)) {
        return None;
    }
    separator(bytes, end, flag)
}

/// The value that begins at `at`, of the name from `start` to `end`, which ended with this quote.
pub(super) fn value(
    bytes: &[u8],
    start: usize,
    end: usize,
    at: usize,
    quote: (usize, usize),
    kind: Kind,
) -> Option<Value> {
    let name = bytes.get(start..end).unwrap_or_default();
    let is_cookie = name
        .get(..6)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"cookie"));
    let (from, to) = if at == end + 1 && byte(bytes, end) == b'>' {
        let is = |byte: u8| !(is_space(byte) || matches!(byte, b'<' | b'>' | b'"' | b'\\'));
        let to = run(bytes, at, usize::MAX, is);
        (byte(bytes, to) == b'<' && to > at).then_some((at, to))?
    } else {
        quoted_or_listed(bytes, at).or_else(|| bare(bytes, at, is_cookie))?
    };
    let text = bytes.get(from..to).unwrap_or_default();
    let quoted_name = quote.0 < quote.1;
    // What JSON writes bare is no secret, except under the operator's keys; what is cut already is not cut again.
    let bare = from == at;
    let plain = bare && is_plain(text, kind != Kind::Key);
    Some(Value {
        start: from,
        end: to,
        secret: !plain && !is_cut(text),
        quote: if bare && quoted_name && is_number(text) {
            quote
        } else {
            (0, 0)
        },
    })
}

/// Whether JSON writes this bare.
fn is_plain(text: &[u8], numbers_too: bool) -> bool {
    matches!(text, b"null" | b"true" | b"false") || (numbers_too && is_number(text))
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

/// What stands between a name and its value: where it ends, and the quote that ended the name.
fn separator(bytes: &[u8], end: usize, flag: bool) -> Option<(usize, (usize, usize))> {
    let spaces = |at| run(bytes, at, usize::MAX, is_space);
    let quoted = quote(bytes, end).map_or(end, |(_, content)| content);
    let quoted = if quoted == end && bytes.get(end..end + 3) == Some(b"%22") {
        end + 3
    } else {
        quoted
    };
    let after = spaces(quoted);
    let assigned = match (byte(bytes, after), byte(bytes, after + 1)) {
        (b':', b'=') | (b'=', b'>') => Some(after + 2),
        (b':' | b'=', _) => Some(after + 1),
        (b'%', b'3') if matches!(byte(bytes, after + 2), b'A' | b'a' | b'D' | b'd') => Some(after + 3),
        _ => None,
    };
    if let Some(at) = assigned {
        let at = spaces(at);
        let at = if bytes.get(at..at + 3) == Some(b"%22") {
            at + 3
        } else {
            at
        };
        return Some((at, (end, quoted)));
    }
    if byte(bytes, end) == b'>' {
        return Some((end + 1, (0, 0)));
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
            return Some((at, (0, 0)));
        }
        // ["--api-key", "…"]
        if flag && quote(bytes, next).is_some() {
            return Some((next, (0, 0)));
        }
    }
    (flag && quoted == end && after > end && byte(bytes, after) != b'-').then_some((after, (0, 0)))
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
fn bare(bytes: &[u8], at: usize, is_cookie: bool) -> Option<(usize, usize)> {
    let is = |byte: u8| !(is_space(byte) || b"\"'\\&,;{}[]\0".contains(&byte));
    let mut end = run(bytes, at, usize::MAX, is);
    let is_scheme = bytes
        .get(at..end)
        .is_some_and(|word| SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)));
    let next = run(bytes, end, usize::MAX, |byte| matches!(byte, b' ' | b'\t'));
    if is_scheme && next > end {
        end = run(bytes, next, usize::MAX, is).max(end);
    }
    while is_cookie && byte(bytes, end) == b';' {
        let next = run(bytes, end + 1, usize::MAX, |byte| byte == b' ');
        let further = run(bytes, next, usize::MAX, is);
        if !bytes.get(next..further).unwrap_or_default().contains(&b'=') {
            break;
        }
        end = further;
    }
    (end > at).then_some((at, end))
}

/// The value of a `Bearer` or `Basic` that ends at `end`: only what looks like one, for both are also words.
pub(super) fn credential(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let previous = before(bytes, start, 1);
    if (previous.is_ascii_alphanumeric() || previous == b'_') && !after_escape(bytes, start) {
        return None;
    }
    let from = if bytes.get(end..end + 3) == Some(b"%20") {
        end + 3
    } else {
        run(bytes, end, usize::MAX, |byte| is_space(byte) || byte == b'+')
    };
    if from == end {
        return None;
    }
    let to = run(bytes, from, usize::MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"._~+/=%-".contains(&byte)
    });
    let text = bytes.get(from..to)?;
    let looks =
        super::bytes::is_mixed(text.get(..200).unwrap_or(text)) || text.len() >= 32 || text.ends_with(b"=");
    (text.len() >= 8 && looks).then_some((from, to))
}

/// The password of a URL whose `://` ends at `from`.
pub(super) fn url_password(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let is = |byte: u8| !(is_space(byte) || b"/?#\"'\\<>`\0".contains(&byte));
    let colon = run(bytes, from, usize::MAX, |byte| {
        is(byte) && !matches!(byte, b':' | b'@')
    });
    if byte(bytes, colon) != b':' {
        return None;
    }
    let end = run(bytes, colon, usize::MAX, is);
    // The last one: passwords are not always encoded as they should be.
    let at = run_back(bytes, end, end - colon, |byte| byte != b'@').checked_sub(1)?;
    let password = bytes.get(colon + 1..at).filter(|password| !password.is_empty())?;
    (!is_cut(password)).then_some((colon + 1, at))
}

/// The signature of a signed URL whose name ends at `end`.
pub(super) fn signature(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let previous = before(bytes, start, 1);
    if (previous.is_ascii_alphanumeric() || previous == b'_') && !after_escape(bytes, start) {
        return None;
    }
    let to = run(bytes, end, usize::MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"%+/=_-".contains(&byte)
    });
    (to - end >= 16).then_some((end, to))
}
