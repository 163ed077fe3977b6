//! Rows as domain values, on the way out: what calls share is read once and remembered (it never changes, and an id is
//! never given out twice).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use mcptap_model::{
    Call, Evidence, LogLine, Origin, Payload, SessionKey, SessionSource, Sources, SpanKind, Transport,
    UnixNanos, Vantage,
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use serde_json::{Map, Value};

use crate::body::{Bodies, Body, flag, unpack};
use crate::cache::Cache;
use crate::entity::{call, client, detail, log_line, name, origin, session};
use crate::fold::Heavy;
use crate::recent::size;
use crate::row::{span_of, trace_of};
use crate::{Details, Error, MemoryBudget, Stored};

/// How many ids one statement asks for.
const AT_ONCE: usize = 500;

/// What has been read of the shared tables; bounded in bytes.
#[derive(Debug)]
pub(crate) struct Dictionary {
    names: Shelf<str>,
    clients: Shelf<client::Model>,
    sessions: Shelf<session::Model>,
    origins: Shelf<Origin>,
}

#[derive(Debug)]
struct Shelf<T: ?Sized>(Mutex<Cache<i64, Arc<T>>>);

/// What is kept of a shared table.
trait Kept {
    /// About how many bytes it has.
    fn weight(&self) -> usize;
}

fn length(texts: &[&Option<String>]) -> usize {
    texts.iter().copied().flatten().map(String::capacity).sum()
}

impl Kept for str {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Kept for client::Model {
    fn weight(&self) -> usize {
        let texts = [
            &self.name,
            &self.version,
            &self.ip,
            &self.country,
            &self.authorization,
            &self.user_agent,
            &self.protocol_version,
        ];
        size_of::<Self>() + self.hash.capacity() + length(&texts)
    }
}

impl Kept for session::Model {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.hash.capacity() + length(&[&self.key, &self.wire])
    }
}

impl Kept for Origin {
    fn weight(&self) -> usize {
        let texts = length(&[&self.service, &self.instance, &self.scope_version]) + self.scope.capacity();
        let resource = self.resource.iter();
        let resource: usize = resource.map(|(name, value)| 2 * name.len() + size(value)).sum();
        size_of::<Self>() + texts + resource
    }
}

impl<T: Kept + ?Sized> Shelf<T> {
    fn new(caches: &MemoryBudget) -> Self {
        Self(Mutex::new(Cache::new(caches)))
    }

    /// What is known of these ids, and which are not known.
    fn get(&self, ids: impl Iterator<Item = i64>) -> (HashMap<i64, Arc<T>>, Vec<i64>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = HashMap::new();
        let mut missing = HashSet::new();
        for id in ids {
            match shelf.get(&id) {
                Some(value) => drop(found.insert(id, value)),
                None => drop(missing.insert(id)),
            }
        }
        (found, missing.into_iter().collect())
    }

    fn put(&self, values: impl Iterator<Item = (i64, Arc<T>)>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, value) in values {
            // Beside it stand the counters of its references.
            let bytes = value.weight() + 16;
            shelf.put(id, value, bytes);
        }
    }
}

/// What a set of rows refers to.
pub(crate) struct Glossary {
    names: HashMap<i64, Arc<str>>,
    clients: HashMap<i64, Arc<client::Model>>,
    sessions: HashMap<i64, Arc<session::Model>>,
    origins: HashMap<i64, Arc<Origin>>,
}

macro_rules! read {
    ($shelf:expr, $db:expr, $ids:expr, $entity:ident, $value:expr) => {{
        let (mut found, missing) = $shelf.get($ids);
        for some in missing.chunks(AT_ONCE) {
            let rows = $entity::Entity::find()
                .filter($entity::Column::Id.is_in(some.iter().copied()))
                .all($db)
                .await?;
            let values: Vec<_> = rows.into_iter().map(|row| (row.id, $value(row))).collect();
            $shelf.put(values.iter().map(|(id, value)| (*id, Arc::clone(value))));
            found.extend(values);
        }
        found
    }};
}

impl Dictionary {
    /// Nothing yet; takes its part of what the caches share.
    pub(crate) fn new(caches: &MemoryBudget) -> Self {
        Self {
            names: Shelf::new(caches),
            clients: Shelf::new(caches),
            sessions: Shelf::new(caches),
            origins: Shelf::new(caches),
        }
    }

    /// The names of these ids.
    pub(crate) async fn names(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<str>>, Error> {
        Ok(read!(self.names, db, ids, name, |row: name::Model| {
            Arc::<str>::from(row.text)
        }))
    }

    /// The origins of these ids.
    pub(crate) async fn origins(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Origin>>, Error> {
        Ok(read!(self.origins, db, ids, origin, |row: origin::Model| {
            Arc::new(Origin {
                service: row.service,
                instance: row.instance,
                scope: row.scope,
                scope_version: row.scope_version,
                resource: serde_json::from_slice(&row.resource).unwrap_or_default(),
            })
        }))
    }

    /// The sessions of these ids.
    pub(crate) async fn sessions(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<session::Model>>, Error> {
        Ok(read!(self.sessions, db, ids, session, Arc::new))
    }

    /// The clients of these ids.
    pub(crate) async fn clients(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<client::Model>>, Error> {
        Ok(read!(self.clients, db, ids, client, Arc::new))
    }

    /// What these rows refer to.
    pub(crate) async fn glossary(
        &self,
        db: &impl ConnectionTrait,
        calls: &[call::Model],
    ) -> Result<Glossary, Error> {
        let names = calls.iter().flat_map(|call| {
            [
                Some(call.server),
                Some(call.method),
                call.tool,
                call.prompt,
                call.error_type,
            ]
            .into_iter()
            .flatten()
        });
        Ok(Glossary {
            names: self.names(db, names).await?,
            clients: self.clients(db, calls.iter().map(|call| call.client)).await?,
            sessions: self
                .sessions(db, calls.iter().filter_map(|call| call.session))
                .await?,
            origins: self.origins(db, calls.iter().map(|call| call.origin)).await?,
        })
    }

    /// Rows as calls, in the same order.
    pub(crate) async fn stored(
        &self,
        db: &impl ConnectionTrait,
        rows: Vec<call::Model>,
    ) -> Result<Vec<Stored>, Error> {
        let glossary = self.glossary(db, &rows).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Stored {
                    row: row.id,
                    call: Arc::new(glossary.call(row)?),
                })
            })
            .collect()
    }
}

impl Glossary {
    /// A row as a call, without details.
    pub(crate) fn call(&self, row: call::Model) -> Result<Call, Error> {
        let damaged = |what| Error::Damaged {
            table: "calls",
            row: row.id,
            what,
        };
        let name = |id: i64| self.names.get(&id).map(|text| text.as_ref().to_owned());
        let client = self.clients.get(&row.client).map(AsRef::as_ref);
        let session = row
            .session
            .and_then(|id| self.sessions.get(&id))
            .map(AsRef::as_ref);
        let span_id = span_of(row.span_id).ok_or_else(|| damaged("span_id is zero"))?;
        Ok(Call {
            trace_id: trace_of(row.trace_hi, row.trace_lo).ok_or_else(|| damaged("trace id is zero"))?,
            span_id,
            primary_span_id: row.primary_span_id.and_then(span_of).unwrap_or(span_id),
            parent_span_id: row.parent_span_id.and_then(span_of),
            kind: SpanKind::from_otlp(i32::from(row.kind)),
            origin: self.origins.get(&row.origin).cloned().unwrap_or_default(),
            vantage: Vantage::from_code(row.vantage).ok_or_else(|| damaged("vantage is unknown"))?,
            server: if row.named == 1 { name(row.server) } else { None },
            method: name(row.method).ok_or_else(|| damaged("method has no name"))?,
            tool: row.tool.and_then(name),
            prompt: row.prompt.and_then(name),
            resource_uri: row.resource_uri,
            evidence: Evidence {
                sources: Sources::from_bits(row.sources),
                ..Evidence::from_bits(row.evidence)
            },
            http_status: row.http_status,
            rpc_error_code: row.rpc_error_code,
            error_type: row.error_type.and_then(name),
            error_message: row.error_message,
            stack_trace: None,
            started_at: UnixNanos(row.started_at),
            duration_nanos: row.duration,
            received_at: UnixNanos(row.received_at),
            session_id: session.and_then(|session| session.wire.clone()),
            session: session.and_then(session_key),
            request_id: row.request_id,
            protocol_version: client.and_then(|client| client.protocol_version.clone()),
            transport: client
                .and_then(|client| client.transport)
                .and_then(Transport::from_code),
            client_name: client.and_then(|client| client.name.clone()),
            client_version: client.and_then(|client| client.version.clone()),
            client_ip: client.and_then(|client| client.ip.clone()),
            country: client.and_then(|client| client.country.clone()),
            authorization: client.and_then(|client| client.authorization.clone()),
            user_agent: client.and_then(|client| client.user_agent.clone()),
            request: None,
            response: None,
            attributes: Map::new(),
        })
    }
}

/// The natural key of a session; `None` where there is only a wire id.
pub(crate) fn session_key(session: &session::Model) -> Option<SessionKey> {
    Some(SessionKey {
        source: SessionSource::from_code(session.source?)?,
        key: session.key.clone()?,
    })
}

/// A row of `details` as folding takes it: what is not looked at stays compressed.
pub(crate) fn heavy(row: detail::Model) -> Result<Heavy, Error> {
    let damaged = |what| Error::Damaged {
        table: "details",
        row: row.call,
        what,
    };
    let body = |data: Option<Vec<u8>>, bytes: Option<i64>, [compressed, truncated, redacted]: [i16; 3]| {
        data.map(|data| Body {
            bytes: bytes
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or(data.len() as u64),
            data: data.into(),
            compressed: row.flags & compressed != 0,
            truncated: row.flags & truncated != 0,
            redacted: row.flags & redacted != 0,
        })
    };
    let text = |data: Option<Vec<u8>>, packed: i16| {
        data.map(|data| unpack(data, row.flags & packed != 0).ok_or_else(|| damaged("a text cannot be read")))
            .transpose()
    };
    Ok(Heavy {
        bodies: Bodies {
            request: body(
                row.request,
                row.request_bytes,
                [
                    flag::REQUEST_COMPRESSED,
                    flag::REQUEST_TRUNCATED,
                    flag::REQUEST_REDACTED,
                ],
            ),
            response: body(
                row.response,
                row.response_bytes,
                [
                    flag::RESPONSE_COMPRESSED,
                    flag::RESPONSE_TRUNCATED,
                    flag::RESPONSE_REDACTED,
                ],
            ),
        },
        stack_trace: text(row.stack_trace, flag::STACK_TRACE_COMPRESSED)?,
        attributes: object(text(row.attributes, flag::ATTRIBUTES_COMPRESSED)?.as_deref()),
    })
}

/// A row of `details` as it was given: without what [`crate::Store::details`] adds of the origin.
pub(crate) fn details(row: detail::Model) -> Result<Details, Error> {
    let damaged = |what| Error::Damaged {
        table: "details",
        row: row.call,
        what,
    };
    let body = |data: Option<Vec<u8>>, bytes: Option<i64>, [packed, truncated, redacted]: [i16; 3]| {
        let Some(data) = data else {
            return Ok::<_, Error>(None);
        };
        let text = unpack(data, row.flags & packed != 0).ok_or_else(|| damaged("a body cannot be read"))?;
        let bytes = bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(text.len() as u64);
        Ok(Some(Payload {
            text,
            bytes,
            truncated: row.flags & truncated != 0,
            redacted: row.flags & redacted != 0,
        }))
    };
    let text = |data: Option<Vec<u8>>, packed: i16| {
        data.map(|data| unpack(data, row.flags & packed != 0).ok_or_else(|| damaged("a text cannot be read")))
            .transpose()
    };
    Ok(Details {
        request: body(
            row.request,
            row.request_bytes,
            [
                flag::REQUEST_COMPRESSED,
                flag::REQUEST_TRUNCATED,
                flag::REQUEST_REDACTED,
            ],
        )?,
        response: body(
            row.response,
            row.response_bytes,
            [
                flag::RESPONSE_COMPRESSED,
                flag::RESPONSE_TRUNCATED,
                flag::RESPONSE_REDACTED,
            ],
        )?,
        stack_trace: text(row.stack_trace, flag::STACK_TRACE_COMPRESSED)?,
        attributes: object(text(row.attributes, flag::ATTRIBUTES_COMPRESSED)?.as_deref()),
    })
}

fn object(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// A row of `log_lines` as a log line.
pub(crate) fn log_line(row: log_line::Model) -> Result<LogLine, Error> {
    let damaged = |what| Error::Damaged {
        table: "log_lines",
        row: row.call,
        what,
    };
    Ok(LogLine {
        trace_id: trace_of(row.trace_hi, row.trace_lo).ok_or_else(|| damaged("trace id is zero"))?,
        span_id: row.span_id.and_then(span_of),
        service: None,
        time: UnixNanos(row.time),
        severity: row.severity,
        body: String::from_utf8(row.body).map_err(|_| damaged("the body is no text"))?,
        attributes: row
            .attributes
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default(),
    })
}
