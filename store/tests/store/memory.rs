//! What groups read of the database stays within the memory budget: a group that reads too much is stored in parts, and
//! what cannot be read at all is refused without harm to others.

use std::time::Duration;

use mcptap_model::{Batch, CallFilter};
use mcptap_store::{Options, Store, WriteError, Writer};

use crate::support::{Place, batch, line, on_both, plain};

on_both!(
    a_group_that_reads_too_much_is_stored_in_parts,
    an_export_that_reads_too_much_is_stored_in_parts,
    what_never_fits_is_refused_alone,
);

const BUDGET: usize = 8 << 20;
/// A line is cut beyond 64 KiB. Three times its size is reserved while it is read.
const LINE: usize = 60_000;
/// How many lines wait in each trace.
const LINES: i64 = 8;
/// All that waits is more than twice the budget.
const TRACES: u64 = 14;

async fn open(place: &Place) -> (Writer, Store) {
    place
        .open_with(Options {
            retention: None,
            memory_budget: BUDGET,
            index_delay: Duration::from_secs(3600),
            ..Options::default()
        })
        .await
}

/// A line that waits for a call.
fn waits(number: u64, at: i64) -> Batch {
    Batch {
        logs: vec![line(&plain(number), at, &"x".repeat(LINE))],
        ..Batch::default()
    }
}

async fn lines_wait(writer: &Writer) {
    for number in 1..=TRACES {
        for at in 0..LINES {
            writer.write(waits(number, at)).await.unwrap();
        }
    }
}

/// Nothing is refused, nothing is missing, and nothing stays reserved but what caches hold.
async fn all_is_stored(store: &Store, calls: u64) {
    let counted = store.count(&CallFilter::default(), 1_000).await.unwrap();
    let metrics = store.metrics();
    assert_eq!((counted.value, metrics.calls_added), (calls, calls));
    assert_eq!(metrics.log_lines, calls * LINES as u64);
    assert_eq!((metrics.overloads, metrics.records_rejected), (0, 0));
    given_back(store).await;
}

async fn given_back(store: &Store) {
    let kept = || (store.metrics().recent_bytes + store.metrics().cache_bytes) as usize;
    // The answer comes a moment before its group is dropped.
    for _ in 0..100 {
        if store.memory().used() <= kept() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "{} bytes stay taken, caches have {}",
        store.memory().used(),
        kept()
    );
}

async fn a_group_that_reads_too_much_is_stored_in_parts(place: &Place) {
    let (writer, store) = open(place).await;
    lines_wait(&writer).await;
    let before = store.metrics().commits;
    let mut senders = tokio::task::JoinSet::new();
    for number in 1..=TRACES {
        let writer = writer.clone();
        senders.spawn(async move { writer.write(batch([plain(number)])).await });
    }
    while let Some(written) = senders.join_next().await {
        assert!(written.unwrap().unwrap().rejected.is_empty());
    }
    all_is_stored(&store, TRACES).await;
    assert!(store.metrics().commits - before >= 3);
}

async fn an_export_that_reads_too_much_is_stored_in_parts(place: &Place) {
    let (writer, store) = open(place).await;
    lines_wait(&writer).await;
    let written = writer.write(batch((1..=TRACES).map(plain))).await.unwrap();
    assert_eq!((written.added, written.rejected.len()), (TRACES as usize, 0));
    all_is_stored(&store, TRACES).await;
}

async fn what_never_fits_is_refused_alone(place: &Place) {
    let (writer, store) = open(place).await;
    // Of a trace with so many lines even one more cannot be read.
    let mut lines = 0;
    let refused = loop {
        match writer.write(waits(1, lines)).await {
            Ok(_) => lines += 1,
            Err(error) => break error,
        }
        assert!(lines < 100, "everything that waits is read within the budget");
    };
    assert!((30..48).contains(&lines), "{lines}");
    let told_to_wait = |error: &WriteError| matches!(error, WriteError::Overloaded { retry_after } if !retry_after.is_zero());
    assert!(told_to_wait(&refused), "{refused}");
    // Together with others too, who are stored.
    let mut senders = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let writer = writer.clone();
        let batch = match number {
            1 => waits(1, lines),
            _ => batch([plain(number)]),
        };
        senders.spawn(async move { (number, writer.write(batch).await) });
    }
    while let Some(sent) = senders.join_next().await {
        match sent.unwrap() {
            (1, written) => assert!(told_to_wait(&written.unwrap_err())),
            (_, written) => assert!(written.unwrap().rejected.is_empty()),
        }
    }
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 19);
    assert_eq!(store.metrics().overloads, 2);
    given_back(&store).await;
    // Not the store is full: that would end with the next write.
    writer.write(batch([plain(21)])).await.unwrap();
}
