//! A text with its escapes undone, and where each part of it stands in the text: `\u0022`, `\/`, `%22`, `&quot;`. The
//! colours of a terminal and characters that nobody sees are not in it.

use std::borrow::Cow;

use super::bytes::{byte, run};

/// A text as it reads once its escapes are undone.
#[derive(Debug)]
pub(super) struct View {
    /// As it reads.
    pub(super) text: String,
    /// The escapes that were undone, in order, by where each is in the view and in the text.
    undone: Vec<Undone>,
}

#[derive(Clone, Copy, Debug)]
struct Undone {
    view: (usize, usize),
    text: (usize, usize),
}

/// The entities, behind their `&`, that hold what a value's borders are made of.
const ENTITIES: &[(&[u8], char)] = &[
    (b"quot;", '"'),
    (b"amp;", '&'),
    (b"lt;", '<'),
    (b"gt;", '>'),
    (b"apos;", '\''),
    (b"equals;", '='),
    (b"colon;", ':'),
];

/// What begins an order to a terminal, and what may end one.
const ESCAPE: u8 = 0x1b;
const BELL: u8 = 7;

impl View {
    /// The view of a text; `None` if there is nothing to undo.
    pub(super) fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut view = Self {
            text: String::new(),
            undone: Vec::new(),
        };
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() {
            let plain = run(bytes, at, usize::MAX, |byte| {
                !matches!(byte, b'\\' | b'%' | b'&' | b'^' | ESCAPE | 0 | 0xc2 | 0xe2 | 0xef)
            });
            let Some((character, end)) = undo(bytes, plain) else {
                // Backslashes are undone together, or none of them.
                at = run(bytes, plain, usize::MAX, |byte| byte == b'\\').max(plain + 1);
                continue;
            };
            view.text.push_str(text.get(kept..plain).unwrap_or_default());
            let from = view.text.len();
            view.text.extend(character);
            view.undone.push(Undone {
                view: (from, view.text.len()),
                text: (plain, end),
            });
            (at, kept) = (end, end);
        }
        view.text.push_str(text.get(kept..).unwrap_or_default());
        (!view.undone.is_empty()).then_some(view)
    }

    /// Where in the text that stands which begins at `at` of the view.
    pub(super) fn start(&self, at: usize) -> usize {
        let next = self.undone.partition_point(|undone| undone.view.1 <= at);
        match self.undone.get(next) {
            Some(undone) if undone.view.0 <= at => undone.text.0,
            _ => self.shifted(next, at),
        }
    }

    /// Where in the text that ends which ends at `at` of the view.
    pub(super) fn end(&self, at: usize) -> usize {
        let next = self.undone.partition_point(|undone| undone.view.1 < at);
        match self.undone.get(next) {
            Some(undone) if undone.view.0 < at => undone.text.1,
            _ => self.shifted(next, at),
        }
    }

    /// Behind so many undone escapes.
    fn shifted(&self, undone: usize, at: usize) -> usize {
        let last = undone.checked_sub(1).and_then(|last| self.undone.get(last));
        last.map_or(at, |last| last.text.1 + at - last.view.1)
    }
}

/// The character that the escape at `at` stands for, and where the escape ends. A colour stands for none.
fn undo(bytes: &[u8], at: usize) -> Option<(Option<char>, usize)> {
    if let Some(end) = colour(bytes, at) {
        return Some((None, end));
    }
    if let Some(length) = UNSEEN.iter().find_map(|unseen| {
        let unseen = unseen.encode_utf8(&mut [0; 4]).len();
        let text = bytes
            .get(at..at + unseen)
            .and_then(|text| std::str::from_utf8(text).ok())?;
        text.chars().all(is_unseen).then_some(unseen)
    }) {
        return Some((None, at + length));
    }
    let (character, end) = character(bytes, at)?;
    Some(((!is_unseen(character)).then_some(character), end))
}

/// Characters that are drawn as nothing: of no width, or the zeros between the letters of UTF-16.
const UNSEEN: &[char] = &[
    '\0', '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}',
];

fn is_unseen(character: char) -> bool {
    UNSEEN.contains(&character)
}

/// A name without the characters that nobody sees.
pub(super) fn seen(name: &str) -> Cow<'_, str> {
    if name.contains(is_unseen) {
        Cow::Owned(name.replace(is_unseen, ""))
    } else {
        Cow::Borrowed(name)
    }
}

/// Where the order to a terminal ends that begins at `at`, as itself or escaped: `ESC[1;31m`, `\x1b[0m`, `^[[K`, and the
/// address of a link.
fn colour(bytes: &[u8], at: usize) -> Option<usize> {
    /// The longest numbers, and the longest address.
    const NUMBERS: usize = 24;
    const ADDRESS: usize = 200;
    let rest = bytes.get(at..)?;
    let slashes = run(bytes, at, 8, |byte| byte == b'\\');
    let escaped = bytes.get(slashes..).unwrap_or_default();
    let order = if rest.first() == Some(&ESCAPE) {
        at + 1
    } else if rest.starts_with(b"^[[") {
        at + 2
    } else if slashes > at {
        let forms: [&[u8]; 6] = [b"u001b", b"u001B", b"x1b", b"x1B", b"033", b"e"];
        slashes + forms.iter().find(|form| escaped.starts_with(form))?.len()
    } else {
        return None;
    };
    if bytes.get(order..order + 3) == Some(b"]8;") {
        let end = run(bytes, order + 3, ADDRESS, |byte| {
            !matches!(byte, ESCAPE | BELL | b'\n')
        });
        return match byte(bytes, end) {
            BELL => Some(end + 1),
            ESCAPE if byte(bytes, end + 1) == b'\\' => Some(end + 2),
            _ => None,
        };
    }
    if byte(bytes, order) != b'[' {
        return None;
    }
    let end = run(bytes, order + 1, NUMBERS, |byte| {
        byte.is_ascii_digit() || matches!(byte, b';' | b':' | b'?')
    });
    byte(bytes, end).is_ascii_alphabetic().then_some(end + 1)
}

/// The character that the escape at `at` stands for, and where the escape ends.
fn character(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    match byte(bytes, at) {
        b'%' => {
            // Encoded more than once: `%2522`.
            let mut from = at + 1;
            while bytes.get(from..from + 2) == Some(b"25") && hex(bytes, from + 2, 2).is_some() {
                from += 2;
            }
            let code = hex(bytes, from, 2)
                .filter(|code| (0x20..0x7f).contains(code) || matches!(code, 9 | 10 | 13))?;
            Some((char::from_u32(code)?, from + 2))
        }
        b'&' => {
            // Escaped more than once: `&amp;quot;`.
            let mut at = at;
            while bytes.get(at + 1..at + 5) == Some(b"amp;") && is_entity(bytes, at + 5) {
                at += 4;
            }
            let rest = bytes.get(at + 1..)?;
            if let Some((entity, character)) = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity)) {
                return Some((*character, at + 1 + entity.len()));
            }
            let number = at + 2;
            if byte(bytes, at + 1) != b'#' {
                return None;
            }
            let (from, radix) = if matches!(byte(bytes, number), b'x' | b'X') {
                (number + 1, 16)
            } else {
                (number, 10)
            };
            let end = run(bytes, from, 7, |byte| byte.is_ascii_hexdigit());
            let digits = std::str::from_utf8(bytes.get(from..end)?).ok()?;
            let code = u32::from_str_radix(digits, radix).ok()?;
            (byte(bytes, end) == b';').then_some((char::from_u32(code)?, end + 1))
        }
        b'\\' => {
            // In JSON inside JSON there are more of them.
            let mark = run(bytes, at, usize::MAX, |byte| byte == b'\\');
            match byte(bytes, mark) {
                b'u' => {
                    let code = hex(bytes, mark + 1, 4)?;
                    // Halves of a pair stay: no secret is made of them.
                    Some((char::from_u32(code)?, mark + 5))
                }
                b'/' => Some(('/', mark + 1)),
                // Of Python and of C; what terminals take for themselves stays.
                b'x' => {
                    let code = hex(bytes, mark + 1, 2).filter(|code| (0x20..0x7f).contains(code))?;
                    Some((char::from_u32(code)?, mark + 3))
                }
                // Of C and of shells.
                b'0' | b'1' => {
                    let digits = bytes.get(mark..mark + 3)?;
                    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 8)
                        .ok()
                        .filter(|code| (0x20..0x7f).contains(code))?;
                    Some((char::from_u32(code)?, mark + 3))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether what stands at `at`, behind a `&`, is an entity, or one that is escaped further.
fn is_entity(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.starts_with(b"#") || ENTITIES.iter().any(|(entity, _)| rest.starts_with(entity))
}

fn hex(bytes: &[u8], at: usize, digits: usize) -> Option<u32> {
    let digits = bytes.get(at..at + digits)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The content of a JSON string without its escapes. What is no escape stays as it is.
pub(super) fn unescaped(content: &str) -> String {
    let bytes = content.as_bytes();
    let mut text = String::with_capacity(content.len());
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        let plain = run(bytes, at, usize::MAX, |byte| byte != b'\\');
        let (character, end) = match byte(bytes, plain + 1) {
            b'"' => ('"', plain + 2),
            b'\\' => ('\\', plain + 2),
            b'/' => ('/', plain + 2),
            b'b' => ('\u{8}', plain + 2),
            b'f' => ('\u{c}', plain + 2),
            b'n' => ('\n', plain + 2),
            b'r' => ('\r', plain + 2),
            b't' => ('\t', plain + 2),
            b'u' => match unit(bytes, plain) {
                Some(unit) => unit,
                None => {
                    at = plain + 2;
                    continue;
                }
            },
            _ => {
                at = plain + 2;
                continue;
            }
        };
        text.push_str(content.get(kept..plain).unwrap_or_default());
        text.push(character);
        (at, kept) = (end, end);
    }
    text.push_str(content.get(kept..).unwrap_or_default());
    text
}

/// The character of the `\u` escape at `at`, which may be a pair.
fn unit(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let first = hex(bytes, at + 2, 4)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, at + 6));
    }
    let second = hex(bytes, at + 8, 4).filter(|_| bytes.get(at + 6..at + 8) == Some(b"\\u"));
    let pair = second.and_then(|second| {
        let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
        char::decode_utf16(units).next()?.ok()
    });
    Some(match pair {
        Some(character) => (character, at + 12),
        None => (char::REPLACEMENT_CHARACTER, at + 6),
    })
}
