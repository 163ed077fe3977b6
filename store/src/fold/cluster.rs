//! Spans and stored calls, grouped into requests.

use std::collections::{BTreeSet, HashMap};

use mcptap_model::{Call, Observation, SpanId, SpanRef, TraceId};

use super::Known;

/// A stored call or a span just read.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The row, when it is stored.
    pub(super) row: Option<i64>,
    /// What it tells.
    pub(super) call: Call,
    /// The spans it is made of.
    pub(super) spans: BTreeSet<SpanRef>,
    /// The spans it links to.
    pub(super) links: Vec<SpanRef>,
    /// The call as it was stored, when it was.
    pub(super) before: Option<Box<Call>>,
}

impl Node {
    pub(super) fn known(known: Known) -> Self {
        let Known { row, mut call } = known;
        let before = Some(Box::new(call.clone()));
        // What was derived is derived anew.
        call.session.take_if(|session| session.source.is_derived());
        let span = |span_id| SpanRef {
            trace_id: call.trace_id,
            span_id,
        };
        let spans = BTreeSet::from([span(call.span_id), span(call.primary_span_id)]);
        Self {
            row: Some(row),
            call,
            spans,
            links: Vec::new(),
            before,
        }
    }

    pub(super) fn observed(observation: Observation) -> Self {
        let Observation { call, links } = observation;
        let spans = BTreeSet::from([SpanRef {
            trace_id: call.trace_id,
            span_id: call.span_id,
        }]);
        Self {
            row: None,
            call,
            spans,
            links,
            before: None,
        }
    }

    /// Whether the span is one of its own.
    pub(super) fn has_span(&self, span_id: SpanId) -> bool {
        self.spans.contains(&SpanRef {
            trace_id: self.call.trace_id,
            span_id,
        })
    }

    /// Whether it is directly below `other`.
    pub(super) fn is_child_of(&self, other: &Self) -> bool {
        self.call.trace_id == other.call.trace_id
            && self
                .call
                .parent_span_id
                .is_some_and(|parent| other.has_span(parent))
    }
}

/// Nodes and which of them belong together (a union-find), and which are inside a request rather than one.
#[derive(Debug)]
pub(super) struct Clusters {
    nodes: Vec<Node>,
    leader: Vec<usize>,
    inner: Vec<bool>,
}

impl Clusters {
    pub(super) fn new(nodes: Vec<Node>) -> Self {
        let leader = (0..nodes.len()).collect();
        let inner = vec![false; nodes.len()];
        Self { nodes, leader, inner }
    }

    pub(super) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate()
    }

    /// The nodes of each trace that has more than one, or that may have HTTP spans around it.
    pub(super) fn traces(&self) -> HashMap<TraceId, Vec<usize>> {
        let mut traces: HashMap<TraceId, Vec<usize>> = HashMap::with_capacity(self.nodes.len());
        for (index, node) in self.nodes() {
            traces.entry(node.call.trace_id).or_default().push(index);
        }
        traces
    }

    /// The cluster a node is in, by its leader.
    pub(super) fn find(&self, mut index: usize) -> usize {
        while let Some(leader) = self.leader.get(index).copied().filter(|leader| *leader != index) {
            index = leader;
        }
        index
    }

    /// Puts two nodes into one cluster.
    pub(super) fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.find(one), self.find(other));
        if let Some(leader) = self.leader.get_mut(one.max(other)) {
            *leader = one.min(other);
        }
    }

    /// Remembers of a request that its library's own list has come.
    pub(super) fn mark_listed(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.call.evidence.listed = true;
        }
    }

    /// The nodes of each cluster, by leader, in order of first appearance.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let mut place: HashMap<usize, usize> = HashMap::with_capacity(self.nodes.len());
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for index in 0..self.nodes.len() {
            let at = *place.entry(self.find(index)).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.push(index);
            }
        }
        groups
    }

    pub(super) fn together(&self, one: usize, other: usize) -> bool {
        self.find(one) == self.find(other)
    }

    /// Marks a node as a step inside a request: it adds nothing to its cluster but its identity.
    pub(super) fn mark_inner(&mut self, index: usize) {
        if let Some(inner) = self.inner.get_mut(index) {
            *inner = true;
        }
    }

    pub(super) fn is_inner(&self, index: usize) -> bool {
        self.inner.get(index).copied().unwrap_or(false)
    }

    /// The clusters, each with its nodes and whether they are inner, in order of first appearance.
    pub(super) fn into_groups(self) -> Vec<Vec<(Node, bool)>> {
        let leaders: Vec<usize> = (0..self.nodes.len()).map(|index| self.find(index)).collect();
        let mut place: HashMap<usize, usize> = HashMap::with_capacity(self.nodes.len());
        let mut groups: Vec<Vec<(Node, bool)>> = Vec::with_capacity(self.nodes.len());
        for ((node, leader), inner) in self.nodes.into_iter().zip(leaders).zip(self.inner) {
            let at = *place.entry(leader).or_insert_with(|| {
                groups.push(Vec::with_capacity(1));
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.push((node, inner));
            }
        }
        groups
    }
}
