//! Durable calls per second over OTLP/gRPC, beside the raw ceiling on the same rows in the same run.
//!
//! `cargo bench --bench ingest` · `CALLS=200000 ROUNDS=3 cargo bench --bench ingest`
//!
//! The ceiling is SQLite alone: the very rows that mcptap stored, copied into empty tables of the same shape and
//! indexes by prepared statements, one writer, transactions of 2,048 calls, WAL, synchronous=FULL. mcptap has to
//! receive, decode, read, redact and join them as well, and acknowledges each export of 512 spans after its commit; the
//! sender shares the machine. The ratio is the figure to compare between machines.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may stop at once"
)]

use std::path::Path;
use std::time::Instant;

use mcptap::{Server, Settings};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXPORT: usize = 512;
const SENDERS: usize = 8;
const TRANSACTION: usize = 2048;

fn main() {
    let setting = |name: &str, default: usize| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let (calls, rounds) = (setting("CALLS", 100_000), setting("ROUNDS", 3));
    println!(
        "{calls} calls, {EXPORT} to an export, {SENDERS} senders, {rounds} rounds; SQLite, synchronous=FULL"
    );
    let mut ratios: Vec<f64> = (0..rounds).map(|round| measure(round, calls)).collect();
    ratios.sort_by(f64::total_cmp);
    println!("ratio: {:.2} (median of {rounds})", ratios[ratios.len() / 2]);
}

fn measure(round: usize, calls: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let (database, copy) = (folder.path().join("mcptap.db"), folder.path().join("raw.db"));
    let mcptap = served(&database, exports(round as u64, calls));
    let ceiling = raw(&database, &copy, calls);
    let rate = |seconds: f64| calls as f64 / seconds;
    println!(
        "  mcptap {:>8.0} calls/s   raw {:>8.0} calls/s   ratio {:.2}",
        rate(mcptap),
        rate(ceiling),
        ceiling / mcptap
    );
    ceiling / mcptap
}

/// Seconds until every call is acknowledged.
fn served(database: &Path, exports: Vec<ExportTraceServiceRequest>) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let free = || Some("127.0.0.1:0".parse().unwrap());
        let settings = Settings {
            listen: free(),
            otlp_grpc: free(),
            otlp_http: free(),
            database_url: Some(format!("sqlite://{}?mode=rwc", database.display())),
            ..Settings::default()
        };
        let server = Server::start(&settings.resolve().unwrap()).await.unwrap();
        let endpoint = format!("http://{}", server.otlp_grpc);
        let mut shares: Vec<Vec<ExportTraceServiceRequest>> = vec![Vec::new(); SENDERS];
        for (index, export) in exports.into_iter().enumerate() {
            shares[index % SENDERS].push(export);
        }
        let start = Instant::now();
        let senders: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let endpoint = endpoint.clone();
                tokio::spawn(async move {
                    let mut client = TraceServiceClient::connect(endpoint).await.unwrap();
                    for export in share {
                        let answer = client.export(export).await.unwrap().into_inner();
                        assert!(answer.partial_success.is_none());
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        server.stop().await.unwrap();
        seconds
    })
}

/// Seconds to insert the rows of one database, so many calls, into the empty tables of another.
fn raw(from: &Path, to: &Path, calls: usize) -> f64 {
    let source = rusqlite::Connection::open(from).unwrap();
    let mut target = rusqlite::Connection::open(to).unwrap();
    target
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=10000;")
        .unwrap();
    let schema = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name IN ('calls', 'details') ORDER BY type DESC";
    for sql in source
        .prepare(schema)
        .unwrap()
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
    {
        target.execute_batch(&sql.unwrap()).unwrap();
    }
    let tables = ["calls", "details"].map(|table| (table, rows(&source, table)));
    assert_eq!(tables[0].1.len(), calls, "both store the same");
    let start = Instant::now();
    let transactions = calls.div_ceil(TRANSACTION);
    for number in 0..transactions {
        let transaction = target.transaction().unwrap();
        for (table, rows) in &tables {
            let per_transaction = rows.len().div_ceil(transactions);
            let Some(some) = rows.chunks(per_transaction).nth(number) else {
                continue;
            };
            let marks = vec!["?"; some[0].len()].join(",");
            let mut insert = transaction
                .prepare_cached(&format!("INSERT OR IGNORE INTO {table} VALUES ({marks})"))
                .unwrap();
            for row in some {
                insert.execute(rusqlite::params_from_iter(row)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    start.elapsed().as_secs_f64()
}

/// All rows of a table, in memory, in the order in which they were written.
fn rows(source: &rusqlite::Connection, table: &str) -> Vec<Vec<rusqlite::types::Value>> {
    let mut select = source
        .prepare(&format!("SELECT * FROM {table} ORDER BY 1"))
        .unwrap();
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
    rows.unwrap().map(Result::unwrap).collect()
}

/// A splitmix64: the same spans in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
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

fn exports(seed: u64, calls: usize) -> Vec<ExportTraceServiceRequest> {
    let mut dice = Dice(seed);
    let start = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let spans: Vec<Span> = (0..calls as u64)
        .map(|index| span(&mut dice, start, index))
        .collect();
    spans
        .chunks(EXPORT)
        .map(|spans| ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![attribute("service.name", "bench".to_owned())],
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "bench".to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: spans.to_vec(),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        })
        .collect()
}

/// About 950 bytes: 70 % tool calls with 640 bytes of bodies, 5,000 sessions, 4 % errors, one span a trace.
fn span(dice: &mut Dice, start: u64, index: u64) -> Span {
    let trace_id = [dice.next().to_be_bytes(), dice.next().to_be_bytes()].concat();
    let span_id = dice.next().to_be_bytes().to_vec();
    let started = start - 60_000_000_000 + index * 1_000 + dice.below(1_000);
    let tool = format!("tool-{}", dice.below(40));
    let failed = dice.below(100) < 4;
    let is_call = dice.below(100) < 70;
    let method = if is_call {
        "tools/call"
    } else {
        ["tools/list", "resources/read", "ping"][dice.below(3) as usize]
    };
    let mut attributes = vec![
        attribute("mcp.method.name", method.to_owned()),
        attribute("mcp.session.id", format!("session-{}", dice.below(5_000))),
        attribute("mcp.protocol.version", "2025-11-25".to_owned()),
        attribute("jsonrpc.request.id", index.to_string()),
        attribute("network.transport", "tcp".to_owned()),
        attribute("mcp.client.name", "bench-client".to_owned()),
    ];
    if is_call {
        let filler = format!("{:016x} ", dice.next()).repeat(14);
        attributes.push(attribute("gen_ai.tool.name", tool.clone()));
        let request = format!(
            r#"{{"method":"tools/call","params":{{"name":"{tool}","arguments":{{"query":"{filler}"}}}}}}"#
        );
        let response = format!(r#"{{"content":[{{"type":"text","text":"{filler}"}}],"isError":{failed}}}"#);
        attributes.push(attribute("mcptap.request.body", request));
        attributes.push(attribute("mcptap.response.body", response));
    }
    if failed {
        attributes.push(attribute("error.type", "tool_error".to_owned()));
    }
    Span {
        trace_id,
        span_id,
        name: if is_call {
            format!("tools/call {tool}")
        } else {
            method.to_owned()
        },
        kind: 2,
        start_time_unix_nano: started,
        end_time_unix_nano: started + 1_000_000 + dice.below(200_000_000),
        attributes,
        status: Some(Status {
            code: if failed { 2 } else { 0 },
            message: String::new(),
        }),
        ..Span::default()
    }
}
