//! `/healthz`, `/readyz` and `/metrics`.

use serde_json::Value;

use crate::support::{
    Database, TestServer, eventually, http_span, line, on_each_database, span, traces_request,
};

#[tokio::test]
async fn a_running_server_is_healthy_and_ready() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
        assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
        let (status, page) = server.get("/").await;
        assert!(status == 200 && page.contains("<html"), "{status}");
    })
    .await;
}

#[tokio::test]
async fn the_api_says_where_telemetry_is_received() {
    let server = TestServer::start().await;
    let query = "{ receivers { otlpHttp { host port } otlpGrpc { host port } } }";
    let answer = server.graphql(query, serde_json::json!({})).await;
    for (receiver, url) in [
        ("otlpHttp", server.otlp_http_url()),
        ("otlpGrpc", server.otlp_grpc_url()),
    ] {
        let told = &answer["receivers"][receiver];
        let (host, port) = (told["host"].as_str().unwrap(), told["port"].as_u64().unwrap());
        assert!(port > 0, "{answer}");
        assert_eq!(format!("http://{host}:{port}"), url);
    }
}

#[tokio::test]
async fn what_comes_in_is_counted_by_what_it_is() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let call = span("tools/call get_order");
        let foreign = span("SELECT orders").with(|span| span.attributes.clear());
        server
            .export([
                call.clone(),
                http_span(200),
                span("notifications/initialized"),
                foreign,
            ])
            .await;
        server
            .export_logs([
                line(&call, "of the call"),
                line(&call, "of nothing").with(|record| record.trace_id.clear()),
            ])
            .await;
        for (name, expected) in [
            ("spans_total", 4),
            ("mcp_spans_total", 1),
            ("http_spans_total", 1),
            ("skipped_spans_total", 1),
            ("foreign_spans_total", 1),
            ("rejected_spans_total", 0),
            ("log_records_total", 2),
            ("uncorrelated_log_records_total", 1),
            ("calls_total", 1),
            ("log_lines_total", 1),
            ("refused_exports_total", 0),
        ] {
            assert_eq!(server.metric(name).await, expected, "{name}");
        }
        assert!(server.metric("commits_total").await >= 2);
        assert_eq!(server.metric("queued_records").await, 0);
        assert_eq!(server.metric("queue_limit_records").await, 65_536);
        assert_eq!(server.calls(Value::Null, "id").await.len(), 1);
        // Any Prometheus can read it.
        let (_, text) = server.get("/metrics").await;
        assert!(
            text.contains("# HELP mcptap_spans ") && text.trim_end().ends_with("# EOF"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn readiness_says_which_check_failed_and_what_to_do() {
    let server = TestServer::on(Database::sqlite()).await;
    server.export([span("tools/call get_order")]).await;
    let file = server.database().file().unwrap();
    std::fs::remove_file(&file).unwrap();
    let (status, told) = eventually("a no", async || {
        let told = server.get("/readyz").await;
        (told.0 != 200).then_some(told)
    })
    .await;
    assert_eq!(status, 503);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["failed"][0]["check"], "file");
    for part in ["since", "reason", "advice"] {
        assert!(
            told["failed"][0][part]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{told}"
        );
    }
    // What nobody will ever find again is not taken.
    let refused = server
        .try_send(&traces_request([span("tools/call get_order")]))
        .await;
    assert!(refused.is_err());
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
}
