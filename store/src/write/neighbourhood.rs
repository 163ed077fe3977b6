//! The rows that are stored or wait near a batch, read before it is folded.

mod found;
mod large;
mod memory;
mod parts;
mod statement;
mod undecoded;
mod watched;
mod weights;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use mcptap_model::TraceId;
use sea_orm::sea_query::{ArrayType, Expr, ExprTrait, Func, SimpleExpr, Value};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, Statement,
};

use found::{Because, Found};
use large::Filled;
pub(crate) use memory::Held;
use memory::{ROW, of_texts};
pub(crate) use statement::{arms, each, keyed};
pub(crate) use undecoded::Undecoded;
pub(crate) use weights::CALL_BYTES;
use weights::Weight;

use crate::read::details::sizes;
use crate::rows::dictionary::Dictionary;
use crate::rows::entity::{alias, call, detail, name, waiting};
use crate::rows::intern::{NameKind, name_hash};
use crate::rows::row::{kind, trace_lo};
use crate::write::fold::{self, Served, TimeRange};
use crate::write::incoming::Incoming;
use crate::{DetailParts, Error, clock};

/// How many keys one statement takes at most.
const KEYS: usize = 4096;

/// How many traces are read as a whole by one statement at most, and how many bytes they take, give or take those of one.
const TRACES: (usize, usize) = (256, 4 << 20);

/// How many calls one time range brings at most.
const PER_RANGE: usize = 1000;

/// How many time ranges one statement takes at most.
const RANGES: usize = 100;

/// A neighbourhood, and how it was read.
pub(crate) struct Near {
    /// The rows that were found.
    pub(crate) undecoded: Undecoded,
    /// The calls that were read or looked for, by row.
    pub(crate) rows: HashSet<i64>,
    /// How many rows were read, of all tables.
    pub(crate) read: u64,
    /// By how many statements.
    pub(crate) statements: u64,
    /// How many times a list of ids or a stretch of time had more rows than are read.
    pub(crate) cut: u64,
}

/// The traces of a batch, sorted, each once, and the keys of requests that are in other traces too.
pub(crate) fn places(batch: &Incoming) -> Vec<i64> {
    let mut places = traces(batch);
    places.extend(fold::served(batch).iter().map(|served| served.key));
    places.sort_unstable();
    places.dedup();
    places
}

/// The traces of a batch, sorted, each once.
fn traces(batch: &Incoming) -> Vec<i64> {
    let mut traces: Vec<i64> = fold::traces(batch).map(trace_lo).collect();
    traces.sort_unstable();
    traces.dedup();
    traces
}

/// Reads the neighbourhood of a batch in one snapshot: small traces as a whole, of large ones what the batch can touch.
/// The details of calls are not read; see [`read_details`]. Gives also the last change that the snapshot saw.
pub(crate) async fn load(
    snapshot: &DatabaseTransaction,
    dictionary: &Dictionary,
    batch: &Incoming,
    ranges: &[TimeRange],
    join_window: Duration,
    held: &mut Held,
) -> Result<(i64, Near), Error> {
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
    let traces = traces(batch);
    let mut large = if calls || aliases || waiting {
        large::large(snapshot, &traces).await?
    } else {
        HashSet::new()
    };
    let small: Vec<i64> = traces
        .iter()
        .copied()
        .filter(|trace| !large.contains(trace))
        .collect();
    let filled = Filled {
        calls,
        aliases,
        waiting,
    };
    let weights = weights::of_traces(snapshot, &small, filled, since).await?;
    let (heavy, mut light): (Vec<_>, Vec<_>) = weights
        .into_iter()
        .partition(|(_, weight)| weight.bytes() > weights::WHOLE);
    large.extend(heavy.into_iter().map(|(trace, _)| trace));
    light.sort_unstable_by_key(|(trace, _)| *trace);
    let mut rest = light.as_slice();
    while !rest.is_empty() {
        let mut bytes = 0;
        let some = rest.iter().take(TRACES.0).take_while(|(_, weight)| {
            let more = bytes < TRACES.1;
            if more {
                bytes += weight.bytes();
            }
            more
        });
        let (some, others) = rest.split_at(some.count());
        rest = others;
        if !held.take_near(bytes)? {
            // Too much for one record: only what it touches is read.
            large.extend(some.iter().map(|(trace, _)| *trace));
            continue;
        }
        let with = |count: fn(&Weight) -> usize| -> Vec<i64> {
            let some = some.iter().filter(|(_, weight)| count(weight) > 0);
            some.map(|(trace, _)| *trace).collect()
        };
        let traces = with(|weight| weight.calls);
        if !traces.is_empty() {
            let among = among(snapshot, call::Column::TraceLo, &traces);
            found.add(call::Entity::find().filter(among).all(snapshot).await?);
        }
        let traces = with(|weight| weight.aliases);
        if !traces.is_empty() {
            let among = among(snapshot, alias::Column::TraceLo, &traces);
            found
                .aliases
                .extend(alias::Entity::find().filter(among).all(snapshot).await?);
        }
        let traces = with(|weight| weight.waiting);
        if !traces.is_empty() {
            let among = among(snapshot, waiting::Column::TraceLo, &traces);
            let rows = waiting::Entity::find()
                .filter(among)
                .filter(waiting::Column::ArrivedAt.gte(since))
                .filter(waiting::Column::Kind.is_not_in([kind::JOINED, kind::PARTS]));
            found.waiting.extend(rows.all(snapshot).await?);
        }
    }
    found.rows_read = (found.calls.len() + found.aliases.len() + found.waiting.len()) as u64;
    let partial: HashSet<TraceId> = fold::traces(batch)
        .filter(|trace| large.contains(&trace_lo(*trace)))
        .collect();
    large::Reading::new(snapshot, dictionary, since, filled, &mut found, held)
        .read(batch, &partial)
        .await?;
    if waiting {
        watched::watchers(snapshot, &fold::served(batch), since, &mut found, held).await?;
    }
    if calls {
        let watched = fold::watched(batch);
        for watched in watched.chunks(RANGES) {
            let named = watched::of_sessions(snapshot, watched).await?;
            found.read(named.len(), usize::MAX);
            found.read_calls(snapshot, &named, Because::Near, held).await?;
        }
        for ranges in ranges.chunks(RANGES) {
            let keys = range_keys(snapshot, ranges).await?;
            let named = in_ranges(snapshot, &keys).await?;
            found.read(named.len(), usize::MAX);
            found.read_calls(snapshot, &named, Because::Near, held).await?;
            let is_cut = fullest(&found, &named, &keys) >= PER_RANGE;
            found.stopped(is_cut);
        }
        read_referred_to(snapshot, &mut found, held).await?;
    }
    if calls && waiting {
        parts::read(snapshot, &mut found, held).await?;
    }
    Ok((head, Near::new(found, snapshot, dictionary, partial, held).await?))
}

/// Reads the watchers that wait for requests whose sessions became known when the neighbourhood was read, and their calls.
pub(crate) async fn load_watchers(
    snapshot: &DatabaseTransaction,
    dictionary: &Dictionary,
    served: &[Served],
    join_window: Duration,
    held: &mut Held,
) -> Result<Near, Error> {
    let mut found = Found::default();
    let since = clock::ago(join_window).0;
    watched::watchers(snapshot, served, since, &mut found, held).await?;
    read_referred_to(snapshot, &mut found, held).await?;
    parts::read(snapshot, &mut found, held).await?;
    Near::new(found, snapshot, dictionary, HashSet::new(), held).await
}

/// Reads the calls that aliases and waiting rows name and that are not here yet.
async fn read_referred_to(
    snapshot: &DatabaseTransaction,
    found: &mut Found,
    held: &mut Held,
) -> Result<(), Error> {
    let elsewhere = found.referred_to();
    for rows in elsewhere.chunks(KEYS) {
        let named = weights::of_calls(snapshot, rows).await?;
        found.read(named.len(), usize::MAX);
        found.read_calls(snapshot, &named, Because::Named, held).await?;
    }
    Ok(())
}

impl Near {
    async fn new(
        found: Found,
        snapshot: &DatabaseTransaction,
        dictionary: &Dictionary,
        partial: HashSet<TraceId>,
        held: &mut Held,
    ) -> Result<Self, Error> {
        let mut rows: HashSet<i64> = found.rows().collect();
        rows.extend(found.referred_to());
        let (read, statements, cut) = (found.rows_read, found.statements, found.cut);
        Ok(Self {
            undecoded: Undecoded::new(found, snapshot, dictionary, partial, held).await?,
            rows,
            read,
            statements,
            cut,
        })
    }
}

/// The details of calls.
#[derive(Default)]
pub(crate) struct FoundDetails {
    /// As they are stored.
    pub(crate) rows: Vec<detail::Model>,
    /// Calls (their rows) whose details are too large for one record.
    pub(crate) unread: HashSet<i64>,
}

/// The details of the calls in these rows, as they are stored. Their bytes are reserved before they are read, and those of
/// unpacked texts before these are unpacked. For one record alone, only those that fit are read.
pub(crate) async fn read_details(
    snapshot: &DatabaseTransaction,
    rows: &[i64],
    held: &mut Held,
) -> Result<FoundDetails, Error> {
    let mut found = FoundDetails::default();
    for rows in rows.chunks(KEYS) {
        let sizes = sizes(snapshot, rows, DetailParts::ALL).await?;
        let mut fitting = Vec::with_capacity(sizes.len());
        for row in rows {
            match sizes.get(row) {
                Some(bytes) if !held.take(bytes + ROW)? => drop(found.unread.insert(*row)),
                Some(_) => fitting.push(*row),
                None => {}
            }
        }
        if fitting.is_empty() {
            continue;
        }
        let among = among(snapshot, detail::Column::Call, &fitting);
        for row in detail::Entity::find().filter(among).all(snapshot).await? {
            if held.take(of_texts(&row))? {
                found.rows.push(row);
            } else {
                found.unread.insert(row.call);
            }
        }
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

/// The numbers of these servers, those that are known.
async fn server_ids(
    snapshot: &DatabaseTransaction,
    servers: impl Iterator<Item = &str>,
) -> Result<HashMap<String, i64>, Error> {
    let hashes = servers.map(|server| name_hash(NameKind::Server, server));
    let names = name::Entity::find()
        .filter(name::Column::Hash.is_in(hashes))
        .all(snapshot)
        .await?;
    Ok(names.into_iter().map(|name| (name.text, name.id)).collect())
}

/// Ranges by the number of the server, begin and end.
async fn range_keys(snapshot: &DatabaseTransaction, ranges: &[TimeRange]) -> Result<Vec<[i64; 3]>, Error> {
    let servers = ranges.iter().map(|range| range.server.as_str());
    let ids = server_ids(snapshot, servers).await?;
    let keys = ranges
        .iter()
        .filter_map(|range| Some([*ids.get(&range.server)?, range.from.0, range.to.0]));
    Ok(keys.collect())
}

/// How many of these calls are in the range that has the most of them. Ranges of one server do not overlap.
fn fullest(found: &Found, named: &[(i64, usize)], keys: &[[i64; 3]]) -> usize {
    let mut counts: BTreeMap<(i64, i64), usize> = keys
        .iter()
        .map(|[server, from, _]| ((*server, *from), 0))
        .collect();
    let rows: HashSet<i64> = named.iter().map(|(row, _)| *row).collect();
    for call in rows.into_iter().filter_map(|row| found.call(row)) {
        let mut until = counts.range_mut(..=(call.server, call.started_at));
        if let Some((_, count)) = until.next_back() {
            *count += 1;
        }
    }
    counts.into_values().max().unwrap_or_default()
}

/// The calls of servers at some times: their rows, and the bytes of their long texts.
async fn in_ranges(snapshot: &DatabaseTransaction, keys: &[[i64; 3]]) -> Result<Vec<(i64, usize)>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // Each range has a limit of its own: a busy server takes nothing from the others.
    let text = format!(
        "SELECT id, {CALL_BYTES} AS bytes FROM calls WHERE server = ? AND started_at BETWEEN ? AND ? \
         ORDER BY started_at DESC LIMIT {PER_RANGE}"
    );
    let statement = statement::each(snapshot.get_database_backend(), &text, keys);
    weights::named(snapshot, statement).await
}
