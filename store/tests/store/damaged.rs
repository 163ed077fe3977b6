//! Stored rows that cannot be read: they are left out, and everything else goes on.

use std::time::Duration;

use mcptap_model::search::Query;
use mcptap_model::{Batch, Call, CallFilter, Origin, Payload};
use mcptap_store::{Change, ChangeKind, DetailParts, Options, PageRequest, Seq, Store, Unread};
use sea_orm::{ConnectionTrait, Statement};

use crate::feed::read_all;
use crate::filters::indexed;
use crate::support::{Place, batch, full, line, on_both, plain};

on_both!(
    a_damaged_call_refuses_nothing,
    a_call_with_damaged_details_is_not_completed,
    a_damaged_body_ends_neither_index_nor_search,
    damaged_details_are_those_of_one_call,
    a_damaged_line_is_shown_as_far_as_it_can_be_read,
    resources_are_kept_when_calls_are_completed,
);

async fn damage(place: &Place, statement: &str) {
    let other = place.connect().await;
    other.execute_unprepared(statement).await.unwrap();
    other.close().await.unwrap();
}

async fn row(store: &Store, call: &Call) -> Option<i64> {
    let stored = store.call(call.trace_id, call.span_id).await.unwrap();
    stored.map(|stored| stored.row)
}

async fn a_damaged_call_refuses_nothing(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1), plain(2)])).await.unwrap();
    let damaged = row(&store, &plain(1)).await.unwrap();
    damage(
        place,
        &format!("UPDATE calls SET vantage = 77 WHERE id = {damaged}"),
    )
    .await;
    for _ in 0..2 {
        let written = writer
            .write(Batch {
                logs: vec![line(&plain(1), 5, "of the damaged one")],
                ..batch([full(1), plain(3)])
            })
            .await
            .unwrap();
        assert!(written.rejected.is_empty(), "{written:?}");
    }
    // Bodies of the damaged one are not stored for a call that is not there.
    let other = place.connect().await;
    let orphans = "SELECT COUNT(*) FROM details WHERE call NOT IN (SELECT id FROM calls)";
    let orphans = Statement::from_string(other.get_database_backend(), orphans);
    let orphans = other.query_one_raw(orphans).await.unwrap().unwrap();
    assert_eq!(orphans.try_get_by_index::<i64>(0).unwrap(), 0);
    other.close().await.unwrap();
    assert!(row(&store, &plain(3)).await.is_some());
    let page = store
        .calls(&CallFilter::default(), PageRequest::default())
        .await
        .unwrap();
    assert!(
        page.items
            .iter()
            .any(|stored| stored.call.span_id == plain(2).span_id)
    );
    assert!(page.items.iter().all(|stored| stored.row != damaged));
    let changes = store.changes(&CallFilter::default(), Seq(0), 100).await.unwrap();
    assert!(changes.caught_up && changes.items.len() >= 2);
    // One by one, none is missed behind the one that cannot be read.
    let (each, _) = read_all(&store, &CallFilter::default(), Seq(0), 1).await;
    let added = |changes: &[Change]| -> Vec<i64> {
        let added = changes.iter().filter(|change| change.kind == ChangeKind::Added);
        added.map(|change| change.stored.row).collect()
    };
    assert_eq!(added(&each), added(&changes.items));
    assert_eq!(store.metrics().rows_damaged, 1);
}

async fn a_call_with_damaged_details_is_not_completed(place: &Place) {
    let (writer, store) = place.open().await;
    let first = Call {
        stack_trace: Some("at main".to_owned()),
        request: Some(Payload::whole("kept".to_owned())),
        ..plain(1)
    };
    writer.write(batch([first])).await.unwrap();
    let id = row(&store, &plain(1)).await.unwrap();
    // Said to be compressed, and it is not.
    damage(place, "UPDATE details SET flags = 32767").await;
    let answered = Call {
        response: Some(Payload::whole("late".to_owned())),
        ..plain(1)
    };
    let written = writer.write(batch([answered, plain(2)])).await.unwrap();
    assert!(written.rejected.is_empty());
    assert!(row(&store, &plain(2)).await.is_some());
    assert_eq!(store.metrics().rows_damaged, 1);
    // A read of them fails, and they are still there.
    assert!(store.details(&[id]).await.is_err());
    damage(place, "UPDATE details SET flags = 0").await;
    let details = store.details(&[id]).await.unwrap();
    assert_eq!(
        details[&id].request.as_ref().map(|body| body.text.as_str()),
        Some("kept")
    );
    assert!(details[&id].response.is_none());
}

async fn a_damaged_body_ends_neither_index_nor_search(place: &Place) {
    let (writer, store) = place
        .open_with(Options {
            retention: None,
            index_delay: Duration::from_secs(1),
            ..Options::default()
        })
        .await;
    let with = |number, text: &str| Call {
        request: Some(Payload::whole(text.to_owned())),
        ..plain(number)
    };
    writer
        .write(batch([with(1, "lost"), with(2, "elsewhere")]))
        .await
        .unwrap();
    let id = row(&store, &plain(1)).await.unwrap();
    damage(
        place,
        &format!("UPDATE details SET flags = 32767 WHERE call = {id}"),
    )
    .await;
    writer.write(batch([with(3, "afterwards")])).await.unwrap();
    let search = |text: &str| CallFilter {
        search: Some(Query::parse(text)),
        ..CallFilter::default()
    };
    for word in ["elsewhere", "afterwards"] {
        let found = store.count(&search(word), 10).await.unwrap();
        assert_eq!(found.value, 1, "{word}");
    }
    indexed(&store).await;
    for word in ["elsewhere", "afterwards"] {
        let found = store.count(&search(word), 10).await.unwrap();
        assert_eq!(found.value, 1, "{word}");
    }
    assert_eq!(store.metrics().rows_damaged, 1);
}

async fn damaged_details_are_those_of_one_call(place: &Place) {
    let (writer, store) = place.open().await;
    let with = |number: u64| Call {
        request: Some(Payload::whole(format!("request {number}"))),
        attributes: serde_json::Map::from_iter([("n".to_owned(), number.into())]),
        ..plain(number)
    };
    writer.write(batch((1..=3).map(with))).await.unwrap();
    let mut rows = Vec::new();
    for number in 1..=3 {
        rows.push(row(&store, &plain(number)).await.unwrap());
    }
    // A text that is no compressed one, and attributes that are no object.
    let one = format!("UPDATE details SET flags = 32767 WHERE call = {}", rows[0]);
    let other = if place.file().is_some() {
        format!("UPDATE details SET attributes = x'5b' WHERE call = {}", rows[1])
    } else {
        format!("UPDATE details SET attributes = '\\x5b' WHERE call = {}", rows[1])
    };
    damage(place, &one).await;
    damage(place, &other).await;
    let found = store
        .details_that_fit(&rows, DetailParts::ALL, |_| Ok::<_, ()>(()))
        .await
        .unwrap();
    for (number, row) in rows.iter().enumerate() {
        match &found[row] {
            Ok(details) => assert_eq!((number, details.attributes["n"].as_u64()), (2, Some(3))),
            Err(unread) => {
                assert!(number < 2 && matches!(unread, Unread::Damaged(_)), "{unread:?}");
            }
        }
    }
    assert_eq!(store.metrics().rows_damaged, 2);
    assert!(store.details(&rows).await.is_err());
}

async fn a_damaged_line_is_shown_as_far_as_it_can_be_read(place: &Place) {
    let (writer, store) = place.open().await;
    let sent = Batch {
        logs: vec![
            line(&plain(1), 1, "one"),
            line(&plain(2), 2, "two"),
            line(&plain(3), 3, "three"),
        ],
        ..batch([plain(1), plain(2), plain(3)])
    };
    writer.write(sent).await.unwrap();
    let mut rows = Vec::new();
    for number in 1..=3 {
        rows.push(row(&store, &plain(number)).await.unwrap());
    }
    let bytes = |hex: &str| {
        if place.file().is_some() {
            format!("x'{hex}'")
        } else {
            format!("'\\x{hex}'")
        }
    };
    let no_text = format!(
        "UPDATE log_lines SET body = {} WHERE call = {}",
        bytes("ff6f"),
        rows[0]
    );
    let no_object = format!(
        "UPDATE log_lines SET attributes = {} WHERE call = {}",
        bytes("5b"),
        rows[1]
    );
    damage(place, &no_text).await;
    damage(place, &no_object).await;
    let logs = store.logs(&rows, PageRequest::default()).await.unwrap();
    let lines: Vec<(&str, bool)> = rows
        .iter()
        .map(|row| {
            let line = &logs[row].items[0].1;
            (line.body.as_str(), line.attributes.is_empty())
        })
        .collect();
    assert_eq!(lines, [("\u{fffd}o", false), ("two", true), ("three", false)]);
    assert_eq!(store.metrics().rows_damaged, 2);
}

/// Folding reads origins without their resources. A call that is completed keeps its own.
async fn resources_are_kept_when_calls_are_completed(place: &Place) {
    let (writer, store) = place.open().await;
    let origin = Origin {
        resource: [("host.name".to_owned(), "one".into())].into_iter().collect(),
        ..Origin::clone(&plain(1).origin)
    };
    let first = Call {
        origin: origin.into(),
        ..plain(1)
    };
    writer.write(batch([first.clone()])).await.unwrap();
    drop((writer, store));
    // Nothing is in a cache now.
    let (writer, store) = place.open().await;
    let answered = Call {
        response: Some(Payload::whole("late".to_owned())),
        ..first.clone()
    };
    let written = writer.write(batch([answered])).await.unwrap();
    assert_eq!(written.completed, 1);
    let id = row(&store, &first).await.unwrap();
    let details = store.details(&[id]).await.unwrap();
    assert_eq!(details[&id].attributes["resource"]["host.name"], "one");
    assert!(details[&id].response.is_some());
    let other = place.connect().await;
    let origins = "SELECT COUNT(*) FROM origins";
    let statement = sea_orm::Statement::from_string(other.get_database_backend(), origins);
    let counted = other.query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(counted.try_get_by_index::<i64>(0).unwrap(), 1);
}
