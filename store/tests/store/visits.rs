//! Following one visit of a client: memory decides which calls are in it, and agrees with the database.

use std::collections::BTreeSet;
use std::time::Duration;

use mcptap_model::{Call, CallFilter, NodeId, SessionSource, UnixNanos};
use mcptap_store::{Actor, Change, Follower, PageRequest, Seq, SessionName, Store, Stored};

use crate::feed::read_all;
use crate::follow::history;
use crate::support::{NOON, Place, Random, batch, full, on_both, plain, span, trace};

on_both!(
    many_who_watch_visits_are_served_from_memory,
    calls_that_join_or_leave_a_visit_are_noticed,
    names_close_together_may_mean_different_visits,
    whatever_a_client_does,
);

const MINUTE: i64 = 60 * 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A call of a client, so many minutes after noon.
fn called(number: u64, client: &str, minute: i64) -> Call {
    Call {
        client_name: Some(client.to_owned()),
        started_at: UnixNanos(NOON + minute * MINUTE),
        ..plain(number)
    }
}

/// The visit of the client of a stored call that lasts at a time.
async fn visit(store: &Store, number: u64, minute: i64) -> CallFilter {
    let stored = store.call(trace(number), span(number)).await.unwrap().unwrap();
    let session = stored.call.session.clone().unwrap();
    assert_eq!(session.source, SessionSource::Client);
    let key = format!("{}@{}", session.key, NOON + minute * MINUTE);
    let id = NodeId::Session(session.source, stored.call.server_name().to_owned(), key);
    CallFilter {
        session_id: Some(id.to_string()),
        ..CallFilter::default()
    }
}

async fn next(follower: &mut Follower) -> Vec<Change> {
    let part = tokio::time::timeout(PATIENCE, follower.next(100)).await;
    part.expect("an answer in time").unwrap().unwrap().items
}

fn spans(changes: &[Change]) -> Vec<mcptap_model::SpanId> {
    changes.iter().map(|change| change.stored.call.span_id).collect()
}

/// However many follow visits, whatever is committed, late calls too: nobody asks the database.
async fn many_who_watch_visits_are_served_from_memory(place: &Place) {
    let (writer, store) = place.open().await;
    let clients = ["ada", "bo", "cy"];
    let first = (1..)
        .zip(clients)
        .map(|(number, client)| called(number, client, 0));
    writer.write(batch(first)).await.unwrap();
    let mut followers = Vec::new();
    for number in 0..60u64 {
        let mut filter = visit(&store, 1 + number % 3, 0).await;
        if number >= 30 {
            filter.search = Some(mcptap_model::search::Query::parse("lookup"));
        }
        let mut follower = store.follow(filter, None).await.unwrap();
        assert!(next(&mut follower).await.is_empty());
        followers.push(follower);
    }
    writer
        .write(batch([
            called(9, "ada", 1),
            called(10, "bo", 1),
            called(11, "cy", 1),
        ]))
        .await
        .unwrap();
    for follower in &mut followers {
        assert_eq!(next(follower).await.len(), 1);
    }
    let reads = store.metrics().catch_up_reads;
    // Later, earlier, in between; and of all clients some that are in no visit of these.
    for (round, minute) in (1..).zip([20, -10, 5, 49, -30, 70]) {
        let calls = (0..).zip(clients).flat_map(|(client, name)| {
            let number = 100 * round + 10 * client;
            [
                called(number, name, minute),
                called(number + 1, name, 1_000 * round as i64),
            ]
        });
        writer.write(batch(calls)).await.unwrap();
        for (number, follower) in (0..).zip(&mut followers) {
            assert_eq!(
                spans(&next(follower).await),
                [span(100 * round + 10 * (number % 3))]
            );
        }
    }
    assert_eq!(store.metrics().catch_up_reads, reads);
}

async fn calls_that_join_or_leave_a_visit_are_noticed(place: &Place) {
    let (writer, store) = place.open().await;
    writer
        .write(batch([called(1, "ada", 0), called(2, "ada", 50)]))
        .await
        .unwrap();
    let filter = visit(&store, 1, 0).await;
    let mut follower = store.follow(filter.clone(), None).await.unwrap();
    assert!(next(&mut follower).await.is_empty());
    // Joins both visits, so that the next call is in this one too.
    writer.write(batch([called(3, "ada", 25)])).await.unwrap();
    assert_eq!(spans(&next(&mut follower).await), [span(3)]);
    writer.write(batch([called(4, "ada", 80)])).await.unwrap();
    assert_eq!(spans(&next(&mut follower).await), [span(4)]);
    // A second call of its trace takes the joining call into another session, and what comes is not in this visit.
    let taken = Call {
        trace_id: trace(3),
        ..called(5, "ada", 25)
    };
    writer.write(batch([taken])).await.unwrap();
    writer
        .write(batch([called(6, "ada", 81), called(7, "ada", 10)]))
        .await
        .unwrap();
    assert_eq!(spans(&next(&mut follower).await), [span(7)]);
    let gone = CallFilter {
        to: Some(UnixNanos(NOON + 11 * MINUTE)),
        ..filter.clone()
    };
    store
        .erase(gone, Actor::CommandLine, "a visit".into())
        .await
        .unwrap();
    // The name finds what is near its time now.
    writer.write(batch([called(8, "ada", 20)])).await.unwrap();
    assert_eq!(spans(&next(&mut follower).await), [span(8)]);
}

/// A name keeps the time of a call that may be gone: what is asked for together is what each name means alone.
async fn names_close_together_may_mean_different_visits(place: &Place) {
    let (writer, store) = place.open().await;
    writer
        .write(batch([called(1, "ada", 0), called(2, "ada", 50)]))
        .await
        .unwrap();
    let stored = store.call(trace(1), span(1)).await.unwrap().unwrap();
    let client = stored.call.session.clone().unwrap().key;
    let names: Vec<SessionName> = (-40..100)
        .step_by(5)
        .map(|minute| SessionName {
            source: SessionSource::Client,
            server: stored.call.server_name().to_owned(),
            key: format!("{client}@{}", NOON + minute * MINUTE),
        })
        .collect();
    let together = store.sessions_of(&names).await.unwrap();
    let mut visits = BTreeSet::new();
    for name in &names {
        let alone = store.sessions_of(std::slice::from_ref(name)).await.unwrap();
        assert_eq!(together.get(name), alone.get(name), "{name:?}");
        visits.extend(alone.get(name).map(|session| session.key.clone()));
    }
    assert_eq!((visits.len(), together.len() < names.len()), (2, true));
}

async fn page(store: &Store, filter: &CallFilter) -> Vec<Stored> {
    let mut request = PageRequest {
        first: Some(100),
        ..PageRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let page = store.calls(filter, request).await.unwrap();
        all.extend(page.items);
        if !page.has_next {
            return all;
        }
        request.after = all.last().map(Stored::position);
    }
}

/// Calls of two clients at random times, some of which take others along into another session, erasures, and another
/// process that writes as well. After each commit every follower of a visit gets what the database says, and no more.
async fn whatever_a_client_does(place: &Place) {
    let (writer, store) = place.open().await;
    let (other_writer, _other) = place.open().await;
    let mut random = Random(5);
    let clients = ["ada", "bo"];
    writer
        .write(batch([called(1, "ada", 300), called(2, "bo", 300)]))
        .await
        .unwrap();
    let mut followers: Vec<(CallFilter, Seq, Follower)> = Vec::new();
    let mut waits = 0;
    for number in 3..160u64 {
        if followers.len() < 16 && random.below(4) == 0 {
            let minute = i64::try_from(random.below(600)).unwrap();
            let mut filter = visit(&store, 1 + random.below(2), minute).await;
            match random.below(4) {
                0 => filter.tools = vec!["lookup".into()],
                1 => {
                    filter = CallFilter {
                        not: Some(Box::new(filter)),
                        ..CallFilter::default()
                    }
                }
                _ => {}
            }
            let mut follower = store.follow(filter.clone(), None).await.unwrap();
            assert!(next(&mut follower).await.is_empty());
            followers.push((filter, store.head(), follower));
        }
        let minute = i64::try_from(random.below(600)).unwrap();
        let call = called(number, random.pick(&clients), minute);
        let written = match random.below(12) {
            // Of one trace with an earlier call.
            0 if number > 20 => {
                let earlier = 3 + random.below(number - 3);
                let call = Call {
                    trace_id: trace(earlier),
                    ..call
                };
                writer.write(batch([call])).await
            }
            // Completed: the call is another server's, and in a session that was named.
            1 if number > 20 => {
                let earlier = 3 + random.below(number - 3);
                writer.write(batch([full(earlier)])).await
            }
            2 => other_writer.write(batch([call])).await,
            3 if random.below(3) == 0 => {
                let gone = CallFilter {
                    from: Some(UnixNanos(NOON + minute * MINUTE)),
                    to: Some(UnixNanos(NOON + (minute + 40) * MINUTE)),
                    // The calls that the tests name visits by stay.
                    clients: vec!["nobody".into(), random.pick(&clients).to_owned()],
                    not: Some(Box::new(CallFilter {
                        trace_id: Some(trace(1 + random.below(2))),
                        ..CallFilter::default()
                    })),
                    ..CallFilter::default()
                };
                if minute > 200 && minute <= 300 {
                    continue;
                }
                store
                    .erase(gone, Actor::CommandLine, "some".into())
                    .await
                    .unwrap();
                continue;
            }
            _ => writer.write(batch([call])).await,
        };
        let head = written.unwrap().head;
        let noticed = async {
            while store.head() < head {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, noticed).await.unwrap();
        for (filter, position, follower) in &mut followers {
            let expected = store.changes(filter, *position, 100).await.unwrap();
            // Until the next read, its position is the end of its last answer.
            if !expected.items.is_empty() {
                *position = expected.upto;
                waits += 1;
                assert_eq!(next(follower).await, expected.items, "{filter:?}");
            }
        }
    }
    assert_eq!(followers.len(), 16);
    let reads = store.metrics().catch_up_reads;
    assert!(
        waits > 300 && reads < waits / 2,
        "{reads} reads for {waits} answers"
    );
    for (filter, ..) in &followers {
        let (followed, _) = history(&store, filter, Seq(0), 7).await;
        assert_eq!(followed, read_all(&store, filter, Seq(0), 7).await.0);
        let mut rows: Vec<i64> = page(&store, filter)
            .await
            .iter()
            .map(|stored| stored.row)
            .collect();
        rows.sort_unstable();
        let mut seen: Vec<i64> = followed.iter().map(|change| change.stored.row).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, rows);
    }
}
