//! Traces whose ids have the same last half, as those have that begin with a time or were made with one seed.

use std::sync::Arc;

use mcptap_migrations::{Migrator, MigratorTrait};
use mcptap_model::{Batch, Call, CallFilter, HttpSpan, Origin, Payload, SpanKind, TraceId, Vantage};
use mcptap_store::{Actor, DetailParts, PageRequest, Store};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use crate::support::{Place, SECOND, batch, line, on_both, plain, span};

on_both!(
    each_has_calls_of_its_own,
    one_is_deleted_and_the_other_stays,
    what_waits_in_the_other_is_not_deleted,
    what_an_older_version_left_waiting_in_the_other_is_not_deleted,
    an_older_database_keeps_its_calls_and_loses_what_belongs_to_none,
);

/// The trace that begins with this number. All end alike.
fn trace(first: u64) -> TraceId {
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    TraceId::from_bytes(&bytes).unwrap()
}

fn named(name: &str, of: u64) -> Option<String> {
    Some(format!("{name}-{of}"))
}

/// A server's call of the trace, below a client's. Their spans have the same ids in every trace.
fn server(of: u64) -> Call {
    Call {
        trace_id: trace(of),
        parent_span_id: Some(span(2)),
        server: named("server", of),
        tool: named("tool", of),
        response: Some(Payload::whole(format!("answer {of}"))),
        ..plain(1)
    }
}

fn client(of: u64) -> Call {
    let server = server(of);
    Call {
        span_id: span(2),
        primary_span_id: span(2),
        parent_span_id: None,
        kind: SpanKind::Client,
        vantage: Vantage::Client,
        origin: Arc::new(Origin {
            service: Some("agent".into()),
            ..Origin::default()
        }),
        server: None,
        client_name: named("client", of),
        started_at: server.started_at.plus(-1000),
        duration_nanos: server.duration_nanos + 2000,
        request: Some(Payload::whole(format!("question {of}"))),
        response: None,
        ..server
    }
}

/// A call that is waited for by an HTTP span and by a line, which are the same in every trace.
fn early(of: u64) -> Batch {
    let call = Call {
        span_id: span(5),
        parent_span_id: Some(span(6)),
        ..server(of)
    };
    let http = HttpSpan {
        trace_id: trace(of),
        span_id: span(6),
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: Arc::clone(&call.origin),
        started_at: call.started_at.plus(-SECOND),
        ended_at: call.ended_at().plus(SECOND),
        http_status: Some(202),
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        session_id: None,
        protocol_version: None,
    };
    Batch {
        https: vec![http],
        logs: vec![line(&call, 1, "waits")],
        ..Batch::default()
    }
}

fn late(of: u64) -> Batch {
    let call = Call {
        span_id: span(5),
        primary_span_id: span(5),
        parent_span_id: Some(span(6)),
        ..server(of)
    };
    batch([call])
}

fn exports(of: u64) -> [Batch; 3] {
    let lines = Batch {
        logs: vec![line(&server(of), 1, "the same line")],
        ..Batch::default()
    };
    [lines, batch([client(of)]), batch([server(of)])]
}

fn together(batches: impl IntoIterator<Item = Batch>) -> Batch {
    let mut all = Batch::default();
    for batch in batches {
        all.observations.extend(batch.observations);
        all.https.extend(batch.https);
        all.logs.extend(batch.logs);
    }
    all
}

/// That the call of the trace is there as it was sent, found by both of its spans.
async fn is_whole(store: &Store, of: u64) {
    let found = store.call(trace(of), span(1)).await.unwrap();
    let found = found.unwrap_or_else(|| panic!("the call of trace {of}"));
    let by_client = store.call(trace(of), span(2)).await.unwrap().unwrap();
    assert_eq!(found, by_client, "{of}");
    assert_eq!(found.call.trace_id, trace(of));
    assert_eq!(found.call.server, named("server", of));
    assert_eq!(found.call.tool, named("tool", of));
    assert_eq!(found.call.client_name, named("client", of));
    let details = store.details(&[found.row]).await.unwrap();
    let text = |body: &Option<Payload>| body.as_ref().map(|body| body.text.clone());
    assert_eq!(
        text(&details[&found.row].request),
        named("question", of).map(spaced)
    );
    assert_eq!(
        text(&details[&found.row].response),
        named("answer", of).map(spaced)
    );
    let logs = store.logs(&[found.row], PageRequest::default()).await.unwrap();
    let lines: Vec<&str> = logs[&found.row]
        .items
        .iter()
        .map(|(_, line)| line.body.as_str())
        .collect();
    assert_eq!(lines, ["the same line"], "{of}");
}

fn spaced(text: String) -> String {
    text.replace('-', " ")
}

async fn count(db: &DatabaseConnection, text: &str) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), text);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// Rows that belong to a call that is not there.
async fn orphans(place: &Place) -> i64 {
    let db = place.connect().await;
    let mut found = 0;
    for table in ["details", "log_lines", "unindexed", "aliases", "waiting"] {
        found += count(
            &db,
            &format!(
                "SELECT COUNT(*) FROM {table} AS t WHERE t.call IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = t.call)"
            ),
        )
        .await;
    }
    db.close().await.unwrap();
    found
}

async fn each_has_calls_of_its_own(place: &Place) {
    let (writer, store) = place.open().await;
    // In one export: first the client's, then the server's; and all at once.
    writer
        .write(together([exports(1), exports(2)].concat()))
        .await
        .unwrap();
    for of in [1, 2] {
        is_whole(&store, of).await;
    }
    for part in [1, 2, 0] {
        let [three, four] = [exports(3), exports(4)].map(|exports| exports[part].clone());
        writer.write(together([three, four])).await.unwrap();
    }
    // In exports of their own, one trace after the other.
    for of in [5, 6] {
        for export in exports(of) {
            writer.write(export).await.unwrap();
        }
    }
    // Sent again, nothing is added; there are so many now that the trace is a large one.
    for of in 7..=30 {
        let written = writer.write(together(exports(of))).await.unwrap();
        assert_eq!((written.added, written.rejected.len()), (1, 0), "{of}");
    }
    for of in [2, 5, 1, 30] {
        let written = writer.write(together(exports(of))).await.unwrap();
        assert_eq!((written.added, written.rejected.len()), (0, 0), "{of}");
    }
    // What waits is of one trace, too.
    writer.write(together([early(1), early(2)])).await.unwrap();
    writer.write(early(3)).await.unwrap();
    for of in [3, 1, 2] {
        writer.write(late(of)).await.unwrap();
        let call = store.call(trace(of), span(5)).await.unwrap().unwrap();
        assert_eq!(call.call.http_status, Some(202), "{of}");
        let logs = store.logs(&[call.row], PageRequest::default()).await.unwrap();
        assert_eq!(logs[&call.row].items.len(), 1, "{of}");
    }
    for of in 1..=30 {
        is_whole(&store, of).await;
    }
    assert_eq!(store.metrics().calls_added, 33);
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 33);
    assert_eq!(orphans(place).await, 0);
}

async fn one_is_deleted_and_the_other_stays(place: &Place) {
    let (writer, store) = place.open().await;
    for of in [1, 2] {
        for export in exports(of) {
            writer.write(export).await.unwrap();
        }
    }
    let of_first = CallFilter {
        servers: named("server", 1).into_iter().collect(),
        ..CallFilter::default()
    };
    let erased = store
        .erase(of_first, Actor::Anybody, String::new())
        .await
        .unwrap();
    assert_eq!((erased.calls, erased.log_lines), (1, 1));
    for number in [1, 2] {
        assert!(store.call(trace(1), span(number)).await.unwrap().is_none());
    }
    is_whole(&store, 2).await;
    assert_eq!(orphans(place).await, 0);
}

async fn what_waits_in_the_other_is_not_deleted(place: &Place) {
    waits_in_the_other(place, false).await;
}

async fn what_an_older_version_left_waiting_in_the_other_is_not_deleted(place: &Place) {
    waits_in_the_other(place, true).await;
}

async fn waits_in_the_other(place: &Place, of_older_version: bool) {
    let (writer, store) = place.open().await;
    // Nothing but the erased call in its trace, and another call beside it.
    let staying = Call {
        span_id: span(9),
        primary_span_id: span(9),
        parent_span_id: None,
        request_id: None,
        server: named("staying", 3),
        ..server(3)
    };
    writer
        .write(together([early(1), early(2), early(4)]))
        .await
        .unwrap();
    writer
        .write(batch([client(1), client(3), staying]))
        .await
        .unwrap();
    // Known to be of no call: of the erased one's trace, and of the others.
    let db = place.connect().await;
    for of in [1, 2, 4_i64] {
        let lo = i64::from_be_bytes([9; 8]);
        db.execute_unprepared(&format!(
            "INSERT INTO aliases (trace_lo, span_id, trace_hi, call, arrived_at) VALUES ({lo}, 77, {of}, NULL, 1)"
        ))
        .await
        .unwrap();
    }
    if of_older_version {
        db.execute_unprepared("UPDATE waiting SET trace_hi = NULL")
            .await
            .unwrap();
    }
    for of in [1, 3] {
        let filter = CallFilter {
            clients: named("client", of).into_iter().collect(),
            ..CallFilter::default()
        };
        let erased = store.erase(filter, Actor::Anybody, String::new()).await.unwrap();
        assert_eq!(erased.calls, 1, "{of}");
    }
    let known = "SELECT COUNT(*) FROM aliases WHERE call IS NULL AND span_id = 77 AND trace_hi";
    assert_eq!(count(&db, &format!("{known} = 1")).await, 0);
    assert_eq!(count(&db, &format!("{known} > 1")).await, 2);
    db.close().await.unwrap();
    for (of, status, lines) in [(1, None, 0), (2, Some(202), 1), (4, Some(202), 1)] {
        writer.write(late(of)).await.unwrap();
        let call = store.call(trace(of), span(5)).await.unwrap().unwrap();
        assert_eq!(call.call.http_status, status, "{of}");
        let logs = store.logs(&[call.row], PageRequest::default()).await.unwrap();
        assert_eq!(
            logs.get(&call.row).map_or(0, |page| page.items.len()),
            lines,
            "{of}"
        );
    }
}

async fn an_older_database_keeps_its_calls_and_loses_what_belongs_to_none(place: &Place) {
    let (writer, store) = place.open().await;
    for export in exports(1) {
        writer.write(export).await.unwrap();
    }
    writer.write(batch([plain(50)])).await.unwrap();
    drop(writer);
    store.close().await;
    let all = Migrator::migrations();
    let at = all
        .iter()
        .position(|step| step.name().ends_with("_traces"))
        .unwrap();
    let db = place.connect().await;
    Migrator::down(&db, Some((all.len() - at) as u32)).await.unwrap();
    // The details of a call that was left out, with its lines and its alias.
    db.execute_unprepared(
        "INSERT INTO details (call, request, request_bytes, flags) \
         SELECT 7777, request, request_bytes, flags FROM details WHERE request IS NOT NULL",
    )
    .await
    .unwrap();
    db.execute_unprepared(
        "INSERT INTO aliases (trace_lo, span_id, trace_hi, call, arrived_at) VALUES (1, 2, 3, 7777, 4)",
    )
    .await
    .unwrap();
    db.close().await.unwrap();
    assert_eq!(orphans(place).await, 2);

    let (writer, store) = place.open().await;
    is_whole(&store, 1).await;
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 2);
    assert_eq!(orphans(place).await, 0);
    for export in exports(2) {
        writer.write(export).await.unwrap();
    }
    let written = writer.write(together(exports(1))).await.unwrap();
    assert_eq!(written.added, 0);
    for of in [1, 2] {
        is_whole(&store, of).await;
    }
    let rows = store.call(trace(2), span(1)).await.unwrap().unwrap().row;
    assert!(
        store
            .details_that_fit(&[rows], DetailParts::ALL, |_| Ok::<_, ()>(()))
            .await
            .unwrap()[&rows]
            .is_ok()
    );
}
