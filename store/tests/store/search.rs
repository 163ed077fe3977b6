//! Searching: by the index of words, and past it.

use std::time::Duration;

use mcptap_model::search::Query;
use mcptap_model::{Batch, Call, CallFilter, LogLine, Payload};
use mcptap_store::{Asker, Error, Operation, Options, PageRequest, Store};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement, TransactionTrait};

use crate::filters::indexed;
use crate::support::{Place, batch, full, line, on_both, plain, span};

on_both!(
    what_is_indexed_is_found_without_its_texts,
    what_is_far_from_indexed_is_found,
    what_the_index_cannot_hold_is_found,
    lines_that_come_late_are_found,
    lines_that_leave_are_found_where_they_go,
    two_processes_build_one_index,
    what_is_past_its_time_leaves_the_index,
    what_is_deleted_meanwhile_does_not_come_back,
    large_bodies_are_read_one_by_one,
    a_search_ends_with_its_time,
    nobody_waits_and_the_database_stops,
);

fn filter(text: &str) -> CallFilter {
    CallFilter {
        search: Some(Query::parse(text)),
        ..CallFilter::default()
    }
}

fn without(text: &str) -> CallFilter {
    CallFilter {
        not: Some(Box::new(filter(text))),
        ..CallFilter::default()
    }
}

async fn count(store: &Store, filter: &CallFilter) -> u64 {
    let count = store.count(filter, 100_000).await.unwrap().value;
    let first = PageRequest {
        first: Some(500),
        ..PageRequest::default()
    };
    let page = store.calls(filter, first).await.unwrap();
    assert_eq!(page.items.len() as u64, count.min(500), "{filter:?}");
    count
}

fn saying(number: u64, text: &str) -> Call {
    Call {
        response: Some(Payload::whole(text.to_owned())),
        ..plain(number)
    }
}

/// Nothing is indexed while this is open.
async fn without_index(place: &Place) -> (mcptap_store::Writer, Store) {
    place
        .open_with(Options {
            retention: None,
            index_delay: Duration::from_secs(3600),
            ..Options::default()
        })
        .await
}

async fn what_is_indexed_is_found_without_its_texts(place: &Place) {
    let (writer, store) = place.open().await;
    // More than are listed, so that the database itself looks them up.
    let calls =
        (1..=6_000).map(|number| saying(number, if number % 3 == 0 { "blue whale" } else { "blue sky" }));
    writer.write(batch(calls)).await.unwrap();
    indexed(&store).await;
    let other = Database::connect(&place.url).await.unwrap();
    other.execute_unprepared("DELETE FROM details").await.unwrap();
    for (text, number) in [
        ("blue", 6_000),
        ("bl*", 6_000),
        ("whale", 2_000),
        ("blue wha*", 2_000),
        ("\"blue whale\"", 2_000),
        ("\"whale blue\"", 0),
        ("red", 0),
    ] {
        assert_eq!(count(&store, &filter(text)).await, number, "{text}");
        assert_eq!(count(&store, &without(text)).await, 6_000 - number, "not {text}");
    }
    let stats = store.stats(&filter("blue"), 10).await.unwrap();
    assert_eq!(stats.call_count, 6_000);
}

async fn what_is_far_from_indexed_is_found(place: &Place) {
    let (writer, store) = place.open().await;
    writer
        .write(batch((1..=10).map(|number| saying(number, "old news"))))
        .await
        .unwrap();
    indexed(&store).await;
    drop(writer);
    store.close().await;
    let (writer, store) = without_index(place).await;
    let new =
        (11..=2_500).map(|number| saying(number, if number % 500 == 0 { "news of today" } else { "-" }));
    writer.write(batch(new)).await.unwrap();
    assert!(store.metrics().index_lag > 2_000);
    for (text, number) in [("news", 15), ("old", 10), ("\"news of today\"", 5), ("tod*", 5)] {
        assert_eq!(count(&store, &filter(text)).await, number, "{text}");
        assert_eq!(count(&store, &without(text)).await, 2_500 - number, "not {text}");
    }
}

async fn what_the_index_cannot_hold_is_found(place: &Place) {
    let (writer, store) = place.open().await;
    let many: Vec<String> = (0..90_000).map(|number| format!("w{number}")).collect();
    writer
        .write(batch([saying(1, &many.join(" ")), saying(2, "w77 only")]))
        .await
        .unwrap();
    indexed(&store).await;
    for (text, number) in [
        ("w89999", 1),
        ("w77", 2),
        ("\"w77 w78\"", 1),
        ("w8*", 1),
        ("x", 0),
    ] {
        assert_eq!(count(&store, &filter(text)).await, number, "{text}");
    }
}

async fn lines_that_come_late_are_found(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([full(1), plain(2)])).await.unwrap();
    indexed(&store).await;
    assert_eq!(count(&store, &filter("perplexed")).await, 0);
    writer
        .write(Batch {
            logs: vec![line(&full(1), 9, "perplexed")],
            ..Batch::default()
        })
        .await
        .unwrap();
    assert_eq!(count(&store, &filter("perplexed")).await, 1);
    indexed(&store).await;
    assert_eq!(count(&store, &filter("perplexed")).await, 1);
}

async fn lines_that_leave_are_found_where_they_go(place: &Place) {
    let (writer, store) = place.open().await;
    // Of a span that has not come, so it is taken for one of the call that was running.
    let running = plain(1);
    let astray = LogLine {
        span_id: Some(span(77)),
        service: Some("shop".into()),
        ..line(&running, 1_000, "perplexed")
    };
    writer
        .write(Batch {
            logs: vec![astray],
            ..batch([running.clone()])
        })
        .await
        .unwrap();
    indexed(&store).await;
    let found = async || {
        let first = PageRequest::default();
        let page = store.calls(&filter("perplexed"), first).await.unwrap().items;
        page.iter().map(|stored| stored.call.span_id).collect::<Vec<_>>()
    };
    assert_eq!(found().await, [running.span_id]);
    let meant = Call {
        span_id: span(77),
        primary_span_id: span(77),
        tool: Some("other".into()),
        trace_id: running.trace_id,
        ..plain(20)
    };
    writer.write(batch([meant])).await.unwrap();
    assert_eq!(found().await, [span(77)]);
    indexed(&store).await;
    assert_eq!(found().await, [span(77)]);
}

async fn two_processes_build_one_index(place: &Place) {
    let (writer, store) = place.open().await;
    let (other_writer, other) = place.open().await;
    let say = |number| saying(number, "same");
    for from in [1, 101, 201, 301] {
        writer.write(batch((from..from + 50).map(say))).await.unwrap();
        other_writer
            .write(batch((from + 50..from + 100).map(say)))
            .await
            .unwrap();
    }
    indexed(&store).await;
    indexed(&other).await;
    let database = Database::connect(&place.url).await.unwrap();
    database.execute_unprepared("DELETE FROM details").await.unwrap();
    assert_eq!(count(&store, &filter("same")).await, 400);
    assert_eq!(count(&other, &filter("same")).await, 400);
}

async fn what_is_past_its_time_leaves_the_index(place: &Place) {
    let (writer, store) = place.open().await;
    let new = Call {
        started_at: mcptap_store::now(),
        received_at: mcptap_store::now(),
        ..saying(3, "kept")
    };
    writer
        .write(batch([saying(1, "gone"), saying(2, "gone too"), new]))
        .await
        .unwrap();
    indexed(&store).await;
    // A note of it goes as well.
    writer
        .write(Batch {
            logs: vec![line(&plain(2), 9, "gone")],
            ..Batch::default()
        })
        .await
        .unwrap();
    let pruned = store.prune(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(pruned.calls, 2);
    indexed(&store).await;
    let database = Database::connect(&place.url).await.unwrap();
    assert_eq!(rows(&database, "search").await, 1);
    assert_eq!(rows(&database, "unindexed").await, 0);
    assert_eq!(count(&store, &filter("kept")).await, 1);
}

async fn what_is_deleted_meanwhile_does_not_come_back(place: &Place) {
    let (writer, store) = place
        .open_with(Options {
            retention: None,
            index_delay: Duration::ZERO,
            ..Options::default()
        })
        .await;
    let words: Vec<String> = (0..2_000).map(|number| format!("w{number}")).collect();
    let words = words.join(" ");
    for round in 0..40 {
        let calls = (1..=30).map(|number| saying(round * 100 + number, &words));
        writer.write(batch(calls)).await.unwrap();
        // Until the index is being built, more or less.
        tokio::time::sleep(Duration::from_millis(round)).await;
        assert_eq!(store.prune(Duration::from_secs(3600)).await.unwrap().calls, 30);
    }
    indexed(&store).await;
    let database = Database::connect(&place.url).await.unwrap();
    assert_eq!(rows(&database, "search").await, 0);
}

async fn rows(database: &DatabaseConnection, table: &str) -> i64 {
    let statement = format!("SELECT count(*) FROM {table}");
    let statement = Statement::from_string(database.get_database_backend(), statement);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// Bodies of a mebibyte each, of which only a reading tells whether the phrase is in them.
async fn with_large_bodies(place: &Place, memory_budget: usize) -> (mcptap_store::Writer, Store) {
    let (writer, store) = without_index(place).await;
    for number in 1..=24 {
        let last = if number % 2 == 0 {
            "alpha beta gamma"
        } else {
            "alpha beta"
        };
        let body = format!("{} {last}", "alpha beta delta ".repeat(60_000));
        writer.write(batch([saying(number, &body)])).await.unwrap();
    }
    drop(writer);
    store.close().await;
    place
        .open_with(Options {
            retention: None,
            index_delay: Duration::from_secs(3600),
            memory_budget,
            ..Options::default()
        })
        .await
}

/// All of them together would not fit into the budget.
async fn large_bodies_are_read_one_by_one(place: &Place) {
    let (_writer, store) = with_large_bodies(place, 4 << 20).await;
    let phrase = filter("\"alpha beta gamma\"");
    assert_eq!(store.count(&phrase, 100).await.unwrap().value, 12);
    assert_eq!(store.stats(&phrase, 1).await.unwrap().call_count, 12);
    assert!(store.memory().used() < 1 << 20);
}

async fn a_search_ends_with_its_time(place: &Place) {
    let (_writer, store) = with_large_bodies(place, 64 << 20).await;
    let phrase = filter("\"alpha beta gamma\"");
    let operation = Operation::new(Asker::Server, Duration::from_millis(30));
    let counted = operation.run(store.count(&phrase, 100)).await;
    assert!(matches!(counted, Err(Error::TimedOut)), "{counted:?}");
    assert_eq!(store.count(&phrase, 100).await.unwrap().value, 12);
}

/// PostgreSQL alone: SQLite's readers wait for no locks, and are interrupted.
async fn nobody_waits_and_the_database_stops(place: &Place) {
    if !place.url.starts_with("postgres") {
        return;
    }
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1)])).await.unwrap();
    let other = Database::connect(&place.url).await.unwrap();
    let lock = other.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let waiting = async || {
        let statement = Statement::from_string(
            other.get_database_backend(),
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND state = 'active' AND wait_event_type = 'Lock' AND query LIKE '%\"some\"%'",
        );
        let row = other.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap()
    };
    let operation = Operation::new(Asker::Server, Duration::from_secs(600));
    let all = CallFilter::default();
    let mut asking = Box::pin(operation.run(store.count(&all, 10)));
    while waiting().await == 0 {
        let _ = tokio::time::timeout(Duration::from_millis(20), &mut asking).await;
    }
    drop(asking);
    // The lock is still held; without what is tested here the statement would wait for ten minutes.
    tokio::time::timeout(Duration::from_secs(60), async {
        while waiting().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the statement ends when nobody waits for it");
    lock.rollback().await.unwrap();
    assert_eq!(store.count(&all, 10).await.unwrap().value, 1);
}
