//! What is peculiar to each instrumentation, as data: whose view its spans are, which of them are no request, which
//! of its ids can be trusted. What is not listed here follows the conventions.

use mcptap_model::{SpanKind, Vantage};

use super::keys::{Attributes, Key};

/// How far `mcp.session.id` of an instrumentation can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionTrust {
    /// It is the id on the wire.
    Wire,
    /// It names a connection or process of the sender's own.
    Never,
    /// It names a conversation, as the sender sees it.
    Conversation,
    /// It is the header's when it is a bare UUID, and made up for the connection otherwise.
    BareUuid,
    /// The wire id on HTTP, a connection's id elsewhere.
    WireOnHttp,
}

/// An instrumentation's peculiarities.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// How its scope's name begins.
    scope: &'static str,
    /// Whose view its spans are, whatever their kind.
    pub(super) vantage: Option<Vantage>,
    /// How far its session ids can be trusted.
    pub(super) session: SessionTrust,
    /// Span names that stand for methods, beyond the conventions.
    pub(super) names: &'static [(&'static str, &'static str)],
    /// Whether `mcp.method` holds names of Python functions.
    pub(super) python_methods: bool,
    /// Whether a status of ERROR without any text is the tool's `isError`.
    pub(super) error_is_tools: bool,
    /// Whether each `mcp.request.argument.*` is JSON text.
    pub(super) json_arguments: bool,
    /// Whether `client.address` and `mcp.request.id` are what they say.
    pub(super) honest_ids: bool,
}

const PLAIN: Dialect = Dialect {
    scope: "",
    vantage: None,
    session: SessionTrust::Wire,
    names: &[],
    python_methods: false,
    error_is_tools: false,
    json_arguments: false,
    honest_ids: true,
};

const DIALECTS: &[Dialect] = &[
    Dialect {
        scope: "fastmcp",
        session: SessionTrust::BareUuid,
        ..PLAIN
    },
    Dialect {
        scope: "Experimental.ModelContextProtocol",
        session: SessionTrust::Never,
        ..PLAIN
    },
    Dialect {
        scope: "io.quarkus.opentelemetry.mcp",
        session: SessionTrust::WireOnHttp,
        ..PLAIN
    },
    Dialect {
        scope: "openlit",
        python_methods: true,
        ..PLAIN
    },
    Dialect {
        scope: "agentcat",
        session: SessionTrust::Conversation,
        error_is_tools: true,
        ..PLAIN
    },
    Dialect {
        scope: "@sentry",
        json_arguments: true,
        ..PLAIN
    },
    Dialect {
        scope: "agentgateway",
        vantage: Some(Vantage::Gateway),
        ..PLAIN
    },
    Dialect {
        scope: "github.com/stacklok/toolhive",
        vantage: Some(Vantage::Gateway),
        ..PLAIN
    },
    Dialect {
        scope: "envoyproxy/ai-gateway",
        vantage: Some(Vantage::Gateway),
        names: &[
            ("Initialize", "initialize"),
            ("ListTools", "tools/list"),
            ("CallTool", "tools/call"),
            ("ListPrompts", "prompts/list"),
            ("GetPrompt", "prompts/get"),
            ("ListResources", "resources/list"),
            ("ReadResource", "resources/read"),
            ("Subscribe", "resources/subscribe"),
            ("Unsubscribe", "resources/unsubscribe"),
            ("ListResourceTemplates", "resources/templates/list"),
            ("SetLoggingLevel", "logging/setLevel"),
            ("Complete", "completion/complete"),
            ("Ping", "ping"),
        ],
        ..PLAIN
    },
    Dialect {
        scope: "github.com/docker/mcp-gateway",
        vantage: Some(Vantage::Gateway),
        names: &[
            ("mcp.initialize", "initialize"),
            ("mcp.tool.call", "tools/call"),
            ("mcp.prompt.get", "prompts/get"),
            ("mcp.resource.read", "resources/read"),
            ("mcp.list.tools", "tools/list"),
            ("mcp.list.prompts", "prompts/list"),
            ("mcp.list.resources", "resources/list"),
            ("mcp.list.resourceTemplates", "resources/templates/list"),
        ],
        ..PLAIN
    },
    Dialect {
        scope: "mcp-gateway",
        vantage: Some(Vantage::Server),
        names: &[
            ("mcp.initialize", "initialize"),
            ("tool.invoke", "tools/call"),
            ("tool.list", "tools/list"),
            ("prompt.render", "prompts/get"),
            ("prompt.list", "prompts/list"),
            ("resource.read", "resources/read"),
            ("resource.list", "resources/list"),
            ("resource_template.list", "resources/templates/list"),
        ],
        ..PLAIN
    },
];

/// Shinzo has no scope of its own; its spans carry its process's id on the resource too.
const SHINZO: Dialect = Dialect {
    session: SessionTrust::Never,
    honest_ids: false,
    ..PLAIN
};
/// AgentCat names its scope after the server; its `mcp.event_type` is its own.
const AGENTCAT: Dialect = Dialect {
    scope: "agentcat",
    session: SessionTrust::Conversation,
    error_is_tools: true,
    ..PLAIN
};
/// Sentry's spans can be sent through a tracer of any name; `sentry.op` tells them.
const SENTRY: Dialect = Dialect {
    scope: "@sentry",
    json_arguments: true,
    ..PLAIN
};

/// The dialect of a span. `process_session` is whether its resource carries `mcp.session.id`.
pub(super) fn dialect(scope: &str, attributes: &Attributes<'_>, process_session: bool) -> Dialect {
    if process_session {
        SHINZO
    } else if attributes.get(Key::McpEventType).is_some() {
        AGENTCAT
    } else if attributes.has_prefix("sentry.") {
        SENTRY
    } else {
        DIALECTS
            .iter()
            .find(|dialect| scope.starts_with(dialect.scope))
            .copied()
            .unwrap_or(PLAIN)
    }
}

/// Names of spans that carry MCP attributes and yet tell of no request of their own.
const NO_REQUEST: &[&str] = &[
    "ResponseStreamWriter",
    "mcp.server",
    "mcp.session",
    "mcp.client.session",
    "serve_inner",
    "streamable_http_session",
    "transport_worker",
];

/// How such names begin.
const NO_REQUEST_PREFIXES: &[&str] = &[
    "mcp.command.",
    "mcp transport/",
    "mcp server/",
    "mcp session/",
    "mcp managers/",
    "mcp fastmcp/",
    "delegate ",
];

/// Scope, method or name (either, when given), kind: spans of that kind are inside a request, not one.
const INSIDE: &[(&str, Option<&str>, Option<SpanKind>)] = &[
    // Calls to mounted servers and providers, nested in the request's own span.
    ("fastmcp", None, Some(SpanKind::Internal)),
    // The server's own requests to the client, mis-kinded.
    ("@traceloop/instrumentation-mcp", None, Some(SpanKind::Server)),
    // Lasts as long as the server.
    ("opentelemetry.util.genai", Some("initialize"), None),
    // Steps of the gateway's own call upstream, told by the call's span already.
    ("mcp-gateway", Some("mcp.client.call"), None),
    ("mcp-gateway", Some("mcp.client.request"), None),
    ("mcp-gateway", Some("mcp.client.response"), None),
    ("mcp-gateway", Some("mcp.client.initialize"), None),
    ("mcp-gateway", Some("tool.lookup"), None),
    ("mcp-gateway", Some("tool.gateway_call"), None),
    ("mcp-gateway", Some("tool.post_process"), None),
];

/// Whether a span tells of no request of its own, though it carries MCP attributes.
pub(super) fn tells_no_request(scope: &str, name: &str, kind: SpanKind, attributes: &Attributes<'_>) -> bool {
    NO_REQUEST.contains(&name)
        || NO_REQUEST_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || INSIDE.iter().any(|(within, named, of_kind)| {
            scope.starts_with(within)
                && named.is_none_or(|named| {
                    name == named || attributes.text(Key::McpMethodName).as_deref() == Some(named)
                })
                && of_kind.is_none_or(|of_kind| kind == of_kind)
        })
        || attributes.text(Key::LogfireSpanType).as_deref() == Some("pending_span")
        || (scope.starts_with("openlit") && is_openlit_noise(attributes))
}

/// OpenLIT also wraps the registration of handlers (a payload without parameters) and the making of coroutines.
fn is_openlit_noise(attributes: &Attributes<'_>) -> bool {
    let request = attributes.text(Key::McpRequestPayload);
    let response = attributes.text(Key::McpResponsePayload);
    request.is_some_and(|payload| !payload.contains("\"params\""))
        || response.is_some_and(|payload| payload.contains("\"mcp_coroutine\""))
}

/// Whose view a span is.
pub(super) fn vantage(
    dialect: &Dialect,
    scope: &str,
    name: &str,
    kind: SpanKind,
    attributes: &Attributes<'_>,
) -> Vantage {
    if let Some(vantage) = dialect.vantage {
        return vantage;
    }
    if dialect.python_methods {
        // OpenLIT gives its server-side spans kind CLIENT; only a server knows its own name.
        return if attributes.get(Key::McpServerName).is_some() || kind == SpanKind::Server {
            Vantage::Server
        } else {
            Vantage::Client
        };
    }
    match kind {
        SpanKind::Server | SpanKind::Consumer => Vantage::Server,
        SpanKind::Client | SpanKind::Producer => Vantage::Client,
        SpanKind::Internal => {
            let on_client = (scope.contains("instrumentation.mcp") || scope.contains("instrumentation-mcp"))
                && attributes
                    .text(Key::TraceloopWorkflowName)
                    .is_none_or(|name| !name.ends_with(".mcp"))
                && attributes.get(Key::TraceloopEntityName).is_some();
            // Traceloop gives methods such names on clients only; its servers have `mcp.server` and tools.
            let on_client = on_client || super::method::traceloop_method(name).is_some();
            if on_client || name.starts_with("MCP request: ") || name.starts_with("execute_tool ") {
                Vantage::Client
            } else {
                Vantage::Server
            }
        }
    }
}
