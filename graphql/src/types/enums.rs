//! The enumerations, each value as the model has it.

use async_graphql::Enum;

/// How a call ended. Where several would hold, the first does of: CANCELLED, TOOL_ERROR, PROTOCOL_ERROR,
/// INPUT_REQUIRED, TRANSPORT_ERROR, OK. TOOL_ERROR, PROTOCOL_ERROR and TRANSPORT_ERROR count as errors. RUNNING and LOST
/// have no end: they are no errors, and have no part in percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "mcptap_model::Outcome")]
pub(crate) enum Outcome {
    /// Answered. The handle of a task is an answer too: how the task ended is the outcome of its `tasks/get`.
    Ok,
    /// The tool itself said that it failed (`isError`), or raised an exception.
    ToolError,
    /// The answer was a JSON-RPC error, whatever the HTTP status; `rpcErrorCode` has the code, where it is known.
    ProtocolError,
    /// Refused or broken without an MCP answer: HTTP 401, 403, 404 or 5xx, a timeout, a closed connection.
    TransportError,
    /// The answer asks the client for more (`resultType: "input_required"`); the client is expected to try again.
    InputRequired,
    /// The client gave up before there was an answer, or told the server to stop.
    Cancelled,
    /// It has begun and has not ended. Senders announce what runs for longer than a second.
    Running,
    /// It had begun, and its process or connection was gone before it told of an end, or the word of its end was lost on the
    /// way. Should the end come after all, it takes the place of this, and `late` is true.
    Lost,
}

/// Whether something is answered, or stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "mcptap_model::CallKind")]
pub(crate) enum CallKind {
    /// A request that has one answer.
    Request,
    /// A stream for the server's messages, open for as long as the client listens: the GET of Streamable HTTP and HTTP+SSE,
    /// and `subscriptions/listen`. Statistics count streams only where the filter names `kinds`.
    Stream,
}

/// How client and server talked to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "mcptap_model::Transport")]
pub(crate) enum Transport {
    /// Standard input and output of a child process.
    Stdio,
    /// HTTP as the protocol has it since 2025-03-26.
    StreamableHttp,
    /// HTTP with Server-Sent Events, as protocol 2024-11-05 had it.
    Sse,
    /// WebSocket.
    Websocket,
}

/// Who saw the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "mcptap_model::Vantage")]
pub(crate) enum Vantage {
    /// The server that handled it. What the client saw of it is part of the same call.
    Server,
    /// Only the client: the server sent nothing about it.
    Client,
    /// A gateway on the way, about its own handling; the server's handling is a call of its own in the same trace.
    Gateway,
}

/// What the calls of a session have in common, most certain first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "mcptap_model::SessionSource")]
pub(crate) enum SessionSource {
    /// The protocol's own session id (protocols up to 2025-11-25), where it can be trusted.
    Wire,
    /// An id that the sender gave to the conversation.
    Conversation,
    /// One stdio process, or one connection.
    Connection,
    /// One trace.
    Trace,
    /// The same client name and version, address and credentials on the same server, with no pause of more than 30
    /// minutes.
    Client,
}
