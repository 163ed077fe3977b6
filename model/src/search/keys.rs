//! What an index of words holds of a call, and what a query looks up there.
//!
//! A key is a word, or two words that stand beside each other: with these an index answers words, prefixes and phrases of
//! two words without the texts. A longer phrase is looked up by its pairs, and then read. The marks are neither letters
//! nor digits, so they occur in no word.

use std::collections::HashSet;

use super::{Query, STOP_EVERY, Stop, Stopped, Term, TextReader, raw_words};

/// Stands before the words of the target, which those may search who may see nothing else.
const TARGET: &str = "§";
/// Stands before each of two words beside each other.
const PAIR: &str = "¶";
/// How many characters of a word are in a key. Longer ones are mostly no words.
const LONGEST: usize = 64;

/// What must be in the index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The key, or how it begins. No white space, no punctuation of ASCII.
    pub text: String,
    /// Whether any key will do that begins so.
    pub prefix: bool,
}

/// What a query looks up in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// All of them must be there. None at all: every call is meant.
    pub all: Vec<Key>,
    /// Whether every call that has them is meant. Otherwise its texts decide.
    pub exact: bool,
}

impl Query {
    /// What it looks up in an index.
    pub fn keys(&self) -> Keys {
        let mut all: Vec<Key> = self
            .terms
            .iter()
            .flat_map(|term| term.keys(self.target_alone))
            .collect();
        all.sort();
        all.dedup();
        Keys {
            all,
            exact: self.terms.iter().all(Term::is_in_keys),
        }
    }
}

impl Term {
    fn keys(&self, target_alone: bool) -> Vec<Key> {
        let words: Vec<&str> = self.words.iter().map(|word| shortened(word)).collect();
        let texts: Vec<String> = match words.as_slice() {
            [only] => vec![word(only, target_alone)],
            words => words.windows(2).map(|two| pair(two, target_alone)).collect(),
        };
        // What was cut is no longer the beginning of something longer: it is all that the index has.
        let prefix = self.prefix && self.words.last().is_some_and(|last| cut(last).is_none());
        let last = texts.len();
        (1..)
            .zip(texts)
            .map(|(index, text)| Key {
                text,
                prefix: prefix && index == last,
            })
            .collect()
    }

    /// Whether its keys say all that it says.
    fn is_in_keys(&self) -> bool {
        self.words.len() <= 2 && self.words.iter().all(|word| word.chars().count() < LONGEST)
    }
}

/// Collects all keys of a call, in bounded memory.
#[derive(Clone, Debug)]
pub struct KeyCollector {
    keys: HashSet<String>,
    bytes: usize,
    limit: usize,
}

impl KeyCollector {
    /// At most `limit` bytes of keys, with one more byte between each two.
    pub fn new(limit: usize) -> Self {
        Self {
            keys: HashSet::new(),
            bytes: 0,
            limit,
        }
    }

    /// The keys in order; `None` when they are more than the limit.
    pub fn keys(self) -> Option<Vec<String>> {
        if self.is_done() {
            return None;
        }
        let mut keys: Vec<String> = self.keys.into_iter().collect();
        keys.sort_unstable();
        Some(keys)
    }

    fn add(&mut self, key: String) {
        let bytes = key.len() + 1;
        if self.keys.insert(key) {
            self.bytes += bytes;
        }
    }

    fn read(&mut self, text: &str, target: bool, stop: Stop<'_>) -> Result<(), Stopped> {
        let mut before: Option<String> = None;
        let mut unasked = 0;
        for raw in raw_words(text) {
            unasked += raw.len() + 1;
            if unasked > STOP_EVERY {
                unasked = 0;
                if stop() {
                    return Err(Stopped);
                }
            }
            let mut only = raw.to_lowercase();
            if let Some(end) = cut(&only) {
                only.truncate(end);
            }
            self.add(word(&only, target));
            if let Some(before) = &before {
                self.add(pair(&[before, &only], target));
            }
            if self.is_done() {
                return Ok(());
            }
            before = Some(only);
        }
        Ok(())
    }
}

impl TextReader for KeyCollector {
    fn target(&mut self, text: &str, stop: Stop<'_>) -> Result<(), Stopped> {
        self.read(text, true, stop)?;
        self.read(text, false, stop)
    }

    fn text(&mut self, text: &str, stop: Stop<'_>) -> Result<(), Stopped> {
        self.read(text, false, stop)
    }

    fn is_done(&self) -> bool {
        self.bytes > self.limit.saturating_add(1)
    }
}

fn word(word: &str, target: bool) -> String {
    if target {
        format!("{TARGET}{word}")
    } else {
        word.to_owned()
    }
}

fn pair(two: &[&str], target: bool) -> String {
    let mark = if target { TARGET } else { PAIR };
    two.iter().flat_map(|word| [mark, word]).collect()
}

/// Where a word is cut; `None` when it is short enough.
fn cut(word: &str) -> Option<usize> {
    word.char_indices().nth(LONGEST).map(|(index, _)| index)
}

fn shortened(word: &str) -> &str {
    cut(word).and_then(|end| word.get(..end)).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::reference::Haystack;
    use super::*;

    fn has(keys: &[String], wanted: &Key) -> bool {
        keys.iter().any(|key| {
            if wanted.prefix {
                key.starts_with(&wanted.text)
            } else {
                *key == wanted.text
            }
        })
    }

    fn collected(haystack: &Haystack) -> Vec<String> {
        let mut keys: Vec<String> = haystack
            .fields
            .iter()
            .map(|words| (words, false))
            .chain([(&haystack.target, false), (&haystack.target, true)])
            .flat_map(|(words, target)| {
                let words: Vec<&str> = words.iter().map(|word| shortened(word)).collect();
                let pairs: Vec<String> = words.windows(2).map(|two| pair(two, target)).collect();
                let words = words.into_iter().map(move |only| word(only, target));
                words.chain(pairs).collect::<Vec<String>>()
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn in_index(query: &Query, haystack: &Haystack) -> bool {
        let keys = collected(haystack);
        query.keys().all.iter().all(|wanted| has(&keys, wanted))
    }

    #[test]
    fn marks_occur_in_no_word() {
        assert!(
            [TARGET, PAIR]
                .iter()
                .all(|mark| super::super::words(mark).is_empty())
        );
    }

    #[test]
    fn long_words_are_cut_and_read() {
        let long = "ä".repeat(LONGEST + 1);
        let mut haystack = Haystack::default();
        haystack.add_text(&long);
        for (text, there) in [
            (long.clone(), true),
            (format!("{long}*"), true),
            ("ä".repeat(LONGEST), false),
        ] {
            let query = Query::parse(&text);
            assert!(in_index(&query, &haystack) && !query.keys().exact, "{text}");
            assert_eq!(haystack.holds(&query), there);
        }
        assert!(Query::parse(&format!("{}*", "ä".repeat(9))).keys().exact);
    }

    #[test]
    fn what_is_looked_up() {
        let texts = |text: &str| {
            Query::parse(text)
                .keys()
                .all
                .into_iter()
                .map(|key| key.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("Mug get_order"), ["mug", "¶get¶order"]);
        assert_eq!(texts("\"a b c\""), ["¶a¶b", "¶b¶c"]);
        assert!(texts("*").is_empty() && Query::parse("*").keys().exact);
        let alone = Query::parse("get_ord*").in_target_alone().keys();
        assert_eq!(
            alone.all,
            [Key {
                text: "§get§ord".into(),
                prefix: true
            }]
        );
    }

    proptest! {
        #[test]
        fn the_index_misses_nothing(
            fields in proptest::collection::vec("[aAbß1 _-]{0,9}", 0..4),
            target in "[aAb_]{0,6}",
            query in "[aAbß1 \"*_-]{0,9}",
            alone in any::<bool>(),
        ) {
            let mut haystack = Haystack::default();
            fields.iter().for_each(|field| haystack.add_text(field));
            haystack.set_target(&target);
            let query = Query::parse(&query);
            let query = if alone { query.in_target_alone() } else { query };
            let (occurs, indexed) = (haystack.holds(&query), in_index(&query, &haystack));
            prop_assert!(indexed || !occurs);
            prop_assert!(occurs || !indexed || !query.keys().exact);
            let read = |limit| {
                let mut collector = KeyCollector::new(limit);
                collector.target(&target, &|| false).unwrap();
                for field in &fields {
                    collector.text(field, &|| false).unwrap();
                }
                collector.keys()
            };
            let keys = collected(&haystack);
            let bytes = keys.join(" ").len();
            prop_assert_eq!(read(bytes), Some(keys));
            prop_assert_eq!(read(bytes.saturating_sub(1)).is_none(), bytes > 0);
        }
    }
}
