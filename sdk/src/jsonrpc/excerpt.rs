//! The beginning of a value, and the size of the whole.

use std::borrow::Cow;

use mcptap_model::redact::ragged_end;
use mcptap_model::surrogates::replace_halves;

/// The first bytes of a JSON value as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// As much of the text as was kept; what was cut is no longer JSON.
    pub(crate) text: String,
    /// The size of the whole, in bytes.
    pub(crate) size: usize,
}

impl Excerpt {
    /// Whether less was kept than was sent.
    pub(crate) fn is_cut(&self) -> bool {
        self.text.len() < self.size
    }

    /// Keeps at most so many bytes, and no beginning of what may be a secret before the cut.
    pub(crate) fn cut(&mut self, most: usize) {
        if self.text.len() > most {
            self.text.truncate(boundary(&self.text, most));
            let ragged = ragged_end(self.text.as_bytes());
            self.text.truncate(self.text.len().saturating_sub(ragged));
        }
    }

    /// JSON in which halves of surrogate pairs are U+FFFD, so that every reader takes it.
    pub(crate) fn readable(mut self) -> Self {
        if let Cow::Owned(mended) = replace_halves(&self.text) {
            self.text = mended;
        }
        self
    }

    /// Whether it is text that a person can read. Bytes that are no text were replaced.
    pub(crate) fn is_text(&self) -> bool {
        let is_odd = |character: char| {
            character == char::REPLACEMENT_CHARACTER || (character.is_control() && !character.is_whitespace())
        };
        !self.text.contains(is_odd)
    }

    /// The value, if all of it was kept.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        (!self.is_cut())
            .then(|| serde_json::from_str(&self.text).ok())
            .flatten()
    }
}

/// The last place between two characters within so many bytes.
pub(crate) fn boundary(text: &str, most: usize) -> usize {
    let places = (0..=most.min(text.len())).rev();
    places.take(4).find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// An excerpt being taken.
#[derive(Debug)]
pub(crate) struct Taking {
    kept: Vec<u8>,
    cap: usize,
    size: usize,
}

impl Taking {
    /// Of a text of which so many bytes may be kept.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            kept: Vec::new(),
            cap,
            size: 0,
        }
    }

    /// Further bytes of it.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = self.cap.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.size = self.size.saturating_add(bytes.len());
    }

    /// What was taken. A cut takes with it what stands before it without a gap: that may be the beginning of a secret, too
    /// short to be known as one. Bytes that are no text are replaced.
    pub(crate) fn finish(self) -> Excerpt {
        let mut kept = self.kept;
        let is_cut = kept.len() < self.size;
        if is_cut {
            if let Err(error) = std::str::from_utf8(&kept)
                && error.error_len().is_none()
            {
                kept.truncate(error.valid_up_to());
            }
            let ragged = ragged_end(&kept);
            kept.truncate(kept.len() - ragged);
        }
        let text = String::from_utf8(kept)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        // A replaced byte takes three; a text that was cut is smaller than its whole all the same.
        let size = if is_cut {
            self.size.max(text.len() + 1)
        } else {
            self.size.max(text.len())
        };
        Excerpt { text, size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pieces: &[&[u8]], cap: usize) -> Excerpt {
        let mut taking = Taking::new(cap);
        for piece in pieces {
            taking.push(piece);
        }
        taking.finish()
    }

    #[test]
    fn a_cut_never_splits_a_character_and_the_size_is_the_whole() {
        let text = "[\"é\"]".as_bytes();
        for (cap, kept) in [(0, ""), (2, "[\""), (3, "[\""), (4, "[\"é"), (6, "[\"é\"]")] {
            let excerpt = taken(&[text], cap);
            assert_eq!((excerpt.text.as_str(), excerpt.size), (kept, 6), "{cap}");
            assert_eq!(excerpt.is_cut(), cap < 6);
        }
    }

    #[test]
    fn half_a_token_is_not_kept() {
        let cut = |text: &str, cap: usize| taken(&[text.as_bytes()], cap).text;
        assert_eq!(cut("key: ghp_0123456789", 12), "key: ");
        assert_eq!(cut("{\"api_key\":\"ab-12\"}", 15), "{\"api_key\":\"");
        assert_eq!(cut("it is \"éé", 9), "it is \"é");
        assert_eq!(cut("card 4111 1111 1111 1111", 19), "card ");
        assert_eq!(cut("ghp_0", 5), "ghp_0");
    }

    #[test]
    fn bytes_are_no_text() {
        for (bytes, is) in [
            (&b"{\"a\": 1}\r\n"[..], true),
            ("grüße\t".as_bytes(), true),
            (b"", true),
            (b"\xff\x06sNaPpY", false),
            (b"a\x00b", false),
        ] {
            assert_eq!(taken(&[bytes], 100).is_text(), is, "{bytes:?}");
        }
    }

    #[test]
    fn pieces_are_one_text() {
        assert_eq!(taken(&[b"{\"a\"", b":1}"], 100).text, "{\"a\":1}");
        assert_eq!(taken(&[b"ab\xff"], 100).text, "ab\u{fffd}");
        assert!(!taken(&[b"ab\xff"], 100).is_cut());
        assert!(taken(&[b"ab\xffcd"], 4).is_cut());
    }
}
