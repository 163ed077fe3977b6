//! Calls whose parts turned out to be of different requests: what hangs on them goes with the part that it is of.

use std::collections::BTreeSet;

use mcptap_model::SpanRef;

use crate::Error;
use crate::db::transaction::Transaction;
use crate::rows::row::{moved, span_number, trace_halves};
use crate::write::fold::{Parted, Target};

/// Lines of some spans of a call become another's; the same line may be there already, so they are copied, then deleted.
const COPY_LINES: &str = "WITH moved (source, target, flip, hi, lo, span) AS ({rows}) INSERT INTO log_lines \
    (call, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes) \
    SELECT target, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes \
    FROM log_lines JOIN moved ON call = source AND trace_hi = hi AND trace_lo = lo AND span_id = span \
    ON CONFLICT DO NOTHING";
const DELETE_LINES: &str = "WITH moved (source, target, flip, hi, lo, span) AS ({rows}) DELETE FROM log_lines \
    WHERE call IN (SELECT source FROM moved) \
    AND (call, trace_hi, trace_lo, span_id) IN (SELECT source, hi, lo, span FROM moved)";

/// So do lines of these spans that wait for a better place. 1 is [`kind::LOG`](crate::rows::row::kind::LOG).
const LINES_THAT_WAIT: &str = "WITH moved (source, target, flip, hi, lo, span) AS ({rows}) UPDATE waiting \
    SET call = moved.target FROM moved WHERE call = source AND kind = 1 AND trace_lo = lo AND span_id = span";

/// And watchers' spans. Under the key of a request they have only the first half of their trace.
/// 5 is [`kind::WATCHER`](crate::rows::row::kind::WATCHER).
const COPY_WATCHERS: &str = "WITH moved (source, target, flip, hi, lo, span) AS ({rows}) INSERT INTO waiting \
    (trace_hi, trace_lo, fingerprint, kind, call, origin, span_id, ended_at, data, arrived_at) \
    SELECT trace_hi, trace_lo, (fingerprint | flip) & ~(fingerprint & flip), kind, target, origin, span_id, ended_at, data, \
    arrived_at FROM waiting JOIN moved ON call = source AND kind = 5 AND trace_hi = hi AND span_id = span \
    ON CONFLICT DO NOTHING";
const DELETE_WATCHERS: &str = "WITH moved (source, target, flip, hi, lo, span) AS ({rows}) DELETE FROM waiting \
    WHERE kind = 5 AND call IN (SELECT source FROM moved) \
    AND (call, trace_hi, span_id) IN (SELECT source, hi, span FROM moved)";

/// What hangs on a call becomes another's, but for what names some spans: these are given for each call, with the other one.
const COPY_OTHER_LINES: &str = "WITH kept (source, target, flip, hi, lo, span) AS ({rows}) INSERT INTO log_lines \
    (call, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes) \
    SELECT target, time, fingerprint, trace_hi, trace_lo, span_id, severity, body, attributes \
    FROM log_lines JOIN (SELECT DISTINCT source, target FROM kept) AS calls ON call = source \
    WHERE span_id IS NULL OR (call, trace_hi, trace_lo, span_id) NOT IN (SELECT source, hi, lo, span FROM kept) \
    ON CONFLICT DO NOTHING";
const DELETE_OTHER_LINES: &str = "WITH kept (source, target, flip, hi, lo, span) AS ({rows}) DELETE FROM log_lines \
    WHERE call IN (SELECT source FROM kept) \
    AND (span_id IS NULL OR (call, trace_hi, trace_lo, span_id) NOT IN (SELECT source, hi, lo, span FROM kept))";
const OTHER_LINES_THAT_WAIT: &str = "WITH kept (source, target, flip, hi, lo, span) AS ({rows}) UPDATE waiting \
    SET call = calls.target FROM (SELECT DISTINCT source, target FROM kept) AS calls WHERE kind = 1 AND call = source \
    AND (span_id IS NULL OR (call, trace_lo, span_id) NOT IN (SELECT source, lo, span FROM kept))";
const COPY_OTHERS: &str = "WITH kept (source, target, flip, hi, lo, span) AS ({rows}) INSERT INTO waiting \
    (trace_hi, trace_lo, fingerprint, kind, call, origin, span_id, ended_at, data, arrived_at) \
    SELECT trace_hi, trace_lo, (fingerprint | flip) & ~(fingerprint & flip), kind, target, origin, span_id, ended_at, data, \
    arrived_at FROM waiting JOIN (SELECT DISTINCT source, target, flip FROM kept) AS calls ON call = source \
    WHERE kind IN (2, 4) OR (kind = 5 AND (call, trace_hi, span_id) NOT IN (SELECT source, hi, span FROM kept)) \
    ON CONFLICT DO NOTHING";
const DELETE_OTHERS: &str = "WITH kept (source, target, flip, hi, lo, span) AS ({rows}) DELETE FROM waiting \
    WHERE call IN (SELECT source FROM kept) \
    AND (kind IN (2, 4) OR (kind = 5 AND (call, trace_hi, span_id) NOT IN (SELECT source, hi, span FROM kept)))";

/// How many spans one statement names. Those of one call are never in two: what names none of them goes elsewhere.
const SPANS: usize = 512;

/// A span of a call, and whose it is to be, or whose all others are to be.
type Key = [Option<i64>; 6];

/// Parts calls, in as many statements whatever their number. What is above the views of their clients is written anew with the
/// calls that these are part of.
pub(super) async fn part(
    tx: &mut Transaction,
    parted: &[Parted],
    row_of: impl Fn(Target) -> i64,
) -> Result<(), Error> {
    let mut moved: Vec<Key> = Vec::new();
    let mut kept: Vec<Vec<Key>> = Vec::new();
    for Parted { row, first, others } in parted {
        let row = *row;
        let target = |target: &Option<Target>| target.map(&row_of).filter(|target| *target != row);
        let mut of_others: BTreeSet<SpanRef> = BTreeSet::new();
        for (spans, of) in others {
            of_others.extend(spans);
            if let Some(target) = target(of) {
                moved.extend(spans.iter().map(|span| key(row, target, *span)));
            }
        }
        if let Some(target) = target(first) {
            kept.push(of_others.iter().map(|span| key(row, target, *span)).collect());
        }
    }
    for statement in [
        COPY_LINES,
        DELETE_LINES,
        LINES_THAT_WAIT,
        COPY_WATCHERS,
        DELETE_WATCHERS,
    ] {
        tx.with_rows(statement, &moved).await?;
    }
    for kept in together(kept) {
        for statement in [
            COPY_OTHER_LINES,
            DELETE_OTHER_LINES,
            OTHER_LINES_THAT_WAIT,
            COPY_OTHERS,
            DELETE_OTHERS,
        ] {
            tx.with_rows_at_once(statement, &kept).await?;
        }
    }
    let rows: Vec<i64> = parted.iter().map(|parted| parted.row).collect();
    tx.with_keys("DELETE FROM waiting WHERE call IN ({keys}) AND kind = 3", &rows)
        .await?;
    Ok(())
}

/// Puts lists together as long as they stay short.
fn together(lists: Vec<Vec<Key>>) -> Vec<Vec<Key>> {
    let mut together: Vec<Vec<Key>> = Vec::new();
    for list in lists.into_iter().filter(|list| !list.is_empty()) {
        match together.last_mut() {
            Some(last) if last.len() + list.len() <= SPANS => last.extend(list),
            _ => together.push(list),
        }
    }
    together
}

fn key(row: i64, target: i64, span: SpanRef) -> Key {
    let (hi, lo) = trace_halves(span.trace_id);
    [row, target, moved(row, target), hi, lo, span_number(span.span_id)].map(Some)
}
