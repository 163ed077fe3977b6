//! What a span is about: its JSON-RPC method, and the tool, prompt or resource the method is about.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::dialect::Dialect;
use super::keys::{Attributes, Key};

/// The requests MCP knows, over all its versions. Others are legitimate; these are recognised without MCP attributes.
const METHODS: &[&str] = &[
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "sampling/createMessage",
    "roots/list",
    "elicitation/create",
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "tasks/update",
    "server/discover",
    "subscriptions/listen",
];

/// Names of Python functions that stand for methods.
const PYTHON_METHODS: &[(&str, &str)] = &[
    ("call_tool", "tools/call"),
    ("list_tools", "tools/list"),
    ("list_resources", "resources/list"),
    ("list_resource_templates", "resources/templates/list"),
    ("read_resource", "resources/read"),
    ("subscribe_resource", "resources/subscribe"),
    ("unsubscribe_resource", "resources/unsubscribe"),
    ("list_prompts", "prompts/list"),
    ("get_prompt", "prompts/get"),
    ("complete", "completion/complete"),
    ("set_logging_level", "logging/setLevel"),
    ("initialize", "initialize"),
    ("ping", "ping"),
    ("send_ping", "ping"),
];

/// What instrumentations put before the method in a span's name.
const NAME_PREFIXES: &[&str] = &[
    "MCP send ",
    "MCP server handle request: ",
    "MCP request: ",
    "mcp ",
    "mcp:",
];

/// What a method is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tool: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) resource_uri: Option<String>,
}

fn known(method: &str) -> Option<&'static str> {
    METHODS.iter().find(|known| **known == method).copied()
}

fn mapped(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(given, _)| *given == name)
        .map(|(_, method)| *method)
}

/// The method, by the precedence list: attributes, the request's own JSON, headers, the span's name.
pub(super) fn method(
    attributes: &mut Attributes<'_>,
    dialect: &Dialect,
    name: &str,
    request: Option<&Value>,
) -> Option<String> {
    if let Some(method) = attributes.take_text(&[Key::McpMethodName]) {
        return Some(method);
    }
    if let Some(method) = attributes.text(Key::McpMethod) {
        let plain = if dialect.python_methods {
            mapped(PYTHON_METHODS, &method)
        } else {
            None
        };
        let plain = plain
            .map(str::to_owned)
            .or_else(|| (method.contains('/') || known(&method).is_some()).then_some(method));
        if plain.is_some() {
            attributes.take(Key::McpMethod);
        }
        return plain;
    }
    if let Some(event) = attributes.text(Key::McpEventType) {
        let method = event.strip_prefix("mcp:")?.to_owned();
        attributes.take(Key::McpEventType);
        return Some(method);
    }
    let rpc_system = attributes
        .text(Key::RpcSystem)
        .or_else(|| attributes.text(Key::RpcSystemName));
    if let (Some(system), Some(method)) = (rpc_system, attributes.text(Key::RpcMethod))
        && (system == "mcp" || (system == "jsonrpc" && known(&method).is_some()))
    {
        attributes.take(Key::RpcMethod);
        return Some(method);
    }
    if let Some(method) = request
        .and_then(|request| request.get("method"))
        .and_then(Value::as_str)
        && (known(method).is_some() || name.starts_with("MCP "))
    {
        return Some(method.to_owned());
    }
    if let Some(method) = attributes.take_text(&[Key::HeaderMcpMethod]) {
        return Some(method);
    }
    from_name(attributes, dialect, name)
}

fn from_name(attributes: &Attributes<'_>, dialect: &Dialect, name: &str) -> Option<String> {
    if let Some(method) = mapped(dialect.names, name) {
        return Some(method.to_owned());
    }
    // Nobody else names a span so, and Traceloop's may have no attributes at all.
    if let Some(method) = traceloop_method(name) {
        return Some(method.to_owned());
    }
    if attributes.get(Key::TraceloopEntityName).is_some() || attributes.get(Key::TraceloopSpanKind).is_some()
    {
        return name.ends_with(".tool").then(|| "tools/call".to_owned());
    }
    let stripped = NAME_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
    let first = stripped.unwrap_or(name).split(' ').next()?;
    // Without a prefix only names that nobody else would give a span are believed.
    known(first)
        .filter(|method| stripped.is_some() || method.contains('/'))
        .map(str::to_owned)
}

/// The method in a name of Traceloop's such as `resources/read.mcp`.
pub(super) fn traceloop_method(name: &str) -> Option<&'static str> {
    name.strip_suffix(".mcp").and_then(known)
}

/// The target, by the precedence lists, where the method has one.
pub(super) fn target(
    attributes: &mut Attributes<'_>,
    method: &str,
    name: &str,
    request: Option<&Value>,
) -> Target {
    let mut target = Target {
        tool: attributes.take_text(&[Key::GenAiToolName]),
        prompt: attributes.take_text(&[Key::GenAiPromptName]),
        resource_uri: attributes.take_text(&[Key::McpResourceUri]),
    };
    let named = |keys: &[Key], attributes: &mut Attributes<'_>| {
        attributes
            .take_text(keys)
            .filter(|name| name != "None" && name != "Unknown Tool Name")
            .or_else(|| parameter(request, method))
            .or_else(|| {
                attributes
                    .text(Key::HeaderMcpName)
                    .map(|name| decode_header(&name))
            })
            .or_else(|| name_target(name, method))
    };
    match method {
        "tools/call" if target.tool.is_none() => {
            target.tool = fastmcp_tool(attributes).or_else(|| {
                let own = &[
                    Key::McpToolName,
                    Key::ToolName,
                    Key::SpringToolName,
                    Key::McpResourceName,
                ];
                named(own, attributes).or_else(|| traceloop_tool(attributes))
            });
        }
        "prompts/get" if target.prompt.is_none() => {
            target.prompt = named(
                &[Key::McpPromptName, Key::PromptId, Key::McpResourceName],
                attributes,
            );
        }
        "resources/read" | "resources/subscribe" | "resources/unsubscribe"
            if target.resource_uri.is_none() =>
        {
            let own = &[Key::ResourceUri, Key::McpResourceId, Key::McpResourceName];
            target.resource_uri = named(own, attributes);
        }
        _ => {}
    }
    target
}

/// `params.name` or `params.uri` of the request's own JSON; OpenLIT has positional `params.args` or a lone
/// `params.value` instead.
fn parameter(request: Option<&Value>, method: &str) -> Option<String> {
    let params = request?.get("params")?;
    let key = if method.starts_with("resources/") {
        "uri"
    } else {
        "name"
    };
    let given = params
        .get(key)
        .or_else(|| params.get("args")?.get(0))
        .or_else(|| params.get("value"))?;
    given.as_str().map(str::to_owned)
}

fn fastmcp_tool(attributes: &Attributes<'_>) -> Option<String> {
    if attributes.text(Key::FastmcpComponentType)? != "tool" {
        return None;
    }
    let key = attributes.text(Key::FastmcpComponentId)?;
    let key = key.strip_prefix("tool:").unwrap_or(&key);
    Some(key.rsplit_once('@').map_or(key, |(name, _)| name).to_owned())
}

fn traceloop_tool(attributes: &mut Attributes<'_>) -> Option<String> {
    if attributes.text(Key::TraceloopSpanKind)? == "tool" {
        attributes.take_text(&[Key::TraceloopEntityName])
    } else {
        None
    }
}

/// `Mcp-Name` may be `=?base64?…?=` (MCP 2026-07-28, HTTP headers).
fn decode_header(value: &str) -> String {
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    decoded
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| value.to_owned())
}

/// What follows the method in the span's name.
fn name_target(name: &str, method: &str) -> Option<String> {
    let (_, after) = name.split_once(method)?;
    let target = after.strip_prefix(' ')?.trim();
    (!target.is_empty()).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_may_be_encoded() {
        assert_eq!(decode_header("=?base64?w7xi?="), "üb");
        assert_eq!(decode_header("plain"), "plain");
        assert_eq!(decode_header("=?base64?%?="), "=?base64?%?=");
    }

    #[test]
    fn targets_follow_the_method() {
        assert_eq!(
            name_target("MCP send tools/call get_order", "tools/call").as_deref(),
            Some("get_order")
        );
        assert_eq!(
            name_target("resources/read config://a b", "resources/read").as_deref(),
            Some("config://a b")
        );
        assert_eq!(name_target("tools/list", "tools/list"), None);
    }
}
