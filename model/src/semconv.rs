//! Attribute names, once each: those of the OpenTelemetry conventions for MCP and HTTP that the SDK writes and the
//! collector reads, and our own for what no convention carries. Names that only the collector reads (other
//! instrumentations' dialects) stand in its reading tables.

/// `mcp.method.name`: the JSON-RPC method.
pub const MCP_METHOD_NAME: &str = "mcp.method.name";
/// `mcp.session.id`: the session, up to protocol 2025-11-25.
pub const MCP_SESSION_ID: &str = "mcp.session.id";
/// `mcp.protocol.version`, e.g. `2026-07-28`.
pub const MCP_PROTOCOL_VERSION: &str = "mcp.protocol.version";
/// `mcp.resource.uri`: the resource read or subscribed to.
pub const MCP_RESOURCE_URI: &str = "mcp.resource.uri";
/// `gen_ai.tool.name`: the tool called.
pub const GEN_AI_TOOL_NAME: &str = "gen_ai.tool.name";
/// `gen_ai.prompt.name`: the prompt asked for.
pub const GEN_AI_PROMPT_NAME: &str = "gen_ai.prompt.name";
/// `gen_ai.operation.name`: `execute_tool` on tool calls, else absent.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// The value of [`GEN_AI_OPERATION_NAME`] on tool calls.
pub const EXECUTE_TOOL: &str = "execute_tool";
/// `gen_ai.tool.call.arguments`: the arguments, an object or its JSON.
pub const GEN_AI_TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// `gen_ai.tool.call.result`: the result, an object or its JSON.
pub const GEN_AI_TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";
/// `jsonrpc.request.id`: the id as text.
pub const JSONRPC_REQUEST_ID: &str = "jsonrpc.request.id";
/// `rpc.response.status_code`: the JSON-RPC error code as text (before semantic conventions 1.45).
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
/// `rpc.status_code`: its newer name.
pub const RPC_STATUS_CODE: &str = "rpc.status_code";
/// `error.type`: a code, an exception class, `tool_error`, `timeout`.
pub const ERROR_TYPE: &str = "error.type";
/// The value of [`ERROR_TYPE`] when a tool's result says `isError`.
pub const TOOL_ERROR: &str = "tool_error";
/// `sse` where HTTP is HTTP+SSE; no convention has it.
pub const MCP_TRANSPORT: &str = "mcp.transport";
/// `network.transport`: `pipe` for stdio, `tcp` for HTTP.
pub const NETWORK_TRANSPORT: &str = "network.transport";
/// `network.protocol.name`: `http`, `websocket`.
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
/// `network.protocol.version`: the version of HTTP.
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
/// `client.address`: the client, behind all known proxies.
pub const CLIENT_ADDRESS: &str = "client.address";
/// `client.port`.
pub const CLIENT_PORT: &str = "client.port";
/// `user_agent.original`: the `User-Agent` header.
pub const USER_AGENT_ORIGINAL: &str = "user_agent.original";
/// `http.response.status_code`.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// `http.request.method`.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// `service.name` of the resource.
pub const SERVICE_NAME: &str = "service.name";
/// `service.instance.id` of the resource.
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
/// `exception.type`.
pub const EXCEPTION_TYPE: &str = "exception.type";
/// `exception.message`.
pub const EXCEPTION_MESSAGE: &str = "exception.message";
/// `exception.stacktrace`.
pub const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";

/// `mcp.server.name`: the MCP server's own name (no convention; what Sentry, ToolHive and others use).
pub const MCP_SERVER_NAME: &str = "mcp.server.name";
/// `mcp.client.name`: the client's name (no convention; what Sentry, Envoy and ToolHive use).
pub const MCP_CLIENT_NAME: &str = "mcp.client.name";
/// `mcp.client.version`: the client's version.
pub const MCP_CLIENT_VERSION: &str = "mcp.client.version";

/// Ours: the JSON-RPC request as sent, `{"method","params"}`, as JSON text.
pub const REQUEST_BODY: &str = "mcptap.request.body";
/// Ours: the JSON-RPC result, or `{"error":{…}}`, as JSON text.
pub const RESPONSE_BODY: &str = "mcptap.response.body";
/// Ours: size of the request body in bytes, before any cap.
pub const REQUEST_SIZE: &str = "mcptap.request.size";
/// Ours: size of the response body in bytes, before any cap.
pub const RESPONSE_SIZE: &str = "mcptap.response.size";
/// Ours: whether less of the request body was kept than was sent.
pub const REQUEST_TRUNCATED: &str = "mcptap.request.truncated";
/// Ours: whether less of the response body was kept than was sent.
pub const RESPONSE_TRUNCATED: &str = "mcptap.response.truncated";
/// Ours: why the body of the HTTP request could not be read. Nothing is known of the request then but its head.
pub const REQUEST_UNREADABLE: &str = "mcptap.request.unreadable";
/// Ours: why the body of the HTTP answer could not be read. The HTTP status is all that is known of the outcome then.
pub const RESPONSE_UNREADABLE: &str = "mcptap.response.unreadable";
/// Ours: how messages are framed on a pipe, where that is not by line breaks: `content-length`.
pub const FRAMING: &str = "mcptap.framing";
/// Ours: the result's `resultType`, when it is not `complete`.
pub const RESULT_TYPE: &str = "mcptap.result.type";
/// Ours: `cancelled` when the request was given up before its answer, `redirected` when it was sent elsewhere.
pub const OUTCOME: &str = "mcptap.outcome";
/// Ours: the event name of a log record that announces a request which still runs. It bears the ids and the attributes of
/// the request's span, which follows when it has ended; its time is when that began, its body the span's name.
pub const CALL_RUNNING: &str = "mcptap.call.running";
/// Ours: OTLP's number of the kind of the span of [`CALL_RUNNING`].
pub const SPAN_KIND: &str = "mcptap.span.kind";
/// Ours: the parent of the span of [`CALL_RUNNING`], as hex.
pub const SPAN_PARENT: &str = "mcptap.span.parent";
/// The scope of spans of those who watch a server from outside its process, as `mcptap wrap` and `mcptap proxy` do.
pub const WATCH_SCOPE: &str = "mcptap-watch";
/// Ours: true where the answer came after the request had been given up.
pub const LATE: &str = "mcptap.late";
/// Ours: true on what stays open for as long as the client listens, and is no request that is answered.
pub const STREAM: &str = "mcptap.stream";
/// Ours: the event name of a log record by which a process that has announced running calls says that it lives.
pub const HEARTBEAT: &str = "mcptap.heartbeat";
/// Ours: the span ids, as hex, of announced requests that ended a minute ago or longer, in [`HEARTBEAT`]: 512 at most, others in
/// the next. One that mcptap has as running then has lost its span, and is not known to run any more.
pub const ENDED: &str = "mcptap.ended";
/// Ours: the `Authorization` header, its first 10 characters and an ellipsis.
pub const AUTHORIZATION: &str = "mcptap.authorization";
/// Ours: ISO 3166-1 alpha-2, from a header of the CDN.
pub const COUNTRY: &str = "mcptap.country";
/// How many milliseconds the sender's clock is ahead of the collector's: written by the collector, when it is more than
/// a minute.
pub const MCPTAP_CLOCK_AHEAD_MS: &str = "mcptap.clock_ahead_ms";

/// How many of a span's links were left out: written by the collector.
pub const MCPTAP_DROPPED_LINKS: &str = "mcptap.dropped_links";
/// Ours: how many values that the code of a call set there was no room for.
pub const MCPTAP_DROPPED_ATTRIBUTES: &str = "mcptap.dropped_attributes";
/// Ours: true on a span that an application's own layer made of a call which has another span of its own. Its status is that of the
/// layer, which says ERROR after any log line that does.
pub const MIRROR: &str = "mcptap.mirror";
/// Ours: true on the span of a call whose log lines may not be kept, though its events have them.
pub const HUSHED: &str = "mcptap.hushed";

/// `http.request.header.`, before a request header's name in lower case.
pub const HTTP_REQUEST_HEADER_PREFIX: &str = "http.request.header.";
/// The value of [`RESULT_TYPE`] when the answer asks the client for more.
pub const INPUT_REQUIRED: &str = "input_required";
/// The value of [`RESULT_TYPE`] when the answer is the handle of a task.
pub const TASK: &str = "task";
/// The value of [`OUTCOME`] when the request was given up before its answer.
pub const CANCELLED: &str = "cancelled";
/// The value of [`OUTCOME`] when the answer sent the client elsewhere (HTTP 3xx).
pub const REDIRECTED: &str = "redirected";
/// The value of [`OUTCOME`] when it ended, and how is not known: its answer cannot be told from another's.
pub const UNKNOWN: &str = "unknown";
/// The value of [`FRAMING`] when each message stands after a `Content-Length` header, as in LSP.
pub const CONTENT_LENGTH: &str = "content-length";
/// The value of [`ERROR_TYPE`] when the transport ended before the answer.
pub const CLOSED: &str = "closed";
/// Ours: the span id, as hex, of the first request of an operation that took several rounds (`input_required`, tasks).
pub const OPERATION: &str = "mcptap.operation";
/// Ours: how many progress notifications came before the answer.
pub const PROGRESS_COUNT: &str = "mcptap.progress.count";
/// The value of [`ERROR_TYPE`] when the server's own code panicked.
pub const PANIC: &str = "panic";
/// Methods of requests that a server sends to its client, often while it handles one of the client's (MCP 2025-11-25,
/// "Client Features").
pub const SERVER_INITIATED: [&str; 3] = ["sampling/createMessage", "roots/list", "elicitation/create"];
/// Ours: for how many requests the record of one that succeeded stands, where a method is sampled.
pub const WEIGHT: &str = "mcptap.weight";
/// `process.pid` of the resource.
pub const PROCESS_PID: &str = "process.pid";
