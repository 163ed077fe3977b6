//! Searching. An index of words says which calls have a query's keys. What it does not say (phrases of more than two
//! words, calls that it does not know yet) is decided by reading bodies and log lines, here.

mod index;
mod lookup;

use std::collections::HashMap;

use mcptap_model::CallFilter;
use mcptap_model::search::Haystack;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

pub(crate) use self::index::{Indexer, UnindexedRow, unindex};
pub(crate) use self::lookup::Lookup;
use crate::dictionary::{Dictionary, details};
use crate::entity::{call, detail, log_line};
use crate::{Error, Stored};

/// Those of the rows that the filter means, in the same order.
pub(crate) async fn matching(
    filter: &CallFilter,
    rows: Vec<call::Model>,
    tx: &DatabaseTransaction,
    dictionary: &Dictionary,
) -> Result<Vec<Stored>, Error> {
    let stored = dictionary.stored(tx, rows).await?;
    if !filter.needs_text() || stored.is_empty() {
        return Ok(stored);
    }
    let mut haystacks = haystacks(&stored, tx, filter.needs_bodies()).await?;
    Ok(stored
        .into_iter()
        .filter(|Stored { row, call }| filter.matches(call, haystacks.remove(row).as_ref()))
        .collect())
}

/// What is searched of the calls in these rows; with `bodies`, also their bodies and log lines.
async fn of_calls(
    rows: &[i64],
    tx: &DatabaseTransaction,
    dictionary: &Dictionary,
    bodies: bool,
) -> Result<HashMap<i64, Haystack>, Error> {
    let rows = call::Entity::find()
        .filter(call::Column::Id.is_in(rows.iter().copied()))
        .all(tx)
        .await?;
    haystacks(&dictionary.stored(tx, rows).await?, tx, bodies).await
}

async fn haystacks(
    stored: &[Stored],
    tx: &DatabaseTransaction,
    bodies: bool,
) -> Result<HashMap<i64, Haystack>, Error> {
    let mut haystacks: HashMap<i64, Haystack> = HashMap::with_capacity(stored.len());
    for Stored { row, call } in stored {
        let haystack = haystacks.entry(*row).or_default();
        if let Some(message) = &call.error_message {
            haystack.add_text(message);
        }
        if let Some(target) = call.target() {
            haystack.set_target(target);
        }
    }
    if !bodies {
        return Ok(haystacks);
    }
    let ids = || stored.iter().map(|stored| stored.row);
    let bodies = detail::Entity::find()
        .filter(detail::Column::Call.is_in(ids()))
        .all(tx)
        .await?;
    for row in bodies {
        let haystack = haystacks.entry(row.call).or_default();
        let details = details(row)?;
        for body in [details.request, details.response].into_iter().flatten() {
            haystack.add_body(&body.text);
        }
    }
    let lines = log_line::Entity::find()
        .filter(log_line::Column::Call.is_in(ids()))
        .all(tx)
        .await?;
    for row in lines {
        haystacks
            .entry(row.call)
            .or_default()
            .add_text(&String::from_utf8_lossy(&row.body));
    }
    Ok(haystacks)
}
