//! Values in what code, and what prints its values, puts around them: `Some("…")`, `b'…'`, `Optional[…]`.

use super::bytes::{byte, is_space, run};
use super::named::NEAR;
use super::quotes::quote;

/// How long names of types are at most.
const LONGEST: usize = 48;

/// The beginnings of calls and types that code puts around a text.
const WRAPS: &[&[u8]] = &[
    b"Some(",
    b"Ok(",
    b"Just(",
    b"Optional.of(",
    b"Secret(",
    b"SecretString(",
    b"SecretStr(",
    b"Secret::new(",
    b"SecretString::from(",
    b"SecretString::new(",
    b"Field(",
    b"Field(default=",
    b"field(default=",
    b"z.string().default(",
    b"Password(",
    b"PASSWORD(",
    b"String::from(",
    b"new String(",
    b"Buffer.from(",
    b"bytes(",
    b"bytearray(",
    b"str(",
    b"String(",
    b"base64.b64decode(",
    b"b64decode(",
    b"[]byte(",
    b"[]string{",
    b"<<",
    b"b",
    b"u",
    b"r",
    b"f",
    b"N",
    b"L",
    b"@",
    b"$",
    b"rb",
    b"br",
    b"u8",
    b"*b",
    b"$@",
    b"Just ",
    b"Some ",
    b".asciz ",
    b".ascii ",
    b".string ",
];

/// Where the quotes begin of a value that code wraps, however often: `Some("…")`, `b'…'`, `(string) (len=3) "…"`.
pub(super) fn wrapped(bytes: &[u8], at: usize) -> usize {
    /// As often as anybody does.
    const MOST: usize = 3;
    let mut inner = at;
    for _ in 0..MOST {
        if quote(bytes, inner).is_some() {
            return inner;
        }
        let rest = bytes.get(inner..).unwrap_or_default();
        if let Some(dumped) = dumped(bytes, inner).or_else(|| held(bytes, inner)) {
            inner = dumped;
        } else if let Some(wrap) = WRAPS
            .iter()
            .filter(|wrap| rest.starts_with(wrap))
            .max_by_key(|wrap| wrap.len())
        {
            inner += wrap.len();
        } else {
            return at;
        }
    }
    if quote(bytes, inner).is_some() { inner } else { at }
}

/// Behind what a type holds a secret in, also over lines: `Some(\n    "…"`, `ApiKey("…")`, `Secret { inner: "…" }`.
fn held(bytes: &[u8], at: usize) -> Option<usize> {
    const OPTIONS: &[&[u8]] = &[
        b"Some",
        b"Optional",
        b"Just",
        b"Ok",
        b"Right",
        b"Success",
        b"Owned",
        b"Zeroizing",
    ];
    const HOLDERS: &[&[u8]] = &[
        b"secret",
        b"password",
        b"key",
        b"token",
        b"secretstr",
        b"secretstring",
        b"sensitive",
    ];
    let end = run(bytes, at, LONGEST, |byte| {
        (byte.is_ascii_alphanumeric() || byte == b'_') || matches!(byte, b':' | b'.')
    });
    let name = bytes.get(at..end)?;
    if !name.first()?.is_ascii_uppercase() {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    if !OPTIONS.contains(&name) && !HOLDERS.iter().any(|holder| lower.ends_with(holder)) {
        return None;
    }
    let gap = run(bytes, end, LONGEST, |byte| byte == b' ');
    match byte(bytes, gap) {
        b'(' => Some(run(bytes, gap + 1, LONGEST, is_space)),
        b'{' => {
            let field = run(bytes, gap + 1, LONGEST, is_space);
            let sign = run(bytes, field, LONGEST, |byte| {
                byte.is_ascii_alphanumeric() || byte == b'_'
            });
            let value = run(bytes, sign + 1, LONGEST, is_space);
            (matches!(byte(bytes, sign), b':' | b'=') && sign > field).then_some(value)
        }
        _ => None,
    }
}

/// The text in the brackets of an option of Java, whose name is at `at`: `Optional[…]`.
pub(super) fn optional(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let name = [&b"Optional["[..], b"Some("]
        .into_iter()
        .find(|name| rest.starts_with(name))?;
    let from = at + name.len();
    let to = run(bytes, from, NEAR, |byte| {
        !(is_space(byte) || b"[](),;{}\"'".contains(&byte))
    });
    (to > from && matches!(byte(bytes, to), b']' | b')')).then_some((from, to))
}

/// Behind the type and the length that a dump of Go or PHP writes before a text: `(string) (len=10) "…"`, `string(10) "…"`.
fn dumped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let kinds: [&[u8]; 2] = [b"(string) (len=", b"string("];
    let kind = kinds.iter().find(|kind| rest.starts_with(kind))?;
    let digits = run(rest, kind.len(), 9, |byte| byte.is_ascii_digit());
    (rest.get(digits..digits + 2)? == b") ").then(|| at + digits + 2)
}
