//! What a call costs with the SDK beside the bare server, in one run: `cargo bench -p mcptap-sdk --features axum --bench cost`.
//!
//! Every row is measured in turns with the others, so that a busy machine slows all of them. A ratio is of one run; times of
//! two runs are not to be compared. `MCPTAP_BENCH_CALLS` is how many calls a turn has (500).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where something is not as it must be"
)]

use std::alloc::System;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::routing::post;
use axum::{Extension, Router};
use http_body_util::BodyExt;
use mcptap_sdk::{Guard, Watch, connect, instrument_with};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ServerCapabilities,
    ServerConfig,
};
use rmcp::service::{RequestContext, RunningService};
use rmcp::{RoleClient, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tower::ServiceExt as _;
use tracing::Instrument;
use tracing_subscriber::prelude::*;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TURNS: usize = 10;

/// Gives back what it is given; within a span of `tracing` if asked to.
#[derive(Clone)]
struct Echo {
    is_traced: bool,
}

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let echo = async {
            let arguments = params.arguments.unwrap_or_default();
            let text = arguments["text"].as_str().unwrap_or_default();
            Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
        };
        if self.is_traced {
            echo.instrument(tracing::info_span!("tools/call", tool = %params.name))
                .await
        } else {
            echo.await
        }
    }
}

/// Takes spans, and does nothing with them.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    fn export(&self, _: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        ready(Ok(()))
    }
}

/// A collector on a thread of its own that takes everything.
fn collector() -> String {
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            let take = async |_: Bytes| ([("content-type", "application/x-protobuf")], Vec::<u8>::new());
            let router = Router::new()
                .route("/v1/traces", post(take))
                .route("/v1/logs", post(take))
                .layer(axum::extract::DefaultBodyLimit::disable());
            axum::serve(listener, router).await.unwrap();
        });
    });
    format!("http://{}", address.recv().unwrap())
}

type Client = RunningService<RoleClient, ()>;

async fn served<S>(service: S) -> Client
where
    S: FnOnce(tokio::io::DuplexStream) -> futures_util::future::BoxFuture<'static, ()>,
{
    let (server_end, client_end) = tokio::io::duplex(1 << 20);
    tokio::spawn(service(server_end));
    ().serve(client_end).await.unwrap()
}

fn arguments(bytes: usize) -> CallToolRequestParams {
    // As tools answer: JSON in text, with a quote every ten bytes.
    let text = "\"a\": 1234,".repeat(bytes / 10);
    let arguments = json!({"text": text}).as_object().cloned().unwrap();
    CallToolRequestParams::new("echo").with_arguments(arguments)
}

/// What one row measured.
#[derive(Default)]
struct Row {
    times: Vec<Duration>,
    allocations: usize,
}

impl Row {
    async fn measure<F: Future>(&mut self, calls: usize, call: impl Fn() -> F) {
        let before = ALLOCATOR.stats().allocations;
        for _ in 0..calls {
            let began = Instant::now();
            call().await;
            self.times.push(began.elapsed());
        }
        self.allocations += ALLOCATOR.stats().allocations - before;
    }

    fn quantile(&mut self, of: f64) -> f64 {
        self.times.sort_unstable();
        let at = ((self.times.len() - 1) as f64 * of) as usize;
        self.times[at].as_secs_f64() * 1e6
    }
}

fn print(title: &str, rows: &mut [(&str, Row)]) {
    println!(
        "\n{title}\n{:42} {:>9} {:>9} {:>9} {:>7} {:>8}",
        "", "p50 µs", "p99 µs", "+ µs", "ratio", "+ allocs"
    );
    let (bare, allocations) = {
        let bare = &mut rows[0].1;
        (bare.quantile(0.5), bare.allocations / bare.times.len())
    };
    for (name, row) in rows {
        let (median, late) = (row.quantile(0.5), row.quantile(0.99));
        let more = (row.allocations / row.times.len()) as i64 - allocations as i64;
        println!(
            "{name:42} {median:9.1} {late:9.1} {:9.1} {:7.2} {more:8}",
            median - bare,
            median / bare,
        );
    }
}

fn calls() -> usize {
    let said = std::env::var("MCPTAP_BENCH_CALLS").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(500).max(1)
}

fn provider(sampler: Sampler) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_span_processor(BatchSpanProcessor::builder(Nowhere).build())
        .build()
}

async fn clients(guard: &Guard, off: &SdkTracerProvider) -> Vec<(&'static str, Client)> {
    let bare = served(|end| {
        Box::pin(async {
            drop(
                Echo { is_traced: false }
                    .serve(end)
                    .await
                    .unwrap()
                    .waiting()
                    .await,
            )
        })
    })
    .await;
    let not_sampled = instrument_with(Echo { is_traced: false }, off);
    let not_sampled =
        served(|end| Box::pin(async { drop(not_sampled.serve(end).await.unwrap().waiting().await) })).await;
    let unset = mcptap_sdk::instrument(Echo { is_traced: false });
    let unset = served(|end| Box::pin(async { drop(unset.serve(end).await.unwrap().waiting().await) })).await;
    let recording = instrument_with(Echo { is_traced: false }, guard);
    let recording =
        served(|end| Box::pin(async { drop(recording.serve(end).await.unwrap().waiting().await) })).await;
    let traced = served(|end| {
        Box::pin(async { drop(Echo { is_traced: true }.serve(end).await.unwrap().waiting().await) })
    })
    .await;
    vec![
        ("bare", bare),
        ("instrument, no telemetry installed", unset),
        ("instrument, sampled out", not_sampled),
        ("instrument, recording and exporting", recording),
        ("tracing-opentelemetry, a span, no bodies", traced),
    ]
}

fn over_a_pipe(guard: &Guard) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let off = provider(Sampler::AlwaysOff);
        let on = provider(Sampler::AlwaysOn);
        // The bridge sees the one server whose tool has a span of its own.
        let bridge = tracing_opentelemetry::layer().with_tracer(on.tracer("application"));
        let only_own = tracing_subscriber::filter::filter_fn(|metadata| metadata.name() == "tools/call");
        let _subscriber = tracing::subscriber::set_default(
            tracing_subscriber::registry().with(bridge.with_filter(only_own)),
        );
        let clients = clients(guard, &off).await;
        for (bytes, calls) in [(1_000, calls()), (100_000, calls().div_ceil(10))] {
            let mut rows: Vec<(&str, Row)> =
                clients.iter().map(|(name, _)| (*name, Row::default())).collect();
            for turn in 0..=TURNS {
                for ((_, client), (_, row)) in clients.iter().zip(&mut rows) {
                    let params = arguments(bytes);
                    row.measure(calls, || client.call_tool(params.clone())).await;
                    if turn == 0 {
                        *row = Row::default();
                    }
                }
            }
            print(
                &format!("rmcp over a pipe, {bytes} bytes each way, one call at a time"),
                &mut rows,
            );
        }
    });
}

fn concurrent(guard: &Guard) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let off = provider(Sampler::AlwaysOff);
        let clients = clients(guard, &off).await;
        println!(
            "\nrmcp over a pipe, 1000 bytes each way, 1000 calls at once\n{:42} {:>10} {:>7}",
            "", "calls/s", "ratio"
        );
        let mut rates = vec![Vec::new(); clients.len()];
        for _ in 0..TURNS {
            for ((_, client), rates) in clients.iter().zip(&mut rates) {
                let params = arguments(1_000);
                let began = Instant::now();
                let all = (0..1000).map(|_| client.call_tool(params.clone()));
                futures_util::future::try_join_all(all).await.unwrap();
                rates.push(1000.0 / began.elapsed().as_secs_f64());
            }
        }
        let mut bare = 0.0;
        for ((name, _), rates) in clients.iter().zip(&mut rates) {
            rates.sort_unstable_by(f64::total_cmp);
            let rate = rates[rates.len() / 2];
            bare = if bare == 0.0 { rate } else { bare };
            println!("{name:42} {rate:10.0} {:7.2}", rate / bare);
        }
    });
}

async fn answer(body: Bytes) -> Result<([(&'static str, &'static str); 1], String), Infallible> {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = &asked["params"]["arguments"]["text"];
    let result = json!({"content": [{"type": "text", "text": text}]});
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result});
    Ok(([("content-type", "application/json")], answer.to_string()))
}

fn over_http(guard: &Guard) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let on = provider(Sampler::AlwaysOn);
        let bridge = tracing_opentelemetry::layer().with_tracer(on.tracer("application"));
        let only_http = tracing_subscriber::filter::filter_fn(|metadata| metadata.name() == "request");
        let _subscriber = tracing::subscriber::set_default(
            tracing_subscriber::registry().with(bridge.with_filter(only_http)),
        );
        let options = sentry_core::ClientOptions::new()
            .dsn("http://key@127.0.0.1:9/1")
            .traces_sample_rate(1.0)
            .transport(Arc::new(Dropped));
        let hub = Arc::new(sentry_core::Hub::new(
            Some(Arc::new(options.into())),
            Arc::default(),
        ));
        let bare = || Router::new().route("/mcp", post(answer));
        let off = provider(Sampler::AlwaysOff);
        let routers = [
            ("bare", bare()),
            (
                "layer, sampled out",
                bare().layer(Watch::through(&off, None).layer()),
            ),
            (
                "layer, recording and exporting",
                bare().layer(Watch::with(guard).layer()),
            ),
            (
                "sentry-tower, a transaction, no bodies",
                bare()
                    .layer(sentry_tower::SentryHttpLayer::new().enable_transaction())
                    .layer(sentry_tower::SentryLayer::<_, _, axum::extract::Request>::new(
                        hub,
                    )),
            ),
            (
                "tower-http and tracing-opentelemetry",
                bare()
                    .layer(tower_http::trace::TraceLayer::new_for_http())
                    .layer(Extension(())),
            ),
        ];
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments(1_000)})
            .to_string();
        let mut rows: Vec<(&str, Row)> = routers.iter().map(|(name, _)| (*name, Row::default())).collect();
        for turn in 0..=TURNS {
            for ((_, router), (_, row)) in routers.iter().zip(&mut rows) {
                let ask = || async {
                    let request = http::Request::post("/mcp")
                        .header("content-type", "application/json")
                        .body(Body::from(body.clone()))
                        .unwrap();
                    let answer = router.clone().oneshot(request).await.unwrap();
                    answer.into_body().collect().await.unwrap()
                };
                row.measure(calls(), ask).await;
                if turn == 0 {
                    *row = Row::default();
                }
            }
        }
        print("axum without a socket, 1000 bytes each way", &mut rows);
    });
}

struct Dropped;

impl sentry_core::Transport for Dropped {
    fn send_envelope(&self, _: sentry_core::Envelope) {}
}

fn main() {
    let guard = connect("benchmark", &collector()).unwrap();
    over_a_pipe(&guard);
    concurrent(&guard);
    over_http(&guard);
    println!("\n{:?}", guard.stats());
    let _late = guard.shutdown();
}
