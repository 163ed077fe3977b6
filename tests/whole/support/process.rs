//! mcptap in a process of its own: the real binary, which can be killed.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use super::{Client, Database, PATIENCE};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mcptap");

/// A running process and a client of it.
pub(crate) struct TestProcess {
    client: Client,
    child: Child,
    /// Its log, line by line, to its end.
    log: JoinHandle<String>,
}

impl Deref for TestProcess {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestProcess {
    /// `mcptap serve` on this database and on free ports.
    pub(crate) async fn serve(database: &Database) -> Self {
        Self::run("serve", database).await
    }

    /// `mcptap serve` on this database, telling of all that it does.
    pub(crate) async fn debugging(database: &Database) -> Self {
        let mut program = Command::new(BINARY);
        program.env("MCPTAP_LOG", "debug");
        Self::launch(program, "serve", database, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// `mcptap serve` on this database, with OTLP over HTTP at an address that was there before.
    pub(crate) async fn serve_otlp_on(database: &Database, otlp_http: SocketAddr) -> Self {
        Self::launch(Command::new(BINARY), "serve", database, otlp_http).await
    }

    /// `mcptap serve` with so much memory to hold others' bytes in, such as `256MiB`.
    pub(crate) async fn serve_with_budget(database: &Database, budget: &str) -> Self {
        let mut program = Command::new(BINARY);
        program.env("MCPTAP_MEMORY_BUDGET", budget);
        Self::launch(program, "serve", database, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// `mcptap serve` where the system lets it have no more open files than this.
    pub(crate) async fn serve_with_files(database: &Database, files: u32) -> Self {
        Self::serve_limited(database, &format!("-n {files}")).await
    }

    /// `mcptap serve` where the system sets it a limit, as `ulimit` takes it.
    pub(crate) async fn serve_limited(database: &Database, limit: &str) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit {limit}; exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, BINARY]);
        Self::launch(shell, "serve", database, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// `mcptap serve` on a file system of 6 MiB, which it alone sees at this folder. `None` where none can be made.
    pub(crate) async fn serve_on_small_disk(database: &Database, folder: &Path) -> Option<Self> {
        let mounted = "mount -t tmpfs -o size=6m tmpfs \"$1\"";
        let unshared = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
            command.arg(BINARY).arg(folder);
            command
        };
        let tried = unshared(mounted).output().await.ok()?;
        if !tried.status.success() {
            return None;
        }
        let serve = format!("{mounted} && shift && exec \"$0\" \"$@\"");
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Some(Self::launch(unshared(&serve), "serve", database, anywhere).await)
    }

    /// Any command that serves.
    pub(crate) async fn run(command: &str, database: &Database) -> Self {
        Self::launch(
            Command::new(BINARY),
            command,
            database,
            SocketAddr::from(([127, 0, 0, 1], 0)),
        )
        .await
    }

    async fn launch(mut program: Command, command: &str, database: &Database, otlp_http: SocketAddr) -> Self {
        let mut child = program
            .arg(command)
            .args(["--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"])
            .args(["--otlp-http", &otlp_http.to_string()])
            .args(["--database-url", database.url(), "--retention", "off"])
            .current_dir(std::env::temp_dir())
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let announced = async {
            let listen = address(&mut lines, "traffic log on").await;
            let grpc = address(&mut lines, "receiving OTLP/gRPC on").await;
            let http = address(&mut lines, "receiving OTLP/HTTP on").await;
            Client::new(listen, grpc, http)
        };
        let client = tokio::time::timeout(PATIENCE, announced)
            .await
            .expect("the process announces its addresses");
        // Its log goes on: a full pipe would stop it.
        let log = tokio::spawn(async move {
            let mut log = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if !line.contains("DEBUG") {
                    eprintln!("{line}");
                }
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        Self { client, child, log }
    }

    /// The memory that it has at the moment, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.memory_by("VmRSS:")
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory_by("VmHWM:")
    }

    fn memory_by(&self, measure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(measure))
            .unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    /// Ends it at once, as a crash does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop.
    pub(crate) async fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    /// Ends it in peace; its log since it was ready.
    pub(crate) async fn stopped(self) -> String {
        self.terminate().await;
        tokio::time::timeout(PATIENCE, self.log)
            .await
            .expect("the process ends")
            .unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("the process ends")
            .unwrap()
    }
}

/// Reads on until an address is announced.
async fn address(lines: &mut Lines<BufReader<ChildStderr>>, announcement: &str) -> SocketAddr {
    let mut read = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, url)) = line.split_once(announcement) {
            return url.trim().trim_start_matches("http://").parse().unwrap();
        }
        read.push(line);
    }
    panic!("no {announcement:?} in its log:\n{}", read.join("\n"));
}
