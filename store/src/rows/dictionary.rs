//! Rows as domain values, on the way out: what calls share is read once and remembered (it never changes, and an id is
//! never given out twice).

mod details;
mod shelf;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use mcptap_model::{
    Call, Evidence, Origin, SessionKey, SessionSource, Sources, SpanKind, Transport, UnixNanos, Vantage,
};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::{Map, Value};

pub(crate) use self::details::{details, heavy, log_line};
use self::shelf::{Kept, Looked, Shelf};
use crate::db::lineage::{self, Lineage};
use crate::metrics::Counters;
use crate::rows::entity::{call, client, name, origin, session};
use crate::rows::row::{span_of, trace_of};
use crate::{Error, MemoryBudget, Stored};

/// How many ids one statement asks for. Each of them has texts of a few KiB at most.
const AT_ONCE: usize = 500;

/// About how many bytes an entry of a map takes beside its value.
const ENTRY: usize = 64;

/// How many bytes of resources one statement reads, give or take those of one.
const RESOURCES: usize = 1 << 20;

/// The rows that were read of the shared tables; bounded in bytes.
#[derive(Debug)]
pub(crate) struct Dictionary {
    names: Shelf<str>,
    clients: Shelf<client::Model>,
    sessions: Shelf<session::Model>,
    origins: Shelf<Origin>,
    resources: Shelf<Resource>,
    counters: Arc<Counters>,
    lineage: Arc<Lineage>,
}

/// All attributes of a resource. They are large, and only details show them.
pub(crate) type Resource = Map<String, Value>;

/// The entries that a set of rows refers to.
pub(crate) struct Glossary {
    names: HashMap<i64, Arc<str>>,
    clients: HashMap<i64, Arc<client::Model>>,
    sessions: HashMap<i64, Arc<session::Model>>,
    origins: HashMap<i64, Arc<Origin>>,
}

/// Reads what is not known of `$ids`, some at a time, and reserves their bytes with `$hold`.
macro_rules! read {
    ($self:expr, $shelf:expr, $db:expr, $ids:expr, $hold:expr, $entity:ident, $value:expr) => {{
        let Looked {
            mut found,
            missing,
            forgotten,
        } = $shelf.get($ids);
        $hold(found.len() * ENTRY)?;
        let is_kept = !missing.is_empty() && $self.is_present($db).await?;
        for some in missing.chunks(AT_ONCE) {
            let rows = $entity::Entity::find()
                .filter($entity::Column::Id.is_in(some.iter().copied()))
                .all($db)
                .await?;
            let values: Vec<_> = rows.into_iter().map(|row| (row.id, $value(row))).collect();
            $hold(values.iter().map(|(_, value)| value.weight() + ENTRY).sum())?;
            if is_kept {
                let values = values.iter().map(|(id, value)| (*id, Arc::clone(value)));
                $shelf.put(forgotten, values);
            }
            found.extend(values);
        }
        found
    }};
}

/// Reserves nothing: for pages, which have few rows.
pub(crate) fn freely(_: usize) -> Result<(), Error> {
    Ok(())
}

impl Dictionary {
    /// Nothing yet; takes its part of what the caches share.
    pub(crate) fn new(caches: &MemoryBudget, counters: &Arc<Counters>, lineage: &Arc<Lineage>) -> Self {
        Self {
            counters: Arc::clone(counters),
            lineage: Arc::clone(lineage),
            names: Shelf::new(caches),
            clients: Shelf::new(caches),
            sessions: Shelf::new(caches),
            origins: Shelf::new(caches),
            resources: Shelf::new(caches),
        }
    }

    /// Whether what is read is of the history of the database that memory is of. A snapshot may be from before the database was
    /// put back, and be read after everything was forgotten.
    async fn is_present(&self, db: &impl ConnectionTrait) -> Result<bool, Error> {
        Ok(self.lineage.is_of(lineage::mark(db).await?))
    }

    /// Forgets everything: ids may stand for something else.
    pub(crate) fn forget(&self) {
        self.names.forget();
        self.clients.forget();
        self.sessions.forget();
        self.origins.forget();
        self.resources.forget();
    }

    /// The names of these ids.
    pub(crate) async fn names(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<str>>, Error> {
        self.names_within(db, ids, &mut freely).await
    }

    async fn names_within(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
        hold: &mut (impl FnMut(usize) -> Result<(), Error> + Send),
    ) -> Result<HashMap<i64, Arc<str>>, Error> {
        Ok(read!(
            self,
            self.names,
            db,
            ids,
            hold,
            name,
            |row: name::Model| { Arc::<str>::from(row.text) }
        ))
    }

    /// The origins of these ids, without their resources: no rule and no list looks at those. `hold` reserves their bytes,
    /// or fails.
    pub(crate) async fn origins(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
        hold: &mut (impl FnMut(usize) -> Result<(), Error> + Send),
    ) -> Result<HashMap<i64, Arc<Origin>>, Error> {
        let Looked {
            mut found,
            missing,
            forgotten,
        } = self.origins.get(ids);
        hold(found.len() * ENTRY)?;
        let is_kept = !missing.is_empty() && self.is_present(db).await?;
        for some in missing.chunks(AT_ONCE) {
            let rows: Vec<OriginTexts> = origin::Entity::find()
                .select_only()
                .columns([
                    origin::Column::Id,
                    origin::Column::Service,
                    origin::Column::Instance,
                    origin::Column::Scope,
                    origin::Column::ScopeVersion,
                ])
                .filter(origin::Column::Id.is_in(some.iter().copied()))
                .into_tuple()
                .all(db)
                .await?;
            let values = rows
                .into_iter()
                .map(|(id, service, instance, scope, scope_version)| {
                    let origin = Origin {
                        service,
                        instance,
                        scope,
                        scope_version,
                        resource: Resource::new(),
                    };
                    (id, Arc::new(origin))
                });
            let values: Vec<(i64, Arc<Origin>)> = values.collect();
            hold(values.iter().map(|(_, value)| value.weight() + ENTRY).sum())?;
            if is_kept {
                let values = values.iter().map(|(id, value)| (*id, Arc::clone(value)));
                self.origins.put(forgotten, values);
            }
            found.extend(values);
        }
        Ok(found)
    }

    /// The resources of the origins of these ids.
    pub(crate) async fn resources(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Resource>>, Error> {
        let Looked {
            mut found,
            missing,
            forgotten,
        } = self.resources.get(ids);
        let is_kept = !missing.is_empty() && self.is_present(db).await?;
        for some in missing.chunks(AT_ONCE) {
            let bytes = Func::cust("OCTET_LENGTH").arg(Expr::col(origin::Column::Resource));
            let sizes: Vec<(i64, i64)> = origin::Entity::find()
                .select_only()
                .column(origin::Column::Id)
                .expr(Expr::from(bytes).cast_as(Alias::new("bigint")))
                .filter(origin::Column::Id.is_in(some.iter().copied()))
                .into_tuple()
                .all(db)
                .await?;
            let mut rest = sizes.as_slice();
            while !rest.is_empty() {
                let mut bytes = 0;
                let fitting = rest.iter().take_while(|(_, size)| {
                    let more = bytes < RESOURCES;
                    bytes += usize::try_from(*size).unwrap_or_default();
                    more
                });
                let (some, others) = rest.split_at(fitting.count());
                rest = others;
                let rows: Vec<(i64, Vec<u8>)> = origin::Entity::find()
                    .select_only()
                    .columns([origin::Column::Id, origin::Column::Resource])
                    .filter(origin::Column::Id.is_in(some.iter().map(|(id, _)| *id)))
                    .into_tuple()
                    .all(db)
                    .await?;
                let parsed = rows.into_iter().map(|(id, data)| {
                    let resource = serde_json::from_slice(&data).unwrap_or_else(|_| {
                        self.counters.damaged(&Error::Damaged {
                            table: "origins",
                            row: id,
                            what: "the resource cannot be read",
                        });
                        Resource::new()
                    });
                    (id, Arc::new(resource))
                });
                let values: Vec<(i64, Arc<Resource>)> = parsed.collect();
                if is_kept {
                    let values = values.iter().map(|(id, value)| (*id, Arc::clone(value)));
                    self.resources.put(forgotten, values);
                }
                found.extend(values);
            }
        }
        Ok(found)
    }

    /// The sessions of these ids.
    pub(crate) async fn sessions(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<session::Model>>, Error> {
        self.sessions_within(db, ids, &mut freely).await
    }

    async fn sessions_within(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
        hold: &mut (impl FnMut(usize) -> Result<(), Error> + Send),
    ) -> Result<HashMap<i64, Arc<session::Model>>, Error> {
        Ok(read!(self, self.sessions, db, ids, hold, session, Arc::new))
    }

    /// The clients of these ids.
    pub(crate) async fn clients(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<client::Model>>, Error> {
        self.clients_within(db, ids, &mut freely).await
    }

    async fn clients_within(
        &self,
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = i64>,
        hold: &mut (impl FnMut(usize) -> Result<(), Error> + Send),
    ) -> Result<HashMap<i64, Arc<client::Model>>, Error> {
        Ok(read!(self, self.clients, db, ids, hold, client, Arc::new))
    }

    /// The entries that these rows refer to. `hold` reserves their bytes, or fails.
    pub(crate) async fn glossary(
        &self,
        db: &impl ConnectionTrait,
        calls: &[call::Model],
        hold: &mut (impl FnMut(usize) -> Result<(), Error> + Send),
    ) -> Result<Glossary, Error> {
        let names = calls.iter().flat_map(names_of);
        Ok(Glossary {
            names: self.names_within(db, names, hold).await?,
            clients: self
                .clients_within(db, calls.iter().map(|call| call.client), hold)
                .await?,
            sessions: self
                .sessions_within(db, calls.iter().filter_map(|call| call.session), hold)
                .await?,
            origins: self
                .origins(db, calls.iter().map(|call| call.origin), hold)
                .await?,
        })
    }

    /// Rows as calls, in the same order, without those that cannot be read.
    pub(crate) async fn stored(
        &self,
        db: &impl ConnectionTrait,
        rows: Vec<call::Model>,
    ) -> Result<Vec<Stored>, Error> {
        let glossary = self.glossary(db, &rows, &mut freely).await?;
        let calls = rows.into_iter().map(|row| (row.id, glossary.call(row)));
        let read = calls.filter_map(|(row, call)| match call {
            Ok(call) => Some(Stored {
                row,
                call: Arc::new(call),
            }),
            Err(error) => {
                self.counters.damaged(&error);
                None
            }
        });
        Ok(read.collect())
    }
}

/// Texts of an origin: its id, service, instance, scope and version of the scope.
type OriginTexts = (i64, Option<String>, Option<String>, String, Option<String>);

fn names_of(call: &call::Model) -> impl Iterator<Item = i64> + use<> {
    let others = [call.tool, call.prompt, call.error_type];
    [call.server, call.method]
        .into_iter()
        .chain(others.into_iter().flatten())
}

impl Glossary {
    /// The origins, with their ids.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (i64, &Arc<Origin>)> {
        self.origins.iter().map(|(id, origin)| (*id, origin))
    }

    /// How many bytes of shared texts a call has a copy of.
    pub(crate) fn copied(&self, row: &call::Model) -> usize {
        let names = names_of(row).filter_map(|id| self.names.get(&id));
        let client = self.clients.get(&row.client);
        let session = row.session.and_then(|id| self.sessions.get(&id));
        names.map(|text| text.len()).sum::<usize>()
            + client.map_or(0, |client| client.weight())
            + session.map_or(0, |session| session.weight())
    }

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
