//! A JSON object, read leniently by the names of its members. Members that cannot be read count as absent, and are noted.

use std::borrow::Cow;
use std::cell::RefCell;

use super::node::Node;
use super::scalar;
use crate::losses::Losses;

/// A JSON object, read field by field.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    entries: &'a [(Cow<'a, str>, Node<'a>)],
    losses: &'a RefCell<Losses>,
}

impl<'a> Object<'a> {
    /// The object, if the node is one.
    pub(super) fn of(node: &'a Node<'a>, losses: &'a RefCell<Losses>) -> Option<Self> {
        let entries = node.as_object()?;
        Some(Self { entries, losses })
    }

    /// An object that stands somewhere in this one.
    pub(super) fn inner(self, node: &'a Node<'a>) -> Option<Self> {
        Self::of(node, self.losses)
    }

    /// The members in their order, without those that are null.
    pub(super) fn members(self) -> impl Iterator<Item = (&'a str, &'a Node<'a>)> {
        let members = self.entries.iter().map(|(name, value)| (name.as_ref(), value));
        members.filter(|(_, value)| **value != Node::Null)
    }

    /// Of a name given twice the last counts. Null is absent.
    pub(super) fn get(self, camel: &str, snake: &str) -> Option<&'a Node<'a>> {
        let named = |name: &str| {
            let found = self.entries.iter().rev().find(|(key, _)| key == name);
            found.map(|(_, value)| value)
        };
        named(camel)
            .or_else(|| named(snake))
            .filter(|value| **value != Node::Null)
    }

    /// Notes that a value cannot be read.
    pub(super) fn lose(self, text: impl FnOnce() -> String) {
        self.losses.borrow_mut().values.add(text);
    }

    /// Notes that a record, or a group of them, cannot be read.
    pub(super) fn lose_record(self, text: impl FnOnce() -> String) {
        self.losses.borrow_mut().records.add(text);
    }

    /// How many values could not be read so far.
    pub(super) fn lost(self) -> u64 {
        self.losses.borrow().values.count
    }

    /// Says where the example of a lost value is, if it was lost since there were so many.
    pub(super) fn locate(self, before: u64, place: impl FnOnce() -> String) {
        self.losses.borrow_mut().values.locate(before, place);
    }

    /// A member of some kind, such as "a text".
    fn read<T>(
        self,
        (camel, snake): (&str, &str),
        kind: &str,
        read: impl FnOnce(&'a Node<'a>) -> Option<T>,
    ) -> Option<T> {
        let read = read(self.get(camel, snake)?);
        if read.is_none() {
            self.lose(|| format!("{camel} is not {kind}"));
        }
        read
    }

    pub(super) fn object(self, camel: &str, snake: &str) -> Option<Object<'a>> {
        self.read((camel, snake), "an object", |node| self.inner(node))
    }

    /// The entries of a list, whatever they are.
    pub(super) fn items(self, camel: &str, snake: &str) -> &'a [Node<'a>] {
        self.read((camel, snake), "a list", Node::as_list)
            .unwrap_or_default()
    }

    /// Objects in a list, where an entry that cannot be read is a value lost.
    pub(super) fn list<T>(self, camel: &str, snake: &str, read: impl Fn(Object<'a>) -> T) -> Vec<T> {
        self.objects(self.items(camel, snake), read, || {
            self.lose(|| format!("an entry of {camel} is not an object"))
        })
    }

    /// The same where each entry is a record, or a group of records.
    pub(super) fn records<T>(self, camel: &str, snake: &str, read: impl Fn(Object<'a>) -> T) -> Vec<T> {
        let items = self.get(camel, snake).map(|node| {
            node.as_list().unwrap_or_else(|| {
                self.lose_record(|| format!("{camel} is not a list"));
                &[]
            })
        });
        let lose = || self.lose_record(|| format!("an entry of {camel} is not an object"));
        self.objects(items.unwrap_or_default(), read, lose)
    }

    fn objects<T>(self, items: &'a [Node<'a>], read: impl Fn(Object<'a>) -> T, lose: impl Fn()) -> Vec<T> {
        let items = items.iter().filter(|item| **item != Node::Null);
        let objects = items.filter_map(|item| {
            let object = self.inner(item);
            if object.is_none() {
                lose();
            }
            object
        });
        objects.map(read).collect()
    }

    pub(super) fn text(self, camel: &str, snake: &str) -> String {
        self.read((camel, snake), "a text", Node::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn u64(self, camel: &str, snake: &str) -> u64 {
        self.read((camel, snake), "a whole number of 64 bits", scalar::unsigned)
            .unwrap_or_default()
    }

    pub(super) fn u32(self, camel: &str, snake: &str) -> u32 {
        let read = |node| scalar::unsigned(node)?.try_into().ok();
        self.read((camel, snake), "a whole number of 32 bits", read)
            .unwrap_or_default()
    }

    /// A value of an enumeration, by its name or its number. Numbers that are not known yet are kept.
    pub(super) fn enumeration(self, camel: &str, snake: &str, named: impl Fn(&str) -> Option<i32>) -> i32 {
        let by_name = |node: &Node<'_>| named(node.as_str()?);
        let read = |node| by_name(node).or_else(|| scalar::signed(node)?.try_into().ok());
        self.read((camel, snake), "one of its names or a number", read)
            .unwrap_or_default()
    }

    /// An id. One that cannot be read is empty, so that only its record is refused.
    pub(super) fn id(self, camel: &str, snake: &str) -> Vec<u8> {
        self.read((camel, snake), "an id in hexadecimal or base64", scalar::id)
            .unwrap_or_default()
    }
}
