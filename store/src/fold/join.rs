//! What HTTP spans add to a call.

use std::cmp::Reverse;
use std::collections::HashMap;

use mcptap_model::{Call, HttpSpan, SessionKey, SessionSource, SpanKind, SpanRef, Transport, Vantage};

use super::cluster::Node;
use super::effort::Effort;
use super::https::Https;
use super::merge::Merged;
use super::relate::SLACK_NANOS;

/// Lends to a call what the HTTP span around it knows, be it the parent, linked, or the tightest around it.
pub(super) fn lend(
    merged: &mut Merged,
    https: &Https<'_>,
    links: &HashMap<i64, Vec<SpanRef>>,
    effort: &Effort,
) {
    let node = &merged.node;
    let stored = node.row.and_then(|row| links.get(&row)).into_iter().flatten();
    let linked = node.links.iter().chain(stored);
    if let Some(http) = around(&node.call, https, linked, effort) {
        apply(&mut merged.node.call, http);
    }
    if merged.node.call.vantage == Vantage::Client
        && let Some(http) = answered(&merged.node, https)
    {
        let call = &mut merged.node.call;
        apply(call, http);
        if call.server.is_none() {
            call.server.clone_from(&http.origin.service);
        }
    }
}

/// The HTTP span with which another service answered a client's call: the first such below it, over HTTP spans. That
/// service is the server, though no MCP span of its own tells of the call.
fn answered<'h>(client: &Node, https: &Https<'h>) -> Option<&'h HttpSpan> {
    let own = client.spans.iter();
    let below = own
        .filter(|span| span.trace_id == client.call.trace_id)
        .flat_map(|span| https.answers(*span))
        .filter(|(.., http)| !http.origin.same_service(&client.call.origin));
    // The outermost answers; of several the last, as after a refusal that asked for credentials.
    below
        .min_by_key(|(place, depth, http)| (*depth, Reverse(http.started_at), *place))
        .map(|(.., http)| http)
}

/// The HTTP span a call was received on (or, for a client's view, sent on). It must last around the call: some
/// libraries hang every call of a session below the POST that opened it.
fn around<'h, 'l>(
    call: &Call,
    https: &Https<'h>,
    mut linked: impl Iterator<Item = &'l SpanRef>,
    effort: &Effort,
) -> Option<&'h HttpSpan> {
    let span = |span_id| SpanRef {
        trace_id: call.trace_id,
        span_id,
    };
    if call.vantage == Vantage::Client {
        let below = https.below(span(call.primary_span_id));
        let sent = below.filter(|http| http.kind == SpanKind::Client && within(http, call));
        return sent.max_by_key(|http| http.ended_at);
    }
    let received = |http: &&HttpSpan| http.kind == SpanKind::Server && encloses(http, call);
    let parent = || {
        let parent = call.parent_span_id.map(span)?;
        https.all(parent).find(|http| received(http))
    };
    let by_link = || linked.find_map(|link| https.get(*link).filter(|http| received(http)));
    let tightest = || {
        let from = call.started_at.0.saturating_add(SLACK_NANOS);
        let to = call.ended_at().0.saturating_sub(SLACK_NANOS);
        let around = https.received(call.trace_id, call.origin.service.as_deref(), from, to);
        effort
            .bounded(around)
            .filter(|(_, http)| http.origin.same_service(&call.origin))
            .min_by_key(|(place, http)| (http.ended_at.since(http.started_at), *place))
            .map(|(_, http)| http)
    };
    parent().or_else(by_link).or_else(tightest)
}

fn encloses(http: &HttpSpan, call: &Call) -> bool {
    http.started_at.0.saturating_sub(SLACK_NANOS) <= call.started_at.0
        && call.ended_at().0 <= http.ended_at.0.saturating_add(SLACK_NANOS)
}

fn within(http: &HttpSpan, call: &Call) -> bool {
    call.started_at.0.saturating_sub(SLACK_NANOS) <= http.started_at.0
        && http.ended_at.0 <= call.ended_at().0.saturating_add(SLACK_NANOS)
}

fn apply(call: &mut Call, http: &HttpSpan) {
    call.http_status = call.http_status.or(http.http_status);
    let better = http.client_ip.is_some() && call.client_ip.as_deref().is_none_or(is_loopback);
    if better && http.kind == SpanKind::Server {
        call.client_ip = http.client_ip.clone();
        call.country = http.country.clone().or(call.country.take());
    }
    let lent = [
        (&mut call.country, &http.country),
        (&mut call.authorization, &http.authorization),
        (&mut call.user_agent, &http.user_agent),
        (&mut call.protocol_version, &http.protocol_version),
    ];
    for (to, from) in lent {
        if to.is_none() {
            to.clone_from(from);
        }
    }
    let old = call
        .protocol_version
        .as_deref()
        .is_some_and(|version| version <= "2024-11-05");
    call.transport = call.transport.or(Some(if old {
        Transport::Sse
    } else {
        Transport::StreamableHttp
    }));
    if call.session_id.is_none()
        && let Some(id) = &http.session_id
    {
        call.session_id = Some(id.clone());
        call.session = Some(SessionKey {
            source: SessionSource::Wire,
            key: id.clone(),
        });
    }
}

fn is_loopback(address: &str) -> bool {
    address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback())
}
