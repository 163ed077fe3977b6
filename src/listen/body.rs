//! Bodies of both directions, with the time that a peer may take for them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::activity::{Discarding, OpenRequest, Receiving};
use super::port::Limits;

/// Any error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How many bytes of a body that nobody reads are discarded: four times the largest export.
const MAX_DISCARDED: u64 = 64 << 20;
/// How long that may take.
const DISCARDING: Duration = Duration::from_secs(30);

/// The peer was too slow to send a body.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the rest of the request did not come in time")]
pub(super) struct TooSlow;

/// The body of a request. Whatever of it nobody reads is discarded, within bounds: a client that still sends when its
/// connection is closed gets a reset, and never sees the answer (RFC 9112, 9.6).
pub(crate) struct Received {
    /// None once it is discarded.
    arriving: Option<Arriving>,
    discards: bool,
    /// Tells whoever answers.
    late: Arc<AtomicBool>,
}

/// The bytes of a body, as they come. Only the time that is spent waiting for the peer counts.
struct Arriving {
    body: Incoming,
    limits: Arc<Limits>,
    receiving: Option<Receiving>,
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl mcptap_sdk::RequestBody for Received {
    type Watched = mcptap_sdk::Question<Self>;

    fn watched(question: mcptap_sdk::Question<Self>) -> mcptap_sdk::Question<Self> {
        question
    }

    fn unwatched(self) -> mcptap_sdk::Question<Self> {
        mcptap_sdk::Question::unwatched(self)
    }
}

impl Received {
    /// `discards`: whether the rest is discarded where it is not read.
    pub(super) fn new(body: Incoming, limits: Arc<Limits>, request: &OpenRequest, discards: bool) -> Self {
        let arriving = Arriving {
            receiving: (!body.is_end_stream()).then(|| request.receive()),
            body,
            limits,
            timer: None,
            waiting_since: None,
            waited: Duration::ZERO,
            bytes: 0,
        };
        Self {
            arriving: Some(arriving),
            discards,
            late: Arc::default(),
        }
    }

    /// Becomes true when the peer was too slow.
    pub(super) fn late(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.late)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(mut arriving) = self.arriving.take().filter(|_| self.discards) else {
            return;
        };
        let rest = arriving.body.size_hint().lower();
        let is_due = arriving.receiving.is_some() && rest <= MAX_DISCARDED;
        // Without a runtime there is no connection either.
        if is_due && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let discarding = arriving.receiving.take().map(Receiving::discard);
            runtime.spawn(arriving.discard(discarding));
        }
    }
}

impl Arriving {
    /// Reads what is left and keeps none of it. It ends with the connection, which no longer gives any bytes then.
    async fn discard(mut self, discarding: Option<Discarding>) {
        let mut discarded = 0_u64;
        let all = async {
            while let Some(Ok(frame)) = poll_fn(|context| self.poll_frame(context)).await {
                discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
                if discarded > MAX_DISCARDED {
                    return;
                }
            }
        };
        // Either way the peer had its time.
        let _ = tokio::time::timeout(DISCARDING, all).await;
        drop(discarding);
    }

    /// How long may be waited from now on.
    fn left(&self) -> Duration {
        let Some(earned) = self.bytes.checked_div(self.limits.body_rate) else {
            return self.limits.body_pause;
        };
        let altogether = self.limits.body_grace + Duration::from_secs(earned);
        self.limits.body_pause.min(altogether.saturating_sub(self.waited))
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some(since) = self.waiting_since.take() {
                self.waited += since.elapsed();
            }
            match &frame {
                Some(Ok(frame)) => self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) | None => self.receiving = None,
            }
            if self.body.is_end_stream() {
                self.receiving = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
            let end = tokio::time::Instant::now() + self.left();
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(end))),
            }
        }
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(context));
        }
        self.receiving = None;
        Poll::Ready(Some(Err(TooSlow.into())))
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(arriving) = &mut self.arriving else {
            return Poll::Ready(None);
        };
        let frame = ready!(arriving.poll_frame(context));
        if matches!(&frame, Some(Err(error)) if error.is::<TooSlow>()) {
            self.late.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let arriving = self.arriving.as_ref();
        arriving.is_none_or(|arriving| arriving.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let arriving = self.arriving.as_ref();
        arriving.map_or(SizeHint::with_exact(0), |arriving| arriving.body.size_hint())
    }
}

/// How much of an answer is handed on at once, in bytes. What asks for more says that this much was taken.
const PIECE: usize = 64 << 10;

/// The body of an answer. Its request is open until the last of these bytes has gone, so whoever holds them keeps it open.
pub(super) struct Sent<B> {
    content: Content<B>,
    /// The rest of a frame that is larger than a piece.
    rest: Bytes,
    request: Option<Arc<OpenRequest>>,
}

enum Content<B> {
    Service(Pin<Box<B>>),
    Text(Option<Bytes>),
}

/// A piece of an answer, and its request.
struct Piece {
    bytes: Bytes,
    _request: Arc<OpenRequest>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<B: Body> Sent<B> {
    pub(super) fn new(body: B, request: OpenRequest) -> Self {
        Self::of(body.is_end_stream(), Content::Service(Box::pin(body)), request)
    }

    pub(super) fn text(text: String, request: OpenRequest) -> Self {
        Self::of(text.is_empty(), Content::Text(Some(text.into())), request)
    }

    fn of(ended: bool, content: Content<B>, request: OpenRequest) -> Self {
        // An end is not asked for.
        let request = (!ended).then(|| Arc::new(request));
        if let Some(request) = &request {
            request.handed_on();
        }
        Self {
            content,
            rest: Bytes::new(),
            request,
        }
    }

    /// The next piece of what is there.
    fn cut(&mut self, mut data: Bytes) -> Bytes {
        self.rest = data.split_off(data.len().min(PIECE));
        match &self.request {
            Some(request) => Bytes::from_owner(Piece {
                bytes: data,
                _request: Arc::clone(request),
            }),
            None => data,
        }
    }
}

impl<B> Body for Sent<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(request) = &self.request {
            request.asked_on();
        }
        let next = if self.rest.is_empty() {
            match &mut self.content {
                Content::Service(body) => {
                    ready!(body.as_mut().poll_frame(context)).map(|frame| frame.map_err(Into::into))
                }
                Content::Text(text) => text.take().map(|text| Ok(Frame::data(text))),
            }
        } else {
            Some(Ok(Frame::data(std::mem::take(&mut self.rest))))
        };
        let next = next.map(|frame| match frame.map(Frame::into_data) {
            Ok(Ok(data)) => Ok(Frame::data(self.cut(data))),
            Ok(Err(trailers)) => Ok(trailers),
            Err(error) => Err(error),
        });
        // Until its pieces have gone, also when there are no more.
        if let Some(request) = &self.request {
            request.handed_on();
        }
        if next.is_none() || self.is_end_stream() {
            self.request = None;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.content {
                Content::Service(body) => body.is_end_stream(),
                Content::Text(text) => text.is_none(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = match &self.content {
            Content::Service(body) => body.size_hint(),
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        };
        let rest = self.rest.len() as u64;
        // The upper bound first: the lower one may not be above it.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
