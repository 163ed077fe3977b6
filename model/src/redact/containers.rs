//! Objects that are named as secrets are, whose members are secrets, whatever they are called: `{"secrets": {"db": "…"}}`,
//! `cookies: { sid: '…' }`, `[credentials]` of a settings file.

use super::bytes::{byte, is_space, run, run_back};
use super::looks::{is_harmless, is_lot};
use super::named::{NEAR, is_cut, is_secret_value};
use super::names::{Kind, tells_of_another};
use super::pairs;
use super::quotes::{quote, quoted};

/// How many objects inside one another are told apart.
const DEEPEST: usize = 16;

/// What the name of an object says of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// It holds many: each text is one.
    Many(Kind),
    /// It is one, or is about one: what looks drawn by lot.
    Drawn,
}

impl Members {
    /// Of an object of this name; `None` if its members are no secrets because of it.
    pub(super) fn of(name: &[u8], kind: Kind) -> Option<Self> {
        match kind {
            Kind::Cookie => Some(Self::Many(Kind::Secret)),
            Kind::Secret if name.last().is_some_and(|last| last.eq_ignore_ascii_case(&b's')) => {
                Some(Self::Many(kind))
            }
            Kind::Secret | Kind::Weak | Kind::Affixed => Some(Self::Drawn),
            _ => None,
        }
    }

    /// Whether the member of this name is a secret, `depth` objects deep in the named one.
    pub(super) fn has(self, member: &str, text: &str, depth: usize) -> bool {
        let bytes = text.as_bytes();
        let is_public = [
            "integrity",
            "sha",
            "hash",
            "digest",
            "checksum",
            "fingerprint",
            "resolved",
        ]
        .iter()
        .any(|word| member.starts_with(word) || text.starts_with("sha"));
        if is_public || tells_of_another(member.as_bytes()) || is_cut(bytes) || text.starts_with("http") {
            return false;
        }
        let whole = !bytes.iter().any(|byte| is_space(*byte));
        match self {
            Self::Many(kind) if depth <= 1 && whole => is_secret_value(kind, text),
            _ => whole && is_lot(bytes) && !is_harmless(bytes),
        }
    }
}

/// Whether a member of this name makes an object a schema, which says what a value has to be.
pub(super) fn is_schema(member: &str, text: Option<&str>) -> bool {
    const WORDS: &[&str] = &[
        "string", "object", "array", "number", "integer", "boolean", "null",
    ];
    match member {
        "$ref" | "anyOf" | "oneOf" | "allOf" | "properties" => true,
        "type" => text.is_some_and(|text| WORDS.contains(&text)),
        _ => false,
    }
}

/// An object or list that is open.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// How many secrets were found when it began.
    found: usize,
    is_list: bool,
    is_schema: bool,
    /// The name it stands under.
    key: (usize, usize),
}

/// The secrets in the object or list that is open at `at`, and where it ends or stops to be read.
pub(super) fn members(bytes: &[u8], at: usize, members: Members) -> (Vec<(usize, usize)>, usize) {
    let mut found = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut at = at;
    let mut key = (0, 0);
    while at < bytes.len() {
        #[cfg(test)]
        super::bytes::looks::add(1);
        match byte(bytes, at) {
            first @ (b'{' | b'[') => {
                if open.len() == DEEPEST {
                    break;
                }
                let name =
                    std::str::from_utf8(bytes.get(key.0..key.1).unwrap_or_default()).unwrap_or_default();
                if let Some(outer) = open.last_mut() {
                    outer.is_schema |= is_schema(name, None);
                }
                open.push(Open {
                    found: found.len(),
                    is_list: first == b'[',
                    is_schema: false,
                    key,
                });
                key = (0, 0);
                at += 1;
            }
            b'}' | b']' => {
                if let Some(closed) = open.pop()
                    && closed.is_schema
                {
                    found.truncate(closed.found);
                }
                at += 1;
                if open.is_empty() {
                    break;
                }
                key = (0, 0);
            }
            b',' | b'\n' => {
                key = (0, 0);
                at += 1;
            }
            b'"' | b'\'' | b'\\' if quote(bytes, at).is_some() => {
                let Some((from, to, next)) = quoted(bytes, at) else {
                    break;
                };
                at = next.max(at + 1);
                match joined(bytes, at) {
                    Some(value) if key == (0, 0) => {
                        key = (from, to);
                        at = value;
                    }
                    _ => add(bytes, key, (from, to), &mut open, members, &mut found),
                }
            }
            byte if is_name(byte) || byte == b'$' => {
                let from = at;
                at = run(bytes, from, usize::MAX, |byte| {
                    !(is_space(byte) || b",{}[]\"'\\:=".contains(&byte))
                })
                .max(from + 1);
                match joined(bytes, at) {
                    Some(value) if key == (0, 0) => {
                        key = (from, at);
                        at = value;
                    }
                    // Without quotes it may be the name of a variable.
                    _ if key != (0, 0) && is_lot(bytes.get(from..at).unwrap_or_default()) => {
                        add(bytes, key, (from, at), &mut open, members, &mut found);
                    }
                    _ => {}
                }
            }
            _ => at += 1,
        }
    }
    (found, at)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'@' | b'.')
}

/// Where the value begins of a member whose name ends at `at`.
fn joined(bytes: &[u8], at: usize) -> Option<usize> {
    let sign = run(bytes, at, 4, |byte| byte == b' ');
    let end = match (byte(bytes, sign), byte(bytes, sign + 1)) {
        (b'=', b'>') => sign + 2,
        (b':' | b'=', _) => sign + 1,
        _ => return None,
    };
    Some(run(bytes, end, NEAR, is_space))
}

/// Adds a text if it is a secret.
fn add(
    bytes: &[u8],
    key: (usize, usize),
    (from, to): (usize, usize),
    open: &mut [Open],
    members: Members,
    found: &mut Vec<(usize, usize)>,
) {
    let read = |(from, to): (usize, usize)| {
        std::str::from_utf8(bytes.get(from..to).unwrap_or_default()).unwrap_or_default()
    };
    let key = match open.last() {
        Some(list) if list.is_list && key == (0, 0) => list.key,
        _ => key,
    };
    let (name, text) = (read(key), read((from, to)));
    let depth = open.iter().filter(|open| !open.is_list).count();
    let listed = open.first().is_some_and(|first| first.is_list);
    if let Some(inner) = open.last_mut() {
        inner.is_schema |= is_schema(name, Some(text));
    }
    // Of pairs in a list it is the value, and of lists of texts others know more.
    let named = key != (0, 0) && (!listed || pairs::is_value(name) || is_lot(text.as_bytes()));
    if named && members.has(name, text, depth) {
        found.push((from, to));
    }
}

/// Whether the name whose last words begin at `start` is that of an operation, whose members are its parameters:
/// `"ListAccessKeys": {"limit_key": "MaxItems"}`.
pub(super) fn is_operation(bytes: &[u8], start: usize) -> bool {
    const VERBS: &[&[u8]] = &[
        b"List",
        b"Get",
        b"Describe",
        b"Create",
        b"Delete",
        b"Update",
        b"Put",
        b"list",
        b"get",
        b"describe",
    ];
    let from = run_back(bytes, start, 48, |byte| byte.is_ascii_alphanumeric());
    let name = bytes.get(from..start).unwrap_or_default();
    VERBS.iter().any(|verb| name.starts_with(verb))
}

/// Where the object or list begins of the name from `start` to `end`.
pub(super) fn begin(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let named = quote(bytes, end).map_or(end, |(_, content)| content);
    // A block of Terraform has no sign: `variable "password" {`.
    let gap = run(bytes, named, 1, |byte| byte == b' ');
    let is_line = || {
        let line = run_back(bytes, start, NEAR, |byte| matches!(byte, b' ' | b'\t'));
        line == 0 || byte(bytes, line - 1) == b'\n'
    };
    let is_block = named > end || (gap > named && byte(bytes, gap + 1) == b'\n' && is_line());
    let open = if is_block && byte(bytes, gap) == b'{' {
        gap
    } else {
        joined(bytes, named)?
    };
    let next = run(bytes, open + 1, 8, is_space);
    match byte(bytes, open) {
        b'{' => (byte(bytes, next) != b'{').then_some(open),
        b'[' => (byte(bytes, next) == b'{').then_some(open),
        _ => None,
    }
}

/// The secrets in the lines below the name from `start` to `end`, where they are members of it: further to the right
/// in YAML, up to the next `[section]` in other settings; and where the lines end.
pub(super) fn lines(
    bytes: &[u8],
    start: usize,
    end: usize,
    members: Members,
) -> Option<(Vec<(usize, usize)>, usize)> {
    let named = quote(bytes, end).map_or(end, |(_, content)| content);
    if !matches!(byte(bytes, named), b':' | b']') {
        return None;
    }
    let line_end = run(bytes, named + 1, 8, |byte| matches!(byte, b' ' | b'\r' | b']'));
    if byte(bytes, line_end) != b'\n' {
        return None;
    }
    let from = run_back(bytes, start, NEAR, |byte| byte != b'\n');
    let is_section = byte(bytes, named) == b']';
    if is_section && byte(bytes, from) != b'[' {
        return None;
    }
    let indent = |at: usize| run(bytes, at, NEAR, |byte| byte == b' ') - at;
    // The members of an item of a list stand further to the right than its dash.
    let dash = |at: usize| bytes.get(at..at + 2) == Some(b"- ");
    let is_item = dash(from + indent(from));
    let outer = indent(from) + if is_item { 2 } else { 0 };
    let mut found = Vec::new();
    let mut at = line_end + 1;
    let mut first = None;
    while at < bytes.len() {
        let end = run(bytes, at, usize::MAX, |byte| byte != b'\n');
        let inner = indent(at);
        let content = at + inner;
        let is_over = if is_section {
            byte(bytes, content) == b'['
        } else {
            // Items may stand below the name of their list.
            inner < outer || (inner == outer && !dash(content))
        };
        if content < end && byte(bytes, content) != b'\r' {
            if is_over {
                break;
            }
            let first = *first.get_or_insert(inner);
            found.extend(member(
                bytes,
                content,
                end,
                members,
                if inner == first { 1 } else { 2 },
            ));
        }
        at = end + 1;
    }
    (at > line_end + 1).then_some((found, at))
}

/// The secret in the line from `from` to `end`.
fn member(bytes: &[u8], from: usize, end: usize, members: Members, depth: usize) -> Option<(usize, usize)> {
    let read = |from: usize, to: usize| std::str::from_utf8(bytes.get(from..to)?).ok();
    let name = run(bytes, from, NEAR, |byte| {
        is_name(byte) || matches!(byte, b'"' | b'\'')
    });
    let value = if byte(bytes, from) == b'-' && byte(bytes, from + 1) == b' ' {
        from + 2
    } else {
        joined(bytes, name).filter(|value| *value < end && name > from)?
    };
    let is_text = quote(bytes, value).is_some();
    let (value, to) = match quoted(bytes, value).filter(|_| is_text) {
        Some((value, to, _)) => (value, to),
        None => {
            let to = run(bytes, value, end - value, |byte| {
                !is_space(byte) && !matches!(byte, b',' | b'{' | b'[')
            });
            (value, to)
        }
    };
    let key = if name > from { read(from, name)? } else { "" };
    let text = read(value, to.min(end))?;
    // Without quotes it may be a word about it.
    ((is_text || is_lot(text.as_bytes())) && members.has(key.trim_matches(['"', '\'']), text, depth))
        .then_some((value, to.min(end)))
}
