//! Which queries occur in the texts of a call, found while the texts are read.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Query, STOP_EVERY, Stop, Stopped, TextReader, raw_words};
use crate::CallFilter;

/// Queries that are looked for together. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Searches(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    /// The numbers of the queries by their texts: of the one that looks through all texts, and of the one that looks
    /// through the target alone.
    queries: HashMap<String, [Option<usize>; 2]>,
    count: usize,
    terms: Vec<Pattern>,
    /// Terms by the first character of their first word, where that is ASCII.
    ascii: HashMap<u8, Vec<usize>>,
    /// The other terms.
    other: Vec<usize>,
}

#[derive(Debug)]
struct Pattern {
    query: usize,
    target_alone: bool,
    words: Vec<String>,
    /// Whether the last word is a prefix only.
    prefix: bool,
    /// After that many words have matched and the next one does not: how many of the last are a beginning too
    /// (Knuth, Morris and Pratt).
    fallback: Vec<usize>,
}

/// Looks for queries in the texts of one call.
#[derive(Clone, Debug)]
pub struct Finder {
    searches: Searches,
    found: Vec<bool>,
    /// How many terms that look through all texts have not been found.
    missing: usize,
}

/// Which queries occur.
#[derive(Clone, Debug)]
pub struct Found {
    searches: Searches,
    occurs: Vec<bool>,
}

impl Searches {
    /// These queries. The same one twice is one.
    pub fn new(queries: impl IntoIterator<Item = Query>) -> Self {
        let mut compiled = Compiled::default();
        for query in queries {
            let number = compiled.count;
            let [anywhere, in_target] = compiled.queries.entry(query.text).or_default();
            let known = if query.target_alone { in_target } else { anywhere };
            if known.is_some() {
                continue;
            }
            *known = Some(number);
            compiled.count += 1;
            for term in query.terms {
                let Some(first) = term.words.first().and_then(|word| word.bytes().next()) else {
                    continue;
                };
                let index = compiled.terms.len();
                if first.is_ascii() {
                    compiled.ascii.entry(first).or_default().push(index);
                } else {
                    compiled.other.push(index);
                }
                compiled.terms.push(Pattern {
                    query: number,
                    target_alone: query.target_alone,
                    fallback: fallback(&term.words),
                    prefix: term.prefix,
                    words: term.words,
                });
            }
        }
        Self(Arc::new(compiled))
    }

    /// All queries in a filter, however deep.
    pub fn of(filter: &CallFilter) -> Self {
        Self::new(filter.queries().into_iter().cloned())
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        let words = |term: &Pattern| {
            let texts: usize = term.words.iter().map(String::capacity).sum();
            texts + term.words.len() * (size_of::<String>() + size_of::<usize>())
        };
        let terms: usize = self.0.terms.iter().map(words).sum();
        let texts: usize = self.0.queries.keys().map(String::capacity).sum();
        let entries = self.0.queries.len() * 2 * size_of::<(String, [Option<usize>; 2])>();
        // Each term stands in one of the lists by first character too.
        size_of::<Compiled>()
            + self.0.terms.len() * (size_of::<Pattern>() + 2 * size_of::<usize>())
            + terms
            + texts
            + entries
    }

    /// Whether these are clones of one another, which share what they take.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether any of them looks through more than the target.
    pub fn need_bodies(&self) -> bool {
        self.0.terms.iter().any(|term| !term.target_alone)
    }
}

/// For each beginning of the words, how many of its last words are a beginning too.
fn fallback(words: &[String]) -> Vec<usize> {
    let mut table = vec![0; words.len()];
    let mut matched = 0;
    // The last word is never fallen back from: with it the whole has matched. So it may be a prefix.
    for at in 2..words.len() {
        let last = words.get(at - 1);
        while matched > 0 && words.get(matched) != last {
            matched = table.get(matched).copied().unwrap_or(0);
        }
        if words.get(matched) == last {
            matched += 1;
        }
        if let Some(entry) = table.get_mut(at) {
            *entry = matched;
        }
    }
    table
}

impl Pattern {
    /// How many of its words have matched after one more word, when `matched` had before it. All of them: it is found.
    fn step(&self, mut matched: usize, word: &str) -> usize {
        loop {
            let is_last = matched + 1 == self.words.len();
            let wanted = self.words.get(matched).map_or("", String::as_str);
            if is_word(word, wanted, self.prefix && is_last) {
                return matched + 1;
            }
            if matched == 0 {
                return 0;
            }
            matched = self.fallback.get(matched).copied().unwrap_or(0);
        }
    }
}

/// Whether a word of a text is the wanted one, which is in lower case, or begins with it.
fn is_word(word: &str, wanted: &str, prefix: bool) -> bool {
    if word.is_ascii() {
        let (word, wanted) = (word.as_bytes(), wanted.as_bytes());
        let word = if prefix {
            word.get(..wanted.len()).unwrap_or(word)
        } else {
            word
        };
        return word.eq_ignore_ascii_case(wanted);
    }
    if word.contains('Σ') {
        // The only letter whose lower case depends on what stands around it.
        let word = word.to_lowercase();
        return if prefix {
            word.starts_with(wanted)
        } else {
            word == wanted
        };
    }
    let mut found = word.chars().flat_map(char::to_lowercase);
    for wanted in wanted.chars() {
        if found.next() != Some(wanted) {
            return false;
        }
    }
    prefix || found.next().is_none()
}

impl Compiled {
    /// The terms of which a word may be the first.
    fn beginning_with(&self, word: &str) -> &[usize] {
        let first = word.chars().next().and_then(|first| first.to_lowercase().next());
        match first
            .and_then(|first| u8::try_from(first).ok())
            .filter(u8::is_ascii)
        {
            Some(first) => self.ascii.get(&first).map_or(&[], Vec::as_slice),
            None => &self.other,
        }
    }
}

impl Finder {
    /// For one call.
    pub fn new(searches: &Searches) -> Self {
        let terms = &searches.0.terms;
        Self {
            found: vec![false; terms.len()],
            missing: terms.iter().filter(|term| !term.target_alone).count(),
            searches: searches.clone(),
        }
    }

    /// What occurs in the texts that were read.
    pub fn found(self) -> Found {
        let mut occurs = vec![true; self.searches.0.count];
        for (term, found) in self.searches.0.terms.iter().zip(&self.found) {
            if let Some(occurs) = occurs.get_mut(term.query) {
                *occurs &= *found;
            }
        }
        Found {
            searches: self.searches,
            occurs,
        }
    }

    fn read(&mut self, text: &str, is_target: bool, stop: Stop<'_>) -> Result<(), Stopped> {
        let compiled = Arc::clone(&self.searches.0);
        // Terms of which some words have matched, and how many.
        let mut begun: Vec<(usize, usize)> = Vec::new();
        let mut unasked = 0;
        for word in raw_words(text) {
            unasked += word.len() + 1;
            if unasked > STOP_EVERY {
                unasked = 0;
                if stop() {
                    return Err(Stopped);
                }
            }
            let steps = begun.len();
            begun.retain_mut(|(term, matched)| {
                let Some(pattern) = compiled.terms.get(*term) else {
                    return false;
                };
                *matched = pattern.step(*matched, word);
                if *matched == pattern.words.len() {
                    self.find(*term, pattern);
                    return false;
                }
                *matched > 0
            });
            let beginning = compiled.beginning_with(word);
            for term in beginning {
                let Some(pattern) = compiled.terms.get(*term) else {
                    continue;
                };
                let open =
                    !self.found.get(*term).copied().unwrap_or(true) && (is_target || !pattern.target_alone);
                if !open || begun.iter().any(|(begun, _)| begun == term) {
                    continue;
                }
                match pattern.step(0, word) {
                    0 => {}
                    matched if matched == pattern.words.len() => self.find(*term, pattern),
                    matched => begun.push((*term, matched)),
                }
            }
            // Many terms make each word dear.
            unasked += 4 * (steps + beginning.len());
        }
        Ok(())
    }

    fn find(&mut self, term: usize, pattern: &Pattern) {
        if let Some(found) = self.found.get_mut(term)
            && !std::mem::replace(found, true)
            && !pattern.target_alone
        {
            self.missing -= 1;
        }
    }
}

impl TextReader for Finder {
    fn target(&mut self, text: &str, stop: Stop<'_>) -> Result<(), Stopped> {
        self.read(text, true, stop)
    }

    fn text(&mut self, text: &str, stop: Stop<'_>) -> Result<(), Stopped> {
        self.read(text, false, stop)
    }

    fn is_done(&self) -> bool {
        self.missing == 0
    }
}

impl Found {
    /// What was looked for.
    pub fn searches(&self) -> &Searches {
        &self.searches
    }

    /// About how many bytes it takes, besides what it shares with others that were found with the same searches.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.occurs.capacity()
    }

    /// Whether a query occurs; one that was not looked for does not.
    pub fn occurs(&self, query: &Query) -> bool {
        self.number(query)
            .and_then(|number| self.occurs.get(number))
            .copied()
            .unwrap_or(false)
    }

    /// Whether all queries in a filter were looked for.
    pub fn knows(&self, filter: &CallFilter) -> bool {
        filter
            .queries()
            .into_iter()
            .all(|query| self.number(query).is_some())
    }

    fn number(&self, query: &Query) -> Option<usize> {
        let [anywhere, in_target] = self.searches.0.queries.get(&query.text)?;
        if query.target_alone { *in_target } else { *anywhere }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::reference::Haystack;
    use super::*;

    const WORD: &str = "[aAbBßΣςσİıKſ1²क्षǅ]{1,3}";

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            "[aAbΣİ \n\"ß_-]{0,9}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[aAbΣ ]{0,4}", inner, 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(WORD, 0..9).prop_map(|words| words.join(" "))
    }

    fn query() -> impl Strategy<Value = Query> {
        let piece = prop_oneof![
            WORD,
            WORD.prop_map(|word| format!("{word}*")),
            "[aAbB1 ]{1,9}".prop_map(|phrase| format!("\"{phrase}\"")),
            (WORD, WORD, WORD).prop_map(|(one, two, three)| format!("{one}-{two}-{three}*")),
        ];
        let queries = proptest::collection::vec(piece, 0..3);
        (queries, any::<bool>()).prop_map(|(pieces, alone)| {
            let query = Query::parse(&pieces.join(" "));
            if alone { query.in_target_alone() } else { query }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// What is found while reading is what was found in copies of all words.
        #[test]
        fn reading_finds_what_the_definition_finds(
            queries in proptest::collection::vec(query(), 1..4),
            target in text(),
            texts in proptest::collection::vec(text(), 0..3),
            body in prop_oneof![json().prop_map(|json| json.to_string()), "[{}\\[\\]\",:a1Σ .e]{0,9}", text()],
        ) {
            let mut finder = Finder::new(&Searches::new(queries.clone()));
            let mut haystack = Haystack::default();
            finder.target(&target, &|| false).unwrap();
            haystack.set_target(&target);
            finder.body(&body, &|| false).unwrap();
            haystack.add_body(&body);
            for text in &texts {
                finder.text(text, &|| false).unwrap();
                haystack.add_text(text);
            }
            let found = finder.found();
            for query in &queries {
                prop_assert_eq!(found.occurs(query), haystack.holds(query), "{:?}", query);
            }
        }
    }

    #[test]
    fn phrases_that_overlap_themselves_are_found() {
        for (phrase, text, there) in [
            ("\"a a b\"", "a a a b", true),
            ("\"a b a b c\"", "a b a b a b c", true),
            ("\"a b a c\"", "a b a b a c", true),
            ("a-a-ab*", "a a a abc", true),
            ("\"a a b\"", "a b a b", false),
        ] {
            let query = Query::parse(phrase);
            let mut finder = Finder::new(&Searches::new([query.clone()]));
            finder.text(text, &|| false).unwrap();
            assert_eq!(finder.found().occurs(&query), there, "{phrase} in {text}");
        }
    }

    #[test]
    fn reading_stops_inside_a_long_text() {
        let (text, body) = ("word ".repeat(1 << 20), json!(vec!["word"; 1 << 18]).to_string());
        for long in [text, body] {
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() == 3
            };
            let mut finder = Finder::new(&Searches::new([Query::parse("absent")]));
            assert_eq!(finder.body(&long, &stop), Err(Stopped));
            assert_eq!(asked.get(), 3);
        }
    }
}
