//! The client's connection, whose end is held back while a request that has come whole waits for its answer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use mcptap_sdk::internals::Receipt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::lock;
use crate::listen::PortStream;

/// How long is waited until a client that has closed its side has taken what was sent, or says that nobody is there.
const LINGER: Duration = Duration::from_secs(1);
/// How long between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What the stream and the request on it tell each other.
#[derive(Clone)]
pub(in crate::proxy) struct ClientLink {
    state: Arc<Mutex<State>>,
    /// Whether everything that was sent came to the client, when the connection is over.
    received: Arc<watch::Sender<Option<bool>>>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Counts requests, so that a body that outlives its request says nothing about the next.
    request: u64,
    /// The stream's end was read and held back.
    ended: bool,
    /// Who reads the stream, when its end was held back.
    reader: Option<Waker>,
    /// Who waits for more of the request's body.
    receiver: Option<Waker>,
    /// Who waits for the answer.
    answerer: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// No request, or one that is given up: an end is an end.
    #[default]
    Idle,
    /// A request's body is coming.
    Receiving,
    /// The request has come whole and its answer has not gone whole.
    Answering,
}

impl Default for ClientLink {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            received: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl ClientLink {
    /// A request begins, which is whole already if it has no body. Called as soon as its head has been read, because
    /// the end of the stream may be read next.
    pub(in crate::proxy) fn begin<B: Body>(&self, body: &B) -> OpenRequest {
        let mut state = lock(&self.state);
        state.request += 1;
        state.phase = if body.is_end_stream() {
            Phase::Answering
        } else {
            Phase::Receiving
        };
        OpenRequest(Arc::new(Open {
            link: self.clone(),
            number: state.request,
        }))
    }

    fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.ended && state.phase == Phase::Answering {
            return Poll::Ready(());
        }
        state.answerer = Some(context.waker().clone());
        Poll::Pending
    }

    /// The answer is through, or will never be.
    fn finish(&self, request: u64) {
        let mut state = lock(&self.state);
        if state.request == request {
            state.phase = Phase::Idle;
            state.receiver = None;
            state.answerer = None;
            wake(&mut state.reader);
        }
    }

    fn has_ended(&self, request: u64) -> bool {
        let state = lock(&self.state);
        state.request == request && state.ended
    }

    /// The connection is over. The first word counts.
    fn tell(&self, received: bool) {
        self.received.send_if_modified(|told| {
            let is_news = told.is_none();
            told.get_or_insert(received);
            is_news
        });
    }

    fn give_up(&self) {
        let mut state = lock(&self.state);
        state.phase = Phase::Idle;
        wake(&mut state.reader);
    }

    fn poll_end_of_stream(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.phase == Phase::Idle {
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        if !state.ended {
            state.ended = true;
            wake(&mut state.receiver);
            wake(&mut state.answerer);
        }
        Poll::Pending
    }

    fn whole(&self, request: u64) {
        let mut state = lock(&self.state);
        if state.request == request && state.phase == Phase::Receiving {
            state.phase = Phase::Answering;
            wake(&mut state.answerer);
        }
    }

    /// There is nothing more of the body for now. If the stream has ended there never will be: hyper reads from the
    /// stream only when it has handed on all it had.
    fn wants_more(&self, request: u64, context: &Context<'_>) {
        let mut state = lock(&self.state);
        if state.request != request || state.phase != Phase::Receiving {
            return;
        }
        if state.ended {
            state.phase = Phase::Idle;
            wake(&mut state.reader);
        } else {
            state.receiver = Some(context.waker().clone());
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// A request that is open, from its head to the end of its answer; an extension of the request. Dropping the last
/// clone ends it, too.
#[derive(Clone)]
pub(in crate::proxy) struct OpenRequest(Arc<Open>);

struct Open {
    link: ClientLink,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.link.finish(self.number);
    }
}

impl OpenRequest {
    /// Ready when the request has come whole and the client has closed its side.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.link.poll_ended(context)
    }

    /// By what is learned whether the client got its answer.
    pub(in crate::proxy) fn receipt(&self) -> Receipt {
        let (link, number) = (self.0.link.clone(), self.0.number);
        let received = link.received.subscribe();
        Receipt::new(move || link.has_ended(number), received)
    }

    /// Lets the reader see the end, which gives the request up.
    pub(super) fn give_up(&self) {
        self.0.link.give_up();
    }

    /// The answer is through, or will never be.
    pub(super) fn finish(&self) {
        self.0.link.finish(self.0.number);
    }
}

/// The stream of a client.
pub(in crate::proxy) struct ClientStream {
    stream: PortStream,
    link: ClientLink,
    linger: Option<Linger>,
}

/// The last moment of a half-closed connection.
struct Linger {
    until: Instant,
    next: Pin<Box<Sleep>>,
}

impl ClientStream {
    pub(in crate::proxy) fn new(stream: PortStream) -> (Self, ClientLink) {
        let link = ClientLink::default();
        let linked = Self {
            stream,
            link: link.clone(),
            linger: None,
        };
        (linked, link)
    }

    /// Waits until the client has taken what was sent or refused it, where it had closed its side.
    fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            until: Instant::now() + LINGER,
            next: Box::pin(tokio::time::sleep(LOOK_AGAIN)),
        });
        loop {
            if let Some(taken) = self.stream.taken() {
                self.link.tell(taken);
                return Poll::Ready(());
            }
            let now = Instant::now();
            if now >= linger.until {
                return Poll::Ready(());
            }
            ready!(linger.next.as_mut().poll(context));
            linger.next.as_mut().reset(now + LOOK_AGAIN);
        }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Err(_))) {
            self.link.tell(false);
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let at_end =
            matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() == before && buffer.remaining() > 0;
        if at_end {
            return self.link.poll_end_of_stream(context).map(Ok);
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let closed = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
            if closed.is_err() || !lock(&self.link.state).ended {
                self.link.tell(closed.is_ok());
                return Poll::Ready(closed);
            }
        }
        self.poll_taken(context).map(Ok)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.link.tell(self.stream.taken().unwrap_or(true));
    }
}

/// The body of a request, which tells its connection when it has come whole.
pub(in crate::proxy) struct Heard<B> {
    body: B,
    link: Option<(ClientLink, u64)>,
}

impl<B> Heard<B> {
    pub(in crate::proxy) fn new(body: B, request: Option<&OpenRequest>) -> Self {
        // Not the request itself, which ends with its answer, whatever becomes of its body.
        let link = request.map(|OpenRequest(open)| (open.link.clone(), open.number));
        Self { body, link }
    }
}

impl<B: Body + Unpin> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Some((link, request)) = &self.link {
            match &frame {
                Poll::Pending => link.wants_more(*request, context),
                Poll::Ready(None) => link.whole(*request),
                Poll::Ready(Some(_)) if self.body.is_end_stream() => link.whole(*request),
                Poll::Ready(Some(_)) => {}
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
