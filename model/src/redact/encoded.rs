//! Texts in base64: JSON, settings and headers, as tools put them into a field of bytes.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::bytes::{byte, is_space, run, run_back};
use super::cuts::Cut;
use super::private_keys::line_break;
use super::rules::Found;

/// The rule of such texts that hold a secret.
pub(super) const RULE: &str = "secret in base64";

/// As much as holds a name and a secret, in characters of base64.
const SHORTEST: usize = 24;
/// The shortest line of base64 that goes on in the next one.
const LINE: usize = 60;
/// How often base64 in base64 is read.
const DEEPEST: usize = 3;

/// Reads what was cut off, too.
const READER: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The texts in base64 that say what is a secret.
pub(super) fn cuts(text: &str, is_secret: impl Fn(&str) -> bool) -> Vec<Cut> {
    let mut cuts = Vec::new();
    find(text, |start, end, read| {
        if is_secret(&read) {
            cuts.push(Cut {
                start,
                end,
                found: Found::BuiltIn(RULE),
                quote: (0, 0),
            });
        }
    });
    cuts
}

/// Tells each text in base64: from, to, and what it says.
fn find(text: &str, mut found: impl FnMut(usize, usize, String)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + SHORTEST <= bytes.len() {
        // Read from behind, most of a text is passed over.
        let begin = run_back(bytes, at + SHORTEST, SHORTEST, is_digit);
        if begin > at {
            at = begin;
            continue;
        }
        if begins_text(bytes, at) {
            let (digits, end) = lines(bytes, at);
            if let Some(read) = decoded(&digits) {
                found(at, end, innermost(read));
            }
            at = end.max(at + 1);
        } else {
            // The part of a path may be one.
            let part = run(bytes, at, usize::MAX, |byte| is_digit(byte) && byte != b'/');
            at = part + 1;
        }
    }
}

/// A digit of base64, also of that for addresses.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Whether the digits from `at` on are those of a text: no words, paths and random bytes are.
fn begins_text(bytes: &[u8], at: usize) -> bool {
    let first = bytes.get(at..at + SHORTEST).and_then(read);
    first.is_some_and(|first| {
        let wide = is_wide(&first);
        let mut characters = first.iter().step_by(if wide { 2 } else { 1 });
        characters.all(|byte| is_written(*byte) && byte.is_ascii())
    })
}

/// The digits from `at` on, also in the lines that encoders for mail and shells write, and where they end.
fn lines(bytes: &[u8], at: usize) -> (Vec<u8>, usize) {
    let mut digits = Vec::new();
    let mut from = at;
    let end = loop {
        let line = digits_from(bytes, from, &mut digits);
        let length = line - from;
        let next = line_break(bytes, line);
        if next == line || length < LINE || byte(bytes, line) == b'=' {
            break line;
        }
        let stop = run(bytes, next, usize::MAX, is_digit);
        let stop = run(bytes, stop, 2, |byte| byte == b'=');
        let is_last = matches!(byte(bytes, stop), 0 | b'"' | b'\'' | b'\\') || is_space(byte(bytes, stop));
        // A line of prose has gaps.
        if stop == next
            || !(stop - next == length || (stop - next < length && is_last && byte(bytes, stop) != b' '))
        {
            break line;
        }
        from = next;
    };
    (digits, run(bytes, end, 2, |byte| byte == b'='))
}

/// Adds the digits of one line, where slashes may be escaped; where they end.
fn digits_from(bytes: &[u8], from: usize, digits: &mut Vec<u8>) -> usize {
    let mut at = from;
    loop {
        let end = run(bytes, at, usize::MAX, is_digit);
        digits.extend_from_slice(bytes.get(at..end).unwrap_or_default());
        if bytes.get(end..end + 2) != Some(b"\\/") {
            return end;
        }
        at = end + 1;
    }
}

/// The bytes that digits say.
fn read(digits: &[u8]) -> Option<Vec<u8>> {
    let one = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    };
    let mut digits: Vec<u8> = digits.iter().map(one).collect();
    #[cfg(test)]
    super::bytes::looks::add(digits.len());
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    READER.decode(digits).ok()
}

/// The text that digits say, as far as it is one.
fn decoded(digits: &[u8]) -> Option<String> {
    let mut bytes = read(digits)?;
    if is_wide(&bytes) {
        bytes = bytes.into_iter().step_by(2).collect();
    }
    let written = bytes.iter().take_while(|byte| is_written(**byte)).count();
    bytes.truncate(written);
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(valid);
            String::from_utf8(bytes).ok()?
        }
    })
}

/// The decoded text, where a text is nothing but base64.
fn innermost(mut text: String) -> String {
    for _ in 1..DEEPEST {
        let bytes = text.trim_ascii().as_bytes();
        if bytes.len() < SHORTEST || !begins_text(bytes, 0) {
            break;
        }
        let (digits, end) = lines(bytes, 0);
        match decoded(&digits).filter(|_| end == bytes.len()) {
            Some(inner) => text = inner,
            None => break,
        }
    }
    text
}

/// Whether it is UTF-16, as PowerShell takes it, of what ASCII has.
fn is_wide(bytes: &[u8]) -> bool {
    bytes.len() >= 4
        && bytes
            .iter()
            .skip(1)
            .step_by(2)
            .take(SHORTEST)
            .all(|byte| *byte == 0)
}

/// Whether texts have such a byte.
fn is_written(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t')
}
