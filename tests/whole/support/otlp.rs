//! Spans and log records, with what every one needs filled in.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// 2026-11-22T12:00:00Z: when spans begin, unless they say otherwise.
const NOON: u64 = 1_795_348_800_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// Ids are numbers, so that they are short to read. No two spans of a test run have the same.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A trace of its own.
fn trace_id() -> [u8; 16] {
    (1_u128 << 100 | u128::from(number())).to_be_bytes()
}

/// A span on its way, with the service it is of.
#[derive(Clone, Debug)]
pub(crate) struct SpanBuilder {
    service: String,
    scope: String,
    span: Span,
}

/// A server's span named by the conventions, `tools/call get_order` for example: at noon, 5 ms long, in a trace of its
/// own.
pub(crate) fn span(name: &str) -> SpanBuilder {
    let (method, target) = name
        .split_once(' ')
        .map_or((name, None), |(method, target)| (method, Some(target)));
    let built = bare(name, SpanKind::Server).attr("mcp.method.name", method);
    let key = match method {
        "tools/call" => "gen_ai.tool.name",
        "prompts/get" => "gen_ai.prompt.name",
        _ => "mcp.resource.uri",
    };
    target
        .into_iter()
        .fold(built, |built, target| built.attr(key, target))
}

/// The span of the HTTP request around it: 20 ms long, from 5 ms before noon on.
pub(crate) fn http_span(status: i64) -> SpanBuilder {
    bare("POST /mcp", SpanKind::Server)
        .attr("http.request.method", "POST")
        .attr("http.response.status_code", status)
        .scope("http")
        .lasting(-5.0, 15.0)
}

fn bare(name: &str, kind: SpanKind) -> SpanBuilder {
    let span = Span {
        trace_id: trace_id().to_vec(),
        span_id: number().to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: NOON,
        end_time_unix_nano: NOON + 5 * MILLISECOND,
        ..Span::default()
    };
    SpanBuilder {
        service: "shop".to_owned(),
        scope: "test".to_owned(),
        span,
    }
}

impl SpanBuilder {
    pub(crate) fn service(mut self, name: &str) -> Self {
        self.service = name.to_owned();
        self
    }

    pub(crate) fn scope(mut self, name: &str) -> Self {
        self.scope = name.to_owned();
        self
    }

    /// A client's span.
    pub(crate) fn client(mut self) -> Self {
        self.span.kind = SpanKind::Client.into();
        self
    }

    pub(crate) fn attr(mut self, key: &str, value: impl Attribute) -> Self {
        self.span.attributes.push(key_value(key, value));
        self
    }

    /// Below that span, in its trace.
    pub(crate) fn parent(mut self, parent: &Self) -> Self {
        self.span.trace_id.clone_from(&parent.span.trace_id);
        self.span.parent_span_id.clone_from(&parent.span.span_id);
        self
    }

    /// In the trace of that span.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.span.trace_id.clone_from(&other.span.trace_id);
        self
    }

    /// Linked to that span.
    pub(crate) fn link(mut self, other: &Self) -> Self {
        let Span {
            trace_id, span_id, ..
        } = other.span.clone();
        self.span.links.push(Link {
            trace_id,
            span_id,
            ..Link::default()
        });
        self
    }

    /// When it began and ended, in milliseconds after noon.
    pub(crate) fn lasting(mut self, from: f64, to: f64) -> Self {
        let at = |milliseconds: f64| NOON.saturating_add_signed((milliseconds * 1e6) as i64);
        self.span.start_time_unix_nano = at(from);
        self.span.end_time_unix_nano = at(to);
        self
    }

    /// When it began, in milliseconds after noon.
    pub(crate) fn at(self, milliseconds: f64) -> Self {
        self.lasting(milliseconds, milliseconds + 5.0)
    }

    /// Failed, with this message.
    pub(crate) fn failed(mut self, message: &str) -> Self {
        self.span.status = Some(Status {
            code: StatusCode::Error.into(),
            message: message.to_owned(),
        });
        self
    }

    /// An event within it.
    pub(crate) fn event(mut self, name: &str, attributes: &[(&str, &str)]) -> Self {
        self.span.events.push(Event {
            time_unix_nano: self.span.start_time_unix_nano + MILLISECOND,
            name: name.to_owned(),
            attributes: attributes
                .iter()
                .map(|(key, value)| key_value(key, *value))
                .collect(),
            ..Event::default()
        });
        self
    }

    /// Anything else about it.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Span)) -> Self {
        change(&mut self.span);
        self
    }

    /// Its id as the API shows it.
    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// Its trace as the API shows it.
    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an attribute can be.
pub(crate) trait Attribute {
    fn any(self) -> Any;
}

impl Attribute for &str {
    fn any(self) -> Any {
        Any::StringValue(self.to_owned())
    }
}

impl Attribute for String {
    fn any(self) -> Any {
        Any::StringValue(self)
    }
}

impl Attribute for i64 {
    fn any(self) -> Any {
        Any::IntValue(self)
    }
}

impl<T: Attribute> Attribute for Vec<T> {
    fn any(self) -> Any {
        let any = |value: T| AnyValue {
            value: Some(value.any()),
        };
        let values = self.into_iter().map(any).collect();
        Any::ArrayValue(ArrayValue { values })
    }
}

fn key_value(key: &str, value: impl Attribute) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(value.any()),
        }),
        ..KeyValue::default()
    }
}

/// One export.
pub(crate) fn traces_request(spans: impl IntoIterator<Item = SpanBuilder>) -> ExportTraceServiceRequest {
    let resource_spans = spans
        .into_iter()
        .map(|SpanBuilder { service, scope, span }| ResourceSpans {
            resource: Some(resource(&service)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: scope,
                    ..InstrumentationScope::default()
                }),
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
}

fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![key_value("service.name", service)],
        ..Resource::default()
    }
}

/// Each span in an export of its own, in this order.
pub(crate) fn one_by_one(spans: &[&SpanBuilder], order: &[usize]) -> Vec<ExportTraceServiceRequest> {
    order
        .iter()
        .map(|index| traces_request([spans[*index].clone()]))
        .collect()
}

/// A log record on its way.
#[derive(Clone, Debug)]
pub(crate) struct LogBuilder(LogRecord);

/// A line written in that span, 1 ms after it began.
pub(crate) fn line(of: &SpanBuilder, body: &str) -> LogBuilder {
    LogBuilder(LogRecord {
        time_unix_nano: of.span.start_time_unix_nano + MILLISECOND,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue {
            value: Some(body.any()),
        }),
        trace_id: of.span.trace_id.clone(),
        span_id: of.span.span_id.clone(),
        ..LogRecord::default()
    })
}

impl LogBuilder {
    pub(crate) fn attr(mut self, key: &str, value: impl Attribute) -> Self {
        self.0.attributes.push(key_value(key, value));
        self
    }

    /// Anything else about it.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut LogRecord)) -> Self {
        change(&mut self.0);
        self
    }
}

/// One export of log records.
pub(crate) fn logs_request(lines: impl IntoIterator<Item = LogBuilder>) -> ExportLogsServiceRequest {
    let log_records = lines.into_iter().map(|LogBuilder(record)| record).collect();
    let scope_logs = vec![ScopeLogs {
        log_records,
        ..ScopeLogs::default()
    }];
    let resource_logs = vec![ResourceLogs {
        resource: Some(resource("shop")),
        scope_logs,
        ..ResourceLogs::default()
    }];
    ExportLogsServiceRequest { resource_logs }
}
