//! Rows per second through the writer: `cargo run --release -p mcptap-store --example ingest_bench [url] [rows]`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may stop at once"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use mcptap_model::{
    Batch, Call, Evidence, Observation, Origin, Payload, SessionKey, SessionSource, SpanId, SpanKind,
    TraceId, Transport, UnixNanos, Vantage,
};
use mcptap_store::{Options, open};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TASKS: usize = 8;
const BATCH: usize = 512;

/// Numbers without a pattern, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn call(random: &mut Random, number: u64, origin: &Arc<Origin>) -> Observation {
    let mut trace = [0; 16];
    trace[..8].copy_from_slice(&random.next().to_be_bytes());
    trace[8..].copy_from_slice(&random.next().to_be_bytes());
    let span_id = SpanId::from_bytes(&random.next().max(1).to_be_bytes()).expect("not zero");
    let session = random.next() % 5000;
    let kind = random.next() % 100;
    let tool = (kind < 70).then(|| format!("tool_{}", random.next() % 40));
    let failed = random.next() % 100 < 4;
    let body = |length: usize| {
        Payload::whole(format!(
            "{{\"text\":\"{}\"}}",
            "lorem ipsum dolor sit ".repeat(1 + length / 22)
        ))
    };
    let started_at =
        UnixNanos(1_790_000_000_000_000_000 + (number * 1_000_000 + random.next() % 5_000_000) as i64);
    let call = Call {
        trace_id: TraceId::from_bytes(&trace).expect("not zero"),
        span_id,
        primary_span_id: span_id,
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: Arc::clone(origin),
        vantage: Vantage::Server,
        server: Some(format!("server-{}", session % 12)),
        method: if tool.is_some() {
            "tools/call".into()
        } else {
            ["tools/list", "initialize", "ping"][(kind % 3) as usize].into()
        },
        tool,
        prompt: None,
        resource_uri: None,
        evidence: Evidence {
            tool_error: failed,
            ..Evidence::default()
        },
        http_status: Some(200),
        rpc_error_code: None,
        error_type: failed.then(|| "tool_error".into()),
        error_message: failed.then(|| "the tool said no".into()),
        stack_trace: None,
        started_at,
        duration_nanos: (random.next() % 900_000_000) as i64,
        received_at: started_at.plus(2_000_000),
        session_id: Some(format!("{session:032x}")),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: format!("{session:032x}"),
        }),
        request_id: Some((number % 500).to_string()),
        protocol_version: Some("2025-11-25".into()),
        transport: Some(Transport::StreamableHttp),
        client_name: Some(["claude-code", "cursor", "goose", "inspector"][(session % 4) as usize].into()),
        client_version: Some(format!("1.{}", session % 30)),
        client_ip: Some(format!("10.1.{}.{}", session / 250, session % 250)),
        country: Some(["DE", "US", "IS", "JP", "BR"][(session % 5) as usize].into()),
        authorization: Some("Bearer abc…".into()),
        user_agent: Some("node".into()),
        request: Some(body(200)),
        response: Some(body(400)),
        attributes: serde_json::Map::from_iter([
            ("network.protocol.version".into(), "1.1".into()),
            ("server.port".into(), 8080.into()),
        ]),
    };
    Observation {
        call,
        links: Vec::new(),
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = tempfile::tempdir().expect("a directory");
    let url = arguments.next().filter(|url| url != "-").unwrap_or_else(|| {
        format!(
            "sqlite://{}?mode=rwc",
            directory.path().join("bench.db").display()
        )
    });
    let rows: usize = arguments
        .next()
        .map_or(200_000, |rows| rows.parse().expect("a number"));
    let (writer, store) = open(
        &url,
        Options {
            retention: None,
            ..Options::default()
        },
    )
    .await
    .expect("a store");
    let origin = Arc::new(Origin {
        service: Some("bench".into()),
        scope: "bench".into(),
        ..Origin::default()
    });
    let per_task = rows / TASKS / BATCH;
    let mut all: Vec<Vec<Batch>> = Vec::new();
    let mut number = 0;
    for task in 0..TASKS {
        let mut random = Random(number ^ task as u64 ^ std::process::id() as u64);
        all.push(Vec::new());
        for _ in 0..per_task {
            let observations = (0..BATCH).map(|_| {
                number += 1;
                call(&mut random, number, &origin)
            });
            let batch = Batch {
                observations: observations.collect(),
                ..Batch::default()
            };
            all[task].push(batch);
        }
    }
    let started = Instant::now();
    let cpu = cpu_seconds();
    let tasks: Vec<_> = all
        .into_iter()
        .map(|batches| {
            let writer = writer.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                for batch in batches {
                    let sent = Instant::now();
                    writer.write(batch).await.expect("stored");
                    waits.push(sent.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("a task"));
    }
    let took = started.elapsed().as_secs_f64();
    let cpu: Vec<(String, f64)> = cpu_seconds()
        .into_iter()
        .map(|(thread, seconds)| {
            let before = cpu.get(&thread).copied().unwrap_or_default();
            (thread, (seconds - before) * 1e6 / rows as f64)
        })
        .collect();
    let each: Vec<String> = cpu
        .iter()
        .map(|(thread, micros)| format!("{thread} {micros:.1}"))
        .collect();
    waits.sort();
    let stored = store.metrics();
    eprintln!(
        "{:.0} calls/s ({} in {took:.2} s, {} commits), {:.1} us CPU a call ({}), acknowledged p50 {:?} p99 {:?}",
        stored.calls_added as f64 / took,
        stored.calls_added,
        stored.commits,
        cpu.iter().map(|(_, micros)| micros).sum::<f64>(),
        each.join(", "),
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
    );
    drop(writer);
    store.close().await;
}

/// CPU seconds of this process by the name of the thread.
fn cpu_seconds() -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((start, end)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
            continue;
        };
        let fields: Vec<&str> = end.split_whitespace().collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or_default()
        };
        *threads.entry(start.to_owned()).or_default() += (ticks(11) + ticks(12)) / 100.0;
    }
    threads
}
