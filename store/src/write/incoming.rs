//! What a batch is inside the store: its bodies are already as they are stored, and nobody needs their text again.

use mcptap_model::{Batch, Call, HttpSpan, LogLine, Observation, SpanRef};

use crate::rows::body::Bodies;

/// A batch on its way to the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incoming {
    /// MCP spans.
    pub(crate) observations: Vec<Seen>,
    /// HTTP spans, for joining only.
    pub(crate) https: Vec<HttpSpan>,
    /// Log lines.
    pub(crate) logs: Vec<LogLine>,
}

/// An MCP span.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The request as this span alone tells it, without bodies.
    pub(crate) call: Call,
    /// Its bodies, compressed. Clones share them.
    pub(crate) bodies: Bodies,
    /// Spans it links to.
    pub(crate) links: Vec<SpanRef>,
}

impl Incoming {
    /// Compresses the bodies of a batch. Called where many tasks can do so at the same time.
    pub(crate) fn new(batch: Batch) -> Self {
        let seen = |Observation { mut call, links }| Seen {
            bodies: Bodies::take(&mut call),
            call,
            links,
        };
        Self {
            observations: batch.observations.into_iter().map(seen).collect(),
            https: batch.https,
            logs: batch.logs,
        }
    }

    /// How many records it holds.
    pub(crate) fn len(&self) -> usize {
        self.observations.len() + self.https.len() + self.logs.len()
    }
}
