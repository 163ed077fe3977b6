//! Times that no clock can have told, stored by older versions.

use mcptap_migrations::{Migrator, MigratorTrait};
use mcptap_model::{Call, CallFilter, UnixNanos};
use mcptap_store::{Options, PageRequest};
use sea_orm::ConnectionTrait;

use crate::support::{NOON, Place, SECOND, batch, line, on_both, plain, span, trace};

on_both!(
    stored_times_are_mended_by_a_migration,
    extreme_times_do_not_break_sessions
);

const DAY: i64 = 86_400 * SECOND;

fn of_client(number: u64) -> Call {
    Call {
        client_name: Some("cursor".into()),
        ..plain(number)
    }
}

/// Back to before the step that is named like this.
async fn back_to_before(place: &Place, name: &str) {
    let all = Migrator::migrations();
    let at = all.iter().position(|step| step.name().ends_with(name)).unwrap();
    let db = place.connect().await;
    Migrator::down(&db, Some((all.len() - at) as u32)).await.unwrap();
    db.close().await.unwrap();
}

async fn walk(store: &mcptap_store::Store) -> Vec<std::sync::Arc<Call>> {
    let all = CallFilter::default();
    let page = store.calls(&all, PageRequest::default()).await.unwrap();
    page.items.into_iter().map(|stored| stored.call).collect()
}

async fn stored_times_are_mended_by_a_migration(place: &Place) {
    let (writer, store) = place.open().await;
    let calls: Vec<Call> = (1..=8).map(of_client).collect();
    writer
        .write(mcptap_model::Batch {
            logs: vec![line(&calls[0], 1, "odd"), line(&calls[1], 1, "good")],
            ..batch(calls.clone())
        })
        .await
        .unwrap();
    drop(writer);
    store.close().await;
    back_to_before(place, "_times").await;
    let db = place.connect().await;
    let odd = [
        // Beyond 63 bits, in the year 2262, ten years ahead, before all clocks.
        (1, format!("started_at = {}", i64::MAX)),
        (2, format!("started_at = {}, duration = {}", i64::MAX - 7, SECOND)),
        (3, format!("started_at = {}", NOON + 3_650 * DAY)),
        (4, format!("started_at = {}", i64::MIN + 1)),
        // No end, an end before the start, an arrival in the future.
        (5, format!("duration = {}", i64::MAX - NOON)),
        (6, "duration = -5".to_owned()),
        (
            7,
            format!("received_at = {}, started_at = {}", i64::MAX, i64::MAX),
        ),
    ];
    for (number, change) in &odd {
        let changed = format!("UPDATE calls SET {change} WHERE span_id = {number}");
        let result = db.execute_unprepared(&changed).await.unwrap();
        assert_eq!(result.rows_affected(), 1);
    }
    db.execute_unprepared(&format!(
        "UPDATE log_lines SET time = {} WHERE call = (SELECT id FROM calls WHERE span_id = 1)",
        i64::MAX
    ))
    .await
    .unwrap();
    db.close().await.unwrap();

    let (_writer, store) = place.open().await;
    let mended = walk(&store).await;
    assert_eq!(mended.len(), 8, "no call is lost");
    let now = mcptap_store::now().0;
    for call in &mended {
        assert!((NOON..now + DAY).contains(&call.started_at.0), "{call:?}");
        assert!((0..=call.received_at.0.max(NOON) - NOON + 2 * DAY).contains(&call.duration_nanos));
    }
    let of = |number: u64| mended.iter().find(|call| call.span_id == span(number)).unwrap();
    for number in [1, 2, 3, 4] {
        assert_eq!(of(number).started_at, of_client(number).received_at, "{number}");
    }
    assert_eq!(of(2).duration_nanos, SECOND);
    assert_eq!(of(3).duration_nanos, plain(3).duration_nanos);
    assert_eq!(of(5).duration_nanos, 7, "until it arrived");
    assert_eq!(of(6).duration_nanos, 0);
    assert!(of(7).received_at.0 <= now);
    // What was good stays as it was.
    assert_eq!(
        (of(8).started_at, of(8).duration_nanos, of(8).received_at),
        (plain(8).started_at, plain(8).duration_nanos, plain(8).received_at)
    );
    let row = store.call(trace(1), span(1)).await.unwrap().unwrap().row;
    let lines = &store.logs(&[row], PageRequest::default()).await.unwrap()[&row];
    assert_eq!(lines.items[0].1.time, of_client(1).received_at);

    let sessions = store
        .sessions(&CallFilter::default(), PageRequest::default())
        .await
        .unwrap();
    let calls: u64 = sessions.items.iter().map(|session| session.call_count).sum();
    assert_eq!(calls, 8);
    drop(store);

    // They are not beyond the reach of retention any more.
    let (_writer, store) = place
        .open_with(Options {
            retention: None,
            ..Options::default()
        })
        .await;
    let pruned = store.prune(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(pruned.calls, 8);
}

async fn extreme_times_do_not_break_sessions(place: &Place) {
    let (writer, store) = place.open().await;
    let at = |number: u64, time: i64| Call {
        started_at: UnixNanos(time),
        ..of_client(number)
    };
    let times = [i64::MAX, i64::MAX - 1, i64::MIN, 0, NOON, i64::MAX / 4 * 3 + 1];
    let calls = times.iter().zip(1..).map(|(time, number)| at(number, *time));
    writer.write(batch(calls)).await.unwrap();
    let all = CallFilter::default();
    let listed = walk(&store).await;
    assert_eq!(listed.len(), times.len());
    let moved = CallFilter {
        tools: vec!["lookup".into()],
        ..all.clone()
    };
    for filter in [&all, &moved] {
        let sessions = store.sessions(filter, PageRequest::default()).await.unwrap();
        let calls: u64 = sessions.items.iter().map(|session| session.call_count).sum();
        assert_eq!(calls, times.len() as u64);
        for session in sessions.items {
            let again = store.session(session.source, &session.server, &session.key).await;
            let again = again.unwrap().unwrap();
            assert_eq!(again.call_count, session.call_count);
        }
    }
    // Also at the ends of what a number can be, which older versions wrote.
    let db = place.connect().await;
    for (number, time) in [(1, i64::MAX), (3, i64::MIN + 1)] {
        let change = format!("UPDATE calls SET started_at = {time} WHERE span_id = {number}");
        db.execute_unprepared(&change).await.unwrap();
    }
    db.close().await.unwrap();
    let sessions = store.sessions(&all, PageRequest::default()).await.unwrap();
    let calls: u64 = sessions.items.iter().map(|session| session.call_count).sum();
    assert_eq!(calls, times.len() as u64);
}
