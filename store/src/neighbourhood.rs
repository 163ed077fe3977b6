//! What is stored or waits near a batch, read before it is folded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mcptap_model::{Batch, HttpSpan, LogLine, SpanRef};
use sea_orm::sea_query::{ArrayType, Expr, ExprTrait, Func, SimpleExpr, Value};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Statement,
};

use crate::dictionary::{Dictionary, details};
use crate::entity::{alias, call, detail, name, waiting};
use crate::fold::{self, Known, Neighbourhood, TimeRange, View, WaitingLine};
use crate::intern::{NameKind, name_hash};
use crate::row::{kind, span_of, trace_lo, trace_of};
use crate::{Details, Error, clock};

/// How many keys one statement takes at most.
const KEYS: usize = 4096;

/// How many calls one time range brings at most.
const PER_RANGE: u64 = 1000;

/// How many time ranges one statement takes at most.
const RANGES: usize = 100;

/// A neighbourhood and the number up to which it is true.
pub(crate) struct Near {
    /// What was found.
    pub(crate) neighbourhood: Neighbourhood,
    /// The last change that the snapshot saw.
    pub(crate) head: i64,
    /// The calls that were read or looked for, by row.
    pub(crate) rows: HashSet<i64>,
}

/// The traces of a batch, sorted, each once.
pub(crate) fn traces(batch: &Batch) -> Vec<i64> {
    let mut traces: Vec<i64> = fold::traces(batch).map(trace_lo).collect();
    traces.sort_unstable();
    traces.dedup();
    traces
}

/// Reads the neighbourhood of a batch in one snapshot.
pub(crate) async fn load(
    snapshot: &DatabaseTransaction,
    dictionary: &Dictionary,
    traces: &[i64],
    ranges: &[TimeRange],
    join_window: Duration,
) -> Result<Near, Error> {
    let state = snapshot
        .query_one_raw(Statement::from_string(
            snapshot.get_database_backend(),
            "SELECT value, EXISTS (SELECT 1 FROM calls), EXISTS (SELECT 1 FROM aliases), \
             EXISTS (SELECT 1 FROM waiting) FROM sequence WHERE id = 1",
        ))
        .await?
        .ok_or(Error::Damaged {
            table: "sequence",
            row: 1,
            what: "is missing",
        })?;
    let head: i64 = state.try_get_by_index(0)?;
    let (calls, aliases, waiting): (bool, bool, bool) = (
        state.try_get_by_index(1)?,
        state.try_get_by_index(2)?,
        state.try_get_by_index(3)?,
    );

    let mut found = Found::default();
    for traces in traces.chunks(KEYS) {
        if calls {
            let among = among(snapshot, call::Column::TraceLo, traces);
            found.add(call::Entity::find().filter(among).all(snapshot).await?);
        }
        if aliases {
            let among = among(snapshot, alias::Column::TraceLo, traces);
            found
                .aliases
                .extend(alias::Entity::find().filter(among).all(snapshot).await?);
        }
        if waiting {
            let among = among(snapshot, waiting::Column::TraceLo, traces);
            let since = clock::ago(join_window).0;
            let rows = waiting::Entity::find()
                .filter(among)
                .filter(waiting::Column::ArrivedAt.gte(since));
            found.waiting.extend(rows.all(snapshot).await?);
        }
    }
    if calls {
        for ranges in ranges.chunks(RANGES) {
            found.add(in_ranges(snapshot, ranges).await?);
        }
        let elsewhere = found.referred_to();
        for rows in elsewhere.chunks(KEYS) {
            found.add(
                call::Entity::find()
                    .filter(among(snapshot, call::Column::Id, rows))
                    .all(snapshot)
                    .await?,
            );
        }
    }
    let mut rows = found.rows.clone();
    rows.extend(found.referred_to());
    Ok(Near {
        neighbourhood: found.neighbourhood(snapshot, dictionary).await?,
        head,
        rows,
    })
}

/// `column` among the keys, in few shapes of statement: an array on PostgreSQL; on SQLite a list filled up to a power of
/// two with its last key.
fn among<C: ColumnTrait>(db: &impl ConnectionTrait, column: C, keys: &[i64]) -> SimpleExpr {
    if db.get_database_backend() == DbBackend::Postgres {
        let keys = keys.iter().map(|key| Value::BigInt(Some(*key))).collect();
        let array = Expr::val(Value::Array(ArrayType::BigInt, Some(Box::new(keys))));
        return column.into_expr().eq(Func::cust("ANY").arg(array));
    }
    let filled = keys
        .iter()
        .chain(keys.last().into_iter().cycle())
        .take(keys.len().next_power_of_two());
    column.is_in(filled.copied())
}

async fn in_ranges(snapshot: &DatabaseTransaction, ranges: &[TimeRange]) -> Result<Vec<call::Model>, Error> {
    let hashes = ranges
        .iter()
        .map(|range| name_hash(NameKind::Server, &range.server));
    let names = name::Entity::find()
        .filter(name::Column::Hash.is_in(hashes))
        .all(snapshot)
        .await?;
    let ids: HashMap<&str, i64> = names.iter().map(|name| (name.text.as_str(), name.id)).collect();
    let mut any = Condition::any();
    let mut known = 0;
    for range in ranges {
        if let Some(id) = ids.get(range.server.as_str()) {
            known += 1;
            any = any.add(
                Condition::all()
                    .add(call::Column::Server.eq(*id))
                    .add(call::Column::StartedAt.between(range.from.0, range.to.0)),
            );
        }
    }
    if known == 0 {
        return Ok(Vec::new());
    }
    let rows = call::Entity::find()
        .filter(any)
        .order_by_desc(call::Column::StartedAt)
        .limit(PER_RANGE * known);
    Ok(rows.all(snapshot).await?)
}

#[derive(Default)]
struct Found {
    rows: HashSet<i64>,
    calls: Vec<call::Model>,
    aliases: Vec<alias::Model>,
    waiting: Vec<waiting::Model>,
}

impl Found {
    fn add(&mut self, calls: Vec<call::Model>) {
        for call in calls {
            if self.rows.insert(call.id) {
                self.calls.push(call);
            }
        }
    }

    /// Calls that aliases and links name, of other traces.
    fn referred_to(&self) -> Vec<i64> {
        let named = self.aliases.iter().filter_map(|alias| alias.call);
        let named: HashSet<i64> = named
            .chain(self.waiting.iter().filter_map(|waiting| waiting.call))
            .collect();
        named.difference(&self.rows).copied().collect()
    }

    async fn neighbourhood(
        self,
        db: &DatabaseTransaction,
        dictionary: &Dictionary,
    ) -> Result<Neighbourhood, Error> {
        let Self {
            rows,
            calls,
            aliases,
            waiting,
        } = self;
        let mut heavy: HashMap<i64, Details> = HashMap::new();
        let all: Vec<i64> = rows.iter().copied().collect();
        for rows in all.chunks(KEYS) {
            for row in detail::Entity::find()
                .filter(among(db, detail::Column::Call, rows))
                .all(db)
                .await?
            {
                heavy.insert(row.call, details(row)?);
            }
        }
        let glossary = dictionary.glossary(db, &calls).await?;
        let mut near = Neighbourhood::default();
        for row in calls {
            let id = row.id;
            let mut call = glossary.call(row)?;
            if let Some(details) = heavy.remove(&id) {
                call.request = details.request;
                call.response = details.response;
                call.stack_trace = details.stack_trace;
                call.attributes = details.attributes;
            }
            near.known.push(Known { row: id, call });
        }
        for alias in aliases {
            let span = trace_of(alias.trace_hi, alias.trace_lo).zip(span_of(alias.span_id));
            let gone = alias.call.is_some_and(|call| !rows.contains(&call));
            if let Some((trace_id, span_id)) = span
                && !gone
            {
                near.aliases.push((SpanRef { trace_id, span_id }, alias.call));
            }
        }
        let origins = dictionary
            .origins(db, waiting.iter().filter_map(|waiting| waiting.origin))
            .await?;
        for row in waiting {
            match row.kind {
                kind::HTTP => {
                    if let Ok(mut span) = serde_json::from_slice::<HttpSpan>(&row.data) {
                        span.origin = row
                            .origin
                            .and_then(|id| origins.get(&id))
                            .cloned()
                            .unwrap_or_default();
                        near.https.push(span);
                    }
                }
                kind::LOG => {
                    if let Ok(line) = serde_json::from_slice::<LogLine>(&row.data) {
                        near.logs.push(WaitingLine {
                            key: row.id,
                            line,
                            placed: row.call.filter(|call| rows.contains(call)),
                        });
                    }
                }
                kind::LINK => {
                    if let Ok(target) = serde_json::from_slice::<SpanRef>(&row.data)
                        && let Some(call) = row.call.filter(|call| rows.contains(call))
                    {
                        near.links.push((target, call));
                    }
                }
                kind::VIEW => {
                    if let Ok(above) = serde_json::from_slice::<SpanRef>(&row.data)
                        && let Some(call) = row.call.filter(|call| rows.contains(call))
                        && let Some(origin) = row.origin.and_then(|id| origins.get(&id))
                    {
                        near.views.push(View {
                            above,
                            origin: Arc::clone(origin),
                            row: call,
                        });
                    }
                }
                _ => tracing::warn!(
                    row = row.id,
                    kind = row.kind,
                    "a waiting row of a kind not known to this version"
                ),
            }
        }
        Ok(near)
    }
}
