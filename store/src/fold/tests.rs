//! The laws of folding: what is one request is one call, in whatever order and however often its spans arrive.

use std::collections::HashSet;
use std::sync::Arc;

use mcptap_model::{
    Batch, Call, Evidence, HttpSpan, LogLine, Observation, Origin, Outcome, Payload, SessionKey,
    SessionSource, SpanId, SpanKind, SpanRef, TraceId, Transport, UnixNanos, Vantage, testing,
};
use proptest::prelude::*;
use serde_json::Map;

use crate::silence::as_lost;

use super::{
    Changes, Folding, Heavy, Incoming, Known, Neighbourhood, Target, View, WaitingLine, Whole, time_ranges,
};

/// A store in memory: what fold says, done to vectors.
#[derive(Default)]
struct Memory {
    calls: Vec<(i64, Whole)>,
    aliases: Vec<(SpanRef, Option<i64>)>,
    https: Vec<HttpSpan>,
    links: Vec<(SpanRef, i64)>,
    views: Vec<View>,
    waiting: Vec<WaitingLine>,
    logs: Vec<(i64, LogLine)>,
    last: i64,
}

impl Memory {
    /// Writes a batch; how many changes the feed would show.
    fn write(&mut self, batch: Batch) -> usize {
        assert!(
            batch
                .observations
                .iter()
                .all(|one| time_ranges(&Incoming::new(batch.clone())).len() <= 2
                    || one.call.duration_nanos >= 0)
        );
        let folding = Folding::new(self.near(), Incoming::new(batch));
        let wanted = folding.wanted();
        let details = self.calls.iter().filter(|(row, _)| wanted.contains(row));
        let changes = folding.finish(
            details.map(|(row, whole)| (*row, heavy(whole))).collect(),
            &HashSet::new(),
        );
        let shown = changes.added.len() + changes.completed.len();
        self.apply(changes);
        shown
    }

    /// All that is stored and waits.
    fn near(&self) -> Neighbourhood {
        Neighbourhood {
            known: self
                .calls
                .iter()
                .map(|(row, whole)| Known {
                    row: *row,
                    call: Call {
                        stack_trace: None,
                        attributes: Map::new(),
                        ..whole.call.clone()
                    },
                })
                .collect(),
            https: self.https.clone(),
            logs: self.waiting.clone(),
            links: self.links.clone(),
            views: self.views.clone(),
            aliases: self.aliases.clone(),
            ..Neighbourhood::default()
        }
    }

    fn apply(&mut self, changes: Changes) {
        let first = self.last + 1;
        self.last += changes.added.len() as i64;
        let row = |target: Target| match target {
            Target::Known(row) => row,
            Target::Added(index) => first + index as i64,
        };
        self.calls.extend(
            changes
                .added
                .into_iter()
                .enumerate()
                .map(|(index, whole)| (first + index as i64, whole)),
        );
        for (of, whole) in changes.completed {
            let stored = &mut self.calls.iter_mut().find(|(row, _)| *row == of).unwrap().1;
            let details = heavy(stored);
            *stored = whole;
            if changes.undetailed.contains(&of) {
                stored.bodies = details.bodies;
                stored.call.stack_trace = details.stack_trace;
                stored.call.attributes = details.attributes;
            }
        }
        for (gone, into) in changes.removed {
            let into = into.map(row);
            self.calls.retain(|(row, _)| *row != gone);
            self.logs
                .iter_mut()
                .filter(|(row, _)| *row == gone)
                .for_each(|(row, _)| *row = into.unwrap_or(-1));
            self.waiting
                .iter_mut()
                .filter(|line| line.placed == Some(gone))
                .for_each(|line| line.placed = into);
        }
        for left in changes.left {
            self.logs.retain(|line| *line != left);
        }
        for (span, target) in changes.aliases {
            self.aliases.retain(|(known, _)| *known != span);
            self.aliases.push((span, target.map(row)));
        }
        self.links.extend(
            changes
                .waiting_links
                .into_iter()
                .map(|(span, target)| (span, row(target))),
        );
        for (above, origin, target) in changes.waiting_views {
            self.views.push(View {
                above,
                origin,
                row: row(target),
            });
        }
        self.waiting
            .retain(|waiting| !changes.arrived.contains(&waiting.key));
        for (key, target) in changes.placed {
            let waiting = self.waiting.iter_mut().find(|waiting| waiting.key == key);
            waiting.unwrap().placed = Some(row(target));
        }
        for (line, placed) in changes.waiting_logs {
            if !self.waiting.iter().any(|waiting| waiting.line == line) {
                self.last += 1;
                self.waiting.push(WaitingLine {
                    key: self.last,
                    line,
                    placed: placed.map(row),
                });
            }
        }
        for (target, line) in changes.logs {
            let entry = (row(target), line);
            if !self.logs.contains(&entry) {
                self.logs.push(entry);
            }
        }
        for http in changes.waiting_https {
            if !self.https.contains(&http) {
                self.https.push(http);
            }
        }
    }

    /// The calls without what may depend on the order of arrival (which span came first), in order of start.
    fn everything(&self) -> Vec<(Whole, Vec<String>)> {
        let lines = |row: i64| {
            let mut lines: Vec<_> = self
                .logs
                .iter()
                .filter(|(of, _)| *of == row)
                .map(|(_, line)| line.body.clone())
                .collect();
            lines.sort();
            lines
        };
        let mut told: Vec<_> = self
            .calls
            .iter()
            .map(|(row, whole)| {
                let mut whole = whole.clone();
                whole.call.span_id = whole.call.primary_span_id;
                (whole, lines(*row))
            })
            .collect();
        told.sort_by_key(|(whole, _)| (whole.call.started_at, whole.call.primary_span_id));
        told
    }

    /// The same without bodies.
    fn told(&self) -> Vec<(Call, Vec<String>)> {
        let everything = self.everything().into_iter();
        everything.map(|(whole, lines)| (whole.call, lines)).collect()
    }
}

fn heavy(whole: &Whole) -> Heavy {
    Heavy {
        bodies: whole.bodies.clone(),
        stack_trace: whole.call.stack_trace.clone(),
        attributes: whole.call.attributes.clone(),
    }
}

fn trace(number: u8) -> TraceId {
    TraceId::from_bytes(&[number; 16]).unwrap()
}

fn id(number: u8) -> SpanId {
    SpanId::from_bytes(&[number; 8]).unwrap()
}

fn origin(service: &str, scope: &str) -> Arc<Origin> {
    Arc::new(Origin {
        service: Some(service.to_owned()),
        scope: scope.to_owned(),
        ..Origin::default()
    })
}

const MS: i64 = 1_000_000;

/// A span of `tools/call get_order` in trace 1, from `from` to `to` ms.
fn span(number: u8, parent: Option<u8>, service: &str, kind: SpanKind, from: i64, to: i64) -> Observation {
    let vantage = if kind == SpanKind::Client {
        Vantage::Client
    } else {
        Vantage::Server
    };
    let call = Call {
        parent_span_id: parent.map(id),
        kind,
        origin: origin(service, "sdk"),
        vantage,
        tool: Some("get_order".to_owned()),
        started_at: UnixNanos(from * MS),
        duration_nanos: (to - from) * MS,
        ..testing::call(trace(1), id(number))
    };
    Observation {
        call,
        links: Vec::new(),
    }
}

fn http(number: u8, parent: Option<u8>, service: &str, kind: SpanKind, from: i64, to: i64) -> HttpSpan {
    HttpSpan {
        trace_id: trace(1),
        span_id: id(number),
        parent_span_id: parent.map(id),
        kind,
        origin: origin(service, "http"),
        started_at: UnixNanos(from * MS),
        ended_at: UnixNanos(to * MS),
        http_status: Some(200),
        client_ip: Some("192.0.2.1".to_owned()),
        country: None,
        authorization: None,
        user_agent: Some("agent/1".to_owned()),
        session_id: None,
        protocol_version: None,
    }
}

fn line(span: Option<u8>, service: &str, at: i64, body: &str) -> LogLine {
    LogLine {
        trace_id: trace(1),
        span_id: span.map(id),
        service: Some(service.to_owned()),
        time: UnixNanos(at * MS),
        severity: "INFO".to_owned(),
        body: body.to_owned(),
        attributes: Map::new(),
    }
}

fn batch(observations: Vec<Observation>, https: Vec<HttpSpan>, logs: Vec<LogLine>) -> Batch {
    Batch {
        observations,
        https,
        logs,
    }
}

/// A traced client, a gateway and a server, with HTTP spans between them and a line of output.
fn through_a_gateway() -> Batch {
    batch(
        vec![
            span(1, None, "client", SpanKind::Client, 0, 100),
            span(3, Some(2), "gateway", SpanKind::Server, 10, 90),
            span(4, Some(3), "gateway", SpanKind::Client, 20, 80),
            span(6, Some(5), "server", SpanKind::Server, 30, 70),
        ],
        vec![
            http(2, Some(1), "gateway", SpanKind::Server, 9, 91),
            http(5, Some(4), "server", SpanKind::Server, 29, 71),
        ],
        vec![
            line(Some(6), "server", 40, "looking"),
            line(None, "server", 50, "found"),
            line(Some(2), "gateway", 85, "passing on"),
        ],
    )
}

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

/// What FastMCP 4 sends on protocol 2026-07-28 for a client that lists tools and then calls one.
fn lists_before_calls() -> Batch {
    let fastmcp = |number: u8, method: &str, from: i64, to: i64| {
        let mut one = span(number, None, "server", SpanKind::Server, from, to);
        one.call.trace_id = trace(number);
        one.call.origin = origin("server", "fastmcp");
        one.call.protocol_version = Some("2026-07-28".to_owned());
        one.call.method = method.to_owned();
        one.call.tool = (method == "tools/call").then(|| "get_order".to_owned());
        one
    };
    batch(
        vec![
            fastmcp(1, "tools/list", 0, 3),
            fastmcp(2, "tools/list", 60, 62),
            fastmcp(3, "tools/call", 64, 90),
            fastmcp(4, "tools/list", 150, 152),
            fastmcp(5, "tools/call", 153, 400),
        ],
        vec![],
        vec![],
    )
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

/// A call of an unknown tool of FastMCP 3 below Splunk's span, the library's own list in a trace of its own, and a list
/// that a client asked for.
fn lists_below_a_wrapper() -> Batch {
    let of = |number: u8, parent: Option<u8>, scope: &str, method: &str, from: i64, to: i64| {
        let mut one = span(number, parent, "server", SpanKind::Server, from, to);
        one.call.trace_id = trace(if method == "tools/list" { number } else { 1 });
        one.call.origin = origin("server", scope);
        one.call.method = method.to_owned();
        one.call.tool = (method == "tools/call").then(|| "no_such_tool".to_owned());
        one.call.error_type = (method == "tools/call").then(|| "NotFoundError".to_owned());
        one
    };
    batch(
        vec![
            of(1, None, "fastmcp", "tools/list", 50, 51),
            of(2, None, "fastmcp", "tools/list", 100, 101),
            of(
                3,
                None,
                "opentelemetry.util.genai.handler",
                "tools/call",
                102,
                110,
            ),
            of(4, Some(3), "fastmcp", "tools/call", 103, 109),
        ],
        vec![],
        vec![],
    )
}

/// A traced client that lists and calls: the library lists again, before it has read the client's context.
fn lists_of_a_traced_client() -> Batch {
    let of = |number: u8, parent: Option<u8>, service: &str, method: &str, from: i64, to: i64| {
        let kind = if service == "client" {
            SpanKind::Client
        } else {
            SpanKind::Server
        };
        let mut one = span(number, parent, service, kind, from, to);
        one.call.origin = origin(service, if service == "client" { "sdk" } else { "fastmcp" });
        one.call.protocol_version = (service == "server").then(|| "2026-07-28".to_owned());
        one.call.method = method.to_owned();
        one.call.tool = (method == "tools/call").then(|| "get_order".to_owned());
        one.call.request_id = (service == "client").then(|| number.to_string());
        one
    };
    let mut own = of(5, None, "server", "tools/list", 14, 15);
    own.call.trace_id = trace(5);
    batch(
        vec![
            of(1, None, "client", "tools/list", 0, 9),
            of(2, Some(1), "server", "tools/list", 2, 11),
            of(3, None, "client", "tools/call", 12, 30),
            own,
            of(4, Some(3), "server", "tools/call", 16, 28),
        ],
        vec![],
        vec![],
    )
}

/// Two libraries of one client, one around the other, and the server; an agent's span above them.
fn two_views_of_a_client() -> Batch {
    let mut outer = span(2, Some(1), "client", SpanKind::Client, 0, 100);
    outer.call.origin = origin("client", "fastmcp");
    outer.call.client_name = Some("agent".to_owned());
    let mut inner = span(3, Some(2), "client", SpanKind::Client, 5, 95);
    inner.call.request_id = Some("7".to_owned());
    let mut later = span(5, Some(1), "client", SpanKind::Client, 200, 300);
    later.call.origin = origin("client", "fastmcp");
    batch(
        vec![
            outer,
            inner,
            span(4, Some(3), "server", SpanKind::Server, 10, 90),
            later,
            span(6, Some(5), "server", SpanKind::Server, 210, 290),
        ],
        vec![],
        vec![],
    )
}

/// Parallel calls in one trace below a POST that ended long ago, lines of their spans, of that POST, and of spans that
/// nobody sends; two exceptions, of which the second was raised from the first.
fn lines_of_parallel_calls() -> Batch {
    let tool = |number: u8, tool: &str, from: i64, to: i64| {
        let mut one = span(number, Some(9), "server", SpanKind::Server, from, to);
        one.call.tool = Some(tool.to_owned());
        one.call.evidence.tool_error = tool == "fails";
        one
    };
    let thrown = |at: i64, stack: &str, message: &str| {
        let mut line = line(Some(3), "server", at, message);
        let said = [("exception.stacktrace", stack), ("exception.message", message)];
        line.attributes
            .extend(said.map(|(name, text)| (name.to_owned(), text.into())));
        line
    };
    batch(
        vec![
            tool(1, "long", 100, 400),
            tool(2, "short", 150, 250),
            tool(3, "fails", 500, 600),
        ],
        vec![http(9, None, "server", SpanKind::Server, 0, 20)],
        vec![
            line(Some(1), "server", 200, "of the long one"),
            line(Some(2), "server", 210, "of the short one"),
            line(Some(9), "server", 499, "received"),
            line(Some(99), "server", 160, "of a span inside the short one"),
            thrown(510, "at 1", "no order"),
            thrown(520, "at 1, raised again at 2", "the tool failed"),
        ],
    )
}

/// Only the client's spans tell of the call; its server is known by the HTTP span that answered.
fn answered_without_a_span() -> Batch {
    batch(
        vec![
            span(1, None, "client", SpanKind::Client, 0, 100),
            span(4, None, "client", SpanKind::Client, 200, 300),
        ],
        vec![
            http(2, Some(1), "client", SpanKind::Client, 5, 95),
            http(3, Some(2), "server", SpanKind::Server, 10, 110),
        ],
        vec![line(Some(3), "server", 50, "looking")],
    )
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

/// Each record alone, with a key to sort by and a number of times to send it.
fn pieces(whole: &Batch) -> Vec<Batch> {
    let observations = whole
        .observations
        .iter()
        .map(|one| batch(vec![one.clone()], vec![], vec![]));
    let https = whole
        .https
        .iter()
        .map(|one| batch(vec![], vec![one.clone()], vec![]));
    let logs = whole
        .logs
        .iter()
        .map(|one| batch(vec![], vec![], vec![one.clone()]));
    observations.chain(https).chain(logs).collect()
}

fn send(memory: &mut Memory, whole: &Batch, keys: &[u32], cuts: &[bool]) {
    let mut pieces: Vec<_> = pieces(whole).into_iter().zip(keys).collect();
    pieces.sort_by_key(|(_, key)| **key);
    let mut export = Batch::default();
    for ((piece, _), cut) in pieces.into_iter().zip(cuts) {
        export.observations.extend(piece.observations);
        export.https.extend(piece.https);
        export.logs.extend(piece.logs);
        if *cut {
            memory.write(std::mem::take(&mut export));
        }
    }
    memory.write(export);
}

/// The same span, as it is announced while its request runs: nothing of its end is known.
fn announced(one: &Observation) -> Observation {
    let mut one = one.clone();
    one.call.duration_nanos = 0;
    one.call.evidence = Evidence {
        open: true,
        ..Evidence::default()
    };
    one.call.http_status = None;
    one.call.rpc_error_code = None;
    one.call.error_type = None;
    one.call.error_message = None;
    one.call.response = None;
    one
}

/// Calls all that run lost.
fn fall_silent(memory: &mut Memory) {
    let open = memory.calls.iter().map(|(_, whole)| &whole.call);
    let open = open.filter(|call| call.evidence.open);
    let silent: Vec<_> = open.map(as_lost).collect();
    memory.write(batch(silent, vec![], vec![]));
}

/// Two calls of one tool at the same time, each told by two libraries of the server, and two quick ones of a traced client
/// that last within one of them.
fn parallel_calls() -> Batch {
    let library = |number, parent, from, to| {
        let mut one = span(number, parent, "server", SpanKind::Internal, from, to);
        one.call.origin = origin("server", "fastmcp");
        one
    };
    batch(
        vec![
            span(1, None, "server", SpanKind::Server, 0, 100),
            library(2, None, 1, 99),
            span(3, None, "server", SpanKind::Server, 50, 150),
            library(4, None, 51, 149),
            span(5, None, "client", SpanKind::Client, 60, 80),
            span(6, Some(5), "other", SpanKind::Server, 61, 79),
            span(7, None, "client", SpanKind::Client, 49, 152),
        ],
        vec![http(8, None, "server", SpanKind::Server, 48, 151)],
        vec![],
    )
}

/// Two servers that begin at the same time; an HTTP span and a client's span that last around the beginning of one and not
/// around its end; and a gateway's list that a client asked for, since it lasts as long as its HTTP request.
fn side_by_side() -> Batch {
    let mut list = span(6, Some(5), "gateway", SpanKind::Server, 310, 395);
    list.call.method = "tools/list".to_owned();
    list.call.tool = None;
    list.call.origin = origin("gateway", "mcp-gateway");
    batch(
        vec![
            span(1, None, "one", SpanKind::Server, 50, 150),
            span(2, None, "two", SpanKind::Server, 51, 200),
            span(4, None, "client", SpanKind::Client, 45, 60),
            list,
        ],
        vec![
            http(3, None, "one", SpanKind::Server, 40, 100),
            http(5, None, "gateway", SpanKind::Server, 300, 400),
        ],
        vec![],
    )
}

/// What a view says of the parts that several may say: of each one of three values, or nothing.
fn says(call: &mut Call, values: &[u8]) {
    let mut values = values.iter().map(|value| value % 4);
    let mut text = |prefix: &str| match values.next().unwrap_or_default() {
        0 => None,
        value => Some(format!("{prefix}{value}")),
    };
    call.server = text("server ");
    call.client_name = text("client ");
    call.client_version = text("version ");
    call.client_ip = text("192.0.2.").map(|ip| match ip.as_str() {
        "192.0.2.2" => "::1".to_owned(),
        "192.0.2.3" => "127.0.0.1".to_owned(),
        _ => ip,
    });
    call.country = text("C");
    call.authorization = text("Bearer ");
    call.user_agent = text("agent ");
    call.protocol_version = text("2025-11-2");
    call.resource_uri = text("uri ");
    call.http_status = text("40").and_then(|status| status.parse().ok());
    call.session_id = text("wire ");
    call.session = call.session_id.clone().map(|key| SessionKey {
        source: SessionSource::Wire,
        key,
    });
    call.request = text("asked ").map(Payload::whole);
    call.response = text("answered ").map(Payload::whole);
}

/// One request as its client, two of its server's libraries and two HTTP spans around it tell it.
fn views_that_disagree(values: &[Vec<u8>]) -> Batch {
    let mut client = span(1, None, "client", SpanKind::Client, 0, 100);
    let mut server = span(4, Some(3), "server", SpanKind::Server, 20, 80);
    let mut inside = span(5, Some(4), "server", SpanKind::Internal, 25, 75);
    inside.call.origin = origin("server", "fastmcp");
    let views = [&mut client, &mut server, &mut inside];
    for (view, values) in views.into_iter().zip(values) {
        says(&mut view.call, values);
    }
    let mut https = vec![
        http(2, None, "server", SpanKind::Server, 18, 82),
        http(3, Some(1), "server", SpanKind::Server, 10, 90),
    ];
    for (http, values) in https.iter_mut().zip(values.iter().skip(3)) {
        let mut call = client.call.clone();
        says(&mut call, values);
        http.http_status = call.http_status;
        http.client_ip = call.client_ip;
        http.country = call.country;
        http.authorization = call.authorization;
        http.user_agent = call.user_agent;
        http.session_id = call.session_id;
        http.protocol_version = call.protocol_version;
    }
    batch(vec![client, server, inside], https, vec![])
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

fn scenarios() -> [Batch; 9] {
    [
        through_a_gateway(),
        lists_before_calls(),
        lists_below_a_wrapper(),
        lists_of_a_traced_client(),
        two_views_of_a_client(),
        lines_of_parallel_calls(),
        answered_without_a_span(),
        parallel_calls(),
        side_by_side(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_views_say_differently_is_told_alike(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 13), 5),
        keys in prop::collection::vec(any::<u32>(), 5),
        cuts in prop::collection::vec(any::<bool>(), 5),
    ) {
        let whole = views_that_disagree(&values);
        let mut at_once = Memory::default();
        at_once.write(whole.clone());
        let mut apart = Memory::default();
        send(&mut apart, &whole, &keys, &cuts);
        prop_assert_eq!(apart.everything(), at_once.everything());
        let before = apart.everything();
        for piece in pieces(&whole) {
            prop_assert_eq!(apart.write(piece), 0);
        }
        prop_assert_eq!(apart.everything(), before);
    }

    #[test]
    fn announcements_change_nothing_in_the_end(
        scenario in 0..10usize,
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 13), 5),
        keys in prop::collection::vec(any::<u32>(), 32),
        cuts in prop::collection::vec(any::<bool>(), 32),
        silent in prop::collection::vec(any::<bool>(), 32),
    ) {
        let whole = match scenario {
            9 => views_that_disagree(&values),
            _ => scenarios()[scenario].clone(),
        };
        let mut at_once = Memory::default();
        at_once.write(whole.clone());
        let mut all = whole.clone();
        all.observations.extend(whole.observations.iter().map(announced));
        let mut apart = Memory::default();
        let mut pieces: Vec<_> = pieces(&all).into_iter().zip(&keys).collect();
        pieces.sort_by_key(|(_, key)| **key);
        let mut export = Batch::default();
        for ((piece, _), (cut, silent)) in pieces.into_iter().zip(cuts.iter().zip(&silent)) {
            export.observations.extend(piece.observations);
            export.https.extend(piece.https);
            export.logs.extend(piece.logs);
            if *cut {
                apart.write(std::mem::take(&mut export));
                if *silent {
                    fall_silent(&mut apart);
                }
            }
        }
        apart.write(export);
        let without_silence = |memory: &Memory| {
            let mut everything = memory.everything();
            for (whole, _) in &mut everything {
                whole.call.evidence.lost = false;
            }
            everything
        };
        prop_assert_eq!(without_silence(&apart), without_silence(&at_once));
        for one in &whole.observations {
            prop_assert_eq!(apart.write(batch(vec![announced(one)], vec![], vec![])), 0);
        }
    }

    #[test]
    fn order_and_batching_do_not_matter(
        scenario in 0..9usize,
        keys in prop::collection::vec(any::<u32>(), 16),
        cuts in prop::collection::vec(any::<bool>(), 16),
        again in prop::collection::vec(any::<u32>(), 16),
    ) {
        let whole = scenarios()[scenario].clone();
        let mut at_once = Memory::default();
        at_once.write(whole.clone());
        let mut apart = Memory::default();
        send(&mut apart, &whole, &keys, &cuts);
        prop_assert_eq!(apart.everything(), at_once.everything());
        // Delivered again in another order: nothing changes, and the feed shows nothing.
        let before = apart.everything();
        for piece in pieces(&whole).into_iter().zip(&again).map(|(piece, _)| piece) {
            prop_assert_eq!(apart.write(piece), 0);
        }
        prop_assert_eq!(apart.everything(), before);
    }
}
