//! One call and pages of calls.

use std::collections::HashSet;

use mcptap_model::{Batch, Call, CallFilter, LogLine, Outcome, SpanId, UnixNanos};
use mcptap_store::{CallPosition, FeedStart, LogPosition, Options, PageRequest, Seq, Store};
use serde_json::Map;

use crate::support::{NOON, Place, batch, full, line, listed, on_both, plain, span, trace};

on_both!(
    every_field_comes_back,
    bodies_are_cut_at_the_cap,
    log_lines_come_in_pages,
    pages_of_lines_with_large_attributes_lead_to_the_last_line,
    pages_of_lines_are_weighed_before_they_are_read,
    pages_tile_in_both_directions,
    pages_do_not_move_while_rows_are_added,
    equal_times_are_ordered_by_row,
    a_page_says_where_the_feed_goes_on,
    behind_many_calls_the_feed_misses_none,
    counting_stops_at_the_cap,
    some_names_are_unknown,
);

async fn every_field_comes_back(place: &Place) {
    let (writer, store) = place.open().await;
    for (number, call) in [(1, full(1)), (2, plain(2))] {
        let written = writer.write(batch([call.clone()])).await.unwrap();
        assert_eq!((written.added, written.completed), (1, 0));
        let stored = store.call(trace(number), span(number)).await.unwrap().unwrap();
        assert_eq!(*stored.call, listed(call.clone()));
        assert_eq!(stored.call.outcome(), call.outcome());

        let mut details = store
            .details(&[stored.row])
            .await
            .unwrap()
            .remove(&stored.row)
            .unwrap();
        assert_eq!(details.request, call.request);
        assert_eq!(details.response, call.response);
        assert_eq!(details.stack_trace, call.stack_trace);
        assert_eq!(
            details.attributes.remove("resource"),
            Some(call.origin.resource.clone().into())
        );
        if number == 1 {
            assert_eq!(details.attributes.remove("otel.scope.name"), Some("mcp".into()));
            assert_eq!(
                details.attributes.remove("otel.scope.version"),
                Some("1.2".into())
            );
        }
        assert_eq!(details.attributes, call.attributes);
    }
    assert_eq!(store.call(trace(1), span(99)).await.unwrap(), None);
    assert_eq!(store.call(trace(99), span(1)).await.unwrap(), None);
    assert!(store.details(&[12345]).await.unwrap().is_empty());
    store.ready().await.unwrap();
}

async fn bodies_are_cut_at_the_cap(place: &Place) {
    let options = mcptap_store::Options {
        body_cap: 10,
        retention: None,
        ..Default::default()
    };
    let (writer, store) = place.open_with(options).await;
    let mut call = plain(1);
    call.request = Some(mcptap_model::Payload::whole("123456789ß and more".into()));
    call.response = Some(mcptap_model::Payload::whole("1234567890".into()));
    writer.write(batch([call])).await.unwrap();
    let row = store.call(trace(1), span(1)).await.unwrap().unwrap().row;
    let details = store.details(&[row]).await.unwrap().remove(&row).unwrap();
    let (request, response) = (details.request.unwrap(), details.response.unwrap());
    assert_eq!(
        (request.text.as_str(), request.bytes, request.truncated),
        ("123456789", 20, true)
    );
    assert_eq!(
        (response.text.as_str(), response.bytes, response.truncated),
        ("1234567890", 10, false)
    );
}

async fn log_lines_come_in_pages(place: &Place) {
    let (writer, store) = place.open().await;
    let (one, other) = (plain(1), plain(2));
    let lines: Vec<LogLine> = (0..7)
        .map(|number| line(&one, number / 2, &format!("line {number}")))
        .collect();
    let logs = lines
        .iter()
        .cloned()
        .chain([line(&other, 0, "only")])
        .collect::<Vec<_>>();
    // The same lines twice are there once.
    let both = Batch {
        logs: logs.iter().cloned().chain(logs.iter().cloned()).collect(),
        ..batch([one, other])
    };
    writer.write(both).await.unwrap();
    writer
        .write(Batch {
            logs,
            ..Batch::default()
        })
        .await
        .unwrap();
    let one = store.call(trace(1), span(1)).await.unwrap().unwrap().row;
    let other = store.call(trace(2), span(2)).await.unwrap().unwrap().row;

    let page = PageRequest {
        first: Some(3),
        ..PageRequest::default()
    };
    let both = store.logs(&[one, other, 999], page).await.unwrap();
    assert_eq!(both[&other].items.len(), 1);
    assert!(both[&999].items.is_empty());
    let mut read = Vec::new();
    let mut after: Option<LogPosition> = None;
    loop {
        let page = store
            .logs(
                &[one],
                PageRequest {
                    first: Some(3),
                    after,
                    ..PageRequest::default()
                },
            )
            .await
            .unwrap();
        let page = &page[&one];
        assert_eq!(page.has_previous, after.is_some());
        after = page.items.last().map(|(position, _)| *position);
        read.extend(page.items.iter().map(|(_, line)| line.clone()));
        if !page.has_next {
            break;
        }
    }
    assert_eq!(read.len(), 7);
    assert!(read.is_sorted_by_key(|line| line.time));
    let bodies = |lines: &[LogLine]| lines.iter().map(|line| line.body.clone()).collect::<HashSet<_>>();
    assert_eq!(bodies(&read), bodies(&lines));
    assert!(read.iter().all(|line| lines.contains(line)));
    let last = store
        .logs(
            &[one],
            PageRequest {
                last: Some(2),
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(
        last[&one]
            .items
            .iter()
            .map(|(_, line)| line.clone())
            .collect::<Vec<_>>(),
        read[5..]
    );
    assert!(last[&one].has_previous && !last[&one].has_next);
}

/// A page that does not fit is refused by its weight.
async fn pages_of_lines_are_weighed_before_they_are_read(place: &Place) {
    let (writer, store) = place.open().await;
    let mut rows = Vec::new();
    for number in 1..=3 {
        let call = plain(number);
        let lines = (0..5).map(|at| line(&call, at, &"x".repeat(1_000 * number as usize)));
        let sent = Batch {
            logs: lines.collect(),
            ..batch([call.clone()])
        };
        writer.write(sent).await.unwrap();
        rows.push(
            store
                .call(trace(number), span(number))
                .await
                .unwrap()
                .unwrap()
                .row,
        );
    }
    rows.push(999);
    let page = PageRequest {
        first: Some(3),
        ..PageRequest::default()
    };
    let mut weighed = Vec::new();
    let fits = |bytes| {
        weighed.push(bytes);
        if bytes > 11_000 { Err(bytes) } else { Ok(()) }
    };
    let found = store.logs_that_fit(&rows, page, fits).await.unwrap();
    // The lines of a page, and the one that tells that there are more.
    for (weight, least) in weighed.iter().zip([4_000, 8_000, 12_000]) {
        assert!((least..least + 2_000).contains(weight), "{weighed:?}");
    }
    assert_eq!((weighed.len(), found.len()), (3, 4));
    let lines = |row| found[&row].as_ref().map(|page| page.items.len());
    assert_eq!(
        [lines(rows[0]), lines(rows[1]), lines(rows[2]), lines(999)],
        [Ok(3), Ok(3), Err(&weighed[2]), Ok(0)]
    );
}

/// A page ends where its lines have so many bytes, whatever has them, and then says that there are more.
async fn pages_of_lines_with_large_attributes_lead_to_the_last_line(place: &Place) {
    let (writer, store) = place.open().await;
    let call = plain(1);
    let attributes = Map::from_iter([("exception.stacktrace".to_owned(), "x".repeat(16 << 10).into())]);
    let lines = (0..300).map(|number| LogLine {
        attributes: attributes.clone(),
        ..line(&call, number, "short")
    });
    let sent = Batch {
        logs: lines.collect(),
        ..batch([call.clone()])
    };
    writer.write(sent).await.unwrap();
    let row = store.call(trace(1), span(1)).await.unwrap().unwrap().row;
    for forward in [true, false] {
        let (mut read, mut pages, mut from) = (0, 0, None);
        loop {
            let page = PageRequest {
                first: forward.then_some(500),
                last: (!forward).then_some(500),
                after: from.filter(|_| forward),
                before: from.filter(|_| !forward),
            };
            let mut found = store.logs(&[row], page).await.unwrap();
            let page = found.remove(&row).unwrap();
            (read, pages) = (read + page.items.len(), pages + 1);
            let ends = [page.items.first(), page.items.last()].map(|end| end.map(|(position, _)| *position));
            from = ends[usize::from(forward)];
            let more = if forward { page.has_next } else { page.has_previous };
            if !more {
                break;
            }
        }
        assert_eq!((read, pages), (300, 2), "forward: {forward}");
    }
}

/// All pages of `size`, from one end to the other.
async fn walk(store: &Store, filter: &CallFilter, size: usize, backward: bool) -> Vec<i64> {
    let mut rows = Vec::new();
    let mut from: Option<CallPosition> = None;
    loop {
        let page = if backward {
            PageRequest {
                last: Some(size),
                before: from,
                ..PageRequest::default()
            }
        } else {
            PageRequest {
                first: Some(size),
                after: from,
                ..PageRequest::default()
            }
        };
        let page = store.calls(filter, page).await.unwrap();
        assert!(page.items.len() <= size);
        let (ahead, behind) = if backward {
            (page.has_previous, page.has_next)
        } else {
            (page.has_next, page.has_previous)
        };
        assert_eq!(behind, from.is_some());
        let read = page.items.iter().map(|stored| stored.row);
        if backward {
            rows.splice(0..0, read);
            from = page.items.first().map(|stored| stored.position());
        } else {
            rows.extend(read);
            from = page.items.last().map(|stored| stored.position());
        }
        if !ahead {
            return rows;
        }
    }
}

async fn pages_tile_in_both_directions(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=23).map(plain))).await.unwrap();
    let all = CallFilter::default();
    let whole: Vec<i64> = store
        .calls(&all, PageRequest::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(|s| s.row)
        .collect();
    assert_eq!(whole.len(), 23);
    for size in [1, 5, 22, 23, 24] {
        assert_eq!(walk(&store, &all, size, false).await, whole, "{size}");
        assert_eq!(walk(&store, &all, size, true).await, whole, "{size}");
    }
    let searched = CallFilter {
        search: Some(mcptap_model::search::Query::parse("lookup")),
        ..CallFilter::default()
    };
    assert_eq!(walk(&store, &searched, 4, false).await, whole);
    let empty = CallFilter {
        servers: vec!["nobody".into()],
        ..CallFilter::default()
    };
    assert!(walk(&store, &empty, 4, false).await.is_empty());
    // Between two positions.
    let page = store.calls(&all, PageRequest::default()).await.unwrap();
    let (after, before) = (page.items[3].position(), page.items[9].position());
    for (first, last) in [
        (Some(3), None),
        (None, Some(3)),
        (Some(5), None),
        (None, Some(50)),
    ] {
        let between = PageRequest {
            first,
            last,
            after: Some(after),
            before: Some(before),
        };
        let between = store.calls(&all, between).await.unwrap();
        assert!(between.has_next && between.has_previous);
        let expected = if let Some(first) = first {
            &whole[4..4 + first]
        } else {
            &whole[9 - last.unwrap().min(5)..9]
        };
        assert_eq!(
            between.items.iter().map(|stored| stored.row).collect::<Vec<_>>(),
            expected
        );
    }
}

async fn pages_do_not_move_while_rows_are_added(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=10).map(plain))).await.unwrap();
    let all = CallFilter::default();
    let first = store
        .calls(
            &all,
            PageRequest {
                first: Some(4),
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    writer.write(batch((11..=20).map(plain))).await.unwrap();
    let after = first.items.last().map(|stored| stored.position());
    let second = store
        .calls(
            &all,
            PageRequest {
                first: Some(6),
                after,
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    let spans: Vec<_> = first
        .items
        .iter()
        .chain(&second.items)
        .map(|stored| stored.call.span_id)
        .collect();
    assert_eq!(spans, (1..=10).rev().map(span).collect::<Vec<_>>());
    assert!(!second.has_next && second.has_previous);
    let before = first.items.first().map(|stored| stored.position());
    let newer = store
        .calls(
            &all,
            PageRequest {
                last: Some(3),
                before,
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(
        newer.items.iter().map(|s| s.call.span_id).collect::<Vec<_>>(),
        [span(13), span(12), span(11)]
    );
}

async fn equal_times_are_ordered_by_row(place: &Place) {
    let (writer, store) = place.open().await;
    writer
        .write(batch((1..=9).map(|number| mcptap_model::Call {
            started_at: plain(1).started_at,
            ..plain(number)
        })))
        .await
        .unwrap();
    let rows = walk(&store, &CallFilter::default(), 2, false).await;
    assert_eq!(rows, (1..=9).rev().collect::<Vec<_>>());
    assert_eq!(walk(&store, &CallFilter::default(), 2, true).await, rows);
}

async fn a_page_says_where_the_feed_goes_on(place: &Place) {
    let (writer, store) = place.open().await;
    let all = CallFilter::default();
    assert_eq!(
        store.calls(&all, PageRequest::default()).await.unwrap().live,
        FeedStart::After(Seq(0))
    );
    // Stored in another order than they began.
    for number in [5, 1, 4, 2, 3, 6] {
        writer.write(batch([plain(number)])).await.unwrap();
    }
    let newest = store
        .calls(
            &all,
            PageRequest {
                first: Some(2),
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!((newest.live, store.head()), (FeedStart::After(Seq(6)), Seq(6)));
    let after = newest.items.last().map(|stored| stored.position());
    let middle = store
        .calls(
            &all,
            PageRequest {
                first: Some(2),
                after,
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(
        middle.items.iter().map(|s| s.call.span_id).collect::<Vec<_>>(),
        [span(4), span(3)]
    );
    // Newer than this page are 5 (the first stored) and 6.
    let start = store.feed_start(middle.live).await.unwrap();
    assert_eq!(start, Seq(0));
    let feed = store.changes(&all, start, 500).await.unwrap();
    assert!(
        [5, 6]
            .iter()
            .all(|number| feed.items.iter().any(|c| c.stored.call.span_id == span(*number)))
    );
    let oldest = store
        .calls(
            &all,
            PageRequest {
                last: Some(2),
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(oldest.live, FeedStart::After(Seq(0)));
}

/// Many calls are newer, and some of them came long before others that are older.
async fn behind_many_calls_the_feed_misses_none(place: &Place) {
    let (writer, store) = place
        .open_with(Options {
            retention: None,
            ..Options::default()
        })
        .await;
    const MINUTE: i64 = 60_000_000_000;
    let received = |number: u64| UnixNanos(NOON + number as i64 * MINUTE);
    let call = |number: u64| {
        // Every hundredth sender's clock is almost a day ahead; others send late.
        let ahead = if number.is_multiple_of(100) {
            1_400
        } else {
            -((number % 7) as i64) * 100
        };
        Call {
            started_at: UnixNanos(received(number).0 + ahead * MINUTE),
            received_at: received(number),
            ..plain(number)
        }
    };
    for some in (1..=9_000u64).collect::<Vec<_>>().chunks(1_000) {
        writer
            .write(batch(some.iter().map(|number| call(*number))))
            .await
            .unwrap();
    }
    let all = CallFilter::default();
    for minute in [1_000, 3_000, 5_000, 8_500] {
        let after = CallPosition {
            started_at: received(minute),
            row: i64::MAX,
        };
        let page = PageRequest {
            first: Some(5),
            after: Some(after),
            ..PageRequest::default()
        };
        let page = store.calls(&all, page).await.unwrap();
        let start = store.feed_start(page.live).await.unwrap();
        let first = page.items[0].call.started_at;
        let newer = (1..=9_000).map(call).filter(|call| call.started_at > first);
        let spans: HashSet<SpanId> = newer.map(|call| call.span_id).collect();
        let (feed, _) = crate::feed::read_all(&store, &all, start, 500).await;
        let heard: HashSet<SpanId> = feed.iter().map(|change| change.stored.call.span_id).collect();
        assert!(spans.is_subset(&heard), "from minute {minute}");
        // Not much more than a day before them.
        assert!(start.0 >= minute as i64 - 1_600, "{start:?} from minute {minute}");
    }
}

async fn counting_stops_at_the_cap(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=10).map(plain))).await.unwrap();
    let searched = CallFilter {
        search: Some(mcptap_model::search::Query::parse("lookup")),
        ..CallFilter::default()
    };
    for filter in [CallFilter::default(), searched] {
        for (cap, value, exact) in [(100, 10, true), (10, 10, true), (9, 9, false), (0, 0, false)] {
            let count = store.count(&filter, cap).await.unwrap();
            assert_eq!((count.value, count.exact), (value, exact), "{cap}");
        }
    }
    let errors = CallFilter {
        outcomes: vec![Outcome::ToolError],
        ..CallFilter::default()
    };
    assert_eq!(
        store.count(&errors, 0).await.unwrap(),
        mcptap_model::Count {
            value: 0,
            exact: true
        }
    );
}

/// Names that are not there, and several at once, are answered without an error on either database.
async fn some_names_are_unknown(place: &Place) {
    let (writer, store) = place.open().await;
    writer
        .write(batch((1..=3).map(full).chain((4..=6).map(plain))))
        .await
        .unwrap();
    let filter = CallFilter {
        servers: vec!["shop".into(), "nobody".into()],
        from: Some(plain(4).started_at),
        to: Some(plain(6).started_at),
        ..CallFilter::default()
    };
    let page = store.calls(&filter, PageRequest::default()).await.unwrap();
    assert_eq!(
        page.items.iter().map(|s| s.call.span_id).collect::<Vec<_>>(),
        [span(5), span(4)]
    );
}
