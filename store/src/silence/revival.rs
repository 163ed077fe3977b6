//! Calls that were taken for lost run again when their process is heard.
//!
//! A heartbeat is newer than the silence, and what is later known of a call without an end is written over what was known: it
//! is not merged, as spans are, so the order of arrival does not matter. Should a heartbeat and the word that a call is lost
//! cross each other, the next heartbeat decides. A call that has ended stays as it is: under the lock it is not among the lost
//! ones any more.

use mcptap_model::Outcome;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::origins::{OPEN, PAGE};
use super::{READ, TASK};
use crate::Error;
use crate::database::Database;
use crate::entity::call;
use crate::transaction::Transaction;

/// How many calls one transaction brings back.
const AT_ONCE: u64 = 500;

/// Each is a change like any other. 6 is RUNNING, 7 is LOST, and 2048 is [`Evidence::lost`](mcptap_model::Evidence::lost).
const RUN_AGAIN: &str = "WITH moved (source, target) AS ({pairs}) \
    UPDATE calls SET evidence = evidence & -2049, outcome = 6, updated_seq = moved.target FROM moved \
    WHERE calls.id = moved.source AND calls.outcome = 7";

/// Brings back the lost calls of these origins, whose processes were heard.
pub(super) async fn revive(database: &Database, origins: &[i64]) -> Result<(), Error> {
    for origins in origins.chunks(PAGE) {
        let mut after = 0;
        loop {
            let lost = database
                .step_within(TASK, READ, lost(database, origins, after))
                .await?;
            let Some(last) = lost.last() else { break };
            after = *last;
            database.step(TASK, run_again(database, &lost)).await?;
        }
    }
    Ok(())
}

/// The next lost calls of these origins.
async fn lost(database: &Database, origins: &[i64], after: i64) -> Result<Vec<i64>, Error> {
    Ok(call::Entity::find()
        .select_only()
        .column(call::Column::Id)
        .filter(Expr::cust(OPEN))
        .filter(call::Column::Outcome.eq(Outcome::Lost.code()))
        .filter(call::Column::Origin.is_in(origins.iter().copied()))
        .filter(call::Column::Id.gt(after))
        .order_by_asc(call::Column::Id)
        .limit(AT_ONCE)
        .into_tuple()
        .all(database.feed())
        .await?)
}

async fn run_again(database: &Database, rows: &[i64]) -> Result<(), Error> {
    let mut tx = Transaction::begin(database).await?;
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
        ] {
            assert!(RUN_AGAIN.contains(&part), "{part}");
        }
        let open = Outcome::ALL.into_iter().filter(|outcome| !outcome.has_end());
        let ended = Outcome::ALL.into_iter().filter(|outcome| outcome.has_end());
        assert!(open.map(Outcome::code).all(|code| code >= 6));
        assert!(ended.map(Outcome::code).all(|code| code < 6));
    }
}
