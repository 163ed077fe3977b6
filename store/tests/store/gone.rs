//! Deleted means gone: after an erasure of everything, and after retention, no table and no file holds anything of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcptap_model::{
    Batch, Call, CallFilter, Evidence, HttpSpan, LogLine, Observation, Origin, Payload, SessionKey,
    SessionSource, SpanKind, SpanRef, Transport, UnixNanos, Vantage, search,
};
use mcptap_store::{Actor, Error, Options, PageRequest, Store, Writer};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::filters::indexed;
use crate::support::{Place, SECOND, batch, on_both, plain, span, trace};

on_both!(
    erasing_everything_leaves_nothing_anywhere,
    pruning_leaves_nothing_anywhere,
    an_erasure_ignores_the_limit_of_queries,
    the_end_of_a_failed_erasure_is_told,
    an_erasure_goes_on_when_nobody_waits,
    nothing_comes_back_from_writes_beside_an_erasure,
    an_erasure_takes_the_http_spans_that_its_calls_link_to,
);

/// Part of every text that is planted. Letters that nothing else has.
const MARKER: &str = "zqxmarkerxqz";

/// Tables whose rows are not of calls: how the database came to be, its counters, and what administrators did.
const OTHERS: [&str; 5] = ["seaql_migrations", "sequence", "api_keys", "audit", "views"];

fn text(place: &str, number: u64) -> String {
    format!("{MARKER}-{place}-{number}")
}

fn some(place: &str, number: u64) -> Option<String> {
    Some(text(place, number))
}

fn object(place: &str, number: u64) -> serde_json::Map<String, serde_json::Value> {
    serde_json::Map::from_iter([(text(place, number), text(place, number).into())])
}

fn two_days_ago() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixNanos(since.as_nanos() as i64 - 2 * 86_400 * SECOND)
}

fn origin(number: u64) -> Arc<Origin> {
    Arc::new(Origin {
        service: some("service", number),
        instance: some("instance", number),
        scope: text("scope", number),
        scope_version: some("scopeversion", number),
        resource: object("resource", number),
    })
}

/// A call with the marker in every text. All fields are named, so that a new one is not forgotten here.
fn planted(number: u64) -> Call {
    Call {
        trace_id: trace(number),
        span_id: span(number),
        primary_span_id: span(number),
        parent_span_id: Some(span(number + 1_000_000)),
        kind: SpanKind::Server,
        origin: origin(number),
        vantage: Vantage::Server,
        server: some("server", number),
        method: text("method", number),
        tool: some("tool", number),
        prompt: some("prompt", number),
        resource_uri: some("uri", number),
        evidence: Evidence::default(),
        http_status: None,
        rpc_error_code: None,
        error_type: some("errortype", number),
        error_message: some("message", number),
        stack_trace: some("stack", number),
        started_at: two_days_ago().plus(number as i64),
        duration_nanos: 1_500_000,
        received_at: two_days_ago().plus(number as i64 + 7),
        session_id: some("wire", number),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: text("wire", number),
        }),
        request_id: some("requestid", number),
        protocol_version: some("protocol", number),
        transport: Some(Transport::StreamableHttp),
        client_name: some("client", number),
        client_version: some("clientversion", number),
        client_ip: some("ip", number),
        country: some("country", number),
        authorization: some("authorization", number),
        user_agent: some("agent", number),
        request: Some(Payload::whole(format!(
            "{{\"a\":\"{}\"}}",
            text("request", number)
        ))),
        response: Some(Payload::whole(text("response", number).repeat(40))),
        attributes: object("attribute", number),
    }
}

fn http(number: u64) -> HttpSpan {
    HttpSpan {
        trace_id: trace(number),
        span_id: span(number + 1_000_000),
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: origin(number + 500_000),
        started_at: two_days_ago(),
        ended_at: two_days_ago().plus(SECOND),
        http_status: Some(200),
        client_ip: some("httpip", number),
        country: some("httpcountry", number),
        authorization: some("httpauthorization", number),
        user_agent: some("httpagent", number),
        session_id: some("httpsession", number),
        protocol_version: some("httpprotocol", number),
    }
}

fn line(number: u64, span_number: u64) -> LogLine {
    LogLine {
        trace_id: trace(number),
        span_id: Some(span(span_number)),
        service: some("logservice", number),
        time: two_days_ago(),
        severity: text("severity", number),
        body: text("line", number),
        attributes: object("logattribute", number),
    }
}

/// Calls with the marker everywhere; what waits for calls that never come; calls whose session, client and origin were
/// replaced after they were stored.
async fn plant(writer: &Writer, store: &Store) {
    let mut calls: Vec<Observation> = Vec::new();
    let link = |number: u64| SpanRef {
        trace_id: trace(number),
        span_id: span(number),
    };
    for number in 1..=40 {
        calls.push(Observation {
            call: planted(number),
            links: vec![link(number + 900_000)],
        });
    }
    // The clients' views of some: each becomes part of its call, and its span an alias.
    for number in 1..=10 {
        calls.push(Observation {
            call: Call {
                span_id: span(number + 1_000_000),
                primary_span_id: span(number + 1_000_000),
                parent_span_id: None,
                kind: SpanKind::Client,
                vantage: Vantage::Client,
                ..planted(number)
            },
            links: Vec::new(),
        });
    }
    // These have no session of their own: first a client's, then that of their trace, or that of their HTTP span.
    let bare = |number: u64| Call {
        session: None,
        session_id: None,
        ..planted(number)
    };
    let first = (100..120).chain(200..220).map(bare);
    let logs = (1..=40).map(|number| line(number, number));
    let lost = (700_000..700_020).map(|number| line(number, number));
    let early = (800_000..800_020).map(http);
    writer
        .write(Batch {
            observations: calls,
            logs: logs.chain(lost).collect(),
            https: early.collect(),
        })
        .await
        .unwrap();
    writer.write(batch(first)).await.unwrap();
    let seconds = (100..120).map(|number| Call {
        trace_id: trace(number),
        server: some("server", number),
        ..bare(number + 10_000)
    });
    writer
        .write(Batch {
            https: (200..220).map(http).collect(),
            ..batch(seconds)
        })
        .await
        .unwrap();
    indexed(store).await;
}

/// The tables of the database, whatever they are, with their columns.
async fn tables(db: &DatabaseConnection) -> Vec<(String, Vec<(String, bool)>)> {
    let sqlite = db.get_database_backend() == DbBackend::Sqlite;
    let columns = if sqlite {
        // The virtual table itself holds nothing: its parts are tables too.
        "SELECT m.name, c.name, 0 FROM sqlite_master m, pragma_table_xinfo(m.name) c \
         WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name"
    } else {
        "SELECT table_name::text, column_name::text, CASE WHEN data_type = 'bytea' THEN 1 ELSE 0 END \
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name"
    };
    let mut tables: Vec<(String, Vec<(String, bool)>)> = Vec::new();
    let statement = Statement::from_string(db.get_database_backend(), columns);
    for row in db.query_all_raw(statement).await.unwrap() {
        let (table, column): (String, String) =
            (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        let bytes: i32 = row.try_get_by_index(2).unwrap();
        match tables.last_mut() {
            Some((last, columns)) if *last == table => columns.push((column, bytes == 1)),
            _ => tables.push((table, vec![(column, bytes == 1)])),
        }
    }
    tables
}

async fn number(db: &DatabaseConnection, query: &str) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), query);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// Where the marker is, and which tables of calls have rows.
async fn found(place: &Place) -> Vec<String> {
    let db = place.connect().await;
    let sqlite = db.get_database_backend() == DbBackend::Sqlite;
    let mut found = Vec::new();
    for (table, columns) in tables(&db).await {
        for (column, bytes) in columns {
            let holds = match (sqlite, bytes) {
                (true, _) => format!("instr(CAST(\"{column}\" AS BLOB), CAST('{MARKER}' AS BLOB)) > 0"),
                (false, true) => format!("position('{MARKER}'::bytea in \"{column}\") > 0"),
                (false, false) => format!("position('{MARKER}' in \"{column}\"::text) > 0"),
            };
            let rows = number(&db, &format!("SELECT COUNT(*) FROM \"{table}\" WHERE {holds}")).await;
            if rows > 0 {
                found.push(format!("{rows} rows with {table}.{column}"));
            }
        }
        let of_index = table.starts_with("search_");
        let rows = number(&db, &format!("SELECT COUNT(*) FROM \"{table}\"")).await;
        if rows > 0 && !of_index && !OTHERS.contains(&table.as_str()) {
            found.push(format!("{rows} rows of {table}"));
        }
    }
    db.close().await.unwrap();
    found.extend(in_files(place, MARKER));
    found
}

/// The files of SQLite that hold a text.
fn in_files(place: &Place, text: &str) -> Vec<String> {
    let Some(file) = place.file() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let bytes = std::fs::read(format!("{}{suffix}", file.display())).unwrap_or_default();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(format!("{text} in the file{suffix}"));
        }
    }
    found
}

/// Waits until the process that was heard is in the database.
async fn heartbeats_are_written(place: &Place) {
    let db = place.connect().await;
    let written = async {
        while number(&db, "SELECT COUNT(*) FROM processes").await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let written = tokio::time::timeout(Duration::from_secs(60), written).await;
    written.expect("heartbeats are written");
    db.close().await.unwrap();
}

async fn planted_everywhere(place: &Place, writer: &Writer, store: &Store) {
    plant(writer, store).await;
    let running = Call {
        evidence: Evidence {
            open: true,
            ..Evidence::default()
        },
        duration_nanos: 0,
        ..planted(700_000)
    };
    writer.heard(&running.origin.process());
    writer.write(batch([running])).await.unwrap();
    heartbeats_are_written(place).await;
    let found = found(place).await;
    for table in [
        "names",
        "clients",
        "sessions",
        "origins",
        "calls",
        "log_lines",
        "waiting",
    ] {
        let planted = found
            .iter()
            .any(|place| place.contains(&format!("with {table}.")));
        assert!(planted, "nothing planted in {table}: {found:?}");
    }
    let db = place.connect().await;
    let orphans = "SELECT COUNT(*) FROM sessions WHERE id NOT IN \
        (SELECT session FROM calls WHERE session IS NOT NULL)";
    let replaced = number(&db, orphans).await;
    assert!(replaced >= 20, "{replaced} sessions were replaced");
    assert!(number(&db, "SELECT COUNT(*) FROM aliases").await > 0);
    db.close().await.unwrap();
    assert!(store.metrics().index_lag == 0);
}

async fn erasing_everything_leaves_nothing_anywhere(place: &Place) {
    let (writer, store) = place.open().await;
    planted_everywhere(place, &writer, &store).await;
    let erased = store
        .erase(CallFilter::default(), Actor::Key(1), "no constraint".into())
        .await
        .unwrap();
    assert_eq!(erased.calls, 101);
    assert_eq!(found(place).await, Vec::<String>::new());
    // Writing goes on with what was shared.
    writer.write(batch([planted(1)])).await.unwrap();
    assert_eq!(store.count(&CallFilter::default(), 10).await.unwrap().value, 1);
    drop(writer);
    store.close().await;
}

async fn pruning_leaves_nothing_anywhere(place: &Place) {
    let (writer, store) = place.open().await;
    planted_everywhere(place, &writer, &store).await;
    let pruned = store.prune(Duration::ZERO).await.unwrap();
    assert_eq!(pruned.calls, 101);
    assert_eq!(found(place).await, Vec::<String>::new());
    drop(writer);
    store.close().await;
}

fn of_tool(tool: &str) -> CallFilter {
    CallFilter {
        tools: vec![tool.into()],
        ..CallFilter::default()
    }
}

async fn told(store: &Store) -> Vec<String> {
    let told = store.audit(PageRequest::default()).await.unwrap().items;
    told.into_iter().map(|entry| entry.subject).collect()
}

async fn an_erasure_ignores_the_limit_of_queries(place: &Place) {
    // No question can be answered in that time.
    let (writer, store) = place
        .open_with(Options {
            retention: None,
            read_timeout: Duration::from_nanos(1),
            ..Options::default()
        })
        .await;
    let doomed = |number: u64| Call {
        tool: Some("doomed".into()),
        response: Some(Payload::whole(format!("{MARKER} {number}"))),
        ..plain(number)
    };
    let calls = (1..=6_000).map(|number| match number % 10 {
        0 => doomed(number),
        1 if number < 5_400 => Call {
            response: Some(Payload::whole("zero one two three four".into())),
            ..plain(number)
        },
        _ => plain(number),
    });
    writer.write(batch(calls)).await.unwrap();
    indexed(&store).await;
    let erased = store
        .erase(of_tool("doomed"), Actor::Key(1), "tools".into())
        .await
        .unwrap();
    assert_eq!(erased.calls, 600);
    assert_eq!(in_files(place, MARKER), Vec::<String>::new());
    let words = CallFilter {
        search: Some(search::Query::parse("lookup")),
        ..CallFilter::default()
    };
    let erased = store.erase(words, Actor::Key(1), "search".into()).await.unwrap();
    assert_eq!(erased.calls, 5_400);
}

/// Lets no transaction delete the call in a row.
async fn hold(place: &Place, row: i64) -> DatabaseConnection {
    let db = place.connect().await;
    let hold = if db.get_database_backend() == DbBackend::Sqlite {
        format!(
            "CREATE TRIGGER held BEFORE DELETE ON calls WHEN old.id = {row} BEGIN SELECT RAISE(ABORT, 'held'); END"
        )
    } else {
        format!("CREATE TABLE held (call bigint REFERENCES calls (id)); INSERT INTO held VALUES ({row})")
    };
    db.execute_unprepared(&hold).await.unwrap();
    db
}

async fn release(db: &DatabaseConnection) {
    let what = if db.get_database_backend() == DbBackend::Sqlite {
        "TRIGGER"
    } else {
        "TABLE"
    };
    db.execute_unprepared(&format!("DROP {what} held")).await.unwrap();
}

async fn the_end_of_a_failed_erasure_is_told(place: &Place) {
    let (writer, store) = place.open().await;
    let doomed = |number: u64| Call {
        tool: Some("doomed".into()),
        resource_uri: Some(format!("{MARKER}-{number}.")),
        ..plain(number)
    };
    writer.write(batch((1..=900).map(doomed))).await.unwrap();
    indexed(&store).await;
    let last = store.call(trace(900), span(900)).await.unwrap().unwrap().row;
    let db = hold(place, last).await;
    let failed = store
        .erase(of_tool("doomed"), Actor::Key(1), "tools".into())
        .await;
    assert!(matches!(failed, Err(Error::Data(_))), "{failed:?}");
    let left = store.count(&of_tool("doomed"), 10_000).await.unwrap().value;
    assert!(left < 900, "some steps were taken");
    assert_eq!(
        told(&store).await,
        [
            format!(
                "calls with tools: failed after {} calls: the database refused it",
                900 - left
            ),
            "calls with tools: begun".to_owned()
        ]
    );
    // What was erased is gone from the files all the same; what is left is in them.
    let in_file = |number: u64| in_files(place, &format!("{MARKER}-{number}.")).len();
    assert_eq!(in_file(1), 0);
    assert_eq!(in_file(900), usize::from(place.file().is_some()));

    release(&db).await;
    let erased = store
        .erase(of_tool("doomed"), Actor::Key(1), "tools".into())
        .await
        .unwrap();
    assert_eq!(erased.calls, left);
    assert_eq!(in_files(place, MARKER), Vec::<String>::new());
    assert_eq!(told(&store).await[0], format!("calls with tools: {left} erased"));
    db.close().await.unwrap();
}

async fn an_erasure_goes_on_when_nobody_waits(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=1_500).map(plain))).await.unwrap();
    {
        let erasing = store.erase(CallFilter::default(), Actor::Key(7), "no constraint".into());
        let gone = tokio::time::timeout(Duration::from_millis(1), erasing).await;
        assert!(gone.is_err(), "the caller went away before the end");
    }
    let begun = std::time::Instant::now();
    while told(&store).await.first().map(String::as_str) != Some("calls with no constraint: 1500 erased") {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{:?}",
            told(&store).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.count(&CallFilter::default(), 10).await.unwrap().value, 0);
}

async fn nothing_comes_back_from_writes_beside_an_erasure(place: &Place) {
    let (writer, store) = place.open().await;
    let parts = |number: u64| {
        let call = planted(number);
        let late = Batch {
            https: vec![http(number)],
            logs: vec![line(number, number)],
            ..Batch::default()
        };
        (batch([call]), late)
    };
    let writing = |from: u64| {
        let writer = writer.clone();
        async move {
            for number in from..from + 60 {
                let (call, late) = parts(number);
                writer.write(call).await.unwrap();
                writer.write(late).await.unwrap();
            }
        }
    };
    let erasing = async {
        for _ in 0..4 {
            store
                .erase(CallFilter::default(), Actor::Anybody, "no constraint".into())
                .await
                .unwrap();
        }
    };
    tokio::join!(writing(1), writing(1_000), writing(2_000), erasing);
    // What is stored now belongs to calls that are stored now.
    let db = place.connect().await;
    for (table, column) in [
        ("details", "call"),
        ("log_lines", "call"),
        ("aliases", "call"),
        ("waiting", "call"),
        ("unindexed", "call"),
    ] {
        let left = format!(
            "SELECT COUNT(*) FROM {table} WHERE {column} IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = {table}.{column})"
        );
        assert_eq!(number(&db, &left).await, 0, "{table}");
    }
    db.close().await.unwrap();
    indexed(&store).await;
    store
        .erase(CallFilter::default(), Actor::Anybody, "no constraint".into())
        .await
        .unwrap();
    assert_eq!(found(place).await, Vec::<String>::new());
}

/// An HTTP span in a trace of its own carried an erased call, which links to it: its service is gone too, whichever of
/// the two came first. What waits for another call in that trace stays.
async fn an_erasure_takes_the_http_spans_that_its_calls_link_to(place: &Place) {
    let (writer, store) = place.open().await;
    let https = |number: u64| Batch {
        https: vec![http(number)],
        ..Batch::default()
    };
    let link = |number: u64| SpanRef {
        trace_id: trace(number),
        span_id: span(number + 1_000_000),
    };
    let calls = |number: u64, links: Vec<SpanRef>| Batch {
        observations: vec![Observation {
            call: Call {
                tool: Some("erased".into()),
                ..planted(number)
            },
            links,
        }],
        ..Batch::default()
    };
    writer.write(calls(1, vec![link(11)])).await.unwrap();
    writer.write(https(11)).await.unwrap();
    writer.write(https(12)).await.unwrap();
    writer.write(calls(2, vec![link(12)])).await.unwrap();
    let mut together = calls(3, vec![link(13)]);
    together.https = https(13).https;
    writer.write(together).await.unwrap();
    // It stays, and waits for an HTTP span in a trace that an erased call links to.
    let stays = SpanRef {
        trace_id: trace(12),
        span_id: span(77),
    };
    let kept = Observation {
        call: plain(5),
        links: vec![stays],
    };
    writer
        .write(Batch {
            observations: vec![kept],
            ..Batch::default()
        })
        .await
        .unwrap();
    indexed(&store).await;
    let erased = store
        .erase(of_tool("erased"), Actor::Key(1), "tools".into())
        .await
        .unwrap();
    assert_eq!(erased.calls, 3);
    let db = place.connect().await;
    let origins = format!("SELECT COUNT(*) FROM origins WHERE service LIKE '%{MARKER}%'");
    assert_eq!(number(&db, &origins).await, 0);
    assert_eq!(number(&db, "SELECT COUNT(*) FROM waiting").await, 1);
    db.close().await.unwrap();
    assert_eq!(in_files(place, MARKER), Vec::<String>::new());
    let late = HttpSpan {
        span_id: span(77),
        started_at: plain(5).started_at,
        ended_at: plain(5).started_at.plus(SECOND),
        ..http(12)
    };
    writer
        .write(Batch {
            https: vec![late],
            ..Batch::default()
        })
        .await
        .unwrap();
    let stored = store.call(trace(5), span(5)).await.unwrap().unwrap();
    assert_eq!(stored.call.http_status, Some(200));
    drop(writer);
    store.close().await;
}
