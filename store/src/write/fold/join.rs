//! The parts of a call that come from HTTP spans.

use std::cmp::Reverse;
use std::collections::HashMap;

use mcptap_model::{
    Call, Evidence, HttpSpan, Part, SessionKey, SessionSource, Source, Sources, SpanKind, SpanRef, Transport,
    Vantage,
};

use super::cluster::{Node, own_session};
use super::effort::Effort;
use super::https::Https;
use super::merge::Merged;
use super::relate::SLACK_NANOS;
use super::watched::is_watcher;

/// Lends to a call what the HTTP span around it knows, be it the parent, linked, or the tightest around it.
pub(super) fn lend(
    merged: &mut Merged,
    https: &Https<'_>,
    links: &HashMap<i64, Vec<SpanRef>>,
    effort: &Effort,
) {
    for node in std::iter::once(&mut merged.node).chain(&mut merged.parts) {
        lend_to(node, https, links, effort);
    }
}

fn lend_to(node: &mut Node, https: &Https<'_>, links: &HashMap<i64, Vec<SpanRef>>, effort: &Effort) {
    let stored = node.row.and_then(|row| links.get(&row)).into_iter().flatten();
    let linked = node.links.iter().chain(stored);
    if let Some((http, source)) = around(&node.call, https, linked, effort) {
        if node.call.vantage != Vantage::Client {
            forget(&mut node.call, source);
        }
        apply(&mut node.call, http, source);
    }
    if node.call.vantage == Vantage::Client
        && let Some(http) = answered(node, https)
    {
        let call = &mut node.call;
        apply(call, http, Source::LinkedHttp);
        if call.server.is_none() {
            call.server.clone_from(&http.origin.service);
            call.evidence.sources.set(Part::Server, Source::LinkedHttp);
        }
    }
}

/// Finds the sessions that HTTP spans lend to servers' calls that name a request and no session. By them watchers in other
/// traces may know the requests.
pub(super) fn lend_sessions(
    nodes: &mut [Node],
    https: &[HttpSpan],
    links: &HashMap<i64, Vec<SpanRef>>,
    effort: &Effort,
) {
    let lacks = |node: &Node| {
        let is_named = own_session(&node.call).is_none() && node.call.request_id.is_some();
        is_named && node.call.vantage != Vantage::Client && !is_watcher(&node.call)
    };
    if !https.iter().any(|http| http.session_id.is_some()) || !nodes.iter().any(lacks) {
        return;
    }
    let https = Https::new(https);
    for node in nodes.iter_mut().filter(|node| lacks(node)) {
        let stored = node.row.and_then(|row| links.get(&row)).into_iter().flatten();
        let found = session_around(&node.call, &https, node.links.iter().chain(stored), effort);
        // What was lent by a nearer span stays; that may be of a trace that is not looked at now.
        let lent = node.call.evidence.sources.of(Part::Session);
        let is_better = |source| node.call.session_id.is_none() || source <= lent;
        let session = found.filter(|(_, source)| is_better(*source));
        node.lent_session = session.map(|(session, _)| session.to_owned());
    }
}

/// The session of the nearest HTTP span that a server's call was received on and that has one: above it, linked, or the
/// tightest around it. One that has none hides no other, so that it makes no difference when it comes.
fn session_around<'h, 'l>(
    call: &Call,
    https: &Https<'h>,
    linked: impl Iterator<Item = &'l SpanRef>,
    effort: &Effort,
) -> Option<(&'h str, Source)> {
    if !call.has_own_end() {
        return None;
    }
    let has_one =
        |http: &&HttpSpan| http.session_id.is_some() && http.kind == SpanKind::Server && encloses(http, call);
    let trace_id = call.trace_id;
    let mut ancestors = https.ancestors(trace_id, call.parent_span_id);
    let above = ancestors.find_map(|span_id| https.all(SpanRef { trace_id, span_id }).find(has_one));
    let by_link = || {
        let linked = linked.filter_map(|link| https.get(*link).filter(has_one));
        linked.min_by_key(|http| (http.trace_id, http.span_id))
    };
    let found = |source| move |http| (http, source);
    let (http, source) = above
        .map(found(Source::Http))
        .or_else(|| by_link().map(found(Source::LinkedHttp)))
        .or_else(|| {
            let has_session = |http: &HttpSpan| http.session_id.is_some();
            tightest(call, https, effort, has_session).map(found(Source::HttpAround))
        })?;
    Some((http.session_id.as_deref()?, source))
}

/// Of the HTTP spans on which the call's service received something while the call lasted, the shortest that may be.
fn tightest<'h>(
    call: &Call,
    https: &Https<'h>,
    effort: &Effort,
    may_be: impl Fn(&HttpSpan) -> bool,
) -> Option<&'h HttpSpan> {
    let from = call.started_at.0.saturating_add(SLACK_NANOS);
    let to = call.ended_at().0.saturating_sub(SLACK_NANOS);
    let around = https.received(call.trace_id, call.origin.service.as_deref(), from, to);
    effort
        .bounded(around)
        .filter(|http| http.origin.same_service(&call.origin) && may_be(http))
        .min_by_key(|http| (http.ended_at.since(http.started_at), http.span_id))
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
        .min_by_key(|(depth, http)| (*depth, Reverse(http.started_at), http.span_id))
        .map(|(.., http)| http)
}

/// The HTTP span a call was received on (or, for a client's view, sent on). It must last around the call: some
/// libraries hang every call of a session below the POST that opened it. Around one that is open nobody knows what lasts.
fn around<'h, 'l>(
    call: &Call,
    https: &Https<'h>,
    linked: impl Iterator<Item = &'l SpanRef>,
    effort: &Effort,
) -> Option<(&'h HttpSpan, Source)> {
    let span = |span_id| SpanRef {
        trace_id: call.trace_id,
        span_id,
    };
    if !call.has_own_end() {
        return None;
    }
    if call.vantage == Vantage::Client {
        let below = https.below(span(call.primary_span_id));
        let sent = below.filter(|http| http.kind == SpanKind::Client && within(http, call));
        let last = sent.max_by_key(|http| (http.ended_at, http.span_id));
        return last.map(|http| (http, Source::Http));
    }
    let received = |http: &&HttpSpan| http.kind == SpanKind::Server && encloses(http, call);
    let parent = || {
        let parent = call.parent_span_id.map(span)?;
        https.all(parent).find(|http| received(http))
    };
    let by_link = || {
        let linked = linked.filter_map(|link| https.get(*link).filter(|http| received(http)));
        linked.min_by_key(|http| (http.trace_id, http.span_id))
    };
    let found = |source| move |http| (http, source);
    parent()
        .map(found(Source::Http))
        .or_else(|| by_link().map(found(Source::LinkedHttp)))
        .or_else(|| tightest(call, https, effort, |_| true).map(found(Source::HttpAround)))
}

/// Forgets what HTTP spans lent that are no better: one of them is the request's, and it is known now.
pub(super) fn forget(call: &mut Call, source: Source) {
    let sources = call.evidence.sources;
    let lent = |part| sources.of(part) >= source.max(Source::Http);
    call.http_status.take_if(|_| lent(Part::HttpStatus));
    call.transport.take_if(|_| lent(Part::Transport));
    if lent(Part::ClientIp) {
        let Evidence {
            loopback_v4,
            loopback_v6,
            ..
        } = call.evidence;
        let own = match (loopback_v4, loopback_v6) {
            (true, _) => Some(LOOPBACK_V4),
            (false, true) => Some(LOOPBACK_V6),
            (false, false) => None,
        };
        call.client_ip = own.map(str::to_owned);
        call.evidence.sources.set(Part::ClientIp, Source::Server);
    }
    for (part, text) in [
        (Part::Country, &mut call.country),
        (Part::Authorization, &mut call.authorization),
        (Part::UserAgent, &mut call.user_agent),
        (Part::ProtocolVersion, &mut call.protocol_version),
    ] {
        text.take_if(|_| lent(part));
    }
    if lent(Part::Session) && call.session_id.take().is_some() {
        call.session = None;
    }
}

/// Forgets all that HTTP spans lent.
pub(super) fn give_back(call: &mut Call) {
    forget(call, Source::Http);
}

fn encloses(http: &HttpSpan, call: &Call) -> bool {
    http.started_at.0.saturating_sub(SLACK_NANOS) <= call.started_at.0
        && call.ended_at().0 <= http.ended_at.0.saturating_add(SLACK_NANOS)
}

fn within(http: &HttpSpan, call: &Call) -> bool {
    call.started_at.0.saturating_sub(SLACK_NANOS) <= http.started_at.0
        && http.ended_at.0 <= call.ended_at().0.saturating_add(SLACK_NANOS)
}

/// Fills in what the HTTP span knows and the call does not, or only from a worse one.
fn apply(call: &mut Call, http: &HttpSpan, source: Source) {
    let sources = &mut call.evidence.sources;
    let worse = |part: Part, sources: &Sources| sources.of(part) > source;
    if let Some(address) = &http.client_ip
        && http.kind == SpanKind::Server
    {
        // The machine's own address says less than any other.
        let better = call
            .client_ip
            .as_deref()
            .is_none_or(|own| is_loopback(own) && !is_loopback(address));
        if better || worse(Part::ClientIp, sources) {
            call.client_ip = Some(address.clone());
            sources.set(Part::ClientIp, source);
        }
    }
    if http.http_status.is_some() && (call.http_status.is_none() || worse(Part::HttpStatus, sources)) {
        call.http_status = http.http_status;
        sources.set(Part::HttpStatus, source);
    }
    let lent = [
        (Part::Country, &mut call.country, &http.country),
        (Part::Authorization, &mut call.authorization, &http.authorization),
        (Part::UserAgent, &mut call.user_agent, &http.user_agent),
        (
            Part::ProtocolVersion,
            &mut call.protocol_version,
            &http.protocol_version,
        ),
    ];
    for (part, to, from) in lent {
        if from.is_some() && (to.is_none() || worse(part, sources)) {
            to.clone_from(from);
            sources.set(part, source);
        }
    }
    let old = call
        .protocol_version
        .as_deref()
        .is_some_and(|version| version <= "2024-11-05");
    if call.transport.is_none() || worse(Part::Transport, sources) {
        call.transport = Some(if old {
            Transport::Sse
        } else {
            Transport::StreamableHttp
        });
        sources.set(Part::Transport, source);
    }
    if let Some(id) = &http.session_id
        && (call.session_id.is_none() || worse(Part::Session, sources))
    {
        sources.set(Part::Session, source);
        call.session_id = Some(id.clone());
        call.session = Some(SessionKey {
            source: SessionSource::Wire,
            key: id.clone(),
        });
    }
}

/// The addresses by which a machine reaches itself.
pub(super) const LOOPBACK_V4: &str = "127.0.0.1";
pub(super) const LOOPBACK_V6: &str = "::1";

/// Whether an address is one of the machine itself.
pub(super) fn is_loopback(address: &str) -> bool {
    address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback())
}
