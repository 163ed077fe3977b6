//! Sessions that nobody named: what a plain loop over all calls says, whatever the order of arrival.

use std::collections::{BTreeMap, HashSet};

use mcptap_model::{Call, CallFilter, NodeId, SessionKey, SessionSource, UnixNanos};
use mcptap_store::{PageRequest, Session, SessionPosition, Store};

use crate::support::{NOON, Place, Random, SECOND, batch, on_both, plain, trace};

const MINUTE: i64 = 60 * SECOND;

/// A call of a client, so many minutes after noon.
fn visit(number: u64, client: &str, minute: i64) -> Call {
    Call {
        client_name: Some(client.into()),
        client_version: Some("1".into()),
        client_ip: Some("192.0.2.7".into()),
        started_at: UnixNanos(NOON + minute * MINUTE),
        ..plain(number)
    }
}

async fn all(store: &Store, filter: &CallFilter, size: usize) -> Vec<Session> {
    let mut found = Vec::new();
    let mut after: Option<SessionPosition> = None;
    loop {
        let page = PageRequest {
            first: Some(size),
            after,
            ..PageRequest::default()
        };
        let page = store.sessions(filter, page).await.unwrap();
        assert_eq!(page.has_previous, after.is_some());
        after = page.items.last().map(Session::position);
        found.extend(page.items);
        if !page.has_next {
            return found;
        }
    }
}

fn id(session: &Session) -> String {
    NodeId::Session(session.source, session.server.clone(), session.key.clone()).to_string()
}

fn of_session(id: &str) -> CallFilter {
    CallFilter {
        session_id: Some(id.to_owned()),
        ..CallFilter::default()
    }
}

async fn calls(store: &Store, filter: &CallFilter) -> Vec<u64> {
    let page = PageRequest {
        first: Some(500),
        ..PageRequest::default()
    };
    let page = store.calls(filter, page).await.unwrap();
    let number = |span: mcptap_model::SpanId| u64::from_be_bytes(span.bytes());
    let mut numbers: Vec<u64> = page.items.iter().map(|item| number(item.call.span_id)).collect();
    numbers.sort_unstable();
    numbers
}

async fn a_late_call_joins_two_visits_and_both_ids_go_on(place: &Place) {
    let (writer, store) = place.open().await;
    writer
        .write(batch([
            visit(1, "agent", 0),
            visit(2, "agent", 20),
            visit(3, "agent", 80),
        ]))
        .await
        .unwrap();
    let before = all(&store, &CallFilter::default(), 10).await;
    let counts: Vec<_> = before
        .iter()
        .map(|session| (session.source, session.call_count))
        .collect();
    assert_eq!(
        counts,
        [(SessionSource::Client, 1), (SessionSource::Client, 2)],
        "a pause of an hour parts them"
    );
    assert_eq!(calls(&store, &of_session(&id(&before[1]))).await, [1, 2]);

    writer.write(batch([visit(4, "agent", 50)])).await.unwrap();
    let after = all(&store, &CallFilter::default(), 10).await;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].call_count, 4);
    for old in &before {
        let found = store
            .session(old.source, &old.server, &old.key)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found, after[0], "an id that was given out goes on to find it");
        assert_eq!(calls(&store, &of_session(&id(old))).await, [1, 2, 3, 4]);
        let not = CallFilter {
            not: Some(Box::new(of_session(&id(old)))),
            ..CallFilter::default()
        };
        assert!(calls(&store, &not).await.is_empty());
    }

    writer.write(batch([visit(5, "agent", -30)])).await.unwrap();
    let earlier = all(&store, &CallFilter::default(), 10).await;
    assert_eq!(
        (earlier[0].call_count, earlier[0].started_at.0),
        (5, NOON - 30 * MINUTE)
    );
    assert_eq!(calls(&store, &of_session(&id(&before[1]))).await, [1, 2, 3, 4, 5]);

    let unknown = CallFilter {
        session_id: Some(
            NodeId::Session(SessionSource::Client, "shop".into(), format!("x@{}", i64::MAX)).to_string(),
        ),
        ..CallFilter::default()
    };
    assert!(calls(&store, &unknown).await.is_empty());
}

async fn what_differs_in_the_client_is_another_visit(place: &Place) {
    let (writer, store) = place.open().await;
    let with = |number: u64, change: fn(&mut Call)| {
        let mut call = visit(number, "agent", number as i64);
        change(&mut call);
        call
    };
    let changes: [fn(&mut Call); 6] = [
        |_| {},
        |call| call.client_name = Some("other".into()),
        |call| call.client_version = None,
        |call| call.client_ip = None,
        |call| call.authorization = Some("Bearer sk-…".into()),
        |call| call.server = Some("another".into()),
    ];
    let numbered = changes.into_iter().zip(1..);
    writer
        .write(batch(numbered.map(|(change, number)| with(number, change))))
        .await
        .unwrap();
    // The same client speaks another protocol and comes from another country's table: still the same visit.
    let mut same = visit(20, "agent", 3);
    same.protocol_version = Some("2026-07-28".into());
    same.user_agent = Some("node".into());
    let mut nobody = plain(30);
    nobody.authorization = Some("Bearer sk-…".into());
    writer.write(batch([same, nobody])).await.unwrap();
    let sessions = all(&store, &CallFilter::default(), 2).await;
    assert_eq!(sessions.len(), 6);
    let twice: Vec<u64> = sessions
        .iter()
        .map(|session| session.call_count)
        .filter(|calls| *calls > 1)
        .collect();
    assert_eq!(twice, [2]);
}

async fn calls_of_one_trace_are_a_session_whoever_comes_first(place: &Place) {
    let (writer, store) = place.open().await;
    let of_trace = |number: u64, tool: &str| Call {
        trace_id: trace(1),
        tool: Some(tool.into()),
        ..plain(number)
    };
    writer.write(batch([of_trace(1, "a")])).await.unwrap();
    assert!(all(&store, &CallFilter::default(), 10).await.is_empty());
    writer.write(batch([of_trace(2, "b")])).await.unwrap();
    let sessions = all(&store, &CallFilter::default(), 10).await;
    assert_eq!(
        (sessions[0].source, sessions[0].call_count),
        (SessionSource::Trace, 2)
    );
    assert_eq!(calls(&store, &of_session(&id(&sessions[0]))).await, [1, 2]);
}

/// What all calls say, by a loop over them.
fn reference(calls: &[Call]) -> Vec<(String, i64, i64, u64, HashSet<u64>)> {
    let mut by_client: BTreeMap<(Option<String>, Option<String>), Vec<&Call>> = BTreeMap::new();
    for call in calls {
        let key = match &call.session {
            Some(session) => (Some(session.key.clone()), None),
            None => (None, call.client_name.clone()),
        };
        by_client.entry(key).or_default().push(call);
    }
    let mut sessions = Vec::new();
    for ((wire, client), mut calls) in by_client {
        calls.sort_by_key(|call| call.started_at);
        let mut parts: Vec<Vec<&Call>> = Vec::new();
        for call in calls {
            let goes_on = parts
                .last()
                .and_then(|part| part.last())
                .is_some_and(|last| wire.is_some() || call.started_at.0 - last.started_at.0 <= 30 * MINUTE);
            if !goes_on {
                parts.push(Vec::new());
            }
            parts.last_mut().unwrap().push(call);
        }
        for part in parts {
            let numbers = part.iter().map(|call| u64::from_be_bytes(call.span_id.bytes()));
            sessions.push((
                wire.clone().or(client.clone()).unwrap(),
                part[0].started_at.0,
                part.last().unwrap().started_at.0,
                part.len() as u64,
                numbers.collect(),
            ));
        }
    }
    sessions.sort_by_key(|(name, first, last, ..)| (std::cmp::Reverse(*last), name.clone(), *first));
    sessions
}

async fn pages_filters_and_calls_agree_with_a_loop(place: &Place) {
    let (writer, store) = place.open().await;
    let mut random = Random(11);
    let mut made: Vec<Call> = Vec::new();
    for number in 1..=160u64 {
        let mut call = visit(
            number,
            random.pick(&["a", "b", "c"]),
            // Far more minutes than calls: pauses of all lengths. Each starts at a time of its own.
            random.below(2400) as i64,
        );
        call.started_at = UnixNanos(call.started_at.0 + number as i64);
        if random.below(5) == 0 {
            let wire = format!("w{}", random.below(4));
            call.session_id = Some(wire.clone());
            call.session = Some(SessionKey {
                source: SessionSource::Wire,
                key: wire,
            });
        }
        if random.below(3) == 0 {
            call.tool = Some("rare".into());
        }
        made.push(call);
    }
    let mut shuffled = made.clone();
    shuffled.sort_by_cached_key(|_| random.below(1 << 30));
    for some in shuffled.chunks(7) {
        writer.write(batch(some.iter().cloned())).await.unwrap();
    }
    writer
        .write(batch(shuffled.iter().take(30).cloned()))
        .await
        .unwrap();

    let expected = reference(&made);
    let told = |session: &Session| {
        let name = match session.source {
            SessionSource::Client => session.client_name.clone().unwrap(),
            _ => session.key.clone(),
        };
        (
            name,
            session.started_at.0,
            session.last_call_at.0,
            session.call_count,
        )
    };
    for size in [3, 50, 500] {
        let sessions = all(&store, &CallFilter::default(), size).await;
        let told: Vec<_> = sessions.iter().map(told).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, first, last, count, _)| (name.clone(), *first, *last, *count))
            .collect();
        assert_eq!(told, expected);
    }
    let rare = CallFilter {
        tools: vec!["rare".into()],
        ..CallFilter::default()
    };
    let rares: HashSet<u64> = calls(&store, &rare).await.into_iter().collect();
    let some: Vec<_> = all(&store, &rare, 4).await.iter().map(told).collect();
    let expected_some: Vec<_> = expected
        .iter()
        .filter(|(.., numbers)| !numbers.is_disjoint(&rares))
        .map(|(name, first, last, count, _)| (name.clone(), *first, *last, *count))
        .collect();
    assert_eq!(some, expected_some);

    for (session, (.., numbers)) in all(&store, &CallFilter::default(), 50)
        .await
        .iter()
        .zip(&expected)
    {
        let found: HashSet<u64> = calls(&store, &of_session(&id(session)))
            .await
            .into_iter()
            .collect();
        assert_eq!(&found, numbers);
        let again = store
            .session(session.source, &session.server, &session.key)
            .await
            .unwrap();
        assert_eq!(again.as_ref(), Some(session));
    }
    // What a call says its session is, for a page of calls in one question.
    let page = store
        .calls(
            &CallFilter::default(),
            PageRequest {
                first: Some(500),
                ..PageRequest::default()
            },
        )
        .await
        .unwrap();
    let derived: Vec<_> = page
        .items
        .iter()
        .filter_map(|item| {
            let session = item.call.session.as_ref()?;
            (session.source == SessionSource::Client).then(|| {
                (
                    item.call.server_name().to_owned(),
                    session.key.clone(),
                    item.call.started_at,
                )
            })
        })
        .collect();
    let visits = store.visits(&derived).await.unwrap();
    for call in &derived {
        let key = visits.get(call).unwrap();
        let session = store
            .session(SessionSource::Client, &call.0, key)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&session.key, key);
        assert!(session.started_at <= call.2 && call.2 <= session.last_call_at);
    }
}

on_both!(
    a_late_call_joins_two_visits_and_both_ids_go_on,
    what_differs_in_the_client_is_another_visit,
    calls_of_one_trace_are_a_session_whoever_comes_first,
    pages_filters_and_calls_agree_with_a_loop,
);
