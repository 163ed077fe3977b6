//! The stream of a connection, which tells its activity and ends when it is told to.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::activity::Activity;
use super::places::Place;

/// A connection with its place. Whoever takes it over by an upgrade takes the place with it.
pub(crate) struct PortStream {
    stream: TcpStream,
    place: Place,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    begun: bool,
    _open: TaskTrackerToken,
}

impl PortStream {
    pub(super) fn new(stream: TcpStream, place: Place, open: TaskTrackerToken) -> Self {
        Self {
            stream,
            closed: Box::pin(place.close.clone().cancelled_owned()),
            place,
            begun: false,
            _open: open,
        }
    }

    /// Waits for the first byte, or the end.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Closes the connection when it is cancelled.
    pub(super) fn close(&self) -> CancellationToken {
        self.place.close.clone()
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.place.activity)
    }

    /// Whether the peer took everything that was sent, once both sides are closed. None while it is not known.
    pub(crate) fn taken(&self) -> Option<bool> {
        let is_reset = || !matches!(self.stream.take_error(), Ok(None));
        if is_reset() {
            return Some(false);
        }
        // It has no peer any more when the last byte was acknowledged, or when it was reset meanwhile.
        self.stream.peer_addr().is_err().then(|| !is_reset())
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(written) => self.place.activity.wrote(*written.as_ref().unwrap_or(&0)),
            Poll::Pending => self.place.activity.blocked(),
        }
    }

    fn poll_closed(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for PortStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_closed(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            let first = !std::mem::replace(&mut self.begun, true);
            if !self.place.activity.read(came, first) {
                // The protocol above may still say why it hangs up.
                return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PortStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_closed(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_closed(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.place.activity.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
