//! A batch and its neighbourhood put together, before it is known what is one request.

use std::collections::{HashMap, HashSet};

use mcptap_model::{HttpSpan, LogLine, SpanRef, TraceId};

use super::cluster::Node;
use super::effort::Effort;
use super::{
    Changes, Folding, Known, Neighbourhood, Served, Told, View, WaitingLine, Watcher, inner, join, tellers,
    traces, watched,
};
use crate::write::incoming::{Incoming, Seen};

/// A batch and its neighbourhood, before they are clustered: what HTTP spans lend to calls may name more to be read.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(super) nodes: Vec<Node>,
    pub(super) https: Vec<HttpSpan>,
    pub(super) links: HashMap<i64, Vec<SpanRef>>,
    pub(super) views: Vec<View>,
    pub(super) watchers: Vec<(Watcher, i64)>,
    pub(super) waiting: Vec<WaitingLine>,
    pub(super) logs: Vec<LogLine>,
    pub(super) aliases: HashMap<SpanRef, Option<i64>>,
    pub(super) whole: HashSet<TraceId>,
    pub(super) effort: Effort,
    pub(super) changes: Changes,
}

impl Gathered {
    /// Puts a batch and its neighbourhood together.
    pub(crate) fn new(near: Neighbourhood, batch: Incoming) -> Self {
        let effort = Effort::default();
        let mut changes = Changes {
            waiting_https: batch.https.clone(),
            ..Changes::default()
        };
        let mut whole: HashSet<TraceId> = traces(&batch).collect();
        whole.retain(|trace| !near.partial.contains(trace));
        let aliases: HashMap<SpanRef, Option<i64>> = near.aliases.iter().copied().collect();
        let (mut nodes, foreign) = nodes(near.known, near.aliases, batch.observations, &aliases);
        changes.foreign = foreign;
        let mut links: HashMap<i64, Vec<SpanRef>> = HashMap::new();
        for (span, row) in near.links {
            links.entry(row).or_default().push(span);
        }
        let mut https = near.https;
        https.extend(batch.https);
        join::lend_sessions(&mut nodes, &https, &links, &effort);
        Self {
            nodes,
            https,
            links,
            views: near.views,
            watchers: near.watchers,
            waiting: near.logs,
            logs: batch.logs,
            aliases,
            whole,
            effort,
            changes,
        }
    }

    /// Requests of which watchers may wait in other traces, beside those whose sessions the batch itself names.
    pub(crate) fn served_in_lent_sessions(&self) -> Vec<Served> {
        watched::served_in_lent_sessions(&self.nodes)
    }

    /// Clusters the spans of one request, with the watchers of [those requests](Self::served_in_lent_sessions) and their calls.
    pub(crate) fn fold(mut self, named: Neighbourhood) -> Folding {
        let rows: HashSet<i64> = self.nodes.iter().filter_map(|node| node.row).collect();
        let new = named.known.into_iter().filter(|known| !rows.contains(&known.row));
        self.nodes.extend(new.map(Node::known));
        self.watchers.extend(named.watchers);
        let is_watched: HashSet<i64> = self.watchers.iter().map(|(_, row)| *row).collect();
        for node in &mut self.nodes {
            node.is_watched = node.row.is_some_and(|row| is_watched.contains(&row));
        }
        Folding::new(self)
    }
}

/// Everything there is to cluster. A span seen before as part of a stored call stands beside that call; one known to
/// be no request is left out, and so is what has the ids of another sender's span (given beside the nodes).
fn nodes(
    known: Vec<Known>,
    alias_list: Vec<(SpanRef, Option<i64>)>,
    mut observations: Vec<Seen>,
    aliases: &HashMap<SpanRef, Option<i64>>,
) -> (Vec<Node>, HashSet<Told>) {
    let mut nodes: Vec<Node> = known.into_iter().map(Node::known).collect();
    let rows: HashMap<i64, usize> = nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| Some((node.row?, index)))
        .collect();
    for (span, row) in alias_list {
        let index = row.and_then(|row| rows.get(&row));
        if let Some(node) = index.and_then(|index| nodes.get_mut(*index)) {
            node.spans.insert(span);
        }
    }
    observations.retain(|Seen { call, .. }| {
        let span = SpanRef {
            trace_id: call.trace_id,
            span_id: call.span_id,
        };
        match aliases.get(&span) {
            Some(None) => false,
            // A redelivered inner span of another method adds nothing to its call.
            Some(Some(row)) => {
                let of = rows.get(row).and_then(|index| nodes.get(*index));
                of.is_some_and(|of| of.call.method == call.method)
            }
            None => true,
        }
    });
    let foreign = tellers::leave_out_foreign(&nodes, &mut observations);
    nodes.extend(observations.into_iter().map(|mut observation| {
        observation.call.evidence.lists_first |= inner::lists_first(&observation.call);
        Node::observed(observation)
    }));
    (nodes, foreign)
}
