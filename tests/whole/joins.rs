//! One request, told by many spans and log records, in whatever order they arrive: one call.

use serde_json::{Value, json};

use crate::support::{Client, SpanBuilder, TestServer, http_span, line, on_each_database, one_by_one, span};

/// Every order of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let longer = |order: Vec<usize>| {
        let at = order.len();
        (0..=at).map(move |place| {
            let mut order = order.clone();
            order.insert(place, at);
            order
        })
    };
    (0..count).fold(vec![Vec::new()], |orders, _| {
        orders.into_iter().flat_map(longer).collect()
    })
}

/// These fields of the calls of a trace, oldest first.
async fn of_trace(server: &Client, of: &SpanBuilder, fields: &str) -> Vec<Value> {
    server.calls(json!({"traceId": of.trace()}), fields).await
}

fn web(status: i64) -> SpanBuilder {
    http_span(status)
        .attr("client.address", "203.0.113.7")
        .attr("user_agent.original", "agent/1.0")
}

const WEB_FIELDS: &str = "spanId httpStatus clientIp userAgent transport outcome";

#[tokio::test]
async fn the_http_request_around_a_call_lends_it_what_it_knows() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        for order in orders(2) {
            // As the parent, and as a link where the parent is the client's span.
            let below = web(200);
            let by_parent = span("tools/call get_order").parent(&below);
            let beside = web(200);
            let by_link = span("tools/call get_order").parent(&span("tools/call get_order").client()).link(&beside);
            for (http, call) in [(below, by_parent), (beside, by_link)] {
                for request in one_by_one(&[&http, &call], &order) {
                    server.send(&request).await;
                }
                let expected = json!({
                    "spanId": call.id(), "httpStatus": 200, "clientIp": "203.0.113.7", "userAgent": "agent/1.0",
                    "transport": "STREAMABLE_HTTP", "outcome": "OK",
                });
                assert_eq!(of_trace(&server, &call, WEB_FIELDS).await, [expected], "{order:?}");
            }
        }
        assert_eq!(server.calls(json!({"httpStatuses": [200]}), "id").await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_by_http_is_the_calls_outcome() {
    let server = TestServer::start().await;
    let http = web(401);
    let call = span("tools/call get_order").parent(&http);
    let mut feed = server
        .follow(None, json!({"outcomes": ["TRANSPORT_ERROR"]}))
        .await;
    assert_eq!(feed.history().await.len(), 0);
    server.export([call.clone()]).await;
    server.export([http]).await;
    // It comes to match the filter only now.
    let (kind, calls) = feed.calls().await;
    assert_eq!(
        (kind.as_str(), &calls[0]["spanId"], &calls[0]["httpStatus"]),
        ("CallsUpdated", &json!(call.id()), &json!(401))
    );
}

#[tokio::test]
async fn an_http_request_that_ended_before_lends_nothing() {
    let server = TestServer::start().await;
    for order in orders(2) {
        // The POST of `initialize` is the parent of everything in its session, in some libraries.
        let opening = web(200).lasting(-10_000.0, -9_900.0);
        let call = span("tools/call get_order").parent(&opening);
        for request in one_by_one(&[&opening, &call], &order) {
            server.send(&request).await;
        }
        let expected = json!({
            "spanId": call.id(), "httpStatus": null, "clientIp": null, "userAgent": null, "transport": null,
            "outcome": "OK",
        });
        assert_eq!(
            of_trace(&server, &call, WEB_FIELDS).await,
            [expected],
            "{order:?}"
        );
    }
}

#[tokio::test]
async fn log_lines_find_their_call_before_and_after_it() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let call = span("tools/call get_order");
        // A step of the tool: no call of its own, but lines are written in it.
        let step = span("query").parent(&call);
        let late = |record: &mut opentelemetry_proto::tonic::logs::v1::LogRecord| record.time_unix_nano += 1_000_000;
        server.export_logs([line(&call, "before").attr("thread", "t-1")]).await;
        server.export_logs([line(&step, "in a step").with(late)]).await;
        server.export([call.clone()]).await;
        server.export_logs([line(&call, "after").with(late).with(late)]).await;
        let fields = "spanId logs { nodes { time severity body attributes } }";
        let at = |nanos: u32| format!("2026-11-22T12:00:00.{nanos:03}Z");
        let line = |nanos, body: &str, attributes| json!({"time": at(nanos), "severity": "INFO", "body": body, "attributes": attributes});
        let expected = json!({"spanId": call.id(), "logs": {"nodes": [
            line(1, "before", json!({"thread": "t-1"})),
            line(2, "in a step", json!({})),
            line(3, "after", json!({})),
        ]}});
        assert_eq!(server.calls(Value::Null, fields).await, [expected]);
        assert_eq!(server.calls(json!({"search": "\"in a step\""}), "id").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn log_lines_of_no_call_never_show() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let call = span("tools/call get_order");
        let other = span("GET /health");
        let long_after = span("cleanup").beside(&call).at(60_000.0);
        let lines = || {
            let nowhere = line(&other, "elsewhere").with(|record| record.trace_id.clear());
            [line(&other, "elsewhere"), line(&long_after, "elsewhere"), nowhere]
        };
        server.export_logs(lines()).await;
        server.export([call]).await;
        server.export_logs(lines()).await;
        assert_eq!(
            server.calls(Value::Null, "logs { nodes { body } }").await,
            [json!({"logs": {"nodes": []}})]
        );
        assert_eq!(server.calls(json!({"search": "elsewhere"}), "id").await.len(), 0);
        assert_eq!(server.metric("uncorrelated_log_records_total").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_clients_view_and_the_servers_are_one_call() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        for order in orders(2) {
            let client = span("tools/call get_order")
                .client()
                .service("agent")
                .attr("gen_ai.tool.call.arguments", r#"{"id":1}"#)
                .attr("mcp.client.name", "agent-app")
                .lasting(-1.0, 9.0);
            let served = span("tools/call get_order").parent(&client).attr("jsonrpc.request.id", "7");
            for request in one_by_one(&[&client, &served], &order) {
                server.send(&request).await;
            }
            let fields = "observedBy server { name } requestId clientName request { json } durationMs parentSpanId";
            let request = json!({"method": "tools/call", "params": {"name": "get_order", "arguments": {"id": 1}}});
            let expected = json!({
                "observedBy": "SERVER", "server": {"name": "shop"}, "requestId": "7", "clientName": "agent-app",
                "request": {"json": request}, "durationMs": 5.0, "parentSpanId": client.id(),
            });
            assert_eq!(of_trace(&server, &served, fields).await, [expected], "{order:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_clients_view_that_came_first_keeps_its_id() {
    let server = TestServer::start().await;
    let mut feed = server.follow(None, Value::Null).await;
    assert_eq!(feed.history().await.len(), 0);
    let client = span("tools/call get_order")
        .client()
        .service("agent")
        .lasting(-1.0, 9.0);
    let served = span("tools/call get_order").parent(&client);
    server.export([client]).await;
    let (kind, added) = feed.calls().await;
    assert_eq!(
        (kind.as_str(), &added[0]["observedBy"]),
        ("CallsAdded", &json!("CLIENT"))
    );
    server.export([served]).await;
    let (kind, updated) = feed.calls().await;
    assert_eq!(
        (kind.as_str(), &updated[0]["observedBy"]),
        ("CallsUpdated", &json!("SERVER"))
    );
    assert_eq!(updated[0]["id"], added[0]["id"]);
}

#[tokio::test]
async fn a_client_alone_is_a_call_as_the_client_saw_it() {
    let server = TestServer::start().await;
    server
        .export([span("tools/call get_order")
            .client()
            .service("agent")
            .attr("mcp.server.name", "orders")])
        .await;
    let expected = json!({"observedBy": "CLIENT", "server": {"name": "orders"}, "httpStatus": null});
    assert_eq!(
        server
            .calls(Value::Null, "observedBy server { name } httpStatus")
            .await,
        [expected]
    );
}

#[tokio::test]
async fn a_gateways_hop_is_a_call_of_its_own_in_every_order() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        for order in orders(4) {
            let client = span("tools/call get_order")
                .client()
                .service("agent")
                .lasting(0.0, 100.0);
            let client = client.attr("mcp.client.name", "agent-app");
            let received = span("tools/call get_order")
                .parent(&client)
                .service("gw")
                .lasting(10.0, 90.0);
            let handed_on = span("tools/call get_order")
                .client()
                .parent(&received)
                .service("gw")
                .lasting(20.0, 80.0);
            let served = span("tools/call get_order")
                .parent(&handed_on)
                .service("shop")
                .lasting(30.0, 70.0);
            for request in one_by_one(&[&client, &received, &handed_on, &served], &order) {
                server.send(&request).await;
            }
            let hops = of_trace(&server, &client, "server { name } observedBy durationMs").await;
            let gateway = json!({"server": {"name": "gw"}, "observedBy": "GATEWAY", "durationMs": 80.0});
            let last = json!({"server": {"name": "shop"}, "observedBy": "SERVER", "durationMs": 40.0});
            assert_eq!(hops, [gateway, last], "{order:?}");
            // The client asked the gateway. When its span and the last server's come first, nobody can know that.
            if !matches!(order[..2], [0, 3] | [3, 0]) {
                let clients = of_trace(&server, &client, "clientName").await;
                assert_eq!(
                    clients,
                    [json!({"clientName": "agent-app"}), json!({"clientName": null})],
                    "{order:?}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_gateway_over_http_is_told_apart_in_every_order() {
    let server = TestServer::start().await;
    for order in orders(5) {
        let http = |name: &str, parent: &SpanBuilder| http_span(200).service(name).parent(parent);
        let client = span("tools/call get_order")
            .client()
            .service("agent")
            .lasting(0.0, 100.0);
        let gw_http = http("gw", &client)
            .lasting(9.0, 91.0)
            .attr("client.address", "203.0.113.7");
        let received = span("tools/call get_order")
            .parent(&gw_http)
            .service("gw")
            .lasting(10.0, 90.0);
        let shop_http = http("shop", &received)
            .lasting(29.0, 71.0)
            .attr("client.address", "198.51.100.1");
        let served = span("tools/call get_order")
            .parent(&shop_http)
            .service("shop")
            .lasting(30.0, 70.0);
        for request in one_by_one(&[&client, &gw_http, &received, &shop_http, &served], &order) {
            server.send(&request).await;
        }
        let calls = of_trace(&server, &client, "server { name } observedBy clientIp").await;
        let gateway = json!({"server": {"name": "gw"}, "observedBy": "GATEWAY", "clientIp": "203.0.113.7"});
        let last = json!({"server": {"name": "shop"}, "observedBy": "SERVER", "clientIp": "198.51.100.1"});
        assert_eq!(calls, [gateway, last], "{order:?}");
    }
}
