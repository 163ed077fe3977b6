//! What is stored or waits near a batch, read before it is folded.

mod large;
mod memory;
mod statement;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mcptap_model::{HttpSpan, LogLine, Origin, SpanRef, TraceId};
use sea_orm::sea_query::{ArrayType, Expr, ExprTrait, Func, SimpleExpr, Value};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, Statement,
};

use large::Filled;
pub(crate) use memory::Held;
use memory::{ROW, of_call, of_texts, of_waiting};

use crate::details::sizes;
use crate::dictionary::{Dictionary, Glossary};
use crate::entity::{alias, call, detail, name, waiting};
use crate::fold::{self, Known, Neighbourhood, TimeRange, View, WaitingLine};
use crate::incoming::Incoming;
use crate::intern::{NameKind, name_hash};
use crate::row::{kind, span_of, trace_lo, trace_of};
use crate::{DetailParts, Error, clock};

/// How many keys one statement takes at most.
const KEYS: usize = 4096;

/// How many traces are read as a whole by one statement at most: what it brings is not reserved before.
const TRACES: usize = 256;

/// How many calls one time range brings at most.
const PER_RANGE: usize = 1000;

/// How many time ranges one statement takes at most.
const RANGES: usize = 100;

/// A neighbourhood and the number up to which it is true.
pub(crate) struct Near {
    /// What was found.
    pub(crate) undecoded: Undecoded,
    /// The last change that the snapshot saw.
    pub(crate) head: i64,
    /// The calls that were read or looked for, by row.
    pub(crate) rows: HashSet<i64>,
    /// How many rows were read, of all tables.
    pub(crate) read: u64,
    /// How many times a list of ids or a stretch of time had more rows than are read.
    pub(crate) cut: u64,
}

/// The traces of a batch, sorted, each once.
pub(crate) fn traces(batch: &Incoming) -> Vec<i64> {
    let mut traces: Vec<i64> = fold::traces(batch).map(trace_lo).collect();
    traces.sort_unstable();
    traces.dedup();
    traces
}

/// Reads the neighbourhood of a batch in one snapshot: small traces as a whole, of large ones what the batch can touch.
/// The details of calls are not read; see [`read_details`].
pub(crate) async fn load(
    snapshot: &DatabaseTransaction,
    dictionary: &Dictionary,
    batch: &Incoming,
    traces: &[i64],
    ranges: &[TimeRange],
    join_window: Duration,
    held: &mut Held,
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
    let since = clock::ago(join_window).0;
    let large = if calls || aliases || waiting {
        large::large(snapshot, traces).await?
    } else {
        HashSet::new()
    };
    let small: Vec<i64> = traces
        .iter()
        .copied()
        .filter(|trace| !large.contains(trace))
        .collect();
    for traces in small.chunks(TRACES) {
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
            let rows = waiting::Entity::find()
                .filter(among)
                .filter(waiting::Column::ArrivedAt.gte(since))
                .filter(waiting::Column::Kind.ne(kind::JOINED));
            found.waiting.extend(rows.all(snapshot).await?);
        }
        found.hold(held)?;
    }
    found.rows_read = (found.calls.len() + found.aliases.len() + found.waiting.len()) as u64;
    let partial: HashSet<TraceId> = fold::traces(batch)
        .filter(|trace| large.contains(&trace_lo(*trace)))
        .collect();
    let filled = Filled { aliases, waiting };
    for trace in &partial {
        large::Reading::new(snapshot, since, filled, &mut found)
            .read(batch, *trace, dictionary)
            .await?;
        found.hold(held)?;
    }
    if calls {
        for ranges in ranges.chunks(RANGES) {
            let rows = in_ranges(snapshot, ranges).await?;
            found.read(rows.len(), usize::MAX);
            found.add(rows);
            found.hold(held)?;
        }
        let elsewhere = found.referred_to();
        for rows in elsewhere.chunks(KEYS) {
            let rows = call::Entity::find()
                .filter(among(snapshot, call::Column::Id, rows))
                .all(snapshot)
                .await?;
            found.read(rows.len(), usize::MAX);
            found.add(rows);
            found.hold(held)?;
        }
    }
    let mut rows = found.rows.clone();
    rows.extend(found.referred_to());
    let (read, cut) = (found.rows_read, found.cut);
    Ok(Near {
        undecoded: found.with_words(snapshot, dictionary, partial).await?,
        head,
        rows,
        read,
        cut,
    })
}

/// The details of the calls in these rows, as they are stored. What they take is reserved before they are read, and for
/// what is unpacked of them before it is.
pub(crate) async fn read_details(
    snapshot: &DatabaseTransaction,
    rows: &[i64],
    held: &mut Held,
) -> Result<Vec<detail::Model>, Error> {
    let mut found = Vec::with_capacity(rows.len());
    for rows in rows.chunks(KEYS) {
        let sizes = sizes(snapshot, rows, DetailParts::ALL).await?;
        held.grow(sizes.values().sum::<usize>() + sizes.len() * ROW)?;
        let among = among(snapshot, detail::Column::Call, rows);
        let rows = detail::Entity::find().filter(among).all(snapshot).await?;
        held.grow(rows.iter().map(of_texts).sum())?;
        found.extend(rows);
    }
    Ok(found)
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
    let keys: Vec<[i64; 3]> = ranges
        .iter()
        .filter_map(|range| Some([*ids.get(range.server.as_str())?, range.from.0, range.to.0]))
        .collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // Each range has a limit of its own: a busy server takes nothing from the others.
    let text = format!(
        "SELECT * FROM calls WHERE server = ? AND started_at BETWEEN ? AND ? \
         ORDER BY started_at DESC LIMIT {PER_RANGE}"
    );
    let statement = statement::each(snapshot.get_database_backend(), &text, &keys);
    Ok(call::Entity::find().from_raw_sql(statement).all(snapshot).await?)
}

#[derive(Default)]
struct Found {
    rows: HashSet<i64>,
    calls: Vec<call::Model>,
    aliases: Vec<alias::Model>,
    /// The spans of aliases that were read of large traces.
    spans: HashSet<(i64, i64)>,
    waiting: Vec<waiting::Model>,
    /// What waits, of large traces, by row.
    waits: HashSet<i64>,
    rows_read: u64,
    cut: u64,
    /// How many calls, aliases and waiting rows are reserved.
    held: (usize, usize, usize),
}

impl Found {
    fn add(&mut self, calls: Vec<call::Model>) {
        for call in calls {
            if self.rows.insert(call.id) {
                self.calls.push(call);
            }
        }
    }

    /// Counts rows that were read of at most `limit`.
    fn read(&mut self, rows: usize, limit: usize) {
        self.rows_read += rows as u64;
        self.stopped(rows >= limit);
    }

    /// Counts that there is more than was read.
    fn stopped(&mut self, stopped: bool) {
        self.cut += u64::from(stopped);
    }

    /// Calls that aliases and links name, of other traces.
    fn referred_to(&self) -> Vec<i64> {
        let named = self.aliases.iter().filter_map(|alias| alias.call);
        let named: HashSet<i64> = named
            .chain(self.waiting.iter().filter_map(|waiting| waiting.call))
            .collect();
        named.difference(&self.rows).copied().collect()
    }

    /// Reserves what was read since this was asked last.
    fn hold(&mut self, held: &mut Held) -> Result<(), Error> {
        let (calls, aliases, waiting) = self.held;
        let calls: usize = self.calls.iter().skip(calls).map(of_call).sum();
        let waiting: usize = self.waiting.iter().skip(waiting).map(of_waiting).sum();
        let aliases = (self.aliases.len() - aliases) * ROW;
        self.held = (self.calls.len(), self.aliases.len(), self.waiting.len());
        held.grow(calls + waiting + aliases)
    }

    /// With what the rows refer to.
    async fn with_words(
        self,
        db: &DatabaseTransaction,
        dictionary: &Dictionary,
        partial: HashSet<TraceId>,
    ) -> Result<Undecoded, Error> {
        Ok(Undecoded {
            glossary: dictionary.glossary(db, &self.calls).await?,
            origins: dictionary
                .origins(db, self.waiting.iter().filter_map(|waiting| waiting.origin))
                .await?,
            found: self,
            partial,
        })
    }
}

/// Rows of a neighbourhood and what they refer to.
pub(crate) struct Undecoded {
    found: Found,
    glossary: Glossary,
    origins: HashMap<i64, Arc<Origin>>,
    partial: HashSet<TraceId>,
}

impl Undecoded {
    /// Makes calls, lines and spans of the rows. Work for a thread of a CPU pool.
    pub(crate) fn decode(self) -> Result<Neighbourhood, Error> {
        let Self {
            found,
            glossary,
            origins,
            partial,
        } = self;
        let Found {
            rows,
            calls,
            aliases,
            waiting,
            ..
        } = found;
        let mut near = Neighbourhood {
            partial,
            ..Neighbourhood::default()
        };
        for row in calls {
            let id = row.id;
            let call = glossary.call(row)?;
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
