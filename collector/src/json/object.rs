//! A JSON object, read leniently by the names of its members.

use std::borrow::Cow;

use super::node::Node;

/// A JSON object, read field by field.
#[derive(Clone, Copy)]
pub(super) struct Object<'a>(pub(super) &'a [(Cow<'a, str>, Node<'a>)]);

impl<'a> Object<'a> {
    /// Of a name given twice the last counts.
    pub(super) fn get(self, camel: &str, snake: &str) -> Option<&'a Node<'a>> {
        let named = |name: &str| {
            let entries = self.0.iter().rev();
            entries
                .into_iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        named(camel)
            .or_else(|| named(snake))
            .filter(|value| **value != Node::Null)
    }

    pub(super) fn object(self, camel: &str, snake: &str) -> Option<Object<'a>> {
        self.get(camel, snake)?.as_object().map(Object)
    }

    pub(super) fn list<T>(self, camel: &str, snake: &str, read: impl Fn(Object<'a>) -> T) -> Vec<T> {
        let items = self.get(camel, snake).and_then(Node::as_list);
        items
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_object())
            .map(|item| read(Object(item)))
            .collect()
    }

    pub(super) fn text(self, camel: &str, snake: &str) -> String {
        self.get(camel, snake)
            .and_then(Node::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn u64(self, camel: &str, snake: &str) -> u64 {
        match self.get(camel, snake) {
            Some(Node::Text(text)) => text.parse().unwrap_or_default(),
            Some(number) => number
                .as_u64()
                .or_else(|| whole(number.as_f64()?))
                .unwrap_or_default(),
            None => 0,
        }
    }

    pub(super) fn u32(self, camel: &str, snake: &str) -> u32 {
        u32::try_from(self.u64(camel, snake)).unwrap_or(u32::MAX)
    }

    pub(super) fn enumeration(self, camel: &str, snake: &str, named: impl Fn(&str) -> Option<i32>) -> i32 {
        match self.get(camel, snake) {
            Some(Node::Text(text)) => named(text).or_else(|| text.parse().ok()).unwrap_or_default(),
            Some(number) => number
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .unwrap_or_default(),
            None => 0,
        }
    }

    pub(super) fn id(self, camel: &str, snake: &str) -> Vec<u8> {
        self.get(camel, snake)
            .and_then(Node::as_str)
            .and_then(hex)
            .unwrap_or_default()
    }
}

fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}
