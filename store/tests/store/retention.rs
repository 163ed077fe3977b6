//! What is past its time is not served, and deleted for good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcptap_model::{Batch, Call, CallFilter, SessionKey, SessionSource, UnixNanos};
use mcptap_store::{FacetSet, Options, PageRequest, Seq};

use crate::support::{Place, SECOND, batch, full, line, on_both, plain, span, trace};

on_both!(
    what_is_past_its_time_is_not_served,
    pruning_deletes_for_good_and_gives_space_back
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn days_ago(days: u32) -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - DAY * days;
    UnixNanos(since.as_nanos() as i64)
}

async fn what_is_past_its_time_is_not_served(place: &Place) {
    let (writer, store) = place
        .open_with(Options {
            retention: Some(DAY * 10),
            ..Options::default()
        })
        .await;
    let old = Call {
        started_at: days_ago(11),
        received_at: days_ago(11),
        server: Some("old".into()),
        ..full(1)
    };
    let young = Call {
        started_at: days_ago(9),
        received_at: days_ago(9),
        ..full(2)
    };
    // Its clock was a year ahead: it says that it is young. Its session and its server have no other call.
    let ahead = Call {
        started_at: days_ago(0).plus(365 * 86_400 * SECOND),
        received_at: days_ago(11),
        server: Some("ahead".into()),
        session_id: None,
        session: None,
        ..full(3)
    };
    let logs = vec![
        line(&old, 1, "old"),
        line(&young, 1, "young"),
        line(&ahead, 1, "ahead"),
    ];
    writer
        .write(Batch {
            logs,
            ..batch([old, young, ahead.clone()])
        })
        .await
        .unwrap();
    let all = CallFilter::default();
    assert_eq!(store.call(trace(1), span(1)).await.unwrap(), None);
    assert_eq!(
        store
            .calls(&all, PageRequest::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(store.count(&all, 10).await.unwrap().value, 1);
    assert_eq!(store.changes(&all, Seq(0), 10).await.unwrap().items.len(), 1);
    assert_eq!(store.facets(&all, FacetSet::ALL).await.unwrap().servers.len(), 1);
    assert_eq!(
        store.servers(PageRequest::default()).await.unwrap().items.len(),
        1
    );
    assert_eq!(store.server("old").await.unwrap(), None);
    assert_eq!(store.server("ahead").await.unwrap(), None);
    assert_eq!(store.call(trace(3), span(3)).await.unwrap(), None);
    assert_eq!(store.details(&[1, 2, 3]).await.unwrap().len(), 1);
    let logs = store.logs(&[1, 2, 3], PageRequest::default()).await.unwrap();
    let lines = [1, 2, 3].map(|row| logs[&row].items.len());
    assert_eq!(lines, [0, 1, 0]);
    let tools = store.tools(&all, PageRequest::default()).await.unwrap();
    assert_eq!(tools.items.len(), 1);
    // Sessions are seen along other ways: of everything, of a filter, and by their keys.
    for filter in [
        all.clone(),
        CallFilter {
            methods: vec!["tools/call".into()],
            ..all.clone()
        },
    ] {
        let sessions = store.sessions(&filter, PageRequest::default()).await.unwrap();
        let calls: u64 = sessions.items.iter().map(|session| session.call_count).sum();
        assert_eq!((sessions.items.len(), calls), (1, 1));
    }
    // The feed in memory and in the database.
    let mut here = store.follow(all.clone(), None).await.unwrap();
    let mut from_start = store.follow(all.clone(), Some(Seq(0))).await.unwrap();
    let ahead = Call {
        trace_id: trace(98),
        span_id: span(98),
        ..ahead
    };
    let young = Call {
        started_at: days_ago(1),
        received_at: days_ago(1),
        ..plain(99)
    };
    writer.write(batch([ahead, young])).await.unwrap();
    for (follower, expected) in [(&mut here, vec![99]), (&mut from_start, vec![2, 99])] {
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            let next = follower.next(9).await.unwrap().unwrap().items;
            heard.extend(next.iter().map(|change| change.stored.call.span_id));
        }
        let expected: Vec<_> = expected.into_iter().map(span).collect();
        assert_eq!(heard, expected);
    }
    // And it is deleted with the others.
    assert_eq!(store.prune(DAY * 10).await.unwrap().calls, 3);
    assert_eq!(store.count(&all, 10).await.unwrap().value, 2);
}

async fn pruning_deletes_for_good_and_gives_space_back(place: &Place) {
    let (writer, store) = place.open().await;
    let old = |number: u64| Call {
        started_at: days_ago(20),
        received_at: days_ago(20),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: format!("secret-session-{}", number / 10),
        }),
        client_ip: Some(format!("198.51.100.{}", number % 200)),
        request: Some(mcptap_model::Payload::whole(
            format!(
                "{{\"secret\":\"{}\"}}",
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
            .repeat(20),
        )),
        ..plain(number)
    };
    writer.write(batch((1..=1200).map(old))).await.unwrap();
    let young = Call {
        started_at: days_ago(1),
        received_at: days_ago(1),
        ..full(5000)
    };
    let logs = vec![line(&old(1), 1, "a secret line"), line(&young, 1, "kept")];
    writer
        .write(Batch {
            logs,
            ..batch([young.clone()])
        })
        .await
        .unwrap();
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    assert!(follower.next(9).await.unwrap().unwrap().caught_up);

    let pruned = store.prune(DAY * 10).await.unwrap();
    assert_eq!((pruned.calls, pruned.log_lines), (1200, 1));
    assert_eq!(store.metrics().calls_pruned, 1200);
    let all = CallFilter::default();
    assert_eq!(store.count(&all, 10_000).await.unwrap().value, 1);
    let kept = store.call(young.trace_id, young.span_id).await.unwrap().unwrap();
    assert_eq!(kept.call.client_ip, young.client_ip);
    assert_eq!(
        store.details(&[kept.row]).await.unwrap()[&kept.row].request,
        young.request
    );
    // Writing goes on, also with what was shared with deleted calls.
    let again = Call {
        started_at: days_ago(2),
        received_at: days_ago(2),
        ..old(7)
    };
    let written = writer.write(batch([again.clone()])).await.unwrap();
    assert_eq!(written.added, 1);
    let heard = follower.next(9).await.unwrap().unwrap().items;
    assert_eq!(
        heard.iter().map(|change| change.seq).collect::<Vec<_>>(),
        [written.head]
    );
    let stored = store.call(again.trace_id, again.span_id).await.unwrap().unwrap();
    assert_eq!(
        (&stored.call.session, &stored.call.client_ip),
        (&again.session, &again.client_ip)
    );
    let added = store.changes(&all, Seq(0), 10).await.unwrap();
    assert_eq!(added.items.len(), 2);

    store.prune(Duration::ZERO).await.unwrap();
    assert_eq!(store.count(&all, 10_000).await.unwrap().value, 0);
    drop(writer);
    store.close().await;
    if let Some(file) = place.file() {
        let bytes = std::fs::read(&file).unwrap();
        // As large as one that never had a call.
        let empty = Place::sqlite();
        let (writer, store) = empty.open().await;
        drop(writer);
        store.close().await;
        let least = std::fs::metadata(empty.file().unwrap()).unwrap().len();
        empty.vanish().await;
        assert!(bytes.len() as u64 <= least, "{} of {least}", bytes.len());
        let contains = |needle: &str| {
            bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        };
        assert!(!contains("secret-session-50") && !contains("a secret line") && !contains("198.51.100.9"));
    }
}
