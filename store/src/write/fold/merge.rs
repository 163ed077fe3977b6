//! Many views of one request, made one call.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{Call, LogLine, Origin, Part, Source, SpanKind, SpanRef, Vantage};

use super::cluster::{Clusters, Member, Node};
use super::join::give_back;
use super::parts::PartOf;
use super::views::{fill, fill_body, seen_from};
use super::watched::{Watcher, is_watcher};
use super::{Target, View, Whole};

/// What is above the client's views of a request: the span, and the service.
type Above = Vec<(SpanRef, Arc<Origin>)>;

/// A request, merged: the node holds the call as it is now.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) node: Node,
    /// Other rows that turned out to be part of it.
    pub(super) rows: Vec<i64>,
    /// Whether it is no request at all.
    pub(super) void: bool,
    /// What is above the client's views that were folded into it.
    pub(super) above: Above,
    /// The watchers whose views were folded into it now.
    pub(super) watchers: Vec<Watcher>,
    /// Where its views are one request only as far as is known: what is surely one, the first being the best.
    pub(super) parts: Vec<Node>,
    /// The parts of stored calls that are part of it.
    pub(super) of: Vec<PartOf>,
    /// Whether it is a stored call, put together from its parts as before.
    pub(super) is_unchanged: bool,
    /// Whether details of a call that it was are there and cannot be read.
    pub(super) is_unread: bool,
}

impl Merged {
    fn new(node: Node) -> Self {
        Self {
            of: node.part.into_iter().collect(),
            node,
            rows: Vec::new(),
            void: false,
            above: Vec::new(),
            watchers: Vec::new(),
            parts: Vec::new(),
            is_unchanged: false,
            is_unread: false,
        }
    }
}

/// How well a span tells of the request: server before gateway before client, then what has an end, best its own, then
/// the server itself before who watches it, then SERVER spans, then the outermost.
fn rank(call: &Call) -> (Vantage, bool, bool, bool, bool, i64, Reverse<i64>) {
    (
        seen_from(call),
        !call.evidence.open,
        call.has_own_end(),
        !is_watcher(call),
        call.kind == SpanKind::Server,
        call.duration_nanos,
        Reverse(call.started_at.0),
    )
}

/// Merges each cluster. Of calls that are not `wanted` the details are not here; those whose details are `unread` cannot change.
pub(super) fn merge(
    clusters: Clusters,
    views: &[View],
    wanted: &HashSet<i64>,
    unread: &HashSet<i64>,
) -> Vec<Merged> {
    let mut above: HashMap<i64, Above> = HashMap::new();
    for view in views {
        let of_row = above.entry(view.row).or_default();
        of_row.push((view.above, Arc::clone(&view.origin)));
    }
    let mut merged: Vec<Merged> = clusters
        .into_groups()
        .into_iter()
        .filter_map(|group| merge_group(group, &above, wanted))
        .collect();
    for merged in &mut merged {
        let of_parts = merged.of.iter().map(|part| part.row);
        let is_unread = merged.rows().chain(of_parts).any(|row| unread.contains(&row));
        merged.is_unread = is_unread;
    }
    merged
}

/// Whether it is no span, but the word that a process is silent. Only this store says so, of calls that it has.
fn is_silence(node: &Node) -> bool {
    // A sender that says so of a call of its own says why, in an attribute.
    let is_lost = node.call.evidence.open && node.call.evidence.lost;
    node.stored().is_none() && is_lost && node.call.attributes.is_empty()
}

/// Merges a cluster. Of stored calls that become parts it is given by row what is `above` their clients' views.
fn merge_group(group: Vec<Member>, above: &HashMap<i64, Above>, wanted: &HashSet<i64>) -> Option<Merged> {
    if group.iter().all(|member| is_silence(&member.node)) {
        // That call was deleted meanwhile.
        return None;
    }
    if let [Member { inner: false, .. }] = group.as_slice() {
        let Member { mut node, .. } = group.into_iter().next()?;
        // A stored one is remembered already.
        let new = node.stored().is_none().then(|| Watcher::of(&node.call));
        let above = std::mem::take(&mut node.above);
        return Some(Merged {
            watchers: new.flatten().into_iter().collect(),
            above,
            ..Merged::new(node)
        });
    }
    if is_unchanged(&group, wanted) {
        return put_together_again(group);
    }
    let of: Vec<PartOf> = group.iter().filter_map(|member| member.node.part).collect();
    let (mut inner, mut views): (Vec<_>, Vec<_>) = group.into_iter().partition(|member| member.inner);
    let void = views.is_empty();
    if void {
        views.push(inner.pop()?);
    }
    // A stored call among equals stays as it is, so it sorts before what is new.
    views.sort_by_key(|Member { node, .. }| {
        let rank = Reverse(rank(&node.call));
        (is_silence(node), rank, node.row.is_none(), node.row)
    });
    let parts = parts(&views, &inner, above);
    let views: Vec<Node> = views.into_iter().map(|member| member.node).collect();

    // The identity is that of the first row, so that an id once given stays; but for what a watcher told in a trace of its
    // own, since all else about the request is in the server's.
    let mut stored: Vec<(i64, Box<Whole>)> = views
        .iter()
        .filter_map(|node| Some((node.row?, node.before.clone()?)))
        .collect();
    let (mut primary, above, watchers) = put_together(views)?;
    let is_apart = |before: &Whole| before.call.trace_id != primary.call.trace_id;
    stored.sort_by_key(|(row, before)| (is_apart(before), *row));
    let mut stored = stored.into_iter().peekable();
    let (row, before) = stored.next_if(|(_, before)| !is_apart(before)).unzip();
    let mut rows: Vec<i64> = stored.map(|(row, _)| row).collect();
    for step in inner {
        primary.spans.extend(step.node.spans);
        rows.extend(step.node.row);
    }
    if let Some(before) = &before {
        primary.call.trace_id = before.call.trace_id;
        primary.call.span_id = before.call.span_id;
        primary.call.received_at = before.call.received_at;
    }
    primary.row = row;
    primary.before = before;
    let mut merged = Merged {
        rows,
        void,
        above,
        watchers,
        parts,
        ..Merged::new(primary)
    };
    merged.above.retain(|(span, _)| !merged.node.spans.contains(span));
    merged.of = of;
    Some(merged)
}

/// Whether a cluster is all parts of one stored call and nothing else, and its details do not matter.
fn is_unchanged(group: &[Member], wanted: &HashSet<i64>) -> bool {
    let parts = || group.iter().map(|member| member.node.part);
    let Some(Some(first)) = parts().next() else {
        return false;
    };
    let all = first.of == group.len() && parts().all(|part| part.is_some_and(|part| part.row == first.row));
    all && !wanted.contains(&first.row)
}

/// A stored call as it is, from all its parts.
fn put_together_again(group: Vec<Member>) -> Option<Merged> {
    let mut parts: Vec<Node> = group.into_iter().map(|member| member.node).collect();
    parts.sort_by_key(|node| node.part.map(|part| part.place));
    let of = parts.iter().filter_map(|node| node.part).collect();
    let holder = parts.iter_mut().find(|node| node.row.is_some())?;
    let (row, before) = (holder.row.take(), holder.before.take()?);
    let mut node = Node::of_span(before.call.clone());
    node.call.session.take_if(|session| session.source.is_derived());
    node.spans = parts.iter().flat_map(|part| part.spans.iter().copied()).collect();
    node.is_watched = parts.iter().any(|part| part.is_watched);
    (node.row, node.before, node.detailed) = (row, Some(before), false);
    let is_clients = node.call.vantage == Vantage::Client;
    let above = parts.iter().flat_map(|part| {
        let own = view_above(part).filter(|_| !is_clients);
        part.above.iter().cloned().chain(own)
    });
    let above = above.filter(|(span, _)| !node.spans.contains(span)).collect();
    Some(Merged {
        above,
        parts,
        of,
        is_unchanged: true,
        ..Merged::new(node)
    })
}

/// What is above a client's view.
fn view_above(view: &Node) -> Option<(SpanRef, Arc<Origin>)> {
    let parent = view.parent().filter(|_| view.call.vantage == Vantage::Client)?;
    Some((parent, Arc::clone(&view.call.origin)))
}

/// What is surely one request of these views, the best first, with the steps inside. Nothing where all are.
fn parts(views: &[Member], inner: &[Member], above: &HashMap<i64, Above>) -> Vec<Node> {
    let mut sure: Vec<usize> = Vec::new();
    for view in views {
        if !sure.contains(&view.sure) {
            sure.push(view.sure);
        }
    }
    if sure.len() < 2 {
        return Vec::new();
    }
    let part = |sure: usize| {
        let of_part = views.iter().filter(|view| view.sure == sure);
        let mut of_part: Vec<Node> = of_part.map(|view| view.node.clone()).collect();
        for node in of_part.iter_mut().filter(|node| node.part.is_none()) {
            let stored = node.row.and_then(|row| above.get(&row));
            node.above.extend(stored.into_iter().flatten().cloned());
        }
        if let [node] = of_part.as_mut_slice() {
            let steps = inner.iter().filter(|step| step.sure == sure);
            node.spans
                .extend(steps.flat_map(|step| step.node.spans.iter().copied()));
            return of_part.pop();
        }
        let (mut node, above, _) = put_together(of_part)?;
        let steps = inner.iter().filter(|step| step.sure == sure);
        node.spans
            .extend(steps.flat_map(|step| step.node.spans.iter().copied()));
        node.above = above;
        Some(node)
    };
    sure.into_iter().filter_map(part).collect()
}

/// Puts views, the best first, into that one. Gives what is above the client's views among them, and the watchers.
fn put_together(mut views: Vec<Node>) -> Option<(Node, Above, Vec<Watcher>)> {
    let watchers = tell_apart(&mut views);
    let hands_on =
        |node: &Node| node.call.vantage == Vantage::Gateway && seen_from(&node.call) == Vantage::Server;
    let is_gateway = views.iter().any(hands_on);
    let mut views = views.into_iter();
    let mut primary = views.next()?;
    let mut above = std::mem::take(&mut primary.above);
    for view in views {
        if primary.call.vantage != Vantage::Client {
            above.extend(view_above(&view));
        }
        above.extend(view.above);
        let Node { bodies, call, .. } = &mut primary;
        fill_body(
            Part::Request,
            call,
            &mut bodies.request,
            view.bodies.request,
            &view.call,
        );
        fill_body(
            Part::Response,
            call,
            &mut bodies.response,
            view.bodies.response,
            &view.call,
        );
        fill(&mut primary.call, view.call);
        primary.spans.extend(view.spans);
        primary.links.extend(view.links);
        primary.is_watched |= view.is_watched;
    }
    if is_gateway && primary.call.vantage == Vantage::Server {
        primary.call.vantage = Vantage::Gateway;
    }
    Some((primary, above, watchers))
}

/// Of the views of a request, the best first, finds those of watchers. The address of the client is theirs to tell: the server
/// sees that of the proxy. What HTTP spans lent them is not the server's, and neither is their name for it where its own
/// telemetry has one.
fn tell_apart(views: &mut [Node]) -> Vec<Watcher> {
    let watchers: Vec<Watcher> = views.iter().filter_map(|node| Watcher::of(&node.call)).collect();
    let told = views.first().filter(|primary| !is_watcher(&primary.call));
    let is_told = told.is_some();
    let is_named =
        told.is_some_and(|Node { call, .. }| call.server.is_some() || call.origin.service.is_some());
    if watchers.is_empty() && !views.iter().any(|node| node.is_watched) {
        return watchers;
    }
    for node in views {
        let call = &mut node.call;
        if is_watcher(call) {
            if is_told {
                give_back(call);
                name_by_watcher(call, is_named);
            }
        } else if !node.is_watched && call.evidence.sources.of(Part::ClientIp) == Source::Server {
            call.evidence.sources.set(Part::ClientIp, Source::ServerInside);
        }
    }
    watchers
}

/// The name that a watcher's view gives to a server whose own telemetry tells of the request: none where that `is_named`.
fn name_by_watcher(view: &mut Call, is_named: bool) {
    view.server = if is_named {
        None
    } else {
        view.server.take().or_else(|| view.origin.service.clone())
    };
    view.evidence.sources.set(Part::Server, Source::Gateway);
}

impl Merged {
    /// The rows of the stored calls that are it, or part of it.
    pub(super) fn rows(&self) -> impl Iterator<Item = i64> + '_ {
        self.node.row.into_iter().chain(self.rows.iter().copied())
    }

    /// What changes about it refer to. Counts new calls in the order in which they are written down.
    pub(super) fn target(&self, added: &mut usize) -> Option<Target> {
        match self.node.row {
            _ if self.void => None,
            Some(row) => Some(Target::Known(row)),
            None if self.is_unread => None,
            None => {
                *added += 1;
                Some(Target::Added(*added - 1))
            }
        }
    }

    /// The part that a line is of: the one whose span it names, else the first.
    pub(super) fn part_of(&mut self, line: &LogLine) -> Option<&mut Node> {
        let named = line.span_id.map(|span_id| SpanRef {
            trace_id: line.trace_id,
            span_id,
        });
        let place = self
            .parts
            .iter()
            .position(|part| named.is_some_and(|span| part.spans.contains(&span)));
        self.parts.get_mut(place.unwrap_or_default())
    }
}
