//! What is cut and what stays. Samples of tokens are put together here, so that no scanner takes this file for a leak.

use proptest::prelude::*;

use serde_json::Value;

use super::*;

fn redact(text: &str) -> String {
    Redactor::default().redact(text).into_owned()
}

/// Letters and digits as services draw them, `length` of them.
pub(super) fn drawn(length: usize) -> String {
    "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL"
        .chars()
        .cycle()
        .take(length)
        .collect()
}

fn hex(length: usize) -> String {
    "3f9a1c7be2d4806b5a".chars().cycle().take(length).collect()
}

/// Tokens of each service by the name of the rule that is to find them.
fn tokens() -> Vec<(&'static str, String)> {
    let of = |parts: &[&str]| parts.concat();
    let d = drawn;
    let base64 = "q3Tz+8Wm/Lk1";
    vec![
        ("GitHub token", of(&["gh", "p_", &d(36)])),
        ("GitHub token", of(&["gh", "o_", &d(36)])),
        ("GitHub token", of(&["gh", "u_", &d(36)])),
        ("GitHub token", of(&["gh", "s_", &d(36)])),
        ("GitHub token", of(&["gh", "r_", &d(76)])),
        ("GitHub token", of(&["github", "_pat_", &d(22), "_", &d(59)])),
        ("GitLab token", of(&["glp", "at-", &d(20)])),
        ("GitLab token", of(&["glp", "at-", &d(27), ".01.", "1a2b3c4d5"])),
        ("GitLab token", of(&["gld", "t-", &d(20)])),
        ("GitLab token", of(&["glr", "t-", &d(20)])),
        ("API key", of(&["sk", "-proj-", &d(74), "T3Blbk", "FJ", &d(74)])),
        (
            "API key",
            of(&["sk", "-svcacct-", &d(58), "T3Blbk", "FJ", &d(58)]),
        ),
        ("API key", of(&["sk", "-", &d(20), "T3Blbk", "FJ", &d(20)])),
        (
            "Anthropic key",
            of(&["sk", "-ant-api03-", &d(45), "-", &d(47), "AA"]),
        ),
        ("AWS access key id", of(&["AK", "IA", "IOSFODNN7EXAMPLE"])),
        ("AWS access key id", of(&["AS", "IA", "IOSFODNN7EXAMPLE"])),
        ("Google key", of(&["AI", "za", "Sy", &d(33)])),
        ("Google token", of(&["ya", "29.", "a0AfH6SM", &d(60)])),
        ("Google secret", of(&["GOC", "SPX-", &d(28)])),
        (
            "Slack token",
            of(&["xo", "xb-", "123456789012-1234567890123-", &d(24)]),
        ),
        (
            "Slack token",
            of(&["xo", "xp-", "123456789012-123456789012-", &hex(32)]),
        ),
        ("Slack token", of(&["xo", "xe.xoxp-", "1-", &d(40)])),
        (
            "Slack token",
            of(&["xa", "pp-1-", "A0123456789-1234567890123-", &hex(64)]),
        ),
        ("Stripe key", of(&["sk", "_live_", "51", &d(97)])),
        ("Stripe key", of(&["rk", "_live_", "51", &d(97)])),
        ("Stripe key", of(&["sk", "_test_", &d(24)])),
        ("Stripe key", of(&["wh", "sec_", &d(32)])),
        ("npm token", of(&["np", "m_", &d(36)])),
        ("PyPI token", of(&["py", "pi-AgE", "IcHlwaS5vcmc", &d(140)])),
        ("Hugging Face token", of(&["h", "f_", &d(34)])),
        ("Twilio key", of(&["S", "K", &hex(32)])),
        ("SendGrid key", of(&["S", "G.", &d(22), ".", &d(43)])),
        ("DigitalOcean token", of(&["do", "p_v1_", &hex(64)])),
        ("DigitalOcean token", of(&["do", "o_v1_", &hex(64)])),
        ("Telegram token", of(&["1234567", "890:AA", &d(33)])),
        (
            "Discord token",
            of(&["MTk4", "NjIyNDgzNDcxOTI1MjQ4", ".", "Cl2FMQ", ".", &d(27)]),
        ),
        (
            "Discord token",
            of(&["OTk4", "NjIyNDgzNDcxOTI1MjQ4Mg", ".", "G-2FMQ", ".", &d(38)]),
        ),
        ("Linear key", of(&["lin", "_api_", &d(40)])),
        ("Notion token", of(&["nt", "n_", &d(46)])),
        ("Notion token", of(&["sec", "ret_", &d(43)])),
        ("Shopify token", of(&["shp", "at_", &hex(32)])),
        ("Shopify token", of(&["shp", "ss_", &hex(32)])),
        ("Square token", of(&["EA", "AA", &d(60)])),
        ("Square token", of(&["sq0", "atp-", &d(22)])),
        ("Square token", of(&["sq0", "csp-", &d(43)])),
        ("Mailgun key", of(&["ke", "y-", &hex(32)])),
        ("Mailgun key", of(&[&hex(32), "-", &hex(8), "-", &hex(8)])),
        ("Vault token", of(&["hv", "s.", "CAESI", &d(90)])),
        (
            "JSON web token",
            of(&["ey", "JhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxMjM0In0.", &d(43)]),
        ),
        (
            "JSON web token",
            of(&["ey", "JhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxMjM0In0"]),
        ),
        (
            "JSON web token",
            of(&[
                "ey",
                "JhbGciOiJkaXIiLCJlbmMi.",
                ".",
                &d(16),
                ".",
                &d(30),
                ".",
                &d(22),
            ])
            .replace("..", &format!(".{}.", d(20))),
        ),
        ("Databricks token", of(&["da", "pi", &hex(32)])),
        ("Docker token", of(&["dckr", "_pat_", &d(27)])),
        ("Grafana token", of(&["gl", "sa_", &d(32), "_", &hex(8)])),
        ("Groq key", of(&["gs", "k_", &d(52)])),
        ("xAI key", of(&["xa", "i-", &d(80)])),
        ("Perplexity key", of(&["pp", "lx-", &d(48)])),
        ("NVIDIA key", of(&["nv", "api-", &d(64)])),
        ("Replicate token", of(&["r", "8_", &d(37)])),
        ("LangSmith key", of(&["lsv2", "_pt_", &hex(32), "_", &hex(10)])),
        ("Supabase token", of(&["sb", "p_", &hex(40)])),
        ("Atlassian token", of(&["ATA", "TT3", &d(180), "=1A2B3C4D"])),
        ("Figma token", of(&["fig", "d_", &d(40)])),
        ("Postman key", of(&["PM", "AK-", &hex(24), "-", &hex(34)])),
        ("Sentry token", of(&["sn", "trys_", &d(60), base64])),
        ("API key", of(&["sk", "_", &hex(48)])),
        (
            "age key",
            of(&["AGE-SEC", "RET-KEY-1", &"QPZRY9X8GF2TVDW0S3JN".repeat(3)]),
        ),
    ]
}

#[test]
fn tokens_of_services_are_cut_wherever_they_stand() {
    let redactor = Redactor::default();
    let surroundings = [
        ("", ""),
        ("the key is ", ", use it"),
        ("use ", "."),
        ("(", ")"),
        ("<", ">"),
        ("'", "'"),
        ("`", "`"),
        (r#"{"text":""#, r#""}"#),
        (r#"{"text":"one\n"#, r#"\ntwo"}"#),
        (r#"{"text":"{\"a\":\"\\t"#, r#"\\n\"}"}"#),
        (r#"{"text":"\u003d"#, r#"\u003c"}"#),
        ("https://x.test/?page=2&q=", "&n=1"),
        ("a%3D", " b"),
        ("KEY=", "\nOTHER=1"),
        ("- ", "\r\n"),
        ("\u{201c}", "\u{201d}"),
    ];
    for (rule, token) in tokens() {
        for (before, after) in surroundings {
            let text = format!("{before}{token}{after}");
            let redaction = redactor.explain(&text);
            let right = format!("{before}{REDACTED}{after}");
            // Where escapes hid something, a string is written anew.
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
            assert_eq!(read(&redaction.text), read(&right), "{rule}");
            assert_eq!(redaction.cuts.keys().collect::<Vec<_>>(), [rule], "{token}");
        }
    }
}

#[test]
fn addresses_that_are_secrets_are_cut_but_for_their_host() {
    let cases = [
        (
            "https://hooks.slack",
            ".com/services/T0123ABCD/B0123ABCD/",
            drawn(24),
        ),
        (
            "https://discord",
            ".com/api/webhooks/123456789012345678/",
            drawn(68),
        ),
        (
            "https://discordapp",
            ".com/api/webhooks/123456789012345678/",
            drawn(68),
        ),
    ];
    for (host, path, token) in cases {
        let redacted = redact(&format!("post to {host}{path}{token} now"));
        assert!(
            redacted.starts_with(&format!("post to {host}.com/")) && redacted.ends_with("[redacted] now"),
            "{redacted}"
        );
    }
}

#[test]
fn secret_keys_beside_an_access_key_id_are_cut() {
    let (id, key) = (
        ["AK", "IAIOSFODNN7EXAMPLE"].concat(),
        ["wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYEXAMPLEKEY"].concat(),
    );
    for text in [
        format!("{id} {key}"),
        format!("{id},{key}\n"),
        format!("{key}:{id}"),
        format!(r#"{{"id":"{id}","value":"{key}"}}"#),
        format!(r#"{{"text":"{id}\n{key}\n"}}"#),
    ] {
        assert_eq!(redact(&text), text.replace(&id, REDACTED).replace(&key, REDACTED));
    }
    // A commit's hash is none.
    let beside = format!("{id} at {}", hex(40));
    assert_eq!(redact(&beside), beside.replace(&id, REDACTED));
}

#[test]
fn private_keys_are_cut_also_without_their_end() {
    let body = format!("{}+/\n{}=\n", drawn(64), drawn(30));
    for label in [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
    ] {
        let (begin, end) = (
            format!("-----BEGIN {label}-----\n"),
            format!("-----END {label}-----"),
        );
        let headed = format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{}\n\n", hex(32));
        for key in [
            format!("{begin}{body}{end}"),
            format!("{begin}{headed}{body}{end}"),
        ] {
            assert_eq!(redact(&format!("a\n{key}\nb")), "a\n[redacted]\nb");
            let json = serde_json::json!({ "a": key, "b": [format!("x {key} y")], "c": serde_json::json!({"k": key}).to_string() });
            let kept =
                serde_json::json!({ "a": REDACTED, "b": ["x [redacted] y"], "c": r#"{"k":"[redacted]"}"# });
            assert_eq!(redact(&json.to_string()), kept.to_string());
        }
        // Cut off, as text and in a string that ends all the same.
        assert_eq!(redact(&format!("a {begin}{body}")), "a [redacted]\n");
        let json = serde_json::json!({ "a": format!("{begin}{body}"), "b": "-----END PRIVATE KEY-----" })
            .to_string();
        assert_eq!(
            redact(&json),
            r#"{"a":"[redacted]\n","b":"-----END PRIVATE KEY-----"}"#
                .replace("[redacted]\\n", &redacted_end(&json))
        );
    }
    let pgp = [
        "-----BEGIN PGP PRIVATE KEY",
        " BLOCK-----\nVersion: GnuPG v2\n\nlQOYBF\n=abcd\n-----END PGP PRIVATE KEY",
        " BLOCK-----",
    ]
    .concat();
    assert_eq!(redact(&pgp), REDACTED);
    let public = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBg\n-----END PUBLIC KEY-----";
    assert_eq!(redact(public), public);
}

/// What stands in the place of a key whose end was cut off: with or without the line's end.
fn redacted_end(json: &str) -> String {
    let redacted = redact(json);
    let value: Value = serde_json::from_str(&redacted).unwrap();
    let text = value["a"].as_str().unwrap();
    assert!(text.trim_end_matches(['n', '\n']) == REDACTED, "{text}");
    serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
}

#[test]
fn names_and_their_values() {
    let cases = [
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted]"),
        ("sent Bearer abcdef123456", "sent Bearer [redacted]"),
        ("sent Basic dXNlcjpwYXNzd29yZA==", "sent Basic [redacted]"),
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
        ("redis://:hunter2@db", "redis://:[redacted]@db"),
        (
            "mysql://me:p@ss:w@db:3306/x?a=b@c",
            "mysql://me:[redacted]@db:3306/x?a=b@c",
        ),
        (
            r#"{"url":"http://host:80","mail":"a@b.test"}"#,
            r#"{"url":"http://host:80","mail":"a@b.test"}"#,
        ),
        ("DB_PASSWORD=hunter2 ok", "DB_PASSWORD=[redacted] ok"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=[redacted] psql"),
        (r#"{"token": "abc1def2ghi3"}"#, r#"{"token": "[redacted]"}"#),
        (r#"{"GITHUB_TOKEN": "abc"}"#, r#"{"GITHUB_TOKEN": "[redacted]"}"#),
        ("export MY_APP2_TOKEN='abc'", "export MY_APP2_TOKEN='[redacted]'"),
        (
            "Authorization: ApiKey abc-1, then",
            "Authorization: [redacted], then",
        ),
        (
            r#"{"password":"a\"b\\c\n","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"password":"\nab","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"password":"\"ab","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"password":"ab\\","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"t":"{\"password\":\"a\\\"b\\n\\\\\",\"n\":1}"}"#,
            r#"{"t":"{\"password\":\"[redacted]\",\"n\":1}"}"#,
        ),
        (r"password='it\'s me' ok", "password='[redacted]' ok"),
        (
            r#"{"dbPassword":"abc","githubApiKey": "d","accessToken":"e","idToken":"f"}"#,
            r#"{"dbPassword":"[redacted]","githubApiKey": "[redacted]","accessToken":"[redacted]","idToken":"[redacted]"}"#,
        ),
        (
            "run --db-password abc --dbPassword abc --bot-token d",
            "run --db-password [redacted] --dbPassword [redacted] --bot-token [redacted]",
        ),
        ("run --password --verbose", "run --password --verbose"),
        (
            r#"["--api-key","abc","--port","1"]"#,
            r#"["--api-key","[redacted]","--port","1"]"#,
        ),
        (
            r#"[{"name":"API_KEY","value":"abc"},{"name":"PORT","value":"1"}]"#,
            r#"[{"name":"API_KEY","value":"[redacted]"},{"name":"PORT","value":"1"}]"#,
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
        // A name behind an escape.
        (
            r#"{"text":"one\npassword: two\nthree"}"#,
            r#"{"text":"one\npassword: [redacted]\nthree"}"#,
        ),
        // Encoded.
        (
            "state=%7B%22password%22%3A%22abc%22%7D",
            "state=%7B%22password%22%3A%22[redacted]",
        ),
        ("u=a%26client_secret%3Dabc", "u=a%26client_secret%3D[redacted]"),
        // Cookies hold several.
        (
            "Cookie: a=1; sid=abc; c=2\r\nHost: x",
            "Cookie: [redacted]\r\nHost: x",
        ),
        (
            "Set-Cookie: sid=abc; HttpOnly",
            "Set-Cookie: [redacted]; HttpOnly",
        ),
        // Connection strings.
        (
            "Server=db;User Id=me;Password=hunter2;Encrypt=true",
            "Server=db;User Id=me;Password=[redacted];Encrypt=true",
        ),
        (
            "Server=db;Uid=me;Pwd=hunter2;",
            "Server=db;Uid=me;Pwd=[redacted];",
        ),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Eby8vdM02xNOcqFlqUwJ==;EndpointSuffix=x",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=[redacted];EndpointSuffix=x",
        ),
        (
            "https://a.blob.core.windows.net/c?sv=2024-01-01&sig=dGhpcyBpcyBhIHNpZ25hdHVyZQ%3D%3D&se=1",
            "https://a.blob.core.windows.net/c?sv=2024-01-01&sig=[redacted]&se=1",
        ),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=3f9a1c7be2d4806b5a3f9a1c7be2d480&x=1",
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=[redacted]&x=1",
        ),
        (
            "<server><password>hunter2</password></server>",
            "<server><password>[redacted]</password></server>",
        ),
        (
            "//registry.npmjs.org/:_authToken=abc",
            "//registry.npmjs.org/:_authToken=[redacted]",
        ),
        ("password := \"abc\"", "password := \"[redacted]\""),
        (":password => 'abc'", ":password => '[redacted]'"),
    ];
    for (text, expected) in cases {
        assert_eq!(redact(text), expected);
        assert_eq!(redact(expected), expected, "redacting twice cuts no more");
    }
}

#[test]
fn what_is_no_secret_stays() {
    let texts = [
        r#"{"progressToken":"p-1","nextPageToken":"n","max_tokens":5,"token":null}"#,
        r#"{"NEXT_PAGE_TOKEN":"abc","page_token":"def","cancellation_token":"x"}"#,
        r#"{"inputSchema":{"properties":{"password":{"type":"string"},"token":{"type":"string"}},"required":["password"]}}"#,
        "token count: 5",
        "looking up order A-1001",
        "the password is required",
        "sk-short",
        "a well-known-secret sauce",
        "compassWord: north",
        "basic understanding of bearer authentication",
        "Basic information is enough, and bearer certificates too.",
        "0b4e3b1c-55d0-4d5f-8a11-9f1e2d3c4b5a",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV 2026-07-28T10:00:00.000Z 198622483471925248",
        "task-management risk-assessment-for-the-year desk-lamp",
        "pk_orders_customer_identifier SKU-12345 skills.md",
        "https://docs.example.org/api/keys?page=2#token",
        "git@github.com:owner/name.git and a@b.test",
        "http://[::1]:8080/mcp http://localhost:6278",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "a.bcdefg.hijklmnop www.example.org 1.2.3.4 v1.22.333-alpha",
        "PWD=/home/me; cd /tmp; pwd",
        "the monkey: banana; turkey: none; key: value",
        "secretary: Ms Smith",
        "x = tokens[0]; authored: yes; authority: none",
        "Bearer abc…",
        "ratio :AA 12:AA",
        "Überraschung: schlüssel größe",
    ];
    for text in texts {
        assert_eq!(redact(text), text);
    }
}

/// A tree of a JSON value.
fn tree(value: &Value) -> Tree {
    match value {
        Value::Null | Value::Bool(_) => Tree::Nothing,
        Value::Number(number) => Tree::Number(number.to_string()),
        Value::String(text) => Tree::Text(text.clone()),
        Value::Array(items) => Tree::List(items.iter().map(tree).collect()),
        Value::Object(fields) => Tree::Fields(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), tree(value)))
                .collect(),
        ),
    }
}

/// Redacts the fields of an object, and compares them with what is right.
fn check_fields(redactor: &Redactor, given: &Value, right: &Value) {
    let mut redacted = tree(given);
    let Tree::Fields(fields) = &mut redacted else {
        panic!("{given} is no object")
    };
    assert_eq!(redactor.redact_fields::<Tree>(fields), given != right, "{given}");
    assert_eq!(redacted, tree(right));
}

#[test]
fn objects_are_cut_by_name() {
    let key = ["gh", "p_", &drawn(36)].concat();
    let given = serde_json::json!({"env": {"API_KEY": "k", "userPassword": "p"}, "http.request.header.cookie": ["a=b"],
        "http.request.header.x-auth-token": "t", "process.command_args": ["node", "--token", "t", "--port", "1"], "n": 1,
        "variable": {"name": "API_KEY", "value": "v"}, "argument.name": "API_KEY", "argument.value": "v",
        "password": 12_345_678, "secret": 2, "credentials": [{"n": 1, "name": "x"}],
        "http.request.header.authorization": ["Bearer abc-def-ghi", "Bearer a…", "Basic"], (key.clone()): "x"});
    let right = serde_json::json!({"env": {"API_KEY": REDACTED, "userPassword": REDACTED}, "http.request.header.cookie": [REDACTED],
        "http.request.header.x-auth-token": REDACTED, "process.command_args": ["node", "--token", REDACTED, "--port", "1"],
        "n": 1, "variable": {"name": "API_KEY", "value": REDACTED}, "argument.name": "API_KEY", "argument.value": REDACTED,
        "password": REDACTED, "secret": 2, "credentials": [{"n": 1, "name": "x"}],
        "http.request.header.authorization": ["Bearer abc…", "Bearer a…", "Basic"], (REDACTED): "x"});
    check_fields(&Redactor::default(), &given, &right);
    let mut bytes = [(
        "blob".to_owned(),
        Tree::Bytes([b"\xff ", key.as_bytes()].concat()),
    )];
    assert!(Redactor::default().redact_fields::<Tree>(&mut bytes));
    assert_eq!(
        bytes[0].1,
        Tree::Bytes(format!("\u{fffd} {REDACTED}").into_bytes())
    );
}

/// What stands for an id in that attribute.
fn stand_in(redactor: &Redactor, name: &str, id: &str) -> String {
    let mut fields = [(name.to_owned(), Tree::Text(id.to_owned()))];
    redactor.redact_fields::<Tree>(&mut fields);
    match &fields[0].1 {
        Tree::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ids_that_are_secrets_become_ids_that_tell_nothing() {
    let redactor = Redactor::default();
    let token = |salt: &str| ["gh", "p_", salt, &drawn(33)].concat();
    let of = |id: &str| stand_in(&redactor, "mcp.session.id", id);
    let one = of(&token("AAA"));
    assert!(one.starts_with("[redacted]#") && one.len() == 27, "{one}");
    assert_eq!(one, of(&token("AAA")), "the same session");
    assert_ne!(one, of(&token("BBB")), "two sessions");
    assert_eq!(of(&one), one, "nothing is left to be redacted");
    assert_eq!(
        of("0b4e3b1c-55d0-4d5f-8a11-9f1e2d3c4b5a"),
        "0b4e3b1c-55d0-4d5f-8a11-9f1e2d3c4b5a"
    );
    for name in [
        "http.request.header.mcp-session-id",
        "rpc.jsonrpc.request_id",
        "service.instance.id",
    ] {
        assert_eq!(
            stand_in(&redactor, name, &token("AAA")),
            one,
            "one id, wherever it stands"
        );
    }
    // A password can be guessed, so its hash must not be one that others can make.
    let guessable = of("password=hunter2");
    assert!(guessable.starts_with("[redacted]#"), "{guessable}");
    assert_eq!(guessable, of("password=hunter2"));
    assert_ne!(guessable, of("password=hunter3"));
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(b"password=hunter2");
    assert!(
        !guessable.ends_with(
            &hash
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        )
    );
    // The operator's own word on a name.
    let named = with_keys(&["mcp.session.id"]);
    let kept = stand_in(&named, "mcp.session.id", "s-1");
    assert!(kept.starts_with("[redacted]#"), "{kept}");
    assert_ne!(kept, stand_in(&named, "mcp.session.id", "s-2"));
}

fn with_keys(keys: &[&str]) -> Redactor {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Redactor::new(&Rules {
        keys,
        ..Rules::default()
    })
    .unwrap()
}

fn with_values(values: &[(&str, &str)]) -> Redactor {
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

#[test]
fn long_texts_are_searched_at_their_seams() {
    // The automaton reads long texts in parts; a token stands across each border once.
    let token = ["gh", "p_", &drawn(36)].concat();
    for length in (1000..40_000).step_by(331) {
        let text = format!("{}{token}{}", " ".repeat(length), " ".repeat(1300));
        assert_eq!(redact(&text).trim(), REDACTED, "{length}");
    }
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
        "AKIAIOSFODNN7EXAMPLE ",
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
        "AKIAIOSFODNN7EXAMPLE",
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
