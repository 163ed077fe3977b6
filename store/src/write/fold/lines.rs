//! Which call a log line is of.

use std::collections::{BTreeSet, HashMap};

use mcptap_model::{HttpSpan, LogLine, SpanRef, TraceId, UnixNanos, Vantage};

use super::effort::Effort;
use super::https::Https;
use super::intervals::{Interval, Intervals};
use super::merge::Merged;
use super::parts::Parts;
use super::relate::SLACK_NANOS;
use super::{Changes, Target, WaitingLine, explain};

/// How long before its span begins a call may have been written about, in nanoseconds.
pub(super) const LEAD_NANOS: i64 = 3_000_000;

/// Finds the call of each log line, those that waited and those that came now. A line that was placed without its own span
/// waits on: that span may come, and be another call's. So does an exception inside a call that is open: it explains the
/// end, should that be a failure.
pub(super) fn attach(
    merged: &mut [Merged],
    parts: &HashMap<i64, Parts>,
    (waiting, new): (Vec<WaitingLine>, Vec<LogLine>),
    https: &Https<'_>,
    effort: &Effort,
    changes: &mut Changes,
) {
    if waiting.is_empty() && new.is_empty() {
        return;
    }
    let mut added = 0;
    let targets: Vec<Option<Target>> = merged.iter().map(|call| call.target(&mut added)).collect();
    let owners = Owners::new(merged);
    let place = |line: &LogLine| owners.owner(merged, https, line, effort);
    let of_waiting: Vec<_> = waiting.iter().map(|waiting| place(&waiting.line)).collect();
    let of_new: Vec<_> = new.iter().map(place).collect();
    let holders = Holders::new(merged, &targets, parts);
    let mut target = |found: Option<(usize, Surely)>, line: &LogLine| {
        let (index, surely) = found?;
        let target = targets.get(index).copied().flatten()?;
        let mut settled = surely == Surely::Span;
        if let Some(merged) = merged.get_mut(index).filter(|_| surely > Surely::Time) {
            let call = &mut merged.node.call;
            explain::explain(call, line);
            settled &= call.has_own_end() || !explain::may_explain(line);
            if let Some(part) = merged.part_of(line) {
                explain::explain(&mut part.call, line);
            }
        }
        Some((target, settled))
    };
    for (waiting, found) in waiting.into_iter().zip(of_waiting) {
        let Some((target, settled)) = target(found, &waiting.line) else {
            continue;
        };
        let WaitingLine { key, line, placed } = waiting;
        let holder = placed.and_then(|row| holders.of(row, &line));
        if settled {
            changes.arrived.push(key);
        } else if holder != Some(target) {
            changes.placed.push((key, target));
        }
        if holder != Some(target) {
            changes.left.extend(holder.map(|holder| (holder, line.clone())));
            changes.logs.push((target, line));
        }
    }
    for (line, found) in new.into_iter().zip(of_new) {
        match target(found, &line) {
            None => changes.waiting_logs.push((line, None)),
            Some((target, true)) => changes.logs.push((target, line)),
            Some((target, _)) => {
                changes.logs.push((target, line.clone()));
                changes.waiting_logs.push((line, Some(target)));
            }
        }
    }
}

/// Whose the lines of stored calls are after what a batch joins and parts.
struct Holders<'a> {
    /// By row.
    joined: HashMap<i64, Option<Target>>,
    /// By row and the place of a part.
    parted: HashMap<(i64, usize), Option<Target>>,
    parts: &'a HashMap<i64, Parts>,
}

impl<'a> Holders<'a> {
    fn new(merged: &[Merged], targets: &[Option<Target>], parts: &'a HashMap<i64, Parts>) -> Self {
        let (mut joined, mut parted) = (HashMap::new(), HashMap::new());
        for (call, target) in merged.iter().zip(targets) {
            let known = target.filter(|target| matches!(target, Target::Known(_)));
            joined.extend(call.rows().map(|row| (row, known)));
            parted.extend(call.of.iter().map(|part| ((part.row, part.place), *target)));
        }
        Self {
            joined,
            parted,
            parts,
        }
    }

    /// Whose a line is that was that row's: of a call that is parted, it goes with the part whose span it names, else with the
    /// first.
    fn of(&self, row: i64, line: &LogLine) -> Option<Target> {
        let Some(parts) = self.parts.get(&row) else {
            return self.joined.get(&row).copied().flatten();
        };
        let named = line.span_id.map(|span_id| SpanRef {
            trace_id: line.trace_id,
            span_id,
        });
        let names = |spans: &BTreeSet<SpanRef>| named.is_some_and(|span| spans.contains(&span));
        let place = parts.iter().position(|part| names(&part.spans));
        self.parted
            .get(&(row, place.unwrap_or_default()))
            .copied()
            .flatten()
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

/// Whose lines a call can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Service<'a> {
    Is(Option<&'a str>),
    Any,
}

/// Where the calls of lines are found.
struct Owners<'a> {
    /// By the spans they are made of.
    spans: HashMap<SpanRef, usize>,
    /// By time: those that were handled. What is not said of a span is said of who handled the request, not of who sent
    /// it.
    handled: HashMap<(TraceId, Service<'a>), Intervals>,
}

impl<'a> Owners<'a> {
    fn new(merged: &'a [Merged]) -> Self {
        let mut spans = HashMap::with_capacity(merged.len());
        let mut handled: HashMap<(TraceId, Service<'a>), Vec<Interval>> = HashMap::new();
        for (index, Merged { node, .. }) in merged.iter().enumerate().filter(|(_, call)| !call.void) {
            for span in &node.spans {
                spans.entry(*span).or_insert(index);
            }
            let call = &node.call;
            if call.vantage != Vantage::Client {
                for service in [Service::Is(call.origin.service.as_deref()), Service::Any] {
                    let place = (call.started_at.0, call.ended_at().0, index);
                    handled.entry((call.trace_id, service)).or_default().push(place);
                }
            }
        }
        let handled = handled
            .into_iter()
            .map(|(key, items)| (key, Intervals::new(items)));
        Self {
            spans,
            handled: handled.collect(),
        }
    }

    /// The call a line belongs to: by the call's own spans, by the HTTP span that carried it, else the innermost of its
    /// service at that time.
    fn owner(
        &self,
        merged: &[Merged],
        https: &Https<'_>,
        line: &LogLine,
        effort: &Effort,
    ) -> Option<(usize, Surely)> {
        let span = |span_id| SpanRef {
            trace_id: line.trace_id,
            span_id,
        };
        let named = line.span_id.map(span);
        if let Some(index) = named.and_then(|span| self.spans.get(&span)) {
            return Some((*index, Surely::Span));
        }
        let on = named.and_then(|span| https.get(span));
        // Some libraries hang what follows below an HTTP span that ended long ago.
        if let Some(http) = on.filter(|http| lasts_at(http.started_at, http.ended_at, line.time)) {
            let mut below = self.below(merged, http, effort);
            match (below.next(), below.next()) {
                (Some(index), None) => return Some((index, Surely::Http)),
                (None, _) => {
                    let mut above = https.ancestors(line.trace_id, http.parent_span_id);
                    if let Some(index) = above.find_map(|span_id| self.spans.get(&span(span_id))) {
                        return Some((*index, Surely::Http));
                    }
                }
                _ => {}
            }
        }
        // A span of another service may be about to come, and be a call of its own.
        let service = match &line.service {
            None => Service::Any,
            Some(service) => Service::Is(Some(service)),
        };
        let from = line.time.plus(SLACK_NANOS).plus(LEAD_NANOS).0;
        let to = line.time.plus(-SLACK_NANOS).0;
        let at_the_time = self
            .handled
            .get(&(line.trace_id, service))
            .into_iter()
            .flat_map(|handled| effort.bounded(handled.around(from, to)));
        at_the_time
            .filter_map(|index| Some((index, &merged.get(index)?.node.call)))
            .min_by_key(|(index, call)| {
                let before = !lasts_at(call.started_at, call.ended_at(), line.time);
                let place = (call.started_at, call.primary_span_id, *index);
                (before, call.duration_nanos, place)
            })
            .map(|(index, _)| (index, Surely::Time))
    }

    /// The calls that an HTTP span of their service lasts around.
    fn below<'s>(
        &'s self,
        merged: &'s [Merged],
        http: &'s HttpSpan,
        effort: &'s Effort,
    ) -> impl Iterator<Item = usize> + 's {
        let service = Service::Is(http.origin.service.as_deref());
        let from = http.started_at.0.saturating_sub(SLACK_NANOS);
        let to = http.ended_at.0.saturating_add(SLACK_NANOS);
        let within = self
            .handled
            .get(&(http.trace_id, service))
            .into_iter()
            .flat_map(move |handled| effort.bounded(handled.within(from, to)));
        within.filter(move |index| {
            let call = merged.get(*index).map(|call| &call.node.call);
            call.is_some_and(|call| call.origin.same_service(&http.origin))
        })
    }
}

/// Whether something lasted at a time, roundings aside.
fn lasts_at(from: UnixNanos, to: UnixNanos, time: UnixNanos) -> bool {
    from.0.saturating_sub(SLACK_NANOS) <= time.0 && time.0 <= to.0.saturating_add(SLACK_NANOS)
}
