//! Servers that hand a request on.

use std::collections::{BTreeSet, HashMap};

use mcptap_model::{Call, Origin, SpanRef, TraceId, Vantage};

use super::View;
use super::effort::Effort;
use super::https::Https;
use super::intervals::{Interval, Intervals};
use super::merge::Merged;
use super::relate::SLACK_NANOS;
use super::watched::is_watcher;

/// The spans above the client's views that are part of calls, and the services of these clients.
struct Senders<'a>(HashMap<i64, Vec<&'a View>>);

impl<'a> Senders<'a> {
    fn new(views: &'a [View]) -> Self {
        let mut of_rows: HashMap<i64, Vec<&View>> = HashMap::new();
        for view in views {
            of_rows.entry(view.row).or_default().push(view);
        }
        Self(of_rows)
    }

    fn of<'s>(&'s self, merged: &'s Merged) -> impl Iterator<Item = (SpanRef, &'s Origin)> {
        let now = merged
            .above
            .iter()
            .map(|(above, origin)| (*above, origin.as_ref()));
        let stored = merged.rows().filter_map(|row| self.0.get(&row)).flatten();
        now.chain(stored.map(|view| (view.above, view.origin.as_ref())))
    }
}

/// A server that hands a request on, itself sending the same method and target, is a gateway on its own hop.
pub(super) fn find_gateways(merged: &mut [Merged], views: &[View], https: &Https<'_>, effort: &Effort) {
    let gateways = gateways(merged, &Senders::new(views), https, effort);
    for index in gateways {
        if let Some(gateway) = merged.get_mut(index) {
            gateway.node.call.vantage = Vantage::Gateway;
            for part in gateway.parts.iter_mut().take(1) {
                part.call.vantage = Vantage::Gateway;
            }
        }
    }
}

fn gateways(merged: &[Merged], senders: &Senders<'_>, https: &Https<'_>, effort: &Effort) -> Vec<usize> {
    let mut requests: HashMap<(TraceId, &str, Option<&str>), Vec<usize>> = HashMap::new();
    for (index, one) in merged.iter().enumerate() {
        let node = &one.node;
        // A server's call that a proxy told of too may be in another trace than the client that sent it.
        let above = senders.of(one).map(|(above, _)| above.trace_id);
        let traces: BTreeSet<TraceId> = above.chain([node.call.trace_id]).collect();
        for trace_id in traces {
            let key = (trace_id, node.call.method.as_str(), node.call.target());
            requests.entry(key).or_default().push(index);
        }
    }
    let mut gateways = Vec::new();
    for members in requests.into_values().filter(|members| members.len() > 1) {
        gateways.extend(by_parent(merged, &members, senders, https, effort));
        gateways.extend(by_time(merged, &members, senders, effort));
    }
    gateways
}

/// Whether a call may be a gateway's. Whoever watches from outside only seems to hand on what the server's own span, which may
/// not be known for the same request yet, tells.
fn may_hand_on(call: &Call) -> bool {
    call.vantage == Vantage::Server && !is_watcher(call)
}

/// Whether a call may be another's, handed on.
fn is_onward(inner: &Merged, outer: &Merged) -> bool {
    let (inner, outer) = (&inner.node.call, &outer.node.call);
    inner.vantage == Vantage::Client || !inner.origin.same_service(&outer.origin)
}

/// Servers above what they handed on, directly or over HTTP spans.
fn by_parent(
    merged: &[Merged],
    members: &[usize],
    senders: &Senders<'_>,
    https: &Https<'_>,
    effort: &Effort,
) -> Vec<usize> {
    let mut primary: HashMap<SpanRef, Vec<usize>> = HashMap::new();
    for &index in members {
        if let Some(Merged { node, .. }) = merged.get(index)
            && may_hand_on(&node.call)
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
        let own = call.parent_span_id.map(|span_id| SpanRef {
            trace_id: call.trace_id,
            span_id,
        });
        let parents = senders.of(inner).map(|(above, _)| above).chain(own);
        let above = parents.flat_map(|SpanRef { trace_id, span_id }| {
            let spans = https.ancestors(trace_id, Some(span_id));
            spans.map(move |span_id| SpanRef { trace_id, span_id })
        });
        for span in above {
            let above = primary.get(&span).map(Vec::as_slice).unwrap_or_default();
            found.extend(effort.bounded(above.iter()).copied().filter(|outer| {
                *outer != index && merged.get(*outer).is_some_and(|outer| is_onward(inner, outer))
            }));
        }
    }
    found
}

/// Servers that last around what their own client sent. What another service received meanwhile may as well be another
/// request of the same agent, to a server that has a tool of the same name.
fn by_time(merged: &[Merged], members: &[usize], senders: &Senders<'_>, effort: &Effort) -> Vec<usize> {
    let sent = sent(merged, members, senders);
    let handed_on = |index: &usize| {
        let Some(Merged { node, .. }) = merged.get(*index) else {
            return false;
        };
        let call = &node.call;
        if !may_hand_on(call) || !call.has_own_end() {
            return false;
        }
        let from = call.started_at.0.saturating_sub(SLACK_NANOS);
        let to = call.ended_at().0.saturating_add(SLACK_NANOS);
        let own = sent.get(&call.origin.service.as_deref());
        own.is_some_and(|own| effort.bounded(own.within(from, to)).any(|sent| sent != *index))
    };
    members.iter().copied().filter(handed_on).collect()
}

/// Calls that a client tells of, by its service.
fn sent<'a>(
    merged: &'a [Merged],
    members: &[usize],
    senders: &'a Senders<'a>,
) -> HashMap<Option<&'a str>, Intervals> {
    let mut clients: HashMap<Option<&str>, Vec<Interval>> = HashMap::new();
    for &index in members {
        let ended = merged.get(index).filter(|merged| merged.node.call.has_own_end());
        let Some(sent) = ended else {
            continue;
        };
        let call = &sent.node.call;
        let place = (call.started_at.0, call.ended_at().0, index);
        let own = (call.vantage == Vantage::Client).then_some(call.origin.as_ref());
        for client in own.into_iter().chain(senders.of(sent).map(|(_, client)| client)) {
            clients.entry(client.service.as_deref()).or_default().push(place);
        }
    }
    let clients = clients.into_iter();
    clients
        .map(|(service, places)| (service, Intervals::new(places)))
        .collect()
}
