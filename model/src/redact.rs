//! Secrets, cut out of texts by the shapes they have and the names they stand under.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Names under which secrets stand, as they appear in keys, headers and query strings.
const SECRET_NAMES: &str = "api[_-]?key|access[_-]?key|access[_-]?token|refresh[_-]?token|id[_-]?token|auth[_-]?token|\
     session[_-]?token|bearer[_-]?token|api[_-]?token|security[_-]?token|csrf[_-]?token|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|private[_-]?key|\
     pass(?:word|wd|phrase)|secret|authorization|(?:set-)?cookie|credentials?";

static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let shapes = [
        // Credentials in a header or a message. The scheme stays, for the reader.
        r"\b(?P<scheme>(?i:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}",
        // Keys of well-known services.
        r"\b(?:sk|pk|rk)[-_](?:[A-Za-z]+[-_])*[A-Za-z0-9_-]{16,}",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{20,}",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bnpm_[A-Za-z0-9]{36}|\bhf_[A-Za-z0-9]{30,}",
        // JSON web tokens.
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
        // user:password@ of a URL.
        r"(?P<userinfo>://[^\s/:@]*:)[^\s/@]+@",
    ]
    .join("|");
    // A name, then its value: quoted (also inside JSON inside JSON, also the first of a list) or up to the next
    // delimiter; on a command line a space may stand between them.
    let named = format!(
        r#"(?P<name>(?:^|[^A-Za-z])(?i:{SECRET_NAMES})\\*["']?\s*[:=]\s*|--[A-Za-z-]*(?i:{SECRET_NAMES}|token)\s+|(?:^|[^A-Za-z0-9_-])(?i:token)\\*["']?\s*[:=]\s*)(?P<value>(?:\[\s*)?\\*"[^"\\]+|(?:\[\s*)?\\*'[^'\\]+|(?:(?i:bearer|basic)\s+)?[^"'\\&\s,;{{}}\[\]]+)"#
    );
    // The patterns are constant; the test below compiles them.
    Regex::new(&format!("{shapes}|{named}")).ok()
});

/// The text without the secrets in it; borrowed when there are none.
pub fn redact(text: &str) -> Cow<'_, str> {
    match SECRETS.as_ref() {
        Some(secrets) => secrets.replace_all(text, |found: &Captures<'_>| replacement(found)),
        None => Cow::Borrowed(REDACTED),
    }
}

fn replacement(found: &Captures<'_>) -> String {
    if let Some(scheme) = found.name("scheme") {
        return format!("{}{REDACTED}", scheme.as_str());
    }
    if let Some(userinfo) = found.name("userinfo") {
        return format!("{}{REDACTED}@", userinfo.as_str());
    }
    let (Some(name), Some(value)) = (found.name("name"), found.name("value")) else {
        return REDACTED.to_owned();
    };
    let value = value.as_str();
    // Not a secret: what JSON writes bare, and what is cut already.
    let plain = matches!(value, "null" | "true" | "false") || value.parse::<f64>().is_ok();
    let cut = value.ends_with('…') || value.contains(REDACTED) || value.trim_matches(['\\', '"', '\'']) == "[redacted";
    if plain || cut {
        return format!("{}{value}", name.as_str());
    }
    let quote = value.find(|character: char| !matches!(character, '\\' | '"' | '\'' | '[' | ' ')).unwrap_or(0);
    format!("{}{}{REDACTED}", name.as_str(), value.get(..quote).unwrap_or_default())
}

/// Redacts the text where it stands; whether anything was cut out.
pub fn redact_in_place(text: &mut String) -> bool {
    let changed = match redact(text) {
        Cow::Owned(changed) if changed != *text => changed,
        _ => return false,
    };
    *text = changed;
    true
}

/// Redacts every text below, and whole values that stand under a secret's name.
pub fn redact_object(object: &mut Map<String, Value>) {
    for (name, value) in object {
        match value {
            Value::String(text) if is_secret_name(name) => {
                if !text.ends_with('…') {
                    *text = REDACTED.to_owned();
                }
            }
            other => redact_value(other, name),
        }
    }
}

fn redact_value(value: &mut Value, name: &str) {
    match value {
        Value::String(text) => {
            redact_in_place(text);
        }
        Value::Array(items) if is_secret_name(name) => {
            items.iter_mut().filter(|item| item.is_string()).for_each(|item| *item = REDACTED.into());
        }
        Value::Array(items) => {
            // The arguments of a command: a flag, then its value.
            let mut flag = false;
            for item in items {
                let value_of_flag = std::mem::take(&mut flag);
                match item {
                    Value::String(text) if value_of_flag => *text = REDACTED.to_owned(),
                    Value::String(text) => flag = text.starts_with('-') && is_secret_name(text),
                    _ => {}
                }
                redact_value(item, name);
            }
        }
        Value::Object(object) => redact_object(object),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a value under this name is a secret: the last part of a dotted name counts.
fn is_secret_name(name: &str) -> bool {
    static NAMES: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(&format!(r"(?i)(?:^|[^A-Za-z])(?:{SECRET_NAMES})$|(?i)(?:^|[.-])token$")).ok());
    NAMES.as_ref().is_none_or(|names| names.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_names() {
        let cases = [
            ("Authorization: Bearer abcdef123456", "Authorization: [redacted]"),
            ("sent Bearer abcdef123456", "sent Bearer [redacted]"),
            ("key sk-proj-abcdefghijklmnop1234 used", "key [redacted] used"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
            ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "[redacted]"),
            (r#"{"password":"open sesame","n":1}"#, r#"{"password":"[redacted]","n":1}"#),
            (r#"{"text":"{\"api_key\":\"k-1\"}"}"#, r#"{"text":"{\"api_key\":\"[redacted]\"}"}"#),
            ("https://x.test/cb?access_token=abc&n=1", "https://x.test/cb?access_token=[redacted]&n=1"),
            ("postgres://me:hunter2@db/x", "postgres://me:[redacted]@db/x"),
            ("DB_PASSWORD=hunter2 ok", "DB_PASSWORD=[redacted] ok"),
            (r#"{"token": "abc"}"#, r#"{"token": "[redacted]"}"#),
            (r#"{"x-api-key":["abc"]}"#, r#"{"x-api-key":["[redacted]"]}"#),
            ("server --api-key abc --port 1", "server --api-key [redacted] --port 1"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
            assert_eq!(redact(expected), expected, "redacting twice cuts no more");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            r#"{"progressToken":"p-1","nextPageToken":"n","max_tokens":5,"token":null}"#,
            "token count: 5",
            "looking up order A-1001",
            "the password is required",
            "sk-short",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn objects_are_cut_by_name() {
        let mut object = serde_json::json!({"env": {"API_KEY": "k"}, "http.request.header.cookie": ["a=b"],
            "http.request.header.x-auth-token": "t", "process.command_args": ["node", "--token", "t", "--port", "1"], "n": 1});
        redact_object(object.as_object_mut().unwrap());
        assert_eq!(
            object,
            serde_json::json!({"env": {"API_KEY": REDACTED}, "http.request.header.cookie": [REDACTED],
                "http.request.header.x-auth-token": REDACTED, "process.command_args": ["node", "--token", REDACTED, "--port", "1"],
                "n": 1})
        );
    }
}
