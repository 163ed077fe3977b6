//! Calls that run: announced, ended, lost, and late.

use std::sync::Arc;
use std::time::Duration;

use mcptap_model::{Call, CallFilter, CallKind, Evidence, Origin, Outcome, Vantage};
use mcptap_store::{ChangeKind, Options, PageRequest, Seq, Store, Writer};
use sea_orm::{ConnectionTrait, Statement};

use crate::feed::read_all;
use crate::support::{Place, SECOND, batch, on_both, plain, span};

on_both!(
    what_was_announced_runs_until_its_end_comes,
    an_end_that_came_first_stays,
    silence_is_loss_and_heartbeats_are_life,
    every_process_knows_who_was_heard,
    whoever_is_heard_again_runs_again,
    time_in_which_exports_are_refused_is_hardly_silence,
    what_its_process_says_has_ended_is_lost,
    a_late_answer_is_found_and_its_outcome_stays,
    only_processes_with_running_calls_are_stored,
    all_calls_of_silent_processes_are_found,
    a_client_that_was_answered_ends_what_its_server_did_not,
    statistics_are_of_requests_that_ended,
);

fn announced(number: u64) -> Call {
    Call {
        evidence: Evidence {
            open: true,
            ..Evidence::default()
        },
        duration_nanos: 0,
        ..plain(number)
    }
}

fn at(process: &str, call: Call) -> Call {
    Call {
        origin: Arc::new(Origin {
            instance: Some(process.to_owned()),
            ..(*call.origin).clone()
        }),
        ..call
    }
}

/// The process of such calls; a service that has no instances is one itself.
fn of(process: &str) -> String {
    match process {
        "shop" => plain(1).origin.process(),
        "agent" => Origin {
            service: Some(process.to_owned()),
            ..Origin::default()
        }
        .process(),
        _ => at(process, plain(1)).origin.process(),
    }
}

async fn all(store: &Store, filter: CallFilter) -> Vec<Call> {
    let page = PageRequest {
        last: Some(100),
        ..PageRequest::default()
    };
    let page = store.calls(&filter, page).await.unwrap();
    page.items.iter().map(|stored| (*stored.call).clone()).collect()
}

async fn outcomes(store: &Store) -> Vec<Outcome> {
    let mut calls = all(store, CallFilter::default()).await;
    calls.sort_by_key(|call| call.started_at);
    calls.iter().map(Call::outcome).collect()
}

async fn what_was_announced_runs_until_its_end_comes(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([announced(1)])).await.unwrap();
    let [running] = all(&store, CallFilter::default()).await.try_into().unwrap();
    assert_eq!(
        (running.outcome(), running.duration(), running.is_late()),
        (Outcome::Running, None, false)
    );
    let long = |min_running_ms| CallFilter {
        min_running_ms: Some(min_running_ms),
        ..CallFilter::default()
    };
    assert_eq!(all(&store, long(0.0)).await.len(), 1);
    assert_eq!(all(&store, long(1e18)).await.len(), 0);
    let any_duration = CallFilter {
        min_duration_ms: Some(0.0),
        ..CallFilter::default()
    };
    assert_eq!(all(&store, any_duration.clone()).await.len(), 0);

    writer.write(batch([plain(1)])).await.unwrap();
    // Told again, it changes nothing.
    writer.write(batch([announced(1)])).await.unwrap();
    let [ended] = all(&store, CallFilter::default()).await.try_into().unwrap();
    assert_eq!(ended.id(), running.id());
    assert_eq!(
        (ended.outcome(), ended.duration(), ended.is_late()),
        (Outcome::Ok, Some(plain(1).duration_nanos), false)
    );
    assert_eq!(all(&store, long(0.0)).await.len(), 0);
    assert_eq!(all(&store, any_duration).await.len(), 1);
    let (changes, _) = read_all(&store, &CallFilter::default(), Seq(0), 10).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
}

async fn an_end_that_came_first_stays(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1)])).await.unwrap();
    writer.write(batch([announced(1)])).await.unwrap();
    writer.write(batch([announced(2), plain(2)])).await.unwrap();
    writer.write(batch([plain(3), announced(3)])).await.unwrap();
    assert_eq!(outcomes(&store).await, [Outcome::Ok; 3]);
    for call in all(&store, CallFilter::default()).await {
        assert_eq!(call.duration(), Some(plain(1).duration_nanos));
    }
}

async fn silence_is_loss_and_heartbeats_are_life(place: &Place) {
    let (writer, store) = place
        .open_with(Options {
            retention: None,
            lost_after: Duration::from_secs(2),
            ..Options::default()
        })
        .await;
    // Another service has an instance of the same id.
    let dead = |call| {
        let call = at("alive", call);
        Call {
            origin: Arc::new(Origin {
                service: Some("dead".to_owned()),
                ..(*call.origin).clone()
            }),
            ..call
        }
    };
    let calls = [
        dead(announced(1)),
        at("alive", announced(2)),
        at("dead", plain(3)),
    ];
    writer.write(batch(calls)).await.unwrap();
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            writer.heard(&of("alive"));
            let part = tokio::time::timeout(Duration::from_millis(200), follower.next(10)).await;
            let Ok(Ok(Some(part))) = part else { continue };
            if let [change] = part.items.as_slice() {
                return change.clone();
            }
        }
    });
    let lost = lost.await.expect("the lost call is told");
    assert_eq!(lost.kind, ChangeKind::Updated);
    assert_eq!(lost.stored.call.outcome(), Outcome::Lost);
    assert_eq!(
        outcomes(&store).await,
        [Outcome::Lost, Outcome::Running, Outcome::Ok]
    );
    let late = |late| CallFilter {
        late: Some(late),
        ..CallFilter::default()
    };
    assert_eq!(all(&store, late(true)).await.len(), 0);

    // Its end comes after all.
    writer.write(batch([dead(plain(1))])).await.unwrap();
    assert_eq!(
        outcomes(&store).await,
        [Outcome::Ok, Outcome::Running, Outcome::Ok]
    );
    let [call] = all(&store, late(true)).await.try_into().unwrap();
    assert_eq!((call.span_id, call.is_late()), (span(1), true));
    assert_eq!(all(&store, late(false)).await.len(), 2);
}

async fn every_process_knows_who_was_heard(place: &Place) {
    let (writer, store) = impatient(place).await;
    let (_, other) = impatient(place).await;
    let calls = [at("alive", announced(1)), at("mute", announced(2))];
    writer.write(batch(calls)).await.unwrap();
    let names = ["alive", "mute", "alive"].map(of);
    let before = mcptap_store::now();
    writer.heard(&of("alive"));
    let heard = store.last_heard(&names).await.unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let first = heard[&of("alive")];
    assert!(first >= before && first <= mcptap_store::now());
    // Elsewhere when it is stored, and here still.
    let stored = async {
        while !other.last_heard(&names).await.unwrap().contains_key(&of("alive")) {
            writer.heard(&of("alive"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), stored)
        .await
        .unwrap();
    writer.heard(&of("alive"));
    assert!(store.last_heard(&names).await.unwrap()[&of("alive")] > first);
    assert!(store.last_heard(&[]).await.unwrap().is_empty());
}

/// With calls lost after two seconds.
async fn impatient(place: &Place) -> (Writer, Store) {
    place
        .open_with(Options {
            retention: None,
            lost_after: Duration::from_secs(2),
            ..Options::default()
        })
        .await
}

/// Until the calls, by their times, are as wanted; `meanwhile` is done again and again.
async fn until(store: &Store, wanted: &[Outcome], meanwhile: impl Fn()) {
    let waiting = async {
        while outcomes(store).await != wanted {
            meanwhile();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .is_err()
    {
        panic!("{:?} are not {wanted:?}", outcomes(store).await);
    }
}

async fn whoever_is_heard_again_runs_again(place: &Place) {
    let (writer, store) = impatient(place).await;
    let (other_writer, other) = impatient(place).await;
    // The last one has no instance of its own: who is heard may be another that was started in its place.
    let calls = [
        at("away", announced(1)),
        at("away", announced(2)),
        at("dead", announced(3)),
        announced(4),
    ];
    writer.write(batch(calls)).await.unwrap();
    until(&store, &[Outcome::Lost; 4], || {}).await;
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    while !follower.next(10).await.unwrap().unwrap().caught_up {}
    writer.write(batch([at("away", plain(2))])).await.unwrap();
    let wanted = [Outcome::Running, Outcome::Ok, Outcome::Lost, Outcome::Lost];
    // It is heard elsewhere.
    let heard = || {
        other_writer.heard(&of("away"));
        other_writer.heard(&of("shop"));
    };
    until(&store, &wanted, heard).await;
    until(&other, &wanted, heard).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let part = tokio::time::timeout(Duration::from_secs(60), follower.next(10)).await;
        let part = part.expect("both changes are told").unwrap().unwrap();
        seen.extend(
            part.items
                .iter()
                .map(|change| (change.kind, change.stored.call.outcome())),
        );
    }
    assert!(
        seen.iter().all(|(kind, _)| *kind == ChangeKind::Updated),
        "{seen:?}"
    );
    assert!(
        seen.contains(&(ChangeKind::Updated, Outcome::Running)),
        "{seen:?}"
    );
    // Told again, it runs on; and it ends as if it had never been away.
    writer.write(batch([at("away", announced(1))])).await.unwrap();
    assert_eq!(outcomes(&store).await, wanted);
    writer.write(batch([at("away", plain(1))])).await.unwrap();
    let late = CallFilter {
        late: Some(true),
        ..CallFilter::default()
    };
    let late = all(&store, late).await;
    assert_eq!(
        late.iter().map(|call| call.span_id).collect::<Vec<_>>(),
        [span(2)]
    );
    assert_eq!(outcomes(&store).await[0], Outcome::Ok);
}

async fn what_its_process_says_has_ended_is_lost(place: &Place) {
    let (writer, store) = impatient(place).await;
    // A client's view came first; the server's is the one that runs.
    let client = Call {
        span_id: span(100),
        primary_span_id: span(100),
        kind: mcptap_model::SpanKind::Client,
        vantage: Vantage::Client,
        evidence: Evidence {
            open: true,
            ..Evidence::default()
        },
        origin: Arc::new(Origin {
            service: Some("agent".into()),
            ..Origin::default()
        }),
        ..plain(2)
    };
    let server = Call {
        parent_span_id: Some(span(100)),
        ..announced(2)
    };
    writer.write(batch([client])).await.unwrap();
    let calls = [
        at("alive", announced(1)),
        at("alive", server),
        at("alive", announced(3)),
        at("alive", announced(4)),
        at("alive", plain(4)),
        at("other", announced(5)),
        announced(6),
    ];
    writer.write(batch(calls)).await.unwrap();
    let beat = || {
        for process in ["alive", "other", "agent", "shop"] {
            writer.heard(&of(process));
        }
    };
    // Only its own process can say so of a call.
    let ended = || {
        beat();
        writer.ended(&of("alive"), [1, 2, 4, 5, 6, 999].map(span));
        writer.ended(&of("shop"), [6].map(span));
        writer.ended(&of("elsewhere"), [3].map(span));
    };
    let (ok, running, lost) = (Outcome::Ok, Outcome::Running, Outcome::Lost);
    until(&store, &[lost, lost, running, ok, running, lost], ended).await;
    let late = CallFilter {
        late: Some(true),
        ..CallFilter::default()
    };
    assert_eq!(all(&store, late.clone()).await.len(), 0);

    // One that is lost by silence runs again when its process is heard; those that have ended do not.
    until(&store, &[lost, lost, lost, ok, lost, lost], || {}).await;
    until(&store, &[lost, lost, running, ok, running, lost], beat).await;
    // Those are told of their ends before they run again.
    until(&store, &[lost, lost, lost, ok, lost, lost], || {}).await;
    until(&store, &[lost, lost, lost, ok, running, lost], || {
        beat();
        writer.ended(&of("alive"), [span(3)]);
    })
    .await;

    writer.write(batch([at("alive", plain(1))])).await.unwrap();
    assert_eq!(outcomes(&store).await[0], ok);
    let late = all(&store, late).await;
    assert_eq!(
        late.iter().map(|call| call.span_id).collect::<Vec<_>>(),
        [span(1)]
    );
}

async fn a_late_answer_is_found_and_its_outcome_stays(place: &Place) {
    let (writer, store) = place.open().await;
    let cancelled = |number| Call {
        evidence: Evidence {
            cancelled: true,
            ..Evidence::default()
        },
        ..plain(number)
    };
    let told_late = |number| Call {
        evidence: Evidence {
            open: true,
            late: true,
            ..Evidence::default()
        },
        tool: None,
        ..announced(number)
    };
    writer.write(batch([cancelled(1), cancelled(2)])).await.unwrap();
    writer.write(batch([told_late(1)])).await.unwrap();
    // The word comes before the span, and again.
    writer.write(batch([told_late(3)])).await.unwrap();
    writer.write(batch([cancelled(3)])).await.unwrap();
    writer.write(batch([told_late(3)])).await.unwrap();
    assert_eq!(outcomes(&store).await, [Outcome::Cancelled; 3]);
    let found = async |late| {
        let late = CallFilter {
            late: Some(late),
            ..CallFilter::default()
        };
        let mut spans: Vec<_> = all(&store, late).await.iter().map(|call| call.span_id).collect();
        spans.sort_unstable();
        spans
    };
    assert_eq!(found(true).await, [span(1), span(3)]);
    assert_eq!(found(false).await, [span(2)]);
    for call in all(&store, CallFilter::default()).await {
        assert_eq!(
            (call.duration(), &call.tool),
            (Some(plain(1).duration_nanos), &plain(1).tool)
        );
    }
}

async fn time_in_which_exports_are_refused_is_hardly_silence(place: &Place) {
    let (writer, store) = impatient(place).await;
    writer.write(batch([at("refused", announced(1))])).await.unwrap();
    for _ in 0..120 {
        writer.missed();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(outcomes(&store).await, [Outcome::Running]);
    // A sender that is refused for good does not keep the calls of silent processes running for good.
    until(&store, &[Outcome::Lost], || writer.missed()).await;
}

async fn only_processes_with_running_calls_are_stored(place: &Place) {
    let (writer, store) = impatient(place).await;
    let calls = [at("alive", announced(1)), at("ended", plain(2))];
    writer.write(batch(calls)).await.unwrap();
    let db = place.connect().await;
    let rows = async || {
        let count = Statement::from_string(db.get_database_backend(), "SELECT COUNT(*) FROM processes");
        let row = db.query_one_raw(count).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap()
    };
    let written = async {
        for round in 0.. {
            writer.heard(&of("alive"));
            writer.heard(&of("ended"));
            for number in 0..1_000 {
                writer.heard(&format!("{round} {number}"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            if rows().await > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), written)
        .await
        .unwrap();
    assert_eq!(rows().await, 1);
    assert_eq!(outcomes(&store).await, [Outcome::Running, Outcome::Ok]);
    db.close().await.unwrap();
}

/// However many there are, of however many processes.
async fn all_calls_of_silent_processes_are_found(place: &Place) {
    let (writer, store) = impatient(place).await;
    let process = |number: u64| match number {
        0..300 => "many".to_owned(),
        300..310 => "alive".to_owned(),
        number => format!("process {number}"),
    };
    // Of more processes than one statement finds.
    let calls = (1..=1_100).map(|number| at(&process(number), announced(number)));
    writer.write(batch(calls)).await.unwrap();
    let of_outcome = |outcome| CallFilter {
        outcomes: vec![outcome],
        ..CallFilter::default()
    };
    let lost = async {
        loop {
            writer.heard(&of("alive"));
            tokio::time::sleep(Duration::from_millis(200)).await;
            let lost = store.count(&of_outcome(Outcome::Lost), 2_000).await.unwrap();
            if lost.value >= 1_090 {
                return lost.value;
            }
        }
    };
    let lost = tokio::time::timeout(Duration::from_secs(60), lost).await;
    assert_eq!(lost.expect("all are found"), 1_090);
    // They come back together as well.
    let back = async {
        loop {
            for number in 1..=1_100 {
                writer.heard(&of(&process(number)));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let running = store.count(&of_outcome(Outcome::Running), 2_000).await.unwrap();
            if running.value == 1_100 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back)
        .await
        .expect("all run again");
}

async fn a_client_that_was_answered_ends_what_its_server_did_not(place: &Place) {
    let (writer, store) = place.open().await;
    let client = Call {
        span_id: span(100),
        primary_span_id: span(100),
        kind: mcptap_model::SpanKind::Client,
        vantage: Vantage::Client,
        duration_nanos: 3 * SECOND,
        origin: Arc::new(Origin {
            service: Some("agent".into()),
            ..Origin::default()
        }),
        ..plain(1)
    };
    let server = Call {
        parent_span_id: Some(span(100)),
        ..announced(1)
    };
    writer.write(batch([server.clone()])).await.unwrap();
    writer.write(batch([client])).await.unwrap();
    let [call] = all(&store, CallFilter::default()).await.try_into().unwrap();
    assert_eq!(call.outcome(), Outcome::Ok);
    assert_eq!(call.vantage, Vantage::Server);
    assert_eq!(call.duration(), Some(3 * SECOND));
}

async fn statistics_are_of_requests_that_ended(place: &Place) {
    let (writer, store) = place.open().await;
    let stream = Call {
        evidence: Evidence {
            stream: true,
            ..Evidence::default()
        },
        duration_nanos: 4_000 * SECOND,
        tool: None,
        ..plain(3)
    };
    writer
        .write(batch([plain(1), announced(2), stream]))
        .await
        .unwrap();
    let stats = store.stats(&CallFilter::default(), 1).await.unwrap();
    assert_eq!((stats.call_count, stats.error_count), (2, 0));
    let took = plain(1).duration_nanos as f64 / 1e6;
    assert_eq!(
        (stats.p50_ms, stats.p95_ms, stats.p99_ms),
        (Some(took), Some(took), Some(took))
    );
    let of_kind = |kinds: &[CallKind]| CallFilter {
        kinds: kinds.to_vec(),
        ..CallFilter::default()
    };
    let streams = store.stats(&of_kind(&[CallKind::Stream]), 1).await.unwrap();
    assert_eq!((streams.call_count, streams.p99_ms), (1, Some(4_000_000.0)));
    let both = of_kind(&[CallKind::Stream, CallKind::Request]);
    assert_eq!(store.stats(&both, 1).await.unwrap().call_count, 3);
    assert_eq!(all(&store, of_kind(&[CallKind::Stream])).await.len(), 1);
    assert_eq!(all(&store, CallFilter::default()).await.len(), 3);
}
