use mcptap_model::UnixNanos;
use sea_orm::EntityTrait;

use super::*;
use crate::access::gate::Gate;
use crate::db::transaction::Transaction;
use crate::db::transaction::tests::with_calls;
use crate::rows::entity::{call, waiting};
use crate::rows::row::kind;

#[tokio::test]
async fn what_waited_too_long_is_dropped_and_counted() {
    let database = Database::connect("sqlite::memory:", &Options::default())
        .await
        .unwrap();
    let mut tx = Transaction::begin(&database).await.unwrap();
    for (row, kind, arrived_at) in [(1, kind::LOG, 10), (2, kind::HTTP, 10), (3, kind::LOG, 30)] {
        tx.run_for_test(&format!(
            "INSERT INTO waiting (id, trace_lo, fingerprint, kind, data, arrived_at) \
             VALUES ({row}, 1, {row}, {kind}, x'00', {arrived_at})"
        ))
        .await;
    }
    tx.commit().await.unwrap();
    let counters = Counters::default();
    expire(&database, UnixNanos(20), &counters).await.unwrap();
    assert_eq!(counters.metrics().log_lines_dropped, 1);
    let left: Vec<i64> = waiting::Entity::find()
        .all(database.near())
        .await
        .unwrap()
        .iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(left, [3]);
}

/// The parts of a call that a watcher held together would fall apart without it.
#[tokio::test]
async fn parts_go_with_the_watcher_that_holds_them_together() {
    let database = Database::connect("sqlite::memory:", &Options::default())
        .await
        .unwrap();
    let mut tx = Transaction::begin(&database).await.unwrap();
    for (row, kind, call, arrived_at) in [
        (1, kind::WATCHER, 1, 10),
        (2, kind::PARTS, 1, 30),
        (3, kind::PARTS, 2, 30),
        (4, kind::WATCHER, 2, 30),
    ] {
        tx.run_for_test(&format!(
            "INSERT INTO waiting (id, trace_lo, fingerprint, kind, call, data, arrived_at) \
             VALUES ({row}, 1, {row}, {kind}, {call}, x'00', {arrived_at})"
        ))
        .await;
    }
    tx.commit().await.unwrap();
    expire(&database, UnixNanos(20), &Counters::default())
        .await
        .unwrap();
    let left = waiting::Entity::find().all(database.near()).await.unwrap();
    let mut left: Vec<i64> = left.iter().map(|row| row.id).collect();
    left.sort_unstable();
    assert_eq!(left, [3, 4]);
}

#[tokio::test]
async fn what_came_while_the_clock_was_ahead_keeps_nothing_that_came_later() {
    let database = Database::connect("sqlite::memory:", &Options::default())
        .await
        .unwrap();
    let mut tx = Transaction::begin(&database).await.unwrap();
    for (ids, arrived_at) in [("1 AND 2500", 1_000), ("2501 AND 5000", 10)] {
        tx.run_for_test(&format!(
            "INSERT INTO waiting (id, trace_lo, fingerprint, kind, data, arrived_at) \
             WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 5000) \
             SELECT id, 1, id, {}, x'00', {arrived_at} FROM n WHERE id BETWEEN {ids}",
            kind::LOG
        ))
        .await;
    }
    tx.commit().await.unwrap();
    let counters = Counters::default();
    expire(&database, UnixNanos(20), &counters).await.unwrap();
    assert_eq!(counters.metrics().log_lines_dropped, 2_500);
    let left = waiting::Entity::find().all(database.near()).await.unwrap();
    assert_eq!(left.len(), 2_500);
    assert!(left.iter().all(|row| row.arrived_at == 1_000));
}

#[tokio::test]
async fn what_an_interrupted_erasure_left_is_cleaned_up() {
    let database = Database::connect("sqlite::memory:", &Options::default())
        .await
        .unwrap();
    // The process before this one ended after it had deleted the only call with this name.
    let mut tx = Transaction::begin(&database).await.unwrap();
    for statement in [
        "INSERT INTO names (hash, kind, text) VALUES (x'01', 1, 'erased')",
        "UPDATE sequence SET deleted = 3 WHERE id = 1",
        "INSERT INTO audit (at, key, what, subject) VALUES (1, 7, 'deleteCalls', 'calls with tools: begun')",
    ] {
        tx.run_for_test(statement).await;
    }
    tx.commit().await.unwrap();
    let mut retention = retention(&database).await;
    retention.round().await.unwrap();
    assert_eq!(counted(&database).await.unwrap(), (3, 3));
    let names = crate::rows::entity::name::Entity::find();
    assert!(names.all(database.near()).await.unwrap().is_empty());
    let told = crate::rows::entity::audit::Entity::find()
        .all(database.near())
        .await
        .unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|entry| (entry.key, entry.subject.as_str()))
        .collect();
    assert_eq!(
        told[1..],
        [(
            Some(7),
            "calls with tools: interrupted; what it had deleted was removed from the files at the next start"
        )]
    );
    assert!(audit::interrupted(database.near()).await.unwrap().is_empty());
}

/// As of a process that just started.
async fn retention(database: &Database) -> Retention {
    let cleanup = Arc::new(Cleanup::default());
    Retention::new(
        database.clone(),
        Options::default(),
        Arc::default(),
        cleanup,
        CancellationToken::new(),
    )
}

async fn subjects(database: &Database) -> Vec<String> {
    let entries = crate::rows::entity::audit::Entity::find()
        .all(database.near())
        .await;
    entries.unwrap().into_iter().map(|entry| entry.subject).collect()
}

async fn of_two_processes(url: &str) {
    let erasing = Database::connect(url, &Options::default()).await.unwrap();
    let begun = audit::Begun::tell(&erasing, crate::Actor::Anybody, "all calls")
        .await
        .unwrap();
    // It runs beside another one.
    let other = audit::Begun::tell(&erasing, crate::Actor::Key(1), "some calls")
        .await
        .unwrap();
    let started = Database::connect(url, &Options::default()).await.unwrap();
    let mut retention = retention(&started).await;
    retention.round().await.unwrap();
    assert_eq!(
        subjects(&started).await,
        ["all calls: begun", "some calls: begun"]
    );
    // That process ends without a word.
    begun.end().await;
    other.end().await;
    // Also where no clean-up is due for a day.
    assert!(retention.next_cleanup > Instant::now());
    // A server frees the locks of a connection some time after its client left.
    let mut found = Vec::new();
    for _ in 0..200 {
        retention.round().await.unwrap();
        found = subjects(&started).await;
        if found.len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    found[2..].sort();
    assert_eq!(
        found,
        [
            "all calls: begun",
            "some calls: begun",
            "all calls: interrupted; what it had deleted was removed from the files at the next start",
            "some calls: interrupted; what it had deleted was removed from the files at the next start"
        ]
    );
    // The next one begins as always.
    audit::Begun::tell(&erasing, crate::Actor::Anybody, "all calls")
        .await
        .unwrap();
    erasing.close().await;
    started.close().await;
}

#[tokio::test]
async fn an_erasure_of_another_process_is_not_told_to_be_interrupted_while_it_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    of_two_processes(&format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("test.db").display()
    ))
    .await;
    if let Some(url) = crate::db::transaction::tests::of_server("audit").await {
        of_two_processes(&url).await;
    }
}

#[tokio::test]
async fn an_erasure_that_this_process_began_is_not_told_to_be_interrupted() {
    let database = Database::connect("sqlite::memory:", &Options::default())
        .await
        .unwrap();
    let mut retention = retention(&database).await;
    let begun = audit::Begun::tell(&database, crate::Actor::Anybody, "all calls");
    let _begun = begun.await.unwrap();
    // Also when the task is started anew.
    retention = Retention::new(
        database.clone(),
        Options::default(),
        Arc::default(),
        Arc::clone(&retention.cleanup),
        CancellationToken::new(),
    );
    retention.round().await.unwrap();
    assert_eq!(subjects(&database).await, ["all calls: begun"]);
}

#[tokio::test]
async fn a_step_waits_for_its_connection_before_it_has_the_lock() {
    let (writer, store) = with_calls(1, 1).await;
    let database = store.inner.database.clone();
    // All connections of maintenance but one have other work.
    let one = database.maintenance_snapshot().await.unwrap();
    let other = database.maintenance_snapshot().await.unwrap();
    let writing = Transaction::begin(&database).await.unwrap();
    let stepping = tokio::spawn({
        let database = database.clone();
        async move { step(&database, call::Entity::find, 1).await }
    });
    // By now it waits for the writer, and the last connection is its own, or is taken from it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let last = tokio::time::timeout(Duration::from_millis(300), database.maintenance_snapshot()).await;
    writing.rollback().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let next = tokio::time::timeout(Duration::from_secs(5), Transaction::begin(&database)).await;
    next.expect("the step has the lock and waits")
        .unwrap()
        .rollback()
        .await
        .unwrap();
    drop((one, other, last));
    let step = stepping.await.unwrap().unwrap();
    assert_eq!(step.map(|step| step.deleted.calls), Some(1));
    drop(writer);
    store.close().await;
}

#[tokio::test]
async fn the_keys_are_read_while_erasures_have_all_connections_of_maintenance() {
    let (writer, store) = with_calls(1, 1).await;
    let database = store.inner.database.clone();
    let mut busy = Vec::new();
    for _ in 0..3 {
        busy.push(database.maintenance_snapshot().await.unwrap());
    }
    let gate = Gate::open(database.clone()).await.unwrap();
    assert!(!gate.keys_exist());
    drop((busy, writer));
    store.close().await;
}

#[test]
fn what_is_kept_for_a_short_time_leaves_the_files_soon() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (kept, period) in [
        (None, day),
        (Some(30 * day), day),
        (Some(day), day / 8),
        (Some(Duration::from_secs(6)), PERIOD),
    ] {
        assert_eq!(cleanup_period(kept), period, "{kept:?}");
    }
}

#[tokio::test]
async fn what_cannot_expire_keeps_nothing_else_from_being_deleted() {
    let (writer, store) = with_calls(3, 1).await;
    let database = store.inner.database.clone();
    let mut tx = Transaction::begin(&database).await.unwrap();
    for statement in [
        "INSERT INTO waiting (trace_lo, fingerprint, kind, data, arrived_at) VALUES (1, 1, 1, x'00', 1)",
        "CREATE TRIGGER refuses BEFORE DELETE ON waiting BEGIN SELECT RAISE(ABORT, 'no'); END",
    ] {
        tx.run_for_test(statement).await;
    }
    tx.commit().await.unwrap();
    let mut retention = retention(&database).await;
    // All of them are past it.
    retention.options.retention = Some(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    retention.round().await.unwrap_err();
    let left = call::Entity::find().all(database.near()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    drop(writer);
    store.close().await;
}
