//! `Expect: 100-continue`: the body is asked for when upstream asks for it, so that upstream can refuse it unsent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{EXPECT, HeaderMap};
use http::{Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// A server that never says 100 gets the body after this long, as clients do it themselves (RFC 9110, 10.1.1).
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the client waits for leave to send its body.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A body that is not touched before it may be. (The first touch sends 100 to the client.)
pub(super) struct Held<B> {
    body: B,
    gate: Option<Gate>,
}

struct Gate {
    opened: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Pin<Box<tokio::time::Sleep>>,
    /// Upstream has answered without asking for the body; time alone does not open any more.
    answered: CancellationToken,
}

/// Opens the gate when dropped: when the answer has been passed on whole, or the request has failed.
pub(super) struct Opener {
    answered: CancellationToken,
    _open: DropGuard,
}

impl Opener {
    /// There is an answer, so the body is not wanted any more.
    pub(super) fn answered(&self) {
        self.answered.cancel();
    }
}

/// Holds the body of this request back until upstream says 100.
pub(super) fn hold<B>(request: Request<B>) -> (Request<Held<B>>, Opener) {
    let (open, answered) = (CancellationToken::new(), CancellationToken::new());
    let gate = Gate {
        opened: Box::pin(open.clone().cancelled_owned()),
        patience: Box::pin(tokio::time::sleep(PATIENCE)),
        answered: answered.clone(),
    };
    let mut request = request.map(|body| Held {
        body,
        gate: Some(gate),
    });
    let opener = Opener {
        answered,
        _open: open.clone().drop_guard(),
    };
    hyper::ext::on_informational(&mut request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            open.cancel();
        }
    });
    (request, opener)
}

impl<B> Held<B> {
    /// A body that need not wait.
    pub(super) fn open(body: B) -> Self {
        Self { body, gate: None }
    }
}

impl Gate {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.opened.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if self.patience.as_mut().poll(context).is_ready() && !self.answered.is_cancelled() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if let Some(gate) = &mut self.gate {
            if gate.poll(context).is_pending() {
                return Poll::Pending;
            }
            self.gate = None;
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
