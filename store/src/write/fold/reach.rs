//! How far a batch reaches into a trace that is too large to be read as a whole: the ids that it names and the times
//! that it overlaps. No rule of folding looks further, within its bounds.

use std::collections::{HashMap, HashSet};

use mcptap_model::{SpanRef, TraceId, Vantage};

use super::inner;
use super::lines::LEAD_NANOS;
use super::relate::SLACK_NANOS;
use crate::write::incoming::Incoming;

/// How many stretches of time of one trace are told apart.
const WINDOWS: usize = 16;

/// What a batch can touch in one trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// Its own spans: what is below them, names them, or waits for them.
    pub(crate) own: HashSet<SpanRef>,
    /// Spans above its own and spans that its lines and links name.
    pub(crate) named: HashSet<SpanRef>,
    /// Spans whose children must be looked at besides: where a gateway lists instead of a request.
    pub(crate) listing: HashSet<SpanRef>,
    /// The times, in order: begin and end (inclusive), roundings included.
    pub(crate) windows: Vec<(i64, i64)>,
    /// Servers of calls that no span gave a session to.
    pub(crate) sessionless: HashSet<String>,
    /// There are HTTP spans, which lend sessions to calls and show that what others lent was not theirs.
    pub(crate) lends: bool,
    /// The service and scope of all its calls, if all are handled by one and nothing else may belong to calls at that
    /// time: others of the same are related by ids alone.
    pub(crate) alike: Option<(Option<String>, String)>,
}

/// What a batch can touch in each of some traces.
pub(crate) fn reaches(batch: &Incoming, traces: &HashSet<TraceId>) -> HashMap<TraceId, Reach> {
    let mut all: HashMap<TraceId, Gathered<'_>> =
        traces.iter().map(|trace| (*trace, Gathered::default())).collect();
    for observation in &batch.observations {
        for link in &observation.links {
            if let Some(of) = all.get_mut(&link.trace_id) {
                of.reach.named.insert(*link);
            }
        }
        let call = &observation.call;
        let Some(of) = all.get_mut(&call.trace_id) else {
            continue;
        };
        let span = |span_id| SpanRef {
            trace_id: call.trace_id,
            span_id,
        };
        of.reach.own.insert(span(call.span_id));
        let parent = call.parent_span_id.map(span);
        of.reach.named.extend(parent);
        if call.origin.scope == inner::LISTS_INSTEAD {
            of.reach.listing.extend(parent);
        }
        of.window(call.started_at.0, call.ended_at().0);
        if call.session.is_none() && call.session_id.is_none() {
            of.reach.sessionless.insert(call.server_name().to_owned());
        }
        of.mixed |= call.vantage == Vantage::Client;
        of.origins
            .insert((call.origin.service.as_deref(), &call.origin.scope));
    }
    for http in &batch.https {
        let Some(of) = all.get_mut(&http.trace_id) else {
            continue;
        };
        let span = |span_id| SpanRef {
            trace_id: http.trace_id,
            span_id,
        };
        of.reach.own.insert(span(http.span_id));
        of.reach.named.extend(http.parent_span_id.map(span));
        of.window(http.started_at.0, http.ended_at.0);
        of.mixed = true;
        of.reach.lends = true;
    }
    for line in &batch.logs {
        let Some(of) = all.get_mut(&line.trace_id) else {
            continue;
        };
        of.reach.named.extend(line.span_id.map(|span_id| SpanRef {
            trace_id: line.trace_id,
            span_id,
        }));
        of.window(line.time.0, line.time.0);
        of.mixed = true;
    }
    all.into_iter().map(|(trace, of)| (trace, of.finish())).collect()
}

/// The reach of a batch in one trace, while its records are gone through.
#[derive(Default)]
struct Gathered<'a> {
    reach: Reach,
    windows: Vec<(i64, i64)>,
    origins: HashSet<(Option<&'a str>, &'a str)>,
    /// There is more than calls that servers handle.
    mixed: bool,
}

impl Gathered<'_> {
    fn window(&mut self, from: i64, to: i64) {
        let around = SLACK_NANOS + LEAD_NANOS;
        self.windows
            .push((from.saturating_sub(around), to.saturating_add(around)));
    }

    fn finish(mut self) -> Reach {
        let mut origins = self.origins.into_iter();
        self.reach.alike = match (origins.next(), origins.next()) {
            (Some((service, scope)), None) if !self.mixed => {
                Some((service.map(str::to_owned), scope.to_owned()))
            }
            _ => None,
        };
        self.reach.windows = joined(self.windows);
        self.reach
    }
}

/// Stretches that overlap made one, and those with the shortest pauses between them where there are too many.
fn joined(mut windows: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    windows.sort_unstable();
    let pause = |pause: i64| move |last: i64, from: i64| from.saturating_sub(last) <= pause;
    let join = |windows: &[(i64, i64)], near: &dyn Fn(i64, i64) -> bool| {
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for &(from, to) in windows {
            match joined.last_mut() {
                Some((_, last)) if near(*last, from) => *last = to.max(*last),
                _ => joined.push((from, to)),
            }
        }
        joined
    };
    let windows = join(&windows, &pause(0));
    let mut pauses: Vec<i64> = windows
        .iter()
        .zip(windows.iter().skip(1))
        .map(|((_, last), (from, _))| from.saturating_sub(*last))
        .collect();
    pauses.sort_unstable_by(|one, other| other.cmp(one));
    match pauses.get(WINDOWS - 1) {
        Some(longest) => join(&windows, &pause(*longest)),
        None => windows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_overlap_are_one_and_there_are_few() {
        assert_eq!(joined(vec![(5, 9), (0, 3), (8, 12)]), [(0, 3), (5, 12)]);
        let many = (0..1000).map(|at| (at * 10 + at % 7, at * 10 + at % 7)).collect();
        let few = joined(many);
        assert!(few.len() <= WINDOWS, "{}", few.len());
        assert_eq!(
            (few.first().map(|one| one.0), few.last().map(|one| one.1)),
            (Some(0), Some(9990 + 999 % 7))
        );
    }
}
