//! What live subscribers cost, and how late they hear.
//!
//! `cargo bench --bench live` · `CALLS=100000 SECONDS=30 cargo bench --bench live`
//!
//! The server runs in a process of its own, on SQLite; writers and subscribers share the machine with it. Every subscriber
//! has a socket and a filter of its own. First as much as can be written is written, with 0, 100 and 1,000 subscribers;
//! then 1,000 calls a second, where the time from a writer's acknowledgement to the subscriber's message is taken.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may stop at once"
)]

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tonic::transport::Channel;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every call is of one of so many tools; the first subscribers follow one each.
const TOOLS: u64 = 1_000;
const SENDERS: usize = 8;
const EXPORT: usize = 512;
/// Calls a second, and exports a second, where latency is measured.
const RATE: usize = 1_000;
const TICKS: usize = 100;

fn main() {
    let setting = |name: &str, default: usize| {
        let value = std::env::var(name).ok();
        value.and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (calls, seconds) = (setting("CALLS", 60_000), setting("SECONDS", 10));
    println!("{calls} calls at once, then {RATE} calls/s for {seconds} s; a socket and a filter each");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut alone = None;
    for subscribers in [0, 100, 1_000] {
        runtime.block_on(async {
            let rate = measure(subscribers, calls, seconds).await;
            let alone = *alone.get_or_insert(rate);
            println!(
                "    {rate:.0} calls/s, {:.2} of what it is without subscribers",
                rate / alone
            );
        });
    }
}

async fn measure(subscribers: usize, calls: usize, seconds: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let heard = Arc::new(Heard::new(calls + RATE * seconds));
    // Once with nothing to do, so that what any server needs is not counted.
    server.export_all(exports(0, 0..0, 0)).await;
    let before = server.memory();
    let mut listening = Vec::new();
    for number in 0..subscribers {
        listening.push(subscribe(server.listen, number, Arc::clone(&heard)).await);
    }
    println!("  {subscribers} subscribers");
    if subscribers > 0 {
        let each = server.memory().saturating_sub(before) / subscribers as u64;
        println!("    {each} KiB of memory each, before the first call");
    }

    let started = Instant::now();
    server.export_all(exports(1, 0..calls, EXPORT)).await;
    let rate = calls as f64 / started.elapsed().as_secs_f64();
    heard.wait(0..calls, subscribers).await;
    let late = started.elapsed().as_secs_f64() - calls as f64 / rate;

    let paced = calls..calls + RATE * seconds;
    let mut client = server.connect().await;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / TICKS as u32);
    let busy = server.cpu();
    let since = Instant::now();
    for (index, export) in exports(2, paced.clone(), RATE / TICKS).into_iter().enumerate() {
        tick.tick().await;
        let first = paced.start + index * (RATE / TICKS);
        client.export(export).await.unwrap();
        heard.acknowledged(first..first + RATE / TICKS);
    }
    let (took, busy) = (since.elapsed().as_secs_f64(), server.cpu() - busy);
    heard.wait(paced.clone(), subscribers).await;
    println!(
        "    paced: {:.0} calls/s, the server busy for {:.0} % of a processor",
        (RATE * seconds) as f64 / took,
        100.0 * busy / took
    );
    if subscribers > 0 {
        let latencies = heard.latencies(paced);
        let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] as f64 / 1e6;
        println!(
            "    acknowledgement to message: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        );
        println!(
            "    {} messages, {} calls delivered once each; the last {late:.2} s after all was written",
            heard.messages.load(Relaxed),
            heard.calls.load(Relaxed)
        );
        println!("    {} KiB of memory in all at the end", server.memory());
    }
    for task in &listening {
        task.abort();
    }
    rate
}

/// What subscribers heard, by the number of the call; in nanoseconds since the beginning.
struct Heard {
    start: Instant,
    acknowledged: Vec<AtomicU64>,
    received: Vec<AtomicU64>,
    messages: AtomicU64,
    calls: AtomicU64,
}

impl Heard {
    fn new(calls: usize) -> Self {
        let zeros = || (0..calls).map(|_| AtomicU64::new(0)).collect();
        Self {
            start: Instant::now(),
            acknowledged: zeros(),
            received: zeros(),
            messages: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn acknowledged(&self, calls: std::ops::Range<usize>) {
        let now = self.now();
        calls.for_each(|call| self.acknowledged[call].store(now, Relaxed));
    }

    fn received(&self, call: usize) {
        let before = self.received[call].swap(self.now(), Relaxed);
        assert_eq!(before, 0, "call {call} came twice");
        self.calls.fetch_add(1, Relaxed);
    }

    /// Until every call that has a subscriber was heard of.
    async fn wait(&self, calls: std::ops::Range<usize>, subscribers: usize) {
        let patience = Instant::now() + Duration::from_secs(60);
        let missing =
            |call: &usize| tool(*call) < subscribers as u64 && self.received[*call].load(Relaxed) == 0;
        while let Some(call) = calls.clone().find(missing) {
            assert!(Instant::now() < patience, "call {call} never came");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn latencies(&self, calls: std::ops::Range<usize>) -> Vec<u64> {
        let both = calls.map(|call| {
            (
                self.acknowledged[call].load(Relaxed),
                self.received[call].load(Relaxed),
            )
        });
        let mut latencies: Vec<u64> = both
            .filter(|(_, received)| *received > 0)
            .map(|(acknowledged, received)| received.saturating_sub(acknowledged))
            .collect();
        latencies.sort_unstable();
        latencies
    }
}

async fn subscribe(address: SocketAddr, number: usize, heard: Arc<Heard>) -> tokio::task::JoinHandle<()> {
    let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = connect_async(request).await.unwrap();
    let tool = format!("tool-{number}");
    let filter = match number % 3 {
        0 => json!({"tools": [tool]}),
        1 => json!({"servers": ["bench", "other"], "methods": ["tools/call"], "or": [{"tools": [tool]}]}),
        _ => json!({"tools": [tool], "minDurationMs": 0.5, "not": {"outcomes": ["TOOL_ERROR"]}}),
    };
    let query = "subscription ($filter: CallFilter) { calls(filter: $filter) { __typename \
        ... on CallsAdded { cursor edges { node { id requestId method tool outcome startedAt durationMs } } } } }";
    let messages = [
        json!({"type": "connection_init"}),
        json!({"type": "subscribe", "id": "1", "payload": {"query": query, "variables": {"filter": filter}}}),
    ];
    for message in messages {
        socket.send(Message::text(message.to_string())).await.unwrap();
    }
    loop {
        let message = socket.next().await.unwrap().unwrap();
        if message.is_text() && message.to_text().unwrap().contains("CaughtUp") {
            break;
        }
    }
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_text() {
                continue;
            }
            let message: serde_json::Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            heard.messages.fetch_add(1, Relaxed);
            for edge in message["payload"]["data"]["calls"]["edges"].as_array().unwrap() {
                heard.received(edge["node"]["requestId"].as_str().unwrap().parse().unwrap());
            }
        }
    })
}

/// `mcptap serve` in a process of its own.
struct Server {
    child: Child,
    listen: SocketAddr,
    grpc: SocketAddr,
}

impl Server {
    async fn start(folder: &std::path::Path) -> Self {
        let free = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcptap"))
            .args([
                "serve",
                "--listen",
                free,
                "--otlp-grpc",
                free,
                "--otlp-http",
                free,
            ])
            .args([
                "--database-url",
                &format!("sqlite://{}?mode=rwc", folder.join("live.db").display()),
            ])
            .current_dir(folder)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut addresses = Vec::new();
        while addresses.len() < 3 {
            let line = lines.next_line().await.unwrap().unwrap();
            let address = line
                .rsplit_once(" on ")
                .and_then(|(_, url)| url.trim().trim_start_matches("http://").parse().ok());
            addresses.extend::<Option<SocketAddr>>(address);
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            child,
            listen: addresses[0],
            grpc: addresses[1],
        }
    }

    async fn connect(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(format!("http://{}", self.grpc))
            .await
            .unwrap()
    }

    /// Until all is acknowledged.
    async fn export_all(&self, exports: Vec<ExportTraceServiceRequest>) {
        let mut shares: Vec<Vec<_>> = vec![Vec::new(); SENDERS];
        for (index, export) in exports.into_iter().enumerate() {
            shares[index % SENDERS].push(export);
        }
        let mut senders = Vec::new();
        for share in shares {
            let mut client = self.connect().await;
            senders.push(tokio::spawn(async move {
                for export in share {
                    client.export(export).await.unwrap();
                }
            }));
        }
        for sender in senders {
            sender.await.unwrap();
        }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id().unwrap())).unwrap()
    }

    /// In KiB.
    fn memory(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// In seconds of a processor, of which a tick is a hundredth.
    fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        [11, 12]
            .map(|field: usize| fields[field].parse::<f64>().unwrap() / 100.0)
            .iter()
            .sum()
    }
}

/// A splitmix64.
fn mixed(value: u64) -> u64 {
    let mut value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The tool of a call.
fn tool(call: usize) -> u64 {
    mixed(call as u64) % TOOLS
}

fn attribute(key: &str, text: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }),
        ..KeyValue::default()
    }
}

/// Calls with these numbers, so many to an export.
fn exports(seed: u64, calls: std::ops::Range<usize>, size: usize) -> Vec<ExportTraceServiceRequest> {
    let now = std::time::SystemTime::now();
    let start = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let spans: Vec<Span> = calls.map(|call| span(seed, start, call)).collect();
    let export = |spans: &[Span]| ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", "bench".to_owned())],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: spans.to_vec(),
                ..ScopeSpans::default()
            }],
            schema_url: String::new(),
        }],
    };
    spans.chunks(size.max(1)).map(export).collect()
}

fn span(seed: u64, start: u64, call: usize) -> Span {
    let tool = format!("tool-{}", tool(call));
    let number = mixed(call as u64 ^ seed << 40);
    let filler = format!("{number:016x} ").repeat(14);
    Span {
        trace_id: [number.to_be_bytes(), (call as u64 + 1).to_be_bytes()].concat(),
        span_id: (number | 1).to_be_bytes().to_vec(),
        name: format!("tools/call {tool}"),
        kind: 2,
        start_time_unix_nano: start + call as u64 * 1_000,
        end_time_unix_nano: start + call as u64 * 1_000 + 1_000_000 + number % 200_000_000,
        attributes: vec![
            attribute("mcp.method.name", "tools/call".to_owned()),
            attribute("mcp.session.id", format!("session-{}", number % 500)),
            attribute("mcp.protocol.version", "2025-11-25".to_owned()),
            attribute("jsonrpc.request.id", call.to_string()),
            attribute("gen_ai.tool.name", tool),
            attribute(
                "mcptap.request.body",
                format!(r#"{{"arguments":{{"query":"{filler}"}}}}"#),
            ),
            attribute("mcptap.response.body", format!(r#"{{"content":"{filler}"}}"#)),
        ],
        ..Span::default()
    }
}
