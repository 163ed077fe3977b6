//! The same span twice is one record; a fuller view of it completes the record.

use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde_json::{Value, json};

use crate::support::{TestServer, line, on_each_database, sorted, span};

#[tokio::test]
async fn the_same_export_again_changes_nothing() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let mut feed = server.follow(None, Value::Null).await;
        assert_eq!(feed.history().await.len(), 0);
        let spans = [
            span("tools/call get_order")
                .attr("gen_ai.tool.call.arguments", r#"{"id":1}"#)
                .attr("warehouse", 7),
            span("initialize").at(-10.0).attr("mcp.session.id", "s-1"),
            span("resources/read shop://policies")
                .at(-20.0)
                .failed("gone")
                .attr("rpc.response.status_code", "-32002"),
        ];
        let lines = [line(&spans[0], "one"), line(&spans[0], "two")];
        server.export(spans.clone()).await;
        let (kind, added) = feed.calls().await;
        assert_eq!((kind.as_str(), added.len()), ("CallsAdded", 3));
        server.export_logs(lines.clone()).await;
        let fields = "id spanId method target outcome startedAt durationMs receivedAt requestId sessionId
            attributes request { text } logs { nodes { time body } }";
        let stored = server.calls(Value::Null, fields).await;
        assert_eq!(stored.len(), 3);

        server.export(spans.clone()).await;
        server.export_grpc(spans.clone()).await;
        server.export(spans.iter().cloned().chain(spans.clone())).await;
        server.export_logs(lines).await;
        assert_eq!(server.calls(Value::Null, fields).await, stored);
        // The next thing in the feed is the next call: nothing was announced in between.
        let next = span("tools/call next");
        server.export([next.clone()]).await;
        let (kind, added) = feed.calls().await;
        assert_eq!(
            (kind.as_str(), &added[0]["spanId"], added.len()),
            ("CallsAdded", &json!(next.id()), 1)
        );
    })
    .await;
}

#[tokio::test]
async fn lines_without_any_time_are_as_many_as_were_sent() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let event = Event {
            name: "step".to_owned(),
            ..Event::default()
        };
        // Its sender says the same twice.
        let call = span("tools/call timeless").with(|span| span.events = vec![event.clone(), event]);
        let untimed = |body: &str| {
            line(&call, body).with(|record| {
                record.time_unix_nano = 0;
                record.observed_time_unix_nano = 0;
            })
        };
        let export = [untimed("tick"), line(&call, "timed"), untimed("tick")];
        let bodies = async |server: &TestServer| {
            let calls = server
                .calls(Value::Null, "logs(first: 99) { nodes { body } }")
                .await;
            let lines = calls[0]["logs"]["nodes"].as_array().unwrap().clone();
            sorted(lines.iter().map(|line| line["body"].as_str().unwrap().to_owned()))
        };

        // Before their call is there, and afterwards: each export was answered, so the next is another that says the same.
        server.export_logs(export.clone()).await;
        server.export([call.clone()]).await;
        server.export([call.clone()]).await;
        let expected = ["step", "step", "tick", "tick", "timed"];
        assert_eq!(bodies(&server).await, expected);
        server.export_logs(export).await;
        let expected = ["step", "step", "tick", "tick", "tick", "tick", "timed"];
        assert_eq!(bodies(&server).await, expected);
    })
    .await;
}

#[tokio::test]
async fn the_same_span_twice_in_one_export_is_one_call() {
    let server = TestServer::start().await;
    let twice = span("tools/call get_order");
    server.export([twice.clone(), twice.clone()]).await;
    assert_eq!(server.span_ids().await, [twice.id()]);
}

#[tokio::test]
async fn many_senders_of_the_same_export_at_once_make_one_call_each() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let spans: Vec<_> = (0..20)
            .map(|number| span("tools/call get_order").at(f64::from(number)))
            .collect();
        let sending = (0..8).map(|_| server.export(spans.clone()));
        futures_util::future::join_all(sending).await;
        assert_eq!(
            server.span_ids().await,
            crate::support::sorted(spans.iter().map(|span| span.id()))
        );
    })
    .await;
}

#[tokio::test]
async fn a_fuller_view_completes_the_record() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let mut feed = server.follow(None, Value::Null).await;
        assert_eq!(feed.history().await.len(), 0);
        let first = span("tools/call get_order");
        let fuller = first
            .clone()
            .attr("gen_ai.tool.call.result", r#"{"state":"paid"}"#)
            .attr("jsonrpc.request.id", "7");
        server.export([first.clone()]).await;
        let (_, added) = feed.calls().await;
        server.export([fuller]).await;
        let (kind, updated) = feed.calls().await;
        assert_eq!(kind, "CallsUpdated");
        assert_eq!(updated[0]["id"], added[0]["id"]);
        assert_eq!(updated[0]["requestId"], "7");
        let calls = server.calls(Value::Null, "id requestId response { json }").await;
        let expected =
            json!({"id": added[0]["id"], "requestId": "7", "response": {"json": {"state": "paid"}}});
        assert_eq!(calls, [expected]);
        // A poorer one takes nothing away.
        server.export([first]).await;
        assert_eq!(
            server.calls(Value::Null, "id requestId response { json }").await,
            calls
        );
    })
    .await;
}
