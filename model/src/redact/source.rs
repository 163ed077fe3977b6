//! Values of names in source code: behind types, in calls, behind words that declare, as defaults.

use super::bytes::{before, byte, run, run_back};
use super::joints::{Begin, Joint};
use super::quotes::{quote, quoted};
use super::wraps::wrapped;

/// How long identifiers, and types, are at most.
const LONGEST: usize = 48;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Spaces on one line.
fn spaces(bytes: &[u8], at: usize) -> usize {
    run(bytes, at, LONGEST, |byte| matches!(byte, b' ' | b'\t'))
}

/// Where the identifier begins whose last word begins at `start`.
fn identifier(bytes: &[u8], start: usize) -> usize {
    run_back(bytes, start, LONGEST, is_word)
}

/// The word that ends at `end`.
fn word(bytes: &[u8], end: usize) -> &[u8] {
    let from = run_back(bytes, end, LONGEST, |byte| is_word(byte) || byte == b'#');
    bytes.get(from..end).unwrap_or_default()
}

const fn begin(at: usize, joint: Joint) -> Option<Begin> {
    Some(Begin {
        at,
        joint,
        quote: (0, 0),
        end: None,
    })
}

/// A text behind the type of what it is assigned to: `password: &str = "…"`, `var password string = "…"`.
pub(super) fn typed(bytes: &[u8], end: usize) -> Option<Begin> {
    let optional = end + usize::from(matches!(byte(bytes, end), b'?' | b'!'));
    let is_colon = byte(bytes, optional) == b':';
    if !is_colon && byte(bytes, end) != b' ' {
        return None;
    }
    let from = run(bytes, optional + 1, 1, |byte| byte == b' ' && is_colon);
    let equals = run(bytes, from, LONGEST, |byte| {
        is_word(byte) || b" .*[]".contains(&byte) || (is_colon && b"&'<>|:?;()".contains(&byte))
    });
    let kind = bytes.get(from..equals)?.trim_ascii();
    // Without a colon it is Go, whose formatter leaves gaps; attributes of HTML have none.
    let is_assigned = byte(bytes, equals) == b'='
        && !matches!(byte(bytes, equals + 1), b'=' | b'>')
        && (is_colon || (byte(bytes, equals + 1) == b' ' && before(bytes, equals, 1) == b' '));
    // Several words are a sentence, but for what Rust writes before a type and what TypeScript writes between two.
    let is_type = !kind.is_empty()
        && (!kind.contains(&b' ') || kind.iter().any(|byte| b"&|[<".contains(byte)))
        && !kind.first().is_some_and(u8::is_ascii_digit);
    if !is_assigned || !is_type {
        return None;
    }
    let value = wrapped(bytes, spaces(bytes, equals + 1));
    quote(bytes, value)?;
    begin(value, Joint::Known)
}

/// A text of several that are assigned at once: `user, password = "bob", "…"`.
pub(super) fn parallel(bytes: &[u8], start: usize, end: usize) -> Option<Begin> {
    let from = identifier(bytes, start);
    let is_names = |byte: u8| is_word(byte) || matches!(byte, b',' | b' ' | b'.');
    if before(bytes, from, 1) != b' ' && byte(bytes, end) != b',' {
        return None;
    }
    if byte(bytes, end) != b',' && before(bytes, from, 2) != b',' {
        return None;
    }
    let first = run_back(bytes, from, LONGEST, is_names);
    let sign = run(bytes, end, LONGEST, is_names);
    let equals = run(bytes, sign, 1, |byte| byte == b':');
    if byte(bytes, equals) != b'=' || byte(bytes, equals + 1) == b'=' {
        return None;
    }
    let commas = bytes
        .get(first..from)?
        .iter()
        .filter(|byte| **byte == b',')
        .count();
    let mut value = spaces(bytes, equals + 1);
    for _ in 0..commas {
        value = argument(bytes, value)?;
    }
    quote(bytes, value)?;
    begin(value, Joint::Known)
}

/// The text in a call that sets the name from `start` to `end`, or in what constructs it: `setPassword("…")`,
/// `.password("…")`, `std::string password("…")`.
pub(super) fn called(bytes: &[u8], start: usize, end: usize) -> Option<Begin> {
    if !matches!(byte(bytes, end), b'(' | b'{') {
        return None;
    }
    let value = wrapped(bytes, spaces(bytes, end + 1));
    quote(bytes, value)?;
    let from = identifier(bytes, start);
    let caller = bytes.get(from..start)?.to_ascii_lowercase();
    let previous = before(bytes, from, 1);
    if byte(bytes, end) == b'(' && (caller.starts_with(b"set") || caller.starts_with(b"with")) {
        // `keyring.set_password("service", "user", "…")`
        let last = argument(bytes, value).and_then(|second| argument(bytes, second));
        return begin(last.map_or(value, |last| wrapped(bytes, last)), Joint::Known);
    }
    let is_builder = previous == b'.' && byte(bytes, end) == b'(';
    if is_builder && caller.is_empty() {
        let (content, stop, _) = quoted(bytes, value)?;
        let text = bytes.get(content..stop)?;
        // `.secret("…")` names one as often as it holds one.
        let is_name = bytes
            .get(start..end)?
            .get(..6)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"secret") || name.eq_ignore_ascii_case(b"creden"));
        let joint = if is_name { Joint::Listed } else { Joint::Known };
        return (text.len() >= 6 && !text.contains(&b' '))
            .then(|| begin(value, joint))
            .flatten();
    }
    let declares = previous == b' ' && {
        let kind = word(bytes, from.saturating_sub(1)).to_ascii_lowercase();
        kind.ends_with(b"string") || kind.ends_with(b"str") || kind == b"auto" || kind == b"char"
    };
    if is_builder || declares {
        return begin(value, if declares { Joint::Known } else { Joint::Listed });
    }
    None
}

/// Words that declare, in front of a name and a text.
const DECLARE: &[&[u8]] = &[
    b"#define",
    b"define",
    b"def",
    b"defconst",
    b"defconstant",
    b"defparameter",
    b"defvar",
    b"defonce",
    b"setq",
    b"setx",
    b"setenv",
    b"SetEnv",
    b"ENV",
    b"fastcgi_param",
    b"uwsgi_param",
    b"proxy_set_header",
    b"grpc_set_header",
    b"add_header",
    b"header",
    b"set",
    b"db",
];

/// Those of them that a value without quotes follows.
const DECLARE_BARE: &[&[u8]] = &[
    b"setx",
    b"setenv",
    b"SetEnv",
    b"ENV",
    b"fastcgi_param",
    b"uwsgi_param",
    b"proxy_set_header",
    b"grpc_set_header",
    b"add_header",
    b"header",
    b"set",
    b"define",
    b"#define",
];

/// The value behind a name that a word before it declares: `#define PASSWORD "…"`, `(setq api-key "…")`, `ENV KEY …`,
/// `{:password "…"}`.
pub(super) fn declared(bytes: &[u8], start: usize, end: usize) -> Option<Begin> {
    let value = spaces(bytes, end);
    if value == end {
        return None;
    }
    let from = run_back(bytes, start, LONGEST, |byte| is_word(byte) || byte == b'-');
    let content = wrapped(bytes, value);
    let is_text = quote(bytes, content).is_some();
    if before(bytes, from, 1) == b':' {
        let keyword = matches!(before(bytes, from, 2), b'{' | b'(' | b' ' | b',' | b'\n' | b'[');
        return (is_text && keyword)
            .then(|| begin(content, Joint::Known))
            .flatten();
    }
    // `password db "…", 0`
    if bytes.get(value..value + 3) == Some(b"db ") {
        let text = spaces(bytes, value + 3);
        return quote(bytes, text).and_then(|_| begin(text, Joint::Known));
    }
    if before(bytes, from, 1) != b' ' {
        return None;
    }
    let mut last = run_back(bytes, from, LONGEST, |byte| byte == b' ');
    let mut declares = word(bytes, last);
    // `set -gx KEY …`
    let option = before(bytes, last - declares.len(), 1) == b'-' && declares.len() <= 2;
    if option {
        last = run_back(bytes, last - declares.len() - 1, LONGEST, |byte| byte == b' ');
        declares = word(bytes, last);
    }
    let known = |words: &[&[u8]]| words.contains(&declares) && (declares != b"set" || option);
    if is_text {
        return known(DECLARE).then(|| begin(content, Joint::Known)).flatten();
    }
    (known(DECLARE_BARE) && !matches!(byte(bytes, value), b'$' | b'%' | b'('))
        .then(|| begin(value, Joint::Listed))
        .flatten()
}

/// Whether the name at `start` stands without quotes in `define(NAME, …`.
pub(super) fn is_defined(bytes: &[u8], start: usize) -> bool {
    let from = identifier(bytes, start);
    bytes
        .get(..from)
        .is_some_and(|before| before.ends_with(b"define("))
}

/// Whether the name at `start` is the first of a tuple, without quotes: `{password,…`, `(password,…`.
pub(super) fn is_atom(bytes: &[u8], start: usize) -> bool {
    let from = identifier(bytes, start);
    matches!(before(bytes, from, 1), b'{' | b'(') && !is_word(before(bytes, from, 2))
}

/// Whether the item at `at` is the last one of a tuple: what goes on is a list of names.
pub(super) fn ends_tuple(bytes: &[u8], at: usize) -> bool {
    let end = run(bytes, at, super::named::NEAR, |byte| {
        !(super::bytes::is_space(byte) || matches!(byte, b',' | b')' | b'}' | b';'))
    });
    matches!(byte(bytes, end), b')' | b'}')
}

/// Ends of the names of functions that are given a name and its value.
const SETTERS: &[&[u8]] = &[
    b"set",
    b"put",
    b"add",
    b"append",
    b"env",
    b"setvar",
    b"set_var",
    b"define",
    b"header",
    b"setdefault",
    b"setproperty",
    b"insert",
    b"param",
    b"cookie",
];

/// The text behind a name that is an argument or an item in quotes and ends before the comma at `comma`: of a call that
/// sets it, of a tuple, or else only what looks drawn by lot.
pub(super) fn listed(bytes: &[u8], start: usize, comma: usize) -> Option<Begin> {
    let next = run(bytes, comma + 1, LONGEST, super::bytes::is_space);
    let value = wrapped(bytes, next);
    quote(bytes, value)?;
    if is_defined(bytes, start) {
        return begin(value, Joint::Tight);
    }
    let from = run_back(bytes, start, LONGEST, |byte| is_word(byte) || byte == b'-');
    // An atom of Erlang has no quotes.
    if matches!(before(bytes, from, 1), b'{' | b'(') {
        return begin(value, Joint::Listed);
    }
    let mark = run_back(bytes, from, 4, |byte| {
        matches!(byte, b'"' | b'\'' | b'\\' | b'b' | b'u')
    });
    if mark == from || before(bytes, mark, 1) != b'(' {
        return begin(value, Joint::Listed);
    }
    let caller = word(bytes, mark - 1).to_ascii_lowercase();
    // A tuple, as debuggers print it, or what sets it.
    let alone = matches!(
        before(bytes, mark, 2),
        0 | b' ' | b'\n' | b'[' | b'(' | b'{' | b',' | b'=' | b':'
    );
    let sets = (caller.is_empty() && alone) || SETTERS.iter().any(|setter| caller.ends_with(setter));
    begin(value, if sets { Joint::Tight } else { Joint::Listed })
}

/// The text that stands in for a variable which is not set: `process.env.API_KEY || "…"`, `API_KEY ?? "…"`.
pub(super) fn fallback(bytes: &[u8], end: usize) -> Option<Begin> {
    let behind = run(bytes, end, 4, |byte| matches!(byte, b'"' | b'\'' | b']' | b')'));
    let sign = spaces(bytes, behind);
    if !matches!(bytes.get(sign..sign + 2), Some(b"||" | b"??")) {
        return None;
    }
    let value = spaces(bytes, sign + 2);
    quote(bytes, value)?;
    begin(value, Joint::Listed)
}

/// Where the argument begins behind the one at `at`, which is a short text or a variable.
fn argument(bytes: &[u8], at: usize) -> Option<usize> {
    let value = wrapped(bytes, at);
    let end = match quote(bytes, value) {
        Some((_, content)) => {
            let mark = byte(bytes, content - 1);
            let end = run(bytes, content, LONGEST, |byte| byte != mark && byte != b'\n');
            run(bytes, end, 1, |byte| byte == mark)
        }
        None => run(bytes, at, LONGEST, |byte| is_word(byte) || byte == b'.'),
    };
    let comma = spaces(bytes, end);
    (byte(bytes, comma) == b',').then(|| spaces(bytes, comma + 1))
}

/// Calls that are given a user and a password: how they begin, which text in them is the password, and whether they are
/// so common that it must look drawn by lot.
pub(super) const LOGINS: &[(&str, usize, bool)] = &[
    ("basicauth(", 1, false),
    ("basic_auth(", 1, false),
    ("basicauthentication(", 1, false),
    ("passwordcredentials(", 1, false),
    ("networkcredential(", 1, false),
    ("credentials.basic(", 1, false),
    ("basic_authorize(", 1, false),
    ("plainauth(", 2, false),
    ("auth=(", 1, true),
    ("auth = (", 1, true),
    (".auth(", 1, true),
    (".login(", 1, true),
];

/// The password in the call of [`LOGINS`] that is open at `at`.
pub(super) fn login(bytes: &[u8], index: usize, at: usize) -> Option<(usize, usize)> {
    let (_, position, common) = LOGINS.get(index)?;
    let mut next = spaces(bytes, at);
    for _ in 0..*position {
        next = argument(bytes, next)?;
    }
    let (_, content) = quote(bytes, wrapped(bytes, next))?;
    let mark = byte(bytes, content - 1);
    let end = run(bytes, content, super::named::NEAR, |byte| {
        byte != mark && byte != b'\n'
    });
    let end = run_back(bytes, end, end - content, |byte| byte == b'\\');
    let text = bytes.get(content..end)?;
    let stays = super::named::is_cut(text)
        || super::looks::is_harmless(text)
        || (*common && !super::looks::is_lot(text));
    (text.len() >= 3 && !stays).then_some((content, end))
}
