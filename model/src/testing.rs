//! For tests and benchmarks of all crates: a call of which only its span is known. Tests say what matters to them and take
//! the rest from here.

use std::sync::Arc;

use serde_json::Map;

use crate::{Call, Evidence, Origin, SpanId, SpanKind, TraceId, UnixNanos, Vantage};

/// A `tools/call` as a server sees it, of no service, at the beginning of 1970, that took no time.
pub fn call(trace_id: TraceId, span_id: SpanId) -> Call {
    Call {
        trace_id,
        span_id,
        primary_span_id: span_id,
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: Arc::new(Origin::default()),
        vantage: Vantage::Server,
        server: None,
        method: "tools/call".to_owned(),
        tool: None,
        prompt: None,
        resource_uri: None,
        evidence: Evidence::default(),
        http_status: None,
        rpc_error_code: None,
        error_type: None,
        error_message: None,
        stack_trace: None,
        started_at: UnixNanos(0),
        duration_nanos: 0,
        received_at: UnixNanos(0),
        session_id: None,
        session: None,
        request_id: None,
        protocol_version: None,
        transport: None,
        client_name: None,
        client_version: None,
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        request: None,
        response: None,
        attributes: Map::new(),
    }
}
