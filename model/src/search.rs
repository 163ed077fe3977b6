//! Full-text search: what a query means and whether it occurs. Words are runs of letters and digits, compared
//! without case; a JSON body is searched in its keys and values, so escapes never hide a word.
//!
//! Texts are read one at a time and none is kept: a [`Finder`] answers which queries occur in them, a [`KeyCollector`]
//! gives what an index holds of them. Neither copies a text into words.

mod finder;
mod json;
mod keys;
mod phrases;
#[cfg(test)]
mod reference;

pub use finder::{Finder, Found, Searches};
pub use keys::{Key, KeyCollector, Keys};

/// Words, phrases in quotes and `prefix*`, all of which must occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    terms: Vec<Term>,
    text: String,
    /// Whether only the target is looked through.
    target_alone: bool,
}

/// Consecutive words; the last may be a prefix only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Term {
    words: Vec<String>,
    prefix: bool,
}

/// Tells a reader of texts whether to stop: nobody waits any more, or the time is over. Asked every few ten thousand
/// bytes.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// The reading was stopped half-way, so nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the texts were not read to their end")]
pub struct Stopped;

/// How many bytes are read between two questions whether to stop.
const STOP_EVERY: usize = 32 * 1024;

/// Reads the texts of one call: first the target, then the others in any order.
pub trait TextReader {
    /// Reads the target, which also those may search who may not see bodies.
    fn target(&mut self, text: &str, stop: Stop<'_>) -> Result<(), Stopped>;

    /// Reads plain text: a message, a log line.
    fn text(&mut self, text: &str, stop: Stop<'_>) -> Result<(), Stopped>;

    /// Whether no further text can change the result.
    fn is_done(&self) -> bool;

    /// Reads a body: JSON by its keys and values, anything else as text.
    fn body(&mut self, text: &str, stop: Stop<'_>) -> Result<(), Stopped> {
        if json::is_json(text, stop)? {
            json::each_text(text, |text| {
                if !self.is_done() {
                    self.text(text, stop)?;
                }
                Ok(())
            })
        } else {
            self.text(text, stop)
        }
    }
}

fn is_between_words(character: char) -> bool {
    !character.is_alphanumeric()
}

/// The words of a text as they stand there.
fn raw_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_between_words).filter(|word| !word.is_empty())
}

/// The words of a text as they are compared.
fn words(text: &str) -> Vec<String> {
    raw_words(text).map(str::to_lowercase).collect()
}

impl Query {
    /// Reads a query. Everything is some query: what holds no word matches every call.
    pub fn parse(text: &str) -> Self {
        let mut terms = Vec::new();
        for (index, part) in text.split('"').enumerate() {
            let quoted = index % 2 == 1;
            let pieces: Vec<&str> = if quoted {
                vec![part]
            } else {
                part.split_whitespace().collect()
            };
            for piece in pieces {
                let words = words(piece);
                if !words.is_empty() {
                    terms.push(Term {
                        words,
                        prefix: !quoted && piece.ends_with('*'),
                    });
                }
            }
        }
        Self {
            terms,
            text: text.to_owned(),
            target_alone: false,
        }
    }

    /// How many words, phrases and prefixes must occur.
    pub fn terms(&self) -> usize {
        self.terms.len()
    }

    /// The same, looking through the target alone.
    pub fn in_target_alone(self) -> Self {
        Self {
            target_alone: true,
            ..self
        }
    }

    /// Whether only the target is looked through.
    pub fn is_in_target_alone(&self) -> bool {
        self.target_alone
    }

    /// How many words it has.
    pub fn words(&self) -> usize {
        self.terms.iter().map(|term| term.words.len()).sum()
    }

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &Query, target: &str, bodies: &[&str], texts: &[&str]) -> bool {
        let mut finder = Finder::new(&Searches::new([query.clone()]));
        finder.target(target, &|| false).unwrap();
        for body in bodies {
            finder.body(body, &|| false).unwrap();
        }
        for text in texts {
            finder.text(text, &|| false).unwrap();
        }
        finder.found().occurs(query)
    }

    fn found(query: &str) -> bool {
        let body = r#"{"order_id":"A-1001","note":"first line\nSecond LINE","text":"{\"sku\":\"MUG-01\"}"}"#;
        read(&Query::parse(query), "config://store/main", &[body], &[])
    }

    #[test]
    fn words_phrases_and_prefixes() {
        for query in [
            "second",
            "SECOND line",
            "\"second line\"",
            "mug*",
            "mug-01",
            "config store",
            "a-1001",
            "",
            "*",
        ] {
            assert!(found(query), "{query}");
        }
        for query in [
            "nsecond",
            "sec",
            "\"line first\"",
            "mugs*",
            "absent",
            "second absent",
            "\"sec*\"",
        ] {
            assert!(!found(query), "{query}");
        }
    }

    #[test]
    fn the_target_alone_tells_nothing_of_the_rest() {
        for (query, anywhere, in_target) in [
            ("order", true, true),
            ("sold", true, false),
            ("order sold", true, false),
            ("absent", false, false),
            ("", true, true),
        ] {
            let query = Query::parse(query);
            assert_eq!(read(&query, "get_order", &[], &["sold out"]), anywhere);
            let query = query.in_target_alone();
            assert_eq!(read(&query, "get_order", &[], &["sold out"]), in_target);
        }
    }
}
