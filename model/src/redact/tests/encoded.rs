//! Secrets in texts in base64, and behind characters that nobody sees.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{SECRET, check, check_gone, check_stays, redact};

/// A piece from the middle of what base64 has.
fn piece(encoded: &str) -> &str {
    let middle = encoded.len() / 2;
    encoded.get(middle..middle + 12).unwrap_or(encoded)
}

#[test]
fn texts_in_base64_are_read() {
    let texts = [
        r#"{"user": "bob", "password": "SECRET"}"#,
        "{\n  \"db\": {\n    \"password\": \"SECRET\"\n  }\n}",
        "user=bob&client_secret=SECRET",
        "HOST=db\nDB_PASSWORD=SECRET\n",
        "db:\n  user: bob\n  password: SECRET\n",
        "X-Api-Key: SECRET",
        "postgres://bob:SECRET@db/x",
    ];
    let mut cases = Vec::new();
    for text in texts {
        let text = text.replace("SECRET", SECRET);
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for encoded in [
            STANDARD.encode(&text),
            STANDARD_NO_PAD.encode(&text),
            URL_SAFE_NO_PAD.encode(&text),
            STANDARD.encode(STANDARD.encode(&text)),
            STANDARD.encode(wide),
        ] {
            for around in [
                encoded.clone(),
                format!("data:text/plain;base64,{encoded}"),
                format!("powershell -enc {encoded} -x"),
                format!("https://x.test/state/{encoded}?a=b"),
                json!({"contents": [{"uri": "file:///x", "blob": encoded}]}).to_string(),
            ] {
                cases.push((piece(&encoded).to_owned(), around));
            }
        }
    }
    let cases: Vec<_> = cases
        .iter()
        .map(|(piece, text)| (piece.as_str(), text.clone()))
        .collect();
    check(&cases);
}

#[test]
fn base64_in_lines_is_read_as_one() {
    let text = json!({"comment": "x".repeat(90), "password": SECRET}).to_string();
    let encoded = STANDARD.encode(text);
    for width in [60, 64, 76] {
        for end in ["\n", "\r\n", "\\n"] {
            let lines: Vec<&str> = encoded
                .as_bytes()
                .chunks(width)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            let text = format!("before\n{}{end}after it", lines.join(end));
            let redacted = redact(&text);
            assert_eq!(
                redacted,
                format!("before\n[redacted]{end}after it"),
                "{width} {end:?}"
            );
        }
    }
}

#[test]
fn base64_of_anything_else_stays() {
    let image: Vec<u8> = (0..300_u32)
        .flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    let texts = [
        STANDARD.encode(r#"{"cursor": 42, "order": "newest first"}"#),
        STANDARD.encode("the password is asked for here, and no token is needed"),
        STANDARD.encode(image),
        "usr/local/lib/python3/site-packages/somewhere/else".to_owned(),
        "AnIdentifierOfManyWordsThatSomebodyWroteInOnePiece".to_owned(),
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
    ];
    check_stays(&texts.each_ref().map(String::as_str));
}

#[test]
fn names_with_characters_that_nobody_sees_are_names() {
    let mut texts = Vec::new();
    for unseen in [
        '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{ad}',
    ] {
        texts.push(format!("pass{unseen}word: SECRET"));
        texts.push(format!("{{\"api{unseen}_key\": \"SECRET\"}}"));
        texts.push(format!(
            "{{\"pass\\u{:04x}word\": \"SECRET\"}}",
            u32::from(unseen)
        ));
        texts.push(format!("x_se{unseen}cret{unseen}=SECRET"));
    }
    check_gone(SECRET, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    // Windows writes UTF-16, whose zeros a reader of bytes keeps.
    let wide = |text: &str| text.chars().flat_map(|letter| [letter, '\0']).collect::<String>();
    let redacted = redact(&wide("password=kV9zQ2mLw7 and more"));
    assert!(!redacted.replace('\0', "").contains(SECRET), "{redacted:?}");
    check_stays(&[
        "a family \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} and a password",
        "soft\u{ad}ware",
    ]);
}
