//! How long a search takes, and what the index of words costs the writes.
//!
//! `cargo bench -p mcptap-store --bench search` · `CALLS=1000000 cargo bench -p mcptap-store --bench search`
//!
//! With `DATABASE_URL=postgres://…`, which must name an empty database, questions are asked there.
//!
//! Calls with bodies of about 60 words out of 20,000, the first words as common as the first are in a language. The store is
//! filled twice, without the index and with it. Then each question is asked five times; the median stands beside that of
//! the same question without a search.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may stop at once"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mcptap_model::search::Query;
use mcptap_model::{
    Batch, Call, CallFilter, Observation, Origin, Payload, SpanId, TraceId, UnixNanos, testing,
};
use mcptap_store::{FacetSet, Options, PageRequest, Store, Writer, open};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORDS: u64 = 20_000;
const EXPORT: u64 = 512;
const SENDERS: u64 = 8;
/// 2026-11-22T12:00:00Z, in nanoseconds.
const NOON: i64 = 1_795_348_800_000_000_000;

fn main() {
    let calls = std::env::var("CALLS")
        .ok()
        .and_then(|calls| calls.parse().ok())
        .unwrap_or(100_000);
    tokio::runtime::Runtime::new().unwrap().block_on(measure(calls));
}

async fn measure(calls: u64) {
    // Exports are whole.
    let calls = calls.next_multiple_of(EXPORT);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let url = |name: &str| format!("sqlite://{}?mode=rwc", file(name).display());
    let rate = |took: Duration| calls as f64 / took.as_secs_f64();
    let options = Options {
        retention: None,
        ..Options::default()
    };
    let elsewhere = std::env::var("DATABASE_URL").ok();
    let mut without = None;
    if elsewhere.is_none() {
        let never = Options {
            index_delay: Duration::from_secs(24 * 3600),
            ..options.clone()
        };
        let (writer, store) = open(&url("alone.db"), never).await.unwrap();
        without = Some(rate(fill(&writer, calls).await));
        drop(writer);
        store.close().await;
    }
    let indexed = elsewhere.unwrap_or_else(|| url("indexed.db"));
    let (writer, store) = open(&indexed, options).await.unwrap();
    let with = rate(fill(&writer, calls).await);
    let (lag, begun) = (store.metrics().index_lag, Instant::now());
    while store.metrics().index_lag > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{calls} calls: {with:.0}/s beside the index; the last {lag} were indexed in {took:.1} s");
    if let Some(without) = without {
        println!("without the index {without:.0}/s: ratio {:.2}", with / without);
    }
    ask(&store).await;
    drop(writer);
    store.close().await;
    // Only a database that is closed is whole in its file.
    if without.is_some() {
        let size = |name: &str| std::fs::metadata(file(name)).unwrap().len() as f64;
        let (alone, indexed) = (size("alone.db"), size("indexed.db"));
        println!(
            "{:.0} MB, without the index {:.0} MB: ratio {:.2}",
            indexed / 1e6,
            alone / 1e6,
            indexed / alone
        );
    }
}

/// How long it takes to write so many calls.
async fn fill(writer: &Writer, calls: u64) -> Duration {
    let begun = Instant::now();
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let writer = writer.clone();
        senders.push(tokio::spawn(async move {
            let exports = (sender..calls / EXPORT).step_by(SENDERS as usize);
            for export in exports {
                let numbers = export * EXPORT + 1..=(export + 1) * EXPORT;
                let observations = numbers
                    .map(|number| Observation {
                        call: call(number),
                        links: Vec::new(),
                    })
                    .collect();
                writer
                    .write(Batch {
                        observations,
                        ..Batch::default()
                    })
                    .await
                    .unwrap();
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    begun.elapsed()
}

async fn ask(store: &Store) {
    for (kind, text) in [
        ("no search", ""),
        ("a word that nothing has", "nowhere"),
        ("a rare word", "w19000"),
        ("a common word", "w3"),
        ("two common words", "w3 w7"),
        ("a phrase of two", "\"w3 w7\""),
        ("a phrase of three", "\"w3 w7 w1\""),
        ("a prefix", "w19*"),
    ] {
        let filter = CallFilter {
            search: (!text.is_empty()).then(|| Query::parse(text)),
            ..CallFilter::default()
        };
        let not = CallFilter {
            not: Some(Box::new(filter.clone())),
            ..CallFilter::default()
        };
        let facets = FacetSet {
            tools: true,
            ..FacetSet::default()
        };
        let page = median(async || drop(store.calls(&filter, PageRequest::default()).await.unwrap())).await;
        let unlike = median(async || drop(store.calls(&not, PageRequest::default()).await.unwrap())).await;
        let count = median(async || {
            store.count(&filter, 10_000).await.unwrap();
        })
        .await;
        let menu = median(async || drop(store.facets(&filter, facets).await.unwrap())).await;
        let stats = median(async || drop(store.stats(&filter, 60).await.unwrap())).await;
        println!(
            "{kind:<24} page {page:>7.1} ms   not {unlike:>7.1} ms   count {count:>7.1} ms   tools {menu:>7.1} ms   statistics {stats:>7.1} ms"
        );
    }
}

async fn median(question: impl AsyncFn()) -> f64 {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        question().await;
        times.push(begun.elapsed());
    }
    times.sort();
    times[2].as_secs_f64() * 1e3
}

/// A number that looks random.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ (number >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11
}

/// About as common as words are: the nth a nth as often as the first.
fn word(seed: u64) -> String {
    let share = mixed(seed) as f64 / (1_u64 << 53) as f64;
    format!("w{}", (WORDS as f64).powf(share) as u64)
}

fn call(number: u64) -> Call {
    let words = |from: u64, count: u64| -> String {
        let words: Vec<String> = (from..from + count).map(|at| word(number * 1_000 + at)).collect();
        words.join(" ")
    };
    let mut trace = [7; 16];
    trace[8..].copy_from_slice(&number.to_be_bytes());
    let span = SpanId::from_bytes(&number.to_be_bytes()).unwrap();
    Call {
        origin: Arc::new(Origin {
            service: Some("bench".into()),
            ..Origin::default()
        }),
        tool: Some(format!("tool_{}", number % 20)),
        started_at: UnixNanos(NOON + number as i64 * 1_000_000),
        duration_nanos: (mixed(number) % 1_000_000_000) as i64,
        received_at: UnixNanos(NOON + number as i64 * 1_000_000),
        request: Some(Payload::whole(format!(
            "{{\"query\":\"{}\",\"limit\":10}}",
            words(0, 4)
        ))),
        response: Some(Payload::whole(format!("{{\"text\":\"{}\"}}", words(10, 56)))),
        ..testing::call(TraceId::from_bytes(&trace).unwrap(), span)
    }
}
