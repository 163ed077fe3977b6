//! Which spans of a trace tell of the same request: the rules for nested and duplicate spans, and for a client's view.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mcptap_model::{Call, SpanRef, TraceId, Vantage};

use super::View;
use super::alike::Alike;
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
    let sent: HashSet<i64> = views.iter().map(|view| view.row).collect();
    for (_, members) in places.traces().filter(|(_, members)| members.len() > 1) {
        join_duplicates(nodes, sets, members, effort);
        join_clients((nodes, &sent), sets, members, places, https, effort);
    }
}

/// A client's span above one that was folded into a stored call is a view of the same request.
fn join_views(nodes: &[Node], sets: &mut Sets, places: &Places, views: &[View], effort: &Effort) {
    for view in views {
        let Some((call, stored)) = places
            .with_row(view.row)
            .and_then(|index| Some((index, nodes.get(index)?)))
        else {
            continue;
        };
        let above = effort
            .bounded(places.with_span(view.above).iter())
            .filter_map(|index| Some((*index, nodes.get(*index)?)))
            .find(|(_, node)| {
                node.call.trace_id == stored.call.trace_id
                    && node.call.vantage == Vantage::Client
                    && node.call.origin.same_service(&view.origin)
            });
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
fn same_request(a: &Call, b: &Call) -> bool {
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

fn overlap(a: &Call, b: &Call) -> bool {
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
    node.row.is_some() && node.call.evidence.sources.are_several()
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

/// How surely a server's span answers a client's, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    /// The client's span is above the server's, directly or over HTTP spans.
    Parent,
    /// They share the JSON-RPC id, at the same time.
    RequestId,
    /// The server's lasts within the client's.
    Within,
}

/// A traced client's span is the server's request as the client saw it: each goes to the one server or gateway that
/// answers it most surely, the tightest client to the outermost server.
fn join_clients(
    (nodes, sent): (&[Node], &HashSet<i64>),
    sets: &mut Sets,
    members: &[usize],
    places: &Places,
    https: &Https<'_>,
    effort: &Effort,
) {
    let is_client = |index: &usize| {
        nodes
            .get(*index)
            .is_some_and(|node| node.call.vantage == Vantage::Client)
    };
    let (clients, servers): (Vec<usize>, Vec<usize>) = members.iter().copied().partition(is_client);
    if clients.is_empty() || servers.is_empty() {
        return;
    }
    // One that was joined before, and comes again, has its answer.
    let answered: HashSet<usize> = servers.iter().map(|server| sets.find(*server)).collect();
    let alone: HashSet<usize> = clients
        .into_iter()
        .filter(|client| !answered.contains(&sets.find(*client)))
        .collect();
    if alone.is_empty() {
        return;
    }
    let above = |node: &Node| above(node, places, https, effort);
    let has_client = with_client((nodes, sent), sets, &servers, above, https);
    let mut pairs: Vec<(Link, i64, i64, usize, usize)> = Vec::new();
    let mut consider = |client: usize, server: usize| {
        if let (Some(c), Some(s)) = (nodes.get(client), nodes.get(server))
            && let Some(link) = link(c, s, has_client.contains(&server), https)
        {
            let lasts = |call: &Call| {
                let known = call.has_own_end();
                if known { call.duration_nanos } else { i64::MAX }
            };
            let (shortest, longest) = (lasts(&c.call), lasts(&s.call).saturating_neg());
            pairs.push((link, shortest, longest, client, server));
        }
    };
    for &server in &servers {
        let Some(node) = nodes.get(server) else { continue };
        let senders = above(node).into_iter();
        senders
            .filter(|client| alone.contains(client))
            .for_each(|client| consider(client, server));
    }
    let called = servers
        .iter()
        .filter_map(|index| Some((*index, &nodes.get(*index)?.call)));
    let alike = Alike::new(called.filter(|(_, call)| call.has_own_end()));
    for &client in members.iter().filter(|index| alone.contains(*index)) {
        let Some(Node { call, .. }) = nodes.get(client).filter(|node| node.call.has_own_end()) else {
            continue;
        };
        let (from, to) = (
            call.started_at.0.saturating_sub(SLACK_NANOS),
            call.ended_at().0.saturating_add(SLACK_NANOS),
        );
        let within = alike.within(call, from, to);
        let known_id = call.request_id.is_some();
        let overlapping = alike
            .around(call, call.ended_at().0, call.started_at.0)
            .filter(|_| known_id);
        effort
            .bounded(within)
            .chain(effort.bounded(overlapping))
            .for_each(|server| consider(client, server));
    }
    pairs.sort_unstable();
    // A request has one client's view and one answer: both are spoken for once joined.
    let mut taken: HashSet<usize> = HashSet::new();
    for (.., client, server) in pairs {
        let (of_client, of_server) = (sets.find(client), sets.find(server));
        if of_client != of_server && !taken.contains(&of_client) && !taken.contains(&of_server) {
            sets.join(client, server);
            taken.insert(sets.find(client));
        }
    }
}

/// The nodes above one, directly or over HTTP spans.
fn above(node: &Node, places: &Places, https: &Https<'_>, effort: &Effort) -> Vec<usize> {
    let trace_id = node.call.trace_id;
    let spans = https.ancestors(trace_id, node.call.parent_span_id);
    let nodes = spans.flat_map(|span_id| {
        let with_span = places.with_span(SpanRef { trace_id, span_id });
        effort.bounded(with_span.iter().copied())
    });
    nodes.collect()
}

/// Servers' spans of requests that have a client's view already: it is here above one of them, or it became part of the stored
/// call earlier (the rows in `sent`).
fn with_client(
    (nodes, sent): (&[Node], &HashSet<i64>),
    sets: &mut Sets,
    servers: &[usize],
    above: impl Fn(&Node) -> Vec<usize>,
    https: &Https<'_>,
) -> HashSet<usize> {
    let mut clusters: HashSet<usize> = HashSet::new();
    for &index in servers {
        let Some(node) = nodes.get(index) else { continue };
        let cluster = sets.find(index);
        let sends = |above: &usize| {
            let above = nodes.get(*above);
            above.is_some_and(|above| above.call.vantage == Vantage::Client)
        };
        let mut senders = above(node).into_iter().filter(sends);
        let was_sent = node.row.is_some_and(|row| sent.contains(&row));
        if was_sent || descends(node, node, https) || senders.any(|sender| sets.find(sender) == cluster) {
            clusters.insert(cluster);
        }
    }
    let servers = servers.iter().copied();
    servers
        .filter(|server| clusters.contains(&sets.find(*server)))
        .collect()
}

fn link(client: &Node, server: &Node, has_client: bool, https: &Https<'_>) -> Option<Link> {
    let (c, s) = (&client.call, &server.call);
    if !same_request(c, s) {
        return None;
    }
    let outgoing =
        client.is_child_of(server) || (c.origin.same_service(&s.origin) && encloses(s, c) && !encloses(c, s));
    if descends(server, client, https) {
        Some(Link::Parent)
    } else if outgoing || has_client || (client.row.is_some() && server.row.is_some()) {
        // The server's answer to another: its own client's view is part of it already, or both were stored apart.
        None
    } else if c.request_id.is_some() && c.request_id == s.request_id && overlap(c, s) {
        Some(Link::RequestId)
    } else if encloses(c, s) {
        Some(Link::Within)
    } else {
        None
    }
}

/// Whether `node` is below `above`, directly or over HTTP spans.
fn descends(node: &Node, above: &Node, https: &Https<'_>) -> bool {
    https
        .ancestors(node.call.trace_id, node.call.parent_span_id)
        .any(|span| above.has_span(span))
}
