//! What SQL cannot decide: whether words occur in bodies and log lines of rows that passed the SQL condition.

use std::collections::HashMap;

use mcptap_model::CallFilter;
use mcptap_model::search::Haystack;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

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
    let mut haystacks: HashMap<i64, Haystack> = HashMap::with_capacity(stored.len());
    let ids = || stored.iter().map(|stored| stored.row);
    let bodies = if filter.needs_bodies() {
        detail::Entity::find()
            .filter(detail::Column::Call.is_in(ids()))
            .all(tx)
            .await?
    } else {
        Vec::new()
    };
    for row in bodies {
        let haystack = haystacks.entry(row.call).or_default();
        let details = details(row)?;
        for body in [details.request, details.response].into_iter().flatten() {
            haystack.add_body(&body.text);
        }
    }
    let lines = if filter.needs_bodies() {
        log_line::Entity::find()
            .filter(log_line::Column::Call.is_in(ids()))
            .all(tx)
            .await?
    } else {
        Vec::new()
    };
    for row in lines {
        haystacks
            .entry(row.call)
            .or_default()
            .add_text(&String::from_utf8_lossy(&row.body));
    }
    Ok(stored
        .into_iter()
        .filter(|Stored { row, call }| {
            let mut haystack = haystacks.remove(row).unwrap_or_default();
            if let Some(message) = &call.error_message {
                haystack.add_text(message);
            }
            if let Some(target) = call.target() {
                haystack.set_target(target);
            }
            filter.matches(call, Some(&haystack))
        })
        .collect())
}
