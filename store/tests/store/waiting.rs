//! What waits for calls of a trace when others of it are erased.

use std::sync::Arc;

use mcptap_model::{
    Batch, Call, CallFilter, HttpSpan, LogLine, Observation, SpanKind, SpanRef, TraceId, UnixNanos, Vantage,
};
use mcptap_store::{Actor, PageRequest, Store};
use sea_orm::{ConnectionTrait, Statement};

use crate::support::{Place, batch, on_both, plain, span, trace};

on_both!(
    what_waits_for_calls_that_stay_stays,
    what_a_client_alone_told_of_takes_all_of_its_time_with_it,
    spans_that_calls_link_to_go_alone,
    with_the_last_call_of_a_trace_all_that_waits_goes,
    where_very_many_calls_stay_ids_alone_tell,
    a_call_of_very_many_links_is_erased
);

const MILLISECOND: i64 = 1_000_000;

/// A call of a tool in a trace, so many milliseconds after noon.
fn tool(name: &str, trace: TraceId, number: u64, milliseconds: i64) -> Call {
    let call = plain(1);
    Call {
        trace_id: trace,
        span_id: span(number),
        primary_span_id: span(number),
        tool: Some(name.to_owned()),
        started_at: call.started_at.plus(milliseconds * MILLISECOND),
        duration_nanos: 20 * MILLISECOND,
        ..call
    }
}

/// An HTTP span that lasts 10 ms longer than a call to either side, and says which it is.
fn http(around: &Call, number: u64, parent: Option<u64>, kind: SpanKind) -> HttpSpan {
    HttpSpan {
        trace_id: around.trace_id,
        span_id: span(number),
        parent_span_id: parent.map(span),
        kind,
        origin: Arc::clone(&around.origin),
        started_at: around.started_at.plus(-10 * MILLISECOND),
        ended_at: around.ended_at().plus(10 * MILLISECOND),
        http_status: Some(202),
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: Some(format!("waits-{number}")),
        session_id: None,
        protocol_version: None,
    }
}

/// A line of another service.
fn line(of: &Call, names: u64) -> LogLine {
    LogLine {
        span_id: Some(span(names)),
        service: Some("another".to_owned()),
        ..crate::support::line(of, MILLISECOND, &format!("waits-{names}"))
    }
}

async fn erase(store: &Store, tool: &str, count: u64) {
    let filter = CallFilter {
        tools: vec![tool.to_owned()],
        ..CallFilter::default()
    };
    let erased = store
        .erase(filter, Actor::CommandLine, "tool".to_owned())
        .await
        .unwrap();
    assert_eq!(erased.calls, count);
}

/// The spans and lines that wait, by their numbers.
async fn waiting(place: &Place) -> Vec<u64> {
    let db = place.connect().await;
    let all = Statement::from_string(db.get_database_backend(), "SELECT data FROM waiting");
    let rows = db.query_all_raw(all).await.unwrap();
    let mut waiting: Vec<u64> = rows
        .iter()
        .filter_map(|row| {
            let data: Vec<u8> = row.try_get_by_index(0).unwrap();
            let data = String::from_utf8(data).unwrap();
            let (_, number) = data.split_once("waits-")?;
            Some(number.split('"').next()?.parse().unwrap())
        })
        .collect();
    waiting.sort_unstable();
    waiting
}

async fn what_waits_for_calls_that_stay_stays(place: &Place) {
    let (writer, store) = place.open().await;
    let trace = trace(1);
    let (server, client) = (SpanKind::Server, SpanKind::Client);
    let below = |parent: u64, call: Call| Call {
        parent_span_id: Some(span(parent)),
        ..call
    };
    let doomed = below(101, tool("doomed", trace, 1, 0));
    // At the same time, so that only ids tell whose the spans are.
    let kept = below(102, tool("kept", trace, 2, 5));
    let late = below(103, tool("late", trace, 3, 500));
    let before = Batch {
        https: vec![
            http(&doomed, 101, Some(111), server),
            http(&doomed, 111, Some(100), client),
            http(&kept, 102, Some(112), server),
            http(&kept, 112, Some(100), client),
            // All of these come from one request of an agent.
            http(&doomed, 100, None, server),
            http(&late, 103, None, server),
            // One that by its time carried the erased call, and one that did not.
            http(&doomed, 104, Some(99), server),
            http(&late, 105, Some(99), server),
        ],
        logs: vec![line(&doomed, 3), line(&late, 4)],
        ..batch([doomed, kept.clone()])
    };
    writer.write(before).await.unwrap();
    assert_eq!(
        waiting(place).await,
        [3, 4, 100, 101, 102, 103, 104, 105, 111, 112]
    );
    erase(&store, "doomed", 1).await;
    assert_eq!(waiting(place).await, [3, 4, 100, 102, 103, 105, 112]);
    let late = Call {
        origin: Arc::new(mcptap_model::Origin {
            service: Some("another".to_owned()),
            ..Default::default()
        }),
        ..late
    };
    writer.write(batch([late.clone()])).await.unwrap();
    for call in [&kept, &late] {
        let stored = store.call(trace, call.span_id).await.unwrap().unwrap();
        assert_eq!(stored.call.http_status, Some(202), "{:?}", call.tool);
    }
    let row = store.call(trace, late.span_id).await.unwrap().unwrap().row;
    let logs = store.logs(&[row], PageRequest::default()).await.unwrap();
    let lines: Vec<&str> = logs[&row]
        .items
        .iter()
        .map(|(_, line)| line.body.as_str())
        .collect();
    assert!(lines.contains(&"waits-3"), "{lines:?}");
}

async fn what_a_client_alone_told_of_takes_all_of_its_time_with_it(place: &Place) {
    let (writer, store) = place.open().await;
    let trace = trace(1);
    let doomed = Call {
        vantage: Vantage::Client,
        ..tool("doomed", trace, 1, 0)
    };
    let kept = tool("kept", trace, 2, 500);
    // By the clock of the service that answered.
    let answered = tool("answered", trace, 3, 900);
    let before = Batch {
        https: vec![
            http(&doomed, 101, Some(1), SpanKind::Client),
            http(&answered, 102, Some(101), SpanKind::Server),
            http(&doomed, 103, None, SpanKind::Server),
            http(&kept, 104, Some(99), SpanKind::Server),
        ],
        logs: vec![line(&doomed, 201), line(&answered, 102), line(&kept, 202)],
        ..batch([doomed, kept])
    };
    writer.write(before).await.unwrap();
    assert_eq!(waiting(place).await, [101, 102, 102, 103, 104, 201, 202]);
    erase(&store, "doomed", 1).await;
    assert_eq!(waiting(place).await, [104, 202]);
}

async fn spans_that_calls_link_to_go_alone(place: &Place) {
    let (writer, store) = place.open().await;
    let own = |number: u64| tool("kept", trace(2), number, 0);
    let link = |number: u64| SpanRef {
        trace_id: trace(2),
        span_id: span(number),
    };
    let linked = |name: &str, number: u64, to: u64| Observation {
        call: tool(name, trace(number), number, 0),
        links: vec![link(to)],
    };
    let around = own(9);
    let calls = |observations: Vec<Observation>| Batch {
        observations,
        ..Batch::default()
    };
    // Links come before and after the spans that they are to.
    writer
        .write(calls(vec![linked("doomed", 11, 101), linked("kept", 12, 102)]))
        .await
        .unwrap();
    let https = (101..=105).map(|number| http(&around, number, None, SpanKind::Server));
    writer
        .write(Batch {
            https: https.collect(),
            ..Batch::default()
        })
        .await
        .unwrap();
    writer
        .write(calls(vec![linked("doomed", 13, 103), linked("kept", 14, 104)]))
        .await
        .unwrap();
    assert_eq!(waiting(place).await, [101, 102, 103, 104, 105]);
    erase(&store, "doomed", 2).await;
    assert_eq!(waiting(place).await, [102, 104, 105]);
}

async fn with_the_last_call_of_a_trace_all_that_waits_goes(place: &Place) {
    let (writer, store) = place.open().await;
    let calls: Vec<Call> = (1..=40)
        .map(|number| tool(if number % 2 == 0 { "even" } else { "odd" }, trace(1), number, 0))
        .collect();
    let far = Call {
        started_at: UnixNanos(calls[0].started_at.0 - 1_000 * MILLISECOND),
        ..calls[0].clone()
    };
    let before = Batch {
        https: vec![http(&far, 101, None, SpanKind::Server)],
        logs: vec![line(&far, 102)],
        ..batch(calls)
    };
    writer.write(before).await.unwrap();
    erase(&store, "even", 20).await;
    assert_eq!(waiting(place).await, [101, 102]);
    erase(&store, "odd", 20).await;
    assert_eq!(waiting(place).await, [0; 0]);
}

/// Each step of an erasure would read all of the trace again.
async fn where_very_many_calls_stay_ids_alone_tell(place: &Place) {
    let (writer, store) = place.open().await;
    let calls: Vec<Call> = (1..=600)
        .map(|number| tool(if number % 2 == 0 { "even" } else { "odd" }, trace(1), number, 0))
        .collect();
    let far = Call {
        started_at: UnixNanos(calls[0].started_at.0 - 1_000 * MILLISECOND),
        ..calls[0].clone()
    };
    let below = |parent: u64, call: &Call| Call {
        parent_span_id: Some(span(parent)),
        ..call.clone()
    };
    let mut calls = calls;
    for (call, parent) in [(1, 2_001), (3, 2_003), (4, 2_003), (6, 2_004)] {
        calls[call] = below(parent, &calls[call]);
    }
    let before = Batch {
        https: vec![
            http(&far, 1_001, None, SpanKind::Server),
            // Of an erased call alone, of one that stays too, of one that stays.
            http(&calls[1], 2_001, None, SpanKind::Client),
            http(&calls[3], 2_003, None, SpanKind::Client),
            http(&calls[6], 2_004, None, SpanKind::Client),
        ],
        logs: vec![line(&far, 1_002), line(&calls[1], 2_001), line(&calls[3], 2_003)],
        ..batch(calls)
    };
    writer.write(before).await.unwrap();
    assert_eq!(
        waiting(place).await,
        [1_001, 1_002, 2_001, 2_001, 2_003, 2_003, 2_004]
    );
    erase(&store, "even", 300).await;
    assert_eq!(waiting(place).await, [1_001, 1_002, 2_003, 2_003, 2_004]);
    let page = store.count(&CallFilter::default(), 1_000).await.unwrap();
    assert_eq!(page.value, 300);
}

/// More links than a statement takes values.
async fn a_call_of_very_many_links_is_erased(place: &Place) {
    let (writer, store) = place.open().await;
    let call = tool("linked", trace(1), 1, 0);
    let mut sent = batch([call.clone()]);
    for observation in &mut sent.observations {
        let links = (0..70_000).map(|number| SpanRef {
            trace_id: trace(1_000 + number),
            span_id: span(1),
        });
        observation.links = links.collect();
    }
    let carried = Call {
        trace_id: trace(1_005),
        ..call
    };
    sent.https = vec![http(&carried, 1, None, SpanKind::Server)];
    writer.write(sent).await.unwrap();
    erase(&store, "linked", 1).await;
    assert_eq!(waiting(place).await, [0; 0]);
}
