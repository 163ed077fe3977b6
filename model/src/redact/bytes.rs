//! Bytes of a text and what stands around them. Reading beyond an end reads 0, which is part of no secret.

/// The byte at `at`.
pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// The byte `back` before `at`.
pub(super) fn before(bytes: &[u8], at: usize, back: usize) -> u8 {
    at.checked_sub(back).map_or(0, |at| byte(bytes, at))
}

/// Where the bytes from `from` on that satisfy `is` end, at most `most` of them.
pub(super) fn run(bytes: &[u8], from: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let length = rest.iter().take(most).take_while(|byte| is(**byte)).count();
    #[cfg(test)]
    looks::add(length + 1);
    from + length
}

/// Where the bytes up to `to` that satisfy `is` begin, at most `most` of them.
pub(super) fn run_back(bytes: &[u8], to: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(..to).unwrap_or_default();
    let length = rest.iter().rev().take(most).take_while(|byte| is(**byte)).count();
    #[cfg(test)]
    looks::add(length + 1);
    to - length
}

/// White space on one or several lines.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether an escape ends before `at`: `\n` of JSON, `\u0026`, `%3D`. Its letters belong to no word.
pub(super) fn after_escape(bytes: &[u8], at: usize) -> bool {
    let hex = |back: usize, digits: usize| {
        (0..digits).all(|digit| before(bytes, at, back - digit).is_ascii_hexdigit())
    };
    let letter = matches!(before(bytes, at, 1), b'n' | b't' | b'r' | b'b' | b'f');
    (letter && before(bytes, at, 2) == b'\\')
        || (before(bytes, at, 1) == b'm' && after_colour(bytes, at))
        || (before(bytes, at, 3) == b'%' && hex(2, 2))
        || (before(bytes, at, 6) == b'\\' && before(bytes, at, 5) == b'u' && hex(4, 4))
}

/// Whether a terminal's colour ends before `at`, as itself or escaped: `\x1b[31m`, `\u001b[1;31m`.
fn after_colour(bytes: &[u8], at: usize) -> bool {
    let bracket = run_back(bytes, at.saturating_sub(1), 12, |byte| {
        byte.is_ascii_digit() || byte == b';'
    });
    let before = bytes.get(..bracket).unwrap_or_default();
    let escapes = [
        &b"\x1b["[..],
        b"u001b[",
        b"u001B[",
        b"x1b[",
        b"x1B[",
        b"033[",
        b"\\e[",
    ];
    escapes.iter().any(|escape| before.ends_with(escape))
}

/// Whether a word may begin at `at`.
pub(super) fn begins_word(bytes: &[u8], at: usize) -> bool {
    let previous = before(bytes, at, 1);
    !(previous.is_ascii_alphanumeric() || previous == b'_') || after_escape(bytes, at)
}

/// Whether it looks drawn by lot rather than written: it has a digit, or capitals after small letters.
pub(super) fn is_mixed(bytes: &[u8]) -> bool {
    #[cfg(test)]
    looks::add(bytes.len());
    bytes.iter().any(u8::is_ascii_digit)
        || bytes
            .windows(2)
            .any(|pair| matches!(pair, [small, capital] if small.is_ascii_lowercase() && capital.is_ascii_uppercase()))
}

/// How often a byte was looked at: what tests of linear time count.
#[cfg(test)]
pub(super) mod looks {
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(in crate::redact) fn add(looks: usize) {
        LOOKS.set(LOOKS.get() + looks);
    }

    /// How many looks the work takes.
    pub(in crate::redact) fn of(work: impl FnOnce()) -> usize {
        let before = LOOKS.get();
        work();
        LOOKS.get() - before
    }
}
