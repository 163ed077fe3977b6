//! Values that stand under the name of a secret: in JSON (also inside JSON inside JSON), headers, query strings,
//! command lines, connection strings, XML, YAML, forms.

use super::REDACTED;
use super::bytes::{before, byte, is_space, run, run_back};
use super::joints::{Begin, Joint, Reads, separator};
use super::looks::{
    is_drawn, is_drawn_item, is_harmless, is_location, is_lot, is_parts, is_random, is_reference, is_words,
};
use super::names::{Kind, begins_line, is_flag, kind_of};
use super::placeholders::is_placeholder;
use super::private_keys;
use super::quotes::{bare, quoted_or_listed};
use super::view::unescaped;

/// How the value of an authorization begins, where another word follows.
pub(super) const SCHEMES: &[&[u8]] = &[
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
/// How far behind a name the value is looked for where other things stand between.
pub(super) const NEAR: usize = 200;
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

/// Where the value of the name from `start` to `end` begins. Up to `covered` the values of a kind were read already;
/// `reads` is for [`separator`].
pub(super) fn value_start(
    bytes: &[u8],
    start: usize,
    end: usize,
    kind: Kind,
    covered: impl Fn(Kind) -> usize,
    reads: &mut Reads,
) -> Option<(Begin, Kind)> {
    let flag = kind != Kind::Code && is_flag(bytes, start);
    let kind = match kind_of(bytes, start, end, kind) {
        Some(kind) if flag && kind == Kind::Token => Kind::Secret,
        Some(kind) => kind,
        None if flag => kind,
        None => return None,
    };
    // A part of a longer name: `arn:…:secret:prod/db`.
    let joins = |at: usize, back: usize| {
        before(bytes, at, back).is_ascii_alphanumeric() || before(bytes, at, back) == b':'
    };
    if byte(bytes, end) == b':' && before(bytes, start, 1) == b':' && joins(start, 2) {
        return None;
    }
    let begin = separator(bytes, start, end, flag, covered(kind), reads)?;
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
        // `</password>`, and no further placeholder: `<user>:<password>@<host>`.
        let closes = byte(bytes, to) == b'<' && matches!(byte(bytes, to + 1), b'/' | b'\\' | b'!');
        (closes && to > at).then_some((at, to))?
    } else {
        quoted_or_listed(bytes, at).or_else(|| bare(bytes, at, kind, begin.joint))?
    };
    let (bare_from, mut from, mut to) = (from, from, to);
    if kind == Kind::Authorization
        && let Some(token) = behind_scheme(bytes, from, to, from == at)
    {
        (from, to) = token;
    }
    let behind = from > bare_from;
    let text = bytes.get(from..to).unwrap_or_default();
    let quoted_name = begin.quote.0 < begin.quote.1;
    let bare = bare_from == at && begin.end.is_none();
    // A word of JSON or a count, written bare in JSON, is no secret, except under the operator's keys. A cut is not cut
    // again.
    let plain = bare && (is_plain(text, kind, quoted_name) || (kind != Kind::Key && is_markup(text)));
    Some(Value {
        start: from,
        end: to,
        secret: !plain
            && !is_cut(text)
            && (kind == Kind::Key || !is_own_name(bytes, start, end, text))
            && (behind || {
                let line = begin.joint == Joint::Spaced && begins_line(bytes, start);
                let next = byte(bytes, to);
                covers(
                    kind,
                    text,
                    bare,
                    begin.joint,
                    (line && ends_line(bytes, to))
                        || (begin.joint == Joint::Spaced && is_flow(bytes, start, to)),
                    next,
                    bytes.get(start..end).unwrap_or_default(),
                    before(bytes, start, 1),
                    bytes
                        .get(..start)
                        .is_some_and(|address| address.ends_with(b".svg?")),
                )
            }),
        quote: if bare && quoted_name && is_number(text) {
            begin.quote
        } else {
            (0, 0)
        },
    })
}

/// Whether a value is only its name again: `client_secret='client_secret'`.
fn is_own_name(bytes: &[u8], start: usize, end: usize, text: &[u8]) -> bool {
    let from = run_back(bytes, start, 48, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_'
    });
    text.len() > end - start && bytes.get(from..end) == Some(text) && !is_lot(text)
}

/// Whether a name of this kind makes this text a secret.
#[expect(
    clippy::too_many_arguments,
    reason = "what stands around a value, each asked once"
)]
fn covers(
    kind: Kind,
    text: &[u8],
    bare: bool,
    joint: Joint,
    line: bool,
    next: u8,
    name: &[u8],
    previous: u8,
    is_badge: bool,
) -> bool {
    if joint == Joint::Listed && !matches!(kind, Kind::Cookie | Kind::Authorization) {
        return match kind {
            Kind::Code | Kind::Phrase => false,
            Kind::Loose | Kind::Token => is_random(text),
            _ => is_drawn_item(text) && is_lot(text) && !is_harmless(text),
        };
    }
    if kind == Kind::Key {
        return true;
    }
    if text.is_empty() {
        return false;
    }
    if std::str::from_utf8(text).is_ok_and(is_put) || is_location(text) || private_keys::is_sample(text) {
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
                || is_drawn(text)
                || (!bare
                    && joint != Joint::Listed
                    && text.len() >= 12
                    && !text.contains(&b' ')
                    && !is_harmless(text))
        }
        Kind::Secret if joint == Joint::Compared => !bare && is_drawn(text) && !is_harmless(text),
        Kind::Affixed => joint != Joint::Compared && is_lot(text) && !is_harmless(text),
        Kind::Loose => {
            let text = text.strip_prefix(b"base64:").unwrap_or(text);
            joint != Joint::Compared && is_random(text)
        }
        Kind::Phrase => {
            text.split(|byte| is_space(*byte))
                .filter(|word| !word.is_empty())
                .count()
                >= 11
        }
        Kind::Secret if written => {
            (is_drawn(text) && text.iter().any(u8::is_ascii_digit)) || (line && !is_harmless(text))
        }
        Kind::Secret => !is_harmless(text),
        // The badge of a project.
        Kind::Token if previous == b'?' && is_badge => false,
        Kind::Token if joint == Joint::Tight && bare => {
            let in_address = matches!(previous, b'?' | b'&');
            is_token(text) || ((in_address || text.len() >= 12) && !is_harmless(text))
        }
        Kind::Token => is_token(text),
        Kind::Weak | Kind::Pin if joint == Joint::Compared => false,
        Kind::Pin => is_lot(text) || (is_pin(text) && joint != Joint::Spaced),
        // The verdict of a test.
        Kind::Weak if written && name == b"PASS" => false,
        Kind::Weak => {
            // Only behind a key, or a gap, it may be a name: a password has such parts, too.
            let parts =
                is_parts(text) && (joint == Joint::Spaced || name.to_ascii_lowercase().ends_with(b"key"));
            (is_drawn(text) && !is_words(text) && !parts && !is_harmless(text))
                || is_basic(text)
                || (previous == b';' && (bare || joint == Joint::Known))
        }
        Kind::Code => {
            matches!(previous, b'?' | b'&')
                && joint == Joint::Tight
                && text.len() >= 8
                && text.iter().any(u8::is_ascii_digit)
        }
    }
}

/// Whether a text stands where a secret is to be put, also where JSON escapes its letters: `API-Schl\u00fcssel`.
fn is_put(text: &str) -> bool {
    /// In so many strings of JSON.
    const DEEPEST: usize = 3;
    let mut text = std::borrow::Cow::Borrowed(text);
    for _ in 0..DEEPEST {
        if is_placeholder(&text) {
            return true;
        }
        if !text.contains("\\u") {
            break;
        }
        text = unescaped(&text).into();
    }
    is_placeholder(&text)
}

/// Whether a value under this name and in quotes is a secret.
pub(super) fn is_secret_value(kind: Kind, text: &str) -> bool {
    !is_cut(text.as_bytes()) && {
        let bytes = text.as_bytes();
        let behind = kind == Kind::Authorization && behind_scheme(bytes, 0, bytes.len(), false).is_some();
        behind || covers(kind, bytes, false, Joint::Known, false, 0, &[], 0, false)
    }
}

/// The shortest number that is a secret under a secret's name, in characters: shorter ones are counts.
const SHORTEST_NUMBER: usize = 4;

/// Whether a number under this name is a secret.
pub(super) fn is_secret_number(kind: Kind, number: &str) -> bool {
    match kind {
        Kind::Key => true,
        Kind::Secret => {
            number.len() >= SHORTEST_NUMBER && number.bytes().all(|byte| byte.is_ascii_digit())
                || is_long_fraction(number)
        }
        _ => false,
    }
}

/// Whether a fraction has more digits than what is measured or counted.
fn is_long_fraction(number: &str) -> bool {
    const LONG: usize = 12;
    number.contains('.')
        && number.len() >= LONG
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && !number.starts_with("0.")
}

/// Whether it is a number as short as people remember.
fn is_pin(text: &[u8]) -> bool {
    (3..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// Whether what stands under `token` is one, rather than a word that a model of language reads.
fn is_token(text: &[u8]) -> bool {
    let mixed = text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic);
    // The address of a coin is no secret.
    let is_address =
        text.len() == 42 && text.starts_with(b"0x") && text.iter().skip(2).all(u8::is_ascii_hexdigit);
    !text.iter().any(|byte| is_space(*byte) || !byte.is_ascii())
        && !is_address
        && text.len() >= 8
        && (mixed || is_drawn(text))
        && !is_numbered(text)
}

/// Whether it is a user and a password in base64.
pub(super) fn is_basic(text: &[u8]) -> bool {
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

/// A word with a number behind it, as identifiers are: `function1`.
fn is_numbered(text: &[u8]) -> bool {
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let digits = text
        .iter()
        .skip(letters)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    letters + digits == text.len() && digits <= 4 && letters <= 10
}

/// A scheme that is known, and something behind it.
fn is_authorization(text: &[u8]) -> bool {
    let scheme = run(text, 0, 24, |byte| {
        !is_space(byte) && byte != b'+' && byte != b'%'
    });
    let word = text.get(..scheme).unwrap_or_default();
    let rest = text.get(scheme..).unwrap_or_default().trim_ascii();
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known)) && !rest.is_empty() && !is_blank(rest)
}

/// Whether a credential behind its scheme is none: `<token>`, `$TOKEN`, `${token}`, or cut already.
fn is_blank(text: &[u8]) -> bool {
    let text = text.strip_suffix(b"`").unwrap_or(text);
    is_cut(text)
        || matches!(text, b"$" | b"token")
        || text.ends_with(ELLIPSIS)
        || std::str::from_utf8(text).is_ok_and(is_placeholder)
}

/// The credential in `Custom dRw7…`, behind a scheme that nobody knows, where it cannot be prose: it looks drawn by lot, or
/// is a text of its own.
fn behind_scheme(bytes: &[u8], from: usize, to: usize, bare: bool) -> Option<(usize, usize)> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let word = run(bytes, from, 32, is_name);
    let scheme = bytes.get(from..word)?;
    let colon = usize::from(byte(bytes, word) == b':');
    let next = run(bytes, word + colon, 4, |byte| matches!(byte, b' ' | b'\t'));
    if !scheme.first()?.is_ascii_alphabetic()
        || next == word + colon
        || (colon == 0 && SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)))
    {
        return None;
    }
    let is = |byte: u8| !(is_space(byte) || b"\"'\\,;<>{}[]\0".contains(&byte));
    let end = run(
        bytes,
        next,
        if bare { usize::MAX } else { to.checked_sub(next)? },
        is,
    );
    let token = bytes.get(next..end)?;
    let alone = !bare && end == to && token.len() >= 12 && !token.iter().all(u8::is_ascii_lowercase);
    (token.len() >= 8 && !is_blank(token) && (is_lot(token) || alone)).then_some((next, end))
}

/// Whether nothing but an end of a line follows.
fn ends_line(bytes: &[u8], at: usize) -> bool {
    let end = run(bytes, at, usize::MAX, |byte| matches!(byte, b' ' | b'\t'));
    end >= bytes.len()
        || matches!(byte(bytes, end), b'\n' | b'\r' | b'"' | b'\'' | b'#')
        || (byte(bytes, end) == b'\\' && matches!(byte(bytes, end + 1), b'n' | b'r' | b'\\' | b'"'))
}

/// Whether a value stands in braces that are all there is in their line, or all behind a key: YAML, and no code.
fn is_flow(bytes: &[u8], start: usize, end: usize) -> bool {
    let in_braces = |byte: u8| !matches!(byte, b'{' | b'}' | b'(' | b'\n' | b';');
    if !matches!(byte(bytes, end), b',' | b'}') {
        return false;
    }
    let open = run_back(bytes, start, NEAR, in_braces);
    let close = run(bytes, end, NEAR, in_braces);
    let behind = run(bytes, close + 1, NEAR, |byte| matches!(byte, b' ' | b'\r' | b'}'));
    let key = run_back(bytes, open.saturating_sub(1), NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ' | b':')
    });
    let text = bytes
        .get(key..open.saturating_sub(1))
        .unwrap_or_default()
        .trim_ascii();
    let is_key =
        text.is_empty() || text == b"-" || (text.ends_with(b":") && !text.trim_ascii_start().contains(&b' '));
    before(bytes, open, 1) == b'{'
        && byte(bytes, close) == b'}'
        && is_key
        && matches!(before(bytes, key, 1), 0 | b'\n' | b'"')
        && matches!(byte(bytes, behind), 0 | b'\n' | b'#' | b'"')
}

/// Whether what stands bare is no text of its own: an element, a placeholder of several words, signs without a letter.
fn is_markup(text: &[u8]) -> bool {
    let is_element = matches!(text, [b'<', next, ..] if next.is_ascii_alphabetic() || *next == b'/');
    is_element
        || !text
            .iter()
            .any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())
}

/// Whether JSON writes this bare and means no secret.
fn is_plain(text: &[u8], kind: Kind, in_json: bool) -> bool {
    let is_count = || {
        let length = if in_json { SHORTEST_NUMBER } else { 1 };
        is_number(text)
            && (text.len() < length
                || (text.contains(&b'.') && !std::str::from_utf8(text).is_ok_and(is_long_fraction))
                || matches!(kind, Kind::Token | Kind::Weak))
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
