//! A JSON-RPC message, as far as a record needs it.

use std::borrow::Cow;
use std::{fmt, io};

use serde_json::Value;

use super::{Excerpt, Scanner};

/// The values that are read out of a message, besides its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    Method,
    /// The whole of `params`.
    Params,
    /// The whole of `result`.
    Result,
    /// The whole of `error`.
    Error,
    /// The tool or prompt.
    Name,
    Uri,
    TaskId,
    /// What a client sends back to go on with an operation (MCP 2026-07-28).
    SentState,
    /// The request that a notification is about.
    RequestId,
    Reason,
    ProgressToken,
    Progress,
    ProgressTotal,
    ProgressMessage,
    LogLevel,
    Logger,
    LogData,
    ClientInfo,
    /// `_meta` of a request.
    Meta,
    IsError,
    ResultType,
    ProtocolVersion,
    ServerInfo,
    /// `_meta` of a result.
    ResultMeta,
    /// What the client is to send back to go on with an operation (MCP 2026-07-28).
    GivenState,
    /// The handle of a task, as the extension has it (MCP 2026-07-28).
    GivenTaskId,
    /// The handle of a task, as 2025-11-25 has it.
    GivenTask,
    /// The state of a task, and what it says of it.
    Status,
    StatusMessage,
    /// How a task failed.
    TaskErrorCode,
    TaskErrorMessage,
    /// Whether the result of a task is a tool's error.
    TaskIsError,
    ErrorCode,
    ErrorMessage,
}

/// How many bytes of a small value are kept: names, ids, codes.
const SMALL: usize = 4 * 1024;
/// How many bytes of a value that is an object or a text of its own are kept.
const MEDIUM: usize = 64 * 1024;
/// How much is kept of a value: so many bytes, or as much as of a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cap {
    Body,
    Bytes(usize),
}

/// Where each value stands.
const PLACES: &[(&[&str], Field, Cap)] = &[
    (&["id"], Field::Id, Cap::Bytes(SMALL)),
    (&["method"], Field::Method, Cap::Bytes(SMALL)),
    (&["params"], Field::Params, Cap::Body),
    (&["result"], Field::Result, Cap::Body),
    (&["error"], Field::Error, Cap::Body),
    (&["params", "name"], Field::Name, Cap::Bytes(SMALL)),
    (&["params", "uri"], Field::Uri, Cap::Bytes(SMALL)),
    (&["params", "taskId"], Field::TaskId, Cap::Bytes(SMALL)),
    (&["params", "requestState"], Field::SentState, Cap::Bytes(MEDIUM)),
    (&["params", "requestId"], Field::RequestId, Cap::Bytes(SMALL)),
    (&["params", "reason"], Field::Reason, Cap::Bytes(SMALL)),
    (
        &["params", "progressToken"],
        Field::ProgressToken,
        Cap::Bytes(SMALL),
    ),
    (&["params", "progress"], Field::Progress, Cap::Bytes(SMALL)),
    (&["params", "total"], Field::ProgressTotal, Cap::Bytes(SMALL)),
    (&["params", "message"], Field::ProgressMessage, Cap::Bytes(SMALL)),
    (&["params", "level"], Field::LogLevel, Cap::Bytes(SMALL)),
    (&["params", "logger"], Field::Logger, Cap::Bytes(SMALL)),
    (&["params", "data"], Field::LogData, Cap::Bytes(MEDIUM)),
    (&["params", "clientInfo"], Field::ClientInfo, Cap::Bytes(MEDIUM)),
    (&["params", "_meta"], Field::Meta, Cap::Bytes(MEDIUM)),
    (&["result", "isError"], Field::IsError, Cap::Bytes(SMALL)),
    (&["result", "resultType"], Field::ResultType, Cap::Bytes(SMALL)),
    (
        &["result", "protocolVersion"],
        Field::ProtocolVersion,
        Cap::Bytes(SMALL),
    ),
    (&["result", "serverInfo"], Field::ServerInfo, Cap::Bytes(MEDIUM)),
    (&["result", "_meta"], Field::ResultMeta, Cap::Bytes(MEDIUM)),
    (&["result", "requestState"], Field::GivenState, Cap::Bytes(MEDIUM)),
    (&["result", "taskId"], Field::GivenTaskId, Cap::Bytes(SMALL)),
    (&["result", "task", "taskId"], Field::GivenTask, Cap::Bytes(SMALL)),
    (&["result", "status"], Field::Status, Cap::Bytes(SMALL)),
    (
        &["result", "statusMessage"],
        Field::StatusMessage,
        Cap::Bytes(SMALL),
    ),
    (
        &["result", "error", "code"],
        Field::TaskErrorCode,
        Cap::Bytes(SMALL),
    ),
    (
        &["result", "error", "message"],
        Field::TaskErrorMessage,
        Cap::Bytes(MEDIUM),
    ),
    (
        &["result", "result", "isError"],
        Field::TaskIsError,
        Cap::Bytes(SMALL),
    ),
    (&["error", "code"], Field::ErrorCode, Cap::Bytes(SMALL)),
    (&["error", "message"], Field::ErrorMessage, Cap::Bytes(MEDIUM)),
];

/// The longest path in [`PLACES`].
pub(super) const DEEPEST: usize = 3;

/// The value at a path, if it is one that is read.
pub(super) fn place(path: &[String]) -> Option<(Field, Cap)> {
    PLACES
        .iter()
        .find(|(place, ..)| place.iter().copied().eq(path.iter().map(String::as_str)))
        .map(|(_, field, cap)| (*field, *cap))
}

/// A JSON-RPC id. The number 1 and the text "1" are two ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Id {
    Number(String),
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) | Self::Text(id) => formatter.write_str(id),
        }
    }
}

/// What was read of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    fields: Vec<(Field, Excerpt)>,
}

impl Message {
    /// Adds a value. Of a key that stands twice the last counts, as most parsers have it.
    pub(super) fn set(&mut self, field: Field, value: Excerpt) {
        match self.fields.iter_mut().find(|(known, _)| *known == field) {
            Some((_, held)) => *held = value,
            None => self.fields.push((field, value)),
        }
    }

    /// A message that is at hand as a value; none when it cannot be written as JSON. Never holds more than `cap` bytes
    /// of a body.
    pub(crate) fn of<T: serde::Serialize>(value: &T, cap: usize) -> Option<Self> {
        let mut scanner = Scanner::new(cap);
        serde_json::to_writer(Feed(&mut scanner), value).ok()?;
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

    /// A value as it was sent.
    pub(crate) fn get(&self, field: Field) -> Option<&Excerpt> {
        self.fields
            .iter()
            .find(|(known, _)| *known == field)
            .map(|(_, value)| value)
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

    /// A value that names a request: a string or a number.
    pub(crate) fn id_in(&self, field: Field) -> Option<Id> {
        let raw = self.get(field)?;
        if raw.text.starts_with('"') {
            return self.text(field).map(Id::Text);
        }
        raw.text
            .starts_with(|first: char| first == '-' || first.is_ascii_digit())
            .then(|| Id::Number(raw.text.clone()))
    }

    /// The message's own id; `null` names nothing.
    pub(crate) fn id(&self) -> Option<Id> {
        self.id_in(Field::Id)
    }

    /// The method, of a request or a notification.
    pub(crate) fn method(&self) -> Option<String> {
        self.text(Field::Method).filter(|method| !method.is_empty())
    }

    /// Whether it answers a request.
    pub(crate) fn is_answer(&self) -> bool {
        self.get(Field::Method).is_none()
            && (self.get(Field::Result).is_some() || self.get(Field::Error).is_some())
    }

    /// Whether it is JSON-RPC at all.
    pub(crate) fn is_jsonrpc(&self) -> bool {
        self.method().is_some() || self.is_answer()
    }

    /// A body as records have it: `{"method","params"}` of a request, the result or `{"error":…}` of an answer. At
    /// most `cap` bytes of text, and the size of the whole.
    pub(crate) fn body(&self) -> Excerpt {
        let part = |field, key: &str| {
            self.get(field)
                .map(|value| (key.to_owned(), Cow::Borrowed(value)))
        };
        if self.is_answer() {
            if let Some(result) = self.get(Field::Result) {
                return result.clone();
            }
            return joined(part(Field::Error, "error").into_iter());
        }
        joined(
            part(Field::Method, "method")
                .into_iter()
                .chain(part(Field::Params, "params")),
        )
    }
}

/// Writes into a scanner.
struct Feed<'a>(&'a mut Scanner);

impl io::Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
