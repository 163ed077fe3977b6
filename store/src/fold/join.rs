//! What HTTP spans and log lines add to a call.

use std::cmp::Reverse;
use std::collections::HashMap;

use mcptap_model::{
    Call, HttpSpan, LogLine, SessionKey, SessionSource, SpanKind, SpanRef, TraceId, Transport, UnixNanos,
    Vantage,
};

use super::cluster::Node;
use super::merge::Merged;
use super::relate::{SLACK_NANOS, ancestors};
use super::{Changes, Target, WaitingLine, explain};

/// How long before its span begins a call may have been written about, in nanoseconds.
const LEAD_NANOS: i64 = 3_000_000;

type Https = HashMap<TraceId, Vec<HttpSpan>>;

/// Lends to a call what the HTTP span around it knows, be it the parent, linked, or the tightest around it.
pub(super) fn lend(merged: &mut Merged, https: &Https, links: &[(SpanRef, i64)]) {
    let node = &merged.node;
    let stored = links
        .iter()
        .filter(|(_, row)| Some(*row) == node.row)
        .map(|(link, _)| *link);
    let linked: Vec<SpanRef> = node.links.iter().copied().chain(stored).collect();
    if let Some(http) = around(&node.call, https, &linked) {
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
fn answered<'h>(client: &Node, https: &'h Https) -> Option<&'h HttpSpan> {
    let of_trace = https.get(&client.call.trace_id)?;
    let below = of_trace.iter().filter(|http| {
        http.kind == SpanKind::Server
            && !http.origin.same_service(&client.call.origin)
            && ancestors(http.parent_span_id, of_trace).any(|span| client.has_span(span))
    });
    // The outermost answers; of several the last, as after a refusal that asked for credentials.
    let depth = |http: &&HttpSpan| {
        ancestors(http.parent_span_id, of_trace)
            .take_while(|span| !client.has_span(*span))
            .count()
    };
    below.min_by_key(|http| (depth(http), Reverse(http.started_at)))
}

/// The HTTP span a call was received on (or, for a client's view, sent on). It must last around the call: some
/// libraries hang every call of a session below the POST that opened it.
fn around<'h>(call: &Call, https: &'h Https, linked: &[SpanRef]) -> Option<&'h HttpSpan> {
    let of_trace = https.get(&call.trace_id).map(Vec::as_slice).unwrap_or_default();
    if call.vantage == Vantage::Client {
        let sent = of_trace.iter().filter(|http| {
            http.kind == SpanKind::Client
                && http.parent_span_id == Some(call.primary_span_id)
                && within(http, call)
        });
        return sent.max_by_key(|http| http.ended_at);
    }
    let received = |http: &&HttpSpan| http.kind == SpanKind::Server && encloses(http, call);
    let parent = of_trace
        .iter()
        .filter(received)
        .find(|http| Some(http.span_id) == call.parent_span_id);
    let by_link = || {
        let spans = linked.iter().filter_map(|link| {
            https
                .get(&link.trace_id)?
                .iter()
                .find(|http| http.span_id == link.span_id)
        });
        spans.into_iter().find(|http| received(http))
    };
    let tightest = || {
        let same = of_trace
            .iter()
            .filter(received)
            .filter(|http| http.origin.same_service(&call.origin));
        same.min_by_key(|http| http.ended_at.since(http.started_at))
    };
    parent.or_else(by_link).or_else(tightest)
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

/// Finds the call of each log line, those that waited and those that came now. What was placed without its own span
/// waits on: that span may come, and be another call's.
pub(super) fn attach(
    merged: &mut [Merged],
    waiting: Vec<WaitingLine>,
    new: Vec<LogLine>,
    https: &Https,
    changes: &mut Changes,
) {
    if waiting.is_empty() && new.is_empty() {
        return;
    }
    let mut traces: HashMap<TraceId, Vec<usize>> = HashMap::new();
    let mut added = 0;
    let mut targets: Vec<Option<Target>> = Vec::with_capacity(merged.len());
    for (index, call) in merged.iter().enumerate() {
        targets.push(call.target(&mut added));
        for span in &call.node.spans {
            let members = traces.entry(span.trace_id).or_default();
            if members.last() != Some(&index) {
                members.push(index);
            }
        }
    }
    let mut find = |line: &LogLine| {
        let members = traces.get(&line.trace_id).map(Vec::as_slice).unwrap_or_default();
        let of_trace = https.get(&line.trace_id).map(Vec::as_slice).unwrap_or_default();
        let (index, surely) = owner(merged, members, of_trace, line)?;
        let target = targets.get(index).copied().flatten()?;
        if let Some(call) = merged.get_mut(index).filter(|_| surely > Surely::Time) {
            explain::explain(&mut call.node.call, line);
        }
        Some((target, surely))
    };
    let mut found: Vec<(WaitingLine, Option<(Target, Surely)>)> = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        let place = find(&waiting.line);
        found.push((waiting, place));
    }
    for line in new {
        match find(&line) {
            None => changes.waiting_logs.push((line, None)),
            Some((target, Surely::Span)) => changes.logs.push((target, line)),
            Some((target, _)) => {
                changes.logs.push((target, line.clone()));
                changes.waiting_logs.push((line, Some(target)));
            }
        }
    }
    for (waiting, place) in found {
        let Some((target, surely)) = place else { continue };
        let WaitingLine { key, line, placed } = waiting;
        // Where it is, after what this batch joins.
        let holder = placed.and_then(|row| merged.iter().find(|call| call.has_row(row)));
        let row = holder.and_then(|call| call.node.row);
        if surely == Surely::Span {
            changes.arrived.push(key);
        } else if row.map(Target::Known) != Some(target) {
            changes.placed.push((key, target));
        }
        if row.map(Target::Known) != Some(target) {
            changes.left.extend(row.map(|row| (row, line.clone())));
            changes.logs.push((target, line));
        }
    }
}

/// By what a line was found to be a call's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Surely {
    /// It was written while the call lasted.
    Time,
    /// It names an HTTP span that is the call's.
    Http,
    /// It names a span of the call.
    Span,
}

/// The call a line belongs to: by the call's own spans, by the HTTP span that carried it, else the innermost of its
/// service at that time.
fn owner(
    merged: &[Merged],
    members: &[usize],
    https: &[HttpSpan],
    line: &LogLine,
) -> Option<(usize, Surely)> {
    let calls = || {
        members
            .iter()
            .filter_map(|index| Some((*index, merged.get(*index).filter(|call| !call.void)?)))
    };
    let with_span = |span_id| {
        let span = SpanRef {
            trace_id: line.trace_id,
            span_id,
        };
        calls().find(|(_, call)| call.node.spans.contains(&span))
    };
    // What is not said of a span is said of who handled the request, not of who sent it.
    let handled = || calls().filter(|(_, call)| call.node.call.vantage != Vantage::Client);
    if let Some((index, _)) = line.span_id.and_then(with_span) {
        return Some((index, Surely::Span));
    }
    let on = https.iter().find(|http| Some(http.span_id) == line.span_id);
    // Some libraries hang what follows below an HTTP span that ended long ago.
    if let Some(http) = on.filter(|http| lasts_at(http.started_at, http.ended_at, line.time)) {
        let mut below = handled().filter(|(_, call)| {
            let call = &call.node.call;
            call.trace_id == line.trace_id && call.origin.same_service(&http.origin) && encloses(http, call)
        });
        match (below.next(), below.next()) {
            (Some((index, _)), None) => return Some((index, Surely::Http)),
            (None, _) => {
                let mut above = ancestors(http.parent_span_id, https);
                if let Some((index, _)) = above.find_map(with_span) {
                    return Some((index, Surely::Http));
                }
            }
            _ => {}
        }
    }
    // A span of another service may be about to come, and be a call of its own.
    let at_the_time = handled().filter(|(_, call)| {
        let call = &call.node.call;
        call.trace_id == line.trace_id
            && (line.service.is_none() || call.origin.service == line.service)
            && lasts_at(call.started_at.plus(-LEAD_NANOS), call.ended_at(), line.time)
    });
    at_the_time
        .min_by_key(|(_, call)| {
            let call = &call.node.call;
            let before = !lasts_at(call.started_at, call.ended_at(), line.time);
            (before, call.duration_nanos, call.started_at, call.primary_span_id)
        })
        .map(|(index, _)| (index, Surely::Time))
}

/// Whether something lasted at a time, roundings aside.
fn lasts_at(from: UnixNanos, to: UnixNanos, time: UnixNanos) -> bool {
    from.0.saturating_sub(SLACK_NANOS) <= time.0 && time.0 <= to.0.saturating_add(SLACK_NANOS)
}
