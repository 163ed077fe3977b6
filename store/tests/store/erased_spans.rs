//! What waits of erased calls goes with them, and what waits of others stays.

use std::sync::Arc;

use mcptap_model::{
    Batch, Call, CallFilter, HttpSpan, LogLine, Observation, Origin, SpanKind, SpanRef, UnixNanos, Vantage,
};
use mcptap_store::{Actor, Store};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use crate::support::{Place, SECOND, batch, on_both, plain, span, trace};

on_both!(
    a_linked_span_goes_with_the_call_that_its_call_became_part_of,
    of_a_crowded_trace_goes_what_is_of_the_erased_calls,
);

/// Of so many calls half are erased, so that more stay than an erasure reads all of.
const CALLS: u64 = 600;

fn http(of: u64, number: u64, parent: Option<u64>, kind: SpanKind, at: UnixNanos) -> HttpSpan {
    HttpSpan {
        trace_id: trace(of),
        span_id: span(number),
        parent_span_id: parent.map(span),
        kind,
        origin: Arc::new(Origin {
            service: Some("shop".into()),
            ..Origin::default()
        }),
        started_at: at.plus(-SECOND / 1000),
        ended_at: at.plus(SECOND / 100),
        http_status: Some(200),
        client_ip: Some("203.0.113.77".into()),
        country: None,
        authorization: None,
        user_agent: Some("agent/1".into()),
        session_id: None,
        protocol_version: None,
    }
}

async fn erase(store: &Store, tool: &str) -> u64 {
    let filter = CallFilter {
        tools: vec![tool.into()],
        ..CallFilter::default()
    };
    let erased = store.erase(filter, Actor::Key(1), "tools".into()).await;
    erased.unwrap().calls
}

async fn count(db: &DatabaseConnection, text: &str) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), text);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// A server's span that links to an HTTP span is stored as a call of its own until the client's HTTP span comes, which tells
/// that it is the client's call: then that is erased.
async fn a_linked_span_goes_with_the_call_that_its_call_became_part_of(place: &Place) {
    let (writer, store) = place.open().await;
    let at = plain(1).started_at;
    let ours = |call: Call| Call {
        tool: Some("erased".into()),
        request_id: Some("7".into()),
        ..call
    };
    let client = ours(Call {
        kind: SpanKind::Client,
        vantage: Vantage::Client,
        origin: Arc::new(Origin {
            service: Some("agent".into()),
            ..Origin::default()
        }),
        duration_nanos: SECOND / 10,
        ..plain(1)
    });
    // Its clock is two seconds ahead.
    let server = ours(Call {
        trace_id: trace(1),
        parent_span_id: Some(span(3)),
        started_at: at.plus(2 * SECOND),
        ..plain(2)
    });
    let link = SpanRef {
        trace_id: trace(9),
        span_id: span(9),
    };
    let linked = http(9, 9, None, SpanKind::Server, at.plus(2 * SECOND));
    let sent = HttpSpan {
        origin: Arc::clone(&client.origin),
        ..http(1, 3, Some(1), SpanKind::Client, at.plus(SECOND / 100))
    };
    let of = |https: Vec<HttpSpan>, observations: Vec<Observation>| Batch {
        https,
        observations,
        ..Batch::default()
    };
    let server = Observation {
        call: server,
        links: vec![link],
    };
    writer.write(of(vec![linked], vec![])).await.unwrap();
    writer.write(batch([client])).await.unwrap();
    writer.write(of(vec![], vec![server])).await.unwrap();
    assert_eq!(store.count(&CallFilter::default(), 10).await.unwrap().value, 2);
    writer.write(of(vec![sent], vec![])).await.unwrap();
    assert_eq!(store.count(&CallFilter::default(), 10).await.unwrap().value, 1);
    assert_eq!(erase(&store, "erased").await, 1);
    let db = place.connect().await;
    assert_eq!(count(&db, "SELECT COUNT(*) FROM waiting").await, 0);
    db.close().await.unwrap();
}

/// Each call has an HTTP span above it, one below it with another below that, and lines that name them.
async fn of_a_crowded_trace_goes_what_is_of_the_erased_calls(place: &Place) {
    let (writer, store) = place.open().await;
    let mut all = Batch::default();
    for number in 1..=CALLS {
        let call = Call {
            trace_id: trace(1),
            parent_span_id: Some(span(10_000 + number)),
            tool: Some(if number % 2 == 0 { "erased" } else { "kept" }.into()),
            ..plain(number)
        };
        let at = call.started_at;
        all.https.extend([
            http(1, 10_000 + number, None, SpanKind::Server, at),
            http(1, 20_000 + number, Some(number), SpanKind::Client, at),
            http(1, 30_000 + number, Some(20_000 + number), SpanKind::Server, at),
        ]);
        all.logs.push(LogLine {
            trace_id: trace(1),
            span_id: Some(span(30_000 + number)),
            service: Some("elsewhere".into()),
            time: at,
            severity: "INFO".into(),
            body: call.tool.clone().unwrap_or_default(),
            attributes: serde_json::Map::new(),
        });
        all.observations.push(Observation {
            call,
            links: Vec::new(),
        });
    }
    writer.write(all).await.unwrap();
    let db = place.connect().await;
    let of_kind = |kind: i16| format!("SELECT COUNT(*) FROM waiting WHERE kind = {kind}");
    let (https, lines) = (count(&db, &of_kind(0)).await, count(&db, &of_kind(1)).await);
    assert_eq!(https, 3 * CALLS as i64);
    assert_eq!(erase(&store, "erased").await, CALLS / 2);
    assert_eq!(count(&db, &of_kind(0)).await, https / 2);
    assert_eq!(count(&db, &of_kind(1)).await, lines / 2);
    db.close().await.unwrap();
}
