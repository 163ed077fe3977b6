//! Requests as their spans, HTTP spans and log lines tell them.

use mcptap_model::{Evidence, Payload, SessionKey, SessionSource, SpanRef};

use super::*;

/// A traced client, a gateway and a server, with HTTP spans between them and a line of output.
pub(super) fn through_a_gateway() -> Batch {
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

/// What FastMCP 4 sends on protocol 2026-07-28 for a client that lists tools and then calls one.
pub(super) fn lists_before_calls() -> Batch {
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

/// A call of an unknown tool of FastMCP 3 below Splunk's span, the library's own list in a trace of its own, and a list
/// that a client asked for.
pub(super) fn lists_below_a_wrapper() -> Batch {
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
pub(super) fn lists_of_a_traced_client() -> Batch {
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
pub(super) fn two_views_of_a_client() -> Batch {
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
pub(super) fn lines_of_parallel_calls() -> Batch {
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
pub(super) fn answered_without_a_span() -> Batch {
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

/// The same span, as it is announced while its request runs: nothing of its end is known.
pub(super) fn announced(one: &Observation) -> Observation {
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

/// Two calls of one tool at the same time, each told by two libraries of the server, and two quick ones of a traced client
/// that last within one of them.
pub(super) fn parallel_calls() -> Batch {
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

/// An agent's parallel calls of one tool: the second lasts within the first, and another replica answers it.
pub(super) fn parallel_calls_of_an_agent() -> Batch {
    let on = |replica: &str, number, parent, kind, from, to| {
        let service = if kind == SpanKind::Client {
            "agent"
        } else {
            "server"
        };
        let mut one = span(number, parent, service, kind, from, to);
        one.call.origin = Arc::new(Origin {
            instance: Some(replica.to_owned()),
            ..Origin::clone(&one.call.origin)
        });
        one.call.request_id = Some(replica.to_owned());
        one
    };
    batch(
        vec![
            on("1", 1, None, SpanKind::Client, 0, 250),
            on("1", 2, Some(3), SpanKind::Server, 5, 245),
            on("2", 4, None, SpanKind::Client, 70, 220),
            on("2", 5, Some(6), SpanKind::Server, 75, 215),
        ],
        vec![
            http(3, Some(1), "server", SpanKind::Server, 4, 246),
            http(6, Some(4), "server", SpanKind::Server, 74, 216),
        ],
        vec![],
    )
}

/// A gateway whose own client's span is below a span that nobody sends.
pub(super) fn through_a_gateway_with_a_gap() -> Batch {
    batch(
        vec![
            span(1, Some(9), "gateway", SpanKind::Server, 10, 90),
            span(2, Some(8), "gateway", SpanKind::Client, 20, 80),
            span(3, Some(2), "server", SpanKind::Server, 30, 70),
        ],
        vec![],
        vec![],
    )
}

/// A POST that is accepted at once, and answered on another stream.
pub(super) fn accepted_and_answered_later() -> Batch {
    let mut accepted = http(2, Some(1), "server", SpanKind::Server, 2, 5);
    accepted.http_status = Some(202);
    batch(
        vec![
            span(1, None, "client", SpanKind::Client, 0, 100),
            span(3, Some(2), "server", SpanKind::Server, 4, 95),
        ],
        vec![accepted],
        vec![],
    )
}

/// Two servers that begin at the same time; an HTTP span and a client's span that last around the beginning of one and not
/// around its end; and a gateway's list that a client asked for, since it lasts as long as its HTTP request.
pub(super) fn side_by_side() -> Batch {
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
pub(super) fn says(call: &mut Call, values: &[u8]) {
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
pub(super) fn views_that_disagree(values: &[Vec<u8>]) -> Batch {
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

/// A span of who watches from outside.
fn watcher(number: u8, parent: Option<u8>, id: &str, from: i64, to: i64) -> Observation {
    let mut one = span(number, parent, "127.0.0.1", SpanKind::Server, from, to);
    one.call.origin = origin("127.0.0.1", semconv::WATCH_SCOPE);
    one.call.server = Some("heard".to_owned());
    one.call.request_id = Some(id.to_owned());
    one.call.http_status = Some(200);
    one.call.client_ip = Some("192.0.2.7".to_owned());
    one
}

/// A server behind a proxy that began the trace, told by two libraries; and a traced client of a gateway, with proxies that
/// pass its `traceparent` on before the gateway and before the server behind that.
pub(super) fn watched_from_outside() -> Batch {
    let mut shop = span(3, Some(2), "shop", SpanKind::Server, 10, 90);
    shop.call.client_ip = Some("10.0.0.1".to_owned());
    let mut inside = span(10, Some(3), "shop", SpanKind::Internal, 20, 80);
    inside.call.origin = origin("shop", "fastmcp");
    let with_id = |mut one: Observation, id: &str| {
        one.call.request_id = Some(id.to_owned());
        one
    };
    batch(
        vec![
            watcher(1, None, "1", 0, 100),
            shop,
            inside,
            span(4, None, "client", SpanKind::Client, 200, 300),
            watcher(5, Some(4), "2", 210, 290),
            with_id(span(6, Some(4), "gateway", SpanKind::Server, 220, 280), "2"),
            span(7, Some(6), "gateway", SpanKind::Client, 230, 270),
            watcher(8, Some(7), "1", 240, 260),
            span(9, Some(7), "server", SpanKind::Server, 245, 255),
        ],
        vec![http(2, Some(1), "shop", SpanKind::Server, 5, 95)],
        vec![
            line(Some(3), "shop", 50, "looking"),
            line(Some(1), "127.0.0.1", 60, "passing"),
        ],
    )
}

/// A server that does not read the proxy's `traceparent`: three requests of one session, the last with an id that was used
/// before, and one of another session at the same time. A client's span above one of the proxy's.
pub(super) fn watched_in_another_trace() -> Batch {
    let of = |mut one: Observation, number: u8, session: &str, id: &str| {
        one.call.trace_id = trace(number);
        one.call.session_id = Some(session.to_owned());
        one.call.session = Some(SessionKey {
            source: SessionSource::Wire,
            key: session.to_owned(),
        });
        one.call.request_id = Some(id.to_owned());
        one
    };
    let own = |number, from, to| span(number, None, "shop", SpanKind::Server, from, to);
    let mut client = span(9, None, "client", SpanKind::Client, 0, 100);
    client.call.trace_id = trace(1);
    batch(
        vec![
            client,
            of(watcher(1, Some(9), "", 5, 95), 1, "ours", "1"),
            of(own(11, 10, 90), 11, "ours", "1"),
            of(watcher(2, None, "", 20, 80), 2, "ours", "2"),
            of(own(12, 30, 70), 12, "ours", "2"),
            of(watcher(3, None, "", 200, 300), 3, "ours", "1"),
            of(own(13, 210, 290), 13, "ours", "1"),
            of(own(14, 20, 80), 14, "theirs", "1"),
        ],
        vec![],
        vec![line(Some(1), "127.0.0.1", 60, "passing")],
    )
}

/// Servers whose spans say no session, only the HTTP spans around or linked do: the proxy's are in other traces. One request
/// of another session with the same id at the same time.
pub(super) fn watched_by_the_session_of_http() -> Batch {
    let session = |mut one: Observation, session: &str| {
        one.call.session_id = Some(session.to_owned());
        one.call.session = Some(SessionKey {
            source: SessionSource::Wire,
            key: session.to_owned(),
        });
        one
    };
    let own = |number: u8, parent: Option<u8>, of: u8, from, to| {
        let mut one = span(number, parent, "shop", SpanKind::Server, from, to);
        one.call.trace_id = trace(of);
        one.call.request_id = Some("1".to_owned());
        one
    };
    let around = |number: u8, of: u8, session: &str, from, to| {
        let mut one = http(number, None, "shop", SpanKind::Server, from, to);
        one.trace_id = trace(of);
        one.session_id = Some(session.to_owned());
        one
    };
    let seen = |number: u8, id: &str, from, to| {
        let mut one = session(watcher(number, None, "1", from, to), id);
        one.call.trace_id = trace(number);
        one
    };
    let mut linked = own(13, None, 13, 210, 290);
    linked.links.push(SpanRef {
        trace_id: trace(23),
        span_id: id(23),
    });
    batch(
        vec![
            seen(1, "ours", 0, 100),
            own(11, Some(21), 11, 10, 90),
            seen(2, "theirs", 0, 100),
            own(12, None, 12, 10, 90),
            seen(3, "third", 200, 300),
            linked,
            seen(4, "fourth", 400, 500),
            own(14, Some(25), 14, 410, 490),
        ],
        vec![
            // The nearer one has no session.
            {
                let mut inner = around(25, 14, "", 406, 494);
                inner.session_id = None;
                inner.parent_span_id = Some(id(24));
                inner
            },
            around(24, 14, "fourth", 405, 495),
            around(21, 11, "ours", 5, 95),
            around(22, 12, "theirs", 5, 95),
            around(23, 23, "third", 205, 295),
        ],
        vec![line(Some(11), "shop", 50, "looking")],
    )
}

/// A gateway without HTTP spans: what is between its own client's span and the server's, and whether ids say which request is
/// which, is given.
struct Gateway {
    /// The JSON-RPC ids before and behind the gateway.
    ids: Option<(&'static str, &'static str)>,
    /// A proxy before the gateway, and one behind it.
    proxies: (bool, bool),
    /// Whether the server is in a trace of its own, and found by the session that the proxy saw.
    apart: bool,
}

impl Gateway {
    fn batch(&self) -> Batch {
        let with_id = |mut one: Observation, id: Option<&str>| {
            one.call.request_id = id.map(str::to_owned);
            one
        };
        let (before, behind) = self.ids.unzip();
        let mut agent = with_id(span(1, None, "agent", SpanKind::Client, 0, 100), before);
        agent.call.client_name = Some("agent".to_owned());
        agent.call.client_version = Some("1.0".to_owned());
        agent.call.response = Some(Payload::whole("answered".to_owned()));
        let mut all = vec![agent];
        let mut above = 1;
        if self.proxies.0 {
            all.push(watcher(2, Some(above), before.unwrap_or("7"), 4, 96));
            above = 2;
        }
        all.push(with_id(
            span(3, Some(above), "gateway", SpanKind::Server, 10, 90),
            before,
        ));
        all.push(with_id(
            span(4, Some(3), "gateway", SpanKind::Client, 20, 80),
            behind,
        ));
        above = 4;
        if self.proxies.1 {
            let mut seen = watcher(5, Some(4), behind.unwrap_or("8"), 24, 76);
            seen.call.session_id = Some("wire".to_owned());
            seen.call.session = Some(SessionKey {
                source: SessionSource::Wire,
                key: "wire".to_owned(),
            });
            all.push(seen);
            above = 5;
        }
        let mut server = with_id(span(6, Some(above), "server", SpanKind::Server, 30, 70), behind);
        server.call.server = Some("shop".to_owned());
        if self.apart {
            server.call.trace_id = trace(6);
            server.call.parent_span_id = None;
            server.call.session_id = Some("wire".to_owned());
            server.call.session = Some(SessionKey {
                source: SessionSource::Wire,
                key: "wire".to_owned(),
            });
        }
        all.push(server);
        batch(
            all,
            vec![],
            vec![
                line(Some(1), "agent", 50, "of the agent"),
                line(Some(4), "gateway", 50, "of the gateway's client"),
                line(Some(6), "server", 51, "of the server"),
            ],
        )
    }
}

/// The ways in which requests go through one gateway.
pub(super) fn through_gateways() -> Vec<Batch> {
    let mut all = Vec::new();
    for ids in [None, Some(("7", "1")), Some(("1", "1"))] {
        for proxies in [(false, false), (true, false), (false, true), (true, true)] {
            for apart in [false, true] {
                if !apart || (proxies.1 && ids.is_some()) {
                    all.push(Gateway { ids, proxies, apart }.batch());
                }
            }
        }
    }
    all.push(through_two_gateways(None));
    all.push(through_two_gateways(Some(["1", "2", "3"])));
    all.push(beside_the_request_of_another());
    all
}

/// A gateway behind a gateway; the agent's span is not the first of the trace.
fn through_two_gateways(ids: Option<[&str; 3]>) -> Batch {
    let with = |number, parent, service, kind, from, to, hop: usize| {
        let mut one = span(number, Some(parent), service, kind, from, to);
        one.call.request_id = ids.map(|ids| ids[hop].to_owned());
        one
    };
    let mut agent = with(1, 9, "agent", SpanKind::Client, 0, 100, 0);
    agent.call.client_name = Some("agent".to_owned());
    let mut inner = with(4, 3, "inner", SpanKind::Client, 50, 60, 2);
    inner.call.client_name = Some("inner".to_owned());
    inner.call.parent_span_id = Some(id(5));
    batch(
        vec![
            agent,
            with(2, 1, "outer", SpanKind::Server, 10, 90, 0),
            with(3, 2, "outer", SpanKind::Client, 20, 80, 1),
            with(5, 3, "inner", SpanKind::Server, 30, 70, 1),
            inner,
            with(6, 4, "server", SpanKind::Server, 52, 58, 2),
        ],
        vec![],
        vec![],
    )
}

/// An agent's two requests at the same time, of which one is handled behind a span that nobody sends: it is known by its time.
fn beside_the_request_of_another() -> Batch {
    let named = |number, from, to| {
        let mut one = span(number, None, "agent", SpanKind::Client, from, to);
        one.call.client_name = Some(format!("agent {number}"));
        one
    };
    batch(
        vec![
            named(1, 0, 100),
            named(2, 10, 90),
            span(3, Some(2), "server", SpanKind::Server, 20, 80),
            span(4, Some(8), "server", SpanKind::Server, 15, 85),
        ],
        vec![],
        vec![],
    )
}

pub(super) fn scenarios() -> [Batch; SCENARIOS] {
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
        parallel_calls_of_an_agent(),
        through_a_gateway_with_a_gap(),
        accepted_and_answered_later(),
        watched_from_outside(),
        watched_in_another_trace(),
        watched_by_the_session_of_http(),
        received_in_one_session_and_linked_to_another(),
        through_a_gateway_over_http(),
        Gateway {
            ids: Some(("1", "1")),
            proxies: (true, true),
            apart: false,
        }
        .batch(),
        Gateway {
            ids: Some(("7", "1")),
            proxies: (true, true),
            apart: true,
        }
        .batch(),
        through_two_gateways(Some(["1", "2", "3"])),
        beside_the_request_of_another(),
    ]
}

pub(super) const SCENARIOS: usize = 21;

/// The HTTP span above a server's call is of one session, and the one that it links to of another. Proxies saw requests of
/// both, the one below an agent's span.
fn received_in_one_session_and_linked_to_another() -> Batch {
    let in_session = |mut one: Observation, of: u8, session: &str| {
        one.call.trace_id = trace(of);
        one.call.session_id = Some(session.to_owned());
        one.call.session = Some(SessionKey {
            source: SessionSource::Wire,
            key: session.to_owned(),
        });
        one
    };
    let around = |number: u8, of: u8, session: &str| {
        let mut one = http(number, None, "shop", SpanKind::Server, 7, 94);
        one.trace_id = trace(of);
        one.session_id = Some(session.to_owned());
        one.http_status = Some(200 + i32::from(of));
        one
    };
    let mut own = span(3, Some(4), "shop", SpanKind::Server, 10, 90);
    own.call.trace_id = trace(2);
    own.call.request_id = Some("1".to_owned());
    own.links.push(SpanRef {
        trace_id: trace(3),
        span_id: id(5),
    });
    let mut agent = span(8, None, "agent", SpanKind::Client, 0, 100);
    agent.call.trace_id = trace(9);
    agent.call.client_name = Some("agent".to_owned());
    batch(
        vec![
            in_session(watcher(2, None, "1", 5, 95), 1, "first"),
            agent,
            in_session(watcher(9, Some(8), "1", 4, 96), 9, "second"),
            own,
        ],
        vec![around(4, 2, "first"), around(5, 3, "second")],
        vec![],
    )
}

/// The same as [`through_a_gateway`], of an agent that says its name.
fn through_a_gateway_over_http() -> Batch {
    let mut whole = through_a_gateway();
    for one in &mut whole.observations {
        if one.call.origin.service.as_deref() == Some("client") {
            one.call.client_name = Some("agent".to_owned());
            one.call.response = Some(Payload::whole("answered".to_owned()));
        }
    }
    whole
}
