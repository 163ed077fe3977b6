//! A call as a row.

use std::sync::Arc;

use mcptap_model::{Call, Origin, SessionKey};
use serde_json::Map;

use super::{DetailRow, span_number, stored_start, trace_halves};
use crate::db::insert::{Kind, Record, Sink, Table, without_nul};
use crate::rows::body::Bodies;
use crate::rows::intern::{Ids, Interner, Local, NameKind};

/// A row of `calls`, before its number and the ids of what it shares are known.
#[derive(Debug)]
pub(crate) struct CallRow {
    trace: (i64, i64),
    span: i64,
    primary: Option<i64>,
    parent: Option<i64>,
    started_at: i64,
    duration: i64,
    received_at: i64,
    server: Local,
    method: Local,
    tool: Option<Local>,
    prompt: Option<Local>,
    resource_uri: Option<String>,
    session: Option<Local>,
    origin: Local,
    client: Local,
    kind: i64,
    vantage: i16,
    evidence: i16,
    sources: i64,
    outcome: i16,
    named: bool,
    http_status: Option<i32>,
    rpc_error_code: Option<i32>,
    error_type: Option<Local>,
    error_message: Option<String>,
    request_id: Option<String>,
}

impl CallRow {
    /// Splits a call into its row and its details.
    pub(crate) fn new(call: Call, bodies: Bodies, interner: &mut Interner) -> (Self, Option<DetailRow>) {
        let server = interner.name(NameKind::Server, call.server_name());
        let mut name = |kind, text: &Option<String>| text.as_deref().map(|text| interner.name(kind, text));
        let tool = name(NameKind::Tool, &call.tool);
        let prompt = name(NameKind::Prompt, &call.prompt);
        let error_type = name(NameKind::ErrorType, &call.error_type);
        let row = Self {
            trace: trace_halves(call.trace_id),
            span: span_number(call.span_id),
            primary: (call.primary_span_id != call.span_id).then(|| span_number(call.primary_span_id)),
            parent: call.parent_span_id.map(span_number),
            started_at: stored_start(call.started_at).0,
            duration: call.duration_nanos,
            received_at: call.received_at.0,
            server,
            method: interner.name(NameKind::Method, &call.method),
            tool,
            prompt,
            session: interner.session(server, &call),
            origin: interner.origin(&call.origin),
            client: interner.client(&call),
            kind: i64::from(call.kind.as_otlp()),
            vantage: call.vantage.code(),
            evidence: call.evidence.bits(),
            sources: call.evidence.sources.bits(),
            outcome: call.outcome().code(),
            named: call.server.is_some(),
            http_status: call.http_status,
            rpc_error_code: call.rpc_error_code,
            error_type,
            resource_uri: call.resource_uri,
            error_message: call.error_message,
            request_id: call.request_id,
        };
        let details = DetailRow::new(bodies, call.stack_trace, &call.attributes);
        (row, details)
    }

    /// What it is found by: the halves of its trace, and its span.
    pub(crate) fn key(&self) -> [i64; 3] {
        [self.trace.0, self.trace.1, self.span]
    }

    /// With its number, as a new row.
    pub(crate) fn added(self, id: i64, ids: &Ids) -> AddedRow<'_> {
        AddedRow(NumberedRow {
            row: self,
            id,
            updated: None,
            ids,
        })
    }

    /// With its number and that of the change, to overwrite the row of that number.
    pub(crate) fn completed(self, id: i64, updated: i64, ids: &Ids) -> CompletedRow<'_> {
        CompletedRow(NumberedRow {
            row: self,
            id,
            updated: Some(updated),
            ids,
        })
    }
}

/// The call as reading its row gives it.
pub(crate) fn as_listed(call: &Call) -> Call {
    let text = |text: &Option<String>| text.clone().map(without_nul);
    Call {
        trace_id: call.trace_id,
        span_id: call.span_id,
        primary_span_id: call.primary_span_id,
        parent_span_id: call.parent_span_id,
        kind: call.kind,
        origin: as_stored(&call.origin),
        vantage: call.vantage,
        server: text(&call.server),
        method: without_nul(call.method.clone()),
        tool: text(&call.tool),
        prompt: text(&call.prompt),
        resource_uri: text(&call.resource_uri),
        evidence: call.evidence,
        http_status: call.http_status,
        rpc_error_code: call.rpc_error_code,
        error_type: text(&call.error_type),
        error_message: text(&call.error_message),
        stack_trace: None,
        started_at: stored_start(call.started_at),
        duration_nanos: call.duration_nanos,
        received_at: call.received_at,
        session_id: text(&call.session_id),
        session: call.session.as_ref().map(|session| SessionKey {
            source: session.source,
            key: without_nul(session.key.clone()),
        }),
        request_id: text(&call.request_id),
        protocol_version: text(&call.protocol_version),
        transport: call.transport,
        client_name: text(&call.client_name),
        client_version: text(&call.client_version),
        client_ip: text(&call.client_ip),
        country: text(&call.country),
        authorization: text(&call.authorization),
        user_agent: text(&call.user_agent),
        request: None,
        response: None,
        attributes: Map::new(),
    }
}

/// An origin as lists give it, without its resource.
fn as_stored(origin: &Arc<Origin>) -> Arc<Origin> {
    let texts = [&origin.service, &origin.instance, &origin.scope_version];
    let mut texts = texts.into_iter().flatten().chain([&origin.scope]);
    if origin.resource.is_empty() && !texts.any(|text| text.contains('\0')) {
        return Arc::clone(origin);
    }
    let text = |text: &Option<String>| text.clone().map(without_nul);
    Arc::new(Origin {
        service: text(&origin.service),
        instance: text(&origin.instance),
        scope: without_nul(origin.scope.clone()),
        scope_version: text(&origin.scope_version),
        resource: Map::new(),
    })
}

struct NumberedRow<'a> {
    row: CallRow,
    id: i64,
    updated: Option<i64>,
    ids: &'a Ids,
}

/// A call that is new.
pub(crate) struct AddedRow<'a>(NumberedRow<'a>);

/// A call that is more complete now.
pub(crate) struct CompletedRow<'a>(NumberedRow<'a>);

impl NumberedRow<'_> {
    fn bind(self, sink: &mut impl Sink) {
        let Self {
            row,
            id,
            updated,
            ids,
        } = self;
        let of = |local: Option<Local>| local.map(|local| ids.of(local));
        // The identity of a call never changes.
        if updated.is_none() {
            sink.integer(Some(row.trace.0));
            sink.integer(Some(row.trace.1));
            sink.integer(Some(row.span));
        }
        sink.integer(Some(id));
        sink.integer(row.primary);
        sink.integer(row.parent);
        sink.integer(Some(row.started_at));
        sink.integer(Some(row.duration));
        sink.integer(Some(row.received_at));
        sink.integer(updated);
        sink.integer(of(Some(row.server)));
        sink.integer(of(Some(row.method)));
        sink.integer(of(row.tool));
        sink.integer(of(row.prompt));
        sink.text(row.resource_uri);
        sink.integer(of(row.session));
        sink.integer(of(Some(row.origin)));
        sink.integer(of(Some(row.client)));
        sink.integer(Some(row.kind));
        sink.integer(Some(i64::from(row.vantage)));
        sink.integer(Some(i64::from(row.evidence)));
        sink.integer(Some(row.sources));
        sink.integer(Some(i64::from(row.outcome)));
        sink.integer(Some(i64::from(row.named)));
        sink.integer(row.http_status.map(i64::from));
        sink.integer(row.rpc_error_code.map(i64::from));
        sink.integer(of(row.error_type));
        sink.text(row.error_message);
        sink.text(row.request_id);
    }
}

/// How many columns are a call's identity: the first ones.
const IDENTITY: usize = 3;

const CALL_COLUMNS: &[(&str, Kind)] = &[
    ("trace_hi", Kind::Integer),
    ("trace_lo", Kind::Integer),
    ("span_id", Kind::Integer),
    ("id", Kind::Integer),
    ("primary_span_id", Kind::Integer),
    ("parent_span_id", Kind::Integer),
    ("started_at", Kind::Integer),
    ("duration", Kind::Integer),
    ("received_at", Kind::Integer),
    ("updated_seq", Kind::Integer),
    ("server", Kind::Integer),
    ("method", Kind::Integer),
    ("tool", Kind::Integer),
    ("prompt", Kind::Integer),
    ("resource_uri", Kind::Text),
    ("session", Kind::Integer),
    ("origin", Kind::Integer),
    ("client", Kind::Integer),
    ("kind", Kind::Integer),
    ("vantage", Kind::Integer),
    ("evidence", Kind::Integer),
    ("sources", Kind::Integer),
    ("outcome", Kind::Integer),
    ("named", Kind::Integer),
    ("http_status", Kind::Integer),
    ("rpc_error_code", Kind::Integer),
    ("error_type", Kind::Integer),
    ("error_message", Kind::Text),
    ("request_id", Kind::Text),
];

impl Record for AddedRow<'_> {
    // The rows that come back are those that were added. A span that is stored already gets here where its row cannot be
    // read.
    const TABLE: Table = Table {
        name: "calls",
        columns: CALL_COLUMNS,
        conflict: "ON CONFLICT (trace_lo, span_id, trace_hi) DO NOTHING RETURNING id",
    };

    fn bind(self, sink: &mut impl Sink) {
        self.0.bind(sink);
    }
}

impl Record for CompletedRow<'_> {
    const TABLE: Table = Table {
        name: "calls",
        columns: CALL_COLUMNS.split_at(IDENTITY).1,
        conflict: "",
    };

    fn bind(self, sink: &mut impl Sink) {
        self.0.bind(sink);
    }
}
