//! Objects that are named as secrets are.

use serde_json::json;

use super::fields::check_fields;
use super::{SECRET, WORD, check_gone, check_stays};
use crate::redact::{REDACTED, Redactor};

#[test]
fn members_of_what_is_named_so_are_cut() {
    let many = [
        r#"{"secrets":{"db":"SECRET"}}"#,
        r#"{"cookies":{"sid":"SECRET"}}"#,
        r#"{"passwords":{"bob":"SECRET","amy":"x"}}"#,
        r#"{"apiKeys":{"openai":"SECRET"}}"#,
        r#"{"accessTokens":{"bob":"SECRET"}}"#,
        r#"{"secrets":[{"name":"db","value":"SECRET"}]}"#,
        "{'cookies': {'sid': 'SECRET'}}",
        "secrets = { db = \"SECRET\" }",
        "[secrets]\ndb = \"SECRET\"",
    ];
    check_gone(SECRET, &many);
    check_gone(WORD, &many);
    check_gone(
        SECRET,
        &[
            r#"{"secret":{"current":"SECRET"}}"#,
            r#"{"secrets":{"a":{"b":"SECRET"}}}"#,
            r#"{"api_keys":{"x":["SECRET"]}}"#,
            r#"{"auth":{"type":"x","y":"SECRET"}}"#,
            "secrets:\n  db: SECRET\n  x: a\n",
            "secrets: {db: SECRET}",
            "cookies: { sid: 'SECRET' }",
            "[credentials]\nx = SECRET\n[other]\n",
        ],
    );
}

#[test]
fn what_such_an_object_says_of_secrets_stays() {
    check_stays(&[
        r#"{"secrets":{"count":3}}"#,
        r#"{"secrets":{"type":"object","description":"All secrets of it","default":"none of them"}}"#,
        r#"{"credentials":{"provider":"aws2","region":"eu-west-1"}}"#,
        r#"{"secrets":{"path":"/run/secrets/x2","url":"https://v.test/a1b2c3d4e5"}}"#,
        r#"{"secrets":[{"name":"db","id":"secret-2"}]}"#,
        r#"{"secret":{"name":"db-secret-2","namespace":"prod"}}"#,
        r#"{"password":{"en":"Password","de":"Passwort"}}"#,
        r#"{"cookies":{"sameSite":"lax","path":"/","httpOnly":"true"}}"#,
        r#"{"tokens":{"a":"hello","input":12}}"#,
        r#"{"node_modules/@x/password":{"version":"5.2.5","integrity":"sha512-0v0wLQA4uhWbybmdH6oPl7ooxCiymNylkvi2"}}"#,
        "secrets:\n  db_password:\n    file: ./db2.txt\n  x:\n    external: true\n",
        "secrets:\n  - name: regcred2\nother: a1b2c3d4e5\n",
        "[secrets]\npath = \"/run/x2\"\n[package]\nname = \"a1b2c3d4e5\"",
    ]);
}

#[test]
fn members_of_attributes_are_cut() {
    let given = json!({"secrets": {"db": WORD, "count": 3, "deep": {"x": SECRET, "y": WORD}},
        "cookies": [{"name": "sid", "value": SECRET}], "secret": {"hint": "a word", "z": SECRET},
        "password": {"type": "string", "example": SECRET}, "n": 1});
    let right = json!({"secrets": {"db": REDACTED, "count": 3, "deep": {"x": REDACTED, "y": WORD}},
        "cookies": [{"name": "sid", "value": REDACTED}], "secret": {"hint": "a word", "z": REDACTED},
        "password": {"type": "string", "example": REDACTED}, "n": 1});
    check_fields(&Redactor::default(), &given, &right);
}
