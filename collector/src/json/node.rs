//! JSON as a tree that borrows from its text: a quarter of what a tree of maps takes.

use std::borrow::Cow;

/// How many bytes of the tree stand behind a sign of its text: a value in a list is one sign, an entry of an object two.
const COST: usize = size_of::<Node<'_>>();

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    /// A number as it is written, or a word that is none of JSON's.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    /// A list or an object that stands too deep in others, and was left out.
    Deep,
}

impl<'a> Node<'a> {
    pub(super) fn as_object(&self) -> Option<&[(Cow<'a, str>, Node<'a>)]> {
        match self {
            Self::Object(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Node<'a>]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// At most so many bytes the tree of this text takes, besides its texts. Nothing is built to know it: each value but the
/// first stands behind a sign, and signs in texts do not count.
pub(crate) fn tree_bytes(text: &[u8]) -> usize {
    let mut signs = 1_usize;
    let mut in_text = false;
    let mut escaped = false;
    for byte in text {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => in_text = true,
                b',' | b':' | b'[' | b'{' => signs += 1,
                _ => {}
            }
        }
    }
    signs.saturating_mul(COST)
}
