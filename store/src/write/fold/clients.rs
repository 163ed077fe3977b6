//! Which server's request a client's span tells of. But for what the tree of spans says, that is known only until another span
//! comes that tells better: each such join is made anew from the parts of stored calls.

use std::collections::{HashMap, HashSet};

use mcptap_model::{Call, SpanId, SpanRef, TraceId, Vantage};

use super::View;
use super::alike::Alike;
use super::cluster::{Node, Places, Sets};
use super::effort::Effort;
use super::https::Https;
use super::relate::{SLACK_NANOS, encloses, overlap, same_request};
use super::watched::Watchers;

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

/// A client's and a server's node that may be of one request. The first is the best: the surest, then the shortest client and
/// the longest server; which of equals it is depends on nothing but them.
type Pair = (Link, i64, i64, SpanId, SpanId, usize, usize);

/// Who handled a request, as the spans of one trace tell it.
struct Server<'a> {
    /// The node that it is part of.
    index: usize,
    /// The node, or what is remembered of a watcher whose server is in another trace.
    node: &'a Node,
}

/// A traced client's span is the server's request as the client saw it: each goes to the one server or gateway that
/// answers it most surely, the tightest client to the outermost server.
pub(super) fn join_clients(
    (nodes, sets): (&[Node], &mut Sets),
    places: &Places,
    https: &Https<'_>,
    (views, watchers): (&[View], &Watchers),
    effort: &Effort,
) {
    let sent: HashSet<i64> = views.iter().map(|view| view.row).collect();
    let elsewhere = watchers.elsewhere(nodes);
    let mut watched: HashMap<TraceId, Vec<Server<'_>>> = HashMap::new();
    for (node, index) in &elsewhere {
        let of_trace = watched.entry(node.call.trace_id).or_default();
        of_trace.push(Server { index: *index, node });
    }
    let trace = Trace {
        nodes,
        sent: &sent,
        sent_over: &watchers.sent(nodes, https),
        places,
        https,
        watchers,
        effort,
    };
    for (trace_id, members) in places.traces() {
        let watched = watched.remove(&trace_id).unwrap_or_default();
        if members.len() + watched.len() > 1 {
            trace.join_clients(sets, members, watched);
        }
    }
}

/// What the spans of a trace are compared by.
struct Trace<'a> {
    nodes: &'a [Node],
    /// The rows of calls that took a client's view.
    sent: &'a HashSet<i64>,
    /// The nodes of calls that took a client's view above a watcher's.
    sent_over: &'a [usize],
    places: &'a Places,
    https: &'a Https<'a>,
    watchers: &'a Watchers,
    effort: &'a Effort,
}

impl Trace<'_> {
    fn join_clients(&self, sets: &mut Sets, members: &[usize], watched: Vec<Server<'_>>) {
        let is_client = |index: &usize| {
            let node = self.nodes.get(*index);
            node.is_some_and(|node| node.call.vantage == Vantage::Client)
        };
        let (clients, servers): (Vec<usize>, Vec<usize>) = members.iter().copied().partition(is_client);
        let with_node = |index: usize| Some((index, self.nodes.get(index)?));
        let servers = servers.into_iter().filter_map(with_node);
        let servers = servers.map(|(index, node)| Server { index, node });
        let servers: Vec<Server<'_>> = servers.chain(watched).collect();
        if clients.is_empty() || servers.is_empty() {
            return;
        }
        // One that surely has its answer looks for no other.
        let answered: HashSet<usize> = servers.iter().map(|server| sets.find(server.index)).collect();
        let alone = clients.into_iter();
        let alone: HashSet<usize> = alone
            .filter(|client| !answered.contains(&sets.find(*client)))
            .collect();
        if alone.is_empty() {
            return;
        }
        let mut pairs = self.pairs(sets, &alone, &servers);
        pairs.sort_unstable();
        // A request has one client's view and one answer: both are spoken for once joined.
        let mut taken: HashSet<usize> = HashSet::new();
        for (link, .., client, server) in pairs {
            let (of_client, of_server) = (sets.find(client), sets.find(server));
            if of_client != of_server && !taken.contains(&of_client) && !taken.contains(&of_server) {
                if link == Link::Parent {
                    sets.join(client, server);
                } else {
                    sets.join_for_now(client, server);
                }
                taken.insert(sets.find(client));
            }
        }
    }

    /// The pairs of a client's span and a server's that can be of one request.
    fn pairs(&self, sets: &mut Sets, alone: &HashSet<usize>, servers: &[Server<'_>]) -> Vec<Pair> {
        let has_client = self.with_client(sets, servers);
        let sent_by = self.sent_by(sets, alone);
        let clusters: Vec<usize> = servers.iter().map(|server| sets.find(server.index)).collect();
        let mut pairs: Vec<Pair> = Vec::new();
        let mut consider = |client: usize, at: usize| {
            let sender = clusters.get(at).map(|cluster| (client, *cluster));
            let is_sender = sender.is_some_and(|sender| sent_by.contains(&sender));
            if let (Some(c), Some(Server { index, node: s })) = (self.nodes.get(client), servers.get(at))
                && let Some(link) = link(c, s, !is_sender && !has_client.contains(&at), self.https)
            {
                let lasts = |call: &Call| {
                    let known = call.has_own_end();
                    if known { call.duration_nanos } else { i64::MAX }
                };
                let (shortest, longest) = (lasts(&c.call), lasts(&s.call).saturating_neg());
                let spans = (c.call.primary_span_id, s.call.primary_span_id);
                pairs.push((link, shortest, longest, spans.0, spans.1, client, *index));
            }
        };
        for (at, server) in servers.iter().enumerate() {
            let senders = self.above(server.node).into_iter();
            senders
                .filter(|client| alone.contains(client))
                .for_each(|client| consider(client, at));
        }
        let called = servers.iter().map(|server| &server.node.call).enumerate();
        let alike = Alike::new(called.filter(|(_, call)| call.has_own_end()));
        let mut alone: Vec<usize> = alone.iter().copied().collect();
        alone.sort_unstable();
        for client in alone {
            let node = self.nodes.get(client);
            let Some(Node { call, .. }) = node.filter(|node| node.call.has_own_end()) else {
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
            self.effort
                .bounded(within)
                .chain(self.effort.bounded(overlapping))
                .for_each(|server| consider(client, server));
        }
        pairs
    }

    /// Clients' nodes, each with the cluster of the server right above it: that is who sends.
    fn sent_by(&self, sets: &mut Sets, clients: &HashSet<usize>) -> HashSet<(usize, usize)> {
        let mut sent_by = HashSet::new();
        for client in clients {
            let parent = self.nodes.get(*client).and_then(Node::parent);
            let above = parent
                .map(|parent| self.places.with_span(parent))
                .unwrap_or_default();
            for index in self.effort.bounded(above.iter()) {
                let above = self.nodes.get(*index);
                if above.is_some_and(|above| above.call.vantage != Vantage::Client) {
                    sent_by.insert((*client, sets.find(*index)));
                }
            }
        }
        sent_by
    }

    /// The nodes above one, directly or over HTTP spans.
    fn above(&self, node: &Node) -> Vec<usize> {
        let trace_id = node.call.trace_id;
        let spans = self.https.ancestors(trace_id, node.call.parent_span_id);
        let nodes = spans.flat_map(|span_id| {
            let with_span = self.places.with_span(SpanRef { trace_id, span_id });
            self.effort.bounded(with_span.iter().copied())
        });
        nodes.collect()
    }

    /// The servers (their places) whose requests surely have a client's view: it is here above one of them, or it became part of
    /// the stored call earlier.
    fn with_client(&self, sets: &mut Sets, servers: &[Server<'_>]) -> HashSet<usize> {
        let over = self.sent_over.iter().map(|index| sets.find(*index));
        let mut clusters: HashSet<usize> = over.collect();
        for Server { index, node } in servers {
            let cluster = sets.find(*index);
            let sends = |above: &usize| {
                let above = self.nodes.get(*above);
                above.is_some_and(|above| above.call.vantage == Vantage::Client)
            };
            let mut senders = self.above(node).into_iter().filter(sends);
            let of = self.nodes.get(*index);
            let row = of.filter(|of| of.part.is_none()).and_then(|of| of.row);
            let was_sent = row.is_some_and(|row| self.sent.contains(&row));
            // A span of its own above it is the client's, but for a watcher's.
            let trace_id = node.call.trace_id;
            let mut above = self.https.ancestors(trace_id, node.call.parent_span_id);
            let descends = above.any(|span_id| {
                let span = SpanRef { trace_id, span_id };
                of.is_some_and(|of| of.spans.contains(&span)) && !self.watchers.has_span(span)
            });
            if was_sent || descends || senders.any(|sender| sets.find(sender) == cluster) {
                clusters.insert(cluster);
            }
        }
        let servers = servers.iter().enumerate();
        let with = servers.filter(|(_, server)| clusters.contains(&sets.find(server.index)));
        with.map(|(at, _)| at).collect()
    }
}

/// How the client's span is related to the server's; by less than the tree of spans only where that `is_free`.
fn link(client: &Node, server: &Node, is_free: bool, https: &Https<'_>) -> Option<Link> {
    let (c, s) = (&client.call, &server.call);
    if !same_request(c, s) {
        return None;
    }
    let outgoing =
        client.is_child_of(server) || (c.origin.same_service(&s.origin) && encloses(s, c) && !encloses(c, s));
    // Where neither is kept in parts any more, whether the server has its client is not known any more either.
    let is_whole = |node: &Node| node.row.is_some() && node.part.is_none();
    if descends(server, client, https) {
        Some(Link::Parent)
    } else if outgoing || !is_free || (is_whole(client) && is_whole(server)) {
        // The server's own request to another, or its answer to another client.
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
