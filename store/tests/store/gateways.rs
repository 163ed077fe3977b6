//! Requests through gateways: whose request a client's span tells of is known when the gateway's own spans are there.

use std::sync::Arc;

use mcptap_model::{Batch, Call, CallFilter, Origin, Payload, SpanKind, UnixNanos, Vantage};
use mcptap_store::{Actor, PageRequest, Seq, Store};
use sea_orm::{ConnectionTrait, Statement};

use crate::feed::read_all;
use crate::support::{NOON, Place, batch, line, on_both, plain, span, trace};

on_both!(
    each_order_tells_the_same,
    each_order_tells_the_same_in_a_large_trace,
    an_erased_request_does_not_come_back_with_its_gateway,
    calls_that_were_two_stay_two_when_nothing_waits_any_more,
);

const MS: i64 = 1_000_000;

/// The spans of the `number`th request: the agent's, the gateway's, the gateway's own client's, and the server's.
fn spans(number: u64) -> [Call; 4] {
    let one = |place: u64, service: &str, from: i64, to: i64| {
        let is_client = place.is_multiple_of(2);
        Call {
            trace_id: trace(number),
            span_id: span(number * 10 + place),
            primary_span_id: span(number * 10 + place),
            parent_span_id: place.checked_sub(1).map(|above| span(number * 10 + above)),
            kind: if is_client {
                SpanKind::Client
            } else {
                SpanKind::Server
            },
            vantage: if is_client {
                Vantage::Client
            } else {
                Vantage::Server
            },
            origin: Arc::new(Origin {
                service: Some(service.into()),
                ..Origin::default()
            }),
            tool: Some(format!("tool-{number}")),
            started_at: UnixNanos(NOON + number as i64 * 1000 * MS + from * MS),
            duration_nanos: (to - from) * MS,
            received_at: UnixNanos(NOON),
            ..plain(1)
        }
    };
    [
        Call {
            client_name: Some("agent".into()),
            client_version: Some("1.0".into()),
            response: Some(Payload::whole("as the agent got it".into())),
            ..one(0, "agent", 0, 100)
        },
        one(1, "gateway", 10, 90),
        one(2, "gateway", 20, 80),
        one(3, "shop", 30, 70),
    ]
}

/// Each order of four.
fn orders() -> Vec<[usize; 4]> {
    let mut orders = Vec::new();
    for number in 0..24usize {
        let (mut left, mut rest, mut order) = (vec![0, 1, 2, 3], number, [0; 4]);
        for (at, of) in order.iter_mut().zip([4, 3, 2, 1]) {
            *at = left.remove(rest % of);
            rest /= of;
        }
        orders.push(order);
    }
    orders
}

/// What is told of a request: of each call the server, who observed it, the client, the kind of the session, the answer and the
/// lines.
async fn told(store: &Store, number: u64) -> Vec<String> {
    let mut told = Vec::new();
    for of in spans(number) {
        let stored = store.call(of.trace_id, of.span_id).await.unwrap().unwrap();
        let row = stored.row;
        let details = store
            .details(&[row])
            .await
            .unwrap()
            .remove(&row)
            .unwrap_or_default();
        let answer = details.response.map(|answer| answer.text);
        let lines = store.logs(&[row], PageRequest::default()).await.unwrap();
        let lines = lines.get(&row).map(|page| {
            let lines = page.items.iter();
            lines.map(|(_, line)| line.body.clone()).collect::<Vec<_>>()
        });
        let call = &stored.call;
        told.push(format!(
            "{} {:?} {:?} {:?} {:?} {answer:?} {lines:?}",
            call.server_name(),
            call.vantage,
            call.client_name,
            call.client_version,
            call.session.as_ref().map(|session| session.source),
        ));
    }
    told
}

async fn in_each_order(place: &Place, others: u64) {
    let (writer, store) = place.open().await;
    let mut wanted: Option<Vec<String>> = None;
    for (number, order) in (1..).zip(orders()) {
        let pieces = spans(number);
        // Others of the same trace, long before.
        let rest = (0..others).map(|at| Call {
            span_id: span(100_000 + number * 1000 + at),
            primary_span_id: span(100_000 + number * 1000 + at),
            parent_span_id: None,
            tool: Some("another".into()),
            started_at: UnixNanos(NOON - 3_600_000 * MS + at as i64 * 10 * MS),
            duration_nanos: MS,
            origin: Arc::new(Origin {
                service: Some("others".into()),
                ..Origin::default()
            }),
            client_name: Some("other".into()),
            ..pieces[3].clone()
        });
        if others > 0 {
            writer.write(batch(rest)).await.unwrap();
        }
        let lines = pieces.iter().zip(["agent", "gateway", "own client", "server"]);
        let logs = lines.map(|(call, of)| line(call, 1, of)).collect();
        let lines = Batch {
            logs,
            ..Batch::default()
        };
        if number % 2 == 0 {
            writer.write(lines.clone()).await.unwrap();
        }
        for at in order {
            writer.write(batch([pieces[at].clone()])).await.unwrap();
        }
        if number % 2 == 1 {
            writer.write(lines).await.unwrap();
        }
        let told = told(&store, number).await;
        assert!(told[0].starts_with("gateway Gateway Some(\"agent\")"), "{told:?}");
        assert!(told[3].starts_with("shop Server None"), "{order:?} {told:?}");
        let wanted = wanted.get_or_insert_with(|| told.clone());
        assert_eq!(told, *wanted, "{order:?}");
    }
    let calls = store.count(&CallFilter::default(), 100_000).await.unwrap().value;
    assert_eq!(calls, 24 * (2 + others));
    // Nothing is kept in parts where all is known.
    assert_eq!(waiting(place, 6).await, 0);
}

async fn each_order_tells_the_same(place: &Place) {
    in_each_order(place, 0).await;
}

async fn each_order_tells_the_same_in_a_large_trace(place: &Place) {
    in_each_order(place, 40).await;
}

/// How many rows of a kind wait.
async fn waiting(place: &Place, kind: i16) -> i64 {
    let db = place.connect().await;
    let text = format!("SELECT COUNT(*) FROM waiting WHERE kind = {kind}");
    let statement = Statement::from_string(db.get_database_backend(), text);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    db.close().await.unwrap();
    row.try_get_by_index(0).unwrap()
}

/// The agent's view was part of the server's call, so it went with that.
async fn an_erased_request_does_not_come_back_with_its_gateway(place: &Place) {
    let (writer, store) = place.open().await;
    for number in 1..=2 {
        let [agent, .., server] = spans(number);
        writer.write(batch([agent, server])).await.unwrap();
    }
    assert_eq!(waiting(place, 6).await, 2);
    let filter = CallFilter {
        tools: vec!["tool-1".into()],
        ..CallFilter::default()
    };
    let erased = store.erase(filter, Actor::Key(1), "a tool".into()).await;
    assert_eq!(erased.unwrap().calls, 1);
    assert_eq!(waiting(place, 6).await, 1);
    for number in 1..=2 {
        let [_, gateway, own, _] = spans(number);
        writer.write(batch([gateway, own])).await.unwrap();
    }
    let (changes, _) = read_all(&store, &CallFilter::default(), Seq(0), 500).await;
    let mut told: Vec<_> = changes
        .iter()
        .map(|change| {
            let call = &change.stored.call;
            (
                call.tool.clone().unwrap_or_default(),
                call.server_name().to_owned(),
                call.client_name.clone(),
            )
        })
        .collect();
    told.sort();
    let one = |tool: &str, server: &str, client: Option<&str>| {
        (tool.to_owned(), server.to_owned(), client.map(str::to_owned))
    };
    assert_eq!(
        told,
        [
            one("tool-1", "gateway", None),
            one("tool-1", "gateway", None),
            one("tool-2", "gateway", Some("agent")),
            one("tool-2", "shop", None),
        ]
    );
}

/// Two requests of one client at once, of which one server is not traced: after the time in which spans are waited for nobody
/// knows any more which of them the server's was.
async fn calls_that_were_two_stay_two_when_nothing_waits_any_more(place: &Place) {
    let (writer, store) = place.open().await;
    let [agent, .., server] = spans(1);
    let of_another_server = Call {
        span_id: span(100),
        primary_span_id: span(100),
        started_at: agent.started_at.plus(-10 * MS),
        duration_nanos: agent.duration_nanos + 20 * MS,
        ..agent.clone()
    };
    writer.write(batch([agent, server])).await.unwrap();
    writer.write(batch([of_another_server.clone()])).await.unwrap();
    let stored = async || store.count(&CallFilter::default(), 10).await.unwrap().value;
    assert_eq!(stored().await, 2);
    let db = place.connect().await;
    let statement = Statement::from_string(db.get_database_backend(), "DELETE FROM waiting");
    db.execute_raw(statement).await.unwrap();
    db.close().await.unwrap();
    let lines = Batch {
        logs: vec![line(&of_another_server, 1, "late")],
        ..Batch::default()
    };
    writer.write(lines).await.unwrap();
    assert_eq!(stored().await, 2);
}
