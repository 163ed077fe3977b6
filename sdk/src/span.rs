//! What a request's span says, by the OpenTelemetry conventions for MCP: pure functions from messages to
//! attributes. However a message was seen, on a pipe, in an HTTP body or by a handler, it is read here.

use std::any::Any;
use std::sync::Arc;

use mcptap_model::redact::ragged_end;
use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::jsonrpc::{Excerpt, Field, Message, boundary};

/// The JSON-RPC errors that are the caller's fault: on a server's span they are no errors (status unset, no
/// `error.type`), as the conventions say since August 2026.
const CALLER_FAULTS: [i64; 5] = [-32700, -32600, -32601, -32602, -32002];

/// The longest name of a client or a server that is kept, in bytes; and its version.
pub(crate) const LONGEST_NAME: usize = 1024;

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tool(String),
    Prompt(String),
    Resource(String),
    Nothing,
}

impl Target {
    /// Reads it from a request.
    pub(crate) fn of(method: &str, request: &Message) -> Self {
        let text = |field| request.text(field).filter(|text| !text.is_empty());
        let target = match method {
            "tools/call" => text(Field::Name).map(Self::Tool),
            "prompts/get" => text(Field::Name).map(Self::Prompt),
            _ => text(Field::Uri).map(Self::Resource),
        };
        target.unwrap_or(Self::Nothing)
    }

    /// The tool.
    pub(crate) fn tool(&self) -> Option<&str> {
        match self {
            Self::Tool(tool) => Some(tool),
            _ => None,
        }
    }

    /// `{method} {tool or prompt}`, else the method alone. A URI never: there would be as many names as
    /// resources.
    pub(crate) fn span_name(&self, method: &str) -> String {
        match self {
            Self::Tool(target) | Self::Prompt(target) => format!("{method} {target}"),
            Self::Resource(_) | Self::Nothing => method.to_owned(),
        }
    }

    /// The attributes that say method and target.
    pub(crate) fn attributes(&self, method: &str) -> Vec<KeyValue> {
        let mut attributes = vec![KeyValue::new(semconv::MCP_METHOD_NAME, method.to_owned())];
        match self {
            Self::Tool(name) => {
                attributes.push(KeyValue::new(semconv::GEN_AI_TOOL_NAME, name.clone()));
                attributes.push(KeyValue::new(
                    semconv::GEN_AI_OPERATION_NAME,
                    semconv::EXECUTE_TOOL,
                ));
            }
            Self::Prompt(name) => attributes.push(KeyValue::new(semconv::GEN_AI_PROMPT_NAME, name.clone())),
            Self::Resource(uri) => attributes.push(KeyValue::new(semconv::MCP_RESOURCE_URI, uri.clone())),
            Self::Nothing => {}
        }
        attributes
    }
}

/// Which of the two bodies of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Request,
    Response,
}

/// A body, the size of its whole, and whether less of it was kept.
pub(crate) fn body(part: Part, body: Excerpt) -> [KeyValue; 3] {
    let (text_key, size_key, truncated_key) = match part {
        Part::Request => (
            semconv::REQUEST_BODY,
            semconv::REQUEST_SIZE,
            semconv::REQUEST_TRUNCATED,
        ),
        Part::Response => (
            semconv::RESPONSE_BODY,
            semconv::RESPONSE_SIZE,
            semconv::RESPONSE_TRUNCATED,
        ),
    };
    let is_cut = body.is_cut();
    // Shared, since the announcement of a request that runs on has the text as well.
    let text: Arc<str> = body.text.into();
    [
        KeyValue::new(text_key, text),
        KeyValue::new(size_key, i64::try_from(body.size).unwrap_or(i64::MAX)),
        KeyValue::new(truncated_key, is_cut),
    ]
}

/// The arguments of a tool call in the body of its request, as they stand there; none where that was cut.
pub(crate) fn arguments(request: &Excerpt) -> Option<Arc<str>> {
    #[derive(Deserialize)]
    struct Asked<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        arguments: &'a RawValue,
    }
    if request.is_cut() {
        return None;
    }
    let asked: Asked<'_> = serde_json::from_str(&request.text).ok()?;
    Some(asked.params.arguments.get().into())
}

/// Why a body could not be read.
pub(crate) fn unreadable(part: Part, reason: String) -> KeyValue {
    let key = match part {
        Part::Request => semconv::REQUEST_UNREADABLE,
        Part::Response => semconv::RESPONSE_UNREADABLE,
    };
    KeyValue::new(key, reason)
}

/// The words of a panic, where it has some.
pub(crate) fn said_by(panic: &(dyn Any + Send)) -> Option<String> {
    let plain = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    plain.or_else(|| panic.downcast_ref::<String>().cloned())
}

/// How a request ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Ending {
    /// What the answer adds to the span, without its body.
    pub(crate) attributes: Vec<KeyValue>,
    /// The span's status.
    pub(crate) status: Status,
}

impl Ending {
    /// The request ended without an answer, for a reason of the transport.
    pub(crate) fn broken(reason: &str) -> Self {
        Self {
            attributes: vec![KeyValue::new(semconv::ERROR_TYPE, semconv::CLOSED)],
            status: Status::error(reason.to_owned()),
        }
    }

    /// The request was given up.
    pub(crate) fn cancelled(reason: Option<String>) -> Self {
        Self {
            attributes: vec![KeyValue::new(semconv::OUTCOME, semconv::CANCELLED)],
            status: reason.map_or(Status::Unset, Status::error),
        }
    }

    /// The server's own code panicked.
    pub(crate) fn panicked(said: Option<String>) -> Self {
        let said = said.map_or_else(
            || "the handler panicked".to_owned(),
            |said| format!("the handler panicked: {said}"),
        );
        Self {
            attributes: vec![KeyValue::new(semconv::ERROR_TYPE, semconv::PANIC)],
            status: Status::error(said),
        }
    }

    /// The request was refused over HTTP, without an answer of JSON-RPC; `instead` is the reason where not the server
    /// refused it.
    pub(crate) fn refused(status: u16, instead: Option<&str>) -> Self {
        Self {
            attributes: vec![KeyValue::new(semconv::ERROR_TYPE, status.to_string())],
            status: Status::error(match instead {
                Some(reason) => reason.to_owned(),
                None => format!("HTTP {status}"),
            }),
        }
    }

    /// It was sent elsewhere (HTTP 3xx): nobody failed, and the answer comes to another request.
    pub(crate) fn redirected() -> Self {
        Self {
            attributes: vec![KeyValue::new(semconv::OUTCOME, semconv::REDIRECTED)],
            status: Status::Unset,
        }
    }

    /// It ended, and nothing says that it failed: it stays open by its nature, or its answer could not be read.
    pub(crate) fn over() -> Self {
        Self {
            attributes: Vec::new(),
            status: Status::Unset,
        }
    }

    /// Whether it was answered, and the answer is what was asked for.
    pub(crate) fn is_success(&self) -> bool {
        const OTHERWISE: [&str; 3] = [semconv::ERROR_TYPE, semconv::OUTCOME, semconv::RPC_STATUS_CODE];
        let is_error = matches!(self.status, Status::Error { .. });
        let mut attributes = self.attributes.iter();
        !is_error && !attributes.any(|known| OTHERWISE.contains(&known.key.as_str()))
    }

    /// It ended, and nothing tells how.
    pub(crate) fn unknown() -> Self {
        Self {
            attributes: vec![KeyValue::new(semconv::OUTCOME, semconv::UNKNOWN)],
            status: Status::Unset,
        }
    }

    /// Reads how a request ended from its answer.
    pub(crate) fn of(method: &str, answer: &Message) -> Self {
        if answer.error().is_some() {
            return error(answer.integer(Field::ErrorCode), answer.text(Field::ErrorMessage));
        }
        if matches!(method, "tasks/get" | "tasks/result") {
            return task(answer);
        }
        let mut attributes = Vec::new();
        if let Some(kind) = result_type(answer) {
            attributes.push(KeyValue::new(semconv::RESULT_TYPE, kind));
        }
        if method == "initialize"
            && let Some(version) = answer.text(Field::ProtocolVersion)
        {
            attributes.push(KeyValue::new(semconv::MCP_PROTOCOL_VERSION, version));
        }
        let mut status = Status::Unset;
        if method == "tools/call" && answer.is_true(Field::IsError) {
            attributes.push(KeyValue::new(semconv::ERROR_TYPE, semconv::TOOL_ERROR));
            status = Status::error("");
        }
        Self { attributes, status }
    }
}

fn error(code: Option<i64>, message: Option<String>) -> Ending {
    let message = message.unwrap_or_default();
    let Some(code) = code else {
        return Ending {
            attributes: vec![KeyValue::new(semconv::ERROR_TYPE, "_OTHER")],
            status: Status::error(message),
        };
    };
    let mut attributes = vec![
        KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, code.to_string()),
        KeyValue::new(semconv::RPC_STATUS_CODE, code.to_string()),
    ];
    if CALLER_FAULTS.contains(&code) {
        return Ending {
            attributes,
            status: Status::Unset,
        };
    }
    attributes.push(KeyValue::new(semconv::ERROR_TYPE, code.to_string()));
    Ending {
        attributes,
        status: Status::error(message),
    }
}

/// The end of a task is the outcome of the request that brought it.
fn task(answer: &Message) -> Ending {
    if answer.get(Field::TaskErrorCode).is_some() {
        return error(
            answer.integer(Field::TaskErrorCode),
            answer.text(Field::TaskErrorMessage),
        );
    }
    if answer.is_true(Field::TaskIsError) || answer.is_true(Field::IsError) {
        return Ending {
            attributes: vec![KeyValue::new(semconv::ERROR_TYPE, semconv::TOOL_ERROR)],
            status: Status::error(""),
        };
    }
    match answer.text(Field::Status).as_deref() {
        Some("cancelled") => Ending::cancelled(answer.text(Field::StatusMessage)),
        Some("failed") => Ending {
            attributes: vec![KeyValue::new(semconv::ERROR_TYPE, "task_failed")],
            status: Status::error(answer.text(Field::StatusMessage).unwrap_or_default()),
        },
        Some(semconv::INPUT_REQUIRED) => Ending {
            attributes: vec![KeyValue::new(semconv::RESULT_TYPE, semconv::INPUT_REQUIRED)],
            status: Status::Unset,
        },
        _ => Ending::over(),
    }
}

/// The result's `resultType` (since 2026-07-28), when it is not the ordinary `complete`; a task of 2025-11-25 has none
/// and says so by its handle.
fn result_type(answer: &Message) -> Option<String> {
    match answer.text(Field::ResultType) {
        Some(kind) => (kind != "complete").then_some(kind),
        None => answer.get(Field::GivenTask).map(|_| semconv::TASK.to_owned()),
    }
}

/// The longest token that a name may hold, in bytes.
const LONGEST_TOKEN: usize = 256;

/// Cuts a text to at most so many bytes, between two characters and not in the middle of what may be a secret.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(boundary(text, most));
        let ragged = ragged_end(text.as_bytes()).min(LONGEST_TOKEN);
        text.truncate(text.len().saturating_sub(ragged));
    }
    text.shrink_to_fit();
}

/// A client's name and version, from its `clientInfo`: at most [`LONGEST_NAME`] of each, since they are remembered for as
/// long as its session.
pub(crate) fn implementation(info: &Value) -> Option<(String, Option<String>)> {
    let said = |key: &str| {
        let mut text = info.get(key)?.as_str()?.to_owned();
        cut(&mut text, LONGEST_NAME);
        Some(text)
    };
    Some((said("name")?, said("version")))
}

#[cfg(test)]
#[path = "span_tests.rs"]
mod tests;
