//! Each rule by an example.

use mcptap_model::{Outcome, SessionKey, SessionSource, SpanRef, Transport};

use super::memory::Memory;
use super::scenarios::*;
use super::*;
use crate::liveness::silence::as_lost;
use crate::write::fold::Whole;

#[test]
fn each_hop_is_one_call() {
    let mut memory = Memory::default();
    assert_eq!(memory.write(through_a_gateway()), 2);
    let told = memory.told();
    let seen: Vec<_> = told
        .iter()
        .map(|(call, lines)| {
            (
                call.server_name(),
                call.vantage,
                call.http_status,
                call.transport,
                lines.len(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (
                "gateway",
                Vantage::Gateway,
                Some(200),
                Some(Transport::StreamableHttp),
                1
            ),
            (
                "server",
                Vantage::Server,
                Some(200),
                Some(Transport::StreamableHttp),
                2
            ),
        ]
    );
}

/// Of parallel calls, each told by a library with ids and below it by one without, each lasts within the one before.
#[test]
fn parallel_calls_of_two_libraries_stay_apart() {
    let calls = |parents: bool, ids: bool| {
        (0..6u8).flat_map(move |number| {
            let (from, to) = (i64::from(number) * 3, 250 - i64::from(number) * 20);
            let (own, below) = (2 * number + 1, 2 * number + 2);
            let mut outer = span(own, Some(90 + number), "server", SpanKind::Server, from, to);
            outer.call.request_id = ids.then(|| number.to_string());
            let parent = if parents { own } else { 90 + number };
            let mut inner = span(below, Some(parent), "server", SpanKind::Server, from + 4, to - 4);
            inner.call.origin = origin("server", "fastmcp");
            [inner, outer]
        })
    };
    for (parents, ids) in [(true, true), (true, false), (false, true), (false, false)] {
        let whole: Vec<_> = calls(parents, ids).collect();
        let mut at_once = Memory::default();
        at_once.write(batch(whole.clone(), vec![], vec![]));
        assert_eq!(at_once.told().len(), 6, "{parents} {ids}");
        // As they end, each library by itself or both in one export.
        for exported in [1, 2] {
            let mut as_they_end = Memory::default();
            for some in whole.rchunks(2).flat_map(|call| call.chunks(exported)) {
                as_they_end.write(batch(some.to_vec(), vec![], vec![]));
            }
            assert_eq!(as_they_end.told().len(), 6, "{parents} {ids} {exported}");
        }
    }
}

/// Requests to replicas, and to servers that have a tool of one name, were not handed on by the longer of them.
#[test]
fn parallel_calls_make_nobody_a_gateway() {
    let mut memory = Memory::default();
    memory.write(parallel_calls_of_an_agent());
    let mut others = parallel_calls_of_an_agent();
    for one in others
        .observations
        .iter_mut()
        .filter(|one| one.call.vantage == Vantage::Server)
    {
        one.call.trace_id = trace(2);
        one.call.parent_span_id = None;
    }
    others
        .observations
        .retain(|one| one.call.vantage == Vantage::Server);
    others.https.clear();
    memory.write(others);
    let mut named = parallel_calls_of_an_agent();
    for one in &mut named.observations {
        one.call.trace_id = trace(3);
        if one.call.span_id == id(5) {
            one.call.origin = origin("another", "sdk");
        }
    }
    named.https.clear();
    for (one, parent) in named
        .observations
        .iter_mut()
        .zip([Some(9), Some(1), Some(9), Some(4)])
    {
        one.call.parent_span_id = parent.map(id);
    }
    memory.write(named);
    let told = memory.told();
    assert_eq!(told.len(), 6);
    assert!(
        told.iter().all(|(call, _)| call.vantage == Vantage::Server),
        "{told:?}"
    );
    memory = Memory::default();
    memory.write(through_a_gateway_with_a_gap());
    let seen: Vec<_> = memory.told().iter().map(|(call, _)| call.vantage).collect();
    assert_eq!(seen, [Vantage::Gateway, Vantage::Server]);
}

/// A server's span that was taken for another request's, and whose own client comes later, is not lost with it.
#[test]
fn no_parallel_call_is_lost_in_any_order() {
    let one = || {
        [
            span(1, None, "client", SpanKind::Client, 0, 250),
            span(2, Some(1), "server", SpanKind::Server, 5, 245),
            span(3, None, "client", SpanKind::Client, 1, 251),
            span(4, Some(3), "server", SpanKind::Server, 6, 246),
        ]
    };
    let shorter = || {
        let [a, b, mut c, mut d] = one();
        (c.call.started_at, c.call.duration_nanos) = (UnixNanos(20 * MS), 200 * MS);
        (d.call.started_at, d.call.duration_nanos) = (UnixNanos(25 * MS), 180 * MS);
        [a, b, c, d]
    };
    for spans in [one(), shorter()] {
        for order in 0..24usize {
            let mut left: Vec<_> = spans.to_vec();
            let mut memory = Memory::default();
            let mut order = order;
            for number in (1..=4).rev() {
                let next = left.remove(order % number);
                order /= number;
                memory.write(batch(vec![next], vec![], vec![]));
            }
            let servers = memory
                .told()
                .iter()
                .filter(|(call, _)| call.vantage == Vantage::Server)
                .count();
            assert_eq!(servers, 2, "{:?}", memory.told());
        }
    }
}

#[test]
fn a_client_alone_is_a_call_and_the_server_takes_it_over() {
    let mut memory = Memory::default();
    let mut client = span(1, None, "client", SpanKind::Client, 0, 100);
    client.call.client_name = Some("agent".to_owned());
    client.call.evidence.failed = true;
    memory.write(batch(vec![client], vec![], vec![]));
    let (before, _) = memory.told().remove(0);
    assert_eq!(
        (before.vantage, before.outcome()),
        (Vantage::Client, Outcome::ProtocolError)
    );
    assert_eq!(
        memory.write(batch(
            vec![span(2, Some(1), "server", SpanKind::Server, 10, 90)],
            vec![],
            vec![]
        )),
        1
    );
    let (row, Whole { call, .. }) = memory.calls.first().unwrap();
    assert_eq!(
        (*row, call.span_id, call.primary_span_id),
        (1, id(1), id(2)),
        "the id it always had"
    );
    assert_eq!(
        (call.vantage, call.client_name.as_deref()),
        (Vantage::Server, Some("agent"))
    );
    assert_eq!(
        call.outcome(),
        Outcome::Ok,
        "the client's own trouble is not the server's"
    );
    assert_eq!(memory.calls.len(), 1);
}

#[test]
fn parallel_calls_of_one_client_stay_apart() {
    let mut memory = Memory::default();
    let spans = vec![
        span(2, Some(1), "server", SpanKind::Server, 0, 100),
        span(3, Some(1), "server", SpanKind::Server, 10, 60),
        span(4, Some(1), "server", SpanKind::Server, 20, 50),
    ];
    assert_eq!(memory.write(batch(spans, vec![], vec![])), 3);
}

#[test]
fn nested_and_duplicate_spans_of_a_service_are_one_call() {
    let mut memory = Memory::default();
    let mut other = span(3, None, "server", SpanKind::Internal, 5, 95);
    other.call.origin = origin("server", "another library");
    other.call.evidence.tool_error = true;
    let spans = vec![
        span(2, Some(1), "server", SpanKind::Server, 10, 90),
        span(1, None, "server", SpanKind::Server, 0, 100),
        other,
    ];
    assert_eq!(memory.write(batch(spans, vec![], vec![])), 1);
    let (call, _) = memory.told().remove(0);
    assert_eq!(
        (call.primary_span_id, call.outcome()),
        (id(1), Outcome::ToolError)
    );
}

#[test]
fn an_http_span_lends_only_to_what_it_lasts_around() {
    let mut memory = Memory::default();
    let calls = vec![span(2, Some(1), "server", SpanKind::Server, 10, 20), {
        let mut late = span(3, Some(1), "server", SpanKind::Server, 200, 210);
        late.call.tool = Some("later".to_owned());
        late
    }];
    memory.write(batch(
        calls,
        vec![http(1, None, "server", SpanKind::Server, 0, 30)],
        vec![],
    ));
    let statuses: Vec<_> = memory.told().iter().map(|(call, _)| call.http_status).collect();
    assert_eq!(statuses, [Some(200), None]);
}

#[test]
fn a_linked_http_span_lends_from_another_trace() {
    for http_first in [true, false] {
        let mut memory = Memory::default();
        let mut call = span(2, None, "server", SpanKind::Server, 10, 20);
        let mut received = http(7, None, "server", SpanKind::Server, 0, 30);
        received.trace_id = trace(9);
        call.links.push(SpanRef {
            trace_id: trace(9),
            span_id: id(7),
        });
        let (call, received) = (
            batch(vec![call], vec![], vec![]),
            batch(vec![], vec![received], vec![]),
        );
        let order = if http_first {
            [received, call]
        } else {
            [call, received]
        };
        order.into_iter().for_each(|batch| {
            memory.write(batch);
        });
        assert_eq!(
            memory.told().first().unwrap().0.http_status,
            Some(200),
            "HTTP first: {http_first}"
        );
    }
}

#[test]
fn a_librarys_own_lists_are_no_requests() {
    let mut memory = Memory::default();
    memory.write(lists_before_calls());
    let methods: Vec<_> = memory.told().into_iter().map(|(call, _)| call.method).collect();
    assert_eq!(methods, ["tools/list", "tools/call", "tools/call"]);
}

#[test]
fn an_exception_logged_in_a_failed_call_explains_it() {
    let mut memory = Memory::default();
    let mut call = span(1, None, "server", SpanKind::Server, 0, 100);
    call.call.evidence.tool_error = true;
    let mut thrown = line(Some(1), "server", 50, "tool failed");
    thrown
        .attributes
        .insert("exception.stacktrace".to_owned(), "at line 1".into());
    thrown
        .attributes
        .insert("exception.message".to_owned(), "no such order".into());
    memory.write(batch(vec![], vec![], vec![thrown]));
    memory.write(batch(vec![call], vec![], vec![]));
    let (call, lines) = memory.told().remove(0);
    assert_eq!(
        (call.stack_trace.as_deref(), call.error_message.as_deref()),
        (Some("at line 1"), Some("no such order"))
    );
    assert_eq!(lines, ["tool failed"]);
}

#[test]
fn a_wrapped_calls_list_is_no_request() {
    let mut memory = Memory::default();
    memory.write(lists_below_a_wrapper());
    let told: Vec<_> = memory
        .told()
        .into_iter()
        .map(|(call, _)| (call.method, call.primary_span_id))
        .collect();
    assert_eq!(
        told,
        [("tools/list".to_owned(), id(1)), ("tools/call".to_owned(), id(3))]
    );
}

#[test]
fn a_traced_clients_list_is_a_request_and_the_librarys_is_not() {
    let mut memory = Memory::default();
    memory.write(lists_of_a_traced_client());
    let told: Vec<_> = memory
        .told()
        .into_iter()
        .map(|(call, _)| (call.method, call.request_id))
        .collect();
    assert_eq!(
        told,
        [
            ("tools/list".to_owned(), Some("1".to_owned())),
            ("tools/call".to_owned(), Some("3".to_owned()))
        ]
    );
}

#[test]
fn the_same_library_never_lists_for_two_calls() {
    let mut memory = Memory::default();
    let mut whole = lists_before_calls();
    let call = whole.observations.remove(2);
    memory.write(batch(vec![call.clone()], vec![], vec![]));
    memory.write(batch(vec![whole.observations.remove(1)], vec![], vec![]));
    let mut real = whole.observations.remove(0);
    real.call.started_at = UnixNanos(59 * MS);
    real.call.duration_nanos = MS / 2;
    memory.write(batch(vec![real], vec![], vec![]));
    memory.write(batch(vec![call], vec![], vec![]));
    let methods: Vec<_> = memory.told().into_iter().map(|(call, _)| call.method).collect();
    assert_eq!(methods, ["tools/list", "tools/call"]);
}

#[test]
fn lines_find_their_call_among_parallel_ones() {
    let mut memory = Memory::default();
    memory.write(lines_of_parallel_calls());
    let told = memory.told();
    let lines: Vec<_> = told.iter().map(|(_, lines)| lines.join(", ")).collect();
    assert_eq!(
        lines,
        [
            "of the long one",
            "of a span inside the short one, of the short one",
            "no order, received, the tool failed"
        ]
    );
    let failed = &told.last().unwrap().0;
    assert_eq!(
        (failed.error_message.as_deref(), failed.stack_trace.as_deref()),
        (Some("the tool failed"), Some("at 1, raised again at 2"))
    );
}

#[test]
fn who_answered_over_http_is_the_server() {
    let mut memory = Memory::default();
    memory.write(answered_without_a_span());
    let told = memory.told();
    let seen: Vec<_> = told
        .iter()
        .map(|(call, lines)| (call.server_name(), call.vantage, call.http_status, lines.len()))
        .collect();
    assert_eq!(
        seen,
        [
            ("server", Vantage::Client, Some(200), 1),
            ("client", Vantage::Client, None, 0)
        ]
    );
}

fn sessions(memory: &Memory) -> Vec<Option<(SessionSource, String)>> {
    let told = memory.told().into_iter();
    told.map(|(call, _)| call.session.map(|session| (session.source, session.key)))
        .collect()
}

#[test]
fn what_nobody_named_is_derived_from_the_trace_or_the_client() {
    let mut memory = Memory::default();
    let mut first = span(1, None, "server", SpanKind::Server, 0, 10);
    first.call.tool = Some("first".to_owned());
    memory.write(batch(vec![first], vec![], vec![]));
    assert_eq!(sessions(&memory), [None], "nothing links it to others");

    let mut second = span(2, None, "server", SpanKind::Server, 20, 30);
    second.call.client_name = Some("agent".to_owned());
    assert_eq!(
        memory.write(batch(vec![second], vec![], vec![])),
        2,
        "the first is of a session now, too"
    );
    let in_trace = Some((SessionSource::Trace, trace(1).to_string()));
    assert_eq!(sessions(&memory), [in_trace.clone(), in_trace.clone()]);

    let mut other = span(3, None, "server", SpanKind::Server, 40, 50);
    other.call.trace_id = trace(3);
    other.call.client_name = Some("agent".to_owned());
    let mut named = span(4, None, "server", SpanKind::Server, 60, 70);
    named.call.session_id = Some("w".to_owned());
    named.call.session = Some(SessionKey {
        source: SessionSource::Wire,
        key: "w".to_owned(),
    });
    memory.write(batch(vec![other, named], vec![], vec![]));
    let sessions = sessions(&memory);
    assert_eq!(sessions.get(..2).unwrap(), [in_trace.clone(), in_trace]);
    let sources: Vec<_> = sessions.iter().flatten().map(|(source, _)| *source).collect();
    assert_eq!(
        sources.get(2..).unwrap(),
        [SessionSource::Client, SessionSource::Wire]
    );
}

#[test]
fn being_lost_says_nothing_else() {
    let mut memory = Memory::default();
    let running = announced(&span(1, Some(9), "server", SpanKind::Server, 10, 20));
    memory.write(batch(vec![running], vec![], vec![]));
    let (before, _) = memory.told().remove(0);
    // As it was read before another span told of it.
    let mut silent = as_lost(&before);
    silent.call.started_at = UnixNanos(0);
    memory.write(batch(vec![silent], vec![], vec![]));
    let (mut lost, _) = memory.told().remove(0);
    assert_eq!(lost.outcome(), Outcome::Lost);
    lost.evidence.lost = false;
    assert_eq!(lost, before);
}

#[test]
fn what_a_server_and_its_proxy_tell_of_a_request_is_one_call_that_has_what_each_knows() {
    let mut memory = Memory::default();
    memory.write(watched_from_outside());
    let told = memory.told();
    let lasted: Vec<_> = told
        .iter()
        .map(|(call, lines)| (call.server_name(), call.duration_nanos / MS, lines.len()))
        .collect();
    assert_eq!(lasted, [("shop", 80, 2), ("gateway", 60, 0), ("server", 10, 0)]);
    let (first, _) = &told[0];
    assert_eq!(
        first.client_ip.as_deref(),
        Some("192.0.2.7"),
        "the proxy's own is not the client's"
    );
    assert_eq!(
        (first.http_status, first.request_id.as_deref()),
        (Some(200), Some("1"))
    );
    // Another session is another request, also below the same span.
    let mut apart = watched_from_outside();
    for (one, session) in apart.observations.iter_mut().zip(["theirs", "ours"]) {
        one.call.session_id = Some(session.to_owned());
    }
    let mut memory = Memory::default();
    memory.write(apart);
    assert_eq!(memory.told().len(), 4);
}

/// The name of a server is that of its own telemetry: who watches it names it where that does not.
#[test]
fn a_watchers_name_for_a_server_counts_where_its_own_telemetry_has_none() {
    let named = |service: Option<&str>, own: Option<&str>, heard: Option<&str>| {
        let mut whole = spans_of(&watched_from_outside(), &[1, 3]);
        for one in &mut whole.observations {
            if one.call.span_id == id(1) {
                one.call.server = heard.map(str::to_owned);
            } else {
                one.call.server = own.map(str::to_owned);
                let origin = Origin::clone(&one.call.origin);
                let service = service.map(str::to_owned);
                one.call.origin = Arc::new(Origin { service, ..origin });
            }
        }
        let names = [[0, 1], [1, 0]].map(|order| {
            let mut memory = Memory::default();
            memory.write(batch(vec![], watched_from_outside().https, vec![]));
            for at in order {
                memory.write(batch(vec![whole.observations[at].clone()], vec![], vec![]));
            }
            let told = memory.told();
            assert_eq!(told.len(), 1);
            told[0].0.server_name().to_owned()
        });
        assert_eq!(names[0], names[1], "whichever comes first");
        names[0].clone()
    };
    assert_eq!(named(Some("shop"), None, Some("heard")), "shop");
    assert_eq!(named(Some("shop"), Some("till"), Some("heard")), "till");
    assert_eq!(named(None, Some("till"), Some("heard")), "till");
    assert_eq!(named(None, None, Some("heard")), "heard");
    assert_eq!(named(None, None, None), "127.0.0.1", "the service of the proxy");
}

#[test]
fn session_id_and_time_name_a_request_that_its_server_tells_in_a_trace_of_its_own() {
    let mut memory = Memory::default();
    memory.write(watched_in_another_trace());
    let told = memory.told();
    let lasted: Vec<_> = told
        .iter()
        .map(|(call, lines)| {
            let place = (
                call.session_id.as_deref().unwrap_or_default(),
                call.request_id.as_deref(),
            );
            (place, call.http_status, call.duration_nanos / MS, lines.len())
        })
        .collect();
    assert_eq!(
        lasted,
        [
            (("ours", Some("1")), Some(200), 80, 1),
            (("theirs", Some("1")), None, 60, 0),
            (("ours", Some("2")), Some(200), 40, 0),
            (("ours", Some("1")), Some(200), 80, 0),
        ]
    );
    // One that does not last within the other is another request with that id.
    let mut apart = watched_in_another_trace();
    apart.observations[4].call.started_at = UnixNanos(60 * MS);
    let mut memory = Memory::default();
    memory.write(apart);
    assert_eq!(memory.told().len(), 5);
}

/// The spans of a batch that have these numbers.
fn spans_of(whole: &Batch, numbers: &[u8]) -> Batch {
    let is_wanted = |one: &&Observation| numbers.iter().any(|number| one.call.span_id == id(*number));
    let spans = whole.observations.iter().filter(is_wanted);
    batch(spans.cloned().collect(), vec![], vec![])
}

/// The same, where the span with this number says who the client is.
fn named(mut whole: Batch, number: u8) -> Batch {
    let spans = &mut whole.observations;
    let agents = spans.iter_mut().find(|one| one.call.span_id == id(number));
    agents.unwrap().call.client_name = Some("agent".to_owned());
    whole
}

/// A client's call is not another's by its time, because a proxy before the server tells of that one too.
#[test]
fn a_proxy_below_a_client_answers_no_other_client() {
    let whole = named(watched_from_outside(), 4);
    let mut at_once = Memory::default();
    at_once.write(whole.clone());
    let of = |numbers: &[u8]| spans_of(&whole, numbers);
    // The proxy is told of with its client, or when that is part of a stored call.
    for parts in [[[4, 7, 8, 9].as_slice(), &[]], [&[4, 7, 9], &[8]]] {
        let mut rest = of(&[1, 3, 10, 5, 6]);
        rest.https.clone_from(&whole.https);
        rest.logs.clone_from(&whole.logs);
        let mut memory = Memory::default();
        for some in parts.map(of).into_iter().chain([rest]) {
            memory.write(some);
        }
        assert_eq!(memory.everything(), at_once.everything());
    }
}

/// A request whose server was found by time has one client's view: the agent's call, which ends next, is not the gateway's.
#[test]
fn a_stored_call_with_its_clients_view_takes_no_other_by_time() {
    let whole = named(through_a_gateway(), 1);
    let mut at_once = Memory::default();
    at_once.write(whole.clone());
    let mut first = spans_of(&whole, &[1, 4, 6]);
    let agents = &mut first.observations[0];
    *agents = announced(agents);
    let mut rest = spans_of(&whole, &[3]);
    rest.https.clone_from(&whole.https);
    rest.logs.clone_from(&whole.logs);
    let mut memory = Memory::default();
    for some in [first, spans_of(&whole, &[1]), rest] {
        memory.write(some);
    }
    assert_eq!(memory.everything(), at_once.everything());
}
