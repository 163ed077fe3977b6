//! The attributes that the code of a call sets. They wait until the call ends: a span holds a number of attributes that its provider
//! says, and what this crate itself writes, outcome and bodies among it, has its place before them.

use std::sync::{Mutex, PoisonError};

use mcptap_model::semconv;
use opentelemetry::trace::SpanRef;
use opentelemetry::{Array, Key, KeyValue, Value};

/// The most bytes that they take, names and values.
const MOST_BYTES: usize = 64 * 1024;
/// The most names.
const MOST_NAMES: usize = 64;

/// The attributes of one call.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// One for each name.
    attributes: Vec<KeyValue>,
    bytes: usize,
    /// How many values there was no room for.
    dropped: i64,
    /// Names that the record itself has set since the call began.
    own: Vec<Key>,
}

impl State {
    fn put(&mut self, attribute: KeyValue) {
        let known = self
            .attributes
            .iter()
            .position(|known| known.key == attribute.key);
        if let Some(known) = known {
            // An old value is not left where a new one does not fit.
            let old = self.attributes.swap_remove(known);
            self.bytes = self.bytes.saturating_sub(bytes_of(&old));
        }
        let bytes = self.bytes.saturating_add(bytes_of(&attribute));
        if bytes > MOST_BYTES || self.attributes.len() >= MOST_NAMES {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.bytes = bytes;
        self.attributes.push(attribute);
    }
}

impl Given {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets attributes; of those with one name the last counts.
    pub(super) fn put(&self, attributes: Vec<KeyValue>) {
        self.with(|state| attributes.into_iter().for_each(|attribute| state.put(attribute)));
    }

    /// The record itself has set these.
    pub(super) fn note_own(&self, attributes: &[KeyValue]) {
        self.with(|state| {
            for attribute in attributes {
                if !state.own.contains(&attribute.key) {
                    state.own.push(attribute.key.clone());
                }
            }
        });
    }

    /// What was set so far, besides what the record itself says.
    pub(crate) fn all(&self) -> Vec<KeyValue> {
        self.with(|state| {
            let given = state.attributes.iter();
            let given = given.filter(|given| !state.own.contains(&given.key));
            let dropped =
                (state.dropped > 0).then(|| KeyValue::new(semconv::MCPTAP_DROPPED_ATTRIBUTES, state.dropped));
            dropped.into_iter().chain(given.cloned()).collect()
        })
    }

    /// Writes them into the span of the call, which ends.
    pub(super) fn write(&self, span: &SpanRef<'_>) {
        if span.is_recording() {
            span.set_attributes(self.all());
        }
    }
}

/// How many bytes an attribute takes, about.
fn bytes_of(attribute: &KeyValue) -> usize {
    let value = match &attribute.value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => {
            let bytes = texts.iter().map(|text| text.as_str().len() + size_of_val(text));
            bytes.sum()
        }
        Value::Array(Array::Bool(values)) => size_of_val(values.as_slice()),
        Value::Array(Array::I64(values)) => size_of_val(values.as_slice()),
        Value::Array(Array::F64(values)) => size_of_val(values.as_slice()),
        _ => size_of::<i64>(),
    };
    attribute.key.as_str().len() + value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(given: &Given) -> Vec<(String, String)> {
        let all = given.all().into_iter();
        let mut all: Vec<_> = all
            .map(|said| (said.key.to_string(), said.value.to_string()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn of_one_name_the_last_value_counts_and_takes_the_room_of_one() {
        let given = Given::default();
        for round in 0..10_000 {
            given.put(vec![
                KeyValue::new("step", round),
                KeyValue::new("note", "x".repeat(1000)),
            ]);
        }
        let expected = [("note", "x".repeat(1000)), ("step", "9999".to_owned())];
        assert_eq!(said(&given), expected.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_leaves_no_old_value() {
        let given = Given::default();
        given.put(vec![KeyValue::new("text", "old")]);
        given.put(vec![KeyValue::new("text", "x".repeat(MOST_BYTES))]);
        assert_eq!(
            said(&given),
            [("mcptap.dropped_attributes".to_owned(), "1".to_owned())]
        );
        for name in 0..1000 {
            given.put(vec![KeyValue::new(format!("name-{name}"), true)]);
        }
        assert_eq!(given.all().len(), MOST_NAMES + 1);
        let lists = Given::default();
        lists.put(vec![KeyValue::new(
            "list",
            Value::Array(Array::I64(vec![1; MOST_BYTES])),
        )]);
        assert_eq!(lists.all().len(), 1, "its size is counted");
    }

    #[test]
    fn what_the_record_says_itself_is_not_said_again() {
        let given = Given::default();
        given.put(vec![
            KeyValue::new("error.type", "mine"),
            KeyValue::new("order.id", 7),
        ]);
        given.note_own(&[KeyValue::new("error.type", "tool_error")]);
        assert_eq!(said(&given), [("order.id".to_owned(), "7".to_owned())]);
    }
}
