//! Spans that look like requests and are steps inside one: what some libraries emit while they handle another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use mcptap_model::{Call, SpanRef, Vantage, semconv};

use super::cluster::{Clusters, Node, Places, Sets};
use super::effort::Effort;
use super::https::Https;
use super::relate::{SLACK_NANOS, agree};

/// How long before a tool call a library may list its tools for its own use, in nanoseconds. It does so within the
/// same process (at most 5.2 ms were seen); a client that lists and then calls needs a way there and back.
pub(super) const PAIRING_NANOS: i64 = 6_000_000;
/// How long such a list may last, in nanoseconds: that far back it is looked for.
pub(super) const LISTING_NANOS: i64 = 500_000_000;
/// A gateway's own list ends when less than this share (in percent) of its HTTP request has passed.
const EARLY_PERCENT: i64 = 40;
/// The scope of the library that lists its tools before a call, as a request of its own.
const LISTS_BEFORE_CALLS: &str = "fastmcp";
/// A scope whose spans stand around those of that library.
const WRAPS_CALLS: &str = "opentelemetry.util.genai";
/// The attribute that the library's spans carry since version 4.
const VERSION_4: &str = "fastmcp.span.seam";
/// The scope of the gateway that lists tools, resources and templates while it handles something else.
pub(super) const LISTS_INSTEAD: &str = "mcp-gateway";

/// Whether the fate of a span may be decided by others outside its trace.
pub(super) fn looks_around(call: &Call) -> bool {
    let wraps = || call.method == "tools/call" && call.origin.scope.starts_with(WRAPS_CALLS);
    is_own_list(call) || lists_first(call) || wraps()
}

/// A list that the library may have made for itself.
fn is_own_list(call: &Call) -> bool {
    call.origin.scope == LISTS_BEFORE_CALLS
        && call.method == "tools/list"
        && call.vantage != Vantage::Client
        && !call.evidence.failed
}

/// A call before which the library lists its tools for itself: version 4 on protocol 2026-07-28, version 3 for tools
/// that it does not know. A span just read is asked; what is stored remembers.
pub(super) fn lists_first(call: &Call) -> bool {
    let modern = call.protocol_version.as_deref() == Some("2026-07-28");
    let unknown_tool = || {
        let version_3 = call.protocol_version.is_none() && !call.attributes.contains_key(VERSION_4);
        let kind = call.error_type.as_deref();
        version_3 && kind.is_some_and(|kind| kind.ends_with("NotFoundError"))
    };
    call.origin.scope == LISTS_BEFORE_CALLS
        && call.method == "tools/call"
        && call.vantage != Vantage::Client
        && (modern || unknown_tool())
}

/// Pairs each such call with the nearest list right before it, whatever its trace: that list is no request. A list
/// that a client asked for stands further away, before the library's own. A call has one such list, ever.
pub(super) fn pair_lists(clusters: &mut Clusters, effort: &Effort) {
    let (nodes, sets) = clusters.split();
    if !nodes.iter().any(|node| is_own_list(&node.call)) {
        return;
    }
    let mut lists: BTreeMap<(i64, Reverse<usize>), Vec<usize>> = BTreeMap::new();
    let mut calls: Vec<(i64, Vec<usize>)> = Vec::new();
    for members in sets.groups() {
        let of_server: Vec<usize> = members
            .iter()
            .copied()
            .filter(|index| !sets.is_inner(*index) && !is_clients(nodes, *index))
            .collect();
        let any = |holds: fn(&Call) -> bool| {
            let mut nodes = of_server.iter().filter_map(|index| nodes.get(*index));
            nodes.any(|node| holds(&node.call))
        };
        if any(|call| call.evidence.lists_first) {
            let starts = of_server.iter().filter_map(|index| nodes.get(*index));
            let start = starts.map(|node| node.call.started_at.0).min();
            calls.extend(
                start
                    .filter(|_| !any(|call| call.evidence.listed))
                    .map(|start| (start, of_server)),
            );
        // A list that a client's span asked for is a request.
        } else if of_server.len() == members.len()
            && any(is_own_list)
            && let Some((first, list)) = of_server
                .iter()
                .filter_map(|index| Some((*index, nodes.get(*index)?)))
                .find(|(_, node)| node.call.has_own_end())
        {
            lists.insert((list.call.ended_at().0, Reverse(first)), of_server);
        }
    }
    calls.sort_unstable();
    let mut listed = Vec::new();
    for (start, members) in calls {
        let Some(call) = members.first() else { continue };
        let earliest = (start.saturating_sub(PAIRING_NANOS), Reverse(usize::MAX));
        // The nearest first.
        let before = lists.range(earliest..=(start, Reverse(0))).rev();
        let nearest = effort
            .bounded(before)
            .find(|((_, Reverse(first)), _)| {
                nodes
                    .get(*first)
                    .is_some_and(|list| may_be_of(list, &members, nodes))
            })
            .map(|(key, _)| *key);
        if let Some(list) = nearest.and_then(|key| lists.remove(&key)) {
            for step in list {
                sets.mark_inner(step);
                sets.join(step, *call);
            }
            listed.push(*call);
        }
    }
    clusters.mark_listed(&listed);
}

fn is_clients(nodes: &[Node], index: usize) -> bool {
    nodes
        .get(index)
        .is_some_and(|node| node.call.vantage == Vantage::Client)
}

/// Whether nothing that both say speaks against a list being a step of the request that these spans tell of. The
/// library may not have read the caller's context yet when it lists; where it has one, it is the request's.
fn may_be_of(list: &Node, members: &[usize], nodes: &[Node]) -> bool {
    let nodes = || members.iter().filter_map(|index| nodes.get(*index));
    let same_parent = list.call.parent_span_id.is_none()
        || nodes().any(|node| node.call.parent_span_id == list.call.parent_span_id);
    same_parent
        && nodes().all(|node| {
            list.call.origin.same_service(&node.call.origin)
                && agree(list.call.request_id.as_deref(), node.call.request_id.as_deref())
                && agree(list.call.session_id.as_deref(), node.call.session_id.as_deref())
        })
}

/// Requests of a gateway that are no lists, by the span above them and their service.
type Handled<'a> = HashMap<(SpanRef, Option<&'a str>), Vec<usize>>;

/// Finds steps among the spans of one trace: below a request of the same service (or a client's view of one) but with
/// another method, or a gateway's own lists.
pub(super) fn find_nested(
    (nodes, sets): (&[Node], &mut Sets),
    places: &Places,
    https: &Https<'_>,
    effort: &Effort,
) {
    let handled = handled(nodes);
    for (index, node) in nodes.iter().enumerate() {
        // What a server asks of its client while it handles a request is a request of its own.
        let is_own = semconv::SERVER_INITIATED.contains(&node.call.method.as_str());
        if sets.is_inner(index) || node.call.vantage == Vantage::Client || is_own {
            continue;
        }
        let Some(parent) = node.parent() else { continue };
        let beside = handled
            .get(&(parent, node.call.origin.service.as_deref()))
            .filter(|_| lists_instead(node))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let around = effort
            .bounded(places.with_span(parent).iter())
            .chain(effort.bounded(beside.iter()))
            .copied()
            .filter(|other| *other != index && !sets.is_inner(*other))
            .filter(|other| {
                nodes.get(*other).is_some_and(|other| {
                    let another_method = other.call.method != node.call.method;
                    another_method && (is_step_of(node, other) || is_listing_beside(node, other))
                })
            })
            .min();
        if let Some(around) = around {
            sets.mark_inner(index);
            sets.join(index, around);
        } else if lists_early(node, https) {
            sets.mark_inner(index);
        }
    }
}

/// Where a gateway lists instead, what it handled by parent. Nothing where no gateway does.
fn handled(nodes: &[Node]) -> Handled<'_> {
    let mut handled = Handled::new();
    if !nodes.iter().any(lists_instead) {
        return handled;
    }
    for (index, node) in nodes.iter().enumerate() {
        if let Some(parent) = node.parent().filter(|_| !node.call.method.ends_with("/list")) {
            let key = (parent, node.call.origin.service.as_deref());
            handled.entry(key).or_default().push(index);
        }
    }
    handled
}

fn lists_instead(node: &Node) -> bool {
    node.call.origin.scope == LISTS_INSTEAD && node.call.method.ends_with("/list")
}

/// A span right below a request's, begun while that lasted: some libraries hang all that follows below one that ended
/// long ago.
fn is_step_of(node: &Node, other: &Node) -> bool {
    let end = if other.call.has_own_end() {
        other.call.ended_at()
    } else {
        other.call.started_at
    };
    let began_inside = node.call.started_at.0 <= end.0.saturating_add(SLACK_NANOS);
    let handled_by =
        other.call.vantage == Vantage::Client || other.call.origin.same_service(&node.call.origin);
    node.is_child_of(other) && handled_by && began_inside
}

/// A gateway's list under the same HTTP request as another call.
fn is_listing_beside(node: &Node, other: &Node) -> bool {
    lists_instead(node)
        && node.call.parent_span_id.is_some()
        && node.parent() == other.parent()
        && node.call.origin.same_service(&other.call.origin)
        && !other.call.method.ends_with("/list")
}

/// A gateway's list that ends early in its HTTP request: the request was about something that has no span.
fn lists_early(node: &Node, https: &Https<'_>) -> bool {
    if !lists_instead(node) || !node.call.has_own_end() {
        return false;
    }
    let around = node.parent().and_then(|parent| https.get(parent));
    around.is_some_and(|http| {
        let whole = http.ended_at.since(http.started_at);
        let passed = node.call.ended_at().since(http.started_at);
        passed.saturating_mul(100) < whole.saturating_mul(EARLY_PERCENT)
    })
}
