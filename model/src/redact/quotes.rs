//! Where a value ends: in quotes, inside any number of strings, or at the next delimiter.

use super::bytes::{byte, is_space, run, run_back};
use super::joints::Joint;
use super::named::{NEAR, SCHEMES};
use super::names::Kind;

/// Those of them that parameters follow: `realm="…", response="…"`.
const WITH_PARAMETERS: &[&[u8]] = &[
    b"digest",
    b"hawk",
    b"mac",
    b"oauth",
    b"signature",
    b"aws4-hmac-sha256",
];
/// A quote at `at`, inside any number of strings: how many backslashes it has, and where its content begins.
pub(super) fn quote(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mark = run(bytes, at, usize::MAX, |byte| byte == b'\\');
    matches!(byte(bytes, mark), b'"' | b'\'').then_some((mark - at, mark + 1))
}

/// Content of the quotes at `at`, and where they are closed; a text that was cut ends inside them.
pub(super) fn quoted(bytes: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let (depth, content) = quote(bytes, at)?;
    let mark = byte(bytes, content - 1);
    let sign = bytes.get(at..content)?;
    let is_sign = |at: usize| bytes.get(at..at + sign.len()) == Some(sign);
    if is_sign(content) && is_sign(content + sign.len()) {
        // Of Python, TOML and Scala.
        let from = content + 2 * sign.len();
        let rest = bytes.get(from..).unwrap_or_default();
        let length = memchr::memmem::find(rest, &sign.repeat(3)).unwrap_or(rest.len());
        #[cfg(test)]
        super::bytes::looks::add(length);
        let end = from + length;
        return Some((from, end, (end + 3 * sign.len()).min(bytes.len())));
    }
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
        // Doubled it is a part of the text in YAML and SQL.
        if depth == 0
            && before == 0
            && mark == b'\''
            && next > content
            && byte(bytes, next + 1) == mark
            && byte(bytes, next + 2).is_ascii_alphanumeric()
        {
            scan = next + 2;
            continue;
        }
        if ((before - depth) / own).is_multiple_of(2) {
            return Some((content, next - depth, next + 1));
        }
        scan = next + 1;
    }
}

/// A value in quotes, or a list of them: from the first one's content to the last one's.
pub(super) fn quoted_or_listed(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if byte(bytes, at) != b'[' {
        let (start, mut end, mut next) = quoted(bytes, at)?;
        // Texts that code puts together: `"…" + "…"`.
        loop {
            let plus = run(bytes, next, 8, is_space);
            let further = run(bytes, plus + 1, 8, is_space);
            // A plan shows what it was and what it will be: `"…" -> "…"`.
            let arrow = bytes.get(plus..plus + 3) == Some(b"-> ");
            let further = if arrow { plus + 3 } else { further };
            if (byte(bytes, plus) != b'+' && !arrow) || plus == next || quote(bytes, further).is_none() {
                break;
            }
            let Some((_, stop, behind)) = quoted(bytes, further) else {
                break;
            };
            (end, next) = (stop, behind);
        }
        return Some((start, end)).filter(|(start, end)| start < end);
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
pub(super) fn bare(bytes: &[u8], at: usize, kind: Kind, joint: Joint) -> Option<(usize, usize)> {
    let is = |byte: u8| !(is_space(byte) || b"\"'\\&,;{}[]\0\x1b".contains(&byte));
    // A placeholder has braces: `${PASSWORD}`, `{{ password }}`.
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.starts_with(b"${") || rest.starts_with(b"{{") {
        if let Some(default) = default(bytes, at) {
            return Some(default);
        }
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

/// The value of a variable at `at` where it is not set: `${PASSWORD:-…}`, `${PASSWORD:…}`.
fn default(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let name = run(bytes, at + 2, NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
    });
    let from = match (byte(bytes, name), byte(bytes, name + 1)) {
        (b':', b'-' | b'=') => name + 2,
        (b':', b'?' | b'+' | b'$' | b'}') => return None,
        (b':', _) => name + 1,
        (b'-', _) => name + 1,
        _ => return None,
    };
    let to = run(bytes, from, NEAR, |byte| {
        !(is_space(byte) || matches!(byte, b'}' | b'"' | b'\'' | b'$' | b'{'))
    });
    (byte(bytes, to) == b'}' && to > from).then_some((from, to))
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
