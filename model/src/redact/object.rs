//! Objects of attributes: whole values under a secret's name, and secrets in every other text.

use serde_json::{Map, Value};

use super::named::is_cut;
use super::rules::Found;
use super::{REDACTED, Redactor};

/// Redacts every text below, and whole values that stand under a secret's name.
pub(super) fn redact(redactor: &Redactor, object: &mut Map<String, Value>) {
    // {"name": "API_KEY", "value": "…"}
    let names_secret = object
        .get("name")
        .and_then(Value::as_str)
        .is_some_and(|name| redactor.is_secret_name(name).is_some());
    for (name, value) in object {
        match redactor.is_secret_name(name) {
            _ if names_secret && name == "value" => cut(value),
            Some(Found::Key(_)) => cut_whole(value),
            Some(_) => cut(value),
            None => {}
        }
        redact_value(redactor, value);
    }
}

/// Cuts a value, whatever it is.
fn cut_whole(value: &mut Value) {
    let done = value.is_null() || value.as_str().is_some_and(|text| is_cut(text.as_bytes()));
    if !done {
        *value = REDACTED.into();
    }
}

/// Cuts a text, or each text of a list.
fn cut(value: &mut Value) {
    match value {
        Value::String(text) if !is_cut(text.as_bytes()) => *text = REDACTED.to_owned(),
        Value::Array(items) => items
            .iter_mut()
            .filter(|item| item.is_string())
            .for_each(|item| *item = REDACTED.into()),
        _ => {}
    }
}

fn redact_value(redactor: &Redactor, value: &mut Value) {
    match value {
        Value::String(text) => {
            redactor.redact_in_place(text);
        }
        Value::Array(items) => {
            // The arguments of a command: a flag, then its value.
            let mut flag = false;
            for item in items {
                let value_of_flag = std::mem::take(&mut flag);
                match item {
                    Value::String(text) if value_of_flag => *text = REDACTED.to_owned(),
                    Value::String(text) => {
                        flag = text.starts_with('-') && redactor.is_secret_name(text).is_some();
                    }
                    _ => {}
                }
                redact_value(redactor, item);
            }
        }
        Value::Object(object) => redact(redactor, object),
        // A number may be one of the operator's secrets.
        Value::Number(number) => {
            let text = number.to_string();
            if redactor.redact(&text) != text {
                *value = REDACTED.into();
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
