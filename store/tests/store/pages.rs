//! Pages of sessions and of tools, with filters: what a plain loop over all calls says.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use mcptap_model::{Call, CallFilter, Evidence, SessionKey, SessionSource, UnixNanos};
use mcptap_store::{Page, PageRequest, Session, Store, Tool};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::filters::{filter, random_call};
use crate::support::{NOON, Place, Random, SECOND, batch, on_both, plain, trace};

on_both!(
    filtered_pages_are_what_a_loop_says,
    what_is_far_behind_is_found,
    all_rows_of_a_session_count,
);

const MINUTE: i64 = 60 * SECOND;

/// Everything that is stored, newest first.
async fn everything(store: &Store) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest {
            first: Some(500),
            after,
            ..PageRequest::default()
        };
        let page = store.calls(&CallFilter::default(), page).await.unwrap();
        after = page.items.last().map(mcptap_store::Stored::position);
        calls.extend(page.items.into_iter().map(|stored| (*stored.call).clone()));
        if !page.has_next {
            return calls;
        }
    }
}

/// A session: source, server, key (of a visit its client's), first and last start, calls, errors.
type Told = (SessionSource, String, String, i64, i64, u64, u64);

/// The sessions with calls of a filter, newest activity first.
fn sessions_of(calls: &[Call], filter: &CallFilter) -> Vec<Told> {
    let mut of_keys: HashMap<(SessionSource, String, String), Vec<&Call>> = HashMap::new();
    for call in calls.iter().rev() {
        if let Some(SessionKey { source, key }) = &call.session {
            let key = (*source, call.server_name().to_owned(), key.clone());
            of_keys.entry(key).or_default().push(call);
        }
    }
    let mut told = Vec::new();
    for ((source, server, key), calls) in of_keys {
        let goes_on = |one: &&Call, next: &&Call| {
            source != SessionSource::Client || next.started_at.0 - one.started_at.0 <= 30 * MINUTE
        };
        for visit in calls.chunk_by(goes_on) {
            if visit.iter().any(|call| filter.compile().matches(call, None)) {
                told.push((
                    source,
                    server.clone(),
                    key.clone(),
                    visit[0].started_at.0,
                    visit.last().unwrap().started_at.0,
                    visit.len() as u64,
                    visit.iter().filter(|call| call.outcome().is_error()).count() as u64,
                ));
            }
        }
    }
    told.sort_by_key(|(_, _, _, _, last, ..)| Reverse(*last));
    told
}

fn told(session: &Session) -> Told {
    let key = match session.source {
        SessionSource::Client => session.key.rsplit_once('@').unwrap().0.to_owned(),
        _ => session.key.clone(),
    };
    (
        session.source,
        session.server.clone(),
        key,
        session.started_at.0,
        session.last_call_at.0,
        session.call_count,
        session.error_count,
    )
}

async fn all_sessions(store: &Store, filter: &CallFilter, size: usize) -> Vec<Told> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest {
            first: Some(size),
            after,
            ..PageRequest::default()
        };
        let page = store.sessions(filter, page).await.unwrap();
        assert_eq!(page.has_previous, after.is_some());
        assert!(page.items.len() == size || !page.has_next);
        after = page.items.last().map(Session::position);
        found.extend(page.items.iter().map(told));
        if !page.has_next {
            return found;
        }
    }
}

fn tools_of(calls: &[Call], filter: &CallFilter) -> Vec<Tool> {
    let tools: BTreeSet<Tool> = calls
        .iter()
        .filter(|call| filter.compile().matches(call, None))
        .filter_map(|call| {
            Some(Tool {
                name: call.tool.clone()?,
                server: call.server_name().to_owned(),
            })
        })
        .collect();
    tools.into_iter().collect()
}

/// All pages in one direction, in the order of the list.
async fn all_tools(store: &Store, filter: &CallFilter, size: usize, backward: bool) -> Vec<Tool> {
    let mut found: Vec<Tool> = Vec::new();
    loop {
        let page = if backward {
            PageRequest {
                last: Some(size),
                before: found.first().cloned(),
                ..PageRequest::default()
            }
        } else {
            PageRequest {
                first: Some(size),
                after: found.last().cloned(),
                ..PageRequest::default()
            }
        };
        let begun = !found.is_empty();
        let Page {
            items,
            has_next,
            has_previous,
        } = store.tools(filter, page).await.unwrap();
        let more = if backward {
            assert_eq!(has_next, begun);
            found.splice(0..0, items);
            has_previous
        } else {
            assert_eq!(has_previous, begun);
            found.extend(items);
            has_next
        };
        if !more {
            return found;
        }
    }
}

/// Without what is decided by texts.
fn without_search(filter: CallFilter) -> CallFilter {
    CallFilter {
        search: None,
        not: filter.not.map(|not| Box::new(without_search(*not))),
        or: filter.or.into_iter().map(without_search).collect(),
        ..filter
    }
}

async fn filtered_pages_are_what_a_loop_says(place: &Place) {
    let (writer, store) = place.open().await;
    let mut random = Random(5);
    let mut times: Vec<i64> = (0..450).collect();
    times.sort_by_cached_key(|_| random.below(1 << 40));
    let mut made: Vec<Call> = Vec::new();
    for (number, time) in (1..).zip(times) {
        let mut call = random_call(&mut random, number);
        // Far apart and close together, each at a time of its own.
        call.started_at = UnixNanos(NOON + (time / 9) * 23 * MINUTE + (time % 9) * SECOND);
        if call.tool.is_some() {
            call.tool = Some(format!("tool{}", random.below(12)));
        }
        if random.below(4) == 0 {
            call.evidence = Evidence::default();
        }
        made.push(call);
    }
    for some in made.chunks(50) {
        writer.write(batch(some.iter().cloned())).await.unwrap();
    }
    let calls = everything(&store).await;
    let sources: HashSet<SessionSource> = calls
        .iter()
        .filter_map(|call| call.session.as_ref())
        .map(|session| session.source)
        .collect();
    assert_eq!(sources.len(), SessionSource::ALL.len());

    let mut runner = TestRunner::deterministic();
    let mut found = 0;
    for round in 0..80 {
        let mut filter = match round {
            0 => CallFilter::default(),
            _ => without_search(self::filter().new_tree(&mut runner).unwrap().current()),
        };
        let mut time = |given: Option<UnixNanos>| {
            given.map(|_| UnixNanos(calls[random.below(calls.len() as u64) as usize].started_at.0))
        };
        (filter.from, filter.to) = (time(filter.from), time(filter.to));
        let size = 1 + random.below(9) as usize;
        let sessions = sessions_of(&calls, &filter);
        assert_eq!(all_sessions(&store, &filter, size).await, sessions, "{filter:?}");
        let tools = tools_of(&calls, &filter);
        for backward in [false, true] {
            assert_eq!(
                all_tools(&store, &filter, size, backward).await,
                tools,
                "{filter:?}"
            );
        }
        found += usize::from(sessions.len() > size);
    }
    assert!(found > 10, "{found} filters have more than a page");
}

/// A session and a tool of so many calls that it is not looked at all of them for the one that is meant.
async fn what_is_far_behind_is_found(place: &Place) {
    let (writer, store) = place.open().await;
    let of_session = |number: u64, key: &str| Call {
        session: Some(SessionKey {
            source: SessionSource::Conversation,
            key: key.into(),
        }),
        ..plain(number)
    };
    let rare = Call {
        method: "prompts/get".into(),
        ..of_session(1, "long")
    };
    let long = (2..1_300).map(|number| of_session(number, "long"));
    writer.write(batch([rare].into_iter().chain(long))).await.unwrap();
    writer.write(batch([of_session(1_300, "short")])).await.unwrap();
    let calls = everything(&store).await;
    for methods in [vec![], vec!["prompts/get".to_owned()], vec!["ping".to_owned()]] {
        let filter = CallFilter {
            methods,
            ..CallFilter::default()
        };
        let expected = sessions_of(&calls, &filter);
        assert_eq!(all_sessions(&store, &filter, 1).await, expected, "{filter:?}");
        assert_eq!(
            all_tools(&store, &filter, 1, false).await,
            tools_of(&calls, &filter)
        );
    }
}

/// With and without its id on the wire a session has two rows, whose calls are on different pages by themselves.
async fn all_rows_of_a_session_count(place: &Place) {
    let (writer, store) = place.open().await;
    let call = |number: u64, key: &str, wire: Option<&str>| Call {
        trace_id: trace(number),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: key.into(),
        }),
        session_id: wire.map(str::to_owned),
        ..plain(number)
    };
    let mut calls = vec![
        call(1, "split", None),
        Call {
            method: "ping".into(),
            ..call(2, "split", None)
        },
    ];
    calls.extend((3..200).map(|number| call(number, &format!("other{}", number % 7), None)));
    calls.push(call(200, "split", Some("split")));
    writer.write(batch(calls)).await.unwrap();
    let calls = everything(&store).await;
    for methods in [vec![], vec!["ping".to_owned()]] {
        let filter = CallFilter {
            methods,
            ..CallFilter::default()
        };
        for size in [1, 3, 50] {
            let expected = sessions_of(&calls, &filter);
            assert_eq!(all_sessions(&store, &filter, size).await, expected, "{filter:?}");
        }
    }
}
