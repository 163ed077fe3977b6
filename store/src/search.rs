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
    for row in detail::Entity::find()
        .filter(detail::Column::Call.is_in(ids()))
        .all(tx)
        .await?
    {
        let haystack = haystacks.entry(row.call).or_default();
        let details = details(row)?;
        for body in [details.request, details.response].into_iter().flatten() {
            haystack.add_body(&body.text);
        }
    }
    for row in log_line::Entity::find()
        .filter(log_line::Column::Call.is_in(ids()))
        .all(tx)
        .await?
    {
        haystacks
            .entry(row.call)
            .or_default()
            .add_text(&String::from_utf8_lossy(&row.body));
    }
    Ok(stored
        .into_iter()
        .filter(|Stored { row, call }| {
            let mut haystack = haystacks.remove(row).unwrap_or_default();
            [call.error_message.as_deref(), call.target()]
                .into_iter()
                .flatten()
                .for_each(|text| haystack.add_text(text));
            filter.matches(call, Some(&haystack))
        })
        .collect())
}
