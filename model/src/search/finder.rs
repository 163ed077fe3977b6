//! Which queries occur in the texts of a call, found while the texts are read.

use std::collections::HashMap;
use std::sync::Arc;

use super::phrases::{Builder, Phrases, State};
use super::{Query, STOP_EVERY, Stop, Stopped, Term, TextReader, raw_words};
use crate::{CallFilter, Matcher};

/// Queries that are looked for together. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Searches(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    /// The numbers of the queries by their texts: of the one that looks through all texts, and of the one that looks
    /// through the target alone.
    queries: HashMap<String, [Option<usize>; 2]>,
    /// The terms of each query.
    terms: Vec<Vec<usize>>,
    /// Of each term, whether it looks through the target alone. The same term of many queries is one.
    target_alone: Vec<bool>,
    phrases: Phrases,
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
        let mut terms: HashMap<(Term, bool), usize> = HashMap::new();
        for query in queries {
            let number = compiled.terms.len();
            let [anywhere, in_target] = compiled.queries.entry(query.text).or_default();
            let known = if query.target_alone { in_target } else { anywhere };
            if known.is_some() {
                continue;
            }
            *known = Some(number);
            let of_query = query.terms.into_iter().map(|term| {
                let next = terms.len();
                *terms.entry((term, query.target_alone)).or_insert(next)
            });
            compiled.terms.push(of_query.collect());
        }
        compiled.target_alone = vec![false; terms.len()];
        let mut phrases = Builder::default();
        for ((term, target_alone), number) in terms {
            if let Some(entry) = compiled.target_alone.get_mut(number) {
                *entry = target_alone;
            }
            phrases.add(&term.words, term.prefix, number);
        }
        compiled.phrases = phrases.build();
        Self(Arc::new(compiled))
    }

    /// All queries in a filter, however deep.
    pub fn of(filter: &CallFilter) -> Self {
        Self::new(filter.queries().into_iter().cloned())
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        let Compiled {
            queries,
            terms,
            target_alone,
            phrases,
        } = &*self.0;
        let numbers: usize = terms
            .iter()
            .map(|terms| terms.capacity() * size_of::<usize>())
            .sum();
        let texts: usize = queries.keys().map(String::capacity).sum();
        size_of::<Compiled>()
            + queries.len() * 2 * size_of::<(String, [Option<usize>; 2])>()
            + terms.len() * size_of::<Vec<usize>>()
            + numbers
            + texts
            + target_alone.len()
            + phrases.bytes()
    }

    /// Whether these are clones of one another, which share what they take.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether any of them looks through more than the target.
    pub fn need_bodies(&self) -> bool {
        self.0.target_alone.iter().any(|target_alone| !target_alone)
    }
}

impl Finder {
    /// For one call.
    pub fn new(searches: &Searches) -> Self {
        let target_alone = &searches.0.target_alone;
        Self {
            found: vec![false; target_alone.len()],
            missing: target_alone.iter().filter(|target_alone| !**target_alone).count(),
            searches: searches.clone(),
        }
    }

    /// What occurs in the texts that were read.
    pub fn found(self) -> Found {
        let found = |term: &usize| self.found.get(*term).copied().unwrap_or_default();
        let terms = self.searches.0.terms.iter();
        Found {
            occurs: terms.map(|terms| terms.iter().all(found)).collect(),
            searches: self.searches,
        }
    }

    fn read(&mut self, text: &str, is_target: bool, stop: Stop<'_>) -> Result<(), Stopped> {
        let compiled = Arc::clone(&self.searches.0);
        let (mut state, mut lower) = (State::default(), String::new());
        let mut unasked = 0;
        for word in raw_words(text) {
            unasked += word.len() + 1;
            if unasked > STOP_EVERY {
                unasked = 0;
                if stop() {
                    return Err(Stopped);
                }
            }
            let looked_up = compiled
                .phrases
                .step(&mut state, lowered(word, &mut lower), |terms| {
                    let mut known = false;
                    for term in terms {
                        let target_alone = compiled.target_alone.get(*term).copied().unwrap_or_default();
                        if !target_alone {
                            known |= self.find(*term);
                        } else if is_target && let Some(found) = self.found.get_mut(*term) {
                            *found = true;
                        }
                    }
                    // Those that end in the same words were found with it. In the target more terms count.
                    known && !is_target
                });
            unasked += 4 * looked_up;
        }
        Ok(())
    }

    /// Gives whether it was found before.
    fn find(&mut self, term: usize) -> bool {
        let Some(found) = self.found.get_mut(term) else {
            return false;
        };
        let known = std::mem::replace(found, true);
        if !known {
            self.missing -= 1;
        }
        known
    }
}

/// The word in lower case.
fn lowered<'a>(word: &str, into: &'a mut String) -> &'a str {
    if word.is_ascii() {
        into.clear();
        into.push_str(word);
        into.make_ascii_lowercase();
    } else {
        *into = word.to_lowercase();
    }
    into
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
    pub fn knows(&self, filter: &Matcher) -> bool {
        filter.all_queries(&|query| self.number(query).is_some())
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
