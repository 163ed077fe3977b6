//! `mcptap wrap` around servers that behave in every way a process can: for both sides it is as if it were not there,
//! and every request is one record.

mod bytes;
mod joined;
mod life;
mod naming;
mod outage;
mod records;
mod running;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::support::{BINARY, Client, PATIENCE, eventually};

/// Answers every request at once, with the params as the result; `log` is written to standard error; every line that
/// is not JSON is given back as it came. At the end of its input it exits with 0.
pub(crate) const ECHO: &str = r#"
import json, sys
for line in sys.stdin.buffer:
    try:
        messages = json.loads(line)
        assert isinstance(messages, (dict, list))
    except Exception:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        continue
    answers = []
    for message in messages if isinstance(messages, list) else [messages]:
        params = message.get("params", {})
        if "log" in params:
            print(params["log"], file=sys.stderr, flush=True)
        if "id" in message:
            answers.append({"jsonrpc": "2.0", "id": message["id"], "result": params})
    if answers:
        print(json.dumps(answers if isinstance(messages, list) else answers[0]), flush=True)
"#;

/// A python server.
pub(crate) fn python(script: &str) -> Vec<String> {
    ["python3", "-u", "-c", script].map(str::to_owned).to_vec()
}

/// A server that is a line of shell.
fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// How to run wrappers: where they send, and where they keep what cannot be sent.
pub(crate) struct Wrapping {
    endpoint: String,
    spool: TempDir,
    variables: Vec<(String, String)>,
}

impl Wrapping {
    /// Sends to this collector.
    pub(crate) fn to(collector: &Client) -> Self {
        Self::at(collector.otlp_http_url())
    }

    /// Sends to this address, whoever is there.
    pub(crate) fn at(endpoint: String) -> Self {
        Self {
            endpoint,
            spool: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// Sends to nobody: for tests that look at the passing bytes alone.
    fn nowhere() -> Self {
        Self::at("http://127.0.0.1:9".to_owned()).with("OTEL_SDK_DISABLED", "true")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn spool(&self) -> &Path {
        self.spool.path()
    }

    /// Starts a server in a wrapper.
    pub(crate) fn run(&self, server: &[String]) -> Wrapped {
        let mut command = Command::new(BINARY);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["wrap", "--"])
            .args(server)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint)
            .env("MCPTAP_SPOOL_DIR", self.spool())
            .env("NO_COLOR", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Wrapped {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            stderr: child.stderr.take().map(BufReader::new),
            child,
        }
    }
}

/// A server in a wrapper, and the client's ends of its pipes.
pub(crate) struct Wrapped {
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<BufReader<ChildStderr>>,
    child: Child,
}

/// What is left of a wrapper that ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
}

impl Wrapped {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// The next line of its standard output, without the line break; empty at the end.
    async fn line(&mut self) -> String {
        next_line(self.stdout.as_mut().unwrap()).await
    }

    /// The next line of its standard error.
    pub(crate) async fn error_line(&mut self) -> String {
        next_line(self.stderr.as_mut().unwrap()).await
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(&mut self, id: Value, method: &str, params: Value) -> Value {
        self.send(request(id, method, params)).await;
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Closes the server's input.
    fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Sends the wrapper a signal, `TERM` for example.
    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Closes the input and waits for the end.
    pub(crate) async fn end(mut self) -> Ended {
        self.hang_up();
        self.ended().await
    }

    /// Waits for the end.
    async fn ended(mut self) -> Ended {
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        let ending = async {
            let (mut out, mut err) = (self.stdout.take(), self.stderr.take());
            let read_out = async {
                if let Some(out) = out.as_mut() {
                    out.read_to_end(&mut stdout).await.unwrap();
                }
            };
            let read_err = async {
                if let Some(err) = err.as_mut() {
                    err.read_to_string(&mut stderr).await.unwrap();
                }
            };
            let ((), (), status) = tokio::join!(read_out, read_err, self.child.wait());
            status.unwrap()
        };
        let status = within("the end of the wrapper", ending).await;
        Ended {
            status,
            stdout,
            stderr,
        }
    }

    /// The most memory that the wrapper ever had, in bytes.
    fn peak_memory(&self) -> usize {
        let status = PathBuf::from(format!("/proc/{}/status", self.child.id().unwrap()));
        let status = std::fs::read_to_string(status).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

async fn next_line(from: &mut (impl AsyncBufReadExt + Unpin)) -> String {
    let mut line = String::new();
    within("a line", from.read_line(&mut line)).await.unwrap();
    line.trim_end_matches('\n').to_owned()
}

/// Waits, but not for ever.
async fn within<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A request as a line.
fn request(id: Value, method: &str, params: Value) -> String {
    let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    format!("{request}\n")
}

/// A call of a tool as a line.
fn call_tool(id: impl Into<Value>, tool: &str) -> String {
    request(id.into(), "tools/call", json!({"name": tool, "arguments": {}}))
}

/// Waits until there are that many calls, and makes sure that no more come. Oldest first.
async fn calls_of(collector: &Client, count: usize, fields: &str) -> Vec<Value> {
    eventually("every call", async || {
        (collector.calls(Value::Null, "id").await.len() >= count).then_some(())
    })
    .await;
    let calls = collector.calls(Value::Null, fields).await;
    assert_eq!(calls.len(), count, "{calls:?}");
    calls
}
