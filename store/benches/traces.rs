//! What a call costs in one long trace, and in exports over many long ones, beside calls in traces of their own, and how
//! long another sender waits meanwhile.
//!
//! `cargo bench -p mcptap-store --bench traces` · `CALLS=100000 cargo bench -p mcptap-store --bench traces`
//!
//! With `DATABASE_URL=postgres://…`, which must name an empty database, calls are stored there. All runs are in one
//! process, one after the other, on the same database; the ratio is what counts.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at once"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mcptap_model::{Batch, Call, Observation, Origin, Payload, SpanId, TraceId, UnixNanos, testing};
use mcptap_store::{Options, Writer, open};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXPORT: u64 = 100;
/// 2026-11-22T12:00:00Z, in nanoseconds.
const NOON: i64 = 1_795_348_800_000_000_000;

fn main() {
    let calls = std::env::var("CALLS")
        .ok()
        .and_then(|calls| calls.parse().ok())
        .unwrap_or(20_000);
    tokio::runtime::Runtime::new().unwrap().block_on(measure(calls));
}

async fn measure(calls: u64) {
    // Exports are whole, so that both halves have as many calls.
    let calls = calls.next_multiple_of(EXPORT);
    let folder = tempfile::tempdir().unwrap();
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| format!("sqlite://{}?mode=rwc", folder.path().join("traces.db").display()));
    let options = Options {
        retention: None,
        ..Options::default()
    };
    let (writer, store) = open(&url, options).await.unwrap();
    let many = run(&writer, 1, calls, |number| number).await;
    let one = run(&writer, 1 + calls, calls, |_| 1 + calls).await;
    // The calls of an export are each of another trace, and each trace goes on from export to export.
    let mixed = run(&writer, 1 + 2 * calls, calls, |number| {
        u64::MAX / 4 + number % (calls / EXPORT)
    })
    .await;
    let each = |took: Duration| took.as_secs_f64() * 1e6 / calls as f64;
    println!("{calls} calls, {EXPORT} an export");
    println!(
        "in traces of their own: {:.1} µs a call; another sender waits {:.1?} (p99)",
        each(many.took),
        many.p99
    );
    println!(
        "in one trace:           {:.1} µs a call; another sender waits {:.1?} (p99)",
        each(one.took),
        one.p99
    );
    println!(
        "mixed, {EXPORT} a trace:    {:.1} µs a call; another sender waits {:.1?} (p99)",
        each(mixed.took),
        mixed.p99
    );
    for (name, run) in [("one trace", &one), ("mixed", &mixed)] {
        println!(
            "ratio of {name}: {:.2} a call, {:.2} of waiting",
            run.took.as_secs_f64() / many.took.as_secs_f64(),
            run.p99.as_secs_f64() / many.p99.as_secs_f64()
        );
    }
    let metrics = store.metrics();
    println!(
        "{} rows read to join by {} statements, {} comparisons, limits met {} times",
        metrics.join_rows_read, metrics.join_statements, metrics.join_compared, metrics.join_limited
    );
    drop(writer);
    store.close().await;
}

struct Run {
    took: Duration,
    /// Of the other sender's waits.
    p99: Duration,
}

async fn run(writer: &Writer, first: u64, calls: u64, trace: impl Fn(u64) -> u64) -> Run {
    let stop = Arc::new(AtomicBool::new(false));
    let other = tokio::spawn({
        let (writer, stop) = (writer.clone(), Arc::clone(&stop));
        async move {
            let mut waits = Vec::new();
            let mut number = u64::MAX / 2 + first * 10;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let began = Instant::now();
                writer
                    .write(batch(number..number + 1, |number| number))
                    .await
                    .unwrap();
                waits.push(began.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            waits.sort_unstable();
            waits.get(waits.len() * 99 / 100).copied().unwrap_or_default()
        }
    });
    let began = Instant::now();
    for from in (first..first + calls).step_by(EXPORT as usize) {
        writer.write(batch(from..from + EXPORT, &trace)).await.unwrap();
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    Run {
        took,
        p99: other.await.unwrap(),
    }
}

/// Calls one after the other, each below one span of its trace.
fn batch(numbers: std::ops::Range<u64>, trace: impl Fn(u64) -> u64) -> Batch {
    let origin = Arc::new(Origin {
        service: Some("shop".into()),
        scope: "sdk".into(),
        ..Origin::default()
    });
    let observations = numbers
        .map(|number| Observation {
            call: call(number, trace(number), Arc::clone(&origin)),
            links: Vec::new(),
        })
        .collect();
    Batch {
        observations,
        ..Batch::default()
    }
}

fn call(number: u64, trace: u64, origin: Arc<Origin>) -> Call {
    // Ids without an order, as they are.
    let scattered = |number: u64| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_be_bytes();
    let span = SpanId::from_bytes(&scattered(number)).unwrap();
    let mut id = [7; 16];
    id.iter_mut()
        .skip(8)
        .zip(scattered(trace))
        .for_each(|(to, from)| *to = from);
    Call {
        parent_span_id: SpanId::from_bytes(&[9; 8]).ok(),
        origin,
        tool: Some(format!("get_{}", number % 5)),
        started_at: UnixNanos(NOON.saturating_add((number % (1 << 40)) as i64 * 2_000_000)),
        duration_nanos: 1_000_000,
        received_at: UnixNanos(NOON),
        request_id: Some(number.to_string()),
        request: Some(Payload::whole(format!(
            "{{\"i\":{number},\"x\":\"{}\"}}",
            "a b c ".repeat(30)
        ))),
        ..testing::call(TraceId::from_bytes(&id).unwrap(), span)
    }
}
