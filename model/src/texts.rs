//! All texts of a record, each once, by the sort of text that it is.
//!
//! What bounds or weighs records goes through here. The records are taken apart field by field, so a field that is added
//! to one of them does not compile until it is said here what it is.

use serde_json::{Map, Value};

use crate::{Call, HttpSpan, LogLine, Observation, Origin, Payload};

/// A sort of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// A name or an id: of a tool, a server, a session, a client, a version.
    Name,
    /// An address of a resource.
    Uri,
    /// What an error said.
    Message,
    /// A stack trace.
    StackTrace,
    /// The body of a log line.
    LogBody,
}

/// Visits the texts of a record, and may change them.
pub trait TextVisitor {
    /// A text.
    fn text(&mut self, kind: TextKind, text: &mut String);
    /// A request or response body.
    fn body(&mut self, body: &mut Payload);
    /// Attributes of a span, a log record or a resource.
    fn attributes(&mut self, attributes: &mut Map<String, Value>);
}

impl Observation {
    /// Visits its texts, without those of its origin, which it shares.
    pub fn texts(&mut self, visitor: &mut impl TextVisitor) {
        let Self { call, links: _ } = self;
        call.texts(visitor);
    }
}

impl Call {
    /// Visits its texts, without those of its origin, which it shares.
    pub fn texts(&mut self, visitor: &mut impl TextVisitor) {
        let Self {
            trace_id: _,
            span_id: _,
            primary_span_id: _,
            parent_span_id: _,
            kind: _,
            origin: _,
            vantage: _,
            server,
            method,
            tool,
            prompt,
            resource_uri,
            evidence: _,
            http_status: _,
            rpc_error_code: _,
            error_type,
            error_message,
            stack_trace,
            started_at: _,
            duration_nanos: _,
            received_at: _,
            session_id,
            session,
            request_id,
            protocol_version,
            transport: _,
            client_name,
            client_version,
            client_ip,
            country,
            authorization,
            user_agent,
            request,
            response,
            attributes,
        } = self;
        visitor.text(TextKind::Name, method);
        for name in [
            server,
            tool,
            prompt,
            error_type,
            session_id,
            request_id,
            protocol_version,
            client_name,
            client_version,
            client_ip,
            country,
            authorization,
            user_agent,
        ] {
            visit(visitor, TextKind::Name, name);
        }
        if let Some(session) = session {
            visitor.text(TextKind::Name, &mut session.key);
        }
        visit(visitor, TextKind::Uri, resource_uri);
        visit(visitor, TextKind::Message, error_message);
        visit(visitor, TextKind::StackTrace, stack_trace);
        for body in [request, response].into_iter().flatten() {
            visitor.body(body);
        }
        visitor.attributes(attributes);
    }
}

impl HttpSpan {
    /// Visits its texts, without those of its origin, which it shares.
    pub fn texts(&mut self, visitor: &mut impl TextVisitor) {
        let Self {
            trace_id: _,
            span_id: _,
            parent_span_id: _,
            kind: _,
            origin: _,
            started_at: _,
            ended_at: _,
            http_status: _,
            client_ip,
            country,
            authorization,
            user_agent,
            session_id,
            protocol_version,
        } = self;
        for name in [
            client_ip,
            country,
            authorization,
            user_agent,
            session_id,
            protocol_version,
        ] {
            visit(visitor, TextKind::Name, name);
        }
    }
}

impl LogLine {
    /// Visits its texts.
    pub fn texts(&mut self, visitor: &mut impl TextVisitor) {
        let Self {
            trace_id: _,
            span_id: _,
            service,
            time: _,
            severity,
            body,
            attributes,
        } = self;
        visit(visitor, TextKind::Name, service);
        visitor.text(TextKind::Name, severity);
        visitor.text(TextKind::LogBody, body);
        visitor.attributes(attributes);
    }
}

impl Origin {
    /// Visits its texts.
    pub fn texts(&mut self, visitor: &mut impl TextVisitor) {
        let Self {
            service,
            instance,
            scope,
            scope_version,
            resource,
        } = self;
        for name in [service, instance, scope_version] {
            visit(visitor, TextKind::Name, name);
        }
        visitor.text(TextKind::Name, scope);
        visitor.attributes(resource);
    }
}

fn visit(visitor: &mut impl TextVisitor, kind: TextKind, text: &mut Option<String>) {
    if let Some(text) = text {
        visitor.text(kind, text);
    }
}
