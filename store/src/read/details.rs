//! `impl Store`: what lists leave out, for many calls at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use mcptap_model::{Origin, Payload};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
};
use serde_json::{Map, Value};
use tokio::time::timeout_at;

use crate::feed::recent::size_of_fields;
use crate::limits::operation::Operation;
use crate::metrics::Counters;
use crate::read::readers::Reading;
use crate::rows::body::{flag, unpacked_size};
use crate::rows::dictionary;
use crate::rows::entity::{call, detail};
use crate::{Error, Store};

/// How many bytes, as they are stored, are read together, give or take those of one call.
const BATCH: usize = 1 << 20;

/// Of how many calls the resources are in memory together, beside the copies that are delivered. A resource may have 256
/// KiB as text.
const ORIGINS: usize = 32;

/// The heavy part of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The body that the client sent.
    pub request: Option<Payload>,
    /// The body that the server answered.
    pub response: Option<Payload>,
    /// The stack trace of the exception.
    pub stack_trace: Option<String>,
    /// Everything the span carried that has no field of its own, and where it came from: `otel.scope.name`,
    /// `otel.scope.version` and `resource`, an object.
    pub attributes: Map<String, Value>,
}

/// Why the details of a call are not given.
#[derive(Debug)]
pub enum Unread<E> {
    /// There is no room for them, says whoever asked.
    Refused(E),
    /// The stored values cannot be read: an [`Error::Damaged`].
    Damaged(Error),
}

/// Which parts of [`Details`] are wanted; the others stay empty and are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DetailParts {
    /// The body that the client sent.
    pub request: bool,
    /// The body that the server answered.
    pub response: bool,
    /// Stack trace and attributes.
    pub rest: bool,
}

impl DetailParts {
    /// All of them.
    pub const ALL: Self = Self {
        request: true,
        response: true,
        rest: true,
    };

    fn columns(self) -> [(detail::Column, bool); 4] {
        [
            (detail::Column::Request, self.request),
            (detail::Column::Response, self.response),
            (detail::Column::StackTrace, self.rest),
            (detail::Column::Attributes, self.rest),
        ]
    }
}

impl Store {
    /// The details of the calls in these rows. Rows that do not exist are left out.
    pub async fn details(&self, rows: &[i64]) -> Result<HashMap<i64, Details>, Error> {
        let found = self
            .details_that_fit(rows, DetailParts::ALL, |_| Ok::<_, Infallible>(()))
            .await?;
        let read = found.into_iter().map(|(row, details)| match details {
            Ok(details) => Ok((row, details)),
            Err(Unread::Damaged(error)) => Err(error),
            Err(Unread::Refused(never)) => match never {},
        });
        read.collect()
    }

    /// Parts of the details of the calls in these rows, in the order of the rows. `fits` is told how many bytes those of
    /// the next call take in memory, before they are unpacked; what does not fit is left where it is, and the refusal
    /// given in its place. So it is with details that cannot be read: those of other calls are not affected. Rows that do
    /// not exist are left out.
    pub async fn details_that_fit<E: Send>(
        &self,
        rows: &[i64],
        parts: DetailParts,
        mut fits: impl FnMut(usize) -> Result<(), E> + Send,
    ) -> Result<HashMap<i64, Result<Details, Unread<E>>>, Error> {
        let tx = self.snapshot(Reading::Light).await?;
        let calls: Vec<(i64, i64)> = call::Entity::find()
            .select_only()
            .columns([call::Column::Id, call::Column::Origin])
            .filter(call::Column::Id.is_in(rows.iter().copied()))
            .filter(self.kept())
            .into_tuple()
            .all(&*tx)
            .await?;
        let origin_of: HashMap<i64, i64> = calls.into_iter().collect();
        let mut kept: Vec<i64> = rows
            .iter()
            .copied()
            .filter(|row| origin_of.contains_key(row))
            .collect();
        kept.dedup();
        let sizes = sizes(&tx, &kept, parts).await?;
        let mut found: HashMap<i64, Result<Details, Unread<E>>> = HashMap::with_capacity(kept.len());
        let mut rest = kept.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take_while(|row| {
                let more = bytes < BATCH;
                bytes += sizes.get(row).copied().unwrap_or_default();
                more
            });
            let (some, others) = rest.split_at(fitting.count());
            rest = others;
            let mut models = Vec::with_capacity(some.len());
            let mut read: HashMap<i64, detail::Model> = part_rows(&tx, some, parts)
                .await?
                .into_iter()
                .map(|row| (row.call, row))
                .collect();
            for row in some {
                let Some(model) = read.remove(row) else {
                    found.insert(*row, Ok(Details::default()));
                    continue;
                };
                match fits(unpacked(&model)) {
                    Ok(()) => models.push(model),
                    Err(refused) => drop(found.insert(*row, Err(Unread::Refused(refused)))),
                }
            }
            for (row, details) in self.unpack(models).await? {
                found.insert(row, details.map_err(Unread::Damaged));
            }
        }
        if parts.rest {
            let dictionary = &self.inner.dictionary;
            // In the order of the rows: the first ones are served first.
            for some in kept.chunks(ORIGINS) {
                let ids: Vec<i64> = some
                    .iter()
                    .filter_map(|row| origin_of.get(row).copied())
                    .collect();
                let origins = dictionary
                    .origins(&*tx, ids.iter().copied(), &mut dictionary::freely)
                    .await?;
                let resources = dictionary.resources(&*tx, ids.into_iter()).await?;
                for row in some {
                    let id = origin_of.get(row);
                    let origin = id.and_then(|id| Some((origins.get(id)?, resources.get(id)?)));
                    let (Some(entry), Some((origin, resource))) = (found.get_mut(row), origin) else {
                        continue;
                    };
                    let Ok(details) = entry else { continue };
                    // Each call gets a copy of what many may share.
                    match fits(copied(origin, resource)) {
                        Ok(()) => add_origin(&mut details.attributes, origin, resource),
                        Err(refused) => *entry = Err(Unread::Refused(refused)),
                    }
                }
            }
        }
        tx.commit().await?;
        Ok(found)
    }

    async fn unpack(&self, models: Vec<detail::Model>) -> Result<Vec<(i64, Result<Details, Error>)>, Error> {
        if models.is_empty() {
            return Ok(Vec::new());
        }
        let operation = Operation::reading(self.inner.options.read_timeout);
        let counters = Arc::clone(&self.inner.counters);
        let unpacking = self.inner.cpu.run(move |cancelled| {
            let each = models.into_iter().map(|model| {
                if cancelled.get() {
                    return Err(Error::TimedOut);
                }
                let call = model.call;
                Ok((call, read(dictionary::details(model), &counters)))
            });
            each.collect::<Result<Vec<_>, Error>>()
        });
        match timeout_at(operation.deadline().into(), unpacking).await {
            Ok(Ok(details)) => details,
            Ok(Err(error)) => Err(Error::of_work(error)),
            Err(_) => Err(Error::TimedOut),
        }
    }
}

/// Counts damaged details. The error is passed on: an empty value would mean that nothing was captured.
fn read(details: Result<Details, Error>, counters: &Counters) -> Result<Details, Error> {
    if let Err(error @ Error::Damaged { .. }) = &details {
        counters.damaged(error);
    }
    details
}

/// How many bytes the parts have as they are stored.
pub(crate) async fn sizes(
    tx: &DatabaseTransaction,
    rows: &[i64],
    parts: DetailParts,
) -> Result<HashMap<i64, usize>, Error> {
    let mut total = Expr::val(0).cast_as(Alias::new("bigint"));
    for (column, _) in parts.columns().into_iter().filter(|(_, wanted)| *wanted) {
        let length = Func::cust("OCTET_LENGTH").arg(Expr::col(column));
        total = total.add(Func::coalesce([SimpleExpr::from(length), Expr::val(0)]));
    }
    let select = Query::select()
        .column(detail::Column::Call)
        .expr(total)
        .from(detail::Entity)
        .and_where(detail::Column::Call.is_in(rows.iter().copied()))
        .take();
    let found = tx.query_all(&select).await?;
    found
        .iter()
        .map(|row| {
            let bytes: i64 = row.try_get_by_index(1)?;
            Ok((
                row.try_get_by_index(0)?,
                usize::try_from(bytes).unwrap_or_default(),
            ))
        })
        .collect()
}

/// The rows of `details`, with nothing in the columns that are not wanted.
async fn part_rows(
    tx: &DatabaseTransaction,
    rows: &[i64],
    parts: DetailParts,
) -> Result<Vec<detail::Model>, Error> {
    let mut select = Query::select();
    select
        .columns([
            detail::Column::Call,
            detail::Column::RequestBytes,
            detail::Column::ResponseBytes,
            detail::Column::Flags,
        ])
        .from(detail::Entity)
        .and_where(detail::Column::Call.is_in(rows.iter().copied()));
    for (column, wanted) in parts.columns() {
        if wanted {
            select.column(column);
        } else {
            select.expr_as(Expr::cust("CAST(NULL AS bytea)"), column);
        }
    }
    let found = tx.query_all(&select).await?;
    found
        .iter()
        .map(|row| Ok(detail::Model::from_query_result(row, "")?))
        .collect()
}

/// How many bytes a row takes once it is unpacked. Attributes take several times their text as a tree.
fn unpacked(row: &detail::Model) -> usize {
    let size = |data: &Option<Vec<u8>>, packed: i16| {
        data.as_ref()
            .map_or(0, |data| unpacked_size(data, row.flags & packed != 0))
    };
    size(&row.request, flag::REQUEST_COMPRESSED)
        + size(&row.response, flag::RESPONSE_COMPRESSED)
        + size(&row.stack_trace, flag::STACK_TRACE_COMPRESSED)
        + 4 * size(&row.attributes, flag::ATTRIBUTES_COMPRESSED)
}

/// About how many bytes [`add_origin`] adds.
fn copied(origin: &Origin, resource: &Map<String, Value>) -> usize {
    origin.scope.len() + origin.scope_version.as_ref().map_or(0, String::len) + size_of_fields(resource)
}

fn add_origin(attributes: &mut Map<String, Value>, origin: &Origin, resource: &Map<String, Value>) {
    if !origin.scope.is_empty() {
        attributes.insert("otel.scope.name".to_owned(), origin.scope.clone().into());
    }
    if let Some(version) = &origin.scope_version {
        attributes.insert("otel.scope.version".to_owned(), version.clone().into());
    }
    attributes.insert("resource".to_owned(), Value::Object(resource.clone()));
}
