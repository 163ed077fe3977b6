//! Which spans of a trace tell of the same request: the rules for nested and duplicate spans, for a client's view,
//! and for gateways.

use std::collections::HashMap;

use mcptap_model::{Call, HttpSpan, SpanId, TraceId, Vantage};

use super::View;
use super::cluster::{Clusters, Node};
use super::merge::Merged;

/// How far clocks and roundings may be apart within one machine, in nanoseconds.
pub(super) const SLACK_NANOS: i64 = 2_000_000;
/// How many HTTP spans may stand between a client's span and the server's.
const HOPS: usize = 8;

/// Joins the spans of one trace that tell of the same request.
pub(super) fn relate(clusters: &mut Clusters, members: &[usize], https: &[HttpSpan], views: &[View]) {
    if members.len() < 2 {
        return;
    }
    join_views(clusters, members, views);
    for (at, &one) in members.iter().enumerate() {
        for &other in members.iter().skip(at + 1) {
            let (Some(a), Some(b)) = (clusters.node(one), clusters.node(other)) else {
                continue;
            };
            if same_span(a, b) || (same_request(&a.call, &b.call) && nested(a, b)) {
                clusters.join(one, other);
            }
        }
    }
    join_duplicates(clusters, members);
    join_clients(clusters, members, https);
}

/// A client's span above one that was folded into a stored call is a view of the same request.
fn join_views(clusters: &mut Clusters, members: &[usize], views: &[View]) {
    for view in views {
        let mut found = members.iter().copied();
        let above = found.find(|index| {
            clusters.node(*index).is_some_and(|node| {
                node.spans.contains(&view.above)
                    && node.call.vantage == Vantage::Client
                    && node.call.origin.same_service(&view.origin)
            })
        });
        let call = members.iter().copied().find(|index| {
            clusters
                .node(*index)
                .is_some_and(|node| node.row == Some(view.row))
        });
        let (Some(above), Some(call)) = (above, call) else {
            continue;
        };
        if let (Some(a), Some(b)) = (clusters.node(above), clusters.node(call))
            && same_request(&a.call, &b.call)
        {
            clusters.join(above, call);
        }
    }
}

fn same_span(a: &Node, b: &Node) -> bool {
    !a.spans.is_disjoint(&b.spans)
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

/// Spans of one service nested by parent. Those of one kind and scope are on the same side, whatever else they say.
fn nested(a: &Node, b: &Node) -> bool {
    let alike = a.call.kind == b.call.kind && a.call.origin.scope == b.call.origin.scope;
    let one_side = same_side(&a.call, &b.call) || (alike && a.call.origin.same_service(&b.call.origin));
    one_side && (a.is_child_of(b) || b.is_child_of(a))
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
/// scope is its duplicate.
fn join_duplicates(clusters: &mut Clusters, members: &[usize]) {
    for &index in members {
        let Some(node) = clusters.node(index) else {
            continue;
        };
        let around = members
            .iter()
            .copied()
            .filter(|other| *other != index && !clusters.together(index, *other));
        let around = around
            .filter_map(|other| Some((other, clusters.node(other)?)))
            .filter(|(_, other)| {
                let longer = other.call.duration_nanos >= node.call.duration_nanos;
                longer
                    && other.call.origin.scope != node.call.origin.scope
                    && same_request(&other.call, &node.call)
                    && same_side(&other.call, &node.call)
                    && encloses(&other.call, &node.call)
            });
        let tightest = around
            .min_by_key(|(_, other)| other.call.duration_nanos)
            .map(|(other, _)| other);
        if let Some(other) = tightest {
            clusters.join(index, other);
        }
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
fn join_clients(clusters: &mut Clusters, members: &[usize], https: &[HttpSpan]) {
    let is_client = |index: &usize| {
        clusters
            .node(*index)
            .is_some_and(|node| node.call.vantage == Vantage::Client)
    };
    let (clients, servers): (Vec<usize>, Vec<usize>) = members.iter().copied().partition(is_client);
    let mut pairs: Vec<(Link, i64, i64, usize, usize)> = Vec::new();
    // One that was joined before, and comes again, has its answer.
    let alone = |client: &&usize| !servers.iter().any(|server| clusters.together(**client, *server));
    for &client in clients.iter().filter(alone) {
        for &server in &servers {
            let (Some(c), Some(s)) = (clusters.node(client), clusters.node(server)) else {
                continue;
            };
            if let Some(link) = link(c, s, https) {
                pairs.push((
                    link,
                    c.call.duration_nanos,
                    s.call.duration_nanos.saturating_neg(),
                    client,
                    server,
                ));
            }
        }
    }
    pairs.sort_unstable();
    // A request has one client's view and one answer: both are spoken for once joined.
    let mut taken: Vec<usize> = Vec::new();
    for (.., client, server) in pairs {
        let (of_client, of_server) = (clusters.find(client), clusters.find(server));
        if of_client != of_server && !taken.contains(&of_client) && !taken.contains(&of_server) {
            clusters.join(client, server);
            taken.push(clusters.find(client));
        }
    }
}

fn link(client: &Node, server: &Node, https: &[HttpSpan]) -> Option<Link> {
    let (c, s) = (&client.call, &server.call);
    if !same_request(c, s) {
        return None;
    }
    let outgoing =
        client.is_child_of(server) || (c.origin.same_service(&s.origin) && encloses(s, c) && !encloses(c, s));
    if descends(server, client, https) {
        Some(Link::Parent)
    } else if outgoing || descends(server, server, https) || (client.row.is_some() && server.row.is_some()) {
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
fn descends(node: &Node, above: &Node, https: &[HttpSpan]) -> bool {
    ancestors(node.call.parent_span_id, https).any(|span| above.has_span(span))
}

/// A span's parent and, over HTTP spans, the parents above.
pub(super) fn ancestors(parent: Option<SpanId>, https: &[HttpSpan]) -> impl Iterator<Item = SpanId> + '_ {
    let above = move |span: &SpanId| https.iter().find(|http| http.span_id == *span)?.parent_span_id;
    std::iter::successors(parent, above).take(HOPS)
}

/// A server that hands a request on, itself sending the same method and target, is a gateway on its own hop.
pub(super) fn find_gateways(merged: &mut [Merged], https: &HashMap<TraceId, Vec<HttpSpan>>) {
    let mut traces: HashMap<TraceId, Vec<usize>> = HashMap::new();
    for (index, merged) in merged.iter().enumerate() {
        traces.entry(merged.node.call.trace_id).or_default().push(index);
    }
    for (trace, members) in traces.into_iter().filter(|(_, members)| members.len() > 1) {
        let https = https.get(&trace).map(Vec::as_slice).unwrap_or_default();
        let hands_on = |index: &usize| {
            let Some(outer) = merged.get(*index) else {
                return false;
            };
            outer.node.call.vantage == Vantage::Server
                && members
                    .iter()
                    .filter(|other| *other != index)
                    .filter_map(|other| merged.get(*other))
                    .any(|inner| {
                        let (o, i) = (&outer.node.call, &inner.node.call);
                        let below = ancestors(i.parent_span_id, https).any(|span| span == o.primary_span_id)
                            || encloses(o, i);
                        let onward = i.vantage == Vantage::Client || !i.origin.same_service(&o.origin);
                        o.method == i.method && o.target() == i.target() && below && onward
                    })
        };
        let gateways: Vec<usize> = members.iter().copied().filter(hands_on).collect();
        for index in gateways {
            if let Some(gateway) = merged.get_mut(index) {
                gateway.node.call.vantage = Vantage::Gateway;
            }
        }
    }
}
