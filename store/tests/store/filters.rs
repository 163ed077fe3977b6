//! A filter means in SQL what it means in memory: random calls, random filters.

use std::time::{Duration, Instant};

use mcptap_model::search::{Finder, Found, Query, Searches, TextReader};
use mcptap_model::{
    Batch, Call, CallFilter, Evidence, LogLine, NodeId, Outcome, Payload, SessionKey, SessionSource,
    UnixNanos,
};
use mcptap_store::{FacetSet, Options, PageRequest, Seq, Store};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::feed::read_all;
use crate::follow::{Watch, history};
use crate::support::{NOON, Place, Random, batch, line, on_both, plain, trace};

on_both!(
    sql_means_what_the_model_means,
    who_sleeps_is_woken_for_what_is_meant
);

const WORDS: [&str; 7] = ["order", "refund", "A-1001", "müller", "timeout", "beta", "İ①क्ष’s"];

pub(crate) fn random_call(random: &mut Random, number: u64) -> Call {
    let maybe = |random: &mut Random, values: &[&str]| {
        let value = random.pick(values);
        (!value.is_empty()).then(|| value.to_owned())
    };
    let session = match random.below(4) {
        0 => (None, None),
        1 => (Some("w1".to_owned()), None),
        2 => (
            Some("w1".into()),
            Some(SessionKey {
                source: SessionSource::Wire,
                key: "w1".into(),
            }),
        ),
        _ => (
            None,
            Some(SessionKey {
                source: random.pick(SessionSource::ALL),
                key: random.pick(&["w1", "k"]).into(),
            }),
        ),
    };
    let text = |random: &mut Random| {
        let word = |random: &mut Random| random.pick(&WORDS);
        format!(r#"{{"{}":"{} {}"}}"#, word(random), word(random), word(random))
    };
    let body = |random: &mut Random| (random.below(3) > 0).then(|| Payload::whole(text(random)));
    Call {
        trace_id: trace(number / 2 + 1),
        server: maybe(random, &["", "s1", "s2", "shop"]),
        method: random.pick(&["tools/call", "tools/list", "ping"]).into(),
        tool: maybe(random, &["", "t1", "t2"]),
        resource_uri: maybe(random, &["", "config://order"]),
        evidence: Evidence::from_bits(random.below(64) as i16),
        http_status: random.pick(&[None, Some(200), Some(404), Some(500)]),
        rpc_error_code: random.pick(&[None, None, Some(-32602)]),
        error_message: maybe(random, &["", "order timeout", "order\0timeout"]),
        started_at: UnixNanos(NOON + random.below(12) as i64),
        duration_nanos: random.pick(&[0, 1, 999_999, 1_000_000, 1_500_000, 2_000_000, i64::MAX]),
        session_id: session.0,
        session: session.1,
        client_name: maybe(random, &["", "c1", "c2"]),
        client_ip: maybe(random, &["", "10.0.0.1", "10.0.0.2"]),
        country: maybe(random, &["", "IS", "DE"]),
        request: body(random),
        response: body(random),
        ..plain(number)
    }
}

fn some<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![
        4 => Just(Vec::new()),
        1 => proptest::collection::vec(proptest::sample::select(values), 1..3),
    ]
}

fn names(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    some(values).prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn rarely<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Option<T>> {
    prop_oneof![5 => Just(None), 1 => proptest::sample::select(values).prop_map(Some)]
}

/// Queries, each through everything and through targets alone.
fn searches() -> Vec<Query> {
    let texts = [
        "order",
        "ref*",
        "\"order timeout\"",
        "müller beta",
        "\"order timeout refund\"",
        "a-10*",
        "İ①क्ष’s",
        "İ①*",
        "absent",
        "",
        "config",
    ];
    let both = |text| [Query::parse(text), Query::parse(text).in_target_alone()];
    texts.into_iter().flat_map(both).collect()
}

fn leaf() -> impl Strategy<Value = CallFilter> {
    let session =
        |server: &str, source, key: &str| NodeId::Session(source, server.into(), key.into()).to_string();
    let sessions = vec![
        "w1".to_owned(),
        "nothing".to_owned(),
        session("shop", SessionSource::Wire, "w1"),
        session("s1", SessionSource::Trace, "k"),
        session("nobody", SessionSource::Wire, "w1"),
    ];
    let lists = (
        names(&["s1", "shop", "nobody"]),
        names(&["t1", "t2", "nothing"]),
        names(&["tools/call", "ping"]),
        some(&[200, 404, 999]),
        some(&Outcome::ALL),
        names(&["10.0.0.1", "10.9.9.9"]),
        names(&["IS", "DE", "XX"]),
        names(&["c1", "c3"]),
    );
    let rest = (
        rarely(sessions),
        rarely(vec![trace(3), trace(999)]),
        rarely((0..14).map(|nanos| UnixNanos(NOON + nanos)).collect()),
        rarely((0..14).map(|nanos| UnixNanos(NOON + nanos)).collect()),
        rarely(vec![0.0, 0.000_001, 1.0, 1.5, 9e12, f64::NAN, f64::INFINITY]),
        rarely(vec![-1.0, 0.0, 0.999_999, 1.0, 2.0, f64::NAN, f64::INFINITY]),
        rarely(searches()),
    );
    (lists, rest).prop_map(
        |(
            (servers, tools, methods, http_statuses, outcomes, client_ips, countries, clients),
            (session_id, trace_id, from, to, min_duration_ms, max_duration_ms, search),
        )| CallFilter {
            servers,
            tools,
            methods,
            http_statuses,
            outcomes,
            session_id,
            trace_id,
            client_ips,
            countries,
            clients,
            from,
            to,
            min_duration_ms,
            max_duration_ms,
            search,
            not: None,
            or: Vec::new(),
        },
    )
}

pub(crate) fn filter() -> impl Strategy<Value = CallFilter> {
    leaf().prop_recursive(3, 8, 3, |inner| {
        let not = prop_oneof![2 => Just(None), 1 => inner.clone().prop_map(|not| Some(Box::new(not)))];
        let or = prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(inner, 1..3)];
        (leaf(), not, or).prop_map(|(leaf, not, or)| CallFilter { not, or, ..leaf })
    })
}

fn texts(filter: &CallFilter, call: &Call, lines: &[LogLine]) -> Found {
    let mut finder = Finder::new(&Searches::of(filter));
    if let Some(target) = call.target() {
        finder.target(target, &|| false).unwrap();
    }
    for body in [&call.request, &call.response].into_iter().flatten() {
        finder.body(&body.text, &|| false).unwrap();
    }
    let lines = lines.iter().filter(|line| line.span_id == Some(call.span_id));
    for text in call.error_message.iter().chain(lines.map(|line| &line.body)) {
        finder.text(text, &|| false).unwrap();
    }
    finder.found()
}

/// Sessions of source CLIENT are told apart by the database alone.
fn names_a_visit(filter: &CallFilter) -> bool {
    let inner = || filter.not.as_deref().into_iter().chain(&filter.or);
    filter
        .session_id
        .as_deref()
        .is_some_and(|id| id.parse::<NodeId>().is_ok())
        || inner().any(names_a_visit)
}

async fn check(
    store: &Store,
    calls: &[Call],
    lines: &[LogLine],
    filter: &CallFilter,
    in_memory: bool,
) -> Result<(), TestCaseError> {
    let mut expected: Vec<_> = calls
        .iter()
        .filter(|call| filter.compile().matches(call, Some(&texts(filter, call, lines))))
        .map(|call| call.span_id)
        .collect();
    expected.sort();
    let sorted = |found: Vec<mcptap_store::Stored>| {
        let mut spans: Vec<_> = found.iter().map(|stored| stored.call.span_id).collect();
        spans.sort();
        spans
    };
    let page = store
        .calls(
            filter,
            PageRequest {
                first: Some(500),
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    prop_assert_eq!(&sorted(page.items), &expected, "page of {:?}", filter);
    let (changes, _) = read_all(store, filter, Seq(0), 13).await;
    let reads = store.metrics().catch_up_reads;
    let (followed, _) = history(store, filter, Seq(0), 13).await;
    prop_assert_eq!(&followed, &changes, "{:?} in memory", filter);
    if in_memory && !filter.needs_text() {
        let only_memory = store.metrics().catch_up_reads == reads;
        prop_assert!(only_memory || names_a_visit(filter), "{:?}", filter);
    }
    // One that was completed comes once more.
    let mut heard = sorted(changes.into_iter().map(|change| change.stored).collect());
    heard.dedup();
    prop_assert_eq!(&heard, &expected, "feed of {:?}", filter);
    let count = store.count(filter, 1000).await.unwrap();
    prop_assert_eq!(count.value as usize, expected.len());
    let unlisted = CallFilter {
        methods: Vec::new(),
        ..filter.clone()
    };
    let wanted = FacetSet {
        methods: true,
        ..FacetSet::default()
    };
    let facets = store.facets(&unlisted, wanted).await.unwrap();
    let total: u64 = facets.methods.iter().map(|facet| facet.count).sum();
    let expected = calls
        .iter()
        .filter(|call| {
            unlisted
                .compile()
                .matches(call, Some(&texts(&unlisted, call, lines)))
        })
        .count();
    prop_assert_eq!(total as usize, expected);
    Ok(())
}

async fn sql_means_what_the_model_means(place: &Place) {
    let mut random = Random(7);
    // Spans of one trace and kind would be taken for one request: every call is of an origin of its own.
    let calls: Vec<Call> = (1..=150).map(|number| random_call(&mut random, number)).collect();
    let mut lines = |step: usize, time: i64| -> Vec<LogLine> {
        let calls = calls.iter().step_by(step);
        calls
            .map(|call| line(call, time, &format!("{} line", random.pick(&WORDS))))
            .collect()
    };
    let (first, late) = (lines(3, 1), lines(7, 2));

    // All is in the index of words.
    let (writer, store) = place.open().await;
    writer
        .write(Batch {
            logs: first,
            ..batch(calls.iter().take(110).cloned())
        })
        .await
        .unwrap();
    indexed(&store).await;
    agreed(&store, true).await;
    drop(writer);
    store.close().await;

    // Some is not: new calls, calls that were completed, and calls that got another line.
    let without_index = || Options {
        retention: None,
        index_delay: Duration::from_secs(3600),
        ..Options::default()
    };
    let (writer, store) = place.open_with(without_index()).await;
    let completed = calls.iter().take(110).step_by(5).map(|call| Call {
        error_message: Some("refund beta".into()),
        ..call.clone()
    });
    let new = calls.iter().skip(110).cloned();
    writer
        .write(Batch {
            logs: late,
            ..batch(completed.chain(new))
        })
        .await
        .unwrap();
    agreed(&store, false).await;
    assert!(store.metrics().calls_completed > 5);
    drop(writer);
    store.close().await;

    let (_writer, store) = place.open().await;
    indexed(&store).await;
    agreed(&store, false).await;
}

/// Until the index of words knows everything.
pub(crate) async fn indexed(store: &Store) {
    let begun = Instant::now();
    // At least one look at everything that there is.
    while store.metrics().index_lag > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", store.metrics());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Random filters mean the same in SQL and in the model. `in_memory`: the newest changes are all that there are.
async fn agreed(store: &Store, in_memory: bool) {
    // What the database holds now is what it must find; merging is tested elsewhere.
    let (stored, _) = read_all(store, &CallFilter::default(), Seq(0), 500).await;
    let rows: Vec<i64> = stored.iter().map(|change| change.stored.row).collect();
    let details = store.details(&rows).await.unwrap();
    let logs = store
        .logs(
            &rows,
            PageRequest {
                first: Some(500),
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    let mut lines = Vec::new();
    let calls: Vec<Call> = stored
        .iter()
        .map(|change| {
            let mut call = Call::clone(&change.stored.call);
            call.request = details[&change.stored.row].request.clone();
            call.response = details[&change.stored.row].response.clone();
            let of = logs[&change.stored.row]
                .items
                .iter()
                .map(|(_, line)| line.clone());
            lines.extend(of.map(|line| LogLine {
                span_id: Some(call.span_id),
                ..line
            }));
            call
        })
        .collect();
    assert!(calls.len() > 70, "{}", calls.len());

    let (store, runtime) = (store.clone(), tokio::runtime::Handle::current());
    tokio::task::spawn_blocking(move || {
        let cases = std::env::var("PROPTEST_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(150);
        TestRunner::new(Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        })
        .run(&filter(), |filter| {
            runtime.block_on(check(&store, &calls, &lines, &filter, in_memory))
        })
        .unwrap();
    })
    .await
    .unwrap();
}

/// Followers of random filters, asleep while random calls are written, some of which complete or swallow others.
async fn who_sleeps_is_woken_for_what_is_meant(place: &Place) {
    let (writer, store) = place.open().await;
    let mut runner = TestRunner::deterministic();
    let followers: Vec<_> = (0..120)
        .map(|_| {
            let filter = filter().new_tree(&mut runner).unwrap().current();
            let store = store.clone();
            tokio::spawn(async move {
                let mut follower = store.follow(filter.clone(), Some(Seq(0))).await.unwrap();
                let mut watch = Watch::new(filter, Seq(0));
                while let Some(part) = follower.next(7).await.unwrap() {
                    watch.take(part.items, part.upto);
                }
                watch
            })
        })
        .collect();
    let mut random = Random(8);
    for first in (1..=200).step_by(8) {
        let calls: Vec<Call> = (first..first + 8)
            .map(|number| random_call(&mut random, number))
            .collect();
        writer.write(batch(calls)).await.unwrap();
    }
    drop(writer);
    for follower in followers {
        follower.await.unwrap().check(&store).await;
    }
}
