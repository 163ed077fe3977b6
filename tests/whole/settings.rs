//! Settings, as `serve` and `config check` judge them.

use std::collections::BTreeSet;

use clap::{Args, Command};
use mcptap::Settings;

use crate::commands::{mcptap, refused, succeeded};

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
        ("MCPTAP_MAX_CONNECTIONS", "100"),
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
    lost_after = "60s"
    ingest_queue_spans = 65536
    body_cap = 3000
    memory_budget = "300MiB"
    readers = 6
    max_connections = 100
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
    max_variables = "256KiB"
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

/// A wrong value of every setting, and what is told.
const WRONG: [(&str, &str, &str); 34] = [
    ("listen", "nowhere", "listen is \"nowhere\""),
    ("otlp_grpc", "192.0.2.1:4317", "cannot listen at"),
    ("otlp_http", "127.0.0.1:6278", "same address"),
    ("allow_remote", "maybe", "true or false"),
    (
        "database_url",
        "postgres://me:hunter2@db/x?sslmode=nonsense",
        "sslmode=disable",
    ),
    ("retention", "1m", "give 1h or more"),
    ("join_window", "off", "such as 15m"),
    ("lost_after", "20s", "30s or more"),
    ("ingest_queue_spans", "-1", "whole number"),
    ("body_cap", "0", "MCPTAP_CAPTURE=metadata"),
    ("memory_budget", "much", "512MiB"),
    ("readers", "1", "give 2 to 1000"),
    ("geoip_file", "/none.mmdb", "/none.mmdb"),
    ("max_connections", "100000000", "open files"),
    ("trust_forwarded_for", "1", "true or false"),
    ("allowed_origins", "https://*.example", "no origin"),
    ("allowed_hosts", "https://tap.example", "no host name"),
    ("redact_keys", "-", "is no name"),
    ("redact_patterns", "a*", "empty text"),
    ("redact_env", "PIN", "at least 6"),
    ("log", "mcptap=loud", "log is"),
    ("introspection", "some", "authenticated"),
    ("max_depth", "4", "give 5 to"),
    ("max_complexity", "199", "give 200 to"),
    ("max_aliases", "4294967296", "give 0 to"),
    ("max_tokens", "many", "whole number"),
    ("max_root_fields", "0", "give 1 to"),
    ("max_variables", "-1", "such as 512MiB"),
    ("max_batch", "0", "give 1 to"),
    ("max_socket_operations", "0", "give 1 to"),
    ("max_operations", "0", "give 1 to"),
    ("max_subscriptions", "4294967296", "give 0 to"),
    ("timeout", "0s", "such as 30s"),
    ("init_timeout", "off", "such as 10s"),
];

/// Nothing can be found by one of them only.
#[test]
fn serve_and_check_refuse_every_wrong_setting_with_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let command = Settings::augment_args(Command::new("serve"));
    let mut tried = BTreeSet::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let (_, value, words) = WRONG
            .iter()
            .find(|(name, ..)| *name == id)
            .unwrap_or_else(|| panic!("{id} has no wrong value here"));
        tried.insert(id);
        let flag = format!("--{}={value}", argument.get_long().unwrap());
        let variable = argument.get_env().unwrap().to_str().unwrap();
        let said = |command: &[&str], flags: &[&str], environment: &[(&str, &str)]| {
            let arguments = [command, flags].concat();
            let environment = [&[("PIN", "1234"), ("RUST_BACKTRACE", "1")], environment].concat();
            let output = mcptap(directory.path(), &arguments, &environment);
            refused(&output).to_owned()
        };
        let serve = said(&["serve"], &[&flag], &[]);
        assert!(
            serve.contains(words) && !serve.contains("hunter2"),
            "{id}: {serve}"
        );
        assert!(
            !serve.contains("backtrace") && !serve.contains("\u{1b}"),
            "{id}: {serve}"
        );
        assert_eq!(serve.matches(words).count(), 1, "{id} is told once: {serve}");
        for command in [&["serve"][..], &["config", "check"], &["demo"]] {
            // Of the environment wrapper and proxy read some too, and say so.
            for told in [
                said(command, &[&flag], &[]),
                said(command, &[], &[(variable, *value)]),
            ] {
                assert!(told.contains(words), "{id}: {told}");
            }
        }
        assert_eq!(said(&["config", "check"], &[&flag], &[]), serve, "{id}");
        let file = directory.path().join("mcptap.toml");
        let table = if flag.starts_with("--graphql-") {
            "[graphql]\n"
        } else {
            ""
        };
        let text = match id {
            "allowed_origins" | "allowed_hosts" | "redact_keys" | "redact_patterns" | "redact_env" => {
                format!("{id} = [\"{value}\"]\n")
            }
            _ => format!("{table}{id} = \"{value}\"\n"),
        };
        std::fs::write(&file, text).unwrap();
        assert_eq!(said(&["serve"], &[], &[]), serve, "{id}");
        assert_eq!(said(&["config", "check"], &[], &[]), serve, "{id}");
        std::fs::remove_file(&file).unwrap();
    }
    assert_eq!(tried.len(), WRONG.len(), "each is a setting: {tried:?}");
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing was opened"
    );
}

#[test]
fn the_file_the_environment_flags_and_what_others_can_reach_are_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = "retentoin = \"7d\"\nretention = 7\njoin_window = \"often\"\n[graphql]\nmax_dept = 1\n";
    std::fs::write(directory.path().join("mcptap.toml"), file).unwrap();
    let flags = [
        "--redact-patterns=(",
        "--redact-patterns=)",
        "--allowed-origins=*",
        "--readers=0",
        "--body-cap=much",
        "--listen=0.0.0.0:1",
    ];
    let environment = [
        ("MCPTAP_NOPE", "1"),
        ("MCPTAP_SPOOL_BYTES", "many"),
        ("MCPTAP_CAPTURE", "ful"),
    ];
    for command in [&["serve"][..], &["config", "check"]] {
        let output = mcptap(directory.path(), &[command, &flags].concat(), &environment);
        let said = refused(&output);
        for told in [
            "retentoin",
            "line 2: retention is a number",
            "join_window is \"often\"",
            "graphql.max_dept",
            "\"(\"",
            "\")\"",
            "allowed_origins holds *",
            "readers is 0",
            "body_cap is \"much\"",
            "listen is 0.0.0.0:1",
            "MCPTAP_NOPE",
            "MCPTAP_SPOOL_BYTES",
            "MCPTAP_CAPTURE is \"ful\"",
        ] {
            assert!(said.contains(told), "{told} is missing: {said}");
        }
    }
}

#[test]
fn what_has_no_effect_is_refused_by_check_and_told_by_serve() {
    let directory = tempfile::tempdir().unwrap();
    for (flags, environment, words) in [
        (
            &["--redact-patterns="][..],
            &[][..],
            "redact_patterns has an empty entry",
        ),
        (
            &["--allowed-hosts=a.example,,b.example"],
            &[],
            "allowed_hosts has an empty entry",
        ),
        (&["--redact-env=NOT_SET"], &[], "NOT_SET"),
        (&[], &[("MCPTAP_RETENTOIN", "1d")], "is MCPTAP_RETENTION meant"),
        (
            &[],
            &[("MCPTAP_PROXY_FOO", "1")],
            "MCPTAP_PROXY_FOO, which is no setting",
        ),
        (&[], &[("MCPTAP_PROXY_LISTEN", "nowhere")], "nowhere"),
        (&[], &[("MCPTAP_SPOOL_BYTES", "many")], "MCPTAP_SPOOL_BYTES"),
    ] {
        let checked = mcptap(
            directory.path(),
            &[&["config", "check"], flags].concat(),
            environment,
        );
        assert!(refused(&checked).contains(words), "{}", refused(&checked));
        // It warns before it opens anything, and fails here at an address that is taken.
        let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = format!("--listen={}", busy.local_addr().unwrap());
        let free = [
            "serve",
            &listen,
            "--otlp-grpc=127.0.0.1:0",
            "--otlp-http=127.0.0.1:0",
        ];
        let served = mcptap(directory.path(), &[&free, flags].concat(), environment);
        let said = refused(&served);
        assert!(said.contains(words) && said.contains("another mcptap"), "{said}");
    }
    for environment in [
        &[("MCPTAP_PROXY_ALLOWED_HOSTS", "mcp.example")][..],
        &[
            ("MCPTAP_BIN", "x"),
            ("MCPTAP_URL", "http://127.0.0.1:1"),
            ("MCPTAP_SPOOL_DIR", "/tmp"),
        ],
        &[("MCPTAP_REDACT_PATTERNS", ""), ("MCPTAP_ALLOWED_ORIGINS", "")],
        &[("MCPTAP_REDACT_PATTERNS", "ACME-[0-9]+\n")],
    ] {
        succeeded(&mcptap(directory.path(), &["config", "check"], environment));
    }
    std::fs::write(
        directory.path().join("mcptap.toml"),
        "[proxy]\nallowed_hosts = [\"mcp.example\"]\nlisten = \"127.0.0.1:6299\"\n",
    )
    .unwrap();
    succeeded(&mcptap(directory.path(), &["config", "check"], &[]));
}

#[test]
fn serve_and_check_refuse_every_database_of_no_use_with_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("sqlite://{}/{name}", directory.path().display());
    std::fs::write(directory.path().join("text.db"), "only words\n".repeat(20)).unwrap();
    let foreign = |id: u32| {
        // The header of an empty file of SQLite, with the application_id of some program.
        let mut header = b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20".to_vec();
        header.resize(4096, 0);
        header[68..72].copy_from_slice(&id.to_be_bytes());
        header
    };
    std::fs::write(directory.path().join("foreign.db"), foreign(0x1234_5678)).unwrap();
    let before = std::fs::read_dir(directory.path()).unwrap().count();
    for (url, words) in [
        (at("missing/x.db?mode=rwc"), "missing is not there"),
        (at("nothere.db"), "?mode=rwc"),
        (at("text.db"), "another program"),
        (at("foreign.db"), "application_id"),
        (at("new.db?mode=ro"), "mode=ro"),
        (at("new.db?mode=rwc&nope=1"), "immutable"),
        (
            format!("sqlite://{}?mode=rwc", directory.path().display()),
            "no file",
        ),
        ("postgres://u:hunter2@h/d?sslmod=require".to_owned(), "unknown"),
        (
            "postgres://u:hunter2@h/d?sslmode=verify-ca&sslrootcert=/none.pem".to_owned(),
            "sslrootcert",
        ),
    ] {
        let flags = ["--database-url", &url];
        let free = [
            "--listen=127.0.0.1:0",
            "--otlp-grpc=127.0.0.1:0",
            "--otlp-http=127.0.0.1:0",
        ];
        let flags = [&flags[..], &free].concat();
        let checked = mcptap(
            directory.path(),
            &[&["config", "check"][..], &flags].concat(),
            &[],
        );
        let served = mcptap(directory.path(), &[&["serve"][..], &flags].concat(), &[]);
        assert!(refused(&checked).contains(words), "{url}: {}", refused(&checked));
        assert_eq!(refused(&served), refused(&checked), "{url}");
        assert!(!refused(&served).contains("hunter2"));
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), before);
}

#[test]
fn every_address_that_is_taken_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let busy = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [listen, grpc, http] = busy.each_ref().map(|busy| busy.local_addr().unwrap().to_string());
    let flags = ["--listen", &listen, "--otlp-grpc", &grpc, "--otlp-http", &http];
    let served = mcptap(directory.path(), &[&["serve"][..], &flags].concat(), &[]);
    let said = refused(&served);
    for (address, setting) in [(&listen, "listen"), (&grpc, "otlp_grpc"), (&http, "otlp_http")] {
        assert!(
            said.contains(&format!("listening on {address} ({setting})")),
            "{said}"
        );
    }
    // A server may be running: that its ports are taken is no mistake in the settings.
    let checked = mcptap(
        directory.path(),
        &[&["config", "check"][..], &flags].concat(),
        &[],
    );
    assert_eq!(succeeded(&checked), "the settings are good\n");
}

#[test]
fn an_empty_variable_switches_off_nothing_that_the_file_cuts_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = "redact_keys = [\"ssn\"]\nredact_patterns = [\"ACME-[0-9]+\"]\n";
    std::fs::write(directory.path().join("mcptap.toml"), file).unwrap();
    std::fs::write(directory.path().join("text"), "ssn=1 ACME-7 dob=2").unwrap();
    let redact = |environment: &[(&str, &str)]| {
        let output = mcptap(directory.path(), &["redact", "--test", "text"], environment);
        succeeded(&output).to_owned()
    };
    let empty = [("MCPTAP_REDACT_KEYS", ""), ("MCPTAP_REDACT_PATTERNS", "")];
    assert_eq!(redact(&empty), "ssn=[redacted] [redacted] dob=2");
    assert_eq!(
        redact(&[("MCPTAP_REDACT_KEYS", "dob")]),
        "ssn=1 [redacted] dob=[redacted]"
    );
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

#[test]
fn a_password_in_the_wrong_place_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgres://me:hunter2@db.example/calls?password=hunter2";
    let mut lines: Vec<Vec<&str>> = [
        "serve",
        "demo",
        "migrate",
        "prune",
        "keys list",
        "config check",
        "config print",
    ]
    .iter()
    .map(|command| command.split(' ').chain([url]).collect())
    .collect();
    for flag in [
        "--listen",
        "--geoip-file",
        "--config",
        "--log",
        "--retention",
        "--graphql-timeout",
    ] {
        lines.push(vec!["serve", flag, url]);
        lines.push(vec!["config", "check", flag, url]);
    }
    lines.push(vec!["serve", "--lisen=postgres://me:hunter2@db.example/calls"]);
    lines.push(vec!["wrap", "--name", "x", url]);
    for keyed in [
        "http://h.example/mcp?api_key=hunter2",
        "http:/u:hunter2@h/x",
        "http://u:a/hunter2@h/x",
    ] {
        lines.push(vec!["proxy", "--upstream", keyed]);
        lines.push(vec!["proxy", keyed]);
    }
    let cut_off = ["?hunter2", "hunter2#x", "1/hunter2"].map(|secret| format!("postgres://u:{secret}@h/d"));
    for url in &cut_off {
        for command in ["serve", "migrate", "keys list", "config check"] {
            let words = command.split(' ').chain(["--database-url", url]);
            lines.push(words.collect());
        }
    }
    for line in lines {
        let output = std::process::Command::new(crate::support::BINARY)
            .args(&line)
            .current_dir(&folder)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{line:?}: {told}");
        assert!(!told.is_empty() && !told.contains("hunter2"), "{line:?}: {told}");
        if line
            .last()
            .is_some_and(|url| cut_off.iter().any(|one| one == url))
        {
            assert!(
                told.contains("password") && told.contains("percent-encode") && told.contains("%3F"),
                "{line:?}: {told}"
            );
        }
    }
    // Help tells what is set.
    let output = std::process::Command::new(crate::support::BINARY)
        .args(["serve", "--help"])
        .env("MCPTAP_DATABASE_URL", url)
        .current_dir(&folder)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(told.contains("db.example") && !told.contains("hunter2"), "{told}");
    assert!(told.contains("postgres://USER@HOST/NAME"), "{told}");
}
