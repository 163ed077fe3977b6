//! Spans that look like requests and are steps inside one: what some libraries emit while they handle another.

use mcptap_model::{Call, HttpSpan, Vantage};

use super::cluster::{Clusters, Node};

/// How long before a tool call a library may list its tools for its own use, in nanoseconds.
pub(super) const PAIRING_NANOS: i64 = 25_000_000;
/// A gateway's own list ends when less than this share (in percent) of its HTTP request has passed.
const EARLY_PERCENT: i64 = 40;
/// The scope of the library that lists its tools before a call, as a request of its own.
const LISTS_BEFORE_CALLS: &str = "fastmcp";
/// The scope of the gateway that lists tools, resources and templates while it handles something else.
const LISTS_INSTEAD: &str = "mcp-gateway";

/// Whether the fate of a span may be decided by others outside its trace.
pub(super) fn looks_around(call: &Call) -> bool {
    is_own_list(call) || lists_before(call)
}

/// A list that the library may have made for itself.
fn is_own_list(call: &Call) -> bool {
    call.origin.scope == LISTS_BEFORE_CALLS && call.method == "tools/list" && !call.evidence.failed
}

/// A call before which the library lists its tools: on protocol 2026-07-28 always, before that for unknown tools.
fn lists_before(call: &Call) -> bool {
    let unknown_tool = || {
        call.error_type
            .as_deref()
            .is_some_and(|kind| kind.ends_with("NotFoundError"))
    };
    call.origin.scope == LISTS_BEFORE_CALLS
        && call.method == "tools/call"
        && (call.protocol_version.as_deref() == Some("2026-07-28") || unknown_tool())
}

/// Pairs each such call with the nearest list right before it, whatever its trace: that list is no request. A list
/// that a client asked for stands further away, before the library's own. What is stored was paired when it came.
pub(super) fn pair_lists(clusters: &mut Clusters) {
    let lists: Vec<usize> = clusters
        .nodes()
        .filter(|(_, node)| is_own_list(&node.call))
        .map(|(index, _)| index)
        .collect();
    if lists.is_empty() {
        return;
    }
    let mut calls: Vec<usize> = clusters
        .nodes()
        .filter(|(_, node)| lists_before(&node.call))
        .map(|(index, _)| index)
        .collect();
    calls.sort_by_key(|index| clusters.node(*index).map(|node| node.call.started_at));
    let mut taken: Vec<usize> = Vec::new();
    for call in calls {
        let Some(node) = clusters.node(call) else { continue };
        let stored = clusters.is_stored(call);
        let gap = |list: &Node| node.call.started_at.0.saturating_sub(list.call.ended_at().0);
        let before = lists.iter().copied().filter(|list| {
            let both_stored = stored && clusters.is_stored(*list);
            !(taken.contains(list) || clusters.together(*list, call) || both_stored)
        });
        let before = before
            .filter_map(|list| Some((list, clusters.node(list)?)))
            .filter(|(_, list)| {
                (0..=PAIRING_NANOS).contains(&gap(list))
                    && list.call.origin.same_service(&node.call.origin)
                    && list.call.parent_span_id == node.call.parent_span_id
            });
        if let Some(list) = before.min_by_key(|(_, list)| gap(list)).map(|(list, _)| list) {
            taken.push(list);
            clusters.mark_inner(list);
            clusters.join(list, call);
        }
    }
}

/// Finds steps among the spans of one trace: below a request of the same service but with another method, or a
/// gateway's own lists.
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
            let same_service =
                other.call.origin.same_service(&node.call.origin) && other.call.vantage != Vantage::Client;
            let another_method = other.call.method != node.call.method;
            same_service && another_method && (node.is_child_of(other) || is_listing_beside(node, other))
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

/// A gateway's list under the same HTTP request as another call.
fn is_listing_beside(node: &Node, other: &Node) -> bool {
    node.call.origin.scope == LISTS_INSTEAD
        && node.call.method.ends_with("/list")
        && node.call.parent_span_id.is_some()
        && node.call.parent_span_id == other.call.parent_span_id
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
