//! Full is said, acknowledged means stored, and what one export brings does not harm another.

use mcptap_model::{Batch, Call, CallFilter};
use mcptap_store::{ErrorKind, Options, WriteError};
use sea_orm::{ConnectionTrait, Database};

use crate::support::{Place, batch, on_both, plain, span, trace};

on_both!(
    too_much_is_refused_at_once,
    what_was_acknowledged_is_there_after_a_crash,
    closing_stores_what_waits,
    writing_nothing_is_no_error,
    long_names_without_end_take_bounded_bytes,
    two_replicas_agree,
    a_record_that_is_refused_is_left_out_alone,
    an_error_that_is_not_about_data_rejects_nothing,
);

async fn too_much_is_refused_at_once(place: &Place) {
    let (writer, store) = place
        .open_with(Options {
            queue_records: 100,
            retention: None,
            ..Options::default()
        })
        .await;
    let error = writer.write(batch((1..=101).map(plain))).await.unwrap_err();
    assert!(
        matches!(
            error,
            WriteError::TooLarge {
                records: 101,
                limit: 100
            }
        ),
        "{error}"
    );
    let tasks: Vec<_> = (0..40u64)
        .map(|task| {
            let writer = writer.clone();
            tokio::spawn(async move {
                writer
                    .write(batch((task * 100 + 1..=task * 100 + 60).map(plain)))
                    .await
            })
        })
        .collect();
    let mut stored = 0;
    let mut refused = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => stored += 60,
            Err(WriteError::Overloaded { retry_after }) => {
                assert!(!retry_after.is_zero());
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(stored > 0 && refused > 0, "{stored} {refused}");
    assert_eq!(
        store.count(&CallFilter::default(), 10_000).await.unwrap().value,
        stored
    );
    let metrics = store.metrics();
    assert_eq!(
        (metrics.calls_added, metrics.overloads, metrics.queued_records),
        (stored, refused, 0)
    );
    // There is room again.
    writer.write(batch([plain(9999)])).await.unwrap();
}

async fn what_was_acknowledged_is_there_after_a_crash(place: &Place) {
    let (writer, store) = place.open().await;
    for number in 1..=50 {
        writer.write(batch([plain(number)])).await.unwrap();
    }
    let (reopened_url, _copy) = match place.file() {
        // What a killed process leaves behind: the files as they are, nothing closed.
        Some(file) => {
            let copy = tempfile::tempdir().unwrap();
            for suffix in ["", "-wal"] {
                let name = format!("test.db{suffix}");
                std::fs::copy(file.with_file_name(&name), copy.path().join(&name)).unwrap();
            }
            (
                format!("sqlite://{}", copy.path().join("test.db").display()),
                Some(copy),
            )
        }
        None => (place.url.clone(), None),
    };
    let (_other_writer, other) = mcptap_store::open(
        &reopened_url,
        Options {
            retention: None,
            ..Options::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(other.count(&CallFilter::default(), 100).await.unwrap().value, 50);
    assert_eq!(other.head(), store.head());
}

async fn closing_stores_what_waits(place: &Place) {
    let (writer, store) = place.open().await;
    let tasks: Vec<_> = (1..=20u64)
        .map(|number| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.write(batch([plain(number)])).await })
        })
        .collect();
    // Some wait in the queue, and others are still being packed: those are refused.
    while writer.queued() == 0 && tasks.iter().all(|task| !task.is_finished()) {
        tokio::task::yield_now().await;
    }
    drop(writer);
    store.close().await;
    let mut acknowledged = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => acknowledged += 1,
            Err(error) => assert!(matches!(error, mcptap_store::WriteError::Closed), "{error}"),
        }
    }
    assert!(acknowledged > 0);
    let (_writer, store) = place.open().await;
    let stored = store.count(&CallFilter::default(), 100).await.unwrap().value;
    assert_eq!(stored, acknowledged);
}

async fn writing_nothing_is_no_error(place: &Place) {
    let (writer, store) = place.open().await;
    assert_eq!(writer.write(Batch::default()).await.unwrap().head, store.head());
    // Texts that a database may not like.
    let odd = Call {
        tool: Some("a\0b".into()),
        error_message: Some("\u{10FFFF}\0".into()),
        resource_uri: Some(String::new()),
        server: Some("x".repeat(100_000)),
        ..plain(1)
    };
    writer.write(batch([odd])).await.unwrap();
    let stored = store.call(trace(1), span(1)).await.unwrap().unwrap();
    assert_eq!(stored.call.tool.as_deref(), Some("a\u{FFFD}b"));
    assert_eq!(stored.call.resource_uri.as_deref(), Some(""));
    // Names are cut, and say so.
    let server = stored.call.server.as_deref().unwrap();
    assert!(server.len() <= 1024 && server.contains('…'), "{server}");
    assert_eq!(store.metrics().names_cut, 1);
}

/// Names as long as they may be, other ones with each call.
async fn long_names_without_end_take_bounded_bytes(place: &Place) {
    const BUDGET: usize = 32 << 20;
    const CALLS: u64 = 2_000;
    let (writer, store) = place
        .open_with(Options {
            memory_budget: BUDGET,
            retention: None,
            ..Options::default()
        })
        .await;
    let long = |kind: &str, number: u64| Some(format!("{kind} {number} {}", "x".repeat(900)));
    let named = |number: u64, name: u64| Call {
        tool: long("tool", name),
        client_name: long("client", name),
        session_id: long("session", name),
        ..plain(number)
    };
    let bounded = || {
        let bytes = store.metrics().cache_bytes;
        assert!(bytes > 0 && bytes <= BUDGET as u64 / 16, "{bytes}");
        assert!(store.metrics().recent_bytes <= BUDGET as u64 / 16);
    };
    // The second time all names are known to the database, and most of them are not remembered.
    for round in 0..2 {
        for first in (1..=CALLS).step_by(250) {
            let calls = (first..first + 250).map(|name| named(round * CALLS + name, name));
            writer.write(batch(calls)).await.unwrap();
            bounded();
        }
    }
    for number in (1..=2 * CALLS).step_by(7) {
        let stored = store.call(trace(number), span(number)).await.unwrap().unwrap();
        let expected = named(number, (number - 1) % CALLS + 1);
        assert_eq!(stored.call.tool, expected.tool);
        assert_eq!(stored.call.client_name, expected.client_name);
        assert_eq!(stored.call.session_id, expected.session_id);
        bounded();
    }
    let database = Database::connect(&place.url).await.unwrap();
    for table in ["clients", "sessions"] {
        let sql = format!("SELECT CAST(count(*) AS BIGINT) FROM {table}");
        let counted = sea_orm::Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(counted).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), CALLS as i64, "{table}");
    }
}

/// Two processes over one database, each given its part of the same spans.
async fn two_replicas_agree(place: &Place) {
    let (one, store) = place.open().await;
    let (other, _other_store) = place.open().await;
    let spans = |writer: mcptap_store::Writer| async move {
        for part in 0..10u64 {
            writer
                .write(batch((part * 7 + 1..=part * 7 + 12).map(plain)))
                .await
                .unwrap();
        }
    };
    tokio::join!(spans(one), spans(other));
    assert_eq!(store.count(&CallFilter::default(), 1000).await.unwrap().value, 75);
    let changes = crate::feed::read_all(&store, &CallFilter::default(), mcptap_store::Seq(0), 500)
        .await
        .0;
    assert_eq!(changes.len(), 75);
}

async fn a_record_that_is_refused_is_left_out_alone(place: &Place) {
    let (writer, store) = place.open().await;
    let direct = Database::connect(place.url.as_str()).await.unwrap();
    direct
        .execute_unprepared(if place.url.starts_with("sqlite") {
            "CREATE TRIGGER poison BEFORE INSERT ON calls WHEN NEW.request_id = 'poison' \
             BEGIN SELECT RAISE(ABORT, 'poison'); END"
        } else {
            "ALTER TABLE calls ADD CONSTRAINT poison CHECK (request_id <> 'poison')"
        })
        .await
        .unwrap();
    let tasks: Vec<_> = (1..=40u64)
        .map(|number| {
            let writer = writer.clone();
            let request_id = (number % 8 == 0).then(|| "poison".to_owned());
            let calls = [
                Call {
                    request_id,
                    ..plain(number)
                },
                plain(number + 100),
            ];
            tokio::spawn(async move { (number, writer.write(batch(calls)).await) })
        })
        .collect();
    for task in tasks {
        let (number, outcome) = task.await.unwrap();
        let rejected = outcome.unwrap().rejected;
        if number % 8 == 0 {
            assert_eq!(rejected.len(), 1, "{rejected:?}");
            assert_eq!(rejected[0].records, 1);
            assert!(rejected[0].reason.contains("poison"), "{rejected:?}");
        } else {
            assert_eq!(rejected, []);
        }
    }
    // All but what is refused.
    assert_eq!(store.count(&CallFilter::default(), 1000).await.unwrap().value, 75);
    assert_eq!(store.metrics().records_rejected, 5);
    let changes = crate::feed::read_all(&store, &CallFilter::default(), mcptap_store::Seq(0), 500)
        .await
        .0;
    assert_eq!(changes.len(), 75);
    direct.close().await.unwrap();
}

async fn an_error_that_is_not_about_data_rejects_nothing(place: &Place) {
    let (writer, store) = place.open().await;
    let direct = Database::connect(place.url.as_str()).await.unwrap();
    writer.write(batch([plain(1)])).await.unwrap();
    let rename = |from, to| format!("ALTER TABLE {from} RENAME TO {to}");
    direct
        .execute_unprepared(&rename("details", "gone"))
        .await
        .unwrap();
    let call = crate::support::full(2);
    let error = writer.write(batch([call.clone(), plain(3)])).await.unwrap_err();
    assert!(
        matches!(&error, WriteError::Database(error) if error.kind() == ErrorKind::Internal),
        "{error}"
    );
    direct
        .execute_unprepared(&rename("gone", "details"))
        .await
        .unwrap();
    let written = writer.write(batch([call, plain(3)])).await.unwrap();
    assert_eq!(written.rejected, []);
    assert_eq!(store.count(&CallFilter::default(), 1000).await.unwrap().value, 3);
    direct.close().await.unwrap();
}
