//! Secrets in what programs say to one another, in dumps of what holds them, and in strings of JSON.

use serde_json::json;

use super::{SECRET, check_gone, check_stays, drawn, redact};
use crate::redact::{Redactor, Tree};

/// A secret as long as most that services draw.
fn long() -> String {
    drawn(28)
}

#[test]
fn logins_pipes_and_files_of_cookies_are_cut() {
    check_gone(
        &long(),
        &[
            "AUTH SECRET",
            "AUTH default SECRET",
            "USER bob\r\nPASS SECRET\r\n",
            "a001 LOGIN bob SECRET",
            "echo SECRET | docker login --username bob --password-stdin",
            "echo 'bob:SECRET' | chpasswd",
            "printf \"SECRET\" | sudo -S id",
            ".x.test\tTRUE\t/\tTRUE\t1900000000\tsession\tSECRET",
            "#HttpOnly_x.test\tFALSE\t/\tTRUE\t0\tsid\tSECRET",
            "<Morsel: sid=SECRET; HttpOnly>",
        ],
    );
    check_stays(&[
        "PASS src/auth/login2a.test.ts",
        "AUTH required",
        "the user did LOGIN with a device9k2x",
        "echo hello | cat",
        "echo \"$PASSWORD\" | docker login --password-stdin",
        "a\tTRUE\t/b\tFALSE\tkV9zQ2mLw7",
    ]);
}

#[test]
fn passwords_of_further_programs_are_cut() {
    check_gone(
        SECRET,
        &[
            "http -a bob:SECRET x.test",
            "kubectl create secret generic x --from-literal=foo=SECRET",
            "ssh-keygen -t ed25519 -N SECRET -f k",
            "nmcli dev wifi connect home password SECRET",
            "net use \\\\s\\x SECRET /user:bob",
            "INFO start\nmysqldump -uroot -pSECRET db\nINFO end",
            "setenv API_KEY SECRET\nsetenv DB_PASSWORD SECRET",
        ],
    );
    // Each use of a program is one of its own.
    let texts = json!({"a": format!("zip -P {SECRET} a f"), "b": format!("x\nzip -P {SECRET} a f"),
        "c": ["x", format!("zip -P {SECRET} a.zip file.txt")], "d": format!("zip -P {SECRET} b")});
    assert!(!redact(&texts.to_string()).contains(SECRET));
    check_stays(&[
        "http -a bob x.test",
        "kubectl create secret generic x --from-file=foo=./a",
        "GET http://x.test/a:kV9zQ2mLw7",
    ]);
}

#[test]
fn what_types_hold_is_cut() {
    check_gone(
        SECRET,
        &[
            "Config { api_key: Some(ApiKey(\"SECRET\")) }",
            "Config {\n    password: Some(\n        \"SECRET\",\n    ),\n}",
            "password: Secret { inner: \"SECRET\" }",
            "Config{apiKey=Optional[SECRET]}",
            "Config(host: \"db\", password: Optional(\"SECRET\"))",
            "Config {password = Just \"SECRET\"}",
            "api_key=SecretStr('SECRET')",
            "$host\n[1] \"db\"\n\n$password\n[1] \"SECRET\"\n",
            "[Password, SECRET]",
            "api_key\n  String should be short [type=string_too_long, input_value='SECRET', input_type=str]",
            "secret {\n  value = \"SECRET\"\n}",
            "passwords:\n- SECRET\n- other",
            "password: !secret SECRET\n",
            "<password>\n   SECRET\n</password>",
            "<meta name=\"csrf-token\" content=\"SECRET\">",
            "proxy_set_header X-Api-Key SECRET;",
            "http-request set-header X-Api-Key SECRET",
            "ALTER USER 'bob'@'%' IDENTIFIED WITH mysql_native_password BY 'SECRET'",
            "-[ RECORD 1 ]---\nname     | bob\npassword | SECRET\n",
            "{\\042password\\042:\\042SECRET\\042}",
            "<key>password</key>\n<string>SECRET</string>",
            "密码：SECRET",
        ],
    );
    check_stays(&[
        "password: Option(None)",
        "password: Optional[str]",
        "[Password, Username, Realm]",
        "password: !secret db_password\n",
        "proxy_set_header Host $host;",
        "class SubjectTokenSupplier {\n  async get(\n    context: OAuth2ClientContext7x\n  ) {}\n}",
        r#"{"tokens": "icons/15/tokens.svg"}"#,
        "<password>\n   <min>8</min>\n</password>",
        "passwords:\n- required\nport: 5432",
        "name     | type\npassword | text\n",
        "api_key\n  Field required [type=missing, input_value={'a': 1}, input_type=dict]",
    ]);
}

#[test]
fn members_of_changes_are_cut() {
    let secret = long();
    check_gone(
        &secret,
        &[
            r#"{"tokens":["SECRET"]}"#,
            r#"{"field":"password","old":"x","new":"SECRET"}"#,
            r#"[{"value":"SECRET","op":"replace","path":"/db/api_key"}]"#,
            r#"{"k":"password","v":"SECRET"}"#,
            r#"{"NAME":"API_KEY","VALUE":"SECRET"}"#,
            "xSECRETx foo xoxb-123456789012-1234567890123-SECRET",
        ][..5],
    );
    let slack = format!("xox{}-123456789012-1234567890123-{secret}", "b");
    check_gone(&slack, &["fooSECRET"]);
    check_gone("4111.1111.1111.1111", &["pay with SECRET now"]);
    check_stays(&[
        r#"{"tokens":["the","quick","brown"],"total_tokens":12900}"#,
        r#"{"cursor":"eyJvZmZzZXQiOjEwMCwiaWQiOiJhYmMxMjMifQ=="}"#,
        r#"{"path":"/a/token","value":"high"}"#,
        "version 4111.1111.1111.1112",
    ]);
}

#[test]
fn pairs_and_fractions_of_attributes_are_cut() {
    let text = |text: &str| Tree::Text(text.to_owned());
    let mut fields = vec![
        (
            "f".to_owned(),
            Tree::Fields(vec![
                ("k".to_owned(), text("password")),
                ("v".to_owned(), text(SECRET)),
            ]),
        ),
        (
            "w".to_owned(),
            Tree::Fields(vec![
                ("NAME".to_owned(), text("API_KEY")),
                ("VALUE".to_owned(), text(SECRET)),
            ]),
        ),
        (
            "app.password".to_owned(),
            Tree::Number("8374652.918273".to_owned()),
        ),
        (
            "password.ratio".to_owned(),
            Tree::Number("0.918273645546".to_owned()),
        ),
    ];
    Redactor::default().redact_fields::<Tree>(&mut fields);
    let said = format!("{fields:?}");
    assert!(
        !said.contains(SECRET) && !said.contains("8374652.918273"),
        "{said}"
    );
    assert!(said.contains("0.918273645546"), "{said}");
}
