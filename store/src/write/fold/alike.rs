//! Requests that may be the same, found by what they say and when they were.

use std::collections::HashMap;

use mcptap_model::Call;

use super::intervals::{Interval, Intervals};

/// A part of a request's identity that may be unknown, as an index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part<'a> {
    /// Exactly this, or exactly unknown.
    Is(Option<&'a str>),
    /// Whatever it is.
    Any,
}

/// What agrees with this: the same and the unknown; with the unknown, everything.
fn agreeing(part: Option<&str>) -> impl Iterator<Item = Part<'_>> + Clone {
    let (first, second) = match part {
        Some(_) => (Part::Is(part), Some(Part::Is(None))),
        None => (Part::Any, None),
    };
    std::iter::once(first).chain(second)
}

/// Method, target, JSON-RPC id.
type Key<'a> = (&'a str, Part<'a>, Part<'a>);

/// Calls by method, target and JSON-RPC id, and by time.
#[derive(Debug)]
pub(super) struct Alike<'a>(HashMap<Key<'a>, Intervals>);

impl<'a> Alike<'a> {
    /// Of these calls, with the numbers by which they are given back.
    pub(super) fn new(calls: impl Iterator<Item = (usize, &'a Call)>) -> Self {
        let mut lists: HashMap<Key<'a>, Vec<Interval>> = HashMap::new();
        for (index, call) in calls {
            let (target, id) = (Part::Is(call.target()), Part::Is(call.request_id.as_deref()));
            for key in [
                (target, id),
                (target, Part::Any),
                (Part::Any, id),
                (Part::Any, Part::Any),
            ] {
                lists.entry((&call.method, key.0, key.1)).or_default().push((
                    call.started_at.0,
                    call.ended_at().0,
                    index,
                ));
            }
        }
        Self(
            lists
                .into_iter()
                .map(|(key, items)| (key, Intervals::new(items)))
                .collect(),
        )
    }

    fn agreeing<'s>(&'s self, call: &'s Call) -> impl Iterator<Item = &'s Intervals> + 's {
        let ids = agreeing(call.request_id.as_deref());
        agreeing(call.target())
            .flat_map(move |target| ids.clone().map(move |id| (target, id)))
            .filter_map(|(target, id)| self.0.get(&(call.method.as_str(), target, id)))
    }

    /// Those that can be of the same request, started at or before `from` and ended at or after `to`.
    pub(super) fn around<'s>(
        &'s self,
        call: &'s Call,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = usize> + 's {
        self.agreeing(call)
            .flat_map(move |intervals| intervals.around(from, to))
    }

    /// Those that can be of the same request, started at or after `from` and ended at or before `to`.
    pub(super) fn within<'s>(
        &'s self,
        call: &'s Call,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = usize> + 's {
        self.agreeing(call)
            .flat_map(move |intervals| intervals.within(from, to))
    }
}
