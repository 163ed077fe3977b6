use super::erasure::{ERASURE, Interrupted, without_end};
use crate::rows::entity::audit;

#[test]
fn erasures_without_an_end_are_found() {
    let entry = |id: i64, key: Option<i64>, subject: &str| audit::Model {
        id,
        at: 0,
        key,
        what: ERASURE.into(),
        subject: subject.into(),
    };
    let open = without_end(vec![
        // Its begin is too long ago to be read.
        entry(1, None, "calls with tools: 3 erased"),
        entry(2, Some(1), "calls with tools: begun"),
        entry(
            3,
            Some(1),
            "calls with tools: failed after 7 calls: the database failed",
        ),
        entry(4, Some(1), "calls with tools: begun"),
        entry(5, Some(2), "calls with tools: begun"),
        entry(6, Some(1), "calls with tools, from: none"),
        entry(7, None, "calls with clients: begun, on the command line"),
        entry(8, None, "calls with no constraint: begun, on the command line"),
        entry(9, None, "calls with no constraint: 1 erased, on the command line"),
        entry(10, Some(2), "calls with tools: 12 erased"),
    ]);
    let of = |id, key, subject: &str| Interrupted {
        id,
        key,
        subject: subject.into(),
    };
    assert_eq!(
        open,
        [
            of(4, Some(1), "calls with tools"),
            of(7, None, "calls with clients")
        ]
    );
}
