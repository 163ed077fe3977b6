//! A JSON-RPC message, as far as a record needs it.

use std::borrow::Cow;

use serde_json::Value;

use super::id::canonical;
use super::{Excerpt, Field, Id, Scanner};

/// The longest value that is kept of a message for whose bodies there is no room, in bytes.
const SHORT: usize = 256;

/// Of which kind a value is, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Null,
    Other,
}

impl Kind {
    /// The kind of what begins with this byte and is no object or list.
    pub(super) fn of(first: u8) -> Self {
        if first == b'n' { Self::Null } else { Self::Other }
    }
}

/// What was read of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    fields: Vec<(Field, Kind, Excerpt)>,
    /// Its body, where that was read apart from the rest.
    body: Option<Excerpt>,
}

impl Message {
    /// A value begins at this path: what was read of one of the same name goes with that.
    pub(super) fn forget(&mut self, path: &[String]) {
        self.fields.retain(|(field, ..)| !field.is_within(path));
    }

    /// Adds a value. Of a key that stands twice the last counts, as most parsers have it. A member that is null is
    /// absent, as libraries write it that write all members; only a result may be null.
    pub(super) fn set(&mut self, field: Field, kind: Kind, value: Excerpt) {
        self.fields.retain(|(known, ..)| *known != field);
        if kind != Kind::Null || field == Field::Result {
            self.fields.push((field, kind, value));
        }
    }

    /// A message that is at hand as a value; none when it cannot be written as JSON. Never holds more than `cap` bytes
    /// of a body.
    pub(crate) fn of<T: serde::Serialize>(value: &T, cap: usize) -> Option<Self> {
        let mut scanner = Scanner::new(cap);
        // In one piece: written into the scanner directly it would come in pieces of a few bytes, twice as slow.
        scanner.feed(&serde_json::to_vec(value).ok()?);
        let message = scanner.finish().messages.pop();
        message.filter(Self::is_jsonrpc)
    }

    /// A message that is at hand as text, `size` bytes of it: none when that is not all.
    pub(crate) fn from_text(text: &str, size: usize) -> Option<Self> {
        let mut scanner = Scanner::new(text.len());
        scanner.feed(text.as_bytes());
        let mut scan = scanner.finish();
        (scan.complete && scan.size == size)
            .then(|| scan.messages.pop())
            .flatten()
    }

    /// The same with a body that was read apart from the rest.
    pub(crate) fn with_body(mut self, body: Option<Excerpt>) -> Self {
        self.body = body;
        self
    }

    /// How many bytes are kept of it.
    pub(crate) fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(.., value)| value);
        fields.chain(&self.body).map(|value| value.text.len()).sum()
    }

    /// The same with nothing of its long values but their sizes.
    pub(crate) fn without_long_values(&self) -> Self {
        let short = |value: &Excerpt| {
            let is_short = value.text.len() <= SHORT;
            let text = if is_short {
                value.text.clone()
            } else {
                String::new()
            };
            let size = value.size;
            Excerpt { text, size }
        };
        let fields = self.fields.iter();
        Self {
            fields: fields
                .map(|(field, kind, value)| (*field, *kind, short(value)))
                .collect(),
            body: self.body.as_ref().map(short),
        }
    }

    /// A value as it was sent.
    pub(crate) fn get(&self, field: Field) -> Option<&Excerpt> {
        self.fields
            .iter()
            .find(|(known, ..)| *known == field)
            .map(|(.., value)| value)
    }

    fn kind(&self, field: Field) -> Option<Kind> {
        self.fields
            .iter()
            .find(|(known, ..)| *known == field)
            .map(|(_, kind, _)| *kind)
    }

    /// A value, parsed; none when too little of it was kept.
    pub(crate) fn json(&self, field: Field) -> Option<Value> {
        self.get(field)?.json()
    }

    /// A value that is a string.
    pub(crate) fn text(&self, field: Field) -> Option<String> {
        let raw = self.get(field)?;
        let inner = raw.text.strip_prefix('"')?;
        if raw.is_cut() {
            // The beginning of a long text says more than nothing.
            let inner = inner.rsplit_once('\\').map_or(inner, |(before, _)| before);
            return serde_json::from_str(&format!("\"{inner}\"")).ok();
        }
        match inner.strip_suffix('"') {
            Some(plain) if !plain.contains('\\') => Some(plain.to_owned()),
            _ => serde_json::from_str(&raw.text).ok(),
        }
    }

    /// Whether a value is `true`.
    pub(crate) fn is_true(&self, field: Field) -> bool {
        self.get(field).is_some_and(|raw| raw.text == "true")
    }

    /// A value that names a request: a string or a number; other kinds count as well, since some peer may answer them.
    pub(crate) fn id_in(&self, field: Field) -> Option<Id> {
        let raw = self.get(field)?;
        match raw.text.chars().next()? {
            '"' => self.text(field).map(Id::Text),
            '-' | '0'..='9' => Some(Id::number(&raw.text)),
            _ => Some(Id::other(&raw.text)),
        }
    }

    /// The message's own id; `null` names nothing.
    pub(crate) fn id(&self) -> Option<Id> {
        self.id_in(Field::Id)
    }

    /// The method, of a request or a notification.
    pub(crate) fn method(&self) -> Option<String> {
        self.text(Field::Method).filter(|method| !method.is_empty())
    }

    /// A value that is an integer, whichever way it is written.
    pub(crate) fn integer(&self, field: Field) -> Option<i64> {
        let raw = self.get(field)?;
        let text = self.text(field);
        canonical(text.as_deref().unwrap_or(&raw.text))?.parse().ok()
    }

    /// The error that it answers with. What stands beside a result has to be an object to be one: some libraries write
    /// an empty text or `false` there.
    pub(crate) fn error(&self) -> Option<&Excerpt> {
        let has_result = self.kind(Field::Result).is_some_and(|kind| kind != Kind::Null);
        self.get(Field::Error)
            .filter(|_| !has_result || self.kind(Field::Error) == Some(Kind::Object))
    }

    /// Whether it answers a request. An answer may repeat the method; a request may have a result that is null.
    pub(crate) fn is_answer(&self) -> bool {
        let has_result = match self.kind(Field::Result) {
            Some(Kind::Null) => self.get(Field::Method).is_none(),
            result => result.is_some(),
        };
        has_result || self.error().is_some()
    }

    /// Whether it says that it is JSON-RPC. Errors of gateways and of OAuth look like answers, and have no such member.
    pub(crate) fn says_jsonrpc(&self) -> bool {
        self.get(Field::JsonRpc).is_some()
    }

    /// Whether it says that it is JSON-RPC 2.0, as everything of MCP does.
    pub(crate) fn is_version_2(&self) -> bool {
        self.text(Field::JsonRpc).as_deref() == Some("2.0")
    }

    /// Whether it is JSON-RPC at all.
    pub(crate) fn is_jsonrpc(&self) -> bool {
        self.method().is_some() || self.is_answer()
    }

    /// A body as records have it: `{"method","params"}` of a request, the result or `{"error":…}` of an answer. At
    /// most `cap` bytes of text, and the size of the whole.
    pub(crate) fn body(&self) -> Excerpt {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let part = |field, key: &str| {
            self.get(field)
                .map(|value| (key.to_owned(), Cow::Borrowed(value)))
        };
        if self.is_answer() {
            return match self.error() {
                Some(error) => joined(std::iter::once(("error".to_owned(), Cow::Borrowed(error)))),
                None => self.get(Field::Result).cloned().unwrap_or_default(),
            };
        }
        joined(
            part(Field::Method, "method")
                .into_iter()
                .chain(part(Field::Params, "params")),
        )
    }
}

/// An object made of parts as they were sent. After a part that was cut nothing can follow.
fn joined<'a>(parts: impl Iterator<Item = (String, Cow<'a, Excerpt>)>) -> Excerpt {
    let mut body = Excerpt::default();
    let mut cut = false;
    for (at, (key, value)) in parts.enumerate() {
        let before = format!("{}\"{key}\":", if at == 0 { "{" } else { "," });
        body.size += before.len() + value.size;
        if !cut {
            body.text.push_str(&before);
            body.text.push_str(&value.text);
            cut = value.is_cut();
        }
    }
    body.size += 1;
    if !cut {
        body.text.push('}');
    }
    body
}
