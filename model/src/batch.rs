//! What one export brings to the store.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Call, LogLine, Origin, SpanId, SpanKind, TraceId, UnixNanos};

/// A span elsewhere: a link's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpanRef {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
}

/// One MCP span, read. The store decides with what others it makes one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The request as this span alone tells it.
    pub call: Call,
    /// Spans it links to: by the conventions, the HTTP span it was received on.
    pub links: Vec<SpanRef>,
}

/// An HTTP span: no call of its own, but it knows what MCP spans do not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpSpan {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// Its parent.
    pub parent_span_id: Option<SpanId>,
    /// Server side or client side.
    pub kind: SpanKind,
    /// Who sent it.
    pub origin: Arc<Origin>,
    /// When it began.
    pub started_at: UnixNanos,
    /// When it ended.
    pub ended_at: UnixNanos,
    /// The status answered.
    pub http_status: Option<i32>,
    /// The client's address, without port.
    pub client_ip: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Already cut to 10 characters and an ellipsis.
    pub authorization: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// The `Mcp-Session-Id` header, where headers are captured.
    pub session_id: Option<String>,
    /// The `MCP-Protocol-Version` header, where headers are captured.
    pub protocol_version: Option<String>,
}

/// Everything one export brings. Stored as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// MCP spans.
    pub observations: Vec<Observation>,
    /// HTTP spans, for joining only.
    pub https: Vec<HttpSpan>,
    /// Log lines that carry a trace id; those of no call are dropped and counted later.
    pub logs: Vec<LogLine>,
}

impl Batch {
    /// How many records it holds, the unit in which queues are bounded.
    pub fn len(&self) -> usize {
        self.observations.len() + self.https.len() + self.logs.len()
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
