//! The pure heart of the store: which spans tell of the same request, and what they make together.
//!
//! [`fold`] takes a batch and its neighbourhood (what is already stored in the same traces and still waits there) and
//! says what to change. It does no I/O and reads no clock, so every rule of merging is tested without a database.

mod cluster;
mod derive;
mod explain;
mod inner;
mod join;
mod merge;
mod relate;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{Batch, Call, HttpSpan, LogLine, Origin, SpanRef, TraceId, UnixNanos};

use cluster::{Clusters, Node};
use inner::{LISTING_NANOS, PAIRING_NANOS};

/// A call that is stored already, with its details.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its row.
    pub(crate) row: i64,
    /// The call as stored.
    pub(crate) call: Call,
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
    /// Spans folded into stored calls earlier; without a row, spans known to be no request at all.
    pub(crate) aliases: Vec<(SpanRef, Option<i64>)>,
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
    pub(crate) added: Vec<Call>,
    /// Stored calls that are more complete now (row, whole new content). Only those that really differ.
    pub(crate) completed: Vec<(i64, Call)>,
    /// Stored calls that turned out to be part of another (their log lines move there), or no request at all.
    pub(crate) removed: Vec<(i64, Option<Target>)>,
    /// Spans other than a call's first that are part of it (or of nothing), to be remembered.
    pub(crate) aliases: Vec<(SpanRef, Option<Target>)>,
    /// Log lines of calls.
    pub(crate) logs: Vec<(Target, LogLine)>,
    /// Waiting log lines that found their call (their keys): no longer waiting.
    pub(crate) arrived: Vec<i64>,
    /// Log lines that are now another call's than the one in that row.
    pub(crate) left: Vec<(i64, LogLine)>,
    /// Waiting log lines (their keys) placed by their time alone.
    pub(crate) placed: Vec<(i64, Target)>,
    /// HTTP spans to keep for what comes later.
    pub(crate) waiting_https: Vec<HttpSpan>,
    /// Log lines whose call has not come yet, or that were placed by their time alone.
    pub(crate) waiting_logs: Vec<(LogLine, Option<Target>)>,
    /// Links of calls to spans that have not come yet.
    pub(crate) waiting_links: Vec<(SpanRef, Target)>,
    /// Spans above the client's views of calls, and where these came from.
    pub(crate) waiting_views: Vec<(SpanRef, Arc<Origin>, Target)>,
}

/// The traces of a batch: what is stored of them is read as a whole before it is folded.
pub(crate) fn traces(batch: &Batch) -> impl Iterator<Item = TraceId> + '_ {
    let observations = batch.observations.iter().flat_map(|observation| {
        std::iter::once(observation.call.trace_id).chain(observation.links.iter().map(|link| link.trace_id))
    });
    observations
        .chain(batch.https.iter().map(|http| http.trace_id))
        .chain(batch.logs.iter().map(|log| log.trace_id))
}

/// Where besides its own traces a batch must look.
pub(crate) fn time_ranges(batch: &Batch) -> Vec<TimeRange> {
    let mut ranges: Vec<TimeRange> = Vec::new();
    for call in batch
        .observations
        .iter()
        .map(|observation| &observation.call)
        .filter(|call| inner::looks_around(call))
    {
        let from = call.started_at.plus(-PAIRING_NANOS - LISTING_NANOS);
        let to = call.ended_at().plus(PAIRING_NANOS);
        match ranges.iter_mut().find(|range| range.server == call.server_name()) {
            Some(range) => {
                range.from = range.from.min(from);
                range.to = range.to.max(to);
            }
            None => ranges.push(TimeRange {
                server: call.server_name().to_owned(),
                from,
                to,
            }),
        }
    }
    ranges
}

/// Folds a batch into its neighbourhood: spans of one request are clustered, each cluster is merged into one call,
/// HTTP spans lend what they know, log lines find their call.
pub(crate) fn fold(near: Neighbourhood, batch: Batch) -> Changes {
    let mut changes = Changes {
        waiting_https: batch.https.clone(),
        ..Changes::default()
    };
    let whole: HashSet<TraceId> = traces(&batch).collect();
    let aliases: HashMap<SpanRef, Option<i64>> = near.aliases.iter().copied().collect();
    let nodes = nodes(near.known, near.aliases, batch.observations, &aliases);

    let mut https = near.https;
    https.extend(batch.https);
    let https = by_trace(https, |http| http.trace_id);

    let mut clusters = Clusters::new(nodes);
    let traces = clusters.traces();
    for members in traces.values() {
        let of_trace = members
            .first()
            .and_then(|index| clusters.node(*index))
            .map(|node| node.call.trace_id);
        let https = of_trace
            .and_then(|trace| https.get(&trace))
            .map(Vec::as_slice)
            .unwrap_or_default();
        relate::relate(&mut clusters, members, https, &near.views);
        inner::find_nested(&mut clusters, members, https);
    }
    inner::pair_lists(&mut clusters);

    let mut merged = merge::merge(clusters);
    relate::find_gateways(&mut merged, &https);
    for call in &mut merged {
        join::lend(call, &https, &near.links);
    }
    join::attach(&mut merged, near.logs, batch.logs, &https, &mut changes);
    derive::derive(&mut merged, &whole);
    merge::collect(merged, &https, &mut changes);
    changes
}

/// Everything there is to cluster. A span seen before as part of a stored call stands beside that call; one known to
/// be no request is left out.
fn nodes(
    known: Vec<Known>,
    alias_list: Vec<(SpanRef, Option<i64>)>,
    observations: Vec<mcptap_model::Observation>,
    aliases: &HashMap<SpanRef, Option<i64>>,
) -> Vec<Node> {
    let mut nodes: Vec<Node> = known.into_iter().map(Node::known).collect();
    for (span, row) in alias_list {
        if let Some(node) = row.and_then(|row| nodes.iter_mut().find(|node| node.row == Some(row))) {
            node.spans.insert(span);
        }
    }
    for mut observation in observations {
        observation.call.evidence.lists_first |= inner::lists_first(&observation.call);
        let span = SpanRef {
            trace_id: observation.call.trace_id,
            span_id: observation.call.span_id,
        };
        match aliases.get(&span) {
            Some(None) => {}
            // A redelivered inner span of another method adds nothing to its call.
            Some(Some(row)) => {
                let of = nodes.iter().find(|node| node.row == Some(*row));
                if of.is_some_and(|of| of.call.method == observation.call.method) {
                    nodes.push(Node::observed(observation));
                }
            }
            None => nodes.push(Node::observed(observation)),
        }
    }
    nodes
}

fn by_trace<T>(items: Vec<T>, trace: impl Fn(&T) -> TraceId) -> HashMap<TraceId, Vec<T>> {
    let mut map: HashMap<TraceId, Vec<T>> = HashMap::new();
    for item in items {
        map.entry(trace(&item)).or_default().push(item);
    }
    map
}
