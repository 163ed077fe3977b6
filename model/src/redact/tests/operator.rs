//! Rules that the operator adds: keys, patterns and values.

use serde_json::Value;

use super::fields::check_fields;
use crate::redact::{BadRule, REDACTED, Redactor, Rules, rules};

pub(super) fn with_keys(keys: &[&str]) -> Redactor {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Redactor::new(&Rules {
        keys,
        ..Rules::default()
    })
    .unwrap()
}

pub(super) fn with_values(values: &[(&str, &str)]) -> Redactor {
    let values = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Redactor::new(&Rules {
        values,
        ..Rules::default()
    })
    .unwrap()
}

fn with_patterns(patterns: &[&str]) -> Result<Redactor, BadRule> {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Redactor::new(&Rules {
        patterns,
        ..Rules::default()
    })
}

#[test]
fn keys_of_the_operator_cut_whatever_stands_under_them() {
    let redactor = with_keys(&["ssn", "Date-Of-Birth"]);
    let cases = [
        (r#"{"ssn":"078-05-1120","n":1}"#, r#"{"ssn":"[redacted]","n":1}"#),
        (r#"{"ssn":78051120,"n":1}"#, r#"{"ssn":"[redacted]","n":1}"#),
        (r#"{"ssn":null,"n":1}"#, r#"{"ssn":null,"n":1}"#),
        (
            r#"{"ssn":{"area":"078","group":[5]},"n":[1, 2]}"#,
            r#"{"ssn":"[redacted]","n":[1, 2]}"#,
        ),
        (
            r#"{"a":[{"SSN":[1,"}"]}],"n":1e400}"#,
            r#"{"a":[{"SSN":"[redacted]"}],"n":1e400}"#,
        ),
        (
            r#"{"text":"{\"ssn\":78051120}"}"#,
            r#"{"text":"{\"ssn\":\"[redacted]\"}"}"#,
        ),
        (
            "patient_ssn=1&patientSsn=2&x=3",
            "patient_ssn=[redacted]&patientSsn=[redacted]&x=3",
        ),
        (
            r#"{"date_of_birth":"1","dateOfBirth":"2"}"#,
            r#"{"date_of_birth":"[redacted]","dateOfBirth":"[redacted]"}"#,
        ),
        (r#"{"lessn":"1","ssns":"2"}"#, r#"{"lessn":"1","ssns":"2"}"#),
        (r#"{"password":"p"}"#, r#"{"password":"[redacted]"}"#),
    ];
    for (text, expected) in cases {
        assert_eq!(redactor.redact(text), expected);
        assert_eq!(redactor.redact(expected), expected);
    }
    check_fields(
        &redactor,
        &serde_json::json!({"ssn": 1, "a": {"ssn": {"b": 1}}}),
        &serde_json::json!({"ssn": REDACTED, "a": {"ssn": REDACTED}}),
    );
}

#[test]
fn patterns_of_the_operator_keep_json_what_it_is() {
    let redactor = with_patterns(&["ACME-[0-9]{6}", "[0-9]{13,16}"]).unwrap();
    assert_eq!(redactor.redact("order ACME-123456 paid"), "order [redacted] paid");
    assert_eq!(
        redactor.redact(r#"{"card":4111111111111111, "n": 1.50,"id":"ACME-123456"}"#),
        r#"{"card":"[redacted]", "n": 1.50,"id":"[redacted]"}"#
    );
    let greedy = with_patterns(&["a.*b"]).unwrap();
    assert_eq!(
        greedy.redact(r#"{"x":"ab","y":"cb","z":"a\u0062"}"#),
        r#"{"x":"[redacted]","[redacted]":"[redacted]","z":"[redacted]"}"#
    );
    let whole = with_patterns(&[r#"": *[0-9]{4}\b"#]).unwrap();
    assert_eq!(
        whole.redact(r#"{"pin": 1234, "n": 5, "t": "at 1234"}"#),
        r#"{"[redacted]": "[redacted]", "n": 5, "t": "at 1234"}"#
    );
}

#[test]
fn bad_rules_say_what_is_wrong() {
    let told = |rules: Rules| Redactor::new(&rules).unwrap_err().to_string();
    let unclosed = with_patterns(&["ok", "ab(c"]).unwrap_err().to_string();
    assert!(
        unclosed.contains("\"ab(c\"") && unclosed.contains("unclosed group"),
        "{unclosed}"
    );
    let huge = with_patterns(&["(?:a{1000}){1000}"]).unwrap_err().to_string();
    assert!(huge.contains("a{1000}") && huge.contains("size"), "{huge}");
    let empty = with_patterns(&["x*"]).unwrap_err().to_string();
    assert!(empty.contains("x*") && empty.contains("everywhere"), "{empty}");
    let value = |value: &str| Rules {
        values: vec![("PIN".into(), value.into())],
        ..Rules::default()
    };
    let short = told(value("1234"));
    assert!(
        short.contains("PIN")
            && short.contains("4 bytes")
            && short.contains("at least 6")
            && !short.contains("1234"),
        "{short}"
    );
    assert!(told(value("redacted")).contains("PIN"));
    let key = told(Rules {
        keys: vec![" - ".into()],
        ..Rules::default()
    });
    assert!(key.contains("is no name"), "{key}");
}

#[test]
fn rules_are_counted_by_name() {
    let rules = Rules {
        keys: vec!["ssn".into()],
        patterns: vec!["ACME-[0-9]+".into()],
        values: vec![("API_KEY".into(), "open sesame".into())],
    };
    let redaction = Redactor::new(&rules)
        .unwrap()
        .explain("ssn=1 ACME-1 ACME-2 open sesame open%20sesame password=x ghp_short");
    assert_eq!(
        redaction.text,
        "ssn=[redacted] [redacted] [redacted] [redacted] [redacted] password=[redacted] ghp_short"
    );
    let cuts: Vec<_> = redaction
        .cuts
        .iter()
        .map(|(rule, count)| (rule.as_str(), *count))
        .collect();
    assert_eq!(
        cuts,
        [
            ("key ssn", 1),
            ("pattern ACME-[0-9]+", 2),
            ("value of API_KEY", 2),
            (rules::NAMED, 1)
        ]
    );
}

#[test]
fn values_are_found_in_every_form() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let secret = "p\"a/s\\s wörd&<1>\n+~";
    let redactor = with_values(&[("KEY", secret)]);
    let json = |value: &Value| value.to_string();
    let nested = json(&json(&json(&secret.into()).into()).into());
    for text in [
        secret.to_owned(),
        json(&secret.into()),
        json(&json(&secret.into()).into()),
        nested,
        json(&secret.into()).replace('ö', "\\u00f6"),
        json(&secret.into()).replace('/', "\\/"),
        json(&secret.into())
            .replace('&', "\\u0026")
            .replace('<', "\\u003c")
            .replace('>', "\\u003e"),
        "p%22a%2Fs%5Cs%20w%C3%B6rd%26%3C1%3E%0A%2B~".to_owned(),
        "p%22a%2fs%5cs%20w%c3%b6rd%26%3c1%3e%0a%2b~".to_owned(),
        "p%22a%2Fs%5Cs+w%C3%B6rd%26%3C1%3E%0A%2B%7E".to_owned(),
    ] {
        let redacted = redactor.redact(&text).into_owned();
        assert_eq!(redacted.trim_matches(['"', '\\']), REDACTED, "{text}");
    }
    for before in ["", "u", "us", "user:"] {
        for after in ["", "a", "ab", "abc"] {
            let whole = format!("{before}{secret}{after}");
            for encoded in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                let redacted = redactor.redact(&encoded).into_owned();
                assert!(
                    redacted.contains(REDACTED) && redacted.len() <= REDACTED.len() + 12,
                    "{whole:?}: {redacted}"
                );
            }
        }
    }
    // Overlapping values leave nothing of either.
    let two = with_values(&[("A", "abcdef"), ("B", "defghi"), ("C", "abcdefgh")]);
    assert_eq!(two.redact("<abcdefghi>"), "<[redacted]>");
    check_fields(
        &with_values(&[("N", "123456789"), ("T", "open sesame")]),
        &serde_json::json!({"n": 123_456_789, "t": "x open sesame"}),
        &serde_json::json!({"n": REDACTED, "t": "x [redacted]"}),
    );
}

/// As web pages, .NET and what encodes for itself once more write values.
#[test]
fn values_are_found_in_further_encodings() {
    let upper = |text: &str| -> String {
        text.encode_utf16()
            .map(|unit| {
                let foreign = unit > 126 || "\"\\/&<>'+".contains(char::from(unit as u8));
                let plain = || char::from(unit as u8).to_string();
                if foreign {
                    format!("\\u{unit:04X}")
                } else {
                    plain()
                }
            })
            .collect()
    };
    let entities = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;")
    };
    let numbers = |text: &str| {
        text.chars()
            .map(|c| format!("&#{};", u32::from(c)))
            .collect::<String>()
    };
    let percent = |text: &str, kept: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                byte if kept.contains(char::from(byte)) => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect()
    };
    // As Python has it, with all that is not ASCII escaped.
    let ascii = |text: &str| -> String {
        let json = Value::from(text).to_string();
        json.encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect()
    };
    for secret in [
        "S3cr3t/Va+lue&q",
        "quo\"te\\b'ck<1>",
        "日本語の秘密です",
        "Zwölf Boxkämpfer!",
    ] {
        let redactor = with_values(&[("KEY", secret)]);
        for text in [
            upper(secret),
            entities(secret),
            entities(&entities(secret)),
            numbers(secret),
            percent(secret, "-_.~/"),
            percent(&percent(secret, "-_.~"), "-_.~"),
            ascii(&ascii(&ascii(secret))),
            Value::from(Value::from(Value::from(secret).to_string()).to_string()).to_string(),
        ] {
            let redacted = redactor.redact(&text).into_owned();
            assert_eq!(redacted.trim_matches(['"', '\\']), REDACTED, "{secret}: {text}");
        }
    }
}
