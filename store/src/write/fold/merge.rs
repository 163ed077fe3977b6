//! Many views of one request, made one call.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{Call, Origin, Part, Source, SpanKind, SpanRef, Vantage};

use super::cluster::{Clusters, Node};
use super::https::Https;
use super::join::{give_back, is_loopback};
use super::views::{fill, fill_body, seen_from};
use super::watched::{Watcher, is_watcher};
use super::{Changes, Target, Whole};
use crate::read::visits::{client_of, is_in_place};

/// A request, merged: the node holds the call as it is now.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) node: Node,
    /// Other rows that turned out to be part of it.
    rows: Vec<i64>,
    /// Whether it is no request at all.
    pub(super) void: bool,
    /// The parents of the client's views that were folded into it: the span, and the service.
    pub(super) above: Vec<(SpanRef, Arc<Origin>)>,
    /// The watchers whose views were folded into it now.
    watchers: Vec<Watcher>,
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

/// Merges each cluster.
pub(super) fn merge(clusters: Clusters) -> Vec<Merged> {
    clusters
        .into_groups()
        .into_iter()
        .filter_map(merge_group)
        .collect()
}

/// Whether it is no span, but the word that a process is silent. Only this store says so, of calls that it has.
fn is_silence(node: &Node) -> bool {
    // A sender that says so of a call of its own says why, in an attribute.
    let is_lost = node.call.evidence.open && node.call.evidence.lost;
    node.row.is_none() && is_lost && node.call.attributes.is_empty()
}

fn merge_group(group: Vec<(Node, bool)>) -> Option<Merged> {
    if group.iter().all(|(node, _)| is_silence(node)) {
        // That call was deleted meanwhile.
        return None;
    }
    if let [(_, false)] = group.as_slice() {
        let (node, _) = group.into_iter().next()?;
        // A stored one is remembered already.
        let new = node.row.is_none().then(|| Watcher::of(&node.call));
        return Some(Merged {
            watchers: new.flatten().into_iter().collect(),
            node,
            rows: Vec::new(),
            void: false,
            above: Vec::new(),
        });
    }
    let (inner, mut views): (Vec<_>, Vec<_>) = group.into_iter().partition(|(_, inner)| *inner);
    let void = views.is_empty();
    let mut inner: Vec<Node> = inner.into_iter().map(|(node, _)| node).collect();
    if void {
        views.push((inner.pop()?, false));
    }
    // A stored call among equals stays as it is, so it sorts before what is new.
    views.sort_by_key(|(node, _)| {
        let rank = Reverse(rank(&node.call));
        (is_silence(node), rank, node.row.is_none(), node.row)
    });
    let mut views: Vec<Node> = views.into_iter().map(|(node, _)| node).collect();
    let watchers = tell_apart(&mut views);
    let mut views = views.into_iter();
    let mut primary = views.next()?;
    let views: Vec<Node> = views.collect();

    // The identity is that of the first row, so that an id once given stays; but for what a watcher told in a trace of its
    // own, since all else about the request is in the server's.
    let mut stored: Vec<(i64, Box<Whole>)> = std::iter::once(&primary)
        .chain(&views)
        .filter_map(|node| Some((node.row?, node.before.clone()?)))
        .collect();
    let is_apart = |before: &Whole| before.call.trace_id != primary.call.trace_id;
    stored.sort_by_key(|(row, before)| (is_apart(before), *row));
    let mut stored = stored.into_iter().peekable();
    let (row, before) = stored.next_if(|(_, before)| !is_apart(before)).unzip();
    let mut rows: Vec<i64> = stored.map(|(row, _)| row).collect();
    let mut above = Vec::new();
    for view in views {
        if view.call.vantage == Vantage::Client && primary.call.vantage != Vantage::Client {
            let parent = view.call.parent_span_id.map(|span_id| SpanRef {
                trace_id: view.call.trace_id,
                span_id,
            });
            above.extend(parent.map(|parent| (parent, Arc::clone(&view.call.origin))));
        }
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
    }
    for step in inner {
        primary.spans.extend(step.spans);
        rows.extend(step.row);
    }
    if let Some(before) = &before {
        primary.call.trace_id = before.call.trace_id;
        primary.call.span_id = before.call.span_id;
        primary.call.received_at = before.call.received_at;
        if before.call.vantage == Vantage::Gateway && primary.call.vantage == Vantage::Server {
            primary.call.vantage = Vantage::Gateway;
        }
    }
    primary.row = row;
    primary.before = before;
    above.retain(|(span, _)| !primary.spans.contains(span));
    Some(Merged {
        node: primary,
        rows,
        void,
        above,
        watchers,
    })
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

/// Unknown parts have no source, so that calls that say the same are equal.
fn forget_sources_of_nothing(whole: &mut Whole, detailed: bool) {
    let Whole { call, bodies } = whole;
    let lent_address = call.evidence.sources.of(Part::ClientIp) >= Source::Http;
    let known = [
        (Part::Server, call.server.is_some()),
        (Part::Tool, call.tool.is_some()),
        (Part::Prompt, call.prompt.is_some()),
        (Part::ResourceUri, call.resource_uri.is_some()),
        (Part::HttpStatus, call.http_status.is_some()),
        (Part::RequestId, call.request_id.is_some()),
        (Part::ProtocolVersion, call.protocol_version.is_some()),
        (Part::Transport, call.transport.is_some()),
        (Part::ClientName, call.client_name.is_some()),
        (Part::ClientVersion, call.client_version.is_some()),
        // No view's word for the machine's own address is better than another's.
        (
            Part::ClientIp,
            call.client_ip
                .as_deref()
                .is_some_and(|address| lent_address || !is_loopback(address)),
        ),
        (Part::Country, call.country.is_some()),
        (Part::Authorization, call.authorization.is_some()),
        (Part::UserAgent, call.user_agent.is_some()),
        // A derived session comes from no span.
        (
            Part::Session,
            call.session_id.is_some()
                || call
                    .session
                    .as_ref()
                    .is_some_and(|session| !session.source.is_derived()),
        ),
        // Bodies that were not read are as they are stored.
        (Part::Request, !detailed || bodies.request.is_some()),
        (Part::Response, !detailed || bodies.response.is_some()),
    ];
    for (part, _) in known.into_iter().filter(|(_, known)| !known) {
        call.evidence.sources.set(part, Source::Server);
    }
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
            None => {
                *added += 1;
                Some(Target::Added(*added - 1))
            }
        }
    }
}

/// Writes down what changed.
pub(super) fn collect(
    merged: Vec<Merged>,
    https: &Https<'_>,
    aliases: &HashMap<SpanRef, Option<i64>>,
    unread: &HashSet<i64>,
    changes: &mut Changes,
) {
    let mut added = 0;
    for merged in merged {
        let target = merged.target(&mut added);
        if merged.rows().any(|row| unread.contains(&row)) {
            // To write it anew would lose what cannot be read.
            continue;
        }
        let Merged {
            node,
            rows,
            void,
            above,
            watchers,
        } = merged;
        changes.removed.extend(rows.iter().map(|row| (*row, target)));
        if void {
            changes.removed.extend(node.row.map(|row| (row, None)));
        }
        let first = SpanRef {
            trace_id: node.call.trace_id,
            span_id: node.call.span_id,
        };
        // Spans that are known to be part of that row need not be remembered again.
        let known = |span: &SpanRef| {
            let row = match target {
                Some(Target::Known(row)) => Some(row),
                Some(Target::Added(_)) => return false,
                None => None,
            };
            aliases.get(span) == Some(&row)
        };
        let others = node.spans.iter().filter(|span| void || **span != first);
        let new = others.filter(|span| !known(span));
        changes.aliases.extend(new.map(|span| (*span, target)));
        let Some(target) = target else { continue };
        let links: BTreeSet<SpanRef> = node.links.into_iter().collect();
        for link in links {
            if https.get(link).is_none() {
                changes.waiting_links.push((link, target));
            } else if link.trace_id != first.trace_id {
                changes.joined_links.push((link, target));
            }
        }
        changes
            .waiting_views
            .extend(above.into_iter().map(|(span, origin)| (span, origin, target)));
        let is_own =
            |watcher: &Watcher| is_watcher(&node.call) && watcher.span.span_id == node.call.primary_span_id;
        // One that is the call itself is found in its trace without that.
        let watchers = watchers
            .into_iter()
            .map(|watcher| (is_own(&watcher), watcher))
            .filter(|(is_own, watcher)| !is_own || watcher.key().is_some());
        changes
            .waiting_watchers
            .extend(watchers.map(|(is_own, watcher)| (watcher, target, !is_own)));
        let mut whole = Whole {
            call: node.call,
            bodies: node.bodies,
        };
        forget_sources_of_nothing(&mut whole, node.detailed);
        match node.before {
            Some(before) if *before != whole => {
                changes.moved.extend(left_visits(&before.call, &whole.call));
                changes.undetailed.extend(node.row.filter(|_| !node.detailed));
                changes.completed.extend(node.row.map(|row| (row, whole)));
            }
            Some(_) => {}
            None => changes.added.push(whole),
        }
    }
}

/// The client (server, key) in whose visits a stored call is not any more as it was.
fn left_visits(before: &Call, now: &Call) -> Option<(String, String)> {
    let client = client_of(before).filter(|_| !is_in_place(before, now))?;
    Some((before.server_name().to_owned(), client.to_owned()))
}
