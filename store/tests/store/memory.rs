//! What groups read of the database stays within the memory budget: a group that reads too much is stored in parts, and a
//! record that alone would read too much does without some.

use std::time::Duration;

use mcptap_model::{Batch, Call, CallFilter, Payload};
use mcptap_store::{Error, Options, Store, WriteError, Writer};
use sea_orm::{ConnectionTrait, DbBackend};

use crate::support::{Place, Random, batch, line, on_both, plain};

on_both!(
    a_group_that_reads_too_much_is_stored_in_parts,
    an_export_that_reads_too_much_is_stored_in_parts,
    a_fault_of_the_schema_is_no_records_fault_while_an_export_is_halved,
    of_what_never_fits_a_record_does_without_some,
    details_that_never_fit_stay_as_they_are,
);

const BUDGET: usize = 8 << 20;
/// A line is cut beyond 64 KiB. Four times its size is reserved while it is read.
const LINE: usize = 28_000;
/// How many lines wait in each trace.
const LINES: i64 = 8;
/// All that waits is more than twice the budget.
const TRACES: u64 = 28;

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

async fn a_fault_of_the_schema_is_no_records_fault_while_an_export_is_halved(place: &Place) {
    let (writer, store) = open(place).await;
    lines_wait(&writer).await;
    let db = place.connect().await;
    let (make, mend) = if db.get_database_backend() == DbBackend::Sqlite {
        (
            "CREATE TRIGGER refuses BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no'); END",
            "DROP TRIGGER refuses",
        )
    } else {
        (
            "ALTER TABLE calls ADD CONSTRAINT refuses CHECK (false) NOT VALID",
            "ALTER TABLE calls DROP CONSTRAINT refuses",
        )
    };
    db.execute_unprepared(make).await.unwrap();
    // It does not fit into memory, so nothing is known of the fault before it is in parts.
    let sent = writer.write(batch((1..=TRACES).map(plain))).await;
    assert!(
        matches!(sent, Err(WriteError::Database(Error::Refused(_)))),
        "{sent:?}"
    );
    assert_eq!(store.metrics().records_rejected, 0);
    db.execute_unprepared(mend).await.unwrap();
    db.close().await.unwrap();
    let written = writer.write(batch((1..=TRACES).map(plain))).await.unwrap();
    assert!(written.rejected.is_empty());
    all_is_stored(&store, TRACES).await;
}

async fn of_what_never_fits_a_record_does_without_some(place: &Place) {
    let (writer, store) = open(place).await;
    // All of them take three times the budget.
    let lines = 100;
    for at in 0..lines {
        assert!(writer.write(waits(1, at)).await.unwrap().rejected.is_empty());
    }
    // Together with others too.
    let mut senders = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let writer = writer.clone();
        senders.spawn(async move { writer.write(batch([plain(number)])).await });
    }
    while let Some(sent) = senders.join_next().await {
        assert!(sent.unwrap().unwrap().rejected.is_empty());
    }
    // The same once more: the call that it names is known, whatever else is near.
    writer.write(batch([plain(1)])).await.unwrap();
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 20);
    let metrics = store.metrics();
    assert_eq!((metrics.overloads, metrics.records_rejected), (0, 0));
    assert!(
        (1..lines as u64).contains(&metrics.log_lines),
        "{}",
        metrics.log_lines
    );
    assert!(metrics.join_limited > 0);
    given_back(&store).await;
}

/// A view of a stored call whose details are larger than one record may read changes nothing, and others are stored.
async fn details_that_never_fit_stay_as_they_are(place: &Place) {
    let (writer, store) = place
        .open_with(Options {
            retention: None,
            memory_budget: BUDGET,
            body_cap: 2 << 20,
            ..Options::default()
        })
        .await;
    let mut random = Random(7);
    let mut noise = || {
        Payload::whole(
            (0..1_350_000)
                .map(|_| char::from(b'!' + random.below(94) as u8))
                .collect(),
        )
    };
    let large = Call {
        request: Some(noise()),
        response: Some(noise()),
        ..plain(1)
    };
    writer.write(batch([large.clone()])).await.unwrap();
    let late = Call {
        request_id: Some("late".to_owned()),
        ..plain(1)
    };
    let written = writer.write(batch([late, plain(2)])).await.unwrap();
    assert!(written.rejected.is_empty());
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 2);
    let metrics = store.metrics();
    assert_eq!((metrics.overloads, metrics.records_rejected), (0, 0));
    assert!(metrics.join_limited > 0);
    let stored = store.call(plain(1).trace_id, plain(1).span_id).await.unwrap();
    let row = stored.unwrap().row;
    // In a store with room for it, as here there is none.
    let (_, store) = place.open().await;
    let details = store.details(&[row]).await.unwrap();
    assert_eq!(
        (&details[&row].request, &details[&row].response),
        (&large.request, &large.response)
    );
}
