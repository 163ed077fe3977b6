//! The connection to upstream, whose sending side can be closed as soon as the request has been sent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

use super::lock;

/// How a request speaks to the connection that it was given.
#[derive(Clone, Default)]
pub(super) struct UpstreamLink {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The sending side is to be closed.
    wanted: bool,
    /// It is.
    closed: bool,
    /// Upstream has begun to answer, so the request's head is out.
    answered: bool,
    /// The last bytes on the connection were ours. On one that is used again they are upstream's until the request is
    /// written.
    wrote_last: bool,
    /// Something was written that may not have been written whole.
    unflushed: bool,
    /// Who drives the connection.
    driver: Option<Waker>,
}

impl UpstreamLink {
    /// Closes the sending side once what is being sent has been sent.
    pub(super) fn close(&self, answered: bool) {
        let mut state = lock(&self.state);
        state.wanted = true;
        state.answered = answered;
        if let Some(driver) = state.driver.take() {
            driver.wake();
        }
    }
}

impl State {
    fn is_due(&self) -> bool {
        self.wanted && !self.closed && !self.unflushed && (self.wrote_last || self.answered)
    }
}

/// A stream to upstream.
pub(in crate::proxy) struct UpstreamStream<T> {
    stream: T,
    link: UpstreamLink,
}

impl<T> UpstreamStream<T> {
    pub(in crate::proxy) fn new(stream: T) -> Self {
        Self {
            stream,
            link: UpstreamLink::default(),
        }
    }
}

impl<T: Write + Unpin> UpstreamStream<T> {
    fn close_if_due(&mut self, context: &mut Context<'_>) {
        let is_due = lock(&self.link.state).is_due();
        // An error shows in what is read, too.
        if is_due && Pin::new(&mut self.stream).poll_shutdown(context).is_ready() {
            lock(&self.link.state).closed = true;
        }
    }

    fn written(&self, written: &Poll<io::Result<usize>>) {
        let mut state = lock(&self.link.state);
        state.unflushed = true;
        state.wrote_last |= written.is_ready();
    }
}

impl<T: Connection> Connection for UpstreamStream<T> {
    fn connected(&self) -> Connected {
        let connected = self.stream.connected();
        if connected.is_negotiated_h2() {
            connected
        } else {
            connected.extra(self.link.clone())
        }
    }
}

impl<T: Read + Write + Unpin> Read for UpstreamStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut state = lock(&self.link.state);
            if !state
                .driver
                .as_ref()
                .is_some_and(|driver| driver.will_wake(context.waker()))
            {
                state.driver = Some(context.waker().clone());
            }
        }
        self.close_if_due(context);
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            lock(&self.link.state).wrote_last = false;
        }
        read
    }
}

impl<T: Write + Unpin> Write for UpstreamStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            lock(&self.link.state).unflushed = false;
            self.close_if_due(context);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
