//! A batch and its neighbourhood put together, before it is known what is one request.

use std::collections::{HashMap, HashSet};

use mcptap_model::{HttpSpan, LogLine, SpanRef, TraceId};

use super::cluster::Node;
use super::effort::Effort;
use super::parts::{Parts, nodes_of};
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
    pub(super) parts: HashMap<i64, Parts>,
    pub(super) without_parts: HashSet<i64>,
    pub(super) waiting: Vec<WaitingLine>,
    pub(super) logs: Vec<LogLine>,
    pub(super) aliases: HashMap<SpanRef, Option<i64>>,
    pub(super) whole: HashSet<TraceId>,
    pub(super) whole_sessions: HashSet<(TraceId, String)>,
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
        let parts: HashMap<i64, Parts> = near.parts.into_iter().collect();
        let (mut nodes, foreign) = nodes(near.known, &parts, near.aliases, batch.observations, &aliases);
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
            parts,
            without_parts: near.without_parts,
            waiting: near.logs,
            logs: batch.logs,
            aliases,
            whole,
            whole_sessions: near.whole_sessions,
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
        let rows: HashSet<i64> = self.nodes.iter().filter_map(Node::stored).collect();
        let new = named.known.into_iter().filter(|known| !rows.contains(&known.row));
        let new: Vec<Known> = new.collect();
        let is_new: HashSet<i64> = new.iter().map(|known| known.row).collect();
        let parts = named.parts.into_iter().filter(|(row, _)| is_new.contains(row));
        self.parts.extend(parts);
        self.without_parts.extend(named.without_parts);
        self.nodes.extend(known_nodes(new, &self.parts));
        self.watchers.extend(named.watchers);
        // What is above a view of a part is known with the part.
        self.views.retain(|view| !self.parts.contains_key(&view.row));
        let mut watched: HashMap<i64, Vec<SpanRef>> = HashMap::new();
        for (watcher, row) in &self.watchers {
            watched.entry(*row).or_default().push(watcher.span);
        }
        for node in &mut self.nodes {
            let watchers = node.stored().and_then(|row| watched.get(&row));
            let watchers = watchers.map(Vec::as_slice).unwrap_or_default();
            node.is_watched = match node.part {
                Some(_) => watchers.iter().any(|span| node.spans.contains(span)),
                None => !watchers.is_empty(),
            };
        }
        Folding::new(self)
    }
}

/// Stored calls, each as one node or as its parts.
fn known_nodes(known: Vec<Known>, parts: &HashMap<i64, Parts>) -> Vec<Node> {
    let nodes = known.into_iter().flat_map(|known| match parts.get(&known.row) {
        Some(parts) => nodes_of(known, parts.clone()),
        None => vec![Node::known(known)],
    });
    nodes.collect()
}

/// Everything there is to cluster. A span seen before as part of a stored call stands beside that call; one known to
/// be no request is left out, and so is what has the ids of another sender's span (given beside the nodes).
fn nodes(
    known: Vec<Known>,
    parts: &HashMap<i64, Parts>,
    alias_list: Vec<(SpanRef, Option<i64>)>,
    mut observations: Vec<Seen>,
    aliases: &HashMap<SpanRef, Option<i64>>,
) -> (Vec<Node>, HashSet<Told>) {
    let mut nodes = known_nodes(known, parts);
    let mut rows: HashMap<i64, usize> = HashMap::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        rows.entry(node.stored().unwrap_or_default()).or_insert(index);
    }
    for (span, row) in alias_list {
        let in_part = row.and_then(|row| parts.get(&row)).is_some_and(|parts| {
            let mut parts = parts.iter();
            parts.any(|part| part.spans.contains(&span))
        });
        let index = row.filter(|_| !in_part).and_then(|row| rows.get(&row));
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
