//! Secrets in the escapes, structures and names in which they are met.

use serde_json::Value;

use super::{drawn, redact};

/// Texts, each after the secret that must be gone from it.
fn hidden() -> Vec<(&'static str, String)> {
    let of = |secret: &'static str, text: &str| (secret, text.to_owned());
    let mut texts = vec![
        // Escapes as .NET, Gson, Go and PHP write them.
        of(
            "longsecret1",
            r#"{"text":"{\u0022password\u0022: \u0022longsecret1\u0022}"}"#,
        ),
        of(
            "IJKL5mnop",
            r#"{"text":"AccountKey=abcd1234EFGH\u002BIJKL5mnop=="}"#,
        ),
        of("efgh5678", r#"{"text":"Bearer abcd1234\u002Befgh5678"}"#),
        of("longsecret1", r#"{"text":"password\u003Dlongsecret1"}"#),
        of(
            "longsecret1",
            r#"{"text":"{\u0027password\u0027: \u0027longsecret1\u0027}"}"#,
        ),
        of("longsecret1", r#"{"url":"postgres:\/\/u:longsecret1@h\/db"}"#),
        of("longsecret1", r#"{"p\u0061ssword":"longsecret1"}"#),
        of(
            "longsecret1",
            r#"{"a":"{\"b\":\"{\\\"password\\\":\\\"longsecret1\\\"}\"}"}"#,
        ),
        of(
            "longsecret1",
            r#"{"a":"{\"b\":\"{\\u0022password\\u0022:\\u0022longsecret1\\u0022}\"}"}"#,
        ),
        of(
            "longsecret1",
            r#"{"text":"{\u0022password\u0022: \u0022longsecret1\u0022}, cut"#,
        ),
        of(
            "longsecret1",
            r"sent {\u0022password\u0022: \u0022longsecret1\u0022}",
        ),
        // Addresses and HTML.
        of("longsecret1", "state=%7B%22password%22%3A%22longsecret1%22%7D"),
        of("longsecret1", "x=%2522password%2522%253A%2522longsecret1%2522"),
        of("longsecret1", "to=postgres%3A%2F%2Fu%3Alongsecret1%40h"),
        of("longsecret1", "q=--password%20longsecret1"),
        of("longsecret1", "<p>password&#61;longsecret1</p>"),
        of("longsecret1", "&lt;password&gt;longsecret1&lt;/password&gt;"),
        of("longsecret1", "{&quot;password&quot;:&quot;longsecret1&quot;}"),
        // Structures.
        of("longsecret1", r#"[["Accept","x"],["X-Api-Key","longsecret1"]]"#),
        of(
            "longsecret1",
            r#"{"headers":["authorization","Bearer longsecret1"]}"#,
        ),
        of(
            "longsecret1",
            r#"{"rawHeaders":["Host","x","X-Api-Key","longsecret1","Accept","y"]}"#,
        ),
        of("longsecret1", r#"{"value":"longsecret1","name":"X-Api-Key"}"#),
        of(
            "longsecret1",
            r#"{"name":"API_KEY","description":"d","value":"longsecret1"}"#,
        ),
        of(
            "longsecret1",
            r#"{"key":"password","value":{"stringValue":"longsecret1"}}"#,
        ),
        of("longsecret1", r#"{"password":{"value":"longsecret1"}}"#),
        of("12345678", r#"{"password":12345678}"#),
        of("12345678", r#"{"passwords":["a1",12345678]}"#),
        of("longsecret1", r#"{"passwords":["longsecret1","longsecret2"]}"#),
        of("longsecret1", r#"("password", "longsecret1")"#),
        of("longsecret1", r"[('password', 'longsecret1')]"),
        of("longsecret1", r#"Header { password: Some("longsecret1") }"#),
        of(
            "longsecret1",
            "db:\n  password: |\n    longsecret1\n    more\n  host: x",
        ),
        of(
            "longsecret1",
            r#"{"text":"db:\n  password: >-\n    longsecret1\n  host: x"}"#,
        ),
        of("longsecret1", "env:\n- name: PASSWORD\n  value: longsecret1\n"),
        of(
            "longsecret1",
            "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nlongsecret1\r\n--b--",
        ),
        of(
            "longsecret1",
            r#"{"body":"--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nlongsecret1\r\n--b--"}"#,
        ),
        of(
            "longsecret1",
            r#"<input type="password" name="password" value="longsecret1">"#,
        ),
        of("longsecret1", r#"<entry key="password">longsecret1</entry>"#),
        of(
            "longsecret1",
            r#"Authorization: Digest username="me", realm="x", response="longsecret1""#,
        ),
        of("longsecret1", "machine x.test login me password longsecret1"),
        of("longsecret1", "curl -u me:longsecret1 https://x.test"),
        of("longsecret1a2b3c4d5", "https://longsecret1a2b3c4d5@x.test/y"),
        // Names.
        of("longsecret1", "pwd=longsecret1"),
        of("longsecret1", r#"{"pass":"longsecret1","DB_PASS":"longsecret1"}"#),
        of(
            "longsecret1",
            r#"{"my_token":"longsecret1","myToken":"longsecret1"}"#,
        ),
        of("longsecret1", "X-Vault-Token: longsecret1"),
        of("longsecret1", "//registry.npmjs.org/:_auth=longsecret1"),
        of("dXNlcjpwYXNz", r#"{"auths":{"ghcr.io":{"auth":"dXNlcjpwYXNz"}}}"#),
        of("longsecret1", "GET /cb?code=longsecret1&state=x"),
        of(
            "longsecret1",
            "grant_type=authorization_code&code=longsecret1&code_verifier=other",
        ),
        of(
            "longsecret1",
            r#"{"grant_type":"authorization_code","code":"longsecret1"}"#,
        ),
        of("longsecret1", "code_verifier=longsecret1"),
        of(
            "longsecret1",
            r#"{"client_assertion":"longsecret1","SAMLResponse":"longsecret1"}"#,
        ),
        of("longsecret1", "API key: longsecret1"),
        of("longsecret1", "JSESSIONID=longsecret1; Path=/"),
        of("swordfish", "curl -H 'X-Api-Key: swordfish' https://x.test"),
        of("swordfish", "https://x.test/a?token=swordfish&n=1"),
        of("swordfish", "password: swordfish\nhost: x"),
        of("1234", r#"{"pin":1234,"n":1}"#),
        of("123", "cvv=123&n=1"),
        // Cards.
        of("4111111111111111", "card 4111111111111111 charged"),
        of("4111", "card 4111 1111 1111 1111, thanks"),
        of("378282246310005", r#"{"number":378282246310005}"#),
    ];
    // Borders.
    let token = ["gh", "p_", &drawn(36)].concat();
    for before in [
        "tool_",
        "x",
        "\u{1b}[31m",
        "\\u001b[1;31m",
        "\\x1b[31m",
        "\\033[0m",
        "{\"text\":\"\\u001b[31m",
    ] {
        texts.push(("aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL", format!("{before}{token} ok")));
    }
    texts.push((
        "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL",
        format!("the key mcptap_{} works", drawn(43)),
    ));
    texts.push((
        "hunter2secret",
        "\u{1b}[1mpassword: hunter2secret\u{1b}[0m".to_owned(),
    ));
    let encrypted = [
        "ey",
        "JhbGciOiJkaXIifQ..",
        &drawn(16),
        ".",
        &drawn(30),
        ".",
        &drawn(22),
    ]
    .concat();
    texts.push(("aZ3xQ9kT7wB1mC5v", format!("sent {encrypted} there")));
    // A key written as a list of lines.
    let line = drawn(64);
    let lines = [
        "-----BEGIN PRIVATE KEY-----",
        &line,
        &line,
        "-----END PRIVATE KEY-----",
    ];
    texts.push((
        "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL",
        serde_json::json!({ "key": lines }).to_string(),
    ));
    texts.push((
        "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL",
        lines.map(|line| format!("'{line}\\n' +\n")).concat(),
    ));
    texts
}

#[test]
fn secrets_are_found_in_any_form() {
    let mut left = Vec::new();
    for (secret, text) in hidden() {
        let redacted = redact(&text);
        if redacted.contains(secret) {
            left.push(format!("{text}\n  became {redacted}"));
        } else if serde_json::from_str::<Value>(&text).is_ok() {
            assert!(
                serde_json::from_str::<Value>(&redacted).is_ok(),
                "{text} became {redacted}"
            );
        }
        assert_eq!(redact(&redacted), redacted, "redacting twice cuts no more");
    }
    assert!(left.is_empty(), "{} left:\n{}", left.len(), left.join("\n"));
}

#[test]
fn colours_hide_nothing() {
    let texts = [
        "\u{1b}[31mpassword\u{1b}[0m=SECRET",
        "\u{1b}[36mpassword\u{1b}[0m\u{1b}[2m=\u{1b}[0m\u{1b}[32mSECRET\u{1b}[0m",
        "\u{1b}[33m\"password\"\u{1b}[0m: \u{1b}[32m\"SECRET\"\u{1b}[0m",
        "\u{1b}[38;5;208mpassword\u{1b}[m=SECRET",
        "\u{1b}[Kpassword=SECRET",
        "\\x1b[31mpassword\\x1b[0m=SECRET",
        "\\u001b[31mpassword\\u001b[0m=SECRET",
        "\\033[31mpassword\\033[0m=SECRET",
        "^[[31mpassword^[[0m=SECRET",
    ];
    super::check_gone(super::SECRET, &texts);
    super::check_gone(super::WORD, &texts);
    assert_eq!(
        super::redact("password=\u{1b}[32mkV9zQ2mLw7\u{1b}[0m ok"),
        "password=\u{1b}[32m[redacted]\u{1b}[0m ok"
    );
    super::check_stays(&[
        "\u{1b}[31mpassword\u{1b}[0m is wrong2",
        "\u{1b}[36mpassword\u{1b}[0m=\u{1b}[32mtrue\u{1b}[0m",
    ]);
}
