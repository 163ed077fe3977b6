//! The read set and the write set of a group. A group that was prepared while another one was committed is still right
//! when that one changed nothing of what this one read (optimistic concurrency control).

use std::collections::{HashMap, HashSet};

use mcptap_model::Call;

use crate::rows::row::trace_lo;
use crate::write::fold::{Changes, Target, TimeRange, watched_key};
use crate::write::incoming::Incoming;
use crate::write::neighbourhood;

/// What a neighbourhood was read from.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// All that is stored in these traces (calls, aliases, what waits), and what watchers saw of requests with these keys.
    pub(crate) traces: Vec<i64>,
    /// Calls, by row: those that were read, and those that were looked for, by whatever key.
    pub(crate) rows: HashSet<i64>,
    /// The calls of a server in a time.
    pub(crate) ranges: Vec<TimeRange>,
}

/// What a group changes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    traces: HashSet<i64>,
    rows: HashSet<i64>,
    /// By server, when the calls begin that are added or completed.
    starts: HashMap<String, Vec<i64>>,
}

impl Reads {
    /// What a batch reads for certain. What else it reads is known when that is read.
    pub(crate) fn of(batch: &Incoming) -> Self {
        Self {
            traces: neighbourhood::places(batch),
            rows: HashSet::new(),
            ranges: crate::write::fold::time_ranges(batch),
        }
    }
}

impl Writes {
    /// What the changes of a batch touch. What is stored in the batch's own traces counts as changed: what waits there is
    /// taken, placed and added by keys that say nothing of traces.
    pub(crate) fn of(reads: &Reads, changes: &Changes) -> Self {
        let mut writes = Self {
            traces: reads.traces.iter().copied().collect(),
            ..Self::default()
        };
        for call in &changes.added {
            writes.call(&call.call);
        }
        for (row, call) in &changes.completed {
            writes.rows.insert(*row);
            writes.call(&call.call);
        }
        for (row, target) in &changes.removed {
            writes.rows.insert(*row);
            writes.target(target.as_ref());
        }
        for (span, target) in &changes.aliases {
            writes.traces.insert(trace_lo(span.trace_id));
            writes.target(target.as_ref());
        }
        for (target, line) in &changes.logs {
            writes.traces.insert(trace_lo(line.trace_id));
            writes.target(Some(target));
        }
        for (target, line) in &changes.left {
            writes.traces.insert(trace_lo(line.trace_id));
            writes.target(Some(target));
        }
        for (_, target) in &changes.placed {
            writes.target(Some(target));
        }
        for (line, target) in &changes.waiting_logs {
            writes.traces.insert(trace_lo(line.trace_id));
            writes.target(target.as_ref());
        }
        for (span, target) in changes.waiting_links.iter().chain(&changes.joined_links) {
            writes.traces.insert(trace_lo(span.trace_id));
            writes.target(Some(target));
        }
        for (span, _, target) in &changes.waiting_views {
            writes.traces.insert(trace_lo(span.trace_id));
            writes.target(Some(target));
        }
        for (watcher, target, _) in &changes.waiting_watchers {
            writes.traces.insert(trace_lo(watcher.span.trace_id));
            writes.traces.extend(watcher.key());
            writes.target(Some(target));
        }
        for (parts, target) in &changes.parts {
            let spans = parts.iter().flat_map(|part| &part.spans);
            writes.traces.extend(spans.map(|span| trace_lo(span.trace_id)));
            writes.target(Some(target));
        }
        writes.rows.extend(&changes.no_parts);
        for parted in &changes.parted {
            writes.rows.insert(parted.row);
            writes.target(parted.first.as_ref());
            for (spans, target) in &parted.others {
                writes
                    .traces
                    .extend(spans.iter().map(|span| trace_lo(span.trace_id)));
                writes.target(target.as_ref());
            }
        }
        for http in &changes.waiting_https {
            writes.traces.insert(trace_lo(http.trace_id));
        }
        writes
    }

    fn call(&mut self, call: &Call) {
        self.traces.insert(trace_lo(call.trace_id));
        self.traces.extend(watched_key(call));
        self.starts
            .entry(call.server_name().to_owned())
            .or_default()
            .push(call.started_at.0);
    }

    fn target(&mut self, target: Option<&Target>) {
        if let Some(Target::Known(row)) = target {
            self.rows.insert(*row);
        }
    }

    /// Whether these change what was read.
    pub(crate) fn change(&self, reads: &Reads) -> bool {
        let (few, many) = if self.rows.len() < reads.rows.len() {
            (&self.rows, &reads.rows)
        } else {
            (&reads.rows, &self.rows)
        };
        reads.traces.iter().any(|trace| self.traces.contains(trace))
            || few.iter().any(|row| many.contains(row))
            || reads.ranges.iter().any(|range| {
                self.starts
                    .get(&range.server)
                    .is_some_and(|starts| starts.iter().any(|at| (range.from.0..=range.to.0).contains(at)))
            })
    }
}

#[cfg(test)]
mod tests {
    use mcptap_model::UnixNanos;

    use super::*;

    fn writes() -> Writes {
        Writes {
            traces: [1, 2].into(),
            rows: [10, 11].into(),
            starts: [("shop".to_owned(), vec![100, 200])].into(),
        }
    }

    fn range(server: &str, from: i64, to: i64) -> Reads {
        Reads {
            ranges: vec![TimeRange {
                server: server.to_owned(),
                from: UnixNanos(from),
                to: UnixNanos(to),
            }],
            ..Reads::default()
        }
    }

    #[test]
    fn groups_that_meet_in_a_trace_a_row_or_a_time() {
        let traces = |traces: &[i64]| Reads {
            traces: traces.to_vec(),
            ..Reads::default()
        };
        let rows = |rows: &[i64]| Reads {
            rows: rows.iter().copied().collect(),
            ..Reads::default()
        };
        for (reads, meets) in [
            (Reads::default(), false),
            (traces(&[0, 3]), false),
            (traces(&[0, 2]), true),
            (rows(&[9, 12, 13]), false),
            (rows(&[11]), true),
            (rows(&[1, 2, 3, 10]), true),
            (range("shop", 101, 199), false),
            (range("shop", 200, 200), true),
            (range("other", 0, 1000), false),
        ] {
            assert_eq!(writes().change(&reads), meets, "{reads:?}");
        }
    }
}
