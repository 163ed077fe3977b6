//! Spans that look like requests and are steps inside one: what some libraries emit while they handle another.

use mcptap_model::{Call, HttpSpan, Vantage};

use super::cluster::{Clusters, Node};
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
/// What the library's spans carry since version 4.
const VERSION_4: &str = "fastmcp.span.seam";
/// The scope of the gateway that lists tools, resources and templates while it handles something else.
const LISTS_INSTEAD: &str = "mcp-gateway";

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
pub(super) fn pair_lists(clusters: &mut Clusters) {
    let is_list = |(_, node): &(usize, &Node)| is_own_list(&node.call);
    if !clusters.nodes().any(|node| is_list(&node)) {
        return;
    }
    let mut lists: Vec<Vec<usize>> = Vec::new();
    let mut calls: Vec<(i64, Vec<usize>)> = Vec::new();
    for members in clusters.groups() {
        let of_server: Vec<usize> = members
            .iter()
            .copied()
            .filter(|index| !clusters.is_inner(*index) && !is_clients(clusters, *index))
            .collect();
        let any = |holds: fn(&Call) -> bool| {
            let mut nodes = of_server.iter().filter_map(|index| clusters.node(*index));
            nodes.any(|node| holds(&node.call))
        };
        if any(|call| call.evidence.lists_first) {
            let starts = of_server.iter().filter_map(|index| clusters.node(*index));
            let start = starts.map(|node| node.call.started_at.0).min();
            calls.extend(
                start
                    .filter(|_| !any(|call| call.evidence.listed))
                    .map(|start| (start, of_server)),
            );
        // A list that a client's span asked for is a request.
        } else if of_server.len() == members.len() && any(is_own_list) {
            lists.push(of_server);
        }
    }
    calls.sort_unstable();
    for (start, members) in calls {
        let gap = |list: &Node| start.saturating_sub(list.call.ended_at().0);
        let before = lists
            .iter()
            .enumerate()
            .filter_map(|(at, list)| Some((at, clusters.node(*list.first()?)?)))
            .filter(|(_, list)| {
                (0..=PAIRING_NANOS).contains(&gap(list)) && may_be_of(list, &members, clusters)
            });
        let nearest = before.min_by_key(|(_, list)| gap(list)).map(|(at, _)| at);
        if let (Some(at), Some(call)) = (nearest, members.first()) {
            for list in lists.swap_remove(at) {
                clusters.mark_inner(list);
                clusters.join(list, *call);
            }
            clusters.mark_listed(*call);
        }
    }
}

fn is_clients(clusters: &Clusters, index: usize) -> bool {
    clusters
        .node(index)
        .is_some_and(|node| node.call.vantage == Vantage::Client)
}

/// Whether nothing that both say speaks against a list being a step of the request that these spans tell of. The
/// library may not have read the caller's context yet when it lists; where it has one, it is the request's.
fn may_be_of(list: &Node, members: &[usize], clusters: &Clusters) -> bool {
    let nodes = || members.iter().filter_map(|index| clusters.node(*index));
    let same_parent = list.call.parent_span_id.is_none()
        || nodes().any(|node| node.call.parent_span_id == list.call.parent_span_id);
    same_parent
        && nodes().all(|node| {
            list.call.origin.same_service(&node.call.origin)
                && agree(list.call.request_id.as_deref(), node.call.request_id.as_deref())
                && agree(list.call.session_id.as_deref(), node.call.session_id.as_deref())
        })
}

/// Finds steps among the spans of one trace: below a request of the same service (or a client's view of one) but with
/// another method, or a gateway's own lists.
pub(super) fn find_nested(clusters: &mut Clusters, members: &[usize], https: &[HttpSpan]) {
    for &index in members {
        let Some(node) = clusters.node(index) else {
            continue;
        };
        if clusters.is_inner(index) || node.call.vantage == Vantage::Client {
            continue;
        }
        let others = members
            .iter()
            .copied()
            .filter(|other| *other != index && !clusters.is_inner(*other));
        let mut others = others.filter_map(|other| Some((other, clusters.node(other)?)));
        let around = others.find(|(_, other)| {
            let another_method = other.call.method != node.call.method;
            another_method && (is_step_of(node, other) || is_listing_beside(node, other))
        });
        let around = around.map(|(other, _)| other);
        if let Some(around) = around {
            clusters.mark_inner(index);
            clusters.join(index, around);
        } else if lists_early(node, https) {
            clusters.mark_inner(index);
        }
    }
}

/// A span right below a request's, begun while that lasted: some libraries hang all that follows below one that ended
/// long ago.
fn is_step_of(node: &Node, other: &Node) -> bool {
    let began_inside = node.call.started_at.0 <= other.call.ended_at().0.saturating_add(SLACK_NANOS);
    let handled_by =
        other.call.vantage == Vantage::Client || other.call.origin.same_service(&node.call.origin);
    node.is_child_of(other) && handled_by && began_inside
}

/// A gateway's list under the same HTTP request as another call.
fn is_listing_beside(node: &Node, other: &Node) -> bool {
    node.call.origin.scope == LISTS_INSTEAD
        && node.call.method.ends_with("/list")
        && node.call.parent_span_id.is_some()
        && node.call.parent_span_id == other.call.parent_span_id
        && node.call.origin.same_service(&other.call.origin)
        && !other.call.method.ends_with("/list")
}

/// A gateway's list that ends early in its HTTP request: the request was about something that has no span.
fn lists_early(node: &Node, https: &[HttpSpan]) -> bool {
    let call = &node.call;
    if call.origin.scope != LISTS_INSTEAD || !call.method.ends_with("/list") {
        return false;
    }
    let around = https
        .iter()
        .find(|http| Some(http.span_id) == call.parent_span_id);
    around.is_some_and(|http| {
        let whole = http.ended_at.since(http.started_at);
        let passed = call.ended_at().since(http.started_at);
        passed.saturating_mul(100) < whole.saturating_mul(EARLY_PERCENT)
    })
}
