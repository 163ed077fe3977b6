//! Tests of redaction. Samples of tokens are put together here, so that no scanner takes these files for a leak.

mod columns;
mod containers;
mod encoded;
mod fields;
mod harmless;
mod hidden;
mod key_lines;
mod linear;
mod names;
mod operator;
mod phrases;
mod random;
mod records;
mod rule_sets;
mod schemas;
mod source;
mod structures;
mod tokens;
mod wires;

use serde_json::{Value, json};

use super::Redactor;

fn redact(text: &str) -> String {
    Redactor::default().redact(text).into_owned()
}

/// Letters and digits as services draw them, `length` of them.
fn drawn(length: usize) -> String {
    "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL"
        .chars()
        .cycle()
        .take(length)
        .collect()
}

fn hex(length: usize) -> String {
    "3f9a1c7be2d4806b5a".chars().cycle().take(length).collect()
}

/// A secret that looks drawn by lot.
const SECRET: &str = "kV9zQ2mLw7";
/// A secret that could be a word.
const WORD: &str = "swordfish";

/// Each text after what must be gone from it; again in a string of JSON.
fn check(cases: &[(&str, String)]) {
    let mut left = Vec::new();
    for (secret, text) in cases {
        assert!(text.contains(secret), "{secret} in {text}");
        let in_json = json!({"content": [{"type": "text", "text": text}]}).to_string();
        for text in [text, &in_json] {
            let redacted = redact(text);
            if redacted.contains(secret) {
                left.push(format!("{text}\n  became {redacted}"));
            }
            assert_eq!(redact(&redacted), redacted, "redacting twice cuts no more");
            if serde_json::from_str::<Value>(text).is_ok() {
                serde_json::from_str::<Value>(&redacted).unwrap();
            }
        }
    }
    assert!(left.is_empty(), "{} left:\n{}", left.len(), left.join("\n"));
}

/// The secret is gone from each text, also where it is a string of JSON.
fn check_gone(secret: &str, texts: &[&str]) {
    let cases: Vec<_> = texts
        .iter()
        .map(|text| (secret, text.replace("SECRET", secret)))
        .collect();
    check(&cases);
}

/// Nothing of these texts is cut, also where each is a string of JSON.
fn check_stays(texts: &[&str]) {
    let mut cut = Vec::new();
    for text in texts {
        let in_json = json!({ "text": text }).to_string();
        for text in [(*text).to_owned(), in_json] {
            let redacted = redact(&text);
            if redacted != text {
                cut.push(format!("{text}\n  became {redacted}"));
            }
        }
    }
    assert!(cut.is_empty(), "{} cut:\n{}", cut.len(), cut.join("\n"));
}
