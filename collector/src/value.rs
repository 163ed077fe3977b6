//! OTLP's any-value as JSON, text, number or truth, leniently: senders disagree on types.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde::de::IgnoredAny;
use serde_json::{Map, Number, Value};

/// The most bytes that JSON inside a text may become: 16 MiB. What would become more stays text.
const MOST_PARSED: usize = 16 << 20;

/// The JSON in a text, if it is JSON, and not so much that reading it would take more memory than one call may.
pub(crate) fn parsed(text: &str) -> Option<Value> {
    if signs(text).saturating_mul(size_of::<Value>()) > MOST_PARSED {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Whether a text is JSON.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// At most so many values: each but the first stands behind one of these.
fn signs(text: &str) -> usize {
    text.bytes()
        .filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{'))
        .count()
}

/// As JSON. Bytes become base64, a kvlist an object (of a key given twice the last counts), NaN and infinities text.
pub(crate) fn json(value: &AnyValue) -> Value {
    match &value.value {
        None => Value::Null,
        Some(Any::StringValue(text)) => Value::String(text.clone()),
        Some(Any::BoolValue(truth)) => Value::Bool(*truth),
        Some(Any::IntValue(number)) => Value::Number((*number).into()),
        Some(Any::DoubleValue(number)) => {
            Number::from_f64(*number).map_or_else(|| Value::String(double(*number)), Value::Number)
        }
        Some(Any::ArrayValue(array)) => Value::Array(array.values.iter().map(json).collect()),
        Some(Any::KvlistValue(list)) => Value::Object(object(&list.values)),
        Some(Any::BytesValue(bytes)) => Value::String(STANDARD.encode(bytes)),
        // Only the profiles signal uses indices into a string table; here they mean nothing.
        Some(Any::StringValueStrindex(_)) => Value::Null,
    }
}

/// Key-values as a JSON object.
pub(crate) fn object(values: &[KeyValue]) -> Map<String, Value> {
    values
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Value::Null, json)))
        .collect()
}

/// A scalar as text. A list of one is its element: HTTP headers are recorded as `string[]`.
pub(crate) fn text(value: &AnyValue) -> Option<String> {
    match &value.value {
        Some(Any::StringValue(text)) => Some(text.clone()),
        Some(Any::BoolValue(truth)) => Some(truth.to_string()),
        Some(Any::IntValue(number)) => Some(number.to_string()),
        Some(Any::DoubleValue(number)) => Some(double(*number)),
        Some(Any::ArrayValue(array)) => match array.values.as_slice() {
            [only] => text(only),
            _ => None,
        },
        _ => None,
    }
}

/// A double as ProtoJSON names it: also `NaN`, `Infinity` and `-Infinity`.
fn double(number: f64) -> String {
    if number.is_infinite() {
        let sign = if number < 0.0 { "-" } else { "" };
        return format!("{sign}Infinity");
    }
    number.to_string()
}

/// Anything as text: a string itself, structures as JSON.
pub(crate) fn body_text(value: &AnyValue) -> Option<String> {
    match &value.value {
        None => None,
        Some(Any::StringValue(text)) => Some(text.clone()),
        Some(_) => Some(json(value).to_string()),
    }
}

/// An integer; whole doubles and numbers in text count.
pub(crate) fn integer(value: &AnyValue) -> Option<i64> {
    match &value.value {
        Some(Any::IntValue(number)) => Some(*number),
        Some(Any::DoubleValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Some(*number as i64)
        }
        _ => text(value)?.trim().parse().ok(),
    }
}

/// A truth; `"true"` and `"false"` in any case count.
pub(crate) fn truth(value: &AnyValue) -> Option<bool> {
    match &value.value {
        Some(Any::BoolValue(truth)) => Some(*truth),
        _ => text(value)?.to_ascii_lowercase().parse().ok(),
    }
}
