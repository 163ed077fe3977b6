//! The traffic of one process on its standard input and output, for whoever carries it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use opentelemetry::logs::Severity;

use crate::jsonrpc::{Lines, Scan, Taking};
use crate::observer::{Carrier, Conversation, Observer, Scope, Side};

/// The longest line of standard error that is kept, in bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// Records the traffic of one process that speaks MCP over its standard input and output.
///
/// It is told of bytes in the order in which they pass, in any pieces. It never fails and never waits: should
/// recording break, it stops recording.
#[derive(Debug)]
pub struct Pipe {
    /// None once recording broke.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    carrier: Carrier,
    conversation: Conversation,
    from_client: Lines,
    from_server: Lines,
    errors: Taking,
}

impl Pipe {
    pub(crate) fn new(observer: Observer) -> Self {
        let cap = observer.cap();
        let state = observer.is_on().then(|| State {
            carrier: Carrier::pipe(),
            conversation: Conversation::new(observer).with_any_server(),
            from_client: Lines::new(cap),
            from_server: Lines::new(cap),
            errors: Taking::new(LONGEST_LINE),
        });
        Self {
            state: Mutex::new(state),
        }
    }

    /// Bytes on their way to the server's standard input. Tell of them before they are passed on: the answer may
    /// come at once.
    pub fn from_client(&self, bytes: &[u8]) {
        self.with(|state| {
            let mut lines = Vec::new();
            state.from_client.feed(bytes, |scan| lines.push(scan));
            state.take(Side::Client, &lines);
        });
    }

    /// The client says no more: a last line without a line break is complete. Tell of it before it is passed on.
    pub fn end_of_client(&self) {
        self.with(State::finish_client);
    }

    /// Bytes from the server's standard output.
    pub fn from_server(&self, bytes: &[u8]) {
        self.with(|state| {
            let mut lines = Vec::new();
            state.from_server.feed(bytes, |scan| lines.push(scan));
            state.take(Side::Server, &lines);
        });
    }

    /// Bytes from the server's standard error: console output of the calls then running.
    pub fn from_stderr(&self, bytes: &[u8]) {
        self.with(|state| state.console(bytes));
    }

    /// The end. What is open was not answered, for this reason; a last line without a line break is read.
    pub fn close(&self, reason: &str) {
        self.with(|state| {
            state.finish_client();
            let last: Vec<Scan> = state.from_server.finish().into_iter().collect();
            state.take(Side::Server, &last);
            state.console(b"\n");
            state.conversation.close(reason, Scope::Only);
            state.conversation.end_session();
            let strays = state.conversation.strays();
            if strays > 0 {
                tracing::warn!(strays, "answers came to requests that nobody made");
            }
        });
    }

    fn with(&self, act: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(recording) = state.as_mut() else { return };
        // The server's traffic must go on whatever happens here.
        if catch_unwind(AssertUnwindSafe(|| act(recording))).is_err() {
            tracing::error!("recording broke and has stopped; the traffic goes on");
            *state = None;
        }
    }
}

impl State {
    fn finish_client(&mut self) {
        let last: Vec<Scan> = self.from_client.finish().into_iter().collect();
        self.take(Side::Client, &last);
    }

    fn take(&mut self, side: Side, lines: &[Scan]) {
        let is_framed = self.from_client.is_framed() || self.from_server.is_framed();
        if is_framed && self.carrier.note_framing() {
            tracing::warn!(
                "messages on a pipe are framed by Content-Length, which MCP does not know; they are read"
            );
        }
        for line in lines.iter().filter(|line| !line.is_blank()) {
            if line.is_jsonrpc() {
                for message in &line.messages {
                    self.conversation.take(side, message, &self.carrier, Scope::Only);
                }
            } else {
                tracing::debug!(?side, bytes = line.size, "a line that is no JSON-RPC passed");
                let stream = match side {
                    Side::Client => "stdin",
                    Side::Server => "stdout",
                };
                self.conversation.log(
                    Severity::Warn,
                    format!("not JSON-RPC on {stream}: {}", line.head.trim_end()),
                    vec![("stream", stream.to_owned())],
                );
            }
        }
    }

    fn console(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.errors.push(line);
            bytes = rest.get(1..).unwrap_or_default();
            let line = std::mem::replace(&mut self.errors, Taking::new(LONGEST_LINE));
            let mut line = line.finish().text;
            line.truncate(line.trim_ascii_end().len());
            if !line.is_empty() {
                let stream = vec![("stream", "stderr".to_owned())];
                self.conversation.log(Severity::Info, line, stream);
            }
        }
        self.errors.push(bytes);
    }
}

#[cfg(test)]
#[path = "pipe_tests.rs"]
mod tests;
