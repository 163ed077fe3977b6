//! Log lines without any time. They are of the moment at which their export came first, so that the same export again brings
//! the same lines, and a nanosecond apart, so that lines that say the same are as many as were sent.

use mcptap_model::{Batch, LogLine, UnixNanos};
use mcptap_store::{Reservation, export_key};

/// The records of an export that has such lines.
pub(crate) struct Undated {
    batch: Batch,
    lines: Vec<LogLine>,
    /// Tells the export from others.
    pub(crate) export: i64,
    /// When it came.
    pub(crate) at: UnixNanos,
    held: Reservation,
}

impl Undated {
    /// The lines are in the order in which they came.
    pub(crate) fn new(batch: Batch, lines: Vec<LogLine>, at: UnixNanos, held: Reservation) -> Self {
        Self {
            batch,
            export: export_key(&lines),
            lines,
            at,
            held,
        }
    }

    /// All of it, where the export came first at this moment, and the memory that it takes.
    pub(crate) fn dated(self, first: UnixNanos) -> (Batch, Reservation) {
        let Self {
            mut batch,
            lines,
            held,
            ..
        } = self;
        let lines = (0..).zip(lines).map(|(after, line)| LogLine {
            time: first.plus(after),
            ..line
        });
        batch.logs.extend(lines);
        (batch, held)
    }
}
