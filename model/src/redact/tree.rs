//! Values under names, as attributes are: whole values under a secret's name, and secrets in every other text.

use std::borrow::Cow;
use std::collections::HashMap;

use super::containers::{self, Members};
use super::joined::{self, is_joined};
use super::looks::is_drawn_item;
use super::named::{is_cut, is_secret_number, is_secret_value};
use super::names::Kind;
use super::pairs::{self, has_scheme};
use super::{REDACTED, Redactor, key_lines};
use crate::{mask_authorization, semconv};

/// Where credentials stand of which the first characters are kept, for people to recognise them.
const MASKED: &[&str] = &[semconv::AUTHORIZATION, "http.request.header.authorization"];

/// How a type of values is read and changed where it stands.
pub trait Shape {
    /// A value that may hold others.
    type Node;
    /// A value under a name.
    type Field;

    /// A value's content, to be changed in place.
    fn content(node: &mut Self::Node) -> Content<'_, Self>;

    /// The value becomes this text, whatever it was.
    fn set_text(node: &mut Self::Node, text: String);

    /// The name, and the value if there is one.
    fn parts(field: &mut Self::Field) -> (&mut String, Option<&mut Self::Node>);
}

/// The content of a value.
#[derive(Debug)]
pub enum Content<'n, S: Shape + ?Sized> {
    /// Nothing that could be a secret.
    Nothing,
    /// A text.
    Text(&'n mut String),
    /// Bytes, which may be a text.
    Bytes(&'n mut Vec<u8>),
    /// A number, as it is written.
    Number(String),
    /// A list.
    List(&'n mut [S::Node]),
    /// An object.
    Fields(&'n mut [S::Field]),
}

/// The simplest value, for types that cannot be changed where they stand.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// Nothing that could be a secret.
    Nothing,
    /// A text.
    Text(String),
    /// Bytes, which may be a text.
    Bytes(Vec<u8>),
    /// A number, as it is written.
    Number(String),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Fields(Vec<(String, Self)>),
}

impl Shape for Tree {
    type Node = Self;
    type Field = (String, Self);

    fn content(node: &mut Self) -> Content<'_, Self> {
        match node {
            Self::Nothing => Content::Nothing,
            Self::Text(text) => Content::Text(text),
            Self::Bytes(bytes) => Content::Bytes(bytes),
            Self::Number(number) => Content::Number(number.clone()),
            Self::List(items) => Content::List(items),
            Self::Fields(fields) => Content::Fields(fields),
        }
    }

    fn set_text(node: &mut Self, text: String) {
        *node = Self::Text(text);
    }

    fn parts(field: &mut (String, Self)) -> (&mut String, Option<&mut Self>) {
        (&mut field.0, Some(&mut field.1))
    }
}

/// Redacts names and values; whether anything was changed.
pub(super) fn fields<S: Shape>(redactor: &Redactor, fields: &mut [S::Field]) -> bool {
    let mut changed = cut_pairs::<S>(redactor, fields);
    for field in fields {
        let (name, value) = S::parts(field);
        if let Some(value) = value {
            changed |= under::<S>(redactor, name, value);
        }
        changed |= redactor.redact_in_place(name);
    }
    changed
}

/// Redacts a value that stands under a name.
fn under<S: Shape>(redactor: &Redactor, name: &str, value: &mut S::Node) -> bool {
    if MASKED.contains(&name) {
        return each_text::<S>(redactor, value, &mut |text, _| {
            let masked = mask_authorization(text);
            (masked != text).then_some(masked)
        });
    }
    let secret = redactor.secret_kind(name);
    if is_joined(name) {
        return each_text::<S>(redactor, value, &mut |id, _| {
            joined::stand_in(redactor, id, secret == Some(Kind::Key))
        });
    }
    match secret {
        Some(Kind::Key) => cut_whole::<S>(value),
        Some(kind) => {
            let members = Members::of(name.as_bytes(), kind);
            let changed = members.is_some_and(|members| cut_members::<S>(value, members, name, 0, false));
            changed | cut::<S>(redactor, value, kind) | node::<S>(redactor, value)
        }
        None => node::<S>(redactor, value),
    }
}

/// Redacts a value that stands under no name.
pub(super) fn node<S: Shape>(redactor: &Redactor, value: &mut S::Node) -> bool {
    match S::content(value) {
        Content::Nothing => false,
        Content::Text(text) => redactor.redact_in_place(text) | encoded_word(redactor, text),
        Content::Bytes(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            match redactor.redact(&text) {
                Cow::Owned(clean) => {
                    *bytes = clean.into_bytes();
                    true
                }
                Cow::Borrowed(_) => false,
            }
        }
        Content::Number(number) => {
            let changed = redactor.redact(&number) != number;
            if changed {
                S::set_text(value, REDACTED.to_owned());
            }
            changed
        }
        Content::List(items) => list::<S>(redactor, items),
        Content::Fields(inner) => fields::<S>(redactor, inner),
    }
}

/// The arguments of a command among them: a flag, then its value. And headers one after the other.
fn list<S: Shape>(redactor: &Redactor, items: &mut [S::Node]) -> bool {
    let mut changed = false;
    let mut before: Option<(Kind, bool)> = None;
    let is_line =
        |item: &mut S::Node| matches!(S::content(item), Content::Text(text) if key_lines::is_line(text));
    // One alone may be a hash.
    let lines = items
        .iter_mut()
        .filter_map(|item| is_line(item).then_some(()))
        .count();
    for item in items {
        if lines > 1 && is_line(item) {
            S::set_text(item, REDACTED.to_owned());
            changed = true;
            continue;
        }
        let named = before.take();
        if let Content::Text(text) = S::content(item) {
            let cut = named.is_some_and(|(kind, flag)| {
                (flag && !text.starts_with("--"))
                    || (kind != Kind::Token && is_drawn_item(text.as_bytes()) && is_secret_value(kind, text))
                    || has_scheme(text)
                    || (kind == Kind::Cookie && text.contains('='))
            });
            if cut && text != REDACTED {
                changed = true;
                *text = REDACTED.to_owned();
            } else {
                before = redactor
                    .secret_kind(text)
                    .map(|kind| (kind, text.starts_with('-')));
            }
        } else if let Content::List(pair) = S::content(item)
            && let [first, second] = pair
            && let Content::Text(name) = S::content(first)
            && let Some(kind) = redactor.secret_kind(name)
        {
            changed |= cut::<S>(redactor, second, kind);
        }
        changed |= node::<S>(redactor, item);
    }
    changed
}

/// Cuts the values of pairs such as `{"name": "API_KEY", "value": "…"}`, also where they are taken apart into
/// `argument.name` and `argument.value`.
fn cut_pairs<S: Shape>(redactor: &Redactor, fields: &mut [S::Field]) -> bool {
    let mut secret = HashMap::new();
    let mut pair = None;
    for field in &mut *fields {
        if pairs::is_name(S::parts(field).0)
            && let Some(Content::Text(named)) = S::parts(field).1.map(S::content)
        {
            pair = pair.or(redactor.secret_kind(named));
            continue;
        }
        let (name, value) = S::parts(field);
        let Some(before) = name.strip_suffix("name").or_else(|| name.strip_suffix("key")) else {
            continue;
        };
        if (before.is_empty() || before.ends_with(['.', '_']))
            && let Some(Content::Text(named)) = value.map(S::content)
            && let Some(kind) = redactor.secret_kind(named)
        {
            secret.entry(format!("{before}value")).or_insert(kind);
        }
    }
    let mut changed = false;
    for field in fields.iter_mut().filter(|_| pair.is_some() || !secret.is_empty()) {
        if pairs::is_sample(S::parts(field).0)
            && let (Some(value), Some(kind)) = (S::parts(field).1, pair)
        {
            changed |= cut_samples::<S>(value, kind);
            continue;
        }
        let (name, value) = S::parts(field);
        let kind = pair
            .filter(|_| pairs::is_value(name))
            .or(secret.get(name.as_str()).copied());
        if let (Some(value), Some(kind)) = (value, kind) {
            changed |= cut::<S>(redactor, value, kind);
        }
    }
    changed
}

/// A header's value as `=?base64?…?=` (MCP 2026-07-28) is decoded where it is read.
fn encoded_word(redactor: &Redactor, text: &mut String) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let encoded = text
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let decoded = encoded
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(mut decoded) = decoded else { return false };
    let changed = redactor.redact_in_place(&mut decoded);
    if changed {
        *text = decoded;
    }
    changed
}

/// Cuts a value, whatever it is.
fn cut_whole<S: Shape>(value: &mut S::Node) -> bool {
    let done = match S::content(value) {
        Content::Nothing => true,
        Content::Text(text) => is_cut(text.as_bytes()),
        _ => false,
    };
    if !done {
        S::set_text(value, REDACTED.to_owned());
    }
    !done
}

/// Cuts the members of an object that is named as secrets are; whether any was. `listed` are objects in a list, of which
/// the value is one.
fn cut_members<S: Shape>(
    value: &mut S::Node,
    members: Members,
    name: &str,
    depth: usize,
    listed: bool,
) -> bool {
    /// An object in it may be read for its own name, too: so that this is not often.
    const DEEPEST: usize = 4;
    match S::content(value) {
        Content::Text(text) if depth > 0 => {
            let named = !listed || pairs::is_value(name) || is_drawn_item(text.as_bytes());
            let cut = named && members.has(name, text, depth);
            if cut {
                REDACTED.clone_into(text);
            }
            cut
        }
        Content::Fields(inner) if depth < DEEPEST => {
            let is_schema = inner.iter_mut().any(|field| {
                let (name, value) = S::parts(field);
                match value.map(S::content) {
                    Some(Content::Text(text)) => containers::is_schema(name, Some(text)),
                    _ => containers::is_schema(name, None),
                }
            });
            !is_schema
                && inner.iter_mut().fold(false, |changed, field| {
                    let (name, value) = S::parts(field);
                    value.is_some_and(|value| cut_members::<S>(value, members, name, depth + 1, listed))
                        | changed
                })
        }
        Content::List(items) => items.iter_mut().fold(false, |changed, item| {
            let listed = listed || depth == 0;
            changed | cut_members::<S>(item, members, name, depth, listed)
        }),
        _ => false,
    }
}

/// Cuts what is a secret under a name of this kind: a text, a number that is no count, each of them in a list, and what
/// an object has as its value. Everything else is left to [`node`], which reads the value after this.
fn cut<S: Shape>(redactor: &Redactor, value: &mut S::Node, kind: Kind) -> bool {
    let mut changed = false;
    match S::content(value) {
        Content::Fields(inner) => {
            for field in inner {
                match S::parts(field) {
                    (name, Some(value)) if pairs::is_value(name) => {
                        changed |= cut::<S>(redactor, value, kind);
                    }
                    (name, Some(value)) if pairs::is_sample(name) => {
                        changed |= cut_samples::<S>(value, kind);
                    }
                    _ => {}
                }
            }
            return changed;
        }
        Content::List(items) => {
            for item in items {
                // An object read here and there would be read twice at each level of nesting.
                if !matches!(S::content(item), Content::Fields(_)) {
                    changed |= cut::<S>(redactor, item, kind);
                }
            }
            return changed;
        }
        _ => {}
    }
    each_text::<S>(redactor, value, &mut |text, is_number| {
        let is_secret = if is_number {
            is_secret_number(kind, text)
        } else {
            is_secret_value(kind, text)
        };
        is_secret.then(|| REDACTED.to_owned())
    })
}

/// Cuts the values that a schema gives under a name of this kind: texts that look drawn by lot.
fn cut_samples<S: Shape>(value: &mut S::Node, kind: Kind) -> bool {
    let is_secret = match S::content(value) {
        Content::Text(text) => is_drawn_item(text.as_bytes()) && is_secret_value(kind, text),
        Content::List(items) => {
            return items.iter_mut().fold(false, |changed, item| {
                let is_text = matches!(S::content(item), Content::Text(_));
                (is_text && cut_samples::<S>(item, kind)) | changed
            });
        }
        _ => false,
    };
    if is_secret {
        S::set_text(value, REDACTED.to_owned());
    }
    is_secret
}

/// Puts something in the place of a text, of a number, or of each of them in a list. Objects are redacted as they are
/// elsewhere.
fn each_text<S: Shape>(
    redactor: &Redactor,
    value: &mut S::Node,
    replace: &mut impl FnMut(&str, bool) -> Option<String>,
) -> bool {
    let replaced = match S::content(value) {
        Content::Nothing => None,
        Content::Text(text) => replace(text, false),
        Content::Bytes(bytes) => replace(&String::from_utf8_lossy(bytes), false),
        Content::Number(number) => replace(&number, true),
        Content::List(items) => {
            return items.iter_mut().fold(false, |changed, item| {
                each_text::<S>(redactor, item, replace) | changed
            });
        }
        Content::Fields(inner) => return fields::<S>(redactor, inner),
    };
    let changed = replaced.is_some();
    if let Some(text) = replaced {
        S::set_text(value, text);
    }
    changed
}
