//! The form in which names are kept. Whatever is compared with a name that is stored takes the same form first, so a name
//! finds its calls both as its sender writes it and as the API answers it.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// The longest name that is kept, in bytes.
pub const MAX_NAME: usize = 1024;
/// Bytes of a name's hash in its mark, in hexadecimal digits two each.
const MARK: usize = 8;

/// Cuts a name to [`MAX_NAME`] bytes at a character's end, and NUL becomes U+FFFD, as no text of PostgreSQL has it. Gives
/// whether the name was longer. The mark that a cut name ends with is made of the whole name, so two long names that begin
/// alike stay two, and the same name becomes the same. A name that is cut stays as it is.
pub fn cut_name(name: &mut String) -> bool {
    if name.as_bytes().contains(&0) {
        *name = name.replace('\0', "\u{FFFD}");
    }
    if name.len() <= MAX_NAME {
        return false;
    }
    let digest = Sha256::digest(name.as_bytes());
    let mark: String = digest
        .iter()
        .take(MARK)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let most = MAX_NAME - "…".len() - mark.len();
    let end = (0..=most).rev().find(|end| name.is_char_boundary(*end));
    name.truncate(end.unwrap_or(0));
    name.push('…');
    name.push_str(&mark);
    name.shrink_to_fit();
    true
}

/// A name as it is kept: see [`cut_name`].
pub fn kept_name(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME && !name.as_bytes().contains(&0) {
        return Cow::Borrowed(name);
    }
    let mut name = name.to_owned();
    cut_name(&mut name);
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_names_stay_apart_and_short_ones_as_they_are() {
        let long = |end: &str| format!("{}{end}", "ü".repeat(1000));
        let (mut one, mut again, mut other) = (long("a"), long("a"), long("b"));
        assert!(cut_name(&mut one) && cut_name(&mut again) && cut_name(&mut other));
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert!(one.len() <= MAX_NAME && one.contains('…'), "{one}");
        let mut fits = "x".repeat(MAX_NAME);
        assert!(!cut_name(&mut fits) && fits.len() == MAX_NAME && !cut_name(&mut one));
        assert_eq!(kept_name("a\0b"), "a\u{FFFD}b");
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_as_it_is(start in "\\PC{0,4}\0?", letter in "[aüの😀\0]", count in 0_usize..3_000) {
            let name = format!("{start}{}", letter.repeat(count));
            let kept = kept_name(&name).into_owned();
            prop_assert!(kept.len() <= MAX_NAME && !kept.contains('\0'));
            prop_assert_eq!(kept_name(&kept), kept.as_str());
        }
    }
}
