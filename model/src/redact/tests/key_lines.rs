//! Private keys that come line by line, and passwords in the line below their names.

use serde_json::json;

use super::redact;
use crate::redact::{Redactor, Sequence, Tree};

/// A key: its first line, full lines of base64, a shorter one, its last line.
fn key(length: usize) -> Vec<String> {
    let drawn: String = "aZ3xQ9kT7wB+mC5vR8nD2pF/sG4hJ0yLuE1iO6"
        .chars()
        .cycle()
        .take(4 * length + 20)
        .collect();
    let mut lines = vec!["-----BEGIN RSA PRIVATE KEY-----".to_owned()];
    lines.extend((0..4).map(|line| drawn[line * length..(line + 1) * length].to_owned()));
    lines.push(format!("{}==", &drawn[4 * length..]));
    lines.push("-----END RSA PRIVATE KEY-----".to_owned());
    lines
}

fn assert_none(text: &str, lines: &[String]) {
    for line in &lines[1..lines.len() - 1] {
        assert!(!text.contains(line.trim_end_matches('=')), "{line} in {text}");
    }
}

#[test]
fn each_line_is_cut_where_it_is_a_text_of_its_own() {
    for length in [64, 70] {
        let lines = key(length);
        let items: Vec<_> = lines
            .iter()
            .map(|line| json!({"type": "text", "text": line}))
            .collect();
        let rows: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(n, text)| json!({"n": n, "text": text}))
            .collect();
        for text in [
            json!({ "content": items }).to_string(),
            json!({ "rows": rows, "n": 1 }).to_string(),
            lines[2..].join("\n"),
        ] {
            let redacted = redact(&text);
            assert_none(&redacted, &lines);
            assert_eq!(redact(&redacted), redacted);
            if text.starts_with('{') {
                serde_json::from_str::<serde_json::Value>(&redacted).unwrap();
            }
        }
    }
}

#[test]
fn lines_are_cut_that_come_one_after_the_other() {
    let redactor = Redactor::default();
    for before in ["", "2026-11-29 12:00:00 INFO ", "\t"] {
        // Each as printed, and from the middle on.
        for from in [0, 2] {
            let lines = key(64);
            let mut sequence = Sequence::default();
            let mut said = String::new();
            for line in &lines[from..] {
                let mut line = format!("{before}{line}");
                sequence.redact(&redactor, &mut line);
                said.push_str(&line);
                said.push('\n');
            }
            assert_none(&said, &lines);
            assert!(said.contains("END RSA"), "{said}");
            let mut next = "order4711 is looked up".to_owned();
            assert!(!sequence.redact(&redactor, &mut next), "{next}");
        }
    }
}

#[test]
fn a_password_in_the_line_below_its_name_is_cut() {
    let redactor = Redactor::default();
    let mut sequence = Sequence::default();
    let mut lines = [
        "INFO Enter password:",
        "kV9zQ2mLw7",
        "kV9zQ2mLw8",
        "Password:",
        "Login succeeded",
    ]
    .map(str::to_owned);
    for line in &mut lines {
        sequence.redact(&redactor, line);
    }
    assert_eq!(
        lines,
        [
            "INFO Enter password:",
            "[redacted]",
            "kV9zQ2mLw8",
            "Password:",
            "Login succeeded"
        ]
    );
    assert_eq!(
        redact("password:\n  kV9zQ2mLw7\nuser: b"),
        "password:\n  [redacted]\nuser: b"
    );
    let yaml = "password:\n  type2: string\nsecret:\n  - name1: x";
    assert_eq!(redact(yaml), yaml);
}

#[test]
fn what_looks_like_a_line_of_a_key_and_is_none_stays() {
    let lines = key(64);
    let line = &lines[1];
    for text in [
        format!("-----BEGIN CERTIFICATE-----\n{line}\n{line}\n-----END CERTIFICATE-----"),
        format!("-----BEGIN PUBLIC KEY-----\n{line}\n-----END PUBLIC KEY-----"),
        format!("sha384-{line}"),
        format!("\"integrity\": \"sha384-{line}\""),
        super::hex(64),
        format!("data:image/png;base64,{line}"),
        format!("{line}{line}{line}"),
        "https://x.test/aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yLaZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yLa".to_owned(),
        // Lines of mail: images and other attachments.
        format!("{0}\n{0}\n{0}=\n", &format!("{line}{line}")[..76]),
    ] {
        assert_eq!(redact(&text), text);
    }
}

#[test]
fn paths_and_names_as_long_as_a_line_of_a_key_stay() {
    let path = "usr/local/lib/python3/site/packages/Django/contrib/admin/template";
    let name = "shouldReturnTheFirst2ResultsOfTheQueryWhenItIsSortedByTheirNames";
    for text in [path.get(..64).unwrap(), name] {
        assert_eq!(text.len(), 64);
        for text in [
            text.to_owned(),
            format!("see \"{text}\"\n"),
            format!("{text}\nok"),
        ] {
            assert_eq!(redact(&text), text);
        }
    }
}

#[test]
fn a_certificate_without_an_end_hides_no_key_behind_it() {
    let lines = key(64);
    let text = format!(
        "-----BEGIN CERTIFICATE-----\nand so on\n{}\n{}\n",
        lines[1], lines[2]
    );
    let cut = redact(&text);
    assert!(!cut.contains(&lines[1]) && !cut.contains(&lines[2]), "{cut}");
}

#[test]
fn lines_of_a_key_are_cut_whatever_a_logger_puts_around_them() {
    let redactor = Redactor::default();
    for (before, after) in [
        ("level=info msg=", ""),
        ("\u{1b}[32m", "\u{1b}[0m"),
        ("[", "]"),
        ("# ", ""),
        ("* ", ";"),
        ("1. ", ","),
        ("line7=", ""),
    ] {
        let mut sequence = Sequence::default();
        for line in key(64) {
            let mut text = format!("{before}{line}{after}");
            sequence.redact(&redactor, &mut text);
            let is_mark = line.starts_with("-----");
            assert!(is_mark || !text.contains(&line), "{text}");
        }
    }
}

#[test]
fn who_only_mentions_the_head_of_a_key_loses_few_words() {
    let redactor = Redactor::default();
    let mut sequence = Sequence::default();
    let mut first = "expected -----BEGIN PRIVATE KEY----- in the file".to_owned();
    sequence.redact(&redactor, &mut first);
    for number in 0..20 {
        let line = format!("request {number} of trace 4bf92f3577b34da6a3ce929d0e0e4736");
        let mut text = line.clone();
        sequence.redact(&redactor, &mut text);
        assert_eq!(text, line);
    }
    let name = "starting module Http2ConnectionPool7";
    let mut text = name.to_owned();
    sequence.redact(&redactor, &mut text);
    assert_eq!(text, name);
}

#[test]
fn one_line_alone_is_a_hash_or_a_cursor() {
    let line = key(64).swap_remove(2);
    for text in [
        line.clone(),
        format!("etag: \"{line}\""),
        format!("integrity=sha384-{line}"),
        json!({ "nextCursor": line }).to_string(),
        json!({"items": [{"etag": line}, {"etag": line}], "nextCursor": line}).to_string(),
    ] {
        assert_eq!(redact(&text), text);
    }
    let first = format!("MIIEvQ{}", &line[6..]);
    assert_eq!(redact(&first), "[redacted]");
    let mut fields = [(
        "lines".to_owned(),
        Tree::List(vec![Tree::Text(line.clone()), Tree::Text(line)]),
    )];
    assert!(Redactor::default().redact_fields::<Tree>(&mut fields));
}

#[test]
fn a_whole_key_in_a_loggers_marks_is_cut() {
    for (before, after) in [
        ("2026-11-29T12:00:00.123Z INFO ", ""),
        ("I1129 12:00:00.000000       1 main.go:12] ", ""),
        ("app-1  | ", ""),
        ("# ", ""),
        ("+", ""),
        ("\u{1b}[32m", "\u{1b}[0m"),
        ("{\"level\":\"info\",\"msg\":\"", "\"}"),
        ("    \"", "\\n\" +"),
        ("[pid 12] ", "; ok"),
    ] {
        let lines = key(64);
        let text: Vec<_> = lines
            .iter()
            .map(|line| format!("{before}{line}{after}"))
            .collect();
        let redacted = redact(&text.join("\n"));
        assert_none(&redacted, &lines);
        assert_eq!(redact(&redacted), redacted);
    }
}
