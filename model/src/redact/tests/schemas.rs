//! Secrets that a schema or a form gives as values, that are marked as such, and fields of log lines that name others.

use serde_json::json;

use super::{SECRET, check, check_gone, check_stays};
use crate::redact::{Redactor, Tree};

#[test]
fn values_that_a_schema_gives_are_values() {
    let secret = "kV9zQ2mLw7xT";
    let texts = [
        json!({"properties": {"password": {"type": "string", "default": secret}}}),
        json!({"properties": {"db_password": {"type": "string", "const": secret}}}),
        json!({"inputSchema": {"properties": {"client_secret": {"examples": ["x", secret]}}}}),
        json!({"properties": {"api_key": {"enum": [secret, "b"]}}}),
        json!({"parameters": [{"name": "api_key", "in": "header", "example": secret}]}),
        json!({"parameters": [{"example": secret, "in": "header", "name": "api_key"}]}),
        json!({"environmentVariables": [{"name": "API_KEY", "description": "x", "default": secret}]}),
    ];
    check(&texts.map(|text| (secret, text.to_string())));
    check_gone(
        secret,
        &[
            "api_key: str = Field(default='SECRET', description='x')",
            "password: z.string().default('SECRET')",
        ],
    );
    check_stays(&[
        r#"{"properties":{"token":{"type":"string","default":"hello"}}}"#,
        r#"{"properties":{"credentials":{"enum":["omit","same-origin","include"],"default":"include"}}}"#,
        r#"{"properties":{"password":{"type":"string","default":"","examples":["my password"]}}}"#,
        r#"{"properties":{"secret":{"type":"string","enum":["kubernetes","vault"],"default":"vault"}}}"#,
    ]);
}

#[test]
fn what_is_marked_as_sensitive_is_a_secret() {
    let texts = [
        json!({"user_config": {"thing": {"type": "string", "sensitive": true, "default": SECRET}}}),
        json!({"environmentVariables": [{"name": "THING", "isSecret": true, "value": SECRET}]}),
        json!({"outputs": {"db": {"value": SECRET, "type": "string", "sensitive": true}}}),
        json!({"properties": {"thing": {"default": SECRET, "type": "string", "format": "password"}}}),
    ];
    check(&texts.map(|text| (SECRET, text.to_string())));
    check_stays(&[
        r#"{"name":"THING","isSecret":false,"value":"kV9zQ2mLw7"}"#,
        r#"{"a":{"sensitive":true},"b":{"value":"kV9zQ2mLw7"}}"#,
        r#"{"thing":{"format":"password","type":"string","default":""}}"#,
    ]);
}

#[test]
fn attributes_are_read_the_same_way() {
    let text = |text: &str| Tree::Text(text.to_owned());
    let schema = |member: &str, value: Tree| {
        Tree::Fields(vec![
            ("type".to_owned(), text("string")),
            (member.to_owned(), value),
        ])
    };
    let mut fields = vec![
        ("password".to_owned(), schema("default", text("kV9zQ2mLw7xT"))),
        (
            "api_key".to_owned(),
            schema("examples", Tree::List(vec![text("a"), text("kV9zQ2mLw7xT")])),
        ),
        ("secret".to_owned(), schema("default", text("vault"))),
    ];
    assert!(Redactor::default().redact_fields::<Tree>(&mut fields));
    assert_eq!(
        fields,
        [
            ("password".to_owned(), schema("default", text("[redacted]"))),
            (
                "api_key".to_owned(),
                schema("examples", Tree::List(vec![text("a"), text("[redacted]")]))
            ),
            ("secret".to_owned(), schema("default", text("vault"))),
        ]
    );
}

#[test]
fn fields_that_others_name_are_cut() {
    check_gone(
        SECRET,
        &[
            "CEF:0|a|b|1|x|y|1|suser=bob cs1Label=password cs1=SECRET",
            "CEF:0|a|b|1|x|y|1|cs2=SECRET cs2Label=apiKey msg=a b",
            "CEF:0|a|b|1|x|y|1|flexString1Label=token flexString1=SECRET end=1",
            "LEEF:2.0|v|p|1|login|^|usrName=bob^cs1Label=password^cs1=SECRET^sev=5",
            "LEEF:2.0|v|p|1|login|\tusrName=bob\tpassword=SECRET\tsev=5",
        ],
    );
    check_stays(&[
        "CEF:0|a|b|1|x|y|1|cs1Label=rule cs1=kV9zQ2mLw7 cs2Label=password cs2=required",
        "CEF:0|a|b|1|x|y|1|cs1Label=password\nCEF:0|a|b|1|x|y|1|cs1=kV9zQ2mLw7",
        "<button ariaLabel=password cs1=x>",
    ]);
}
