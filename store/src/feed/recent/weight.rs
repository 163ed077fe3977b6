//! About how much memory a call takes.

use mcptap_model::Call;
use serde_json::{Map, Value};

use crate::Change;

/// About how many bytes a call has.
pub(crate) fn weight(call: &Call) -> usize {
    let texts = [
        &call.server,
        &call.tool,
        &call.prompt,
        &call.resource_uri,
        &call.error_type,
        &call.error_message,
        &call.session_id,
        &call.request_id,
        &call.protocol_version,
        &call.client_name,
        &call.client_version,
        &call.client_ip,
        &call.country,
        &call.authorization,
        &call.user_agent,
    ];
    let texts: usize = texts.into_iter().flatten().map(|text| text.capacity()).sum();
    let key = call.session.as_ref().map_or(0, |session| session.key.capacity());
    // As if no call shared its origin with another: what is bounded is the worst case.
    let resource = size_of_fields(&call.origin.resource);
    // Its entry and its counters come on top.
    size_of::<Call>() + size_of::<Change>() + 128 + call.method.capacity() + key + texts + resource
}

/// About how many bytes a value has.
fn size(value: &Value) -> usize {
    let inside: usize = match value {
        Value::String(text) => text.capacity(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => size_of_fields(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

/// About how many bytes the fields of an object have.
pub(crate) fn size_of_fields(fields: &Map<String, Value>) -> usize {
    fields
        .iter()
        .map(|(name, value)| 2 * name.len() + size(value))
        .sum()
}
