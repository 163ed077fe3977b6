//! Private keys that come line by line: a line of one says nothing of what it is but by how it looks, and by the lines
//! before it.

use super::bytes::{after_escape, before, byte, run, run_back};
use super::looks::is_lot;
use super::named::is_secret_value;
use super::{REDACTED, Redactor};

/// How long the lines of keys are: PEM, and OpenSSH.
const LENGTHS: [usize; 2] = [64, 70];
/// How long they are where they stand alone, too: PGP, and keys in the encoding of mail.
const ALONE: usize = 76;
/// More than any of them, with the mark of a diff.
const MOST: usize = 80;
/// How many bytes of a certificate or a public key may be left after one of its lines.
const LONGEST: usize = 16 << 10;

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Whether a text is as mixed as base64 of what was drawn by lot, and no hash in hexadecimal digits.
fn is_mixed(text: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| text.iter().any(is);
    has(u8::is_ascii_digit)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && !text.iter().all(u8::is_ascii_hexdigit)
}

/// Whether a line is drawn by lot: its characters change their kind about two times in three, and there are about as many
/// capitals as small letters. In paths and in names of several words small letters are most.
fn is_drawn(line: &[u8]) -> bool {
    let kind = |byte: &u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let pairs = line.windows(2);
    let changes = pairs.filter(|pair| matches!(pair, [one, next] if kind(one) != kind(next)));
    let count = |of: u8| line.iter().filter(|byte| kind(byte) == of).count();
    let (small, capital) = (count(0), count(1));
    changes.count() * 5 >= line.len() * 2 && 2 * small >= capital && 2 * capital >= small
}

/// Full lines of keys, of which there are several in a text, or one that a key begins with: one alone is as well a hash, a
/// cursor or an id. Those of certificates and public keys stay where their first line is in the same text.
pub(super) fn find(bytes: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut alone = None;
    let mut several = false;
    each(bytes, |start, end| {
        if is_named_hash(bytes, start) {
            return;
        }
        if several || begins_key(bytes.get(start..end).unwrap_or_default()) {
            found(start, end);
        } else if let Some((start, end)) = alone.replace((start, end)) {
            several = true;
            found(start, end);
        }
        if several && let Some((start, end)) = alone.take() {
            found(start, end);
        }
    });
}

/// Whether a line is the first one of a private key: the beginnings of PKCS and OpenSSH.
fn begins_key(line: &[u8]) -> bool {
    line.starts_with(b"MII") || line.starts_with(b"b3BlbnNzaC1rZXk")
}

/// Whether the line at `start` stands under a name of hashes and ids: `"etag": "…"`.
fn is_named_hash(bytes: &[u8], start: usize) -> bool {
    const NAMES: &[&[u8]] = &[
        b"etag",
        b"hash",
        b"digest",
        b"integrity",
        b"checksum",
        b"cursor",
        b"sha384",
        b"id",
        b"fingerprint",
        b"nonce",
        b"match",
    ];
    let to = run_back(bytes, start, 8, |byte| {
        matches!(byte, b'"' | b'\'' | b'\\' | b' ' | b':' | b'=' | b'>' | b'-')
    });
    let from = run_back(bytes, to, 16, |byte| byte.is_ascii_alphanumeric());
    let name = bytes.get(from..to).unwrap_or_default().to_ascii_lowercase();
    to < start && NAMES.iter().any(|known| name.ends_with(known))
}

/// So many characters of base64 at the end of a line, or alone in quotes.
fn each(bytes: &[u8], mut found: impl FnMut(usize, usize)) {
    let step = LENGTHS[0];
    let mut at = step - 1;
    // Up to here it is known whether something public is open.
    let (mut read, mut public) = (0, false);
    // A line so long has such a byte at every so many bytes.
    while at < bytes.len() {
        if !is_base64(byte(bytes, at)) {
            at += step;
            continue;
        }
        let mut start = run_back(bytes, at, MOST, is_base64);
        let end = run(bytes, at, MOST, is_base64);
        let next = byte(bytes, end);
        if end - start > MOST {
            at = end + step;
            continue;
        }
        // The letter of an escape, and the mark of a diff, are no part of it.
        let marked = byte(bytes, start) == b'+' && !is_length(end - start, bytes, end);
        if before(bytes, start, 1) == b'\\' || marked {
            start += 1;
        }
        let previous = before(bytes, start, 1);
        let begins = start == 0
            || marked
            || previous.is_ascii_whitespace()
            || matches!(previous, b'"' | b'\'' | b'`' | b':' | b'|' | b'>' | b'(' | b'[')
            || after_escape(bytes, start);
        let ends = end == bytes.len()
            || next.is_ascii_whitespace()
            || matches!(next, b'"' | b'\'' | b'`' | b'\\' | b'<' | b',' | b'|' | b';');
        let line = bytes.get(start..end).unwrap_or_default();
        if begins && ends && is_length(end - start, bytes, end) && is_mixed(line) && is_drawn(line) {
            for begin in memchr::memmem::find_iter(bytes.get(read..start).unwrap_or_default(), b"-----") {
                let label = read + begin + 5;
                let word = bytes.get(label..).unwrap_or_default();
                if word.starts_with(b"BEGIN ") {
                    let end = run(bytes, label, MOST, |byte| byte != b'-');
                    public = !bytes.get(label..end).is_some_and(is_private);
                    // A block that has no end is none.
                    let rest = bytes
                        .get(start..bytes.len().min(start + LONGEST))
                        .unwrap_or_default();
                    public &= memchr::memmem::find(rest, b"-----END ").is_some();
                } else if word.starts_with(b"END ") {
                    public = false;
                }
            }
            read = start;
            if !public {
                found(start, end);
            }
        }
        at = end.max(at) + step;
    }
}

/// Whether a block of this label is a private key, in PEM or PGP armour.
fn is_private(label: &[u8]) -> bool {
    label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK")
}

/// Whether lines of keys are so long; where one stands alone in its text, or what is left of it, it may be longer.
fn is_length(length: usize, bytes: &[u8], end: usize) -> bool {
    LENGTHS.contains(&length)
        || (length == ALONE && run(bytes, end, MOST, |byte| byte.is_ascii_whitespace()) == bytes.len())
}

/// The last line of a private key, which is shorter than the others: before the `-----END` at `start`.
pub(super) fn last(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    /// How far before its end it is looked for: other things stand between where each line is a value.
    const NEAR: usize = 160;
    let label = run(bytes, end, 40, |byte| byte.is_ascii_uppercase() || byte == b' ');
    if !is_private(bytes.get(end..label)?) {
        return None;
    }
    let least = start.saturating_sub(NEAR);
    let mut to = start;
    while to > least {
        let stop = run_back(bytes, to, NEAR, |byte| !is_base64(byte));
        let mut from = run_back(bytes, stop, MOST, is_base64);
        if before(bytes, from, 1) == b'\\' {
            from += 1;
        }
        let line = bytes.get(from..stop)?;
        // It is cut already: what stands before it is no last line.
        if line == b"redacted" && byte(bytes, stop) == b']' {
            return None;
        }
        if line.len() >= 4 && line.len() <= ALONE && (is_lot(line) || byte(bytes, stop) == b'=') {
            return Some((from, run(bytes, stop, 2, |byte| byte == b'=')));
        }
        to = from.min(to - 1);
    }
    None
}

/// Texts that come one after the other from one writer, such as the lines of a console: what one of them begins goes on in
/// the next. A private key that is printed line by line, and a password in the line below its name.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// How many further lines a key may have.
    key: usize,
    /// How many of the last ones were none of it.
    others: usize,
    /// Whether the text before ended with the name of a secret.
    name: bool,
}

impl Sequence {
    /// Redacts the next text; whether anything was cut out.
    pub fn redact(&mut self, redactor: &Redactor, text: &mut String) -> bool {
        /// How many lines keys have at most: of 16384 bits.
        const LONGEST_KEY: usize = 200;
        /// How many lines of others may stand between two of its lines, and its head.
        const BETWEEN: usize = 8;
        let begins = text.contains("-----BEGIN ") && text.contains("PRIVATE KEY");
        let ends = text.contains("-----END ");
        let named = std::mem::replace(&mut self.name, ends_with_name(redactor, text));
        let mut changed = false;
        if begins && !ends {
            (self.key, self.others) = (LONGEST_KEY, 0);
        } else if ends {
            self.key = 0;
        } else if self.key > 0 {
            self.key -= 1;
            let cut = cut_runs(text) | cut_last_word(text, is_key_line);
            self.others = if cut { 0 } else { self.others + 1 };
            if self.others == BETWEEN {
                self.key = 0;
            }
            changed |= cut;
        } else if named {
            changed |= cut_last_word(text, |word, alone| {
                word.len() >= 6
                    && is_secret_value(super::names::Kind::Weak, word)
                    && (alone || is_lot(word.as_bytes()))
            });
        }
        let last = text
            .trim_end()
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        let is_line = LENGTHS.contains(&last.len()) && last.bytes().all(is_base64);
        let cut = (is_line && cut_line(text)) | redactor.redact_in_place(text);
        // A line of a key whose first line was not seen: one that is shorter may follow.
        if cut && is_line && self.key == 0 {
            (self.key, self.others) = (1, 0);
        }
        changed | cut
    }
}

/// Whether a text is nothing but a full line of a key, or of something else that looks so.
pub(super) fn is_line(text: &str) -> bool {
    let line = text.trim_ascii();
    let mut is = false;
    if LENGTHS.contains(&line.len()) {
        each(line.as_bytes(), |start, end| is = (start, end) == (0, line.len()));
    }
    is
}

/// Cuts the line of a key that a text ends with.
fn cut_line(text: &mut String) -> bool {
    let mut last = None;
    each(text.as_bytes(), |start, end| last = Some((start, end)));
    let line = last.filter(|(start, _)| !is_named_hash(text.as_bytes(), *start));
    if let Some((start, end)) = line {
        text.replace_range(start..end, REDACTED);
    }
    line.is_some()
}

/// Whether a word is a line of a key, and not the last word of something else.
fn is_key_line(word: &str, alone: bool) -> bool {
    let line = word.trim_end_matches('=');
    (alone || line.len() >= 16)
        && line.len() >= 2
        && !is_hexadecimal(line.as_bytes())
        && line.bytes().all(is_base64)
        && (line.len() < word.len() || is_lot(line.as_bytes()) || is_mixed(line.as_bytes()))
}

/// Whether a text is a hash or an id in hexadecimal digits.
fn is_hexadecimal(text: &[u8]) -> bool {
    text.len() >= 16 && text.iter().all(u8::is_ascii_hexdigit)
}

/// Cuts what is drawn by lot in a line of a key, whatever stands around it: a logger's marks, quotes, colours.
fn cut_runs(text: &mut String) -> bool {
    /// The shortest that is told from words.
    const LEAST: usize = 16;
    let bytes = text.as_bytes();
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = run(bytes, at, usize::MAX, is_base64);
        let line = bytes.get(at..end).unwrap_or_default();
        if line.len() >= LEAST && !is_hexadecimal(line) && is_mixed(line) && is_drawn(line) {
            runs.push(at..run(bytes, end, 2, |byte| byte == b'='));
        }
        at = end + 1;
    }
    for run in runs.iter().rev() {
        text.replace_range(run.clone(), REDACTED);
    }
    !runs.is_empty()
}

/// Cuts the last word of a text if it is a secret, given the word and whether it is the only one.
fn cut_last_word(text: &mut String, is_secret: impl Fn(&str, bool) -> bool) -> bool {
    let end = text.trim_end().len();
    let start = text
        .get(..end)
        .and_then(|text| text.rfind(char::is_whitespace))
        .map_or(0, |space| space + 1);
    let alone = text.get(..start).unwrap_or_default().trim().is_empty();
    let secret = text.get(start..end).is_some_and(|word| is_secret(word, alone));
    if secret {
        text.replace_range(start..end, REDACTED);
    }
    secret
}

/// Whether a text ends with the name of a secret and a colon.
fn ends_with_name(redactor: &Redactor, text: &str) -> bool {
    let text = text.trim_end();
    let Some(text) = text.strip_suffix([':', '=']) else {
        return false;
    };
    let name = text
        .trim_end()
        .rsplit([' ', '\t', '"', '\''])
        .find(|word| !word.is_empty());
    name.is_some_and(|name| redactor.secret_kind(name).is_some())
}
