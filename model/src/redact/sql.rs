//! Rows of SQL that are inserted: values whose column is named as secrets are.

use super::bytes::{byte, is_space, run};
use super::named::is_secret_value;
use super::names::Kind;

/// The most columns that are read, and rows.
const COLUMNS: usize = 200;
/// The most white space between two parts of a statement, in bytes.
const LONGEST: usize = 4 << 10;

/// Tells the values in each `INSERT INTO … (columns) VALUES (…), (…)`, in one walk. `kind` is asked for the kind of a name.
pub(super) fn find(text: &str, kind: impl Fn(&str) -> Option<Kind>, mut found: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(into) = memchr::memchr2_iter(b'i', b'I', bytes.get(at..).unwrap_or_default())
        .map(|place| at + place)
        .find(|place| {
            bytes
                .get(*place..place + 5)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"into "))
        })
    {
        at = insert(text, into + 5, &kind, &mut found).max(into + 5);
    }
}

/// The values of the statement whose table's name begins at `at`; where it was read to.
fn insert(
    text: &str,
    at: usize,
    kind: &impl Fn(&str) -> Option<Kind>,
    found: &mut impl FnMut(usize, usize),
) -> usize {
    let bytes = text.as_bytes();
    let spaces = |at| run(bytes, at, LONGEST, is_space);
    let table = run(bytes, run(bytes, at, 64, is_space), 200, |byte| {
        !(is_space(byte) || matches!(byte, b'(' | b')' | b';' | b'\''))
    });
    let open = run(bytes, table, 64, is_space);
    if byte(bytes, open) != b'(' {
        return table;
    }
    let mut columns = Vec::new();
    let mut next = open + 1;
    loop {
        let end = run(bytes, next, 200, |byte| {
            !matches!(byte, b',' | b')' | b'(' | b';')
        });
        let name = text.get(next..end).unwrap_or_default();
        let name = name.trim_matches(|character: char| {
            character.is_whitespace() || matches!(character, '"' | '`' | '[' | ']' | '\\' | '\'')
        });
        columns.push(kind(name).filter(|kind| *kind != Kind::Loose));
        next = end + 1;
        match byte(bytes, end) {
            b',' if columns.len() < COLUMNS => {}
            b')' => break,
            _ => return end,
        }
    }
    if columns.iter().all(Option::is_none) {
        return next;
    }
    let values = spaces(next);
    let word = bytes.get(values..values + 6).unwrap_or_default();
    let mut at = if word.eq_ignore_ascii_case(b"values") {
        spaces(values + 6)
    } else if word.eq_ignore_ascii_case(b"select") {
        return row(text, values + 6, &columns, found).0;
    } else {
        return next;
    };
    while byte(bytes, at) == b'(' {
        let (end, _) = row(text, at + 1, &columns, found);
        let places = text.get(at + 1..end).unwrap_or_default();
        if places.len() <= LONGEST && places.trim_end_matches(')').split(',').all(is_place) {
            return parameters(text, end, &columns, found);
        }
        let comma = spaces(end);
        if byte(bytes, comma) != b',' {
            return end;
        }
        at = spaces(comma + 1);
    }
    at
}

/// Whether what stands in a row is the place of a value: `?`, `$1`, `%s`, `:name`, `%(name)s`.
fn is_place(value: &str) -> bool {
    let value = value.trim();
    value == "?" || value == "%s" || value.starts_with("%(") || value.starts_with(['$', ':', '@'])
}

/// The values of a row that a log has behind the statement, which ends at `at`: `… -- ["bob","…"]`, and
/// `[generated in 0.1s] ('bob', '…')`.
fn parameters(
    text: &str,
    at: usize,
    columns: &[Option<Kind>],
    found: &mut impl FnMut(usize, usize),
) -> usize {
    let bytes = text.as_bytes();
    let mut at = at;
    for _ in 0..2 {
        let open = run(bytes, at, 80, |byte| !matches!(byte, b'(' | b'[' | b';'));
        if !matches!(byte(bytes, open), b'(' | b'[') {
            return at;
        }
        let first = run(bytes, open + 1, 4, |byte| byte == b' ');
        if super::quotes::quote(bytes, super::wraps::wrapped(bytes, first)).is_some()
            || byte(bytes, first).is_ascii_digit()
        {
            let mut cells = Vec::new();
            let (end, count) = row(text, open + 1, columns, &mut |from, to| cells.push((from, to)));
            if count == columns.len() {
                cells.into_iter().for_each(|(from, to)| found(from, to));
            }
            return end;
        }
        // A note: `[generated in 0.1s]`.
        at = open + 1;
    }
    at
}

/// The values of the row that begins at `at`: where it ends, behind its bracket, and how many there are.
fn row(
    text: &str,
    at: usize,
    columns: &[Option<Kind>],
    found: &mut impl FnMut(usize, usize),
) -> (usize, usize) {
    let bytes = text.as_bytes();
    let (mut at, mut column, mut depth) = (at, 0, 0_usize);
    while at < bytes.len() {
        #[cfg(test)]
        super::bytes::looks::add(1);
        let here = byte(bytes, at);
        match here {
            b'\'' | b'"' | b'\\' => {
                let Some((from, to, next)) = literal(bytes, at) else {
                    at += 1;
                    continue;
                };
                if let Some(Some(kind)) = columns.get(column)
                    && text
                        .get(from..to)
                        .is_some_and(|value| is_secret_value(*kind, value))
                {
                    found(from, to);
                }
                at = next;
                continue;
            }
            b'(' | b'[' => depth += 1,
            b')' | b']' if depth == 0 => return (at + 1, column + 1),
            b')' | b']' => depth -= 1,
            b',' if depth == 0 => column += 1,
            b';' => return (at + 1, column + 1),
            _ => {}
        }
        at += 1;
    }
    (at, column + 1)
}

/// The content of the text that begins at `at`, also inside a string; a doubled quote is a part of it.
fn literal(bytes: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let (slashes, from) = super::quotes::quote(bytes, at)?;
    let mark = byte(bytes, from - 1);
    let mut end = from;
    loop {
        end = run(bytes, end, usize::MAX, |byte| byte != mark);
        if mark == b'\'' && byte(bytes, end + 1) == mark {
            end += 2;
            continue;
        }
        let escaped = slashes == 0 && end > from && byte(bytes, end - 1) == b'\\' && end < bytes.len();
        if !escaped {
            break;
        }
        end += 1;
    }
    let stop = end.saturating_sub(slashes).max(from);
    Some((from, stop.min(bytes.len()), (end + 1).min(bytes.len())))
}
