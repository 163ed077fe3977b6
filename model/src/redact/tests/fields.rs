//! Attributes: values under names, and ids by which records are joined.

use serde_json::Value;

use super::drawn;
use super::operator::with_keys;
use crate::redact::{REDACTED, Redactor, Tree};

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
pub(super) fn check_fields(redactor: &Redactor, given: &Value, right: &Value) {
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
        "dbPassword": {"plaintext": "hunter2x", "hint": "x"},
        "http.request.header.authorization": ["Bearer abc-def-ghi", "Bearer a…", "Basic"], (key.clone()): "x"});
    let right = serde_json::json!({"env": {"API_KEY": REDACTED, "userPassword": REDACTED}, "http.request.header.cookie": [REDACTED],
        "http.request.header.x-auth-token": REDACTED, "process.command_args": ["node", "--token", REDACTED, "--port", "1"],
        "n": 1, "variable": {"name": "API_KEY", "value": REDACTED}, "argument.name": "API_KEY", "argument.value": REDACTED,
        "password": REDACTED, "secret": 2, "credentials": [{"n": 1, "name": "x"}],
        "dbPassword": {"plaintext": REDACTED, "hint": "x"},
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

/// The stand-in of an id in that attribute.
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
