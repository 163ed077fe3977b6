//! Spans of one request, whatever batches they come in.

use std::sync::Arc;

use mcptap_model::{
    Batch, Call, CallFilter, HttpSpan, LogLine, Observation, Origin, SpanKind, SpanRef, Vantage,
};
use mcptap_store::{ChangeKind, PageRequest, Seq};

use crate::feed::read_all;
use crate::support::{Place, SECOND, batch, line, on_both, plain, span, trace};

on_both!(
    a_log_line_waits_for_its_call,
    an_http_span_lends_what_it_knows_before_or_after,
    client_and_server_are_one_call_in_either_order,
    lines_leave_a_call_by_pairs,
    a_library_s_own_list_is_found_however_busy_the_server_is,
    the_ids_of_another_senders_span_are_refused,
);

async fn a_log_line_waits_for_its_call(place: &Place) {
    let (writer, store) = place.open().await;
    let call = plain(1);
    let early = Batch {
        logs: vec![line(&call, 1, "early")],
        ..Batch::default()
    };
    writer.write(early.clone()).await.unwrap();
    writer.write(early.clone()).await.unwrap();
    writer.write(batch([call.clone()])).await.unwrap();
    writer.write(early).await.unwrap();
    writer
        .write(Batch {
            logs: vec![line(&call, 2, "late")],
            ..Batch::default()
        })
        .await
        .unwrap();
    let row = store.call(trace(1), span(1)).await.unwrap().unwrap().row;
    let logs = store.logs(&[row], PageRequest::default()).await.unwrap();
    let bodies: Vec<_> = logs[&row]
        .items
        .iter()
        .map(|(_, line)| line.body.as_str())
        .collect();
    assert_eq!(bodies, ["early", "late"]);
}

fn http(of: &Call, number: u64) -> HttpSpan {
    HttpSpan {
        trace_id: of.trace_id,
        span_id: span(number),
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: Arc::clone(&of.origin),
        started_at: of.started_at.plus(-SECOND),
        ended_at: of.ended_at().plus(SECOND),
        http_status: Some(202),
        client_ip: Some("192.0.2.7".into()),
        country: None,
        authorization: None,
        user_agent: Some("curl".into()),
        session_id: None,
        protocol_version: None,
    }
}

async fn an_http_span_lends_what_it_knows_before_or_after(place: &Place) {
    let (writer, store) = place.open().await;
    for (number, order) in [(1, [true, false]), (2, [false, true])] {
        let call = Call {
            parent_span_id: Some(span(number + 100)),
            ..plain(number)
        };
        let https = vec![http(&call, number + 100)];
        for http_now in order {
            let part = if http_now {
                Batch {
                    https: https.clone(),
                    ..Batch::default()
                }
            } else {
                batch([call.clone()])
            };
            writer.write(part.clone()).await.unwrap();
            writer.write(part).await.unwrap();
        }
        let stored = store.call(trace(number), span(number)).await.unwrap().unwrap();
        assert_eq!(stored.call.http_status, Some(202), "{number}");
        assert_eq!(stored.call.client_ip.as_deref(), Some("192.0.2.7"), "{number}");
    }
    let (changes, _) = read_all(&store, &CallFilter::default(), Seq(0), 500).await;
    assert_eq!(
        changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Added)
            .count(),
        2
    );
    assert!(changes.len() <= 3);
}

async fn client_and_server_are_one_call_in_either_order(place: &Place) {
    let (writer, store) = place.open().await;
    for (number, client_first) in [(1, true), (2, false)] {
        let server = Call {
            parent_span_id: Some(span(number + 100)),
            ..plain(number)
        };
        let client = Call {
            span_id: span(number + 100),
            primary_span_id: span(number + 100),
            kind: SpanKind::Client,
            vantage: Vantage::Client,
            origin: Arc::new(Origin {
                service: Some("agent".into()),
                ..Origin::default()
            }),
            started_at: server.started_at.plus(-1000),
            duration_nanos: server.duration_nanos + 5000,
            ..server.clone()
        };
        let client = Call {
            parent_span_id: None,
            ..client
        };
        let parts = if client_first {
            [client, server]
        } else {
            [server, client]
        };
        let first = parts[0].span_id;
        for part in parts {
            writer.write(batch([part.clone()])).await.unwrap();
            writer.write(batch([part])).await.unwrap();
        }
        let stored = store.call(trace(number), first).await.unwrap().unwrap();
        assert_eq!(stored.call.vantage, Vantage::Server, "{number}");
        // By either span's id it is the same call.
        for other in [number, number + 100] {
            assert_eq!(
                store.call(trace(number), span(other)).await.unwrap().unwrap().row,
                stored.row
            );
        }
    }
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 2);
    // A link to a span in another trace, which comes later.
    let linked = Batch {
        observations: vec![Observation {
            call: plain(5),
            links: vec![SpanRef {
                trace_id: trace(6),
                span_id: span(6),
            }],
        }],
        ..Batch::default()
    };
    writer.write(linked.clone()).await.unwrap();
    writer.write(linked).await.unwrap();
    let late = HttpSpan {
        trace_id: trace(6),
        ..http(&plain(5), 6)
    };
    writer
        .write(Batch {
            https: vec![late],
            ..Batch::default()
        })
        .await
        .unwrap();
    let stored = store.call(trace(5), span(5)).await.unwrap().unwrap();
    assert_eq!(stored.call.http_status, Some(202));
}

/// Two lines leave two calls at once. A line like the one that leaves the second call stays with the first.
async fn lines_leave_a_call_by_pairs(place: &Place) {
    let (writer, store) = place.open().await;
    let long = |number: u64| Call {
        started_at: plain(1).started_at,
        duration_nanos: SECOND,
        ..plain(number)
    };
    let (first, second) = (long(1), long(2));
    // They name spans that have not come, and are placed by their time.
    let said = |of: &Call, by: u64, body: &str| LogLine {
        span_id: Some(span(by)),
        ..line(of, 500, body)
    };
    let early = Batch {
        logs: vec![
            said(&first, 11, "leaves"),
            said(&first, 12, "told twice"),
            said(&second, 12, "told twice"),
        ],
        ..batch([first.clone(), second.clone()])
    };
    writer.write(early).await.unwrap();
    let late = |of: &Call, number: u64| Call {
        span_id: span(number),
        primary_span_id: span(number),
        tool: Some("other".into()),
        started_at: of.started_at.plus(2 * SECOND),
        ..of.clone()
    };
    writer
        .write(batch([late(&first, 11), late(&second, 12)]))
        .await
        .unwrap();
    for (of, number, wanted) in [
        (&first, 1, vec!["told twice"]),
        (&second, 2, vec![]),
        (&first, 11, vec!["leaves"]),
        (&second, 12, vec!["told twice"]),
    ] {
        let row = store.call(of.trace_id, span(number)).await.unwrap().unwrap().row;
        let lines = store.logs(&[row], PageRequest::default()).await.unwrap();
        let lines: Vec<String> = lines
            .get(&row)
            .map(|page| page.items.iter().map(|(_, line)| line.body.clone()).collect())
            .unwrap_or_default();
        assert_eq!(lines, wanted, "{number}");
    }
}

/// The list right before a call is its library's, also when the call lasts for a minute in which many others came.
async fn a_library_s_own_list_is_found_however_busy_the_server_is(place: &Place) {
    let (writer, store) = place.open().await;
    let of_library = |number: u64| Call {
        origin: Arc::new(Origin {
            scope: "fastmcp".into(),
            ..(*plain(number).origin).clone()
        }),
        started_at: plain(1).started_at,
        ..plain(number)
    };
    let list = Call {
        method: "tools/list".into(),
        tool: None,
        duration_nanos: 1_000_000,
        ..of_library(1)
    };
    let call = Call {
        protocol_version: Some("2026-07-28".into()),
        started_at: list.started_at.plus(3_000_000),
        duration_nanos: 60 * SECOND,
        ..of_library(2)
    };
    let begin = list.started_at;
    let others = (10..1_510).map(|number| Call {
        started_at: begin.plus(SECOND + (number as i64 - 10) * 30_000_000),
        duration_nanos: 1_000_000,
        ..plain(number)
    });
    writer.write(batch([list])).await.unwrap();
    writer.write(batch(others)).await.unwrap();
    let before = store.metrics();
    writer.write(batch([call])).await.unwrap();
    let read = store.metrics().join_rows_read - before.join_rows_read;
    assert!(read <= 10, "read {read} rows");
    assert_eq!(store.metrics().join_limited, before.join_limited);
    let found = |number| store.call(trace(number), span(number));
    let (list, call) = (found(1).await.unwrap(), found(2).await.unwrap());
    assert_eq!(
        list.map(|stored| stored.row),
        call.map(|stored| stored.row),
        "the list is a call of its own"
    );
}

async fn the_ids_of_another_senders_span_are_refused(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1)])).await.unwrap();
    let stored = store.call(trace(1), span(1)).await.unwrap().unwrap();
    let foreign = |vantage| Call {
        origin: Arc::new(Origin {
            service: Some("bank".into()),
            ..Origin::default()
        }),
        vantage,
        tool: Some("of_the_bank".into()),
        ..plain(1)
    };
    let written = writer.write(batch([foreign(Vantage::Server)])).await.unwrap();
    assert_eq!((written.foreign, written.added, written.completed), (1, 0, 0));
    let written = writer
        .write(batch([
            plain(2),
            foreign(Vantage::Client),
            foreign(Vantage::Server),
        ]))
        .await
        .unwrap();
    assert_eq!((written.foreign, written.added, written.completed), (2, 1, 0));
    let now = store.call(trace(1), span(1)).await.unwrap().unwrap();
    assert_eq!((now.row, now.call), (stored.row, stored.call));
    let redelivered = writer.write(batch([plain(1), plain(2)])).await.unwrap();
    assert_eq!(redelivered.foreign, 0);

    // Of what is written together each sender is told its own.
    let writing: Vec<_> = (10..30)
        .map(|number| {
            let writer = writer.clone();
            let calls = if number % 2 == 0 {
                vec![plain(number), foreign(Vantage::Server)]
            } else {
                vec![plain(number)]
            };
            tokio::spawn(async move { writer.write(batch(calls)).await.unwrap().foreign })
        })
        .collect();
    for (index, told) in writing.into_iter().enumerate() {
        assert_eq!(told.await.unwrap(), usize::from(index % 2 == 0), "{index}");
    }
}
