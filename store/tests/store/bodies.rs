//! Bodies of stored calls: what completes a call carries them along as they are.

use std::sync::Arc;

use mcptap_model::{Batch, Call, HttpSpan, Origin, Payload, SpanKind, Vantage};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

use crate::support::{Place, batch, on_both, plain, span, trace};

on_both!(bodies_of_a_completed_call_are_not_looked_into);

/// Bodies that nobody can decompress show that nobody tries.
async fn bodies_of_a_completed_call_are_not_looked_into(place: &Place) {
    let (writer, store) = place.open().await;
    let long = |text: &str| Some(Payload::whole(text.repeat(1000)));
    let server = Call {
        parent_span_id: Some(span(5)),
        request: long("what was asked "),
        attributes: serde_json::Map::from_iter([("a".to_owned(), 1.into())]),
        ..plain(1)
    };
    writer.write(batch([server.clone()])).await.unwrap();
    let row = store.call(trace(1), span(1)).await.unwrap().unwrap().row;

    let db = Database::connect(place.url.as_str()).await.unwrap();
    let unreadable = match db.get_database_backend() {
        DbBackend::Postgres => "'\\x01020304'",
        _ => "X'01020304'",
    };
    let change = format!("UPDATE details SET request = {unreadable}");
    assert_eq!(db.execute_unprepared(&change).await.unwrap().rows_affected(), 1);
    let select = Statement::from_string(db.get_database_backend(), "SELECT request, response FROM details");
    let request = async || {
        let found = db.query_one_raw(select.clone()).await.unwrap().unwrap();
        let request: Vec<u8> = found.try_get_by_index(0).unwrap();
        let response: Option<Vec<u8>> = found.try_get_by_index(1).unwrap();
        (request, response.is_some())
    };

    let status = HttpSpan {
        trace_id: trace(1),
        span_id: span(9),
        parent_span_id: None,
        kind: SpanKind::Server,
        origin: Arc::clone(&server.origin),
        started_at: server.started_at,
        ended_at: server.ended_at(),
        http_status: Some(202),
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        session_id: None,
        protocol_version: None,
    };
    let status = Batch {
        https: vec![status],
        ..Batch::default()
    };
    assert_eq!(writer.write(status).await.unwrap().completed, 1);
    assert_eq!(store.metrics().details_read, 0);
    assert_eq!(request().await, (vec![1, 2, 3, 4], false));

    let client = Call {
        trace_id: trace(1),
        span_id: span(5),
        primary_span_id: span(5),
        parent_span_id: None,
        kind: SpanKind::Client,
        vantage: Vantage::Client,
        origin: Arc::new(Origin {
            service: Some("agent".into()),
            ..Origin::default()
        }),
        request: None,
        response: long("what was answered "),
        ..server
    };
    assert_eq!(writer.write(batch([client.clone()])).await.unwrap().completed, 1);
    assert_eq!(store.metrics().details_read, 1);
    assert_eq!(request().await, (vec![1, 2, 3, 4], true));
    // Whoever asks for the body is told.
    assert!(store.details(&[row]).await.is_err());
    // The same again changes nothing.
    assert_eq!(writer.write(batch([client])).await.unwrap().completed, 0);
    db.close().await.unwrap();
}
