//! The ids of a span are told by one sender only.

use proptest::prelude::*;

use super::memory::Memory;
use super::scenarios::{announced, scenarios};
use super::*;

/// The same ids as another service's span, or as one for another server.
fn under(mut one: Observation, service: Option<&str>, server: Option<&str>) -> Observation {
    let scope = one.call.origin.scope.clone();
    one.call.origin = Arc::new(Origin {
        service: service.map(str::to_owned),
        scope,
        ..Origin::default()
    });
    one.call.server = server.map(str::to_owned);
    one.call.tool = Some("of_another".to_owned());
    one.call.client_name = Some("another".to_owned());
    one
}

fn alone(one: &Observation) -> Batch {
    batch(vec![one.clone()], vec![], vec![])
}

/// Writes what another sender says under the ids of a span, before and after its own, and in one batch with it.
fn stays_out(own: &Observation, foreign: &Observation) {
    let mut undisturbed = Memory::default();
    undisturbed.write(alone(own));
    let mut memory = Memory::default();
    memory.write(alone(own));
    assert_eq!(
        (memory.write(alone(foreign)), memory.left_out),
        (0, 1),
        "{foreign:?}"
    );
    assert_eq!(memory.everything(), undisturbed.everything());
    // Its own sender is still believed.
    assert_eq!((memory.write(alone(own)), memory.left_out), (0, 1));

    let mut memory = Memory::default();
    memory.write(batch(vec![own.clone(), foreign.clone()], vec![], vec![]));
    assert_eq!(memory.left_out, 1);
    assert_eq!(memory.everything(), undisturbed.everything());

    // Whoever comes first has the ids: nothing of the other gets into its call.
    let mut first = Memory::default();
    first.write(alone(foreign));
    let before = first.everything();
    assert_eq!((first.write(alone(own)), first.left_out), (0, 1));
    assert_eq!(first.everything(), before);
}

#[test]
fn what_another_sender_says_under_the_same_ids_is_left_out() {
    for kind in [SpanKind::Server, SpanKind::Client] {
        let mut own = span(2, Some(1), "alpha", kind, 0, 100);
        for foreign_kind in [SpanKind::Server, SpanKind::Client, SpanKind::Internal] {
            let foreign = span(2, Some(1), "beta", foreign_kind, 10, 500);
            stays_out(&own, &under(foreign.clone(), Some("beta"), None));
            stays_out(&own, &under(foreign.clone(), Some("beta"), Some("beta")));
            own.call.server = Some("of alpha".to_owned());
            stays_out(&own, &under(foreign.clone(), Some("alpha"), Some("beta")));
            stays_out(&own, &under(foreign, None, Some("beta")));
            own.call.server = None;
        }
    }
}

#[test]
fn the_ids_of_a_view_inside_a_call_are_no_way_in_either() {
    let mut memory = Memory::default();
    let client = span(1, None, "agent", SpanKind::Client, 0, 100);
    let server = span(2, Some(1), "alpha", SpanKind::Server, 10, 90);
    memory.write(batch(vec![client.clone(), server], vec![], vec![]));
    let before = memory.everything();
    assert_eq!(before.len(), 1);
    let foreign = under(
        span(1, None, "beta", SpanKind::Server, 0, 900),
        Some("beta"),
        Some("beta"),
    );
    assert_eq!((memory.write(alone(&foreign)), memory.left_out), (0, 1));
    // The client's own span may come again.
    assert_eq!((memory.write(alone(&client)), memory.left_out), (0, 1));
    assert_eq!(memory.everything(), before);
}

/// Sends these spans in that order, together and one by one: they are one call, as it is at once.
fn are_one_span(order: [&Observation; 3], at_once: &Memory) {
    for batches in [1, 3] {
        let mut memory = Memory::default();
        for some in order.chunks(order.len() / batches) {
            let some = some.iter().map(|one| (*one).clone()).collect();
            memory.write(batch(some, vec![], vec![]));
        }
        assert_eq!(memory.left_out, 0);
        assert_eq!(memory.everything(), at_once.everything());
    }
}

#[test]
fn a_span_that_knows_more_than_its_announcement_is_the_same() {
    let whole = under(
        span(2, None, "python", SpanKind::Server, 0, 100),
        Some("python"),
        Some("notes"),
    );
    let early = announced(&under(whole.clone(), Some("python"), None));
    let nameless = announced(&under(whole.clone(), None, None));
    let mut at_once = Memory::default();
    at_once.write(alone(&whole));
    for order in [
        [&early, &nameless, &whole],
        [&whole, &early, &nameless],
        [&nameless, &whole, &early],
    ] {
        are_one_span(order, &at_once);
    }
    // Names that came late count as well.
    let mut memory = Memory::default();
    let another = under(whole.clone(), Some("python"), Some("others"));
    memory.write(batch(vec![nameless, whole, another], vec![], vec![]));
    assert_eq!(memory.left_out, 1);
    assert_eq!(memory.everything(), at_once.everything());
}

/// A wrapper learns the server's name while the server's first request runs, and is called so from then on.
#[test]
fn a_service_that_is_renamed_while_a_call_runs_is_the_same() {
    let by = |one: &Observation, instance: &str| {
        let mut one = one.clone();
        let origin = Origin::clone(&one.call.origin);
        one.call.origin = Arc::new(Origin {
            instance: Some(instance.to_owned()),
            ..origin
        });
        one
    };
    let started = span(2, None, "python", SpanKind::Server, 0, 100);
    let whole = by(&under(started.clone(), Some("notes"), Some("notes")), "a");
    let early = by(&announced(&under(started, Some("python"), None)), "a");
    let mut at_once = Memory::default();
    at_once.write(alone(&whole));
    for order in [
        [&early, &whole, &whole],
        [&whole, &early, &whole],
        [&early, &early, &whole],
    ] {
        are_one_span(order, &at_once);
    }
    // Another process may not, nor the same under another name when it is over, nor by an announcement that names a server.
    for (first, second) in [
        (&early, by(&whole, "b")),
        (&whole, by(&under(whole.clone(), Some("beta"), None), "a")),
        (&by(&early, "b"), early.clone()),
    ] {
        let mut memory = Memory::default();
        memory.write(alone(first));
        memory.write(alone(&second));
        let renamed = first.call.origin.service != second.call.origin.service;
        assert_eq!(memory.left_out, usize::from(renamed), "{second:?}");
    }
    let plain = by(
        &under(
            span(2, None, "alpha", SpanKind::Server, 0, 100),
            Some("alpha"),
            None,
        ),
        "a",
    );
    let names = by(&announced(&under(plain.clone(), Some("beta"), Some("beta"))), "a");
    let mut memory = Memory::default();
    memory.write(alone(&plain));
    assert_eq!((memory.write(alone(&names)), memory.left_out), (0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Nothing that one sender says of its own spans is taken for another's, in whatever order and however often it comes.
    #[test]
    fn nobody_is_taken_for_another(
        scenario in 0..9usize,
        keys in prop::collection::vec(any::<u32>(), 32),
        cuts in prop::collection::vec(any::<bool>(), 32),
    ) {
        let whole = scenarios()[scenario].clone();
        let mut all = whole.observations.clone();
        all.extend(whole.observations.iter().map(announced));
        let mut memory = Memory::default();
        for _ in 0..2 {
            let mut spans: Vec<_> = all.iter().zip(&keys).collect();
            spans.sort_by_key(|(_, key)| **key);
            let mut some = Vec::new();
            for ((one, _), cut) in spans.into_iter().zip(&cuts) {
                some.push(one.clone());
                if *cut {
                    memory.write(batch(std::mem::take(&mut some), vec![], vec![]));
                }
            }
            memory.write(batch(some, whole.https.clone(), vec![]));
        }
        prop_assert_eq!(memory.left_out, 0);
    }
}
