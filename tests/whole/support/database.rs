//! Databases that vanish with their test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

/// An empty database, deleted when dropped.
#[derive(Debug)]
pub(crate) struct Database {
    url: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sqlite { directory: tempfile::TempDir },
    Postgres { server: String, name: String },
}

/// Runs a test on SQLite, and on PostgreSQL where there is one.
pub(crate) async fn on_each_database(test: impl AsyncFn(Database)) {
    test(Database::sqlite()).await;
    match std::env::var("TEST_DATABASE_URL") {
        Ok(server) => {
            // Names the database of a failure that follows.
            eprintln!("on PostgreSQL:");
            test(Database::postgres(&server)).await;
        }
        Err(_) => {
            let required = std::env::var("MCPTAP_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
            assert!(
                !required,
                "TEST_DATABASE_URL is not set, and MCPTAP_REQUIRE_POSTGRES=1"
            );
        }
    }
}

impl Database {
    /// A file in a directory of its own.
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!(
            "sqlite://{}?mode=rwc",
            directory.path().join("calls.db").display()
        );
        Self {
            url,
            kind: Kind::Sqlite { directory },
        }
    }

    /// One of PostgreSQL, where there is a server.
    pub(crate) fn of_server() -> Option<Self> {
        let server = std::env::var("TEST_DATABASE_URL").ok();
        assert!(
            server.is_some() || std::env::var("MCPTAP_REQUIRE_POSTGRES").is_err(),
            "TEST_DATABASE_URL is not set"
        );
        server.map(|server| Self::postgres(&server))
    }

    fn postgres(server: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "mcptap_whole_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        psql(server, &format!("CREATE DATABASE {name}"));
        let (base, options) = server
            .split_once('?')
            .map_or((server, ""), |(base, options)| (base, options));
        let (host, _) = base
            .rsplit_once('/')
            .expect("TEST_DATABASE_URL ends in /DATABASE");
        let url = if options.is_empty() {
            format!("{host}/{name}")
        } else {
            format!("{host}/{name}?{options}")
        };
        Self {
            url,
            kind: Kind::Postgres {
                server: server.to_owned(),
                name,
            },
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The file of a SQLite database.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::Sqlite { directory } => Some(directory.path().join("calls.db")),
            Kind::Postgres { .. } => None,
        }
    }

    /// Everything that is stored, as bytes: the files of SQLite, a dump of PostgreSQL.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Sqlite { directory } => read_all(directory.path()),
            Kind::Postgres { .. } => {
                let dump = Command::new("pg_dump").arg("--data-only").arg(&self.url).output();
                succeeded(dump).stdout
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Kind::Postgres { server, name } = &self.kind
            && !std::thread::panicking()
        {
            psql(server, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

fn psql(server: &str, statement: &str) {
    succeeded(
        Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--command", statement, server])
            .output(),
    );
}

fn succeeded(output: std::io::Result<Output>) -> Output {
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn read_all(directory: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(directory).unwrap();
    files
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect()
}
