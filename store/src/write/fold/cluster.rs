//! Spans and stored calls, grouped into requests.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{Call, Origin, Part, Source, Sources, SpanId, SpanKind, SpanRef, TraceId, Vantage};

use super::join::{LOOPBACK_V4, LOOPBACK_V6};
use super::parts::{PartOf, share};
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
    /// Which part of a stored call it is, where that is kept in parts.
    pub(super) part: Option<PartOf>,
    /// What is above the client's views that were folded into a part: the span, and the service.
    pub(super) above: Vec<(SpanRef, Arc<Origin>)>,
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
            part: None,
            above: Vec::new(),
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
        Self {
            bodies,
            links,
            ..Self::of_span(call)
        }
    }

    /// What one span tells.
    pub(super) fn of_span(call: Call) -> Self {
        let spans = BTreeSet::from([SpanRef {
            trace_id: call.trace_id,
            span_id: call.span_id,
        }]);
        Self {
            row: None,
            call,
            bodies: Bodies::default(),
            spans,
            links: Vec::new(),
            before: None,
            is_watched: false,
            lent_session: None,
            detailed: true,
            part: None,
            above: Vec::new(),
        }
    }

    /// The row of the call that it is, or is part of, when it is stored.
    pub(super) fn stored(&self) -> Option<i64> {
        self.part.map(|part| part.row).or(self.row)
    }

    /// With what lists leave out of a stored call.
    fn add(&mut self, details: Heavy) {
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
        if self.part.is_some() {
            share(self, &bodies);
            return;
        }
        self.bodies = bodies;
        self.call.stack_trace = stack_trace;
        self.call.attributes = attributes;
    }

    /// The id of its session on the wire, its own or what an HTTP span lends. What was lent before is known where that span is
    /// not here.
    pub(super) fn wire_session(&self) -> Option<&str> {
        own_session(&self.call)
            .or(self.lent_session.as_deref())
            .or(self.call.session_id.as_deref())
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

/// The id of a call's session on the wire, unless an HTTP span lent it: another, of another session, may be nearer.
pub(super) fn own_session(call: &Call) -> Option<&str> {
    let is_own = call.evidence.sources.of(Part::Session) < Source::Http;
    call.session_id.as_deref().filter(|_| is_own)
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
    /// The same by what nothing that comes later changes.
    sure: Vec<usize>,
    inner: Vec<bool>,
}

/// The first of the nodes of a set, by the leader of each node.
fn find(leaders: &mut [usize], mut index: usize) -> usize {
    while let Some(leader) = leaders.get(index).copied().filter(|leader| *leader != index) {
        let above = leaders.get(leader).copied().unwrap_or(leader);
        // Path halving: who asks again has half the way.
        if let Some(slot) = leaders.get_mut(index) {
            *slot = above;
        }
        index = above;
    }
    index
}

fn join(leaders: &mut [usize], one: usize, other: usize) {
    let (one, other) = (find(leaders, one), find(leaders, other));
    if let Some(leader) = leaders.get_mut(one.max(other)) {
        *leader = one.min(other);
    }
}

impl Sets {
    /// The cluster a node is in, by its leader: the first of its nodes.
    pub(super) fn find(&mut self, index: usize) -> usize {
        find(&mut self.leader, index)
    }

    /// Puts two nodes into one cluster for good.
    pub(super) fn join(&mut self, one: usize, other: usize) {
        join(&mut self.leader, one, other);
        join(&mut self.sure, one, other);
    }

    /// Puts two nodes into one cluster as far as is known: what comes later may show that they are of two requests.
    pub(super) fn join_for_now(&mut self, one: usize, other: usize) {
        join(&mut self.leader, one, other);
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
    /// By the row of the call that they are, or the first part of.
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
            if let Some(row) = node.stored() {
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

    /// The node of a stored call, or of its first part.
    pub(super) fn with_row(&self, row: i64) -> Option<usize> {
        self.rows.get(&row).copied()
    }

    /// The node of a stored call, or of the part of it that has a span.
    pub(super) fn with_row_and_span(&self, nodes: &[Node], row: i64, span: SpanRef) -> Option<usize> {
        let with_span = self.with_span(span).iter().copied();
        let mut of_row = with_span.filter(|index| nodes.get(*index).and_then(Node::stored) == Some(row));
        of_row.next().or_else(|| self.with_row(row))
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
            sure: (0..nodes.len()).collect(),
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
            let Some(row) = node.stored().filter(|row| wanted.contains(row)) else {
                continue;
            };
            node.detailed = true;
            let found = match node.part {
                // The other parts have some of it too.
                Some(_) => details.get(&row).cloned(),
                None => details.remove(&row),
            };
            if let Some(details) = found {
                node.add(details);
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

    /// The clusters, each with its nodes, in order of first appearance.
    pub(super) fn into_groups(self) -> Vec<Vec<Member>> {
        let Self { nodes, mut sets } = self;
        let mut place: HashMap<usize, usize> = HashMap::with_capacity(nodes.len());
        let mut groups: Vec<Vec<Member>> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.into_iter().enumerate() {
            let at = *place.entry(sets.find(index)).or_insert_with(|| {
                groups.push(Vec::with_capacity(1));
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.push(Member {
                    node,
                    inner: sets.is_inner(index),
                    sure: find(&mut sets.sure, index),
                });
            }
        }
        groups
    }
}

/// A node of a cluster.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) node: Node,
    /// Whether it is a step inside the request.
    pub(super) inner: bool,
    /// What it is one with for good, by a number.
    pub(super) sure: usize,
}
