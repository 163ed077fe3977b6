//! The log: lines on standard error, never at the cost of the process.
//!
//! A thread of its own writes them. Whoever logs waits for no disk and no reader: where lines cannot be written, or come faster
//! than they are taken, they are dropped and counted.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How many bytes of lines may wait to be written.
const MOST: usize = 1 << 20;
/// How long the end waits for them.
const END: Duration = Duration::from_secs(1);

static LOG: OnceLock<Log> = OnceLock::new();

/// Begins the log; its lines begin with the name of the command that is given. Its filter comes from [`log_filter`](crate::log_filter).
pub fn start_log(command: Option<&'static str>, filter: tracing_subscriber::EnvFilter, coloured: bool) {
    let log = LOG.get_or_init(Log::default);
    let writing = std::thread::Builder::new().name("log".to_owned());
    let started = writing.spawn(move || log.write_to(&mut io::stderr()));
    // Without room for a thread whoever logs writes, and waits.
    log.lock().has_thread = started.is_ok();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Line(log))
        .with_ansi(coloured)
        // It would print, and panic where that fails.
        .log_internal_errors(false)
        .event_format(Named {
            command,
            line: Format::default().with_target(false),
        })
        .init();
}

/// Lines that begin with the name of the command that writes them, if it has one.
struct Named {
    command: Option<&'static str>,
    line: Format,
}

impl<S, N> FormatEvent<S, N> for Named
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        if let Some(command) = self.command {
            write!(writer, "{command}: ")?;
        }
        self.line.format_event(context, writer, event)
    }
}

/// Waits until what was logged is written, for a second at most.
pub fn end_log() {
    if let Some(log) = LOG.get() {
        log.flush(END);
    }
}

/// Says something to whoever runs a command, on standard error. Unlike `eprintln!` it does not panic where that is closed or
/// full.
pub fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// How many lines were dropped.
pub(crate) fn lost() -> u64 {
    LOG.get().map_or(0, |log| log.lost.load(Ordering::Relaxed))
}

#[derive(Debug, Default)]
struct Log {
    queue: Mutex<Queue>,
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether some were taken out and are being written.
    writing: bool,
    has_thread: bool,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &[u8]) {
        let mut queue = self.lock();
        if !queue.has_thread {
            drop(queue);
            self.write(&mut io::stderr(), line);
        } else if queue.bytes + line.len() > MOST {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line.to_vec());
            self.changed.notify_all();
        }
    }

    fn write(&self, to: &mut impl Write, line: &[u8]) {
        if to.write_all(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes lines as they come, without end.
    fn write_to(&self, to: &mut impl Write) {
        loop {
            let waiting = self
                .changed
                .wait_while(self.lock(), |queue| queue.lines.is_empty());
            let mut queue = waiting.unwrap_or_else(PoisonError::into_inner);
            let lines = std::mem::take(&mut queue.lines);
            queue.writing = true;
            drop(queue);
            for line in lines {
                self.write(to, &line);
                let mut queue = self.lock();
                queue.bytes = queue.bytes.saturating_sub(line.len());
            }
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }

    fn flush(&self, patience: Duration) {
        let busy = |queue: &mut Queue| queue.has_thread && (queue.writing || !queue.lines.is_empty());
        let flushed = self.changed.wait_timeout_while(self.lock(), patience, busy);
        drop(flushed);
    }
}

/// A line of the log. It is handed over whole, in one piece.
struct Line(&'static Log);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Writes a line at a time, each as it is told to.
    struct Told {
        fails: mpsc::Receiver<bool>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Told {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            match self.fails.recv() {
                Ok(false) => {
                    let _ = self.written.send(line.to_vec());
                    Ok(line.len())
                }
                _ => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_dropped_and_counted() {
        let log: &Log = Box::leak(Box::default());
        log.lock().has_thread = true;
        let (fail, fails) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        std::thread::spawn(move || log.write_to(&mut Told { fails, written }));
        let lost = || log.lost.load(Ordering::Relaxed);
        for (line, fails) in [("one", false), ("two", true), ("three", false)] {
            write!(Line(log), "{line}").unwrap();
            fail.send(fails).unwrap();
        }
        log.flush(Duration::from_secs(60));
        let all: Vec<Vec<u8>> = lines.try_iter().collect();
        assert_eq!(all, [&b"one"[..], b"three"]);
        assert_eq!(lost(), 1);

        // Nobody takes them: no one waits, and no more than may are kept.
        let line = vec![b'x'; MOST / 8];
        for _ in 0..20 {
            Line(log).write_all(&line).unwrap();
        }
        assert_eq!((lost(), log.lock().bytes), (13, MOST));
        (0..8).for_each(|_| fail.send(false).unwrap());
        log.flush(Duration::from_secs(60));
        assert_eq!((lines.try_iter().count(), log.lock().bytes), (8, 0));
    }
}
