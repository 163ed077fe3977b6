//! Following the feed: each change once and in order, whoever wrote it, however slowly it is read, whatever happens in
//! between.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;
use std::time::Duration;

use mcptap_model::{Call, CallFilter, Evidence, Outcome, UnixNanos};
use mcptap_store::{Actor, Change, ChangeKind, Error, Follower, Options, PageRequest, Seq, Store, Writer};
use sea_orm::{ConnectionTrait, Database};

use crate::feed::read_all;
use crate::support::{NOON, Place, Random, SECOND, batch, full, line, on_both, plain, span};

on_both!(
    history_is_followed_by_what_comes,
    what_was_written_last_is_heard_before_the_end,
    a_position_ahead_of_the_database_is_refused,
    whoever_is_behind_the_window_is_served_from_the_database,
    two_writers_that_hold_each_other_up,
    more_than_is_worth_reading_comes_from_the_database,
    what_is_erased_is_gone_from_memory,
    what_another_process_deletes_is_not_served_from_memory,
    calls_that_another_process_joined_are_one_in_memory_too,
    a_feed_outlives_a_moment_without_a_database,
    who_leaves_while_a_question_begins_harms_nobody,
    many_who_search_are_served_from_memory,
    lines_that_come_later_are_searched_too,
    whatever_happens,
);

const PATIENCE: Duration = Duration::from_secs(60);

async fn next(follower: &mut Follower, limit: usize) -> Option<(Vec<Change>, Seq, bool)> {
    let part = tokio::time::timeout(PATIENCE, follower.next(limit))
        .await
        .expect("an answer in time")
        .unwrap()?;
    assert!(part.items.len() <= limit);
    Some((part.items, part.upto, part.caught_up))
}

/// What a follower gets until it has caught up, and where it stands then.
pub(crate) async fn history(
    store: &Store,
    filter: &CallFilter,
    after: Seq,
    limit: usize,
) -> (Vec<Change>, Seq) {
    let mut follower = store.follow(filter.clone(), Some(after)).await.unwrap();
    let mut all = Vec::new();
    loop {
        let (items, upto, caught_up) = next(&mut follower, limit).await.unwrap();
        all.extend(items);
        if caught_up {
            return (all, upto);
        }
    }
}

fn searching(text: &str) -> CallFilter {
    CallFilter {
        search: Some(mcptap_model::search::Query::parse(text)),
        ..CallFilter::default()
    }
}

fn saying(number: u64, text: &str) -> Call {
    Call {
        response: Some(mcptap_model::Payload::whole(text.to_owned())),
        ..plain(number)
    }
}

/// However many follow with searches, each of its own, a new call is read once.
async fn many_who_search_are_served_from_memory(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1)])).await.unwrap();
    let mut followers = Vec::new();
    for number in 0..60u64 {
        let filter = searching(&format!("\"one two word{number}\""));
        let mut follower = store.follow(filter, None).await.unwrap();
        assert!(next(&mut follower, 10).await.unwrap().2);
        followers.push(follower);
    }
    let reads = store.metrics().catch_up_reads;
    for round in 0..3u64 {
        let calls = (0..60).map(|number| saying(100 + 60 * round + number, &format!("one two word{number}")));
        writer.write(batch(calls)).await.unwrap();
        for (number, follower) in (0..).zip(&mut followers) {
            let (changes, _, _) = next(follower, 10).await.unwrap();
            let heard: Vec<_> = changes.iter().map(|change| change.stored.call.span_id).collect();
            assert_eq!(heard, [span(100 + 60 * round + number)]);
        }
    }
    assert_eq!(store.metrics().catch_up_reads, reads);
}

async fn lines_that_come_later_are_searched_too(place: &Place) {
    let (writer, store) = place.open().await;
    let mut watching = store.follow(searching("beta"), None).await.unwrap();
    assert!(next(&mut watching, 10).await.unwrap().2);
    writer.write(batch([plain(1)])).await.unwrap();
    writer.write(batch([saying(2, "beta")])).await.unwrap();
    assert_eq!(seqs(&next(&mut watching, 10).await.unwrap().0).len(), 1);
    let late = mcptap_model::Batch {
        logs: vec![line(&plain(1), 1, "beta at last")],
        ..mcptap_model::Batch::default()
    };
    writer.write(late).await.unwrap();
    let (read, _) = read_all(&store, &searching("beta"), Seq(0), 10).await;
    let (followed, _) = history(&store, &searching("beta"), Seq(0), 10).await;
    assert_eq!(read.len(), 2);
    assert_eq!(followed, read);
}

fn seqs(changes: &[Change]) -> Vec<i64> {
    changes.iter().map(|change| change.seq.0).collect()
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

async fn history_is_followed_by_what_comes(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=5).map(plain))).await.unwrap();
    let mut from_start = store.follow(CallFilter::default(), Some(Seq(0))).await.unwrap();
    let mut from_now = store.follow(CallFilter::default(), None).await.unwrap();
    let (items, upto, caught_up) = next(&mut from_start, 3).await.unwrap();
    assert_eq!((seqs(&items), upto, caught_up), (vec![1, 2, 3], Seq(3), false));
    let (items, upto, caught_up) = next(&mut from_start, 3).await.unwrap();
    assert_eq!((seqs(&items), upto, caught_up), (vec![4, 5], Seq(5), true));
    let (items, upto, caught_up) = next(&mut from_now, 3).await.unwrap();
    assert_eq!((seqs(&items), upto, caught_up), (vec![], Seq(5), true));

    let failed = CallFilter {
        outcomes: vec![Outcome::ToolError],
        ..CallFilter::default()
    };
    let mut failures = store.follow(failed, None).await.unwrap();
    assert!(next(&mut failures, 3).await.unwrap().0.is_empty());
    writer.write(batch([sparse(6), plain(7)])).await.unwrap();
    writer.write(batch([full(6)])).await.unwrap();
    for follower in [&mut from_start, &mut from_now] {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last: &Change| last.seq < Seq(8)) {
            let (items, ..) = next(follower, 1).await.unwrap();
            assert_eq!(items.len(), 1, "nothing comes without changes once it is live");
            seen.extend(items);
        }
        assert_eq!(seqs(&seen), [6, 7, 8]);
        assert_eq!(seen[2].kind, ChangeKind::Updated);
        assert_eq!((seen[2].stored.row, seen[0].stored.row), (6, 6));
    }
    let (items, upto, _) = next(&mut failures, 3).await.unwrap();
    assert_eq!(upto, Seq(8));
    assert_eq!(items[0].stored.call.outcome(), Outcome::ToolError);
    assert_eq!(store.metrics().followers, 3);
    drop((from_start, from_now, failures));
    assert_eq!(store.metrics().followers, 0);
}

async fn what_was_written_last_is_heard_before_the_end(place: &Place) {
    let (writer, store) = place.open().await;
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    assert!(next(&mut follower, 9).await.unwrap().2);
    writer.write(batch([plain(1)])).await.unwrap();
    drop(writer);
    assert_eq!(seqs(&next(&mut follower, 9).await.unwrap().0), [1]);
    assert_eq!(next(&mut follower, 9).await, None);
    assert_eq!(next(&mut follower, 9).await, None);
    store.close().await;
}

async fn a_position_ahead_of_the_database_is_refused(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1)])).await.unwrap();
    let ahead = store.follow(CallFilter::default(), Some(Seq(2))).await;
    assert!(matches!(ahead, Err(Error::Ahead)));
    let (_other_writer, other) = place.open().await;
    assert_eq!(store.identity(), other.identity());
    let elsewhere = Place::sqlite();
    assert_ne!(store.identity(), elsewhere.open().await.1.identity());
}

async fn whoever_is_behind_the_window_is_served_from_the_database(place: &Place) {
    let (writer, store) = place.open().await;
    let mut slow = store.follow(CallFilter::default(), Some(Seq(0))).await.unwrap();
    assert!(next(&mut slow, 500).await.unwrap().2);
    // More than is kept in memory.
    let large = |number| Call {
        error_message: Some("x".repeat(100_000)),
        ..plain(number)
    };
    for first in (0..300).step_by(50) {
        writer
            .write(batch((first + 1..=first + 50).map(large)))
            .await
            .unwrap();
    }
    let metrics = store.metrics();
    assert!(
        metrics.recent_changes < 300 && metrics.recent_bytes <= 16 << 20,
        "{metrics:?}"
    );
    assert_eq!((metrics.follower_lag, metrics.catch_up_reads), (300, 0));
    let mut seen = Vec::new();
    while seen.len() < 300 {
        let (items, ..) = next(&mut slow, 20).await.unwrap();
        seen.extend(seqs(&items));
        // What it does not take yet is small.
        let texts = items
            .iter()
            .map(|change| change.stored.call.error_message.as_ref().unwrap().len());
        let texts: usize = texts.sum();
        assert!(texts < 700_000, "{texts}");
    }
    let held = store.memory().used();
    drop(slow);
    assert!(
        store.memory().used() < held,
        "what it was given is held for as long as it may be read"
    );
    let metrics = store.metrics();
    assert!(
        (1..45).contains(&metrics.catch_up_reads),
        "first from the database, then from memory: {metrics:?}"
    );
    assert_eq!(metrics.changes_delivered, 300);
}

/// Two processes write to one database at the same time, and their commits take a while.
async fn two_writers_that_hold_each_other_up(place: &Place) {
    const EACH: u64 = 60;
    let (one, here) = place.open().await;
    let (other, there) = place.open().await;
    if place.url.starts_with("postgres") {
        let admin = Database::connect(&place.url).await.unwrap();
        let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
            $$ BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END $$; \
            CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON calls DEFERRABLE INITIALLY DEFERRED \
            FOR EACH ROW EXECUTE FUNCTION slow()";
        admin.execute_unprepared(slow).await.unwrap();
        // Whoever waits for notifications loses its connection in the middle of it.
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        admin.execute_unprepared(cut).await.unwrap();
        admin.close().await.unwrap();
    }
    let follow = async |store: &Store, limit: usize| {
        let mut follower = store.follow(CallFilter::default(), Some(Seq(0))).await.unwrap();
        let mut seen: Vec<Change> = Vec::new();
        while seen
            .iter()
            .filter(|change| change.kind == ChangeKind::Added)
            .count()
            < 2 * EACH as usize
        {
            let (items, upto, _) = next(&mut follower, limit).await.unwrap();
            seen.extend(items);
            // And comes back.
            if seen.len().is_multiple_of(3) {
                follower = store.follow(CallFilter::default(), Some(upto)).await.unwrap();
            }
        }
        seen
    };
    let write = async |writer: &Writer, first: u64| {
        for number in first..first + EACH {
            writer.write(batch([sparse(number)])).await.unwrap();
            if number % 4 == 0 {
                writer.write(batch([full(number)])).await.unwrap();
            }
        }
    };
    let (of_here, of_there, (), ()) = tokio::join!(
        follow(&here, 1),
        follow(&there, 7),
        write(&one, 1),
        write(&other, 1_000)
    );
    for (store, seen) in [(&here, of_here), (&there, of_there)] {
        assert!(
            seqs(&seen).is_sorted_by(|one, next| one < next),
            "{:?}",
            seqs(&seen)
        );
        let added: Vec<i64> = seen
            .iter()
            .filter(|change| change.kind == ChangeKind::Added)
            .map(|change| change.stored.row)
            .collect();
        let (all, _) = read_all(store, &CallFilter::default(), Seq(0), 500).await;
        assert_eq!(added, seqs(&all), "no gap, nothing twice");
    }
}

async fn more_than_is_worth_reading_comes_from_the_database(place: &Place) {
    let (_writer, store) = place.open().await;
    let (other_writer, _other) = place.open().await;
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    assert!(next(&mut follower, 500).await.unwrap().2);
    other_writer.write(batch((1..=6_000).map(plain))).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 6_000 {
        seen.extend(seqs(&next(&mut follower, 500).await.unwrap().0));
    }
    assert_eq!(seen, (1..=6_000).collect::<Vec<i64>>());
    other_writer.write(batch([plain(6_001)])).await.unwrap();
    assert_eq!(seqs(&next(&mut follower, 500).await.unwrap().0), [6_001]);
}

async fn what_is_erased_is_gone_from_memory(place: &Place) {
    let (writer, store) = place.open().await;
    let mut slow = store.follow(CallFilter::default(), None).await.unwrap();
    assert!(next(&mut slow, 9).await.unwrap().2);
    writer.write(batch([plain(1), full(2), plain(3)])).await.unwrap();
    let servers = CallFilter {
        servers: vec!["shop-mcp".into()],
        ..CallFilter::default()
    };
    let erased = store
        .erase(servers, Actor::CommandLine, "a server".into())
        .await
        .unwrap();
    assert_eq!(erased.calls, 1);
    assert_eq!(
        (store.metrics().recent_changes, store.metrics().recent_bytes),
        (0, 0)
    );
    writer.write(batch([plain(4)])).await.unwrap();
    let mut spans = Vec::new();
    while spans.len() < 3 {
        let items = next(&mut slow, 9).await.unwrap().0;
        spans.extend(items.iter().map(|change| change.stored.call.span_id));
    }
    assert_eq!(spans, [1, 3, 4].map(span));
}

async fn what_another_process_deletes_is_not_served_from_memory(place: &Place) {
    let (writer, store) = place.open().await;
    let (_other_writer, other) = place.open().await;
    writer.write(batch((1..=3).map(plain))).await.unwrap();
    assert_eq!(
        history(&store, &CallFilter::default(), Seq(0), 9).await.0.len(),
        3
    );
    assert_eq!(store.metrics().catch_up_reads, 0);
    let old = Call {
        started_at: UnixNanos(NOON - 1_000 * 24 * 60 * 60 * SECOND),
        ..plain(4)
    };
    writer.write(batch([old])).await.unwrap();
    other
        .prune(Duration::from_secs(900 * 24 * 60 * 60))
        .await
        .unwrap();
    let noticed = async {
        while store.head() < other.head().max(Seq(5)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    let (left, _) = history(&store, &CallFilter::default(), Seq(0), 9).await;
    assert_eq!(seqs(&left), [1, 2, 3]);
}

/// No row tells of the call that turned out to be part of another.
async fn calls_that_another_process_joined_are_one_in_memory_too(place: &Place) {
    let (_writer, store) = place.open().await;
    let (other_writer, _other) = place.open().await;
    let below = |number, parent| Call {
        span_id: span(number),
        primary_span_id: span(number),
        parent_span_id: Some(span(parent)),
        ..plain(1)
    };
    let noticed = async |head: Seq| {
        let noticing = async {
            while store.head() < head {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, noticing).await.unwrap();
    };
    let everything = CallFilter::default();
    // The span between these two is still to come.
    let apart = other_writer
        .write(batch([plain(1), below(300, 200)]))
        .await
        .unwrap();
    noticed(apart.head).await;
    assert_eq!(history(&store, &everything, Seq(0), 9).await.0.len(), 2);
    let joined = other_writer.write(batch([below(200, 1)])).await.unwrap();
    noticed(joined.head).await;
    let (changes, _) = history(&store, &everything, Seq(0), 9).await;
    let spans: Vec<_> = changes.iter().map(|change| change.stored.call.span_id).collect();
    assert_eq!(spans, [span(1)]);
}

async fn a_feed_outlives_a_moment_without_a_database(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=3).map(plain))).await.unwrap();
    drop(writer);
    store.close().await;
    let (_writer, store) = place.open().await;
    let mut follower = store.follow(CallFilter::default(), Some(Seq(0))).await.unwrap();
    let other = Database::connect(&place.url).await.unwrap();
    let rename = async |from: &str, to: &str| {
        let statement = format!("ALTER TABLE {from} RENAME TO {to}");
        other.execute_unprepared(&statement).await.unwrap();
    };
    rename("calls", "away").await;
    let reads = || store.metrics().catch_up_reads;
    let before = reads();
    let coming_back = async {
        // The second read is the proof that the first failed.
        while reads() < before + 2 {
            tokio::task::yield_now().await;
        }
        rename("away", "calls").await;
    };
    let (part, ()) = tokio::join!(next(&mut follower, 9), coming_back);
    assert_eq!(seqs(&part.unwrap().0), [1, 2, 3]);
}

async fn who_leaves_while_a_question_begins_harms_nobody(place: &Place) {
    let (writer, store) = place
        .far_away()
        .await
        .open_with(Options {
            retention: None,
            readers: 1,
            ..Options::default()
        })
        .await;
    writer.write(batch([full(1)])).await.unwrap();
    let every = CallFilter::default();
    for patience in 1.. {
        let mut asking = Box::pin(store.changes(&every, Seq(0), 9));
        let mut waits = 0;
        let answer = std::future::poll_fn(|context| {
            waits += 1;
            match asking.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if waits == patience => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        if let Some(answer) = answer {
            assert!(answer.unwrap().caught_up);
            break;
        }
        drop(asking);
        // One question without a transaction of its own, and one with.
        store.follow(every.clone(), None).await.unwrap();
        let (items, _) = read_all(&store, &every, Seq(0), 9).await;
        assert_eq!(items.len(), 1, "after {patience} waits");
    }
}

/// A follower as the test sees it: where it began, and what it got.
pub(crate) struct Watch {
    filter: CallFilter,
    start: Seq,
    position: Seq,
    follower: Option<Follower>,
    seen: Vec<Change>,
}

/// Writes, completions, deletions, restarts, pages, and followers that come and go, at random; in the end each follower
/// has had everything of its filter that is there, once, in order, as it is now.
async fn whatever_happens(place: &Place) {
    const DAY: i64 = 24 * 60 * 60 * SECOND;
    let mut random = Random(11);
    let filters = [
        CallFilter::default(),
        CallFilter {
            outcomes: vec![Outcome::ToolError],
            ..CallFilter::default()
        },
        CallFilter {
            servers: vec!["shop-mcp".into()],
            not: Some(Box::new(CallFilter {
                clients: vec!["cursor".into()],
                ..CallFilter::default()
            })),
            ..CallFilter::default()
        },
        CallFilter {
            search: Some(mcptap_model::search::Query::parse("A-1001")),
            ..CallFilter::default()
        },
    ];
    let (mut writer, mut store) = place.open().await;
    let mut written: u64 = 0;
    let mut watches: Vec<Watch> = Vec::new();
    for _ in 0..600 {
        match random.below(20) {
            0..=5 => {
                let old = random.below(8) == 0;
                let calls: Vec<Call> = (0..1 + random.below(4))
                    .map(|_| {
                        written += 1;
                        let mut call = sparse(written);
                        if old {
                            call.started_at = UnixNanos(NOON - 1_000 * DAY + written as i64);
                        }
                        call
                    })
                    .collect();
                writer.write(batch(calls)).await.unwrap();
            }
            6..=7 if written > 0 => {
                let number = written - random.below(written.min(9));
                if let Some(stored) = store
                    .call(sparse(number).trace_id, sparse(number).span_id)
                    .await
                    .unwrap()
                {
                    let completed = Call {
                        started_at: stored.call.started_at,
                        ..full(number)
                    };
                    writer.write(batch([completed])).await.unwrap();
                }
            }
            8 if random.below(4) == 0 => {
                store
                    .prune(Duration::from_secs(900 * 24 * 60 * 60))
                    .await
                    .unwrap();
            }
            9 if random.below(4) == 0 => {
                watches.iter_mut().for_each(|watch| watch.follower = None);
                drop(writer);
                store.close().await;
                (writer, store) = place.open().await;
            }
            12 => {
                // Whatever memory holds by now, reading there is reading the database.
                let (filter, after) = (
                    random.pick(&filters),
                    Seq(random.below(store.head().0 as u64 + 1) as i64),
                );
                let limit = 1 + random.below(30) as usize;
                let (followed, _) = history(&store, &filter, after, limit).await;
                let (read, _) = read_all(&store, &filter, after, limit).await;
                assert_eq!(followed, read, "{filter:?} after {after:?}, {limit} at a time");
            }
            10..=11 if watches.len() < 12 => {
                // From some page of the list, or from the very beginning.
                let mut page = store
                    .calls(
                        &CallFilter::default(),
                        PageRequest {
                            first: Some(1 + random.below(9) as usize),
                            ..PageRequest::default()
                        },
                    )
                    .await
                    .unwrap();
                for _ in 0..random.below(4) {
                    let after = page.items.last().map(mcptap_store::Stored::position);
                    page = store
                        .calls(
                            &CallFilter::default(),
                            PageRequest {
                                first: Some(3),
                                after,
                                ..PageRequest::default()
                            },
                        )
                        .await
                        .unwrap();
                }
                let start = if random.below(3) == 0 {
                    Seq(0)
                } else {
                    store.feed_start(page.live).await.unwrap()
                };
                watches.push(Watch::new(random.pick(&filters), start));
            }
            _ if !watches.is_empty() => {
                let index = random.below(watches.len() as u64) as usize;
                let watch = &mut watches[index];
                if watch.follower.is_none() || random.below(3) == 0 {
                    let follower = store.follow(watch.filter.clone(), Some(watch.position)).await;
                    watch.follower = Some(follower.unwrap());
                }
                let limit = 1 + random.below(6) as usize;
                let reading = watch.follower.as_mut().unwrap().next(limit);
                // Left while it waits, sometimes.
                let wait = Duration::from_millis(random.below(12));
                if let Ok(part) = tokio::time::timeout(wait, reading).await {
                    let part = part.unwrap().unwrap();
                    watch.take(part.items, part.upto);
                }
            }
            _ => {}
        }
    }
    assert!(
        watches.len() == 12 && written > 200,
        "{} {written}",
        watches.len()
    );
    for watch in &mut watches {
        let (rest, upto) = history(&store, &watch.filter, watch.position, 5).await;
        watch.take(rest, upto);
        watch.check(&store).await;
    }
}

impl Watch {
    pub(crate) fn new(filter: CallFilter, start: Seq) -> Self {
        Self {
            filter,
            start,
            position: start,
            follower: None,
            seen: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self, items: Vec<Change>, upto: Seq) {
        for change in items {
            assert!(self.position < change.seq && change.seq <= upto);
            self.position = change.seq;
            self.seen.push(change);
        }
        assert!(upto >= self.position);
        self.position = upto;
    }

    pub(crate) async fn check(&self, store: &Store) {
        let mut added = BTreeSet::new();
        let mut now: BTreeMap<i64, &Change> = BTreeMap::new();
        for change in &self.seen {
            let row = change.stored.row;
            if change.kind == ChangeKind::Added {
                assert!(
                    row > self.start.0 && !now.contains_key(&row),
                    "{row} was added twice"
                );
                added.insert(row);
            }
            now.insert(row, change);
        }
        // A call that is completed while it is read comes twice.
        let mut left = BTreeSet::new();
        for stored in read_all(store, &self.filter, Seq(0), 500).await.0 {
            let row = stored.stored.row;
            let had = now.get(&row);
            left.extend(had.map(|_| row));
            if row > self.start.0 {
                let had = had.unwrap_or_else(|| panic!("{row} never came: {:?}", self.filter));
                assert_eq!(had.stored.call, stored.stored.call, "{row}, as it is now");
            } else if let Some(had) = had {
                assert_eq!(had.kind, ChangeKind::Updated);
                assert_eq!(had.stored.call, stored.stored.call, "{row}, as it is now");
            }
        }
        assert!(left.len() <= now.len());
    }
}
