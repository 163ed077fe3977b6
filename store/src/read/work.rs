//! Tests: how much a query reads does not grow with what is stored beside its answer. Work is counted, not time: on SQLite
//! the instructions that ran for the query, on PostgreSQL the rows and index entries that were read for it.

use std::future::Future;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mcptap_model::{
    Batch, Call, CallFilter, Evidence, Observation, Outcome, SessionKey, SessionSource, UnixNanos,
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, IdenStatic, Iterable, QueryTrait};

use crate::db::deadline::STEPS;
use crate::db::transaction::tests::of_server;
use crate::read::readers::Reading;
use crate::read::scan::Scan;
use crate::read::visits::{Moment, lasting};
use crate::rows::entity::{call, session};
use crate::write::fold::shapes::span;
use crate::{Asker, CallPosition, FeedStart, Operation, Options, PageRequest, SessionPosition, Store, open};

const NOON: i64 = 1_795_348_800_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// How many calls are written; the others are copies of them, each older than the one before.
const WRITTEN: i64 = 300;
/// How many times as many calls there are in a small database and in one of ten times its size.
const COPIES: [i64; 2] = [10, 100];

fn options() -> Options {
    Options {
        retention: None,
        index_delay: Duration::from_secs(3600),
        ..Options::default()
    }
}

fn written(number: i64) -> Call {
    Call {
        tool: (number % 11 > 0).then(|| format!("tool{}", number % 8)),
        server: Some(format!("server{}", number % 5)),
        method: if number % 11 > 0 { "tools/call" } else { "ping" }.into(),
        evidence: Evidence {
            tool_error: number % 7 == 0,
            ..Evidence::default()
        },
        session: Some(SessionKey {
            source: SessionSource::Conversation,
            key: format!("session{}", number / 10),
        }),
        started_at: UnixNanos(NOON + number * SECOND),
        duration_nanos: number * 1_000,
        received_at: UnixNanos(NOON + number * SECOND),
        ..span(u64::try_from(number).unwrap())
    }
}

/// A database with so many copies of the calls, as it is after a while of use.
async fn filled(url: &str, copies: i64) {
    let (writer, store) = open(url, options()).await.unwrap();
    let observations = (1..=WRITTEN).map(|number| Observation {
        call: written(number),
        links: Vec::new(),
    });
    let batch = Batch {
        observations: observations.collect(),
        ..Batch::default()
    };
    assert_eq!(
        writer.write(batch).await.unwrap().added,
        usize::try_from(WRITTEN).unwrap()
    );
    drop(writer);
    store.close().await;
    let db = Database::connect(url).await.unwrap();
    let row = db
        .query_one_raw(sea_orm::Statement::from_string(
            db.get_database_backend(),
            "SELECT MAX(id) FROM sessions",
        ))
        .await
        .unwrap();
    let sessions: i64 = row.unwrap().try_get_by_index(0).unwrap();
    for copy in 1..copies {
        let columns: Vec<String> = call::Column::iter()
            .map(|column| column.as_str().to_owned())
            .collect();
        let copied = columns.iter().map(|column| match column.as_str() {
            "id" => format!("id + {}", copy * WRITTEN),
            "trace_lo" | "span_id" => format!("{column} + {}", copy << 32),
            "started_at" | "received_at" => format!("{column} - {}", copy * WRITTEN * SECOND),
            "session" => format!("session + {}", copy * sessions),
            _ => column.clone(),
        });
        let copied: Vec<String> = copied.collect();
        let statement = format!(
            "INSERT INTO calls ({}) SELECT {} FROM calls WHERE id <= {WRITTEN}",
            columns.join(", "),
            copied.join(", ")
        );
        db.execute_unprepared(&statement).await.unwrap();
        let random = match db.get_database_backend() {
            sea_orm::DbBackend::Postgres => "decode(md5(random()::text), 'hex')",
            _ => "randomblob(16)",
        };
        let columns: Vec<String> = session::Column::iter()
            .map(|column| column.as_str().to_owned())
            .collect();
        let copied = columns.iter().map(|column| match column.as_str() {
            "id" => format!("id + {}", copy * sessions),
            "hash" => random.to_owned(),
            "key" => format!("key || '-{copy}'"),
            "key_hash" => format!("key_hash + {copy}"),
            _ => column.clone(),
        });
        let copied: Vec<String> = copied.collect();
        let statement = format!(
            "INSERT INTO sessions ({}) SELECT {} FROM sessions WHERE id <= {sessions}",
            columns.join(", "),
            copied.join(", ")
        );
        db.execute_unprepared(&statement).await.unwrap();
    }
    let last = copies * WRITTEN;
    db.execute_unprepared(&format!("UPDATE sequence SET value = {last}, indexed = {last}"))
        .await
        .unwrap();
    if db.get_database_backend() == sea_orm::DbBackend::Postgres {
        db.execute_unprepared("VACUUM ANALYZE").await.unwrap();
        // As where the file is in memory: the rows that are read decide, not where they lie.
        db.execute_unprepared(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET random_page_cost = 1', current_database()); END $$",
        )
        .await
        .unwrap();
    }
    db.close().await.unwrap();
}

/// The index entries and rows that were read of the tables, up to now.
async fn rows_read(db: &DatabaseConnection) -> u64 {
    let text = "SELECT (SELECT SUM(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_user_tables)::bigint \
        + (SELECT SUM(idx_tup_read) FROM pg_stat_user_indexes)::bigint";
    let statement = sea_orm::Statement::from_string(db.get_database_backend(), text);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    u64::try_from(row.try_get_by_index::<i64>(0).unwrap()).unwrap()
}

/// How much work a query is in a database.
async fn work<F: Future + Send>(url: &str, ask: &(impl Fn(Store) -> F + Sync)) -> u64 {
    let postgres = url.starts_with("postgres");
    let mut before = 0;
    let mut after = 0;
    // On PostgreSQL the reads of opening are counted by opening for nothing. Connections report their counts as they end.
    let rounds: &[bool] = if postgres { &[false, true] } else { &[true] };
    for &asks in rounds {
        let (writer, store) = open(url, options()).await.unwrap();
        let question = Operation::new(Asker::Server, Duration::from_secs(3600));
        if asks {
            question.run(ask(store.clone())).await;
        }
        drop(writer);
        store.close().await;
        if !postgres {
            after = question.steps().load(Relaxed) * u64::try_from(STEPS).unwrap();
            continue;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let db = Database::connect(url).await.unwrap();
        let read = rows_read(&db).await;
        db.close().await.unwrap();
        (before, after) = (after, read);
    }
    after - before
}

/// How much work each query is in a small database and in one ten times as large.
async fn grown<F: Future + Send>(
    urls: &[String; 2],
    what: &str,
    grown: &mut Vec<String>,
    ask: impl Fn(Store) -> F + Sync,
) {
    let (small, large) = (work(&urls[0], &ask).await, work(&urls[1], &ask).await);
    println!(
        "{what}: {small} of {} calls, {large} of {}",
        COPIES[0] * WRITTEN,
        COPIES[1] * WRITTEN
    );
    assert!(small > 0, "{what}: nothing was counted");
    // Larger trees are deeper, and plans differ a little.
    if large * 2 > small * 3 + 2_000 {
        grown.push(format!("{what}: {small} became {large}"));
    }
}

fn first<K>(size: usize) -> PageRequest<K> {
    PageRequest {
        first: Some(size),
        ..PageRequest::default()
    }
}

fn of_servers(servers: &[&str]) -> CallFilter {
    CallFilter {
        servers: servers.iter().map(|server| (*server).to_owned()).collect(),
        ..CallFilter::default()
    }
}

fn errors() -> CallFilter {
    CallFilter {
        outcomes: vec![Outcome::ToolError],
        ..CallFilter::default()
    }
}

fn of_method(method: &str) -> CallFilter {
    CallFilter {
        methods: vec![method.to_owned()],
        ..CallFilter::default()
    }
}

/// Where the oldest of the small database's calls are, and a third of the way through.
const BACK: UnixNanos = UnixNanos(NOON - 3 * WRITTEN * SECOND);

async fn questions_do_not_grow(urls: [String; 2]) {
    let mut bad = Vec::new();
    let here = CallPosition {
        started_at: BACK,
        row: i64::MAX,
    };
    for (name, filter) in [
        ("all", CallFilter::default()),
        ("a server's", of_servers(&["server3"])),
        (
            "a tool's",
            CallFilter {
                tools: vec!["tool1".into()],
                ..CallFilter::default()
            },
        ),
        ("errors", errors()),
    ] {
        let page = PageRequest {
            after: Some(here),
            ..first(20)
        };
        for (place, page) in [("newest", first(20)), ("old", page)] {
            grown(
                &urls,
                &format!("{place} page of calls, {name}"),
                &mut bad,
                |store| {
                    let filter = filter.clone();
                    async move {
                        let found = store.calls(&filter, page).await.unwrap();
                        assert_eq!(found.items.len(), 20);
                    }
                },
            )
            .await;
        }
    }
    grown(&urls, "liveCursor of an old page", &mut bad, |store| async move {
        store.feed_start(FeedStart::BeforeNewerThan(here)).await.unwrap();
    })
    .await;
    for (name, filter) in [
        ("all", CallFilter::default()),
        ("a server's", of_servers(&["server3"])),
        (
            "since",
            CallFilter {
                from: Some(BACK),
                ..CallFilter::default()
            },
        ),
        (
            "until",
            CallFilter {
                to: Some(BACK),
                ..CallFilter::default()
            },
        ),
        ("with errors", errors()),
    ] {
        grown(&urls, &format!("tools, {name}"), &mut bad, |store| {
            let filter = filter.clone();
            async move { assert_eq!(store.tools(&filter, first(5)).await.unwrap().items.len(), 5) }
        })
        .await;
    }
    grown(&urls, "one tool", &mut bad, |store| async move {
        assert!(store.tool("server1", "tool1").await.unwrap().is_some());
    })
    .await;
    grown(&urls, "servers", &mut bad, |store| async move {
        assert_eq!(store.servers(first(10)).await.unwrap().items.len(), 5);
    })
    .await;
    let back = SessionPosition {
        last_call_at: BACK,
        row: i64::MAX,
    };
    for (name, filter) in [
        ("all", CallFilter::default()),
        ("servers'", of_servers(&["server3", "server2"])),
        (
            "since",
            CallFilter {
                from: Some(UnixNanos(NOON)),
                ..errors()
            },
        ),
        ("with errors", errors()),
        ("with a method", of_method("ping")),
        (
            "with errors or slow",
            CallFilter {
                or: vec![
                    errors(),
                    CallFilter {
                        min_duration_ms: Some(0.2),
                        ..CallFilter::default()
                    },
                ],
                ..CallFilter::default()
            },
        ),
        (
            "without errors",
            CallFilter {
                not: Some(Box::new(errors())),
                ..CallFilter::default()
            },
        ),
    ] {
        let page = PageRequest {
            after: Some(back),
            ..first(10)
        };
        for (place, page) in [("newest", first(10)), ("old", page)] {
            if place == "old" && filter.from.is_some() {
                continue;
            }
            grown(
                &urls,
                &format!("{place} page of sessions, {name}"),
                &mut bad,
                |store| {
                    let filter = filter.clone();
                    async move {
                        let found = store.sessions(&filter, page).await.unwrap();
                        assert_eq!((found.items.len(), found.has_next), (10, true), "{filter:?}");
                    }
                },
            )
            .await;
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Statistics of a tool grow with its calls: they read those of its server, and no others.
async fn a_tool_is_counted_by_the_index(url: &str, only: &str) {
    let (writer, store) = open(url, options()).await.unwrap();
    let tx = store.snapshot(Reading::Scan).await.unwrap();
    let filter = CallFilter {
        tools: vec!["tool1".into()],
        from: Some(BACK),
        ..of_servers(&["server1"])
    };
    let scan = Scan::new(&store, &tx, &filter).await.unwrap();
    let counted = scan.counted().build(tx.get_database_backend());
    let explain = match tx.get_database_backend() {
        sea_orm::DbBackend::Postgres => "EXPLAIN",
        _ => "EXPLAIN QUERY PLAN",
    };
    let explained = sea_orm::Statement {
        sql: format!("{explain} {}", counted.sql),
        ..counted
    };
    let column = if explain == "EXPLAIN" { 0 } else { 3 };
    let rows = tx.query_all_raw(explained).await.unwrap();
    let plan: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(column).unwrap())
        .collect();
    assert!(plan.join("\n").contains(only), "{plan:#?}");
    tx.commit().await.unwrap();
    drop(writer);
    store.close().await;
}

/// A client that calls every ten seconds: the ends of its visit are some seeks for each half hour, however many calls there
/// are around each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ends_of_a_visit_are_found_by_seeking() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for calls in [720_u64, 7_200] {
        let file = folder.path().join(format!("{calls}.db"));
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let (writer, store) = open(&url, options()).await.unwrap();
        let observations = (1..=calls).map(|number| {
            let mut id = [7; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let at = UnixNanos(NOON + i64::try_from(number).unwrap() * 10 * SECOND);
            Observation {
                call: Call {
                    trace_id: mcptap_model::TraceId::from_bytes(&id).unwrap(),
                    client_name: Some("poller".into()),
                    session: None,
                    started_at: at,
                    received_at: at,
                    ..span(number)
                },
                links: Vec::new(),
            }
        });
        let batch = Batch {
            observations: observations.collect(),
            ..Batch::default()
        };
        writer.write(batch).await.unwrap();
        drop(writer);
        store.close().await;
        let last = NOON + i64::try_from(calls).unwrap() * 10 * SECOND;
        let ask = |store: Store| async move {
            let tx = store.snapshot(Reading::Light).await.unwrap();
            let moment = Moment { session: 1, at: last };
            let visit = lasting(&tx, store.oldest(), [moment].into_iter()).await.unwrap();
            assert_eq!(visit.get(&moment), Some(&(NOON + 10 * SECOND, last)));
            tx.commit().await.unwrap();
        };
        found.push(work(&url, &ask).await);
    }
    // Ten times as long, ten times as many seeks; to walk over the calls before would be a hundred times the work.
    assert!(found[1] < 20 * found[0], "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let urls = COPIES.map(|copies| {
        let file = folder.path().join(format!("{copies}.db"));
        format!("sqlite://{}?mode=rwc", file.display())
    });
    for (url, copies) in urls.iter().zip(COPIES) {
        filled(url, copies).await;
    }
    a_tool_is_counted_by_the_index(
        &urls[0],
        "USING INDEX calls_tool_server (tool=? AND server=? AND started_at>?)",
    )
    .await;
    questions_do_not_grow(urls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    let mut urls = COPIES.map(|_| String::new());
    for (url, copies) in urls.iter_mut().zip(COPIES) {
        let Some(empty) = of_server(&format!("work{copies}")).await else {
            return;
        };
        filled(&empty, copies).await;
        *url = empty;
    }
    a_tool_is_counted_by_the_index(&urls[0], "calls_tool_server").await;
    questions_do_not_grow(urls).await;
}
