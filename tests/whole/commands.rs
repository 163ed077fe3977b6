//! The commands that do one thing and end.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{BINARY, Database, PATIENCE, TestServer, on_each_database, span};

/// Runs the binary in an empty environment of its own.
pub(crate) fn mcptap(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
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

pub(crate) fn succeeded(output: &Output) -> &str {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn refused(output: &Output) -> &str {
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

#[tokio::test]
async fn migrate_makes_the_tables_once_and_for_all() {
    on_each_database(async |database| {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let migrated = mcptap(
                directory.path(),
                &["migrate", "--database-url", database.url()],
                &[("NO_COLOR", "")],
            );
            assert_eq!(succeeded(&migrated), "the tables are up to date\n");
            // The log is told in a line, whatever steps there were, and a pipe gets no colours.
            let log = String::from_utf8_lossy(&migrated.stderr);
            assert!(log.lines().count() <= 1 && !log.contains('\u{1b}'), "{log}");
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

#[test]
fn mistakes_in_what_a_key_shall_be_are_no_matter_of_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/keys.db?mode=rwc", directory.path().display());
    let keys = |arguments: &[&str]| {
        let arguments = [&["keys"], arguments, &["--database-url", &url]].concat();
        mcptap(directory.path(), &arguments, &[])
    };
    let name = "x".repeat(101);
    for (flags, told) in [
        (
            &["--name=a", "--scope=read", "--expires=90"][..],
            "mcptap: --expires is \"90\"; give a number with a unit",
        ),
        (
            &["--name=a", "--scope=payloads"],
            "mcptap: scope payloads adds to scope read",
        ),
        (
            &["--name", &name, "--scope=read"],
            "mcptap: the name of a key has 1 to 100",
        ),
        (&["--name=a", "--scope=admin", "--server=shop"], "mcptap: "),
    ] {
        let output = keys(&[&["create"], flags].concat());
        let said = refused(&output);
        assert!(
            said.starts_with(told) && !said.contains("database"),
            "{flags:?}: {said}"
        );
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            0,
            "{flags:?}"
        );
    }
    succeeded(&keys(&["create", "--name=a", "--scope=read"]));
    let unknown = keys(&["revoke", "99"]);
    assert_eq!(
        refused(&unknown),
        "mcptap: there is no key 99; mcptap keys list shows them\n"
    );
    std::fs::write(directory.path().join("keys.db"), "words\n".repeat(1000)).unwrap();
    for command in [
        &["list"][..],
        &["revoke", "1"],
        &["create", "--name=a", "--scope=read"],
    ] {
        let output = keys(command);
        assert!(
            refused(&output).starts_with("mcptap: opening the database"),
            "{}",
            refused(&output)
        );
    }
}

#[test]
fn only_a_new_key_makes_a_database_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/typo.db?mode=rwc", directory.path().display());
    for command in [
        &["prune", "--older-than", "1d"][..],
        &["keys", "revoke", "1"],
        &["keys", "list"],
    ] {
        let arguments = [command, &["--database-url", &url]].concat();
        let said = refused(&mcptap(directory.path(), &arguments, &[])).to_owned();
        assert!(
            said.contains("no database of mcptap there yet") && said.contains("typo.db"),
            "{said}"
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    let create = || {
        let arguments = [
            "keys",
            "create",
            "--name=ki",
            "--scope=ingest",
            "--server=shop",
            "--database-url",
            &url,
        ];
        let made = mcptap(directory.path(), &arguments, &[]);
        assert!(succeeded(&made).starts_with("mcptap_"));
        String::from_utf8(made.stderr).unwrap()
    };
    let first = create();
    let last = first.lines().last().unwrap();
    assert!(
        first.contains("there was no database at sqlite://") && first.contains("first key of sqlite://"),
        "{first}"
    );
    assert!(
        last.contains("servers shop") && last.contains("typo.db") && last.ends_with("not shown again:"),
        "{first}"
    );
    let second = create();
    assert!(
        !second.contains("no database") && !second.contains("first key") && second.contains("typo.db"),
        "{second}"
    );
}

#[test]
fn help_lists_the_settings_that_a_command_uses() {
    let directory = tempfile::tempdir().unwrap();
    for (command, used) in [
        (&["keys", "create"][..], &["--database-url", "--log"][..]),
        (&["keys", "list"], &["--database-url", "--log"]),
        (&["keys", "revoke"], &["--database-url", "--log"]),
        (&["migrate"], &["--database-url", "--log"]),
        (&["prune"], &["--database-url", "--log", "--retention"]),
        (
            &["redact"],
            &["--redact-keys", "--redact-patterns", "--redact-env"],
        ),
    ] {
        let help = |command: &[&str]| {
            let printed = mcptap(directory.path(), &[command, &["--help"]].concat(), &[]);
            succeeded(&printed).to_owned()
        };
        let all = help(&["serve"]);
        let settings = all
            .split_whitespace()
            .filter(|word| word.starts_with("--") && !["--help", "--config"].contains(word));
        let told = help(command);
        let listed = |flag: &str| told.split_whitespace().any(|word| word == flag);
        for flag in settings {
            assert_eq!(listed(flag), used.contains(&flag), "{command:?} {flag}");
        }
        assert!(listed("--config"), "{told}");

        let refused = mcptap(
            directory.path(),
            &[command, &["--graphql-timeout", "never", "--listn"]].concat(),
            &[],
        );
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("--listn"), "{said}");
    }
}

/// A command that reads what has no end, or waits for somebody who never writes, is refused before it does.
#[tokio::test]
async fn nothing_without_an_end_is_read_by_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    let run = async |arguments: &[&str], input: Stdio| {
        let mut command = tokio::process::Command::new(BINARY);
        command
            .args(arguments)
            .current_dir(folder.path())
            .stdin(input)
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output());
        output.await.expect("it ends by itself").unwrap()
    };
    let url = format!("postgres://u@127.0.0.1:1/d?sslmode=verify-ca&sslrootcert={pipe}");
    for arguments in [
        &["redact", "--test", "/dev/zero"][..],
        &["redact", "--test", pipe],
        &["config", "check", "--config", pipe],
        &["config", "print", "--config", "/dev/zero"],
        &["serve", "--config", pipe],
        &["wrap", "--install", pipe, "--server", "x"],
        &["config", "check", "--geoip-file", pipe],
        &["config", "check", "--database-url", &url],
    ] {
        let output = run(arguments, Stdio::null()).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("no regular file") || said.contains("which is no file"),
            "{arguments:?}: {said}"
        );
    }
    let endless = std::fs::File::open("/dev/zero").unwrap();
    let output = run(&["redact", "--test", "-"], endless.into()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("more than 16777216 bytes"),
        "{said}"
    );
    // What a shell hands over has its writer, and nothing is in the file of the system that is empty.
    let rules = "config print --config <(echo 'retention = \"7d\"')";
    let output = run(&["config", "print", "--config", "/dev/null"], Stdio::null()).await;
    assert!(output.status.success());
    let mut shell = tokio::process::Command::new("bash");
    shell
        .args(["-c", &format!("\"$0\" {rules}"), BINARY])
        .current_dir(folder.path());
    let output = shell.output().await.unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("retention = \"7d\""),
        "{output:?}"
    );
}
