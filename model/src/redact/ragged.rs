//! The end of a text that was cut short: it may be the beginning of a secret, too short to be known as one.

use super::bytes::{before, run_back};

/// How much is taken away before a cut at most, in bytes: longer than any token.
const MOST: usize = 8 * 1024;
/// Characters that stand inside a token, and inside what joins one to its name.
const JOINED: &str = "_-+/=.:~%";
/// How many groups of digits a card's number has before its last one at most.
const GROUPS: usize = 4;

/// How many bytes at the end of what was kept of a text may be the beginning of a secret: what stands there without a gap,
/// 8 KiB at most, and groups of digits before, as cards have them. They are ASCII.
pub fn ragged_end(kept: &[u8]) -> usize {
    let joined = |byte: u8| byte.is_ascii_alphanumeric() || JOINED.as_bytes().contains(&byte);
    let mut start = run_back(kept, kept.len(), MOST, joined);
    let mut digits = kept
        .get(start..)
        .is_some_and(|end| end.iter().all(u8::is_ascii_digit));
    for _ in 0..GROUPS {
        let group = run_back(kept, start.saturating_sub(1), 7, |byte| byte.is_ascii_digit());
        digits &= before(kept, start, 1) == b' ' && (4..=6).contains(&(start.saturating_sub(1) - group));
        if !digits {
            break;
        }
        start = group;
    }
    kept.len() - start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_may_be_the_beginning_of_a_secret() {
        let end = |text: &str| {
            text.get(text.len() - ragged_end(text.as_bytes())..)
                .unwrap()
                .to_owned()
        };
        for (text, ragged) in [
            ("key: ghp_0123", "ghp_0123"),
            ("{\"api_key\":\"ab-12", "ab-12"),
            ("card 4111 1111 11", "4111 1111 11"),
            ("card 4111 1111 ", "4111 1111 "),
            ("in 3 calls", "calls"),
            ("{\"a\":1}", ""),
            ("", ""),
        ] {
            assert_eq!(end(text), ragged, "{text}");
        }
        assert_eq!(ragged_end(&[b'x'; 3 * MOST]), MOST);
    }
}
