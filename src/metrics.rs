//! `/healthz`, `/readyz` and `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mcptap_collector::{Collector, Reason};
use mcptap_model::{Scope, credential};
use mcptap_store::{Denied, Store};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::listen::Counters;

/// The routes for whoever watches over the server.
pub(crate) fn router(store: Store, collector: Collector, ports: Vec<Arc<Counters>>) -> Router {
    let readiness = store.clone();
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || ready(readiness.clone()).await))
        .route(
            "/metrics",
            get(
                async move |headers: HeaderMap| match admit(&store, &headers).await {
                    Ok(()) => metrics(&store, &collector, &ports),
                    Err(refusal) => refusal,
                },
            ),
        )
}

/// Whoever reads or administers may see the counters, unless their key is bound to servers: names of nothing are in
/// them, but the traffic of all servers is.
async fn admit(store: &Store, headers: &HeaderMap) -> Result<(), Response> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let refuse = |status: StatusCode, message: String| {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        (status, challenge, format!("{message}\n")).into_response()
    };
    let secret = credential(text("authorization"), text("x-api-key"));
    let access = store.gate().admit(secret).await.map_err(|denied| match denied {
        // Nobody knows whether the key is good: whoever gave it guessed nothing.
        Denied::Unavailable => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (status, [(header::RETRY_AFTER, "1")], format!("{denied}\n")).into_response()
        }
        _ => refuse(StatusCode::UNAUTHORIZED, denied.to_string()),
    })?;
    if !access.servers().is_empty() {
        let message = "the counters are of all servers, and this API key is bound to some".to_owned();
        Err(refuse(StatusCode::FORBIDDEN, message))
    } else if access.may(Scope::Read) || access.may(Scope::Admin) {
        Ok(())
    } else {
        let message = "this API key may not read the counters: it needs the scope read or admin".to_owned();
        Err(refuse(StatusCode::FORBIDDEN, message))
    }
}

/// Says no with the reason, and what can be done, as JSON.
async fn ready(store: Store) -> Response {
    let Err(unready) = store.ready().await else {
        return "ready\n".into_response();
    };
    let failed: Vec<_> = unready
        .iter()
        .map(|one| {
            serde_json::json!({
                "check": one.check,
                "since": one.since.to_string(),
                "reason": one.reason,
                "advice": one.advice,
            })
        })
        .collect();
    tracing::debug!(?unready, "not ready");
    let told = serde_json::json!({ "status": "not ready", "failed": failed });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::SERVICE_UNAVAILABLE, json, format!("{told}\n")).into_response()
}

fn metrics(store: &Store, collector: &Collector, ports: &[Arc<Counters>]) -> Response {
    let mut registry = Registry::with_prefix("mcptap");
    registry.register_collector(Box::new(Snapshot {
        store: store.clone(),
        collector: collector.clone(),
        ports: ports.to_vec(),
    }));
    let mut body = String::new();
    match text::encode(&mut body, &registry) {
        Ok(()) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The counters, read when a scrape asks.
#[derive(Debug)]
struct Snapshot {
    store: Store,
    collector: Collector,
    ports: Vec<Arc<Counters>>,
}

impl prometheus_client::collector::Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let received = self.collector.counters();
        let stored = self.store.metrics();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = [
            ("spans", "Spans received", read(&received.spans)),
            ("mcp_spans", "Spans of MCP requests", read(&received.mcp_spans)),
            (
                "http_spans",
                "HTTP spans, used for joining only",
                read(&received.http_spans),
            ),
            (
                "skipped_spans",
                "MCP spans that are no request: notifications, inner steps",
                read(&received.skipped_spans),
            ),
            (
                "foreign_spans",
                "Spans that have nothing to do with MCP",
                read(&received.foreign_spans),
            ),
            (
                "rejected_spans",
                "Spans that can never be stored",
                read(&received.rejected_spans),
            ),
            (
                "rejected_log_records",
                "Log records that can never be stored",
                read(&received.rejected_log_records),
            ),
            (
                "names_cut",
                "Names longer than 1 KiB that were cut",
                stored.names_cut,
            ),
            (
                "texts_cut",
                "Messages, stack traces, URIs, log lines and attributes that were cut",
                stored.texts_cut,
            ),
            (
                "attributes_dropped",
                "Attributes dropped because their record had too many or too large ones",
                stored.attributes_dropped,
            ),
            ("log_records", "Log records received", read(&received.log_records)),
            (
                "uncorrelated_log_records",
                "Log records without a trace id",
                read(&received.uncorrelated_log_records),
            ),
            (
                "metric_exports",
                "Metric exports answered, not stored",
                read(&received.metric_exports),
            ),
            (
                "unreadable_values",
                "Values that could not be read, such as attributes; their records are stored without them",
                read(&received.unreadable_values),
            ),
            (
                "refused_exports",
                "Exports refused",
                read(&received.refused_exports),
            ),
            (
                "log_lines_lost",
                "Lines of the server's own log dropped because they could not be written, or not in time",
                crate::log::lost(),
            ),
            ("calls", "Calls stored", stored.calls_added),
            (
                "calls_completed",
                "Calls completed by a later span",
                stored.calls_completed,
            ),
            ("calls_pruned", "Calls deleted by retention", stored.calls_pruned),
            (
                "join_rows_read",
                "Rows read to find what belongs together",
                stored.join_rows_read,
            ),
            (
                "join_statements",
                "Statements by which these rows were read",
                stored.join_statements,
            ),
            (
                "join_compared",
                "Candidates compared to find what belongs together",
                stored.join_compared,
            ),
            (
                "details_read",
                "Stored calls whose bodies and attributes were read because they might change",
                stored.details_read,
            ),
            (
                "join_limited",
                "Times that more would have had to be read or compared to find what belongs together",
                stored.join_limited,
            ),
            ("log_lines", "Log lines attached to calls", stored.log_lines),
            (
                "log_lines_dropped",
                "Log lines dropped because no call came for them",
                stored.log_lines_dropped,
            ),
            ("commits", "Transactions committed", stored.commits),
            (
                "commit_failures",
                "Transactions that failed",
                stored.commit_failures,
            ),
            (
                "commit_retries",
                "Transactions tried again after a conflict or a lost connection",
                stored.commit_retries,
            ),
            (
                "records_rejected",
                "Records left out because the database can never store them",
                stored.records_rejected,
            ),
            (
                "rows_damaged",
                "Stored rows that cannot be read and are left out, each counted once",
                stored.rows_damaged,
            ),
            (
                "task_panics",
                "Times that a background task broke and was started anew",
                stored.task_panics,
            ),
            (
                "live_changes",
                "Calls handed to live subscribers, new or completed",
                stored.changes_delivered,
            ),
            (
                "live_catch_up_reads",
                "Times that a live subscriber was served from the database instead of memory",
                stored.catch_up_reads,
            ),
            (
                "overloads",
                "Writes refused because the queue was full",
                stored.overloads,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let help = "Spans and log records that can never be stored, by reason";
        let mut rejections = encoder.encode_descriptor("rejections", help, None, MetricType::Counter)?;
        for reason in Reason::ALL {
            let counter = ConstCounter::new(received.rejected_for(reason));
            counter.encode(rejections.encode_family(&[("reason", reason.as_str())])?)?;
        }
        let busy = ConstCounter::new(stored.commit_seconds);
        let help = "Time spent in transactions";
        busy.encode(encoder.encode_descriptor("commit", help, Some(&Unit::Seconds), busy.metric_type())?)?;
        let gauges = [
            (
                "queued_records",
                "Records waiting to be stored",
                stored.queued_records,
            ),
            ("queue_limit_records", "Records that may wait", stored.queue_limit),
            (
                "memory_budget_bytes",
                "How much memory senders and readers may take",
                self.store.memory().limit() as u64,
            ),
            (
                "memory_reserved_bytes",
                "How much of the budget is taken now",
                self.store.memory().used() as u64,
            ),
            (
                "search_lag_changes",
                "How many changes the index of words is behind; searches read these",
                stored.index_lag,
            ),
            ("live_subscribers", "Live subscribers now", stored.followers),
            (
                "live_lag_changes",
                "How many changes the slowest live subscriber is behind",
                stored.follower_lag,
            ),
            (
                "live_window_changes",
                "Newest changes kept in memory for live subscribers",
                stored.recent_changes,
            ),
            (
                "live_window_bytes",
                "About how much memory they take",
                stored.recent_bytes,
            ),
            (
                "cache_bytes",
                "About how much memory the caches of names, clients, sessions and origins take",
                stored.cache_bytes,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        self.encode_rounds(&mut encoder)?;
        self.encode_ports(encoder)
    }
}

impl Snapshot {
    fn encode_rounds(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let rounds = self.store.rounds();
        let help = "Rounds of a background task that failed since its last success";
        let mut family = encoder.encode_descriptor("task_failures", help, None, MetricType::Gauge)?;
        for (task, rounds) in &rounds {
            let failures = ConstGauge::new(i64::from(rounds.failures));
            failures.encode(family.encode_family(&[("task", *task)])?)?;
        }
        let help = "When a background task last succeeded, in seconds since 1970";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor("task_success", help, unit, MetricType::Gauge)?;
        for (task, rounds) in &rounds {
            if let Some(at) = rounds.succeeded {
                let at = ConstGauge::new(at.0 / 1_000_000_000);
                at.encode(family.encode_family(&[("task", *task)])?)?;
            }
        }
        Ok(())
    }

    fn encode_ports(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        type Read = fn(&Counters) -> &AtomicU64;
        let open = "Connections that are open now";
        let mut family = encoder.encode_descriptor("connections", open, None, MetricType::Gauge)?;
        for port in &self.ports {
            let open = i64::try_from(port.open.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            ConstGauge::new(open).encode(family.encode_family(&[("port", port.name)])?)?;
        }
        let counters: [(&str, &str, Read); 6] = [
            ("connections_accepted", "Connections accepted", |port| {
                &port.accepted
            }),
            (
                "connections_displaced",
                "Idle connections closed because their port had no place left",
                |port| &port.displaced,
            ),
            (
                "connections_timed_out",
                "Connections and requests given up because the peer took too long",
                |port| &port.timed_out,
            ),
            (
                "connections_flooded",
                "Connections closed because of too many frames of HTTP/2 that carry nothing",
                |port| &port.flooded,
            ),
            (
                "requests_refused",
                "Requests refused because too many were in work",
                |port| &port.refused,
            ),
            (
                "accept_failures",
                "Times that no connection could be accepted, such as for want of file descriptors",
                |port| &port.accept_failures,
            ),
        ];
        for (name, help, read) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for port in &self.ports {
                let counter = ConstCounter::new(read(port).load(Ordering::Relaxed));
                counter.encode(family.encode_family(&[("port", port.name)])?)?;
            }
        }
        Ok(())
    }
}
