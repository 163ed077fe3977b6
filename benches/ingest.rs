//! Durable calls per second over OTLP/gRPC, beside the raw ceiling on the same rows in the same run.
//!
//! `cargo bench --bench ingest` · `CALLS=200000 ROUNDS=3 cargo bench --bench ingest`
//!
//! The ceiling is SQLite alone: the rows already decoded, prepared statements, one writer, transactions of 2,048
//! rows, WAL, synchronous=FULL, a row with both bodies, and few indexes (by start and span, by server, by session,
//! errors). mcptap decodes, reads, redacts and joins the same spans and keeps more: both columns and indexes. Each
//! export of 512 spans is acknowledged after its commit. The ratio is the figure to compare between machines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark may stop at once")]

use std::path::Path;
use std::time::Instant;

use mcptap::{Server, Settings};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

const EXPORT: usize = 512;
const SENDERS: usize = 8;
const TRANSACTION: usize = 2048;

fn main() {
    let setting = |name: &str, default: usize| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (calls, rounds) = (setting("CALLS", 100_000), setting("ROUNDS", 3));
    println!("{calls} calls, {EXPORT} to an export, {SENDERS} senders, {rounds} rounds; SQLite, synchronous=FULL");
    let mut ratios: Vec<f64> = (0..rounds).map(|round| measure(round, calls)).collect();
    ratios.sort_by(f64::total_cmp);
    println!("ratio: {:.2} (median of {rounds})", ratios[ratios.len() / 2]);
}

fn measure(round: usize, calls: usize) -> f64 {
    let exports = exports(round as u64, calls);
    let folder = tempfile::tempdir().unwrap();
    // Taking turns, so that neither always has the warmer machine.
    let (ceiling, mcptap) = if round % 2 == 0 {
        let ceiling = raw(&folder.path().join("raw.db"), &exports);
        (ceiling, served(&folder.path().join("mcptap.db"), exports))
    } else {
        let copy = exports.clone();
        let mcptap = served(&folder.path().join("mcptap.db"), exports);
        (raw(&folder.path().join("raw.db"), &copy), mcptap)
    };
    let rate = |seconds: f64| calls as f64 / seconds;
    println!("  mcptap {:>8.0} calls/s   raw {:>8.0} rows/s   ratio {:.2}", rate(mcptap), rate(ceiling), ceiling / mcptap);
    ceiling / mcptap
}

/// Seconds until every call is acknowledged.
fn served(database: &Path, exports: Vec<ExportTraceServiceRequest>) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let free = Some("127.0.0.1:0".parse().unwrap());
        let settings = Settings {
            listen: free,
            otlp_grpc: free,
            otlp_http: free,
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

/// Seconds to insert the same rows with SQLite alone.
fn raw(database: &Path, exports: &[ExportTraceServiceRequest]) -> f64 {
    let rows: Vec<Row> = exports.iter().flat_map(|export| &export.resource_spans[0].scope_spans[0].spans).map(Row::of).collect();
    let mut connection = rusqlite::Connection::open(database).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=10000;
             CREATE TABLE call (id INTEGER PRIMARY KEY, trace_id BLOB, span_id BLOB, started_at INTEGER, duration INTEGER,
               server INTEGER, session INTEGER, method INTEGER, tool INTEGER, status INTEGER, request TEXT, response TEXT);
             CREATE UNIQUE INDEX call_span ON call (started_at, span_id);
             CREATE INDEX call_server ON call (server, started_at);
             CREATE INDEX call_session ON call (session, started_at);
             CREATE INDEX call_error ON call (started_at) WHERE status <> 0;",
        )
        .unwrap();
    let start = Instant::now();
    for rows in rows.chunks(TRANSACTION) {
        let transaction = connection.transaction().unwrap();
        {
            let mut insert = transaction
                .prepare_cached("INSERT OR IGNORE INTO call VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?)")
                .unwrap();
            for row in rows {
                insert
                    .execute(rusqlite::params![
                        row.trace_id, row.span_id, row.started_at, row.duration, 1, row.session, row.method, row.tool,
                        row.status, row.request, row.response
                    ])
                    .unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    start.elapsed().as_secs_f64()
}

/// A span as the ceiling stores it.
struct Row<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    started_at: i64,
    duration: i64,
    session: i64,
    method: i64,
    tool: i64,
    status: i32,
    request: &'a str,
    response: &'a str,
}

impl<'a> Row<'a> {
    fn of(span: &'a Span) -> Self {
        let text = |name: &str| {
            let attribute = span.attributes.iter().find(|attribute| attribute.key == name)?;
            match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(text) => Some(text.as_str()),
                _ => None,
            }
        };
        let number = |text: Option<&str>| text.and_then(|text| text.rsplit('-').next()?.parse().ok()).unwrap_or_default();
        Self {
            trace_id: &span.trace_id,
            span_id: &span.span_id,
            started_at: span.start_time_unix_nano as i64,
            duration: (span.end_time_unix_nano - span.start_time_unix_nano) as i64,
            session: number(text("mcp.session.id")),
            method: text("mcp.method.name").map_or(0, |method| method.len() as i64),
            tool: number(text("gen_ai.tool.name")),
            status: span.status.as_ref().map_or(0, |status| status.code),
            request: text("mcptap.request.body").unwrap_or_default(),
            response: text("mcptap.response.body").unwrap_or_default(),
        }
    }
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
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(text)) }), ..KeyValue::default() }
}

fn exports(seed: u64, calls: usize) -> Vec<ExportTraceServiceRequest> {
    let mut dice = Dice(seed);
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let spans: Vec<Span> = (0..calls as u64).map(|index| span(&mut dice, start, index)).collect();
    spans
        .chunks(EXPORT)
        .map(|spans| ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![attribute("service.name", "bench".to_owned())],
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope { name: "bench".to_owned(), ..InstrumentationScope::default() }),
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
    let method = if is_call { "tools/call" } else { ["tools/list", "resources/read", "ping"][dice.below(3) as usize] };
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
        let request = format!(r#"{{"method":"tools/call","params":{{"name":"{tool}","arguments":{{"query":"{filler}"}}}}}}"#);
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
        name: if is_call { format!("tools/call {tool}") } else { method.to_owned() },
        kind: 2,
        start_time_unix_nano: started,
        end_time_unix_nano: started + 1_000_000 + dice.below(200_000_000),
        attributes,
        status: Some(Status { code: if failed { 2 } else { 0 }, message: String::new() }),
        ..Span::default()
    }
}
