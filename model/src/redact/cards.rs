//! Numbers of payment cards.

use super::bytes::{after_escape, before, byte, run, run_back};

/// Numbers of payment cards in a text, also in groups.
pub(super) fn find(bytes: &[u8], mut found: impl FnMut(usize, usize)) {
    /// The fewest digits of a card.
    const LEAST: usize = 13;
    /// The most bytes of one in groups.
    const MOST: usize = 24;
    let mut at = LEAST - 1;
    // A number so long has a digit, or what joins its groups, at every so many bytes.
    while at < bytes.len() {
        if !is_grouped(byte(bytes, at)) {
            at += LEAST - 1;
            continue;
        }
        let start = run_back(bytes, at, MOST, is_grouped);
        let start = run(bytes, start, MOST, |byte| !byte.is_ascii_digit());
        let end = run(bytes, at, MOST, is_grouped);
        let end = run_back(bytes, end, MOST, |byte| !byte.is_ascii_digit()).max(start);
        let number = bytes.get(start..end).unwrap_or_default();
        let (previous, next) = (before(bytes, start, 1), byte(bytes, end));
        let is_part = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'%' | b'+')
        };
        let goes_on = next.is_ascii_alphanumeric()
            || matches!(next, b'_' | b'-' | b'/')
            || (next == b'.' && byte(bytes, end + 1).is_ascii_digit());
        let begins = !is_part(previous) || after_escape(bytes, start);
        if number.len() >= LEAST && begins && !goes_on && in_groups(number) {
            let digits: Vec<u8> = number.iter().copied().filter(u8::is_ascii_digit).collect();
            if is_card(&digits) {
                found(start, end);
            }
        }
        at = end.max(at) + LEAST - 1;
    }
}

fn is_grouped(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.')
}

/// Whether a number is written in one, or in groups as on cards: by fours, or 4, 6 and 5.
fn in_groups(number: &[u8]) -> bool {
    let groups: Vec<usize> = number
        .split(|byte| !byte.is_ascii_digit())
        .map(<[u8]>::len)
        .collect();
    matches!(
        groups.as_slice(),
        [_] | [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3]
    )
}

/// A payment card's number: by its length, the first digits and the check digit (ISO/IEC 7812-1).
fn is_card(digits: &[u8]) -> bool {
    let issued = match digits {
        [b'4', ..] => matches!(digits.len(), 13 | 16 | 19),
        [b'5', b'1'..=b'5', ..] | [b'2', b'2'..=b'7', ..] => digits.len() == 16,
        [b'3', b'4' | b'7', ..] => digits.len() == 15,
        [b'3', b'0' | b'6' | b'8', ..] => digits.len() == 14,
        [b'6', b'0' | b'4' | b'5', ..] | [b'3', b'5', ..] => digits.len() == 16,
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0');
            match digit * (1 + (at as u32 % 2)) {
                doubled @ 10.. => doubled - 9,
                doubled => doubled,
            }
        })
        .sum();
    issued && sum.is_multiple_of(10)
}
