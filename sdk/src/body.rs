//! Bodies as JSON text, cut at a cap and measured whole.

use std::io;

use serde::Serialize;

/// The most bytes of a body that a span carries: 1 MiB, the collector's own default cap.
const CAP: usize = 1024 * 1024;

/// A message as JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// The text, its first [`CAP`] bytes: text that was cut is no longer JSON, and is kept as text.
    pub(crate) text: String,
    /// Its size before the cut, in bytes.
    pub(crate) size: i64,
}

impl Body {
    /// `value` as JSON, or nothing when it cannot be written as JSON. Never holds more than the cap in
    /// memory.
    pub(crate) fn of<T: Serialize>(value: &T) -> Option<Self> {
        Self::capped(value, CAP)
    }

    fn capped<T: Serialize>(value: &T, cap: usize) -> Option<Self> {
        let mut sink = Sink {
            kept: Vec::new(),
            cap,
            size: 0,
        };
        serde_json::to_writer(&mut sink, value).ok()?;
        let text = match String::from_utf8(sink.kept) {
            Ok(text) => text,
            // The cut fell inside a character: that character goes too.
            Err(error) => {
                let whole = error.utf8_error().valid_up_to();
                let mut kept = error.into_bytes();
                kept.truncate(whole);
                String::from_utf8(kept).ok()?
            }
        };
        Some(Self {
            text,
            size: i64::try_from(sink.size).unwrap_or(i64::MAX),
        })
    }
}

/// Keeps the first bytes, counts them all.
struct Sink {
    kept: Vec<u8>,
    cap: usize,
    size: usize,
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.cap.saturating_sub(self.kept.len());
        self.kept.extend(bytes.iter().take(room));
        self.size = self.size.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Body;

    #[test]
    fn a_body_within_the_cap_is_whole() {
        assert_eq!(
            Body::of(&["é"]),
            Some(Body {
                text: r#"["é"]"#.to_owned(),
                size: 6
            })
        );
    }

    #[test]
    fn a_cut_never_splits_a_character_and_the_size_is_the_whole() {
        // `["é"]` is 6 bytes; byte 3 is the first half of é.
        assert_eq!(
            Body::capped(&["é"], 3),
            Some(Body {
                text: r#"[""#.to_owned(),
                size: 6
            })
        );
        assert_eq!(
            Body::capped(&["é"], 0),
            Some(Body {
                text: String::new(),
                size: 6
            })
        );
    }
}
