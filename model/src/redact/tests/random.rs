//! Properties of any text, checked on random texts made of what the rules look for.

use proptest::prelude::*;
use serde_json::Value;

use super::operator::with_values;
use crate::redact::{REDACTED, Redactor, Rules};

/// Texts made of what rules look for, so that every border between them is met.
fn pieces() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "password",
        "secret",
        "api_key",
        "token",
        "Cookie",
        "ssn",
        "Bearer ",
        "Basic ",
        "://",
        "me:",
        "@",
        "=",
        ":",
        ": ",
        "\"",
        "'",
        "\\",
        "\\\"",
        "\n",
        "[",
        "]",
        "{",
        "}",
        ",",
        ";",
        " ",
        "…",
        "null",
        "12",
        "--",
        "-",
        "%22",
        "%3D",
        "[redacted]",
        "eyJ",
        ".",
        "sk-",
        "AKIAIOSFODNN7QT5LX2K",
        "abc",
        "Zx9",
        "hunter2secret",
        "<",
        ">",
        "sig=",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "ö",
        "\u{0}",
    ])
    .prop_map(str::to_owned);
    let random = "[a-zA-Z0-9+/_-]{1,40}";
    prop::collection::vec(prop_oneof![4 => fixed, 1 => random], 0..24).prop_map(|parts| parts.concat())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from(4_111_111_111_111_111_u64)),
        pieces().prop_map(Value::from),
    ];
    let name = prop_oneof![
        pieces(),
        prop::sample::select(vec!["password", "ssn", "token", "value", "name", "x"]).prop_map(str::to_owned)
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner.clone()), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

/// Every kind of rule at once.
fn everything() -> Redactor {
    Redactor::new(&Rules {
        keys: vec!["ssn".into()],
        patterns: vec!["[0-9]{13,16}".into(), "x.*9".into()],
        values: vec![
            ("A".into(), "hunter2secret".into()),
            ("B".into(), "me:secret".into()),
        ],
    })
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn redacting_twice_is_redacting_once(text in pieces()) {
        let redactor = everything();
        let once = redactor.redact(&text).into_owned();
        let twice = redactor.redact(&once).into_owned();
        prop_assert_eq!(&twice, &once);
    }

    #[test]
    fn json_stays_json(value in json()) {
        let text = value.to_string();
        for redactor in [Redactor::default(), everything()] {
            let once = redactor.redact(&text).into_owned();
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&once).is_ok(), "{} became {}", text, once);
            let twice = redactor.redact(&once).into_owned();
            prop_assert_eq!(&twice, &once);
        }
    }

    #[test]
    fn a_planted_value_is_nowhere_in_the_output(
        secret in "[ -~äöü]{6,24}", before in pieces(), after in pieces(), wrap in 0..5_usize
    ) {
        prop_assume!(!REDACTED.contains(&secret) && secret.len() >= 6);
        let redactor = with_values(&[("S", &secret)]);
        let mut text = format!("{before}{secret}{after}");
        for _ in 0..wrap.min(3) {
            text = serde_json::json!({ "text": text, "n": 1 }).to_string();
        }
        let redacted = redactor.redact(&text).into_owned();
        prop_assert!(!redacted.contains(&secret), "{} still holds {}", redacted, secret);
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        everything().redact(&text);
    }
}
