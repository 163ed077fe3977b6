//! What HTTP spans and log lines add to a call.

use std::collections::HashMap;

use mcptap_model::semconv::{EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE};
use mcptap_model::{
    Call, HttpSpan, LogLine, SessionKey, SessionSource, SpanKind, SpanRef, TraceId, Transport, Vantage,
};
use serde_json::Value;

use super::merge::Merged;
use super::relate::SLACK_NANOS;
use super::{Changes, Target};

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

/// Finds the call of each log line, those that waited and those that came now.
pub(super) fn attach(
    merged: &mut [Merged],
    waiting: Vec<(i64, LogLine)>,
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
    let waiting = waiting.into_iter().map(|(key, line)| (Some(key), line));
    let mut lines: Vec<(Option<i64>, LogLine)> =
        waiting.chain(new.into_iter().map(|line| (None, line))).collect();
    lines.sort_by_key(|(_, line)| line.time);
    for (key, line) in lines {
        let members = traces.get(&line.trace_id).map(Vec::as_slice).unwrap_or_default();
        let of_trace = https.get(&line.trace_id).map(Vec::as_slice).unwrap_or_default();
        let owner = owner(merged, members, of_trace, &line);
        match owner.and_then(|(index, exact)| Some((index, exact, targets.get(index).copied().flatten()?))) {
            Some((index, exact, target)) => {
                if let Some(call) = merged.get_mut(index).filter(|_| exact) {
                    explain(&mut call.node.call, &line);
                }
                changes.arrived.extend(key);
                changes.logs.push((target, line));
            }
            None if key.is_none() => changes.waiting_logs.push(line),
            None => {}
        }
    }
}

/// The call a line belongs to, and whether the line names its span: the call's own spans, then the HTTP span around
/// the only call of its service, then the innermost call at that time.
fn owner(merged: &[Merged], members: &[usize], https: &[HttpSpan], line: &LogLine) -> Option<(usize, bool)> {
    let calls = || {
        members
            .iter()
            .filter_map(|index| Some((*index, merged.get(*index).filter(|call| !call.void)?)))
    };
    // What is not said of a span is said of who handled the request, not of who sent it.
    let handled = || calls().filter(|(_, call)| call.node.call.vantage != Vantage::Client);
    if let Some(span_id) = line.span_id {
        let span = SpanRef {
            trace_id: line.trace_id,
            span_id,
        };
        if let Some((index, _)) = calls().find(|(_, call)| call.node.spans.contains(&span)) {
            return Some((index, true));
        }
        if let Some(http) = https.iter().find(|http| http.span_id == span_id) {
            let mut below = handled().filter(|(_, call)| {
                let call = &call.node.call;
                call.trace_id == line.trace_id
                    && call.origin.same_service(&http.origin)
                    && encloses(http, call)
            });
            return below
                .next()
                .filter(|_| below.next().is_none())
                .map(|(index, _)| (index, true));
        }
    }
    // A span of another service may be about to come, and be a call of its own.
    let at_the_time = handled().filter(|(_, call)| {
        let call = &call.node.call;
        call.trace_id == line.trace_id
            && (line.service.is_none() || call.origin.service == line.service)
            && call.started_at.0.saturating_sub(SLACK_NANOS) <= line.time.0
            && line.time.0 <= call.ended_at().0.saturating_add(SLACK_NANOS)
    });
    at_the_time
        .min_by_key(|(_, call)| call.node.call.duration_nanos)
        .map(|(index, _)| (index, false))
}

/// An exception logged inside a failed call explains the failure, where the span does not.
fn explain(call: &mut Call, line: &LogLine) {
    let said = |name: &str| {
        line.attributes
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if call.stack_trace.is_some() || !call.outcome().is_error() {
        return;
    }
    call.stack_trace = said(EXCEPTION_STACKTRACE);
    if call.stack_trace.is_some() {
        call.error_message = call.error_message.take().or_else(|| said(EXCEPTION_MESSAGE));
        call.error_type = call.error_type.take().or_else(|| said(EXCEPTION_TYPE));
    }
}
