//! Servers that hand a request on.

use std::collections::HashMap;

use mcptap_model::{Origin, SpanRef, TraceId, Vantage};

use super::effort::Effort;
use super::https::Https;
use super::intervals::{Interval, Intervals};
use super::merge::Merged;
use super::relate::SLACK_NANOS;

/// Calls of one trace, method and target, by who they could have been handed on to.
struct Onward<'a> {
    /// Those that only a client tells of.
    clients: Intervals,
    /// The others, by service and instance.
    services: Vec<(&'a Origin, Intervals)>,
}

/// A server that hands a request on, itself sending the same method and target, is a gateway on its own hop.
pub(super) fn find_gateways(merged: &mut [Merged], https: &Https<'_>, effort: &Effort) {
    let gateways = gateways(merged, https, effort);
    for index in gateways {
        if let Some(gateway) = merged.get_mut(index) {
            gateway.node.call.vantage = Vantage::Gateway;
        }
    }
}

fn gateways(merged: &[Merged], https: &Https<'_>, effort: &Effort) -> Vec<usize> {
    let mut requests: HashMap<(TraceId, &str, Option<&str>), Vec<usize>> = HashMap::new();
    for (index, Merged { node, .. }) in merged.iter().enumerate() {
        let key = (node.call.trace_id, node.call.method.as_str(), node.call.target());
        requests.entry(key).or_default().push(index);
    }
    let mut gateways = Vec::new();
    for members in requests.into_values().filter(|members| members.len() > 1) {
        gateways.extend(by_parent(merged, &members, https, effort));
        gateways.extend(by_time(merged, &members, effort));
    }
    gateways
}

/// Whether a call may be another's, handed on.
fn is_onward(inner: &Merged, outer: &Merged) -> bool {
    let (inner, outer) = (&inner.node.call, &outer.node.call);
    inner.vantage == Vantage::Client || !inner.origin.same_service(&outer.origin)
}

/// Servers above what they handed on, directly or over HTTP spans.
fn by_parent(merged: &[Merged], members: &[usize], https: &Https<'_>, effort: &Effort) -> Vec<usize> {
    let mut primary: HashMap<SpanRef, Vec<usize>> = HashMap::new();
    for &index in members {
        if let Some(Merged { node, .. }) = merged.get(index)
            && node.call.vantage == Vantage::Server
        {
            let span = SpanRef {
                trace_id: node.call.trace_id,
                span_id: node.call.primary_span_id,
            };
            primary.entry(span).or_default().push(index);
        }
    }
    let mut found = Vec::new();
    for &index in members {
        let Some(inner) = merged.get(index) else { continue };
        let call = &inner.node.call;
        for span_id in https.ancestors(call.trace_id, call.parent_span_id) {
            let span = SpanRef {
                trace_id: call.trace_id,
                span_id,
            };
            let above = primary.get(&span).map(Vec::as_slice).unwrap_or_default();
            found.extend(effort.bounded(above.iter()).copied().filter(|outer| {
                *outer != index && merged.get(*outer).is_some_and(|outer| is_onward(inner, outer))
            }));
        }
    }
    found
}

/// Servers that last around what they handed on.
fn by_time(merged: &[Merged], members: &[usize], effort: &Effort) -> Vec<usize> {
    let onward = onward(merged, members);
    let handed_on = |index: &usize| {
        let Some(Merged { node, .. }) = merged.get(*index) else {
            return false;
        };
        let call = &node.call;
        if call.vantage != Vantage::Server || !call.has_own_end() {
            return false;
        }
        let from = call.started_at.0.saturating_sub(SLACK_NANOS);
        let to = call.ended_at().0.saturating_add(SLACK_NANOS);
        let mut services = effort
            .bounded(onward.services.iter())
            .filter(|(origin, _)| !origin.same_service(&call.origin));
        // A server is no client, so it does not find itself.
        onward.clients.within(from, to).next().is_some()
            || services.any(|(_, intervals)| intervals.within(from, to).next().is_some())
    };
    members.iter().copied().filter(handed_on).collect()
}

fn onward<'a>(merged: &'a [Merged], members: &[usize]) -> Onward<'a> {
    let mut clients = Vec::new();
    // By name and instance.
    type Service<'a> = (Option<&'a str>, Option<&'a str>);
    let mut services: HashMap<Service<'_>, (&Origin, Vec<Interval>)> = HashMap::new();
    for &index in members {
        let ended = merged.get(index).filter(|merged| merged.node.call.has_own_end());
        let Some(Merged { node, .. }) = ended else {
            continue;
        };
        let call = &node.call;
        let place = (call.started_at.0, call.ended_at().0, index);
        if call.vantage == Vantage::Client {
            clients.push(place);
        } else {
            let origin = call.origin.as_ref();
            let key = (origin.service.as_deref(), origin.instance.as_deref());
            services
                .entry(key)
                .or_insert_with(|| (origin, Vec::new()))
                .1
                .push(place);
        }
    }
    Onward {
        clients: Intervals::new(clients),
        services: services
            .into_values()
            .map(|(origin, items)| (origin, Intervals::new(items)))
            .collect(),
    }
}
