//! Spans and stored calls, grouped into requests.

use std::collections::{BTreeSet, HashMap, HashSet};

use mcptap_model::{Call, Source, Sources, SpanId, SpanKind, SpanRef, TraceId, Vantage};

use super::join::{LOOPBACK_V4, LOOPBACK_V6};
use super::{Heavy, Known, Whole};
use crate::rows::body::Bodies;
use crate::write::incoming::Seen;

/// A stored call or a span just read.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The row, when it is stored.
    pub(super) row: Option<i64>,
    /// The call that it tells of.
    pub(super) call: Call,
    /// Its bodies.
    pub(super) bodies: Bodies,
    /// The spans it is made of.
    pub(super) spans: BTreeSet<SpanRef>,
    /// The spans it links to.
    pub(super) links: Vec<SpanRef>,
    /// The call as it was stored, when it was.
    pub(super) before: Option<Box<Whole>>,
    /// Whether it is stored, and a watcher's view is part of it.
    pub(super) is_watched: bool,
    /// The session that an HTTP span lends to a server's call that has none of its own.
    pub(super) lent_session: Option<String>,
    /// Whether what lists leave out of it is here too.
    pub(super) detailed: bool,
}

impl Node {
    pub(super) fn known(known: Known) -> Self {
        let Known { row, mut call } = known;
        let before = Some(Box::new(Whole {
            call: call.clone(),
            bodies: Bodies::default(),
        }));
        // Derived values are derived anew.
        call.session.take_if(|session| session.source.is_derived());
        let span = |span_id| SpanRef {
            trace_id: call.trace_id,
            span_id,
        };
        let spans = BTreeSet::from([span(call.span_id), span(call.primary_span_id)]);
        Self {
            row: Some(row),
            call,
            bodies: Bodies::default(),
            spans,
            links: Vec::new(),
            before,
            is_watched: false,
            lent_session: None,
            detailed: false,
        }
    }

    pub(super) fn observed(seen: Seen) -> Self {
        let Seen {
            mut call,
            bodies,
            links,
        } = seen;
        call.evidence.sources = Sources::all(source(&call));
        // A client does not see its own address.
        let address = call
            .client_ip
            .as_deref()
            .filter(|_| call.vantage != Vantage::Client);
        call.evidence.loopback_v4 |= address == Some(LOOPBACK_V4);
        call.evidence.loopback_v6 |= address == Some(LOOPBACK_V6);
        let spans = BTreeSet::from([SpanRef {
            trace_id: call.trace_id,
            span_id: call.span_id,
        }]);
        Self {
            row: None,
            call,
            bodies,
            spans,
            links,
            before: None,
            is_watched: false,
            lent_session: None,
            detailed: true,
        }
    }

    /// With what lists leave out of a stored call.
    pub(super) fn add(&mut self, details: Heavy) {
        let Heavy {
            bodies,
            stack_trace,
            attributes,
        } = details;
        if let Some(before) = &mut self.before {
            before.bodies.clone_from(&bodies);
            before.call.stack_trace.clone_from(&stack_trace);
            before.call.attributes.clone_from(&attributes);
        }
        self.bodies = bodies;
        self.call.stack_trace = stack_trace;
        self.call.attributes = attributes;
    }

    /// The id of its session on the wire, its own or what an HTTP span lends.
    pub(super) fn wire_session(&self) -> Option<&str> {
        self.call.session_id.as_deref().or(self.lent_session.as_deref())
    }

    /// Whether the span is one of its own.
    pub(super) fn has_span(&self, span_id: SpanId) -> bool {
        self.spans.contains(&SpanRef {
            trace_id: self.call.trace_id,
            span_id,
        })
    }

    /// The span it is directly below.
    pub(super) fn parent(&self) -> Option<SpanRef> {
        self.call.parent_span_id.map(|span_id| SpanRef {
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

/// The source of what a span says.
fn source(call: &Call) -> Source {
    match (call.vantage, call.kind) {
        (Vantage::Server, SpanKind::Server) => Source::Server,
        (Vantage::Server, _) => Source::ServerInside,
        (Vantage::Gateway, _) => Source::Gateway,
        (Vantage::Client, _) => Source::Client,
    }
}

/// Which nodes belong together (a union-find), and which are inside a request rather than one.
#[derive(Debug)]
pub(super) struct Sets {
    leader: Vec<usize>,
    inner: Vec<bool>,
}

impl Sets {
    /// The cluster a node is in, by its leader: the first of its nodes.
    pub(super) fn find(&mut self, mut index: usize) -> usize {
        while let Some(leader) = self.leader.get(index).copied().filter(|leader| *leader != index) {
            let above = self.leader.get(leader).copied().unwrap_or(leader);
            // Path halving: who asks again has half the way.
            if let Some(slot) = self.leader.get_mut(index) {
                *slot = above;
            }
            index = above;
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

    /// Marks a node as a step inside a request: it adds nothing to its cluster but its identity.
    pub(super) fn mark_inner(&mut self, index: usize) {
        if let Some(inner) = self.inner.get_mut(index) {
            *inner = true;
        }
    }

    pub(super) fn is_inner(&self, index: usize) -> bool {
        self.inner.get(index).copied().unwrap_or(false)
    }

    /// The nodes of each cluster, in order of first appearance.
    pub(super) fn groups(&mut self) -> Vec<Vec<usize>> {
        let mut place: HashMap<usize, usize> = HashMap::with_capacity(self.leader.len());
        let mut groups: Vec<Vec<usize>> = Vec::with_capacity(self.leader.len());
        for index in 0..self.leader.len() {
            let at = *place.entry(self.find(index)).or_insert_with(|| {
                groups.push(Vec::with_capacity(1));
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.push(index);
            }
        }
        groups
    }
}

/// Nodes, where each is found, and which belong together.
#[derive(Debug)]
pub(super) struct Clusters {
    nodes: Vec<Node>,
    sets: Sets,
}

/// Where nodes are found.
#[derive(Debug)]
pub(super) struct Places {
    /// By the spans they are made of.
    spans: HashMap<SpanRef, Vec<usize>>,
    /// By their row.
    rows: HashMap<i64, usize>,
    /// Those of each trace.
    traces: Vec<(TraceId, Vec<usize>)>,
}

impl Places {
    fn new(nodes: &[Node]) -> Self {
        let mut spans: HashMap<SpanRef, Vec<usize>> = HashMap::with_capacity(nodes.len());
        let mut rows = HashMap::new();
        let mut place: HashMap<TraceId, usize> = HashMap::with_capacity(nodes.len());
        let mut traces: Vec<(TraceId, Vec<usize>)> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            for span in &node.spans {
                spans.entry(*span).or_default().push(index);
            }
            if let Some(row) = node.row {
                rows.entry(row).or_insert(index);
            }
            let trace_id = node.call.trace_id;
            let at = *place.entry(trace_id).or_insert_with(|| {
                traces.push((trace_id, Vec::with_capacity(1)));
                traces.len() - 1
            });
            if let Some((_, members)) = traces.get_mut(at) {
                members.push(index);
            }
        }
        Self { spans, rows, traces }
    }

    /// The nodes that a span is part of.
    pub(super) fn with_span(&self, span: SpanRef) -> &[usize] {
        self.spans.get(&span).map(Vec::as_slice).unwrap_or_default()
    }

    /// The node of a stored call.
    pub(super) fn with_row(&self, row: i64) -> Option<usize> {
        self.rows.get(&row).copied()
    }

    /// Nodes that share a span.
    pub(super) fn sharing(&self) -> impl Iterator<Item = &[usize]> {
        self.spans
            .values()
            .map(Vec::as_slice)
            .filter(|nodes| nodes.len() > 1)
    }

    /// The nodes of each trace.
    pub(super) fn traces(&self) -> impl Iterator<Item = (TraceId, &[usize])> {
        self.traces
            .iter()
            .map(|(trace, members)| (*trace, members.as_slice()))
    }
}

impl Clusters {
    pub(super) fn new(nodes: Vec<Node>) -> Self {
        let sets = Sets {
            leader: (0..nodes.len()).collect(),
            inner: vec![false; nodes.len()],
        };
        Self { nodes, sets }
    }

    /// The nodes and where they are found.
    pub(super) fn places(&self) -> Places {
        Places::new(&self.nodes)
    }

    /// The nodes, and their clusters to work on.
    pub(super) fn split(&mut self) -> (&[Node], &mut Sets) {
        (&self.nodes, &mut self.sets)
    }

    /// Puts in what lists leave out of stored calls, by row. Of the others that stays as it is stored.
    pub(super) fn add(&mut self, wanted: &HashSet<i64>, mut details: HashMap<i64, Heavy>) {
        for node in &mut self.nodes {
            if let Some(row) = node.row.filter(|row| wanted.contains(row)) {
                node.detailed = true;
                if let Some(details) = details.remove(&row) {
                    node.add(details);
                }
            }
        }
    }

    /// Remembers of requests that their library's own list has come.
    pub(super) fn mark_listed(&mut self, calls: &[usize]) {
        for index in calls {
            if let Some(node) = self.nodes.get_mut(*index) {
                node.call.evidence.listed = true;
            }
        }
    }

    /// The clusters, each with its nodes and whether they are inner, in order of first appearance.
    pub(super) fn into_groups(mut self) -> Vec<Vec<(Node, bool)>> {
        let leaders: Vec<usize> = (0..self.nodes.len()).map(|index| self.sets.find(index)).collect();
        let mut place: HashMap<usize, usize> = HashMap::with_capacity(self.nodes.len());
        let mut groups: Vec<Vec<(Node, bool)>> = Vec::with_capacity(self.nodes.len());
        for ((node, leader), inner) in self.nodes.into_iter().zip(leaders).zip(self.sets.inner) {
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
