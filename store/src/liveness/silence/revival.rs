//! Calls that were taken for lost run again when their process is heard.
//!
//! A heartbeat is newer than the silence, and what is later known of a call without an end is written over what was known: it
//! is not merged, as spans are, so the order of arrival does not matter. Should a heartbeat and the word that a call is lost
//! cross each other, the next heartbeat decides. A call that has ended stays as it is: under the lock it is not among the lost
//! ones any more; nor is one whose [process says](super::ends) that it has.

use mcptap_model::{Outcome, UnixNanos};

use super::origins::{PAGE, Place, next_without_end};
use super::{READ, TASK};
use crate::Error;
use crate::db::database::Database;
use crate::db::transaction::Transaction;

/// How many calls one transaction brings back.
const AT_ONCE: u64 = 500;

/// Each is a change like any other. 6 is RUNNING, 7 is LOST, 2048 is [`Evidence::lost`](mcptap_model::Evidence::lost), and
/// 4096 is [`Evidence::late`](mcptap_model::Evidence::late): such a call has ended.
const RUN_AGAIN: &str = "WITH moved (source, target) AS ({rows}) \
    UPDATE calls SET evidence = evidence & -2049, outcome = 6, updated_seq = moved.target FROM moved \
    WHERE calls.id = moved.source AND calls.outcome = 7 AND calls.evidence & 4096 = 0";

/// Brings back the lost calls of these origins, whose processes were heard.
pub(super) async fn revive(database: &Database, origins: &[i64]) -> Result<(), Error> {
    for origins in origins.chunks(PAGE) {
        let mut after = Place::START;
        loop {
            let generation = database.lineage().generation();
            let feed = database.feed();
            let next = next_without_end(&feed, Outcome::Lost, origins, UnixNanos(i64::MAX), after, AT_ONCE);
            let lost = database.step_within(TASK, READ, next).await?;
            let Some(last) = lost.last() else { break };
            after = *last;
            let rows: Vec<i64> = lost.iter().map(|place| place.row).collect();
            database
                .step(TASK, run_again(database, &rows, generation))
                .await?;
        }
    }
    Ok(())
}

async fn run_again(database: &Database, rows: &[i64], generation: u64) -> Result<(), Error> {
    let mut tx = Transaction::begin_after(database, generation).await?;
    let numbers = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let advanced = tx.advance(numbers, 0).await?;
    let numbered = rows.iter().zip(advanced.before + 1..);
    let numbered: Vec<(i64, Option<i64>)> = numbered.map(|(row, seq)| (*row, Some(seq))).collect();
    tx.with_pairs(RUN_AGAIN, &numbered).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use mcptap_model::Evidence;

    use super::super::ends::UNENDED;
    use super::*;

    #[test]
    fn the_statement_has_the_numbers_of_the_model() {
        let lost = Evidence {
            lost: true,
            ..Evidence::default()
        };
        let [running, lost_code] = [Outcome::Running, Outcome::Lost].map(Outcome::code);
        for part in [
            format!("evidence & {}", !lost.bits()),
            format!("outcome = {running},"),
            format!("calls.outcome = {lost_code}"),
            format!("calls.{UNENDED}"),
        ] {
            assert!(RUN_AGAIN.contains(&part), "{part}");
        }
        let open = Outcome::ALL.into_iter().filter(|outcome| !outcome.has_end());
        let ended = Outcome::ALL.into_iter().filter(|outcome| outcome.has_end());
        assert!(open.map(Outcome::code).all(|code| code >= 6));
        assert!(ended.map(Outcome::code).all(|code| code < 6));
    }
}
