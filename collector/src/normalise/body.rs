//! Request and response bodies, from the many forms in which they are sent to one that reads alike: a request is
//! `{"method","params"}`, a response the JSON-RPC result or `{"error":{…}}`. What cannot be read stays as it came.

use std::borrow::Cow;

use mcptap_model::Payload;
use mcptap_model::redact::{REDACTED, ragged_end};
use mcptap_model::surrogates::replace_halves;
use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::keys::{Attributes, Key};
use super::method::Target;
use crate::value;

/// Prefix of one attribute per argument (drafts of the conventions; Sentry, Shinzo).
pub(super) const ARGUMENT: &str = "mcp.request.argument.";
/// Prefix of one attribute per prompt argument.
pub(super) const PROMPT_VARIABLE: &str = "gen_ai.prompt.variable.";
/// Prefix of a tool result taken apart (Sentry).
pub(super) const TOOL_RESULT: &str = "mcp.tool.result.";
/// Prefix of a prompt result taken apart (Sentry).
pub(super) const PROMPT_RESULT: &str = "mcp.prompt.result.";

/// Attributes that hold the whole request.
const WHOLE_REQUEST: &[Key] = &[
    Key::OurRequestBody,
    Key::HttpRequestBody,
    Key::McpRequestPayload,
    Key::LogfireRequest,
];
/// Attributes that hold the arguments alone, best first.
const ARGUMENTS: &[Key] = &[
    Key::GenAiToolCallArguments,
    Key::McpParams,
    Key::McpToolArguments,
    Key::TraceloopEntityInput,
    Key::LangfuseInput,
    Key::SpringArguments,
    Key::McpParameters,
    Key::InputValue,
];
/// Attributes that hold the response, best first.
const RESPONSE: &[Key] = &[
    Key::OurResponseBody,
    Key::HttpResponseBody,
    Key::McpResponsePayload,
    Key::LogfireResponse,
    Key::GenAiToolCallResult,
    Key::McpResult,
    Key::McpToolResult,
    Key::TraceloopEntityOutput,
    Key::McpResponseValue,
    Key::LangfuseOutput,
    Key::SpringResult,
    Key::OutputValue,
];

/// A body as it came: the text, and the JSON in it if it is JSON.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) text: String,
    pub(super) json: Option<Value>,
}

impl Body {
    fn new(text: String) -> Self {
        let json = value::parsed(&text);
        // Half an emoji makes JSON unreadable for strict readers, and nothing is cut for that.
        if json.is_none()
            && text.starts_with(['{', '[', '"'])
            && let Cow::Owned(text) = replace_halves(&text)
        {
            let json = value::parsed(&text);
            return Self { text, json };
        }
        Self { text, json }
    }

    fn from_json(json: Value) -> Self {
        Self {
            text: json.to_string(),
            json: Some(json),
        }
    }

    /// As stored.
    pub(super) fn payload(self, said: Said) -> Payload {
        let kept = self.text.len() as u64;
        let size = said.size.and_then(|size| u64::try_from(size).ok());
        let bytes = size.unwrap_or(kept).max(kept);
        // Cut JSON no longer parses: SDK limits on attribute lengths cut without a word.
        let looks_cut =
            || self.json.is_none() && self.text.starts_with(['{', '[']) && !value::is_json(&self.text);
        let truncated = match (said.truncated, size) {
            (Some(true), _) => true,
            // A redacted text is shorter than what was sent, and whole. A limit cut it after all where it is no JSON.
            (Some(false), Some(size)) => size > kept && looks_cut(),
            (None, Some(size)) => size > kept,
            (Some(false), None) => false,
            (None, None) => looks_cut(),
        };
        let mut text = self.text;
        if truncated {
            // The cut may have gone through a secret, and half of one is not known as one.
            text.truncate(text.len() - ragged_end(text.as_bytes()));
        }
        Payload {
            truncated,
            bytes,
            // A sender may have cut secrets out already.
            redacted: text.contains(REDACTED),
            text,
        }
    }
}

/// The sender's own words on a body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// Its size before the sender's cap, in bytes.
    size: Option<i64>,
    /// Whether the sender cut it.
    truncated: Option<bool>,
}

impl Said {
    /// Takes them from a span's attributes.
    pub(super) fn take(attributes: &mut Attributes<'_>, size: Key, truncated: Key) -> Self {
        let cut = attributes.truth(truncated);
        if cut.is_some() {
            attributes.take(truncated);
        }
        Self {
            size: attributes.take_integer(&[size]),
            truncated: cut,
        }
    }
}

/// How deep the dots in an argument's name nest; further ones are part of the name.
const DEEPEST: usize = 32;
/// How many parts of a result taken apart are looked at.
const MOST_PARTS: usize = 1024;

fn first(attributes: &mut Attributes<'_>, keys: &[Key]) -> Option<(Key, String)> {
    let found = keys.iter().find_map(|key| {
        let text = attributes.get(*key).and_then(value::body_text)?;
        (!text.is_empty()).then_some((*key, text))
    })?;
    // The same text under another name says nothing more.
    for key in keys {
        if attributes.get(*key).and_then(value::body_text).as_ref() == Some(&found.1) {
            attributes.take(*key);
        }
    }
    Some(found)
}

/// Whether the span has a request's own JSON.
pub(super) fn has_request(attributes: &Attributes<'_>) -> bool {
    WHOLE_REQUEST.iter().any(|key| attributes.get(*key).is_some())
}

/// The request's own JSON, where a span carries the whole of it: needed to read method and target.
pub(super) fn whole_request(attributes: &mut Attributes<'_>) -> Option<Body> {
    let (key, text) = first(attributes, WHOLE_REQUEST)?;
    if key == Key::OurRequestBody {
        // Our own SDK says the arguments again, for others to read.
        attributes.take(Key::GenAiToolCallArguments);
    }
    Some(Body::new(text))
}

/// Traceloop's input of a method other than `tools/call`: the parameters of the request, or the request itself.
pub(super) fn parameters(attributes: &mut Attributes<'_>, method: &str) -> Option<Body> {
    if method == "tools/call" {
        return None;
    }
    let text = attributes.text(Key::TraceloopEntityInput)?;
    let Value::Object(input) = value::parsed(&text)? else {
        return None;
    };
    attributes.take(Key::TraceloopEntityInput);
    let params = match input.get("params") {
        Some(params) if params.is_object() => params.clone(),
        _ => Value::Object(input),
    };
    Some(Body::from_json(json!({ "method": method, "params": params })))
}

/// The request body, put together from what there is.
pub(super) fn request(
    attributes: &mut Attributes<'_>,
    dialect: &Dialect,
    whole: Option<Body>,
    method: &str,
    target: &Target,
) -> Option<Body> {
    if let Some(whole) = whole {
        return Some(positional(&whole, method).unwrap_or(whole));
    }
    if let Some((key, text)) = first(attributes, ARGUMENTS) {
        let parsed = value::parsed(&text);
        // Traceloop wraps them together with the name; OpenLIT's params are the whole of params.
        let arguments = match (key, parsed) {
            (Key::TraceloopEntityInput, Some(Value::Object(mut input)))
                if input.contains_key("arguments") =>
            {
                input.remove("arguments").unwrap_or(Value::Null)
            }
            (Key::McpParams, Some(params @ Value::Object(_))) => {
                return Some(Body::from_json(json!({ "method": method, "params": params })));
            }
            (_, Some(parsed)) => parsed,
            (_, None) => Value::String(text),
        };
        return Some(wrap(method, target, Some(arguments)));
    }
    folded(attributes, dialect, method, target)
}

/// OpenLIT records arguments of a Python function: `{"method":"call_tool","params":{"args":[…]}}`, or a lone one as
/// `{"value":…}`.
fn positional(whole: &Body, method: &str) -> Option<Body> {
    let given = whole.json.as_ref()?.get("params")?;
    let args = given.get("args").and_then(Value::as_array);
    let name = args
        .and_then(|args| args.first())
        .or_else(|| given.get("value"))?
        .as_str()?;
    let key = if method.starts_with("resources/") {
        "uri"
    } else {
        "name"
    };
    let mut params = Map::new();
    params.insert(key.to_owned(), name.into());
    if let Some(arguments) = args
        .and_then(|args| args.get(1))
        .filter(|arguments| arguments.is_object())
    {
        params.insert("arguments".to_owned(), arguments.clone());
    }
    Some(Body::from_json(json!({ "method": method, "params": params })))
}

fn wrap(method: &str, target: &Target, arguments: Option<Value>) -> Body {
    let mut params = Map::new();
    if let Some(name) = target.tool.as_ref().or(target.prompt.as_ref()) {
        params.insert("name".to_owned(), name.clone().into());
    }
    if let Some(uri) = &target.resource_uri {
        params.insert("uri".to_owned(), uri.clone().into());
    }
    if let Some(arguments) = arguments {
        params.insert("arguments".to_owned(), arguments);
    }
    Body::from_json(json!({ "method": method, "params": params }))
}

/// One attribute per argument, folded back into an object; dots in names are nesting.
fn folded(attributes: &Attributes<'_>, dialect: &Dialect, method: &str, target: &Target) -> Option<Body> {
    let mut arguments = Map::new();
    for (path, value) in attributes.below(ARGUMENT) {
        let value = value::json(value);
        if dialect.json_arguments {
            let parsed = value.as_str().and_then(value::parsed);
            arguments.insert(path.to_owned(), parsed.unwrap_or(value));
        } else {
            insert_at(&mut arguments, path, value, DEEPEST);
        }
    }
    for (name, value) in attributes.below(PROMPT_VARIABLE) {
        arguments.insert(name.to_owned(), value::json(value));
    }
    if arguments.is_empty() {
        return None;
    }
    // Sentry mixes the parameters that name the target with the arguments.
    if method == "prompts/get" && arguments.get("name").and_then(Value::as_str) == target.prompt.as_deref() {
        arguments.shift_remove("name");
    }
    if method.starts_with("resources/")
        && arguments.get("uri").and_then(Value::as_str) == target.resource_uri.as_deref()
    {
        arguments.shift_remove("uri");
    }
    let arguments = (!arguments.is_empty() || method == "tools/call").then_some(Value::Object(arguments));
    Some(wrap(method, target, arguments))
}

fn insert_at(object: &mut Map<String, Value>, path: &str, value: Value, depth: usize) {
    match path.split_once('.').filter(|_| depth > 0) {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((head, tail)) => {
            let inner = object
                .entry(head.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            match inner {
                Value::Object(inner) => insert_at(inner, tail, value, depth - 1),
                // A scalar stands where nesting was meant: the dotted name is kept as it came.
                _ => {
                    object.insert(path.to_owned(), value);
                }
            }
        }
    }
}

/// The response body.
pub(super) fn response(attributes: &mut Attributes<'_>, method: &str, status_message: &str) -> Option<Body> {
    if let Some((key, text)) = first(attributes, RESPONSE) {
        if key == Key::OurResponseBody {
            attributes.take(Key::GenAiToolCallResult);
        }
        let body = Body::new(text);
        return Some(if key == Key::LogfireResponse {
            rpc_error(&body).unwrap_or(body)
        } else {
            body
        });
    }
    let parts: Vec<(&str, Value)> = attributes
        .below(TOOL_RESULT)
        .chain(attributes.below(PROMPT_RESULT))
        .take(MOST_PARTS)
        .map(|(key, part)| (key, value::json(part)))
        .collect();
    if let Some(result) = assembled(&parts, attributes.truth(Key::McpToolResultIsError), method) {
        return Some(Body::from_json(result));
    }
    // The C# SDK puts the content of a failed tool into the span's status.
    let content = value::parsed(status_message).filter(is_content)?;
    Some(Body::from_json(json!({ "content": content, "isError": true })))
}

/// Whether it is an MCP `content` array.
pub(super) fn is_content(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| !items.is_empty() && items.iter().all(|item| item.get("type").is_some()))
}

/// Logfire records a JSON-RPC error bare: `{"code","message","data"}`.
fn rpc_error(body: &Body) -> Option<Body> {
    let error = body.json.as_ref()?.as_object()?;
    (error.contains_key("code") && error.contains_key("message"))
        .then(|| Body::from_json(json!({ "error": error })))
}

/// Puts a result together again that was taken apart into attributes.
fn assembled(parts: &[(&str, Value)], is_error: Option<bool>, method: &str) -> Option<Value> {
    let get = |name: &str| {
        parts
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.clone())
    };
    let item = |prefix: &str| -> Option<Map<String, Value>> {
        let field = |name: &str| get(&format!("{prefix}{name}"));
        let mut item = Map::new();
        for (from, to) in [
            ("content_type", "type"),
            ("role", "role"),
            ("mime_type", "mimeType"),
            ("uri", "uri"),
        ] {
            if let Some(value) = field(from) {
                item.insert(to.to_owned(), value);
            }
        }
        if let Some(content) = field("content") {
            item.insert(
                if method == "prompts/get" {
                    "content"
                } else {
                    "text"
                }
                .to_owned(),
                content,
            );
        }
        (!item.is_empty()).then_some(item)
    };
    if method == "prompts/get" {
        let single = get("message_content").map(|content| {
            let mut message = Map::new();
            message.extend(get("message_role").map(|role| ("role".to_owned(), role)));
            message.insert("content".to_owned(), content);
            message
        });
        let messages: Vec<_> = single
            .into_iter()
            .chain((0..128).map_while(|index| item(&format!("{index}."))))
            .collect();
        let description = get("description").map(|text| ("description".to_owned(), text));
        let messages = (!messages.is_empty()).then(|| ("messages".to_owned(), json!(messages)));
        let result: Map<String, Value> = description.into_iter().chain(messages).collect();
        return (!result.is_empty()).then_some(Value::Object(result));
    }
    let content: Vec<_> = item("")
        .into_iter()
        .chain((0..128).map_while(|index| item(&format!("{index}."))))
        .collect();
    if content.is_empty() {
        return None;
    }
    let mut result = Map::new();
    result.insert("content".to_owned(), json!(content));
    result.extend(is_error.map(|is_error| ("isError".to_owned(), is_error.into())));
    Some(Value::Object(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_emoji_cuts_nothing() {
        let body = Body::new("{\"a\":\"cut \\ud83d\"}".to_owned());
        assert_eq!(body.json, Some(json!({"a": "cut \u{fffd}"})));
        let stored = body.payload(Said::default());
        assert_eq!(
            (stored.text.as_str(), stored.truncated),
            ("{\"a\":\"cut \\ufffd\"}", false)
        );
        let plain = "no JSON \\ud83d";
        assert_eq!(Body::new(plain.to_owned()).text, plain);
    }

    #[test]
    fn a_body_is_truncated_where_something_was_cut() {
        let truncated = |text: &str, size, truncated| {
            Body::new(text.to_owned())
                .payload(Said { size, truncated })
                .truncated
        };
        // What the sender says counts: a secret that was cut out makes a text shorter, half an emoji makes it no JSON.
        for (text, size, said, expected) in [
            ("{\"a\":\"[redacted]\"}", Some(90), Some(false), false),
            ("{\"a\":1", Some(90), Some(false), true),
            ("{\"a\":1", Some(7), Some(true), true),
            ("{oops", Some(5), Some(false), false),
            ("{oops", Some(5), None, false),
            ("{\"a\":1}", Some(90), None, true),
            ("{\"a\":1", None, None, true),
            ("{\"a\":1}", None, None, false),
            ("plain", None, None, false),
        ] {
            assert_eq!(truncated(text, size, said), expected, "{text} {size:?} {said:?}");
        }
    }

    #[test]
    fn half_a_secret_at_the_end_of_what_was_cut_is_not_kept() {
        let kept = |text: &str, said| Body::new(text.to_owned()).payload(said).text;
        let cut = Said {
            size: Some(900),
            truncated: Some(true),
        };
        assert_eq!(kept("{\"a\":\"see ghp_0123", Said::default()), "{\"a\":\"see ");
        assert_eq!(kept("see ghp_0123", cut), "see ");
        assert_eq!(kept("see ghp_0123", Said::default()), "see ghp_0123");
        assert_eq!(kept("{\"a\":\"ghp_0123\"}", cut), "{\"a\":\"ghp_0123\"}");
    }
}
