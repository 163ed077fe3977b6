//! Requests that a proxy and their server tell of in traces of their own, where clients use their ids again.

use std::sync::Arc;

use mcptap_model::{Batch, Call, CallFilter, Origin, SessionKey, SessionSource, SpanKind, Vantage, semconv};
use mcptap_store::{PageRequest, Store};
use sea_orm::{ConnectionTrait, Statement};

use crate::support::{Place, SECOND, batch, line, on_both, plain, span, trace};

on_both!(
    requests_of_one_id_are_told_apart_by_their_times,
    a_watcher_that_came_first_waits_once,
    a_watcher_keeps_a_client_and_a_server_of_two_traces_together,
);

/// More than a rule compares for one span without knowing the time.
const REQUESTS: u64 = 300;

fn of_session(call: Call) -> Call {
    Call {
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: "session".into(),
        }),
        session_id: Some("session".into()),
        request_id: Some("1".into()),
        ..call
    }
}

/// The `number`th request as its server tells it.
fn served(number: u64) -> Call {
    of_session(plain(number))
}

/// The same as the proxy does.
fn watched(number: u64) -> Call {
    let call = plain(number);
    Call {
        trace_id: trace(100_000 + number),
        span_id: span(100_000 + number),
        primary_span_id: span(100_000 + number),
        origin: Arc::new(Origin {
            service: Some("proxy".into()),
            scope: semconv::WATCH_SCOPE.into(),
            ..Origin::default()
        }),
        started_at: call.started_at.plus(-SECOND / 100),
        duration_nanos: call.duration_nanos + SECOND / 50,
        ..of_session(call)
    }
}

async fn stored(store: &Store) -> u64 {
    store.count(&CallFilter::default(), 10_000).await.unwrap().value
}

async fn requests_of_one_id_are_told_apart_by_their_times(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=REQUESTS).map(watched))).await.unwrap();
    writer.write(batch((1..=REQUESTS).map(served))).await.unwrap();
    assert_eq!(stored(&store).await, REQUESTS);
    // One at a time too, whoever comes first, the oldest last.
    let before = store.metrics();
    for number in (REQUESTS + 1..=REQUESTS + 20).rev() {
        let both = [watched(number), served(number)];
        let [first, second] = if number % 2 == 0 {
            both
        } else {
            let [watched, served] = both;
            [served, watched]
        };
        writer.write(batch([first])).await.unwrap();
        writer.write(batch([second])).await.unwrap();
    }
    assert_eq!(stored(&store).await, REQUESTS + 20);
    let after = store.metrics();
    assert_eq!(after.join_limited, 0);
    // It goes by time within the rules, not through all of that name.
    let compared = after.join_compared - before.join_compared;
    assert!(compared <= 40 * 32, "{compared} candidates were compared");
}

/// A watcher is found by its key and, where the call is the server's, in its trace: under the key once, however often its
/// call becomes part of another.
async fn a_watcher_that_came_first_waits_once(place: &Place) {
    let (writer, _store) = place.open().await;
    for number in 1..=5 {
        writer.write(batch([watched(number)])).await.unwrap();
        writer.write(batch([served(number)])).await.unwrap();
        writer.write(batch([watched(number)])).await.unwrap();
    }
    let db = place.connect().await;
    let backend = db.get_database_backend();
    let text = "SELECT COUNT(*) FROM waiting WHERE kind = 5";
    let row = db
        .query_one_raw(Statement::from_string(backend, text))
        .await
        .unwrap();
    assert_eq!(row.unwrap().try_get_by_index::<i64>(0).unwrap(), 2 * 5);
    db.close().await.unwrap();
}

/// The client is in the proxy's trace and known by time alone, the server in another: what comes of the server's trace alone
/// does not part them.
async fn a_watcher_keeps_a_client_and_a_server_of_two_traces_together(place: &Place) {
    let (writer, store) = place.open().await;
    let seen = watched(1);
    let client = Call {
        span_id: span(200_000),
        primary_span_id: span(200_000),
        kind: SpanKind::Client,
        vantage: Vantage::Client,
        origin: Arc::new(Origin {
            service: Some("agent".into()),
            ..Origin::default()
        }),
        started_at: seen.started_at.plus(-SECOND / 100),
        duration_nanos: seen.duration_nanos + SECOND / 50,
        client_name: Some("agent".into()),
        session: None,
        session_id: None,
        ..seen.clone()
    };
    let seen = Call {
        // Its HTTP span is not exported.
        parent_span_id: Some(span(200_001)),
        client_name: None,
        ..seen
    };
    let server = Call {
        client_name: None,
        ..served(1)
    };
    writer.write(batch([client, seen])).await.unwrap();
    writer.write(batch([server.clone()])).await.unwrap();
    let told = async || {
        let page = store.calls(&CallFilter::default(), PageRequest::default()).await;
        let calls = page.unwrap().items.into_iter().map(|item| item.call);
        calls
            .map(|call| (call.server_name().to_owned(), call.client_name.clone()))
            .collect::<Vec<_>>()
    };
    let one = [("shop".to_owned(), Some("agent".to_owned()))];
    assert_eq!(told().await, one);
    for number in 1..=2 {
        let logs = vec![line(&server, number, "out of stock")];
        let lines = Batch {
            logs,
            ..Batch::default()
        };
        writer.write(lines).await.unwrap();
        assert_eq!(told().await, one, "line {number}");
    }
}
