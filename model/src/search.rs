//! Full-text search: what a query means and whether it occurs. Words are runs of letters and digits, compared
//! without case; a JSON body is searched in its keys and values, so escapes never hide a word.

mod keys;

use serde_json::Value;

pub use keys::{Key, Keys};

/// Words, phrases in quotes and `prefix*`, all of which must occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    terms: Vec<Term>,
    text: String,
    /// Whether only the target is looked through.
    target_alone: bool,
}

/// Consecutive words; the last may be a prefix only.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    words: Vec<String>,
    prefix: bool,
}

/// The texts of one call, cut into words.
#[derive(Clone, Debug, Default)]
pub struct Haystack {
    fields: Vec<Vec<String>>,
    target: Vec<String>,
}

fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
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

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether every term occurs somewhere.
    pub fn occurs_in(&self, haystack: &Haystack) -> bool {
        let fields: &[Vec<String>] = if self.target_alone { &[] } else { &haystack.fields };
        self.terms
            .iter()
            .all(|term| term.occurs_in(&haystack.target) || fields.iter().any(|field| term.occurs_in(field)))
    }
}

impl Term {
    fn occurs_in(&self, field: &[String]) -> bool {
        field.windows(self.words.len()).any(|window| {
            let last = self.words.len() - 1;
            window
                .iter()
                .zip(&self.words)
                .enumerate()
                .all(|(index, (found, wanted))| {
                    if self.prefix && index == last {
                        found.starts_with(wanted.as_str())
                    } else {
                        found == wanted
                    }
                })
        })
    }
}

impl Haystack {
    /// Sets the target, which also those may search who may not see bodies.
    pub fn set_target(&mut self, text: &str) {
        self.target = words(text);
    }

    /// Adds plain text: a message, a log line.
    pub fn add_text(&mut self, text: &str) {
        self.fields.push(words(text));
    }

    /// Adds a body: JSON by its keys and values, anything else as text.
    pub fn add_body(&mut self, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(json) => self.add_json(&json),
            Err(_) => self.add_text(text),
        }
    }

    fn add_json(&mut self, json: &Value) {
        match json {
            Value::Null => {}
            Value::Bool(value) => self.add_text(if *value { "true" } else { "false" }),
            Value::Number(number) => self.add_text(&number.to_string()),
            Value::String(text) => self.add_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.add_json(item)),
            Value::Object(members) => members.iter().for_each(|(key, value)| {
                self.add_text(key);
                self.add_json(value);
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str) -> bool {
        let mut haystack = Haystack::default();
        haystack.set_target("config://store/main");
        haystack.add_body(
            r#"{"order_id":"A-1001","note":"first line\nSecond LINE","text":"{\"sku\":\"MUG-01\"}"}"#,
        );
        Query::parse(query).occurs_in(&haystack)
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
        let mut haystack = Haystack::default();
        haystack.set_target("get_order");
        haystack.add_text("sold out");
        for (query, anywhere, in_target) in [
            ("order", true, true),
            ("sold", true, false),
            ("order sold", true, false),
            ("absent", false, false),
            ("", true, true),
        ] {
            let query = Query::parse(query);
            assert_eq!(query.occurs_in(&haystack), anywhere);
            assert_eq!(query.in_target_alone().occurs_in(&haystack), in_target);
        }
    }
}
