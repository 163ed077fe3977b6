//! A store in memory.

use std::collections::HashSet;

use mcptap_model::{Batch, Call, HttpSpan, LogLine, SpanRef};
use serde_json::Map;

use crate::write::fold::{
    Changes, Gathered, Heavy, Incoming, Known, Neighbourhood, Parted, Parts, Target, View, WaitingLine,
    Watcher, Whole, time_ranges,
};

/// A store in memory: what fold says, done to vectors.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) calls: Vec<(i64, Whole)>,
    aliases: Vec<(SpanRef, Option<i64>)>,
    https: Vec<HttpSpan>,
    links: Vec<(SpanRef, i64)>,
    views: Vec<View>,
    watchers: Vec<(Watcher, i64)>,
    parts: Vec<(i64, Parts)>,
    waiting: Vec<WaitingLine>,
    logs: Vec<(i64, LogLine)>,
    last: i64,
    /// How many spans were left out, since others have their ids.
    pub(super) left_out: usize,
}

impl Memory {
    /// Writes a batch; how many changes the feed would show.
    pub(super) fn write(&mut self, batch: Batch) -> usize {
        assert!(
            batch
                .observations
                .iter()
                .all(|one| time_ranges(&Incoming::new(batch.clone())).len() <= 2
                    || one.call.duration_nanos >= 0)
        );
        let gathered = Gathered::new(self.near(), Incoming::new(batch));
        let folding = gathered.fold(Neighbourhood::default());
        let wanted = folding.wanted();
        let details = self.calls.iter().filter(|(row, _)| wanted.contains(row));
        let changes = folding.finish(
            details.map(|(row, whole)| (*row, heavy(whole))).collect(),
            &HashSet::new(),
        );
        let shown = changes.added.len() + changes.completed.len();
        self.left_out += changes.foreign.len();
        self.apply(changes);
        shown
    }

    /// All that is stored and waits.
    fn near(&self) -> Neighbourhood {
        Neighbourhood {
            known: self
                .calls
                .iter()
                .map(|(row, whole)| Known {
                    row: *row,
                    call: Call {
                        stack_trace: None,
                        attributes: Map::new(),
                        ..whole.call.clone()
                    },
                })
                .collect(),
            https: self.https.clone(),
            logs: self.waiting.clone(),
            links: self.links.clone(),
            views: self.views.clone(),
            watchers: self.watchers.clone(),
            parts: self.parts.clone(),
            aliases: self.aliases.clone(),
            ..Neighbourhood::default()
        }
    }

    fn apply(&mut self, changes: Changes) {
        let first = self.last + 1;
        self.last += changes.added.len() as i64;
        let row = |target: Target| match target {
            Target::Known(row) => row,
            Target::Added(index) => first + index as i64,
        };
        self.calls.extend(
            changes
                .added
                .into_iter()
                .enumerate()
                .map(|(index, whole)| (first + index as i64, whole)),
        );
        for (of, whole) in changes.completed {
            let stored = &mut self.calls.iter_mut().find(|(row, _)| *row == of).unwrap().1;
            let details = heavy(stored);
            *stored = whole;
            if changes.undetailed.contains(&of) {
                stored.bodies = details.bodies;
                stored.call.stack_trace = details.stack_trace;
                stored.call.attributes = details.attributes;
            }
        }
        self.parts.retain(|(row, _)| !changes.no_parts.contains(row));
        for parted in &changes.parted {
            self.part(parted, row);
        }
        let removed: Vec<_> = changes
            .removed
            .into_iter()
            .map(|(gone, into)| (gone, into.map(row)))
            .collect();
        for &(gone, into) in &removed {
            self.calls.retain(|(row, _)| *row != gone);
            self.logs
                .iter_mut()
                .filter(|(row, _)| *row == gone)
                .for_each(|(row, _)| *row = into.unwrap_or(-1));
            self.waiting
                .iter_mut()
                .filter(|line| line.placed == Some(gone))
                .for_each(|line| line.placed = into);
        }
        for (gone, into) in removed {
            self.aliases
                .iter_mut()
                .filter(|(_, row)| *row == Some(gone))
                .for_each(|(_, row)| *row = into);
            self.watchers.retain(|(_, row)| *row != gone || into.is_some());
            self.watchers
                .iter_mut()
                .filter(|(_, row)| *row == gone)
                .for_each(|(_, row)| *row = into.unwrap_or(-1));
            let views = self.views.iter_mut().filter(|view| view.row == gone);
            views.for_each(|view| view.row = into.unwrap_or(-1));
            let links = self.links.iter_mut().filter(|(_, row)| *row == gone);
            links.for_each(|(_, row)| *row = into.unwrap_or(-1));
        }
        for (target, line) in changes.left {
            let left = (row(target), line);
            self.logs.retain(|line| *line != left);
        }
        for (span, target) in changes.aliases {
            self.aliases.retain(|(known, _)| *known != span);
            self.aliases.push((span, target.map(row)));
        }
        self.links.extend(
            changes
                .waiting_links
                .into_iter()
                .map(|(span, target)| (span, row(target))),
        );
        for (parts, target) in changes.parts {
            self.parts.push((row(target), parts));
        }
        for (above, origin, target) in changes.waiting_views {
            self.views.push(View {
                above,
                origin,
                row: row(target),
            });
        }
        for (watcher, target, _) in changes.waiting_watchers {
            if !self.watchers.iter().any(|(known, _)| *known == watcher) {
                self.watchers.push((watcher, row(target)));
            }
        }
        self.waiting
            .retain(|waiting| !changes.arrived.contains(&waiting.key));
        for (key, target) in changes.placed {
            let waiting = self.waiting.iter_mut().find(|waiting| waiting.key == key);
            waiting.unwrap().placed = Some(row(target));
        }
        for (line, placed) in changes.waiting_logs {
            if !self.waiting.iter().any(|waiting| waiting.line == line) {
                self.last += 1;
                self.waiting.push(WaitingLine {
                    key: self.last,
                    line,
                    placed: placed.map(row),
                });
            }
        }
        for (target, line) in changes.logs {
            let entry = (row(target), line);
            if !self.logs.contains(&entry) {
                self.logs.push(entry);
            }
        }
        for http in changes.waiting_https {
            if !self.https.contains(&http) {
                self.https.push(http);
            }
        }
    }

    /// Hangs what hangs on a call on those that its parts are now.
    fn part(&mut self, parted: &Parted, row: impl Fn(Target) -> i64) {
        let of = |span: Option<SpanRef>| {
            let mut others = parted.others.iter();
            let other = others.find(|(spans, _)| span.is_some_and(|span| spans.contains(&span)));
            other.map_or(parted.first, |(_, target)| *target).map(&row)
        };
        let of_line = |line: &LogLine| {
            of(line.span_id.map(|span_id| SpanRef {
                trace_id: line.trace_id,
                span_id,
            }))
        };
        for (call, line) in self.logs.iter_mut().filter(|(call, _)| *call == parted.row) {
            *call = of_line(line).unwrap_or(*call);
        }
        let placed = self.waiting.iter_mut();
        for waiting in placed.filter(|line| line.placed == Some(parted.row)) {
            waiting.placed = of_line(&waiting.line).or(waiting.placed);
        }
        for (watcher, call) in self.watchers.iter_mut().filter(|(_, call)| *call == parted.row) {
            *call = of(Some(watcher.span)).unwrap_or(*call);
        }
        for (_, call) in self.links.iter_mut().filter(|(_, call)| *call == parted.row) {
            *call = of(None).unwrap_or(*call);
        }
        self.views.retain(|view| view.row != parted.row);
    }

    /// The calls without what may depend on the order of arrival (which span came first), in order of start.
    pub(super) fn everything(&self) -> Vec<(Whole, Vec<String>)> {
        let lines = |row: i64| {
            let mut lines: Vec<_> = self
                .logs
                .iter()
                .filter(|(of, _)| *of == row)
                .map(|(_, line)| line.body.clone())
                .collect();
            lines.sort();
            lines
        };
        let mut told: Vec<_> = self
            .calls
            .iter()
            .map(|(row, whole)| {
                let mut whole = whole.clone();
                whole.call.span_id = whole.call.primary_span_id;
                (whole, lines(*row))
            })
            .collect();
        told.sort_by_key(|(whole, _)| (whole.call.started_at, whole.call.primary_span_id));
        told
    }

    /// The same without bodies.
    pub(super) fn told(&self) -> Vec<(Call, Vec<String>)> {
        let everything = self.everything().into_iter();
        everything.map(|(whole, lines)| (whole.call, lines)).collect()
    }
}

fn heavy(whole: &Whole) -> Heavy {
    Heavy {
        bodies: whole.bodies.clone(),
        stack_trace: whole.call.stack_trace.clone(),
        attributes: whole.call.attributes.clone(),
    }
}
