//! Whose the HTTP spans and lines are that wait in some traces: of calls that are erased, of calls that stay, or of nobody by ids.

mod reading;

use std::collections::{HashMap, HashSet};

use mcptap_model::{HttpSpan, SpanKind};

use super::{Erased, Trace};
use crate::rows::row::{span_number, trace_halves};

/// How far times of one request may differ that different spans give, in nanoseconds.
const SLACK: i64 = 5_000_000;

/// A span, by its trace and its own id.
type Span = (Trace, i64);

/// Whose something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owners {
    /// A call that is erased.
    erased: bool,
    /// A call that stays.
    other: bool,
}

impl Owners {
    fn add(&mut self, is_erased: bool) {
        self.erased |= is_erased;
        self.other |= !is_erased;
    }

    /// Adds those of something else. Tells whether there were new ones.
    fn join(&mut self, others: Self) -> bool {
        let before = *self;
        self.erased |= others.erased;
        self.other |= others.other;
        *self != before
    }
}

/// An HTTP span that waits.
#[derive(Clone, Copy, Debug)]
struct Http {
    row: i64,
    span: Span,
    parent: Option<Span>,
    is_servers: bool,
    from: i64,
    to: i64,
}

/// A line that waits.
#[derive(Clone, Copy, Debug)]
struct Line {
    row: i64,
    trace: Trace,
    /// The span that it names.
    span: Option<Span>,
    at: Option<i64>,
}

/// What is known of some traces.
#[derive(Debug, Default)]
pub(super) struct Known {
    https: Vec<Http>,
    lines: Vec<Line>,
    /// Rows that cannot be read. They are nobody's.
    damaged: Vec<i64>,
    /// The rows of those that were looked for by ids.
    rows: HashSet<i64>,
    /// By spans that are part of calls.
    spans: HashMap<Span, Owners>,
    /// By spans above calls, and those that calls link to.
    above: HashMap<Span, Owners>,
}

impl Known {
    /// The rows that ids say are of erased calls alone, where of the others only those right below the same HTTP spans are
    /// known: what carried an erased call, what it sent, and the lines that name these.
    pub(super) fn named_by(&self, erased: &[Erased]) -> Vec<i64> {
        let mut going = self.damaged.clone();
        let mut gone = own_spans(erased);
        for (http, below) in self.https.iter().zip(self.below()) {
            let mut owners = self.above.get(&http.span).copied().unwrap_or_default();
            owners.join(below);
            if owners.erased && !owners.other {
                gone.insert(http.span);
                going.push(http.row);
            }
        }
        let lines = self.lines.iter();
        let named = lines.filter(|line| line.span.is_some_and(|span| gone.contains(&span)));
        going.extend(named.map(|line| line.row));
        going
    }

    /// The rows that go.
    pub(super) fn going(&self, erased: &[Erased]) -> Vec<i64> {
        let mut of_trace: HashMap<Trace, Vec<&Erased>> = HashMap::new();
        for call in erased {
            of_trace.entry(call.trace).or_default().push(call);
        }
        let at_the_time = |trace: Trace, may: &dyn Fn(&Erased) -> bool| {
            let calls = of_trace.get(&trace);
            calls.is_some_and(|calls| calls.iter().any(|call| may(call)))
        };
        let mut going = self.damaged.clone();
        let mut gone = HashSet::new();
        let mut kept = HashSet::new();
        for (http, owners) in self.https.iter().zip(self.owners()) {
            if owners.other {
                kept.insert(http.span);
            } else if owners.erased || at_the_time(http.span.0, &|call| http.may_be_of(call)) {
                gone.insert(http.span);
                going.push(http.row);
            }
        }
        let own = own_spans(erased);
        for line in &self.lines {
            let named = |spans: &HashSet<Span>| line.span.is_some_and(|span| spans.contains(&span));
            let goes = named(&own)
                || named(&gone)
                || !named(&kept) && at_the_time(line.trace, &|call| line.may_be_of(call));
            if goes {
                going.push(line.row);
            }
        }
        going
    }

    /// Whose each HTTP span is, by ids.
    fn owners(&self) -> Vec<Owners> {
        let parents = self.parents();
        let parent = |at: usize| parents.get(at).copied().flatten();
        // Above a call: what carried it, and what led to that.
        let mut above = vec![Owners::default(); self.https.len()];
        for (at, http) in self.https.iter().enumerate() {
            let owners = self.above.get(&http.span).copied().unwrap_or_default();
            let mut next = (owners != Owners::default()).then_some(at);
            while let Some(at) = next
                && let Some(known) = above.get_mut(at)
                && known.join(owners)
            {
                next = parent(at);
            }
        }
        for (owners, below) in above.iter_mut().zip(self.below()) {
            owners.join(below);
        }
        above
    }

    /// Of each HTTP span the one right above it.
    fn parents(&self) -> Vec<Option<usize>> {
        let https = self.https.iter().enumerate();
        let by_span: HashMap<Span, usize> = https.map(|(at, http)| (http.span, at)).collect();
        let above = |http: &Http| by_span.get(&http.parent?).copied();
        self.https.iter().map(above).collect()
    }

    /// Whose each HTTP span is that a call sent, or that such a one led to.
    fn below(&self) -> Vec<Owners> {
        let parents = self.parents();
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        for at in 0..self.https.len() {
            if let Some(parent) = parents.get(at).copied().flatten() {
                children.entry(parent).or_default().push(at);
            }
        }
        let mut below = vec![Owners::default(); self.https.len()];
        let of_call = |http: &Http| self.spans.get(&http.parent?).copied();
        let roots = self.https.iter().enumerate();
        let mut left: Vec<(usize, Owners)> = roots
            .filter_map(|(at, http)| Some((at, of_call(http)?)))
            .collect();
        while let Some((at, owners)) = left.pop() {
            if below.get_mut(at).is_some_and(|known| known.join(owners)) {
                let children = children.get(&at).into_iter().flatten();
                left.extend(children.map(|child| (*child, owners)));
            }
        }
        below
    }
}

/// The spans of erased calls.
fn own_spans(erased: &[Erased]) -> HashSet<Span> {
    let spans = |call: &Erased| [Some(call.span), call.primary].map(|span| Some((call.trace, span?)));
    erased.iter().flat_map(spans).flatten().collect()
}

impl Http {
    fn of(row: i64, span: &HttpSpan) -> Self {
        let (hi, lo) = trace_halves(span.trace_id);
        let trace = (lo, hi);
        Self {
            row,
            span: (trace, span_number(span.span_id)),
            parent: span.parent_span_id.map(|parent| (trace, span_number(parent))),
            is_servers: span.kind == SpanKind::Server,
            from: span.started_at.0.saturating_sub(SLACK),
            to: span.ended_at.0.saturating_add(SLACK),
        }
    }

    /// Whether it may be of a call as far as times tell: what carries a request lasts around it.
    fn may_be_of(&self, call: &Erased) -> bool {
        if call.is_clients {
            return self.from <= call.to && call.from <= self.to;
        }
        self.is_servers && self.from <= call.from && call.to <= self.to
    }
}

impl Line {
    /// Whether it may be of a call as far as times tell.
    fn may_be_of(&self, call: &Erased) -> bool {
        let around = call.from.saturating_sub(SLACK)..=call.to.saturating_add(SLACK);
        call.is_clients && self.at.is_none_or(|at| around.contains(&at))
    }
}
