//! The two scalars of our own, and the way from 64-bit counts to `Int`.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use mcptap_model::UnixNanos;
use serde::Serialize;
use serde_json::Map;
use serde_json::value::RawValue;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime(pub(crate) UnixNanos);

/// A moment in UTC as RFC 3339 text, with as many fractional digits as the sender gave, up to nanoseconds:
/// `2026-11-22T13:20:04.123456789Z`. As input any RFC 3339 time with a time zone is understood, from the year 1678
/// to 2261. Beware that a JavaScript `Date` keeps milliseconds only.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text
                .parse()
                .map(Self)
                .map_err(|error: mcptap_model::InvalidTime| InputValueError::custom(error)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// JSON as text that is known to be JSON.
#[derive(Clone, Debug)]
pub(crate) struct Json(Box<RawValue>);

impl Json {
    /// The text, when it is JSON.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// An object.
    pub(crate) fn object(members: &Map<String, serde_json::Value>) -> Self {
        Self::from_serialize(members).unwrap_or_else(Self::null)
    }

    /// Null, where JSON cannot be missing.
    pub(crate) fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        self.0.get()
    }

    fn from_serialize(value: &impl Serialize) -> Option<Self> {
        serde_json::value::to_raw_value(value).ok().map(Self)
    }
}

/// Any JSON value: an object, a list, a string, a number, a boolean or null. It is passed on as it was sent: integers
/// of any size keep every digit, and object members keep their order.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Self::from_serialize(&value).ok_or_else(|| InputValueError::expected_type(value))
    }

    fn to_value(&self) -> Value {
        async_graphql::to_value(&self.0).unwrap_or_default()
    }
}

/// About how many bytes an object has as text, and in memory at least.
pub(crate) fn json_bytes(members: &Map<String, serde_json::Value>) -> usize {
    fn bytes(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::String(text) => text.len() + 3,
            serde_json::Value::Array(items) => items.iter().map(|item| bytes(item) + 1).sum(),
            serde_json::Value::Object(members) => json_bytes(members),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => 5,
        }
    }
    members
        .iter()
        .map(|(name, value)| name.len() + 4 + bytes(value))
        .sum()
}

/// A count as `Int`, which has 32 bits: beyond 2,147,483,647 it stays there.
pub(crate) fn int(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_survives_both_ways() {
        let text = r#"{"b":[18446744073709551616,9007199254740993,1.10],"a":null,"$serde_json::private::RawValue":"x"}"#;
        let json = Json::from_text(text).unwrap();
        assert_eq!(serde_json::to_string(&json.to_value()).unwrap(), text);
        let parsed =
            Json::parse(Value::from_json(serde_json::json!([9_007_199_254_740_993_u64])).unwrap()).unwrap();
        assert_eq!(parsed.0.get(), "[9007199254740993]");
        assert!(Json::from_text("{\"cut").is_none());
    }

    #[test]
    fn counts_do_not_wrap() {
        assert_eq!((int(7), int(1 << 40)), (7, i32::MAX));
    }
}
