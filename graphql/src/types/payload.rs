//! `Payload`: the body of a request or a response.

use std::sync::Arc;

use async_graphql::{Context, Error, Object};
use mcptap_store::{DetailParts, Details};

use crate::cost::Allowance;
use crate::loaders::store;
use crate::scalars::{Json, int};

/// Which of a call's bodies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// What the client sent.
    Request,
    /// What the server answered.
    Response,
}

/// A body, left where it was read.
pub(crate) struct Payload {
    details: Arc<Details>,
    side: Side,
}

impl Side {
    /// Where it is kept.
    pub(crate) fn part(self) -> DetailParts {
        DetailParts {
            request: matches!(self, Self::Request),
            response: matches!(self, Self::Response),
            rest: false,
        }
    }
}

fn body(details: &Details, side: Side) -> Option<&mcptap_model::Payload> {
    match side {
        Side::Request => details.request.as_ref(),
        Side::Response => details.response.as_ref(),
    }
}

impl Payload {
    /// The body of a side, if it was captured.
    pub(crate) fn of(details: Arc<Details>, side: Side) -> Option<Self> {
        body(&details, side)?;
        Some(Self { details, side })
    }

    fn get<'a, T>(&'a self, part: impl FnOnce(&'a mcptap_model::Payload) -> T) -> Option<T> {
        body(&self.details, self.side).map(part)
    }
}

/// A body that was captured: the JSON-RPC request (`method` and `params`), or the result or error that answered it.
#[Object]
impl Payload {
    /// The body, where its text is JSON; null where it is not, as when it was cut off.
    async fn json(&self, ctx: &Context<'_>) -> Result<Option<Json>, Error> {
        let bytes = self.get(|body| body.text.len()).unwrap_or_default();
        let (details, side) = (Arc::clone(&self.details), self.side);
        let read = move || body(&details, side).and_then(|body| Json::from_text(&body.text));
        Allowance::of(ctx)?.work(store(ctx)?.cpu(), bytes, read).await
    }

    /// The body as text, as far as it is kept.
    async fn text(&self) -> &str {
        self.get(|body| body.text.as_str()).unwrap_or_default()
    }

    /// How large the body was before anything was cut off, in bytes.
    async fn bytes(&self) -> i32 {
        self.get(|body| int(body.bytes)).unwrap_or_default()
    }

    /// Whether `text` is less than what was sent.
    async fn truncated(&self) -> bool {
        self.get(|body| body.truncated).unwrap_or_default()
    }

    /// Whether something secret was cut out of `text`.
    async fn redacted(&self) -> bool {
        self.get(|body| body.redacted).unwrap_or_default()
    }
}
