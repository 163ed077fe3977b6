//! The values that are read out of a message: their paths, and how much is kept of each.

/// The values that are read out of a message, besides its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// The version of JSON-RPC, which distinguishes its errors from those of other interfaces.
    JsonRpc,
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
pub(super) const SMALL: usize = 4 * 1024;
/// How many bytes of a value that is an object or a text of its own are kept.
const MEDIUM: usize = 64 * 1024;
/// How much is kept of a value: so many bytes, or as much as of a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cap {
    Body,
    Bytes(usize),
}

/// The path of each value.
const PLACES: &[(&[&str], Field, Cap)] = &[
    (&["jsonrpc"], Field::JsonRpc, Cap::Bytes(SMALL)),
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

impl Field {
    /// Whether it stands at this path or below.
    pub(super) fn is_within(self, path: &[String]) -> bool {
        let mut places = PLACES.iter().filter(|(_, field, _)| *field == self);
        places.any(|(place, ..)| {
            path.len() <= place.len()
                && place
                    .iter()
                    .zip(path)
                    .all(|(place, name)| *place == name.as_str())
        })
    }
}

/// The value at a path, if it is one that is read.
pub(super) fn place(path: &[String]) -> Option<(Field, Cap)> {
    PLACES
        .iter()
        .find(|(place, ..)| place.iter().copied().eq(path.iter().map(String::as_str)))
        .map(|(_, field, cap)| (*field, *cap))
}
