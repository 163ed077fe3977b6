//! Phrases that are looked for together: an automaton over words (Aho and Corasick). However many phrases there are, a word
//! of a text costs a few look-ups, and one for each phrase that ends with it.

use std::collections::{HashMap, VecDeque};

/// The beginning of every phrase.
const ROOT: usize = 0;

/// Phrases of whole words; the last word of some may be a prefix only.
#[derive(Debug)]
pub(super) struct Phrases {
    /// The numbers of the whole words.
    words: HashMap<String, usize>,
    /// Beginnings of phrases, in whole words.
    nodes: Vec<Node>,
    /// From a beginning by one more word.
    edges: HashMap<(usize, usize), usize>,
    /// The letters of prefixes.
    letters: Vec<Letter>,
    /// From a letter by one more byte.
    bytes: HashMap<(usize, u8), usize>,
}

/// A beginning of phrases.
#[derive(Debug, Default)]
struct Node {
    /// The longest beginning that this one ends in.
    shorter: usize,
    /// The phrases that end here.
    ends: Vec<usize>,
    /// The next of the shorter beginnings where phrases end.
    next_end: Option<usize>,
    /// Where the letters of the prefixes begin that may come next.
    prefixes: Option<usize>,
    /// The next of the shorter beginnings after which prefixes come.
    next_prefixes: Option<usize>,
}

/// A letter of prefixes, with the phrases that end with it.
#[derive(Debug, Default)]
struct Letter {
    ends: Vec<usize>,
}

/// Which beginning the last words of a text are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State(usize);

/// Collects phrases.
#[derive(Debug, Default)]
pub(super) struct Builder(Phrases);

impl Default for Phrases {
    fn default() -> Self {
        Self {
            words: HashMap::new(),
            nodes: vec![Node::default()],
            edges: HashMap::new(),
            letters: Vec::new(),
            bytes: HashMap::new(),
        }
    }
}

impl Builder {
    /// One more phrase, under a number. Its words are in lower case.
    pub(super) fn add(&mut self, words: &[String], prefix: bool, number: usize) {
        let Phrases {
            words: numbers,
            nodes,
            edges,
            letters,
            bytes,
        } = &mut self.0;
        let (whole, last) = match words.split_last() {
            Some((last, whole)) if prefix => (whole, Some(last)),
            _ => (words, None),
        };
        let mut node = ROOT;
        for word in whole {
            let next = numbers.len();
            let word = *numbers.entry(word.clone()).or_insert(next);
            node = *edges.entry((node, word)).or_insert_with(|| {
                nodes.push(Node::default());
                nodes.len() - 1
            });
        }
        let Some(node) = nodes.get_mut(node) else { return };
        let Some(last) = last else {
            node.ends.push(number);
            return;
        };
        let mut letter = *node.prefixes.get_or_insert_with(|| {
            letters.push(Letter::default());
            letters.len() - 1
        });
        for byte in last.bytes() {
            letter = *bytes.entry((letter, byte)).or_insert_with(|| {
                letters.push(Letter::default());
                letters.len() - 1
            });
        }
        if let Some(letter) = letters.get_mut(letter) {
            letter.ends.push(number);
        }
    }

    /// All of them.
    pub(super) fn build(self) -> Phrases {
        let mut phrases = self.0;
        let mut children: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
        for ((node, word), next) in &phrases.edges {
            children.entry(*node).or_default().push((*word, *next));
        }
        // Shorter beginnings come first.
        let mut queue = VecDeque::from([ROOT]);
        while let Some(node) = queue.pop_front() {
            for (word, child) in children.remove(&node).unwrap_or_default() {
                let shorter = match node {
                    ROOT => ROOT,
                    node => phrases.follow(phrases.shorter(node), word, &mut 0),
                };
                let found = phrases.nodes.get(shorter);
                let next_end = found.and_then(|found| found.own_end(shorter));
                let next_prefixes = found.and_then(|found| found.own_prefixes(shorter));
                if let Some(entry) = phrases.nodes.get_mut(child) {
                    (entry.shorter, entry.next_end, entry.next_prefixes) = (shorter, next_end, next_prefixes);
                }
                queue.push_back(child);
            }
        }
        phrases
    }
}

impl Node {
    /// This one, which is at `at`, or the next where phrases end.
    fn own_end(&self, at: usize) -> Option<usize> {
        if self.ends.is_empty() {
            self.next_end
        } else {
            Some(at)
        }
    }

    /// This one, which is at `at`, or the next after which prefixes come.
    fn own_prefixes(&self, at: usize) -> Option<usize> {
        self.prefixes.map(|_| at).or(self.next_prefixes)
    }
}

impl Phrases {
    /// Goes on by one word in lower case. Shows the numbers of the phrases that end with it to `end`; where that says so,
    /// the shorter ones that end in the same whole words are left out. Gives how much was looked up.
    pub(super) fn step(&self, state: &mut State, word: &str, mut end: impl FnMut(&[usize]) -> bool) -> usize {
        let mut looked_up = 1;
        let mut with_prefixes = self
            .nodes
            .get(state.0)
            .and_then(|node| node.own_prefixes(state.0));
        while let Some(node) = with_prefixes.and_then(|at| self.nodes.get(at)) {
            let mut letter = node.prefixes;
            let mut bytes = word.bytes();
            while let Some(at) = letter {
                looked_up += 1;
                if let Some(letter) = self.letters.get(at)
                    && !letter.ends.is_empty()
                {
                    end(&letter.ends);
                }
                letter = bytes.next().and_then(|byte| self.bytes.get(&(at, byte)).copied());
            }
            with_prefixes = node.next_prefixes;
        }
        state.0 = match self.words.get(word) {
            Some(word) => self.follow(state.0, *word, &mut looked_up),
            None => ROOT,
        };
        let mut with_ends = self.nodes.get(state.0).and_then(|node| node.own_end(state.0));
        while let Some(node) = with_ends.and_then(|at| self.nodes.get(at)) {
            looked_up += 1;
            if end(&node.ends) {
                break;
            }
            with_ends = node.next_end;
        }
        looked_up
    }

    /// The longest beginning that ends in this one, or a shorter one, and the word.
    fn follow(&self, mut node: usize, word: usize, looked_up: &mut usize) -> usize {
        loop {
            *looked_up += 1;
            match self.edges.get(&(node, word)) {
                Some(next) => return *next,
                None if node == ROOT => return ROOT,
                None => node = self.shorter(node),
            }
        }
    }

    fn shorter(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(ROOT, |node| node.shorter)
    }

    /// About how many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        let words: usize = self.words.keys().map(String::capacity).sum();
        let numbers = size_of::<usize>();
        // Half of a table may be empty.
        words
            + self.words.len() * 2 * (size_of::<String>() + numbers)
            + self.nodes.len() * (size_of::<Node>() + 2 * numbers)
            + self.edges.len() * 2 * (3 * numbers)
            + self.letters.len() * (size_of::<Letter>() + 2 * numbers)
            + self.bytes.len() * 2 * (3 * numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much is looked up for a text, and how many phrases are found in it.
    fn look(phrases: impl Iterator<Item = (String, bool)>, text: &str) -> (usize, usize) {
        let mut builder = Builder::default();
        for (number, (phrase, prefix)) in phrases.enumerate() {
            let words: Vec<String> = phrase.split(' ').map(str::to_owned).collect();
            builder.add(&words, prefix, number);
        }
        let built = builder.build();
        let (mut state, mut looked_up) = (State::default(), 0);
        let mut found = std::collections::HashSet::new();
        for word in text.split(' ') {
            looked_up += built.step(&mut state, word, |ends| {
                let known = found.contains(&ends[0]);
                found.extend(ends.iter().copied());
                known
            });
        }
        (looked_up, found.len())
    }

    #[test]
    fn a_word_costs_no_more_when_there_are_more_phrases() {
        let text = "a ".repeat(10_000) + "a1 a b7 ab9";
        let words = text.split(' ').count();
        let phrases = |count: usize| {
            (0..count).flat_map(|number| {
                [
                    // Words that begin alike, phrases that begin alike, and prefixes that do.
                    (format!("a{number}"), false),
                    (format!("a b{number}"), false),
                    (format!("a c{number}"), true),
                    (format!("ab{number}"), true),
                ]
            })
        };
        let (few, found) = look(phrases(10), &text);
        assert_eq!(found, 3);
        let (many, found) = look(phrases(5_000), &text);
        assert_eq!(found, 3);
        assert!(
            few <= 8 * words && many <= 8 * words,
            "{few} {many} of {words} words"
        );
    }

    #[test]
    fn phrases_that_end_in_one_another_cost_little_once_they_are_found() {
        let text = "a ".repeat(10_000);
        let phrases = (1..200).map(|length| (vec!["a"; length].join(" "), false));
        let words = text.split(' ').count();
        let (looked_up, found) = look(phrases, &text);
        assert_eq!(found, 199);
        assert!(looked_up <= 6 * words + 200 * 200, "{looked_up} of {words} words");
    }
}
