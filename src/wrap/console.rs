//! The server's standard error: passed on, and recorded before whatever the server says on its standard output
//! afterwards, so that a line belongs to the call that wrote it.
//!
//! The two are different pipes, read by different threads. What a server wrote to the one before it answered on the
//! other is in the pipe when the answer is read: [`Console::catch_up`] has it recorded first.

use std::io;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mcptap_sdk::internals::Pipe;
use rustix::event::{PollFd, PollFlags, poll};

/// The longest that an answer waits for the lines before it. In all but the rarest cases there is nothing to wait for.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long between two looks.
const PAUSE: Duration = Duration::from_micros(20);

/// The server's standard error.
#[derive(Debug)]
pub(super) struct Console {
    stderr: ChildStderr,
    /// How many bytes were taken out of the pipe and recorded.
    taken: Mutex<u64>,
    /// Whether an answer waited in vain since the last bytes were taken: whoever reads our standard error is slow.
    is_stuck: AtomicBool,
}

impl Console {
    pub(super) fn new(stderr: ChildStderr) -> Self {
        Self {
            stderr,
            taken: Mutex::new(0),
            is_stuck: AtomicBool::new(false),
        }
    }

    /// Reads what comes next and records it. Zero at the end.
    pub(super) fn take(&self, buffer: &mut [u8], pipe: Option<&Pipe>) -> io::Result<usize> {
        // Outside the lock. Nobody else reads, so that the read inside does not wait.
        poll(&mut [PollFd::new(&self.stderr, PollFlags::IN)], None)?;
        let mut taken = self.taken();
        let count = rustix::io::read(&self.stderr, &mut *buffer)?;
        if let (Some(pipe), Some(bytes)) = (pipe, buffer.get(..count).filter(|bytes| !bytes.is_empty())) {
            pipe.from_stderr(bytes);
        }
        *taken = taken.saturating_add(count as u64);
        self.is_stuck.store(false, Ordering::SeqCst);
        Ok(count)
    }

    /// Waits until what the server has written so far is recorded, though not long.
    pub(super) fn catch_up(&self) {
        if self.is_stuck.load(Ordering::SeqCst) {
            return;
        }
        let written = {
            let taken = self.taken();
            taken.saturating_add(rustix::io::ioctl_fionread(&self.stderr).unwrap_or(0))
        };
        let begun = Instant::now();
        while *self.taken() < written {
            if begun.elapsed() > PATIENCE {
                self.is_stuck.store(true, Ordering::SeqCst);
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    fn taken(&self) -> MutexGuard<'_, u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
