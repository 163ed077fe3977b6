//! The laws of folding: what is one request is one call, in whatever order and however often its spans arrive.

mod late;
mod laws;
mod memory;
mod rules;
mod scenarios;
mod tellers;

use std::sync::Arc;

use mcptap_model::{
    Batch, Call, HttpSpan, LogLine, Observation, Origin, SpanId, SpanKind, TraceId, UnixNanos, Vantage,
    semconv, testing,
};
use serde_json::Map;

fn trace(number: u8) -> TraceId {
    TraceId::from_bytes(&[number; 16]).unwrap()
}

fn id(number: u8) -> SpanId {
    SpanId::from_bytes(&[number; 8]).unwrap()
}

fn origin(service: &str, scope: &str) -> Arc<Origin> {
    Arc::new(Origin {
        service: Some(service.to_owned()),
        scope: scope.to_owned(),
        ..Origin::default()
    })
}

const MS: i64 = 1_000_000;

/// A span of `tools/call get_order` in trace 1, from `from` to `to` ms.
fn span(number: u8, parent: Option<u8>, service: &str, kind: SpanKind, from: i64, to: i64) -> Observation {
    let vantage = if kind == SpanKind::Client {
        Vantage::Client
    } else {
        Vantage::Server
    };
    let call = Call {
        parent_span_id: parent.map(id),
        kind,
        origin: origin(service, "sdk"),
        vantage,
        tool: Some("get_order".to_owned()),
        started_at: UnixNanos(from * MS),
        duration_nanos: (to - from) * MS,
        ..testing::call(trace(1), id(number))
    };
    Observation {
        call,
        links: Vec::new(),
    }
}

fn http(number: u8, parent: Option<u8>, service: &str, kind: SpanKind, from: i64, to: i64) -> HttpSpan {
    HttpSpan {
        trace_id: trace(1),
        span_id: id(number),
        parent_span_id: parent.map(id),
        kind,
        origin: origin(service, "http"),
        started_at: UnixNanos(from * MS),
        ended_at: UnixNanos(to * MS),
        http_status: Some(200),
        client_ip: Some("192.0.2.1".to_owned()),
        country: None,
        authorization: None,
        user_agent: Some("agent/1".to_owned()),
        session_id: None,
        protocol_version: None,
    }
}

fn line(span: Option<u8>, service: &str, at: i64, body: &str) -> LogLine {
    LogLine {
        trace_id: trace(1),
        span_id: span.map(id),
        service: Some(service.to_owned()),
        time: UnixNanos(at * MS),
        severity: "INFO".to_owned(),
        body: body.to_owned(),
        attributes: Map::new(),
    }
}

fn batch(observations: Vec<Observation>, https: Vec<HttpSpan>, logs: Vec<LogLine>) -> Batch {
    Batch {
        observations,
        https,
        logs,
    }
}
