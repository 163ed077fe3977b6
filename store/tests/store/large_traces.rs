//! Traces of many calls: each call costs what it costs in a trace of its own, and is joined as it is there.

use std::sync::Arc;

use mcptap_model::{
    Batch, Call, HttpSpan, LogLine, Observation, Origin, Payload, SessionKey, SessionSource, SpanKind,
    SpanRef, UnixNanos, Vantage,
};
use mcptap_store::{PageRequest, Store, Writer};

use crate::support::{Place, Random, SECOND, batch, line, on_both, plain, span, trace};

on_both!(
    a_trace_of_ten_thousand_calls_costs_what_many_traces_cost,
    ten_thousand_calls_come_in_one_export,
    a_large_trace_is_joined_like_a_small_one,
    what_is_completed_keeps_its_bodies,
    calls_that_all_last_at_the_same_time_are_not_read_by_the_next,
    a_trace_of_some_requests_is_joined_like_single_ones,
    sessions_of_a_trace_are_those_of_its_servers,
    many_traces_of_some_calls_cost_what_the_batch_touches,
    an_export_over_many_large_traces_takes_the_statements_of_few,
    late_spans_all_over_a_large_trace_read_a_part_of_it,
);

const CALLS: u64 = 10_000;
const EXPORT: u64 = 200;

/// One of many calls under one parent, one after the other.
fn one_of_many(number: u64) -> Call {
    Call {
        trace_id: trace(1),
        parent_span_id: Some(span(1_000_000)),
        request_id: Some(number.to_string()),
        ..plain(number)
    }
}

async fn a_trace_of_ten_thousand_calls_costs_what_many_traces_cost(place: &Place) {
    let (writer, store) = place.open().await;
    let mut work = Vec::new();
    for first in (1..=CALLS).step_by(EXPORT as usize) {
        let before = store.metrics();
        writer
            .write(batch((first..first + EXPORT).map(one_of_many)))
            .await
            .unwrap();
        let after = store.metrics();
        work.push((
            after.join_rows_read - before.join_rows_read,
            after.join_compared - before.join_compared,
        ));
    }
    // The later half of the exports reads a few rows each (the end of the export before, some of the trace's session),
    // and compares no more than its own spans.
    let (_, later) = work.split_at(work.len() / 2);
    for (rows, compared) in later {
        assert!(*rows <= 32, "an export read {rows} rows: {work:?}");
        assert!(*compared <= 4 * EXPORT, "an export compared {compared}: {work:?}");
    }
    assert_eq!(store.metrics().join_limited, 0);
    assert_eq!(store.metrics().calls_added, CALLS);
    let session = Some(SessionKey {
        source: SessionSource::Trace,
        key: trace(1).to_string(),
    });
    for number in [1, 2, CALLS / 2, CALLS] {
        let stored = store.call(trace(1), span(number)).await.unwrap().unwrap();
        assert_eq!(stored.call.session, session, "{number}");
    }
    // Delivered again nothing changes.
    let head = store.metrics().head;
    writer
        .write(batch((CALLS - EXPORT..=CALLS).map(one_of_many)))
        .await
        .unwrap();
    assert_eq!((store.metrics().head, store.metrics().calls_added), (head, CALLS));
}

async fn ten_thousand_calls_come_in_one_export(place: &Place) {
    let (writer, store) = place.open().await;
    // Half of them are another library's view of the same requests, all at the same time.
    let whole = (1..=CALLS).map(|number| Call {
        started_at: plain(1).started_at,
        request_id: Some(number.div_ceil(2).to_string()),
        origin: Arc::new(Origin {
            service: Some("shop".into()),
            scope: if number % 2 == 0 { "inner" } else { "outer" }.into(),
            ..Origin::default()
        }),
        ..one_of_many(number)
    });
    writer.write(batch(whole)).await.unwrap();
    assert_eq!(store.metrics().calls_added, CALLS / 2);
    assert!(
        store.metrics().join_compared <= 20 * CALLS,
        "{}",
        store.metrics().join_compared
    );
    assert_eq!(store.metrics().join_limited, 0);
}

/// A client's view, the server's, HTTP spans between them, two libraries in the server, and lines, each in a batch.
fn request(trace_number: u64, number: u64) -> Vec<Batch> {
    let at = |offset: i64| UnixNanos(plain(number).started_at.0 + offset * SECOND / 1000);
    let of = |offset: u64, parent: Option<u64>, service: &str, scope: &str, from: i64, to: i64| Call {
        trace_id: trace(trace_number),
        span_id: span(number + offset),
        primary_span_id: span(number + offset),
        parent_span_id: parent.map(|parent| span(number + parent)),
        origin: Arc::new(Origin {
            service: Some(service.into()),
            scope: scope.into(),
            ..Origin::default()
        }),
        kind: if service == "agent" {
            SpanKind::Client
        } else {
            SpanKind::Server
        },
        vantage: if service == "agent" {
            Vantage::Client
        } else {
            Vantage::Server
        },
        started_at: at(from),
        duration_nanos: (to - from) * SECOND / 1000,
        received_at: UnixNanos(7),
        ..plain(number)
    };
    let client = of(0, None, "agent", "sdk", 0, 100);
    let server = of(3, Some(2), "shop", "sdk", 20, 80);
    let inner = of(4, None, "shop", "other", 25, 75);
    let http = |offset: u64, parent: u64, service: &str, kind: SpanKind, from: i64, to: i64| HttpSpan {
        trace_id: trace(trace_number),
        span_id: span(number + offset),
        parent_span_id: Some(span(number + parent)),
        kind,
        origin: Arc::new(Origin {
            service: Some(service.into()),
            scope: "http".into(),
            ..Origin::default()
        }),
        started_at: at(from),
        ended_at: at(to),
        http_status: Some(202),
        client_ip: Some("192.0.2.7".into()),
        country: None,
        authorization: None,
        user_agent: None,
        session_id: None,
        protocol_version: None,
    };
    let lines: Vec<LogLine> = [
        (line(&server, 5_000_000, "by its span"), Some(number + 3)),
        (line(&server, 6_000_000, "by the HTTP span"), Some(number + 2)),
        (line(&server, 7_000_000, "by its time"), None),
    ]
    .into_iter()
    .map(|(line, named)| LogLine {
        span_id: named.map(span),
        service: Some("shop".into()),
        ..line
    })
    .collect();
    let calls = [client, server, inner].map(|call| Batch {
        observations: vec![Observation {
            call,
            links: Vec::new(),
        }],
        ..Batch::default()
    });
    let https = [
        http(1, 0, "agent", SpanKind::Client, 5, 95),
        http(2, 1, "shop", SpanKind::Server, 10, 90),
    ]
    .map(|http| Batch {
        https: vec![http],
        ..Batch::default()
    });
    let logs = lines.into_iter().map(|line| Batch {
        logs: vec![line],
        ..Batch::default()
    });
    calls.into_iter().chain(https).chain(logs).collect()
}

/// The one call of a request, without what its trace and place in it are; and its lines.
async fn told(store: &Store, trace_number: u64, number: u64) -> (Call, Vec<String>) {
    let mut rows = Vec::new();
    for offset in [0, 3, 4] {
        let stored = store
            .call(trace(trace_number), span(number + offset))
            .await
            .unwrap();
        let stored = stored.unwrap_or_else(|| panic!("span {offset} of {number} is of no call"));
        rows.push((stored.row, Call::clone(&stored.call)));
    }
    assert!(rows.iter().all(|(row, _)| *row == rows[0].0), "{rows:#?}");
    let (row, call) = rows.swap_remove(0);
    let logs = store.logs(&[row], PageRequest::default()).await.unwrap();
    let mut lines: Vec<String> = logs[&row]
        .items
        .iter()
        .map(|(_, line)| line.body.clone())
        .collect();
    lines.sort();
    let started_at = UnixNanos(call.started_at.0 - plain(number).started_at.0);
    let call = Call {
        trace_id: trace(1),
        span_id: span(1),
        primary_span_id: span(u64::from_be_bytes(call.primary_span_id.bytes()) - number + 1),
        parent_span_id: None,
        started_at,
        session: None,
        ..call
    };
    (call, lines)
}

async fn fill(writer: &Writer) {
    for first in (1..=600).step_by(200) {
        writer
            .write(batch((first..first + 200).map(one_of_many)))
            .await
            .unwrap();
    }
}

async fn a_large_trace_is_joined_like_a_small_one(place: &Place) {
    let (writer, store) = place.open().await;
    fill(&writer).await;
    let pieces = request(1, 1).len();
    for turn in 0..pieces {
        let number = 2_000 + turn as u64 * 10;
        for (trace_number, order) in [(1, turn), (2 + turn as u64, turn)] {
            let mut parts = request(trace_number, number);
            parts.rotate_left(order);
            if turn % 2 == 1 {
                parts.reverse();
            }
            for part in parts {
                writer.write(part).await.unwrap();
            }
        }
        let small = told(&store, 2 + turn as u64, number).await;
        let large = told(&store, 1, number).await;
        assert_eq!(small.0.http_status, Some(202), "turn {turn}");
        assert_eq!(small.1.len(), 3, "turn {turn}: {:?}", small.1);
        assert_eq!(large, small, "turn {turn}");
    }
    assert_eq!(store.metrics().join_limited, 0);
}

async fn what_is_completed_keeps_its_bodies(place: &Place) {
    let (writer, store) = place.open().await;
    let text = format!("\"{}\"", "a long body ".repeat(1000));
    let call = Call {
        request: Some(Payload::whole(text.clone())),
        response: Some(Payload {
            truncated: true,
            redacted: true,
            bytes: 99_999,
            ..Payload::whole(text)
        }),
        stack_trace: Some("at main".into()),
        attributes: serde_json::Map::from_iter([("a".to_owned(), 1.into())]),
        ..plain(1)
    };
    writer.write(batch([call.clone()])).await.unwrap();
    let row = store.call(trace(1), span(1)).await.unwrap().unwrap().row;
    let before = store.details(&[row]).await.unwrap();
    // The HTTP status of the call, and one more of the trace: both complete it, neither knows of its bodies.
    let status = HttpSpan {
        trace_id: trace(1),
        span_id: span(9),
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: Arc::clone(&call.origin),
        started_at: call.started_at,
        ended_at: call.ended_at(),
        http_status: Some(202),
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        session_id: None,
        protocol_version: None,
    };
    let written = writer
        .write(Batch {
            https: vec![status],
            ..Batch::default()
        })
        .await
        .unwrap();
    assert_eq!(written.completed, 1);
    let second = Call {
        trace_id: trace(1),
        ..plain(2)
    };
    let written = writer.write(batch([second])).await.unwrap();
    assert_eq!((written.added, written.completed), (1, 1));
    assert_eq!(store.metrics().details_read, 0);
    assert_eq!(store.details(&[row]).await.unwrap(), before);
    // The same call again, with more attributes: only now the details are read.
    let more = Call {
        request: None,
        attributes: serde_json::Map::from_iter([("b".to_owned(), 2.into())]),
        ..call
    };
    writer.write(batch([more])).await.unwrap();
    assert_eq!(store.metrics().details_read, 1);
    let after = store.details(&[row]).await.unwrap();
    let (before, after) = (&before[&row], &after[&row]);
    assert_eq!(
        (&after.request, &after.response, &after.stack_trace),
        (&before.request, &before.response, &before.stack_trace)
    );
    assert!(["a", "b"].iter().all(|name| after.attributes.contains_key(*name)));
}

/// Nothing but their ids tells these apart: the next ones look at none of them.
async fn calls_that_all_last_at_the_same_time_are_not_read_by_the_next(place: &Place) {
    let (writer, store) = place.open().await;
    let at_once = |number: u64| Call {
        started_at: plain(1).started_at,
        duration_nanos: 60 * SECOND,
        request_id: None,
        tool: Some(format!("get_{}", number % 3)),
        ..one_of_many(number)
    };
    writer.write(batch((1..=1_500).map(at_once))).await.unwrap();
    for first in (2_000..2_100).step_by(10) {
        let before = store.metrics();
        writer
            .write(batch((first..first + 10).map(at_once)))
            .await
            .unwrap();
        let after = store.metrics();
        let rows = after.join_rows_read - before.join_rows_read;
        let compared = after.join_compared - before.join_compared;
        assert!(
            rows <= 32 && compared <= 40,
            "read {rows} rows, compared {compared}"
        );
    }
    assert_eq!(store.metrics().calls_added, 1_600);
    // A client's call lasts around one of another server, whatever else lasts then.
    let client = Call {
        vantage: Vantage::Client,
        kind: SpanKind::Client,
        tool: Some("other".into()),
        origin: Arc::new(Origin {
            service: Some("agent".into()),
            ..Origin::default()
        }),
        parent_span_id: None,
        duration_nanos: 30 * SECOND,
        ..at_once(5_000)
    };
    let server = Call {
        started_at: plain(2).started_at,
        duration_nanos: SECOND,
        tool: Some("other".into()),
        ..at_once(5_001)
    };
    writer.write(batch([client])).await.unwrap();
    writer.write(batch([server])).await.unwrap();
    assert_eq!(store.metrics().calls_added, 1_601);
    assert_eq!(
        store
            .call(trace(1), span(5_000))
            .await
            .unwrap()
            .map(|stored| stored.row),
        store
            .call(trace(1), span(5_001))
            .await
            .unwrap()
            .map(|stored| stored.row)
    );
}

/// In some order.
fn shuffled<T>(mut all: Vec<T>, random: &mut Random) -> Vec<T> {
    let mut order = Vec::with_capacity(all.len());
    while !all.is_empty() {
        order.push(all.swap_remove(random.below(all.len() as u64) as usize));
    }
    order
}

/// A trace grows over the number of rows up to which it is read as a whole; it makes no difference.
async fn a_trace_of_some_requests_is_joined_like_single_ones(place: &Place) {
    const REQUESTS: u64 = 10;
    let (writer, store) = place.open().await;
    for seed in [3, 77] {
        let of = |turn: u64| seed * 1_000 + turn * 10;
        let pieces = (1..=REQUESTS).flat_map(|turn| {
            let together = request(seed * 1_000, of(turn));
            let alone = request(seed * 1_000 + turn, of(turn) + 5);
            together.into_iter().zip(alone)
        });
        for (together, alone) in shuffled(pieces.collect(), &mut Random(seed)) {
            writer.write(together).await.unwrap();
            writer.write(alone).await.unwrap();
        }
        for turn in 1..=REQUESTS {
            let together = told(&store, seed * 1_000, of(turn)).await;
            let alone = told(&store, seed * 1_000 + turn, of(turn) + 5).await;
            assert_eq!(alone.1.len(), 3, "{turn} of {seed}: {:?}", alone.1);
            assert_eq!(together, alone, "{turn} of {seed}");
        }
    }
    assert_eq!(store.metrics().join_limited, 0);
}

/// Some servers of a trace are called once, others more often, whatever else is in it and comes first.
async fn sessions_of_a_trace_are_those_of_its_servers(place: &Place) {
    let (writer, store) = place.open().await;
    fill(&writer).await;
    for (trace_number, seed) in [(1, 5), (2, 6), (3, 7)] {
        let of = |number: u64| Call {
            trace_id: trace(trace_number),
            server: Some(match number {
                0..12 => format!("once-{number}"),
                _ => format!("often-{}", number % 12),
            }),
            client_name: Some("agent".into()),
            ..one_of_many(seed * 10_000 + number)
        };
        for call in shuffled((0..48).map(of).collect(), &mut Random(seed)) {
            writer.write(batch([call])).await.unwrap();
        }
        for number in 0..48 {
            let call = of(number);
            let stored = store.call(call.trace_id, call.span_id).await.unwrap().unwrap();
            let source = stored.call.session.as_ref().map(|session| session.source);
            let wanted = if number < 12 {
                SessionSource::Client
            } else {
                SessionSource::Trace
            };
            assert_eq!(source, Some(wanted), "call {number} of trace {trace_number}");
        }
    }
}

/// Neither calls of such traces nor links to their spans bring these traces wholly.
async fn many_traces_of_some_calls_cost_what_the_batch_touches(place: &Place) {
    const TRACES: u64 = 12;
    let (writer, store) = place.open().await;
    let of = |trace_number: u64, number: u64| Call {
        trace_id: trace(trace_number),
        ..one_of_many(trace_number * 1_000 + number)
    };
    for trace_number in 1..=TRACES {
        let calls = (0..60).map(|number| of(trace_number, number));
        writer.write(batch(calls)).await.unwrap();
    }
    let next = batch((1..=TRACES).map(|trace_number| of(trace_number, 100)));
    let links = (1..=TRACES).map(|trace_number| SpanRef {
        trace_id: trace(trace_number),
        span_id: span(trace_number * 1_000 + 900),
    });
    let linking = Batch {
        observations: vec![Observation {
            call: of(TRACES + 1, 0),
            links: links.collect(),
        }],
        ..Batch::default()
    };
    for export in [next, linking] {
        let before = store.metrics();
        writer.write(export).await.unwrap();
        let rows = store.metrics().join_rows_read - before.join_rows_read;
        assert!(rows <= 8 * TRACES, "read {rows} rows");
    }
}

/// A database that is some way off answers each statement after a round trip: there are as many for hundreds of traces as for
/// some.
async fn an_export_over_many_large_traces_takes_the_statements_of_few(place: &Place) {
    const TRACES: u64 = 200;
    let (writer, store) = place.open().await;
    let of = |trace_number: u64, number: u64| Call {
        trace_id: trace(trace_number),
        ..one_of_many(trace_number * 1_000 + number)
    };
    for numbers in [0..10, 10..20] {
        let calls = (1..=TRACES).flat_map(|trace| numbers.clone().map(move |number| (trace, number)));
        writer
            .write(batch(calls.map(|(trace, number)| of(trace, number))))
            .await
            .unwrap();
    }
    let mut statements = Vec::new();
    for (number, traces) in [(100, 1..=2), (101, 1..=TRACES)] {
        let before = store.metrics();
        let calls: Vec<Call> = traces.map(|trace| of(trace, number)).collect();
        let export = Batch {
            logs: calls.iter().map(|call| line(call, 1, "said")).collect(),
            ..batch(calls)
        };
        writer.write(export).await.unwrap();
        let after = store.metrics();
        assert_eq!(after.join_limited, before.join_limited);
        statements.push(after.join_statements - before.join_statements);
    }
    let [few, many] = statements[..] else {
        panic!("{statements:?}")
    };
    assert!(few > 0 && many <= 2 * few + 24, "{statements:?}");
}

/// However far apart they are, the spans of one export bring about as many rows as they are, not the trace.
async fn late_spans_all_over_a_large_trace_read_a_part_of_it(place: &Place) {
    let (writer, store) = place.open().await;
    for first in (1..=CALLS).step_by(1_000) {
        writer
            .write(batch((first..first + 1_000).map(one_of_many)))
            .await
            .unwrap();
    }
    let before = store.metrics().join_rows_read;
    let http = |number: u64| {
        let call = one_of_many(number);
        HttpSpan {
            trace_id: call.trace_id,
            span_id: span(2_000_000 + number),
            parent_span_id: None,
            kind: SpanKind::Server,
            origin: Arc::clone(&call.origin),
            started_at: call.started_at,
            ended_at: call.ended_at(),
            http_status: Some(204),
            client_ip: None,
            country: None,
            authorization: None,
            user_agent: None,
            session_id: None,
            protocol_version: None,
        }
    };
    let late = Batch {
        // Their pauses differ, so that many stretches of time are told apart.
        https: (1..67).map(|at| http(at * 150 - at * at % 149)).collect(),
        ..Batch::default()
    };
    writer.write(late).await.unwrap();
    let read = store.metrics().join_rows_read - before;
    assert!(
        read > 0 && read < CALLS / 4,
        "{read} rows of {CALLS} calls were read"
    );
}
