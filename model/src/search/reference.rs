//! The definition of searching, as plainly as it can be said: all texts are cut into words, and these are compared. What
//! reads texts without copying them is held against it.

use serde_json::Value;

use super::{Query, Term, words};

/// The texts of one call, cut into words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Haystack {
    pub(crate) fields: Vec<Vec<String>>,
    pub(crate) target: Vec<String>,
}

impl Haystack {
    pub(crate) fn set_target(&mut self, text: &str) {
        self.target = words(text);
    }

    pub(crate) fn add_text(&mut self, text: &str) {
        self.fields.push(words(text));
    }

    pub(crate) fn add_body(&mut self, text: &str) {
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

    /// Whether every term occurs somewhere.
    pub(crate) fn holds(&self, query: &Query) -> bool {
        let fields: &[Vec<String>] = if query.target_alone { &[] } else { &self.fields };
        query
            .terms
            .iter()
            .all(|term| occurs(term, &self.target) || fields.iter().any(|field| occurs(term, field)))
    }
}

fn occurs(term: &Term, field: &[String]) -> bool {
    field.windows(term.words.len()).any(|window| {
        let last = term.words.len() - 1;
        window
            .iter()
            .zip(&term.words)
            .enumerate()
            .all(|(index, (found, wanted))| {
                if term.prefix && index == last {
                    found.starts_with(wanted.as_str())
                } else {
                    found == wanted
                }
            })
    })
}
