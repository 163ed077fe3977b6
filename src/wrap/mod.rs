//! `mcptap wrap -- COMMAND…`: runs an MCP server that speaks over its standard input and output, passes every byte
//! on as it comes, and records the calls on the way. For the client and for the server it is as if nothing were
//! between them: exit code, signals and closed pipes pass as well.
//!
//! [`run`] starts the server, three [`pump`]s carry bytes and show them to the SDK's `Pipe`, [`signals`] are passed
//! on, and the end of the server is the end of the wrapper.

mod console;
mod edit;
mod install;
mod jsonc;
mod pump;
mod signals;
mod traceparent;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use mcptap::{Captured, Given, Recording};
use mcptap_sdk::internals::Pipe;

use console::Console;
use pump::Pump;
use traceparent::Traceparents;

/// How long the server's output may be silent after its end before nobody waits for more: a child of its own may
/// hold the pipe open.
const SILENCE: Duration = Duration::from_secs(1);

/// Runs an MCP server and records its traffic, or lets a client do so.
#[derive(Args, Clone, Debug)]
pub(crate) struct Wrap {
    /// The server's name in the records [default: OTEL_SERVICE_NAME, else what the server calls itself]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Give requests that are part of no trace a traceparent in params._meta, so that what the server itself tells of them is
    /// one record with the wrapper's. It changes the messages that the server gets [default: false]
    #[arg(long, env = "MCPTAP_WRAP_TRACEPARENT", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    traceparent: Option<Given<bool>>,
    /// The server's command and its arguments, after --
    #[arg(
        last = true,
        value_name = "COMMAND",
        required_unless_present_any = ["install", "uninstall"],
        conflicts_with_all = ["install", "uninstall"]
    )]
    command: Vec<OsString>,
    /// Let the client with this configuration start the server through mcptap: Claude Desktop, Cursor, VS Code
    #[arg(long, value_name = "CONFIG", requires = "server")]
    install: Option<PathBuf>,
    /// Let the client start the server by itself again
    #[arg(long, value_name = "CONFIG", requires = "server", conflicts_with = "install")]
    uninstall: Option<PathBuf>,
    /// The server's name in that configuration
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only show what would be changed
    #[arg(long)]
    dry_run: bool,
}

impl Wrap {
    /// Whether a client's configuration is to be changed.
    pub(crate) fn configures(&self) -> bool {
        self.install.is_some() || self.uninstall.is_some()
    }

    /// Whether requests get a `traceparent`. A wrong value is logged, and no reason to keep the server from running.
    fn begins_traces(&self) -> bool {
        match &self.traceparent {
            Some(Given::Value(yes)) => *yes,
            // A variable that is set to nothing counts as unset.
            Some(Given::Wrong { text, .. }) if text.is_empty() => false,
            Some(Given::Wrong { text, advice }) => {
                tracing::warn!("traceparent is {text:?}; {advice}. Requests pass as they are");
                false
            }
            None => false,
        }
    }

    /// Changes the client's configuration. Returns the message to the user. `settings`: the settings file that the wrapper is to read
    /// when the client starts it.
    pub(crate) fn configure(&self, settings: Option<&Path>) -> anyhow::Result<String> {
        let server = self.server.as_deref().unwrap_or_default();
        if let Some(config) = &self.install {
            let exe = std::env::current_exe().context("finding the path of mcptap")?;
            let wrapper = install::Wrapper::new(&exe, settings)?;
            return install::install(config, server, &wrapper, self.dry_run);
        }
        let config = self.uninstall.as_deref().context("no configuration was given")?;
        install::uninstall(config, server, self.dry_run)
    }
}

/// Runs the server to its end; its exit code is returned.
pub(crate) fn run(wrap: &Wrap, captured: &Captured) -> anyhow::Result<ExitCode> {
    let (program, arguments) = wrap
        .command
        .split_first()
        .context("no command was given after --")?;
    let fallback = Path::new(program)
        .file_stem()
        .unwrap_or(program)
        .to_string_lossy();
    let recording = Recording::start(wrap.name.as_deref(), &fallback, captured);
    let pipe = recording
        .as_ref()
        .map(|recording| Arc::new(recording.watch().pipe()));
    let mut child = match Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => return Ok(not_started(Path::new(program), &error)),
    };
    let sends_every_span = recording.as_ref().is_some_and(Recording::sends_every_span);
    let traceparents = (wrap.begins_traces() && sends_every_span).then(Traceparents::default);
    let status = carry(&mut child, pipe.as_ref(), traceparents)?;
    if let Some(pipe) = pipe {
        pipe.close(&farewell(status));
    }
    if let Some(recording) = recording {
        recording.stop();
    }
    Ok(signals::end_as(status))
}

/// Carries bytes until the server has ended.
fn carry(
    child: &mut Child,
    pipe: Option<&Arc<Pipe>>,
    traceparents: Option<Traceparents>,
) -> anyhow::Result<ExitStatus> {
    let stdin = child.stdin.take().context("the server has no standard input")?;
    let stdout = child.stdout.take().context("the server has no standard output")?;
    let stderr = child.stderr.take().context("the server has no standard error")?;
    let console = Arc::new(Console::new(stderr));
    let signals = signals::pass_on(child.id())?;
    // Never waited for: it may be reading from a client that has nothing more to say.
    Pump::start("stdin", pump::Way::ToServer(stdin, traceparents), pipe.cloned())?;
    let outputs = [
        Pump::start(
            "stdout",
            pump::Way::FromServer(stdout, Arc::clone(&console)),
            pipe.cloned(),
        )?,
        Pump::start("stderr", pump::Way::Console(console), pipe.cloned())?,
    ];
    let status = child.wait().context("waiting for the server")?;
    signals.close();
    for output in outputs {
        output.finish(SILENCE);
    }
    Ok(status)
}

/// The server could not be started; codes as shells give them.
fn not_started(program: &Path, error: &std::io::Error) -> ExitCode {
    let (code, hint) = match error.kind() {
        ErrorKind::NotFound => (127, "; is it installed, and on the PATH?"),
        ErrorKind::PermissionDenied => (126, "; is it executable?"),
        _ => (126, ""),
    };
    mcptap::tell(format_args!(
        "mcptap wrap: cannot run {}: {error}{hint}",
        program.display()
    ));
    ExitCode::from(code)
}

/// Why what is open will not be answered.
fn farewell(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the server exited with code {code} before it answered"),
        (None, Some(signal)) => format!("the server was killed by signal {signal} before it answered"),
        (None, None) => "the server ended before it answered".to_owned(),
    }
}
