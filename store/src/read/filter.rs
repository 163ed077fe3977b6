//! A [`CallFilter`] as a condition in SQL. It means exactly what [`Matcher::matches`] means, except for what the index
//! of words cannot tell of a `search`: there the condition lets through too much, never too little, and
//! [`search`](crate::search) decides.
//!
//! [`Matcher::matches`]: mcptap_model::Matcher::matches

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use mcptap_model::{CallFilter, CallKind, Evidence, NodeId, Outcome, UnixNanos};
use sea_orm::sea_query::{Expr, ExprTrait, Func, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, IdenStatic, QueryFilter,
};

use crate::Error;
use crate::read::tools;
use crate::rows::entity::{call, client, name, session};
use crate::rows::hash::text_hash;
use crate::rows::intern::{NameKind, name_hash};
use crate::rows::row::trace_halves;
use crate::search::Lookup;

/// Into how many parts a filter is split at most.
pub(crate) const PARTS: usize = 16;

/// Into how many parts a filter by tools is split at most: an index has the order of pages for each server apart.
const TOOLS: usize = 64;

/// How many servers of tools are looked at to find these parts.
const PAIRS: usize = 1_024;

/// The condition of the indexes of errors, which serve statements that say it in these words.
pub(crate) const IS_ERROR: &str = "outcome IN (1, 2, 3)";

/// How many things one statement looks up.
const AT_ONCE: usize = 500;

/// The names and sessions that a filter speaks of, as ids. What is not there matches nothing.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    names: HashMap<(i16, String), i64>,
    sessions: HashMap<String, Vec<i64>>,
    /// Lists of addresses, countries or names that a client has.
    clients: HashSet<(&'static str, Vec<String>)>,
}

impl Terms {
    /// Looks up all that the filter speaks of, however deep.
    pub(crate) async fn of(filter: &CallFilter, db: &impl ConnectionTrait) -> Result<Self, Error> {
        let mut wanted = Wanted::default();
        wanted.collect(filter);
        let mut terms = Self::default();
        let hashes: Vec<Vec<u8>> = wanted
            .names
            .iter()
            .map(|(kind, text)| name_hash(*kind, text))
            .collect();
        for hashes in hashes.chunks(AT_ONCE) {
            let rows = name::Entity::find()
                .filter(name::Column::Hash.is_in(hashes.iter().cloned()))
                .all(db)
                .await?;
            terms
                .names
                .extend(rows.into_iter().map(|row| ((row.kind, row.text), row.id)));
        }
        for id in wanted.sessions {
            let found = terms.sessions_of(id, db).await?;
            terms.sessions.insert(id.to_owned(), found);
        }
        for (column, texts) in wanted.clients {
            let any = client::Entity::find().filter(column.is_in(texts.iter().cloned()));
            if any.one(db).await?.is_some() {
                terms.clients.insert((column.as_str(), texts.to_vec()));
            }
        }
        Ok(terms)
    }

    /// The rows of `sessions` whose calls `in_session` of the model finds for this id.
    async fn sessions_of(&self, wanted: &str, db: &impl ConnectionTrait) -> Result<Vec<i64>, Error> {
        let mut any = Condition::any().add(session::Column::WireHash.eq(text_hash(wanted)));
        let node = wanted
            .parse()
            .ok()
            .filter(|node: &NodeId| node.to_string() == wanted);
        if let Some(NodeId::Session(_, _, key)) = &node {
            any = any.add(session::Column::KeyHash.eq(text_hash(key)));
        }
        let rows = session::Entity::find().filter(any).all(db).await?;
        let matching = rows.into_iter().filter(|row| {
            row.wire.as_deref() == Some(wanted)
                || matches!(&node, Some(NodeId::Session(source, server, key))
                    if row.source == Some(source.code())
                        && row.key.as_ref() == Some(key)
                        && self.name(NameKind::Server, server) == Some(row.server))
        });
        Ok(matching.map(|row| row.id).collect())
    }

    fn name(&self, kind: NameKind, text: &str) -> Option<i64> {
        self.names.get(&(kind as i16, text.to_owned())).copied()
    }

    /// The ids of these names, each once.
    fn ids(&self, kind: NameKind, texts: &[String]) -> Vec<i64> {
        let ids: BTreeSet<i64> = texts.iter().filter_map(|text| self.name(kind, text)).collect();
        ids.into_iter().collect()
    }
}

#[derive(Default)]
struct Wanted<'a> {
    names: HashSet<(NameKind, Cow<'a, str>)>,
    sessions: HashSet<&'a str>,
    clients: Vec<(client::Column, &'a [String])>,
}

impl<'a> Wanted<'a> {
    fn collect(&mut self, filter: &'a CallFilter) {
        let lists = [
            (NameKind::Server, &filter.servers),
            (NameKind::Tool, &filter.tools),
            (NameKind::Method, &filter.methods),
        ];
        for (kind, texts) in lists {
            self.names
                .extend(texts.iter().map(|text| (kind, Cow::Borrowed(text.as_str()))));
        }
        if let Some(id) = &filter.session_id {
            self.sessions.insert(id);
            if let Ok(NodeId::Session(_, server, _)) = id.parse() {
                self.names.insert((NameKind::Server, Cow::Owned(server)));
            }
        }
        let clients = client_lists(filter).map(|(column, texts)| (column, texts.as_slice()));
        self.clients
            .extend(clients.into_iter().filter(|(_, texts)| !texts.is_empty()));
        filter.not.iter().for_each(|not| self.collect(not));
        filter.or.iter().for_each(|either| self.collect(either));
    }
}

/// The condition of a filter.
pub(crate) fn condition(filter: &CallFilter, terms: &Terms, lookup: &Lookup) -> Condition {
    compile(filter, terms, lookup, true)
}

/// `generous`: where the index cannot tell, a search lets through too much; except below an odd number of `not`s, so
/// that the whole lets through too much instead of too little.
fn compile(filter: &CallFilter, terms: &Terms, lookup: &Lookup, generous: bool) -> Condition {
    let mut parts: Vec<Expr> = Vec::new();
    let mut must = |part: Expr| parts.push(part);

    let named = [
        (call::Column::Server, NameKind::Server, &filter.servers),
        (call::Column::Tool, NameKind::Tool, &filter.tools),
        (call::Column::Method, NameKind::Method, &filter.methods),
    ];
    for (column, kind, texts) in named {
        if !texts.is_empty() {
            must(among(column, terms.ids(kind, texts)));
        }
    }
    if !filter.http_statuses.is_empty() {
        must(call::Column::HttpStatus.is_in(filter.http_statuses.iter().copied()));
    }
    if !filter.outcomes.is_empty() {
        must(call::Column::Outcome.is_in(filter.outcomes.iter().map(|outcome| outcome.code())));
        if is_of_errors(filter) {
            must(Expr::cust(IS_ERROR));
        }
    }
    if let Some(id) = &filter.session_id {
        must(among(
            call::Column::Session,
            terms.sessions.get(id).cloned().unwrap_or_default(),
        ));
    }
    if let Some(trace) = filter.trace_id {
        let (hi, lo) = trace_halves(trace);
        must(call::Column::TraceLo.eq(lo).and(call::Column::TraceHi.eq(hi)));
    }
    for (column, texts) in client_lists(filter) {
        if texts.is_empty() {
            continue;
        }
        // A value that no client has is not looked for among all calls.
        if !terms.clients.contains(&(column.as_str(), texts.clone())) {
            must(never());
            continue;
        }
        let mut matching = Query::select();
        matching
            .column(client::Column::Id)
            .from(client::Entity)
            .and_where(column.is_in(texts.iter().cloned()));
        must(call::Column::Client.in_subquery(matching));
    }
    if let Some(from) = filter.from {
        must(call::Column::StartedAt.gte(from.0));
    }
    if let Some(to) = filter.to {
        must(call::Column::StartedAt.lt(to.0));
    }
    if let Some(min) = filter.min_duration_ms {
        must(
            first(|nanos| millis(nanos) >= min).map_or_else(never, |nanos| call::Column::Duration.gte(nanos)),
        );
    }
    if let Some(max) = filter.max_duration_ms
        && let Some(beyond) = first(|nanos| exceeds(nanos, max))
    {
        must(call::Column::Duration.lt(beyond));
    }
    if filter.min_duration_ms.is_some() || filter.max_duration_ms.is_some() {
        // A call without an end has no duration.
        must(call::Column::Outcome.lt(Outcome::Running.code()));
    }
    if let Some(min) = filter.min_running_ms {
        // Said in the words of the index of running calls.
        must(Expr::cust("outcome = 6"));
        must(call::Column::StartedAt.lte(UnixNanos::now().before_ms(min).0));
    }
    if let Some(late) = filter.late {
        must(if late { is_late() } else { is_late().not() });
    }
    if !filter.kinds.is_empty() {
        let of_kind = filter.kinds.iter().map(|kind| match kind {
            CallKind::Stream => is_stream(),
            CallKind::Request => is_stream().not(),
        });
        must(of_kind.fold(Condition::any(), Condition::add).into());
    }
    if let Some(query) = &filter.search {
        must(lookup.condition(query, generous));
    }
    if let Some(not) = &filter.not {
        // Two-valued: what is unknown inside is not so, and `not` keeps it.
        let inside = Expr::from(compile(not, terms, lookup, !generous));
        must(Expr::from(Func::coalesce([inside, Expr::cust("FALSE")])).not());
    }
    if !filter.or.is_empty() {
        let mut any = Condition::any();
        for either in &filter.or {
            any = any.add(Expr::from(compile(either, terms, lookup, generous)));
        }
        must(any.into());
    }
    parts.into_iter().fold(Condition::all(), Condition::add)
}

/// Whether all its calls are errors by the outcomes that it names.
pub(crate) fn is_of_errors(filter: &CallFilter) -> bool {
    !filter.outcomes.is_empty() && filter.outcomes.iter().all(|outcome| outcome.is_error())
}

/// The conditions of the filter on clients.
fn client_lists(filter: &CallFilter) -> [(client::Column, &Vec<String>); 3] {
    [
        (client::Column::Ip, &filter.client_ips),
        (client::Column::Country, &filter.countries),
        (client::Column::Name, &filter.clients),
    ]
}

/// Disjoint parts of a filter that each have an index of their own with the order of pages, where the filter as a whole
/// has none: several sessions or servers, or tools, each of each server that has it. Empty otherwise.
pub(crate) async fn parts(
    filter: &CallFilter,
    terms: &Terms,
    tx: &DatabaseTransaction,
) -> Result<Vec<Expr>, Error> {
    let sessions = filter
        .session_id
        .as_ref()
        .and_then(|id| terms.sessions.get(id))
        .cloned()
        .unwrap_or_default();
    let choices = [
        (call::Column::Session, sessions),
        (call::Column::Server, terms.ids(NameKind::Server, &filter.servers)),
    ];
    if filter.session_id.is_none()
        && filter.trace_id.is_none()
        && !filter.tools.is_empty()
        && let Some(mut pairs) =
            tools::of_servers(tx, &terms.ids(NameKind::Tool, &filter.tools), PAIRS).await?
    {
        let servers = terms.ids(NameKind::Server, &filter.servers);
        pairs.retain(|(_, server)| filter.servers.is_empty() || servers.contains(server));
        if (1..=TOOLS).contains(&pairs.len()) {
            let part =
                |(tool, server): (i64, i64)| call::Column::Tool.eq(tool).and(call::Column::Server.eq(server));
            return Ok(pairs.into_iter().map(part).collect());
        }
    }
    for (column, mut ids) in choices {
        ids.sort_unstable();
        ids.dedup();
        match ids.len() {
            0 => {}
            2..=PARTS => return Ok(ids.into_iter().map(|id| column.eq(id)).collect()),
            _ => break,
        }
    }
    Ok(Vec::new())
}

/// Whether the answer came after the request had been given up or taken for lost, as [`Call::is_late`] says it.
///
/// [`Call::is_late`]: mcptap_model::Call::is_late
fn is_late() -> Expr {
    let late = Evidence {
        late: true,
        lost: true,
        ..Evidence::default()
    };
    let open = Evidence {
        open: true,
        ..Evidence::default()
    };
    Expr::cust(format!(
        "(evidence & {} <> 0 AND evidence & {} = 0)",
        late.bits(),
        open.bits()
    ))
}

/// Whether it is a stream.
pub(crate) fn is_stream() -> Expr {
    let stream = Evidence {
        stream: true,
        ..Evidence::default()
    };
    Expr::cust(format!("evidence & {} <> 0", stream.bits()))
}

fn never() -> Expr {
    Expr::cust("FALSE")
}

/// `column` among the ids. One id is an equation: it lets an index give the order as well.
fn among(column: call::Column, ids: Vec<i64>) -> Expr {
    match ids.as_slice() {
        [] => never(),
        [only] => column.eq(*only),
        _ => column.is_in(ids),
    }
}

/// As the model computes it.
fn millis(nanos: i64) -> f64 {
    nanos as f64 / 1e6
}

/// Whether a duration is not within `max` milliseconds; none is within what is no number.
fn exceeds(nanos: i64, max: f64) -> bool {
    millis(nanos)
        .partial_cmp(&max)
        .is_none_or(std::cmp::Ordering::is_gt)
}

/// The first duration for which `holds`; it must hold for all that follow. `None` where it holds for none.
fn first(holds: impl Fn(i64) -> bool) -> Option<i64> {
    if !holds(i64::MAX) {
        return None;
    }
    let (mut below, mut at) = (i128::from(i64::MIN) - 1, i64::MAX);
    while i128::from(at) - below > 1 {
        let middle = (below + i128::from(at)).div_euclid(2);
        let Ok(nanos) = i64::try_from(middle) else { break };
        if holds(nanos) { at = nanos } else { below = middle }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::{exceeds, first, millis};

    #[test]
    fn bounds_are_exact() {
        assert_eq!(first(|_| true), Some(i64::MIN));
        assert_eq!(first(|_| false), None);
        assert_eq!(first(|nanos| millis(nanos) >= 1.5), Some(1_500_000));
        assert_eq!(first(|nanos| exceeds(nanos, f64::INFINITY)), None);
        for bound in [0.1, 0.3, 12.345_678, 1e-9, 9_007_199_254.740_993] {
            let at = first(|nanos| millis(nanos) >= bound).unwrap();
            assert!(millis(at) >= bound && millis(at - 1) < bound, "{bound}");
        }
    }
}
