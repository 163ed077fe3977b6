//! Which spans of a trace tell of the same request: the rules for nested and duplicate spans.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mcptap_model::{Call, SpanRef, TraceId, Vantage};

use super::View;
use super::alike::Alike;
use super::clients::join_clients;
use super::cluster::{Node, Places, Sets};
use super::effort::Effort;
use super::https::Https;
use super::watched::{Watchers, is_watcher};

/// How far clocks and roundings may be apart within one machine, in nanoseconds.
pub(super) const SLACK_NANOS: i64 = 2_000_000;
/// Joins the spans of one trace that tell of the same request.
pub(super) fn relate(
    (nodes, sets): (&[Node], &mut Sets),
    places: &Places,
    https: &Https<'_>,
    (views, watchers): (&[View], &Watchers),
    effort: &Effort,
) {
    join_views(nodes, sets, places, views, effort);
    join_same_spans(nodes, sets, places);
    for (index, node) in nodes.iter().enumerate() {
        let Some(parent) = node.parent() else { continue };
        for &above in effort.bounded(places.with_span(parent).iter()) {
            if let Some(other) = nodes.get(above)
                && other.call.trace_id == node.call.trace_id
                && same_request(&node.call, &other.call)
                && on_one_side(node, other)
                && is_told_there(node, other, parent)
            {
                sets.join(index, above);
            }
        }
    }
    watchers.join((nodes, sets), places, https, effort);
    for (_, members) in places.traces().filter(|(_, members)| members.len() > 1) {
        join_duplicates(nodes, sets, members, effort);
    }
    join_clients((nodes, sets), places, https, (views, watchers), effort);
}

/// A client's span above one that was folded into a stored call is a view of the same request.
fn join_views(nodes: &[Node], sets: &mut Sets, places: &Places, views: &[View], effort: &Effort) {
    let of_rows = views
        .iter()
        .filter_map(|view| Some((places.with_row(view.row)?, view.above, &view.origin)));
    let of_parts = nodes.iter().enumerate().flat_map(|(index, node)| {
        let above = node.above.iter();
        above.map(move |(above, origin)| (index, *above, origin))
    });
    for (call, above, origin) in of_rows.chain(of_parts) {
        let Some(stored) = nodes.get(call) else { continue };
        let above = effort
            .bounded(places.with_span(above).iter())
            .filter_map(|index| Some((*index, nodes.get(*index)?)))
            .find(|(_, node)| node.call.vantage == Vantage::Client && node.call.origin.same_service(origin));
        if let Some((above, node)) = above
            && same_request(&node.call, &stored.call)
        {
            sets.join(above, call);
        }
    }
}

/// Nodes of one trace that share a span are views of one request. A watcher's may be of another trace than its server's.
fn join_same_spans(nodes: &[Node], sets: &mut Sets, places: &Places) {
    for sharing in places.sharing() {
        let mut first: Vec<(TraceId, usize)> = Vec::new();
        for (index, node) in sharing
            .iter()
            .filter_map(|index| Some((*index, nodes.get(*index)?)))
        {
            let is_same = |(trace, other): &&(TraceId, usize)| {
                let watches = |node: &Node| is_watcher(&node.call) || node.is_watched;
                *trace == node.call.trace_id || watches(node) || nodes.get(*other).is_some_and(watches)
            };
            match first.iter().find(is_same) {
                Some((_, other)) => sets.join(*other, index),
                None => first.push((node.call.trace_id, index)),
            }
        }
    }
}

/// Whether nothing that both know differs.
pub(super) fn agree(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Whether two spans can be of one request at all.
pub(super) fn same_request(a: &Call, b: &Call) -> bool {
    a.method == b.method
        && agree(a.target(), b.target())
        && agree(a.request_id.as_deref(), b.request_id.as_deref())
}

/// Whether both are views of the same service, from the same side.
fn same_side(a: &Call, b: &Call) -> bool {
    a.origin.same_service(&b.origin) && (a.vantage == Vantage::Client) == (b.vantage == Vantage::Client)
}

/// Whether two spans, one right below the other, are of one side of a request: spans of one service. Those of one kind
/// and scope are on the same side, whatever else they say.
fn on_one_side(a: &Node, b: &Node) -> bool {
    let alike = a.call.kind == b.call.kind && a.call.origin.scope == b.call.origin.scope;
    same_side(&a.call, &b.call) || (alike && a.call.origin.same_service(&b.call.origin))
}

/// Whether a span right below one of another's can be of its request: a library that told of that request already, by a
/// span that is not the parent and does not last around this one, tells of another here.
fn is_told_there(node: &Node, other: &Node, parent: SpanRef) -> bool {
    let (inner, outer) = (&node.call, &other.call);
    inner.origin.scope != outer.origin.scope
        || outer.primary_span_id == parent.span_id
        || !inner.has_own_end()
        || !outer.has_own_end()
        || (outer.started_at <= inner.started_at && inner.ended_at() <= outer.ended_at())
}

/// Whether `outer` lasts around `inner`, roundings aside.
pub(super) fn encloses(outer: &Call, inner: &Call) -> bool {
    outer.started_at.0.saturating_sub(SLACK_NANOS) <= inner.started_at.0
        && inner.ended_at().0 <= outer.ended_at().0.saturating_add(SLACK_NANOS)
}

pub(super) fn overlap(a: &Call, b: &Call) -> bool {
    a.started_at <= b.ended_at() && b.started_at <= a.ended_at()
}

/// Two instrumentations of one service told of the same request: the tightest that lasts around a span of another
/// scope is its duplicate. A library tells of a request once, so what has a span of a scope takes no other of that scope.
fn join_duplicates(nodes: &[Node], sets: &mut Sets, members: &[usize], effort: &Effort) {
    // Of a request that is open nobody knows how long it lasts: it is compared when its end comes.
    let ended = |index: &&usize| nodes.get(**index).is_some_and(|node| node.call.has_own_end());
    // By service and side, then by scope.
    type Scopes<'a> = HashMap<&'a str, Vec<usize>>;
    let mut scopes: HashMap<(Option<&str>, bool), Scopes<'_>> = HashMap::new();
    for &index in members.iter().filter(ended) {
        if let Some(Node { call, .. }) = nodes.get(index) {
            let of_service = scopes.entry(service_and_side(call)).or_default();
            of_service.entry(&call.origin.scope).or_default().push(index);
        }
    }
    // Most traces have one instrumentation for each side.
    scopes.retain(|_, scopes| scopes.len() > 1);
    let indexed = scopes.into_iter().map(|(service, scopes)| {
        let scopes = scopes.into_iter().map(|(scope, members)| {
            let calls = members
                .into_iter()
                .filter_map(|index| Some((index, &nodes.get(index)?.call)));
            (scope, Alike::new(calls))
        });
        (service, scopes.collect::<BTreeMap<_, _>>())
    });
    let indexed: HashMap<_, _> = indexed.collect();
    if indexed.is_empty() {
        return;
    }
    let mut libraries = Libraries::new(nodes, sets, members);
    // The shortest first: of requests within one another each finds its own.
    let mut inner: Vec<(i64, i64, usize)> = members
        .iter()
        .filter(ended)
        .filter_map(|index| Some((*index, nodes.get(*index).filter(|node| !has_several(node))?)))
        .map(|(index, Node { call, .. })| (call.duration_nanos, call.started_at.0, index))
        .collect();
    inner.sort_unstable();
    for (.., index) in inner {
        let Some(Node { call, .. }) = nodes.get(index) else {
            continue;
        };
        let Some(scopes) = indexed.get(&service_and_side(call)) else {
            continue;
        };
        let (from, to) = (
            call.started_at.0.saturating_add(SLACK_NANOS),
            call.ended_at().0.saturating_sub(SLACK_NANOS),
        );
        let others = effort
            .bounded(scopes.iter())
            .filter(|(scope, _)| **scope != call.origin.scope);
        let around = others.flat_map(|(_, alike)| effort.bounded(alike.around(call, from, to)));
        let tightest = around
            .filter(|other| libraries.are_apart(sets, index, *other))
            .filter_map(|other| Some((&nodes.get(other)?.call, other)))
            .filter(|(around, _)| around.duration_nanos >= call.duration_nanos && same_side(around, call))
            .min_by_key(|(around, other)| (around.duration_nanos, around.started_at.0, *other));
        if let Some((_, other)) = tightest {
            libraries.join(sets, index, other);
        }
    }
}

/// Whether a stored call was told by several libraries of its side: nobody knows which these were, so what lasts around it
/// may be another request's, as one of them tells it.
fn has_several(node: &Node) -> bool {
    node.stored().is_some() && node.call.evidence.sources.are_several()
}

fn service_and_side(call: &Call) -> (Option<&str>, bool) {
    (call.origin.service.as_deref(), call.vantage == Vantage::Client)
}

/// The libraries that told of each cluster of a trace, and its JSON-RPC id.
struct Libraries<'a>(HashMap<usize, (BTreeSet<Library<'a>>, Option<&'a str>)>);

/// Its service, whether it is a client's, and its scope.
type Library<'a> = (Option<&'a str>, bool, &'a str);

impl<'a> Libraries<'a> {
    fn new(nodes: &'a [Node], sets: &mut Sets, members: &[usize]) -> Self {
        let mut clusters: HashMap<usize, (BTreeSet<Library<'_>>, Option<&str>)> = HashMap::new();
        for &index in members {
            if let Some(Node { call, .. }) = nodes.get(index) {
                let (libraries, id) = clusters.entry(sets.find(index)).or_default();
                let (service, is_client) = service_and_side(call);
                libraries.insert((service, is_client, &call.origin.scope));
                *id = id.or(call.request_id.as_deref());
            }
        }
        Self(clusters)
    }

    /// Whether two nodes are of clusters that can be views of one request by different libraries.
    fn are_apart(&self, sets: &mut Sets, one: usize, other: usize) -> bool {
        let (one, other) = (sets.find(one), sets.find(other));
        let (Some((libraries, id)), Some((others, other_id))) = (self.0.get(&one), self.0.get(&other)) else {
            return false;
        };
        one != other && agree(*id, *other_id) && libraries.is_disjoint(others)
    }

    fn join(&mut self, sets: &mut Sets, one: usize, other: usize) {
        let (of_one, of_other) = (sets.find(one), sets.find(other));
        sets.join(one, other);
        let (mut libraries, id) = self.0.remove(&of_one).unwrap_or_default();
        let (others, other_id) = self.0.remove(&of_other).unwrap_or_default();
        libraries.extend(others);
        self.0.insert(sets.find(one), (libraries, id.or(other_id)));
    }
}
