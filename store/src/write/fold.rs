//! The pure heart of the store: which spans tell of the same request, and what they make together.
//!
//! [`fold`] takes a batch and its neighbourhood (what is already stored in the same traces and still waits there) and
//! says what to change. It does no I/O and reads no clock, so every rule of merging is tested without a database.

mod alike;
mod clients;
mod cluster;
mod collect;
mod derive;
mod effort;
mod explain;
mod gateway;
mod gathered;
mod https;
mod inner;
mod intervals;
mod join;
mod lines;
mod merge;
mod parts;
mod reach;
mod relate;
#[cfg(test)]
pub(crate) mod shapes;
mod tellers;
#[cfg(test)]
mod tests;
mod views;
mod watched;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{Call, HttpSpan, LogLine, Origin, SpanRef, TraceId, UnixNanos};

use cluster::{Clusters, Node};
use effort::Effort;
pub(crate) use gathered::Gathered;
pub(crate) use https::HOPS;
use https::Https;
use inner::{LISTING_NANOS, PAIRING_NANOS};
use mcptap_model::semconv::EXCEPTION_STACKTRACE;
pub(crate) use parts::{Parted, Parts};
pub(crate) use reach::{Reach, reaches};
use serde_json::{Map, Value};
use watched::Watchers;

pub(crate) use tellers::{Told, told};

use crate::rows::body::Bodies;
use crate::write::incoming::Incoming;
pub(crate) use watched::{Served, Watched, Watcher, served, watched, watched_key};

/// A call that is stored already. Its details are asked for where they matter; see [`Folding::wanted`].
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its row.
    pub(crate) row: i64,
    /// The call as stored.
    pub(crate) call: Call,
}

/// A call with its bodies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    /// The call, without bodies.
    pub(crate) call: Call,
    /// The bodies, as they are stored.
    pub(crate) bodies: Bodies,
}

/// What lists leave out of a stored call. The bodies stay as they are stored: no rule reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heavy {
    /// Its bodies.
    pub(crate) bodies: Bodies,
    /// Its stack trace.
    pub(crate) stack_trace: Option<String>,
    /// Its attributes.
    pub(crate) attributes: Map<String, Value>,
}

/// A log line that waits: for its call, or, placed by its time alone, for the span that it names.
#[derive(Clone, Debug)]
pub(crate) struct WaitingLine {
    /// The key under which it waits.
    pub(crate) key: i64,
    /// The line.
    pub(crate) line: LogLine,
    /// The row of the call that has it meanwhile.
    pub(crate) placed: Option<i64>,
}

/// What stands above a client's view that was folded into a stored call.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The span above, which has not come.
    pub(crate) above: SpanRef,
    /// Where the view came from.
    pub(crate) origin: Arc<Origin>,
    /// The call's row.
    pub(crate) row: i64,
}

/// What is stored or waits near a batch: in its traces, in the traces it links to, and in [`time_ranges`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbourhood {
    /// Stored calls.
    pub(crate) known: Vec<Known>,
    /// HTTP spans that came earlier.
    pub(crate) https: Vec<HttpSpan>,
    /// Log lines that came before their call.
    pub(crate) logs: Vec<WaitingLine>,
    /// Links of stored calls to spans that had not come yet: the target, and the call's row.
    pub(crate) links: Vec<(SpanRef, i64)>,
    /// What is above the client's views of stored calls.
    pub(crate) views: Vec<View>,
    /// The parts of stored calls that are one request only as far as is known, by row.
    pub(crate) parts: Vec<(i64, Parts)>,
    /// Stored calls that have such parts, which are too large to be read or damaged: they are one request for good.
    pub(crate) without_parts: HashSet<i64>,
    /// Watchers' spans that are part of stored calls, and the calls' rows.
    pub(crate) watchers: Vec<(Watcher, i64)>,
    /// Spans folded into stored calls earlier; without a row, spans known to be no request at all.
    pub(crate) aliases: Vec<(SpanRef, Option<i64>)>,
    /// Traces that were not read as a whole, and servers of which all calls are here that are in such a trace's session.
    pub(crate) whole_sessions: HashSet<(TraceId, String)>,
    /// Traces that were not read as a whole, being too large: what the batch can touch is here.
    pub(crate) partial: HashSet<TraceId>,
}

/// A stretch of time in which a server's calls must be looked at too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimeRange {
    /// The server's name.
    pub(crate) server: String,
    /// Inclusive, by `started_at`.
    pub(crate) from: UnixNanos,
    /// Inclusive.
    pub(crate) to: UnixNanos,
}

/// Whether what waits is looked for by its trace.
pub(crate) type InTrace = bool;

/// A call that a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// A stored one, by row.
    Known(i64),
    /// One of [`Changes::added`], by index.
    Added(usize),
}

/// What a batch changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// New calls.
    pub(crate) added: Vec<Whole>,
    /// Stored calls that are more complete now (row, whole new content). Only those that really differ.
    pub(crate) completed: Vec<(i64, Whole)>,
    /// Clients (server, key) whose visits these may have left: they moved in time or went to another session.
    pub(crate) moved: Vec<(String, String)>,
    /// Of the completed, those whose details stay as they are stored.
    pub(crate) undetailed: HashSet<i64>,
    /// Stored calls that turned out to be part of another (their log lines move there), or no request at all.
    pub(crate) removed: Vec<(i64, Option<Target>)>,
    /// Spans other than a call's first that are part of it (or of nothing), to be remembered.
    pub(crate) aliases: Vec<(SpanRef, Option<Target>)>,
    /// Log lines of calls.
    pub(crate) logs: Vec<(Target, LogLine)>,
    /// Waiting log lines that found their call (their keys): no longer waiting.
    pub(crate) arrived: Vec<i64>,
    /// Log lines that are another call's than this one, which has them after what is joined and parted.
    pub(crate) left: Vec<(Target, LogLine)>,
    /// Waiting log lines (their keys) placed by their time alone.
    pub(crate) placed: Vec<(i64, Target)>,
    /// HTTP spans to keep for what comes later.
    pub(crate) waiting_https: Vec<HttpSpan>,
    /// Log lines whose call has not come yet, or that were placed by their time alone.
    pub(crate) waiting_logs: Vec<(LogLine, Option<Target>)>,
    /// Links of calls to spans that have not come yet.
    pub(crate) waiting_links: Vec<(SpanRef, Target)>,
    /// Links of calls to HTTP spans that are here.
    pub(crate) joined_links: Vec<(SpanRef, Target)>,
    /// Spans above the client's views of calls, and where these came from.
    pub(crate) waiting_views: Vec<(SpanRef, Arc<Origin>, Target)>,
    /// Watchers' spans that are part of calls: what others tell of the request may come, elsewhere, and in the same trace where
    /// the call is no more the watcher's own.
    pub(crate) waiting_watchers: Vec<(Watcher, Target, InTrace)>,
    /// The parts of calls that are one request only as far as is known, as they are kept from now on.
    pub(crate) parts: Vec<(Parts, Target)>,
    /// Stored calls whose parts are kept no more as they were.
    pub(crate) no_parts: Vec<i64>,
    /// Stored calls whose parts are of different requests.
    pub(crate) parted: Vec<Parted>,
    /// How many candidates were compared to find what belongs together.
    pub(crate) compared: u64,
    /// How many times a rule had more candidates than it looks at.
    pub(crate) cut: u64,
    /// Spans of the batch that are left out: their ids are those of another sender's span.
    pub(crate) foreign: HashSet<Told>,
}

/// The traces of a batch: what is stored of them is read before it is folded.
pub(crate) fn traces(batch: &Incoming) -> impl Iterator<Item = TraceId> + '_ {
    let observations = batch.observations.iter().flat_map(|observation| {
        std::iter::once(observation.call.trace_id).chain(observation.links.iter().map(|link| link.trace_id))
    });
    observations
        .chain(batch.https.iter().map(|http| http.trace_id))
        .chain(batch.logs.iter().map(|log| log.trace_id))
}

/// Where besides its own traces a batch must look: around each call that others outside its trace may decide about,
/// by server and time. Ranges of one server that overlap are one.
pub(crate) fn time_ranges(batch: &Incoming) -> Vec<TimeRange> {
    let mut ranges: Vec<(&str, UnixNanos, UnixNanos)> = batch
        .observations
        .iter()
        .map(|observation| &observation.call)
        .filter(|call| inner::looks_around(call))
        .map(|call| {
            let from = call.started_at.plus(-PAIRING_NANOS - LISTING_NANOS);
            // Before a call its library's list is looked for, however long it lasts; after a list, its call.
            let to = if inner::lists_first(call) {
                call.started_at
            } else {
                call.ended_at().plus(PAIRING_NANOS)
            };
            (call.server_name(), from, to)
        })
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<TimeRange> = Vec::new();
    for (server, from, to) in ranges {
        match merged.last_mut() {
            Some(last) if last.server == server && from <= last.to => last.to = last.to.max(to),
            _ => merged.push(TimeRange {
                server: server.to_owned(),
                from,
                to,
            }),
        }
    }
    merged
}

/// Folds a batch into its neighbourhood, whose calls are given with their details.
#[cfg(test)]
pub(crate) fn fold(near: Neighbourhood, batch: mcptap_model::Batch) -> Changes {
    Gathered::new(near, Incoming::new(batch))
        .fold(Neighbourhood::default())
        .finish(HashMap::new(), &HashSet::new())
}

/// A batch and its neighbourhood, clustered: it is known what is one request, and so of which stored calls the details
/// matter.
#[derive(Debug)]
pub(crate) struct Folding {
    clusters: Clusters,
    https: Vec<HttpSpan>,
    links: HashMap<i64, Vec<SpanRef>>,
    views: Vec<View>,
    parts: HashMap<i64, Parts>,
    without_parts: HashSet<i64>,
    waiting: Vec<WaitingLine>,
    logs: Vec<LogLine>,
    aliases: HashMap<SpanRef, Option<i64>>,
    whole: HashSet<TraceId>,
    whole_sessions: HashSet<(TraceId, String)>,
    wanted: HashSet<i64>,
    effort: Effort,
    changes: Changes,
}

impl Folding {
    /// Clusters the spans of one request.
    fn new(gathered: Gathered) -> Self {
        let Gathered {
            nodes,
            https,
            links,
            views,
            watchers,
            parts,
            without_parts,
            waiting,
            logs,
            aliases,
            whole,
            whole_sessions,
            effort,
            changes,
        } = gathered;
        let mut clusters = Clusters::new(nodes);
        let index = Https::new(&https);
        let places = clusters.places();
        let watchers = Watchers::new(clusters.split().0, &places, watchers);
        relate::relate(clusters.split(), &places, &index, (&views, &watchers), &effort);
        inner::find_nested(clusters.split(), &places, &index, &effort);
        inner::pair_lists(&mut clusters, &effort);
        let wanted = wanted(&mut clusters, &waiting, &logs);
        Self {
            clusters,
            https,
            links,
            views,
            parts,
            without_parts,
            waiting,
            logs,
            aliases,
            whole,
            whole_sessions,
            wanted,
            effort,
            changes,
        }
    }

    /// Stored calls (their rows) whose details may change, or become another's. Of all others they stay as they are.
    pub(crate) fn wanted(&self) -> Vec<i64> {
        self.wanted.iter().copied().collect()
    }

    /// Merges each cluster into one call, lends from HTTP spans, attaches log lines, and says what to change. Takes the
    /// details of the calls that are [wanted](Self::wanted). Calls (their rows) whose details are there but cannot be read
    /// stay as they are.
    pub(crate) fn finish(self, details: HashMap<i64, Heavy>, unread: &HashSet<i64>) -> Changes {
        let Self {
            mut clusters,
            effort,
            mut changes,
            ..
        } = self;
        clusters.add(&self.wanted, details);
        let https = Https::new(&self.https);
        let mut merged = merge::merge(clusters, &self.views, &self.wanted, unread);
        gateway::find_gateways(&mut merged, &self.views, &https, &effort);
        for call in &mut merged {
            join::lend(call, &https, &self.links, &effort);
        }
        lines::attach(
            &mut merged,
            &self.parts,
            (self.waiting, self.logs),
            &https,
            &effort,
            &mut changes,
        );
        derive::derive(&mut merged, &self.whole, &self.whole_sessions);
        collect::collect(
            merged,
            &https,
            &self.aliases,
            (self.parts, &self.without_parts),
            &mut changes,
        );
        changes.compared = effort.compared();
        changes.cut = effort.cut();
        changes
    }
}

/// Details matter of what is one call with something else, and of what a logged exception may explain.
fn wanted(clusters: &mut Clusters, waiting: &[WaitingLine], logs: &[LogLine]) -> HashSet<i64> {
    let lines = waiting.iter().map(|waiting| &waiting.line).chain(logs);
    let explained: HashSet<TraceId> = lines
        .filter(|line| line.attributes.contains_key(EXCEPTION_STACKTRACE))
        .map(|line| line.trace_id)
        .collect();
    let (nodes, sets) = clusters.split();
    let mut wanted = HashSet::new();
    for members in sets.groups() {
        let nodes = || members.iter().filter_map(|index| nodes.get(*index));
        // A call that is put together from its parts as before does not change.
        let first = nodes().next().and_then(|node| node.part);
        let is_changed = match first {
            Some(first) => members.len() != first.of || nodes().any(|node| node.stored() != Some(first.row)),
            None => members.len() > 1,
        };
        let stored = nodes().filter(|node| is_changed || explained.contains(&node.call.trace_id));
        wanted.extend(stored.filter_map(Node::stored));
    }
    wanted
}
