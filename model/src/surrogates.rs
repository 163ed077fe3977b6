//! Halves of surrogate pairs. JavaScript that cuts a text in the middle of an emoji writes `"\ud83d"`, which is a
//! character to nobody, and for which strict readers refuse the whole text.

use std::borrow::Cow;

/// Replaces a half, as in UTF-8 decoders. It is as long as the escape that it replaces.
const REPLACEMENT: &str = "\\ufffd";
/// The length of one escape.
const ESCAPE: usize = REPLACEMENT.len();

/// JSON text in which each half of a surrogate pair is U+FFFD. Nothing else of it changes, and its length does not.
pub fn replace_halves(text: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    // All before `from` is in `mended` already.
    let mut from = 0;
    let mut next = 0;
    while let Some(found) = memchr::memchr(b'\\', text.as_bytes().get(next..).unwrap_or_default()) {
        let at = next + found;
        match unit(text, at) {
            Some(0xd800..=0xdbff) if matches!(unit(text, at + ESCAPE), Some(0xdc00..=0xdfff)) => {
                next = at + 2 * ESCAPE;
            }
            Some(0xd800..=0xdfff) => {
                mended.push_str(text.get(from..at).unwrap_or_default());
                mended.push_str(REPLACEMENT);
                next = at + ESCAPE;
                from = next;
            }
            // Whatever is escaped, a backslash above all, begins no escape itself.
            _ => next = at + 2,
        }
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    mended.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(mended)
}

/// The code unit of the escape at a place, if there is one.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
    // Rust's own reader of numbers takes a sign.
    digits
        .bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_and_nothing_else() {
        for (text, mended) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""a\uDE00b\ud83d""#, r#""a\ufffdb\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\\ude00""#, r#""\ufffd\\ude00""#),
            (r#""\ud83d\n""#, r#""\ufffd\n""#),
        ] {
            assert_eq!(replace_halves(text), mended);
            assert!(serde_json::from_str::<String>(mended).is_ok(), "{mended}");
        }
        for text in [
            r#""\ud83d\ude00""#,
            r#""\\ud83d""#,
            r#""é\u00e9""#,
            "\"\\ud8",
            "\"\\ud8é9",
            "\\",
            "",
        ] {
            assert!(matches!(replace_halves(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
