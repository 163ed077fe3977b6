//! After any failed transaction the next one works, and nothing of the failed one is stored.

use std::sync::Arc;
use std::time::Duration;

use mcptap_model::{
    Batch, Call, CallFilter, HttpSpan, LogLine, Observation, Origin, Payload, SpanId, SpanKind, TraceId,
    UnixNanos, Vantage, testing,
};
use sea_orm::ConnectionTrait;

use super::faults::Fault;
use crate::db::database::Backend;
use crate::{Actor, Error, Options, Store, ViewContent, Writer, open};

const MS: i64 = 1_000_000;
const START: i64 = 1_795_348_800_000_000_000;

/// More statements than any transaction has.
const MANY: u64 = 200;

/// Nothing but the tests begins transactions.
fn options() -> Options {
    Options {
        retention: None,
        index_delay: Duration::from_secs(3600),
        ..Options::default()
    }
}

async fn sqlite() -> (Writer, Store) {
    open("sqlite::memory:", options()).await.unwrap()
}

/// The URL of a new database on the server for tests; `None` where there is none.
pub(crate) async fn of_server(what: &str) -> Option<String> {
    let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
        assert!(
            std::env::var("MCPTAP_REQUIRE_POSTGRES").is_err(),
            "TEST_DATABASE_URL is not set"
        );
        return None;
    };
    let name = format!("mcptap_{what}_{}", std::process::id());
    let admin = sea_orm::Database::connect(&server).await.unwrap();
    for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
        admin
            .execute_unprepared(&format!("{statement} {name}"))
            .await
            .unwrap();
    }
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let base = base.rsplit_once('/').unwrap().0;
    Some(format!("{base}/{name}?{query}"))
}

async fn postgres() -> Option<(Writer, Store)> {
    let url = of_server("faults").await?;
    Some(open(&url, options()).await.unwrap())
}

async fn close(store: Store, writer: Writer) {
    drop(writer);
    store.close().await;
}

fn trace(number: u64) -> TraceId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(&bytes).unwrap()
}

fn id(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).unwrap()
}

fn origin(service: &str) -> Arc<Origin> {
    Arc::new(Origin {
        service: Some(service.to_owned()),
        ..Origin::default()
    })
}

pub(crate) fn call(of: u64, span: u64, parent: Option<u64>, kind: SpanKind, at: i64) -> Observation {
    let server = kind == SpanKind::Server;
    let call = Call {
        parent_span_id: parent.map(id),
        kind,
        origin: origin(if server { "shop" } else { "agent" }),
        vantage: if server { Vantage::Server } else { Vantage::Client },
        tool: Some(format!("tool-{of}")),
        started_at: UnixNanos(START + (of as i64 * 1000 + at) * MS),
        duration_nanos: (100 - 2 * at) * MS,
        received_at: UnixNanos(START),
        client_name: (!server).then(|| format!("agent-{of}")),
        request: server.then(|| Payload::whole(format!("{{\"n\":{of}}}"))),
        ..testing::call(trace(of), id(span))
    };
    Observation {
        call,
        links: Vec::new(),
    }
}

/// A store with so many calls, whose requests are said to have had so many bytes.
pub(crate) async fn with_calls(calls: u64, bytes: u64) -> (Writer, Store) {
    let (writer, store) = sqlite().await;
    let mut batch = Batch::default();
    for of in 1..=calls {
        let mut told = begin(of).observations;
        for told in &mut told {
            let request = Payload::whole("{\"word\":1}".to_owned());
            told.call.request = Some(Payload { bytes, ..request });
        }
        batch.observations.append(&mut told);
    }
    writer.write(batch).await.unwrap();
    (writer, store)
}

/// A call, and another one beside it.
fn begin(of: u64) -> Batch {
    Batch {
        observations: vec![call(of, of * 10 + 2, Some(of * 10 + 1), SpanKind::Server, 10)],
        ..Batch::default()
    }
}

/// What completes that call (a client's view, an HTTP span, a line), and a new one.
fn complete(of: u64) -> Batch {
    let http = HttpSpan {
        trace_id: trace(of),
        span_id: id(of * 10 + 1),
        parent_span_id: Some(id(of * 10 + 3)),
        kind: SpanKind::Server,
        origin: origin("shop"),
        started_at: UnixNanos(START + (of as i64 * 1000 + 5) * MS),
        ended_at: UnixNanos(START + (of as i64 * 1000 + 95) * MS),
        http_status: Some(207),
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        session_id: None,
        protocol_version: None,
    };
    let line = LogLine {
        trace_id: trace(of),
        span_id: Some(id(of * 10 + 2)),
        service: None,
        time: UnixNanos(START),
        severity: "INFO".to_owned(),
        body: "looking".to_owned(),
        attributes: serde_json::Map::new(),
    };
    Batch {
        observations: vec![
            call(of, of * 10 + 3, None, SpanKind::Client, 0),
            call(of + 1_000_000, of * 10 + 4, None, SpanKind::Server, 10),
        ],
        https: vec![http],
        logs: vec![line],
    }
}

/// Whether all of [`complete`] is stored, or nothing of it.
async fn is_completed(store: &Store, of: u64) -> bool {
    let stored = store.call(trace(of), id(of * 10 + 2)).await.unwrap().unwrap();
    let client = store.call(trace(of), id(of * 10 + 3)).await.unwrap();
    let other = store.call(trace(of + 1_000_000), id(of * 10 + 4)).await.unwrap();
    let lines = store
        .inner
        .database
        .read()
        .query_one_raw(sea_orm::Statement::from_string(
            store.inner.database.read().get_database_backend(),
            format!("SELECT count(*) FROM log_lines WHERE call = {}", stored.row),
        ));
    let lines: i64 = lines.await.unwrap().unwrap().try_get_by_index(0).unwrap();
    let parts = [
        stored.call.http_status == Some(207),
        stored.call.client_name == Some(format!("agent-{of}")),
        client.is_some_and(|client| client.row == stored.row),
        other.is_some(),
        lines == 1,
    ];
    assert!(
        parts.iter().all(|part| *part == parts[0]),
        "half of it is stored: {parts:?}"
    );
    parts[0]
}

/// Breaks a write at every statement, in every way.
async fn writes(writer: &Writer, store: &Store) {
    let faults = store.inner.database.faults();
    let mut of = 0;
    for fault in Fault::ALL {
        for statement in 0.. {
            assert!(statement < MANY);
            of += 1;
            writer.write(begin(of)).await.unwrap();
            let struck = faults.struck();
            faults.plan(statement, fault);
            let outcome = writer.write(complete(of)).await;
            if faults.cancel() {
                outcome.unwrap();
                assert!(
                    statement > 15,
                    "a write has more statements than {statement}: not all were broken"
                );
                break;
            }
            assert_eq!(faults.struck(), struck + 1);
            // What passes by itself is tried again, as a whole or, where time ran out, in parts. Its sender hears nothing of it.
            let passes = match fault {
                Fault::Busy | Fault::NoMemory | Fault::Interrupt => true,
                Fault::Terminated => store.inner.database.backend() == Backend::Postgres,
                Fault::Full | Fault::Io => false,
            };
            assert_eq!(outcome.is_ok(), passes, "{fault:?} at {statement}: {outcome:?}");
            assert_eq!(
                is_completed(store, of).await,
                outcome.is_ok(),
                "{fault:?} at {statement}: {outcome:?}"
            );
            writer
                .write(complete(of))
                .await
                .unwrap_or_else(|error| panic!("after {fault:?} at {statement}: {error}"));
            assert!(is_completed(store, of).await);
        }
    }
    assert_eq!(
        store.count(&CallFilter::default(), 10_000).await.unwrap().value,
        2 * of
    );
}

/// Breaks an erasure at every statement, in every way; the next one erases all.
async fn deletions(writer: &Writer, store: &Store) {
    let faults = store.inner.database.faults();
    let erase = || store.erase(CallFilter::default(), Actor::Anybody, "all".to_owned());
    for fault in Fault::ALL {
        for statement in 0.. {
            assert!(statement < MANY);
            writer.write(begin(1)).await.unwrap();
            writer.write(complete(1)).await.unwrap();
            faults.plan(statement, fault);
            let outcome = erase().await;
            if faults.cancel() {
                outcome.unwrap();
                break;
            }
            erase()
                .await
                .unwrap_or_else(|error| panic!("after {fault:?} at {statement}: {error}"));
            assert_eq!(store.count(&CallFilter::default(), 10).await.unwrap().value, 0);
        }
    }
}

/// Calls past their time are deleted first, and that may meet a conflict like any other step.
async fn an_erasure_tries_its_first_step_again(url: &str) {
    let options = Options {
        retention: Some(Duration::from_secs(3600)),
        ..options()
    };
    let (writer, store) = open(url, options).await.unwrap();
    // Of days ago; retention comes by in a minute.
    writer.write(begin(1)).await.unwrap();
    store.inner.database.faults().plan(0, Fault::Busy);
    let erased = store
        .erase(CallFilter::default(), Actor::Anybody, "all".to_owned())
        .await;
    assert!(!store.inner.database.faults().cancel());
    assert!(erased.is_ok(), "{erased:?}");
    close(store, writer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_at_its_beginning_does_not_end_an_erasure() {
    an_erasure_tries_its_first_step_again("sqlite::memory:").await;
    if let Some(url) = of_server("first_step").await {
        an_erasure_tries_its_first_step_again(&url).await;
    }
}

fn view() -> ViewContent {
    ViewContent {
        name: "mine".to_owned(),
        filter: "{}".to_owned(),
        columns: Vec::new(),
        last_seconds: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_fault_the_next_write_works_on_sqlite() {
    let (writer, store) = sqlite().await;
    writes(&writer, &store).await;
    close(store, writer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_fault_the_next_deletion_works_on_sqlite() {
    let (writer, store) = sqlite().await;
    deletions(&writer, &store).await;
    close(store, writer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_fault_the_next_write_and_deletion_work_on_postgresql() {
    if let Some((writer, store)) = postgres().await {
        writes(&writer, &store).await;
        deletions(&writer, &store).await;
        close(store, writer).await;
        let admin = sea_orm::Database::connect(std::env::var("TEST_DATABASE_URL").unwrap());
        let drop = format!("DROP DATABASE mcptap_faults_{} WITH (FORCE)", std::process::id());
        admin.await.unwrap().execute_unprepared(&drop).await.unwrap();
    }
}

/// What changes rows other than of calls uses sqlx's own transactions. SQLite rolls an interrupted one back by itself, so
/// that the ROLLBACK fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_interruption_views_are_saved_again() {
    let (writer, store) = sqlite().await;
    let pool = store.inner.database.write().get_sqlite_connection_pool().clone();
    let mut connection = pool.acquire().await.unwrap();
    connection
        .lock_handle()
        .await
        .unwrap()
        // BEGIN takes fewer steps, the row more.
        .set_progress_handler(20, || false);
    drop(connection);
    let save = || store.save_view(None, view(), Actor::Anybody);
    let error = save().await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
    assert!(save().await.unwrap().is_some());
    writer.write(begin(1)).await.unwrap();
    close(store, writer).await;
}
