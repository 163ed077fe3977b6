//! Settings of the commands that watch servers, wrapper and proxy: what is recorded is what the file and the environment
//! allow, and where they cannot be understood nothing starts.

use std::path::Path;

use axum::routing::post;
use serde_json::{Value, json};

use crate::commands::{mcptap, refused, succeeded};
use crate::proxy::ProxyProcess;
use crate::support::{TestServer, eventually};
use crate::wrap::{ECHO, Wrapping, python};

/// Rules that the server has not, so that what is cut was cut before it was sent.
const RULES: &str = "redact_keys = [\"myfield\"]\nredact_patterns = [\"ACME-[0-9]{3}\"]\nredact_env = [\"SONG\"]\nbody_cap = \"1KiB\"\n";

const SONG: (&str, &str) = ("SONG", "sea shanty");

fn arguments() -> Value {
    json!({"myfield": "first", "note": "ACME-123 and sea shanty", "other": "kept", "long": "x".repeat(2000)})
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The request's text of the only call of a tool.
async fn request_text(server: &TestServer, tool: &str) -> String {
    let fields = "request { text truncated }";
    let call = eventually("the call", async || {
        let mut calls = server.calls(json!({"tools": [tool]}), fields).await;
        calls.pop()
    })
    .await;
    call["request"]["text"].as_str().unwrap().to_owned()
}

fn assert_is_cut(text: &str, way: &str) {
    assert_eq!(text.matches("[redacted]").count(), 3, "{way}: {text}");
    for secret in ["first", "ACME-123", "sea shanty"] {
        assert!(!text.contains(secret), "{way}: {text}");
    }
    assert!(text.contains("kept") && text.len() <= 1024, "{way}: {text}");
}

#[tokio::test]
async fn wrapper_and_proxy_cut_out_what_the_file_says_before_they_send() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "rules.toml", RULES);
    let params = |tool: &str| json!({"name": tool, "arguments": arguments()});

    let wrapping = Wrapping::to(&server)
        .with("MCPTAP_CONFIG", &file)
        .with(SONG.0, SONG.1);
    let mut wrapped = wrapping.run(&python(ECHO));
    wrapped.call(json!(1), "tools/call", params("wrapped")).await;
    assert!(wrapped.end().await.status.success());
    assert_is_cut(&request_text(&server, "wrapped").await, "wrap");

    // A variable wins over its key in the file, and over that alone.
    let wrapping = wrapping
        .with("MCPTAP_REDACT_KEYS", "other")
        .with("MCPTAP_REDACT_PATTERNS", "");
    let mut wrapped = wrapping.run(&python(ECHO));
    wrapped.call(json!(1), "tools/call", params("varied")).await;
    assert!(wrapped.end().await.status.success());
    let text = request_text(&server, "varied").await;
    assert!(text.contains("first") && !text.contains("kept"), "{text}");
    assert!(
        !text.contains("ACME-123") && !text.contains("sea shanty"),
        "{text}"
    );

    let echo = axum::Router::new().route(
        "/mcp",
        post(async |body: axum::Json<Value>| {
            axum::Json(json!({"jsonrpc": "2.0", "id": body["id"], "result": {}}))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, echo).await });
    let spool = folder.path().join("spool");
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", server.otlp_http_url()),
        ("MCPTAP_SPOOL_DIR", spool.to_str().unwrap().to_owned()),
        (SONG.0, SONG.1.to_owned()),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let proxy = ProxyProcess::with(&upstream, &["--config", &file], &environment).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params("proxied")});
    let sent = server
        .web()
        .post(format!("http://{}/mcp", proxy.address))
        .json(&call);
    assert!(sent.send().await.unwrap().status().is_success());
    assert_is_cut(&request_text(&server, "proxied").await, "proxy");
}

/// A settings file, variables, and what is told.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn nothing_starts_where_more_might_be_recorded_than_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| write(folder.path(), name, text);
    let broken = written("broken.toml", "redact_keys = [\"a\n");
    let misspelt = written("misspelt.toml", "redact_key = [\"ssn\"]\n");
    let wrong = written(
        "wrong.toml",
        "redact_patterns = [\"ab(c\"]\nbody_cap = \"much\"\n",
    );
    let good = written("good.toml", RULES);
    let cases: &[Case<'_>] = &[
        ("nowhere.toml", &[], &["nowhere.toml", "No such file"]),
        (&broken, &[], &["broken.toml", "line 1"]),
        (&misspelt, &[], &["is redact_keys meant?"]),
        (&wrong, &[], &["ab(c", "body_cap is \"much\""]),
        (
            &good,
            &[("MCPTAP_CAPTUR", "off")],
            &["the environment sets MCPTAP_CAPTUR, which is no setting; is MCPTAP_CAPTURE meant?"],
        ),
        (
            &good,
            &[("MCPTAP_REDACT_KEY", "a"), ("MCPTAP_SPOOL_DRI", "/x")],
            &["is MCPTAP_REDACT_KEYS meant?", "is MCPTAP_SPOOL_DIR meant?"],
        ),
        (
            &good,
            &[("MCPTAP_REDACT_FIELDS", "a")],
            &["MCPTAP_REDACT_FIELDS, which is no setting"],
        ),
        (&good, &[("MCPTAP_CONFG", "a")], &["is MCPTAP_CONFIG meant?"]),
    ];
    let started = folder.path().join("started");
    for (file, environment, told) in cases {
        let wrap = ["wrap", "--config", file, "--", "touch", "started"];
        let proxy = [
            "proxy",
            "--upstream=http://127.0.0.1:9",
            "--listen=127.0.0.1:0",
            "--config",
            file,
        ];
        for command in [&wrap[..], &proxy] {
            let output = mcptap(folder.path(), command, environment);
            let said = refused(&output);
            for words in *told {
                assert!(said.contains(words), "{command:?} {environment:?}: {said}");
            }
            assert!(!started.exists(), "{command:?} {environment:?}");
        }
    }
}

#[test]
fn other_variables_that_are_none_are_told_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let environment = |name: &'static str| {
        [
            (name, "1d"),
            ("MCPTAP_SPOOL_DIR", spool.to_str().unwrap()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ]
    };
    let started = folder.path().join("started");
    for (name, told) in [
        (
            "MCPTAP_RETENTOIN",
            "MCPTAP_RETENTOIN, which is no setting; is MCPTAP_RETENTION meant?",
        ),
        ("MCPTAP_KEY", "MCPTAP_KEY, which is no setting"),
        ("MCPTAP_REDACT_ENV", "redact_env names 1d, which is not set here"),
        // A wrong value is another matter: nothing is recorded then.
        ("MCPTAP_CAPTURE", "nothing is recorded: MCPTAP_CAPTURE is \"1d\""),
    ] {
        let wrapped = mcptap(
            folder.path(),
            &["wrap", "--", "touch", "started"],
            &environment(name),
        );
        succeeded(&wrapped);
        let said = String::from_utf8_lossy(&wrapped.stderr);
        assert!(said.contains(told), "{said}");
        std::fs::remove_file(&started).unwrap();
    }
}

#[tokio::test]
async fn a_collector_that_does_not_speak_tls_is_told_so() {
    let server = TestServer::start().await;
    let mut wrapped = Wrapping::at(server.otlp_http_url().replace("http:", "https:")).run(&python(ECHO));
    wrapped.call(json!(1), "ping", json!({})).await;
    let said = wrapped.error_line().await;
    assert!(
        said.contains("does not speak TLS; let the endpoint begin with http://"),
        "{said}"
    );
    wrapped.end().await;
}
