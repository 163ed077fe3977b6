//! Signals, passed on to the server; and its end, made the wrapper's own.

use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::thread;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};

/// Signals that a terminal sends to the server as well as to us.
const FROM_TERMINALS: [i32; 2] = [SIGINT, SIGQUIT];

/// Passes signals on to a process until the handle is closed.
pub(super) fn pass_on(process: u32) -> anyhow::Result<Handle> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    let process = process.context("the server has no process id")?;
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])
        .context("listening for signals")?;
    let handle = signals.handle();
    let at_terminal = std::io::stdin().is_terminal();
    thread::Builder::new()
        .name("mcptap-signals".to_owned())
        .spawn(move || {
            for number in &mut signals {
                let sent_to_both = at_terminal && FROM_TERMINALS.contains(&number);
                if let (false, Some(signal)) = (sent_to_both, Signal::from_named_raw(number)) {
                    // It may have ended meanwhile.
                    let _gone = kill_process(process, signal);
                }
            }
        })
        .context("starting the thread for signals")?;
    Ok(handle)
}

/// The exit code of the server. Where a signal ended it, the same signal ends us.
pub(super) fn end_as(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal() {
        if let Err(error) = signal_hook::low_level::emulate_default_handler(signal) {
            tracing::debug!(%error, signal, "the server's signal could not be repeated");
        }
        // As shells say it, should the signal not have ended us.
        return ExitCode::from(u8::try_from(signal).map_or(255, |signal| signal.saturating_add(128)));
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(255))
}
