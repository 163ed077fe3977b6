//! The server's standard error: passed on, and recorded before whatever the server says on its standard output
//! afterwards, so that a line belongs to the call that wrote it.
//!
//! The two are different pipes, read by different threads. What a server wrote to the one before it answered on the
//! other is in the pipe when the answer is read: [`Console::catch_up`] has it recorded first.

use std::io;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mcptap_sdk::Pipe;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The longest that an answer waits for the lines before it. In all but the rarest cases there is nothing to wait for.
const PATIENCE: Duration = Duration::from_micros(500);
/// How long between two looks.
const PAUSE: Duration = Duration::from_micros(20);

/// The server's standard error.
#[derive(Debug)]
pub(super) struct Console {
    stderr: ChildStderr,
    /// Held while bytes are taken out of the pipe and recorded.
    taking: Mutex<()>,
    /// Whether an answer waited in vain since the last bytes were taken: whoever reads our standard error is slow.
    is_stuck: AtomicBool,
}

impl Console {
    pub(super) fn new(stderr: ChildStderr) -> Self {
        Self {
            stderr,
            taking: Mutex::new(()),
            is_stuck: AtomicBool::new(false),
        }
    }

    /// Reads what comes next and records it. Zero at the end.
    pub(super) fn take(&self, buffer: &mut [u8], pipe: Option<&Pipe>) -> io::Result<usize> {
        // Outside the lock. Nobody else reads, so that the read inside does not wait.
        poll(&mut [PollFd::new(&self.stderr, PollFlags::IN)], None)?;
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let count = rustix::io::read(&self.stderr, &mut *buffer)?;
        if let (Some(pipe), Some(bytes)) = (pipe, buffer.get(..count).filter(|bytes| !bytes.is_empty())) {
            pipe.from_stderr(bytes);
        }
        self.is_stuck.store(false, Ordering::SeqCst);
        Ok(count)
    }

    /// Waits until what the server has written so far is recorded, though not long.
    pub(super) fn catch_up(&self) {
        let begun = Instant::now();
        loop {
            drop(self.taking.lock().unwrap_or_else(PoisonError::into_inner));
            if !self.has_more() || self.is_stuck.load(Ordering::SeqCst) {
                return;
            }
            if begun.elapsed() > PATIENCE {
                self.is_stuck.store(true, Ordering::SeqCst);
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Whether anything waits in the pipe.
    fn has_more(&self) -> bool {
        let mut waiting = [PollFd::new(&self.stderr, PollFlags::IN)];
        poll(&mut waiting, Some(&Timespec::default())).is_ok()
            && waiting
                .iter()
                .any(|waiting| waiting.revents().contains(PollFlags::IN))
    }
}
