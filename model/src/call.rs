//! A call: one MCP request as one server handled it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Evidence, NodeId, Origin, Outcome, Part, Source, SpanId, SpanKind, TraceId, UnixNanos};

/// The name given to a server of which no span said a name.
const UNNAMED_SERVER: &str = "unknown";

/// One MCP request as one server handled it: a row of the traffic log. What nobody observed is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The trace of the span that first told of the request.
    pub trace_id: TraceId,
    /// The span that first told of the request. With the trace it is the identity of the call.
    pub span_id: SpanId,
    /// The span that tells it best now (server before gateway before client, outermost first). The call's parent,
    /// times and origin are this span's.
    pub primary_span_id: SpanId,
    /// The parent of the primary span.
    pub parent_span_id: Option<SpanId>,
    /// The kind of the primary span.
    pub kind: SpanKind,
    /// The resource and scope of the primary span.
    pub origin: Arc<Origin>,
    /// Whose view this is.
    pub vantage: Vantage,
    /// The MCP server's name, where a span gave one of its own; see [`Call::server_name`].
    pub server: Option<String>,
    /// The JSON-RPC method, known to MCP or not.
    pub method: String,
    /// `params.name` of `tools/call`.
    pub tool: Option<String>,
    /// `params.name` of `prompts/get`.
    pub prompt: Option<String>,
    /// `params.uri` of the `resources/*` methods.
    pub resource_uri: Option<String>,
    /// What is known of the end; [`Call::outcome`] judges it.
    pub evidence: Evidence,
    /// The HTTP status as observed.
    pub http_status: Option<i32>,
    /// The JSON-RPC error code, when the answer was an error.
    pub rpc_error_code: Option<i32>,
    /// `error.type`: a code, an exception class, `tool_error`, `timeout`.
    pub error_type: Option<String>,
    /// What the error said.
    pub error_message: Option<String>,
    /// The stack trace of the exception. Read only with details.
    pub stack_trace: Option<String>,
    /// When the server began with it.
    pub started_at: UnixNanos,
    /// How long it took, in nanoseconds; 0 while no end is known, see [`Call::duration`].
    pub duration_nanos: i64,
    /// When mcptap received the first span of it.
    pub received_at: UnixNanos,
    /// The session id on the wire, where the protocol had one and the sender can be trusted with it.
    pub session_id: Option<String>,
    /// The session it belongs to, also when that is derived.
    pub session: Option<SessionKey>,
    /// The JSON-RPC id, as text.
    pub request_id: Option<String>,
    /// The MCP protocol version, e.g. `2026-07-28`.
    pub protocol_version: Option<String>,
    /// How client and server talked.
    pub transport: Option<Transport>,
    /// The client's own name for itself.
    pub client_name: Option<String>,
    /// The client's own version.
    pub client_version: Option<String>,
    /// The client's address, without port.
    pub client_ip: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Never more than the first 10 characters, then an ellipsis.
    pub authorization: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// Whether a request body was captured; the body itself is read only when asked for.
    pub request: Option<Payload>,
    /// Whether a response body was captured; the body itself is read only when asked for.
    pub response: Option<Payload>,
    /// Everything the span carried that has no field of its own. Read only with details.
    pub attributes: Map<String, Value>,
}

impl Call {
    /// A server's call of which only its span is known: of no service, without a method, at the beginning of 1970, and it
    /// took no time.
    pub fn bare(trace_id: TraceId, span_id: SpanId) -> Self {
        Self {
            trace_id,
            span_id,
            primary_span_id: span_id,
            parent_span_id: None,
            kind: SpanKind::Server,
            origin: Arc::new(Origin::default()),
            vantage: Vantage::Server,
            server: None,
            method: String::new(),
            tool: None,
            prompt: None,
            resource_uri: None,
            evidence: Evidence::default(),
            http_status: None,
            rpc_error_code: None,
            error_type: None,
            error_message: None,
            stack_trace: None,
            started_at: UnixNanos(0),
            duration_nanos: 0,
            received_at: UnixNanos(0),
            session_id: None,
            session: None,
            request_id: None,
            protocol_version: None,
            transport: None,
            client_name: None,
            client_version: None,
            client_ip: None,
            country: None,
            authorization: None,
            user_agent: None,
            request: None,
            response: None,
            attributes: Map::new(),
        }
    }

    /// The global id: made from the first span alone.
    pub fn id(&self) -> NodeId {
        NodeId::Call(self.trace_id, self.span_id)
    }

    /// The tool, the prompt or the resource URI that the method was about.
    pub fn target(&self) -> Option<&str> {
        self.tool
            .as_deref()
            .or(self.prompt.as_deref())
            .or(self.resource_uri.as_deref())
    }

    /// The server's name: its own, else the service's, else `unknown`.
    pub fn server_name(&self) -> &str {
        self.server
            .as_deref()
            .or(self.origin.service.as_deref())
            .unwrap_or(UNNAMED_SERVER)
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.evidence.outcome(
            self.method == "tools/call",
            self.rpc_error_code.is_some(),
            self.http_status,
            self.vantage == Vantage::Server,
        )
    }

    /// The last moment that is known of it: its end, or its start while no end is known.
    pub fn ended_at(&self) -> UnixNanos {
        self.started_at.plus(self.duration_nanos)
    }

    /// Whether the end is that of one of its own spans. While it is open it has none, and a server that fell silent may
    /// have that of its client's view.
    pub fn has_own_end(&self) -> bool {
        let source = self.evidence.sources.of(Part::End);
        !self.evidence.open
            && match self.vantage {
                Vantage::Client => true,
                Vantage::Gateway => source < Source::Client,
                Vantage::Server => source < Source::Gateway,
            }
    }

    /// How long it took, in nanoseconds; `None` while it runs, and where it was lost.
    pub fn duration(&self) -> Option<i64> {
        self.outcome().has_end().then_some(self.duration_nanos)
    }

    /// Duration in milliseconds; `None` while it runs, and where it was lost.
    pub fn duration_ms(&self) -> Option<f64> {
        self.duration().map(|nanos| nanos as f64 / 1e6)
    }

    /// Whether it is a request or a stream.
    pub fn call_kind(&self) -> CallKind {
        if self.evidence.stream {
            CallKind::Stream
        } else {
            CallKind::Request
        }
    }

    /// Whether its answer came after it had been given up, or after it was taken for lost.
    pub fn is_late(&self) -> bool {
        !self.evidence.open && (self.evidence.late || self.evidence.lost)
    }
}

/// A request or response body. Absent means not captured, which is not the same as empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The body as text, JSON where the sender gave JSON; at most the store's cap.
    pub text: String,
    /// Size in bytes before any cap.
    pub bytes: u64,
    /// Whether `text` is less than what was sent.
    pub truncated: bool,
    /// Whether something secret was cut out of `text`.
    pub redacted: bool,
}

impl Payload {
    /// A body that is here as a whole.
    pub fn whole(text: String) -> Self {
        let bytes = text.len() as u64;
        Self {
            text,
            bytes,
            truncated: false,
            redacted: false,
        }
    }
}

/// The two bodies of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadPair {
    /// What the client sent.
    pub request: Option<Payload>,
    /// What the server answered.
    pub response: Option<Payload>,
}

/// Whether something that a client asked for is answered, or stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CallKind {
    /// A request that has one answer.
    Request,
    /// A stream for messages of the server, open for as long as the client listens: a GET of Streamable HTTP or of
    /// HTTP+SSE, or `subscriptions/listen`.
    Stream,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Request, Self::Stream];
}

/// Who saw the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Vantage {
    /// Only the client.
    Client,
    /// A gateway on the way, about its own hop.
    Gateway,
    /// The server itself.
    Server,
}

/// How client and server talked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Transport {
    /// A child process's standard input and output.
    Stdio,
    /// HTTP since protocol 2025-03-26.
    StreamableHttp,
    /// HTTP+SSE, protocol 2024-11-05.
    Sse,
    /// WebSocket.
    Websocket,
}

/// What a session was recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SessionSource {
    /// The protocol's own id, where it can be trusted.
    Wire,
    /// An id the sender gave to the conversation.
    Conversation,
    /// One stdio process or one connection.
    Connection,
    /// One trace.
    Trace,
    /// The same client on the same server, without a long pause.
    Client,
}

/// The natural key of a session within its server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionKey {
    /// What it was recognised by.
    pub source: SessionSource,
    /// The id, in the terms of the source.
    pub key: String,
}

macro_rules! stored_enum {
    ($name:ident { $($variant:ident = $code:literal $text:literal),+ $(,)? }) => {
        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number stored for it. Frozen: never renumber.
            pub fn code(self) -> i16 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The value stored as `code`; `None` for a number never given out.
            pub fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The contract's name for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

impl SessionSource {
    /// Whether it follows from what is stored of other calls, and not from what one call's own spans said.
    pub fn is_derived(self) -> bool {
        matches!(self, Self::Trace | Self::Client)
    }
}

stored_enum!(Vantage { Server = 0 "SERVER", Client = 1 "CLIENT", Gateway = 2 "GATEWAY" });
stored_enum!(Transport {
    Stdio = 0 "STDIO", StreamableHttp = 1 "STREAMABLE_HTTP", Sse = 2 "SSE", Websocket = 3 "WEBSOCKET",
});
stored_enum!(SessionSource {
    Wire = 0 "WIRE", Conversation = 1 "CONVERSATION", Connection = 2 "CONNECTION", Trace = 3 "TRACE", Client = 4 "CLIENT",
});

/// A line of console output: an OTLP log record, or what another sender used for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The trace it was written in.
    pub trace_id: TraceId,
    /// The span it was written in, when it says so.
    pub span_id: Option<SpanId>,
    /// The `service.name` it came from. Known while it looks for its call; not kept with the call.
    pub service: Option<String>,
    /// When it was written.
    pub time: UnixNanos,
    /// `severity_text`, else the name of the OTLP severity number, e.g. `INFO`.
    pub severity: String,
    /// The message. A structured body is JSON.
    pub body: String,
    /// The record's attributes.
    pub attributes: Map<String, Value>,
}

/// How many there are: exactly, or at least (counting stopped there).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number.
    pub value: u64,
    /// Whether counting went to the end.
    pub exact: bool,
}
