//! Batches of shapes that would make a rule compare all with all: what is compared grows with the spans, not with their
//! square.

use std::sync::Arc;

use mcptap_model::{
    Batch, Call, HttpSpan, LogLine, Observation, Origin, SpanId, SpanKind, SpanRef, TraceId, UnixNanos,
    Vantage, testing,
};
use serde_json::Map;

use super::{Changes, Neighbourhood, fold};

const SPANS: u64 = 10_000;
const MS: i64 = 1_000_000;

fn trace() -> TraceId {
    TraceId::from_bytes(&[1; 16]).unwrap()
}

pub(crate) fn id(number: u64) -> SpanId {
    SpanId::from_bytes(&(number + 1).to_be_bytes()).unwrap()
}

fn origin(scope: &str) -> Arc<Origin> {
    Arc::new(Origin {
        service: Some("shop".to_owned()),
        scope: scope.to_owned(),
        ..Origin::default()
    })
}

/// A span of one of 10,000 requests, one after the other.
pub(crate) fn span(number: u64) -> Call {
    Call {
        origin: origin("sdk"),
        tool: Some("lookup".to_owned()),
        started_at: UnixNanos(number as i64 * 10 * MS),
        duration_nanos: MS,
        ..testing::call(trace(), id(number))
    }
}

pub(crate) fn http(number: u64) -> HttpSpan {
    HttpSpan {
        trace_id: trace(),
        span_id: id(number),
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: origin("http"),
        started_at: UnixNanos(0),
        ended_at: UnixNanos(i64::MAX / 2),
        http_status: Some(200),
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        session_id: None,
        protocol_version: None,
    }
}

fn line(number: u64) -> LogLine {
    LogLine {
        trace_id: trace(),
        span_id: None,
        service: Some("shop".to_owned()),
        time: UnixNanos(number as i64 * 10 * MS),
        severity: "INFO".to_owned(),
        body: number.to_string(),
        attributes: Map::new(),
    }
}

fn folded(calls: impl Iterator<Item = Call>, https: Vec<HttpSpan>, logs: Vec<LogLine>) -> Changes {
    let observations = calls
        .map(|call| Observation {
            call,
            links: Vec::new(),
        })
        .collect();
    fold(
        Neighbourhood::default(),
        Batch {
            observations,
            https,
            logs,
        },
    )
}

/// Two libraries' views, of which every second is the other's.
fn two_views(number: u64) -> Call {
    Call {
        origin: origin(if number.is_multiple_of(2) {
            "outer"
        } else {
            "inner"
        }),
        ..span(number / 2)
    }
}

#[test]
fn what_time_or_ids_tell_apart_is_compared_with_few() {
    let sequential = folded((0..SPANS).map(span), vec![], vec![]);
    assert_eq!((sequential.added.len() as u64, sequential.cut), (SPANS, 0));
    assert!(sequential.compared <= SPANS, "{}", sequential.compared);

    let same_parent = |number| Call {
        parent_span_id: Some(id(SPANS + 1)),
        started_at: UnixNanos(0),
        ..span(number)
    };
    let parallel = folded((0..SPANS).map(same_parent), vec![], vec![]);
    assert_eq!((parallel.added.len() as u64, parallel.cut), (SPANS, 0));
    assert!(parallel.compared <= SPANS, "{}", parallel.compared);

    let duplicates = folded(
        (0..SPANS).map(|number| Call {
            span_id: id(number),
            primary_span_id: id(number),
            ..two_views(number)
        }),
        vec![],
        vec![],
    );
    assert_eq!((duplicates.added.len() as u64, duplicates.cut), (SPANS / 2, 0));
    assert!(duplicates.compared <= 8 * SPANS, "{}", duplicates.compared);

    let clients = folded(
        (0..SPANS).map(|number| {
            let client = number.is_multiple_of(2);
            Call {
                span_id: id(number),
                primary_span_id: id(number),
                parent_span_id: (!client).then(|| id(number - 1)),
                vantage: if client { Vantage::Client } else { Vantage::Server },
                kind: if client {
                    SpanKind::Client
                } else {
                    SpanKind::Server
                },
                origin: Arc::new(Origin {
                    service: Some(if client { "agent" } else { "shop" }.to_owned()),
                    ..Origin::default()
                }),
                ..span(number / 2)
            }
        }),
        vec![],
        vec![],
    );
    assert_eq!((clients.added.len() as u64, clients.cut), (SPANS / 2, 0));
    assert!(clients.compared <= 8 * SPANS, "{}", clients.compared);

    let lines = folded((0..SPANS).map(span), vec![], (0..SPANS).map(line).collect());
    assert_eq!((lines.logs.len() as u64, lines.cut), (SPANS, 0));
    assert!(lines.compared <= 8 * SPANS, "{}", lines.compared);
}

/// What nothing tells apart is not compared with all others; it is counted that a rule stopped.
#[test]
fn what_nothing_tells_apart_is_compared_with_some() {
    let bound = 1_000 * SPANS;
    let at_once = |number| Call {
        started_at: UnixNanos(0),
        request_id: Some("1".to_owned()),
        origin: origin(["one", "two", "three"][(number % 3) as usize]),
        vantage: if number % 4 == 0 {
            Vantage::Client
        } else {
            Vantage::Server
        },
        span_id: id(number),
        primary_span_id: id(number),
        ..span(0)
    };
    let same = folded((0..SPANS).map(at_once), vec![], vec![]);
    assert!(
        same.compared <= bound && same.cut > 0,
        "{} {}",
        same.compared,
        same.cut
    );

    let chain = |number: u64| Call {
        parent_span_id: number.checked_sub(1).map(id),
        ..span(number)
    };
    let chain = folded((0..SPANS).map(chain), vec![], vec![]);
    assert_eq!(chain.added.len(), 1, "all nested in the first");
    assert!(chain.compared <= bound, "{}", chain.compared);

    let around = folded(
        (0..SPANS).map(span),
        (SPANS..2 * SPANS).map(http).collect(),
        (0..SPANS)
            .map(|number| LogLine {
                span_id: Some(id(SPANS + number)),
                ..line(number)
            })
            .collect(),
    );
    assert!(around.compared <= bound && around.cut > 0, "{}", around.compared);

    let https = (0..SPANS).map(|number| HttpSpan {
        parent_span_id: Some(id(SPANS + number)),
        ..http(SPANS + number + 1)
    });
    let below = folded(
        (0..SPANS).map(|number| Call {
            parent_span_id: Some(id(2 * SPANS)),
            ..span(number)
        }),
        https.collect(),
        vec![],
    );
    assert!(below.compared <= bound, "{}", below.compared);

    let linked = Observation {
        call: span(0),
        links: (0..SPANS)
            .map(|number| SpanRef {
                trace_id: trace(),
                span_id: id(SPANS + number),
            })
            .collect(),
    };
    let links = fold(
        Neighbourhood::default(),
        Batch {
            observations: vec![linked.clone(), linked],
            ..Batch::default()
        },
    );
    assert_eq!((links.added.len(), links.waiting_links.len() as u64), (1, SPANS));
}
