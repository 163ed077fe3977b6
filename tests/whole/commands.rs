//! The commands that do one thing and end.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{BINARY, Database, TestServer, on_each_database, span};

/// Runs the binary in an empty environment of its own.
fn mcptap(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(BINARY);
    command
        .current_dir(directory)
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .env("NO_COLOR", "1");
    command.envs(environment.iter().copied()).output().unwrap()
}

fn succeeded(output: &Output) -> &str {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::str::from_utf8(&output.stdout).unwrap()
}

fn refused(output: &Output) -> &str {
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let directory = tempfile::tempdir().unwrap();
    let printed = mcptap(directory.path(), &["schema"], &[]);
    assert_eq!(
        succeeded(&printed),
        std::fs::read_to_string("schema.graphql").unwrap()
    );
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let file = "retention = \"7d\"\njoin_window = \"5m\"\nbody_cap = 1000\nlog = \"warn\"\n\
                database_url = \"postgres://me:hunter2@db.example/calls\"\n";
    std::fs::write(directory.path().join("mcptap.toml"), file).unwrap();
    let environment = [
        ("MCPTAP_JOIN_WINDOW", "6m"),
        ("MCPTAP_BODY_CAP", "2000"),
        // By default these go by the machine.
        ("MCPTAP_MEMORY_BUDGET", "300MiB"),
        ("MCPTAP_READERS", "6"),
        ("MCPTAP_ALLOWED_ORIGINS", "https://a.example,https://b.example"),
        ("MCPTAP_REDACT_KEYS", "ssn,dob"),
        ("MCPTAP_REDACT_PATTERNS", "ACME-[0-9]{2,6}\nEMP[0-9]+"),
    ];
    let printed = mcptap(
        directory.path(),
        &["config", "print", "--body-cap", "3000"],
        &environment,
    );
    insta::assert_snapshot!(succeeded(&printed), @r#"
    listen = "127.0.0.1:6278"
    otlp_grpc = "127.0.0.1:4317"
    otlp_http = "127.0.0.1:4318"
    allow_remote = false
    database_url = "postgres://me:[redacted]@db.example/calls"
    retention = "7d"
    join_window = "6m"
    ingest_queue_spans = 65536
    body_cap = 3000
    memory_budget = "300MiB"
    readers = 6
    trust_forwarded_for = false
    allowed_origins = ["https://a.example", "https://b.example"]
    allowed_hosts = []
    redact_keys = ["ssn", "dob"]
    redact_patterns = ["ACME-[0-9]{2,6}", "EMP[0-9]+"]
    redact_env = []
    log = "warn"

    [graphql]
    introspection = "on"
    max_depth = 20
    max_complexity = 500000
    max_aliases = 30
    max_tokens = 4000
    max_root_fields = 20
    max_variables = 262144
    max_batch = 1
    max_socket_operations = 100
    max_operations = 256
    max_subscriptions = 5000
    timeout = "30s"
    init_timeout = "10s"
    "#);

    std::fs::rename(
        directory.path().join("mcptap.toml"),
        directory.path().join("other.toml"),
    )
    .unwrap();
    let named = mcptap(
        directory.path(),
        &["config", "print", "--config", "other.toml"],
        &[],
    );
    assert!(succeeded(&named).contains("retention = \"7d\""));
    let unnamed = mcptap(directory.path(), &["config", "print"], &[]);
    assert!(succeeded(&unnamed).contains("retention = \"30d\""));
    let missing = mcptap(
        directory.path(),
        &["config", "check", "--config", "nowhere.toml"],
        &[],
    );
    assert!(refused(&missing).contains("nowhere.toml"));
}

#[test]
fn a_mistake_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("mcptap.toml"), "retentoin = \"7d\"\n").unwrap();
    for command in [&["serve"][..], &["config", "check"], &["migrate"]] {
        let unknown = mcptap(directory.path(), command, &[]);
        let said = refused(&unknown);
        assert!(
            said.contains("retentoin") && said.contains("mcptap.toml"),
            "{said}"
        );
    }
    std::fs::remove_file(directory.path().join("mcptap.toml")).unwrap();
    for (setting, value) in [
        ("MCPTAP_RETENTION", "soon"),
        ("MCPTAP_JOIN_WINDOW", "off"),
        ("MCPTAP_INGEST_QUEUE_SPANS", "0"),
        ("MCPTAP_DATABASE_URL", "mysql://nowhere/calls"),
        ("MCPTAP_LOG", "=,="),
        ("MCPTAP_REDACT_KEYS", "-"),
        ("MCPTAP_REDACT_PATTERNS", "ab(c"),
        ("MCPTAP_REDACT_ENV", "NO_COLOR"),
    ] {
        let wrong = mcptap(
            directory.path(),
            &[
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--otlp-grpc",
                "127.0.0.1:0",
                "--otlp-http",
                "127.0.0.1:0",
            ],
            &[(setting, value)],
        );
        let said = refused(&wrong);
        let name = setting.trim_start_matches("MCPTAP_").to_ascii_lowercase();
        assert!(said.contains(&name) || said.contains(value), "{setting}: {said}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], environment: &[(&str, &str)]| {
        mcptap(
            directory.path(),
            &[&["config", "check"], arguments].concat(),
            environment,
        )
    };
    succeeded(&check(&[], &[]));
    std::fs::write(directory.path().join("countries.mmdb"), "root:x:0:0\n").unwrap();
    std::fs::write(
        directory.path().join("mcptap.toml"),
        "[proxy]\nupstream = \"ftp://files\"\nallowed_hosts = [\"*\"]\n",
    )
    .unwrap();
    let arguments = [
        "--database-url",
        "mysql://me:hunter2@db/calls",
        "--geoip-file",
        "countries.mmdb",
        "--log",
        "!!!",
        "--allowed-hosts",
        "*",
        "--allowed-origins",
        "*,null,ui.example.org",
        "--body-cap",
        "0",
        "--redact-env",
        "NOT_SET",
        "--redact-patterns",
        "ab(c",
        "--retention",
        "soon",
        "--graphql-max-depth",
        "0",
        "--max-connections",
        "0",
        "--otlp-http",
        "127.0.0.1:6278",
    ];
    let environment = [
        ("MCPTAP_NOPE", "1"),
        ("MCPTAP_RETENTOIN", "1d"),
        ("MCPTAP_PROXY_CONNECT_TIMEOUT", "off"),
        ("MCPTAP_CAPTURE", "some"),
    ];
    let output = check(&arguments, &environment);
    let said = refused(&output);
    for told in [
        "mysql:",
        "countries.mmdb",
        "log is \"!!!\"",
        "allowed_hosts holds \"*\"",
        "allowed_origins holds *",
        "allowed_origins holds null",
        "\"ui.example.org\"",
        "body_cap is 0",
        "NOT_SET",
        "ab(c",
        "retention is \"soon\"",
        "graphql.max_depth",
        "max_connections is 0",
        "same address",
        "MCPTAP_NOPE",
        "is MCPTAP_RETENTION meant",
        "ftp",
        "allowed_hosts of [proxy]",
        "connect_timeout",
        "MCPTAP_CAPTURE",
    ] {
        assert!(said.contains(told), "{told} is missing: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    let unread = check(&["--listen", "nowhere"], &[]);
    assert!(!unread.status.success() && String::from_utf8_lossy(&unread.stderr).contains("nowhere"));
}

#[test]
fn redact_shows_what_would_be_kept() {
    let directory = tempfile::tempdir().unwrap();
    let text = "{\"password\":\"open sesame\",\"ssn\":78051120,\"note\":\"ACME-123456 c2VhIHNoYW50eQ==\"}\n";
    std::fs::write(directory.path().join("body.json"), text).unwrap();
    std::fs::write(directory.path().join("mcptap.toml"), "redact_keys = [\"ssn\"]\n").unwrap();
    let environment = [
        ("MCPTAP_REDACT_PATTERNS", "ACME-[0-9]{6}\nEMP[0-9]+\n"),
        ("MCPTAP_REDACT_ENV", "SONG,NOT_SET"),
        ("SONG", "sea shanty"),
    ];
    let shown = mcptap(directory.path(), &["redact", "--test", "body.json"], &environment);
    assert_eq!(
        succeeded(&shown),
        "{\"password\":\"[redacted]\",\"ssn\":\"[redacted]\",\"note\":\"[redacted] [redacted]==\"}\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&shown.stderr),
        "1 × key ssn\n1 × pattern ACME-[0-9]{6}\n1 × value of SONG\n1 × value under a secret's name\n"
    );

    std::fs::remove_file(directory.path().join("mcptap.toml")).unwrap();
    let flags = [
        "redact",
        "--test",
        "body.json",
        "--redact-keys",
        "note",
        "--redact-env",
        "SONG",
    ];
    let shown = mcptap(directory.path(), &flags, &[("SONG", "open sesame")]);
    assert_eq!(
        succeeded(&shown),
        "{\"password\":\"[redacted]\",\"ssn\":78051120,\"note\":\"[redacted]\"}\n"
    );
    let nothing = mcptap(directory.path(), &["redact", "--test", "-"], &[]);
    assert_eq!((succeeded(&nothing), nothing.stderr.len()), ("", 0));
    let missing = mcptap(directory.path(), &["redact", "--test", "nowhere.json"], &[]);
    assert!(refused(&missing).contains("nowhere.json"));
    let short = mcptap(
        directory.path(),
        &["redact", "--test", "body.json"],
        &[("MCPTAP_REDACT_ENV", "PIN"), ("PIN", "1234")],
    );
    assert!(refused(&short).contains("PIN") && refused(&short).contains("at least 6"));
}

#[test]
fn what_others_can_reach_must_be_meant() {
    let directory = tempfile::tempdir().unwrap();
    for flag in ["--listen", "--otlp-grpc", "--otlp-http"] {
        let open = mcptap(directory.path(), &["serve", flag, "0.0.0.0:0"], &[]);
        let said = refused(&open);
        assert!(
            said.contains(&flag[2..].replace('-', "_")) && said.contains("--allow-remote"),
            "{said}"
        );
        let meant = mcptap(
            directory.path(),
            &["config", "check", flag, "0.0.0.0:0", "--allow-remote"],
            &[],
        );
        assert_eq!(succeeded(&meant), "the settings are good\n");
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing was opened"
    );
}

#[tokio::test]
async fn migrate_makes_the_tables_once_and_for_all() {
    on_each_database(async |database| {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let migrated = mcptap(
                directory.path(),
                &["migrate", "--database-url", database.url()],
                &[],
            );
            assert_eq!(succeeded(&migrated), "the tables are up to date\n");
        }
        let server = TestServer::on(database).await;
        server.export([span("tools/call get_order")]).await;
        assert_eq!(server.span_ids().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn prune_deletes_what_is_older() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let now = u64::try_from(now.as_nanos()).unwrap();
        let aged = |hours: u64| {
            span("tools/call get_order").with(|span| {
                span.start_time_unix_nano = now - hours * 3_600_000_000_000;
                span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000;
            })
        };
        let young = aged(1);
        let old = aged(50);
        server
            .export_logs([
                crate::support::line(&old, "a"),
                crate::support::line(&old, "b"),
                crate::support::line(&young, "c"),
            ])
            .await;
        server.export([young.clone(), old, aged(100)]).await;
        let database: Database = server.stop().await;
        let directory = tempfile::tempdir().unwrap();
        let prune = |age: &str| {
            mcptap(
                directory.path(),
                &["prune", "--older-than", age, "--database-url", database.url()],
                &[],
            )
        };
        assert_eq!(succeeded(&prune("49h")), "deleted 2 calls and 2 log lines\n");
        assert_eq!(succeeded(&prune("49h")), "deleted 0 calls and 0 log lines\n");
        assert!(refused(&prune("long")).contains("--older-than"));
        let off = mcptap(
            directory.path(),
            &["prune", "--retention", "off", "--database-url", database.url()],
            &[],
        );
        assert!(refused(&off).contains("--older-than"));
        let server = TestServer::on(database).await;
        assert_eq!(server.span_ids().await, [young.id()]);
    })
    .await;
}
