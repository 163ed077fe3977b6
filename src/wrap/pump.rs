//! One direction of bytes: read, shown to the recorder, written, until either side is closed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use mcptap_sdk::internals::Pipe;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::console::Console;
use super::traceparent::Traceparents;

/// How much is carried at once, in bytes: what a pipe of Linux holds.
const CHUNK: usize = 64 * 1024;

/// Which way bytes go, and the server's end of it.
pub(super) enum Way {
    /// From our standard input to the server's, with traces where that is wanted.
    ToServer(ChildStdin, Option<Traceparents>),
    /// From the server's standard output to ours, after the lines of its console.
    FromServer(ChildStdout, Arc<Console>),
    /// From the server's standard error to ours.
    Console(Arc<Console>),
}

/// A thread that carries bytes one way.
pub(super) struct Pump {
    thread: JoinHandle<()>,
    progress: Arc<Progress>,
}

/// How far a pump is, for who waits for its end.
#[derive(Default)]
struct Progress {
    /// Counts reads and writes begun; odd while the pump waits for something to read.
    steps: AtomicU64,
}

impl Progress {
    fn reading(&self) {
        self.steps.fetch_or(1, Ordering::SeqCst);
    }

    fn read(&self) {
        self.steps.fetch_add(1, Ordering::SeqCst);
    }
}

impl Pump {
    pub(super) fn start(name: &str, way: Way, pipe: Option<Arc<Pipe>>) -> anyhow::Result<Self> {
        let progress = Arc::new(Progress::default());
        let thread = thread::Builder::new()
            .name(format!("mcptap-{name}"))
            .spawn({
                let progress = Arc::clone(&progress);
                move || carry(way, pipe.as_deref(), &progress)
            })
            .with_context(|| format!("starting the thread for {name}"))?;
        Ok(Self { thread, progress })
    }

    /// Waits until everything was carried, or until nothing has come for `silence`. A client that is slow to read is
    /// waited for.
    pub(super) fn finish(self, silence: Duration) {
        let mut last = self.progress.steps.load(Ordering::SeqCst);
        let mut since = Instant::now();
        while !self.thread.is_finished() {
            thread::sleep(Duration::from_millis(5));
            let steps = self.progress.steps.load(Ordering::SeqCst);
            let waits_for_input = steps & 1 == 1;
            if steps != last || !waits_for_input {
                last = steps;
                since = Instant::now();
            } else if since.elapsed() >= silence {
                return;
            }
        }
    }
}

fn carry(way: Way, pipe: Option<&Pipe>, progress: &Progress) {
    let mut buffer = vec![0; CHUNK];
    match way {
        Way::ToServer(mut server, mut traceparents) => {
            let mut pass = |bytes: &[u8]| {
                // Before they are passed on, since the answer may come at once.
                if let Some(pipe) = pipe {
                    pipe.from_client(bytes);
                }
                // The server may read no more, and the client is to notice.
                server.write_all(bytes)
            };
            while let Some(bytes) = next(&mut buffer, progress, |buffer| {
                rustix::io::read(rustix::stdio::stdin(), buffer).map_err(io::Error::from)
            }) {
                let passed = match &mut traceparents {
                    Some(traceparents) => pass(&traceparents.feed(bytes)),
                    None => pass(bytes),
                };
                if passed.is_err() {
                    break;
                }
            }
            if let Some(traceparents) = &mut traceparents {
                // A failure is the end as well.
                let _ = pass(&traceparents.finish());
            }
            if let Some(pipe) = pipe {
                pipe.end_of_client();
            }
            drop(server);
            close(|nothing| rustix::stdio::dup2_stdin(nothing));
        }
        Way::FromServer(mut server, console) => {
            while let Some(bytes) = next(&mut buffer, progress, |buffer| server.read(buffer)) {
                // Before it is passed on, since the next request may come at once.
                if let Some(pipe) = pipe {
                    console.catch_up();
                    pipe.from_server(bytes);
                }
                if write_all(rustix::stdio::stdout(), bytes).is_err() {
                    // The client reads no more, and the server is to notice.
                    break;
                }
            }
            drop(server);
            close(|nothing| rustix::stdio::dup2_stdout(nothing));
        }
        Way::Console(console) => {
            while let Some(bytes) = next(&mut buffer, progress, |buffer| console.take(buffer, pipe)) {
                // Nobody need read it; the server goes on in any case.
                let _unread = write_all(rustix::stdio::stderr(), bytes);
            }
        }
    }
}

/// The next bytes; none at the end, or when they cannot be read.
fn next<'a>(
    buffer: &'a mut [u8],
    progress: &Progress,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Option<&'a [u8]> {
    progress.reading();
    let count = loop {
        match read(buffer) {
            Ok(count) => break count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(rustix::stdio::stdin(), PollFlags::IN);
            }
            Err(_) => return None,
        }
    };
    progress.read();
    buffer.get(..count).filter(|bytes| !bytes.is_empty())
}

/// Writes everything. Whoever started us may have made the pipe non-blocking.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(to, PollFlags::OUT),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait(on: BorrowedFd<'_>, until: PollFlags) {
    // Woken early or not at all, the next try tells.
    let _tried_again = poll(&mut [PollFd::new(&on, until)], None);
}

/// Closes one of our standard streams, by putting nothing in its place: the other end sees it closed.
fn close(replace: impl FnOnce(&File) -> rustix::io::Result<()>) {
    let closed = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .and_then(|nothing| replace(&nothing).map_err(io::Error::from));
    if let Err(error) = closed {
        tracing::debug!(%error, "a standard stream could not be closed");
    }
}
