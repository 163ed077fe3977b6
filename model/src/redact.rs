//! Secrets, cut out of texts by the shapes they have and the names they stand under.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Names under which secrets stand, as they appear in keys, headers and query strings: `api_key`, `X-Api-Key`, and as
/// the last part of another name, `dbPassword`.
static SECRET_NAMES: LazyLock<String> = LazyLock::new(|| {
    let names = [
        "api[_-]?key",
        "access[_-]?key",
        "secret[_-]?(?:access[_-]?)?key",
        "private[_-]?key",
        "(?:access|refresh|id|auth|session|bearer|api|security|csrf)[_-]?token",
        "client[_-]?secret",
        "secret",
        "pass(?:word|wd|phrase)",
        "authorization",
        "cookie",
        "credentials?",
    ];
    let humps = "(?:Api|Access|Secret|Private)[_-]?Key|(?:Access|Auth|Api|Refresh)[_-]?Token|Secret|Pass(?:word|wd|phrase)";
    format!("(?:(?:^|[^A-Za-z])(?i:{})|[a-z](?:{humps}))", names.join("|"))
});

/// How the value of an authorization begins, where another word follows.
const SCHEMES: &str = "bearer|basic|digest|negotiate|token|api-?key|key";
/// A value in quotes, without the last one.
const QUOTED: &str = concat!(
    r#""(?:[^"\\]|\\.)+|'(?:[^'\\]|\\.)+"#,
    // In JSON inside JSON an escape begins with two backslashes.
    r#"|\\"(?:[^"\\]|\\\\(?:\\["\\]|[^"\\]))+"#,
    r#"|\\{2,}"[^"\\]+|\\+'[^'\\]+"#,
);
/// A value that ends at the next delimiter.
const BARE: &str = r#"[^"'\\&\s,;{}\[\]]+"#;

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
    // A name, then its value: quoted (also inside JSON inside JSON, also a list) or up to the next delimiter, with the
    // word that names an authorization's scheme; on a command line a space may stand between them.
    let names = SECRET_NAMES.as_str();
    let named = format!(
        r#"(?P<name>{names}\\*["']?\s*[:=]\s*|-(?:-[A-Za-z]+)*(?:{names}|-(?i:token))\s+|(?:^|[^A-Za-z0-9_-])(?i:token)\\*["']?\s*[:=]\s*)(?P<value>(?:\[\s*(?:(?:{QUOTED})\\*["']\s*,\s*)*)?(?:{QUOTED})|(?:(?i:{SCHEMES})\s+)?{BARE})"#
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
    let cut = value.ends_with('…')
        || value.contains(REDACTED)
        || value.trim_matches(['\\', '"', '\'']) == "[redacted";
    if plain || cut {
        return format!("{}{value}", name.as_str());
    }
    let quote = value
        .find(|character: char| !matches!(character, '\\' | '"' | '\'' | '[' | ' '))
        .unwrap_or(0);
    format!(
        "{}{}{REDACTED}",
        name.as_str(),
        value.get(..quote).unwrap_or_default()
    )
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
            items
                .iter_mut()
                .filter(|item| item.is_string())
                .for_each(|item| *item = REDACTED.into());
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
        LazyLock::new(|| Regex::new(&format!("{}$|(?i:^|[.-])(?i:token)$", SECRET_NAMES.as_str())).ok());
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
            (
                r#"{"password":"open sesame","n":1}"#,
                r#"{"password":"[redacted]","n":1}"#,
            ),
            (
                r#"{"text":"{\"api_key\":\"k-1\"}"}"#,
                r#"{"text":"{\"api_key\":\"[redacted]\"}"}"#,
            ),
            (
                "https://x.test/cb?access_token=abc&n=1",
                "https://x.test/cb?access_token=[redacted]&n=1",
            ),
            ("postgres://me:hunter2@db/x", "postgres://me:[redacted]@db/x"),
            ("DB_PASSWORD=hunter2 ok", "DB_PASSWORD=[redacted] ok"),
            (r#"{"token": "abc"}"#, r#"{"token": "[redacted]"}"#),
            (
                "Authorization: ApiKey abc-1, then",
                "Authorization: [redacted], then",
            ),
            (
                r#"{"password":"a\"b\\c\n","n":1}"#,
                r#"{"password":"[redacted]","n":1}"#,
            ),
            (
                r#"{"t":"{\"password\":\"a\\\"b\\n\",\"n\":1}"}"#,
                r#"{"t":"{\"password\":\"[redacted]\",\"n\":1}"}"#,
            ),
            (r"password='it\'s me' ok", "password='[redacted]' ok"),
            (
                r#"{"dbPassword":"abc","githubApiKey": "d"}"#,
                r#"{"dbPassword":"[redacted]","githubApiKey": "[redacted]"}"#,
            ),
            (
                "run --db-password abc --dbPassword abc --bot-token d",
                "run --db-password [redacted] --dbPassword [redacted] --bot-token [redacted]",
            ),
            ("x-amz-security-token: abc", "x-amz-security-token: [redacted]"),
            (r#"{"x-api-key":["abc"]}"#, r#"{"x-api-key":["[redacted]"]}"#),
            (
                r#"{"x-api-key":["abc", "de\"f"],"n":["g"]}"#,
                r#"{"x-api-key":["[redacted]"],"n":["g"]}"#,
            ),
            (
                "server --api-key abc --port 1",
                "server --api-key [redacted] --port 1",
            ),
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
            "a well-known-secret sauce",
            "compassWord: north",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn objects_are_cut_by_name() {
        let mut object = serde_json::json!({"env": {"API_KEY": "k", "userPassword": "p"}, "http.request.header.cookie": ["a=b"],
            "http.request.header.x-auth-token": "t", "process.command_args": ["node", "--token", "t", "--port", "1"], "n": 1});
        redact_object(object.as_object_mut().unwrap());
        assert_eq!(
            object,
            serde_json::json!({"env": {"API_KEY": REDACTED, "userPassword": REDACTED}, "http.request.header.cookie": [REDACTED],
                "http.request.header.x-auth-token": REDACTED, "process.command_args": ["node", "--token", REDACTED, "--port", "1"],
                "n": 1})
        );
    }
}
