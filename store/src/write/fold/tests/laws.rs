//! The order of arrival, batches, repetitions and announcements make no difference.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::memory::Memory;
use super::scenarios::*;
use super::*;
use crate::liveness::silence::as_lost;
use crate::write::fold::Whole;

/// Each record alone, with a key to sort by and a number of times to send it.
fn pieces(whole: &Batch) -> Vec<Batch> {
    let observations = whole
        .observations
        .iter()
        .map(|one| batch(vec![one.clone()], vec![], vec![]));
    let https = whole
        .https
        .iter()
        .map(|one| batch(vec![], vec![one.clone()], vec![]));
    let logs = whole
        .logs
        .iter()
        .map(|one| batch(vec![], vec![], vec![one.clone()]));
    observations.chain(https).chain(logs).collect()
}

/// Sends records in the order of their keys, and says of each whether an export ends with it; then something is done.
fn send(
    memory: &mut Memory,
    whole: &Batch,
    keys: &[u32],
    cuts: &[bool],
    mut between: impl FnMut(usize, &mut Memory),
) {
    let mut pieces: Vec<_> = pieces(whole).into_iter().zip(keys).collect();
    pieces.sort_by_key(|(_, key)| **key);
    let mut export = Batch::default();
    for (number, ((piece, _), cut)) in pieces.into_iter().zip(cuts).enumerate() {
        export.observations.extend(piece.observations);
        export.https.extend(piece.https);
        export.logs.extend(piece.logs);
        if *cut {
            memory.write(std::mem::take(&mut export));
            between(number, memory);
        }
    }
    memory.write(export);
}

/// Whether what comes again in another order changes nothing, and is taken.
fn changes_nothing(memory: &mut Memory, pieces: impl Iterator<Item = Batch>) -> Result<(), TestCaseError> {
    let before = memory.everything();
    for piece in pieces {
        prop_assert_eq!(memory.write(piece), 0);
    }
    prop_assert_eq!(memory.everything(), before);
    prop_assert_eq!(memory.left_out, 0, "nobody's span is taken for another's");
    Ok(())
}

/// Calls all that run lost.
fn fall_silent(memory: &mut Memory) {
    let open = memory.calls.iter().map(|(_, whole)| &whole.call);
    let open = open.filter(|call| call.evidence.open);
    let silent: Vec<_> = open.map(as_lost).collect();
    memory.write(batch(silent, vec![], vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_views_say_differently_is_told_alike(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 13), 5),
        keys in prop::collection::vec(any::<u32>(), 5),
        cuts in prop::collection::vec(any::<bool>(), 5),
    ) {
        let whole = views_that_disagree(&values);
        let mut at_once = Memory::default();
        at_once.write(whole.clone());
        let mut apart = Memory::default();
        send(&mut apart, &whole, &keys, &cuts, |_, _| {});
        prop_assert_eq!(apart.everything(), at_once.everything());
        changes_nothing(&mut apart, pieces(&whole).into_iter())?;
    }

    #[test]
    fn announcements_change_nothing_in_the_end(
        scenario in 0..=SCENARIOS,
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 13), 5),
        keys in prop::collection::vec(any::<u32>(), 32),
        cuts in prop::collection::vec(any::<bool>(), 32),
        silent in prop::collection::vec(any::<bool>(), 32),
    ) {
        let whole = match scenario {
            SCENARIOS => views_that_disagree(&values),
            _ => scenarios()[scenario].clone(),
        };
        let mut at_once = Memory::default();
        at_once.write(whole.clone());
        let mut all = whole.clone();
        all.observations.extend(whole.observations.iter().map(announced));
        let mut apart = Memory::default();
        send(&mut apart, &all, &keys, &cuts, |number, memory| {
            if silent[number] {
                fall_silent(memory);
            }
        });
        let without_silence = |memory: &Memory| {
            let mut everything = memory.everything();
            for (whole, _) in &mut everything {
                whole.call.evidence.lost = false;
            }
            everything
        };
        prop_assert_eq!(without_silence(&apart), without_silence(&at_once));
        for one in &whole.observations {
            prop_assert_eq!(apart.write(batch(vec![announced(one)], vec![], vec![])), 0);
        }
    }

    #[test]
    fn order_and_batching_do_not_matter(
        scenario in 0..SCENARIOS,
        keys in prop::collection::vec(any::<u32>(), 16),
        cuts in prop::collection::vec(any::<bool>(), 16),
        again in prop::collection::vec(any::<u32>(), 16),
    ) {
        let whole = scenarios()[scenario].clone();
        let mut at_once = Memory::default();
        at_once.write(whole.clone());
        let mut apart = Memory::default();
        send(&mut apart, &whole, &keys, &cuts, |_, _| {});
        prop_assert_eq!(apart.everything(), at_once.everything());
        // Delivered again in another order: the feed shows nothing.
        let mut pieces: Vec<_> = pieces(&whole).into_iter().zip(&again).collect();
        pieces.sort_by_key(|(_, key)| **key);
        changes_nothing(&mut apart, pieces.into_iter().map(|(piece, _)| piece))?;
    }
}

/// What matters most, for whoever reads why a law does not hold.
fn told(everything: &[(Whole, Vec<String>)]) -> Vec<String> {
    let one = |(Whole { call, .. }, lines): &(Whole, Vec<String>)| {
        let session = call.session.as_ref().map(|session| session.source);
        format!(
            "{} {:?} of {} by {:?}, session {session:?}, lines {lines:?}",
            call.primary_span_id,
            call.vantage,
            call.server_name(),
            call.client_name
        )
    };
    everything.iter().map(one).collect()
}

fn spans(whole: &Batch) -> String {
    let one = |Observation { call, .. }: &Observation| {
        format!(
            "\n{} {:?} of {:?} below {:?}, id {:?}",
            call.span_id, call.vantage, call.origin.service, call.parent_span_id, call.request_id
        )
    };
    whole.observations.iter().map(one).collect()
}

/// Everything of one batch, in each order of its spans, one export each; the lines come last or first.
fn in_each_order(whole: &Batch) {
    let at_once = {
        let mut memory = Memory::default();
        memory.write(whole.clone());
        memory.everything()
    };
    let mut orders = vec![vec![]];
    for number in 0..whole.observations.len() {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, number);
                    longer
                })
            })
            .collect();
    }
    for (number, order) in orders.into_iter().enumerate() {
        let mut memory = Memory::default();
        let lines = batch(vec![], vec![], whole.logs.clone());
        let lines_first = number % 2 == 0;
        if lines_first {
            memory.write(lines.clone());
        }
        for at in &order {
            memory.write(batch(vec![whole.observations[*at].clone()], vec![], vec![]));
        }
        if !lines_first {
            memory.write(lines);
        }
        let told_now = memory.everything();
        if told_now != at_once {
            assert_eq!(told(&told_now), told(&at_once), "{order:?} of {}", spans(whole));
            assert_eq!(told_now, at_once, "{order:?} of {}", spans(whole));
        }
        if number % 16 == 0 {
            for one in &whole.observations {
                let again = memory.write(batch(vec![one.clone()], vec![], vec![]));
                assert_eq!(again, 0, "{order:?}");
            }
            assert_eq!(memory.everything(), at_once, "{order:?} again");
        }
    }
}

#[test]
fn requests_through_gateways_are_told_alike_in_each_order() {
    for whole in through_gateways() {
        in_each_order(&whole);
    }
}
