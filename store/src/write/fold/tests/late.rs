//! Calls whose process says that they have ended, and answers that come late: both are told beside the spans.

use mcptap_model::Outcome;

use super::memory::Memory;
use super::scenarios::announced;
use super::*;
use crate::liveness::silence::as_ended;

#[test]
fn being_lost_for_good_says_nothing_else() {
    let mut memory = Memory::default();
    let running = announced(&span(1, Some(9), "server", SpanKind::Server, 10, 20));
    memory.write(batch(vec![running], vec![], vec![]));
    let (before, _) = memory.told().remove(0);
    let mut ended = as_ended(&before);
    ended.call.started_at = UnixNanos(0);
    memory.write(batch(vec![ended], vec![], vec![]));
    let (mut lost, _) = memory.told().remove(0);
    assert_eq!((lost.outcome(), lost.is_late()), (Outcome::Lost, false));
    lost.evidence.lost = false;
    lost.evidence.late = false;
    assert_eq!(lost, before);
}

#[test]
fn a_late_answer_is_marked_and_says_nothing_else() {
    let mut cancelled = span(1, Some(9), "server", SpanKind::Server, 10, 20);
    cancelled.call.evidence.cancelled = true;
    let mut late = announced(&cancelled);
    late.call.evidence.late = true;
    late.call.tool = None;
    late.call.request = None;
    let running = announced(&cancelled);
    let mut alone = Memory::default();
    alone.write(batch(vec![cancelled.clone()], vec![], vec![]));
    let (mut expected, _) = alone.told().remove(0);
    expected.evidence.late = true;
    let records = [running, cancelled, late];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut memory = Memory::default();
        for place in order {
            let one: &Observation = &records[place];
            memory.write(batch(vec![one.clone()], vec![], vec![]));
        }
        let (call, _) = memory.told().remove(0);
        assert_eq!(
            (call.outcome(), call.is_late()),
            (Outcome::Cancelled, true),
            "{order:?}"
        );
        assert_eq!(call, expected, "{order:?}");
    }
}
