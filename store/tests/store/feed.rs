//! The feed: every change once, in order of commit, through restarts.

use std::collections::HashMap;

use mcptap_model::{Batch, Call, CallFilter, Evidence, Outcome};
use mcptap_store::{Change, ChangeKind, Seq, Store};

use crate::support::{Place, batch, full, line, on_both, plain, span, trace};

on_both!(
    the_same_batch_twice_changes_nothing,
    a_completed_call_comes_again_as_updated,
    a_call_comes_once_also_when_completed_before_it_is_read,
    nothing_is_lost_or_doubled_through_a_restart,
    a_filter_that_matches_nothing_still_moves_on,
    many_writers_and_a_reader,
);

pub(crate) async fn read_all(
    store: &Store,
    filter: &CallFilter,
    mut after: Seq,
    limit: usize,
) -> (Vec<Change>, Seq) {
    let mut all = Vec::new();
    loop {
        let part = store.changes(filter, after, limit).await.unwrap();
        assert!(part.items.len() <= limit);
        assert!(
            part.items
                .iter()
                .all(|change| change.seq > after && change.seq <= part.upto)
        );
        all.extend(part.items);
        after = part.upto;
        if part.caught_up {
            return (all, after);
        }
    }
}

/// A first view of the call, to be completed by [`full`].
fn sparse(number: u64) -> Call {
    Call {
        request: None,
        evidence: Evidence::default(),
        rpc_error_code: None,
        client_name: None,
        ..full(number)
    }
}

async fn the_same_batch_twice_changes_nothing(place: &Place) {
    let (writer, store) = place.open().await;
    let calls = || batch((1..=20).map(full).chain((21..=40).map(plain)));
    let with_logs = || Batch {
        logs: vec![line(&full(1), 1, "hello"), line(&plain(99), 1, "of nobody")],
        ..calls()
    };
    let first = writer.write(with_logs()).await.unwrap();
    assert_eq!((first.added, first.completed), (40, 0));
    let (before, head) = read_all(&store, &CallFilter::default(), Seq(0), 7).await;
    assert_eq!(before.len(), 40);
    for _ in 0..2 {
        let again = writer.write(with_logs()).await.unwrap();
        assert_eq!((again.added, again.completed), (0, 0));
    }
    let (nothing, _) = read_all(&store, &CallFilter::default(), head, 7).await;
    assert_eq!(nothing, []);
    let (after, _) = read_all(&store, &CallFilter::default(), Seq(0), 500).await;
    assert_eq!(after, before);
    // Twice in one batch, too.
    let mut twice = batch([plain(50)]);
    twice.observations.extend(batch([plain(50)]).observations);
    assert_eq!(writer.write(twice).await.unwrap().added, 1);
}

async fn a_completed_call_comes_again_as_updated(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([sparse(1), plain(2)])).await.unwrap();
    let (_, head) = read_all(&store, &CallFilter::default(), Seq(0), 500).await;
    let errors = CallFilter {
        outcomes: vec![Outcome::ToolError],
        ..CallFilter::default()
    };
    assert_eq!(read_all(&store, &errors, Seq(0), 500).await.0, []);

    let written = writer.write(batch([full(1)])).await.unwrap();
    assert_eq!((written.added, written.completed), (0, 1));
    for filter in [CallFilter::default(), errors] {
        let (changes, upto) = read_all(&store, &filter, head, 500).await;
        assert_eq!(changes.len(), 1);
        assert_eq!(
            (changes[0].kind, changes[0].seq, upto),
            (ChangeKind::Updated, Seq(3), Seq(3))
        );
        assert_eq!(changes[0].stored.row, 1);
        assert_eq!(changes[0].stored.call.outcome(), Outcome::ToolError);
        assert_eq!(changes[0].stored.call.client_name.as_deref(), Some("cursor"));
    }
    let row = store.call(trace(1), span(1)).await.unwrap().unwrap().row;
    let details = store.details(&[row]).await.unwrap().remove(&row).unwrap();
    assert_eq!(details.request, full(1).request);
    assert_eq!(details.response, full(1).response);
}

async fn a_call_comes_once_also_when_completed_before_it_is_read(place: &Place) {
    let (writer, store) = place.open().await;
    writer
        .write(batch([sparse(1), sparse(2), plain(3)]))
        .await
        .unwrap();
    writer.write(batch([full(1), full(2)])).await.unwrap();
    let (changes, upto) = read_all(&store, &CallFilter::default(), Seq(0), 500).await;
    let seen: Vec<_> = changes.iter().map(|change| (change.seq.0, change.kind)).collect();
    assert_eq!(
        seen,
        [
            (1, ChangeKind::Added),
            (2, ChangeKind::Added),
            (3, ChangeKind::Added)
        ]
    );
    assert_eq!(upto, Seq(5));
    // Read in small pieces, each change is there, in order.
    let (changes, _) = read_all(&store, &CallFilter::default(), Seq(0), 1).await;
    assert!(changes.is_sorted_by_key(|change| change.seq));
    for number in [1, 2, 3] {
        let of: Vec<_> = changes
            .iter()
            .filter(|change| change.stored.call.span_id == span(number))
            .collect();
        assert_eq!(
            of.iter()
                .filter(|change| change.kind == ChangeKind::Added)
                .count(),
            1
        );
        assert_eq!(of[0].kind, ChangeKind::Added);
    }
}

async fn nothing_is_lost_or_doubled_through_a_restart(place: &Place) {
    let mut cursor = Seq(0);
    let mut seen: HashMap<_, usize> = HashMap::new();
    for round in 0..3 {
        let (writer, store) = place.open().await;
        assert!(store.head() >= cursor);
        for number in round * 30 + 1..=round * 30 + 30 {
            writer.write(batch([plain(number)])).await.unwrap();
        }
        // Left in the middle.
        let part = store.changes(&CallFilter::default(), cursor, 17).await.unwrap();
        part.items
            .iter()
            .for_each(|change| *seen.entry(change.stored.call.span_id).or_default() += 1);
        cursor = part.upto;
        drop(writer);
        store.close().await;
        assert!(store.ready().await.is_err());
    }
    let (_writer, store) = place.open().await;
    let (rest, _) = read_all(&store, &CallFilter::default(), cursor, 10).await;
    rest.iter()
        .for_each(|change| *seen.entry(change.stored.call.span_id).or_default() += 1);
    assert_eq!(seen.len(), 90);
    assert!(seen.values().all(|times| *times == 1));
}

async fn a_filter_that_matches_nothing_still_moves_on(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=30).map(plain))).await.unwrap();
    for filter in [
        CallFilter {
            tools: vec!["nothing".into()],
            ..CallFilter::default()
        },
        CallFilter {
            search: Some(mcptap_model::search::Query::parse("nothing")),
            ..CallFilter::default()
        },
    ] {
        let read = store.changes(&filter, Seq(0), 10).await.unwrap();
        assert_eq!((read.items.len(), read.upto, read.caught_up), (0, Seq(30), true));
    }
    let beyond = store.changes(&CallFilter::default(), Seq(30), 10).await.unwrap();
    assert_eq!(
        (beyond.items.len(), beyond.upto, beyond.caught_up),
        (0, Seq(30), true)
    );
}

async fn many_writers_and_a_reader(place: &Place) {
    let (writer, store) = place.open().await;
    let tasks: Vec<_> = (0..4u64)
        .map(|task| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for part in 0..20u64 {
                    let first = task * 1000 + part * 10 + 1;
                    writer.write(batch((first..first + 10).map(plain))).await.unwrap();
                }
            })
        })
        .collect();
    let mut seen: HashMap<_, usize> = HashMap::new();
    let mut cursor = Seq(0);
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while seen.len() < 800 {
        assert!(tokio::time::Instant::now() < patience, "{}", seen.len());
        let part = store.changes(&CallFilter::default(), cursor, 33).await.unwrap();
        part.items
            .iter()
            .for_each(|change| *seen.entry(change.stored.call.span_id).or_default() += 1);
        cursor = part.upto;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(seen.values().all(|times| *times == 1));
    assert!(
        read_all(&store, &CallFilter::default(), cursor, 100)
            .await
            .0
            .is_empty()
    );
}
