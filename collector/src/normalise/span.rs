//! One span, read.

use std::sync::Arc;

use mcptap_model::redact::REDACTED;
use mcptap_model::{
    Access, Call, Observation, Origin, SpanId, SpanKind, SpanRef, TraceId, UnixNanos, Vantage, semconv,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use super::body::{self, Body, Said};
use super::dialect::{self, Dialect};
use super::keys::{Attributes, Key};
use super::origin::Origins;
use super::{Normalised, Reader, failure, http, log, may_send, method, not_allowed, peer, session};
use crate::arrival::Arrival;
use crate::losses::beginning;
use crate::rejections::Reason;

/// How many links of a span are followed: as many as OpenTelemetry's SDKs send at most (`OTEL_SPAN_LINK_COUNT_LIMIT`).
const LINKS: usize = 128;

/// Attributes below these are part of a body.
const FOLDED: &[&str] = &[
    body::ARGUMENT,
    body::PROMPT_VARIABLE,
    body::TOOL_RESULT,
    body::PROMPT_RESULT,
];
const REQUEST_IDS: &[Key] = &[
    Key::JsonrpcRequestId,
    Key::RpcJsonrpcRequestId,
    Key::McpRequestId,
    Key::McpMessageId,
];
const VERSIONS: &[Key] = &[
    Key::McpProtocolVersion,
    Key::McpProtocolVersionUnderscore,
    Key::HeaderMcpProtocolVersion,
];
const CLIENT_NAMES: &[Key] = &[
    Key::McpClientName,
    Key::McpClientNameUnderscore,
    Key::McpClientInfoName,
];
const CLIENT_VERSIONS: &[Key] = &[
    Key::McpClientVersion,
    Key::McpClientVersionUnderscore,
    Key::McpClientInfoVersion,
];
const SERVERS: &[Key] = &[
    Key::McpServerName,
    Key::FastmcpServerName,
    Key::McpTarget,
    Key::SdotServerName,
];

/// The identity and the times of a span, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_span_id: Option<SpanId>,
    pub(super) started_at: UnixNanos,
    pub(super) ended_at: UnixNanos,
}

impl Times {
    /// Checks a span. What has no valid ids, no start, or a time that cannot be, can never be stored.
    fn of(span: &Span, arrival: &Arrival) -> Result<Self, (Reason, String)> {
        let invalid = |error: mcptap_model::InvalidId| (Reason::Ids, error.to_string());
        let trace_id = TraceId::from_bytes(&span.trace_id).map_err(invalid)?;
        let span_id = SpanId::from_bytes(&span.span_id).map_err(invalid)?;
        if span.start_time_unix_nano == 0 {
            return Err((Reason::NoStart, "start_time_unix_nano is missing".to_owned()));
        }
        arrival.check(span.start_time_unix_nano, span.end_time_unix_nano)?;
        let started_at = UnixNanos::from_otlp(span.start_time_unix_nano);
        // A span that ended before it began, or never, took no time.
        let ended_at = UnixNanos::from_otlp(span.end_time_unix_nano).max(started_at);
        Ok(Self {
            trace_id,
            span_id,
            parent_span_id: SpanId::from_bytes(&span.parent_span_id).ok(),
            started_at,
            ended_at,
        })
    }
}

impl Reader {
    /// Reads one span into what it is.
    pub(super) fn span(&self, span: &Span, origin: &Origins<'_>, arrival: &Arrival, into: &mut Normalised) {
        let kind = SpanKind::from_otlp(span.kind);
        let mut attributes = Attributes::new(&span.attributes);
        let times = match Times::of(span, arrival) {
            Ok(times) => times,
            Err((reason, why)) => {
                return into
                    .rejections
                    .add(reason, || format!("span {:?}: {why}", beginning(&span.name)));
            }
        };
        if log::is_disguised(&attributes) {
            match log::disguised(&mut attributes, &times, origin.service(), span) {
                Some(line) => into.batch.logs.push(line),
                None => into.uncorrelated += 1,
            }
            return;
        }
        if dialect::tells_no_request(origin.scope(), &span.name, kind, &attributes) {
            into.skipped += 1;
            return;
        }
        let dialect = dialect::dialect(origin.scope(), &attributes, origin.has(Key::McpSessionId.name()));
        let whole = body::whole_request(&mut attributes);
        let request = whole.as_ref().and_then(|body| body.json.as_ref());
        match method::method(&mut attributes, &dialect, &span.name, request) {
            Some(method)
                if method.starts_with("notifications/") || http::is_routine(&method, &attributes) =>
            {
                into.skipped += 1;
            }
            Some(method) => {
                let whole = whole.or_else(|| body::parameters(&mut attributes, &method));
                // Those of a call whose lines may not be kept are its lines.
                let hides_lines = attributes.truth(Key::OurHushed) == Some(true);
                let events = if hides_lines { &[] } else { span.events.as_slice() };
                let events = events
                    .iter()
                    .filter_map(|event| log::event(&times, origin.service(), event, arrival));
                events.for_each(|line| into.add(line));
                let span = Reading {
                    span,
                    times,
                    kind,
                    origin: origin.origin(),
                    dialect,
                    attributes,
                    method,
                    whole,
                };
                into.batch.observations.push(self.observation(span, arrival));
            }
            None if http::is_http(kind, &attributes) => {
                let peer = peer::peer(&mut attributes, &dialect, kind, self);
                into.batch.https.push(http::http_span(
                    &mut attributes,
                    &times,
                    kind,
                    origin.origin(),
                    peer,
                ));
            }
            None => into.foreign += 1,
        }
    }

    /// Whether the sender may send it, as far as its names tell: else nothing more is read of it, and no secret is cut out
    /// of anything but the name. A span that is none of MCP and none of HTTP would not be stored, whoever sent it.
    pub(super) fn is_allowed(
        &self,
        span: &Span,
        origin: &Origins<'_>,
        sender: &Access,
        into: &mut Normalised,
    ) -> bool {
        if sender.servers().is_empty() {
            return true;
        }
        let kind = SpanKind::from_otlp(span.kind);
        let attributes = &mut Attributes::new(&span.attributes);
        let of_service = http::is_http(kind, attributes) || log::is_disguised(attributes);
        let own = server_name(attributes, span).filter(|_| !of_service);
        let own = own.map(|(_, name)| self.redactor.redact(&name).into_owned());
        let (what, name) = match &own {
            Some(name) => ("server", Some(name.as_str())),
            None => ("service", origin.service()),
        };
        if may_send(sender, name) {
            return true;
        }
        let dialect = dialect::dialect(origin.scope(), attributes, false);
        if of_service
            || body::has_request(attributes)
            || method::method(attributes, &dialect, &span.name, None).is_some()
        {
            not_allowed(into, sender, what, name);
        } else {
            into.foreign += 1;
        }
        false
    }

    fn observation(&self, reading: Reading<'_>, arrival: &Arrival) -> Observation {
        let Reading {
            span,
            times,
            kind,
            origin,
            dialect,
            mut attributes,
            method,
            whole,
        } = reading;
        let status_message = span
            .status
            .as_ref()
            .map(|status| status.message.as_str())
            .unwrap_or_default();
        let target = method::target(
            &mut attributes,
            &method,
            &span.name,
            whole.as_ref().and_then(|body| body.json.as_ref()),
        );
        let vantage = dialect::vantage(&dialect, &origin.scope, &span.name, kind, &attributes);
        // The server is the client of what it asks: kinds mean the opposite there.
        let vantage = if semconv::SERVER_INITIATED.contains(&method.as_str()) {
            flipped(vantage)
        } else {
            vantage
        };
        let client = client(&mut attributes, whole.as_ref());
        let request_id = request_id(&mut attributes, &dialect, whole.as_ref());
        let meta_version =
            meta(whole.as_ref(), "io.modelcontextprotocol/protocolVersion").and_then(Value::as_str);
        let protocol_version = attributes
            .take_text(VERSIONS)
            .or_else(|| meta_version.map(str::to_owned));
        let transport = peer::transport(&mut attributes, &origin.scope, protocol_version.as_deref());
        let server = server(&mut attributes, span);

        let request = body::request(&mut attributes, &dialect, whole, &method, &target);
        let response = body::response(&mut attributes, &method, status_message);
        let mut failure = failure::failure(&mut attributes, &dialect, span, &method, response.as_ref());
        let of_request = Said::take(&mut attributes, Key::OurRequestSize, Key::OurRequestTruncated);
        let of_response = Said::take(&mut attributes, Key::OurResponseSize, Key::OurResponseTruncated);
        let (session_id, session) = session::session(
            &mut attributes,
            &dialect,
            origin,
            protocol_version.as_deref(),
            transport,
        );
        let peer = peer::peer(&mut attributes, &dialect, kind, self);
        let http_status = http::status(&mut attributes);
        // A view from outside the server that saw a refusal cannot know whether a handler was reached.
        failure.evidence.transport |= failure.evidence.failed
            && vantage != Vantage::Server
            && http_status.is_some_and(|status| status >= 400);

        let mut rest = attributes.rest(FOLDED);
        log::mark(&mut rest, arrival, times.started_at);
        if let dropped @ 1.. = span.links.len().saturating_sub(LINKS) {
            rest.insert(semconv::MCPTAP_DROPPED_LINKS.to_owned(), dropped.into());
        }
        if !is_conventional(&span.name, &method, &target) {
            rest.insert("span.name".to_owned(), span.name.clone().into());
        }
        Observation {
            links: span.links.iter().take(LINKS).filter_map(linked).collect(),
            call: Call {
                trace_id: times.trace_id,
                span_id: times.span_id,
                primary_span_id: times.span_id,
                parent_span_id: times.parent_span_id,
                kind,
                origin: Arc::clone(origin),
                vantage,
                server,
                method,
                tool: target.tool,
                prompt: target.prompt,
                resource_uri: target.resource_uri,
                evidence: failure.evidence,
                http_status,
                rpc_error_code: failure.rpc_error_code,
                error_type: failure.error_type,
                error_message: failure.error_message,
                stack_trace: failure.stack_trace,
                started_at: times.started_at,
                duration_nanos: times.ended_at.since(times.started_at),
                received_at: arrival.at,
                session_id,
                session,
                request_id,
                protocol_version,
                transport,
                client_name: client.0,
                client_version: client.1,
                client_ip: peer.client_ip,
                country: peer.country,
                authorization: peer.authorization,
                user_agent: peer.user_agent,
                request: request.map(|body| body.payload(of_request)),
                response: response.map(|body| body.payload(of_response)),
                attributes: rest,
            },
        }
    }
}

/// A span on its way to an observation.
struct Reading<'a> {
    span: &'a Span,
    times: Times,
    kind: SpanKind,
    origin: &'a Arc<Origin>,
    dialect: Dialect,
    attributes: Attributes<'a>,
    method: String,
    whole: Option<Body>,
}

/// On requests that the server sends, the server's span is the client-kind one.
fn flipped(vantage: Vantage) -> Vantage {
    match vantage {
        Vantage::Server => Vantage::Client,
        Vantage::Client => Vantage::Server,
        Vantage::Gateway => Vantage::Gateway,
    }
}

fn linked(link: &opentelemetry_proto::tonic::trace::v1::span::Link) -> Option<SpanRef> {
    let trace_id = TraceId::from_bytes(&link.trace_id).ok()?;
    Some(SpanRef {
        trace_id,
        span_id: SpanId::from_bytes(&link.span_id).ok()?,
    })
}

/// A member of the request's `params._meta` (MCP 2026-07-28).
fn meta<'b>(whole: Option<&'b Body>, name: &str) -> Option<&'b Value> {
    let params = whole?.json.as_ref()?.get("params")?;
    params.get("_meta").or_else(|| params.get("meta"))?.get(name)
}

/// The client's name and version: attributes, `initialize`'s own parameters, or every modern request's `_meta`.
fn client(attributes: &mut Attributes<'_>, whole: Option<&Body>) -> (Option<String>, Option<String>) {
    let name = attributes.take_text(CLIENT_NAMES);
    let version = attributes.take_text(CLIENT_VERSIONS);
    let info = meta(whole, "io.modelcontextprotocol/clientInfo")
        .or_else(|| whole?.json.as_ref()?.get("params")?.get("clientInfo"));
    let said = |key: &str| Some(info?.get(key)?.as_str()?.to_owned());
    (name.or_else(|| said("name")), version.or_else(|| said("version")))
}

fn request_id(attributes: &mut Attributes<'_>, dialect: &Dialect, whole: Option<&Body>) -> Option<String> {
    // Shinzo makes ids up.
    let given = if dialect.honest_ids {
        attributes.take_text(REQUEST_IDS)
    } else {
        None
    };
    let said = given.or_else(|| match whole?.json.as_ref()?.get("id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    // In a body one secret looks like another: this is nobody's id.
    said.filter(|id| id != REDACTED)
}

fn server(attributes: &mut Attributes<'_>, span: &Span) -> Option<String> {
    let (key, name) = server_name(attributes, span)?;
    key.into_iter().for_each(|key| attributes.take(key));
    Some(name)
}

/// The server's own name, and the attribute that has it for its only content.
fn server_name(attributes: &Attributes<'_>, span: &Span) -> Option<(Option<Key>, String)> {
    let given = SERVERS
        .iter()
        .find_map(|key| Some((Some(*key), attributes.text(*key)?)));
    let given = given.or_else(|| {
        let workflow = attributes.text(Key::TraceloopWorkflowName)?;
        Some((None, workflow.strip_suffix(".mcp")?.to_owned()))
    });
    given.or_else(|| {
        let attributes = span.events.iter().flat_map(|event| &event.attributes);
        let backend = attributes
            .into_iter()
            .find(|attribute| attribute.key == "mcp.backend.name")?;
        Some((None, backend.value.as_ref().and_then(crate::value::text)?))
    })
}

/// Whether the name says no more than method and target do.
fn is_conventional(name: &str, method: &str, target: &method::Target) -> bool {
    let after = name.strip_prefix(method).map(str::trim_start);
    let named = target
        .tool
        .as_deref()
        .or(target.prompt.as_deref())
        .or(target.resource_uri.as_deref());
    after.is_some_and(|after| after.is_empty() || Some(after) == named)
}
