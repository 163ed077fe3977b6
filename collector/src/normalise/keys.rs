//! The attribute names that are read, once each, and a span's attributes laid out by them.

use std::collections::HashMap;
use std::sync::LazyLock;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::{Map, Value};

use crate::value;

macro_rules! keys {
    ($($key:ident = $name:literal),+ $(,)?) => {
        /// An attribute name that some reading rule mentions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Key { $($key),+ }

        impl Key {
            /// All of them, in declaration order, so that a key is its own index.
            const ALL: &'static [(Key, &'static str)] = &[$((Key::$key, $name)),+];

            /// The name on the wire.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$key => $name),+ }
            }
        }
    };
}

keys! {
    // The conventions for MCP, and ours.
    McpMethodName = "mcp.method.name",
    McpSessionId = "mcp.session.id",
    McpProtocolVersion = "mcp.protocol.version",
    McpResourceUri = "mcp.resource.uri",
    GenAiToolName = "gen_ai.tool.name",
    GenAiPromptName = "gen_ai.prompt.name",
    GenAiOperationName = "gen_ai.operation.name",
    GenAiToolCallArguments = "gen_ai.tool.call.arguments",
    GenAiToolCallResult = "gen_ai.tool.call.result",
    GenAiConversationId = "gen_ai.conversation.id",
    JsonrpcRequestId = "jsonrpc.request.id",
    RpcResponseStatusCode = "rpc.response.status_code",
    RpcStatusCode = "rpc.status_code",
    ErrorType = "error.type",
    NetworkTransport = "network.transport",
    NetworkProtocolName = "network.protocol.name",
    OurRequestBody = "mcptap.request.body",
    OurResponseBody = "mcptap.response.body",
    OurRequestSize = "mcptap.request.size",
    OurResponseSize = "mcptap.response.size",
    OurRequestTruncated = "mcptap.request.truncated",
    OurResponseTruncated = "mcptap.response.truncated",
    OurResultType = "mcptap.result.type",
    OurOutcome = "mcptap.outcome",
    OurSpanKind = "mcptap.span.kind",
    OurSpanParent = "mcptap.span.parent",
    OurLate = "mcptap.late",
    OurStream = "mcptap.stream",
    OurMirror = "mcptap.mirror",
    OurHushed = "mcptap.hushed",
    OurAuthorization = "mcptap.authorization",
    OurCountry = "mcptap.country",
    // Names others chose, drafts of the conventions among them.
    McpMethod = "mcp.method",
    McpEventType = "mcp.event_type",
    McpResourceName = "mcp.resource_name",
    McpToolName = "mcp.tool.name",
    McpPromptName = "mcp.prompt.name",
    McpResourceId = "mcp.resource.id",
    McpServerName = "mcp.server.name",
    McpTarget = "mcp.target",
    McpSessionIdUnderscore = "mcp.session_id",
    McpProtocolVersionUnderscore = "mcp.protocol_version",
    McpRequestId = "mcp.request.id",
    McpMessageId = "mcp.message_id",
    McpTransport = "mcp.transport",
    McpTransportType = "mcp.transport.type",
    McpClientName = "mcp.client.name",
    McpClientVersion = "mcp.client.version",
    McpClientNameUnderscore = "mcp.client_name",
    McpClientVersionUnderscore = "mcp.client_version",
    McpClientInfoName = "mcp.session.client_info.name",
    McpClientInfoVersion = "mcp.session.client_info.version",
    McpRequestPayload = "mcp.request.payload",
    McpResponsePayload = "mcp.response.payload",
    McpResponseValue = "mcp.response.value",
    McpParams = "mcp.params",
    McpParameters = "mcp.parameters",
    McpResult = "mcp.result",
    McpResultIsError = "mcp.result.is_error",
    McpToolArguments = "mcp.tool.arguments",
    McpToolResult = "mcp.tool.result",
    McpToolResultIsError = "mcp.tool.result.is_error",
    McpErrorCode = "mcp.error.code",
    McpErrorMessage = "mcp.error.message",
    McpErrorType = "mcp.error.type",
    McpListType = "mcp.list.type",
    McpLoggingMessage = "mcp.logging.message",
    McpLoggingLevel = "mcp.logging.level",
    RpcSystem = "rpc.system",
    RpcSystemName = "rpc.system.name",
    RpcMethod = "rpc.method",
    RpcJsonrpcRequestId = "rpc.jsonrpc.request_id",
    RpcJsonrpcErrorCode = "rpc.jsonrpc.error_code",
    RpcJsonrpcErrorMessage = "rpc.jsonrpc.error_message",
    AgentcatSessionSource = "agentcat.tag.agentcat_session_id_source",
    FastmcpServerName = "fastmcp.server.name",
    FastmcpComponentType = "fastmcp.component.type",
    FastmcpComponentId = "fastmcp.component.key",
    TraceloopSpanKind = "traceloop.span.kind",
    TraceloopEntityName = "traceloop.entity.name",
    TraceloopEntityInput = "traceloop.entity.input",
    TraceloopEntityOutput = "traceloop.entity.output",
    TraceloopWorkflowName = "traceloop.workflow.name",
    LogfireRequest = "request",
    LogfireResponse = "response",
    LogfireSpanType = "logfire.span_type",
    LogfireMessage = "logfire.msg",
    LogfireLevel = "logfire.level_num",
    SdotServerName = "sdot.mcp.server_name",
    ContextforgeTransport = "contextforge.transport",
    ToolName = "tool.name",
    PromptId = "prompt.id",
    ResourceUri = "resource.uri",
    Success = "success",
    OutcomeText = "outcome",
    ErrorMessage = "error.message",
    LangfuseSessionId = "langfuse.session.id",
    LangfuseInput = "langfuse.observation.input",
    LangfuseOutput = "langfuse.observation.output",
    SpringToolName = "spring.ai.tool.definition.name",
    SpringArguments = "spring.ai.tool.call.arguments",
    SpringResult = "spring.ai.tool.call.result",
    InputValue = "input.value",
    OutputValue = "output.value",
    // HTTP, new names and old.
    HttpRequestMethod = "http.request.method",
    HttpMethod = "http.method",
    HttpResponseStatusCode = "http.response.status_code",
    HttpStatusCode = "http.status_code",
    HttpStatus = "http.status",
    HttpRequestBody = "http.request.body.content",
    HttpResponseBody = "http.response.body.content",
    ClientAddress = "client.address",
    SrcAddr = "src.addr",
    NetworkPeerAddress = "network.peer.address",
    NetSockPeerAddr = "net.sock.peer.addr",
    NetPeerIp = "net.peer.ip",
    HttpClientIp = "http.client_ip",
    UserAgentOriginal = "user_agent.original",
    HttpUserAgent = "http.user_agent",
    GeoCountry = "geo.country.iso_code",
    ClientGeoCountry = "client.geo.country_iso_code",
    HeaderCfIpcountry = "http.request.header.cf-ipcountry",
    HeaderVercelCountry = "http.request.header.x-vercel-ip-country",
    HeaderCloudfrontCountry = "http.request.header.cloudfront-viewer-country",
    HeaderForwardedFor = "http.request.header.x-forwarded-for",
    HeaderAuthorization = "http.request.header.authorization",
    HeaderMcpSessionId = "http.request.header.mcp-session-id",
    HeaderMcpProtocolVersion = "http.request.header.mcp-protocol-version",
    HeaderMcpMethod = "http.request.header.mcp-method",
    HeaderMcpName = "http.request.header.mcp-name",
    HeaderUserAgent = "http.request.header.user-agent",
}

/// How many keys there are.
const COUNT: usize = Key::ALL.len();

static INDEX: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    Key::ALL
        .iter()
        .enumerate()
        .map(|(index, (_, name))| (*name, index))
        .collect()
});

/// A span's (or event's) attributes, found in one pass: those with a [`Key`] by it, the rest in order.
pub(crate) struct Attributes<'a> {
    known: [Option<&'a AnyValue>; COUNT],
    taken: [bool; COUNT],
    others: Vec<&'a KeyValue>,
}

impl<'a> Attributes<'a> {
    /// Lays out the attributes. Of a name given twice the last counts.
    pub(crate) fn new(attributes: &'a [KeyValue]) -> Self {
        let mut known: [Option<&AnyValue>; COUNT] = [None; COUNT];
        let mut others = Vec::new();
        for attribute in attributes {
            let slot = INDEX
                .get(attribute.key.as_str())
                .and_then(|index| known.get_mut(*index));
            match slot {
                Some(slot) => *slot = attribute.value.as_ref(),
                None => others.push(attribute),
            }
        }
        Self {
            known,
            taken: [false; COUNT],
            others,
        }
    }

    /// The value as sent.
    pub(crate) fn get(&self, key: Key) -> Option<&'a AnyValue> {
        self.known.get(key as usize).copied().flatten()
    }

    /// The value as text, unless it is empty or a scrubber's placeholder.
    pub(crate) fn text(&self, key: Key) -> Option<String> {
        self.get(key).and_then(value::text).filter(|text| !is_void(text))
    }

    /// The value as an integer; numbers in text count.
    pub(crate) fn integer(&self, key: Key) -> Option<i64> {
        self.get(key).and_then(value::integer)
    }

    /// The value as a truth; `"true"` counts.
    pub(crate) fn truth(&self, key: Key) -> Option<bool> {
        self.get(key).and_then(value::truth)
    }

    /// The first of these that has text. The winner is marked as having a field of its own.
    pub(crate) fn take_text(&mut self, keys: &[Key]) -> Option<String> {
        let (key, text) = keys.iter().find_map(|key| Some((*key, self.text(*key)?)))?;
        self.take(key);
        Some(text)
    }

    /// The first of these that is a number. The winner is marked as having a field of its own.
    pub(crate) fn take_integer(&mut self, keys: &[Key]) -> Option<i64> {
        let (key, number) = keys.iter().find_map(|key| Some((*key, self.integer(*key)?)))?;
        self.take(key);
        Some(number)
    }

    /// Marks the attribute as shown in a field of its own.
    pub(crate) fn take(&mut self, key: Key) {
        if let Some(taken) = self.taken.get_mut(key as usize) {
            *taken = true;
        }
    }

    /// Attributes below `prefix` that no [`Key`] names, by the rest of their name.
    pub(crate) fn below<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'a str, &'a AnyValue)> + 's {
        self.others.iter().filter_map(move |attribute| {
            Some((attribute.key.strip_prefix(prefix)?, attribute.value.as_ref()?))
        })
    }

    /// Whether any attribute's name begins so.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.others
            .iter()
            .any(|attribute| attribute.key.starts_with(prefix))
            || Key::ALL
                .iter()
                .any(|(key, name)| name.starts_with(prefix) && self.get(*key).is_some())
    }

    /// What has no field of its own, without what stands below `folded` prefixes.
    pub(crate) fn rest(&self, folded: &[&str]) -> Map<String, Value> {
        let known = Key::ALL.iter().filter_map(|(key, name)| {
            let taken = self.taken.get(*key as usize).copied().unwrap_or(false);
            Some((*name, self.get(*key).filter(|_| !taken)?))
        });
        let others = self
            .others
            .iter()
            .filter(|attribute| !folded.iter().any(|prefix| attribute.key.starts_with(prefix)))
            .filter_map(|attribute| Some((attribute.key.as_str(), attribute.value.as_ref()?)));
        known
            .chain(others)
            .map(|(name, value)| (name.to_owned(), value::json(value)))
            .collect()
    }
}

/// Whether a text says nothing: empty, or what a scrubber left in place of a value.
fn is_void(text: &str) -> bool {
    text.is_empty() || text.starts_with("[Scrubbed due to") || text == "[REDACTED]" || text == "[Filtered]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_own_index() {
        for (index, (key, name)) in Key::ALL.iter().enumerate() {
            assert_eq!(*key as usize, index);
            assert_eq!(key.name(), *name);
        }
        assert_eq!(INDEX.len(), Key::ALL.len(), "a name stands twice");
    }
}
