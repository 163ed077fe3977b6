//! Time grows with the length of a text and no faster, whatever the text: counted in looks at bytes, not in seconds.

use std::collections::HashSet;

use serde_json::json;

use super::fields::check_fields;
use super::redact;
use crate::redact::Redactor;
use crate::redact::bytes::looks;
use crate::redact::names::Kind;
use crate::redact::triggers::{self, Trigger};

/// How often a byte may be looked at, over all passes.
const MOST: usize = 160;

/// Texts between two beginnings of secrets.
const BETWEEN: &[&str] = &[
    "",
    " ",
    "-",
    "_",
    ".",
    "=",
    ":",
    ": ",
    "=\"",
    "\":\"",
    "\\\":\\\"",
    "&",
    "/",
    ",",
    "[",
    "[\"",
    "\",\"",
    ">",
    "<",
    "%20",
    "\n",
    "+",
    "@",
    ";",
    "; ",
    " a=b;",
    ": a=b;",
    ":a=b; ",
    "a",
    "A",
    "0",
    "aB",
    "\\",
    "--",
    "=[\"\",",
    "\",\"value\":\"",
];

fn check(text: &str) {
    let redactor = Redactor::default();
    let looks = looks::of(|| drop(redactor.redact(text)));
    let start: String = text.chars().take(40).collect();
    assert!(
        looks <= MOST * text.len(),
        "{start:?}… of {} bytes: {} looks a byte",
        text.len(),
        looks / text.len()
    );
}

/// The beginnings of secrets, each way of looking once: all spellings of names are looked at alike.
fn beginnings() -> Vec<String> {
    let (literals, triggers) = triggers::built_in();
    let mut seen = HashSet::new();
    let each = literals.into_iter().zip(triggers);
    each.filter(|(literal, trigger)| match trigger {
        Trigger::Name(Kind::Secret, _) => {
            ["secret", "client-secret", "cookie", "authorization"].contains(&literal.as_str())
        }
        Trigger::Shape(index, _) => seen.insert(*index),
        _ => true,
    })
    .map(|(literal, _)| literal)
    .collect()
}

#[test]
fn beginnings_of_secrets_repeated() {
    for literal in beginnings() {
        for between in BETWEEN {
            let part = format!("{literal}{between}");
            check(&part.repeat(6144 / part.len()));
        }
        let part = format!("{literal} ");
        check(&part.repeat(6144 / part.len()));
    }
}

#[test]
fn beginnings_of_secrets_mixed() {
    let (literals, _) = triggers::built_in();
    // A fixed generator: the same texts each time.
    let mut state = 7_usize;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..40 {
        let few: Vec<usize> = (0..3).map(|_| next(literals.len())).collect();
        let joints: Vec<usize> = (0..2).map(|_| next(BETWEEN.len())).collect();
        let mut text = String::new();
        while text.len() < 64 << 10 {
            text.push_str(&literals[few[next(3)]]);
            text.push_str(BETWEEN[joints[next(2)]]);
        }
        check(&text);
    }
}

#[test]
fn a_mebibyte_of_each_that_was_slow() {
    for part in [
        "sk-",
        "xoxb-",
        "pk-sk-",
        "cookie: a=b;",
        "bearer-",
        "_sig=",
        "basic.",
        "sk-a ",
        "eyJ",
        "://a:",
        "token=",
        "_sig=_sig=",
        "bearer-bearer-",
    ] {
        check(&part.repeat((1 << 20) / part.len()));
    }
}

#[test]
fn nothing_is_read_again_for_every_name_or_quote_in_it() {
    // Quotes that are escaped, and no string for the end of the line behind them.
    check(&format!("\"password\",{}\n", "\\\"".repeat(1 << 18)));
    // Backslashes that escape nothing.
    check(&format!("\\/{}", "\\".repeat(1 << 19)));
    // Blocks of YAML inside one another.
    let lines = (0..1000).map(|depth| format!("{}password: |\n", " ".repeat(depth)));
    check(&lines.collect::<String>());
    // Names in one element that never ends.
    check(&"name='password' x>".repeat(1 << 14));
}

#[test]
fn objects_in_lists_under_names_of_secrets_are_read_once() {
    // Twice at each level would never end.
    let nested = (0..60).fold(json!({"n": 1}), |value, _| json!({"password": [value]}));
    check_fields(&Redactor::default(), &nested, &nested);
}

#[test]
fn hostile_texts_take_no_longer_than_others() {
    // Each would take minutes if anything were read once for every beginning in it.
    for part in [
        "sk-",
        "sk-1",
        "eyJ-",
        "eyJ-.",
        "secret=",
        "secret=\"",
        "\\\"secret\\\":\\\"",
        "bearer+",
        "sig=",
        "://a:",
        "-----BEGIN PRIVATE KEY-----",
        "AKIAIOSFODNN7QT5LX2K ",
        "--token ",
        "a.bcdefg",
        "password='",
        "cookie: a=1; ",
        "key-",
        "\\",
        "secret=[\"a\",",
        "Bearer 1",
        "password",
        "xoxb-",
        "://:@",
    ] {
        let text = part.repeat((1 << 17) / part.len());
        let redacted = redact(&text);
        assert_eq!(redact(&redacted), redacted, "{part}");
        redact(&format!("{text}…"));
    }
}

#[test]
fn eight_times_the_text_takes_eight_times_the_looks() {
    for part in [
        "value: a1b2c3d4 name: password ",
        "name=pwd",
        "<value>a1b2c3d4</value><name>password</name>",
        "{\"secrets\":{",
        "secrets:\n  ",
        "[secrets]\n",
        "insert into t (password) values ('",
        "insert into t (password,",
        "INTO t (password) VALUES ('a','",
        "name,password\n",
        "password|",
        "a,\"password\n",
        "[\"password\",",
        "[\"password\",\"a\"],",
        "password = \"\"\"",
        "password = 'a''b",
        "password: \"a\" + ",
        "\u{1b}[31mpassword",
        "a=b; HttpOnly",
        "Cookie{Name:",
        "basicauth('",
        "machine login password ",
        ":5432:a:b:",
        "PWD={;",
        "MIIE",
        "setPassword(",
        "a, password, ",
    ] {
        let redactor = Redactor::default();
        let of = |length: usize| {
            let text = part.repeat(length / part.len());
            looks::of(|| drop(redactor.redact(&text)))
        };
        let (one, eight) = (of(1 << 13), of(1 << 16));
        assert!(eight <= 10 * one, "{part:?}: {one}, then {eight}");
    }
}
